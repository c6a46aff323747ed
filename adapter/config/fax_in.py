"""What can be set of the lines that faxes come in by: `[[doors.fax]]`, one frozen dataclass per table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from adapter.config.bounds import bounded
from adapter.config.secret import Secret


class FaxCompare(StrEnum):
    """What a document carried by a fax must come with to pass by itself."""

    STRICT = "strict"
    REQUIRED = "required"
    WHEN_POSSIBLE = "when-possible"


class DoubtfulFax(StrEnum):
    """What becomes of a document that a fax may not let through by itself."""

    PARK = "park"
    DELIVER = "deliver"


@dataclass(frozen=True)
class ReceiveQueueServer:
    """The HylaFAX server whose receive queue is read, here or elsewhere.

    `delete_after`: faxes leave the queue once they are durable; the server lets administrators do it (`administrator_password`),
    and whoever has the files' own uid in its hosts.hfaxd. `skip_existing`: what lies there on the very first visit is history.
    `for_tests`: its line is no real one. A test instance reads no other, a production instance none.
    """

    host: str
    port: int = bounded(4559, 1, 65535)
    user: str = "traitdunion"
    password: Secret | None = None
    administrator_password: Secret | None = None
    delete_after: bool = False
    skip_existing: bool = False
    timeout_seconds: float = bounded(30.0, 0.1, 600)
    for_tests: bool = False


@dataclass(frozen=True)
class TrustedFaxSender:
    """A site whose signature is believed: its Ed25519 public key (PEM), and the numbers that it faxes from (none: any)."""

    name: str
    key: Path
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaxDoor:
    """A line that faxes come in by: a folder where a fax server or scanner leaves TIFF and PDF files, or a HylaFAX server.

    `deliver_to`: `role:…` (a role's id in plans) or `software:…` (an HL7 partner); empty: a person decides.
    """

    name: str
    folder: Path | None = None
    hylafax: ReceiveQueueServer | None = None
    number: str = ""
    legal_entity: str = ""
    zone: str = ""
    deliver_to: str = ""
    name_pattern: str = ""
    poll_seconds: float = bounded(10.0, 0.05, 3600)
    settle_seconds: float = bounded(5.0, 0, 3600)
    max_file_bytes: int = bounded(33_554_432, 1024, 268_435_456)
    compare: FaxCompare = FaxCompare.STRICT
    masked: DoubtfulFax = DoubtfulFax.PARK
    trusted: tuple[TrustedFaxSender, ...] = ()
