"""Fax calls as `tdu trace` shows them: when, how long, and what the other end said of each page. No number is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from adapter.ledger.records import KeptCall
from adapter.model.fax_call import CallDirection, PageProof


def call_data(kept: KeptCall) -> dict[str, Any]:
    """A call as plain data."""
    call = kept.call
    return {
        "id": kept.id,
        "about": kept.about_id,
        "direction": call.direction.value,
        "call": call.call,
        "device": call.device,
        "began_at": call.began_at.isoformat(),
        "seconds": call.seconds,
        "pages": call.pages,
        "cause": call.cause,
        "resolution": call.resolution,
        "with_ecm": call.with_ecm,
        "page_proofs": [
            {"page": one.page, "of": one.pages, "at": one.at.isoformat(), "answer": one.answer, "with_ecm": one.with_ecm}
            for one in call.proofs
        ],
        "purged": kept.is_purged,
    }


def call_lines(calls: Sequence[KeptCall], names: Mapping[str, str], civil: ZoneInfo) -> list[str]:
    """One line a call, one a page. `names` tells deliveries by their id."""
    return [line for kept in calls for line in _lines(kept, names, civil)]


def _lines(kept: KeptCall, names: Mapping[str, str], civil: ZoneInfo) -> list[str]:
    call = kept.call
    way = "call to" if call.direction is CallDirection.OUT else "call received"
    whom = names.get(kept.about_id, "") if call.direction is CallDirection.OUT else ""
    began = f"{call.began_at.astimezone(civil):%Y-%m-%d %H:%M:%S}"
    told = [f"{call.pages} page(s)", _length(call.seconds), _correction(call.with_ecm), call.cause or "complete"]
    if kept.is_purged:
        told.append("page proofs purged")
    head = f"  {began}  {' '.join(filter(None, (way, whom)))}: {', '.join(filter(None, told))}"
    return [head, *(_page_line(one, civil) for one in call.proofs)]


def _length(seconds: float | None) -> str:
    return "length unknown" if seconds is None else f"{seconds:.0f} s"


def _correction(with_ecm: bool | None) -> str:
    return "" if with_ecm is None else ("error correction" if with_ecm else "no error correction")


def _page_line(one: PageProof, civil: ZoneInfo) -> str:
    answer = one.answer or "no answer"
    weaker = "" if one.with_ecm else ", without error correction: lines may be missing"
    said = "confirmed" if one.is_confirmed else "not confirmed"
    return f"    page {one.page}/{one.pages} {said} {one.at.astimezone(civil):%H:%M:%S} ({answer}{weaker})"
