"""A document goes into local software: planned, written as flow 6, read back whole, its answer understood; versions in order."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from adapter.formats.hl7v2 import Message, read_message
from adapter.ledger.records import Settlement
from adapter.mapping.from_hl7v2 import inspect_hl7v2
from adapter.mapping.hl7.documents import open_documents
from adapter.model.delivery import DeliveryState as S
from adapter.model.document import DocumentHeader
from adapter.model.plan import ChannelName
from adapter.model.receipt import Arrival, Principal
from adapter.packaging.parcel import Hl7Content, Hl7Partner, Hl7Sender
from adapter.routing.directory import load_directory
from tests.builders.cda import build_ldl_ses, build_n1, tiny_pdf
from tests.builders.directory import APHP_EJ, SANDBOX, rehearsal, territory_files
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.builders.instance import HOSPITAL, LEASE, NOON, Instance, accepted, deferred, refused, unclear

HL7 = Hl7Sender(processing="T", partners=(Hl7Partner("logiciel", "LOG", "CMS"),))
TAKEN = accepted(S.INTEGRATED)


def _pdf_alone() -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"] = "confrere@cabinet.formation.mssante.fr", "cms@cms.formation.mssante.fr"
    mail["Subject"], mail["Message-ID"] = "CR EXEMPLE-BERTHIER Camille 18/09/1974", "<pdf@cabinet.test>"
    mail.set_content("Ci-joint.")
    mail.add_attachment(tiny_pdf(), "application", "pdf", filename="cr.pdf")
    return mail.as_bytes(policy=SMTP)


PDF_ALONE = _pdf_alone()


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    files = territory_files()
    name = "reference-territory.toml"
    role = b'key = "modele-ivry"\n'
    assert role in files[name]
    files[name] = files[name].replace(role, role + b'channels = [{ channel = "hl7_push", address = "logiciel-cms" }]\n')
    routes = rehearsal(sandbox={**SANDBOX, ChannelName.HL7_PUSH: "logiciel"})
    return Instance(tmp_path, directory=load_directory(files), routes=routes, hl7=HL7)


def push(house: Instance) -> int:
    return house.dispatch(ChannelName.HL7_PUSH)


def state(house: Instance, receipt: str) -> str:
    return house.states(receipt)["hl7_push"]


def messages(house: Instance) -> list[Message]:
    contents = [parcel.content for parcel in house.software.parcels]
    return [read_message(content.message) for content in contents if isinstance(content, Hl7Content)]


@pytest.mark.parametrize("build", [build_n1, build_ldl_ses])
def test_the_document_that_came_is_the_document_that_enters(house: Instance, build: Callable[[], bytes]) -> None:
    cda = build()
    receipt = house.letter(build_mdm(cda, recipients=(DOCTOR,)))
    house.software.script(TAKEN)
    assert push(house) == 1 and state(house, receipt) == "integrated"
    (message,) = messages(house)
    (carried,), _ = open_documents(message, "Europe/Paris", _no_pdf)
    assert carried.content == cda
    ins = carried.header.patient.ins
    assert ins is not None and message.value("PID", 3) == ins.value
    assert message.value("TXA", 12) == carried.header.unique_id
    assert message.header.text(5) == "LOG"


def test_our_own_door_knows_flow_6_for_what_it_is(house: Instance) -> None:
    """It reads it whole, and says that a platform is not whom it is for: software is."""
    house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR,)))
    push(house)
    (message,) = messages(house)
    arrival = Arrival(message.encode(), "mllp", HOSPITAL, NOON)
    assert [finding.code for finding in inspect_hl7v2(arrival).findings] == ["hl7.other-way"]


def test_software_that_does_not_know_the_patient_is_a_persons_and_no_other_channel_opens(house: Instance) -> None:
    receipt = house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR,)))
    house.software.script(refused("identity-902"))
    push(house)
    assert house.states(receipt)["hl7_push"] == "parked" and "queued" not in house.states(receipt).values()
    assert house.reasons() == ["identity-902"]


def test_software_that_refuses_the_content_lets_the_next_leg_go(house: Instance) -> None:
    receipt = house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR,)))
    house.software.script(refused("content-refused"))
    push(house)
    states = house.states(receipt)
    assert (states["hl7_push"], states["mssante"]) == ("refused", "queued")


def test_no_answer_goes_again_once_with_the_same_bytes_and_then_a_person_is_asked(house: Instance) -> None:
    """Seam 5."""
    receipt = house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR,)))
    house.software.script(unclear(), unclear())
    push(house)
    assert state(house, receipt) == "unclear" and push(house) == 0
    house.clock.advance(minutes=16)
    house.pipeline.settle_some()
    push(house)
    first, second = messages(house)
    assert first.encode() == second.encode() and state(house, receipt) == "parked"
    assert house.conservation().holds


def test_a_newer_version_never_enters_before_an_older_one_that_is_on_its_way(house: Instance) -> None:
    house.letter(build_mdm(build_ldl_ses(), control_id="M1", recipients=(DOCTOR,)))
    (claim,) = house.ledger.claim_deliveries("w9", ChannelName.HL7_PUSH, 1, LEASE)
    house.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, house.clock())
    house.clock.advance(seconds=1)
    newer = build_ldl_ses(document_id="1.2.250.1.213.1.1.9.501.2", version=2, replaces=claim.submission.document.unique_id)
    house.letter(build_mdm(newer, control_id="M2", recipients=(DOCTOR,), event="T10", order="RO", status="C"))
    assert push(house) == 0
    house.ledger.settle_send(claim.delivery.id, claim.delivery.fence, Settlement(S.INTEGRATED))
    house.software.script(TAKEN)
    assert push(house) == 1
    (message,) = messages(house)
    assert (message.value("MSH", 9, 2), message.value("TXA", 13)) == ("T10", claim.submission.document.unique_id)


def test_another_document_does_not_wait_for_a_stuck_one(house: Instance) -> None:
    """Complaint 3."""
    house.letter(build_mdm(build_ldl_ses(), control_id="M1", recipients=(DOCTOR,)))
    house.software.script(deferred("connect-failed"))
    push(house)
    house.letter(build_mdm(build_n1(), control_id="M2", recipients=(DOCTOR,)))
    house.software.script(TAKEN)
    assert push(house) == 1
    assert len({message.value("TXA", 12) for message in messages(house)}) == 2


def test_a_partner_that_is_away_is_told_of_once_while_documents_wait(house: Instance) -> None:
    house.letter(build_mdm(build_ldl_ses(), control_id="M1", recipients=(DOCTOR,)))
    house.letter(build_mdm(build_n1(), control_id="M2", recipients=(DOCTOR,)))
    house.software.script(*[deferred("connect-failed")] * 8)
    for _ in range(4):
        push(house)
        house.clock.advance(minutes=15)
    assert house.reasons() == ["partner-down"]
    house.software.steps.clear()
    house.software.script(TAKEN, TAKEN)
    push(house)
    assert house.reasons() == []


def _no_pdf(*_: object) -> DocumentHeader:
    raise AssertionError("flow 6 carries a CDA")


def test_a_pdf_that_came_alone_by_mail_enters_software_once_a_person_says_whose_it_is(house: Instance) -> None:
    """`mail.pdf-only`: nobody guesses the patient; the PDF is submitted with a side-car, and the mail's question answered."""
    described = {
        "recipients": [{"rpps": "99700000013"}],
        "patient": {
            "birth_name": "EXEMPLE-BERTHIER",
            "first_given": "CAMILLE",
            "birth_date": "1974-09-18",
            "sex": "F",
            "local_id": "900000123",
            "local_authority": "1.2.250.1.999.1.1",
        },
        "document": {"type": "11488-4", "type_label": "CR de consultation", "date": "2026-11-20"},
        "author": {"family": "MAQUETTE", "rpps": "99900000086", "organisation": "Cabinet fictif", "finess": "940999900"},
    }
    mailbox = Principal("cms", "mailbox", APHP_EJ)
    mail = house.letter(PDF_ALONE, door="mailbox:cms", principal=mailbox)
    assert house.reasons() == ["mail.pdf-only"] and push(house) == 0
    desk = {"door": "desk", "reference": "lettre.pdf"}
    house.letter(tiny_pdf(), side_car=json.dumps(described).encode(), **desk)
    house.resolve("hand-over")
    house.software.script(TAKEN)
    assert push(house) == 1
    (message,) = messages(house)
    assert message.value("PID", 5) == "EXEMPLE-BERTHIER" and message.value("MSH", 9, 2) == "T02"
    assert house.items() == [] and house.conservation().holds and mail
