"""Jobs that keep the house in order: silent importers, figures of the days, content whose time is over, a proved copy.

Each is the night's face of a room of the ledger: which days, which limits, what a person reads of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from adapter.errors import LedgerError
from adapter.ledger.importers import ImporterFigures
from adapter.ledger.night import NightLedger
from adapter.ledger.retention import Limits
from adapter.ledger.statistics import day_bounds
from adapter.sync.night import Report, Shift

PartnerOf = Callable[[str], str]

# What an operator runs where the ledger is a server's (docs/how-to/backup.md).
_SERVER_BACKUP = "PostgreSQL: back it up with `pg_dump --format=custom`, or the server's own archiving (docs/how-to/backup.md)"


@dataclass(frozen=True)
class KeepFigures:
    """Counts each day again while its proofs may still come; days that no round saw are made up for."""

    ledger: NightLedger
    legal_entities: tuple[str, ...]
    days: int
    partner_of: PartnerOf

    def run(self, shift: Shift) -> Report:
        """Up to yesterday: a day that is not over is counted when it is asked about."""
        yesterday, counted = shift.today - timedelta(days=1), 0
        for entity in self.legal_entities:
            days = self._days(entity, shift, yesterday)
            shift.pace.expect(len(days))
            for day in days:
                if not shift.dry_run:
                    self.ledger.keep_day(day, shift.zone, self.partner_of, legal_entity=entity)
                counted += 1
                shift.pace.step()
        return Report({"days": counted})

    def _days(self, entity: str, shift: Shift, last: date) -> list[date]:
        first = self.ledger.first_day(shift.zone, legal_entity=entity)
        if first is None or first > last:
            return []
        kept = self.ledger.figures_until(legal_entity=entity)
        if kept is not None:
            first = max(first, min(kept + timedelta(days=1), last - timedelta(days=self.days - 1)))
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@dataclass(frozen=True)
class ListSilent:
    """Practices whose software lets documents lie: who is to be called this morning. Their questions are in the queue already."""

    figures: Callable[[str, datetime], Sequence[ImporterFigures]]
    legal_entities: tuple[str, ...]

    def run(self, shift: Shift) -> Report:
        """As `tdu importers` judges it."""
        silent = [
            one
            for entity in self.legal_entities
            for one in self.figures(entity, shift.now - timedelta(days=1))
            if one.overdue or one.gone
        ]
        told = tuple(
            f"Le cabinet « {one.practice} » laisse {one.overdue + one.gone} document(s) en attente : l'appeler (`tdu importers`)."
            for one in silent
        )
        return Report({"silent": len(silent)}, told)


@dataclass(frozen=True)
class RetentionDays:
    """How long content is kept, in civil days; `fax_images`: received pages whose document came with them as data."""

    content: int
    refused: int
    events: int
    fax_images: int


@dataclass(frozen=True)
class LetGo:
    """Content whose time is over goes, in small transactions."""

    ledger: NightLedger
    legal_entities: tuple[str, ...]
    kept: RetentionDays

    def run(self, shift: Shift) -> Report:
        """Purge, or count what would go."""
        kept = self.kept
        limits = Limits(*(_start(shift, days) for days in (kept.content, kept.refused, kept.events, kept.fax_images)))
        counts = {"receipts": 0, "events": 0, "fax_images": 0}
        for entity in self.legal_entities:
            due = self.ledger.due_receipts(limits, legal_entity=entity)
            shift.pace.expect(due)
            if shift.dry_run:
                counts["receipts"] += due
                counts["fax_images"] += self.ledger.due_images(limits, legal_entity=entity)
                continue
            for purged in self.ledger.purge_receipts(limits, legal_entity=entity):
                counts["receipts"] += purged
                shift.pace.step(purged)
            for purged in self.ledger.purge_images(limits, legal_entity=entity):
                counts["fax_images"] += purged
            for purged in self.ledger.purge_events(limits, legal_entity=entity):
                counts["events"] += purged
        return Report(counts)


@dataclass(frozen=True)
class BackUp:
    """A proved copy each night. One that cannot be made is a person's: the service goes on without."""

    ledger: NightLedger
    directory: Path
    generations: int

    def run(self, shift: Shift) -> Report:
        """The copy, or what to run instead."""
        if self.ledger.file is None:
            return Report(notes=(_SERVER_BACKUP,))
        if shift.dry_run:
            return Report({"copies": 1}, notes=(f"a copy in {self.directory}",))
        done = 0

        def progress(copied: int, total: int) -> None:
            nonlocal done
            if not done:
                shift.pace.expect(total)
            shift.pace.step(copied - done)
            done = copied

        try:
            made = self.ledger.back_up(self.directory, shift.now, self.generations, progress)
        except (LedgerError, OSError) as error:
            code = error.code if isinstance(error, LedgerError) else "backup.failed"
            told = f"La sauvegarde du registre n'a pas été faite ({code}) : vérifier le disque et le dossier de sauvegarde."
            return Report(to_do=(told,), failed=code)
        size = made.bytes // 1024
        return Report({"copies": 1, "kib": size, "removed": len(made.removed)}, notes=(f"{made.path.name}: proved",))


def _start(shift: Shift, days: int) -> datetime:
    return day_bounds(shift.today - timedelta(days=days), shift.zone)[0]
