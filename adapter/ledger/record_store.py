"""The shared record's rows in one transaction: find, add, change. Who may do what is the record's business, not the store's.

Law: blueprint seams 9, 10, 13. Every query names its legal entity. Names are locked before they are looked for, so that of
many clients who create the same thing one creates and the others find; the unique constraint proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, false, func, insert, or_, select, true, update

from adapter.errors import LedgerError
from adapter.ledger.database import Database, Transaction
from adapter.ledger.record_rows import (
    AUTHOR_ORGANISATION,
    AnySpan,
    AnyToken,
    Comparison,
    Condition,
    Indexes,
    InStates,
    NewResource,
    OfPatients,
    Openness,
    Order,
    Row,
    Sight,
    Slice,
    WithIds,
)
from adapter.ledger.record_tables import record_link, record_resource, record_span, record_token
from adapter.ledger.records import PayloadKind
from adapter.ledger.tables import audit, payload_chunk
from adapter.ledger.vault import Vault
from adapter.model.audit import AuditEntry, AuditRow

T = TypeVar("T")
_FOUND_THROUGH = ("List", "Binary", "Bundle")


class RecordRows:
    """What can be asked of one legal entity's record, on one connection."""

    def __init__(self, connection: Connection, vault: Vault, entity: str) -> None:
        self._connection = connection
        self._vault = vault
        self._entity = entity

    def get(self, kind: str, resource_id: str, sight: Sight | None = None) -> Row | None:
        """One resource by its id, if this sight reaches it."""
        return next(iter(self.find(kind, [WithIds((resource_id,))], sight)), None)

    def find(
        self, kind: str, conditions: Sequence[Condition], sight: Sight | None = None, part: Slice | None = None
    ) -> list[Row]:
        """The resources of a type for which all conditions hold, in order; all of them without a part."""
        query = select(record_resource).where(*self._where(kind, conditions, sight))
        if part is not None:
            query = _ordered(query, part)
        return [_row(found) for found in self._connection.execute(query).mappings()]

    def count(self, kind: str, conditions: Sequence[Condition], sight: Sight | None = None) -> int:
        """How many there are."""
        query = select(func.count()).select_from(record_resource).where(*self._where(kind, conditions, sight))
        return int(self._connection.execute(query).scalar_one())

    def find_unique(self, kind: str, text: str) -> Row | None:
        """The resource that holds a unique text."""
        column = record_resource.c.unique_mac
        query = select(record_resource).where(self._mine(kind), column.in_(self._macs(f"unique:{kind}", text)))
        found = self._connection.execute(query).mappings().first()
        return _row(found) if found else None

    def content(self, resource_id: str) -> bytes:
        """What is sealed under a resource's id."""
        chunk = payload_chunk
        query = (
            select(chunk.c.sealed)
            .where(
                chunk.c.row_id == resource_id,
                chunk.c.kind == PayloadKind.RECORD.value,
                chunk.c.legal_entity == self._entity,
            )
            .order_by(chunk.c.number)
        )
        sealed = [bytes(piece) for piece in self._connection.execute(query).scalars()]
        return self._vault.open_payload(resource_id, PayloadKind.RECORD.value, sealed)

    def linked_from(self, resource_id: str) -> tuple[str, ...]:
        """The ids that a resource leads to."""
        query = select(record_link.c.to_id).where(record_link.c.from_id == resource_id)
        return tuple(self._connection.execute(query.order_by(record_link.c.to_id)).scalars())

    def audited(
        self, prefix: str, narrowed: Mapping[str, str], between: tuple[datetime, datetime] | None, after: int, limit: int
    ) -> list[AuditRow]:
        """Audit rows whose action starts so, newest first, of row number below `after` (0: from the newest).

        `narrowed`: by `agent` (who), `entity` (`Type/id`), `patient` (`Patient/id`).
        """
        query = select(audit).where(audit.c.legal_entity == self._entity, audit.c.action.startswith(prefix, autoescape=True))
        for name, value in narrowed.items():
            query = query.where(_narrowed(name, value))
        if between is not None:
            query = query.where(audit.c.at >= between[0], audit.c.at < between[1])
        if after:
            query = query.where(audit.c.number < after)
        rows = self._connection.execute(query.order_by(audit.c.number.desc()).limit(limit)).mappings()
        return [_audit_row(found) for found in rows]

    # ── conditions ────────────────────────────────────────────────────────────────────────────────────────────

    def _macs(self, parameter: str, text: str) -> tuple[str, ...]:
        return self._vault.lookup_macs("record", self._entity, parameter, text)

    def _mine(self, kind: str) -> ColumnElement[bool]:
        return and_(record_resource.c.legal_entity == self._entity, record_resource.c.kind == kind)

    def _where(self, kind: str, conditions: Sequence[Condition], sight: Sight | None) -> list[ColumnElement[bool]]:
        seen = [] if sight is None else [self._visible(kind, sight)]
        return [self._mine(kind), *map(self._holds, conditions), *seen]

    def _holds(self, condition: Condition) -> ColumnElement[bool]:
        held = record_resource.c
        match condition:
            case AnyToken(parameter, texts):
                return self._has_token(held.id, parameter, texts)
            case AnySpan("changed", comparisons):
                return or_(false(), *(_compared(c, held.changed_at, held.changed_at) for c in comparisons))
            case AnySpan(parameter, comparisons):
                span = record_span.c
                compared = or_(false(), *(_compared(c, span.start_at, span.end_at) for c in comparisons))
                return exists().where(span.resource_id == held.id, span.parameter == parameter, compared)
            case OfPatients(patient_ids):
                return held.patient_id.in_(patient_ids)
            case InStates(states):
                return held.state.in_(states)
            case WithIds(ids):
                return held.id.in_(ids)

    def _has_token(self, resource_id: Any, parameter: str, texts: Sequence[str]) -> ColumnElement[bool]:
        token = record_token.c
        macs = [mac for text in texts for mac in self._macs(parameter, text)]
        return exists().where(token.legal_entity == self._entity, token.mac.in_(macs), token.resource_id == resource_id)

    def _visible(self, kind: str, sight: Sight) -> ColumnElement[bool]:
        """Documents by their own marks; what leads to documents only when all are seen; bytes when one document is."""
        if kind == "DocumentReference":
            return self._sees(record_resource, sight)
        if kind not in _FOUND_THROUGH:
            return true()
        document = record_resource.alias("document")
        seen = self._sees(document, sight)
        if kind == "List":
            reached = and_(record_link.c.from_id == record_resource.c.id, record_link.c.to_id == document.c.id)
            return ~exists().where(reached, document.c.kind == "DocumentReference", ~seen)
        reached = and_(record_link.c.to_id == record_resource.c.id, record_link.c.from_id == document.c.id)
        return exists().where(reached, document.c.kind == "DocumentReference", seen)

    def _sees(self, table: Any, sight: Sight) -> ColumnElement[bool]:
        held = table.c
        rules: list[ColumnElement[bool]] = [held.confidentiality.in_(sorted(sight.levels))]
        if not sight.sees_masked:
            own = self._has_token(held.id, AUTHOR_ORGANISATION, (sight.unmasks_for,)) if sight.unmasks_for else false()
            rules.append(or_(~held.masked, own))
        if sight.hides_from_patient:
            rules.append(~held.hidden_from_patient)
        if sight.hides_from_family:
            rules.append(~held.hidden_from_family)
        if sight.fed_by is not None:
            rules.append(held.organisation == sight.fed_by)
        return and_(*rules)


class RecordChanges(RecordRows):
    """The same, and what can be changed, in one write transaction."""

    def __init__(self, transaction: Transaction, entity: str) -> None:
        super().__init__(transaction.connection, transaction.vault, entity)
        self._transaction = transaction

    @property
    def now(self) -> datetime:
        """The instant of this transaction."""
        return self._transaction.now

    def new_id(self) -> str:
        """An id that nobody has."""
        return self._transaction.new_id()

    def lock(self, *names: str) -> None:
        """Hold names until the end, all at once, in one order: two who want the same never wait for each other in a ring."""
        self._transaction.lock(*(f"record:{self._entity}:{self._macs('lock', name)[0]}" for name in names))

    def add(self, new: NewResource) -> Row:
        """Hold a resource."""
        now = self._transaction.now
        values = {
            "id": new.id,
            "legal_entity": self._entity,
            "kind": new.kind,
            "version": 1,
            "state": new.state,
            "patient_id": new.patient_id,
            "unique_mac": self._macs(f"unique:{new.kind}", new.unique)[0] if new.unique else None,
            "feeder": new.feeder,
            "organisation": new.organisation,
            "media_type": new.media_type,
            **_marks(new.openness),
            "dated_at": new.dated_at or now,
            "created_at": now,
            "changed_at": now,
        }
        self._transaction.execute(insert(record_resource).values(values))
        self._index(new.id, new.indexes)
        links = [{"from_id": new.id, "to_id": target} for target in dict.fromkeys(new.links)]
        if links:
            self._transaction.execute(insert(record_link), links)
        self._transaction.keep(self._entity, new.id, PayloadKind.RECORD, new.content)
        return _row(values)

    def change(self, row: Row, content: bytes, state: str, openness: Openness, indexes: Indexes) -> Row:
        """Put a new version in the place of this one; LedgerError when somebody else did so first."""
        held = record_resource
        values = {"version": row.version + 1, "state": state, "changed_at": self._transaction.now, **_marks(openness)}
        changed = self._transaction.execute(
            update(held)
            .where(held.c.id == row.id, held.c.legal_entity == self._entity, held.c.version == row.version)
            .values(values)
        )
        if changed.rowcount != 1:
            raise LedgerError("ledger.unavailable", "another version came first", where=row.id, remedy="Read it again.")
        self._transaction.execute(delete(record_token).where(record_token.c.resource_id == row.id))
        self._transaction.execute(delete(record_span).where(record_span.c.resource_id == row.id))
        self._transaction.execute(
            delete(payload_chunk).where(payload_chunk.c.row_id == row.id, payload_chunk.c.kind == PayloadKind.RECORD.value)
        )
        self._index(row.id, indexes)
        self._transaction.keep(self._entity, row.id, PayloadKind.RECORD, content)
        found = self.get(row.kind, row.id)
        if found is None:
            raise LedgerError("ledger.unavailable", "a row vanished in its own transaction", where=row.id)
        return found

    def audit(self, actor: str, action: str, about: str, about_id: str, detail: str) -> None:
        """An audit row of this very transaction."""
        self._transaction.audit(self._entity, actor, action, about, about_id, detail)

    def _index(self, resource_id: str, indexes: Indexes) -> None:
        macs = dict.fromkeys(self._macs(parameter, text)[0] for parameter, text in indexes.tokens)
        tokens = [{"legal_entity": self._entity, "mac": mac, "resource_id": resource_id} for mac in macs]
        if tokens:
            self._transaction.execute(insert(record_token), tokens)
        spans = [
            {"resource_id": resource_id, "parameter": parameter, "start_at": start, "end_at": end}
            for parameter, start, end in dict.fromkeys(indexes.spans)
        ]
        if spans:
            self._transaction.execute(insert(record_span), spans)


class RecordStore:
    """The record's rows in a ledger's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, entity: str, work: Callable[[RecordRows], T]) -> T:
        """Run `work` on one moment of the record."""
        with self._database.read() as connection:
            return work(RecordRows(connection, self._database.vault, entity))

    def write(self, entity: str, work: Callable[[RecordChanges], T]) -> T:
        """Run `work` in one durable transaction, again when it met another writer; nothing is left of one that raises."""
        return self._database.write(lambda transaction: work(RecordChanges(transaction, entity)))

    def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Audit rows of reads and refusals."""
        self._database.write_audit(entries)

    def now(self) -> datetime:
        """The clock of the ledger."""
        return self._database.now()


def _narrowed(name: str, value: str) -> ColumnElement[bool]:
    if name == "agent":
        return audit.c.actor == value
    kind, _, resource_id = value.rpartition("/")
    if name == "entity":
        return and_(audit.c.about == kind, audit.c.about_id == resource_id)
    # The detail of a trace names its patient between blanks (audit_event.Telling).
    return or_(audit.c.about_id == resource_id, audit.c.detail.contains(f" {resource_id}", autoescape=True))


def _ordered(query: Any, part: Slice) -> Any:
    held = record_resource.c
    column = held.dated_at if part.order is Order.DATED else held.changed_at
    if part.after is not None:
        moment, resource_id = part.after
        further = column < moment if part.descending else column > moment
        beyond = held.id < resource_id if part.descending else held.id > resource_id
        query = query.where(or_(further, and_(column == moment, beyond)))
    keys = (column.desc(), held.id.desc()) if part.descending else (column, held.id)
    return query.order_by(*keys).limit(part.count)


def _compared(comparison: Comparison, start: Any, end: Any) -> ColumnElement[bool]:
    """R4 §3.1.1.4.3 on columns; the same table as `fhir.search.date_holds`, and a test compares the two."""
    low, high = comparison.start, comparison.end
    within = and_(start >= low, end <= high)
    holds: dict[str, ColumnElement[bool]] = {
        "eq": within,
        "ne": ~within,
        "gt": end > high,
        "lt": start < low,
        "ge": or_(within, end > high),
        "le": or_(within, start < low),
        "sa": start >= high,
        "eb": end <= low,
        "ap": and_(start < high, end > low),
    }
    return holds[comparison.prefix]


def _marks(openness: Openness) -> dict[str, Any]:
    return {
        "confidentiality": openness.confidentiality,
        "masked": openness.masked,
        "hidden_from_patient": openness.hidden_from_patient,
        "hidden_from_family": openness.hidden_from_family,
    }


def _row(found: Mapping[Any, Any]) -> Row:
    return Row(
        id=found["id"],
        kind=found["kind"],
        version=found["version"],
        state=found["state"],
        patient_id=found["patient_id"],
        feeder=found["feeder"],
        organisation=found["organisation"],
        media_type=found["media_type"],
        openness=Openness(
            found["confidentiality"], bool(found["masked"]), bool(found["hidden_from_patient"]), bool(found["hidden_from_family"])
        ),
        dated_at=found["dated_at"],
        changed_at=found["changed_at"],
    )


def _audit_row(found: Mapping[Any, Any]) -> AuditRow:
    entry = AuditEntry(
        found["legal_entity"], found["at"], found["actor"], found["action"], found["about"], found["about_id"], found["detail"]
    )
    return AuditRow(found["number"], entry, found["position"] or 0, found["previous"], found["seal"])
