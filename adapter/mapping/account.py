"""What became of a source's values: read, left aside under a pattern that says why, or left; and how parts of a source add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from adapter.model.confidential import Confidential
from adapter.model.effects import IgnoredPattern, UnreadNode


@dataclass(frozen=True, repr=False)
class Account(Confidential):
    """What became of a source's values. `ignored`: how many each pattern covered."""

    unread: tuple[UnreadNode, ...] = ()
    read_count: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Account) -> Account:
        """Two parts of one source: an envelope and what it holds, a file and its side-car."""
        ignored = Counter(self.ignored) + Counter(other.ignored)
        return Account(self.unread + other.unread, self.read_count + other.read_count, ignored)


def ignored_patterns(reasons: Mapping[str, str], counts: Mapping[str, int]) -> tuple[IgnoredPattern, ...]:
    """The patterns that covered a value, with their reasons."""
    return tuple([_pattern(path, reason, count) for path, reason in reasons.items() if (count := counts.get(path))])


@lru_cache(maxsize=4096)
def _pattern(path: str, reason: str, count: int) -> IgnoredPattern:
    """Of what rules say: a message covers some fifty, each as often as the one before it."""
    return IgnoredPattern(path, reason, count)
