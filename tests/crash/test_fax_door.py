"""kill -9 of who takes faxes, at each step, on both engines: each fax is kept once, and finds its place in the next round."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders.directory import APHP_EJ
from tests.builders.ledger import World
from tests.servers.receive_queue import Lying, QueueDouble
from tests.unit.intake.test_fax_folder import fax_tiff, files

pytestmark = pytest.mark.crash

ROOT = Path(__file__).resolve().parents[2]
FAXES = 8
# A fax takes five renames: its side-car and itself to a claim, the claim to its fate, both to done/.
FOLDER_STEPS = (
    "before:claim", "after:claim", "before:commit", "after:commit", "before:put-away", "before:empty", "after:empty",
    "1:move", "2:move", "3:move", "4:move", "5:move", "6:move",
)  # fmt: skip
QUEUE_STEPS = ("before:commit", "after:commit", "before:remove", "after:remove")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path}/ledger.db"
    else:
        address = str(request.getfixturevalue("postgres_url")).replace("postgresql://", "postgresql+psycopg://")
    world = World(address)
    world.ledger.migrate()
    world.ledger.close()
    return address


def take(url: str, source: str, place: str, step: str = "none") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crash.fax_taker", url, source, place, step]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def kept(url: str) -> list[bytes]:
    """What the ledger holds, fax by fax."""
    world = World(url)
    assert world.ledger.conservation(legal_entity=APHP_EJ).holds
    contents: list[bytes] = []
    while claims := world.ledger.claim_receipts("test", 100, timedelta(seconds=600)):  # one fax at a time
        contents += [claim.content for claim in claims]
    world.ledger.close()
    return sorted(contents)


@pytest.mark.timeout(240)
def test_a_fax_folder_survives_a_death_at_each_step(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(FAXES):
        (folder / f"{n}.tif").write_bytes(fax_tiff(mark=n))
        (folder / f"{n}.tif.json").write_text('{"from": "0145210001"}')
    for step in FOLDER_STEPS:
        assert take(url, "folder", str(folder), step).returncode == -signal.SIGKILL, step
    assert take(url, "folder", str(folder)).returncode == 0
    assert kept(url) == sorted(fax_tiff(mark=n) for n in range(FAXES))
    assert files(folder) == {f"done/{n}.tif{end}" for n in range(FAXES) for end in ("", ".json")}


@pytest.mark.timeout(240)
def test_a_receive_queue_survives_a_death_at_each_step(url: str) -> None:
    with QueueDouble() as server:
        for n in range(FAXES):
            server.files[f"fax{n:09}.tif"] = Lying(fax_tiff(mark=n))
        for step in QUEUE_STEPS:
            assert take(url, "queue", str(server.port), step).returncode == -signal.SIGKILL, step
        last = take(url, "queue", str(server.port))
        assert last.returncode == 0, last.stderr
        assert not server.files
    assert kept(url) == sorted(fax_tiff(mark=n) for n in range(FAXES))
