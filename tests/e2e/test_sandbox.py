"""The sandbox with a program at the other end: the forty-line importer, through both acts and every fault."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from adapter.sandbox.house import Sandbox, SandboxClient
from adapter.sandbox.letters import ROOT
from adapter.web.faults import CONTROL

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
IMPORTER = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "importateur.py"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox") as house:
        yield house


def run_importer(sandbox: Sandbox, place: Path, client: SandboxClient | None = None) -> dict[str, Any]:
    """One run of the reference importer; what it then holds, by document number and version."""
    chosen = client or sandbox.clients[0]
    place.mkdir(exist_ok=True)
    command = [sys.executable, str(IMPORTER), sandbox.base_url, chosen.id, str(chosen.key_file), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    documents = json.loads((place / "dossier.json").read_text())["documents"]
    return {name.removeprefix(f"urn:oid:{ROOT}."): one for name, one in documents.items()}


def order(sandbox: Sandbox, fault: str, times: int = 1, path: str = "/fhir", seconds: float = 1.0) -> None:
    url = f"http://127.0.0.1:{sandbox.port}{CONTROL}"
    answer = requests.post(url, json={"fault": fault, "times": times, "path": path, "seconds": seconds}, timeout=10)
    assert answer.status_code == 201


def outcomes(sandbox: Sandbox) -> str:
    """What `tdu importers` says."""
    command = [sys.executable, "-m", "adapter", "importers", "--json", "--entity", "750712184", "--config"]
    done = subprocess.run([*command, str(sandbox.folder / "tdu.toml")], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def test_the_importer_has_forty_lines_of_code() -> None:
    source = IMPORTER.read_text("utf-8")
    tree = ast.parse(source)
    told = [node.body[0] for node in ast.walk(tree) if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node)]
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    aside = {line for node in (*told, *imports) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = [line for n, line in enumerate(source.splitlines(), 1) if n not in aside and line.strip()]
    assert len([line for line in lines if not line.strip().startswith("#")]) <= 40


def test_the_importer_holds_what_stands_and_nothing_else(sandbox: Sandbox, tmp_path: Path) -> None:
    first = run_importer(sandbox, tmp_path / "cabinet")
    assert set(first) == {f"{number}.1" for number in range(1, 11)}
    sandbox.play_second_act()
    then = run_importer(sandbox, tmp_path / "cabinet")
    assert set(then) == (set(first) - {"2.1", "3.1"}) | {"2.2"}, "the older version and the cancelled letter left"
    codes = {name: {c["code"] for label in one["visible"] for c in label["coding"]} for name, one in then.items()}
    assert "MASQUE_PS" in codes["4.1"] and "MASQUE_PS" not in codes["1.1"]
    assert "INVISIBLE_REPRESENTANTS_LEGAUX" in codes["7.1"]
    # A cancellation brings nothing to fetch: the next call with the cursor that came after it says that it was received.
    assert run_importer(sandbox, tmp_path / "cabinet") == then
    (told,) = json.loads(outcomes(sandbox))
    assert told["waiting"] == [] and not told["silent"] and told["outcomes"]["integrated"] >= 11


def test_each_role_of_one_doctor_sees_its_own_letters_only(sandbox: Sandbox, tmp_path: Path) -> None:
    _, town, other = sandbox.clients
    seen = {client.id: set(run_importer(sandbox, tmp_path / client.id, client)) for client in (town, other)}
    assert seen[other.id] == {"10.1"}
    assert "9.1" in seen[town.id] and not {"8.1", "10.1"} & seen[town.id]


def test_no_fault_loses_or_doubles_a_document(sandbox: Sandbox, tmp_path: Path) -> None:
    for fault, path in (
        ("503", "/fhir/DocumentReference/$sync"),
        ("429", "/fhir/Binary"),
        ("cut", "/fhir/Binary"),
        ("cut", "/fhir/DocumentReference/$sync"),
        ("expired-token", "/fhir/Binary"),
        ("slow", "/fhir/Binary"),
        ("cut", "/fhir/DocumentReference/"),
    ):
        order(sandbox, fault, path=path)
    held = run_importer(sandbox, tmp_path / "cabinet")
    assert set(held) == {f"{number}.1" for number in range(1, 11)}
    assert len(list((tmp_path / "cabinet").glob("*.xml"))) == 10
    sandbox.play_second_act()
    order(sandbox, "stale-cursor", path="/fhir/DocumentReference/$sync")
    again = run_importer(sandbox, tmp_path / "cabinet")
    assert set(again) == (set(held) - {"2.1", "3.1"}) | {"2.2"}
    waiting = requests.get(f"http://127.0.0.1:{sandbox.port}{CONTROL}", timeout=10).json()
    assert waiting == [], "every fault was met"


def test_the_command_prints_what_a_program_needs_and_leaves_nothing_behind() -> None:
    command = [sys.executable, "-m", "adapter", "sandbox", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None and run.stdout is not None
        told = json.loads(run.stdout.readline())
        assert requests.get(f"{told['base_url']}/metadata", timeout=10).json()["resourceType"] == "CapabilityStatement"
        key = Path(told["clients"][0]["key_file"])
        assert key.stat().st_mode & 0o077 == 0
        run.stdin.write("\n")
        run.stdin.flush()
        assert json.loads(run.stdout.readline()) == {"act": 2}
        run.stdin.close()
        assert run.wait(60) == 0
    assert not key.parent.parent.exists()


def test_an_interrupted_sandbox_stops_its_service() -> None:
    command = [sys.executable, "-m", "adapter", "sandbox", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        told = json.loads(run.stdout.readline())
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{told['base_url']}/metadata", timeout=5)


def test_a_folder_holds_the_same_and_nothing_stale(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox", folder_format="hprim") as house:
        assert house.drop_folder is not None
        _await(house.drop_folder, letters=10)
        house.play_second_act()
        _await(house.drop_folder, letters=8, words=3)
        withdrawn = {path.name for path in (house.drop_folder / "withdrawn").glob("*.hpr")}
        assert len(withdrawn) == 3, "the replaced, the cancelled and the masked letter"


def _await(folder: Path, letters: int, words: int = 0) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        here = len(list(folder.glob("*.pdf"))), len(list(folder.glob("*.suite.txt")))
        if here == (letters, words):
            return
        time.sleep(0.2)
    raise AssertionError(f"the folder holds {sorted(path.name for path in folder.iterdir())}")
