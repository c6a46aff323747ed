"""Ledger ↔ mailboxes ↔ record ↔ fax queue: each difference ends as a proof, or as a question to a person.

Law: blueprint seams 5 and 7. What is in doubt is looked for by our own reference; what a partner should hold and does not is
missing; what its queue holds and we never sent is extra. A partner that cannot say is asked the next night: only an answer is a
difference. Bounded by a period and checkpointed by the instant of a delivery's last change, so that each is asked about once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from adapter.ledger.night import NightLedger, SentDelivery
from adapter.ledger.records import WorkFilter
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.model.submission import Intent
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.sync.night import Report, Shift

log = structlog.get_logger()

S = DeliveryState
_PAGE = 100
SOURCE = "reconcile"
# Asked of their queue or server by our reference; mail has no such question, its proofs come by mail.
_ASKABLE = (ChannelName.FAX, ChannelName.SHARED_RECORD)
RECORD_LOST, FAX_LOST, FAX_UNKNOWN, MAIL_UNPROVED, MAIL_UNREAD = (
    "record-lost",
    "fax-lost",
    "fax-unknown",
    "mail-unproved",
    "mail-unread",
)
_ADVICE = {
    RECORD_LOST: "Le dossier partagé ne présente plus ce document, qu'il avait pris : voir avec son service, puis le renvoyer.",
    FAX_LOST: "La file de télécopie ne connaît plus cet envoi, dont rien ne dit qu'il est parti : vérifier, puis relancer.",
    FAX_UNKNOWN: "La file de télécopie contient des envois que ce registre ne connaît pas : vérifier qui les y a mis.",
    MAIL_UNPROVED: "Envois pris par l'opérateur, sans avis de remise vers ce domaine : vérifier nos boîtes et ce partenaire.",
    MAIL_UNREAD: "Des messages restent dans cette boîte sans avoir été lus : vérifier que le service la lit.",
}


class Records(Protocol):
    """What a difference is written with: the ledger."""

    def record_evidence(self, evidences: list[Evidence], cursor_name: str, cursor: str, *, legal_entity: str = "") -> int:
        """Apply proofs."""
        ...

    def open_work_item(self, item: WorkItem) -> bool:
        """Ask a person; False when it is asked already."""
        ...

    def close_work_items(self, about: WorkAbout, about_id: str, legal_entity: str, by: str) -> int:
        """What settled itself is asked no more."""
        ...

    def list_work_items(self, which: WorkFilter, *, legal_entity: str) -> list[WorkItem]:
        """Open items."""
        ...

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        """A position."""
        ...

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        """Remember it."""
        ...


class MailboxFigures(Protocol):
    """What comparing one mailbox gave (`intake.mailbox_check.MailboxView`)."""

    seen: int
    shown_again: int
    marked_again: int
    unread: int
    stuck: int


@dataclass(frozen=True)
class MailboxLook:
    """One mailbox: whose it is, and the look at it; None when it cannot be reached now."""

    name: str
    legal_entity: str
    look: Callable[[Shift], MailboxFigures | None]


@dataclass(frozen=True)
class Partners:
    """What can be asked, as far as it is configured. `find` answers None when the partner does not hold what was sent."""

    find: Mapping[ChannelName, Callable[[SentDelivery], SendOutcome | None]] = field(default_factory=dict)
    fax_queue: Callable[[], tuple[str, ...]] | None = None
    mailboxes: tuple[MailboxLook, ...] = ()


@dataclass(frozen=True)
class ReconcileSettings:
    """For whom, over how many days, and how long a mail may stay without proof."""

    legal_entities: tuple[str, ...]
    days: int
    proof_days: int


@dataclass
class _Tally:
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("asked", "settled", "missing", "extra", "unproved", "mails", "mails_put_right"), 0)
    )
    to_do: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reconcile:
    """The job."""

    night: NightLedger
    records: Records
    partners: Partners
    settings: ReconcileSettings
    new_id: Callable[[], str]

    def run(self, shift: Shift) -> Report:
        """Every comparison that the configuration allows."""
        tally = _Tally()
        for entity in self.settings.legal_entities:
            for channel in _ASKABLE:
                if channel in self.partners.find:
                    self._doubts(entity, channel, shift, tally)
            self._record(entity, shift, tally)
            self._spooled(entity, shift, tally)
            self._unproved(entity, shift, tally)
        self._unknown_faxes(shift, tally)
        for box in self.partners.mailboxes:
            self._mailbox(box, shift, tally)
        return Report(tally.counts, tuple(tally.to_do), tuple(tally.notes))

    # ── unclear ───────────────────────────────────────────────────────────────────────────────────────────────

    def _doubts(self, entity: str, channel: ChannelName, shift: Shift, tally: _Tally) -> None:
        """What may have arrived: if the partner has it, that is its proof, and the question is closed with it."""
        after = _BEGINNING
        states = (S.UNCLEAR, S.PARKED)
        while page := self.night.sent_deliveries(channel, states, after, _PAGE, legal_entity=entity, in_doubt=True):
            shift.pace.expect(len(page))
            for sent in page:
                outcome = self._ask(channel, sent, tally)
                if outcome is not None and outcome.kind is OutcomeKind.ACCEPTED:
                    tally.counts["settled"] += 1
                    self._prove(sent, outcome, shift)
                shift.pace.step()
            after = _place(page[-1])

    def _prove(self, sent: SentDelivery, outcome: SendOutcome, shift: Shift) -> None:
        if shift.dry_run:
            return
        delivery = sent.delivery
        proof = Evidence(delivery.reference, outcome.proves, shift.now, SOURCE, also=(delivery.id,))
        self.records.record_evidence([proof], "", "", legal_entity=delivery.legal_entity)

    # ── record ────────────────────────────────────────────────────────────────────────────────────────────────

    def _record(self, entity: str, shift: Shift, tally: _Tally) -> None:
        """What the record took is there still. Stops at the first answer that says nothing: the next night goes on from it."""
        channel = ChannelName.SHARED_RECORD
        if channel not in self.partners.find:
            return
        name = f"night:reconcile:{channel.value}"
        floor = shift.now - timedelta(days=self.settings.days)
        after = max(_read_place(self.records.read_cursor(name, legal_entity=entity)), (floor, ""))
        while page := self.night.sent_deliveries(channel, (S.INTEGRATED,), after, _PAGE, legal_entity=entity):
            shift.pace.expect(len(page))
            for sent in page:
                if sent.submission.intent is not Intent.CANCEL and sent.delivery.intent != Intent.CANCEL.value:
                    outcome = self._ask(channel, sent, tally)
                    if outcome is not None and outcome.kind is not OutcomeKind.ACCEPTED:
                        tally.notes.append(f"record: cannot say now ({outcome.cause}), asked again next time")
                        return
                    if outcome is None:
                        self._missing(sent, RECORD_LOST, shift, tally)
                after = _place(sent)
                if not shift.dry_run:
                    self.records.keep_cursor(name, _written_place(after), legal_entity=entity)
                shift.pace.step()

    # ── fax queue ─────────────────────────────────────────────────────────────────────────────────────────────

    def _spooled(self, entity: str, shift: Shift, tally: _Tally) -> None:
        """What was handed over to the fax engine waits in its queue, or was reported; else nobody will ever send it."""
        channel = ChannelName.FAX
        if channel not in self.partners.find:
            return
        after = (shift.now - timedelta(days=self.settings.days), "")
        while page := self.night.sent_deliveries(channel, (S.ACCEPTED,), after, _PAGE, legal_entity=entity):
            shift.pace.expect(len(page))
            for sent in page:
                if self._ask(channel, sent, tally) is None:
                    self._missing(sent, FAX_LOST, shift, tally)
                shift.pace.step()
            after = _place(page[-1])

    def _unknown_faxes(self, shift: Shift, tally: _Tally) -> None:
        if self.partners.fax_queue is None:
            return
        waiting = self.partners.fax_queue()
        extra = set(waiting) - self.night.known_references(waiting)
        tally.counts["extra"] += len(extra)
        for entity in self.settings.legal_entities:
            self._on_partner(entity, "fax", FAX_UNKNOWN, bool(extra), shift)
        if extra:
            tally.to_do.append(f"{len(extra)} envoi(s) inconnu(s) dans la file de télécopie. {_ADVICE[FAX_UNKNOWN]}")

    # ── mail ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _unproved(self, entity: str, shift: Shift, tally: _Tally) -> None:
        """One question a mail domain, however many letters: it is the partner, or our own mailbox, that is silent."""
        last = shift.now - timedelta(days=self.settings.proof_days)
        after = (last - timedelta(days=self.settings.days), "")
        silent: dict[str, int] = {}
        while page := self.night.sent_deliveries(ChannelName.SECURE_MAIL, (S.ACCEPTED,), after, _PAGE, legal_entity=entity):
            for sent in page:
                if sent.changed_at <= last:
                    domain = _domain(sent)
                    silent[domain] = silent.get(domain, 0) + 1
            after = _place(page[-1])
            if page[-1].changed_at > last:
                break
        known = {item.about_id for item in self._open(entity, MAIL_UNPROVED)}
        for name in sorted({f"mail:{domain}"[:64] for domain in silent} | known):
            self._on_partner(entity, name, MAIL_UNPROVED, name.removeprefix("mail:") in {d[:59] for d in silent}, shift)
        for domain, count in sorted(silent.items()):
            tally.counts["unproved"] += count
            days = self.settings.proof_days
            tally.to_do.append(f"{count} message(s) vers {domain} sans avis de remise depuis plus de {days} jours.")

    def _mailbox(self, box: MailboxLook, shift: Shift, tally: _Tally) -> None:
        found = box.look(shift)
        if found is None:
            tally.to_do.append(f"La boîte « {box.name} » n'a pas pu être ouverte : vérifier l'opérateur et le certificat.")
            return
        tally.counts["mails"] += found.seen
        tally.counts["mails_put_right"] += found.shown_again + found.marked_again
        if found.shown_again:
            tally.notes.append(f"mailbox {box.name}: {found.shown_again} marked as kept and unknown: shown to the door again")
        left = found.unread + found.stuck
        tally.counts["extra"] += left
        self._on_partner(box.legal_entity, f"mailbox:{box.name}"[:64], MAIL_UNREAD, left > 0, shift)
        if left:
            tally.to_do.append(f"{left} message(s) non lus dans la boîte « {box.name} ». {_ADVICE[MAIL_UNREAD]}")

    # ── all ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, channel: ChannelName, sent: SentDelivery, tally: _Tally) -> SendOutcome | None:
        """What the partner says of our reference; a channel's own defect says nothing."""
        tally.counts["asked"] += 1
        try:
            return self.partners.find[channel](sent)
        except Exception as error:  # the partner's answer, or a rendition of ours, that nobody foresaw
            log.error("reconcile.not-asked", channel=channel.value, delivery=sent.delivery.id, error=type(error).__name__)
            return SendOutcome(OutcomeKind.DEFERRED, "partner-busy", detail=type(error).__name__)

    def _missing(self, sent: SentDelivery, reason: str, shift: Shift, tally: _Tally) -> None:
        tally.counts["missing"] += 1
        tally.to_do.append(f"{_ADVICE[reason]} ({sent.delivery.id})")
        if not shift.dry_run:
            delivery, about = sent.delivery, WorkAbout.DELIVERY
            entity, advice = delivery.legal_entity, _ADVICE[reason]
            self.records.open_work_item(WorkItem(self.new_id(), entity, about, delivery.id, reason, advice, shift.now))

    def _on_partner(self, entity: str, name: str, reason: str, is_so: bool, shift: Shift) -> None:
        """Ask once while it is so; close the question when it no longer is."""
        if shift.dry_run:
            return
        about = WorkAbout.PARTNER
        if is_so:
            self.records.open_work_item(WorkItem(self.new_id(), entity, about, name, reason, _ADVICE[reason], shift.now))
        elif any(item.about_id == name for item in self._open(entity, reason)):
            self.records.close_work_items(about, name, entity, SOURCE)

    def _open(self, entity: str, reason: str) -> list[WorkItem]:
        return self.records.list_work_items(WorkFilter(reason=reason), legal_entity=entity)


_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), "")


def _place(sent: SentDelivery) -> tuple[datetime, str]:
    return sent.changed_at, sent.delivery.id


def _written_place(place: tuple[datetime, str]) -> str:
    return f"{place[0].isoformat()}|{place[1]}"


def _read_place(value: str) -> tuple[datetime, str]:
    moment, _, name = value.partition("|")
    return (datetime.fromisoformat(moment), name) if moment else _BEGINNING


def _domain(sent: SentDelivery) -> str:
    """The mail domain that a delivery went to: a partner's, never a person's name."""
    legs = [leg for plan in sent.plan.recipients if plan.role_id == sent.delivery.role_id for leg in plan.legs]
    address = next((leg.address for leg in legs if leg.channel is sent.delivery.channel), "")
    return address.rpartition("@")[2].lower()[:59] or "?"
