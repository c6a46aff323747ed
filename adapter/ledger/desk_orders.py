"""Orders of the desk: receipts of our own (`correction`), kept in the transaction of the decision and prepared as any other.

So an order survives a crash, is carried out once, and shows in the timeline of what it is about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert

from adapter.ledger import tables
from adapter.ledger.database import Transaction
from adapter.ledger.records import PayloadKind
from adapter.model.receipt import ContentKind, ReceiptState, Verdict
from adapter.model.work_item import WorkAbout

_DOOR = "desk"


def keep_order(tx: Transaction, receipt_id: str, order: Mapping[str, Any], by: str, entity: str) -> None:
    """Keep what was ordered, in JSON, under an id of the caller's; it must be new."""
    values = {
        "id": receipt_id,
        "legal_entity": entity,
        "door": _DOOR,
        "principal": by,
        "live_key": None,
        "fingerprint": receipt_id,
        "kind": ContentKind.CORRECTION.value,
        "state": ReceiptState.RECEIVED.value,
        "verdict": Verdict.ACCEPTED.value,
        "received_at": tx.now,
    }
    tx.execute(insert(tables.receipt).values(values))
    tx.keep(entity, receipt_id, PayloadKind.CONTENT, json.dumps(order).encode())
    tx.keep(entity, receipt_id, PayloadKind.ANSWER, b"")
    tx.keep(entity, receipt_id, PayloadKind.PARTICULARS, json.dumps({"key": "", "reference": ""}).encode())
    tx.event(entity, WorkAbout.RECEIPT, receipt_id, "received", _DOOR)
