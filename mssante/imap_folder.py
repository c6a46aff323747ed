"""What IMAP answers mean: folder names in modified UTF-7, the state of a folder, what FETCH tells of a message. No I/O.

Sources: RFC 3501 §5.1.3 (names), §6.3.1 (SELECT), §7.1 (PERMANENTFLAGS), §7.4.2 (FETCH).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

_PRINTABLE = re.compile(r"[ -~]+|[^ -~]+")
_PERMANENT = re.compile(rb"\[PERMANENTFLAGS \(([^)]*)\)", re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d{1,10})\b", re.IGNORECASE)
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d{1,19})\b", re.IGNORECASE)
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)", re.IGNORECASE)
_DATE = re.compile(rb'\bINTERNALDATE " ?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-]\d{4})"', re.IGNORECASE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_QUOTED_BODY = re.compile(rb'BODY\[[^\]]*\](?:<\d+>)? "((?:[^"\\]|\\.)*)"', re.IGNORECASE)

FetchData = Sequence[object]


@dataclass(frozen=True)
class FolderState:
    """A selected folder. UIDs mean something only together with `uid_validity`. `marks`: keywords that the server will keep."""

    name: str
    uid_validity: int
    uid_next: int
    messages: int
    marks: frozenset[str] = frozenset()
    any_mark: bool = False

    def keeps(self, keyword: str) -> bool:
        """True when the server promises to keep that keyword."""
        return self.any_mark or keyword.lower() in {mark.lower() for mark in self.marks}


@dataclass(frozen=True)
class Arrival:
    """A message as the server announces it, before it is read."""

    uid: int
    size: int
    flags: frozenset[str] = frozenset()
    received_at: datetime | None = None


def encode_name(name: str) -> str:
    """A folder's name as it travels: quoted, other letters than ASCII in modified UTF-7."""
    encoded = "".join(_encode_run(run) for run in _PRINTABLE.findall(name))
    escaped = encoded.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _encode_run(run: str) -> str:
    if " " <= run[0] <= "~":
        return run.replace("&", "&-")
    encoded = base64.b64encode(run.encode("utf-16-be")).decode("ascii")
    return "&" + encoded.rstrip("=").replace("/", ",") + "-"


def decode_name(name: str) -> str:
    """The other way round; what is not modified UTF-7 stays as it is."""
    return re.sub(r"&([^-]*)-", _decode_run, name)


def _decode_run(match: re.Match[str]) -> str:
    if not match[1]:
        return "&"
    encoded = match[1].replace(",", "/")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("utf-16-be")
    except ValueError:
        return match[0]


def read_marks(status_lines: Iterable[object]) -> tuple[frozenset[str], bool]:
    """The keywords of PERMANENTFLAGS, and whether new ones may be made. No such line: everything may be kept (RFC 3501 §7.1)."""
    for line in status_lines:
        if isinstance(line, bytes) and (found := _PERMANENT.search(line)):
            words = found[1].decode("ascii", "replace").split()
            return frozenset(word for word in words if word != "\\*"), "\\*" in words
    return frozenset(), True


def read_uids(data: Iterable[object]) -> tuple[int, ...]:
    """The answer of UID SEARCH, in ascending order."""
    words = b" ".join(part for part in data if isinstance(part, bytes)).split()
    return tuple(sorted({int(word) for word in words if word.isdigit() and len(word) <= 10}))


def read_arrivals(data: FetchData) -> tuple[Arrival, ...]:
    """What FETCH (UID RFC822.SIZE FLAGS INTERNALDATE) told; lines that are about something else are passed over."""
    arrivals: dict[int, Arrival] = {}
    for line in data:
        if not isinstance(line, bytes):
            continue
        uid, size = _UID.search(line), _SIZE.search(line)
        if uid is None or size is None:
            continue
        arrivals[int(uid[1])] = Arrival(int(uid[1]), int(size[1]), _flags(line) or frozenset(), _date(line))
    return tuple(arrivals[uid] for uid in sorted(arrivals))


def read_flags(data: FetchData, uid: int) -> frozenset[str] | None:
    """The flags that an answer tells of a message, the last word counting; None when it tells nothing."""
    told = None
    for line in data:
        if isinstance(line, bytes) and _is_about(uid, line, b"") and (flags := _flags(line)) is not None:
            told = flags
    return told


def _flags(line: bytes) -> frozenset[str] | None:
    flags = _FLAGS.search(line)
    return frozenset(flags[1].decode("ascii", "replace").split()) if flags else None


def _date(line: bytes) -> datetime | None:
    found = _DATE.search(line)
    if found is None:
        return None
    day, month, year, hour, minute, second, zone = (part.decode("ascii") for part in found.groups())
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) * (-1 if zone[0] == "-" else 1)
    try:
        number = _MONTHS.index(month.capitalize()) + 1
        local = datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=timezone(offset))
    except ValueError:
        return None
    return local.astimezone(UTC)


def read_section(data: FetchData, uid: int) -> bytes | None:
    """The bytes of the one BODY section asked for, for that message; None when the server has no such message any more."""
    for position, part in enumerate(data):
        match part:
            case (bytes() as opening, bytes() as content):
                if _is_about(uid, opening, data[position + 1] if position + 1 < len(data) else b""):
                    return content
            case bytes() if _is_about(uid, part, b"") and b"BODY[" in part.upper():
                quoted = _QUOTED_BODY.search(part)
                return re.sub(rb"\\(.)", rb"\1", quoted[1]) if quoted else b""
    return None


def _is_about(uid: int, opening: bytes, closing: object) -> bool:
    # The UID may come before the literal or after it.
    found = _UID.search(opening) or (_UID.search(closing) if isinstance(closing, bytes) else None)
    return found is not None and int(found[1]) == uid
