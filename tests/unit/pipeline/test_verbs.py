"""Prepare, dispatch and settle, on a real ledger with scripted partners: each branch, and each way a letter could be lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import LedgerError, UnavailableError
from adapter.ledger.records import Decision
from adapter.mapping.kinds import Understand
from adapter.model.delivery import Delivery, DeliveryState, SendOutcome
from adapter.model.effects import Translation
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall
from adapter.model.plan import ChannelName
from adapter.model.receipt import Arrival, ContentKind, Kept, Principal, Verdict
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.packaging.build import build_parcel
from adapter.packaging.parcel import Parcel
from adapter.pipeline import verbs
from adapter.pipeline.verbs import MOST_TRIES, POISON_CLAIMS, SETTLE_PAUSES
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import Directory, load_directory
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.directory import APHP_EJ, SANDBOX, small_territory, territory_files
from tests.builders.hl7 import DOCTOR, FAX_DOCTOR, build_mdm, build_oru, to_patient, to_professional
from tests.builders.instance import LEASE, UNCLEAR_WAIT, Instance, accepted, deferred, refused, unclear

MAIL, FAX, RECORD = ChannelName.SECURE_MAIL, ChannelName.FAX, ChannelName.SHARED_RECORD
LETTER = build_mdm(build_ldl_ses())
FAX_LETTER = build_mdm(build_ldl_ses(), recipients=(FAX_DOCTOR,))
DROPPED: dict[str, Any] = {"door": "folder:depot", "principal": Principal("depot", "folder", APHP_EJ)}
NOBODY = to_professional(rpps="99900009012", family="INCONNU", given="Un")
NOBODY_ELSE = to_professional(rpps="99900009038", family="INCONNUE", given="Une")


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


# ── the plain story ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_letter_for_an_equipped_doctor_leaves_by_mail_and_its_fax_waits(house: Instance) -> None:
    receipt = house.letter(LETTER)
    assert house.states(receipt) == {"mssante": "queued", "fax": "waiting"}
    assert house.dispatch() == 1
    assert house.states(receipt) == {"mssante": "accepted", "fax": "waiting"}
    assert house.conservation().holds


def test_what_leaves_goes_to_the_sandbox_of_a_test_instance(house: Instance) -> None:
    house.letter(LETTER)
    house.dispatch()
    assert [parcel.address for parcel in house.mail.parcels] == [SANDBOX[MAIL]]


def test_a_plan_made_for_real_addresses_never_leaves_a_test_instance(tmp_path: Path) -> None:
    production = RouteSettings(production=True)
    receipt = Instance(tmp_path, routes=production).letter(FAX_LETTER)
    house = Instance(tmp_path)
    house.dispatch(FAX)
    assert house.fax.parcels == []
    assert (house.states(receipt), house.reasons()) == ({"fax": "parked"}, ["outside-sandbox"])


# ── prepare ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_that_breaks_parks_the_receipt_for_a_person_and_a_retry_prepares_it(house: Instance) -> None:
    def broken(*_: object) -> tuple[()]:
        raise KeyError("x")

    readers = dict(house.pipeline._readers)
    house.pipeline._readers = dict.fromkeys(readers, broken)
    receipt = house.letter(LETTER)
    assert house.reasons() == ["prepare-failed"]
    house.pipeline._readers = readers
    house.resolve("retry")
    house.prepare()
    assert house.states(receipt) == {"mssante": "queued", "fax": "waiting"}
    assert house.reasons() == []


def test_a_receipt_that_is_parked_again_is_asked_again(house: Instance) -> None:
    house.pipeline._readers = {}
    house.letter(LETTER)
    house.resolve("retry")
    house.prepare()
    assert house.reasons() == ["prepare-failed"]


def test_a_receipt_claimed_too_often_is_a_person_s(house: Instance) -> None:
    house.accept(LETTER)
    for _ in range(POISON_CLAIMS):
        assert house.ledger.claim_receipts("dies", 8, LEASE)
        house.clock.advance(seconds=LEASE.total_seconds() + 1)
    house.prepare()
    assert house.reasons() == ["poison"]


def test_a_source_without_a_document_to_send_is_ignored_with_its_reason(house: Instance) -> None:
    answer = house.accept(LETTER)
    house.pipeline._readers = {kind: lambda *_: () for kind in house.pipeline._readers}
    house.prepare()
    assert house.timeline(answer.receipt_id).receipt.reason == "nothing-to-send"
    assert house.conservation().holds


def test_a_document_that_does_not_validate_is_parked_and_says_where(house: Instance) -> None:
    readers = house.pipeline._readers

    def spoilt(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
        return tuple(replace(t, bundle={"resourceType": "Bundle"}) for t in _understood(readers, arrival, receipt_id))

    house.pipeline._readers = dict.fromkeys(readers, spoilt)
    house.letter(LETTER)
    assert house.reasons() == ["invalid-output"]


def test_a_letter_of_an_unknown_unit_waits_for_a_person(house: Instance) -> None:
    house.letter(build_mdm(build_ldl_ses(), unit="99999"))
    assert house.reasons() == ["unknown-unit"]


def test_the_recipients_that_can_be_served_are_while_the_others_wait_for_a_person(house: Instance) -> None:
    receipt = house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR, NOBODY)))
    house.dispatch()
    assert house.states(receipt)["mssante"] == "accepted"
    assert house.reasons() == ["unknown-recipient"]


def test_two_unknown_recipients_are_two_questions(house: Instance) -> None:
    house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR, NOBODY, NOBODY_ELSE)))
    assert sorted(item.advice.partition(" :")[0] for item in house.items()) == ["Un INCONNU", "Une INCONNUE"]


def test_a_question_retried_before_its_cause_was_mended_is_asked_again(house: Instance) -> None:
    house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR, NOBODY)))
    for _ in range(3):
        house.resolve("retry")
        house.prepare()
        assert house.reasons() == ["unknown-recipient"]


def test_a_retry_serves_who_was_unknown_and_nobody_twice(house: Instance) -> None:
    receipt = house.letter(build_mdm(build_ldl_ses(), recipients=(DOCTOR, NOBODY)))
    house.dispatch()
    house.directory = _with_doctor("99900009012")
    house.resolve("retry")
    house.prepare()
    house.dispatch()
    house.dispatch(FAX)
    assert len(house.mail.parcels) == 1
    assert len(house.fax.parcels) == 1
    assert sorted(house.states(receipt).values()) == ["accepted", "accepted", "waiting"]


def test_a_retry_after_the_directory_changed_adds_no_second_channel_to_who_was_served(house: Instance) -> None:
    house.letter(build_mdm(build_ldl_ses(), recipients=(FAX_DOCTOR, NOBODY)))
    house.dispatch(FAX)
    house.directory = _with_mailbox_for_the_fax_doctor()
    house.resolve("retry")
    house.prepare()
    house.dispatch()
    assert (len(house.fax.parcels), len(house.mail.parcels)) == (1, 0)


def test_both_documents_of_an_oru_leave_in_one_mail(house: Instance) -> None:
    receipt = house.letter(build_oru(build_n1(), build_ldl_ses()))
    house.dispatch()
    assert len(house.mail.parcels) == 1
    assert house.conservation().holds
    assert receipt


def test_told_to_stop_prepare_gives_its_receipts_back_untouched(house: Instance) -> None:
    receipt = house.accept(LETTER).receipt_id
    house.pipeline.prepare_some("w1", goes_on=lambda: False)
    (claim,) = house.ledger.claim_receipts("w2", 8, LEASE)
    assert (claim.receipt.id, claim.attempts) == (receipt, 1)


def test_a_claim_lost_while_preparing_writes_nothing(house: Instance) -> None:
    receipt = house.accept(LETTER).receipt_id
    readers = house.pipeline._readers

    def slow(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
        house.clock.advance(seconds=LEASE.total_seconds() + 1)
        house.pipeline._readers = readers
        house.pipeline.prepare_some("w2")
        return _understood(readers, arrival, receipt_id)

    house.pipeline._readers = dict.fromkeys(readers, slow)
    house.pipeline.prepare_some("w1")
    assert house.states(receipt) == {"mssante": "queued", "fax": "waiting"}


# ── repeats ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_repeat_gets_the_first_bytes_even_when_today_s_directory_would_refuse_it(house: Instance) -> None:
    first = house.accept(LETTER)
    house.directory = small_territory()
    again = house.accept(LETTER)
    assert (again.kept, again.body, again.verdict) == (Kept.REPEAT, first.body, Verdict.ACCEPTED)


def test_a_refused_message_under_a_known_number_gets_its_own_refusal_and_opens_no_question(house: Instance) -> None:
    house.accept(LETTER)
    answer = house.accept(build_mdm(build_ldl_ses(), change={"MSH-12": "2.3"}))
    assert (answer.verdict, answer.kept) == (Verdict.REFUSED, Kept.STORED)
    assert house.reasons() == []


def test_a_known_number_on_another_content_is_a_conflict_and_a_person_is_told(house: Instance) -> None:
    house.accept(LETTER)
    answer = house.accept(build_mdm(build_n1()))
    assert answer.kept is Kept.CONFLICT
    assert house.reasons() == ["repeat.conflict"]


def test_a_known_document_under_another_number_is_accepted_and_not_sent_again(house: Instance) -> None:
    house.letter(LETTER)
    house.dispatch()
    answer = house.accept(build_mdm(build_ldl_ses(), control_id="AGAIN"))
    house.prepare()
    house.dispatch()
    assert (answer.verdict, len(house.mail.parcels)) == (Verdict.ACCEPTED, 1)
    assert house.conservation().holds


def test_one_id_for_two_contents_is_told_to_a_person(house: Instance) -> None:
    house.letter(build_mdm(build_n1()))
    house.letter(build_mdm(build_n1() + b"<!-- corrected -->", control_id="OTHER"))
    assert house.reasons() == ["same-id-other-content"]


def test_a_document_refused_everywhere_and_sent_again_is_asked_about(house: Instance) -> None:
    house.letter(FAX_LETTER)
    house.fax.script(refused("content-refused"))
    house.dispatch(FAX)
    house.resolve("close")
    house.letter(build_mdm(build_ldl_ses(), recipients=(FAX_DOCTOR,), control_id="AGAIN"))
    assert house.reasons() == ["sent-again"]
    house.resolve("retry")
    house.dispatch(FAX)
    assert len(house.fax.parcels) == 2


def test_a_document_that_a_person_stopped_and_that_comes_again_is_asked_about(house: Instance) -> None:
    house.letter(FAX_LETTER)
    house.fax.script(refused("no-such-number"))
    house.dispatch(FAX)
    house.resolve("cancel")
    house.letter(build_mdm(build_ldl_ses(), recipients=(FAX_DOCTOR,), control_id="AGAIN"))
    assert house.reasons() == ["sent-again"]


def test_the_same_letter_dropped_for_somebody_else_is_no_repeat(house: Instance) -> None:
    cda = build_ldl_ses()
    first = house.accept(cda, side_car=b'{"recipients": [{"rpps": "99700000013"}]}', **DROPPED)
    second = house.accept(cda, side_car=b'{"recipients": [{"rpps": "99900000029"}]}', **DROPPED)
    again = house.accept(cda, side_car=b'{"recipients": [{"rpps": "99900000029"}]}', **DROPPED)
    assert (first.kept, second.kept, again.kept) == (Kept.STORED, Kept.STORED, Kept.REPEAT)
    house.prepare()
    house.dispatch()
    house.dispatch(FAX)
    assert (len(house.mail.parcels), len(house.fax.parcels)) == (1, 1)


# ── dispatch ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_mail_opens_the_fax_and_asks_nobody(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch()
    assert house.states(receipt) == {"mssante": "refused", "fax": "queued"}
    assert house.reasons() == []


def test_the_last_leg_refused_is_a_person_s(house: Instance) -> None:
    house.letter(FAX_LETTER)
    house.fax.script(refused("content-refused"))
    house.dispatch(FAX)
    assert house.reasons() == ["content-refused"]
    assert house.conservation().holds


def test_a_cause_for_a_person_parks_and_opens_no_other_channel(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(refused("identity-904"))
    house.dispatch()
    assert house.states(receipt) == {"mssante": "parked", "fax": "waiting"}
    assert house.reasons() == ["identity-904"]


def test_a_busy_partner_is_tried_again_when_its_time_has_come_and_not_before(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(deferred("partner-busy"))
    house.dispatch()
    assert house.dispatch() == 0
    house.clock.advance(seconds=61)
    assert house.dispatch() == 1
    assert house.states(receipt)["mssante"] == "accepted"


def test_both_tries_are_the_same_bytes(house: Instance) -> None:
    house.letter(LETTER)
    house.mail.script(unclear())
    house.dispatch()
    house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    house.pipeline.settle_some()
    house.dispatch()
    first, second = house.mail.parcels
    assert first.content.message == second.content.message  # type: ignore[union-attr]


def test_after_an_unclear_send_the_partner_is_asked_before_anything_is_sent_again(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(unclear())
    house.dispatch()
    house.mail.found = accepted(DeliveryState.INTEGRATED)
    house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    house.pipeline.settle_some()
    house.dispatch()
    assert (len(house.mail.parcels), len(house.mail.asked)) == (1, 1)
    assert house.states(receipt)["mssante"] == "integrated"


def test_a_second_unclear_send_is_a_person_s_and_opens_no_other_channel(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(unclear(), unclear())
    house.dispatch()
    house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    house.pipeline.settle_some()
    house.dispatch()
    assert house.states(receipt) == {"mssante": "parked", "fax": "waiting"}
    assert house.reasons() == ["no-answer"]


def test_a_partner_that_goes_away_after_an_unclear_send_opens_no_fax_that_would_double_the_letter(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(unclear(), *(deferred("connect-failed") for _ in range(MOST_TRIES)))
    for _ in range(MOST_TRIES + 2):
        house.dispatch()
        house.clock.advance(hours=2)
        house.pipeline.settle_some()
    assert house.states(receipt) == {"mssante": "parked", "fax": "waiting"}
    assert house.reasons() == ["connect-failed", "partner-down"]


def test_a_plain_no_after_an_unclear_send_opens_the_fax(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(unclear(), refused("mailbox-unknown"))
    house.dispatch()
    house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    house.pipeline.settle_some()
    house.dispatch()
    assert house.states(receipt)["fax"] == "queued"


def test_a_channel_that_breaks_has_maybe_sent(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(RuntimeError("a defect"))
    house.dispatch()
    assert house.states(receipt) == {"mssante": "unclear", "fax": "waiting"}


def test_a_channel_that_is_closed_here_opens_the_next_one(house: Instance) -> None:
    receipt = house.letter(LETTER)
    del house.channels[MAIL]
    house.pipeline._channels = house.channels
    house.dispatch()
    assert house.states(receipt) == {"mssante": "refused", "fax": "queued"}


def test_a_rendition_that_cannot_be_made_is_a_person_s_and_the_channel_goes_on(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_parcel

    def fragile(delivery: Delivery, *rest: Any) -> Parcel:
        if delivery.submission_id == broken:
            raise ValueError("no glyph")
        return whole(delivery, *rest)

    broken = house.timeline(house.letter(LETTER)).submissions[0].submission.id
    house.letter(build_mdm(build_n1(), control_id="SECOND"))
    monkeypatch.setattr(verbs, "build_parcel", fragile)
    house.dispatch()
    assert (len(house.mail.parcels), house.reasons()) == (1, ["rendition-impossible"])


def test_a_delivery_that_keeps_killing_its_worker_is_a_person_s(house: Instance) -> None:
    house.letter(LETTER)
    for _ in range(POISON_CLAIMS + MOST_TRIES):
        assert house.ledger.claim_deliveries("dies", MAIL, 4, LEASE)
        house.clock.advance(seconds=LEASE.total_seconds() + 1)
        house.pipeline.settle_some()
    house.dispatch()
    assert (house.mail.parcels, house.reasons()) == ([], ["interrupted-often"])


def test_told_to_stop_dispatch_finishes_the_send_at_hand_and_gives_back_the_rest(house: Instance) -> None:
    receipts = [house.letter(LETTER), house.letter(build_mdm(build_n1(), control_id="SECOND"))]
    house.pipeline.dispatch_some("w1", MAIL, goes_on=lambda: not house.mail.parcels)
    assert sorted(house.states(receipt)["mssante"] for receipt in receipts) == ["accepted", "queued"]
    assert house.dispatch() == 1


def test_behind_a_slow_send_the_other_claims_are_given_back(house: Instance) -> None:
    def slow(_: Parcel) -> SendOutcome:
        house.clock.advance(seconds=LEASE.total_seconds() - 1)
        return accepted()

    receipts = [house.letter(LETTER), house.letter(build_mdm(build_n1(), control_id="SECOND"))]
    house.mail.script(slow)
    house.dispatch()
    assert sorted(house.states(receipt)["mssante"] for receipt in receipts) == ["accepted", "queued"]


def test_a_version_replaced_while_its_mail_was_made_never_reaches_the_wire(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_parcel

    def overtaken(delivery: Delivery, *rest: Any) -> Parcel:
        submission = house.timeline(receipt).submissions[0].submission
        newer = build_ldl_ses(version=2, replaces=submission.document.unique_id, document_id="1.2.250.1.213.1.1.9.501.2")
        monkeypatch.setattr(verbs, "build_parcel", whole)
        house.letter(newer, side_car=b'{"recipients": [{"rpps": "99700000013"}]}', **DROPPED)
        return whole(delivery, *rest)

    receipt = house.letter(LETTER)
    monkeypatch.setattr(verbs, "build_parcel", overtaken)
    house.dispatch()
    assert house.mail.parcels == []
    assert house.states(receipt)["mssante"] == "superseded"


# ── a ledger that is away, leases that run out ────────────────────────────────────────────────────────────────


def test_what_a_partner_said_waits_for_a_ledger_that_is_away(house: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = house.letter(LETTER)
    settle, failures = house.ledger.settle_send, iter([True, True, False])

    def away(*args: Any) -> None:
        if next(failures):
            raise LedgerError("ledger.unavailable", "away")
        settle(*args)

    monkeypatch.setattr(house.ledger, "settle_send", away)
    house.dispatch()
    assert house.states(receipt)["mssante"] == "accepted"
    assert house.pauses == list(SETTLE_PAUSES[:2])


def test_a_ledger_that_stays_away_leaves_the_send_unclear_and_not_forgotten(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = house.letter(LETTER)

    def away(*_: object) -> None:
        raise LedgerError("ledger.unavailable", "away")

    with monkeypatch.context() as patched:
        patched.setattr(house.ledger, "settle_send", away)
        with pytest.raises(LedgerError):
            house.dispatch()
    house.clock.advance(seconds=LEASE.total_seconds() + 1)
    house.pipeline.settle_some()
    assert house.states(receipt)["mssante"] == "unclear"


def test_a_send_slower_than_its_lease_and_wait_still_counts_when_nobody_sent_again(house: Instance) -> None:
    def very_slow(_: Parcel) -> SendOutcome:
        house.clock.advance(seconds=LEASE.total_seconds() + 1)
        house.pipeline.settle_some()
        house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
        house.pipeline.settle_some()
        return accepted()

    receipt = house.letter(LETTER)
    house.mail.script(very_slow)
    house.dispatch()
    assert house.states(receipt)["mssante"] == "accepted"
    assert (house.dispatch(), len(house.mail.parcels)) == (0, 1)


# ── settle ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_late_refusal_opens_the_fax(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.dispatch()
    house.prove(house.mail, DeliveryState.REFUSED, "mailbox-unknown")
    assert house.states(receipt) == {"mssante": "refused", "fax": "queued"}


@pytest.mark.parametrize("code", ["identity-900", "identity-904", "identity-906", "never-heard-of"])
def test_a_late_refusal_for_a_person_opens_no_other_channel(house: Instance, code: str) -> None:
    receipt = house.letter(LETTER)
    house.dispatch()
    house.prove(house.mail, DeliveryState.REFUSED, code)
    assert (house.states(receipt)["fax"], house.reasons()) == ("waiting", [code])


def test_a_busy_line_is_dialled_again_as_its_cause_asks_then_a_person_is_asked(house: Instance) -> None:
    receipt = house.letter(FAX_LETTER)
    states = []
    for _ in range(6):
        house.dispatch(FAX)
        house.prove(house.fax, DeliveryState.REFUSED, "line-busy")
        states.append(house.states(receipt)["fax"])
        house.clock.advance(hours=2)
    assert states == ["queued"] * 5 + ["refused"]
    assert (len(house.fax.parcels), house.reasons()) == (6, ["line-busy"])


def test_a_fax_that_a_proof_refused_waits_before_it_is_dialled_again(house: Instance) -> None:
    house.letter(FAX_LETTER)
    house.dispatch(FAX)
    house.prove(house.fax, DeliveryState.REFUSED, "line-busy")
    assert house.dispatch(FAX) == 0


def test_a_channel_whose_queue_cannot_be_read_holds_up_neither_proofs_nor_lost_leases(house: Instance) -> None:
    faxed, mailed = house.letter(FAX_LETTER), house.letter(build_mdm(build_n1(), control_id="SECOND"))
    house.dispatch(FAX)
    house.mail.collecting = PermissionError("spool")
    (claim,) = house.ledger.claim_deliveries("dies", MAIL, 4, LEASE)
    house.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, house.clock())
    house.clock.advance(seconds=LEASE.total_seconds() + 1)
    house.prove(house.fax, DeliveryState.DELIVERED)
    assert house.states(faxed)["fax"] == "delivered"
    assert house.states(mailed)["mssante"] == "unclear"


def test_a_proof_of_delivery_stops_the_fax_that_has_not_left(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.dispatch()
    house.prove(house.mail, DeliveryState.REFUSED, "mailbox-full")  # asks for a retry
    house.prove(house.mail, DeliveryState.DELIVERED)
    assert house.states(receipt)["mssante"] == "delivered"
    assert house.dispatch() == 0


def test_the_cursor_moves_with_its_proofs(house: Instance) -> None:
    house.letter(FAX_LETTER)
    house.dispatch(FAX)
    house.prove(house.fax, DeliveryState.DELIVERED)
    assert house.ledger.read_cursor("evidence:fax") == "1"


def test_the_calls_that_a_proof_tells_of_are_counted_once_they_are_kept(house: Instance) -> None:
    receipt = house.letter(FAX_LETTER)
    house.dispatch(FAX)
    (fax,) = house.timeline(receipt).submissions[0].deliveries
    call = FaxCall(fax.reference, CallDirection.OUT, house.clock(), "7", seconds=20.0, pages=2)
    house.fax.reports.append(Evidence(fax.reference, DeliveryState.DELIVERED, house.clock(), "fax", calls=(call,)))
    house.pipeline.settle_some()
    assert house.calls == [call]
    assert [kept.call for kept in house.timeline(receipt).calls] == [call]


# ── a person decides ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_delivery_is_not_retried_while_another_channel_serves_its_recipient(house: Instance) -> None:
    receipt = house.letter(LETTER)
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch()
    house.dispatch(FAX)
    mail = next(d for d in house.timeline(receipt).submissions[0].deliveries if d.channel is MAIL)
    house.ledger.open_work_item(WorkItem("w", APHP_EJ, WorkAbout.DELIVERY, mail.id, "look", "Regarder.", house.clock()))
    with pytest.raises(LedgerError, match="another channel"):
        house.ledger.resolve("w", Decision.RETRY, "x", legal_entity=APHP_EJ)


# ── urgent ────────────────────────────────────────────────────────────────────────────────────────────────────


def _urgent(house: Instance) -> str:
    side_car = b'{"recipients": [{"rpps": "99700000013"}], "urgency": "urgent"}'
    return house.letter(build_ldl_ses(), side_car=side_car, **DROPPED)


def test_an_urgent_letter_that_did_not_leave_at_once_is_told_to_somebody_who_can_call(house: Instance) -> None:
    receipt = _urgent(house)
    house.mail.script(deferred("connect-failed"))
    house.dispatch()
    (item,) = house.items()
    assert item.urgent
    assert house.states(receipt)["mssante"] == "queued"


def test_the_question_about_an_urgent_letter_closes_when_it_leaves_after_all(house: Instance) -> None:
    _urgent(house)
    house.mail.script(deferred("connect-failed"))
    house.dispatch()
    house.clock.advance(minutes=5)
    house.dispatch()
    assert house.reasons() == []


def test_an_urgent_letter_whose_sender_died_on_the_wire_is_told_at_once(house: Instance) -> None:
    _urgent(house)
    (claim,) = house.ledger.claim_deliveries("dies", MAIL, 4, LEASE)
    house.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, house.clock())
    house.clock.advance(seconds=LEASE.total_seconds() + 1)
    house.pipeline.settle_some()
    assert [(item.reason, item.urgent) for item in house.items()] == [("lease-lost", True)]


def test_an_urgent_letter_refused_late_is_told_at_once_though_the_fax_opens(house: Instance) -> None:
    receipt = _urgent(house)
    house.dispatch()
    house.prove(house.mail, DeliveryState.REFUSED, "mailbox-unknown")
    assert house.states(receipt)["fax"] == "queued"
    assert [(item.reason, item.urgent) for item in house.items()] == [("mailbox-unknown", True)]


# ── who may never receive ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("code", "reason"), [("R", "restricted"), ("V", "very-restricted")])
def test_a_restricted_letter_never_goes_by_fax(house: Instance, code: str, reason: str) -> None:
    house.letter(build_mdm(build_ldl_ses(confidentiality=code), recipients=(FAX_DOCTOR,)))
    house.dispatch(FAX)
    assert (house.fax.parcels, house.reasons()) == ([], [reason])


def test_a_restricted_letter_whose_mail_is_refused_opens_no_fax(house: Instance) -> None:
    receipt = house.letter(build_mdm(build_ldl_ses(confidentiality="V")))
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch()
    assert (house.states(receipt), house.reasons()) == ({"mssante": "refused"}, ["mailbox-unknown"])


def test_a_patient_whose_mail_is_refused_gets_no_fax(house: Instance) -> None:
    flags = {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}
    receipt = house.letter(build_mdm(build_ldl_ses(), recipients=(to_patient(),), flags=flags))
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch()
    assert house.states(receipt) == {"mssante": "refused"}
    assert house.reasons() == ["hand-over-or-post"]


def test_a_patient_s_box_that_turns_out_closed_is_a_letter_to_hand_over_or_post(house: Instance) -> None:
    flags = {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}
    house.letter(build_mdm(build_ldl_ses(), recipients=(to_patient(),), flags=flags))
    house.dispatch()
    house.prove(house.mail, DeliveryState.REFUSED, "mailbox-unknown")
    assert house.reasons() == ["hand-over-or-post"]


def test_a_record_leg_beside_a_mail_waits_for_nobody(house: Instance) -> None:
    receipt = house.letter(build_mdm(build_ldl_ses(), flags={"DESTDMP": "Y"}))
    house.record.script(accepted(DeliveryState.INTEGRATED))
    house.dispatch(RECORD)
    states = house.states(receipt)
    assert [state for leg, state in states.items() if leg.endswith("shared_record")] == ["integrated"]


# ── small directories ─────────────────────────────────────────────────────────────────────────────────────────


def _loaded(change: str = "", old: str = "") -> Directory:
    files = territory_files()
    name = "reference-territory.toml"
    text = files[name].decode()
    assert old in text
    files[name] = (text.replace(old, change, 1) if old else text + change).encode()
    return load_directory(files)


def _with_doctor(rpps: str) -> Directory:
    return _loaded(
        f'\n[[practitioner]]\nrpps = "{rpps}"\nfamily = "INCONNU"\n'
        '[[practitioner.role]]\nkey = "inconnu-fontenay"\norganisation = "fontenay"\nfax = "01 99 00 46 49"\n'
    )


def _with_mailbox_for_the_fax_doctor() -> Directory:
    old = 'key = "fictif-fontenay"\norganisation = "fontenay"\n'
    return _loaded(old + 'mailbox = "sacha.fictif@cms-ivry.formation.mssante.fr"\n', old)


def _understood(readers: Mapping[ContentKind, Understand], arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
    return readers[ContentKind.HL7V2](arrival, receipt_id)


def test_a_directory_that_cannot_be_read_refuses_nothing_for_good(tmp_path: Path) -> None:
    instance = Instance(tmp_path)

    def unreadable() -> Directory:
        raise OSError("gone")

    instance.pipeline._judge._directory = unreadable
    with pytest.raises(UnavailableError, match=r"directory\.unreadable"):
        instance.accept(LETTER)
    assert instance.conservation().received == 0


def test_a_message_that_wants_no_answer_is_kept_with_none_and_its_repeat_too(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    quiet = build_mdm(build_ldl_ses(), change={"MSH-16": "NE"})
    first, again = instance.accept(quiet), instance.accept(quiet)
    assert (first.verdict, first.kept, first.body) == (Verdict.ACCEPTED, Kept.STORED, b"")
    assert (again.kept, again.body) == (Kept.REPEAT, b"")
    assert instance.prepare() == 1
