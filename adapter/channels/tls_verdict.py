"""Waits, after a TLS 1.3 handshake, for what the partner thinks of our certificate: nothing is said before.

Trap: RFC 8446 §4.4. In TLS 1.3 our side of the handshake is over before the partner has looked at our certificate. Whoever speaks
at once learns of a refusal by an alert or a bare hang-up in place of the answer, and cannot tell it from a lost answer.
Servers that keep sessions send tickets once they accepted, so the wait is one round trip; the others cost the whole patience.
"""

from __future__ import annotations

import select
import ssl

_PATIENCE_SECONDS = 0.3


class SpokeFirstError(ssl.SSLError):
    """The partner said something before it was asked: not the protocol that we speak."""


def await_verdict(line: ssl.SSLSocket) -> None:
    """Return when the partner accepted us (or said nothing so far); ssl.SSLError when it refused us: it was told nothing yet."""
    if line.version() != "TLSv1.3":
        return
    patience = line.gettimeout()
    readable, _, _ = select.select([line], [], [], _PATIENCE_SECONDS)
    if not readable:
        return
    line.settimeout(0)
    try:
        said = line.recv(1)
    except ssl.SSLWantReadError:
        return  # tickets only: we are in
    except OSError as error:
        raise ssl.SSLError(f"refused after the handshake ({type(error).__name__})") from None
    finally:
        line.settimeout(patience)
    if said:
        raise SpokeFirstError("spoke first")
    raise ssl.SSLError("refused after the handshake (hang-up)")
