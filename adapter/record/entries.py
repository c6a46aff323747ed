"""A transaction Bundle's entries, each with the very bytes that its resource had: a document's hash is of bytes, not of data.

Law: FHIR R4 `bundle.html` (transaction), MHD 4.2.3 ITI-65 (a FHIR document Bundle may itself be the document). JSON keeps no
promise about how data are written again, so what is a document is cut out of the request as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter.errors import InputError
from adapter.fhir import profiles as p
from adapter.formats.fhir import FhirLimits, read_resource
from adapter.model.confidential import Confidential
from adapter.record.refusals import refused

Resource = dict[str, Any]

MOST_ENTRIES = 200
_DECODER = json.JSONDecoder()
_BLANKS = " \t\r\n"


@dataclass(frozen=True, repr=False)
class Entry(Confidential):
    """One entry: what is asked for it, its resource, and that resource's bytes."""

    rank: int
    full_url: str
    method: str
    url: str
    condition: str
    if_match: str
    resource: Resource
    raw: bytes

    @property
    def kind(self) -> str:
        """The resource's type."""
        return str(self.resource["resourceType"])

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"Bundle.entry[{self.rank}]"


def read_transaction(body: bytes, limits: FhirLimits) -> tuple[Resource, list[Entry]]:
    """The Bundle without its entries, and the entries. InputError or RecordRefusal when it is no transaction."""
    bundle = read_resource(body, p.EXT_ORIGINAL_LITERAL, limits)
    held = bundle.pop("entry", None)
    if bundle["resourceType"] != "Bundle" or bundle.get("type") != "transaction":
        raise refused("record.structure", "Bundle.type")
    if not isinstance(held, list) or not 0 < len(held) <= MOST_ENTRIES:
        raise refused("record.structure", "Bundle.entry")
    text = body.decode("utf-8-sig")
    spans = list(resource_spans(text))
    if len(spans) != len(held):
        raise refused("record.structure", "Bundle.entry")
    return bundle, [_entry(rank, one, text[start:end]) for rank, (one, (start, end)) in enumerate(zip(held, spans, strict=True))]


def _entry(rank: int, entry: Any, text: str) -> Entry:
    place = f"Bundle.entry[{rank}]"
    request = entry.get("request") if isinstance(entry, dict) else None
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise refused("record.structure", place)
    full_url = _text(entry, "fullUrl")
    method, url = _text(request, "method"), _text(request, "url")
    if not method or not url:
        raise refused("record.structure", f"{place}.request")
    condition, if_match = _text(request, "ifNoneExist"), _text(request, "ifMatch")
    return Entry(rank, full_url, method, url, condition, if_match, resource, text.encode())


def _text(node: Mapping[str, Any], key: str) -> str:
    value = node.get(key, "")
    return value if isinstance(value, str) else ""


# ── where the resources stand in the text ──────────────────────────────────────────────────────────────────────────


def resource_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each entry's resource in the text of a Bundle that was found to be right JSON; in order.

    An entry without resource gives an empty span.
    """
    for name, start, _ in _members(text, _skip(text, 0)):
        if name == "entry":
            for place in _items(text, start):
                spans = [(start, end) for key, start, end in _members(text, place) if key == "resource"]
                yield spans[0] if spans else (place, place)


def _members(text: str, place: int) -> Iterator[tuple[str, int, int]]:
    """The members of the object that begins here: name, start and end of the value."""
    if text[place : place + 1] != "{":
        return
    place = _skip(text, place + 1)
    while text[place] != "}":
        name, place = _DECODER.raw_decode(text, place)
        place = _skip(text, _skip(text, place) + 1)
        _, end = _DECODER.raw_decode(text, place)
        yield name, place, end
        place = _skip(text, end)
        place = _skip(text, place + 1) if text[place] == "," else place


def _items(text: str, place: int) -> Iterator[int]:
    """Where each item of the list that begins here starts."""
    if text[place : place + 1] != "[":
        return
    place = _skip(text, place + 1)
    while text[place] != "]":
        yield place
        _, end = _DECODER.raw_decode(text, place)
        place = _skip(text, end)
        place = _skip(text, place + 1) if text[place] == "," else place


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BLANKS:
        place += 1
    return place


def parse_condition(condition: str) -> str:
    """A condition as one line that means the same however it was written: its parameters in order."""
    if len(condition) > 2000:
        raise InputError("search.too-long", "La condition est trop longue.", where="ifNoneExist")
    return "&".join(sorted(part for part in condition.lstrip("?").split("&") if part))
