"""The audit trail: rows written with what they tell of, sealed into a chain per entity that shows every change."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import delete, insert, select, update

from adapter.audit.trail import Break, seal_audit, verify_chain
from adapter.errors import IllegalTransitionError
from adapter.ledger import tables
from adapter.model.audit import AuditEntry, ChainHead
from adapter.model.delivery import DeliveryState as S
from tests.builders.ledger import ENTITY, OTHER_ENTITY, World

pytestmark = pytest.mark.contract


def verify(world: World, entity: str = ENTITY) -> Break | None:
    """The first break of an entity's chain."""
    rows = world.ledger.read_audit(0, 10_000, legal_entity=entity)
    assert rows
    return verify_chain(rows, ChainHead(), world.vault.audit_mac_matches)


def tamper(world: World, statement: object) -> None:
    """Change rows behind the ledger's back."""
    assert world.ledger._database.write(lambda tx: tx.execute(statement)).rowcount != 0  # type: ignore[call-overload]


def test_every_verb_leaves_its_row(world: World) -> None:
    world.send()
    delivery = world.accepted()
    world.prove(delivery, S.DELIVERED)
    seal_audit(world.ledger)
    actions = [row.entry.action for row in world.ledger.read_audit(0, 100, legal_entity=ENTITY)]
    assert actions == [
        "receipt.received",
        "receipt.prepared",
        "delivery.on_wire",
        "delivery.accepted",
        "delivery.delivered",
    ]


def test_a_row_of_a_transaction_that_failed_is_not_written(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    seal_audit(world.ledger)
    with pytest.raises(IllegalTransitionError):
        world.settle(delivery, S.WAITING)
    assert seal_audit(world.ledger) == 0


def test_a_chain_holds_over_several_sealings_and_entities(world: World) -> None:
    world.send("a")
    world.send("b", entity=OTHER_ENTITY)
    assert seal_audit(world.ledger, limit=2) == 4
    world.send("c")
    assert seal_audit(world.ledger) == 2
    assert verify(world) is None and verify(world, OTHER_ENTITY) is None
    assert [row.position for row in world.ledger.read_audit(0, 100, legal_entity=ENTITY)] == [1, 2, 3, 4]


def test_a_row_changed_removed_or_slipped_in_shows(world: World) -> None:
    for name in "abc":
        world.send(name)
    seal_audit(world.ledger)
    audit = tables.audit
    at = world.clock()
    third = audit.c.position == 3
    tamper(world, update(audit).where(third).values(actor="somebody-else"))
    assert verify(world) == Break(3, "altered")
    tamper(world, delete(audit).where(third))
    assert verify(world) == Break(3, "missing")
    forged = {"legal_entity": ENTITY, "at": at, "actor": "x", "action": "y", "about": "receipt", "about_id": "z", "position": 3}
    tamper(world, insert(audit).values(**forged, detail="", previous="", seal="0000:00"))
    assert verify(world) == Break(3, "moved")


def test_a_seal_cannot_be_made_without_the_key(world: World) -> None:
    from adapter.ledger.vault import Vault

    world.send()
    thief = Vault([b"\x09" * 32])
    database = world.ledger._database
    from adapter.audit.trail import seal_rows

    database.seal_audit_rows(lambda rows, heads, _mac: seal_rows(rows, heads, thief.audit_mac), 100)
    assert verify(world) == Break(1, "altered")


def test_two_sealers_at_once_make_one_chain(world: World) -> None:
    for n in range(10):
        world.send(f"doc-{n}")
    counts: list[int] = []
    start = threading.Barrier(3)

    def seal() -> None:
        start.wait()
        counts.append(seal_audit(world.ledger, limit=3))

    threads = [threading.Thread(target=seal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seal_audit(world.ledger)
    assert verify(world) is None
    with world.ledger._database.read() as connection:
        unsealed = connection.execute(select(tables.audit.c.number).where(tables.audit.c.position.is_(None))).all()
    assert unsealed == []


def test_what_a_person_read_is_kept_too(world: World) -> None:
    entry = AuditEntry(ENTITY, world.clock(), "Mme Essai", "document.read", "submission", "s-1")
    world.ledger.write_audit([entry])
    world.ledger.write_audit([])
    seal_audit(world.ledger)
    assert [row.entry for row in world.ledger.read_audit(0, 10, legal_entity=ENTITY)] == [entry]
