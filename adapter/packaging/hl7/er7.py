r"""Writes HL7 v2 messages as ER7: escapes, MSH of the CI-SIS volets, character set. Pure: same values, same bytes.

Source: HL7 v2.6 ch. 2; CI-SIS volet 2.1 §MSH. Our own writer because libraries that know the structures drop PRT and Z segments.
A value is escaped where it is put into a component; a segment is given ready-made fields.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from adapter.formats.hl7v2 import encode_escapes

UTF8 = "UNICODE UTF-8"
LATIN9 = "8859/15"
_CODECS = {UTF8: "utf-8", LATIN9: "iso8859-15"}
_ISO = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d)(?::(\d\d))?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?)?")
# What typewriters wrote for it. A separator never comes out of this: those were escaped before.
_PLAIN_SIGNS = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."}
# The longest MSH-10 that every version takes.
CONTROL_ID_LENGTH = 20


@dataclass(frozen=True)
class Header:
    """What MSH says besides the message type. Applications and facilities are HD fields, already in ER7."""

    application: str
    facility: str
    to_application: str
    to_facility: str
    sent_at: datetime
    control_id: str
    processing: str = "P"
    charset: str = UTF8


def value(text: str) -> str:
    """One value made safe for a component."""
    return encode_escapes(text)


def parts(*texts: str) -> str:
    """Components, escaped, without empty ones at the end."""
    return "^".join(encode_escapes(text) for text in texts).rstrip("^")


def authority(oid: str, name: str = "") -> str:
    """An assigning authority (HD as a component): `name&oid&ISO`, or the name alone when it is no OID."""
    if re.fullmatch(r"[0-2](\.\d+)+", oid):
        return f"{encode_escapes(name)}&{oid}&ISO"
    return encode_escapes(oid or name)


def instant(moment: datetime) -> str:
    """A time stamp to the second with its zone."""
    return moment.strftime("%Y%m%d%H%M%S%z")


def stamp_of(iso: str) -> str:
    """An ISO 8601 date or time, of whatever precision, as HL7 writes it; empty when it is neither."""
    found = _ISO.fullmatch(iso.strip())
    if found is None:
        return ""
    *digits, zone = found.groups(default="")
    return "".join(digits) + ("+0000" if zone == "Z" else zone.replace(":", ""))


def segment(name: str, *fields: str) -> str:
    """A segment of ready-made fields, the first being field 1, without empty ones at the end."""
    return "|".join((name, *fields)).rstrip("|")


def message_header(header: Header, message_type: str, profile: str) -> str:
    """MSH of a message that we start; version 2.6 always, for what we send."""
    return segment(
        "MSH",
        "^~\\&",
        plain_field(header.application),
        plain_field(header.facility),
        plain_field(header.to_application),
        plain_field(header.to_facility),
        instant(header.sent_at),
        "",
        message_type,
        value(header.control_id),
        header.processing,
        "2.6",
        *("",) * 4,
        "FRA",
        header.charset,
        "",
        "",
        profile,
    )


def plain_field(text: str) -> str:
    """A field that is in ER7 already (an HD keeps its `^` and `&`), without what would end it."""
    return re.sub(r"[\x00-\x1f|]", "", text)


def write_message(lines: Iterable[str], charset: str) -> bytes:
    """The message's bytes. A letter that the character set lacks loses its accent rather than becoming a `?`."""
    text = "".join(line + "\r" for line in lines)
    codec = _CODECS[charset]
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return b"".join(_nearest(sign, codec) for sign in text)


def _nearest(sign: str, codec: str) -> bytes:
    try:
        return sign.encode(codec)
    except UnicodeEncodeError:
        return (_PLAIN_SIGNS.get(sign) or unicodedata.normalize("NFKD", sign)).encode(codec, "ignore")
