"""What every channel promises: capabilities, `send`, `collect`. Outsiders add one by the entry point `traitdunion.channels`.

Law: a channel never raises for what a partner does; it answers a `SendOutcome` whose cause is in the causes table.
`unclear` means: the partner may have it. Anything after the last byte was handed over and before an answer is unclear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from adapter.model.delivery import DeliveryState, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.model.withdrawal import Withdrawn
from adapter.packaging.parcel import Parcel


@dataclass(frozen=True)
class Capabilities:
    """What a channel can carry and prove. `final_state` is the best state that it can ever prove.

    `resend_is_safe`: the partner recognises a second copy by our reference. `size_limit_bytes` counts the encoded form.
    `proof_is_secondhand`: what is proved is the word of somebody between us and the partner, who cannot be asked again.
    """

    name: ChannelName
    renditions: tuple[str, ...]
    proves: tuple[DeliveryState, ...]
    final_state: DeliveryState
    size_limit_bytes: int
    resend_is_safe: bool
    proof_is_secondhand: bool = False


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


@runtime_checkable
class Withdraws(Protocol):
    """A channel whose partner keeps what it accepted in a queue, and gives it back. Others need not have this."""

    def withdraw(self, reference: str) -> Withdrawn:
        """Take what bears this reference out of the queue; asked again in every round until it says something final.

        Whatever happened in between, the same question gets the same answer: what was taken out is still told as `GONE`.
        """
        ...
