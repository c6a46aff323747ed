"""Versions of one document form a line; per recipient role, only the newest may still leave (seam 6).

Line id: that of any known document sharing the set id, of the document itself, of the one it replaces or of one that replaces
it; else its set id, else what it replaces, else its own id. So a line holds together whichever version came first.

Newer: a chain of `replaces` says so; else the higher version; at one version, cancel > replace > new. What neither tells is
unrelated: both are sent.

A cancellation speaks for the whole document: it stops versions not yet sent to *any* role, and a version that arrives after it.
A cancellation to a role that was never sent anything is not sent either: it would tell of a document nobody saw.

A change of metadata (who may see it) comes after its document and before a cancellation of it, whatever its version, which only
orders such changes among themselves. It stops older changes, never a document: what has not left leaves as it may be seen then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, union, update

from adapter.ledger import moves, tables
from adapter.ledger.database import Transaction
from adapter.ledger.status import SERVED
from adapter.ledger.withdrawal_asks import ask_back
from adapter.ledger.withdrawal_tables import withdrawal
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.submission import Intent, Submission
from adapter.model.work_item import WorkAbout

S = DeliveryState
Row = Mapping[Any, Any]

METADATA = Intent.METADATA.value
_RANK = {METADATA: -1, Intent.NEW.value: 0, Intent.REPLACE.value: 1, Intent.CANCEL.value: 2}
_UNSENT = (S.WAITING, S.QUEUED, S.CLAIMED, S.PARKED)


@dataclass(frozen=True)
class Version:
    """What places a submission in its line."""

    document_id: str
    version: int
    intent: str
    replaces: str
    submission_id: str = ""


@dataclass(frozen=True)
class Line:
    """A line as a submission finds it: the known submissions older and newer than itself."""

    id: str
    older: tuple[Version, ...] = ()
    newer: tuple[Version, ...] = ()


@dataclass(frozen=True)
class Placement:
    """What the line means for one new delivery: its first state (None: as planned), and what it replaces."""

    state: DeliveryState | None = None
    superseded_by: str = ""
    replaces_sent_on: str = ""
    cause: str = ""


def lock_names(submission: Submission) -> tuple[str, ...]:
    """What two submissions of one line have in common, whichever comes first."""
    document = submission.document
    ids = {document.unique_id, document.set_id, document.replaces} - {""}
    return tuple(f"line/{submission.legal_entity}/{one}" for one in sorted(ids))


def is_newer(one: Version, other: Version, line: Sequence[Version]) -> bool:
    """True when `one` comes after `other` in their line."""
    replaced = {version.document_id: version.replaces for version in (*line, one, other) if version.replaces}
    if other.document_id in _ancestors(one.document_id, replaced):
        return True
    if one.document_id in _ancestors(other.document_id, replaced):
        return False
    if one.document_id == other.document_id and METADATA in (one.intent, other.intent):
        return _changes_after(one, other)
    return (_content_version(one, line), _RANK[one.intent]) > (_content_version(other, line), _RANK[other.intent])


def _changes_after(one: Version, other: Version) -> bool:
    """Of one document, of which one version at least only changes who may see it."""
    if one.intent == other.intent:
        return one.version > other.version
    return other.intent != Intent.CANCEL.value if one.intent == METADATA else one.intent == Intent.CANCEL.value


def _content_version(version: Version, line: Sequence[Version]) -> int:
    """The version of the document that a change is about; its own says only which change it is."""
    if version.intent != METADATA:
        return version.version
    held = [one.version for one in line if one.document_id == version.document_id and one.intent != METADATA]
    return max(held, default=version.version)


def _ancestors(document_id: str, replaced: Mapping[str, str]) -> set[str]:
    """Every document that this one replaces, directly or not; a loop in the sources ends the walk."""
    found: set[str] = set()
    current = replaced.get(document_id, "")
    while current and current not in found and current != document_id:
        found.add(current)
        current = replaced.get(current, "")
    return found


def place_in_line(tx: Transaction, submission: Submission) -> Line:
    """Find or found the line of a submission. Its lock names must be held."""
    document, s = submission.document, tables.submission
    me = Version(document.unique_id, document.version, submission.intent.value, document.replaces, submission.id)
    line_id = _one_line(tx, submission)
    if not line_id:
        return Line(document.set_id or document.replaces or document.unique_id)
    members = select(s.c.document_id, s.c.version, s.c.intent, s.c.replaces, s.c.id)
    members = members.where(s.c.legal_entity == submission.legal_entity, s.c.line_id == line_id, s.c.id != submission.id)
    line = [
        Version(row["document_id"], row["version"], row["intent"], row["replaces"], row["id"])
        for row in tx.execute(members).mappings()
    ]
    return Line(
        line_id,
        older=tuple(other for other in line if is_newer(me, other, line)),
        newer=tuple(other for other in line if is_newer(other, me, line)),
    )


def was_cancelled(connection: Connection, legal_entity: str, submission_id: str) -> bool:
    """True when a cancellation stands after this submission in its line."""
    s = tables.submission
    own = select(s.c.line_id).where(s.c.id == submission_id).scalar_subquery()
    columns = select(s.c.document_id, s.c.version, s.c.intent, s.c.replaces, s.c.id)
    rows = connection.execute(columns.where(s.c.legal_entity == legal_entity, s.c.line_id == own)).mappings()
    line = [Version(row["document_id"], row["version"], row["intent"], row["replaces"], row["id"]) for row in rows]
    mine = [version for version in line if version.submission_id == submission_id]
    cancels = [version for version in line if version.intent == Intent.CANCEL.value]
    return any(is_newer(cancel, me, line) for me in mine for cancel in cancels)


def _one_line(tx: Transaction, submission: Submission) -> str:
    """The line of the documents this one is tied to; empty when there is none. Lines that it ties together become one."""
    entity = submission.legal_entity
    lines = _lines_near(tx, submission)
    if not lines:
        return ""
    tx.lock(*(f"line-id/{entity}/{line}" for line in lines))
    first, *others = _lines_near(tx, submission)
    for table in (tables.submission, tables.delivery, withdrawal) if others else ():
        tx.execute(update(table).where(table.c.legal_entity == entity, table.c.line_id.in_(others)).values(line_id=first))
    return first


def _lines_near(tx: Transaction, submission: Submission) -> list[str]:
    """Lines of known documents that name this one or that it names, in a fixed order.

    One question an index: asked with OR, SQLite goes through every document of the legal entity, for each that comes.
    """
    document, s = submission.document, tables.submission
    near = [s.c.document_id == document.unique_id, s.c.replaces == document.unique_id]
    if document.set_id:
        near.append(s.c.set_id == document.set_id)
    if document.replaces:
        near.append(s.c.document_id == document.replaces)
    mine = (s.c.legal_entity == submission.legal_entity, s.c.id != submission.id)
    return sorted(set(tx.execute(union(*(select(s.c.line_id).where(*mine, one) for one in near))).scalars()))


class LineKeeper:
    """Applies a line to the deliveries of one new submission, role by role."""

    def __init__(self, tx: Transaction, submission: Submission, line: Line, actor: str) -> None:
        self._tx = tx
        self._submission = submission
        self._line = line
        self._actor = actor
        self._cancels = submission.intent is Intent.CANCEL
        self._only_changes = submission.intent is Intent.METADATA
        self._older = self._deliveries_of(line.older)
        self._newer = self._deliveries_of(line.newer)
        self._cancelled_by = next((v.submission_id for v in line.newer if v.intent == Intent.CANCEL.value), "")

    def _deliveries_of(self, versions: Sequence[Version]) -> list[Row]:
        if not versions:
            return []
        d = tables.delivery
        mine = d.c.submission_id.in_([version.submission_id for version in versions])
        return list(self._tx.execute(moves.locked(mine, d.c.purpose == Purpose.DOCUMENT.value)).mappings())

    def flag_unknown_original(self) -> None:
        """A replacement or cancellation of something we never saw is sent, and says so in its log."""
        submission = self._submission
        asks = submission.document.replaces or submission.intent is not Intent.NEW
        if asks and not self._line.older:
            about = WorkAbout.SUBMISSION
            self._tx.event(submission.legal_entity, about, submission.id, "replaces-unknown", submission.document.replaces)

    def place(self, role_id: str) -> Placement:
        """What happens to a new delivery for this role."""
        ours = [row for row in self._newer if row["role_id"] == role_id and (self._only_changes or row["intent"] != METADATA)]
        newer = next((row["id"] for row in ours), self._cancelled_by)
        if newer:
            return Placement(S.SUPERSEDED, superseded_by=newer, cause="older-version")
        older = [row for row in self._older if row["role_id"] == role_id]
        left = [row["on_wire_at"] for row in older if may_have_left(row)]
        if self._cancels and older and not left:
            return Placement(S.CANCELLED, cause="nothing-to-cancel")
        return Placement(replaces_sent_on=_instant(max(left)) if left else "")

    def served_elsewhere(self, roles: set[str]) -> list[str]:
        """Roles that older versions may have reached and that this one is not for; nobody asks again once a newer one did."""
        if self._newer or self._only_changes:
            return []
        return sorted({row["role_id"] for row in self._older if may_have_left(row)} - roles)

    def supersede_older(self, placed: Mapping[str, str]) -> set[str]:
        """Stop what has not left of older versions; `placed` is role → our delivery. Returns the submissions touched.

        A version that comes between two known ones also tells that the last supersedes the first.
        """
        touched: set[str] = set()
        for row in self._older:
            by = placed.get(row["role_id"]) or self._newest_of(row) or (self._submission.id if self._cancels else "")
            if not by or row["superseded_by"] or (self._only_changes and row["intent"] != METADATA):
                continue
            touched.add(row["submission_id"])
            if S(row["state"]) in _UNSENT:
                moves.supersede(self._tx, row, by, actor=self._actor)
            else:
                moves.change_values(self._tx, row, superseded_by=by)
                ask_back(self._tx, [row], "newer-version")
        return touched

    def _newest_of(self, older: Row) -> str:
        """A newer version that came before us, for an older row's role; it learns from us what it replaces."""
        newer = [
            row for row in self._newer if row["role_id"] == older["role_id"] and METADATA not in (row["intent"], older["intent"])
        ]
        if may_have_left(older):
            for row in newer:
                if S(row["state"]) in _UNSENT and not row["replaces_sent_on"]:
                    moves.change_values(self._tx, row, replaces_sent_on=_instant(older["on_wire_at"]))
        return newer[0]["id"] if newer else self._cancelled_by


def waits_for_older() -> ColumnElement[bool]:
    """True while an older version, or change, is on the wire to the same role: whoever holds it is asked to change it afterwards.

    What may have arrived (`unclear`) holds nothing up: it is told as soon as it is there, or asked about.
    """
    d = tables.delivery
    older = d.alias("older")
    same = (older.c.legal_entity == d.c.legal_entity, older.c.line_id == d.c.line_id, older.c.role_id == d.c.role_id)
    before = or_(older.c.created_at < d.c.created_at, and_(older.c.created_at == d.c.created_at, older.c.version < d.c.version))
    return exists().where(*same, older.c.channel == d.c.channel, older.c.state == S.ON_WIRE.value, older.c.id != d.c.id, before)


def may_have_left(row: Row) -> bool:
    """True unless the partner told us that it did not take it."""
    if row["on_wire_at"] is None:
        return False
    return S(row["state"]) in (S.ON_WIRE, S.UNCLEAR, *SERVED) or row["unclear_count"] > 0


def _instant(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second: the rendition turns it into a civil date."""
    return moment.replace(microsecond=0).isoformat()
