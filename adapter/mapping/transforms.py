"""Named, tested transforms that rules call with `with = "name"`. Each is pure: text in, value out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapter.errors import MappingError

Transform = Callable[[str], Any]


def upper(value: str) -> str:
    """Upper case."""
    return value.upper()


def yes_no(value: str) -> bool:
    """HL7 table 0532 (Y or N) as a truth; anything but Y is no."""
    return value.strip().upper() == "Y"


def rpps_of(value: str) -> str:
    """RPPS as 11 digits: an IDNPS is `8` + RPPS; anything else is no RPPS and gives an empty text."""
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit()):
        return ""
    if len(digits) == 12 and digits.startswith("8"):
        return digits[1:]
    return digits if len(digits) == 11 else ""


def finess_of(value: str) -> str:
    """FINESS as 9 characters: a Struct_IdNat is `1` + FINESS; Corsican FINESS start with 2A or 2B."""
    number = value.strip().upper()
    if len(number) == 10 and number.startswith("1"):
        number = number[1:]
    shape = (
        number.replace("2A", "20", 1) if number[:2] == "2A" else number.replace("2B", "20", 1) if number[:2] == "2B" else number
    )
    return number if len(number) == 9 and shape.isascii() and shape.isdigit() else ""


def mail_address(value: str) -> str:
    """A mail address in lower case, without `mailto:`."""
    return value.strip().removeprefix("mailto:").lower()


TRANSFORMS: dict[str, Transform] = {
    "upper": upper,
    "yes_no": yes_no,
    "rpps": rpps_of,
    "finess": finess_of,
    "mail_address": mail_address,
}


def transform_named(name: str) -> Transform:
    """The transform of that name; MappingError when there is none."""
    try:
        return TRANSFORMS[name]
    except KeyError:
        raise MappingError("mapping.unknown-transform", "no such transform", where=name) from None
