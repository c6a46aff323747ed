"""Entries of the patient index as rows: sealed JSON, and the keyed HMACs under which they are found."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, and_, or_, select

from adapter.ledger import tables
from adapter.ledger.lookup import normalise
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import json_form, read_chunk
from adapter.ledger.vault import Vault
from adapter.model.identity import Ins, LocalIdentifier
from adapter.model.patient import INS_NUMBER, IdentityUpdate, PatientRecord
from adapter.model.work_item import WorkAbout

ABOUT = WorkAbout.PATIENT


def write_record(record: PatientRecord) -> bytes:
    """An entry as JSON, to be sealed."""
    return json_form(PatientRecord).dump_json(record, exclude_defaults=True)


def read_record(content: bytes) -> PatientRecord:
    """An entry from JSON."""
    value: PatientRecord = json_form(PatientRecord).validate_json(content)
    return value


def write_update(told: IdentityUpdate) -> bytes:
    """One message's word as JSON, to be sealed."""
    return json_form(IdentityUpdate).dump_json(told, exclude_defaults=True)


def read_update(content: bytes) -> IdentityUpdate:
    """One message's word from JSON."""
    value: IdentityUpdate = json_form(IdentityUpdate).validate_json(content)
    return value


def kept_update(connection: Connection, vault: Vault, row_id: str) -> IdentityUpdate:
    """One line of the history."""
    return read_update(read_chunk(connection, vault, row_id, PayloadKind.IDENTITY))


def local_id_text(number: LocalIdentifier) -> str:
    """What a local number is looked up by: the authority counts, since two authorities may give one number."""
    return f"{number.authority}|{number.value}"


def lookups_of_entry(record: PatientRecord) -> set[tuple[str, str]]:
    """What an entry is found by: its number, and every matricule that was ever told of it."""
    pairs = [("local-id", local_id_text(record.number)), *(("ins", ins.value) for ins in record.former_ins)]
    if record.number.kind != INS_NUMBER:
        pairs.append(("ipp", record.number.value))
    return {(kind, normal) for kind, value in pairs if (normal := normalise(kind, value))}


def ids_under(connection: Connection, vault: Vault, entity: str, pairs: Iterable[tuple[str, str]], about: str) -> list[str]:
    """Ids of rows under looked-up values (kind, clear value), in a fixed order."""
    table = tables.lookup
    # The entity stands in each branch: else SQLite goes through all that the entity ever looked up.
    conditions = [
        and_(table.c.legal_entity == entity, table.c.kind == kind, table.c.mac.in_(vault.lookup_macs(kind, entity, normal)))
        for kind, value in pairs
        if (normal := normalise(kind, value))
    ]
    if not conditions:
        return []
    query = select(table.c.about_id).where(table.c.about == about, or_(*conditions))
    return sorted(set(connection.execute(query).scalars()))


def ids_by_number(connection: Connection, vault: Vault, entity: str, number: LocalIdentifier) -> list[str]:
    """The entry of a local number, if there is one."""
    return ids_under(connection, vault, entity, [("local-id", local_id_text(number))], ABOUT.value)


def ids_by_ins(connection: Connection, vault: Vault, entity: str, ins: Ins) -> list[str]:
    """Every entry that bears or bore a matricule."""
    return ids_under(connection, vault, entity, [("ins", ins.value)], ABOUT.value)
