"""A received fax before its pages are looked at: which one it is, what its line said. Pure.

Sources: docs/reference/fax-annex.md; blueprint seams 3, 11 to 15. Nobody waits at the other end for an answer: whatever came is
kept. What its pages carry is `fax_pages`; what becomes of it, over several calls, is `pipeline.faxes`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict

_SAFE = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True)
class FaxOrigin:
    """What the line said of one call. `number` is E.164, or empty; `withheld`: why the door could not bring it in whole.

    `seconds`: how long the call took; None where nobody says.
    """

    number: str = ""
    called: str = ""
    pages: int = 0
    received_at: str = ""
    withheld: str = ""
    seconds: int | None = None


def inspect_fax(arrival: Arrival) -> Inspection:
    """Always taken: its sender has hung up. Which fax it is, is what the door calls it."""
    fingerprint = hashlib.sha256(arrival.content).hexdigest()
    name = arrival.reference if _SAFE.fullmatch(arrival.reference) else fingerprint[:32]
    return Inspection(ContentKind.FAX, Verdict.ACCEPTED, MessageControl(event="fax", control_id=name), fingerprint)


def origin_of(side_car: bytes) -> FaxOrigin:
    """What the door wrote beside; nothing where it is missing or not ours."""
    try:
        told = json.loads(side_car) if side_car else {}
    except (ValueError, RecursionError):
        told = {}
    if not isinstance(told, dict):
        return FaxOrigin()
    pages = told.get("pages")
    words = {name: value for name in ("from", "called_id", "received_at", "withheld") if isinstance(value := told.get(name), str)}
    return FaxOrigin(
        words.get("from", ""),
        words.get("called_id", ""),
        _whole(pages) or 0,
        words.get("received_at", ""),
        words.get("withheld", ""),
        _whole(told.get("seconds")),
    )


def _whole(told: object) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None
