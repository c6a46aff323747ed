"""The telephone calls that a received fax or a proof tells of: who hears of them, and what a received fax's was. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from adapter.mapping.from_fax import origin_of
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall
from adapter.model.receipt import Receipt

# Who counts calls as they become known (the service's figures).
TellCalls = Callable[[Sequence[FaxCall]], None]


def nobody_counts(_calls: Sequence[FaxCall]) -> None:
    """For who runs the verbs without a service."""


def calls_in(evidences: Iterable[Evidence]) -> tuple[FaxCall, ...]:
    """The calls of some proofs."""
    return tuple(call for evidence in evidences for call in evidence.calls)


def received_call(receipt: Receipt, side_car: bytes, partner: str) -> tuple[FaxCall, ...]:
    """The call that brought a fax; none for a file that is no fax. `partner`: whose number it came from, if anybody's.

    It began as long before the source's instant as it took; without a length, at that instant.
    """
    origin = origin_of(side_car)
    if not origin.pages and origin.withheld:
        return ()
    ended_at = receipt.received_at
    with suppress(ValueError):
        told = datetime.fromisoformat(origin.received_at)
        ended_at = told if told.tzinfo is not None else ended_at
    call = FaxCall(
        reference=receipt.id,
        direction=CallDirection.IN,
        began_at=ended_at - timedelta(seconds=origin.seconds or 0),
        call=receipt.id,
        number=origin.number,
        partner=partner,
        seconds=origin.seconds,
        pages=origin.pages,
    )
    return (call,)
