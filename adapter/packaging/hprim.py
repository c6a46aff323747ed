"""An HPRIM Médecin text: twelve lines that say whose letter it is, the words, and the marks that end it.

Law: H.PR.I.M. Médecins 3.0 (March 1997): one datum a line, in this order. Widths and habits are those of programs that read and
write it: MedShakeEHR (`msHprim::getHprimHeaderData` cuts line 1 at 10 characters, 2 and 3 at 50, and takes the first ten of lines
11 and 12 for a code), FreeMedForms (`tst_hprim`), Mediboard (`makeHprimHeader` writes `.` for a code that there is not), and what
APICRYPT asks of its users (name, given name and birth date at least).

     1 the sender's number of the patient      5 address, second line          9 number of the file
     2 name in use                             6 postal code and town         10 date of the document
     3 given name                              7 birth date, dd/mm/yyyy       11 code (10 characters) and name of the sender
     4 address, first line                     8 number of health identity    12 code (10 characters) and name of the reader

The text is only the envelope of the PDF that lies beside it: a letter's tables, put in lines, could be misread.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.identity import PatientIdentity
from adapter.packaging.follow_up import civil_day

END_OF_LETTER = "****FIN****"
END_OF_FILE = "****FINFICHIER****"
# Readers cut what is longer; a number that is cut would be another patient's, so it is left out instead.
PATIENT_CODE_WIDTH = 10
PARTY_CODE_WIDTH = 10
NAME_WIDTH = 50
FILE_NUMBER_WIDTH = 10
LINE_WIDTH = 78
NO_CODE = "."
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
# Letters that have no decomposition to a plain one; all others lose their accent when the character set lacks it.
_PLAIN = {"Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "Ø": "O", "ø": "o", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"}
_PLAIN |= {"…": "...", "Œ": "OE", "œ": "oe", "ı": "i", "€": "EUR"}


class HprimCharset(StrEnum):
    """How the text is encoded: programs on Windows read the first, older ones the second."""

    CP1252 = "cp1252"
    LATIN9 = "iso-8859-15"


@dataclass(frozen=True, repr=False)
class HprimLetter(Confidential):
    """What an HPRIM text says. `file_number` is at most ten characters; `written_on` an ISO date or instant.

    `words` are paragraphs; codes of the parties are ten characters at most, or empty.
    """

    patient: PatientIdentity
    file_number: str
    written_on: str
    sender_name: str
    recipient_name: str
    words: tuple[str, ...]
    sender_code: str = ""
    recipient_code: str = ""


def write_hprim(letter: HprimLetter, charset: HprimCharset = HprimCharset.CP1252) -> bytes:
    """The text as a file: CRLF after each line, in the character set of the reader's program."""
    return _encoded([*_header(letter), "", *_body(letter.words), END_OF_LETTER, END_OF_FILE], charset)


def plain_text(paragraphs: Iterable[str], charset: HprimCharset = HprimCharset.CP1252) -> bytes:
    """Words for people, in a file of the same making: wrapped, CRLF, the same character set."""
    return _encoded(_body(paragraphs), charset)


def _encoded(lines: Iterable[str], charset: HprimCharset) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).translate(_Signs(charset)).encode(charset.value, errors="replace")


def _header(letter: HprimLetter) -> list[str]:
    patient = letter.patient
    address = patient.addresses[0] if patient.addresses else None
    streets = [_flat(line) for line in address.lines] if address else []
    town = " ".join(filter(None, (address.postal_code, address.city))) if address else ""
    return [
        _patient_code(patient) or NO_CODE,
        _flat(patient.used_name or patient.birth_name, NAME_WIDTH),
        _flat(patient.used_given or patient.first_given, NAME_WIDTH),
        _flat(streets[0] if streets else "", NAME_WIDTH),
        _flat(" ".join(streets[1:]), NAME_WIDTH),
        _flat(town, NAME_WIDTH),
        _french_day(patient.birth_date),
        _health_number(patient),
        _code(letter.file_number, FILE_NUMBER_WIDTH),
        civil_day(letter.written_on),  # of an instant, the day that it was in France
        _party(letter.sender_code, letter.sender_name),
        _party(letter.recipient_code, letter.recipient_name),
    ]


def _patient_code(patient: PatientIdentity) -> str:
    """The sender's own number of the patient, whole or not at all."""
    numbers = (_code(number.value, PATIENT_CODE_WIDTH) for number in patient.local_ids if number.kind == "PI")
    return next(filter(None, numbers), "")


def _health_number(patient: PatientIdentity) -> str:
    """`279035121518989` as `2790351215189 89`; nothing when the identity is not qualified: software would file under it."""
    if patient.ins is None or not patient.is_qualified:
        return ""
    return f"{patient.ins.value[:13]} {patient.ins.value[13:]}"


def _party(code: str, name: str) -> str:
    return f"{_code(code, PARTY_CODE_WIDTH) or NO_CODE:<{PARTY_CODE_WIDTH}} {_flat(name, NAME_WIDTH)}"


def _code(value: str, width: int) -> str:
    flat = _flat(value)
    return flat if len(flat) <= width else ""


def _french_day(value: str) -> str:
    """`1961-04-12` as `12/04/1961`; empty for a date that is not whole: half a date would be taken for another one."""
    match = _DAY.match(value)
    return "/".join(reversed(match.groups())) if match else ""


def _body(paragraphs: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += textwrap.wrap(_flat(paragraph), LINE_WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    return lines


def _flat(value: str, width: int = 0) -> str:
    """One line without control characters, in which nothing looks like a mark; cut at `width` when one is given."""
    # Signs without width (soft hyphens, marks of direction) vanish; other controls and all blanks are one blank.
    seen = "".join(sign for sign in value if unicodedata.category(sign) != "Cf")
    printable = "".join(" " if unicodedata.category(sign).startswith(("C", "Z")) else sign for sign in seen)
    flat = re.sub(r"\*{4,}", "***", " ".join(printable.split()))
    return flat[:width].rstrip() if width else flat


class _Signs(dict[int, str]):
    """What becomes of each character in a character set: itself, else its plain letter, else the set's question mark."""

    def __init__(self, charset: HprimCharset) -> None:
        super().__init__()
        self._charset = charset.value

    def __missing__(self, point: int) -> str:
        sign = chr(point)
        self[point] = found = sign if _fits(sign, self._charset) else self._plain(sign)
        return found

    def _plain(self, sign: str) -> str:
        if sign in _PLAIN:
            return _PLAIN[sign]
        bare = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part))
        return bare if bare and _fits(bare, self._charset) else "?"


def _fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
