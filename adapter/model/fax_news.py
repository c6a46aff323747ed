"""What preparing a fax tells the ledger beside documents: codes to keep, faxes that it completes, words for its timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapter.model.confidential import Confidential


@dataclass(frozen=True, repr=False)
class FaxNews(Confidential):
    """One fax, prepared.

    `brought`: its own codes as read, by annex id (hexadecimal). `seen`: receipts of other faxes whose codes were joined with
    them, by annex id: when there are others by now, the plan is stale. `complete`: annexes that are whole now; `joined`: receipts
    of faxes to which this one brought what they lacked. `events`: (kind, detail) for its own timeline, without patient content.
    """

    legal_entity: str
    brought: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complete: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    events: tuple[tuple[str, str], ...] = ()
