"""The mail that asks a provider to dial: address, subject and body from templates, the fax as a PDF. Same input, same bytes.

Source: OVHcloud's guide of mail-to-fax (2022-06), RFC 5322, 2045. Providers read the body as orders: nothing stands around it.
The names of our Message-ID and of our file hold our reference and the try: either comes back in the provider's answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from adapter.formats.phone_number import national
from adapter.model.confidential import Confidential

_WORD = re.compile(r"\{([a-z]+)\}")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# As in our Message-ID and file name: reference (words may stand before its UUID) and try. A provider may write it in capitals,
# or cut it after the reference.
OUR_NAME = re.compile(rf"(?<![0-9a-z-])((?:[a-z]+-){{0,3}}{_UUID})(?:[._-](\d{{1,9}})(?![0-9]))?", re.IGNORECASE)


@dataclass(frozen=True)
class LetterTemplates:
    """How a provider is written to: words in braces are filled in."""

    address: str
    subject: str
    body: str


@dataclass(frozen=True, repr=False)
class Letter(Confidential):
    """A mail ready for SMTP."""

    message: bytes
    recipient: str


@dataclass(frozen=True, repr=False)
class LetterFacts(Confidential):
    """What goes into one mail. `number` is E.164, `name` our reference and the try (`our_name`)."""

    sender: str
    number: str
    name: str
    password: str
    line: str
    quality: str
    sent_at: datetime
    pdf: bytes


def our_name(reference: str, attempt: int) -> str:
    """What names one try of one fax."""
    return f"{reference}.{attempt}"


def message_id(name: str, sender: str) -> str:
    """The Message-ID of a try."""
    return f"<{name}@{sender.rpartition('@')[2]}>"


def dialled(number: str) -> Mapping[str, str]:
    """The spellings of a number that providers ask for: `+33199001234`, `0199001234` (abroad `0041…`), `33199001234`."""
    digits = number.removeprefix("+")
    spoken = national(number)
    return {
        "number": number,
        "digits": digits,
        "national": f"00{digits}" if spoken.startswith("+") else re.sub(r"\D", "", spoken),
    }


def write_letter(templates: LetterTemplates, facts: LetterFacts) -> Letter:
    """The mail. The templates were checked with the configuration."""
    plain = {"line": facts.line, "reference": facts.name, "password": facts.password, "quality": facts.quality}
    words = {**dialled(facts.number), **plain}
    recipient = _filled(templates.address, words)
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = facts.sender, recipient
    mail["Subject"] = _filled(templates.subject, words)
    mail["Date"] = format_datetime(facts.sent_at)
    mail["Message-ID"] = message_id(facts.name, facts.sender)
    # Short ASCII lines travel as they are: a provider that looks for `p:` finds it in the raw body too.
    mail.set_content(_filled(templates.body, words) + "\n")
    mail.add_attachment(facts.pdf, maintype="application", subtype="pdf", filename=f"{facts.name}.pdf")
    mail.set_boundary(f"=_{hashlib.sha256(facts.name.encode()).hexdigest()[:40]}")
    return Letter(mail.as_bytes(), recipient)


def _filled(template: str, words: Mapping[str, str]) -> str:
    """In one pass: what is filled in is never looked at again."""
    return _WORD.sub(lambda found: words.get(found[1], found[0]), template)
