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


_PREFIXES = {
    "urn:hl7-org:v3": "",
    "urn:hl7-org:sdtc": "sdtc:",
    "urn:dicom-org:ps3-20": "ps3-20:",
    "urn:oid:1.3.6.1.4.1.19376.1.3.2": "lab:",
    "urn:ihe:pharm": "pharm:",
}
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


@lru_cache(maxsize=4096)
def _plain_name(tag: str) -> str:
    """`{urn:hl7-org:v3}id` → `id`; known extension namespaces get their usual prefix, whatever the file's own."""
    if not tag.startswith("{"):
        return tag
    namespace, name = tag[1:].split("}", 1)
    if namespace == _XSI:
        return f"xsi:{name}"
    return _PREFIXES.get(namespace, f"{{{namespace}}}") + name


class XmlSource:
    """An lxml tree whose attributes and texts are tracked. CDA's default namespace is taken for granted."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._read: set[tuple[int, str]] = set()
        self._keep = list(root.iter(etree.Element))  # lxml proxies must live on for `id` to stay unique

    @property
    def root(self) -> XmlNode:
        """The document element."""
        return XmlNode(self, self._root)

    def mark(self, element: etree._Element, attribute: str) -> None:
        """Remember that an attribute (or the text, as '') was read."""
        self._read.add((id(element), attribute))

    def mark_all(self, element: etree._Element) -> None:
        """Remember an element and all below it as read or ignored."""
        for below in element.iter(etree.Element):
            self._read.add((id(below), ""))
            self._read.add((id(below), "tail"))
            for name in below.attrib:
                self._read.add((id(below), str(name)))

    def ignore(self, path: str) -> None:
        """Ignore a path; `**/name` reaches any depth, `**/@name` an attribute anywhere."""
        if path.startswith("**/"):
            target = path[3:]
            for element in self._keep:
                if target.startswith("@"):
                    for name in element.attrib:
                        if _plain_name(str(name)) == target[1:]:
                            self._read.add((id(element), str(name)))
                elif XmlNode(self, element.getparent()).has(element, target) if element.getparent() is not None else False:
                    self.mark_all(element)
            return
        for node in self.root.select(path):
            node.consume()

    def unread(self) -> tuple[UnreadNode, ...]:
        """Every attribute and text with a value that nothing read."""
        return tuple(self._unread())

    def _unread(self) -> Iterator[UnreadNode]:
        for element in self._keep:
            key = id(element)
            for name, value in element.attrib.items():
                if (key, str(name)) not in self._read and str(value).strip():
                    yield UnreadNode(f"{_path(element)}/@{_plain_name(str(name))}", str(value)[:80])
            if (key, "") not in self._read and element.text and element.text.strip():
                yield UnreadNode(f"{_path(element)}/text()", element.text.strip()[:80])


def _path(element: etree._Element) -> str:
    """A readable path with positions, from below the document element."""
    parts: list[str] = []
    current: etree._Element | None = element
    while current is not None and current.getparent() is not None:
        twins = [e for e in current.getparent().iterchildren(current.tag)]  # type: ignore[union-attr]
        position = f"[{twins.index(current) + 1}]" if len(twins) > 1 else ""
        parts.append(_plain_name(str(current.tag)) + position)
        current = current.getparent()
    return "/".join(reversed(parts)) or "."


@dataclass(frozen=True)
class XmlNode:
    """An element, or one of its attributes (`attribute` set), or its text."""

    source: XmlSource
    element: etree._Element
    attribute: str = ""

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
        key = f"{{{_XSI}}}{name[4:]}" if name.startswith("xsi:") else name
        if key in self.element.attrib:
            self.source.mark(self.element, key)
        return (self.element.get(key) or "").strip()

    @property
    def name(self) -> str:
        """The element's plain name."""
        return _plain_name(str(self.element.tag))

    def children(self, name: str = "") -> list[XmlNode]:
        """Child elements, all or those of one name."""
        return [
            XmlNode(self.source, child)
            for child in self.element.iterchildren(etree.Element)
            if not name or _plain_name(str(child.tag)) == name
        ]

    def first(self, path: str) -> XmlNode | None:
        """The first node at a path, or None."""
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

    def has(self, child: etree._Element, name: str) -> bool:
        """True when a child element bears this plain name."""
        return _plain_name(str(child.tag)) == name

    def select(self, path: str) -> list[XmlNode]:
        """Nodes at a relative path: see `_Step` for the grammar; a leading `.` is this node."""
        nodes = [self]
        for step in _steps(path):
            nodes = [found for node in nodes for found in node._step(step)]
        return nodes

    def _step(self, step: _Step) -> Iterable[XmlNode]:
        if step.name == ".":
            candidates: list[XmlNode] = [self]
        elif step.name == "text()":
            candidates = [self] if (self.element.text or "").strip() else []
        elif step.name.startswith("@"):
            name = step.name[1:]
            key = f"{{{_XSI}}}{name[4:]}" if name.startswith("xsi:") else name
            candidates = [XmlNode(self.source, self.element, key)] if key in self.element.attrib else []
        else:
            candidates = self.children("" if step.name == "*" else step.name)
        if not step.test_path:
            return candidates
        return [c for c in candidates if c._tests(step.test_path, step.test_value)]

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
