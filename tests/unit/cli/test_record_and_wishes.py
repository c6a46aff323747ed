"""`tdu patient wish`, `tdu visibility`, `tdu record`: what they keep, what they refuse, and that they name nobody."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import assemble
from adapter.audit.trail import seal_audit
from adapter.cli.options import read_config
from adapter.model.identity import INS_TEST
from tests.builders.cda import PATIENT, build_ldl_ses
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.servers.fhir_fault_server import Answer, FaultServer
from tests.unit.cli.conftest import Terminal

SECRETS = (PATIENT.birth_name, PATIENT.ins, PATIENT.birth_date)
CONTENT = b"<ClinicalDocument/>"


@pytest.fixture
def letter(instance: Path, tmp_path: Path, tdu: Terminal) -> str:
    """A letter that the instance took and prepared; its control id."""
    file = tmp_path / "letter.hl7"
    file.write_bytes(build_mdm(build_ldl_ses(), control_id="MSG00017", recipients=(DOCTOR,)))
    assert tdu("submit", file).exit_code == 0
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
    finally:
        house.ledger.close()
    return "MSG00017"


def audited(instance: Path) -> list[tuple[str, str]]:
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        seal_audit(house.ledger)
        rows = house.ledger.read_audit(0, 1000, legal_entity=house.config.legal_entities[0].finess_ej)
        return [(row.entry.action, row.entry.actor) for row in rows]
    finally:
        house.ledger.close()


# ── wishes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reference", ["MSG00017", PATIENT.ins])
def test_a_wish_is_kept_and_audited_with_who_heard_it(
    instance: Path, letter: str, told: Callable[..., Any], reference: str
) -> None:
    kept = told("patient", "wish", reference, "--record", "refused", "--mail", "agreed", "--by", "Accueil")
    assert (kept["kept"], kept["by"]) == ({"record": "refused", "mail": "agreed"}, "Accueil")
    assert {("patient.wish-record", "Accueil"), ("patient.wish-mail", "Accueil")} <= set(audited(instance))
    assert not any(secret in json.dumps(kept) for secret in SECRETS)


def test_a_wish_of_nobody_known_is_refused(instance: Path, letter: str, tdu: Terminal) -> None:
    assert tdu("patient", "wish", "NOBODY", "--record", "refused").exit_code == 1


@pytest.mark.parametrize("words", [(), ("--record", "maybe"), ("--mail", "")])
def test_a_wish_that_says_nothing_is_wrong_usage(instance: Path, letter: str, tdu: Terminal, words: tuple[str, ...]) -> None:
    assert tdu("patient", "wish", letter, *words).exit_code == 2


# ── visibility ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_document_is_hidden_once_and_shown_again(instance: Path, letter: str, told: Callable[..., Any]) -> None:
    hidden = told("visibility", letter, "--hide", "patient", "--by", "dr-martin")
    assert (hidden["hidden_from"], bool(hidden["order"]), hidden["changed"]) == (["patient"], True, [])
    again = told("visibility", letter, "--hide", "patient")
    assert (again["hidden_from"], again["order"]) == (["patient"], "")
    shown = told("visibility", letter, "--show", "patient")
    assert (shown["hidden_from"], bool(shown["order"])) == ([], True)
    assert ("document.visibility", "dr-martin") in audited(instance)


def test_without_a_word_it_only_tells(instance: Path, letter: str, tdu: Terminal) -> None:
    told = tdu("visibility", letter)
    assert told.exit_code == 0
    assert "hidden from nobody (nothing to change)" in told.output
    assert not any(secret in told.output for secret in SECRETS)


@pytest.mark.parametrize("words", [("--hide", "neighbours"), ("--hide", "patient", "--show", "patient")])
def test_an_audience_that_does_not_exist_or_both_ways_is_wrong_usage(
    instance: Path, letter: str, tdu: Terminal, words: tuple[str, ...]
) -> None:
    assert tdu("visibility", letter, *words).exit_code == 2


def test_an_unknown_document_is_said(instance: Path, letter: str, tdu: Terminal) -> None:
    assert tdu("visibility", "NOTHING", "--hide", "patient").exit_code == 1


# ── the record, read ───────────────────────────────────────────────────────────────────────────────────────────────────


def reference(ins: str) -> dict[str, Any]:
    sha1 = base64.b64encode(hashlib.sha1(CONTENT, usedforsecurity=False).digest()).decode()
    attachment = {"contentType": "text/xml", "url": "Binary/9", "size": len(CONTENT), "hash": sha1}
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": f"urn:oid:{INS_TEST}", "value": ins}]}
    return {
        "resourceType": "DocumentReference",
        "id": "7",
        "status": "current",
        "date": "2026-11-20T10:30:00+01:00",
        "contained": [patient],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
        "content": [{"attachment": attachment}],
    }


@pytest.fixture
def record(instance: Path) -> Iterator[Callable[..., FaultServer]]:
    """Opens the shared record of the instance on a scripted server."""
    opened: list[FaultServer] = []

    def run(*script: Answer) -> FaultServer:
        server = FaultServer(*script)
        server.__enter__()
        opened.append(server)
        config = instance / "tdu.toml"
        text = config.read_text(encoding="utf-8").replace("http://127.0.0.1:8090/fhir", server.base_url)
        config.write_text(text + f'\n[channels.shared_record]\nbase_url = "{server.base_url}"\n', encoding="utf-8")
        return server

    yield run
    for server in opened:
        server.__exit__()


def found(ins: str) -> Answer:
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": reference(ins)}]}
    return Answer(200, json.dumps(bundle).encode())


def test_a_known_patients_documents_are_listed_without_naming_them(
    instance: Path, letter: str, told: Callable[..., Any], record: Callable[..., FaultServer]
) -> None:
    server = record(found(PATIENT.ins))
    (one,) = told("record", "find", "--ins", PATIENT.ins, "--by", "dr-martin")
    assert (one["reference"], one["status"], one["size"]) == ("DocumentReference/7", "current", len(CONTENT))
    assert not any(secret in json.dumps(one) for secret in SECRETS)
    assert f"patient.identifier=urn%3Aoid%3A{INS_TEST}%7C{PATIENT.ins}" in server.requests[0][1]
    assert ("record.search", "dr-martin") in audited(instance)


def test_a_patient_of_nobody_here_is_not_even_asked_about(
    instance: Path, letter: str, tdu: Terminal, record: Callable[..., FaultServer]
) -> None:
    server = record(found(PATIENT.ins))
    assert tdu("record", "find", "--ins", "183092B05001243").exit_code == 1
    assert tdu("record", "find", "--ins", "123").exit_code == 2
    assert tdu("record", "find").exit_code == 2
    assert tdu("record", "find", "--identifier", PATIENT.ins).exit_code == 2, "the audit would name it in clear"
    assert server.requests == []


def test_a_document_is_fetched_checked_written_and_audited(
    instance: Path, letter: str, told: Callable[..., Any], record: Callable[..., FaultServer], tmp_path: Path
) -> None:
    record(Answer(200, json.dumps(reference(PATIENT.ins)).encode()), Answer(200, CONTENT))
    out = tmp_path / "lettre.xml"
    fetched = told("record", "fetch", "DocumentReference/7", "--out", out, "--by", "dr-martin")
    assert (fetched["checked"], out.read_bytes()) == (["size", "sha1"], CONTENT)
    assert ("record.read", "dr-martin") in audited(instance)


def test_a_document_of_another_patient_or_not_as_announced_is_not_written(
    instance: Path, letter: str, tdu: Terminal, record: Callable[..., FaultServer], tmp_path: Path
) -> None:
    out = tmp_path / "lettre.xml"
    record(
        Answer(200, json.dumps(reference("183092B05001243")).encode()),
        Answer(200, json.dumps(reference(PATIENT.ins)).encode()),
        Answer(200, CONTENT + b"!"),
    )
    assert tdu("record", "fetch", "DocumentReference/7", "--out", out, "--by", "curious").exit_code == 1
    assert ("record.read-refused", "curious") in audited(instance)
    assert tdu("record", "fetch", "DocumentReference/7", "--out", out).exit_code == 1
    assert not out.exists()


def test_without_a_record_the_configuration_is_wrong(instance: Path, letter: str, tdu: Terminal) -> None:
    assert tdu("record", "find", "--identifier", "urn:oid:1.2.3").exit_code == 2
