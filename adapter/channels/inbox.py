"""A practice's inbox as a channel: sending is putting at its disposal; it comes and fetches when it likes.

Law: blueprint seams 5, 7, 13. Published is *accepted*; the API, the drop folder and the exports prove the rest. Publishing is one
transaction of our own ledger, known by the delivery's id: doing it again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapter.channels.base import Capabilities
from adapter.ledger.import_records import Carried
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.model.publication import Practice, Publication, Rendition
from adapter.packaging.parcel import Fetchable, InboxContent, Parcel

Publish = Callable[[str, Practice, Sequence[Carried], Sequence[str]], Publication | None]


@dataclass(frozen=True)
class InboxSettings:
    """The practices that may be served, by the name that legs carry, and how a document is published."""

    practices: Sequence[Practice]
    publish: Publish
    size_limit_bytes: int = 268_435_456


class InboxChannel:
    """Documents for practices that come and fetch. A leg's address is a practice's name."""

    def __init__(self, settings: InboxSettings) -> None:
        self._settings = settings
        self._practices = {practice.name: practice for practice in settings.practices}

    @property
    def capabilities(self) -> Capabilities:
        """What a practice can prove: that it fetched, and what it did with it."""
        return Capabilities(
            name=ChannelName.INBOX,
            renditions=("cda", "pdf", "fhir"),
            proves=(DeliveryState.ACCEPTED, DeliveryState.DELIVERED, DeliveryState.INTEGRATED),
            final_state=DeliveryState.INTEGRATED,
            size_limit_bytes=self._settings.size_limit_bytes,
            resend_is_safe=True,
        )

    def send(self, parcel: Parcel) -> SendOutcome:
        """Publish. A ledger that is away raises: the delivery is unclear, and published again under the same id."""
        content = parcel.content
        if not isinstance(content, InboxContent):
            return SendOutcome(OutcomeKind.REFUSED, "rendition-impossible", detail="not a document to fetch")
        practice = self._practices.get(parcel.address)
        if practice is None:
            return SendOutcome(OutcomeKind.REFUSED, "practice-unknown", detail="no such practice in the configuration")
        carried = [_carried(form) for form in content.forms]
        published = self._settings.publish(parcel.delivery_id, practice, carried, content.names)
        if published is None:
            return SendOutcome(OutcomeKind.REFUSED, "practice-unknown", detail="a practice of another legal entity")
        return SendOutcome(OutcomeKind.ACCEPTED, partner_reference=published.document_key)

    def find(self, parcel: Parcel) -> SendOutcome | None:  # noqa: ARG002 - the port's signature
        """Publishing again is the question, and its own answer."""
        return None

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Nothing to poll: practices come to us."""
        return (), cursor

    def check(self) -> str:
        """Our own ledger, which is checked by itself."""
        return ""


def _carried(form: Fetchable) -> Carried:
    digest = hashlib.sha1(form.content, usedforsecurity=False).hexdigest()
    rendition = Rendition(form.form, form.media_type, len(form.content), digest)
    return Carried(rendition, form.content, stored=not form.is_source)
