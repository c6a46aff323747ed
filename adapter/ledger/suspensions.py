"""Addresses that nobody is written to any more: suspended by a partner's plain word, lifted by a person only.

Law: issue of a mailbox closed or left (5.1.x answers, "a quitté" replies); blueprint seams 3, 9, 13. A professional's mailbox is
a fact about a partner: it is suspended for every legal entity. A patient's is known to the entity that wrote only.
The address lies sealed; it is found by its keyed HMAC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.lookup import normalise
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_chunk, read_plan
from adapter.ledger.vault import Vault
from adapter.model.confidential import Confidential
from adapter.model.delivery import Purpose
from adapter.model.plan import ChannelName
from adapter.model.work_item import WorkAbout

_KIND = "address"
_EVERY_ENTITY = ""
Row = Mapping[Any, Any]


@dataclass(frozen=True, repr=False)
class Suspension(Confidential):
    """One suspended address: since when, for which cause of the causes table, which delivery told."""

    id: str
    address: str
    cause: str
    delivery_id: str
    since: datetime
    legal_entity: str = ""


def suspend(tx: Transaction, delivery: Row, cause: str) -> None:
    """Suspend the address that a delivery went to, once: what is suspended already keeps its first cause."""
    normal = normalise(_KIND, _address_of(tx, delivery))
    if not normal:
        return
    entity = _entity_of(delivery["role_id"], delivery["legal_entity"])
    tx.lock(f"address/{entity}/{normal}")
    s = tables.suspended_address
    macs = tx.vault.lookup_macs(_KIND, entity, normal)
    if tx.execute(select(s.c.id).where(*_open(entity, macs))).first() is not None:
        return
    row_id = tx.new_id()
    values = {"id": row_id, "legal_entity": entity, "mac": macs[0], "cause": cause, "delivery_id": delivery["id"]}
    tx.execute(insert(s).values(**values, since=tx.now, lifted_by=""))
    tx.keep(entity, row_id, PayloadKind.ADDRESS, normal.encode())
    tx.event(delivery["legal_entity"], WorkAbout.DELIVERY, delivery["id"], "address-suspended", cause)
    tx.audit(delivery["legal_entity"], "ledger", "address.suspended", "address", row_id, cause)


def suspended_among(database: Database, addresses: Iterable[str], legal_entity: str) -> frozenset[str]:
    """Which of these addresses are suspended, in their normal form."""
    with database.read() as connection:
        return frozenset(one.address for one in _found(connection, database.vault, addresses, legal_entity))


def list_suspended(database: Database, legal_entity: str) -> tuple[Suspension, ...]:
    """Every suspended address that an operator of this entity may see, oldest first."""
    s = tables.suspended_address
    mine = s.c.legal_entity.in_((_EVERY_ENTITY, legal_entity))
    with database.read() as connection:
        rows = connection.execute(select(s).where(mine, s.c.lifted_at.is_(None)).order_by(s.c.since, s.c.id)).mappings().all()
        return tuple(_suspension(connection, database.vault, row) for row in rows)


def lift(database: Database, address: str, legal_entity: str, actor: str) -> bool:
    """Write to an address again, on a person's word; False when it is not suspended."""

    def work(tx: Transaction) -> bool:
        found = _found(tx.connection, tx.vault, [address], legal_entity)
        s = tables.suspended_address
        for one in found:
            tx.execute(update(s).where(s.c.id == one.id).values(lifted_at=tx.now, lifted_by=actor))
            tx.audit(legal_entity, actor, "address.lifted", "address", one.id, one.cause)
        return bool(found)

    return database.write(work)


def _found(connection: Connection, vault: Vault, addresses: Iterable[str], legal_entity: str) -> list[Suspension]:
    s = tables.suspended_address
    normals = sorted({normal for address in addresses if (normal := normalise(_KIND, address))})
    entities = (_EVERY_ENTITY, legal_entity)
    macs = [mac for entity in entities for normal in normals for mac in vault.lookup_macs(_KIND, entity, normal)]
    if not macs:
        return []
    query = select(s).where(s.c.legal_entity.in_(entities), s.c.mac.in_(macs), s.c.lifted_at.is_(None))
    return [_suspension(connection, vault, row) for row in connection.execute(query).mappings()]


def _suspension(connection: Connection, vault: Vault, row: Row) -> Suspension:
    address = read_chunk(connection, vault, row["id"], PayloadKind.ADDRESS).decode()
    return Suspension(row["id"], address, row["cause"], row["delivery_id"], row["since"], row["legal_entity"])


def _address_of(tx: Transaction, delivery: Row) -> str:
    """Where a mail went, by its stored plan; an acknowledgement's address is a partner's own business."""
    if delivery["purpose"] != Purpose.DOCUMENT.value or delivery["channel"] != ChannelName.SECURE_MAIL.value:
        return ""
    plan = read_plan(read_chunk(tx.connection, tx.vault, delivery["submission_id"], PayloadKind.PLAN))
    legs = (leg for one in plan.recipients if one.role_id == delivery["role_id"] for leg in one.legs)
    # What a sandbox answers says nothing of whom the document was meant for.
    return next((leg.address for leg in legs if leg.channel.value == delivery["channel"] and not leg.intended), "")


def _open(entity: str, macs: Iterable[str]) -> tuple[Any, ...]:
    s = tables.suspended_address
    return s.c.legal_entity == entity, s.c.mac.in_(tuple(macs)), s.c.lifted_at.is_(None)


def _entity_of(role_id: str, legal_entity: str) -> str:
    """A patient's mailbox holds their number: that somebody wrote to it is the entity's own secret."""
    is_patient = role_id == "patient" or role_id.startswith("patient:")
    return legal_entity if is_patient else _EVERY_ENTITY
