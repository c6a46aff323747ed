"""An audit row as a value, and its seal: the ledger writes the one, the audit room computes the other.

Source: blueprint seam 20. Rows hold ids and codes, never patient content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class AuditEntry:
    """Who did what to which row. `actor` is a person, a client or a worker; `detail` is a code."""

    legal_entity: str
    at: datetime
    actor: str
    action: str
    about: str
    about_id: str
    detail: str = ""


@dataclass(frozen=True)
class AuditRow:
    """A kept entry with its row number; sealed once it has a place in its entity's chain."""

    number: int
    entry: AuditEntry
    position: int = 0
    previous: str = ""
    seal: str = ""


@dataclass(frozen=True)
class ChainHead:
    """The last seal of one entity's chain."""

    position: int = 0
    seal: str = ""


# Unsealed rows, the heads by legal entity, a keyed MAC → the same rows, sealed.
Mac = Callable[[bytes], str]
SealRows = Callable[[Sequence[AuditRow], Mapping[str, ChainHead], Mac], Sequence[AuditRow]]
