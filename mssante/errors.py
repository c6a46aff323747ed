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
