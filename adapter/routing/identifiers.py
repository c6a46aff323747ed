"""Forms of identifiers in the partners files: FINESS, RPPS, telephone numbers, mail addresses and domains."""

from __future__ import annotations

import re

_FINESS = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{7}\Z")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_NUMBER = re.compile(r"\+[0-9]{8,15}\Z")


def is_mail_address(value: str) -> bool:
    """One `@`, a dotted domain, no blank."""
    return bool(_ADDRESS.match(value))


def is_international_number(value: str) -> bool:
    """`+` and 8 to 15 digits."""
    return bool(_NUMBER.match(value))


def domain_is_under(domain: str, parent: str) -> bool:
    """True for the parent itself and its sub-domains."""
    return domain == parent or domain.endswith("." + parent)


def finess_is_valid(value: str) -> bool:
    """Nine characters with a right Luhn key (Corsica's letters have no known key: the form alone is checked)."""
    return bool(_FINESS.match(value)) and (not value.isdecimal() or _luhn(value))


def rpps_is_valid(value: str) -> bool:
    """Eleven digits with a right Luhn key."""
    return len(value) == 11 and value.isdigit() and value.isascii() and _luhn(value)


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def international_number(value: str) -> str:
    """`01 99 00 12 34` → `+33199001234`; an international number loses its blanks only."""
    bare = re.sub(r"[\s.\-()]", "", value)
    return "+33" + bare[1:] if re.match(r"0[0-9]{9}\Z", bare) else bare
