"""A record read: found by patient and by identifier, fetched with size and hash checked, by a reader that believes nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from adapter.channels.fhir_wire import SharedRecordSettings
from adapter.channels.record_reader import RecordReader
from adapter.errors import InputError, UnavailableError
from adapter.model.identity import INS_TEST
from tests.builders.directory import qualified_patient
from tests.contract.test_record_changes import FORMS, Site, change, document, site
from tests.servers.fhir_fault_server import Answer, CutInAnswer, Drip, FaultServer, Stall, Step

__all__ = ["site"]
pytestmark = [pytest.mark.contract, pytest.mark.timeout(900)]

CONTENT = b"<ClinicalDocument/>"
SHA1 = hashlib.sha1(CONTENT, usedforsecurity=False)


def announced(**attachment: Any) -> dict[str, Any]:
    """A DocumentReference as a record may give it."""
    told = {
        "contentType": "text/xml",
        "url": "Binary/9",
        "size": len(CONTENT),
        "hash": base64.b64encode(SHA1.digest()).decode(),
        **attachment,
    }
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": f"urn:oid:{INS_TEST}", "value": "1"}]}
    return {
        "resourceType": "DocumentReference",
        "id": "7",
        "status": "current",
        "contained": [patient],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
        "content": [{"attachment": {key: value for key, value in told.items() if value is not None}}],
    }


def fetched(*answers: Step, **attachment: Any) -> bytes:
    with FaultServer(Answer(200, json.dumps(announced(**attachment)).encode()), *answers) as server:
        reader = RecordReader(SharedRecordSettings(server.base_url, send_timeout_seconds=0.6, connect_timeout_seconds=0.4))
        return reader.fetch(reader.read("DocumentReference/7")).content


def binary(content: bytes) -> bytes:
    return json.dumps({"resourceType": "Binary", "contentType": "text/xml", "data": base64.b64encode(content).decode()}).encode()


# ── two true servers ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_patients_documents_are_found_current_ones_first_asked(site: Site) -> None:
    old, new = "1.2.250.1.999.94.7.881", "1.2.250.1.999.94.7.882"
    for number, unique_id in ((81, old), (82, new)):
        site.channel().send(document(number, unique_id, FORMS[:1]))
    site.channel().send(change(83, old, "transaction"))
    ins = qualified_patient().ins
    assert ins is not None
    system = f"urn:oid:{ins.oid}"
    current = {one.master_identifier for one in site.reader().find_by_patient(system, ins.value)}
    every = {one.master_identifier: one.status for one in site.reader().find_by_patient(system, ins.value, also_superseded=True)}
    assert f"urn:oid:{new}" in current
    assert f"urn:oid:{old}" not in current
    assert every[f"urn:oid:{old}"] == "superseded"


def test_each_form_is_fetched_whole(site: Site) -> None:
    unique_id = "1.2.250.1.999.94.7.891"
    site.channel().send(document(91, unique_id))
    for name, form in zip((0, 2, 3), FORMS, strict=True):
        from adapter.packaging.mhd_values import all_identifiers

        (found,) = site.reader().find_by_identifier(all_identifiers(unique_id)[name])
        again = site.reader().read(found.reference)
        assert again == found
        got = site.reader().fetch(found)
        assert (got.content, got.checked) == (form.content, ("size", "sha1"))
        assert found.ins == {str(getattr(qualified_patient().ins, "value", ""))}


def test_what_is_not_there_is_said(site: Site) -> None:
    assert site.reader().find_by_identifier("urn:oid:1.2.3.4.5") == []
    with pytest.raises(InputError, match=r"record\.unknown"):
        site.reader().read("DocumentReference/0d6cbb7e-6a1a-5d1a-8a3e-999999999999")


# ── servers that differ, and servers that lie ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "attachment"),
    [
        (Answer(200, CONTENT, {"Content-Type": "text/xml"}), {}),
        (Answer(200, binary(CONTENT)), {}),
        (Answer(200, CONTENT), {"hash": SHA1.hexdigest()}),
        (Answer(200, CONTENT), {"hash": base64.b64encode(SHA1.hexdigest().encode()).decode()}),
        (Answer(200, CONTENT), {"hash": None, "size": None}),
        (Answer(200, CONTENT), {"url": "urn:uuid:0d6cbb7e-6a1a-5d1a-8a3e-000000000009"}),
    ],
)
def test_a_document_is_read_however_the_record_gives_it(answer: Answer, attachment: dict[str, Any]) -> None:
    assert fetched(answer, **attachment) == CONTENT


@pytest.mark.parametrize(
    ("answer", "attachment", "code"),
    [
        (Answer(200, CONTENT + b" "), {}, "record.wrong-size"),
        (Answer(200, CONTENT.replace(b"C", b"K")), {}, "record.wrong-hash"),
        (Answer(200, b'{"resourceType":"Binary","data":"%%%"}'), {}, "record.broken-binary"),
        (Answer(403), {}, "record.refused"),
        (Answer(404), {}, "record.unknown"),
        (Answer(302, headers={"Location": "http://127.0.0.1:9/"}), {}, "record.refused"),
        (Answer(200, CONTENT), {"url": None}, "record.no-content"),
        (Answer(200, CONTENT), {"url": "https://elsewhere.example/Binary/9"}, "record.other-host"),
    ],
)
def test_what_is_not_as_announced_is_refused(answer: Answer, attachment: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError) as raised:
        fetched(answer, **attachment)
    assert raised.value.code == code


@pytest.mark.parametrize("answer", [Answer(503), Answer(429), Stall(), CutInAnswer(), Drip(0.02)])
def test_a_record_that_does_not_answer_is_asked_later(answer: Step) -> None:
    with pytest.raises(UnavailableError):
        fetched(answer)


def test_pages_are_followed_on_the_records_own_host_only() -> None:
    def page(link: str) -> bytes:
        links = [{"relation": "next", "url": link}] if link else []
        entries = [{"resource": announced()}]
        return json.dumps({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries}).encode()

    with FaultServer(Answer(200, page("?page=2")), Answer(200, page(""))) as server:
        found = RecordReader(SharedRecordSettings(server.base_url)).find_by_patient(f"urn:oid:{INS_TEST}", "1")
        assert len(found) == 2
    with (
        FaultServer(Answer(200, page("http://127.0.0.1:9/fhir?page=2"))) as server,
        pytest.raises(InputError, match="other-host"),
    ):
        RecordReader(SharedRecordSettings(server.base_url)).find_by_patient(f"urn:oid:{INS_TEST}", "1")


def test_a_record_that_turns_its_pages_for_ever_is_left() -> None:
    body = json.dumps({"resourceType": "Bundle", "type": "searchset", "link": [{"relation": "next", "url": "?p"}]}).encode()
    with FaultServer(Answer(200, body)) as server, pytest.raises(UnavailableError, match="too many pages"):
        RecordReader(SharedRecordSettings(server.base_url)).find_by_identifier("urn:oid:1.2.3")


def test_another_patients_document_is_left_out_of_the_answer() -> None:
    body = json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": announced()}]}).encode()
    with FaultServer(Answer(200, body)) as server:
        assert RecordReader(SharedRecordSettings(server.base_url)).find_by_patient(f"urn:oid:{INS_TEST}", "2") == []


def nameless(subject: dict[str, Any]) -> dict[str, Any]:
    """A DocumentReference that names its patient by reference only."""
    return {key: value for key, value in announced().items() if key != "contained"} | {"subject": subject}


@pytest.mark.parametrize(("ins", "count"), [("1", 2), ("2", 0)])
def test_a_document_that_does_not_say_whose_it_is_is_somebodys_only_once_its_subject_was_read(ins: str, count: int) -> None:
    """A server that does not know `patient.identifier` answers with everybody's documents."""
    entries = [{"resource": nameless({"reference": "Patient/9"})}] * 2
    searchset = json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries}).encode()
    patient = {"resourceType": "Patient", "id": "9", "identifier": [{"system": f"urn:oid:{INS_TEST}", "value": ins}]}
    with FaultServer(Answer(200, searchset), Answer(200, json.dumps(patient).encode())) as server:
        found = RecordReader(SharedRecordSettings(server.base_url)).find_by_patient(f"urn:oid:{INS_TEST}", "1")
        assert [one.ins for one in found] == [frozenset({"1"})] * count
        assert len(server.requests) == 2, "a subject is read once"


@pytest.mark.parametrize("subject", [{}, {"reference": "https://elsewhere.example/Patient/9"}, {"display": "X"}])
def test_a_document_whose_patient_cannot_be_known_is_nobodys(subject: dict[str, Any]) -> None:
    searchset = json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": nameless(subject)}]}).encode()
    with FaultServer(Answer(200, searchset)) as server:
        assert RecordReader(SharedRecordSettings(server.base_url)).find_by_patient(f"urn:oid:{INS_TEST}", "1") == []


@pytest.mark.parametrize(
    "reference", ["", "Patient/1", "DocumentReference/", "DocumentReference/1?x=2", "DocumentReference/../Patient"]
)
def test_only_a_document_is_read(reference: str) -> None:
    with FaultServer(Answer(200)) as server:
        with pytest.raises(InputError, match=r"record\.reference"):
            RecordReader(SharedRecordSettings(server.base_url)).read(reference)
        assert server.requests == []


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"content": 3},
        {"content": [3]},
        {"content": [{"attachment": []}]},
        {"securityLabel": "x", "relatesTo": [3], "contained": {}},
    ],
)
def test_a_document_reference_of_any_shape_breaks_nothing(resource: dict[str, Any]) -> None:
    body = json.dumps({"resourceType": "DocumentReference", "id": "7", **resource}).encode()
    with FaultServer(Answer(200, body)) as server:
        assert RecordReader(SharedRecordSettings(server.base_url)).read("DocumentReference/7").url == ""
