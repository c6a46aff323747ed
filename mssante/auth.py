"""How a client proves who it is to the operator: its TLS certificate, a Pro Santé Connect token, or a password in tests.

Sources: ECO 1.2.1 (XOAUTH2), 1.2.3 (faults isolated), 1.2.5 (a token is never kept), 1.2.6 (refresh dead: the session ends);
RFC 4422 appendix A (EXTERNAL), RFC 4616 (PLAIN).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class TokenProvider(Protocol):
    """Gives an access token that is good now. Any function without argument that returns a text is one.

    It is called at each connection, and what it returns is forgotten once sent. It raises `SessionEndedError` when the person
    must sign in again (the refresh token is dead), `TokenUnavailableError` when the token may come later.
    """

    def __call__(self) -> str:
        """A token that is good for this connection."""
        ...


@dataclass(frozen=True)
class ClientCertificate:
    """The TLS client certificate says who we are; `external` adds SASL EXTERNAL for operators who want it.

    IMAP always needs a login, so there it is always EXTERNAL.
    """

    external: bool = False


@dataclass(frozen=True)
class XOAuth2:
    """Pro Santé Connect: `token` is asked for at each connection (it lives minutes) and never kept.

    To be used with TLS settings that show no certificate: servers that know one (Dovecot with `auth_ssl_username_from_cert`) put
    its name in the place of the token's user, and refuse the login.
    """

    user: str
    token: TokenProvider = field(repr=False)

    def response(self) -> bytes:
        """What the SASL mechanism sends, before Base64."""
        return f"user={self.user}\x01auth=Bearer {self.token()}\x01\x01".encode()


@dataclass(frozen=True)
class Password:
    """User and password: test operators only."""

    user: str
    secret: str = field(repr=False)

    def response(self) -> bytes:
        """What SASL PLAIN sends, before Base64."""
        return f"\0{self.user}\0{self.secret}".encode()


Auth = ClientCertificate | XOAuth2 | Password
