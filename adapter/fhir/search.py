"""Reads a FHIR search: tokens, dates with prefixes, references, pages. Pure; what would widen a result is refused, never ignored.

Law: FHIR R4 `search.html` (§3.1.1): values of one parameter separated by commas are alternatives, repeated parameters must all
hold, `\\,` `\\|` `\\$` are literal signs. Where the norm lets a server ignore what it does not know, ours refuses: a record that
answers with more patients than were asked for is a leak. Only what cannot widen the set (`_pretty`, `_elements`…) is ignored,
named in the answer, and refused too under `Prefer: handling=strict`. Page tokens are sealed: opaque, unforgeable, for one caller.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from typing import Any

from adapter.errors import InputError, TduError
from adapter.model.confidential import Confidential

# What changes the look of a result, never which resources are in it. `_totalMethod` is Aidbox's: fhirpy sends it to any server.
HARMLESS = frozenset(
    {"_format", "_pretty", "_elements", "_total", "_totalMethod", "_summary", "_contained", "_containedType", "_graph"}
)
_ALWAYS_HEARD = frozenset({"_format", "_pretty"})
MOST_PARAMETERS = 40
MOST_VALUES = 50
LONGEST_VALUE = 1000
_FIRST_YEAR, _LAST_YEAR = 1800, 2200
_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(?P<part>\.\d{1,9})?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_REFERENCE = re.compile(
    r"(?:(?:(?P<base>https?://[^?#\s]+)/)?(?P<kind>[A-Z][A-Za-z]{2,40})/)?(?P<id>[A-Za-z0-9][A-Za-z0-9.-]{0,63})", re.ASCII
)


class Kind(StrEnum):
    """How a parameter's values are read."""

    TOKEN = "token"  # noqa: S105 - a code, not a secret
    DATE = "date"
    STRING = "string"
    REFERENCE = "reference"


class Prefix(StrEnum):
    """How a date is compared (R4 §3.1.1.4.3)."""

    EQUAL = "eq"
    NOT_EQUAL = "ne"
    AFTER = "gt"
    BEFORE = "lt"
    FROM = "ge"
    UNTIL = "le"
    STARTS_AFTER = "sa"
    ENDS_BEFORE = "eb"
    ABOUT = "ap"


@dataclass(frozen=True)
class Parameter:
    """One search parameter that a server knows; `modifiers` are those that it honours."""

    name: str
    kind: Kind
    modifiers: frozenset[str] = frozenset()


@dataclass(frozen=True, repr=False)
class Token(Confidential):
    """`system|code`. `system` None: any; empty: none at all. `code` empty: any code of the system."""

    system: str | None
    code: str


@dataclass(frozen=True)
class Span:
    """A stretch of time, `start` within, `end` without; both in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class DateValue:
    """A date searched for: its prefix, and the stretch that its precision stands for."""

    prefix: Prefix
    span: Span


@dataclass(frozen=True, repr=False)
class Reference(Confidential):
    """A reference searched for: `kind` is empty when only an id is given, `base` when it is relative."""

    base: str
    kind: str
    id: str


Value = Token | DateValue | Reference | str


@dataclass(frozen=True, repr=False)
class Criterion(Confidential):
    """One parameter of a search: any of `values` must hold."""

    name: str
    kind: Kind
    modifier: str
    values: tuple[Value, ...]


@dataclass(frozen=True, repr=False)
class Query(Confidential):
    """A search that was understood whole: all of `criteria` must hold. `count` 0: only the number is wanted.

    `sort` is a key, with `-` before it when descending; `page` the token of a later page; `ignored` what changes nothing.
    """

    criteria: tuple[Criterion, ...]
    count: int
    sort: str = ""
    page: str = ""
    ignored: tuple[str, ...] = ()

    def named(self, name: str) -> tuple[Criterion, ...]:
        """The criteria of one parameter."""
        return tuple(criterion for criterion in self.criteria if criterion.name == name)


@dataclass(frozen=True)
class SearchRules:
    """What a search may ask for; `zone` is that of dates without one."""

    parameters: Mapping[str, Parameter]
    sorts: Collection[str] = ()
    page_name: str = "_page"
    default_count: int = 50
    most_count: int = 200
    zone: tzinfo = UTC


def parameters(*known: Parameter) -> dict[str, Parameter]:
    """A table of parameters by name."""
    return {one.name: one for one in known}


def read_query(pairs: Iterable[tuple[str, str]], rules: SearchRules, *, strict: bool = False) -> Query:
    """The search that an address or a form says. InputError `search.*`, whose `where` names the parameter, never its value."""
    given = list(pairs)
    if len(given) > MOST_PARAMETERS:
        raise InputError("search.too-many", f"Plus de {MOST_PARAMETERS} paramètres.", remedy="Réduire la recherche.")
    criteria: list[Criterion] = []
    ignored: list[str] = []
    once: dict[str, str] = {}
    for written, value in given:
        name, _, modifier = written.partition(":")
        if len(value) > LONGEST_VALUE:
            raise InputError("search.too-long", f"Une valeur dépasse {LONGEST_VALUE} caractères.", where=_shown(name, rules))
        if written in (rules.page_name, "_count", "_sort") or (written, value) == ("_summary", "count"):
            _keep_once(once, written, value)
        elif name in rules.parameters:
            criteria.append(_criterion(rules.parameters[name], modifier, value, rules))
        elif name in HARMLESS and not modifier and (not strict or name in _ALWAYS_HEARD):
            ignored += [name] if name not in _ALWAYS_HEARD else []
        else:
            raise InputError(
                "search.unknown-parameter",
                "Paramètre de recherche inconnu ou non pris en charge : l’ignorer élargirait le résultat.",
                where=_shown(name, rules),
                remedy=f"Paramètres reconnus : {', '.join(sorted(rules.parameters))}.",
            )
    count = 0 if "_summary" in once else _count(once.get("_count"), rules)
    return Query(tuple(criteria), count, _sort(once.get("_sort", ""), rules), once.get(rules.page_name, ""), tuple(ignored))


def _shown(name: str, rules: SearchRules) -> str:
    """A name that may be shown: an unknown one is the caller's text, and may hold anything."""
    return name if name in rules.parameters or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}", name, re.ASCII) else "paramètre"


def _keep_once(once: dict[str, str], name: str, value: str) -> None:
    if name in once:
        raise InputError("search.repeated", "Ce paramètre ne peut figurer qu’une fois.", where=name)
    once[name] = value


def _count(written: str | None, rules: SearchRules) -> int:
    if written is None:
        return rules.default_count
    if not (written.isascii() and written.isdigit() and len(written) <= 9):
        raise InputError("search.bad-count", "Le nombre de résultats par page n’est pas un entier positif.", where="_count")
    return min(int(written), rules.most_count)


def _sort(written: str, rules: SearchRules) -> str:
    if written and written.removeprefix("-") not in rules.sorts:
        remedy = f"Tris possibles : {', '.join(rules.sorts)}." if rules.sorts else "Retirer _sort."
        raise InputError("search.bad-sort", "Ce tri n’est pas pris en charge.", where="_sort", remedy=remedy)
    return written


def _criterion(known: Parameter, modifier: str, value: str, rules: SearchRules) -> Criterion:
    if modifier and modifier not in known.modifiers:
        raise InputError("search.bad-modifier", "Ce modificateur n’est pas pris en charge.", where=known.name)
    written = split_escaped(value, ",")
    if len(written) > MOST_VALUES:
        raise InputError("search.too-many", f"Plus de {MOST_VALUES} valeurs.", where=known.name)
    if not all(part.strip() for part in written):
        raise InputError(
            "search.empty-value", "Une valeur est vide : l’ignorer élargirait le résultat.", where=known.name,
            remedy="Donner une valeur ou retirer le paramètre.",
        )  # fmt: skip
    kind = Kind.TOKEN if modifier == "identifier" else known.kind
    match kind:
        case Kind.TOKEN:
            values: tuple[Value, ...] = tuple(read_token(part, known.name) for part in written)
        case Kind.DATE:
            values = tuple(read_date(part, rules.zone, known.name) for part in written)
        case Kind.REFERENCE:
            values = tuple(read_reference(part, known.name) for part in written)
        case Kind.STRING:
            values = tuple(unescaped(part) for part in written)
    return Criterion(known.name, kind, modifier, values)


# ── values ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def split_escaped(text: str, sign: str) -> list[str]:
    """Parts of a text between signs that no backslash escapes; the escapes stay."""
    parts = [""]
    escaped = False
    for letter in text:
        if letter == sign and not escaped:
            parts.append("")
            continue
        parts[-1] += letter
        escaped = letter == "\\" and not escaped
    return parts


def unescaped(text: str) -> str:
    """A value as it was meant."""
    return re.sub(r"\\([,|$\\])", r"\1", text)


def escaped(text: str) -> str:
    """The contrary of `unescaped`: a value that stands in a search as it is."""
    return re.sub(r"([,|$\\])", r"\\\1", text)


def read_token(text: str, where: str = "") -> Token:
    """`code`, `system|code`, `|code` or `system|`."""
    parts = split_escaped(text, "|")
    if len(parts) > 2 or not any(parts):
        raise InputError("search.bad-token", "La valeur n’a pas la forme système|code.", where=where)
    if len(parts) == 1:
        return Token(None, unescaped(parts[0]))
    return Token(unescaped(parts[0]), unescaped(parts[1]))


def read_reference(text: str, where: str = "") -> Reference:
    """`Type/id`, `id` or an absolute address that ends so."""
    found = _REFERENCE.fullmatch(unescaped(text))
    if found is None:
        raise InputError("search.bad-reference", "La valeur n’est pas une référence.", where=where)
    return Reference(found["base"] or "", found["kind"] or "", found["id"])


def read_date(text: str, zone: tzinfo = UTC, where: str = "") -> DateValue:
    """A date with or without prefix; InputError for one that no calendar holds."""
    head, tail = (text[:2], text[2:]) if text[:1].isalpha() else ("eq", text)
    span = span_of(tail, zone) if head in list(Prefix) else None
    if span is None:
        raise InputError("search.bad-date", "La valeur n’est pas une date réelle.", where=where, remedy="Écrire AAAA-MM-JJ.")
    return DateValue(Prefix(head), span)


def span_of(text: str, zone: tzinfo = UTC) -> Span | None:
    """The stretch that a FHIR date, dateTime or instant stands for, at its precision; None when it is none.

    A plus sign that an address turned into a space is a plus sign. Years before 1800 or after 2200 are mistakes.
    """
    found = _DATE.fullmatch(text.replace(" ", "+"))
    if found is None or not _FIRST_YEAR <= int(found["year"]) <= _LAST_YEAR:
        return None
    try:
        start = _start(found, zone)
        end = _end(found, start)
        return Span(start.astimezone(UTC), end.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _start(found: re.Match[str], zone: tzinfo) -> datetime:
    year, month, day, hour, minute, second = (
        int(found[name] or least)
        for name, least in (("year", 1), ("month", 1), ("day", 1), ("hour", 0), ("minute", 0), ("second", 0))
    )
    second = 59 if second == 60 else second  # a leap second
    micro = int((found["part"] or ".0")[1:7].ljust(6, "0"))
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=_zone(found["zone"], zone))


def _zone(written: str | None, default: tzinfo) -> tzinfo:
    """The zone of `Z` or `+02:00`; ValueError for one that does not exist."""
    if not written:
        return default
    hours, minutes = (0, 0) if written == "Z" else (int(written[1:3]), int(written[4:6]))
    if hours > 14 or minutes > 59:
        raise ValueError("no such zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if written.startswith("-") else offset)


def _end(found: re.Match[str], start: datetime) -> datetime:
    """Civil arithmetic: a day of 25 hours ends at its own midnight."""
    if found["part"]:
        return start + timedelta(microseconds=10 ** max(0, 6 - len(found["part"]) + 1))
    if found["second"]:
        return start + timedelta(seconds=1)
    if found["minute"]:
        return start + timedelta(minutes=1)
    if found["day"]:
        return start + timedelta(days=1)
    if found["month"]:
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start.replace(year=start.year + 1)


def date_holds(value: DateValue, target: Span) -> bool:
    """Whether a resource's stretch of time matches a date searched for."""
    sought = value.span
    within = sought.start <= target.start and target.end <= sought.end
    match value.prefix:
        case Prefix.EQUAL:
            return within
        case Prefix.NOT_EQUAL:
            return not within
        case Prefix.AFTER:
            return target.end > sought.end
        case Prefix.BEFORE:
            return target.start < sought.start
        case Prefix.FROM:
            return within or target.end > sought.end
        case Prefix.UNTIL:
            return within or target.start < sought.start
        case Prefix.STARTS_AFTER:
            return target.start >= sought.end
        case Prefix.ENDS_BEFORE:
            return target.end <= sought.start
        case Prefix.ABOUT:
            return target.start < sought.end and sought.start < target.end


def token_holds(value: Token, system: str, code: str) -> bool:
    """Whether a coding or identifier matches a token."""
    if value.system is not None and value.system != system:
        return False
    return not value.code or value.code == code


# ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class PageTokens:
    """Tokens of later pages: sealed by the key of the ledger, so that none is forged, read or used by another caller."""

    def __init__(self, seal: Callable[[str, bytes], bytes], unseal: Callable[[str, bytes], bytes]) -> None:
        """`seal(scope, content)` authenticates both; `unseal` raises a TduError when either is not what was sealed."""
        self._seal = seal
        self._unseal = unseal

    def issue(self, scope: str, content: Mapping[str, Any]) -> str:
        """A token for this scope (server and caller); `content` is JSON."""
        sealed = self._seal(scope, json.dumps(content, separators=(",", ":")).encode())
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def read(self, scope: str, token: str) -> dict[str, Any]:
        """What was sealed; InputError `search.page-forged` for any other token."""
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            content: dict[str, Any] = json.loads(self._unseal(scope, sealed))
        except (TduError, ValueError, binascii.Error):
            raise InputError(
                "search.page-forged",
                "Cette page n’existe pas : le jeton n’a pas été émis par ce serveur pour cet appelant.",
                where="page",
                remedy="Recommencer la recherche depuis la première page.",
            ) from None
        return content
