"""A source as the engine sees it: nodes with paths, each remembering whether its value was read.

Law: no field of a source vanishes in silence. A leaf that holds a value is read, deliberately ignored (with a reason,
in the rules), or listed by `unread()`. Format rooms know nothing of this; they give structure only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapter.mapping.account import Account
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


class JsonSource:
    """Parsed JSON whose scalar leaves are tracked; a path is dotted (`patient.nom`), `*` walks a list."""

    def __init__(self, data: object) -> None:
        self._data = data
        self._read: set[str] = set()
        self._ignored: dict[str, str] = {}

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
            self._ignored |= dict.fromkeys((leaf_path for leaf_path, _ in _leaves(node.data, node.path)), path)

    def unread(self) -> tuple[UnreadNode, ...]:
        """Leaves with a value that nothing read."""
        return self.account().unread

    def account(self) -> Account:
        """What became of every value: read, ignored under a path, or left."""
        left: list[UnreadNode] = []
        ignored: Counter[str] = Counter()
        read = 0
        for path, value in _leaves(self._data, ""):
            if value in (None, ""):
                continue
            if path in self._read:
                read += 1
            elif path in self._ignored:
                ignored[self._ignored[path]] += 1
            else:
                left.append(UnreadNode(path, str(value)[:80], _kind_of(value)))
        return Account(tuple(left), read, ignored)


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "quantity"


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
