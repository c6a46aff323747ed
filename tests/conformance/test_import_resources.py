"""Everything that the Import API hands out is clean for the independent FHIR checker: letters, requests, answers and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapter.model.receipt import Principal
from tests.builders.cda import matricule
from tests.builders.directory import APHP_EJ
from tests.builders.form import form_bytes
from tests.builders.import_client import WARD, ImportApi, ward_house
from tests.builders.practices import INBOX, Town
from tests.builders.stay import build_stay_request

pytestmark = pytest.mark.conformance
FHIR = "application/fhir+json"


class Shelf:
    """What was answered, one file an answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def keep(self, name: str, answer: Any) -> Any:
        """Keep a resource that was answered."""
        assert answer.headers["content-type"].startswith(FHIR), answer.headers
        (self.folder / f"{name}.json").write_bytes(answer.content)
        return answer.json()


def _letters(folder: Path, shelf: Shelf) -> None:
    town = Town(folder)
    api = ImportApi(town.house, folder)
    town.write(1)
    town.write(2)
    town.write(1, number=2)
    town.write(1, number=2, cancels=True)
    page = shelf.keep("sync", api.get("DocumentReference/$sync"))
    shelf.keep("search", api.get("DocumentReference?status=current&_elements=id"))
    shelf.keep("count", api.get("DocumentReference?_summary=count"))
    for number, entry in enumerate(page["entry"]):
        resource = entry["resource"]
        shelf.keep(f"reference-{number}", api.get(f"DocumentReference/{resource['id']}"))
        for other in resource["context"].get("related", ()):
            name = other["reference"].replace("/", "-")
            shelf.keep(f"{number}-{name}", api.get(other["reference"], headers={"Accept": FHIR}))
    for kind in ("MedicationStatement", "MedicationRequest", "Appointment", "CareTeam"):
        shelf.keep(kind, api.get(kind, params={"patient.identifier": matricule("2740994043217")}))
    current = next(entry["resource"] for entry in page["entry"] if entry["resource"]["status"] == "current")
    shelf.keep("acknowledged", api.acknowledge(current["id"], "integrated"))
    shelf.keep("conflict", api.acknowledge(current["id"], "unreadable"))
    for number, path in enumerate(("DocumentReference?x=1", "Patient/1", "Binary/1", "DocumentReference/$sync?cursor=x")):
        shelf.keep(f"refused-{number}", api.get(path))
    shelf.keep("unauthorised", api.http.get("/fhir/Task"))
    shelf.keep("metadata", api.http.get("/fhir/metadata"))


def _requests(folder: Path, shelf: Shelf) -> None:
    house = ward_house(folder)
    api = ImportApi(house, folder, practices=(WARD,))
    form = build_stay_request()
    house.accept(form_bytes(form), door="http", principal=Principal("cms", "token", APHP_EJ), form=form["formulaire"])
    house.prepare()
    house.dispatch(INBOX)
    task = shelf.keep("tasks", api.get("Task"))["entry"][0]["resource"]
    shelf.keep("task", api.get(f"Task/{task['id']}"))
    shelf.keep("orders", api.get("ServiceRequest"))
    shelf.keep("order", api.get(task["focus"]["reference"]))
    output = "https://traitdunion.example/fhir/CodeSystem/request-output"
    planned = {"type": {"coding": [{"system": output, "code": "scheduled-period"}]}, "valuePeriod": {"start": "2026-12-10"}}
    held = {"If-Match": f'W/"{task["meta"]["versionId"]}"'}
    changed = api.put(f"Task/{task['id']}", {**task, "status": "accepted", "output": [planned]}, headers=held)
    shelf.keep("scheduled", changed)
    failed = {"coding": [{"system": "https://traitdunion.example/fhir/CodeSystem/import-outcome", "code": "unreadable"}]}
    shelf.keep(
        "failed", api.put(f"Task/{task['id']}", {**task, "status": "failed", "statusReason": failed}, headers={"If-Match": "*"})
    )
    shelf.keep("refused-task", api.put(f"Task/{task['id']}", {**task, "status": "completed"}, headers={"If-Match": "*"}))
    page = shelf.keep("request-sync", api.get("DocumentReference/$sync"))
    for other in page["entry"][0]["resource"]["context"]["related"]:
        shelf.keep(f"request-{other['reference'].replace('/', '-')}", api.get(other["reference"], headers={"Accept": FHIR}))


def test_every_resource_that_the_import_api_answers_is_clean(tmp_path: Path, shared_dir: Path) -> None:
    shelf = Shelf(tmp_path / "answers")
    (tmp_path / "letters").mkdir()
    (tmp_path / "ward").mkdir()
    _letters(tmp_path / "letters", shelf)
    _requests(tmp_path / "ward", shelf)
    kept = sorted(shelf.folder.iterdir())
    kinds = {json.loads(path.read_bytes())["resourceType"] for path in kept}
    assert kinds == {"Binary", "Bundle", "CapabilityStatement", "DocumentReference", "OperationOutcome", "ServiceRequest", "Task"}
    checker = [sys.executable, "-W", "ignore", str(shared_dir / "tools" / "fhir_check.py"), "--require-fhirpath", "--fr"]
    done = subprocess.run([*checker, str(shelf.folder)], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
