"""What the national directory was last heard to say of mailboxes: a dated copy that completes and contradicts the partners files.

Law: blueprint seams 3 and 17. The copy never replaces what a partners file says: it gives an address where none is written and
one alone fits, and where it names somebody else for an address, the document parks. It opens no channel: dates of equipment do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapter.errors import ConfigurationError

FORMAT = "traitdunion-annuaire-1"


@dataclass(frozen=True)
class ListedBox:
    """One mailbox. `rpps` is its holder's when it is a person's; `finess` the structure's that holds it or where it is held."""

    address: str
    kind: str
    rpps: str = ""
    finess: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Asked:
    """One number that was looked up (`rpps` or `finess`), when, and what was listed under it that day."""

    kind: str
    number: str
    at: datetime
    boxes: tuple[ListedBox, ...] = ()


@dataclass(frozen=True)
class NationalListing:
    """The copy. Only lookups that came to their end are in it: what is not listed here may be elsewhere."""

    asked: tuple[Asked, ...] = ()
    _boxes: dict[str, list[ListedBox]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for one in self.asked:
            for box in one.boxes:
                self._boxes.setdefault(box.address, []).append(box)

    def oldest(self) -> datetime | None:
        """When the oldest answer was given."""
        return min((one.at for one in self.asked), default=None)

    def of_person(self, rpps: str, finess: Iterable[str]) -> str:
        """The one box that this person holds at a structure (any of its numbers); empty when there is none, or several."""
        there = set(finess) - {""}
        return _only(box for box in self._under("rpps", rpps) if box.finess in there)

    def of_structure(self, finess: str) -> str:
        """The one box that is the structure's own: its application's when it has one, else its organisation's."""
        own = [box for box in self._under("finess", finess) if not box.rpps]
        return _only(box for box in own if box.kind == "APP") or _only(box for box in own if box.kind == "ORG")

    def contradicts(self, address: str, rpps: str, finess: Iterable[str]) -> bool:
        """True when the address is listed, and not for this person, or for none of these structures' numbers."""
        listed = self._boxes.get(address.lower(), [])
        people = {box.rpps for box in listed} - {""}
        if rpps and people:
            return rpps not in people
        structures = {box.finess for box in listed if not box.rpps} - {""}
        ours = set(finess) - {""}
        return bool(structures and ours and not structures & ours)

    def _under(self, kind: str, number: str) -> tuple[ListedBox, ...]:
        return next((one.boxes for one in self.asked if (one.kind, one.number) == (kind, number)), ())


NOTHING_LISTED = NationalListing()


def _only(boxes: Iterable[ListedBox]) -> str:
    """One address, or the one that ranks before all others; a guess between equals is nobody's."""
    found = sorted({(box.rank or 99, box.address) for box in boxes})
    if not found or (len(found) > 1 and found[0][0] == found[1][0] and found[0][1] != found[1][1]):
        return ""
    return found[0][1]


def write_listing(listing: NationalListing) -> bytes:
    """The copy as JSON, in a fixed order."""
    rows = [
        {
            "kind": one.kind,
            "number": one.number,
            "at": one.at.isoformat(),
            "boxes": [
                {"address": b.address, "kind": b.kind, "rpps": b.rpps, "finess": b.finess, "rank": b.rank} for b in one.boxes
            ],
        }
        for one in sorted(listing.asked, key=lambda one: (one.kind, one.number))
    ]
    return json.dumps({"format": FORMAT, "asked": rows}, ensure_ascii=False, indent=1).encode() + b"\n"


def read_listing(content: bytes, name: str) -> NationalListing:
    """The copy that a file holds; ConfigurationError when it is not one."""
    try:
        data = json.loads(content)
        if data["format"] != FORMAT:
            raise ValueError("another format")
        return NationalListing(tuple(_asked(row) for row in data["asked"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            "directory.copy",
            f"is no copy of the national directory ({type(error).__name__}).",
            where=name,
            remedy="Remove it and run `tdu directory refresh`.",
        ) from error


def _asked(row: dict[str, Any]) -> Asked:
    at = datetime.fromisoformat(row["at"])
    if at.tzinfo is None:
        raise ValueError("a time without zone")
    boxes = tuple(ListedBox(b["address"], b["kind"], b["rpps"], b["finess"], int(b["rank"])) for b in row["boxes"])
    return Asked(row["kind"], row["number"], at, boxes)
