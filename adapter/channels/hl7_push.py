"""HL7 v2 pushed to local software over MLLP, partner by partner; its answer turned into an outcome with a cause of the table.

Sources: CI-SIS volets 2.1 and LPS 1.1 §ACK; blueprint seams 4, 5, 7; complaints 1, 2, 3, 26.
AA: taken (a document: integrated). AR: circumstantial, the same again later. AE with 900 to 906: a person's; any other AE: the
content is refused, and saying it again will not help. No answer: it may have been taken, so it goes again under the same MSH-10.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from adapter.channels.base import Capabilities
from adapter.channels.mllp_client import Acknowledgement, Broken, MllpClient, MllpPartner
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import Hl7Content, Parcel

log = structlog.get_logger()

# A refusal of the application, table 0533: what each leads to is in the causes table.
_APPLICATION_CODES = frozenset(str(code) for code in range(900, 907))
_ADVICE = {
    Broken.CONNECT: "Check host, port and that the partner's software runs.",
    Broken.CONNECT_TIMEOUT: "Check the network and the firewalls between us.",
    Broken.TLS: "Check both sides' certificates, authorities and revocation lists.",
}


@dataclass(frozen=True)
class Hl7PushSettings:
    """The partners that may be written to, by the name that legs carry."""

    partners: Sequence[MllpPartner]
    size_limit_bytes: int = 268_435_456


@dataclass
class _Door:
    """One partner: its connection, the lock that makes it one message at a time, whether it answered last time."""

    client: MllpClient
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_down: bool = False


class Hl7PushChannel:
    """Local software by MLLP. A leg's address is a partner's name."""

    def __init__(self, settings: Hl7PushSettings) -> None:
        self._settings = settings
        self._doors: Mapping[str, _Door] = {one.name: _Door(MllpClient(one)) for one in settings.partners}
        self._partners = {one.name: one for one in settings.partners}

    @property
    def capabilities(self) -> Capabilities:
        """What local software takes and can prove. A second copy is known by its MSH-10."""
        return Capabilities(
            name=ChannelName.HL7_PUSH,
            renditions=("mdm", "zam"),
            proves=(DeliveryState.ACCEPTED, DeliveryState.INTEGRATED),
            final_state=DeliveryState.INTEGRATED,
            size_limit_bytes=self._settings.size_limit_bytes,
            resend_is_safe=True,
        )

    def send(self, parcel: Parcel) -> SendOutcome:
        """Hand one message over and wait for the acknowledgement that names it."""
        content = parcel.content
        if not isinstance(content, Hl7Content):
            return SendOutcome(OutcomeKind.REFUSED, "rendition-impossible", detail="not an HL7 message")
        door = self._doors.get(parcel.address)
        if door is None:
            return SendOutcome(OutcomeKind.REFUSED, "partner-unknown", detail="no such partner in the configuration")
        with door.lock:
            answer = door.client.exchange(content.message, content.control_id)
            self._note(parcel.address, door, answer)
        return outcome_of(answer, content.proves)

    def find(self, parcel: Parcel) -> SendOutcome | None:  # noqa: ARG002 - the port's signature
        """HL7 cannot be asked: the same MSH-10 again is the question, and its acknowledgement the answer."""
        return None

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Nothing to poll: the acknowledgement is the proof."""
        return (), cursor

    def check(self) -> str:
        """A connection to each partner, closed at once."""
        problems = []
        for name, partner in self._partners.items():
            broken = MllpClient(partner).probe()
            if broken is not None:
                advice = _ADVICE.get(broken, "")
                problems.append(f"{name} ({partner.host}:{partner.port}): {broken.value}. {advice}".strip())
        return " ".join(problems)

    @staticmethod
    def _note(name: str, door: _Door, answer: Acknowledgement | Broken) -> None:
        """One line when a partner goes, one when it is back: not one a try (complaint 26)."""
        if isinstance(answer, Broken) and not door.is_down:
            log.warning("hl7_push.partner-down", partner=name, why=answer.value)
        if door.is_down and isinstance(answer, Acknowledgement):
            log.info("hl7_push.partner-back", partner=name)
        door.is_down = isinstance(answer, Broken)


def outcome_of(answer: Acknowledgement | Broken, proves: DeliveryState) -> SendOutcome:
    """What an exchange means for a delivery."""
    if isinstance(answer, Broken):
        return _broken(answer)
    detail = " ".join(part for part in (answer.code, answer.condition, answer.application) if part)
    if answer.code == "AA":
        return SendOutcome(OutcomeKind.ACCEPTED, proves=proves, detail=detail)
    if answer.code == "AR":
        return SendOutcome(OutcomeKind.DEFERRED, "partner-busy", detail=detail)
    if answer.code == "AE" and answer.application in _APPLICATION_CODES:
        return SendOutcome(OutcomeKind.REFUSED, f"identity-{answer.application}", detail=detail)
    if answer.code == "AE":
        return SendOutcome(OutcomeKind.REFUSED, "content-refused", detail=detail)
    return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail="an acknowledgement without AA, AE or AR")


def _broken(why: Broken) -> SendOutcome:
    match why:
        case Broken.NO_ANSWER:
            return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=why.value)
        case Broken.NOT_SENT:
            return SendOutcome(OutcomeKind.DEFERRED, "connect-failed", detail=why.value)
        case Broken.CONNECT | Broken.CONNECT_TIMEOUT | Broken.TLS:
            return SendOutcome(OutcomeKind.DEFERRED, why.value, detail=why.value)
