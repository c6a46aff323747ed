"""A record killed in the middle of a transaction holds all of it or nothing, on both engines; a resend then makes it whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from adapter.ledger import record_tables, tables
from adapter.ledger.record_rows import InStates
from tests.builders.ledger import ENTITY, World

pytestmark = [pytest.mark.crash, pytest.mark.slow]

# Statements of the first transaction, and of a replacement; 99: all of them done, the commit missing.
POINTS = (1, 5, 9, 13, 99)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated, empty ledger."""
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path}/ledger.db"
    else:
        address = str(request.getfixturevalue("postgres_url")).replace("postgresql://", "postgresql+psycopg://")
    world = World(address)
    world.ledger.migrate()
    world.ledger.close()
    return address


def play(url: str, point: int, what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crash.record_writer", url, str(point), what]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def everything(url: str) -> tuple[int, ...]:
    """Rows of every table that a submission touches."""
    world = World(url)
    held = (
        record_tables.record_resource, record_tables.record_token, record_tables.record_span, record_tables.record_link,
        tables.payload_chunk, tables.audit,
    )  # fmt: skip
    with world.ledger._database.read() as connection:
        counts = tuple(int(connection.execute(select(func.count()).select_from(table)).scalar_one()) for table in held)
    world.ledger.close()
    return counts


def states(url: str) -> tuple[int, int]:
    """How many documents are current, and superseded."""
    world = World(url)
    found = world.ledger.record.read(
        ENTITY, lambda rows: tuple(rows.count("DocumentReference", [InStates((state,))]) for state in ("current", "superseded"))
    )
    world.ledger.close()
    return found  # type: ignore[return-value]


def test_a_submission_cut_anywhere_leaves_nothing_and_is_whole_when_it_is_sent_again(url: str) -> None:
    before = everything(url)
    for point in POINTS:
        assert play(url, point, "first").returncode == -signal.SIGKILL, point
        assert everything(url) == before, point
    assert play(url, 0, "first").stdout == "201 201 201 201"
    assert play(url, 0, "first").stdout == "200 200 200 200"


def test_a_replacement_cut_anywhere_leaves_the_old_document_current(url: str) -> None:
    play(url, 0, "first")
    before = everything(url)
    for point in POINTS:
        assert play(url, point, "replacement").returncode == -signal.SIGKILL, point
        assert (everything(url), states(url)) == (before, (1, 0)), point
    assert play(url, 0, "replacement").stdout == "201 201 201 200"
    assert states(url) == (1, 1)
