"""What became of a source's values: read, left aside under a pattern that says why, or left; and how parts of a source add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    return tuple(IgnoredPattern(path, reason, counts[path]) for path, reason in reasons.items() if counts.get(path))
