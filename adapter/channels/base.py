"""What every channel promises: capabilities, `send`, `collect`. Outsiders add one by the entry point `traitdunion.channels`.

Law: a channel never raises for what a partner does; it answers a `SendOutcome` whose cause is in the causes table.
`unclear` means: the partner may have it. Anything after the last byte was handed over and before an answer is unclear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from adapter.model.delivery import DeliveryState, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import Parcel


@dataclass(frozen=True)
class Capabilities:
    """What a channel can carry and prove. `final_state` is the best state that it can ever prove.

    `resend_is_safe`: the partner recognises a second copy by our reference. `size_limit_bytes` counts the encoded form.
    """

    name: ChannelName
    renditions: tuple[str, ...]
    proves: tuple[DeliveryState, ...]
    final_state: DeliveryState
    size_limit_bytes: int
    resend_is_safe: bool


class Channel(Protocol):
    """A way out."""

    @property
    def capabilities(self) -> Capabilities:
        """What this channel can do."""
        ...

    def send(self, parcel: Parcel) -> SendOutcome:
        """Hand the parcel over; blocks until the partner answered or the time-out ran out."""
        ...

    def find(self, parcel: Parcel) -> SendOutcome | None:
        """After an unclear send: ask the partner whether it has our reference. None: this channel cannot ask."""
        ...

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """New evidence since a cursor, and the next cursor (committed with the evidence). Empty for push-only channels."""
        ...

    def check(self) -> str:
        """Reachability without sending (`tdu check`): empty when fine, else what is wrong and what to do."""
        ...
