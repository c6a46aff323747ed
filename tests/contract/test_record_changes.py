"""What a record is asked to change: cancelled, hidden, shown again, on a scripted bad server and on a third party's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from adapter.channels.record_changes import IS_ARCHIVED
from adapter.channels.record_reader import RecordReader
from adapter.channels.shared_record import SharedRecordChannel, SharedRecordSettings
from adapter.model.delivery import Delivery, DeliveryState, OutcomeKind, SendOutcome
from adapter.model.plan import ChannelName
from adapter.model.submission import Intent, Submission, Visibility
from adapter.packaging.mhd import Rendition, build_iti65
from adapter.packaging.mhd_change import BY_PATCH, BY_TRANSACTION, build_change
from adapter.packaging.mhd_values import ANY_FORMAT, all_identifiers, master_identifier, rendition_identifier
from adapter.packaging.parcel import Parcel, RecordChange, SenderProfile
from tests.builders.directory import APHP_EJ, letter_header, submission
from tests.builders.ledger import World
from tests.builders.record import FEEDER, secret_of
from tests.loudly import skip_loudly
from tests.servers.fhir_fault_server import Answer, CutAfterReading, CuttingProxy, FaultServer, Stall, Step
from tests.servers.record import record_server
from tests.servers.sekmet import UnavailableError, sekmet_server

pytestmark = [pytest.mark.contract, pytest.mark.timeout(900)]

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SENDER = SenderProfile(APHP_EJ, "AP-HP", APHP_EJ, "t@aphp.formation.mssante.fr", "AP-HP", "1.2.250.1.999.1", "TDU-0.1")
FORMS = (
    Rendition("cda", b"<ClinicalDocument/>", "text/xml", ANY_FORMAT),
    Rendition("fhir", b'{"resourceType":"Bundle"}', "application/fhir+json", ANY_FORMAT),
    Rendition("pdf", b"%PDF-1.7 essai", "application/pdf", ANY_FORMAT),
)


def delivery(number: int, unique_id: str, intent: Intent) -> Delivery:
    made = f"1d6cbb7e-6a1a-5d1a-8a3e-{number:012d}"
    record, claimed = ChannelName.SHARED_RECORD, DeliveryState.CLAIMED
    return Delivery(made, "s", APHP_EJ, unique_id, 1, intent.value, "record:terr-esante", record, 1, claimed, made)


def about(unique_id: str, intent: Intent, visibility: Visibility | None = None, **header: Any) -> Submission:
    return submission(header=letter_header(unique_id=unique_id, **header), intent=intent, visibility=visibility or Visibility())


def document(number: int, unique_id: str, forms: tuple[Rendition, ...] = FORMS, **header: Any) -> Parcel:
    intent = Intent.REPLACE if header.get("replaces") else Intent.NEW
    made = delivery(number, unique_id, intent)
    sent = about(unique_id, intent, **header)
    content = build_iti65(made, sent, {"entry": []}, b"<ClinicalDocument/>", "text/xml", SENDER, NOW, forms)
    return Parcel(made.id, made.id, "terr-esante", False, content)


def change(number: int, unique_id: str, way: str, visibility: Visibility | None = None) -> Parcel:
    """A cancellation; with a visibility, a change of who may see it."""
    intent = Intent.CANCEL if visibility is None else Intent.METADATA
    made = delivery(number, unique_id, intent)
    content = build_change(made, about(unique_id, intent, visibility), way, SENDER, NOW)
    return Parcel(made.id, made.id, "terr-esante", False, content)


def channel(base_url: str, seconds: float = 20.0) -> SharedRecordChannel:
    return SharedRecordChannel(SharedRecordSettings(base_url, send_timeout_seconds=seconds), clock=lambda: NOW)


def labels(resource: dict[str, Any]) -> list[str]:
    return [concept["coding"][0]["code"] for concept in resource["securityLabel"]]


def searchset(*resources: dict[str, Any]) -> bytes:
    entries = [{"resource": one} for one in resources]
    return json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries}).encode()


def reference(unique_id: str, number: int = 7, **more: Any) -> dict[str, Any]:
    master = {"system": "urn:ietf:rfc:3986", "value": master_identifier(unique_id)}
    return {"resourceType": "DocumentReference", "id": str(number), "masterIdentifier": master, "status": "current", **more}


UID = "1.2.250.1.999.94.7.801"
HIDDEN = Visibility(hidden_from_patient=True)


def said(*script: Step, sent: Parcel | None = None) -> tuple[SendOutcome, FaultServer]:
    with FaultServer(*script) as server:
        return channel(server.base_url, 0.6).send(sent or change(1, UID, BY_PATCH, HIDDEN)), server


# ── on the wire ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_masking_is_one_conditional_patch_by_the_documents_own_identifier() -> None:
    got, server = said(Answer(200, searchset(reference(UID))), Answer(200, b"{}"))
    assert (got.kind, got.proves) == (OutcomeKind.ACCEPTED, DeliveryState.INTEGRATED)
    method, path, headers, body = server.requests[1]
    assert (method, headers["Content-Type"]) == ("PATCH", "application/json-patch+json")
    assert path.endswith("DocumentReference?identifier=urn%3Aietf%3Arfc%3A3986%7Curn%3Aoid%3A1.2.250.1.999.94.7.801")
    (operation,) = json.loads(body)
    assert (operation["op"], operation["path"]) == ("add", "/securityLabel")
    assert [one["coding"][0]["code"] for one in operation["value"]] == ["N", "INVISIBLE_PATIENT"]


def test_a_cancellation_by_patch_supersedes_and_archives_and_keeps_other_extensions() -> None:
    other = {"url": "https://example.org/theirs", "valueBoolean": True}
    _, server = said(Answer(200, searchset(reference(UID, extension=[other]))), Answer(200), sent=change(1, UID, BY_PATCH))
    operations = {one["path"]: one["value"] for one in json.loads(server.requests[1][3])}
    assert operations["/status"] == "superseded"
    assert operations["/extension"] == [other, {"url": IS_ARCHIVED, "valueBoolean": True}]


def test_what_is_so_already_is_not_written_again() -> None:
    archived = [{"url": IS_ARCHIVED, "valueBoolean": True}]
    got, server = said(
        Answer(200, searchset(reference(UID, status="superseded", extension=archived))), sent=change(1, UID, BY_PATCH)
    )
    assert (got.kind, got.detail) == (OutcomeKind.ACCEPTED, "already so")
    assert [one[0] for one in server.requests] == ["GET"]


def test_labels_in_another_order_with_displays_are_the_same_labels() -> None:
    sent = change(1, UID, BY_PATCH, HIDDEN)
    assert isinstance(sent.content, RecordChange)
    told = list(reversed(json.loads(sent.content.labels)["securityLabel"]))
    told[0]["coding"][0]["display"] = "autre libellé"
    got, server = said(Answer(200, searchset(reference(UID, securityLabel=told))), sent=sent)
    assert got.detail == "already so"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("script", "kind", "cause"),
    [
        ((Answer(200, searchset()),), OutcomeKind.REFUSED, "record-document-absent"),
        ((Answer(200, searchset(reference(UID), reference(UID, 8))),), OutcomeKind.REFUSED, "conflict"),
        ((Answer(200, searchset(reference(UID))), Answer(404)), OutcomeKind.REFUSED, "record-document-absent"),
        ((Answer(200, searchset(reference(UID))), Answer(405)), OutcomeKind.REFUSED, "record-change"),
        ((Answer(200, searchset(reference(UID))), Answer(415)), OutcomeKind.REFUSED, "record-change"),
        ((Answer(200, searchset(reference(UID))), Answer(412)), OutcomeKind.REFUSED, "conflict"),
        ((Answer(200, searchset(reference(UID))), Answer(422)), OutcomeKind.REFUSED, "content-refused"),
        (
            (Answer(200, searchset(reference(UID))), Answer(429, headers={"Retry-After": "9"})),
            OutcomeKind.DEFERRED,
            "partner-busy",
        ),
        ((Answer(200, searchset(reference(UID))), CutAfterReading()), OutcomeKind.UNCLEAR, "no-answer"),
        ((Answer(200, searchset(reference(UID))), Stall()), OutcomeKind.UNCLEAR, "no-answer"),
        ((Answer(503),), OutcomeKind.DEFERRED, "partner-busy"),
        ((Stall(),), OutcomeKind.DEFERRED, "connect-timeout"),
        ((Answer(200, b"<html>"),), OutcomeKind.DEFERRED, "partner-error"),
    ],
)
def test_each_answer_to_a_change_has_its_outcome(script: tuple[Step, ...], kind: OutcomeKind, cause: str) -> None:
    got, _ = said(*script)
    assert (got.kind, got.cause) == (kind, cause)


def test_each_form_of_the_document_is_changed() -> None:
    pdf = reference(UID, 9)
    pdf["masterIdentifier"] = {"system": "urn:ietf:rfc:3986", "value": rendition_identifier(UID, "pdf")}
    got, server = said(Answer(200, searchset(reference(UID), pdf)), Answer(200))
    assert got.kind is OutcomeKind.ACCEPTED
    assert [one[0] for one in server.requests] == ["GET", "PATCH", "PATCH"]


def test_a_change_sent_again_after_an_unclear_answer_reads_before_it_writes() -> None:
    assert channel("http://127.0.0.1:9/fhir").find(change(1, UID, BY_PATCH)) is None


# ── two true servers ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Site:
    """A true record, the token that opens it, and how it takes a masking: sekmet has no conditional PATCH, MHD no masking."""

    name: str
    base_url: str
    token: str = ""
    way: str = BY_TRANSACTION

    def channel(self, base_url: str = "") -> SharedRecordChannel:
        settings = SharedRecordSettings(base_url or self.base_url, send_timeout_seconds=20.0, token=self.token)
        return SharedRecordChannel(settings, clock=lambda: NOW)

    def reader(self) -> RecordReader:
        return RecordReader(SharedRecordSettings(self.base_url, send_timeout_seconds=20.0, token=self.token))

    def held(self, identifier: str) -> list[dict[str, Any]]:
        query = {"identifier": f"urn:ietf:rfc:3986|{identifier}"}
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = requests.get(f"{self.base_url}/DocumentReference", params=query, headers=headers, timeout=10).json()
        return [entry["resource"] for entry in answer.get("entry", ())]

    def all_held(self, unique_id: str) -> list[dict[str, Any]]:
        return [one for name in all_identifiers(unique_id) for one in self.held(name)]


@pytest.fixture(scope="module", params=["sekmet", "built-in"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("record")
    if request.param == "built-in":
        world = World(f"sqlite:///{folder}/record.db")
        world.ledger.migrate()
        with record_server(world.ledger) as base_url:
            yield Site("built-in", base_url, secret_of(FEEDER), BY_PATCH)
        world.ledger.close()
        return
    try:
        with sekmet_server(folder) as base_url:
            yield Site("sekmet", base_url)
    except UnavailableError as error:
        skip_loudly(str(error))


def test_a_document_in_three_forms_is_three_documents_tied_together(site: Site) -> None:
    unique_id = "1.2.250.1.999.94.7.811"
    for _ in range(2):
        assert site.channel().send(document(11, unique_id)).kind is OutcomeKind.ACCEPTED
    kept = [site.held(identifier) for identifier in all_identifiers(unique_id)]
    assert [len(one) for one in kept] == [1, 0, 1, 1]  # the main form has the document's own number, not one of its kind
    (main,), _, (fhir,), (pdf,) = kept
    assert "relatesTo" not in main
    for further in (fhir, pdf):
        (relation,) = further["relatesTo"]
        assert (relation["code"], relation["target"]["reference"]) == ("transforms", f"DocumentReference/{main['id']}")
    (found,) = site.reader().find_by_identifier(pdf["masterIdentifier"]["value"])
    fetched = site.reader().fetch(found)
    assert (fetched.content, fetched.checked) == (b"%PDF-1.7 essai", ("size", "sha1"))


def test_a_replacement_in_several_forms_names_each_former_form(site: Site) -> None:
    old, new = "1.2.250.1.999.94.7.821", "1.2.250.1.999.94.7.822"
    assert site.channel().send(document(21, old)).kind is OutcomeKind.ACCEPTED
    assert site.channel().send(document(22, new, replaces=old)).kind is OutcomeKind.ACCEPTED
    (pdf,) = site.held(rendition_identifier(new, "pdf"))
    assert [(one["code"], one["target"]["identifier"]["value"]) for one in pdf["relatesTo"]] == [
        ("replaces", rendition_identifier(old, "pdf"))
    ]


def test_a_masking_changes_every_form_and_nothing_else(site: Site) -> None:
    unique_id = "1.2.250.1.999.94.7.831"
    assert site.channel().send(document(31, unique_id)).kind is OutcomeKind.ACCEPTED
    before = {one["id"]: one for one in site.all_held(unique_id)}
    hidden = site.channel().send(change(32, unique_id, site.way, HIDDEN))
    assert hidden.kind is OutcomeKind.ACCEPTED, hidden.detail
    after = {one["id"]: one for one in site.all_held(unique_id)}
    assert [labels(one) for one in after.values()] == [["N", "INVISIBLE_PATIENT"]] * 3
    for one in (*before.values(), *after.values()):
        del one["securityLabel"], one["meta"]
    assert before == after
    assert site.channel().send(change(33, unique_id, site.way, HIDDEN)).detail == "already so"
    assert site.channel().send(change(34, unique_id, site.way, Visibility())).kind is OutcomeKind.ACCEPTED
    assert labels(site.held(master_identifier(unique_id))[0]) == ["N"]


def test_a_cancellation_by_transaction_supersedes_every_form_once(site: Site) -> None:
    unique_id = "1.2.250.1.999.94.7.841"
    assert site.channel().send(document(41, unique_id)).kind is OutcomeKind.ACCEPTED
    for _ in range(2):
        got = site.channel().send(change(42, unique_id, BY_TRANSACTION))
        assert got.kind is OutcomeKind.ACCEPTED, got.detail
    kept = site.all_held(unique_id)
    assert [one["status"] for one in kept] == ["superseded"] * 3
    assert {one["meta"]["versionId"] for one in kept} == {"2"}


def test_a_cancellation_by_patch_is_the_records_own_or_a_persons(site: Site) -> None:
    unique_id = "1.2.250.1.999.94.7.851"
    assert site.channel().send(document(51, unique_id)).kind is OutcomeKind.ACCEPTED
    got = site.channel().send(change(52, unique_id, BY_PATCH))
    if site.name == "sekmet":  # 405: it patches by its own ids only
        assert (got.kind, got.cause) == (OutcomeKind.REFUSED, "record-change")
        return
    assert got.kind is OutcomeKind.ACCEPTED, got.detail
    kept = site.all_held(unique_id)
    assert [one["status"] for one in kept] == ["superseded"] * 3
    assert all({"url": IS_ARCHIVED, "valueBoolean": True} in one["extension"] for one in kept)


# ── the line is cut after the server committed ─────────────────────────────────────────────────────────────────────────


def test_a_resend_after_a_cut_line_on_a_post_that_was_committed_leaves_one_document(site: Site) -> None:
    unique_id = "1.2.250.1.999.94.7.861"
    sent = document(61, unique_id)
    with CuttingProxy(site.base_url) as proxy:
        ours = site.channel(proxy.base_url)
        first = ours.send(sent)
        assert (first.kind, first.cause) == (OutcomeKind.UNCLEAR, "no-answer")
        assert proxy.seen == [("POST", 200)]  # the server had it, and said so to the air
        found = ours.find(sent)
        assert found is not None
        assert found.kind is OutcomeKind.ACCEPTED
        again = ours.send(sent)  # even one who does not ask first doubles nothing
        assert again.kind is OutcomeKind.ACCEPTED
    kept = site.all_held(unique_id)
    assert len(kept) == 3
    assert len({one["content"][0]["attachment"]["url"] for one in kept}) == 3


@pytest.mark.parametrize("visibility", [None, HIDDEN])
def test_a_change_whose_answer_was_cut_is_not_made_twice(site: Site, visibility: Visibility | None) -> None:
    unique_id = "1.2.250.1.999.94.7.871" if visibility else "1.2.250.1.999.94.7.872"
    assert site.channel().send(document(71 + bool(visibility), unique_id)).kind is OutcomeKind.ACCEPTED
    sent = change(73, unique_id, BY_TRANSACTION if visibility is None else site.way, visibility)
    with CuttingProxy(site.base_url) as proxy:
        ours = site.channel(proxy.base_url)
        assert ours.send(sent).kind is OutcomeKind.UNCLEAR
        assert ours.find(sent) is None
        while (got := ours.send(sent)).detail != "already so":  # of several patches, one was cut: the next go on where it stopped
            assert got.kind is OutcomeKind.ACCEPTED
    assert site.held(master_identifier(unique_id))[0]["meta"]["versionId"] == "2"
