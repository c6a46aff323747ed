"""CDA points in time (TS) as FHIR dates: precision is never invented, a missing zone is civil time, flagged.

Sources: HL7 v3 data types TS (`YYYYMMDDhhmmss.f±hhmm`, cut anywhere); FHIR R4 dateTime (a time needs seconds and a zone).
Where the FHIR form cannot be turned back into the literal, the caller keeps the literal beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from zoneinfo import ZoneInfo

_TS = re.compile(r"(?P<digits>\d{4,14})(?P<fraction>\.\d+)?(?P<zone>[+-]\d{1,4}|Z)?")


class Doubt(Enum):
    """What is dubious about a literal. `SHORTENED`: FHIR has no form that precise (hours without minutes)."""

    NONE = "none"
    NO_ZONE = "no-zone"
    ODD_ZONE = "odd-zone"
    SHORTENED = "shortened"
    SECONDS_ADDED = "seconds-added"
    INVALID = "invalid"


@dataclass(frozen=True)
class CivilTime:
    """A FHIR date or dateTime; empty when the literal is no date."""

    value: str
    doubt: Doubt = Doubt.NONE


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=8192)
def read_time(literal: str, zone: str) -> CivilTime:
    """A TS literal as FHIR writes it; `zone` is the IANA zone of times that bear none."""
    match = _TS.fullmatch(literal.strip())
    if match is None or len(match["digits"]) % 2:
        return CivilTime("", Doubt.INVALID)
    digits = match["digits"]
    if _as_datetime(digits) is None:
        return CivilTime("", Doubt.INVALID)
    if len(digits) <= 8:
        return CivilTime("-".join(filter(None, (digits[:4], digits[4:6], digits[6:8]))))
    if len(digits) == 10:
        return CivilTime(f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}", Doubt.SHORTENED)
    return _with_time(digits, match["fraction"] or "", match["zone"] or "", zone)


def _as_datetime(digits: str) -> datetime | None:
    """A naive datetime at the literal's start, None when there is no such day or hour."""
    full = digits + "00000101000000"[len(digits) :]
    try:
        return datetime.strptime(full, "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone is told apart
    except ValueError:
        return None


def _with_time(digits: str, fraction: str, offset: str, zone: str) -> CivilTime:
    moment = _as_datetime(digits)
    assert moment is not None  # noqa: S101 - checked by the caller
    doubt = Doubt.SECONDS_ADDED if len(digits) == 12 else Doubt.NONE
    hours, minutes, seconds = digits[8:10], digits[10:12], digits[12:14] or "00"
    text = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{hours}:{minutes}:{seconds}" + (fraction if len(digits) == 14 else "")
    if not offset:
        return CivilTime(text + _offset_text(moment.replace(tzinfo=_zone(zone)).utcoffset()), Doubt.NO_ZONE)
    written, odd = _read_offset(offset)
    if not written:
        return CivilTime(text + _offset_text(moment.replace(tzinfo=_zone(zone)).utcoffset()), Doubt.ODD_ZONE)
    return CivilTime(text + written, Doubt.ODD_ZONE if odd else doubt)


def _read_offset(offset: str) -> tuple[str, bool]:
    """`+0100` → `+01:00`; short forms (`+1`, `+01`, `+100`) are understood and marked odd; nonsense gives an empty text."""
    if offset == "Z":
        return "Z", False
    sign, figures = offset[0], offset[1:]
    hours, minutes = (figures, "00") if len(figures) <= 2 else (figures[:-2], figures[-2:])
    if int(hours) > 14 or int(minutes) > 59:
        return "", True
    return f"{sign}{int(hours):02d}:{minutes}", len(figures) != 4


def _offset_text(offset: timedelta | None) -> str:
    text = datetime(2000, 1, 1, tzinfo=timezone(offset or timedelta())).strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def as_instant(value: str, zone: str) -> str:
    """A FHIR date as an instant: its first second in that zone. For Bundle.timestamp, which takes nothing less."""
    if "T" in value:
        return value
    digits = value.replace("-", "")
    return _with_time(digits + "00000101000000"[len(digits) :], "", "", zone).value
