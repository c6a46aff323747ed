"""The record channel against a scripted bad server, our demonstration record, and a third party's FHIR server."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from adapter.channels.shared_record import SharedRecordChannel, SharedRecordSettings
from adapter.demo.record_partner import RecordPartner
from adapter.model.delivery import Delivery, DeliveryState, OutcomeKind, SendOutcome
from adapter.model.plan import ChannelName
from adapter.packaging.mhd import build_iti65
from adapter.packaging.parcel import FaxContent, Parcel, RecordContent, SenderProfile
from tests.builders.directory import APHP_EJ, letter_header, submission
from tests.loudly import skip_loudly
from tests.servers.fhir_fault_server import (
    Answer,
    CutAfterReading,
    CutBeforeReading,
    CutInAnswer,
    Drip,
    FaultServer,
    Stall,
    Step,
    Success,
)
from tests.servers.sekmet import UnavailableError, sekmet_server

# The first run installs a third party's server.
pytestmark = [pytest.mark.contract, pytest.mark.timeout(900)]

SECRET_NAME = "EXEMPLE"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SENDER = SenderProfile(APHP_EJ, "AP-HP", APHP_EJ, "t@aphp.formation.mssante.fr", "AP-HP", "1.2.250.1.999.1", "TDU-0.1")


def parcel(unique_id: str = "1.2.250.1.999.94.7.501", address: str = "terr-esante", delivery: str = "1") -> Parcel:
    number = f"0d6cbb7e-6a1a-5d1a-8a3e-00000000000{delivery}"
    record, claimed = ChannelName.SHARED_RECORD, DeliveryState.CLAIMED
    made = Delivery(number, "s", APHP_EJ, unique_id, 1, "new", "record:terr-esante", record, 1, claimed, number)
    sent = submission(header=letter_header(unique_id=unique_id))
    content = build_iti65(made, sent, {"entry": []}, b"<ClinicalDocument/>", "text/xml", SENDER, NOW)
    return Parcel(number, number, address, False, content)


def channel(base_url: str, **changes: Any) -> SharedRecordChannel:
    settings = {"connect_timeout_seconds": 2.0, "send_timeout_seconds": 0.6, **changes}
    return SharedRecordChannel(SharedRecordSettings(base_url, **settings), clock=lambda: NOW)


def sent_to(*script: Step) -> SendOutcome:
    with FaultServer(*script) as server:
        return channel(server.base_url).send(parcel())


def outcome(code: str) -> bytes:
    issue = {"severity": "error", "code": code, "diagnostics": f"patient {SECRET_NAME} CAMILLE"}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_success_proves_that_the_record_integrated_the_document() -> None:
    got = sent_to(Success())
    assert (got.kind, got.proves) == (OutcomeKind.ACCEPTED, DeliveryState.INTEGRATED)
    assert got.partner_reference.startswith("DocumentReference/1")


@pytest.mark.parametrize(
    ("status", "kind", "cause"),
    [
        (400, OutcomeKind.REFUSED, "content-refused"),
        (401, OutcomeKind.DEFERRED, "auth-refused"),
        (403, OutcomeKind.DEFERRED, "auth-refused"),
        (404, OutcomeKind.REFUSED, "content-refused"),
        (405, OutcomeKind.REFUSED, "content-refused"),
        (409, OutcomeKind.REFUSED, "conflict"),
        (412, OutcomeKind.REFUSED, "conflict"),
        (413, OutcomeKind.REFUSED, "too-large"),
        (422, OutcomeKind.REFUSED, "content-refused"),
        (429, OutcomeKind.DEFERRED, "partner-busy"),
        (500, OutcomeKind.DEFERRED, "partner-error"),
        (502, OutcomeKind.DEFERRED, "partner-error"),
        (503, OutcomeKind.DEFERRED, "partner-busy"),
        (504, OutcomeKind.UNCLEAR, "no-answer"),
    ],
)
def test_each_status_has_its_outcome_and_cause(status: int, kind: OutcomeKind, cause: str) -> None:
    got = sent_to(Answer(status, outcome("processing")))
    assert (got.kind, got.cause) == (kind, cause)
    assert got.detail == f"HTTP {status} processing"


def test_what_the_record_says_about_a_patient_is_never_kept() -> None:
    assert SECRET_NAME not in repr(sent_to(Answer(422, outcome("business-rule"))))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("", None),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2020 12:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_the_partners_wish_to_wait_is_heard(header: str, seconds: float | None) -> None:
    for status in (429, 503):
        assert sent_to(Answer(status, headers={"Retry-After": header})).retry_after_seconds == seconds


@pytest.mark.parametrize("status", ["422 Unprocessable", "412 Precondition Failed", "404 Not Found"])
def test_a_record_that_kept_a_part_is_a_persons_question(status: str) -> None:
    got = sent_to(Success(entry_status=status))
    assert (got.kind, got.cause) == (OutcomeKind.REFUSED, "record-partial")
    assert got.detail.endswith("3 of 4 entries kept")


def test_a_part_that_the_record_could_not_take_now_goes_again_whole() -> None:
    got = sent_to(Success(entry_status="503 Service Unavailable"))
    assert (got.kind, got.cause) == (OutcomeKind.DEFERRED, "partner-busy")


def test_an_entry_that_succeeds_and_tells_an_error_is_not_believed() -> None:
    assert sent_to(Success(tells="error")).kind is OutcomeKind.UNCLEAR
    assert sent_to(Success(tells="warning")).kind is OutcomeKind.ACCEPTED


def test_an_answer_in_another_order_is_a_success_that_says_so() -> None:
    got = sent_to(Success(reordered=True))
    assert (got.kind, got.detail) == (OutcomeKind.ACCEPTED, "entries out of order")
    assert got.partner_reference.startswith("DocumentReference/")


def test_an_answer_about_other_things_is_unclear() -> None:
    entries = [{"response": {"status": "201", "location": f"Observation/{n}/_history/1"}} for n in range(4)]
    body = json.dumps({"resourceType": "Bundle", "type": "transaction-response", "entry": entries}).encode()
    assert sent_to(Answer(200, body)).kind is OutcomeKind.UNCLEAR


def test_an_error_told_under_a_success_is_unclear() -> None:
    assert sent_to(Answer(200, outcome("exception"))).kind is OutcomeKind.UNCLEAR


@pytest.mark.parametrize("code", ["conflict", "lock-error", "transient"])
def test_two_writers_that_meet_try_again(code: str) -> None:
    got = sent_to(Answer(409, outcome(code)))
    assert (got.kind, got.cause) == (OutcomeKind.DEFERRED, "record-contention")


@pytest.mark.parametrize("status", [400, 404, 405, 422])
def test_a_page_of_whoever_stands_between_is_not_the_records_no(status: int) -> None:
    page = Answer(status, b"<!doctype html><title>Gateway</title>", {"Content-Type": "text/html"})
    assert (sent_to(page).kind, sent_to(page).cause) == (OutcomeKind.DEFERRED, "partner-error")


@pytest.mark.parametrize(
    ("code", "cause"),
    [("DMPClosed", "record-closed"), ("XDSUnknownPatientId", "record-none"), ("record.feeding-opposed", "record-opposed")],
)
def test_what_the_record_says_of_the_patients_account_is_heard(code: str, cause: str) -> None:
    details = {"coding": [{"system": "urn:oid:1.2.250.1.213.1.1.4", "code": code}], "text": SECRET_NAME}
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden", "details": details}]}
    got = sent_to(Answer(403, json.dumps(said).encode()))
    assert (got.kind, got.cause) == (OutcomeKind.REFUSED, cause)
    assert SECRET_NAME not in repr(got)


def test_a_replacement_of_what_the_record_never_had_goes_in_as_new_and_says_so() -> None:
    issue = {"severity": "error", "code": "not-found", "details": {"coding": [{"code": "record.replaced-unknown"}]}}
    said = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()
    sent = parcel()
    assert isinstance(sent.content, RecordContent)
    bundle = json.loads(sent.content.transaction)
    relations = [{"code": "replaces", "target": {"display": "v1"}}, {"code": "transforms", "target": {"display": "the CDA"}}]
    document = next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "DocumentReference")
    document["relatesTo"] = relations
    replacing = replace(sent, content=replace(sent.content, transaction=json.dumps(bundle).encode()))
    with FaultServer(Answer(422, said), Success()) as server:
        got = channel(server.base_url).send(replacing)
        posted = [json.loads(body) for _, _, _, body in server.requests]
    assert (got.kind, got.proves) == (OutcomeKind.ACCEPTED, DeliveryState.INTEGRATED)
    assert "never had" in got.detail
    told = [[one["resource"].get("relatesTo") for one in body["entry"]] for body in posted]
    assert relations in told[0] and [relations[1]] in told[1]
    with FaultServer(Answer(422, said)) as server:
        refused = channel(server.base_url).send(replacing)
    assert (refused.kind, refused.cause) == (OutcomeKind.REFUSED, "record-original-absent")


def test_a_success_that_does_not_speak_of_every_entry_is_unclear() -> None:
    assert sent_to(Success(missing=1)).kind is OutcomeKind.UNCLEAR
    assert sent_to(Answer(200, b"<html>proxy</html>")).kind is OutcomeKind.UNCLEAR
    assert sent_to(Answer(204)).kind is OutcomeKind.UNCLEAR


def test_a_redirection_is_never_followed_with_a_patients_document() -> None:
    for status in (301, 302, 303, 307, 308):
        with FaultServer(Success()) as elsewhere, FaultServer(Answer(status, headers={"Location": elsewhere.base_url})) as server:
            got = channel(server.base_url, token="secret").send(parcel())
            assert got.kind is not OutcomeKind.ACCEPTED
            assert elsewhere.requests == []


# ── silences ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [Stall(), CutAfterReading(), CutBeforeReading(), CutInAnswer(), Drip(0.02)])
def test_silence_after_the_request_left_is_unclear(step: Step) -> None:
    got = sent_to(step) if not isinstance(step, Drip) else _dripped()
    assert (got.kind, got.cause) == (OutcomeKind.UNCLEAR, "no-answer")


def _dripped() -> SendOutcome:
    """Each byte comes within the read time-out: only the whole patience ends it."""
    with FaultServer(Drip(0.02)) as server:
        return channel(server.base_url, connect_timeout_seconds=0.3, send_timeout_seconds=0.3).send(parcel())


def test_a_closed_port_is_known_not_to_have_the_document() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    got = channel(f"http://127.0.0.1:{port}/fhir").send(parcel())
    assert (got.kind, got.cause) == (OutcomeKind.DEFERRED, "connect-failed")


def test_an_unknown_host_is_known_not_to_have_the_document() -> None:
    got = channel("http://no-such-host.invalid/fhir").send(parcel())
    assert (got.kind, got.cause) == (OutcomeKind.DEFERRED, "connect-failed")


def test_a_certificate_that_nobody_we_trust_signed_stops_before_the_document() -> None:
    import ssl
    import threading

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    received: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as tls:
                received.append(tls.recv(100))
        except OSError:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        got = channel(f"https://127.0.0.1:{listener.getsockname()[1]}/fhir").send(parcel())
        thread.join(5)
    assert (got.kind, got.cause) == (OutcomeKind.DEFERRED, "tls-failed")
    assert received == []


# ── what is sent ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_stored_bytes_travel_unchanged_with_the_token_of_the_day(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with FaultServer(Success()) as server:
        record = channel(server.base_url, token_file=token)
        for value in ("first", "second"):
            token.write_text(f"{value}\n")
            record.send(parcel())
        assert [r[2]["Authorization"] for r in server.requests] == ["Bearer first", "Bearer second"]
        content = parcel().content
        assert isinstance(content, RecordContent)
        assert server.requests[0][3] == content.transaction


def test_a_missing_token_file_sends_nothing(tmp_path: Path) -> None:
    with FaultServer(Success()) as server:
        got = channel(server.base_url, token_file=tmp_path / "absent").send(parcel())
        assert (got.kind, got.cause, server.requests) == (OutcomeKind.DEFERRED, "auth-refused", [])


def test_a_sandbox_address_wins_and_does_not_get_the_records_token() -> None:
    with FaultServer(Success()) as real, FaultServer(Success()) as sandbox:
        channel(real.base_url, token="secret").send(parcel(address=sandbox.base_url))
        assert real.requests == []
        assert "Authorization" not in sandbox.requests[0][2]


def test_another_kind_of_parcel_or_a_transaction_too_large_is_not_sent() -> None:
    fax = Parcel("d", "r", "+33199001234", False, FaxContent(b"II*\0", 1))
    with FaultServer(Success()) as server:
        assert channel(server.base_url).send(fax).cause == "rendition-impossible"
        assert channel(server.base_url, max_transaction_bytes=100).send(parcel()).cause == "too-large"
        assert server.requests == []


# ── after an unclear send ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_that_ignores_the_search_is_not_taken_at_its_word() -> None:
    other = {"resourceType": "DocumentReference", "id": "x", "masterIdentifier": {"value": "urn:oid:1.2.3"}}
    found = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": other}]}
    with FaultServer(Answer(200, json.dumps(found).encode())) as server:
        assert channel(server.base_url).find(parcel()) is None


@pytest.mark.parametrize("step", [Answer(503), Answer(500), Answer(401), Stall(), CutAfterReading(), Answer(200, b"{}")])
def test_a_search_that_fails_neither_proves_nor_disproves(step: Step) -> None:
    with FaultServer(step) as server:
        got = channel(server.base_url).find(parcel())
        assert got is not None
        assert got.kind is OutcomeKind.DEFERRED


@pytest.mark.parametrize(("step", "word"), [(Answer(500), "500"), (Answer(200, b"{}"), "not a FHIR"), (Stall(), "not answer")])
def test_check_says_what_is_wrong(step: Step, word: str) -> None:
    with FaultServer(step) as server:
        assert word in channel(server.base_url).check()


# ── one suite on our record and on a third party's ─────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=["ours", "sekmet"])
def record(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("record")
    if request.param == "ours":
        with RecordPartner(folder) as partner:
            yield partner.base_url
        return
    try:
        with sekmet_server(folder) as base_url:
            yield base_url
    except UnavailableError as error:
        skip_loudly(str(error))


def held(base_url: str, kind: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{base_url}/{kind}", headers={"Accept": "application/fhir+json"}, timeout=10).json()
    return [entry["resource"] for entry in answer.get("entry", ())]


def test_the_same_transaction_twice_doubles_nothing(record: str) -> None:
    ours = channel(record, send_timeout_seconds=20.0)
    assert ours.check() == ""
    before = {kind: len(held(record, kind)) for kind in ("DocumentReference", "List", "Binary")}
    sent = parcel("1.2.250.1.999.94.7.601", delivery="2")
    first, second = ours.send(sent), ours.send(sent)
    assert (first.kind, second.kind) == (OutcomeKind.ACCEPTED, OutcomeKind.ACCEPTED), first.detail
    assert first.partner_reference.split("/")[1] == second.partner_reference.split("/")[1]
    after = {kind: len(held(record, kind)) for kind in before}
    assert after == {kind: count + 1 for kind, count in before.items()}
    assert len(held(record, "Patient")) == 1


def test_the_same_document_by_another_delivery_is_one_document(record: str) -> None:
    ours = channel(record, send_timeout_seconds=20.0)
    before = len(held(record, "DocumentReference"))
    for delivery in ("3", "4"):
        assert ours.send(parcel("1.2.250.1.999.94.7.602", delivery=delivery)).kind is OutcomeKind.ACCEPTED
    assert len(held(record, "DocumentReference")) == before + 1


def test_an_unclear_send_is_found_when_it_arrived_and_not_before(record: str) -> None:
    ours = channel(record, send_timeout_seconds=20.0)
    sent = parcel("1.2.250.1.999.94.7^CR-17", delivery="5")
    assert ours.find(sent) is None
    assert ours.send(sent).kind is OutcomeKind.ACCEPTED
    found = ours.find(sent)
    assert found is not None
    assert (found.kind, found.proves) == (OutcomeKind.ACCEPTED, DeliveryState.INTEGRATED)


def test_the_bytes_deposited_are_those_of_the_source(record: str) -> None:
    ours = channel(record, send_timeout_seconds=20.0)
    assert ours.send(parcel("1.2.250.1.999.94.7.603", delivery="6")).kind is OutcomeKind.ACCEPTED
    deposited = [base64.b64decode(binary["data"]) for binary in held(record, "Binary")]
    assert b"<ClinicalDocument/>" in deposited


def test_a_broken_transaction_is_refused_and_leaves_nothing(record: str) -> None:
    ours = channel(record, send_timeout_seconds=20.0)
    count = len(held(record, "DocumentReference"))
    transaction = b'{"resourceType":"Bundle","type":"transaction","entry":[{}]}'
    broken = Parcel("d", "r", "terr-esante", False, RecordContent(transaction, "x"))
    assert ours.send(broken).kind is OutcomeKind.REFUSED
    assert len(held(record, "DocumentReference")) == count
