"""The night's composition: which jobs the configuration allows, in their order, wired to the ledger, channels and mailboxes.

Order: the directory first (routes are made with it), what it changes, what partners hold, what ends, then figures before content
goes, and the backup last, of the state that the round leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from adapter.assembly import build_channels, route_settings, sender_profile
from adapter.channels.base import Channel
from adapter.channels.fax import FaxSpoolChannel
from adapter.config import Config
from adapter.config.settings import Inbox, MailboxDoor
from adapter.errors import ConfigurationError
from adapter.intake.mailbox_check import MailboxView, compare_mailbox
from adapter.ledger.importers import ImporterFigures
from adapter.ledger.ledger import Ledger
from adapter.ledger.night import SentDelivery
from adapter.model.delivery import Delivery, SendOutcome
from adapter.model.plan import ChannelName, RecipientPlan, RoutePlan
from adapter.model.submission import Submission
from adapter.opening import LiveDirectory, new_id, now
from adapter.packaging.mhd import master_identifier
from adapter.packaging.parcel import FaxContent, Parcel, RecordContent
from adapter.pipeline.patients import Routed
from adapter.pipeline.plan import deliveries_of
from adapter.pipeline.route_now import route_now
from adapter.routing.directory import Directory, load_directory
from adapter.secure_line import SecureLines
from adapter.service.doors import mailbox_settings
from adapter.service.night_trust import WatchTrust
from adapter.service.trust_watch import Speaker
from adapter.sync.directory_refresh import numbers_of, refresh
from adapter.sync.national_copy import NationalSource, ask
from adapter.sync.night import Desk, Job, Pace, Report, Shift
from adapter.sync.reconcile import MailboxLook, Partners, Reconcile, ReconcileSettings
from adapter.sync.upgrade import Upgrade, UpgradeSettings
from adapter.sync.upkeep import BackUp, KeepFigures, LetGo, ListSilent, RetentionDays
from mssante.errors import MssanteError

# Every name that `--job` takes, in the order of the round.
JOBS = ("directory", "upgrade", "reconcile", "importers", "trust", "figures", "retention", "backup")


@dataclass(frozen=True)
class Night:
    """One round's house: open while it lasts."""

    config: Config
    ledger: Ledger
    directory: LiveDirectory
    lines: SecureLines
    backfill_days: int | None = None
    zone: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "zone", ZoneInfo(self.config.instance.time_zone))

    @property
    def entities(self) -> tuple[str, ...]:
        """The legal entities served."""
        return tuple(entity.finess_ej for entity in self.config.legal_entities)

    def desk(self, pace_of: Callable[[Job], AbstractContextManager[Pace]]) -> Desk:
        """What the round itself needs."""
        return Desk(self.ledger, self.ledger.night.hold_alone, now, self.zone, pace_of)

    def jobs(self) -> tuple[Job, ...]:
        """The jobs of this configuration, in order."""
        night, settings, kept = self.ledger.night, self.config.night, self.config.retention
        partner_of = partial(partner_of_role, self.directory())
        days = RetentionDays(kept.content_days, kept.refused_days, kept.event_days, kept.fax_image_days)
        national = [Job("directory", "Annuaire national", self._refresh)] if self.config.directory.annuaire else []
        speaker = Speaker(self.ledger.open_work_item, self.ledger.close_work_items, new_id, self.config.instance.time_zone)
        importers = [Job("importers", "Cabinets silencieux", ListSilent(self._importers, self.entities).run)]
        return (
            *national,
            Job("upgrade", "Équipement des partenaires", self._upgrade().run),
            Job("reconcile", "Rapprochement avec les partenaires", self._reconcile().run),
            *(importers if self.config.channels.inbox else ()),
            Job("trust", "Certificats et clés", WatchTrust(self.config, self.lines, speaker).run),
            Job("figures", "Chiffres des jours", KeepFigures(night, self.entities, settings.figures_days, partner_of).run),
            Job("retention", "Durées de conservation", LetGo(night, self.entities, days).run),
            Job("backup", "Sauvegarde du registre", BackUp(night, settings.backup_directory, settings.backup_generations).run),
        )

    def job(self, name: str) -> Job:
        """One job by its name; ConfigurationError when this configuration has none."""
        found = next((job for job in self.jobs() if job.name == name), None)
        if found is None:
            text, remedy = "this configuration has no such job.", "It needs a table of its own: docs/how-to/nightly-round.md."
            raise ConfigurationError("night.no-such-job", text, where=name, remedy=remedy)
        return found

    # ── directory ─────────────────────────────────────────────────────────────────────────────────────────────

    def _refresh(self, shift: Shift) -> Report:
        national = self.config.directory.annuaire
        if national is None:
            raise AssertionError("a refresh without a national directory")
        max_age = timedelta(days=national.max_age_days)
        source = NationalSource(national.key_file, national.base_url, national.timeout_seconds, national.copy_file, max_age)
        entries, asked = load_directory(self.config.directory.read()).entries, source.directory()
        shift.pace.expect(len(numbers_of(entries)))
        _, done = refresh(
            entries,
            source.copy(),
            lambda kind, number: ask(asked, kind, number),
            shift.now,
            max_age,
            save=(lambda _listing: None) if shift.dry_run else source.keep,
            step=shift.pace.step,
        )
        to_do = [f"L'annuaire national attribue {address} à quelqu'un d'autre ({key})." for key, address in done.conflicts]
        if done.unanswered:
            to_do.append(f"L'annuaire national n'a pas répondu pour {len(done.unanswered)} numéro(s) : relancer.")
        return Report({"asked": done.asked, "fresh": done.fresh, "changed": len(done.changes)}, tuple(to_do))

    # ── equipment ─────────────────────────────────────────────────────────────────────────────────────────────

    def _upgrade(self) -> Upgrade:
        senders = {entity.finess_ej: sender_profile(self.config, entity) for entity in self.config.legal_entities}
        wanted = self.config.night.backfill_days if self.backfill_days is None else self.backfill_days

        def make(submission: Submission, role: RecipientPlan) -> tuple[Delivery, ...]:
            return deliveries_of(submission, RoutePlan("", "", (role,)), senders[submission.legal_entity])

        return Upgrade(self.ledger.night, self._route, make, UpgradeSettings(self.entities, wanted))

    def _route(self, submission: Submission) -> Routed:
        today = now().astimezone(self.zone).date()
        return route_now(self.ledger, submission, self.directory(), route_settings(self.config), today)

    def _importers(self, legal_entity: str, since: datetime) -> list[ImporterFigures]:
        inbox = self.config.channels.inbox or Inbox()
        names = [practice.name for practice in inbox.practices if practice.legal_entity == legal_entity]
        return self.ledger.importer_figures(names, since, legal_entity=legal_entity)

    # ── partners ──────────────────────────────────────────────────────────────────────────────────────────────

    def _reconcile(self) -> Reconcile:
        channels = build_channels(self.config, self.lines, self.directory)
        fax = channels.get(ChannelName.FAX)
        askable = (ChannelName.FAX, ChannelName.SHARED_RECORD)
        asked = (name for name in askable if name in channels and not channels[name].capabilities.proof_is_secondhand)
        find = {name: partial(_find, channels[name]) for name in asked}
        queue = fax.references if isinstance(fax, FaxSpoolChannel) else None
        boxes = tuple(self._mailbox(n, box) for n, box in enumerate(self.config.doors.mailboxes, start=1))
        settings = ReconcileSettings(self.entities, self.config.night.reconcile_days, self.config.night.proof_days)
        return Reconcile(self.ledger.night, self.ledger, Partners(find, queue, boxes), settings, new_id)

    def _mailbox(self, number: int, box: MailboxDoor) -> MailboxLook:
        def look(shift: Shift) -> MailboxView | None:
            auth = self.lines.auth(box.user, box.password, box.token, external=True)
            settings = mailbox_settings(box, self.lines.at(f"doors.mailboxes[{number}].tls"), auth)
            days, may_write = self.config.night.reconcile_days, not shift.dry_run
            is_known = partial(self._is_known, box.legal_entity)
            try:
                return compare_mailbox(settings, is_known, shift.now, days, shift.pace.step, may_write=may_write)
            except (MssanteError, OSError):
                return None

        return MailboxLook(box.name, box.legal_entity, look)

    def _is_known(self, legal_entity: str, reference: str) -> bool:
        return bool(self.ledger.find(reference, legal_entity=legal_entity))


def _find(channel: Channel, sent: SentDelivery) -> SendOutcome | None:
    return channel.find(asking_parcel(sent))


def asking_parcel(sent: SentDelivery) -> Parcel:
    """What a partner is asked with: our reference, and the document's own identifier. Nothing of it is sent."""
    delivery = sent.delivery
    legs = [leg for role in sent.plan.recipients if role.role_id == delivery.role_id for leg in role.legs]
    address = next((leg.address for leg in legs if leg.channel is delivery.channel), "")
    if delivery.channel is ChannelName.SHARED_RECORD:
        content = RecordContent(b"", master_identifier(sent.submission.document.unique_id))
        return Parcel(delivery.id, delivery.reference, address, urgent=False, content=content)
    return Parcel(delivery.id, delivery.reference, address, urgent=False, content=FaxContent(b"", 0))


def partner_of_role(directory: Directory, role_id: str) -> str:
    """Whom a report names for a role: the structure's key, the mail domain of a bare address, never a person."""
    role = directory.role(role_id)
    if role is not None and role.organisation:
        return role.organisation
    kind, _, rest = role_id.partition(":")
    if kind == "address":
        return rest.rpartition("@")[2]
    return role_id if kind == "record" else kind
