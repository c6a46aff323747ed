"""The derived set of the volet's test plan, generated: {MDM, ORU} × {new, replace, cancel} × destination × acks × profile.

The published plan lists no case: these are all combinations. Expectations are written here from the volet's own tables, and the
decision matrix is its three published rows; what partners receive is read from the bytes of the parcels.
"""

from __future__ import annotations

import email
import email.policy
import io
import itertools
import json
import zipfile
from dataclasses import dataclass
from email.message import EmailMessage

import pytest

from adapter.formats.hl7v2 import read_message
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_plan
from adapter.model.plan import ChannelName
from adapter.model.receipt import Verdict
from adapter.packaging.parcel import MailContent, Parcel, RecordContent
from tests.builders.cda import PATIENT, build_n1
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import (
    CANCELS,
    DOCTOR,
    ORU_CANCELS,
    ORU_REPLACES,
    REPLACES,
    Recipient,
    build_mdm,
    build_oru,
    to_application,
    to_organisation,
    to_patient,
)
from tests.builders.instance import Instance

POLICIES = ("semantic", "matrix-strict")
ACTIONS = {"new": "", "replace": "C", "cancel": "D"}
OPTIONS = {
    "MDM": {"new": {}, "replace": REPLACES, "cancel": CANCELS},
    "ORU": {"new": {}, "replace": ORU_REPLACES, "cancel": ORU_CANCELS},
}
PREFIXES = {"new": "XDM/1.0/DDM+", "replace": "[Annule et remplace] XDM/1.0/DDM+", "cancel": "[Annulation] XDM/1.0/DDM+"}
SENTENCES = {"new": "", "replace": "annule et remplace celui transmis le", "cancel": "est annulé par son auteur"}
REPLY = "secretariat@aphp.formation.mssante.fr"


@dataclass(frozen=True)
class Target:
    """One destination: its flags, its PRT, and the kind of recipient that the plan must name."""

    name: str
    flags: dict[str, str]
    recipients: tuple[Recipient, ...]
    kind: str
    channel: ChannelName = ChannelName.SECURE_MAIL
    final: bool = False


THE_PATIENT = to_patient(address=f"{PATIENT.ins}@patient.formation.mssante.fr")
TARGETS = (
    Target("record", {"DESTDMP": "Y", "DESTMSSANTEPS": "N"}, (), "record", ChannelName.SHARED_RECORD),
    Target("doctor", {}, (DOCTOR,), "professional"),
    Target("doctor, hidden from the patient", {"INVISIBLE_PATIENT": "Y"}, (DOCTOR,), "professional"),
    Target("patient", {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}, (THE_PATIENT,), "patient"),
    Target("organisation", {}, (to_organisation("CMS d'Ivry", "940000003"),), "organisation"),
    Target("application", {}, (to_application("1.2.250.1.999.9", "labo.app@cms-ivry.formation.mssante.fr"),), "application"),
    Target("FIN", {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}, (THE_PATIENT,), "patient", final=True),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One combination."""

    number: int
    event: str
    action: str
    target: Target
    acks: bool
    policy: str

    def __str__(self) -> str:
        return f"{self.event}-{self.action}-{self.target.name}-{'acks' if self.acks else 'no-acks'}-{self.policy}"


CASES = [
    Case(number, *combination)
    for number, combination in enumerate(itertools.product(OPTIONS, ACTIONS, TARGETS, (True, False), POLICIES), 1)
]


def test_the_set_is_the_whole_product() -> None:
    assert len(CASES) == len(set(map(str, CASES))) == 2 * 3 * 7 * 2 * 2


def _message(case: Case, action: str, version: int) -> bytes:
    root = f"1.2.250.1.999.77.{case.number}"
    replaces = f"{root}.{version - 1}" if version > 1 else ""
    cda = build_n1(document_id=f"{root}.{version}", set_id=root, version=version, replaces=replaces)
    build = build_mdm if case.event == "MDM" else build_oru
    wanted = "Y" if case.acks else "N"
    flags = case.target.flags | {"ACK_RECEPTION": wanted, "ACK_LECTURE_MSS": wanted}
    control_id = f"{action}-{case.number}-{version}"
    return build(
        cda,
        control_id=control_id,
        recipients=case.target.recipients,
        flags=flags,
        reply=REPLY,
        final=case.target.final,
        **OPTIONS[case.event][action],
    )


def _is_in_matrix(case: Case) -> bool:
    """The three published rows, and the record alone, of which the matrix (of mail) says nothing."""
    flags = {"DESTDMP": "N", "DESTMSSANTEPS": "Y", "DESTMSSANTEPAT": "N"} | case.target.flags
    record, professionals, patient = (flags[name] == "Y" for name in ("DESTDMP", "DESTMSSANTEPS", "DESTMSSANTEPAT"))
    both, hidden_from_patient = professionals and patient, flags.get("INVISIBLE_PATIENT") == "Y"
    to_professionals_only = professionals and not patient and hidden_from_patient
    to_patient_only = patient and not professionals and not record
    record_only = record and not professionals and not patient
    return both or to_professionals_only or to_patient_only or record_only


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return Instance(tmp_path_factory.mktemp("derived"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_combination_is_answered_planned_and_sent_as_the_volet_says(instance: Instance, case: Case) -> None:
    channel = instance.channels[case.target.channel]
    before = len(channel.parcels)
    if case.action != "new":
        instance.letter(_message(case, "new", 1))
        instance.dispatch(case.target.channel)
    version = 2 if case.action == "replace" else 1
    content = _message(case, case.action, version)
    answer = instance.accept(content, decision_policy=case.policy)
    instance.prepare()
    _check_answer(case, content, answer.body, answer.verdict)
    if answer.verdict is Verdict.REFUSED:
        assert instance.dispatch(case.target.channel) == 0
        return
    _check_plan(case, instance, answer.receipt_id)
    instance.dispatch(case.target.channel)
    parcels = channel.parcels[before:]
    if case.target.channel is ChannelName.SHARED_RECORD:
        _check_record(case, instance, parcels)
        return
    assert len(parcels) == (1 if case.action == "new" else 2)
    _check_mail(case, parcels)


def _check_answer(case: Case, content: bytes, body: bytes, verdict: Verdict) -> None:
    ack, request = read_message(body), read_message(content)
    refused = case.policy == "matrix-strict" and not _is_in_matrix(case)
    assert verdict is (Verdict.REFUSED if refused else Verdict.ACCEPTED)
    event = {"MDM": {"new": "T02", "replace": "T10", "cancel": "T04"}[case.action], "ORU": "R01"}[case.event]
    assert ack.value("MSA", 1) == ("AE" if refused else "AA")
    assert ack.value("MSA", 2) == request.value("MSH", 10)
    assert [ack.value("MSH", 9, n) for n in (1, 2, 3)] == ["ACK", event, "ACK"]
    assert ack.value("MSH", 12) == ("2.6" if case.event == "MDM" else "2.5")
    errors = [(e.value(3), e.value(5)) for e in ack.segments("ERR") if e.value(4) == "E"]
    assert errors == ([("207", "906")] if refused else [])


def _check_plan(case: Case, instance: Instance, receipt_id: str) -> None:
    (trace,) = instance.timeline(receipt_id).submissions
    sent = trace.submission
    assert sent.intent.value == case.action
    assert (sent.acks.reception, sent.acks.reading) == (case.acks, case.acks)
    assert sent.destinations.patient_may_reply is not case.target.final
    plan = read_plan(instance.ledger.read_payload(PayloadKind.PLAN, sent.id, legal_entity=APHP_EJ))
    (recipient,) = plan.recipients
    assert (recipient.kind.value, recipient.parked_because) == (case.target.kind, "")
    assert recipient.legs[0].channel is case.target.channel


def _check_mail(case: Case, parcels: list[Parcel]) -> None:
    first, last = parcels[0], parcels[-1]
    assert isinstance(last.content, MailContent)
    message, sent_before = _mail(last), _mail(first)
    assert str(message["Subject"]).startswith(PREFIXES[case.action])
    assert message["Reply-To"] == REPLY
    assert message["X-MSS-MES"] == ("FIN" if case.target.final else None)
    assert (message["Disposition-Notification-To"] is not None) is case.acks
    assert last.content.wants_dsn
    assert (message["X-MSS-INS"], message["X-MSS-CODECDA"]) == ("O", "34112-3")
    assert message["In-Reply-To"] == (None if case.action == "new" else sent_before["Message-ID"])
    part = message.get_body(("plain",))
    assert part is not None
    assert SENTENCES[case.action] in part.get_content()
    archive, pdf = message.iter_attachments()
    assert (archive.get_filename(), pdf.get_content_type()) == ("IHE_XDM.zip", "application/pdf")
    assert _action(archive.get_content()) == ACTIONS[case.action]


def _check_record(case: Case, instance: Instance, parcels: list[Parcel]) -> None:
    if case.action == "cancel":
        # MHD has no transaction for it: a person does it, and knows.
        assert len(parcels) == 1
        assert [item.reason for item in instance.items() if item.reason == "record-cancel"]
        return
    content = parcels[-1].content
    assert isinstance(content, RecordContent)
    resources = [entry["resource"] for entry in json.loads(content.transaction)["entry"]]
    (reference,) = [r for r in resources if r["resourceType"] == "DocumentReference"]
    assert [r["code"] for r in reference.get("relatesTo", ())] == (["replaces"] if case.action == "replace" else [])


def _mail(parcel: Parcel) -> EmailMessage:
    assert isinstance(parcel.content, MailContent)
    message = email.message_from_bytes(parcel.content.message, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _action(archive: bytes) -> str:
    metadata = zipfile.ZipFile(io.BytesIO(archive)).read("IHE_XDM/SUBSET01/METADATA.XML").decode()
    _, found, after = metadata.partition('name="urn:action:extraMetadataSlot"')
    return after.partition("<Value>")[2].partition("<")[0] if found else ""
