"""Ledger ↔ partners: each difference ends as a proof or as a question, asked once; who cannot say is asked the next night."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from adapter.channels.fax import FaxSpoolChannel, FaxSpoolSettings, spool_name
from adapter.ledger.night import SentDelivery
from adapter.ledger.records import WorkFilter
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.plan import ChannelName
from adapter.service.night_round import asking_parcel
from adapter.sync.night import Report
from adapter.sync.reconcile import MailboxLook, Partners, Reconcile, ReconcileSettings
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ, EQUIPPED, SOON_EQUIPPED
from tests.builders.hl7 import build_mdm, to_professional
from tests.builders.instance import Instance, accepted, unclear
from tests.builders.night import shift

FAX, MAIL, RECORD = ChannelName.FAX, ChannelName.SECURE_MAIL, ChannelName.SHARED_RECORD
S = DeliveryState
HELD = SendOutcome(OutcomeKind.ACCEPTED, proves=S.INTEGRATED)
SPOOLED = SendOutcome(OutcomeKind.ACCEPTED)
AWAY = SendOutcome(OutcomeKind.DEFERRED, "connect-timeout")


def letter(number: int, rpps: str, **flags: str) -> bytes:
    document = build_ldl_ses(document_id=f"1.2.250.1.213.6.{number}.1", set_id=f"1.2.250.1.213.6.{number}")
    return build_mdm(document, control_id=f"R{number}", recipients=(to_professional(rpps=rpps),), flags=flags)


@dataclass
class Partner:
    """Says what it was told to say of a delivery; nothing by default."""

    says: dict[str, SendOutcome | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    otherwise: SendOutcome | None = None

    def __call__(self, sent: SentDelivery) -> SendOutcome | None:
        self.asked.append(sent.delivery.id)
        answer = self.says.get(sent.delivery.id, self.otherwise)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class View:
    """What comparing a mailbox gave."""

    seen: int = 3
    shown_again: int = 0
    marked_again: int = 0
    unread: int = 0
    stuck: int = 0


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def job(house: Instance, partners: Partners) -> Reconcile:
    settings = ReconcileSettings((APHP_EJ,), days=7, proof_days=3)
    return Reconcile(house.ledger.night, house.ledger, partners, settings, lambda: str(uuid.uuid4()))


def run(house: Instance, partners: Partners, *, dry_run: bool = False) -> Report:
    return job(house, partners).run(shift(house, dry_run=dry_run))


def in_doubt(house: Instance, number: int = 1) -> str:
    """A fax that may have left, twice: a person was asked. Its receipt."""
    house.fax.script(unclear(), unclear())
    receipt = house.letter(letter(number, SOON_EQUIPPED))
    house.dispatch(FAX)
    house.clock.advance(minutes=20)
    house.pipeline.settle_some()
    house.dispatch(FAX)
    assert house.states(receipt) == {"fax": "parked"} and house.reasons() == ["no-answer"]
    return receipt


# ── in doubt ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_in_doubt_and_lies_at_the_partner_s_is_proved_and_its_question_closed(house: Instance) -> None:
    receipt = in_doubt(house)
    report = run(house, Partners({FAX: Partner(otherwise=SPOOLED)}))
    assert report.counts["settled"] == 1
    assert house.states(receipt) == {"fax": "accepted"} and house.reasons() == []


def test_what_the_partner_does_not_hold_stays_a_person_s(house: Instance) -> None:
    receipt = in_doubt(house)
    report = run(house, Partners({FAX: Partner()}))
    assert report.counts["settled"] == 0
    assert house.states(receipt) == {"fax": "parked"} and house.reasons() == ["no-answer"]


def test_a_dry_run_asks_and_settles_nothing(house: Instance) -> None:
    receipt = in_doubt(house)
    assert run(house, Partners({FAX: Partner(otherwise=SPOOLED)}), dry_run=True).counts["settled"] == 1
    assert house.states(receipt) == {"fax": "parked"} and house.reasons() == ["no-answer"]


# ── record ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def fed(house: Instance, number: int) -> str:
    """A document that the record took; its delivery's id."""
    house.record.script(accepted(S.INTEGRATED))
    receipt = house.letter(letter(number, EQUIPPED, DESTDMP="Y"))
    house.dispatch(RECORD)
    (mine,) = [d for trace in house.timeline(receipt).submissions for d in trace.deliveries if d.channel is RECORD]
    assert mine.state is S.INTEGRATED
    return mine.id


def test_a_document_that_the_record_lost_is_asked_about_once_and_each_is_looked_for_once(house: Instance) -> None:
    kept, lost = fed(house, 1), fed(house, 2)
    record = Partner({kept: HELD})
    report = run(house, Partners({RECORD: record}))
    assert report.counts["missing"] == 1 and lost in report.to_do[0]
    assert house.reasons() == ["record-lost"]
    assert sorted(record.asked) == sorted([kept, lost])
    run(house, Partners({RECORD: record}))
    assert len(record.asked) == 2 and house.reasons() == ["record-lost"]


def test_a_record_that_cannot_say_is_asked_again_the_next_night(house: Instance) -> None:
    fed(house, 1)
    away = Partner(otherwise=AWAY)
    assert run(house, Partners({RECORD: away})).counts["missing"] == 0
    broken = Partner(says={name: OSError("no route") for name in away.asked})
    assert run(house, Partners({RECORD: broken})).counts["missing"] == 0
    assert house.reasons() == []
    assert run(house, Partners({RECORD: Partner()})).counts["missing"] == 1


def test_the_record_is_asked_by_the_document_s_own_identifier(house: Instance) -> None:
    fed(house, 1)
    (sent,) = house.ledger.night.sent_deliveries(
        RECORD, (S.INTEGRATED,), (house.clock() - timedelta(days=1), ""), 10, legal_entity=APHP_EJ
    )
    content = asking_parcel(sent).content
    assert getattr(content, "master_identifier", "") == "urn:oid:1.2.250.1.213.6.1.1"


# ── fax queue ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fax_that_its_spool_lost_is_a_question_and_a_job_of_nobody_s_too(house: Instance, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    channel = FaxSpoolChannel(FaxSpoolSettings(spool, dials=False))
    there, gone = house.letter(letter(1, SOON_EQUIPPED)), house.letter(letter(2, SOON_EQUIPPED))
    house.dispatch(FAX)
    name = spool_name(house.fax.parcels[0].reference)
    (spool / f"{name}.json").write_text(f'{{"reference": "{house.fax.parcels[0].reference}"}}', encoding="utf-8")
    (spool / "who.json").write_text('{"reference": "who"}', encoding="utf-8")
    partners = Partners({FAX: lambda sent: channel.find(asking_parcel(sent))}, channel.references)
    report = run(house, partners)
    assert (report.counts["missing"], report.counts["extra"]) == (1, 1)
    assert house.reasons() == ["fax-lost", "fax-unknown"]
    assert house.states(there) == house.states(gone) == {"fax": "accepted"}
    (spool / "who.json").unlink()
    run(house, partners)
    assert house.reasons() == ["fax-lost"], "nobody is asked any more about what is gone"


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_letters_that_nobody_proved_are_one_question_a_domain_closed_by_their_proofs(house: Instance) -> None:
    for number in (1, 2):
        house.letter(letter(number, EQUIPPED))
    house.dispatch(MAIL)
    assert run(house, Partners()).counts["unproved"] == 0, "too early"
    house.clock.advance(days=4)
    report = run(house, Partners())
    assert report.counts["unproved"] == 2 and len(report.to_do) == 1 and "2 message(s)" in report.to_do[0]
    assert house.reasons() == ["mail-unproved"]
    for parcel in list(house.mail.parcels):
        house.mail.parcels[:] = [parcel]
        house.prove(house.mail, S.DELIVERED)
    run(house, Partners())
    assert house.reasons() == []


@pytest.mark.parametrize(("view", "asked"), [(View(), []), (View(unread=2), ["mail-unread"]), (View(shown_again=1), [])])
def test_mails_that_the_service_does_not_read_are_a_question(house: Instance, view: View, asked: list[str]) -> None:
    look: Callable[..., View] = lambda _shift: view  # noqa: E731
    report = run(house, Partners(mailboxes=(MailboxLook("cms", APHP_EJ, look),)))
    assert house.reasons() == asked
    assert report.counts["mails_put_right"] == view.shown_again


def test_a_mailbox_that_cannot_be_opened_is_told(house: Instance) -> None:
    report = run(house, Partners(mailboxes=(MailboxLook("cms", APHP_EJ, lambda _: None),)))
    assert "La boîte « cms »" in report.to_do[0]


def test_every_question_is_listed_in_the_queue(house: Instance) -> None:
    run(house, Partners(fax_queue=lambda: ("who",)))
    assert [i.about_id for i in house.ledger.list_work_items(WorkFilter(reason="fax-unknown"), legal_entity=APHP_EJ)] == ["fax"]
