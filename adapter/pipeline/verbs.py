"""The story on one screen: accept, prepare, dispatch, settle. Each verb starts and ends in the ledger.

A crash between two verbs means "run the verb again": ids are UUIDv5 of what they name, instants that travel are stored
before the wire is touched, and every row is guarded by a fence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from adapter.channels.base import Channel
from adapter.errors import IllegalTransitionError, LedgerError, StaleClaimError, StalePlanError, TduError
from adapter.fhir.locate import located
from adapter.fhir.validate import Level, validate_bundle
from adapter.ledger.deliveries import Hold
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import (
    Claimed,
    ClaimedAck,
    ClaimedReceipt,
    PartnerChoice,
    Settlement,
    StoredEffects,
    StoredSubmission,
)
from adapter.mapping.hl7.adt_profile import adt_words
from adapter.mapping.kinds import Understand
from adapter.mapping.mail.asked import asked_by_arrival
from adapter.mapping.request_likeness import likeness_of
from adapter.model.delivery import Delivery, OutcomeKind, Purpose, SendOutcome
from adapter.model.effects import Effect, Parked, Refusal, Translation
from adapter.model.fax_in import NO_FAX_DOORS, FaxDoors
from adapter.model.fax_number import FirstFax
from adapter.model.finding import errors_of
from adapter.model.plan import ChannelName
from adapter.model.receipt import ARCHIVE_DOOR, Answer, Arrival, ContentKind
from adapter.model.submission import AcksWanted, Submission, Urgency
from adapter.model.work_item import FAX_NUMBER_CHANGED, WorkItem
from adapter.packaging.build import build_ack_parcel, build_parcel
from adapter.packaging.parcel import Parcel, SenderProfile, size_of
from adapter.pipeline.acks import answers_partner, in_sandbox, owed_acks
from adapter.pipeline.addresses import suspended_leg
from adapter.pipeline.answering import answer_request
from adapter.pipeline.bundles import bundled, hold_of, joined, of_one_mail, recipient_of
from adapter.pipeline.fax_calls import TellCalls, calls_in, nobody_counts
from adapter.pipeline.fax_numbers import may_be_dialled, number_check_parcel, number_withdrawn, redirected
from adapter.pipeline.fax_resolution import document_for
from adapter.pipeline.faxes import understand_fax
from adapter.pipeline.held_documents import at_odds_with_fax, stopped, without_held
from adapter.pipeline.judge import Judge, Judged
from adapter.pipeline.lease import kept_alive, reading_kept_alive
from adapter.pipeline.orders import effects_of_order
from adapter.pipeline.outcomes import settlement_of
from adapter.pipeline.patients import Routed, objection_now
from adapter.pipeline.plan import deliveries_of, only_kept, open_questions
from adapter.pipeline.route_now import route_now
from adapter.pipeline.told import NOT_TAKEN, told_by, told_to_sender
from adapter.pipeline.told import parked as as_parked
from adapter.pipeline.visibility import as_visible_now, masked_since
from adapter.pipeline.withdrawing import withdraw_asked
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import Directory
from adapter.tracking.ack_retries import decide_after_ack
from adapter.tracking.causes import (
    Decision,
    cause_of_rendition,
    decide_after_send,
    opens_next_leg,
    retry_after_proof,
    suspends_address,
)

log = structlog.get_logger()

# After so many claims that ended in a crash, a receipt is a person's: it would stop the lane for ever. Restarts of the service
# hit whatever is being prepared, so the count is well above what an unlucky letter meets.
POISON_CLAIMS = 10
# How often a route is chosen anew because the patient's identity changed at that very instant, before the receipt goes back.
STALE_PLANS = 5
# No cause is tried more often than this, so a delivery claimed more often than both together keeps dying before the wire.
MOST_TRIES = 10
# How long an outcome waits for a ledger that is away, in all about a minute.
SETTLE_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 20.0)

# How long a round asks for what is to be taken back: an engine that does not answer holds up nobody's proofs.
LONGEST_WITHDRAWING = timedelta(minutes=1)

# What splits a mail of several documents: each may still pass alone.
TOO_LARGE = "too-large"


GoesOn = Callable[[], bool]


def _always() -> bool:
    return True


@dataclass(frozen=True)
class PipelineSettings:
    """What the operator decides about the four verbs. Durations are timedeltas; `validation` is how much is checked.

    `first_fax`: what happens before the first document to a fax number that nobody vouched for.
    """

    lease: timedelta
    unclear_wait: Mapping[ChannelName, timedelta]
    routes: RouteSettings
    validation: Level
    first_fax: FirstFax
    time_zone: str = "Europe/Paris"


class Pipeline:
    """The four verbs over one ledger. Safe to call from several threads: it keeps no state of its own."""

    def __init__(
        self,
        ledger: Ledger,
        judge: Judge,
        readers: Mapping[ContentKind, Understand],
        directory: Callable[[], Directory],
        channels: Mapping[ChannelName, Channel],
        senders: Mapping[str, SenderProfile],
        settings: PipelineSettings,
        *,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        new_id: Callable[[], str],
        pause: Callable[[float], None] = time.sleep,
        asked_by: Callable[[Arrival], AcksWanted] = asked_by_arrival,
        tell_calls: TellCalls = nobody_counts,
        fax_doors: FaxDoors = NO_FAX_DOORS,
    ) -> None:
        self._ledger = ledger
        self._judge = judge
        self._readers = readers
        self._directory = directory
        self._channels = channels
        self._senders = senders
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._new_id = new_id
        self._pause = pause
        self._asked_by = asked_by
        self._tell_calls = tell_calls
        self._fax_doors = fax_doors

    # ── accept ────────────────────────────────────────────────────────────────────────────────────────────────

    def judge(self, arrival: Arrival) -> Judged:
        """What the norm wants known at once, and the answer to give: pure, no ledger."""
        return self._judge.judge(arrival)

    def commit(self, batch: Sequence[Judged]) -> list[Answer]:
        """Make a batch durable in one transaction; only then may its answers leave."""
        kept = self._ledger.commit_receipts([judged.new_receipt for judged in batch])
        return [judged.answer_for(committed) for judged, committed in zip(batch, kept, strict=True)]

    # ── prepare ───────────────────────────────────────────────────────────────────────────────────────────────

    def prepare_some(self, worker: str, limit: int = 8, goes_on: GoesOn = _always) -> int:
        """Understand and plan the oldest received receipts; returns how many were taken. Told to stop, it gives back the rest.

        A fax comes last: no letter's claim runs out, nor an urgent one waits, while its pages are read.
        """
        claimed = self._ledger.claim_receipts(worker, limit, self._settings.lease)
        for claim in sorted(claimed, key=lambda one: one.receipt.kind is ContentKind.FAX):
            if goes_on():
                reads = claim.receipt.kind is ContentKind.FAX
                with reading_kept_alive(self._ledger, claim, self._settings.lease) if reads else nullcontext():
                    self._prepare(claim)
            else:
                self._give_back(self._ledger.release_receipt, claim.receipt.id, claim.fence)
        return len(claimed)

    @staticmethod
    def _give_back(release: Callable[[str, int], None], row_id: str, fence: int) -> None:
        with suppress(StaleClaimError):  # whoever holds it now goes on
            release(row_id, fence)

    def _prepare(self, claim: ClaimedReceipt) -> None:
        for _ in range(STALE_PLANS):
            try:
                return self._commit_effects(claim, self._effects_or_parked(claim))
            except StalePlanError:
                log.info("receipt.plan-stale", receipt=claim.receipt.id)
            except StaleClaimError:
                log.warning("receipt.claim-lost", receipt=claim.receipt.id)
                return None
        return self._give_back(self._ledger.release_receipt, claim.receipt.id, claim.fence)

    def _effects_or_parked(self, claim: ClaimedReceipt) -> StoredEffects:
        try:
            return self._effects_of(claim)
        except TduError as error:
            parked = as_parked(error.code, f"{error.message} {error.remedy}".strip())
            return parked if isinstance(error, LedgerError) else self._told_of_ours(claim, parked)
        except Exception as error:  # a defect of ours must not stop the lane nor lose the document
            log.error("receipt.prepare-failed", receipt=claim.receipt.id, error=type(error).__name__)
            parked = as_parked("prepare-failed", "Erreur interne pendant la préparation : à signaler au support.")
            return self._told_of_ours(claim, parked)

    def _told_of_ours(self, claim: ClaimedReceipt, stopped: StoredEffects) -> StoredEffects:
        """Who sent a mail that stops through our own fault is told so, if they asked; other doors answered already."""
        if claim.receipt.kind is not ContentKind.MAIL or not isinstance(stopped.outcome, Parked):
            return stopped
        try:
            asked = self._asked_by(claim.arrival())
        except Exception as error:  # the very defect that stopped it
            log.error("receipt.asker-unreadable", receipt=claim.receipt.id, error=type(error).__name__)
            return stopped
        refusal = Refusal(asked, NOT_TAKEN) if asked.any else None
        return replace(stopped, outcome=replace(stopped.outcome, refusal=refusal))

    def _commit_effects(self, claim: ClaimedReceipt, effects: StoredEffects) -> None:
        self._ledger.commit_effects(
            claim.receipt.id,
            claim.fence,
            effects,
            opens_next_leg=opens_next_leg,
            retry_after=self._retry_after,
            suspends=suspends_address,
            doubtful_statuses=adt_words().doubtful,
        )
        self._tell_calls((*effects.calls, *calls_in(effects.evidences)))

    def _effects_of(self, claim: ClaimedReceipt) -> StoredEffects:
        if claim.attempts > POISON_CLAIMS:
            return as_parked("poison", "La préparation a interrompu le service plusieurs fois : à examiner par une personne.")
        receipt = claim.receipt
        directory = self._directory()
        if receipt.kind is ContentKind.CORRECTION:
            sender, level = self._senders[receipt.legal_entity], self._settings.validation
            return effects_of_order(self._ledger, claim, directory, self._route, level, self._clock(), sender)
        read_effects, told = self._understood(claim, directory)
        translations = [effect for effect in read_effects if isinstance(effect, Translation)]
        if not translations:
            return told
        stored: list[StoredSubmission] = []
        items: list[WorkItem] = []
        for read in translations:
            if receipt.door == ARCHIVE_DOOR:
                if problem := self._invalid(read):
                    return replace(told, outcome=problem)
                stored.append(only_kept(read, self._today(), directory.revision))
                continue
            answering = answer_request(read, self._ledger, directory, tuple(self._senders), self._today(), self._clock())
            translation = answering.translation
            problem = answering.parked or self._unfit(translation, directory)
            if problem is not None:
                return stopped(told, told_to_sender(problem, translation.submission))
            routed = self._route(translation.submission, directory)
            plan = routed.plan
            sender = self._senders[receipt.legal_entity]
            deliveries = deliveries_of(translation.submission, plan, sender)
            likeness = likeness_of(translation.bundle, translation.submission.document)
            stored.append(StoredSubmission(translation, plan, deliveries, answering.answered, routed.seen, likeness=likeness))
            items.extend(open_questions(translation.submission, plan, self._clock()))
            items.extend([answering.item] if answering.item else [])
        if told.fax is not None:
            return without_held(self._ledger, told, stored, items)
        if self._fax_doors.by_door:
            items.extend(at_odds_with_fax(self._ledger, stored, self._clock()))
        return replace(told, submissions=bundled(stored), work_items=tuple(items))

    def _understood(self, claim: ClaimedReceipt, directory: Directory) -> tuple[Sequence[Effect], StoredEffects]:
        """What a receipt says, and what of it is no document."""
        receipt = claim.receipt
        if receipt.kind is not ContentKind.FAX:
            read = self._readers[receipt.kind](claim.arrival(), receipt.id)
            return read, told_by(read)
        fax = understand_fax(self._ledger, claim, self._fax_doors, directory, self._today())
        return fax.effects, replace(told_by(fax.effects), fax=fax.news, calls=fax.calls)

    def _route(self, submission: Submission, directory: Directory | None = None) -> Routed:
        """The plan of today, with what the patient index says of the patient today."""
        in_force = directory or self._directory()
        return route_now(self._ledger, submission, in_force, self._settings.routes, self._today())

    def _unfit(self, translation: Translation, directory: Directory) -> Parked | None:
        """Why a document may not leave yet: output that does not validate, a unit that the directory does not know."""
        return self._invalid(translation) or directory.check_units(translation.submission, self._today())

    def _invalid(self, translation: Translation) -> Parked | None:
        errors = errors_of(validate_bundle(translation.bundle, self._settings.validation))
        if errors:
            errors = located(errors[:1], translation.bundle, translation.source_map)
            place = " ← ".join(filter(None, (errors[0].location, errors[0].source)))
            urgent = translation.submission.urgency is Urgency.URGENT
            return Parked("invalid-output", f"Le document FHIR produit n'est pas valide ({errors[0].code}, {place}).", urgent)
        return None

    def _today(self) -> date:
        return self._clock().astimezone(ZoneInfo(self._settings.time_zone)).date()

    # ── dispatch ──────────────────────────────────────────────────────────────────────────────────────────────

    def dispatch_some(
        self,
        worker: str,
        channel: ChannelName,
        limit: int = 4,
        goes_on: GoesOn = _always,
        partners: PartnerChoice = PartnerChoice(),  # noqa: B008
    ) -> int:
        """Send what is due on one channel; returns how many were taken. A slow partner holds its own channel only, and with
        `partners` its own lane.

        Told to stop, or after a slow send, it gives back the rest untouched: no claim runs out behind another's wait.
        """
        began = self._clock()
        claimed = self._ledger.claim_deliveries(worker, channel, limit, self._settings.lease, partners)
        for claim in claimed:
            if not goes_on() or self._clock() - began > self._settings.lease / 2:
                for one in of_one_mail(claim):
                    self._give_back(self._ledger.release_delivery, *hold_of(one))
                continue
            try:
                self._dispatch(claim)
            except StaleClaimError:
                log.warning("delivery.claim-lost", delivery=claim.delivery.id)
        return len(claimed)

    def _dispatch(self, claim: Claimed) -> None:
        """Send one claim: one delivery, or the documents of one mail, of which each that may not leave is concluded by itself."""
        sent_at = claim.delivery.sent_at or self._clock()
        ready = [found for one in of_one_mail(claim) if (found := self._ready(one, sent_at)) is not None]
        if not ready:
            return None
        channel = self._channels[claim.delivery.channel]
        (first, parcel), claims = ready[0], [one for one, _ in ready]
        if len(claims) > 1:
            whole = joined(claims, self._senders[first.delivery.legal_entity], sent_at)
            if whole is None or size_of(whole) > channel.capabilities.size_limit_bytes:
                return self._ledger.separate([hold_of(one) for one in claims], "too-large-together")
            parcel = whole
        return self._send_claims(channel, claims, parcel, sent_at)

    def _send_claims(self, channel: Channel, claims: Sequence[Claimed], parcel: Parcel, sent_at: datetime) -> None:
        delivery, companions = claims[0].delivery, [hold_of(one) for one in claims[1:]]
        try:
            self._ledger.mark_on_wire(delivery.id, delivery.fence, sent_at, *companions)
        except StaleClaimError:
            for one_id, fence in companions:  # one of them was stopped meanwhile: the others leave without it, at the next turn
                self._give_back(self._ledger.release_delivery, one_id, fence)
            if companions:
                self._give_back(self._ledger.release_delivery, delivery.id, delivery.fence)
            raise
        with kept_alive(self._ledger, delivery, self._settings.lease, *companions):
            self._conclude(claims, self._send(channel, parcel, delivery))

    def _ready(self, claim: Claimed, sent_at: datetime) -> tuple[Claimed, Parcel] | None:
        """What may leave now, as it may be seen now, and its parcel; None for what may not, which is then concluded."""
        now = redirected(self._ledger, self._directory(), as_visible_now(self._ledger, claim), self._today())
        masked = masked_since(claim, now, self._directory, self._settings.routes, self._today())
        found = SendOutcome(OutcomeKind.REFUSED, masked) if masked else self._parcel_or_refusal(now, sent_at)
        if isinstance(found, Parcel):
            may_go = may_be_dialled(self._ledger, self._directory(), now, self._settings.first_fax, self._today())
            return (now, found) if may_go else None
        self._conclude([now], found)
        return None

    def _parcel_or_refusal(self, claim: Claimed, sent_at: datetime) -> Parcel | SendOutcome:
        delivery = claim.delivery
        if delivery.channel not in self._channels:
            return SendOutcome(OutcomeKind.REFUSED, "channel-closed")
        if delivery.purpose is Purpose.DOCUMENT and delivery.attempts > POISON_CLAIMS + MOST_TRIES:
            return SendOutcome(OutcomeKind.REFUSED, "interrupted-often")
        try:
            parcel = self._parcel(claim, sent_at)
        except Exception as error:  # whatever stops the rendition is a person's, and never blocks the channel
            log.error("delivery.rendition-failed", delivery=delivery.id, error=type(error).__name__)
            return SendOutcome(OutcomeKind.REFUSED, cause_of_rendition(error), detail=type(error).__name__)
        if not (answers_partner(delivery) or self._settings.routes.may_reach(delivery.channel, parcel.address)):
            # The last guard of a test instance: a plan made before it became one names real people (seam 12).
            return SendOutcome(OutcomeKind.REFUSED, "outside-sandbox")
        if stopped := self._forbidden_now(claim):
            return SendOutcome(OutcomeKind.REFUSED, stopped)
        return parcel

    def _forbidden_now(self, claim: Claimed) -> str:
        """What was allowed when the route was chosen may not be any more: the patient index is read again (seams 14 to 16)."""
        if isinstance(claim, ClaimedAck):
            return ""
        recipient = recipient_of(claim.delivery, claim.plan)
        if suspended_leg(self._ledger, claim.delivery, recipient):
            return "address-suspended"
        if number_withdrawn(self._directory(), claim.delivery, recipient, self._today()):
            return FAX_NUMBER_CHANGED
        return objection_now(self._ledger, claim.submission, claim.delivery, recipient, self._today())

    def _parcel(self, claim: Claimed, sent_at: datetime) -> Parcel:
        if isinstance(claim, ClaimedAck):
            sender = self._senders[claim.delivery.legal_entity]
            parcel = build_ack_parcel(claim.delivery, claim.ack, claim.asked, sender, sent_at, claim.original)
            return parcel if answers_partner(claim.delivery) else in_sandbox(parcel, self._settings.routes)
        recipient = recipient_of(claim.delivery, claim.plan)
        if claim.delivery.purpose is Purpose.NOTICE:
            return number_check_parcel(self._ledger, claim, self._senders[claim.delivery.legal_entity], sent_at)
        document = document_for(self._ledger, self._directory(), claim)
        return build_parcel(claim.delivery, document, recipient, self._senders[claim.delivery.legal_entity], sent_at)

    def _send(self, channel: Channel, parcel: Parcel, delivery: Delivery) -> SendOutcome:
        """After an unclear send, ask before sending again (seam 5)."""
        try:
            if delivery.unclear_count:
                found = channel.find(parcel)
                if found is not None:
                    return found
            return channel.send(parcel)
        except Exception as error:  # a channel's own defect, somewhere on the wire: it may have arrived
            log.error("channel.defect", channel=delivery.channel.value, delivery=delivery.id, error=type(error).__name__)
            return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=type(error).__name__)

    def _conclude(self, claims: Sequence[Claimed], outcome: SendOutcome) -> None:
        """What a send came to, for each document that it carried."""
        if len(claims) > 1 and outcome.cause == TOO_LARGE:
            return self._ledger.separate([hold_of(one) for one in claims], "too-large-together")
        delivery = claims[0].delivery
        decision = self._decide(delivery, outcome)
        log.info(
            "delivery.sent", delivery=delivery.id, channel=delivery.channel.value, state=decision.state.value, cause=outcome.cause
        )
        settlements = [(hold_of(one), settlement_of(one, outcome, decision, self._new_id, self._clock())) for one in claims]
        for seconds in SETTLE_PAUSES:
            try:
                return self._settle(settlements)
            except (StaleClaimError, IllegalTransitionError):
                raise
            except LedgerError as error:
                # What the partner said is known here only: without it, what was accepted would be sent again.
                log.warning("delivery.settle-later", delivery=delivery.id, code=error.code)
                self._pause(seconds)
        return self._settle(settlements)

    def _settle(self, settlements: Sequence[tuple[Hold, Settlement]]) -> None:
        ((delivery_id, fence), settlement), *others = settlements
        if others:
            self._ledger.settle_together(settlements)
        else:
            self._ledger.settle_send(delivery_id, fence, settlement)

    def _decide(self, delivery: Delivery, outcome: SendOutcome) -> Decision:
        if delivery.purpose is Purpose.ACK:
            return decide_after_ack(outcome, delivery.attempts, self._jitter())
        wait = self._settings.unclear_wait.get(delivery.channel, timedelta(minutes=15))
        return decide_after_send(outcome, delivery.attempts, delivery.unclear_count, wait, self._jitter())

    # ── settle ────────────────────────────────────────────────────────────────────────────────────────────────

    def settle_some(self) -> int:
        """Take the partners' proofs, give back lost leases, wake what was unclear; returns how many rows moved."""
        until = self._clock() + LONGEST_WITHDRAWING
        moved = sum(
            withdraw_asked(self._ledger, name, self._channels.get(name), lambda: self._clock() < until) for name in ChannelName
        )
        moved += self._ledger.tell_held_by_withdrawals()
        moved += sum(self._collect(name, channel) for name, channel in self._channels.items())
        moved += self._ledger.reap(self._settings.unclear_wait)
        moved += self._ledger.alarm_unfetched() + self._ledger.alarm_urgent_faxes()
        return moved + self._ledger.settle_acks(lambda case: owed_acks(case, self._senders, self._clock()))

    def _collect(self, name: ChannelName, channel: Channel) -> int:
        """One channel's proofs; a channel that fails holds up neither the others nor the lost leases."""
        cursor_name = f"evidence:{name.value}"
        before = self._ledger.read_cursor(cursor_name)
        try:
            evidence, cursor = channel.collect(before)
        except Exception as error:  # whatever a partner's queue holds, it is asked again in the next round
            log.error("channel.collect-failed", channel=name.value, error=type(error).__name__)
            return 0
        if not evidence and cursor == before:
            return 0
        moved = self._ledger.record_evidence(
            evidence,
            cursor_name,
            cursor,
            opens_next_leg=opens_next_leg,
            retry_after=self._retry_after,
            suspends=suspends_address,
        )
        self._tell_calls(calls_in(evidence))
        return moved

    def _retry_after(self, cause: str, attempts: int) -> timedelta | None:
        return retry_after_proof(cause, attempts, self._jitter())
