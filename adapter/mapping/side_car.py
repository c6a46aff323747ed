"""The side-car file of a bare document: to whom it goes and how urgent it is, when the document cannot say so itself.

    {"recipients": [{"rpps": "10009990002", "finess": "940999902", "address": "…@…mssante.fr", "name": "…"}],
     "urgency": "urgent"}

Every key is optional; a file that is no such object is refused: a wrong address is worse than none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

from adapter.errors import InputError
from adapter.mapping.account import Account
from adapter.mapping.sources import JsonSource
from adapter.mapping.transforms import finess_of, mail_address, rpps_of
from adapter.model.confidential import Confidential
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.submission import Urgency

_KEYS = frozenset({"rpps", "finess", "address", "name"})
LARGEST_SIDE_CAR_BYTES = 1_048_576
# XML 1.0 (what we send) and UTF-8 (what we keep) forbid these.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, repr=False)
class SideCar(Confidential):
    """What the file says; nothing when there is no file."""

    recipients: tuple[Recipient, ...] = ()
    urgency: Urgency = Urgency.NONE


def read_side_car(content: bytes) -> SideCar:
    """Read it. Raises InputError side-car.unreadable, side-car.bad-recipient, side-car.bad-urgency."""
    if not content.strip():
        return SideCar()
    if len(content) > LARGEST_SIDE_CAR_BYTES:
        raise InputError("side-car.unreadable", "The side-car file is too large.", where="side-car")
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise InputError("side-car.unreadable", "The side-car file is no JSON.", where="side-car") from None
    if not isinstance(data, dict) or not isinstance(data.get("recipients", []), list):
        raise InputError("side-car.unreadable", "The side-car file is no object with a list of recipients.", where="side-car")
    recipients = tuple(_recipient(number, one) for number, one in enumerate(data.get("recipients", [])))
    try:
        return SideCar(recipients, Urgency(data.get("urgency") or ""))
    except ValueError:
        raise InputError(
            "side-car.bad-urgency", "The urgency is none of urgent, semi-urgent, non urgent.", where="side-car urgency"
        ) from None


def side_car_account(content: bytes, facts: tuple[str, ...] = ()) -> Account:
    """What became of its values; `facts` are keys that somebody else tells of. A file that cannot be read was refused before."""
    data = json.loads(content.decode("utf-8-sig")) if content.strip() else {}
    source = JsonSource({key: value for key, value in data.items() if key not in facts})
    for path in (*(f"recipients.*.{key}" for key in sorted(_KEYS)), "urgency"):
        for node in source.root.select(path):
            node.read()
    account = source.account()
    return replace(account, unread=tuple(replace(node, path=f"side-car {node.path}") for node in account.unread))


def _recipient(number: int, data: object) -> Recipient:
    where = f"side-car recipients[{number}]"
    if not isinstance(data, dict) or set(data) - _KEYS or not all(_is_text(value) for value in data.values()):
        raise InputError("side-car.bad-recipient", "A recipient holds rpps, finess, address and name, as texts.", where=where)
    rpps, finess = rpps_of(data.get("rpps", "")), finess_of(data.get("finess", ""))
    address = mail_address(data.get("address", ""))
    wrong = (data.get("rpps") and not rpps) or (data.get("finess") and not finess) or (address and "@" not in address)
    if wrong or not (rpps or finess or address):
        raise InputError("side-car.bad-recipient", "A number or address of a recipient cannot be used.", where=where)
    kind = RecipientKind.ORGANISATION if finess and not rpps and not address else RecipientKind.PROFESSIONAL
    return Recipient(kind, address=address, rpps=rpps, finess=finess, name=data.get("name", ""), role_hint="side-car")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and _FORBIDDEN.search(value) is None
