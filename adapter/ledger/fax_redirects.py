"""A fax that stopped because its number changed leaves, on a person's word, for the number that its recipient has today.

Law: blueprint seams 3 and 5. The stored plan says where a delivery goes: it changes in one transaction with what the trace tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import delete

from adapter.errors import StaleClaimError
from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_chunk, read_plan, write_plan
from adapter.ledger.versions import lock_names
from adapter.model.delivery import DeliveryState
from adapter.model.plan import ChannelName, RecipientPlan, RoutePlan
from adapter.model.submission import Submission

Row = Mapping[Any, Any]


def redirect(database: Database, delivery_id: str, fence: int, submission: Submission, number: str) -> RoutePlan:
    """See `FaxNumbers.redirect`."""

    def work(tx: Transaction) -> RoutePlan:
        tx.lock(*lock_names(submission))
        row = tx.execute(moves.locked(tables.delivery.c.id == delivery_id)).mappings().first()
        if row is None or row["fence"] != fence or row["state"] != DeliveryState.CLAIMED.value:
            raise StaleClaimError("delivery.claim-lost", "this delivery is no longer held under this claim", where=delivery_id)
        plan = read_plan(read_chunk(tx.connection, tx.vault, submission.id, PayloadKind.PLAN))
        changed = replace(plan, recipients=tuple(_redirected(one, row, number) for one in plan.recipients))
        chunk = tables.payload_chunk
        tx.execute(delete(chunk).where(chunk.c.row_id == submission.id, chunk.c.kind == PayloadKind.PLAN.value))
        tx.keep(submission.legal_entity, submission.id, PayloadKind.PLAN, write_plan(changed))
        moves.note(tx, row, "number-of-today", actor=row["claimed_by"])
        return changed

    return database.write(work)


def _redirected(recipient: RecipientPlan, row: Row, number: str) -> RecipientPlan:
    """With the number in the fax's own leg; a test instance's sandbox stays where it dials."""
    if recipient.role_id != row["role_id"]:
        return recipient
    legs = (
        leg
        if leg.channel is not ChannelName.FAX or leg.order != row["leg"]
        else replace(leg, intended=number)
        if leg.intended
        else replace(leg, address=number)
        for leg in recipient.legs
    )
    return replace(recipient, legs=tuple(legs))
