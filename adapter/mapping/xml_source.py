"""XML as the engine sees it: nodes that each remember what was read of them. CDA's default namespace is taken for granted.

A document costs what its nodes cost: a thousand are made for a letter, and each is asked twice. Hence attributes are taken out of
libxml2 once, into a dict, and what is read leaves a second dict: whatever that still holds was not read.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from adapter.mapping.account import Account
from adapter.mapping.xml_paths import PLAIN_NAMES, Step, full_attribute, full_tag, path_of, steps_of, value_path
from adapter.model.effects import UnreadNode

# -- the source --------------------------------------------------------------------------------------------------------------


class XmlSource:
    """An lxml tree whose attributes and texts are tracked, and what is deliberately ignored of it."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._top: XmlNode | None = None
        self._ignored_attributes: dict[str, str] = {}
        self._ignored_paths: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._ignored_whole: dict[etree._Element, str] = {}
        self.value_count = 0  # of the nodes that have grown; the others are counted at the end
        self._waiting: list[XmlNode] = []

    @property
    def root(self) -> XmlNode:
        """The document element."""
        if self._top is None:
            self._top = XmlNode(self, self._root)
        return self._top

    def close(self) -> None:
        """Let go of the tree: the nodes and their source hold each other, and would wait for the garbage collector."""
        self._top = None
        self._waiting.clear()

    def tell_waiting(self, node: XmlNode) -> None:
        """Remember a node that grows at its first look, if ever."""
        self._waiting.append(node)

    def ignore(self, path: str) -> None:
        """Ignore a path from the root; `**/a/b` at any depth, `**/a/@x` or `**/@x` an attribute anywhere."""
        if not path.startswith("**/"):
            for node in self.root.select(path):
                node.consume()
                if not node.attribute:
                    self._ignored_whole[node.element] = path
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
        left: list[tuple[XmlNode, str, str]] = []
        ignored: dict[str, int] = {}
        self._account(self.root, left, ignored)
        unread = tuple(
            UnreadNode(f"{node.path}/{last}", value.strip()[:80], _kind_of(node.name, last, value)) for node, last, value in left
        )
        return Account(unread, max(0, self._count() - len(unread) - sum(ignored.values())), ignored)

    def _count(self) -> int:
        return self.value_count + sum(_count_of(node.element) for node in self._waiting if not node.is_grown)

    def _account(self, node: XmlNode, left: list[tuple[XmlNode, str, str]], ignored: dict[str, int]) -> None:
        element = node.element
        pattern = self._ignored_whole.get(element) or (node.name in self._ignored_paths and self.ignoring(node, node.name))
        if pattern:
            ignored[pattern] = ignored.get(pattern, 0) + _count_of(element)
            return
        if node.is_taken:
            return  # what a pattern would have left aside came along
        for name, value in node.left.items():
            if not value or value.isspace():
                continue
            plain = PLAIN_NAMES[name]
            pattern = self._ignored_attributes.get(plain) or self.ignoring(node, f"@{plain}", inside=True)
            if pattern:
                ignored[pattern] = ignored.get(pattern, 0) + 1
            else:
                left.append((node, f"@{plain}", value))
        if not node.is_text_read and (text := element.text) and not text.isspace():
            left.append((node, "text()", text))
        for child in node.children():
            self._account(child, left, ignored)
            if (tail := child.element.tail) and not tail.isspace():
                left.append((child, "following-text()", tail))

    def lacks_attribute_of(self, node: XmlNode) -> bool:
        """True when an attribute of a node holds a value that nothing read and no pattern covers."""
        ignored = self._ignored_attributes
        for name, value in node.left.items():
            if name not in ignored and _is_said(value) and not self._is_ignored_attribute(node, PLAIN_NAMES[name]):
                return True
        return False

    def _is_ignored_attribute(self, node: XmlNode, name: str) -> bool:
        return name in self._ignored_attributes or bool(self.ignoring(node, f"@{name}", inside=True))

    def ignoring(self, node: XmlNode, last: str, *, inside: bool = False) -> str:
        """The ignored path that the names above end as, if any. `inside`: `last` is an attribute of the node."""
        paths = self._ignored_paths.get(last)
        if paths is None:
            return ""
        for above, path in paths:
            current = node.element if inside else node.element.getparent()
            for name in reversed(above):
                if current is None or PLAIN_NAMES[str(current.tag)] != name:
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


def _is_said(text: str | None) -> bool:
    return text is not None and bool(text) and not text.isspace()


_DATED = ("time", "Time", "low", "high", "center")
_CODED = ("@code", "@codeSystem", "@displayName", "@codeSystemVersion", "@nullFlavor", "@typeCode", "@classCode", "@moodCode")


def _kind_of(name: str, last: str, value: str) -> str:
    """What sort of value a leaf holds: what a reader of the report must know without seeing it."""
    if last in _CODED:
        return "code"
    if last in ("@root", "@extension"):
        return "identifier"
    if last in ("@value", "@unit"):
        is_date = name.endswith(_DATED) and len(value) >= 4 and value[:4].isdigit()
        return "date" if is_date else "quantity"
    return "text" if last.endswith("text()") else "attribute"


# -- nodes -------------------------------------------------------------------------------------------------------------------


class XmlNode:
    """An element. Made by the thousand: slots, and whole branches at once. Children are found by name.

    `attributes` are all of them, by lxml's names; `left` those that nothing read; `is_taken`: read whole.
    """

    __slots__ = ("_children", "_named", "attributes", "element", "is_taken", "is_text_read", "left", "name", "source")

    attribute = ""
    attributes: dict[str, str]
    left: dict[str, str]
    _children: list[XmlNode] | None  # None: not looked at yet
    _named: dict[str, list[XmlNode]]

    def __init__(self, source: XmlSource, element: etree._Element) -> None:
        self.source = source
        self.element = element
        self.name = PLAIN_NAMES[element.tag]
        if found := element.items():
            self.attributes = dict(found)  # type: ignore[arg-type] # text, in a parsed file
            self.left = self.attributes.copy()
        else:
            self.attributes = self.left = _NO_ATTRIBUTES
        self.is_taken = False
        self.is_text_read = False
        self._children = None
        self._named = _NO_NAMES

    @property
    def path(self) -> str:
        """Where this is."""
        return path_of(self.element)

    def read(self) -> str:
        """The element's own text, trimmed."""
        self.is_text_read = True
        text = self.element.text
        return text.strip() if text else ""

    def get(self, name: str) -> str:
        """An attribute by plain name (`root`, `xsi:type`), marked as read; empty when absent."""
        value = self.attributes.get(name)
        if value is None:
            if ":" not in name:
                return ""
            name = full_attribute(name)
            value = self.attributes.get(name, "")
        self.left.pop(name, None)
        return value.strip()

    def look(self, name: str) -> str:
        """An attribute, without reading it: what decides how a node is understood may still be unread data."""
        return self.attributes.get(full_attribute(name) if ":" in name else name, "").strip()

    @property
    def is_grown(self) -> bool:
        """True when its children are known."""
        return self._children is not None

    def children(self, name: str = "") -> list[XmlNode]:
        """Child elements, all or those of one name. Not to be changed: a node keeps them."""
        children = self._children
        if children is None:
            children = self._grow()
        return self._named.get(name, _NO_NODES) if name else children

    def _grow(self) -> list[XmlNode]:
        """The whole branch at once, which takes half the time of growing node by node; but narratives and the body wait."""
        if not len(self.element):
            return self._end()
        children = self._children = []
        source = self.source
        source.value_count += len(self.attributes)
        named: dict[str, list[XmlNode]] = {}
        waits = _WAITING.get(self.name, "")
        for element in self.element.iterchildren(etree.Element):
            child = XmlNode(source, element)
            name = child.name
            if name == waits:
                source.tell_waiting(child)
            elif len(element):
                child._grow()
            else:
                child._end()
            children.append(child)
            if name in named:
                named[name].append(child)
            else:
                named[name] = [child]
        self._named = named
        return children

    def _end(self) -> list[XmlNode]:
        """An element without any other inside."""
        self._children = _NO_NODES
        self.source.value_count += len(self.attributes) + (self.element.text is not None)
        return _NO_NODES

    def first_value(self, path: str) -> str:
        """The first value at a path, read: as `select` and `read` do, without a node for an attribute."""
        above, attribute = value_path(path)
        for node in self._follow(above):
            if value := node.get(attribute) if attribute else node.read():
                return value
        return ""

    def first(self, path: str) -> XmlNode | None:
        """The first node at a path, or None."""
        if self._children is None:
            self._grow()
        found = self._named.get(path)  # one plain step: by far the most frequent
        if found is None:
            if path.isalpha():
                return None
            found = self.select(path)
        return found[0] if found else None

    def value_at(self, path: str) -> str:
        """The first value at a path, read; empty when there is none."""
        found = self.first(path)
        return found.read() if found is not None else ""

    def consume(self) -> etree._Element:
        """Take this whole element (narrative, kept entry): everything below counts as read. Returns the element."""
        self.is_taken = True
        return self.element

    def select(self, path: str) -> list[XmlNode]:
        """Nodes at a relative path: see `Step` for the grammar; a leading `.` is this node."""
        return self._follow(steps_of(path))

    def _follow(self, steps: tuple[Step, ...]) -> list[XmlNode]:
        nodes = [self]
        for step in steps:
            name = step.name
            if len(nodes) == 1:
                nodes = nodes[0].children(name) if step.is_child else nodes[0]._candidates(name)
            else:
                nodes = [found for node in nodes for found in node._candidates(name)]
            if step.test_path:
                nodes = [node for node in nodes if node._tests(step.test_path, step.test_value)]
            if not nodes:
                return _NO_NODES
        return nodes

    def _candidates(self, name: str) -> list[XmlNode]:
        if name[0] == "@":
            return [XmlAttribute(self, name[1:])] if full_attribute(name[1:]) in self.attributes else _NO_NODES
        if name == ".":
            return [self]
        if name == "text()":
            return [self] if (self.element.text or "").strip() else _NO_NODES
        return self.children("" if name == "*" else name)

    def _tests(self, path: str, value: str) -> bool:
        """A predicate looks without reading: what selects a node may still be unread data, so it is not marked."""
        if path[0] == "@":
            return full_attribute(path[1:]) in self.attributes and self.look(path[1:]) == value
        return any(node.said() == value for node in self.select(path))

    def said(self) -> str:
        """The value, without reading it."""
        return (self.element.text or "").strip()

    def descendants(self, name: str) -> Iterator[XmlNode]:
        """Every node of a name below this one, in the order of the source: only what leads to one is looked at."""
        found = set(self.element.iter(full_tag(name)))
        if found:
            yield from self._below(found, {above for element in found for above in element.iterancestors()})

    def _below(self, found: set[etree._Element], above: set[etree._Element]) -> Iterator[XmlNode]:
        for child in self.children():
            if child.element in found:
                yield child
            if child.element in above:
                yield from child._below(found, above)

    # -- what was read --------------------------------------------------------------------------------------------------------

    def was_touched(self) -> bool:
        """True when something was read of the node itself or of its children."""
        return self._is_touched() or any(child._is_touched() for child in self._children or ())

    def _is_touched(self) -> bool:
        return self.is_taken or self.is_text_read or len(self.left) < len(self.attributes)

    def has_unread(self) -> bool:
        """True when something at or below holds a value that nothing read."""
        if self.is_taken:
            return False
        if self.source.ignoring(self, self.name):
            return False
        if self.left and self.source.lacks_attribute_of(self):
            return True
        if not self.is_text_read and _is_said(self.element.text):
            return True
        return any(child.has_unread() or _is_said(child.element.tail) for child in self.children())


class XmlAttribute(XmlNode):
    """An attribute that a path leads to."""

    __slots__ = ("_owner", "attribute")

    def __init__(self, owner: XmlNode, name: str) -> None:
        self._owner = owner
        self.attribute = name
        self.element = owner.element
        self.name = owner.name

    @property
    def path(self) -> str:
        """Where this is."""
        return f"{self._owner.path}/@{self.attribute}"

    def read(self) -> str:
        """The value, trimmed."""
        return self._owner.get(self.attribute)

    def said(self) -> str:
        """The value, without reading it."""
        return self._owner.look(self.attribute)

    def consume(self) -> etree._Element:
        """Count as read."""
        self._owner.get(self.attribute)
        return self.element


# What is not looked at with the rest, by the name above: much of it is read whole, and a header is often asked for alone.
_WAITING = {"section": "text", "ClinicalDocument": "component"}
_NO_NODES: list[XmlNode] = []
_NO_NAMES: dict[str, list[XmlNode]] = {}
_NO_ATTRIBUTES: dict[str, str] = {}  # never filled: what is read is taken out
