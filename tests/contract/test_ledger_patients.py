"""The patient index, on both engines: told in any order, never overwritten by the past, its documents corrected one by one."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from adapter.errors import LedgerError, StalePlanError
from adapter.ledger.database import Transaction
from adapter.ledger.patient_rows import write_record
from adapter.ledger.records import Decision, PayloadKind, SeenPatient, StoredEffects, StoredSubmission
from adapter.mapping.from_adt import understand_adt
from adapter.mapping.hl7.adt_profile import adt_words
from adapter.model.delivery import DeliveryState
from adapter.model.effects import Effect
from adapter.model.evidence import Evidence
from adapter.model.identity import INS_TEST, Ins, LocalIdentifier, PatientIdentity
from adapter.model.patient import Feeding, IdentityAct, IdentityUpdate, InsStanding, PatientKeys, PatientView
from adapter.model.receipt import Arrival, ContentKind, Principal
from adapter.model.submission import Submission
from adapter.model.work_item import WorkAbout, WorkItem
from tests.builders.adt import build_adt, consent, guardian
from tests.builders.cda import PATIENT, matricule
from tests.builders.ledger import ENTITY, FAX, LEASE, MAIL, OTHER_ENTITY, World, stored_submission

pytestmark = pytest.mark.contract
S = DeliveryState
AUTHORITY = PATIENT.ipp_oid
INS = Ins(PATIENT.ins, INS_TEST)
OTHER_INS = matricule("1850775012012")


def number(value: str = PATIENT.ipp) -> LocalIdentifier:
    return LocalIdentifier(value, AUTHORITY, "PI")


def effects_of(message: bytes) -> tuple[Effect, ...]:
    return understand_adt(
        Arrival(message, "mllp", Principal("gam", "certificate", ENTITY), datetime(2026, 11, 21, tzinfo=UTC)), "r"
    )


def tell(world: World, *messages: bytes, entity: str = ENTITY) -> str:
    """Each message is a receipt, received, claimed and committed; returns the last receipt's id."""
    receipt_id = ""
    for message in messages:
        receipt_id = world.receive(content=message, entity=entity)
        updates = tuple(effect for effect in effects_of(message) if isinstance(effect, IdentityUpdate))
        commit(world, receipt_id, updates)
    return receipt_id


def commit(world: World, receipt_id: str, updates: Sequence[IdentityUpdate]) -> None:
    claim = next(c for c in world.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.id == receipt_id)
    stored = StoredEffects(identity_updates=tuple(updates))
    world.ledger.commit_effects(receipt_id, claim.fence, stored, doubtful_statuses=adt_words().doubtful)


def view(world: World, ipp: str = PATIENT.ipp, ins: Ins | None = None, entity: str = ENTITY) -> PatientView | None:
    identity = PatientIdentity("", ins=ins, local_ids=(number(ipp),) if ipp else ())
    return world.ledger.patient_view(identity, legal_entity=entity)


def known(world: World, ipp: str = PATIENT.ipp) -> PatientView:
    found = view(world, ipp)
    assert found is not None
    return found


def send_under(world: World, document: str, ipp: str, ins: str = "", entity: str = ENTITY, **options: object) -> Submission:
    """A document planned for one role by secure mail, under this identity."""
    receipt_id = world.receive(entity=entity)
    stored = stored_submission(document, receipt_id, entity=entity, **options)  # type: ignore[arg-type]
    numbered = with_numbers(stored, (number(ipp),), Ins(ins, INS_TEST) if ins else None)
    world.prepare(numbered, receipt_id=receipt_id, entity=entity)
    return numbered.translation.submission


def with_numbers(stored: StoredSubmission, numbers: tuple[LocalIdentifier, ...], ins: Ins | None) -> StoredSubmission:
    """The same document about a patient of these numbers."""
    submission = stored.translation.submission
    patient = replace(submission.document.patient, ins=ins, local_ids=numbers)
    submission = replace(submission, document=replace(submission.document, patient=patient))
    return replace(stored, translation=replace(stored.translation, submission=submission))


def items(world: World, about: WorkAbout) -> list[WorkItem]:
    return [item for item in world.items() if item.about is about]


# -- telling ----------------------------------------------------------------------------------------------------------------


def test_an_admission_makes_an_entry_found_by_ipp_and_by_ins(world: World) -> None:
    tell(world, build_adt("A01", add=(consent(), guardian())))
    for reference in (PATIENT.ipp, PATIENT.ins):
        (entry,) = world.ledger.find_patients(reference, legal_entity=ENTITY)
        assert entry.record.number == number()
        assert entry.record.facts.ins == INS
        assert [line.event for line in entry.history] == ["ADT^A01"]
    found = known(world)
    assert found.facts.feeding is Feeding.NOT_OPPOSED
    assert found.facts.contacts[0].is_guardian
    assert found.standing_of(INS) is InsStanding.STANDS


def test_nothing_of_a_patient_stands_in_clear_in_the_tables(world: World) -> None:
    tell(world, build_adt("A01"), build_adt("A40", ipp="NEW", merged=(PATIENT.ipp,), at="20261121090000", control_id="2"))
    engine = create_engine(world.url)
    with engine.connect() as connection:
        names = ("patient_index", "patient_update", "lookup", "event", "audit", "work_item")
        rows = [str(tuple(row)) for name in names for row in connection.execute(text(f"SELECT * FROM {name}"))]
    engine.dispose()
    assert rows
    for secret in (PATIENT.birth_name, PATIENT.ins[:13], PATIENT.ipp, "PARIS", AUTHORITY):
        assert not [row for row in rows if secret in row]


def test_another_legal_entity_sees_nobody(world: World) -> None:
    tell(world, build_adt("A01"))
    assert world.ledger.find_patients(PATIENT.ins, legal_entity=OTHER_ENTITY) == []
    assert view(world, entity=OTHER_ENTITY) is None
    keys = PatientKeys(INS, (number(),))
    assert not world.ledger.same_person(OTHER_ENTITY, keys, keys)


def test_an_older_message_that_arrives_late_overwrites_nothing_newer(world: World) -> None:
    newer = build_adt("A31", at="20261121100000", control_id="2", add=(consent("IO"),), change={"PID-30": "Y"})
    older = build_adt("A31", at="20261120100000", control_id="1", add=(consent("INO"),), change={"PID-30": "N"})
    tell(world, newer, older)
    found = known(world)
    assert found.facts.is_deceased
    assert found.facts.feeding is Feeding.OPPOSED
    (entry,) = world.ledger.find_patients(PATIENT.ipp, legal_entity=ENTITY)
    assert [line.update.stamp[2] for line in entry.history] == ["1", "2"]


def test_what_is_absent_erases_nothing_and_a_null_erases(world: World) -> None:
    tell(world, build_adt("A01", change={"PID-30": "Y", "PID-29": "20261119"}, add=(consent(),)))
    tell(world, build_adt("A02", at="20261121090000", control_id="2", change={"PID-11": "", "PID-13": '""'}))
    facts = known(world).facts
    assert facts.is_deceased
    assert facts.feeding is Feeding.NOT_OPPOSED
    assert facts.addresses
    assert facts.telecoms == ()


MESSAGES = (
    build_adt("A28", at="20261101090000", control_id="1"),
    build_adt("A31", at="20261102090000", control_id="2", ins="", status="PROV"),
    build_adt("A01", at="20261103090000", control_id="3", ipp="OLD", ins="", status="PROV", add=(consent("IO"),)),
    build_adt("A40", at="20261104090000", control_id="4", merged=("OLD",)),
    build_adt("A31", at="20261105090000", control_id="5", add=(consent("INO"),)),
)


def test_any_order_of_messages_ends_in_the_same_index(new_url: object) -> None:
    ends = set()
    for order in itertools.islice(itertools.permutations(MESSAGES), 0, 120, 11):
        world = World(new_url())  # type: ignore[operator]
        world.ledger.migrate()
        tell(world, *order)
        entries = [e for ipp in (PATIENT.ipp, "OLD") for e in world.ledger.find_patients(ipp, legal_entity=ENTITY)]
        ends.add(json.dumps([(e.state, e.flags, write_record(e.record).decode()) for e in entries]))
        world.ledger.close()
    assert len(ends) == 1


def test_a_receipt_prepared_twice_tells_its_word_once(world: World) -> None:
    message = build_adt("A01")
    receipt_id = world.receive(content=message)
    updates = [effect for effect in effects_of(message) if isinstance(effect, IdentityUpdate)]
    first = next(c for c in world.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.id == receipt_id)
    stored = StoredEffects(identity_updates=tuple(updates))
    world.ledger.commit_effects(receipt_id, first.fence, stored)
    again = world.ledger.commit_effects(receipt_id, first.fence, stored)
    assert again.already_committed
    (entry,) = world.ledger.find_patients(PATIENT.ipp, legal_entity=ENTITY)
    assert len(entry.history) == 1
    assert world.ledger.conservation(legal_entity=ENTITY).holds


def test_a_worker_that_died_before_the_commit_leaves_nothing(world: World) -> None:
    message = build_adt("A01")
    receipt_id = world.receive(content=message)
    world.ledger.claim_receipts("dies", 50, LEASE)
    assert world.ledger.find_patients(PATIENT.ipp, legal_entity=ENTITY) == []
    world.clock.advance(seconds=120)
    updates = [effect for effect in effects_of(message) if isinstance(effect, IdentityUpdate)]
    commit(world, receipt_id, updates)
    assert len(world.ledger.find_patients(PATIENT.ipp, legal_entity=ENTITY)) == 1


# -- doubts -----------------------------------------------------------------------------------------------------------------


def test_one_ins_on_two_numbers_of_a_structure_is_kept_flagged_and_asked(world: World) -> None:
    tell(world, build_adt("A28", control_id="1"), build_adt("A28", ipp="TWIN", control_id="2", at="20261121090000"))
    for ipp in (PATIENT.ipp, "TWIN"):
        (entry,) = world.ledger.find_patients(ipp, legal_entity=ENTITY)
        assert entry.flags == ("ins-shared",)
        assert entry.record.facts.ins == INS
        assert known(world, ipp).standing_of(INS) is InsStanding.STANDS
    assert {item.reason for item in items(world, WorkAbout.PATIENT)} == {"ins-shared"}


def test_one_ins_under_other_traits_serves_nobody(world: World) -> None:
    other = replace(PATIENT, birth_date="19920229")
    tell(world, build_adt("A28", control_id="1"), build_adt("A28", patient=other, ipp="TWIN", control_id="2"))
    assert known(world).standing_of(INS) is InsStanding.DOUBTFUL
    assert "ins-other-traits" in {item.reason for item in world.items()}


def test_a_doubt_ends_when_the_other_bearer_loses_the_ins(world: World) -> None:
    other = replace(PATIENT, birth_date="19920229")
    tell(world, build_adt("A28", control_id="1"), build_adt("A28", patient=other, ipp="TWIN", control_id="2"))
    tell(world, build_adt("A31", patient=other, ipp="TWIN", ins="", status="PROV", control_id="3", at="20261121090000"))
    assert known(world).standing_of(INS) is InsStanding.STANDS


def test_a_wrong_ins_key_is_kept_as_it_came_and_never_used(world: World) -> None:
    wrong = PATIENT.ins[:13] + f"{(int(PATIENT.ins[13:]) + 1) % 100:02d}"
    tell(world, build_adt("A28", ins=wrong))
    (entry,) = world.ledger.find_patients(PATIENT.ipp, legal_entity=ENTITY)
    assert entry.record.facts.ins == Ins(wrong, INS_TEST)
    assert entry.flags == ("ins-wrong-key",)
    assert entry.record.usable_ins is None


# -- merges -----------------------------------------------------------------------------------------------------------------


def test_after_a_merge_both_numbers_are_one_person(world: World) -> None:
    tell(world, build_adt("A28", ipp="OLD", ins="", status="PROV", control_id="1", add=(consent("IO"),)))
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",), at="20261121090000", control_id="2"))
    old, new = PatientKeys(None, (number("OLD"),)), PatientKeys(None, (number("NEW"),))
    assert world.ledger.same_person(ENTITY, old, new)
    assert world.ledger.same_person(ENTITY, new, old)
    found = known(world, "OLD")
    assert found.current.number == number("NEW")
    assert found.facts.feeding is Feeding.OPPOSED
    (entry,) = world.ledger.find_patients("OLD", legal_entity=ENTITY)
    assert entry.state == "merged"


def test_a_former_ins_names_its_former_bearer_unless_it_is_somebody_elses_now(world: World) -> None:
    elsewhere = LocalIdentifier("CDA-1", "1.2.250.1.999.77", "PI")
    ours, document = PatientKeys(None, (number(),)), PatientKeys(INS, (elsewhere,))
    tell(world, build_adt("A28", control_id="1"))
    tell(world, build_adt("A31", ins="", status="PROV", control_id="2", at="20261121090000"))
    assert world.ledger.same_person(ENTITY, ours, document)
    tell(world, build_adt("A28", ipp="THE-RIGHT-ONE", control_id="3", at="20261121100000"))
    assert not world.ledger.same_person(ENTITY, ours, document)


def test_a_document_with_our_number_and_another_persons_ins_is_not_our_patients(world: World) -> None:
    """The IPP agrees and the matricule was never this person's: a mistake somewhere, and perhaps another patient's document."""
    tell(world, build_adt("A28", control_id="1"))
    stranger = Ins(matricule("2900275012019"), INS_TEST)
    ours = PatientKeys(INS, (number(),))
    assert not world.ledger.same_person(ENTITY, ours, PatientKeys(stranger, (number(),)))
    tell(world, build_adt("A28", ipp="THEIRS", ins=stranger.value, control_id="2", change={"PID-5": "AUTRE^ANNE^^^^^L"}))
    assert not world.ledger.same_person(ENTITY, ours, PatientKeys(stranger, (number(),)))
    assert world.ledger.same_person(ENTITY, ours, PatientKeys(None, (number(),)))


def test_another_number_of_the_same_authority_is_another_patient_whatever_the_ins_was(world: World) -> None:
    tell(world, build_adt("A28", control_id="1"))
    tell(world, build_adt("A31", ins="", status="PROV", control_id="2", at="20261121090000"))
    assert not world.ledger.same_person(ENTITY, PatientKeys(None, (number(),)), PatientKeys(INS, (number("B"),)))


def test_a_link_makes_one_person_and_its_end_makes_two(world: World) -> None:
    one, two = PatientKeys(None, (number("ONE"),)), PatientKeys(None, (number("TWO"),))
    tell(world, build_adt("A24", ipp="ONE", second="TWO", control_id="1"))
    assert world.ledger.same_person(ENTITY, one, two)
    tell(world, build_adt("A37", ipp="ONE", second="TWO", control_id="2", at="20261121090000"))
    assert not world.ledger.same_person(ENTITY, one, two)


def named_together(world: World, *numbers: LocalIdentifier, at: int) -> None:
    """One message whose PID-3 holds these numbers."""
    told_at = datetime(2026, 11, 21, at, tzinfo=UTC)
    stamp = (told_at.isoformat(), told_at.isoformat(), str(at))
    update = IdentityUpdate(IdentityAct.UPDATE, "ADT^A31", told_at, stamp, numbers)
    commit(world, world.receive(), (update,))


@pytest.mark.parametrize("order", [(8, 9), (9, 8)])
def test_a_number_of_another_authority_named_by_mistake_is_nobody_we_know_once_corrected(
    world: World, order: tuple[int, ...]
) -> None:
    """Else a stranger's letters would be our patient's for ever, and their death our patient's."""
    mistaken, right = (LocalIdentifier(value, "1.2.250.1.999.77", "PI") for value in ("THEIRS", "OURS"))
    for at in order:
        named_together(world, number(), {8: mistaken, 9: right}[at], at=at)
    ours = PatientKeys(None, (number(),))
    assert world.ledger.same_person(ENTITY, ours, PatientKeys(None, (right,)))
    assert not world.ledger.same_person(ENTITY, ours, PatientKeys(None, (mistaken,)))
    assert not world.ledger.same_person(ENTITY, PatientKeys(None, (mistaken,)), ours)


def test_a_damaged_document_does_not_keep_a_merge_from_being_told(world: World) -> None:
    damaged = send_under(world, "doc-1", "OLD")
    sound = send_under(world, "doc-2", "OLD")
    engine = create_engine(world.url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM payload_chunk WHERE row_id = :id"), {"id": damaged.id})
    engine.dispose()
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    assert known(world, "OLD").current.number == number("NEW")
    assert {(i.about_id, i.reason) for i in items(world, WorkAbout.SUBMISSION)} == {
        (damaged.id, "identity-unreadable"),
        (sound.id, "identity-merged"),
    }


def test_a_merge_lists_every_document_sent_under_the_other_number(world: World) -> None:
    sent = send_under(world, "doc-sent", "OLD")
    world.accepted()
    waiting = send_under(world, "doc-waiting", "OLD")
    stranger = send_under(world, "doc-of-another", "OTHER")
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    (parent,) = items(world, WorkAbout.PATIENT)
    assert parent.reason == "identity-merged"
    for submission, state in ((sent, "accepted"), (waiting, "parked")):
        line = next(line for line in parent.advice.splitlines() if submission.id in line)
        assert f"role:a par mssante : {state}" in line
    assert stranger.id not in parent.advice
    assert {item.about_id for item in items(world, WorkAbout.SUBMISSION)} == {sent.id, waiting.id}
    assert world.states(waiting)["role:a/mssante"] == "parked"
    assert world.states(stranger)["role:a/mssante"] == "queued"
    assert world.ledger.conservation(legal_entity=ENTITY).holds


@pytest.mark.parametrize("cause", ["deferred", "lease-lost", "next-leg"])
def test_what_was_on_the_wire_at_the_merge_does_not_leave_again_before_a_person_answered(world: World, cause: str) -> None:
    sent = send_under(world, "doc-1", "OLD", channels=(MAIL, FAX))
    delivery = world.on_wire()
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    match cause:
        case "deferred":
            world.settle(delivery, S.QUEUED, cause="mailbox-busy")
        case "lease-lost":
            world.clock.advance(hours=1)
            world.ledger.reap({MAIL: timedelta()})
            world.clock.advance(hours=1)
            world.ledger.reap({MAIL: timedelta()})
        case _:
            world.settle(delivery, S.REFUSED, cause="mailbox-unknown", open_next_leg=True)
    assert world.claim(MAIL) == [] and world.claim(FAX) == []
    held = "fax" if cause == "next-leg" else "mssante"
    assert world.states(sent)[f"role:a/{held}"] == "parked"
    (parent,) = items(world, WorkAbout.PATIENT)
    world.ledger.resolve(parent.id, Decision.RETRY, "agent", legal_entity=ENTITY)
    assert world.states(sent)[f"role:a/{held}"] == "queued"


def test_a_document_prepared_at_the_very_instant_of_a_merge_is_held_or_planned_anew(world: World) -> None:
    """Whichever comes first: the merge finds the document, or the document is planned by what the merge told."""
    receipt_id = world.receive()
    stored = with_numbers(stored_submission("doc-1", receipt_id), (number("OLD"),), None)
    identity = stored.translation.submission.document.patient
    seen = SeenPatient(world.ledger.patient_view(identity, legal_entity=ENTITY))
    claim = next(c for c in world.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.id == receipt_id)
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    with pytest.raises(StalePlanError):
        world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects((replace(stored, seen=seen),)))
    seen = SeenPatient(world.ledger.patient_view(identity, legal_entity=ENTITY))
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects((replace(stored, seen=seen),)))
    assert world.states(stored.translation.submission)["role:a/mssante"] == "queued"


def test_a_merge_waits_for_the_document_that_is_being_committed_and_finds_it(world: World) -> None:
    receipt_id = world.receive()
    stored = with_numbers(stored_submission("doc-1", receipt_id), (number("OLD"),), None)
    claim = next(c for c in world.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.id == receipt_id)
    other, flush, is_written = world.second_ledger(), Transaction.flush, threading.Event()
    merging = threading.Thread(target=lambda: tell(world, build_adt("A40", ipp="NEW", merged=("OLD",))))

    def slowly(tx: Transaction) -> None:
        if threading.current_thread() is not merging and not is_written.is_set():
            is_written.set()
            merging.start()
            merging.join(1)  # without a lock it is done by now, and has seen no document
        flush(tx)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Transaction, "flush", slowly)
        other.commit_effects(receipt_id, claim.fence, StoredEffects((stored,)))
        merging.join()
    other.close()
    assert world.states(stored.translation.submission)["role:a/mssante"] == "parked"
    assert [item.reason for item in items(world, WorkAbout.PATIENT)] == ["identity-merged"]


def test_after_an_unmerge_documents_are_corrected_one_by_one(world: World) -> None:
    """Some are each patient's: one word for all would put one patient's letters under the other's name."""
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",), control_id="1"))
    send_under(world, "doc-since", "NEW")
    tell(world, build_adt("A28", ipp="OLD", ins="", status="PROV", control_id="2", at="20261121090000"))
    (parent,) = [item for item in items(world, WorkAbout.PATIENT) if item.reason == "identity-unmerged"]
    with pytest.raises(LedgerError, match="one-by-one"):
        world.ledger.resolve(parent.id, Decision.CORRECT, "agent", legal_entity=ENTITY)
    (document,) = [item for item in items(world, WorkAbout.SUBMISSION) if item.reason == "identity-unmerged"]
    world.ledger.resolve(document.id, Decision.CORRECT, "agent", legal_entity=ENTITY)


def test_the_patients_question_is_listed_before_those_of_the_documents(world: World) -> None:
    for n in range(5):
        send_under(world, f"doc-{n}", "OLD")
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    assert [item.about for item in world.items()] == [WorkAbout.PATIENT, *[WorkAbout.SUBMISSION] * 5]


def test_a_merge_without_any_document_asks_nothing(world: World) -> None:
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    assert world.items() == []


def test_a_person_lets_go_what_a_merge_held(world: World) -> None:
    waiting = send_under(world, "doc-waiting", "OLD")
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    (child,) = items(world, WorkAbout.SUBMISSION)
    world.ledger.resolve(child.id, Decision.RETRY, "agent", legal_entity=ENTITY)
    assert world.states(waiting)["role:a/mssante"] == "queued"


def test_deciding_the_patients_item_decides_each_document(world: World) -> None:
    sent = send_under(world, "doc-sent", "OLD")
    world.accepted()
    waiting = send_under(world, "doc-waiting", "OLD")
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    (parent,) = items(world, WorkAbout.PATIENT)
    world.ledger.resolve(parent.id, Decision.CANCEL, "agent", legal_entity=ENTITY)
    assert world.items() == []
    assert world.states(waiting) == {"role:a/mssante": "cancelled", "role:a/fax": "cancelled"}
    orders = [c for c in world.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.kind is ContentKind.CORRECTION]
    assert [json.loads(order.content) for order in orders] == [
        {"submission": sent.id, "act": "cancel", "reason": "identity-merged", "patient": parent.about_id}
    ]


def test_a_correction_is_ordered_once(world: World) -> None:
    send_under(world, "doc-sent", "OLD")
    world.accepted()
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",)))
    (child,) = items(world, WorkAbout.SUBMISSION)
    world.ledger.resolve(child.id, Decision.CORRECT, "agent", legal_entity=ENTITY)
    with pytest.raises(LedgerError, match="decided"):
        world.ledger.resolve(child.id, Decision.CORRECT, "agent", legal_entity=ENTITY)
    orders = [c for c in world.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.kind is ContentKind.CORRECTION]
    assert len(orders) == 1
    assert orders[0].receipt.principal == "agent"


def test_only_a_document_sent_under_another_identity_is_corrected(world: World) -> None:
    submission = send_under(world, "doc", "OLD")
    item = WorkItem("11111111-1111-4111-8111-111111111111", ENTITY, WorkAbout.SUBMISSION, submission.id, "x", "y", world.clock())
    world.ledger.open_work_item(item)
    with pytest.raises(LedgerError, match="no-correction"):
        world.ledger.resolve(item.id, Decision.CORRECT, "agent", legal_entity=ENTITY)


def test_a_number_that_lives_again_undoes_its_merge_and_lists_what_left_since(world: World) -> None:
    before = send_under(world, "doc-before", "NEW")
    world.clock.advance(minutes=5)
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",), control_id="1"))
    world.clock.advance(minutes=5)
    since = send_under(world, "doc-since", "NEW")
    tell(world, build_adt("A28", ipp="OLD", ins="", status="PROV", control_id="2", at="20261121090000"))
    (parent,) = [item for item in items(world, WorkAbout.PATIENT) if item.reason == "identity-unmerged"]
    assert since.id in parent.advice
    assert before.id not in parent.advice
    assert world.states(since)["role:a/mssante"] == "parked"
    assert not world.ledger.same_person(ENTITY, PatientKeys(None, (number("OLD"),)), PatientKeys(None, (number("NEW"),)))


def test_an_unlink_undoes_a_merge_of_the_pair(world: World) -> None:
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",), control_id="1"))
    send_under(world, "doc-since", "NEW")
    tell(world, build_adt("A37", ipp="OLD", second="NEW", control_id="2", at="20261121090000", ins="", status="PROV"))
    assert "identity-unmerged" in {item.reason for item in world.items()}


def test_a_movement_of_a_merged_number_does_not_make_it_live_again(world: World) -> None:
    tell(world, build_adt("A40", ipp="NEW", merged=("OLD",), control_id="1"))
    tell(world, build_adt("A03", ipp="OLD", control_id="2", at="20261121090000"))
    (entry,) = world.ledger.find_patients("OLD", legal_entity=ENTITY)
    assert entry.state == "merged"


def test_a_changed_number_lists_the_documents_of_the_former_one(world: World) -> None:
    submission = send_under(world, "doc", "OLD")
    tell(world, build_adt("A47", ipp="NEW", merged=("OLD",)))
    (parent,) = items(world, WorkAbout.PATIENT)
    assert parent.reason == "identifier-changed"
    assert submission.id in parent.advice


@pytest.mark.parametrize("how", [{"ins": "", "status": "PROV"}, {"status": "PROV"}, {"ins": OTHER_INS}, {"status": "DOUB"}])
def test_an_ins_that_is_withdrawn_or_changed_lists_what_was_sent_under_it(world: World, how: dict[str, str]) -> None:
    tell(world, build_adt("A28", control_id="1"))
    sent = send_under(world, "doc", PATIENT.ipp, PATIENT.ins)
    other = send_under(world, "doc-2", "SOMEBODY-ELSE", PATIENT.ins)
    tell(world, build_adt("A31", control_id="2", at="20261121090000", **how))  # type: ignore[arg-type]
    expected = "ins-changed" if how.get("ins") else "ins-withdrawn"
    (parent,) = [item for item in items(world, WorkAbout.PATIENT) if item.reason == expected]
    assert sent.id in parent.advice
    assert other.id not in parent.advice
    assert world.states(sent)["role:a/mssante"] == "parked"
    assert known(world).standing_of(INS).value == expected


def test_a_movement_without_ins_withdraws_nothing(world: World) -> None:
    tell(world, build_adt("A28", control_id="1"), build_adt("A03", ins="", control_id="2", at="20261121090000"))
    assert known(world).standing_of(INS) is InsStanding.STANDS


def test_an_account_moved_lists_the_documents_of_that_account_only(world: World) -> None:
    receipt_id = world.receive()
    numbers = (number("OLD"), LocalIdentifier("DOS-1", "1.2.250.1.999.94.2", "AN"))
    stored = with_numbers(stored_submission("doc-of-account", receipt_id), numbers, None)
    moved = stored.translation.submission
    world.prepare(stored, receipt_id=receipt_id)
    other = send_under(world, "doc-of-another-account", "OLD")
    tell(world, build_adt("A44", ipp="NEW", merged=("OLD",), account="DOS-1"))
    (parent,) = items(world, WorkAbout.PATIENT)
    assert moved.id in parent.advice
    assert other.id not in parent.advice


# -- proofs by a receipt ----------------------------------------------------------------------------------------------------


def test_a_proof_that_a_receipt_brings_counts_as_one_of_a_queue(world: World) -> None:
    submission = send_under(world, "doc", PATIENT.ipp)
    delivery = world.accepted(MAIL)
    receipt_id = world.receive()
    claim = next(c for c in world.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.id == receipt_id)
    proof = Evidence(delivery.reference, S.DELIVERED, world.clock() + timedelta(minutes=1), "dsn")
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(evidences=(proof,)))
    assert world.states(submission)["role:a/mssante"] == "delivered"
    assert world.ledger.conservation(legal_entity=ENTITY).holds


def test_an_entry_is_kept_sealed_under_its_own_kind(world: World) -> None:
    tell(world, build_adt("A01"))
    (entry,) = world.ledger.find_patients(PATIENT.ipp, legal_entity=ENTITY)
    assert PATIENT.birth_name.encode() in world.ledger.read_payload(PayloadKind.PATIENT, entry.id, legal_entity=ENTITY)
