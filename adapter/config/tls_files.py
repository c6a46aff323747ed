"""How a line is protected, as the configuration writes it: files of certificates, and when TLS begins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class MailSecurity(StrEnum):
    """How the mail operator's connection is protected. There is no clear-text choice outside the demo's loopback."""

    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True)
class TlsServer:
    """A door's TLS. With `client_ca`, only clients that it signed may connect; `revocation_lists` turns revoked ones away.

    `certificate` may be a PKCS#12 container (`.p12`, `.pfx`), then without `key`. Files may change at any time.
    """

    certificate: Path
    key: Path | None = None
    key_password_file: Path | None = None
    client_ca: Path | None = None
    revocation_lists: Path | None = None


@dataclass(frozen=True)
class TlsClient:
    """Our own certificate towards a partner, and who may sign theirs (`ca`; absent: the system's list).

    With `revocation_lists` (a file or a folder of them) a partner whose certificate is on one is refused.
    """

    certificate: Path | None = None
    key: Path | None = None
    key_password_file: Path | None = None
    ca: Path | None = None
    revocation_lists: Path | None = None
