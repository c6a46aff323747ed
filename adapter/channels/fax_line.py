"""What every way out for fax pages holds to, whichever engine dials: what a fax proves, which pages and numbers may leave.

Sources: blueprint seam 7 (a fax proves pages confirmed, never a reading), E.164. A number travels to an engine in one
spelling: the same line is then one line for its queue, its log and ours. A premium, short or unheard-of number is never dialled.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapter.channels.base import Capabilities
from adapter.formats.phone_number import REFUSED_FOR_FAX, e164, kind_of
from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import FaxContent, Parcel


@dataclass(frozen=True, repr=False)
class OutgoingFax(Confidential):
    """What may be dialled: the pages, and the number in E.164."""

    content: FaxContent
    number: str


def fax_capabilities(size_limit_bytes: int, *, resend_is_safe: bool = True, proof_is_secondhand: bool = False) -> Capabilities:
    """What fax can do: no reading receipt exists. `resend_is_safe`: the engine knows our reference again."""
    return Capabilities(
        name=ChannelName.FAX,
        renditions=("fax",),
        proves=(DeliveryState.ACCEPTED, DeliveryState.DELIVERED),
        final_state=DeliveryState.DELIVERED,
        size_limit_bytes=size_limit_bytes,
        resend_is_safe=resend_is_safe,
        proof_is_secondhand=proof_is_secondhand,
    )


def checked_call(parcel: Parcel, size_limit_bytes: int) -> OutgoingFax | SendOutcome:
    """The call that a parcel asks for, or why no engine is given it."""
    content = parcel.content
    if not isinstance(content, FaxContent):
        return refused("rendition-impossible", "not fax pages")
    if len(content.tiff) > size_limit_bytes:
        return refused("too-large", f"{len(content.tiff)} bytes")
    if kind_of(parcel.address) in REFUSED_FOR_FAX:
        return refused("no-such-number", "no telephone number that a fax may dial")
    return OutgoingFax(content, e164(parcel.address))


def refused(cause: str, detail: str) -> SendOutcome:
    """A plain no, before or after the line was tried."""
    return SendOutcome(OutcomeKind.REFUSED, cause, detail=detail)
