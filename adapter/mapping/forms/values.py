"""One written answer to one typed value: choices by code or usual word, French dates and decimals, yes and no. No conditions.

Law: nothing is guessed. What cannot be read is an error at its question, in the question's own words, never an empty value.
A birth date may be a year or a month; a request's date is a whole day, its hour optional.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from adapter.mapping.forms.questionnaire import Question

EARLIEST_YEAR = 1880
MAX_DIGITS = 15  # what a JSON number carries everywhere without loss
_ISO_DAY = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_FRENCH_DAY = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")
_HOUR = re.compile(r"(\d{1,2})[:hH](\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(Z|[+-]\d{2}:\d{2})?")
_DAY_AND_HOUR = re.compile(r"(\S+?)(?:T|\s+(?:à\s+)?)(\d{1,2}[:hH]\d{2}.*)")
_FIRST_BYTES = {"application/pdf": b"%PDF-", "image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}
_YES = frozenset({"true", "oui", "yes", "o", "y"})
_NO = frozenset({"false", "non", "no", "n"})


class UnreadableAnswerError(ValueError):
    """This answer cannot be read: `code` and `remedy` go to the finding, the value to nobody."""

    def __init__(self, code: str, remedy: str) -> None:
        super().__init__(code)
        self.code = code
        self.remedy = remedy


@dataclass(frozen=True)
class Reading:
    """A value, and a code when something was assumed to read it (`form.zone-assumed`)."""

    value: Any
    assumed: str = ""


def read_answer(question: Question, raw: object, aliases: Mapping[str, str], zone: ZoneInfo) -> Reading:
    """The typed value of one written answer. Raises UnreadableAnswerError."""
    match question.kind:
        case "choice":
            return Reading(_choice(question, raw, aliases))
        case "boolean":
            return Reading(_boolean(raw))
        case "decimal" | "integer":
            return Reading(_number(question, raw))
        case "date":
            return Reading(read_date(_text(raw)))
        case "dateTime":
            return _moment(_text(raw), zone)
        case "attachment":
            return Reading(_attachment(question, raw))
        case _:
            return Reading(_short_enough(question, _text(raw)))


def plain(text: str) -> str:
    """Text for comparison: no case, no accents, single blanks."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in decomposed if not unicodedata.combining(c)).replace("’", "'").replace("-", " ")
    return " ".join(letters.split())


def _text(raw: object) -> str:
    if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
        raise UnreadableAnswerError("form.wrong-type", "Un texte est attendu.")
    return str(raw).strip()


def _attachment(question: Question, raw: object) -> dict[str, str]:
    """A file: its declared type, which its first bytes must bear out, its title, and its content in Base64."""
    if not isinstance(raw, Mapping) or not set(raw) <= {"type", "titre", "contenu"}:
        raise UnreadableAnswerError("form.wrong-type", "Un fichier s’écrit { type, titre, contenu (Base64) }.")
    file = {key: _text(raw.get(key, "")) for key in ("type", "titre", "contenu")}
    if file["type"] not in question.media_types:
        raise UnreadableAnswerError("form.attachment-type", f"Types acceptés : {', '.join(question.media_types)}.")
    try:
        content = base64.b64decode("".join(file["contenu"].split()), validate=True)
    except ValueError:
        raise UnreadableAnswerError("form.attachment-unreadable", "Le contenu n’est pas du Base64.") from None
    if not content.startswith(_FIRST_BYTES[file["type"]]):
        raise UnreadableAnswerError("form.attachment-type", "Le contenu n’est pas du type annoncé.")
    return file


def _short_enough(question: Question, text: str) -> str:
    if question.max_length and len(text) > question.max_length:
        raise UnreadableAnswerError("form.too-long", f"{question.max_length} caractères au plus.")
    return text


def _choice(question: Question, raw: object, aliases: Mapping[str, str]) -> str:
    written = "oui" if raw is True else "non" if raw is False else _text(raw)
    if question.option(written):
        return written
    wanted = plain(written)
    for option in question.options:
        if wanted in (plain(option.code), plain(option.display)):
            return option.code
    alias = {plain(word): code for word, code in aliases.items()}.get(wanted, "")
    if alias:
        return alias
    allowed = ", ".join(f"{option.code} ({option.display})" for option in question.options)
    raise UnreadableAnswerError("form.unknown-choice", f"Réponses possibles : {allowed}.")


def _boolean(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = plain(raw) if isinstance(raw, str) else ""
    if word in _YES or word in _NO:
        return word in _YES
    raise UnreadableAnswerError("form.wrong-type", "Répondre par oui (true) ou non (false).")


def _number(question: Question, raw: object) -> Decimal:
    try:
        value = Decimal(_text(raw).replace(",", ".").replace("\u202f", "").replace("\xa0", ""))
    except InvalidOperation:
        raise UnreadableAnswerError("form.wrong-type", "Un nombre est attendu, sans unité.") from None
    if not value.is_finite() or len(value.as_tuple().digits) > MAX_DIGITS:
        raise UnreadableAnswerError("form.wrong-type", "Un nombre est attendu, sans unité.")
    if question.kind == "integer" and value != value.to_integral_value():
        raise UnreadableAnswerError("form.wrong-type", "Un nombre entier est attendu.")
    too_low = question.lowest is not None and value < question.lowest
    too_high = question.highest is not None and value > question.highest
    if too_low or too_high:
        raise UnreadableAnswerError("form.out-of-range", f"Valeur attendue entre {question.lowest} et {question.highest}.")
    return Decimal(int(value)) if question.kind == "integer" else value


def read_date(text: str) -> str:
    """An ISO date of the precision written (`1979`, `1979-03`, `1979-03-28`) from ISO or `28/03/1979`."""
    if match := _FRENCH_DAY.fullmatch(text):
        year, month, day = match[3], match[2].zfill(2), match[1].zfill(2)
    elif match := _ISO_DAY.fullmatch(text):
        year, month, day = match[1], match[2] or "", match[3] or ""
    else:
        raise UnreadableAnswerError("form.not-a-date", "Écrire AAAA-MM-JJ ou JJ/MM/AAAA.")
    try:
        date(int(year), int(month or 1), int(day or 1))
        if int(year) < EARLIEST_YEAR:
            raise ValueError("nobody alive")
    except ValueError:
        raise UnreadableAnswerError("form.not-a-date", "Cette date n’existe pas au calendrier.") from None
    return "-".join(part for part in (year, month, day) if part)


def _moment(text: str, zone: ZoneInfo) -> Reading:
    """A whole day, or an instant with its offset: an hour without a zone takes the door's zone, and that is told."""
    match = _DAY_AND_HOUR.fullmatch(text)
    day = read_date(match[1] if match else text)
    if len(day) != 10:
        raise UnreadableAnswerError("form.not-a-date", "Le jour, le mois et l’année sont attendus.")
    if match is None:
        return Reading(day)
    hour = _HOUR.fullmatch(match[2].strip())
    if hour is None:
        raise UnreadableAnswerError("form.not-a-date", "L’heure s’écrit HH:MM, avec ou sans fuseau.")
    try:
        clock = f"{day}T{hour[1].zfill(2)}:{hour[2]}:{hour[3] or '00'}"
        if hour[4]:
            return Reading(datetime.fromisoformat(clock + hour[4]).isoformat())
        return Reading(datetime.fromisoformat(clock).replace(tzinfo=zone).isoformat(), "form.zone-assumed")
    except ValueError:
        raise UnreadableAnswerError("form.not-a-date", "Cette heure n’existe pas.") from None


def years_between(birth: str, on: str) -> int:
    """Whole years from a birth date to a day. A partial date counts as its last possible day: youth is never missed."""
    year, month, day = [*(int(part) for part in birth.split("-")), 99, 99][:3]
    then = date.fromisoformat(on[:10])
    return then.year - year - ((then.month, then.day) < (month, day))
