"""The patient index: entries told by messages, kept with their history, found by keyed HMACs, read before each decision.

Law: blueprint seams 9, 10, 13, 14. An entry is one local identity; what it says is sealed, only HMACs are looked up. Everything
a message tells is kept (`patient_update`), then folded into its entry by `model.patient`, which gives the same in any order: a
message run again adds nothing, an older one that arrives late changes nothing newer. One legal entity's entries are changed by
one transaction at a time. What the change means for documents already sent is `identity_work`'s, reading is `patient_reading`'s.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from adapter.ledger import identity_work, tables
from adapter.ledger.database import Transaction
from adapter.ledger.patient_rows import (
    ABOUT,
    ids_by_ins,
    ids_by_number,
    kept_update,
    lookups_of_entry,
    read_record,
    write_record,
    write_update,
)
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_chunk
from adapter.ledger.work_items import add_work_items
from adapter.model.identity import LocalIdentifier, ins_is_valid
from adapter.model.patient import (
    INS_NUMBER,
    OTHER_TRAITS,
    SHARED_INS,
    WRONG_KEY,
    IdentityAct,
    IdentityUpdate,
    PatientRecord,
    Relation,
    RelationKind,
    traits_differ,
    with_relation,
    with_update,
)
from adapter.model.work_item import WorkItem

Row = Mapping[Any, Any]
_NAMESPACE = uuid.UUID("1a54f3f0-0f67-5d0a-9a43-2f6a1c0d7e21")
_CURRENT, _MERGED = "current", "merged"
_ADVICE = {
    SHARED_INS: "Même matricule INS sur deux IPP de la même structure : doublon probable, à traiter par l'identitovigilance.",
    OTHER_TRAITS: "Même matricule INS, mais d'autres traits sur un autre dossier : cette INS ne sert à rien avant vérification.",
    WRONG_KEY: "La clé du matricule INS reçu est fausse : rien ne part avec cette INS. Vérifier l'identité à la source.",
}


# ── telling ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Held:
    """An entry held by the transaction. `before` is as it was read; an empty one when it is new."""

    id: str
    before: PatientRecord
    record: PatientRecord
    flags: frozenset[str]
    updates: int
    is_new: bool


def lock_name(entity: str) -> str:
    """What is held alone to change an entity's index, and shared to plan by it."""
    return f"patients/{entity}"


class Telling:
    """One receipt's words on identities, in one transaction."""

    def __init__(self, tx: Transaction, entity: str, receipt_id: str, actor: str, doubtful: frozenset[str]) -> None:
        self._tx = tx
        self._entity = entity
        self._receipt = receipt_id
        self._actor = actor
        self._doubtful = doubtful
        self._held: dict[str, _Held] = {}

    def apply(self, updates: Sequence[IdentityUpdate]) -> set[str]:
        """Tell all updates; returns the submissions whose deliveries were touched."""
        self._tx.lock(lock_name(self._entity))
        fresh = [u for n, u in enumerate(updates) if self._keep_history(n, u)]
        for told in fresh:
            self._tell(told)
        self._flag_shared()
        touched: set[str] = set()
        changes = {(c.reason, c.patient_id): c for told in fresh for c in self._changes(told)}
        for change in changes.values():
            touched |= identity_work.list_documents(self._tx, self._entity, change, self._actor)
        self._write()
        return touched

    # -- history

    def _keep_history(self, number: int, told: IdentityUpdate) -> bool:
        """One line an entry concerned; False when this receipt told it before."""
        known = False
        for at, key in enumerate((*told.numbers, *told.others)):
            row_id = str(uuid.uuid5(_NAMESPACE, f"{self._receipt}/{number}/{at}"))
            u = tables.patient_update
            if self._tx.execute(select(u.c.id).where(u.c.id == row_id)).first() is not None:
                known = True
                continue
            values = {
                "id": row_id,
                "legal_entity": self._entity,
                "patient_id": self._entry(key).id,
                "receipt_id": self._receipt,
                "event": told.event,
                "told_at": told.told_at,
                "created_at": self._tx.now,
            }
            self._tx.execute(insert(u).values(values))
            content = write_update(told)
            self._tx.keep(self._entity, row_id, PayloadKind.IDENTITY, content)
        return not known

    # -- entries

    def _entry(self, number: LocalIdentifier) -> _Held:
        """The entry of a number, made when there is none."""
        found = next((h for h in self._held.values() if h.record.number == number), None)
        if found is not None:
            return found
        ids = ids_by_number(self._tx.connection, self._tx.vault, self._entity, number)
        return self._load(ids[0]) if ids else self._make(number)

    def _load(self, patient_id: str) -> _Held:
        if patient_id in self._held:
            return self._held[patient_id]
        p = tables.patient_index
        row = self._tx.execute(select(p).where(p.c.id == patient_id).with_for_update()).mappings().one()
        record = read_record(read_chunk(self._tx.connection, self._tx.vault, patient_id, PayloadKind.PATIENT))
        held = _Held(patient_id, record, record, frozenset(row["flags"].split()), row["updates"], False)
        self._held[patient_id] = held
        return held

    def _make(self, number: LocalIdentifier) -> _Held:
        record = PatientRecord(number)
        held = _Held(self._tx.new_id(), record, record, frozenset(), 0, True)
        self._held[held.id] = held
        return held

    # -- what is told

    def _tell(self, told: IdentityUpdate) -> None:
        for number in told.numbers:
            held = self._entry(number)
            held.record = with_update(held.record, told, self._doubtful)
            held.updates += 1
        for one, other in zip(told.numbers, told.numbers[1:], strict=False):
            self._tie(one, other, RelationKind.LINKED, told, stands=True)
        match told.act:
            case IdentityAct.MERGE | IdentityAct.CHANGE_NUMBER:
                for former in told.others:
                    self._merge(former, told)
            case IdentityAct.LINK | IdentityAct.UNLINK:
                stands = told.act is IdentityAct.LINK
                for other in told.others:
                    self._tie(told.numbers[0], other, RelationKind.LINKED, told, stands=stands)
                    if not stands:
                        self._part(told.numbers[0], other, told)
            case IdentityAct.UPDATE | IdentityAct.MOVE_ACCOUNT:
                pass

    def _merge(self, former: LocalIdentifier, told: IdentityUpdate) -> None:
        """The former number gives way to the first number of PID-3 of its own authority, else to the first."""
        if former in told.numbers:
            return
        survivor = next((n for n in told.numbers if n.authority == former.authority), told.numbers[0])
        self._relate(former, Relation(RelationKind.MERGED_INTO, survivor, True, told.stamp))
        self._relate(survivor, Relation(RelationKind.ABSORBED, former, True, told.stamp))

    def _part(self, one: LocalIdentifier, other: LocalIdentifier, told: IdentityUpdate) -> None:
        """A37 undoes a merge of the pair as well, whichever way it went."""
        for a, b in ((one, other), (other, one)):
            self._relate(a, Relation(RelationKind.MERGED_INTO, b, False, told.stamp))
            self._relate(b, Relation(RelationKind.ABSORBED, a, False, told.stamp))

    def _tie(
        self, one: LocalIdentifier, other: LocalIdentifier, kind: RelationKind, told: IdentityUpdate, *, stands: bool
    ) -> None:
        self._relate(one, Relation(kind, other, stands, told.stamp))
        self._relate(other, Relation(kind, one, stands, told.stamp))

    def _relate(self, number: LocalIdentifier, relation: Relation) -> None:
        held = self._entry(number)
        held.record = with_relation(held.record, relation)

    # -- what is doubtful

    def _flag_shared(self) -> None:
        """Each entry concerned, and each other bearer of its matricules, old and new, is judged again."""
        concerned = [h for h in list(self._held.values()) if h.is_new or h.record != h.before]
        matricules = {ins for h in concerned for ins in (h.record.facts.ins, h.before.facts.ins) if ins is not None}
        for ins in sorted(matricules, key=lambda one: (one.oid, one.value)):
            for patient_id in ids_by_ins(self._tx.connection, self._tx.vault, self._entity, ins):
                self._load(patient_id)
        entries = list(self._held.values())
        # Of other bearers' own matricules not all entries are at hand: those are not judged.
        judged = [h for h in entries if h in concerned or h.record.facts.ins in matricules]
        for held in judged:
            flags = flags_of(held.record, [other.record for other in entries if other is not held])
            for new in sorted(flags - held.flags):
                self._ask(held.id, new, _ADVICE[new])
            held.flags = flags

    def _ask(self, patient_id: str, reason: str, advice: str) -> None:
        item = WorkItem(self._tx.new_id(), self._entity, ABOUT, patient_id, reason, advice, self._tx.now)
        add_work_items(self._tx, [item])

    # -- what it means for what was sent

    def _changes(self, told: IdentityUpdate) -> Iterable[identity_work.IdentityChange]:
        """What this update really changed: an older one that arrives late changes nothing."""
        for number in (*told.numbers, *told.others):
            held = self._entry(number)
            before, after = held.before, held.record
            was, now = before.merged_into, after.merged_into
            if now is not None and now != was and told.act in (IdentityAct.MERGE, IdentityAct.CHANGE_NUMBER):
                reason = "identity-merged" if told.act is IdentityAct.MERGE else "identifier-changed"
                yield identity_work.IdentityChange(reason, held.id, numbers=(number,))
            if was is not None and now is None:
                since = next(r.stamp for r in before.relations if r.kind is RelationKind.MERGED_INTO and r.other == was)
                told_since = self._told_since(held.id, since)
                yield identity_work.IdentityChange("identity-unmerged", held.id, numbers=(was, number), since=told_since)
            old, new = before.usable_ins, after.usable_ins
            if old is not None and old != new and now is None:
                reason = "ins-withdrawn" if new is None else "ins-changed"
                yield identity_work.IdentityChange(reason, held.id, ins=old, holder=number)
        if told.act is IdentityAct.MOVE_ACCOUNT and told.numbers:
            current = self._entry(told.numbers[0])
            yield identity_work.IdentityChange("account-moved", current.id, numbers=told.others, accounts=told.accounts)

    def _told_since(self, patient_id: str, since: tuple[str, str, str]) -> Any:
        """When we learnt of a merge: documents sent after it may be of either person."""
        u = tables.patient_update
        before = (u.c.patient_id == patient_id, u.c.receipt_id != self._receipt)
        query = select(u.c.created_at, u.c.id).where(*before).order_by(u.c.created_at, u.c.id)
        for row in self._tx.execute(query).all():
            kept = kept_update(self._tx.connection, self._tx.vault, row.id)
            if kept.stamp == since:
                return row.created_at
        return None

    # -- rows

    def _write(self) -> None:
        for held in self._held.values():
            state = _MERGED if held.record.merged_into is not None else _CURRENT
            values = {"state": state, "flags": " ".join(sorted(held.flags)), "updates": held.updates, "changed_at": self._tx.now}
            p, chunk = tables.patient_index, tables.payload_chunk
            if held.is_new:
                row = {"id": held.id, "legal_entity": self._entity, "created_at": self._tx.now}
                self._tx.execute(insert(p).values(row | values))
                self._tx.keep(self._entity, held.id, PayloadKind.PATIENT, write_record(held.record))
            else:
                self._tx.execute(update(p).where(p.c.id == held.id).values(values))
                if held.record != held.before:
                    self._tx.execute(delete(chunk).where(chunk.c.row_id == held.id, chunk.c.kind == PayloadKind.PATIENT.value))
                    self._tx.keep(self._entity, held.id, PayloadKind.PATIENT, write_record(held.record))
            self._add_lookups(held)
            if held.is_new or held.record != held.before:
                self._tx.event(self._entity, ABOUT, held.id, "identity-told", self._receipt)
                self._tx.audit(self._entity, self._actor, "patient.told", ABOUT.value, held.id, self._receipt)

    def _add_lookups(self, held: _Held) -> None:
        """HMACs are never taken away: whoever searches a former matricule finds who bore it."""
        pairs = lookups_of_entry(held.record)
        macs = {(kind, self._tx.vault.lookup_macs(kind, self._entity, normal)[0]) for kind, normal in pairs}
        table = tables.lookup
        kinds, values = {kind for kind, _ in macs}, {mac for _, mac in macs}
        mine = (table.c.legal_entity == self._entity, table.c.kind.in_(kinds), table.c.mac.in_(values))
        query = select(table.c.kind, table.c.mac).where(*mine, table.c.about_id == held.id)  # in the order of its key
        known = {(row.kind, row.mac) for row in self._tx.execute(query)}
        rows = [
            {"legal_entity": self._entity, "kind": kind, "mac": mac, "about": ABOUT.value, "about_id": held.id}
            for kind, mac in sorted(macs - known)
        ]
        if rows:
            self._tx.execute(insert(table), rows)


def flags_of(record: PatientRecord, others: Sequence[PatientRecord]) -> frozenset[str]:
    """What is doubtful of an entry: its matricule's key, another bearer in the same structure, other traits under one INS."""
    ins = record.facts.ins
    if ins is None:
        return frozenset()
    flags = set() if ins_is_valid(ins.value) else {WRONG_KEY}
    if record.merged_into is None:
        tied = {r.other for r in record.relations if r.stands}
        bearers = [o for o in others if o.facts.ins == ins and o.merged_into is None and o.number not in tied]
        if any(o.number.authority == record.number.authority for o in bearers if record.number.kind != INS_NUMBER):
            flags.add(SHARED_INS)
        if any(traits_differ(record.facts, o.facts) for o in bearers):
            flags.add(OTHER_TRAITS)
    return frozenset(flags)
