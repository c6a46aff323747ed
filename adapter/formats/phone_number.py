"""Telephone numbers as written by people and machines ↔ E.164, and whether a fax may be dialled there.

Sources: ITU-T E.164; the French numbering plan (ARCEP); libphonenumber's tables for which blocks exist. Trap: the overseas
departments share the French plan on paper (`0262 20 12 34`) but have country codes of their own (`+262 262 20 12 34`), and
libphonenumber reads such a number under +33, where it is nobody's. One written after +33 can mean nothing else: read as theirs.
"""

from __future__ import annotations

import re
from enum import StrEnum

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

# Guiana comes last: libphonenumber gives it the whole of 0976, of which the others have their parts.
_OVERSEAS = ("RE", "YT", "GP", "MF", "BL", "MQ", "GF")
_FRENCH_PLAN = frozenset({"FR", *_OVERSEAS, "PM"})
# Blocks that are overseas or nobody's: libphonenumber takes some of their unused numbers for metropolitan ones.
_OVERSEAS_BLOCKS = ("262", "263", "268", "269", "590", "594", "596", "639", "690", "691", "692", "693", "694", "696", "697")
_MIQUELON_BLOCK = "508"  # dialled 0508 and six digits from France; its international numbers are the six digits alone
_METROPOLITAN_CODE = 33
# \s knows the blanks of French typography; beside the hyphen, the dashes that word processors make of it.
_WRITTEN = re.compile(r"(?:tel:|fax:)?\s*([+(]?[0-9][0-9\s.()/\-\u2010\u2011\u2013]{1,38})\Z", re.IGNORECASE)
_SHORT = re.compile(r"[0-9]{2,6}\Z")


class NumberKind(StrEnum):
    """What stands behind a number, as far as its block tells."""

    FIXED = "fixed"  # of a place, of a box (09), free of charge (0800 to 0809)
    MOBILE = "mobile"
    PREMIUM = "premium"  # charged above a call: 081x, 082x, 089x, and their like abroad; pagers and voice mail too
    SHORT = "short"  # 15, 112, 3646, 118 712
    NONE = "none"  # no number


# Never dialled by a fax: emergency and information lines, and what would be charged. A mobile takes no fax as a rule, but a
# forwarded line may: it is told of, not refused.
REFUSED_FOR_FAX = frozenset({NumberKind.PREMIUM, NumberKind.SHORT, NumberKind.NONE})
_KINDS = {
    PhoneNumberType.MOBILE: NumberKind.MOBILE,
    PhoneNumberType.PREMIUM_RATE: NumberKind.PREMIUM,
    PhoneNumberType.SHARED_COST: NumberKind.PREMIUM,
    PhoneNumberType.PAGER: NumberKind.PREMIUM,
    PhoneNumberType.VOICEMAIL: NumberKind.PREMIUM,
}


def e164(text: str, country: str = "FR") -> str:
    """`01 99 00 12 34` → `+33199001234`; '' when it is no number that exists. `country` is where a number without + is dialled.

    A number with an extension, with letters, two numbers in one field, or a short number gives ''.
    """
    number = _number_of(text, country)
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) if number else ""


def kind_of(text: str, country: str = "FR") -> NumberKind:
    """What kind of number is written; `REFUSED_FOR_FAX` holds those that a fax never dials."""
    number = _number_of(text, country)
    if number is None:
        written = _digits_of(text)
        return NumberKind.SHORT if _SHORT.match(written) and not written.startswith("0") else NumberKind.NONE
    return _KINDS.get(phonenumbers.number_type(number), NumberKind.FIXED)


def national(number: str) -> str:
    """`+33199001234` → `01 99 00 12 34`, as dialled in France; another country's in groups with its +; else as it is."""
    found = _number_of(number, "FR") if number.startswith("+") else None
    if found is None:
        return number
    is_french = phonenumbers.region_code_for_number(found) in _FRENCH_PLAN - {"PM"}
    style = PhoneNumberFormat.NATIONAL if is_french else PhoneNumberFormat.INTERNATIONAL
    return phonenumbers.format_number(found, style)


def _digits_of(text: str) -> str:
    written = _WRITTEN.match(text.strip())
    return re.sub(r"[^0-9+]", "", written[1].replace("(0)", "")) if written else ""


def _number_of(text: str, country: str) -> PhoneNumber | None:
    digits = _digits_of(text)
    if not digits:
        return None
    try:
        number = phonenumbers.parse(digits, "FR" if country in _FRENCH_PLAN else country)
    except phonenumbers.NumberParseException:
        return None
    if number.country_code == _METROPOLITAN_CODE:
        return _in_french_plan(str(number.national_number))
    return number if phonenumbers.is_valid_number(number) else None


def _in_french_plan(national_digits: str) -> PhoneNumber | None:
    """The number behind nine digits of the French plan, under the country code that they have from abroad."""
    if national_digits.startswith(_MIQUELON_BLOCK):
        return _valid(phonenumbers.country_code_for_region("PM"), national_digits.removeprefix(_MIQUELON_BLOCK))
    for region in () if national_digits.startswith("8") else _OVERSEAS:  # 08 is of the whole plan
        number = PhoneNumber(phonenumbers.country_code_for_region(region), int(national_digits))
        if phonenumbers.is_valid_number_for_region(number, region):
            return number
    if national_digits.startswith(_OVERSEAS_BLOCKS):
        return None
    return _valid(_METROPOLITAN_CODE, national_digits)


def _valid(country_code: int, national_digits: str) -> PhoneNumber | None:
    number = PhoneNumber(country_code, int(national_digits or "0"))
    return number if phonenumbers.is_valid_number(number) else None
