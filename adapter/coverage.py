"""How much of a source reached its FHIR: each value of the source looked for in the document made of it, part by part. Pure.

A check from outside: it knows neither the mapping nor what the mapping marked as read. A value is an attribute that bears
content, or words, three characters or longer, each counted once a part. A date counts when its day is there, a number when its
figure is, a file when a Binary holds the very same bytes. A code that was translated counts as lost unless the source's code is
kept beside. What was moved to a wrong place counts as found: the cases and the round trips judge that.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lxml import etree

from adapter.formats.cda import read_cda
from adapter.formats.hl7v2 import read_message
from adapter.model.effects import UnreadNode
from adapter.model.receipt import ContentKind

_V3 = "{urn:hl7-org:v3}"
_CONTENT = ("extension", "code", "displayName", "value")
_STRUCTURE = frozenset({f"{_V3}templateId", f"{_V3}typeId", f"{_V3}realmCode"})
_SHORTEST = 3
_FILE_LENGTH = 1000
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_DATE = re.compile(r"\d{8,14}(?:\.\d+)?(?:[+-]\d{1,4})?")
_TAG = re.compile(r"<[^>]+>")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"), ("&#13;", " "))


@dataclass
class Share:
    """Found of all."""

    found: int = 0
    total: int = 0

    @property
    def percent(self) -> float:
        """100 where there is nothing to find."""
        return 100.0 if not self.total else 100 * self.found / self.total


@dataclass
class Coverage:
    """One document: its parts by name (`header`, `narrative: Titre`, `entries: Titre`, `PID`), and its embedded files."""

    parts: dict[str, Share] = field(default_factory=dict)
    files: Share = field(default_factory=Share)
    unread: int = 0

    def of(self, name: str) -> Share:
        """All parts whose name begins so."""
        chosen = [share for part, share in self.parts.items() if part == name or part.startswith(f"{name}: ")]
        return Share(sum(share.found for share in chosen), sum(share.total for share in chosen))

    @property
    def whole(self) -> Share:
        """All parts together."""
        return Share(sum(s.found for s in self.parts.values()), sum(s.total for s in self.parts.values()))


class Translated(Protocol):
    """What became of a source, whatever it was."""

    @property
    def bundle(self) -> dict[str, object]:
        """The FHIR made of it."""
        ...

    @property
    def unread(self) -> tuple[UnreadNode, ...]:
        """What was left."""
        ...


def coverage_of(content: bytes, kind: ContentKind, translations: Sequence[Translated]) -> Coverage:
    """What of a source reached the documents made of it. Raises InputError as the reader of its format does."""
    haystack = _Haystack([translation.bundle for translation in translations])
    found = Coverage(unread=sum(len(translation.unread) for translation in translations))
    seen: set[tuple[str, str]] = set()
    for part, value in _leaves(content, kind):
        packed = " ".join(value.split())
        if len(packed) > _FILE_LENGTH and _BASE64.fullmatch(packed):
            found.files.total += 1
            found.files.found += haystack.holds_file(packed)
        elif len(packed) >= _SHORTEST and (part, packed) not in seen:
            seen.add((part, packed))
            share = found.parts.setdefault(part, Share())
            share.total += 1
            share.found += haystack.holds(packed)
    return found


# -- values of a source -----------------------------------------------------------------------------------------------------


def _leaves(content: bytes, kind: ContentKind) -> Iterator[tuple[str, str]]:
    match kind:
        case ContentKind.CDA:
            yield from _cda_leaves(read_cda(content).root, "header")
        case ContentKind.HL7V2:
            yield from _hl7_leaves(content)
        case _:
            yield from _json_leaves(content)


def _cda_leaves(element: etree._Element, part: str) -> Iterator[tuple[str, str]]:
    """Every value below an element, with the part that it belongs to; the header until a section says otherwise."""
    for child in element.iterchildren(etree.Element):
        if child.tag not in _STRUCTURE:
            inside = _part_of(child, part)
            yield from _own_leaves(child, inside)
            yield from _cda_leaves(child, inside)
        if child.tail:
            yield part, child.tail


def _part_of(element: etree._Element, part: str) -> str:
    parent = element.getparent()
    if parent is None or parent.tag != f"{_V3}section":
        return part
    if element.tag == f"{_V3}text":
        return f"narrative: {_title(parent)}"
    return f"entries: {_title(parent)}" if element.tag == f"{_V3}entry" else part


def _title(section: etree._Element) -> str:
    code = section.find(f"{_V3}code")
    title = " ".join((section.findtext(f"{_V3}title") or "").split())
    return title or (code.get("code", "") if code is not None else "") or "sans titre"


def _own_leaves(element: etree._Element, part: str) -> Iterator[tuple[str, str]]:
    if not part.startswith("narrative"):
        for name in _CONTENT:
            value = element.get(name)
            if value and not value.startswith("#"):
                yield part, value
        if element.tag == f"{_V3}id" and not element.get("extension"):
            yield part, element.get("root", "")
    if element.text:
        yield part, element.text


def _hl7_leaves(content: bytes) -> Iterator[tuple[str, str]]:
    for segment in read_message(content).segments():
        for leaf, _ in segment.leaf_spans():
            if segment.name != "MSH" or leaf[0] > 2:
                number, repetition, component, subcomponent = leaf
                yield segment.name, segment.value(number, component, repetition=repetition, subcomponent=subcomponent)


def _json_leaves(content: bytes) -> Iterator[tuple[str, str]]:
    try:
        data = json.loads(content)
    except ValueError:
        return
    for value in _strings(data):
        yield "answers", value


def _strings(data: Any) -> Iterator[str]:
    """Every value below, as text; truths are no values to be looked for."""
    if isinstance(data, dict):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _strings(value)
    elif data is not None and not isinstance(data, bool):
        yield str(data)


# -- what reached FHIR -------------------------------------------------------------------------------------------------------


class _Haystack:
    """All the words of the documents made, and their files."""

    def __init__(self, bundles: list[Mapping[str, object]]) -> None:
        words, self._files = [], set()
        for bundle in bundles:
            for text in _strings(bundle):
                if len(text) > _FILE_LENGTH and _BASE64.fullmatch(text):
                    self._files.add(_decoded(text))
                else:
                    words.append(text)
        self._digits = re.sub(r"[-:T]", "", "\n".join(word for word in words if len(word) < 40))
        joined = " ".join("\n".join(words).casefold().split())
        plain = joined
        for entity, character in _ENTITIES:
            plain = plain.replace(entity, character)
        self._text = joined
        self._plain = " ".join(_TAG.sub(" ", plain).split())

    def holds(self, value: str) -> bool:
        """True when a value stands somewhere, in a narrative or not."""
        folded = value.casefold()
        if folded in self._text or folded in self._plain:
            return True
        return _DATE.fullmatch(value) is not None and value[:8] in self._digits

    def holds_file(self, text: str) -> bool:
        """True when a Binary has the same bytes."""
        return _decoded(text) in self._files


def _decoded(text: str) -> bytes:
    packed = "".join(text.split())
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        return packed.encode()


def add_up(total: Coverage, found: Coverage) -> None:
    """Add one document to a sum, by group of parts: sections of different documents have little in common."""
    for part, share in found.parts.items():
        group = total.parts.setdefault(part.partition(": ")[0], Share())
        group.found += share.found
        group.total += share.total
    total.files.found += found.files.found
    total.files.total += found.files.total
    total.unread += found.unread


def as_data(name: str, found: Coverage) -> dict[str, object]:
    """For programs."""
    return {
        "file": name,
        "parts": {part: {"found": share.found, "total": share.total} for part, share in found.parts.items()},
        "files": {"found": found.files.found, "total": found.files.total},
        "unread": found.unread,
    }


def as_lines(name: str, found: Coverage, *, detailed: bool) -> Iterator[str]:
    """For people: the whole on one line, then every part that lost something."""
    groups = [group for group in ("header", "narrative", "entries") if found.of(group).total]
    shares = [f"{group} {_words(found.of(group))}" for group in groups] or [f"values {_words(found.whole)}"]
    files = [f"files {found.files.found}/{found.files.total}"] if found.files.total else []
    yield f"{name}: {', '.join((*shares, *files))}, {found.unread} unread"
    for part, share in found.parts.items():
        if detailed and share.found < share.total:
            yield f"  {part}: {_words(share)}"


def _words(share: Share) -> str:
    return f"{share.percent:.1f} % ({share.found}/{share.total})"
