"""Where a door remembers how far it came, when the source itself keeps no mark."""

from __future__ import annotations

from typing import Protocol


class Cursors(Protocol):
    """Where positions are kept: the ledger."""

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        """The value; empty at first."""
        ...

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        """Remember durably."""
        ...
