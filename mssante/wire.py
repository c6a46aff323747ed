"""Header lines and parts as they go on the wire: shared by every mail that this library writes. Same input, same bytes.

Sources: RFC 5322 (fields, ids), 2045–2047 (parts, encoded words). Writers check values: nothing here looks for CR or LF.
"""

from __future__ import annotations

import hashlib
import re
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from itertools import groupby

MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def plain_line(name: str, value: str) -> bytes:
    """An ASCII field on one line."""
    # Unfolded: the standard folding may leave the first line empty, and readers of the field take identifiers from one line.
    return f"{name}: {value}\r\n".encode("ascii")


def text_line(name: str, text: str) -> bytes:
    """RFC 2047 for accented words only; the first word (the subject's prefix) always on the first line."""
    header = Header(header_name=name, maxlinelen=76)
    for is_ascii, words in groupby(text.split(" "), key=str.isascii):
        header.append(" ".join(words), "us-ascii" if is_ascii else "utf-8")
    return f"{name}: {header.encode(linesep=chr(13) + chr(10))}\r\n".encode("ascii")


def address_lines(*addressed: tuple[str, str, str]) -> list[bytes]:
    """Fields of one address each: name of the field, address, label."""
    message = EmailMessage(policy=SMTP)
    for name, address, label in addressed:
        message[name] = Address(display_name=label, addr_spec=address)
    return [SMTP.fold_binary(name, value) for name, value in message.raw_items()]


def text_part(text: str) -> bytes:
    """A text/plain part in UTF-8, headers included."""
    part = EmailMessage(policy=SMTP)
    part.set_content(text.rstrip() + "\n", charset="utf-8", cte="quoted-printable")
    del part["MIME-Version"]
    return part.as_bytes()


def boundary_of(message_id: str) -> str:
    """The boundary of a mail, derived from its Message-ID."""
    # `=_` occurs in no Base64 nor quoted-printable line, so a boundary never meets content.
    return f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:40]}"


def joined(parts: list[bytes], boundary: str) -> bytes:
    """The body of a multipart: each part ends with its line end."""
    opening = f"--{boundary}\r\n".encode()
    return b"\r\n".join(opening + part for part in parts) + f"\r\n--{boundary}--\r\n".encode()
