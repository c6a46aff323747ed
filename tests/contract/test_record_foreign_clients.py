"""FHIR clients by other people do ITI-65, ITI-67 and ITI-68 with the built-in record: fhirpy, fhirclient, fhir-kit-client."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.binary import Binary
from fhirclient.models.bundle import Bundle
from fhirclient.models.documentreference import DocumentReference
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome

from tests.builders import record as r
from tests.builders.ledger import World
from tests.servers.foreign_fhir import installed_client, run_client
from tests.servers.record import record_server

pytestmark = pytest.mark.contract

INS = f"{r.INS_TEST_SYSTEM}|{r.INS_ONE}"
DATA = b"%PDF-1.7 pour tous"


@pytest.fixture
def base(tmp_path: Path) -> Iterator[str]:
    world = World(f"sqlite:///{tmp_path}/ledger.db")
    world.ledger.migrate()
    with record_server(world.ledger) as address:
        yield address
    world.ledger.close()


def test_fhirpy_submits_finds_and_fetches(base: str) -> None:
    feeder = SyncFHIRClient(base, authorization=f"Bearer {r.secret_of(r.FEEDER)}")
    sent = feeder.execute("", method="post", data=r.transaction(1, DATA))
    assert [entry["response"]["status"] for entry in sent["entry"]] == ["201 Created"] * 4
    feeder.execute("", method="post", data=r.transaction(2, b"2"))
    doctor = SyncFHIRClient(base, authorization=f"Bearer {r.secret_of(r.DOCTOR)}")
    search = doctor.resources("DocumentReference").search(**{"patient.identifier": INS}, status="current", _count=1)
    assert (search.count(), len(search.fetch_all())) == (2, 2)
    document = doctor.resources("DocumentReference").search(identifier=f"{r.URI}|{r.unique_of(1)}").first()
    assert document is not None
    binary = doctor.get(*document["content"][0]["attachment"]["url"].split("/"))
    assert base64.b64decode(binary["data"]) == DATA
    with pytest.raises(OperationOutcome) as error:
        doctor.resources("DocumentReference").search(colour="red").fetch()
    assert error.value.resource["issue"][0]["code"] == "not-supported"


def test_fhirclient_reads_what_it_finds_into_its_own_models(base: str) -> None:
    smart = FHIRClient(settings={"app_id": "essai", "api_base": base})
    server: Any = smart.server
    server.session.headers["Authorization"] = f"Bearer {r.secret_of(r.FEEDER)}"
    answer = Bundle(r.transaction(1, DATA)).create(server)
    assert answer is not None
    server.session.headers["Authorization"] = f"Bearer {r.secret_of(r.DOCTOR)}"
    (document,) = DocumentReference.where({"patient.identifier": INS, "status": "current"}).perform_resources_iter(server)
    assert document.masterIdentifier.value == r.unique_of(1)
    binary = Binary.read(document.content[0].attachment.url.rpartition("/")[2], server)
    assert base64.b64decode(binary.data) == DATA


def test_fhir_kit_client_submits_finds_pages_and_fetches(base: str, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    folder.mkdir()
    installed_client(folder)
    feeder = SyncFHIRClient(base, authorization=f"Bearer {r.secret_of(r.FEEDER)}")
    feeder.execute("", method="post", data=r.transaction(2, DATA))
    (folder / "bundle.json").write_text(json.dumps(r.transaction(1, DATA)), encoding="utf-8")
    told = run_client(folder, base, r.secret_of(r.FEEDER), "bundle.json", INS)
    assert told["sent"] == ["201 Created", "201 Created", "201 Created", "200 OK"]
    assert (told["total"], told["next"], told["refusal"], told["stated"]) == (2, 1, "400 not-supported", "4.0.1")
    assert base64.b64decode(told["data"]) == DATA
