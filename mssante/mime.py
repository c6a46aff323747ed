"""Takes a mail apart into its leaf parts, whatever their Content-Disposition, and says what is broken instead of raising.

The standard parser is not used for bodies: it recurses as deep as a stranger likes, splits every line, and costs ten times more.
Source: RFC 2045, 2046. Mails within mails (message/rfc822, `.eml`) are opened to a depth, each part tagged with its level.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mssante.errors import MailError
from mssante.findings import Finding
from mssante.headers import Fields, MailHeaders, MailLimits, parameters, read_headers, split_head

_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f:*?"<>|]+')
_MAILS = {"message/rfc822", "message/global"}
_GUESSED_BOUNDARY = re.compile(rb"(?:^|\n)--([^\r\n]{1,200}?)[ \t]*\r?\n")
_LONGEST_NAME = 200


@dataclass(frozen=True, repr=False)
class MailPart:
    """A leaf part. `names` are all those it bears (`filename*`, `filename`, `name`), without folders.

    `level` is 0 in the mail itself and grows with each mail within; `message` is 0, or the number of the enclosed mail (from 1).
    """

    media_type: str
    content: bytes
    names: tuple[str, ...] = ()
    charset: str = ""
    disposition: str = ""
    content_id: str = ""
    level: int = 0
    message: int = 0

    @property
    def name(self) -> str:
        """The best of its names; empty when it has none."""
        return self.names[0] if self.names else ""


@dataclass(frozen=True, repr=False)
class EnclosedMail:
    """A mail within the mail: `within` is 0 or the number of the enclosed mail that holds it; `content` its whole bytes."""

    headers: MailHeaders
    content: bytes
    level: int
    within: int


@dataclass(frozen=True, repr=False)
class Anatomy:
    """A mail taken apart."""

    headers: MailHeaders
    parts: tuple[MailPart, ...]
    enclosed: tuple[EnclosedMail, ...]
    report_type: str
    findings: tuple[Finding, ...]


def take_apart(raw: bytes, limits: MailLimits) -> Anatomy:
    """The mail's parts; MailError when it is beyond the limits or has no header field at all."""
    if len(raw) > limits.total_bytes:
        raise MailError("mail.too-large", f"beyond {limits.total_bytes} bytes")
    if raw.startswith(b"From "):  # an mbox line
        raw = raw[raw.find(b"\n") + 1 :]
    fields, body = split_head(raw, limits)
    if not fields.items:
        raise MailError("mail.no-header", "no header field: this is no mail")
    walker = _Walker(limits)
    walker.entity(fields, body, _Place())
    content_type, options = parameters(fields.get("Content-Type"))
    report = options.get("report-type", "").lower() if content_type == "multipart/report" else ""
    return Anatomy(read_headers(fields), tuple(walker.parts), tuple(walker.enclosed), report, tuple(walker.findings))


@dataclass(frozen=True)
class _Place:
    """Where the walk is: mails within mails, the number of the mail, multiparts within multiparts."""

    level: int = 0
    message: int = 0
    multiparts: int = 0


@dataclass
class _Walker:
    limits: MailLimits
    parts: list[MailPart] = field(default_factory=list)
    enclosed: list[EnclosedMail] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    seen: int = 0

    def entity(self, fields: Fields, body: bytes, place: _Place) -> None:
        self.seen += 1
        if self.seen > self.limits.parts:
            raise MailError("mail.parts", f"more than {self.limits.parts} parts")
        media_type, options = parameters(fields.get("Content-Type"))
        if media_type.startswith("multipart/") and self._multipart(options.get("boundary", ""), body, place):
            return
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type):
            media_type = "text/plain" if not media_type or media_type == "text" else "application/octet-stream"
        content = self._decoded(fields.get("Content-Transfer-Encoding"), body)
        names = _names(fields, options)
        if (media_type in _MAILS or (names and names[0].lower().endswith(".eml"))) and self._mail(content, place):
            return
        disposition = parameters(fields.get("Content-Disposition"))[0]
        content_id = fields.get("Content-ID").strip().strip("<>")
        charset = options.get("charset", "")
        self.parts.append(MailPart(media_type, content, names, charset, disposition, content_id, place.level, place.message))

    def note(self, code: str, *, grave: bool = False) -> None:
        self.findings.append(Finding(code, f"part {self.seen}", grave))

    def _multipart(self, boundary: str, body: bytes, place: _Place) -> bool:
        if place.multiparts >= self.limits.multipart_depth:
            raise MailError("mail.depth", f"more than {self.limits.multipart_depth} multiparts within each other")
        delimiter = boundary.encode("utf-8", "replace")
        if not delimiter:
            guessed = _GUESSED_BOUNDARY.search(body, 0, 4_096)
            self.note("boundary-missing" if guessed is None else "boundary-guessed")
            if guessed is None:
                return False
            delimiter = guessed[1]
        inner = _Place(place.level, place.message, place.multiparts + 1)
        found = False
        for piece in self._pieces(body, b"--" + delimiter):
            found = True
            self.entity(*split_head(piece, self.limits), inner)
        if not found:
            self.note("boundary-absent", grave=True)
        return found

    def _pieces(self, body: bytes, delimiter: bytes) -> Iterator[bytes]:
        start: int | None = None
        for place, after, closes in _delimiters(body, delimiter):
            if start is not None:
                yield body[start : _before_line_end(body, start, place)]
            if closes:
                return
            start = after
        if start is not None:
            self.note("boundary-unclosed")
            yield body[start:]

    def _mail(self, content: bytes, place: _Place) -> bool:
        if place.level >= self.limits.depth:
            self.note("nested-too-deep")
            return False
        fields, body = split_head(content, self.limits)
        if not fields.items:
            self.note("nested-unreadable")
            return False
        self.enclosed.append(EnclosedMail(read_headers(fields), content, place.level + 1, place.message))
        self.entity(fields, body, _Place(place.level + 1, len(self.enclosed), place.multiparts))
        return True

    def _decoded(self, encoding: str, body: bytes) -> bytes:
        encoding = parameters(encoding)[0]
        if encoding == "base64":
            return self._base64(body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
        if encoding not in ("", "7bit", "8bit", "binary"):
            self.note("transfer-encoding-unknown")
        return body

    def _base64(self, body: bytes) -> bytes:
        compact = body.translate(None, b"\r\n\t ")
        try:
            return base64.b64decode(compact, validate=True)
        except binascii.Error:
            pass
        # What is left of it: the archive's own checksums will tell whether it is whole.
        self.note("base64-damaged", grave=True)
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", compact)
        return base64.b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"=" * (-len(letters) % 4))


def _delimiters(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Each delimiter line: where it starts, where the next line starts, whether it is the closing one."""
    place = 0 if body.startswith(delimiter) else body.find(b"\n" + delimiter) + 1
    while place > 0 or body.startswith(delimiter, place):
        after = place + len(delimiter)
        closes = body.startswith(b"--", after)
        end = body.find(b"\n", after)
        rest = body[after + 2 * closes : len(body) if end < 0 else end]
        if not rest.strip():
            yield place, len(body) if end < 0 else end + 1, closes
        found = body.find(b"\n" + delimiter, after - 1 if end < 0 else end)
        if found < 0:
            return
        place = found + 1


def _before_line_end(body: bytes, start: int, place: int) -> int:
    # The line end before a delimiter belongs to the delimiter.
    end = place - 1 if place > start and body[place - 1 : place] == b"\n" else place
    return end - 1 if end > start and body[end - 1 : end] == b"\r" else max(end, start)


def _names(fields: Fields, options: dict[str, str]) -> tuple[str, ...]:
    disposition = parameters(fields.get("Content-Disposition"))[1]
    given = (disposition.get("filename", ""), options.get("name", ""), options.get("filename", ""))
    return tuple(dict.fromkeys(name for name in map(_plain_name, given) if name))


def _plain_name(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    return " ".join(_UNSAFE_IN_NAMES.sub(" ", last).split())[:_LONGEST_NAME].strip(". ") if last.strip(".") else ""
