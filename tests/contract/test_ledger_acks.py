"""What senders are owed: marked with the state, turned into deliveries once, in order, partner by partner; on both engines."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, delete, func, select

from adapter.errors import LedgerError, StaleClaimError
from adapter.ledger import tables
from adapter.ledger.acks import AckCase, OwedAck
from adapter.ledger.database import Transaction
from adapter.ledger.records import ClaimedAck, Decision, PartnerChoice, StoredEffects, StoredSubmission
from adapter.model.delivery import DeliveryState as S
from adapter.model.delivery import Purpose
from adapter.model.effects import Parked, Refusal
from adapter.model.evidence import Evidence
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName, RecipientPlan, RoutePlan
from adapter.model.submission import AcksWanted, MailOrigin, Submission
from adapter.model.work_item import WorkAbout
from adapter.packaging.parcel import Hl7Sender, SenderProfile
from adapter.pipeline.acks import owed_acks
from tests.builders.ledger import ENTITY, FAX, LEASE, MAIL, World, stored_submission, work_item

pytestmark = pytest.mark.contract
HL7 = ChannelName.HL7_PUSH
BOTH = AcksWanted(reception=True, reading=True)
SENDER = SenderProfile(ENTITY, "H", ENTITY, "b@h.fr", "", "1.2", "X", hl7=Hl7Sender(acks_to=(("dpi", "eai"),)))


def asked(world: World, document: str = "doc-1", wanted: AcksWanted = BOTH, **kwargs: object) -> Submission:
    """A document whose sender waits for acknowledgements."""
    receipt_id = world.receive()
    stored = with_acks(stored_submission(document, receipt_id, **kwargs), wanted)  # type: ignore[arg-type]
    world.prepare(stored, receipt_id=receipt_id)
    return stored.translation.submission


def with_acks(stored: StoredSubmission, wanted: AcksWanted) -> StoredSubmission:
    submission = replace(stored.translation.submission, acks=wanted)
    return replace(stored, translation=replace(stored.translation, submission=submission))


def settle(world: World) -> int:
    return world.ledger.settle_acks(lambda case: owed_acks(case, {ENTITY: SENDER}, world.clock()))


def acks(world: World, submission: Submission) -> list[str]:
    timeline = world.ledger.timeline(submission.id, legal_entity=ENTITY)
    assert timeline is not None
    found = [d for trace in timeline.submissions for d in trace.deliveries if d.purpose is Purpose.ACK]
    return [d.role_id for d in sorted(found, key=lambda d: d.leg)]


def pending(world: World) -> int:
    engine = create_engine(world.url)
    with engine.connect() as connection:
        count = connection.execute(select(func.count()).select_from(tables.ack_pending)).scalar()
    engine.dispose()
    return int(count or 0)


# ── marks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_proof_is_marked_with_the_state_it_changes_and_cleared_when_told(world: World) -> None:
    submission = asked(world)
    delivery = world.accepted()
    assert pending(world) == 0
    world.prove(delivery, S.DELIVERED)
    assert pending(world) == 1
    assert (settle(world), pending(world)) == (1, 0)
    assert acks(world, submission) == ["Z02 Y 1 role:a"]


def test_a_sender_who_asks_for_nothing_leaves_no_mark(world: World) -> None:
    asked(world, wanted=AcksWanted())
    world.prove(world.accepted(), S.READ)
    assert pending(world) == 0


def test_a_change_that_is_undone_marks_nothing(world: World) -> None:
    """The mark lives and dies with its transaction."""
    asked(world)
    delivery = world.claim_one()
    with pytest.raises(LedgerError):
        world.settle(delivery, S.INTEGRATED)
    assert pending(world) == 0


def test_a_refusal_that_goes_again_takes_its_mark_back(world: World) -> None:
    submission = asked(world, channels=(MAIL,))
    world.prove(world.accepted(), S.REFUSED, "mailbox-full", retry_after=lambda _cause, _tries: timedelta(minutes=1))
    assert (pending(world), settle(world), acks(world, submission)) == (0, 0, [])


def test_a_persons_retry_before_it_was_told_takes_the_mark_back_too(world: World) -> None:
    submission = asked(world, channels=(MAIL,))
    world.prove(world.accepted(), S.REFUSED, "mailbox-unknown")
    world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
    assert pending(world) == 0
    world.prove(world.accepted(), S.DELIVERED)
    settle(world)
    assert acks(world, submission) == ["Z02 Y 1 role:a"]


def test_a_recipient_that_no_channel_serves_is_marked_by_the_plan(world: World) -> None:
    receipt_id = world.receive()
    stored = with_acks(stored_submission("doc-1", receipt_id), BOTH)
    record = RecipientPlan("record:none", RecipientKind.RECORD, "Dossier", parked_because="no-record")
    stored = replace(stored, plan=RoutePlan("2026-11-21", "rev-1", (*stored.plan.recipients, record)))
    world.prepare(stored, receipt_id=receipt_id)
    settle(world)
    assert acks(world, stored.translation.submission) == ["Z01 N 1 record:none"]


def test_the_proof_keeps_the_instant_that_the_partner_gave(world: World) -> None:
    asked(world)
    delivery = world.accepted()
    earlier = world.clock() - timedelta(minutes=42)
    world.ledger.record_evidence([Evidence(delivery.reference, S.DELIVERED, earlier, "dsn")], "", "")
    cases: list[AckCase] = []
    world.ledger.settle_acks(lambda case: cases.append(case) or ())  # type: ignore[func-returns-value]
    assert [proof.happened_at for proof in cases[0].proofs] == [earlier]
    assert cases[0].peer == "dpi"


def test_the_readers_no_after_a_relays_no_is_still_news(world: World) -> None:
    submission = asked(world, channels=(MAIL,))
    delivery = world.accepted()
    world.prove(delivery, S.REFUSED, "mailbox-unknown")
    settle(world)
    world.ledger.record_evidence([Evidence(delivery.reference, S.REFUSED, world.clock(), "mdn", "identity-904")], "", "")
    settle(world)
    assert acks(world, submission) == ["Z02 N 1 role:a", "Z02 Y 2 role:a", "Z03 N 1 role:a"]


def test_a_delivery_notice_after_the_readers_no_leaves_the_no(world: World) -> None:
    submission = asked(world, channels=(MAIL,))
    delivery = world.accepted()
    world.ledger.record_evidence([Evidence(delivery.reference, S.REFUSED, world.clock(), "mdn", "identity-902")], "", "")
    world.prove(delivery, S.DELIVERED)
    assert world.states(submission)["role:a/mssante"] == "refused"


# ── once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_crash_between_two_settlings_tells_nothing_twice(world: World) -> None:
    """Same ids: what dies before its commit is made again, what dies after it finds its rows."""
    submission = asked(world)
    world.prove(world.accepted(), S.READ)

    def dies(case: AckCase) -> tuple[OwedAck, ...]:
        owed_acks(case, {ENTITY: SENDER}, world.clock())
        raise SystemExit("power cut")

    with pytest.raises(SystemExit):
        world.ledger.settle_acks(dies)
    assert pending(world) == 1
    settle(world)
    settle(world)
    assert acks(world, submission) == ["Z02 Y 1 role:a", "Z03 Y 1 role:a"]


def test_two_settlers_at_once_make_each_acknowledgement_once(world: World) -> None:
    submissions = []
    for number in range(6):
        submissions.append(asked(world, f"doc-{number}"))
        world.prove(world.accepted(), S.READ)
    other, errors = world.second_ledger(), []

    def run(ledger: object) -> None:
        try:
            ledger.settle_acks(lambda case: owed_acks(case, {ENTITY: SENDER}, world.clock()))  # type: ignore[attr-defined]
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in (world.ledger, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    while settle(world):
        pass
    assert errors == [] and all(len(acks(world, one)) == 2 for one in submissions)


def test_a_damaged_submission_does_not_hold_up_the_others(world: World) -> None:
    damaged = asked(world, "doc-1")
    world.prove(world.accepted(), S.DELIVERED)
    sound = asked(world, "doc-2")
    world.prove(world.accepted(), S.DELIVERED)
    engine = create_engine(world.url)
    with engine.begin() as connection:
        connection.execute(delete(tables.payload_chunk).where(tables.payload_chunk.c.row_id == damaged.id))
    engine.dispose()
    settle(world)
    assert acks(world, sound) == ["Z02 Y 1 role:a"] and pending(world) == 0
    assert [item.about_id for item in world.items()] == [damaged.id]


def test_an_acknowledgement_that_cannot_be_decided_does_not_hold_up_the_others(world: World) -> None:
    """An entity that left the configuration, a defect: the others' senders are answered, and a person is asked."""
    unanswerable = asked(world, "doc-1")
    world.prove(world.accepted(), S.DELIVERED)
    sound = asked(world, "doc-2")
    world.prove(world.accepted(), S.DELIVERED)

    def owe(case: AckCase) -> tuple[OwedAck, ...]:
        return owed_acks(case, {} if case.asker.id == unanswerable.id else {ENTITY: SENDER}, world.clock())

    world.ledger.settle_acks(owe)
    assert acks(world, sound) == ["Z02 Y 1 role:a"] and pending(world) == 0
    assert [(item.about_id, item.reason) for item in world.items()] == [(unanswerable.id, "ack-impossible")]


def test_two_settlers_tell_one_submissions_news_in_the_order_it_happened(world: World) -> None:
    """The relay's no, then the notice that it arrived after all: whichever settler is slow, the last word is yes."""
    submission = asked(world, channels=(MAIL,))
    delivery = world.accepted()
    world.prove(delivery, S.REFUSED, "mailbox-full")
    other = world.second_ledger()
    lock, has_read, may_go = Transaction.lock, threading.Event(), threading.Event()
    slow = threading.Thread(target=lambda: settle(world))

    def pausing(tx: Transaction, *names: str) -> None:
        if threading.current_thread() is slow and names and names[0].startswith("acks/"):
            has_read.set()
            may_go.wait(5)
        lock(tx, *names)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Transaction, "lock", pausing)
        slow.start()
        has_read.wait(5)
        if world.url.startswith("postgresql"):  # SQLite has one writer: nobody can come in between
            world.prove(delivery, S.DELIVERED)
            other.settle_acks(lambda case: owed_acks(case, {ENTITY: SENDER}, world.clock()))
        may_go.set()
        slow.join()
    other.close()
    if world.url.startswith("sqlite"):
        world.prove(delivery, S.DELIVERED)
    while settle(world):
        pass
    assert acks(world, submission)[-1].startswith("Z02 Y")


# ── partners and order ────────────────────────────────────────────────────────────────────────────────────────


def push(world: World, partner: str = "", **kwargs: object) -> list[str]:
    choice = PartnerChoice(only=partner) if partner else PartnerChoice(**kwargs)  # type: ignore[arg-type]
    return [claim.delivery.role_id for claim in world.ledger.claim_deliveries("w1", HL7, 10, LEASE, choice)]


def test_acknowledgements_of_one_request_leave_one_after_the_other(world: World) -> None:
    asked(world)
    world.prove(world.accepted(), S.READ)
    settle(world)
    (first,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
    assert first.delivery.role_id == "Z02 Y 1 role:a" and push(world) == []
    world.ledger.mark_on_wire(first.delivery.id, first.delivery.fence, world.clock())
    world.settle(first.delivery, S.ACCEPTED)
    assert push(world) == ["Z03 Y 1 role:a"]


def test_what_is_parked_holds_up_nothing(world: World) -> None:
    asked(world)
    world.prove(world.accepted(), S.READ)
    settle(world)
    (first,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
    world.settle(first.delivery, S.PARKED, cause="content-refused")
    assert push(world) == ["Z03 Y 1 role:a"]


def test_acknowledgements_of_other_requests_do_not_wait(world: World) -> None:
    for number in range(3):
        asked(world, f"doc-{number}")
        world.prove(world.accepted(), S.DELIVERED)
    settle(world)
    assert len(push(world)) == 3


def test_a_lane_claims_its_own_partners_only(world: World) -> None:
    asked(world)
    world.prove(world.accepted(), S.DELIVERED)
    settle(world)
    assert push(world, "ris") == [] and push(world, others_than=("eai",)) == []
    assert push(world, "eai") == ["Z02 Y 1 role:a"]


def test_a_claimed_acknowledgement_brings_what_it_tells_and_no_document(world: World) -> None:
    submission = asked(world)
    world.prove(world.accepted(), S.DELIVERED)
    settle(world)
    (claim,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
    assert isinstance(claim, ClaimedAck) and claim.ack.positive and claim.ack.control_id == "MSG-SOURCE"
    assert (claim.asked, claim.original) == (submission.acks, b"")
    assert (claim.delivery.purpose, claim.delivery.partner, len(claim.delivery.reference)) == (Purpose.ACK, "eai", 20)


def test_a_partner_that_takes_something_is_back(world: World) -> None:
    asked(world)
    world.prove(world.accepted(), S.DELIVERED)
    settle(world)
    world.ledger.open_work_item(work_item(world, WorkAbout.PARTNER, "eai", "partner-down"))
    (claim,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
    world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
    world.settle(claim.delivery, S.ACCEPTED)
    assert world.items() == []


@pytest.mark.parametrize(("decision", "state"), [(Decision.RETRY, "queued"), (Decision.CANCEL, "cancelled")])
def test_a_decision_on_a_partner_is_for_all_that_was_parked(world: World, decision: Decision, state: str) -> None:
    submission = asked(world)
    world.prove(world.accepted(), S.READ)
    settle(world)
    for _ in range(2):
        (claim,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
        world.settle(claim.delivery, S.PARKED, cause="content-refused")
    item = work_item(world, WorkAbout.PARTNER, "eai", "content-refused")
    world.ledger.open_work_item(item)
    world.ledger.resolve(item.id, decision, "op", legal_entity=ENTITY)
    states = {role: at for role, at in world.states(submission).items() if role.endswith("/hl7_push")}
    assert set(states.values()) == {state} and len(states) == 2


def test_a_parked_yes_is_not_sent_again_after_the_no_that_followed_it(world: World) -> None:
    """The sender would believe the last word: an old yes must not be it."""
    submission = asked(world, channels=(MAIL,))
    mail = world.accepted()
    world.prove(mail, S.DELIVERED)
    settle(world)
    (yes,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
    world.settle(yes.delivery, S.PARKED, cause="content-refused")
    world.prove(mail, S.REFUSED, "mailbox-unknown")
    settle(world)
    (no,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
    world.ledger.mark_on_wire(no.delivery.id, no.delivery.fence, world.clock())
    world.settle(no.delivery, S.ACCEPTED)
    item = work_item(world, WorkAbout.PARTNER, "eai", "content-refused")
    world.ledger.open_work_item(item)
    world.ledger.resolve(item.id, Decision.RETRY, "op", legal_entity=ENTITY)
    assert push(world) == []
    states = {role: at for role, at in world.states(submission).items() if role.endswith("/hl7_push")}
    assert states == {"Z02 Y 1 role:a/hl7_push": "superseded", "Z02 N 2 role:a/hl7_push": "accepted"}


def test_an_acknowledgement_is_in_no_status_and_in_no_count(world: World) -> None:
    submission = asked(world, channels=(MAIL, FAX))
    world.prove(world.accepted(), S.READ)
    settle(world)
    (claim,) = world.ledger.claim_deliveries("w1", HL7, 10, LEASE)
    world.settle(claim.delivery, S.PARKED, cause="content-refused")
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert world.ledger.status_of(submission.id, legal_entity=ENTITY).phase.value == "final"
    assert (count.final, count.open, count.parked, count.holds) == (1, 0, 0, True)


def test_a_person_who_stops_a_document_leaves_its_acknowledgements(world: World) -> None:
    submission = asked(world, channels=(MAIL,))
    world.prove(world.accepted(), S.DELIVERED)
    settle(world)
    item = work_item(world, WorkAbout.SUBMISSION, submission.id)
    world.ledger.open_work_item(item)
    world.ledger.resolve(item.id, Decision.CANCEL, "op", legal_entity=ENTITY)
    assert push(world) == ["Z02 Y 1 role:a"]


def test_what_a_person_stopped_for_good_is_told(world: World) -> None:
    submission = asked(world, channels=(MAIL,))
    delivery = world.on_wire()
    world.settle(delivery, S.PARKED, cause="no-answer")
    world.ledger.open_work_item(work_item(world, WorkAbout.DELIVERY, delivery.id))
    settle(world)
    assert acks(world, submission) == []
    world.ledger.resolve(world.items()[0].id, Decision.HAND_OVER, "op", legal_entity=ENTITY)
    settle(world)
    assert acks(world, submission) == ["Z02 N 1 role:a"]


# ── mails that wait for a person ──────────────────────────────────────────────────────────────────────────────

BY_MAIL = AcksWanted(notify_address="alix@ght.mssante.fr", message_id="<m1@ght.mssante.fr>", final_recipient="cms@h.fr")
WAITS = Parked("archive.broken", "Archive refusée.", refusal=Refusal(BY_MAIL, "identity-906"))


def read_mail_again(world: World, receipt_id: str, effects: StoredEffects) -> None:
    claim = next(one for one in world.ledger.claim_receipts("w1", 50, LEASE) if one.receipt.id == receipt_id)
    world.ledger.commit_effects(receipt_id, claim.fence, effects)


def by_mail(document: str, receipt_id: str) -> StoredSubmission:
    """A document of a mail, for local software."""
    stored = with_acks(stored_submission(document, receipt_id, channels=(HL7,)), BY_MAIL)
    mail = MailOrigin("<m1@ght.mssante.fr>", "Objet", "", "alix@ght.mssante.fr")
    submission = replace(stored.translation.submission, mail=mail)
    return replace(stored, translation=replace(stored.translation, submission=submission))


def mailed(world: World) -> list[str]:
    """What is sent back by mail, in order; each is taken by the operator."""
    found = []
    while claims := world.claim(MAIL):
        for claim in claims:
            world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
            world.settle(claim.delivery, S.ACCEPTED)
            found.append(claim.delivery.role_id)
    return found


def test_a_mail_that_waits_is_answered_from_its_receipt_alone(world: World) -> None:
    receipt_id = world.receive(content=b"the mail as it came")
    read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))
    assert pending(world) == 1
    settle(world)
    (claim,) = world.claim(MAIL)
    assert isinstance(claim, ClaimedAck)
    assert (claim.asked, claim.original, claim.ack.positive) == (BY_MAIL, b"the mail as it came", False)
    assert claim.ack.reason is not None and claim.ack.reason.code == "906"
    assert (claim.delivery.role_id, claim.delivery.reference) == ("MDN N 1 mail", f"<{claim.delivery.id}@h.fr>")
    for reference in (claim.delivery.id, claim.delivery.reference, receipt_id):
        timeline = world.ledger.timeline(reference, legal_entity=ENTITY)
        assert timeline is not None and timeline.receipt.id == receipt_id
        assert [one.id for one in timeline.answers] == [claim.delivery.id]
        assert ("delivery", "queued") in {(event.about.value, event.kind) for event in timeline.events}
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.parked, count.open, count.holds) == (1, 0, True)


def test_a_mail_that_waits_is_marked_with_the_parking_or_not_at_all(world: World) -> None:
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    with pytest.raises(StaleClaimError):
        world.ledger.commit_effects(receipt_id, claim.fence + 1, StoredEffects(outcome=WAITS))
    assert pending(world) == 0
    for _ in range(2):  # the commit run again marks nothing again
        world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=WAITS))
    assert pending(world) == 1


def test_a_crash_between_parking_and_telling_tells_once(world: World) -> None:
    receipt_id = world.receive()
    read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))

    def dies(case: AckCase) -> tuple[OwedAck, ...]:
        owed_acks(case, {ENTITY: SENDER}, world.clock())
        raise SystemExit("power cut")

    with pytest.raises(SystemExit):
        world.ledger.settle_acks(dies)
    for _ in range(3):
        settle(world)
        world.second_ledger().settle_acks(lambda case: owed_acks(case, {ENTITY: SENDER}, world.clock()))
    assert mailed(world) == ["MDN N 1 mail"]


def test_read_again_in_vain_a_mail_is_not_answered_again_and_taken_it_is_once(world: World) -> None:
    receipt_id = world.receive()
    read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))
    for _ in range(3):
        settle(world)
        world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
        read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))
    world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
    read_mail_again(world, receipt_id, StoredEffects((by_mail("doc-1", receipt_id), by_mail("doc-2", receipt_id))))
    settle(world)
    assert mailed(world) == ["MDN N 1 mail"]
    for _ in range(2):
        (claim, *_rest) = world.ledger.claim_deliveries("w1", HL7, 1, LEASE)
        world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
        world.settle(claim.delivery, S.INTEGRATED)
        settle(world)
    assert mailed(world) == ["MDN Y 2 role:a"]
    assert world.ledger.conservation(legal_entity=ENTITY).holds


def test_a_mail_that_is_read_again_before_it_was_told_is_told_what_comes_of_it(world: World) -> None:
    receipt_id = world.receive()
    read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))
    world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
    settle(world)
    assert mailed(world) == []
    read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))
    settle(world)
    assert mailed(world) == ["MDN N 1 mail"]


def test_a_mail_that_was_taken_whole_and_waits_afterwards_is_not_refused(world: World) -> None:
    """Read again under other settings: what software has, it has."""
    receipt_id = world.receive()
    stored = by_mail("doc-1", receipt_id)
    world.prepare(stored, receipt_id=receipt_id)
    (claim,) = world.ledger.claim_deliveries("w1", HL7, 1, LEASE)
    world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
    world.settle(claim.delivery, S.INTEGRATED)
    settle(world)
    assert mailed(world) == ["MDN Y 1 role:a"]
    world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, stored.translation.submission.id))
    world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
    read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))
    settle(world)
    assert mailed(world) == []


def test_what_was_taken_while_its_mail_waited_is_told_when_the_mail_is_read_through(world: World) -> None:
    receipt_id = world.receive()
    part = by_mail("doc-1", receipt_id)
    read_mail_again(world, receipt_id, StoredEffects((part,), outcome=WAITS))
    (claim,) = world.ledger.claim_deliveries("w1", HL7, 1, LEASE)
    world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
    world.settle(claim.delivery, S.INTEGRATED)
    settle(world)
    assert mailed(world) == ["MDN N 1 mail"]
    world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
    read_mail_again(world, receipt_id, StoredEffects((part,)))
    settle(world)
    assert mailed(world) == ["MDN Y 2 role:a"]


def test_an_old_no_by_mail_is_not_sent_again_after_the_yes(world: World) -> None:
    receipt_id = world.receive()
    read_mail_again(world, receipt_id, StoredEffects(outcome=WAITS))
    settle(world)
    (no,) = world.claim(MAIL)
    world.settle(no.delivery, S.PARKED, cause="mailbox-unknown")
    world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
    world.prepare(by_mail("doc-1", receipt_id), receipt_id=receipt_id)
    (claim,) = world.ledger.claim_deliveries("w1", HL7, 1, LEASE)
    world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
    world.settle(claim.delivery, S.INTEGRATED)
    settle(world)
    assert mailed(world) == ["MDN Y 2 role:a"]
    world.ledger.open_work_item(work_item(world, WorkAbout.DELIVERY, no.delivery.id))
    world.ledger.resolve(world.items()[0].id, Decision.RETRY, "op", legal_entity=ENTITY)
    assert mailed(world) == []


def test_a_damaged_note_of_whom_to_tell_asks_a_person_and_holds_up_nobody(world: World) -> None:
    damaged = world.receive()
    read_mail_again(world, damaged, StoredEffects(outcome=WAITS))
    read_mail_again(world, world.receive(), StoredEffects(outcome=WAITS))
    chunk = tables.payload_chunk
    engine = create_engine(world.url)
    with engine.begin() as connection:
        connection.execute(delete(chunk).where(chunk.c.row_id == damaged, chunk.c.kind == "asked"))
    engine.dispose()
    settle(world)
    assert mailed(world) == ["MDN N 1 mail"]
    assert (WorkAbout.RECEIPT, damaged, "ledger.no-payload") in {(one.about, one.about_id, one.reason) for one in world.items()}
