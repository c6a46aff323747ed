"""What a reader noticed and did not refuse: a stable code and a place, never content.

A finding that is `grave` makes the thing doubtful (a hash that differs): to quarantine or to go on is the caller's choice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`code` is a stable dotted word, `where` names a file, an attribute or a part."""

    code: str
    where: str = ""
    grave: bool = False

    def __str__(self) -> str:
        return f"{self.code} [{self.where}]" if self.where else self.code
