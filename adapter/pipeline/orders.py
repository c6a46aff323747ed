"""What the desk orders of a document already planned: a correction, a cancellation, a change of who may see it.

Part of *prepare*. An order is a receipt of our own: which one it is stands in its content.
"""

from __future__ import annotations

from datetime import datetime

from adapter.fhir.validate import Level
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import ClaimedReceipt, StoredEffects
from adapter.packaging.parcel import SenderProfile
from adapter.pipeline.corrections import Corrector, Route
from adapter.pipeline.visibility import effects_of_change, is_visibility_order
from adapter.routing.directory import Directory


def effects_of_order(
    ledger: Ledger,
    claim: ClaimedReceipt,
    directory: Directory,
    route: Route,
    validation: Level,
    now: datetime,
    sender: SenderProfile,
) -> StoredEffects:
    """All that an order leaves; run again, the same rows."""
    if is_visibility_order(claim.content):
        return effects_of_change(ledger, claim, directory, sender)
    return Corrector(ledger, route, validation, now).effects_of(claim, sender)
