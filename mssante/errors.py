"""What this library raises: misuse and impossible content. What a partner does is a value (`SmtpResult`), never an exception.

Texts hold places and codes, never patient content: they reach logs.
"""

from __future__ import annotations


class MssanteError(Exception):
    """Base of the library's errors. `code` is a stable dotted word, `where` names a place (a field, a file)."""

    def __init__(self, code: str, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        return f"{self.code}{place}: {self.message}"


class AddressError(MssanteError):
    """An address cannot be used."""


class MetadataError(MssanteError):
    """XDM metadata is missing, malformed or contradictory."""


class MessageError(MssanteError):
    """A mail cannot be written from what was given."""


class TlsSettingsError(MssanteError):
    """A certificate, key or authority file cannot be used."""


class TokenUnavailableError(MssanteError):
    """No access token now; asking again later may help. Raised by a token provider."""


class SessionEndedError(MssanteError):
    """The person must sign in again: the refresh token is dead (ECO 1.2.6). Never tried again. Raised by a token provider."""


class MailboxError(MssanteError):
    """A mailbox's session is over. Its subclasses say whether to come back."""


class MailboxLostError(MailboxError):
    """The line broke, stalled or made no sense: come back after a pause."""


class MailboxRefusedError(MailboxError):
    """The server answered and does not let us in: come back much later, failed logins are punished by delays."""


class TrustError(MssanteError):
    """A certificate, revocation list, container or list of domains cannot be read or does not fit."""


class LookupFailedError(MssanteError):
    """The name servers gave no answer: nothing is known, and trying again may help."""


class ArchiveError(MssanteError):
    """An archive is hostile, broken, or beyond the limits: nothing of it was read."""


class MailError(MssanteError):
    """A mail is beyond the limits, or no mail at all."""


class ReceiptError(MssanteError):
    """A receipt cannot be written from what was given."""
