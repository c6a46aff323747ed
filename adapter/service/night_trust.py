"""The round's look at what ends: certificates and lists as `trust_watch` judges them, API keys and clients' keys by their days.

Law: ECO 1.1.5–1.1.7. The question to a person is the service's own (`trust-ends`, once a place); here it is asked even where the
service does not run, and the summary names what ends within 60, 30 and 7 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from adapter.config import Config
from adapter.model.work_item import TRUST_ENDS, WorkAbout, WorkItem
from adapter.secure_line import SecureLines
from adapter.service.key_watch import KeyEnd, key_ends
from adapter.service.trust_watch import Speaker, TrustWatch
from adapter.sync.night import Report, Shift
from mssante.errors import MssanteError
from mssante.trust import THRESHOLDS_DAYS, Urgency

_NOTICE_DAYS, _WARNING_DAYS, _URGENT_DAYS = THRESHOLDS_DAYS
_TOLD = (Urgency.NOTICE, Urgency.WARNING, Urgency.URGENT, Urgency.EXPIRED, Urgency.NOT_YET)
_KEY_ADVICE = "Une clé d'accès expire bientôt, a expiré, ou ne peut pas être lue : la renouveler avec son propriétaire."
_BY = "night"


@dataclass(frozen=True)
class WatchTrust:
    """The job."""

    config: Config
    lines: SecureLines
    speaker: Speaker

    def run(self, shift: Shift) -> Report:
        """Certificates, revocation lists, keys."""
        to_do = [*self._certificates(shift.now), *self._keys(shift)]
        if not shift.dry_run:
            # The gauge is the service's: a round that ends keeps no figures.
            TrustWatch(self.lines, lambda *_: None, self.speaker, clock=lambda: shift.now).look()
        return Report({"ending": len(to_do)}, tuple(to_do))

    def _certificates(self, now: datetime) -> list[str]:
        told: dict[str, None] = {}
        for line, _entities in self.lines.all():
            try:
                found = line.expiries(now)
            except MssanteError as error:
                told[f"{line.place} : fichiers inutilisables ({error.code})."] = None
                continue
            for expiry in found:
                if expiry.urgency in _TOLD:
                    told[f"{expiry.name} ({line.place}) {_when(expiry.days_left)} : remplacer {expiry.file.name}."] = None
        return list(told)

    def _keys(self, shift: Shift) -> list[str]:
        told: list[str] = []
        for one in key_ends(self.config):
            if isinstance(one, KeyEnd):
                days = (one.ends_at.astimezone(shift.zone).date() - shift.today).days
                if days <= _NOTICE_DAYS:
                    told.append(f"La clé {one.name} ({one.place}) {_when(days)} : la renouveler.")
                urgent = days <= _URGENT_DAYS
            else:
                told.append(f"Les clés de {one.place} ne peuvent pas être lues.")
                urgent = True
            if not shift.dry_run:
                self._ask(one.place[:64], one.entities, urgent, shift.now)
        return told

    def _ask(self, place: str, entities: tuple[str, ...], urgent: bool, now: datetime) -> None:
        about, speaker = WorkAbout.CERTIFICATE, self.speaker
        for entity in entities:
            if urgent:
                speaker.ask(WorkItem(speaker.new_id(), entity, about, place, TRUST_ENDS, _KEY_ADVICE, now, urgent=True))
            else:
                speaker.close(about, place, entity, _BY)


def _when(days_left: int) -> str:
    if days_left < 0:
        return "a expiré"
    return "expire aujourd'hui" if days_left == 0 else f"expire dans {days_left} jour(s)"
