"""A source as the engine sees it: nodes with paths, each remembering whether its value was read.

Law: no field of a source vanishes in silence. A leaf that holds a value is read, deliberately ignored (with a reason,
in the rules), or listed by `unread()`. Format rooms know nothing of this; they give structure only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from lxml import etree

from adapter.errors import MappingError
from adapter.model.effects import UnreadNode


class Node(Protocol):
    """One place in a source."""

    @property
    def path(self) -> str:
        """Where this is, without any value in it: `PID-5.1`, `recordTarget/patientRole/id[1]/@root`."""
        ...

    def read(self) -> str:
        """The value, trimmed; reading marks it. Empty when there is none."""
        ...

    def select(self, path: str) -> Sequence[Node]:
        """The nodes at a path relative to this one, in source order."""
        ...


class Source(Protocol):
    """A whole source whose reading is tracked."""

    @property
    def root(self) -> Node:
        """The node that paths start from."""
        ...

    def unread(self) -> tuple[UnreadNode, ...]:
        """Leaves that hold a value which nothing read nor ignored."""
        ...

    def ignore(self, path: str) -> None:
        """Mark everything at and below a path as deliberately ignored."""
        ...


@dataclass(frozen=True)
class _Step:
    """One step of an XML path: `name`, `name[@attribute=value]`, `name[child/@code=value]`, `@attribute`, `text()`."""

    name: str
    test_path: str = ""
    test_value: str = ""


_STEP = re.compile(r"(?P<name>@?[\w.:*-]+(?:\(\))?|\.|\*\*)(?:\[(?P<test>[^=\]]+)=(?P<value>[^\]]*)\])?$")


@lru_cache(maxsize=4096)
def _steps(path: str) -> tuple[_Step, ...]:
    steps = []
    for raw in re.split(r"/(?![^\[]*\])", path):
        match = _STEP.match(raw)
        if match is None:
            raise MappingError("mapping.bad-path", f"cannot read path step {raw!r}", where=path)
        steps.append(_Step(match["name"], match["test"] or "", match["value"] or ""))
    return tuple(steps)


_V3 = "urn:hl7-org:v3"
_PREFIXES = {
    _V3: "",
    "urn:hl7-org:sdtc": "sdtc:",
    "urn:dicom-org:ps3-20": "ps3-20:",
    "urn:oid:1.3.6.1.4.1.19376.1.3.2": "lab:",
    "urn:ihe:pharm": "pharm:",
    "http://www.w3.org/2001/XMLSchema-instance": "xsi:",
}
_NAMESPACES = {prefix: namespace for namespace, prefix in _PREFIXES.items()}


@lru_cache(maxsize=4096)
def _plain_name(tag: str) -> str:
    """`{urn:hl7-org:v3}id` → `id`; known extension namespaces get their usual prefix, whatever the file's own."""
    if not tag.startswith("{"):
        return tag
    namespace, name = tag[1:].split("}", 1)
    return _PREFIXES.get(namespace, f"{{{namespace}}}") + name


@lru_cache(maxsize=4096)
def _full_tag(name: str) -> str:
    """The way back, for elements: `id` → `{urn:hl7-org:v3}id`."""
    prefix, colon, local = name.rpartition(":")
    return f"{{{_NAMESPACES.get(prefix + colon, _V3)}}}{local}"


@lru_cache(maxsize=256)
def _full_attribute(name: str) -> str:
    """An attribute has a namespace only when it has a prefix."""
    return _full_tag(name) if ":" in name else name


class XmlSource:
    """An lxml tree whose attributes and texts are tracked. CDA's default namespace is taken for granted.

    The hot path only adds to a set; what was not read is found by one walk at the end.
    """

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._keep = list(root.iter(etree.Element))  # lxml proxies must live on for `id` to stay unique
        self._read: set[tuple[int, str]] = set()
        self._whole: set[int] = set()
        self._ignored_attributes: dict[str, str] = {}
        self._ignored_paths: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._ignored_whole: dict[int, str] = {}

    @property
    def root(self) -> XmlNode:
        """The document element."""
        return XmlNode(self, self._root)

    def mark(self, element: etree._Element, attribute: str) -> None:
        """Remember that an attribute (or the text, as '') was read."""
        self._read.add((id(element), attribute))

    def mark_all(self, element: etree._Element) -> None:
        """Remember an element and all below it as read or ignored."""
        self._whole.add(id(element))

    def ignore(self, path: str) -> None:
        """Ignore a path from the root; `**/a/b` at any depth, `**/a/@x` or `**/@x` an attribute anywhere."""
        if not path.startswith("**/"):
            for node in self.root.select(path):
                node.consume()
                if not node.attribute:
                    self._ignored_whole[id(node.element)] = path
            return
        steps = tuple(path[3:].split("/"))
        if len(steps) == 1 and steps[0].startswith("@"):
            self._ignored_attributes[steps[0][1:]] = path
        else:
            self._ignored_paths.setdefault(steps[-1], []).append((steps[:-1], path))

    def unread(self) -> tuple[UnreadNode, ...]:
        """Every attribute and text with a value that nothing read."""
        return tuple(
            UnreadNode(f"{_path(element)}/{last}", value.strip()[:80], _kind_of(element, last, value))
            for element, last, value in self._unread(self._root)
        )

    def tally(self, unread: int) -> tuple[int, dict[str, int]]:
        """How many values were read, and how many each ignored pattern covered; `unread`: how many were neither."""
        ignored: dict[str, int] = {}
        self._count_ignored(self._root, ignored)
        return _count_of(self._root) - unread - sum(ignored.values()), ignored

    def _count_ignored(self, element: etree._Element, counts: dict[str, int]) -> None:
        whole = self._ignored_whole.get(id(element)) or self._ignoring(element, _plain_name(str(element.tag)))
        if whole:
            counts[whole] = counts.get(whole, 0) + _count_of(element)
            return
        if id(element) in self._whole:
            return  # taken whole: what a pattern would have left aside came along
        for name in element.keys():  # noqa: SIM118 - attributes
            if (id(element), name) not in self._read:
                plain = _plain_name(str(name))
                pattern = self._ignored_attributes.get(plain) or self._ignoring(element, f"@{plain}", inside=True)
                if pattern:
                    counts[pattern] = counts.get(pattern, 0) + 1
        for child in element.iterchildren(etree.Element):
            self._count_ignored(child, counts)

    def has_unread(self, element: etree._Element) -> bool:
        """True when something at or below an element holds a value that nothing read. As `_unread`, without its generator."""
        key = id(element)
        if key in self._whole or (self._ignored_paths and self._is_ignored(element, _plain_name(str(element.tag)))):
            return False
        read = self._read
        for name, value in element.items():
            if (key, name) not in read and value.strip() and not self._is_ignored_attribute(element, _plain_name(str(name))):
                return True
        text = element.text
        if text and (key, "") not in read and text.strip():
            return True
        for child in element.iterchildren(etree.Element):
            tail = child.tail
            if self.has_unread(child) or (tail and tail.strip()):
                return True
        return False

    def was_read(self, element: etree._Element, attribute: str) -> bool:
        """True when an attribute (or the text, as '') was read."""
        return (id(element), attribute) in self._read or id(element) in self._whole

    def is_taken(self, element: etree._Element) -> bool:
        """True when an element was taken whole."""
        return id(element) in self._whole

    def was_touched(self, element: etree._Element) -> bool:
        """True when something was read of an element itself or of its children."""
        whole, read = self._whole, self._read
        return any(
            id(one) in whole or any((id(one), name) in read for name in ("", *one.keys()))
            for one in (element, *element.iterchildren(etree.Element))
        )

    def _unread(self, element: etree._Element) -> Iterator[tuple[etree._Element, str, str]]:
        """The element, the last step of the path, the value."""
        key = id(element)
        if key in self._whole or (self._ignored_paths and self._is_ignored(element, _plain_name(str(element.tag)))):
            return
        read = self._read
        for name, value in element.items():
            if (key, name) in read or not value.strip():
                continue
            plain = _plain_name(str(name))
            if not self._is_ignored_attribute(element, plain):
                yield element, f"@{plain}", str(value)
        text = element.text
        if text and (key, "") not in read and text.strip():
            yield element, "text()", text
        for child in element.iterchildren(etree.Element):
            yield from self._unread(child)
            tail = child.tail
            if tail and tail.strip():
                yield child, "following-text()", tail

    def _is_ignored_attribute(self, element: etree._Element, name: str) -> bool:
        return name in self._ignored_attributes or self._is_ignored(element, f"@{name}", inside=True)

    def _is_ignored(self, element: etree._Element, last: str, *, inside: bool = False) -> bool:
        return bool(self._ignoring(element, last, inside=inside))

    def _ignoring(self, element: etree._Element, last: str, *, inside: bool = False) -> str:
        """The ignored path that the names above end as, if any. `inside`: `last` is an attribute of the element."""
        for above, path in self._ignored_paths.get(last, ()):
            current = element if inside else element.getparent()
            for name in reversed(above):
                if current is None or _plain_name(str(current.tag)) != name:
                    break
                current = current.getparent()
            else:
                return path
        return ""


# Every attribute and every text that says something, namespace hints and layout left out.
_VALUES = etree.XPath("count(descendant-or-self::*/@*[normalize-space()]) + count(descendant::text()[normalize-space()])")


def _count_of(element: etree._Element) -> int:
    found = _VALUES(element)
    return int(found) if isinstance(found, float) else 0


_DATED = ("time", "Time", "low", "high", "center")
_CODED = ("@code", "@codeSystem", "@displayName", "@codeSystemVersion", "@nullFlavor", "@typeCode", "@classCode", "@moodCode")


def _kind_of(element: etree._Element, last: str, value: str) -> str:
    """What sort of value a leaf holds: what a reader of the report must know without seeing it."""
    if last in _CODED:
        return "code"
    if last in ("@root", "@extension"):
        return "identifier"
    if last in ("@value", "@unit"):
        is_date = _plain_name(str(element.tag)).endswith(_DATED) and len(value) >= 4 and value[:4].isdigit()
        return "date" if is_date else "quantity"
    return "text" if last.endswith("text()") else "attribute"


def _path(element: etree._Element) -> str:
    """A readable path with positions, from below the document element."""
    parts: list[str] = []
    current, parent = element, element.getparent()
    while parent is not None:
        twins = list(parent.iterchildren(str(current.tag)))
        position = f"[{twins.index(current) + 1}]" if len(twins) > 1 else ""
        parts.append(_plain_name(str(current.tag)) + position)
        current, parent = parent, parent.getparent()
    return "/".join(reversed(parts)) or "."


class XmlNode:
    """An element, or one of its attributes (`attribute` set), or its text. Made by the thousand: slots, no dataclass."""

    __slots__ = ("attribute", "element", "source")

    def __init__(self, source: XmlSource, element: etree._Element, attribute: str = "") -> None:
        self.source = source
        self.element = element
        self.attribute = attribute

    @property
    def path(self) -> str:
        """Where this is."""
        return _path(self.element) + (f"/@{_plain_name(self.attribute)}" if self.attribute else "")

    def read(self) -> str:
        """The attribute, or the element's own text, trimmed."""
        self.source.mark(self.element, self.attribute)
        value = self.element.get(self.attribute) if self.attribute else self.element.text
        return (value or "").strip()

    def get(self, name: str) -> str:
        """An attribute by plain name (`root`, `xsi:type`), marked as read; empty when absent."""
        key = _full_attribute(name)
        value = self.element.get(key)
        if value is None:
            return ""
        self.source.mark(self.element, key)
        return value.strip()

    @property
    def name(self) -> str:
        """The element's plain name."""
        return _plain_name(str(self.element.tag))

    def children(self, name: str = "") -> list[XmlNode]:
        """Child elements, all or those of one name."""
        source = self.source
        if name:
            return [XmlNode(source, child) for child in self.element.iterchildren(_full_tag(name))]
        return [XmlNode(source, child) for child in self.element.iterchildren(etree.Element)]

    def first(self, path: str) -> XmlNode | None:
        """The first node at a path, or None."""
        if path.isalpha():  # one plain step: by far the most frequent
            child = next(self.element.iterchildren(_full_tag(path)), None)
            return XmlNode(self.source, child) if child is not None else None
        found = self.select(path)
        return found[0] if found else None

    def value_at(self, path: str) -> str:
        """The first value at a path, read; empty when there is none."""
        found = self.first(path)
        return found.read() if found is not None else ""

    def consume(self) -> etree._Element:
        """Take this whole element (narrative, kept entry): everything below counts as read. Returns the element."""
        if self.attribute:
            self.source.mark(self.element, self.attribute)
        else:
            self.source.mark_all(self.element)
        return self.element

    def select(self, path: str) -> list[XmlNode]:
        """Nodes at a relative path: see `_Step` for the grammar; a leading `.` is this node."""
        nodes = [self]
        for step in _steps(path):
            nodes = [found for node in nodes for found in node._step(step)]
            if not nodes:
                break
        return nodes

    def _step(self, step: _Step) -> Iterable[XmlNode]:
        candidates = self._candidates(step.name)
        if not step.test_path:
            return candidates
        return [c for c in candidates if c._tests(step.test_path, step.test_value)]

    def _candidates(self, name: str) -> list[XmlNode]:
        if name == ".":
            return [self]
        if name == "text()":
            return [self] if (self.element.text or "").strip() else []
        if name.startswith("@"):
            key = _full_attribute(name[1:])
            return [XmlNode(self.source, self.element, key)] if self.element.get(key) is not None else []
        return self.children("" if name == "*" else name)

    def _tests(self, path: str, value: str) -> bool:
        """A predicate looks without reading: what selects a node may still be unread data, so it is not marked."""
        return any(
            ((n.element.get(n.attribute) if n.attribute else n.element.text) or "").strip() == value for n in self.select(path)
        )


class JsonSource:
    """Parsed JSON whose scalar leaves are tracked; a path is dotted (`patient.nom`), `*` walks a list."""

    def __init__(self, data: object) -> None:
        self._data = data
        self._read: set[str] = set()

    @property
    def root(self) -> JsonNode:
        """The whole value."""
        return JsonNode(self, self._data, "")

    def mark(self, path: str) -> None:
        """Remember a leaf as read."""
        self._read.add(path)

    def ignore(self, path: str) -> None:
        """Ignore everything at and below a path."""
        for node in self.root.select(path):
            for leaf_path, _ in _leaves(node.data, node.path):
                self._read.add(leaf_path)

    def unread(self) -> tuple[UnreadNode, ...]:
        """Leaves with a value that nothing read."""
        return tuple(
            UnreadNode(path, str(value)[:80])
            for path, value in _leaves(self._data, "")
            if path not in self._read and value not in (None, "")
        )


def _leaves(data: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, data


@dataclass(frozen=True)
class JsonNode:
    """One value of a JSON source."""

    source: JsonSource
    data: object
    path: str

    def read(self) -> str:
        """A scalar as text: true and false as `true` and `false`; empty for null, objects and lists."""
        self.source.mark(self.path)
        if self.data is None or isinstance(self.data, dict | list):
            return ""
        if isinstance(self.data, bool):
            return "true" if self.data else "false"
        return str(self.data).strip()

    def select(self, path: str) -> list[JsonNode]:
        """Nodes at a dotted path."""
        nodes = [self]
        for step in path.split(".") if path and path != "." else []:
            nodes = [found for node in nodes for found in node._step(step)]
        return nodes

    def _step(self, step: str) -> Iterable[JsonNode]:
        if step == "*" and isinstance(self.data, list):
            return [JsonNode(self.source, v, f"{self.path}[{i}]") for i, v in enumerate(self.data)]
        if isinstance(self.data, dict) and step in self.data:
            return [JsonNode(self.source, self.data[step], f"{self.path}.{step}" if self.path else step)]
        return []
