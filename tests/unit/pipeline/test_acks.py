"""Acknowledgements go all the way: asked by a message, marked by proofs, made deliveries, sent, told once; and their faults."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapter.formats.hl7v2 import Message, read_message
from adapter.ledger.records import Decision
from adapter.model.delivery import DeliveryState as S
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.model.receipt import Verdict
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.packaging.parcel import Hl7Content, Hl7Partner, Hl7Sender
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import DOCTOR, build_mdm, to_professional
from tests.builders.instance import HOSPITAL, Instance, accepted, deferred, refused, unclear

BOX = "dominique.modele@cms-ivry.formation.mssante.fr"
ASKED = {"ACK_RECEPTION": "Y", "ACK_LECTURE_MSS": "Y"}
HL7 = Hl7Sender(processing="T", partners=(Hl7Partner("dpi", "EAI", "CENTRAL"),), acks_to=((HOSPITAL.name, "dpi"),))


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, hl7=HL7)


def letter(house: Instance, control_id: str = "MDM0001", **flags: str) -> str:
    """A letter to one doctor, acknowledgements asked."""
    content = build_mdm(build_ldl_ses(), control_id=control_id, recipients=(DOCTOR,), flags={**ASKED, **flags})
    return house.letter(content)


def prove(house: Instance, proves: S, source: str, cause: str = "", detail: str = "") -> None:
    """A proof about the last mail, as the mailbox will give it."""
    reference = house.mail.parcels[-1].reference
    house.ledger.record_evidence([Evidence(reference, proves, house.clock(), source, cause, detail)], "", "")
    house.pipeline.settle_some()


def messages(house: Instance) -> list[Message]:
    """What the sender's software received, sent copies included."""
    contents = [parcel.content for parcel in house.software.parcels]
    return [read_message(content.message) for content in contents if isinstance(content, Hl7Content)]


def said(message: Message) -> str:
    answer = message.segments("OBX")[0]
    reason = message.value("ERR", 5)
    return f"{message.value('MSH', 9, 2)} {answer.value(5)} {reason}".strip()


def push(house: Instance) -> int:
    return house.dispatch(ChannelName.HL7_PUSH)


# ── the good way ──────────────────────────────────────────────────────────────────────────────────────────────


def test_delivery_then_reading_are_told_to_the_first_message(house: Instance) -> None:
    receipt = letter(house)
    house.dispatch()
    assert push(house) == 0
    prove(house, S.DELIVERED, "dsn")
    assert push(house) == 1
    prove(house, S.READ, "mdn")
    assert push(house) == 1
    first, second = messages(house)
    assert [said(first), said(second)] == ["Z02 Y", "Z03 Y"]
    for message in (first, second):
        answer, recipient = message.segments("OBX")
        assert (answer.value(4), recipient.value(5, 4), recipient.value(4)) == ("MDM0001", BOX, "899700000013")
        assert message.header.text(5) == "DPI"
    assert first.value("MSH", 10) != second.value("MSH", 10) and len(first.value("MSH", 10)) == 20
    assert house.timeline(receipt).submissions[0].status.summary == "read"


def test_a_bounce_is_told_with_the_relays_code_and_the_next_leg_goes_on(house: Instance) -> None:
    letter(house)
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch()
    house.pipeline.settle_some()
    push(house)
    assert [said(message) for message in messages(house)] == ["Z02 N 550"]


def test_a_refusal_that_is_tried_again_is_not_told_until_the_tries_are_over(house: Instance) -> None:
    """4xx is no news."""
    letter(house)
    house.mail.script(*[deferred("partner-busy")] * 10)
    for _ in range(9):
        house.dispatch()
        house.pipeline.settle_some()
        assert push(house) == 0
        house.clock.advance(hours=2)
    house.dispatch()
    house.pipeline.settle_some()
    push(house)
    assert [said(message) for message in messages(house)] == ["Z02 N 421"]


def test_a_late_bounce_after_delivery_is_told_once(house: Instance) -> None:
    letter(house)
    house.dispatch()
    for proof in (S.DELIVERED, S.REFUSED, S.REFUSED):
        prove(house, proof, "dsn", "mailbox-unknown" if proof is S.REFUSED else "")
        push(house)
    assert [said(message) for message in messages(house)] == ["Z02 Y", "Z02 N 550"]


def test_the_readers_no_is_a_z03_and_a_later_delivery_notice_changes_nothing(house: Instance) -> None:
    """MDN before DSN, and a refusal by software: the reader's word stands."""
    receipt = letter(house)
    house.dispatch()
    prove(house, S.REFUSED, "mdn", "identity-902")
    prove(house, S.DELIVERED, "dsn")
    for _ in range(2):
        push(house)
    assert sorted(said(message) for message in messages(house)) == ["Z02 Y", "Z03 N 902"]
    assert [state for leg, state in house.states(receipt).items() if leg.endswith("/mssante")] == ["refused"]


def test_the_record_is_told_of_by_a_z01_without_recipient(house: Instance) -> None:
    letter(house, DESTDMP="Y")
    house.record.script(accepted(S.INTEGRATED))
    house.dispatch(ChannelName.SHARED_RECORD)
    house.pipeline.settle_some()
    push(house)
    (message,) = messages(house)
    assert said(message) == "Z01 Y" and len(message.segments("OBX")) == 1


def test_what_was_not_asked_is_not_told(house: Instance) -> None:
    letter(house, ACK_RECEPTION="N", ACK_LECTURE_MSS="N")
    house.dispatch()
    prove(house, S.READ, "mdn")
    assert push(house) == 0


def test_the_patients_own_mailbox_is_told_of_as_the_sender_named_it(house: Instance) -> None:
    from tests.builders.cda import PATIENT
    from tests.builders.hl7 import to_patient

    content = build_mdm(build_ldl_ses(), recipients=(to_patient(address=f"{PATIENT.ins}@patient.formation.mssante.fr"),),
                        flags={**ASKED, "DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"})  # fmt: skip
    house.letter(content)
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    push(house)
    (message,) = messages(house)
    assert message.segments("OBX")[1].value(5, 4) == f"{PATIENT.ins}@patient.formation.mssante.fr"


# ── never in a status, always in a trace ──────────────────────────────────────────────────────────────────────


def test_an_acknowledgement_counts_neither_in_the_status_nor_in_conservation(house: Instance) -> None:
    receipt = letter(house)
    house.dispatch()
    prove(house, S.READ, "mdn")
    house.software.script(refused("identity-906"), refused("content-refused"))
    push(house)
    push(house)
    (trace,) = house.timeline(receipt).submissions
    assert trace.status.phase.value == "final"
    assert [d.state.value for d in trace.deliveries if d.purpose.value == "ack"] == ["parked", "parked"]
    assert house.conservation().holds and house.conservation().final == 1


def test_an_acknowledgement_is_in_the_trace_of_its_document(house: Instance) -> None:
    from adapter.cli.desk import timeline_data, timeline_lines

    receipt = letter(house)
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    push(house)
    lines = timeline_lines(house.timeline(receipt), "Europe/Paris")
    assert any("hl7_push" in line and "Z02 Y" in line and "accepted" in line for line in lines)
    deliveries = timeline_data(house.timeline(receipt))["submissions"][0]["deliveries"]
    assert {d["purpose"] for d in deliveries} == {"document", "ack"}
    control_id = messages(house)[0].value("MSH", 10)
    assert house.ledger.find(control_id, legal_entity=APHP_EJ) == [receipt]


# ── partners that do not answer, that refuse, that are not there ──────────────────────────────────────────────


def test_no_answer_sends_the_very_same_bytes_until_they_are_taken(house: Instance) -> None:
    """Complaint 2: same MSH-10, growing pauses."""
    letter(house)
    house.dispatch()
    house.software.script(unclear(), deferred("connect-failed"), unclear(), deferred("partner-busy"))
    prove(house, S.DELIVERED, "dsn")
    pauses = []
    while not (house.software.parcels and not house.software.steps and len(house.software.parcels) == 5):
        before = house.clock()
        while push(house) == 0:
            house.clock.advance(seconds=1)
        pauses.append((house.clock() - before).total_seconds())
    assert len({message.encode() for message in messages(house)}) == 1
    assert pauses[1:] == sorted(pauses[1:]) and pauses[-1] > pauses[1]


def test_many_more_tries_than_any_document_gets(house: Instance) -> None:
    letter(house)
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    house.software.script(*[deferred("connect-failed")] * 60)
    for _ in range(60):
        assert push(house) == 1
        house.clock.advance(minutes=20)
    assert push(house) == 1
    assert [said(message) for message in messages(house)][-1] == "Z02 Y"
    assert house.reasons() == []


def test_a_partner_that_goes_is_one_question_and_its_return_closes_it(house: Instance) -> None:
    """Complaint 26: whatever waits for it, and however often it is tried."""
    for number in range(3):
        house.accept(build_mdm(build_ldl_ses(), control_id=f"M{number}", flags={**ASKED, "DESTDMP": "Y"},
                               recipients=(DOCTOR,), change={"TXA-2": "11490-0"}))  # fmt: skip
    house.prepare()
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    house.software.script(*[deferred("connect-failed")] * 18)  # one answer a message, though they bring the same document
    for _ in range(6):
        push(house)
        house.clock.advance(minutes=20)
    assert house.reasons() == ["partner-down"]
    house.software.steps.clear()
    push(house)
    assert house.reasons() == []


def test_what_a_partner_refuses_is_parked_and_holds_up_nothing(house: Instance) -> None:
    """Complaint 3."""
    letter(house)
    house.dispatch()
    house.software.script(refused("content-refused"))
    prove(house, S.DELIVERED, "dsn")
    push(house)
    prove(house, S.READ, "mdn")
    push(house)
    assert [said(message) for message in messages(house)] == ["Z02 Y", "Z03 Y"]
    (item,) = house.items()
    assert (item.about.value, item.about_id, item.reason) == ("partner", "dpi", "content-refused")


def test_a_person_has_what_was_refused_sent_again(house: Instance) -> None:
    letter(house)
    house.dispatch()
    house.software.script(refused("content-refused"))
    prove(house, S.DELIVERED, "dsn")
    push(house)
    house.resolve("retry")
    push(house)
    first, again = messages(house)
    assert first.encode() == again.encode() and house.items() == []


def test_a_second_answer_never_overtakes_the_first(house: Instance) -> None:
    letter(house)
    house.dispatch()
    house.software.script(deferred("partner-busy"))
    prove(house, S.DELIVERED, "dsn")
    push(house)
    prove(house, S.REFUSED, "dsn", "mailbox-unknown")
    assert push(house) == 0
    house.clock.advance(minutes=1)
    assert (push(house), push(house)) == (1, 1)
    assert [said(message) for message in messages(house)] == ["Z02 Y", "Z02 Y", "Z02 N 550"]


def test_asking_without_anybody_to_tell_is_warned_at_once_and_asked_of_a_person_once(tmp_path: Path) -> None:
    house = Instance(tmp_path)
    answer = house.accept(build_mdm(build_ldl_ses(), flags=ASKED))
    assert answer.verdict is Verdict.ACCEPTED and "acks.no-partner" in {finding.code for finding in answer.findings}
    assert b"acks.no-partner" in answer.body and b"MSA|AA|" in answer.body
    house.prepare()
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    prove(house, S.READ, "mdn")
    assert (push(house), house.reasons()) == (0, ["no-ack-partner"])
    assert house.items()[0].about_id == f"peer:{HOSPITAL.name}"


def test_once_the_configuration_names_a_partner_what_waited_is_sent(tmp_path: Path) -> None:
    house = Instance(tmp_path)
    house.letter(build_mdm(build_ldl_ses(), flags=ASKED))
    house.dispatch()
    prove(house, S.READ, "mdn")
    house.pipeline._senders = {  # the service was started again with another configuration
        entity: _with_partners(sender) for entity, sender in house.pipeline._senders.items()
    }
    house.resolve("retry")
    while push(house):
        pass
    assert [said(message) for message in messages(house)] == ["Z02 Y", "Z03 Y"]


def _with_partners(sender: object) -> object:
    from dataclasses import replace

    return replace(sender, hl7=HL7)  # type: ignore[type-var]


def test_settling_again_tells_nothing_twice(house: Instance) -> None:
    letter(house)
    house.dispatch()
    prove(house, S.READ, "mdn")
    for _ in range(3):
        house.pipeline.settle_some()
        push(house)
    assert len(messages(house)) == 2


def test_a_lost_lease_on_the_wire_sends_it_again_under_the_same_number(house: Instance) -> None:
    letter(house)
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    (claim,) = house.ledger.claim_deliveries("w9", ChannelName.HL7_PUSH, 1, timedelta(seconds=60))
    house.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, house.clock())
    house.clock.advance(minutes=10)
    house.pipeline.settle_some()
    house.clock.advance(minutes=20)
    push(house)
    assert [message.value("MSH", 10) for message in messages(house)] == [claim.delivery.reference]
    assert house.reasons() == []


def test_what_a_peer_of_a_long_name_is_owed_is_found_again_by_its_question(house: Instance) -> None:
    """A certificate's name may be long; the work item's is cut, and a retry must still find what it is about."""
    house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR,), flags=ASKED), principal=replace(HOSPITAL, name="p" * 90))
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    (item,) = house.items()
    house.ledger.resolve(item.id, Decision.RETRY, "agent", legal_entity=APHP_EJ)
    push(house)
    assert [one.reason for one in house.items()] == ["no-ack-partner"]  # tried again: nobody is there yet, and it is asked anew


# ── the same document, asked for again ────────────────────────────────────────────────────────────────────────────────────


def told_to(house: Instance, control_id: str) -> list[str]:
    """What was said under one request's MSH-10."""
    while push(house):
        pass
    return [said(message) for message in messages(house) if message.segments("OBX")[0].value(4) == control_id]


def test_a_second_request_is_told_at_once_what_its_recipients_have_reached(house: Instance) -> None:
    letter(house)
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    prove(house, S.READ, "mdn")
    letter(house, "MDM0002")
    house.pipeline.settle_some()
    assert told_to(house, "MDM0002") == told_to(house, "MDM0001") == ["Z02 Y", "Z03 Y"]
    assert len(house.mail.parcels) == 1 and house.conservation().holds


def test_a_second_request_is_told_only_what_it_asks_for(house: Instance) -> None:
    letter(house)
    house.dispatch()
    prove(house, S.READ, "mdn")
    letter(house, "MDM0002", ACK_LECTURE_MSS="N")
    letter(house, "MDM0003", ACK_LECTURE_MSS="N", ACK_RECEPTION="N")
    house.pipeline.settle_some()
    assert (told_to(house, "MDM0002"), told_to(house, "MDM0003")) == (["Z02 Y"], [])


def test_a_second_request_for_what_is_still_on_its_way_is_told_each_news(house: Instance) -> None:
    letter(house)
    letter(house, "MDM0002")
    house.pipeline.settle_some()
    assert told_to(house, "MDM0002") == []
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    prove(house, S.REFUSED, "mdn", "identity-902", "processed")
    assert told_to(house, "MDM0002") == told_to(house, "MDM0001") == ["Z02 Y", "Z03 N 902"]


def test_a_second_request_for_what_a_reader_refused_is_told_that_it_had_arrived(house: Instance) -> None:
    letter(house)
    house.dispatch()
    prove(house, S.REFUSED, "mdn", "identity-902", "processed")
    letter(house, "MDM0002")
    house.pipeline.settle_some()
    assert told_to(house, "MDM0002") == ["Z02 Y", "Z03 N 902"]


def test_a_second_request_for_what_could_not_be_delivered_is_told_so(house: Instance) -> None:
    letter(house)
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch()
    letter(house, "MDM0002")
    house.pipeline.settle_some()
    assert told_to(house, "MDM0002") == told_to(house, "MDM0001") == ["Z02 N 550"]


def test_a_second_request_is_told_of_the_recipients_that_it_names(house: Instance) -> None:
    other = to_professional("camille.exemple@cms-ivry.formation.mssante.fr")
    content = build_mdm(build_ldl_ses(), recipients=(DOCTOR, other), flags=ASKED)
    house.letter(content)
    letter(house, "MDM0002")
    house.dispatch()
    for parcel in house.mail.parcels:
        house.ledger.record_evidence([Evidence(parcel.reference, S.DELIVERED, house.clock(), "dsn")], "", "")
    house.pipeline.settle_some()
    assert (told_to(house, "MDM0001"), told_to(house, "MDM0002")) == (["Z02 Y", "Z02 Y"], ["Z02 Y"])


def test_prepared_again_a_second_request_is_told_nothing_twice(house: Instance) -> None:
    letter(house)
    house.dispatch()
    prove(house, S.DELIVERED, "dsn")
    receipt = letter(house, "MDM0002")
    house.pipeline.settle_some()
    submission = house.timeline(receipt).submissions[0].submission.id
    item = WorkItem("again", APHP_EJ, WorkAbout.SUBMISSION, submission, "sent-again", "?", house.clock())
    house.ledger.open_work_item(item)
    house.ledger.resolve("again", Decision.RETRY, "operator", legal_entity=APHP_EJ)
    house.prepare()
    house.pipeline.settle_some()
    assert told_to(house, "MDM0002") == ["Z02 Y"]
