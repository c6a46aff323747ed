"""No query of a hot path reads a whole table: what the engines themselves say of each statement that the verbs run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from adapter.ledger.records import Decision, StoredEffects
from adapter.model.delivery import DeliveryState as S
from adapter.model.effects import Parked, Refusal
from adapter.model.plan import ChannelName
from adapter.model.submission import AcksWanted
from adapter.model.work_item import WorkAbout
from adapter.packaging.parcel import Hl7Sender, SenderProfile
from adapter.pipeline.acks import owed_acks
from tests.builders.adt import build_adt
from tests.builders.ledger import ENTITY, LEASE, World, stored_submission, work_item
from tests.contract.test_ledger_patients import tell

pytestmark = pytest.mark.contract
# Tables that grow with what passes: never to be read from end to end.
GROWING = (
    "receipt",
    "submission",
    "delivery",
    "event",
    "audit",
    "work_item",
    "payload_chunk",
    "lookup",
    "patient_index",
    "patient_update",
    "suspended_address",
    "request_step",
)
# Indexes of what still waits: short whatever the table holds.
SHORT = ("ix_receipt_received", "ix_delivery_queued", "ix_delivery_held", "ix_work_item_open")
_WHOLE = re.compile(r"(?:SCAN (\w+)|SEARCH (?P<searched>\w+) USING (?:COVERING )?INDEX \w+ \(legal_entity=\?\)$)")
SENDER = SenderProfile(ENTITY, "H", ENTITY, "b@h.fr", "", "1.2", "X", hl7=Hl7Sender(acks_to=(("dpi", "eai"),)))


@contextmanager
def statements(world: World) -> Iterator[dict[str, Any]]:
    """Every statement that reads or changes rows, once each, with its last parameters."""
    seen: dict[str, Any] = {}

    def note(_conn: Any, _cursor: Any, text: str, parameters: Any, _context: Any, _many: bool) -> None:
        if text.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            seen[text] = parameters[0] if isinstance(parameters, list) else parameters

    engine = world.ledger._database._open()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def scans(world: World, text: str, parameters: Any) -> list[str]:
    """Tables that the engine would read from end to end for this statement."""
    engine = world.ledger._database._open()
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters).all()
            whole = [row[3] for row in rows if not any(f"USING INDEX {name}" in row[3] for name in SHORT)]
            # A legal entity's own rows are the whole table where there is one entity.
            found = [m[1] or m[2] for line in whole if (m := _WHOLE.match(line))]
            renamed = dict(re.findall(r'(\w+) AS "?(\w+)"?', text))
            return [{alias: table for table, alias in renamed.items()}.get(name, name) for name in found]
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = connection.exec_driver_sql(f"EXPLAIN {text}", parameters).all()
        return [m[1] for row in rows if (m := re.search(r"Seq Scan on (\w+)", row[0]))]


def answer_a_mail_that_waits(world: World) -> None:
    """Its sender is told, in vain; then a person has it told again."""
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    asked = AcksWanted(notify_address="a@b.fr", message_id="<m1@b.fr>")
    parked = Parked("archive.broken", "Archive refusée.", refusal=Refusal(asked, "identity-906"))
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=parked))
    world.ledger.settle_acks(lambda case: owed_acks(case, {ENTITY: SENDER}, world.clock()))
    (told,) = world.claim(ChannelName.SECURE_MAIL)
    world.settle(told.delivery, S.PARKED, cause="mailbox-unknown")
    item = work_item(world, WorkAbout.DELIVERY, told.delivery.id)
    world.ledger.open_work_item(item)
    world.ledger.resolve(item.id, Decision.RETRY, "op", legal_entity=ENTITY)
    assert len(world.claim(ChannelName.SECURE_MAIL)) == 1


def test_the_verbs_read_no_table_from_end_to_end(world: World) -> None:
    with statements(world) as seen:
        for number in range(2):
            receipt_id = world.receive()
            stored = stored_submission(f"doc-{number}", receipt_id)
            submission = replace(stored.translation.submission, acks=AcksWanted(reception=True, reading=True))
            stored = replace(stored, translation=replace(stored.translation, submission=submission))
            world.prepare(stored, receipt_id=receipt_id)
            world.prove(world.accepted(), S.READ)
        world.ledger.settle_acks(lambda case: owed_acks(case, {ENTITY: SENDER}, world.clock()))
        for claim in world.ledger.claim_deliveries("w1", ChannelName.HL7_PUSH, 10, LEASE):
            world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
            world.settle(claim.delivery, S.ACCEPTED)
        answer_a_mail_that_waits(world)
        world.ledger.reap({})
        tell(world, build_adt("A28", ipp="OLD", control_id="1"), build_adt("A40", ipp="NEW", merged=("OLD",), control_id="2"))
        patient = stored.translation.submission.document.patient
        world.ledger.patient_view(patient, legal_entity=ENTITY)
        world.ledger.suspended_among(["a@b.fr"], legal_entity=ENTITY)
    assert len(seen) > 30
    guilty = {text: found for text, parameters in seen.items() if (found := set(scans(world, text, parameters)) & set(GROWING))}
    assert guilty == {}
