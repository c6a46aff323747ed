"""Where a form came from that a person typed from received pages: which faxes, when, who confirmed it, the pages themselves.

It travels beside the answers as the side-car of the desk's own door; no other door can say so. The promise to the requester runs
from the fax, not from the day when somebody had time for it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.model.confidential import Confidential
from adapter.model.receipt import Arrival

DESK_DOOR = "desk"


@dataclass(frozen=True, repr=False)
class PaperOrigin(Confidential):
    """`faxes`: receipts of the pages; `received_at`: of the first of them, in the door's civil time; `pages`: one PDF of those of
    this form.
    """

    faxes: tuple[str, ...]
    received_at: datetime
    confirmed_by: str
    pages: bytes


def write_origin(origin: PaperOrigin) -> bytes:
    """The side-car."""
    told = {
        "faxes": list(origin.faxes),
        "received_at": origin.received_at.isoformat(),
        "confirmed_by": origin.confirmed_by,
        "pages": base64.b64encode(origin.pages).decode("ascii"),
    }
    return json.dumps(told, ensure_ascii=False).encode()


def origin_of(arrival: Arrival) -> PaperOrigin | None:
    """What the desk said; None for a form that was never paper."""
    if arrival.door != DESK_DOOR or not arrival.side_car:
        return None
    told = json.loads(arrival.side_car)
    received_at = datetime.fromisoformat(told["received_at"]).astimezone(ZoneInfo(arrival.zone))
    return PaperOrigin(tuple(told["faxes"]), received_at, told["confirmed_by"], base64.b64decode(told["pages"]))
