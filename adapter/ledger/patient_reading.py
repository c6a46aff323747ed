"""The patient index read before a decision: who a document's patient is now, whether two numbers are one person.

Reads only, one legal entity at a time. A person's entries are followed through their ties, as both sides tell them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, or_, select

from adapter.ledger import tables
from adapter.ledger.database import Database
from adapter.ledger.patient_rows import ABOUT, ids_under, local_id_text, read_record, read_update
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import Sealed, read_chunk
from adapter.ledger.vault import Vault
from adapter.model.identity import Ins, LocalIdentifier, PatientIdentity
from adapter.model.patient import (
    KeptUpdate,
    PatientEntry,
    PatientKeys,
    PatientRecord,
    PatientView,
    RelationKind,
    Stamp,
    facts_of_all,
    ins_number,
    patient_numbers,
)

Row = Mapping[Any, Any]
# A person's entries are a handful; a chain of merges that goes on is a defect somewhere.
_MOST_ENTRIES = 50


def view_of(database: Database, identity: PatientIdentity, legal_entity: str) -> PatientView | None:
    """See `Ledger.patient_view`."""
    with database.read() as connection:
        return read_view(connection, database.vault, identity, legal_entity)


def read_view(connection: Connection, vault: Vault, identity: PatientIdentity, legal_entity: str) -> PatientView | None:
    """The view as a connection sees it; its order is fixed, so that the same index gives the same view."""
    reader = _Reader(connection, vault, legal_entity)
    entries = reader.person(PatientKeys(identity.ins, identity.local_ids))
    if not entries:
        return None
    current = reader.current_of(entries)
    return PatientView(current, tuple(entries), facts_of_all(entries), reader.flags_of(current))


def same_person(database: Database, legal_entity: str, one: PatientKeys, other: PatientKeys) -> bool:
    """See `Ledger.same_person`."""
    with database.read() as connection:
        reader = _Reader(connection, database.vault, legal_entity)
        known = reader.person(one)
        if not known:
            return False
        return _is_of(reader, known, one, other)


def _is_of(reader: _Reader, known: Sequence[PatientRecord], one: PatientKeys, other: PatientKeys) -> bool:
    """Whether the other source's numbers are this person's: nothing that it names contradicts, and an IPP or a matricule agrees.

    A matricule that this person never bore is another's, whatever the IPP says. One wrongly given to this person, then withdrawn,
    is most likely that of the patient whom the document is about.
    """
    numbers, named = {entry.number for entry in known}, set(patient_numbers(other.numbers))
    has_number = bool(numbers & named)
    if not has_number and {number.authority for number in named} & {number.authority for number in numbers}:
        return False
    if other.ins is None:
        return has_number
    if not any(other.ins in entry.former_ins for entry in known):
        has_matricule = one.ins is not None or any(entry.former_ins for entry in known)
        return has_number and not has_matricule
    return not any(bearer.facts.ins == other.ins and bearer.number not in numbers for bearer in reader.bearers(other.ins))


def find_entries(database: Database, reference: str, legal_entity: str) -> list[PatientEntry]:
    """See `Ledger.find_patients`."""
    with database.read() as connection:
        vault = database.vault
        ids = ids_under(connection, vault, legal_entity, [("ins", reference), ("ipp", reference)], ABOUT.value)
        p = tables.patient_index
        mine = select(p).where(p.c.legal_entity == legal_entity, or_(p.c.id == reference, p.c.id.in_(ids))).order_by(p.c.id)
        rows = connection.execute(mine.limit(_MOST_ENTRIES)).mappings().all()
        return [_entry_value(connection, vault, row) for row in rows]


def _entry_value(connection: Connection, vault: Vault, row: Row) -> PatientEntry:
    u = tables.patient_update
    told = connection.execute(select(u).where(u.c.patient_id == row["id"]).order_by(u.c.told_at, u.c.id)).mappings().all()
    sealed = Sealed(connection, [one["id"] for one in told], (PayloadKind.IDENTITY,))
    history = tuple(
        KeptUpdate(
            one["receipt_id"],
            one["event"],
            one["told_at"],
            read_update(sealed.open(vault, one["id"], PayloadKind.IDENTITY)),
        )
        for one in told
    )
    record = read_record(read_chunk(connection, vault, row["id"], PayloadKind.PATIENT))
    return PatientEntry(row["id"], row["state"], tuple(row["flags"].split()), record, history)


class _Reader:
    """Entries of one legal entity, read together."""

    def __init__(self, connection: Connection, vault: Vault, entity: str) -> None:
        self._connection = connection
        self._vault = vault
        self._entity = entity
        self._flags: dict[LocalIdentifier, frozenset[str]] = {}

    def person(self, keys: PatientKeys) -> list[PatientRecord]:
        """All entries of whoever bears these numbers: the numbers' own, or failing them the matricule's, and all tied to them."""
        numbers = patient_numbers(keys.numbers)
        first = self._read([("local-id", local_id_text(n)) for n in numbers])
        first = [entry for entry in first if entry.number in numbers]
        if not first and keys.ins is not None:
            bare = ins_number(keys.ins)
            found = self._read([("ins", keys.ins.value), ("local-id", local_id_text(bare))])
            bearers = [entry for entry in found if keys.ins in entry.former_ins]
            first = [entry for entry in bearers if entry.facts.ins == keys.ins] or bearers
        return self._with_ties(first)

    def bearers(self, ins: Ins) -> list[PatientRecord]:
        """Every entry that bears or bore a matricule."""
        return [entry for entry in self._read([("ins", ins.value)]) if ins in entry.former_ins]

    def current_of(self, entries: Sequence[PatientRecord]) -> PatientRecord:
        """The entry that lives: the end of the merges that start from the first one."""
        by_number = {entry.number: entry for entry in entries}
        current, seen = entries[0], set[LocalIdentifier]()
        while (into := current.merged_into) is not None and into in by_number and into not in seen:
            seen.add(into)
            current = by_number[into]
        return current

    def flags_of(self, record: PatientRecord) -> frozenset[str]:
        """What the entry's row says is doubtful."""
        return self._flags.get(record.number, frozenset())

    def _with_ties(self, first: Sequence[PatientRecord]) -> list[PatientRecord]:
        found = {entry.number: entry for entry in first}
        waiting = list(first)
        while waiting and len(found) < _MOST_ENTRIES:
            entry = waiting.pop(0)
            for other in _ties_of(entry):
                if other in found:
                    continue
                read = next((e for e in self._read([("local-id", local_id_text(other))]) if e.number == other), None)
                if read is not None and _is_tied(entry, read):
                    found[other] = read
                    waiting.append(read)
        return list(found.values())

    def _read(self, pairs: Sequence[tuple[str, str]]) -> list[PatientRecord]:
        ids = ids_under(self._connection, self._vault, self._entity, pairs, ABOUT.value)
        if not ids:
            return []
        p = tables.patient_index
        rows = self._connection.execute(select(p.c.id, p.c.flags).where(p.c.id.in_(ids)).order_by(p.c.id)).all()
        sealed = Sealed(self._connection, ids, (PayloadKind.PATIENT,))
        records = []
        for row in rows:
            record = read_record(sealed.open(self._vault, row.id, PayloadKind.PATIENT))
            self._flags[record.number] = frozenset(row.flags.split())
            records.append(record)
        return records


def _ties_of(entry: PatientRecord) -> list[LocalIdentifier]:
    """The numbers that this entry says are of the same person."""
    into = entry.merged_into
    absorbed = [r.other for r in entry.relations if r.stands and r.kind is RelationKind.ABSORBED]
    return [*([into] if into is not None else []), *absorbed, *_links_of(entry)]


def _links_of(entry: PatientRecord) -> list[LocalIdentifier]:
    """The numbers linked to this one. Of another authority, the newest word counts: a message that names this patient with
    another number of that authority says that the one of before was a mistake.
    """
    links = [r for r in entry.relations if r.stands and r.kind is RelationKind.LINKED]
    newest: dict[str, Stamp] = {}
    for link in links:
        newest[link.other.authority] = max(link.stamp, newest.get(link.other.authority, link.stamp))
    ours = entry.number.authority
    return [r.other for r in links if r.other.authority == ours or r.stamp == newest[r.other.authority]]


def _is_tied(entry: PatientRecord, other: PatientRecord) -> bool:
    """True when the tie stands from both sides: an entry that was absorbed may have been told alive since."""
    if entry.merged_into == other.number or other.merged_into == entry.number:
        return True
    return other.number in _links_of(entry) and entry.number in _links_of(other)
