"""Header fields of a mail that a stranger sent: unfolded, decoded whatever their charset, within limits, never raising.

Sources: RFC 5322, 2047, 2231, 3834 (automatic answers), 8098 (Disposition-Notification-To); Référentiel socle #2 (X-MSS-*).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from functools import cached_property
from typing import Any

from mssante.errors import MailError

_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")
_ID = re.compile(r"<[^<>\s]{1,998}>")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
# Codecs of Python that are no charset of mails; some of them cost more than linear time.
_NO_CHARSETS = {"idna", "punycode", "unicode_escape", "unicode-escape", "raw_unicode_escape", "raw-unicode-escape", "undefined"}
# What the standard library's header parsing is known to raise on hostile values.
UNPARSABLE = (ValueError, LookupError, TypeError, AttributeError, HeaderParseError, RecursionError, AssertionError, OverflowError)
# A longer value is cut before it is parsed: address and parameter parsing take more than linear time.
_LONGEST_PARSED = 16_384


@dataclass(frozen=True)
class MailLimits:
    """What a mail may weigh. `depth` counts mails within mails; `header_bytes` is for one header block."""

    total_bytes: int = 40_000_000
    header_bytes: int = 262_144
    fields: int = 1_000
    parts: int = 500
    depth: int = 3
    multipart_depth: int = 12


DEFAULT_LIMITS = MailLimits()


@dataclass(frozen=True, repr=False)
class Fields:
    """A header block: names and raw values, unfolded, in their order."""

    items: tuple[tuple[str, str], ...] = ()

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        gathered: dict[str, list[str]] = {}
        for name, value in self.items:
            gathered.setdefault(name.lower(), []).append(value)
        return {name: tuple(values) for name, values in gathered.items()}

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of that name, whatever its case."""
        return self._by_name.get(name.lower(), ())

    def get(self, name: str) -> str:
        """The first value; empty when absent."""
        return next(iter(self.all(name)), "")

    def text(self, name: str) -> str:
        """The first value, RFC 2047 decoded, on one line."""
        return _CONTROL.sub(" ", decode_words(self.get(name))).strip()

    def has(self, name: str) -> bool:
        """True when the field is there, even empty."""
        return bool(self.all(name))


@dataclass(frozen=True, repr=False)
class Correspondent:
    """An address and the label shown with it."""

    address: str
    label: str = ""


@dataclass(frozen=True, repr=False)
class MailHeaders:
    """What this library reads of a header block; `fields` holds all of it.

    `return_path` is None when the field is absent and empty for `<>`. `holds_qualified_ins` is X-MSS-INS: None when absent.
    `original_recipient` is what the final mail system wrote (RFC 8098), without its type.
    """

    fields: Fields
    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    subject: str = ""
    sender: Correspondent | None = None
    recipients: tuple[Correspondent, ...] = ()
    reply_to: tuple[Correspondent, ...] = ()
    receipt_to: tuple[Correspondent, ...] = ()
    return_path: str | None = None
    original_recipient: str = ""
    delivered_to: tuple[str, ...] = ()
    sent_at: datetime | None = None
    holds_qualified_ins: bool | None = None
    document_codes: tuple[str, ...] = ()
    product_reference: str = ""
    ends_exchange: bool = False


def split_head(raw: bytes, limits: MailLimits) -> tuple[Fields, bytes]:
    """The header block and the body; MailError when the block is beyond the limits."""
    if raw.startswith((b"\r\n", b"\n")):
        return Fields(), raw[raw.index(b"\n") + 1 :]
    end = re.compile(rb"\r?\n\r?\n").search(raw, 0, limits.header_bytes + 4)
    if end is None and len(raw) > limits.header_bytes:
        raise MailError("mail.headers", f"a header block beyond {limits.header_bytes} bytes")
    block, body = (raw[: end.start()], raw[end.end() :]) if end else (raw, b"")
    return read_fields(block, limits), body


def read_fields(block: bytes, limits: MailLimits = DEFAULT_LIMITS) -> Fields:
    """The fields of a block; a line that is none is left out."""
    items: list[tuple[str, str]] = []
    for line in _unfolded(decode_text(block, "")[0]):
        match = _FIELD.match(line)
        if match:
            items.append((match[1], match[2].strip()))
            if len(items) > limits.fields:
                raise MailError("mail.headers", f"more than {limits.fields} header fields")
    return Fields(tuple(items))


def _unfolded(text: str) -> Iterator[str]:
    gathered: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if line[:1] in (" ", "\t") and gathered:
            gathered.append(line)
            continue
        if gathered:
            yield "".join(gathered)
        gathered = [line]
    yield "".join(gathered)


def read_headers(fields: Fields) -> MailHeaders:
    """What is known of these fields. Never raises."""
    senders = _correspondents(fields, "From") or _correspondents(fields, "Sender")
    return MailHeaders(
        fields=fields,
        message_id=next(iter(message_ids(fields.get("Message-ID"))), ""),
        in_reply_to=message_ids(fields.get("In-Reply-To")),
        references=message_ids(fields.get("References")),
        subject=fields.text("Subject"),
        sender=senders[0] if senders else None,
        recipients=(*_correspondents(fields, "To"), *_correspondents(fields, "Cc")),
        reply_to=_correspondents(fields, "Reply-To"),
        receipt_to=_correspondents(fields, "Disposition-Notification-To"),
        return_path=_return_path(fields),
        original_recipient=typed_address(fields.get("Original-Recipient")),
        delivered_to=tuple(typed_address(value) for name in ("Delivered-To", "X-Original-To") for value in fields.all(name)),
        sent_at=_date(fields.get("Date")),
        holds_qualified_ins={"O": True, "N": False}.get(fields.get("X-MSS-INS").upper()),
        document_codes=tuple(code.strip() for code in fields.get("X-MSS-CODECDA").split(",") if code.strip()),
        product_reference=fields.text("X-MSS-NIL"),
        ends_exchange=fields.get("X-MSS-MES").upper() == "FIN" or fields.text("Subject") == "[FIN]",
    )


def message_ids(value: str) -> tuple[str, ...]:
    """The ids of a field, with their angle brackets; a bare id is given them."""
    found = tuple(_ID.findall(value[:_LONGEST_PARSED]))
    bare = value.strip()
    return found or ((f"<{bare}>",) if bare and not re.search(r"[\s<>]", bare) and len(bare) <= 998 else ())


def typed_address(value: str) -> str:
    """The address of `rfc822;someone@there`, or of `<someone@there>`."""
    kind, separator, address = value.partition(";")
    return (address if separator and kind.strip().isalnum() else value).strip().strip("<>").strip()


def addresses(value: str) -> tuple[Correspondent, ...]:
    """The addresses of a field, labels decoded."""
    try:
        pairs = getaddresses([value[:_LONGEST_PARSED]])
    except UNPARSABLE:
        return ()
    known = ((decode_words(label), address.strip()) for label, address in pairs)
    return tuple(Correspondent(address, _CONTROL.sub(" ", label)) for label, address in known if "@" in address)


def _correspondents(fields: Fields, name: str) -> tuple[Correspondent, ...]:
    return tuple(one for value in fields.all(name) for one in addresses(value))


def _return_path(fields: Fields) -> str | None:
    if not fields.has("Return-Path"):
        return None
    return typed_address(fields.get("Return-Path"))


def _date(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value[:200]) if value else None
    except UNPARSABLE:
        return None


# ── words, parameters, charsets ─────────────────────────────────────────────────────────────────────────────────────


def decode_words(value: str) -> str:
    """RFC 2047 undone; a letter cut between two words of one charset is whole again."""
    if "=?" not in value:
        return value
    value = _BETWEEN_WORDS.sub("", value)
    decoded, end, pending = [], 0, (b"", "")
    for match in _WORD.finditer(value):
        charset, content = match[1].partition("*")[0].lower(), _word_bytes(match[2].lower(), match[3])
        if match.start() > end or charset != pending[1]:
            decoded += [decode_text(*pending)[0], value[end : match.start()]]
            pending = (b"", charset)
        pending, end = (pending[0] + content, charset), match.end()
    return "".join([*decoded, decode_text(*pending)[0], value[end:]])


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if encoding == "q":
        return binascii.a2b_qp(raw, header=True)
    try:
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return raw


def decode_text(content: bytes, charset: str) -> tuple[str, str]:
    """The text, and the code of what was wrong with its charset (empty when nothing was)."""
    declared = charset.strip().lower()
    if declared and declared not in ("us-ascii", "ascii") and declared not in _NO_CHARSETS:
        try:
            return content.decode(declared), ""
        except LookupError:
            return _guessed(content), "charset-unknown"
        except (UnicodeError, ValueError):
            return _guessed(content), "charset-wrong"
    return _guessed(content), "" if declared not in _NO_CHARSETS else "charset-unknown"


def _guessed(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """The first token in lower case and the parameters; RFC 2231 forms win over plain ones, RFC 2047 in them is undone."""
    token, separator, _ = value.partition(";")
    if not separator:
        return token.strip().lower(), {}
    carrier = Message()
    carrier["Content-Type"] = value[:_LONGEST_PARSED].replace("\n", " ").replace("\r", " ")
    try:
        # typeshed knows only plain values; RFC 2231 ones are (charset, language, value).
        pairs: list[tuple[str, Any]] = list(carrier.get_params([], "content-type") or [])[1:]
    except UNPARSABLE:
        return token.strip().lower(), {}
    found: dict[str, str] = {}
    for name, content in sorted(pairs, key=lambda pair: isinstance(pair[1], str)):
        plain = _rfc2231(content) if isinstance(content, tuple) else decode_words(str(content))
        found.setdefault(name.lower().rstrip("*"), plain)
    return token.strip().lower(), found


def _rfc2231(value: tuple[str | None, str | None, str]) -> str:
    try:
        raw = value[2].encode("latin-1")
    except UnicodeEncodeError:
        return value[2]
    return decode_text(raw, value[0] or "")[0]
