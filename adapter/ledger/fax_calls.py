"""Fax calls kept beside the proof that tells of them, and read again for a timeline: one row a call, however often it is told.

Law: blueprint seams 7, 9, 13. The number, each page's proof and the engine's own log are sealed; they go with the document's
content, the row stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, insert, select

from adapter.ledger.database import Transaction
from adapter.ledger.fax_call_tables import fax_call
from adapter.ledger.records import KeptCall, PayloadKind
from adapter.ledger.rows import Sealed, json_form
from adapter.ledger.vault import Vault
from adapter.model.fax_call import CallDirection, FaxCall

_NAMESPACE = uuid.UUID("5d0c6f0a-3a5e-5a0f-9d4e-0f6f7d1c2b11")
# Longer than any account of a call that an engine writes; what is beyond is not the proof of a page.
_LONGEST_LOG = 512 * 1024


def keep_calls(tx: Transaction, entity: str, about_id: str, partner: str, calls: Iterable[FaxCall]) -> int:
    """Keep the calls of a delivery or of a receipt that are not kept yet; returns how many were new.

    `partner` is whom the delivery was for; a call that names its own keeps it.
    """
    rows = {row["id"]: (row, call) for call in calls for row in [_row(tx, entity, about_id, call.partner or partner, call)]}
    if not rows:
        return 0
    known = set(tx.execute(select(fax_call.c.id).where(fax_call.c.id.in_(sorted(rows)))).scalars())
    fresh = [pair for call_id, pair in rows.items() if call_id not in known]
    if fresh:
        tx.execute(insert(fax_call), [row for row, _ in fresh])
    for row, call in fresh:
        tx.keep(entity, row["id"], PayloadKind.FAX_CALL, _form().dump_json(replace(call, log=b""), exclude_defaults=True))
        if call.log:
            tx.keep(entity, row["id"], PayloadKind.FAX_LOG, call.log[:_LONGEST_LOG])
    return len(fresh)


def calls_about(connection: Connection, vault: Vault, about_ids: Sequence[str]) -> tuple[KeptCall, ...]:
    """The calls of some deliveries and receipts, in the order in which they began."""
    if not about_ids:
        return ()
    query = select(fax_call).where(fax_call.c.about_id.in_(about_ids)).order_by(fax_call.c.began_at, fax_call.c.id)
    rows = connection.execute(query).mappings().all()
    sealed = Sealed(connection, [row["id"] for row in rows], [PayloadKind.FAX_CALL])
    return tuple(_kept(row, sealed, vault) for row in rows)


def pages_confirmed(connection: Connection, delivery_id: str) -> int:
    """How many pages of a delivery the other end confirmed, in all its calls; 0 when no call was told of."""
    told = select(func.sum(fax_call.c.pages)).where(fax_call.c.about_id == delivery_id)
    return connection.execute(told).scalar() or 0


def ids_about(tx: Transaction, about_ids: Sequence[str]) -> list[str]:
    """The calls whose sealed parts go with this content."""
    return list(tx.execute(select(fax_call.c.id).where(fax_call.c.about_id.in_(about_ids))).scalars())


def _form() -> Any:
    return json_form(FaxCall)


def _row(tx: Transaction, entity: str, about_id: str, partner: str, call: FaxCall) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid5(_NAMESPACE, f"{entity}\x1f{about_id}\x1f{call.direction.value}\x1f{call.call}")),
        "legal_entity": entity,
        "direction": call.direction.value,
        "about_id": about_id,
        "partner": partner,
        "began_at": call.began_at,
        "seconds": call.seconds,
        "pages": call.pages,
        "cause": call.cause,
        "call": call.call,
        "device": call.device,
        "resolution": call.resolution,
        "with_ecm": call.with_ecm,
        "kept_at": tx.now,
    }


def _kept(row: Mapping[Any, Any], sealed: Sealed, vault: Vault) -> KeptCall:
    """With its pages' proofs while they are kept; what the row says afterwards."""
    if sealed.has(row["id"], PayloadKind.FAX_CALL):
        call: FaxCall = _form().validate_json(sealed.open(vault, row["id"], PayloadKind.FAX_CALL))
        return KeptCall(row["id"], row["about_id"], call)
    names = ("began_at", "call", "partner", "seconds", "pages", "cause", "device", "resolution", "with_ecm")
    bare = FaxCall(reference="", direction=CallDirection(row["direction"]), **{name: row[name] for name in names})
    return KeptCall(row["id"], row["about_id"], bare, is_purged=True)
