"""Every resource that the built-in record returns passes the independent checker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.builders import record as r
from tests.builders.ledger import World
from tests.contract.test_record_rights import consent
from tests.servers.record import record_app

pytestmark = pytest.mark.conformance

PATIENT = f"patient.identifier={r.INS_TEST_SYSTEM}|{r.INS_ONE}"


def answers(tmp_path: Path) -> dict[str, Any]:
    """One answer of each kind."""
    world = World(f"sqlite:///{tmp_path}/ledger.db")
    world.ledger.migrate()
    with TestClient(record_app(world.ledger)) as http:

        def call(method: str, path: str, body: Any = None, by: Any = r.FEEDER, kind: str = "application/fhir+json") -> Any:
            said = {"Accept": "application/fhir+json", "Authorization": f"Bearer {r.secret_of(by)}", "Content-Type": kind}
            content = r.written(body) if body is not None else None
            return http.request(method, f"/record/fhir{path}", content=content, headers=said).json()

        made = {
            "transaction-response": call("POST", "", r.transaction(1)),
            "replacement-response": call("POST", "", r.transaction(2, b"2", replaces=r.unique_of(1))),
            "simple": call("POST", "/DocumentReference", r.simple(3)),
            "refusal": call("POST", "", r.transaction(9, replaces="urn:oid:1.2.3")),
            "unknown-parameter": call("GET", "/DocumentReference?colour=red"),
            "metadata": call("GET", "/metadata"),
        }
        for entry in made["transaction-response"]["entry"]:
            place = "/" + "/".join(entry["response"]["location"].split("/")[:2])
            made[place.split("/")[1]] = call("GET", place)
        patch = r.patch_labels("N", "MASQUE_PS")
        made["patched"] = call(
            "PATCH", f"/DocumentReference?identifier={r.URI}|{r.unique_of(2)}", patch, kind="application/json-patch+json"
        )
        made["documents"] = call("GET", f"/DocumentReference?{PATIENT}&_elements=id")
        made["sets"] = call("GET", f"/List?{PATIENT}&code=submissionset")
        made["patients"] = call("GET", f"/Patient?identifier={r.INS_TEST_SYSTEM}|{r.INS_ONE}")
        made["nothing"] = call("GET", f"/DocumentReference?{PATIENT}&status=current&type=none")
        made["consent"] = call("POST", "/Consent", consent("deny", "access"), by=r.KEEPER)
        made["consents"] = call("GET", f"/Consent?{PATIENT}", by=r.KEEPER)
        made["traces"] = call("GET", "/AuditEvent", by=r.KEEPER)
        made["trace"] = call("GET", "/AuditEvent/1", by=r.KEEPER)
    world.ledger.close()
    return made


def test_every_resource_that_the_record_returns_passes_the_independent_checker(shared_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    made = answers(tmp_path)
    for name, resource in made.items():
        (folder / f"{name}.json").write_text(json.dumps(resource), encoding="utf-8")
    for kind in ("documents", "traces"):
        for number, entry in enumerate(made[kind]["entry"]):
            (folder / f"{kind}-{number}.json").write_text(json.dumps(entry["resource"]), encoding="utf-8")
    count = len(list(folder.iterdir()))
    assert {one["resourceType"] for one in made.values()} >= {
        "AuditEvent",
        "Binary",
        "Bundle",
        "CapabilityStatement",
        "Consent",
        "DocumentReference",
        "List",
        "OperationOutcome",
        "Patient",
    }
    checker = [
        sys.executable,
        "-W",
        "ignore",
        str(shared_dir / "tools" / "fhir_check.py"),
        "--require-fhirpath",
        "--fr",
        str(folder),
    ]
    done = subprocess.run(checker, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert f"{count} passed, 0 failed" in done.stdout
