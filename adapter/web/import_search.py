"""The Import API's searches: pages of published documents, or of parts that are read alone, in the order of their last change.

A page token is sealed for one client and one search. What a search means for a type is a table: parameter → what the resource
says of it. The ledger narrows first; every criterion is then held against the resource itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from adapter.errors import InputError
from adapter.fhir import profiles as p
from adapter.fhir.search import (
    Criterion,
    DateValue,
    Query,
    Reference,
    SearchRules,
    Span,
    Token,
    Value,
    date_holds,
    read_query,
    token_holds,
)
from adapter.ledger.import_records import Sought
from adapter.ledger.lookup import normalise
from adapter.model.publication import Readers
from adapter.web.fhir_http import Found, searchset, wants_strict
from adapter.web.import_access import Ask, ImportDoor
from adapter.web.import_standing import Shown, shown_of

Resource = dict[str, Any]
# What a resource says of a parameter: (system, code) pairs of a token, stretches of time, (type, id) pairs of a reference.
Pairs = Sequence[tuple[str, str]]
Says = Callable[[Shown, Resource], Pairs | Sequence[Span]]
Place = tuple[str, str]
DEFAULT_COUNT, MOST_COUNT = 50, 200
_SCANNED, _BATCH = 1000, 50
_START: Place = ("", "")
_INS_SYSTEMS = frozenset(f"urn:oid:{oid}" for oid in p.INS_TYPE_CODES)


@dataclass(frozen=True)
class Searched:
    """How one type is searched: its rules, what its resources say, which resources a document gives, how the ledger narrows."""

    kind: str
    rules: SearchRules
    says: Mapping[str, Says]
    parts: Callable[[Shown], list[Resource]]
    narrow: Callable[[Query], Sought]


class ImportSearch:
    """Answers the searches of one type."""

    def __init__(self, door: ImportDoor, searched: Searched) -> None:
        self._door = door
        self._searched = searched

    def answer(self, ask: Ask) -> Resource:
        """A searchset."""
        query = read_query(ask.pairs, self._searched.rules, strict=wants_strict(ask.request))
        scope, digest = f"import-search/{self._searched.kind}/{ask.caller.client.name}", _digest(ask.pairs)
        first: dict[str, Any] = {"digest": digest, "after": _START, "skip": 0}
        told = self._door.tokens.read(scope, query.page) if query.page else first
        if told["digest"] != digest:
            text = "Cette page est celle d’une autre recherche."
            raise InputError("search.page-forged", text, where="_page", remedy="Suivre le lien next tel qu’il est donné.")
        after: Place = (told["after"][0], told["after"][1])
        found, onward = self._page(ask.caller.client.readers, query, after, int(told["skip"]))
        client = ask.caller.client.name
        self._door.audit(ask.caller, "import.searched", "client", client, f"{self._searched.kind} {len(found)}")
        next_url = ""
        if onward is not None and query.count:
            token = self._door.tokens.issue(scope, {"digest": digest, "after": onward[0], "skip": onward[1]})
            next_url = self._url([pair for pair in ask.pairs if pair[0] != "_page"] + [("_page", token)])
        return searchset(
            [self._entry(one) for one in found] if query.count else [],
            self_url=self._url(ask.pairs),
            next_url=next_url,
            total=len(found) if onward is None and not query.page else None,
            ignored=query.ignored,
        )

    def _page(self, readers: Readers, query: Query, after: Place, skip: int) -> tuple[list[Resource], tuple[Place, int] | None]:
        """Matches after a place, and where to go on. A page may be short: its link tells whether more may follow."""
        found: list[Resource] = []
        wanted = query.count or _SCANNED
        for scanned, (place, shown) in enumerate(self._walk(readers, query, after)):
            parts = [part for part in self._searched.parts(shown) if self._matches(shown, part, query)][skip:]
            room = wanted - len(found)
            if len(parts) > room or scanned >= _SCANNED:
                return found + parts[:room], (after, skip + room) if len(parts) > room else (place, 0)
            found += parts
            after, skip = place, 0
        return found, None

    def _walk(self, readers: Readers, query: Query, after: Place) -> Iterator[tuple[Place, Shown]]:
        sought = self._searched.narrow(query)
        while batch := self._door.ledger.find_published(readers, sought, after, _BATCH):
            shown = {one.standing.key: one for one in shown_of(self._door.ledger, readers, [key for _, key in batch])}
            yield from ((place, shown[place[1]]) for place in batch if place[1] in shown)
            after = batch[-1]

    def _matches(self, shown: Shown, part: Resource, query: Query) -> bool:
        return all(
            any(_holds(value, self._searched.says[one.name](shown, part)) for value in one.values) for one in query.criteria
        )

    def _entry(self, part: Resource) -> Found:
        return Found(self._door.url(f"{self._searched.kind}/{part['id']}"), part)

    def _url(self, pairs: list[tuple[str, str]]) -> str:
        return self._door.url(self._searched.kind) + (f"?{urlencode(pairs)}" if pairs else "")


def _digest(pairs: list[tuple[str, str]]) -> str:
    """What a page token is bound to: the search, whatever its page."""
    others = sorted((name, value) for name, value in pairs if name != "_page")
    return hashlib.sha256(repr(others).encode()).hexdigest()[:16]


def _holds(value: Value, told: Pairs | Sequence[Span]) -> bool:
    match value:
        case Token():
            return any(token_holds(value, *one) for one in told if isinstance(one, tuple))
        case DateValue():
            return any(date_holds(value, one) for one in told if isinstance(one, Span))
        case Reference():
            return any(value.id == one[1] and value.kind in ("", one[0]) for one in told if isinstance(one, tuple))
        case _:
            return False


# ── what resources say ────────────────────────────────────────────────────────────────────────────────────────


def says_patient(shown: Shown, _part: Resource) -> Pairs:
    """The patient's identifiers as the document gives them; an INS with and without its key."""
    patient = next(one for one in shown.reference["contained"] if one["resourceType"] == "Patient")
    told = [(str(one.get("system", "")), str(one["value"])) for one in patient.get("identifier", ()) if one.get("value")]
    return told + [(system, normalise("ins", value)) for system, value in told if system in _INS_SYSTEMS]


def says_changed(shown: Shown, _part: Resource) -> Sequence[Span]:
    """When it was published last."""
    return [span_of_instant(shown.standing.changed)]


def says_id(_shown: Shown, part: Resource) -> Pairs:
    """Its id."""
    return [("", str(part["id"]))]


def says_identifiers(_shown: Shown, part: Resource) -> Pairs:
    """Its identifiers, the master one first."""
    ones = [part[name] for name in ("masterIdentifier", "requisition") if name in part] + list(part.get("identifier", ()))
    return [(str(one.get("system", "")), str(one.get("value", ""))) for one in ones]


def says_codings(name: str) -> Says:
    """The codings of a CodeableConcept, or of several."""

    def says(_shown: Shown, part: Resource) -> Pairs:
        concepts = part.get(name, [])
        codings = [coding for one in (concepts if isinstance(concepts, list) else [concepts]) for coding in one.get("coding", ())]
        return [(str(one.get("system", "")), str(one.get("code", ""))) for one in codings]

    return says


def says_code(name: str, system: str) -> Says:
    """A plain code, of a system that the element fixes."""
    return lambda _shown, part: [(system, str(part.get(name, "")))]


def span_of_instant(moment: datetime) -> Span:
    """An instant to the millisecond, as `meta.lastUpdated` writes it."""
    start = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return Span(start, start + timedelta(milliseconds=1))


# ── what the ledger narrows by: never narrower than the search ────────────────────────────────────────────────


def codes_of(criteria: tuple[Criterion, ...]) -> tuple[str, ...]:
    """The codes of a first criterion, when each of its values says one."""
    codes = [value.code for value in criteria[0].values if isinstance(value, Token)] if criteria else []
    return tuple(codes) if all(codes) else ()


def patients_of(query: Query) -> tuple[tuple[str, str], ...]:
    """What `lookup` knows of the patient searched for."""
    codes = codes_of(query.named("patient")) or codes_of(query.named("patient.identifier"))
    return tuple((kind, code) for code in codes for kind in ("ins", "ipp"))


def window_of(criteria: tuple[Criterion, ...]) -> tuple[datetime | None, datetime | None]:
    """The widest stretch that dates of one value each leave open."""
    since: datetime | None = None
    until: datetime | None = None
    for value in (one.values[0] for one in criteria if len(one.values) == 1):
        if not isinstance(value, DateValue):
            continue
        if value.prefix in ("gt", "ge", "sa", "eq"):
            since = max(since, value.span.start) if since else value.span.start
        if value.prefix in ("lt", "le", "eb", "eq"):
            until = min(until, value.span.end) if until else value.span.end
    return since, until
