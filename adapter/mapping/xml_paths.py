"""Names and paths of an XML source: plain names for tags, and the small grammar by which rules lead to a node.

CDA's default namespace is taken for granted. Rules ask for the same paths for each document: each is read once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from lxml import etree

from adapter.errors import MappingError

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


class _PlainNames(dict[str, str]):
    """`{urn:hl7-org:v3}id` → `id`; known extension namespaces get their usual prefix, whatever the file's own."""

    def __missing__(self, tag: str) -> str:
        namespace, _, name = tag[1:].rpartition("}")
        plain = _PREFIXES.get(namespace, f"{{{namespace}}}") + name if tag.startswith("{") else tag
        if len(self) < _MOST_NAMES:
            self[tag] = plain
        return plain


_MOST_NAMES = 4096
PLAIN_NAMES = _PlainNames()


@lru_cache(maxsize=1024)
def full_tag(name: str) -> str:
    """The way back, for elements: `id` → `{urn:hl7-org:v3}id`."""
    prefix, colon, local = name.rpartition(":")
    return f"{{{_NAMESPACES.get(prefix + colon, _V3)}}}{local}"


@lru_cache(maxsize=256)
def full_attribute(name: str) -> str:
    """An attribute has a namespace only when it has a prefix."""
    return full_tag(name) if ":" in name else name


def local_name(name: str) -> str:
    """A plain name without its prefix or namespace."""
    return name.rpartition("}")[2].rpartition(":")[2]


@dataclass(frozen=True)
class Step:
    """One step of a path: `name`, `name[@attribute=value]`, `name[child/@code=value]`, `@attribute`, `text()`."""

    name: str
    test_path: str = ""
    test_value: str = ""
    is_child: bool = False  # an element by its name


class ValuePath(NamedTuple):
    """A path to an attribute: the steps to its element (none: this one), its name. The name is empty for a path to an element."""

    above: tuple[Step, ...]
    attribute: str


_STEP = re.compile(r"(?P<name>@?[\w.:*-]+(?:\(\))?|\.|\*\*)(?:\[(?P<test>[^=\]]+)=(?P<value>[^\]]*)\])?$")


@lru_cache(maxsize=4096)
def steps_of(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises MappingError mapping.bad-path: a rule's fault, found when rules are checked."""
    steps = []
    for raw in re.split(r"/(?![^\[]*\])", path):
        match = _STEP.match(raw)
        if match is None:
            raise MappingError("mapping.bad-path", f"cannot read path step {raw!r}", where=path)
        name = match["name"]
        steps.append(Step(name, match["test"] or "", match["value"] or "", name[0] not in "@.*" and name != "text()"))
    return tuple(steps)


@lru_cache(maxsize=4096)
def value_path(path: str) -> ValuePath:
    """A path cut into what leads to an element, and the attribute that is asked of it."""
    steps = steps_of(path)
    last = steps[-1]
    return ValuePath(steps[:-1], last.name[1:]) if last.name[0] == "@" and not last.test_path else ValuePath(steps, "")


def path_of(element: etree._Element) -> str:
    """A readable path with positions, from below the document element."""
    parts: list[str] = []
    current, parent = element, element.getparent()
    while parent is not None:
        twins = list(parent.iterchildren(str(current.tag)))
        position = f"[{twins.index(current) + 1}]" if len(twins) > 1 else ""
        parts.append(PLAIN_NAMES[str(current.tag)] + position)
        current, parent = parent, parent.getparent()
    return "/".join(reversed(parts)) or "."
