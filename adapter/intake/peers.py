"""Who speaks at the MLLP door: the client certificate, else MSH-3 and MSH-4 against the list of peers (seam 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapter.model.receipt import MessageControl, Principal


@dataclass(frozen=True)
class Peer:
    """One sender we know. Empty `facility` means any; `certificate_cn` binds it to a client certificate."""

    name: str
    application: str
    facility: str
    certificate_cn: str
    legal_entity: str
    zone: str

    def matches(self, control: MessageControl, certificate_cn: str) -> bool:
        """Whether this message, over a connection with that certificate, comes from this peer."""
        if self.certificate_cn and self.certificate_cn != certificate_cn:
            return False
        named = not self.application or self.application == _namespace(control.application)
        return named and (not self.facility or self.facility == _namespace(control.facility))

    @property
    def principal(self) -> Principal:
        """Who is written on the receipt."""
        return Principal(self.name, "certificate" if self.certificate_cn else "application", self.legal_entity)


def recognise_peer(peers: Sequence[Peer], control: MessageControl, certificate_cn: str) -> Peer | None:
    """The peer that speaks; one bound to the certificate wins over one that only names itself in MSH."""
    matching = [peer for peer in peers if peer.matches(control, certificate_cn)]
    matching.sort(key=lambda peer: (bool(peer.certificate_cn), bool(peer.application), bool(peer.facility)), reverse=True)
    return matching[0] if matching else None


def _namespace(hierarchic_designator: str) -> str:
    """HD.1: the part of MSH-3 and MSH-4 that people write in lists."""
    return hierarchic_designator.partition("^")[0]
