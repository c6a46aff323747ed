"""A practice's folder, kept in step with its feed: what is published is given, what is stale withdrawn, what is said heard.

Law: blueprint seams 6, 7, 15; issue 5 §5. A set is written aside, known to the ledger, then exposed: a death between any two
steps leaves neither loss nor double. Older versions are withdrawn before a newer one is seen. Moved to `done/` is integrated, to
`error/` unreadable unless a code beside says otherwise; what is nowhere is a person's question, never assumed. Masked and
restricted documents are withheld: whoever may open the folder sees all that lies in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from adapter.channels.drop_folder import PracticeFolder, Seen
from adapter.errors import RenditionError, TduError, VaultError
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import StoredSubmission
from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from adapter.model.folder import GIVEN, WATCHED, FolderSet, KnownSet, Standing, stem_of
from adapter.model.publication import WITHOUT_CONTENT, Publication, PublicationKind, Readers
from adapter.model.work_item import PARTNER_DOWN, WorkAbout, WorkItem
from adapter.packaging.build import Document, written_templates
from adapter.packaging.folder_files import Shelf, Shelved, build_file_set
from adapter.packaging.parcel import SenderProfile
from adapter.pipeline.visibility import seen_now
from adapter.tracking.causes import opens_next_leg

log = structlog.get_logger()

FORBIDDEN = "folder-forbidden"
UNMADE = "rendition-impossible"
VANISHED = "folder-file-vanished"
_VANISHED_ADVICE = (
    "Un document a disparu du dossier d'échange sans accusé : demander au cabinet s'il l'a importé ; sinon le redonner "
    "(`tdu importers --give-again`)."
)
_AWAY_ADVICE = (
    "Le dossier d'échange de ce cabinet n'est plus accessible (partage non monté, ou repère .traitdunion effacé) : le rétablir. "
    "Les dépôts reprendront d'eux-mêmes."
)
INTEGRATED, UNREADABLE, WAITING = "integrated", "unreadable", "waiting-for-matching"
_AT_ONCE = 20
_PRUNE_EVERY_SECONDS = 3600.0

# What a shared folder may not carry, of a submission for a role: a sentence, or empty.
Objects = Callable[[StoredSubmission, str], str]
# Keeps what a practice said of some publications, by an outcome of the closed list.
Say = Callable[[Sequence[str], str], None]


@dataclass(frozen=True)
class FolderSettings:
    """One practice's folder. `only_way`: nothing else serves this practice. Durations are seconds, and days for what is kept."""

    practice: str
    legal_entity: str
    shelf: Shelf
    settle_seconds: float = 5.0
    vanish_seconds: float = 60.0
    keep_days: int = 30
    only_way: bool = True


@dataclass(frozen=True, repr=False)
class _Gift(Confidential):
    """What is given for one publication: `brought` is the publication whose document comes with it, None for words alone."""

    of: Publication
    stored: StoredSubmission
    earlier: tuple[FolderSet, ...]
    brought: Publication | None = None


class FolderKeeper:
    """Keeps one folder. `clock` tells instants, `monotonic` measures, `new_id` names work items."""

    def __init__(
        self,
        settings: FolderSettings,
        folder: PracticeFolder,
        ledger: Ledger,
        sender: SenderProfile,
        objects: Objects,
        say: Say,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._ledger = ledger
        self._sender = sender
        self._objects = objects
        self._say = say
        self._clock = clock
        self._monotonic = monotonic
        self._new_id = new_id
        self._entity = settings.legal_entity
        self._about = f"folder:{settings.practice}"
        self._readers = Readers(settings.legal_entity, (settings.practice,))
        self._sightings: dict[str, tuple[Seen, float]] = {}
        self._pruned_at: float | None = None

    def keep(self) -> int:
        """One round; returns how many sets moved. Another process at work here, or a folder that is away: nothing is done."""
        try:
            if not self._is_open():
                return 0
            with self._folder.mine() as mine:
                return self._round() if mine else 0
        except OSError as error:
            log.error("folder.unusable", practice=self._settings.practice, error=type(error).__name__)
            self._ask_for_folder()
            return 0

    def _is_open(self) -> bool:
        if self._folder.is_there:
            self._ledger.close_work_items(WorkAbout.PARTNER, self._about, self._entity, "folder")
            return True
        if self._ledger.folder_position(self._settings.practice, legal_entity=self._entity):
            self._ask_for_folder()
            return False
        self._folder.found()
        return True

    def _round(self) -> int:
        moved = self._finish() + self._withdraw_stale() + self._hear() + self._give_again() + self._give()
        self._folder.sweep(one.known.stem for one in self._sets(WATCHED))
        self._folder.clear_aside()
        self._prune()
        return moved

    def _sets(self, standings: Iterable[Standing]) -> tuple[FolderSet, ...]:
        return self._ledger.folder_sets(self._settings.practice, standings, legal_entity=self._entity)

    def _stand(self, sets: Iterable[FolderSet], standing: Standing) -> int:
        return self._ledger.stand_folder_sets([one.publication_id for one in sets], standing, legal_entity=self._entity)

    # ── giving ────────────────────────────────────────────────────────────────────────────────────────────────

    def _give(self) -> int:
        """Follow the feed from the last publication that has a row."""
        practice = self._settings.practice
        after = self._ledger.folder_position(practice, legal_entity=self._entity)
        new = self._ledger.feed(self._readers, practice, after, _AT_ONCE)
        for one in new:
            self._take_up(one)
        return len(new)

    def _take_up(self, one: Publication) -> None:
        line = self._ledger.folder_sets_of_line(self._settings.practice, one.line_id, legal_entity=self._entity)
        twin = next((other for other in line if other.submission_id == one.submission_id and other.standing in GIVEN), None)
        if twin is not None:
            self._join(one, twin)
            return
        # Overtaken; or in the patient's record already by the API, before this practice had a folder.
        if one.is_stale or one.state is DeliveryState.INTEGRATED:
            self._ledger.keep_folder_sets([self._row(one, Standing.SKIPPED)])
            return
        gift = self._gift(one, line)
        if gift.brought is None and not gift.earlier:
            # A cancellation or a visibility of what this folder never held.
            self._ledger.keep_folder_sets([self._row(one, Standing.SKIPPED)])
            self._ledger.mark_fetched([one.id], self._about, legal_entity=self._entity)
        elif gift.brought is not None and self._objects(gift.stored, one.role_id):
            self._withhold(one, FORBIDDEN)
        else:
            self._shelve(gift)

    def _gift(self, one: Publication, line: Iterable[FolderSet]) -> _Gift:
        stored = self._as_seen_now(one)
        earlier = _documents(each for each in line if each.position < one.position)
        if one.kind not in WITHOUT_CONTENT:
            return _Gift(one, stored, earlier, one)
        untaken = [each for each in earlier if each.standing in (Standing.LYING, Standing.WITHDRAWN)]
        if one.kind is PublicationKind.CANCEL or len(untaken) < len(earlier) or self._objects(stored, one.role_id):
            return _Gift(one, stored, earlier)
        # Nobody took the document yet: it is given anew, as it may be shown now, under this publication's name.
        named = {each.publication_id: each for each in untaken}
        known = self._ledger.publications_of(self._readers, [one.document_key])
        brought = next((each for each in reversed(known) if each.id in named and each.renditions), None)
        return _Gift(one, stored, earlier, brought)

    def _as_seen_now(self, one: Publication) -> StoredSubmission:
        """A submission with the newest visibility of its document: what was published before it was masked is masked."""
        stored = self._ledger.kept_submission(one.submission_id, legal_entity=self._entity)
        seen = seen_now(self._ledger, stored.translation.submission)
        return replace(stored, translation=replace(stored.translation, submission=seen))

    def _join(self, one: Publication, twin: FolderSet) -> None:
        """Another role of this practice has this very document here: one copy, which speaks for both."""
        self._ledger.keep_folder_sets([self._row(one, twin.standing, twin.known, twin.has_content)])
        if twin.outcome:
            self._say([one.id], twin.outcome)

    def _withhold(self, one: Publication, cause: str) -> None:
        """Not by this folder. Where nothing else serves the practice, the next way is tried, or a person asked."""
        self._ledger.keep_folder_sets([self._row(one, Standing.WITHHELD)])
        if self._settings.only_way or cause != FORBIDDEN:
            refusal = Evidence(one.id, DeliveryState.REFUSED, self._clock(), "folder", cause, also=(one.id,))
            self._ledger.record_evidence(
                [refusal], self._about, str(one.position), legal_entity=self._entity, opens_next_leg=opens_next_leg
            )

    def _row(self, one: Publication, standing: Standing, known: KnownSet | None = None, has_content: bool = False) -> FolderSet:
        return FolderSet(
            publication_id=one.id,
            legal_entity=one.legal_entity,
            practice=one.practice,
            position=one.position,
            submission_id=one.submission_id,
            known=known or KnownSet(stem_of(one.position, one.id)),
            standing=standing,
            kind=one.kind,
            changed_at=self._clock(),
            has_content=has_content,
            line_id=one.line_id,
        )

    def _shelve(self, gift: _Gift) -> None:
        """Aside, known to the ledger, then seen."""
        known = self._stage(gift)
        if known is None:
            self._withhold(gift.of, UNMADE)
            return
        spoken_for = {each.id: each for each in (gift.of, gift.brought) if each is not None}.values()
        rows = [self._row(each, Standing.STAGED, known, gift.brought is not None) for each in spoken_for]
        self._ledger.keep_folder_sets(rows)
        self._expose(rows)

    def _stage(self, gift: _Gift) -> KnownSet | None:
        """Write the files aside; None when they cannot be made."""
        try:
            files = build_file_set(self._shelved(gift), self._settings.shelf, self._sender)
        except (RenditionError, VaultError) as error:
            log.error("folder.rendition-failed", publication=gift.of.id, code=error.code)
            return None
        self._folder.stage(files)
        return files.main

    def _shelved(self, gift: _Gift) -> Shelved:
        one, translation = gift.of, gift.stored.translation
        document = Document(
            translation.submission, translation.bundle, translation.source_document, translation.source_media_type
        )
        recipient = next((each for each in gift.stored.plan.recipients if each.role_id == one.role_id), None)
        return Shelved(
            stem=stem_of(one.position, one.id),
            kind=PublicationKind.REPLACE if gift.brought not in (None, one) else one.kind,
            delivery=next(each for each in gift.stored.deliveries if each.id == one.id),
            submission=translation.submission,
            line_id=one.line_id,
            recipient_name=recipient.display if recipient is not None else "",
            published_at=one.published_at,
            bundle=self._ledger.published_content(one, "fhir"),
            cda=self._content(gift.brought, "cda"),
            pdf=self._content(gift.brought, "pdf"),
            templates=written_templates(document),
            earlier=gift.earlier,
        )

    def _content(self, brought: Publication | None, form: str) -> bytes:
        if brought is None or form not in {each.form for each in brought.renditions}:
            return b""
        return self._ledger.published_content(brought, form)

    def _expose(self, rows: Sequence[FolderSet]) -> None:
        """Let a set be seen that the ledger knows of; what it replaces is withdrawn first."""
        row = rows[0]
        line = self._ledger.folder_sets_of_line(self._settings.practice, row.line_id, legal_entity=self._entity)
        self._withdraw(each for each in _documents(line) if each.known.stem != row.known.stem and each.position < row.position)
        self._folder.expose(row.known.stem)
        self._stand(rows, Standing.LYING)

    def _finish(self) -> int:
        """What a death left between two steps: the ledger knows it, so it is exposed now, if it was not."""
        staged = self._sets([Standing.STAGED])
        for row in staged:
            self._expose([row])
        return len(staged)

    def _give_again(self) -> int:
        """A person asked for a set once more: under the same names, in the words that are true today."""
        asked = self._sets([Standing.AGAIN])
        for row in asked:
            for one in self._ledger.feed(self._readers, row.practice, row.position - 1, 1):
                line = self._ledger.folder_sets_of_line(row.practice, one.line_id, legal_entity=self._entity)
                known = None if one.is_stale else self._stage(self._gift(one, line))
                if known is None:
                    self._stand([row], Standing.SKIPPED)
                else:  # what it is recognised by may have changed with its words
                    self._ledger.keep_folder_sets([replace(row, known=known, standing=Standing.STAGED)])
        return self._finish() if asked else 0

    # ── withdrawing ───────────────────────────────────────────────────────────────────────────────────────────

    def _withdraw_stale(self) -> int:
        """Documents that a newer version or a cancellation overtook, even if that one has not come here yet."""
        return self._withdraw(one for one in _documents(self._sets([Standing.LYING])) if one.is_stale)

    def _withdraw(self, sets: Iterable[FolderSet]) -> int:
        """Files that still lie go to `withdrawn/`; those that the program took meanwhile are heard of where they are."""
        lying = [one for one in sets if one.standing is Standing.LYING]
        return self._stand([one for one in lying if self._is_withdrawn(one.known)], Standing.WITHDRAWN)

    def _is_withdrawn(self, known: KnownSet) -> bool:
        """Now, or just before a death that kept it from being told."""
        return self._folder.withdraw(known) or self._folder.look([known])[known.stem].standing is Standing.WITHDRAWN

    # ── hearing ───────────────────────────────────────────────────────────────────────────────────────────────

    def _hear(self) -> int:
        """What the program did with what lies there. Only what looks the same for a while counts: it may still be writing."""
        watched = sorted(self._sets(WATCHED), key=lambda one: one.known.stem)
        seen = self._folder.look({one.known for one in watched})
        self._sightings = {stem: sighting for stem, sighting in self._sightings.items() if stem in seen}
        moved = 0
        for stem, rows in groupby(watched, key=lambda one: one.known.stem):
            if self._has_settled(stem, seen[stem]):
                moved += self._conclude(list(rows), seen[stem])
        return moved

    def _has_settled(self, stem: str, seen: Seen) -> bool:
        now = self._monotonic()
        before, since = self._sightings.get(stem, (None, now))
        if before != seen:
            since = now
        self._sightings[stem] = (seen, since)
        nowhere = seen.standing in (Standing.GONE, Standing.WITHDRAWN)
        return now - since >= (self._settings.vanish_seconds if nowhere else self._settings.settle_seconds)

    def _conclude(self, rows: Sequence[FolderSet], seen: Seen) -> int:
        ids = [row.publication_id for row in rows]
        match seen.standing:
            case Standing.DONE | Standing.ERROR:
                default = INTEGRATED if seen.standing is Standing.DONE else UNREADABLE
                outcome = seen.word or default
                # What waits to be matched goes on being looked at: the program may yet move it, or take the word away.
                final = seen.standing is Standing.DONE and outcome != WAITING
                if any(row.outcome != outcome for row in rows):
                    self._say(ids, outcome)
                return self._stand(rows, Standing.DONE if final else Standing.ERROR)
            case Standing.LYING:
                back = [row for row in rows if row.standing is not Standing.LYING]
                return self._stand(back, Standing.LYING) if back else 0
            case _:
                return self._miss(rows)

    def _miss(self, rows: Sequence[FolderSet]) -> int:
        """A set is nowhere. Overtaken meanwhile, it is only withdrawn; else somebody must ask the practice."""
        overtaken = [row for row in rows if row.is_stale]
        missed = [row for row in rows if not row.is_stale and row.standing is not Standing.GONE]
        for row in missed:
            self._ledger.open_work_item(
                self._item(WorkAbout.DELIVERY, row.publication_id, VANISHED, _VANISHED_ADVICE, row.urgent)
            )
        return self._stand(overtaken, Standing.WITHDRAWN) + self._stand(missed, Standing.GONE)

    # ── the folder itself ─────────────────────────────────────────────────────────────────────────────────────

    def _ask_for_folder(self) -> None:
        try:
            self._ledger.open_work_item(self._item(WorkAbout.PARTNER, self._about, PARTNER_DOWN, _AWAY_ADVICE, False))
        except TduError as error:
            log.warning("folder.not-told", practice=self._settings.practice, code=error.code)

    def _item(self, about: WorkAbout, about_id: str, reason: str, advice: str, urgent: bool) -> WorkItem:
        return WorkItem(self._new_id(), self._entity, about, about_id, reason, advice, self._clock(), urgent)

    def _prune(self) -> None:
        now = self._monotonic()
        if self._pruned_at is None or now - self._pruned_at >= _PRUNE_EVERY_SECONDS:
            self._folder.prune((self._clock() - timedelta(days=self._settings.keep_days)).timestamp())
            self._pruned_at = now


def _documents(sets: Iterable[FolderSet]) -> tuple[FolderSet, ...]:
    """Sets that brought a document here, oldest first: what a follow-up is about, and what it withdraws."""
    return tuple(one for one in sets if one.standing in GIVEN and one.has_content)
