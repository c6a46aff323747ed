"""What the nightly round asks of the ledger, on both engines: faxes that give way, copies, retention, figures, one at a time."""

from __future__ import annotations

import uuid
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from adapter.audit.trail import seal_audit
from adapter.cli.desk import timeline_lines
from adapter.errors import LedgerError, StalePlanError
from adapter.ledger.night import NightLedger
from adapter.ledger.records import Decision, PayloadKind, SeenPatient, StoredEffects
from adapter.ledger.retention import Limits
from adapter.ledger.statistics import FigureKey
from adapter.ledger.upgrades import BetterLegs, FaxedDocument
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.effects import Parked
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall, PageProof
from adapter.model.plan import Leg, RecipientPlan
from adapter.model.receipt import ContentKind
from adapter.model.submission import Submission
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, LEASE, MAIL, OTHER_ENTITY, RECORD, World, stored_submission, work_item

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
    return Limits(moment, moment, moment, moment)


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


def received_fax(world: World, document: str = "doc-1") -> Submission:
    """A fax whose codes gave its document back, served to the end."""
    receipt_id = world.receive(kind=ContentKind.FAX, content=b"II*pages")
    stored = stored_submission(document, receipt_id, channels=(MAIL,))
    world.prepare(stored, receipt_id=receipt_id)
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    return stored.translation.submission


def purge_images(world: World, days: int = 40) -> int:
    return sum(night(world).purge_images(limits(world, days), legal_entity=ENTITY))


def test_the_image_of_a_fax_that_came_as_data_goes_before_its_document(world: World) -> None:
    fax = received_fax(world)
    world.clock.advance(days=39)
    assert purge_images(world) == 0
    world.clock.advance(days=2)
    assert night(world).due_images(limits(world, 40), legal_entity=ENTITY) == 1
    assert purge_images(world) == 1 and purge_images(world) == 0
    with pytest.raises(LedgerError, match=r"ledger\.no-payload"):
        world.ledger.read_payload(PayloadKind.CONTENT, fax.receipt_id, legal_entity=ENTITY)
    assert world.ledger.read_payload(PayloadKind.BUNDLE, fax.id, legal_entity=ENTITY)
    assert "fax-image-purged" in world.events(fax.receipt_id)
    assert list(world.ledger.kept_receipts([], 10, legal_entity=ENTITY)) == []
    assert world.ledger.conservation(legal_entity=ENTITY).holds
    seal_audit(world.ledger)
    rows = [row.entry for row in world.ledger.read_audit(0, 100, legal_entity=ENTITY)]
    assert [(row.about_id, row.detail) for row in rows if row.action == "receipt.fax-image-purged"] == [
        (fax.receipt_id, "its document is kept")
    ]
    world.clock.advance(days=400)
    assert purge(world) == 1, "the rest goes in its own time"


def test_the_image_of_a_fax_that_a_person_must_look_at_stays(world: World) -> None:
    receipt_id = world.receive(kind=ContentKind.FAX, content=b"II*pages")
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=Parked("fax-unread", "Regarder.")))
    asked = received_fax(world, "doc-2")
    world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, asked.id))
    world.clock.advance(days=300)
    assert purge_images(world) == 0
    (item,) = [item for item in world.items() if item.about_id == receipt_id]
    world.ledger.resolve(item.id, Decision.CLOSE, "x", legal_entity=ENTITY)
    assert purge_images(world) == 0, "the image is all there is of it"
    assert world.ledger.read_payload(PayloadKind.CONTENT, receipt_id, legal_entity=ENTITY) == b"II*pages"


def test_what_a_person_confirmed_of_a_fax_is_no_image(world: World) -> None:
    receipt_id = world.receive(kind=ContentKind.FAX, door="fax-desk:ivry", content=b"{}")
    world.prepare(stored_submission("doc-1", receipt_id, channels=(MAIL,)), receipt_id=receipt_id)
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    world.clock.advance(days=300)
    assert purge_images(world) == 0


def test_no_other_receipt_loses_its_content_with_the_images(world: World) -> None:
    world.send("doc-1", channels=(MAIL,))
    world.prove(world.accepted(MAIL), S.INTEGRATED)
    world.clock.advance(days=300)
    assert purge_images(world) == 0


def test_the_proofs_of_a_faxs_calls_go_with_its_content_and_the_figures_stay(world: World) -> None:
    world.send("doc-1", channels=(FAX,))
    fax = world.accepted(FAX)
    proof = PageProof(1, 1, world.clock(), "MCF", with_ecm=True)
    number = "+33199004455"
    call = FaxCall(
        fax.reference, CallDirection.OUT, world.clock(), "7", number, seconds=9.0, pages=1, proofs=(proof,), log=b"log"
    )
    evidence = Evidence(fax.reference, S.DELIVERED, world.clock(), "fax", calls=(call,))
    world.ledger.record_evidence([evidence], "evidence:fax", "1")
    world.clock.advance(days=400)
    assert purge(world) == 1
    timeline = world.ledger.timeline("doc-1", legal_entity=ENTITY)
    assert timeline is not None
    (kept,) = timeline.calls
    assert (kept.is_purged, kept.call.proofs, kept.call.number, kept.call.seconds, kept.call.pages) == (True, (), "", 9.0, 1)
    assert any("page proofs purged" in line for line in timeline_lines(timeline, "Europe/Paris"))
    with pytest.raises(LedgerError, match=r"ledger\.no-payload"):
        world.ledger.read_payload(PayloadKind.FAX_LOG, kept.id, legal_entity=ENTITY)


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
