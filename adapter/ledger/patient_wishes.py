"""What was said of a patient's record and mailbox: kept once a word, found by every number that names the patient.

Law: blueprint seams 9, 13, 16; ADR 0013 (what the index does not hold). A word counts for one legal entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.lookup import normalise
from adapter.ledger.patient_rows import ids_under, local_id_text
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_chunk, read_submission
from adapter.ledger.wish_tables import patient_wish
from adapter.model.delivery import Purpose
from adapter.model.identity import LocalIdentifier, PatientIdentity
from adapter.model.patient import INS_NUMBER, PatientRecord, PatientView, patient_numbers
from adapter.model.plan import ChannelName
from adapter.model.wish import WORDS_OF_CAUSES, PatientWord, WishFor, Word
from adapter.model.work_item import WorkAbout

Row = Mapping[Any, Any]
Pair = tuple[str, str]
_ABOUT = "wish"
# The event on a delivery that a record's answer closed for good: nobody need be asked.
PATIENT_WORD = "patient-word"


def names_of_document(identity: PatientIdentity) -> set[Pair]:
    """Under what a document's patient is looked up."""
    pairs = {("local-id", local_id_text(number)) for number in patient_numbers(identity.local_ids)}
    return pairs | ({("ins", identity.ins.value)} if identity.ins is not None else set())


def names_of_entries(entries: Iterable[PatientRecord]) -> set[Pair]:
    """Under what a person of the index is looked up: the matricule of today, never one that was withdrawn."""
    pairs = {("local-id", local_id_text(entry.number)) for entry in entries if _is_local(entry.number)}
    return pairs | {("ins", entry.facts.ins.value) for entry in entries if entry.facts.ins is not None}


def _is_local(number: LocalIdentifier) -> bool:
    return number.kind != INS_NUMBER


def keep_word(database: Database, names: Iterable[Pair], word: PatientWord, legal_entity: str) -> None:
    """See `Ledger.keep_patient_word`."""
    database.write(lambda tx: _keep(tx, names, word, legal_entity))


def words_on(
    database: Database, identity: PatientIdentity, view: PatientView | None, legal_entity: str
) -> tuple[PatientWord, ...]:
    """See `Ledger.patient_words`."""
    pairs = names_of_document(identity) | (names_of_entries(view.entries) if view is not None else set())
    with database.read() as connection:
        found = ids_under(connection, database.vault, legal_entity, sorted(pairs), _ABOUT)
        return _words(connection, found) if found else ()


def remember(tx: Transaction, delivery: Row, cause: str) -> None:
    """A record's answer that says something of the patient: later documents park at once."""
    word = WORDS_OF_CAUSES.get(cause)
    if word is None or delivery["purpose"] != Purpose.DOCUMENT.value or delivery["channel"] != ChannelName.SHARED_RECORD.value:
        return
    content = read_chunk(tx.connection, tx.vault, delivery["submission_id"], PayloadKind.SUBMISSION)
    names = names_of_document(read_submission(content).document.patient)
    _keep(tx, names, PatientWord(WishFor.RECORD, word, "record", tx.now, delivery["id"]), delivery["legal_entity"])
    tx.event(delivery["legal_entity"], WorkAbout.DELIVERY, delivery["id"], PATIENT_WORD, word.value)


def _keep(tx: Transaction, names: Iterable[Pair], word: PatientWord, entity: str) -> None:
    row_id = tx.new_id()
    tx.execute(
        insert(patient_wish).values(
            id=row_id,
            legal_entity=entity,
            about=word.about.value,
            said=word.said.value,
            said_by=word.by,
            delivery_id=word.delivery_id,
            said_at=word.at,
        )
    )
    pairs = sorted({(kind, normal) for kind, value in names if (normal := normalise(kind, value))})
    rows = [
        {
            "legal_entity": entity,
            "kind": kind,
            "mac": tx.vault.lookup_macs(kind, entity, normal)[0],
            "about": _ABOUT,
            "about_id": row_id,
        }
        for kind, normal in pairs
    ]
    if rows:
        tx.execute(insert(tables.lookup), rows)
    tx.audit(entity, word.by, f"patient.wish-{word.about.value}", "wish", row_id, word.said.value)


def _words(connection: Connection, ids: Sequence[str]) -> tuple[PatientWord, ...]:
    w = patient_wish
    rows = connection.execute(select(w).where(w.c.id.in_(ids)).order_by(w.c.said_at, w.c.id)).mappings()
    return tuple(
        PatientWord(WishFor(row["about"]), Word(row["said"]), row["said_by"], row["said_at"], row["delivery_id"]) for row in rows
    )
