"""A source as the engine sees it: nodes with paths, each remembering whether its value was read.

Law: no field of a source vanishes in silence. A leaf that holds a value is read, deliberately ignored (with a reason,
in the rules), or listed by `unread()`. Format rooms know nothing of this; they give structure only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from lxml import etree

from adapter.errors import MappingError
from adapter.model.confidential import Confidential
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


@dataclass(frozen=True, repr=False)
class Account(Confidential):
    """What became of a source's values."""

    unread: tuple[UnreadNode, ...]
    read_count: int
    ignored: Mapping[str, int]


class XmlSource:
    """An lxml tree whose attributes and texts are tracked. CDA's default namespace is taken for granted.

    The hot path only adds to a set; what was not read is found by one walk at the end.
    """

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._top: XmlNode | None = None
        self._keep = list(root.iter(etree.Element))  # lxml proxies must live on for `id` to stay unique
        self._read: set[tuple[int, str]] = set()
        self._whole: set[int] = set()
        self._ignored_attributes: dict[str, str] = {}
        self._ignored_paths: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._ignored_whole: dict[int, str] = {}

    @property
    def root(self) -> XmlNode:
        """The document element."""
        if self._top is None:
            self._top = XmlNode(self, self._root)
        return self._top

    def close(self) -> None:
        """Let go of the tree: the nodes and their source hold each other, and would wait for the garbage collector."""
        self._top = None
        self._keep.clear()

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
        return self.account().unread

    def account(self) -> Account:
        """What became of every value: read, ignored under a pattern, or left. One walk."""
        left: list[tuple[etree._Element, str, str]] = []
        ignored: dict[str, int] = {}
        self._account(self._root, left, ignored)
        unread = tuple(
            UnreadNode(f"{_path(element)}/{last}", value.strip()[:80], _kind_of(element, last, value))
            for element, last, value in left
        )
        return Account(unread, max(0, _count_of(self._root) - len(unread) - sum(ignored.values())), ignored)

    def _account(self, element: etree._Element, left: list[tuple[etree._Element, str, str]], ignored: dict[str, int]) -> None:
        key = id(element)
        if key in self._ignored_whole or (self._ignored_paths and self._is_ignored(element, _plain_name(str(element.tag)))):
            pattern = self._ignored_whole.get(key) or self._ignoring(element, _plain_name(str(element.tag)))
            ignored[pattern] = ignored.get(pattern, 0) + _count_of(element)
            return
        if key in self._whole:
            return  # taken whole: what a pattern would have left aside came along
        read = self._read
        for name, value in element.items():
            if (key, name) in read or not value.strip():
                continue
            plain = _plain_name(str(name))
            pattern = self._ignored_attributes.get(plain) or self._ignoring(element, f"@{plain}", inside=True)
            if pattern:
                ignored[pattern] = ignored.get(pattern, 0) + 1
            else:
                left.append((element, f"@{plain}", str(value)))
        text = element.text
        if text and (key, "") not in read and text.strip():
            left.append((element, "text()", text))
        for child in element.iterchildren(etree.Element):
            self._account(child, left, ignored)
            tail = child.tail
            if tail and tail.strip():
                left.append((child, "following-text()", tail))

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


# Every attribute, and the words of every element that has no child. No function on strings: files of megabytes stand in them.
_VALUES = etree.XPath("count(descendant-or-self::*/@*) + count(descendant-or-self::*[not(*)][text()])")


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
    """An element, or one of its attributes (`attribute` set), or its text. Made by the thousand: slots, no dataclass.

    Children are made once, at the first look, and found again by name.
    """

    __slots__ = ("_children", "_named", "attribute", "element", "name", "source")

    def __init__(self, source: XmlSource, element: etree._Element, attribute: str = "") -> None:
        self.source = source
        self.element = element
        self.attribute = attribute
        self.name = _plain_name(element.tag)
        self._children: list[XmlNode] | None = None
        self._named: dict[str, list[XmlNode]] = {}

    @property
    def path(self) -> str:
        """Where this is."""
        return _path(self.element) + (f"/@{_plain_name(self.attribute)}" if self.attribute else "")

    def read(self) -> str:
        """The attribute, or the element's own text, trimmed."""
        element, attribute = self.element, self.attribute
        self.source.mark(element, attribute)
        value = element.get(attribute) if attribute else element.text
        return value.strip() if value else ""

    def get(self, name: str) -> str:
        """An attribute by plain name (`root`, `xsi:type`), marked as read; empty when absent."""
        key = _full_attribute(name) if ":" in name else name
        value = self.element.get(key)
        if value is None:
            return ""
        self.source.mark(self.element, key)
        return value.strip()

    def children(self, name: str = "") -> list[XmlNode]:
        """Child elements, all or those of one name."""
        return list(self._of(name))

    def _of(self, name: str) -> list[XmlNode]:
        if self._children is None:
            self._load()
        return self._named.get(name, _NO_NODES) if name else self._children or _NO_NODES

    def _load(self) -> None:
        source, named = self.source, self._named
        self._children = [XmlNode(source, child) for child in self.element.iterchildren(etree.Element)]
        for child in self._children:
            if child.name in named:
                named[child.name].append(child)
            else:
                named[child.name] = [child]

    def first(self, path: str) -> XmlNode | None:
        """The first node at a path, or None."""
        found = self._of(path) if path.isalpha() else self.select(path)  # one plain step: by far the most frequent
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
            name = step.name
            if len(nodes) == 1:
                nodes = nodes[0]._candidates(name)
            else:
                nodes = [found for node in nodes for found in node._candidates(name)]
            if step.test_path:
                nodes = [node for node in nodes if node._tests(step.test_path, step.test_value)]
            if not nodes:
                return []
        return list(nodes)

    def _candidates(self, name: str) -> list[XmlNode]:
        if name[0] == "@":
            key = _full_attribute(name[1:])
            return [XmlNode(self.source, self.element, key)] if self.element.get(key) is not None else _NO_NODES
        if name == ".":
            return [self]
        if name == "text()":
            return [self] if (self.element.text or "").strip() else _NO_NODES
        return self._of("" if name == "*" else name)

    def _tests(self, path: str, value: str) -> bool:
        """A predicate looks without reading: what selects a node may still be unread data, so it is not marked."""
        return any(
            ((n.element.get(n.attribute) if n.attribute else n.element.text) or "").strip() == value for n in self.select(path)
        )


_NO_NODES: list[XmlNode] = []


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
