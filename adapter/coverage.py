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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, Protocol

from lxml import etree

from adapter.formats.cda import read_cda
from adapter.formats.hl7v2 import read_message
from adapter.model.effects import Translation, UnreadNode
from adapter.model.receipt import ContentKind

_V3 = "{urn:hl7-org:v3}"
_CONTENT = ("extension", "code", "displayName", "value")
_STRUCTURE = frozenset({f"{_V3}templateId", f"{_V3}typeId", f"{_V3}realmCode"})
_SHORTEST = 3
_FILE_LENGTH = 1000
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_DATE = re.compile(r"\d{8,14}(?:\.\d+)?(?:[+-]\d{1,4})?")
_TAG = re.compile(r"<[^>]+>")
# The segments of a message: around a document, or all that there is.
_ENVELOPE, _MESSAGE = "envelope", "message"
_GROUPS = ("header", "narrative", "entries", _ENVELOPE, _MESSAGE, "answers")
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
    """One document: its parts by name (`header`, `narrative: Titre`, `entries: Titre`, `envelope: PID`), and its embedded files.

    `read`, `ignored` and `unread` are the account that the translation itself gives, the values of an envelope among them.
    """

    parts: dict[str, Share] = field(default_factory=dict)
    files: Share = field(default_factory=Share)
    read: int = 0
    ignored: int = 0
    unread: int = 0

    def of(self, name: str) -> Share:
        """All parts whose name begins so."""
        chosen = [share for part, share in self.parts.items() if part == name or part.startswith(f"{name}: ")]
        return Share(sum(share.found for share in chosen), sum(share.total for share in chosen))

    @property
    def whole(self) -> Share:
        """All parts together, but for an envelope's: it says how to send, and only part of that is of the document."""
        shares = [share for part, share in self.parts.items() if not part.startswith(_ENVELOPE)]
        return Share(sum(share.found for share in shares), sum(share.total for share in shares))


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
    """What of a source reached what was made of it. Raises InputError as the reader of its format does.

    An envelope says how to send a document: its values may also stand in the submission, which is what sends.
    """
    bundles: list[Mapping[str, object]] = [translation.bundle for translation in translations]
    documents = [translation for translation in translations if isinstance(translation, Translation)]
    haystack = _Haystack(bundles)
    sending = _Haystack([*bundles, *({"told": _plain(document.submission)} for document in documents)])
    found = Coverage(
        read=sum(document.read_count for document in documents),
        ignored=sum(pattern.count for document in documents for pattern in document.ignored),
        unread=sum(len(translation.unread) for translation in translations),
    )
    seen: set[tuple[str, str]] = set()
    for part, value in _leaves(content, kind, documents):
        packed = " ".join(value.split())
        if len(packed) > _FILE_LENGTH and _BASE64.fullmatch(packed):
            found.files.total += 1
            found.files.found += haystack.holds_file(packed)
        elif len(packed) >= _SHORTEST and (part, packed) not in seen:
            seen.add((part, packed))
            share = found.parts.setdefault(part, Share())
            share.total += 1
            share.found += (sending if part.startswith(_ENVELOPE) else haystack).holds(packed)
    return found


def _plain(value: object) -> object:
    """A value of the domain as JSON data."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


# -- values of a source -----------------------------------------------------------------------------------------------------


def _leaves(content: bytes, kind: ContentKind, documents: Sequence[Translation]) -> Iterator[tuple[str, str]]:
    match kind:
        case ContentKind.CDA:
            yield from _cda_leaves(read_cda(content).root, "header")
        case ContentKind.HL7V2:
            yield from _hl7_leaves(content, _ENVELOPE if documents else _MESSAGE)
            for document in documents:
                if document.submission.content_kind == "cda":
                    yield from _cda_leaves(read_cda(document.source_document).root, "header")
        case ContentKind.PDF:
            yield "files", base64.b64encode(content).decode("ascii")
        case ContentKind.FHIR:
            yield from _fhir_leaves(content)
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


def _hl7_leaves(content: bytes, part: str) -> Iterator[tuple[str, str]]:
    for segment in read_message(content).segments():
        for leaf, _ in segment.leaf_spans():
            if segment.name != "MSH" or leaf[0] > 2:
                number, repetition, component, subcomponent = leaf
                value = segment.value(number, component, repetition=repetition, subcomponent=subcomponent)
                yield f"{part}: {segment.name}", value


def _json_leaves(content: bytes) -> Iterator[tuple[str, str]]:
    try:
        data = json.loads(content)
    except ValueError:
        return
    for value in _strings(data):
        yield "answers", value


def _fhir_leaves(content: bytes) -> Iterator[tuple[str, str]]:
    """A partner's document by the kind of its resources; its Composition is the header, its narratives are told apart."""
    for entry in json.loads(content.decode("utf-8-sig")).get("entry", ()):
        resource = entry.get("resource", {})
        kind = str(resource.get("resourceType", ""))
        for key, value in resource.items():
            inside = "header" if kind == "Composition" else f"entries: {kind}"
            for text in _strings(value):
                yield (f"narrative: {kind}" if text.startswith("<div") or key == "text" else inside), text


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
    total.read += found.read
    total.ignored += found.ignored
    total.unread += found.unread


def as_data(name: str, found: Coverage) -> dict[str, object]:
    """For programs."""
    return {
        "file": name,
        "percent": round(found.whole.percent, 2),
        "groups": {name: {"found": share.found, "total": share.total} for name, share in groups_of(found).items()},
        "parts": {part: {"found": share.found, "total": share.total} for part, share in found.parts.items()},
        "files": {"found": found.files.found, "total": found.files.total},
        "read": found.read,
        "ignored": found.ignored,
        "unread": found.unread,
    }


def groups_of(found: Coverage) -> dict[str, Share]:
    """The shares of header, narrative, entries, envelope, answers: those that there are."""
    return {group: found.of(group) for group in _GROUPS if found.of(group).total}


def worst_first(covered: Iterable[tuple[str, Coverage]]) -> list[tuple[str, Coverage]]:
    """Those that lose most first: by the share of values found, a lost file before all."""
    return sorted(covered, key=lambda one: (one[1].files.percent == 100, one[1].whole.percent, one[0]))


def as_lines(name: str, found: Coverage, *, detailed: bool) -> Iterator[str]:
    """For people: a table of its groups and embedded files, each with the parts that lost something when `detailed`."""
    yield f"{name}: {found.whole.percent:.1f} %, {found.read} read, {found.ignored} left aside, {found.unread} unread"
    for group, share in groups_of(found).items():
        yield _row(group, share)
        for part, lost in found.parts.items():
            if detailed and part.startswith(f"{group}: ") and lost.found < lost.total:
                yield _row(f"  {part.partition(': ')[2]}", lost)
    if found.files.total:
        yield _row("files", found.files)


def _row(name: str, share: Share) -> str:
    return f"  {name[:48]:48} {share.percent:6.1f} % {share.found:>7} / {share.total}"
