"""What senders are told: every order of proofs, once each, again only when the truth changes, never what was not asked."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from adapter.model.ack import AckKind, Proof, Told
from adapter.model.submission import AcksWanted
from adapter.tracking.ack_retries import TRIES_BEFORE_ALARM, decide_after_ack, is_absent
from adapter.tracking.business_ack import MOST_TIMES, Answer, owed_answers
from adapter.tracking.causes import load_causes
from tests.builders.instance import accepted, deferred, refused, unclear

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
BOTH = AcksWanted(reception=True, reading=True)
RECEPTION, READING = AcksWanted(reception=True), AcksWanted(reading=True)
BY_MAIL = AcksWanted(notify_address="alix@ght.mssante.fr")

DELIVERED = ("delivered", "", "dsn", "dsn 2.0.0")
READ = ("read", "", "mdn", "mdn displayed")
INTEGRATED = ("integrated", "", "mdn", "mdn processed")
BOUNCED = ("refused", "mailbox-unknown", "dsn", "dsn mailbox-unknown 5.1.1")
NOT_OURS = ("refused", "identity-902", "mdn", "mdn identity-902 processed")
DELETED = ("refused", "identity-906", "mdn", "mdn identity-906 deleted")


def proof(what: tuple[str, str, str, str], minute: int = 0, role: str = "role:a", channel: str = "mssante") -> Proof:
    state, cause, source, detail = what
    return Proof(role, channel, state, START + timedelta(minutes=minute), cause, source, detail)


def said(answers: tuple[Answer, ...]) -> list[str]:
    return [f"{one.kind.value} {'Y' if one.positive else 'N'}" + (f" {one.reason.code}" if one.reason else "") for one in answers]


def one_by_one(wanted: AcksWanted, *proofs: tuple[str, str, str, str], channel: str = "mssante") -> list[str]:
    """What is told when each proof is settled before the next one comes."""
    told: dict[AckKind, Told] = {}
    messages: list[str] = []
    for minute, what in enumerate(proofs):
        answers = owed_answers(wanted, [proof(what, minute, channel=channel)], tuple(told.values()))
        messages += said(answers)
        for answer in answers:
            times = told[answer.kind].times + 1 if answer.kind in told else 1
            told[answer.kind] = Told(answer.kind, answer.role_id, answer.positive, times)
    return messages


# ── each proof alone ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "what", "messages"),
    [
        (BOTH, DELIVERED, ["Z02 Y"]),
        (BOTH, READ, ["Z02 Y", "Z03 Y"]),
        (BOTH, INTEGRATED, ["Z02 Y", "Z03 Y"]),
        (BOTH, BOUNCED, ["Z02 N 550"]),
        (BOTH, NOT_OURS, ["Z02 Y", "Z03 N 902"]),
        (BOTH, DELETED, ["Z02 Y", "Z03 N 906"]),
        (RECEPTION, READ, ["Z02 Y"]),
        (RECEPTION, NOT_OURS, ["Z02 Y"]),
        (READING, DELIVERED, []),
        (READING, BOUNCED, []),
        (READING, READ, ["Z03 Y"]),
        (AcksWanted(), READ, []),
        (AcksWanted(), BOUNCED, []),
    ],
)
def test_a_proof_is_told_as_what_was_asked(wanted: AcksWanted, what: tuple[str, str, str, str], messages: list[str]) -> None:
    assert said(owed_answers(wanted, [proof(what)], ())) == messages


def test_acceptance_by_our_operator_is_told_to_nobody() -> None:
    """SMTP 250 proves nothing of the mailbox."""
    assert owed_answers(BOTH, [proof(("accepted", "", "w1", ""))], ()) == ()


def test_the_answer_is_dated_of_what_it_tells() -> None:
    (first, second) = owed_answers(BOTH, [proof(DELIVERED, 1), proof(READ, 7)], ())
    assert (first.happened_at, second.happened_at) == (START + timedelta(minutes=1), START + timedelta(minutes=7))


# ── orders (complaint 27) ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", list(itertools.permutations([DELIVERED, READ, INTEGRATED])))
def test_good_proofs_in_any_order_give_one_y_each(order: tuple[tuple[str, str, str, str], ...]) -> None:
    assert sorted(one_by_one(BOTH, *order)) == ["Z02 Y", "Z03 Y"]


@pytest.mark.parametrize(
    ("order", "messages"),
    [
        ((DELIVERED, BOUNCED), ["Z02 Y", "Z02 N 550"]),
        ((BOUNCED, DELIVERED), ["Z02 N 550", "Z02 Y"]),
        ((BOUNCED, BOUNCED), ["Z02 N 550"]),
        ((BOUNCED, READ), ["Z02 N 550", "Z02 Y", "Z03 Y"]),
        ((READ, DELIVERED), ["Z02 Y", "Z03 Y"]),
        ((NOT_OURS, DELIVERED), ["Z02 Y", "Z03 N 902"]),
        ((NOT_OURS, INTEGRATED), ["Z02 Y", "Z03 N 902", "Z03 Y"]),
        ((READ, NOT_OURS), ["Z02 Y", "Z03 Y", "Z03 N 902"]),
        ((READ, DELETED), ["Z02 Y", "Z03 Y"]),
        ((DELETED, READ), ["Z02 Y", "Z03 N 906", "Z03 Y"]),
        ((DELIVERED, DELIVERED, READ, READ), ["Z02 Y", "Z03 Y"]),
    ],
)
def test_the_published_table_of_orders(order: tuple[tuple[str, str, str, str], ...], messages: list[str]) -> None:
    assert one_by_one(BOTH, *order) == messages


def test_news_that_come_together_are_told_as_they_stand_in_the_end() -> None:
    """A failure notice and a success notice for one mail in one round: one answer."""
    assert said(owed_answers(BOTH, [proof(BOUNCED, 1), proof(DELIVERED, 2)], ())) == ["Z02 Y"]
    assert said(owed_answers(BOTH, [proof(DELIVERED, 1), proof(BOUNCED, 2)], ())) == ["Z02 N 550"]


def test_a_truth_that_changed_and_changed_back_before_it_was_told_is_not_told() -> None:
    told = (Told(AckKind.DELIVERY, "role:a", True),)
    assert owed_answers(BOTH, [proof(BOUNCED, 1), proof(DELIVERED, 2)], told) == ()


def test_proofs_that_contradict_each_other_for_ever_end() -> None:
    assert len(one_by_one(RECEPTION, *[BOUNCED, DELIVERED] * 10)) == MOST_TIMES


def test_recipients_are_told_of_one_by_one() -> None:
    answers = owed_answers(BOTH, [proof(DELIVERED, role="role:a"), proof(BOUNCED, role="role:b")], ())
    assert [(a.role_id, a.positive) for a in answers] == [("role:a", True), ("role:b", False)]


# ── the record, software behind a mailbox, other ways ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "cause", "messages"),
    [
        ("integrated", "", ["Z01 Y"]),
        ("refused", "content-refused", ["Z01 N content-refused"]),
        ("refused", "auth-refused", ["Z01 N auth-refused"]),
        ("parked", "no-record", ["Z01 N no-record"]),
        ("parked", "conflict", ["Z01 N conflict"]),
        ("parked", "no-answer", []),
        ("parked", "rendition-impossible", []),
        ("cancelled", "handed-over", ["Z01 N handed-over"]),
        ("cancelled", "served-by-earlier-leg", []),
    ],
)
def test_the_records_answer_is_a_z01(state: str, cause: str, messages: list[str]) -> None:
    what = (state, cause, "w1", cause)
    assert one_by_one(RECEPTION, what, channel="shared_record") == messages
    assert one_by_one(READING, what, channel="shared_record") == []


def test_a_record_that_a_person_got_to_take_it_in_the_end_is_told() -> None:
    parked, taken = ("parked", "no-record", "plan", ""), ("integrated", "", "w1", "")
    assert one_by_one(RECEPTION, parked, taken, channel="shared_record") == ["Z01 N no-record", "Z01 Y"]


@pytest.mark.parametrize("channel", ["fax", "hl7_push"])
def test_other_ways_out_owe_no_message(channel: str) -> None:
    assert one_by_one(BOTH, ("delivered", "", "w1", ""), ("integrated", "", "w1", ""), channel=channel) == []


def test_what_came_by_mail_is_answered_by_mail_once_software_took_or_refused_it() -> None:
    taken, refused_902 = ("integrated", "", "w1", "AA"), ("parked", "identity-902", "w1", "AE 207 902")
    assert one_by_one(BY_MAIL, taken, channel="hl7_push") == ["MDN Y"]
    assert one_by_one(BY_MAIL, refused_902, taken, channel="hl7_push") == ["MDN N 902", "MDN Y"]
    assert one_by_one(BY_MAIL, ("parked", "no-answer", "w1", ""), channel="hl7_push") == []


def test_a_mail_is_answered_as_a_whole_whichever_of_its_documents_is_news() -> None:
    at_the_door = proof(("refused", "identity-903", "plan", ""), role="mail", channel="")
    by_software = proof(("refused", "identity-902", "w1", ""), role="role:a", channel="hl7_push")
    taken = proof(("integrated", "", "w1", ""), role="role:b", channel="hl7_push")
    told = (Told(AckKind.MAIL, "", False),)
    assert said(owed_answers(BY_MAIL, [at_the_door], ())) == ["MDN N 903"]
    assert owed_answers(BY_MAIL, [by_software], told) == ()
    assert said(owed_answers(BY_MAIL, [taken], told)) == ["MDN Y"]
    assert said(owed_answers(AcksWanted(failure_address="ko@h.fr"), [at_the_door], ())) == ["MDN N 903"]
    assert owed_answers(AcksWanted(failure_address="ko@h.fr"), [taken], told) == ()
    assert owed_answers(BOTH, [at_the_door], ()) == ()


# ── reasons ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("cause", "detail", "code"),
    [
        ("mailbox-unknown", "rcpt 550 5.1.1", "550"),
        ("mailbox-unknown", "rcpt 553 5.1.3", "553"),
        ("mailbox-full", "dsn mailbox-full 4.2.2", "552"),
        ("mailbox-full", "", "422"),
        ("too-large", "mail 552 5.3.4", "552"),
        ("too-large", "dsn too-large 5.3.4", "523"),
        ("domain-refused", "5.1.2", "512"),
        ("connect-failed", "connect unreachable", "101"),
        ("connect-timeout", "connect timeout", "420"),
        ("content-refused", "data 599 5.9.9", "554"),
        ("never-heard-of", "", "554"),
        ("partner-busy", "rcpt 450 4.2.0", "450"),
    ],
)
def test_the_smtp_code_is_the_relays_own_or_the_causes(cause: str, detail: str, code: str) -> None:
    (answer,) = owed_answers(RECEPTION, [proof(("refused", cause, "dsn", detail))], ())
    assert answer.reason is not None and answer.reason.code == code and answer.reason.label


@pytest.mark.parametrize("code", [str(code) for code in range(900, 907)])
def test_the_readers_reason_is_the_code_of_table_0533(code: str) -> None:
    (answer,) = owed_answers(READING, [proof(("refused", f"identity-{code}", "ko-mail", ""))], ())
    assert answer.reason is not None and answer.reason.code == code and answer.reason.label


def test_every_cause_of_the_product_has_its_row_of_codes() -> None:
    ours = set(load_causes()) - {
        # Of channels that owe no message.
        "spool-full", "spool-unwritable", "line-busy", "no-fax-answer", "no-such-number", "partner-unknown", "no-ack-partner",
    }  # fmt: skip
    from adapter.tracking.business_ack import _tables

    assert ours <= set(_tables().causes)
    assert {row.smtp for row in _tables().causes.values()} <= set(_tables().smtp)
    assert set(_tables().enhanced.values()) <= set(_tables().smtp)


# ── tries ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("outcome", [deferred("connect-failed"), deferred("partner-busy"), unclear(), refused("auth-refused")])
def test_an_acknowledgement_goes_again_for_ever_with_growing_pauses(outcome: object) -> None:
    decisions = [decide_after_ack(outcome, attempts, 0.5) for attempts in (1, 5, 40, 4000)]  # type: ignore[arg-type]
    pauses = [decision.delay for decision in decisions]
    assert {decision.state.value for decision in decisions} == {"queued"}
    assert pauses == sorted(pauses) and pauses[-1] == timedelta(seconds=900)


@pytest.mark.parametrize("cause", ["identity-906", "content-refused", "no-ack-partner", "partner-unknown", "never-heard-of"])
def test_a_plain_no_parks_it_with_its_reason(cause: str) -> None:
    decision = decide_after_ack(refused(cause), 1, 0.5)
    assert (decision.state.value, decision.cause, decision.needs_person) == ("parked", cause, True)


def test_taken_is_taken() -> None:
    assert decide_after_ack(accepted(), 9, 0.5).state.value == "accepted"


def test_an_absent_partner_is_told_of_after_some_tries_only() -> None:
    assert [is_absent(deferred("connect-failed"), n) for n in (1, TRIES_BEFORE_ALARM - 1, TRIES_BEFORE_ALARM)] == [
        False,
        False,
        True,
    ]
    assert not is_absent(refused("identity-902"), 9) and not is_absent(accepted(), 9)
