"""A provider that takes faxes as mails, as the configuration writes it. What must agree, and the presets, are in `mail_fax`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adapter.config.bounds import bounded
from adapter.config.secret import Secret
from adapter.config.tls_files import MailSecurity, TlsClient


class FaxProvider(StrEnum):
    """Whose templates and words a mail-to-fax account uses; `generic`: only those written here."""

    GENERIC = "generic"
    ECOFAX = "ecofax"


@dataclass(frozen=True)
class FaxMailbox:
    """Where the provider's answers come, with the account of the sending side. Read only: nothing is marked, moved or deleted."""

    host: str
    port: int = bounded(993, 1, 65535)
    security: MailSecurity = MailSecurity.TLS
    folder: str = "INBOX"
    poll_seconds: float = bounded(30.0, 0.05, 3600)


@dataclass(frozen=True)
class FaxAnswers:
    """Which mails are the provider's, and what their words mean: patterns (regular expressions) of the subject, else of the text.

    `senders`: addresses or domains. `authserv_id`: how our own mail server names itself in `Authentication-Results`; given, only
    mails count whose sender it proved. Without the provider's confirmation in its minutes, a person is asked.
    """

    senders: tuple[str, ...] = ()
    authserv_id: str = ""
    taken: str = ""
    transmitted: str = ""
    failed: str = ""
    refused: str = ""
    minutes: float = bounded(240.0, 0.01, 10_080)
    urgent_minutes: float = bounded(30.0, 0.01, 10_080)


@dataclass(frozen=True)
class MailFax:
    """A mail-to-fax account. `accepts_third_party` says that the operator knows: pages and password travel to a third party.

    Templates hold words in braces: `{number}` (E.164), `{national}`, `{digits}`, `{line}`, `{reference}`, `{password}`,
    `{quality}`.
    `for_tests`: it reaches no telephone line. A test instance uses no other, a production instance none.
    """

    host: str
    sender: str
    mailbox: FaxMailbox
    provider: FaxProvider = FaxProvider.GENERIC
    port: int = bounded(465, 1, 65535)
    security: MailSecurity = MailSecurity.TLS
    server_name: str = ""
    tls: TlsClient = field(default_factory=TlsClient)
    user: str = ""
    password: Secret | None = None
    fax_password: Secret | None = None
    line: str = ""
    quality: str = ""
    address: str = ""
    subject: str = ""
    body: str = ""
    answers: FaxAnswers = field(default_factory=FaxAnswers)
    timeout_seconds: float = bounded(60.0, 0.1, 600)
    max_message_bytes: int = bounded(10_485_760, 65_536, 1_073_741_824)
    accepts_third_party: bool = False
    for_tests: bool = False
