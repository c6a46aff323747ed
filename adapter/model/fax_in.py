"""A line that faxes come in by: whose it is, to whom its documents go, whose signatures count.

Sources: docs/reference/fax-annex.md (what a receiver may believe); blueprint seams 3, 11 to 15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# How the door of a fax line is named on its receipts, and that of what a person confirmed of a fax that came by it.
FAX_DOOR = "fax:"
FAX_DESK_DOOR = "fax-desk:"


class Withheld(StrEnum):
    """Why a fax could not be brought in whole. Kept with the receipt: never rename."""

    EMPTY = "fax.empty"
    TOO_LARGE = "fax.too-large"
    NOT_A_FILE = "fax.not-a-file"
    NOT_PAGES = "fax.not-pages"
    DAMAGED = "fax.damaged"
    TOO_MANY_DOTS = "fax.too-many-dots"
    UNREADABLE = "fax.unreadable"
    NOT_KEPT = "fax.not-kept"


class PageCompare(StrEnum):
    """What a document must come with to pass by itself. Values are settings: never rename."""

    # The signed annex says what the pages looked like, and they still do, dot for dot: a single stroke is seen. What was on paper
    # since it was sent is looked at by a person.
    STRICT = "strict"
    # The same, on paper too: as far as ink can be compared there, which a single stroke through a word escapes.
    REQUIRED = "required"
    # The same where the annex says it; an annex of other software, which may not, passes on its signature alone.
    WHEN_POSSIBLE = "when-possible"


@dataclass(frozen=True)
class FaxSender:
    """Whose signature is believed: the name that we gave it, its public key, and its fax numbers (E.164; none: any)."""

    name: str
    public: Ed25519PublicKey = field(repr=False)
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaxDoor:
    """One line, as the operator set it up.

    `deliver_to` is a `Recipient.role_hint` (`local-role:…`, `local-software:…`); empty: a person decides. `number` is the line's
    own (E.164). `trusted`: senders by the id of their key (`formats.detached_jws.key_id_of`).
    `takes_masked`: documents hidden from professionals go on by themselves.
    """

    name: str
    legal_entity: str
    number: str = ""
    deliver_to: str = ""
    trusted: Mapping[str, FaxSender] = field(default_factory=dict)
    compare: PageCompare = PageCompare.STRICT
    takes_masked: bool = False
    takes_test_identities: bool = False
    zone: str = "Europe/Paris"


@dataclass(frozen=True)
class FaxDoors:
    """The lines of an instance, by the door that receipts name; a fax that came as a file is believed on nobody's signature."""

    by_door: Mapping[str, FaxDoor] = field(default_factory=dict)
    otherwise: FaxDoor = FaxDoor("", "")

    def of(self, door: str) -> FaxDoor:
        """The line behind a door, or behind what a person confirmed of it."""
        return self.by_door.get(line_of(door), self.otherwise)


NO_FAX_DOORS = FaxDoors()


def is_fax_door(door: str) -> bool:
    """True when receipts of this door came by fax, whatever their bytes are."""
    return door.startswith((FAX_DOOR, FAX_DESK_DOOR))


def desk_door(door: str) -> str:
    """The door of what a person confirms of a fax that came by this one."""
    return f"{FAX_DESK_DOOR}{door.removeprefix(FAX_DOOR)}"


def line_of(door: str) -> str:
    """The door of the fax itself, of what a person confirmed; any other door is its own."""
    return f"{FAX_DOOR}{door.removeprefix(FAX_DESK_DOOR)}" if door.startswith(FAX_DESK_DOOR) else door
