"""The client's TLS: whom we trust, who we are, and the context that OpenSSL works with.

Sources: ECO 1.1.1 (TLS 1.2 or later), 1.1.3 (suites of the ANSSI guide), 1.1.6 (revocation), 1.1.10 (IGC-Santé alone).
Files are read when a context is made: `live_tls` makes a new one when they change.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mssante.errors import TlsSettingsError

# TLS 1.2 suites of the ANSSI guide (ECO 1.1.3); those of TLS 1.3 are all right as they come.
_TLS12_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True)
class TlsSettings:
    """Who we are and whom we trust. `server_name` is the name that the operator's certificate must carry.

    `revocation_lists` (PEM) makes a revoked server certificate refused (ECO 1.1.6). Without `authorities` the system's list
    counts: production wants IGC-Santé alone (ECO 1.1.10). Files, not bytes: OpenSSL reads keys itself.
    `immediate`: TLS from the first byte (ports 465, 993) for operators without STARTTLS.
    `password_file` opens an encrypted key; PKCS#12 containers (`.p12`, `.pfx` as `certificate`) need `live_tls.LiveTls`.
    """

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
    revocation_lists: Path | None = None
    immediate: bool = False
    password_file: Path | None = None


class TlsSource(Protocol):
    """What a connection asks before each handshake. `live_tls.LiveTls` is one that follows its files."""

    @property
    def settings(self) -> TlsSettings:
        """The settings behind the contexts."""
        ...

    def contexts(self) -> tuple[ssl.SSLContext, ...]:
        """The contexts to try, best first. The second, if any, shows the identity of the generation before."""
        ...


def contexts_of(tls: TlsSettings | TlsSource) -> tuple[ssl.SSLContext, ...]:
    """The contexts to try, best first; TlsSettingsError when a file cannot be used."""
    return (tls_context(tls),) if isinstance(tls, TlsSettings) else tls.contexts()


def settings_of(tls: TlsSettings | TlsSource) -> TlsSettings:
    """The settings themselves, whichever was given."""
    return tls if isinstance(tls, TlsSettings) else tls.settings


def client_context(authorities: Path | str | None = None) -> ssl.SSLContext:
    """A context that verifies the server against those authorities (a file, or PEM text) and speaks as the ANSSI guide allows."""
    if isinstance(authorities, str):
        context = ssl.create_default_context(cadata=authorities or None)
    else:
        context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_SUITES)
    return context


def read_password(file: Path | None) -> bytes:
    """The password of a key, without the line end that editors add; empty when there is none."""
    return file.read_bytes().rstrip(b"\r\n") if file else b""


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """The client's TLS context; TlsSettingsError when a file cannot be used."""
    try:
        context = client_context(tls.authorities)
        if tls.certificate is not None:
            # An encrypted key would make OpenSSL ask at the terminal: an empty password makes it fail instead.
            password = read_password(tls.password_file)
            context.load_cert_chain(str(tls.certificate), str(tls.key) if tls.key else None, password=password)
        if tls.revocation_lists is not None:
            context.load_verify_locations(cafile=str(tls.revocation_lists))
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    except (OSError, ssl.SSLError) as error:
        raise TlsSettingsError("tls.unreadable", f"{type(error).__name__}: a certificate, key or authority file") from error
    return context
