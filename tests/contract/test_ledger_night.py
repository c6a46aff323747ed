"""What the nightly round asks of the ledger, on both engines: faxes that give way, copies, retention, figures, one at a time."""

from __future__ import annotations

import uuid
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from adapter.errors import LedgerError, StalePlanError
from adapter.ledger.night import NightLedger
from adapter.ledger.records import PayloadKind, SeenPatient
from adapter.ledger.retention import Limits
from adapter.ledger.statistics import FigureKey
from adapter.ledger.upgrades import BetterLegs, FaxedDocument
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.plan import Leg, RecipientPlan
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, MAIL, OTHER_ENTITY, RECORD, World, work_item

pytestmark = pytest.mark.contract
S = DeliveryState
PARIS = ZoneInfo("Europe/Paris")
NOBODY = SeenPatient(None)


def night(world: World) -> NightLedger:
    return world.ledger.night


def better(*channels: Leg, keeps_fax: bool = True) -> BetterLegs:
    return BetterLegs(channels, keeps_fax, NOBODY)


BY_MAIL = Leg(MAIL, "dr@new.mssante.example", 1, "ouverte", "2026-11-21")
BY_RECORD = Leg(RECORD, "record", 1, "ouvert", "2026-11-21")


def make_for(fax: FaxedDocument):  # type: ignore[no-untyped-def]
    """Rows for legs, as the pipeline makes them."""

    def make(role: RecipientPlan) -> tuple[Delivery, ...]:
        first = min(leg.order for leg in role.legs)
        submission = fax.submission
        return tuple(
            Delivery(
                id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{submission.id}/{leg.channel}/{leg.order}")),
                submission_id=submission.id,
                legal_entity=submission.legal_entity,
                document_id=submission.document.unique_id,
                version=submission.document.version,
                intent=submission.intent.value,
                role_id=role.role_id,
                channel=leg.channel,
                leg=leg.order,
                state=S.QUEUED if leg.order == first else S.WAITING,
                reference=f"<{uuid.uuid4()}@test.example>",
            )
            for leg in role.legs
        )

    return make


def unsent(world: World) -> list[FaxedDocument]:
    return night(world).unsent_faxes("", 50, legal_entity=ENTITY)


def faxed(world: World, document: str = "doc-1") -> FaxedDocument:
    world.send(document, channels=(FAX,))
    world.prove(world.accepted(FAX), S.DELIVERED)
    start = world.clock() - timedelta(days=1)
    return next(
        one
        for one in night(world).faxed_documents(start, "", 50, legal_entity=ENTITY)
        if one.submission.document.unique_id == document
    )


# ── faxes that have not left ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_queued_fax_waits_behind_the_better_legs(world: World) -> None:
    submission = world.send(channels=(FAX,))
    (fax,) = unsent(world)
    legs = better(BY_RECORD, Leg(MAIL, "dr@new.mssante.example", 2, "ouverte"))
    assert night(world).would_give_way(fax, legs, make_for(fax)) == 2
    assert world.states(submission) == {"role:a/fax": "queued"}
    assert night(world).give_way(fax, legs, make_for(fax)) == 2
    assert world.states(submission) == {"role:a/shared_record": "queued", "role:a/mssante": "waiting", "role:a/fax": "waiting"}
    order = {one.channel: one.leg for one in world.deliveries(submission.id)}
    assert order[RECORD] < order[MAIL] < order[FAX]
    assert "replanned" in world.events(submission.id)


def test_each_leg_still_finds_itself_in_the_stored_plan(world: World) -> None:
    world.send(channels=(FAX,))
    (fax,) = unsent(world)
    night(world).give_way(fax, better(BY_MAIL), make_for(fax))
    (claim,) = world.claim(MAIL)
    places = {(leg.channel, leg.order) for leg in claim.plan.recipients[0].legs}
    assert places == {(one.channel, one.leg) for one in world.deliveries(fax.submission.id)}
    world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
    world.settle(claim.delivery, S.REFUSED, open_next_leg=True)
    assert world.claim_one(FAX).id == fax.delivery.id, "the fallback opens"


def test_a_fax_that_no_plan_wants_any_more_gives_way_for_good(world: World) -> None:
    submission = world.send(channels=(FAX,))
    (fax,) = unsent(world)
    night(world).give_way(fax, better(BY_MAIL, keeps_fax=False), make_for(fax))
    assert world.states(submission) == {"role:a/mssante": "queued", "role:a/fax": "superseded"}


def test_a_fax_claimed_in_the_meantime_is_left(world: World) -> None:
    world.send(channels=(FAX,))
    (fax,) = unsent(world)
    world.claim_one(FAX)
    assert night(world).give_way(fax, better(BY_MAIL), make_for(fax)) == 0


def test_given_way_once_it_gives_way_no_more(world: World) -> None:
    world.send(channels=(FAX,))
    (fax,) = unsent(world)
    assert night(world).give_way(fax, better(BY_MAIL), make_for(fax)) == 1
    assert night(world).give_way(fax, better(BY_MAIL), make_for(fax)) == 0
    assert unsent(world) == []


def test_a_fax_that_is_the_fallback_of_a_refused_mail_is_left(world: World) -> None:
    submission = world.send(channels=(MAIL, FAX))
    world.settle(world.on_wire(MAIL), S.REFUSED, open_next_leg=True)
    (fax,) = unsent(world)
    assert night(world).give_way(fax, better(BY_MAIL), make_for(fax)) == 0
    assert world.states(submission) == {"role:a/mssante": "refused", "role:a/fax": "queued"}


def test_another_entity_s_faxes_are_never_seen(world: World) -> None:
    world.send(channels=(FAX,), entity=OTHER_ENTITY)
    assert unsent(world) == []


def test_a_plan_made_before_the_index_changed_is_made_again(world: World) -> None:
    world.send(channels=(FAX,))
    (fax,) = unsent(world)
    another_word = SeenPatient(view=object())  # type: ignore[arg-type]
    with pytest.raises(StalePlanError):
        night(world).give_way(fax, BetterLegs((BY_MAIL,), True, another_word), make_for(fax))


# ── copies ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_is_queued_once_and_the_fax_keeps_its_proof(world: World) -> None:
    fax = faxed(world)
    assert night(world).would_copy(fax, BY_MAIL, NOBODY, make_for(fax))
    assert night(world).add_copy(fax, BY_MAIL, NOBODY, make_for(fax))
    assert not night(world).add_copy(fax, BY_MAIL, NOBODY, make_for(fax))
    assert world.states(fax.submission) == {"role:a/fax": "delivered", "role:a/mssante": "queued"}


def test_a_document_that_another_message_mailed_already_is_not_copied(world: World) -> None:
    world.send("doc-1", channels=(MAIL,), roles=("role:a",))
    world.settle(world.on_wire(MAIL), S.REFUSED)
    world.send("doc-1", channels=(FAX,), roles=("role:a",))
    world.prove(world.accepted(FAX), S.DELIVERED)
    (fax,) = night(world).faxed_documents(world.clock() - timedelta(days=1), "", 50, legal_entity=ENTITY)
    assert not night(world).add_copy(fax, BY_MAIL, NOBODY, make_for(fax))


def test_an_older_version_is_not_copied(world: World) -> None:
    fax = faxed(world, "doc-1")
    world.send("doc-2", channels=(FAX,), version=2, replaces="doc-1", roles=("role:b",))
    assert not night(world).add_copy(fax, BY_MAIL, NOBODY, make_for(fax))


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────


def limits(world: World, days: int = 366) -> Limits:
    moment = world.clock() - timedelta(days=days)
    return Limits(moment, moment, moment)


def purge(world: World) -> int:
    return sum(night(world).purge_receipts(limits(world), legal_entity=ENTITY))


def test_content_goes_and_a_question_elsewhere_keeps_nothing(world: World) -> None:
    over = world.send("doc-1", channels=(MAIL,))
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    asked = world.send("doc-2", channels=(MAIL,))
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, asked.id))
    world.clock.advance(days=400)
    assert night(world).due_receipts(limits(world), legal_entity=ENTITY) == 1
    assert purge(world) == 1 and purge(world) == 0
    with pytest.raises(LedgerError):
        world.ledger.read_payload(PayloadKind.SUBMISSION, over.id, legal_entity=ENTITY)
    assert world.ledger.read_payload(PayloadKind.SUBMISSION, asked.id, legal_entity=ENTITY)
    assert world.ledger.find("279035121518989", legal_entity=ENTITY) == [asked.receipt_id], "nobody is found by what went"
    assert world.states(over) == {"role:a/mssante": "integrated"}
    assert world.ledger.conservation(legal_entity=ENTITY).holds


def test_a_version_s_line_that_moves_keeps_what_it_replaces(world: World) -> None:
    world.send("doc-1", channels=(MAIL,))
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    world.clock.advance(days=400)
    world.send("doc-2", channels=(MAIL,), version=2, replaces="doc-1")
    assert purge(world) == 0


def test_another_entity_s_content_is_never_touched(world: World) -> None:
    world.send(channels=(MAIL,), entity=OTHER_ENTITY)
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    world.clock.advance(days=400)
    assert purge(world) == 0


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_counts_what_came_and_what_became_of_it(world: World) -> None:
    world.send("doc-1", channels=(MAIL, FAX))
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    world.send("doc-2", channels=(FAX,), roles=("role:b",))
    day = world.clock().astimezone(PARIS).date()
    assert night(world).keep_day(day, PARIS, lambda role: role, legal_entity=ENTITY) == 4
    assert night(world).keep_day(day, PARIS, lambda role: role, legal_entity=ENTITY) == 4, "counted again, not twice"
    kept = dict(night(world).kept_figures(day, day, legal_entity=ENTITY))[day.isoformat()]
    assert kept[FigureKey("", "", "34105-7")].counts["documents"] == 2
    mail = kept[FigureKey("role:a", "mssante", "34105-7")]
    assert (mail.counts["deliveries"], mail.counts["sent"], mail.counts["integrated"], sum(mail.delays)) == (1, 1, 1, 1)
    assert kept[FigureKey("role:b", "fax", "34105-7")].counts["open"] == 1
    assert night(world).figures_until(legal_entity=ENTITY) == day
    assert list(night(world).kept_figures(day, day, legal_entity=OTHER_ENTITY)) == []


# ── one round at a time ──────────────────────────────────────────────────────────────────────────────────────────────


def test_two_rounds_never_run_at_once_and_the_lock_is_given_back(world: World) -> None:
    other = world.second_ledger()
    with night(world).hold_alone() as first:
        assert first
        with other.night.hold_alone() as second:
            assert not second
    with other.night.hold_alone() as again:
        assert again
    other.close()
