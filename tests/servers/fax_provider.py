"""A mail-to-fax provider that takes our mails and answers them as OVHcloud's guide describes, well or badly.

Its post is either the two doubles of `mssante` or real Postfix and Dovecot: `letters` is what reached it, `post` puts a mail into
our mailbox.
"""

from __future__ import annotations

import email
import email.policy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Protocol

from adapter.channels.mail_fax import Relay
from mssante.auth import ClientCertificate
from mssante.autoconfig import Endpoint
from mssante.mailbox import MailboxSettings
from mssante.smtp import Verdict, send
from mssante.testing import OperatorDouble, TestPki
from mssante.testing_mailbox import MailboxDouble
from mssante.tls import TlsSettings
from tests.servers.mail_operator import DOMAIN, SENDER, MailOperator

PROVIDER = f"no-reply@{DOMAIN}"


class Post(Protocol):
    """The servers between us and the provider."""

    relay: Relay
    mailbox: MailboxSettings

    def letters(self, address: str, count: int) -> Sequence[EmailMessage]:
        """What reached an address of the provider's, once there are so many."""
        ...

    def count(self, address: str) -> int:
        """How many reached it until now."""
        ...

    def post(self, content: bytes) -> None:
        """A mail for us, in our mailbox when this returns."""
        ...


@dataclass
class DoublePost:
    """The doubles."""

    pki: TestPki
    operator: OperatorDouble
    box: MailboxDouble

    def __post_init__(self) -> None:
        tls = _tls(self.pki)
        self.relay = Relay(Endpoint("127.0.0.1", self.operator.port), ClientCertificate(), tls, 2.0)
        self.mailbox = MailboxSettings("127.0.0.1", self.box.port, tls)

    def letters(self, address: str, count: int) -> Sequence[EmailMessage]:
        """In the operator's memory."""
        self.operator.wait_for(count)
        return [_read(mail.content) for mail in self.operator.received if mail.envelope_to == address]

    def count(self, address: str) -> int:
        """In the operator's memory."""
        return sum(mail.envelope_to == address for mail in self.operator.received)

    def post(self, content: bytes) -> None:
        """At once."""
        self.box.deliver(content)


@dataclass
class RealPost:
    """Postfix and Dovecot. Boxes are those of the whole test module: counts start from what they held."""

    operator: MailOperator
    before: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tls = _tls(self.operator.pki)
        self.relay = Relay(Endpoint("127.0.0.1", self.operator.smtp_port), ClientCertificate(), tls, 20.0)
        self.mailbox = MailboxSettings("127.0.0.1", self.operator.imap_port, tls)
        self.before = {box: len(self.operator.mails(box)) for box in self.operator.mailboxes}

    def letters(self, address: str, count: int) -> Sequence[EmailMessage]:
        """As files of Dovecot's."""
        before = self.before[address]
        return self.operator.wait_for_mail(address, before + count)[before:]

    def count(self, address: str) -> int:
        """As files of Dovecot's."""
        return len(self.operator.mails(address)) - self.before[address]

    def post(self, content: bytes) -> None:
        """By SMTP, as a stranger's mail comes; returns once Dovecot has it."""
        count = len(self.operator.mails(SENDER))
        relay = self.relay
        result = send(content, PROVIDER, SENDER, host="127.0.0.1", port=relay.server.port, tls=relay.tls, dsn=False)
        assert result.verdict is Verdict.ACCEPTED, result.summary
        self.operator.wait_for_mail(SENDER, count + 1)


@dataclass
class FaxProvider:
    """The provider's side."""

    post: Post
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def answer(
        self, letter: EmailMessage | None, subject: str, text: str = "Bonjour,", *, sender: str = PROVIDER, quotes: bool = True
    ) -> bytes:
        """One mail of the provider's, posted; `quotes`: as an answer to ours. Returns it, to be posted again."""
        mail = EmailMessage(policy=email.policy.SMTP)
        mail["From"], mail["To"], mail["Subject"] = f"Service Fax <{sender}>", SENDER, subject
        mail["Message-ID"] = f"<answer-{next(self.numbers)}@{DOMAIN}>"
        if letter is not None:
            mail["Date"] = format_datetime(letter["Date"].datetime)
            if quotes:
                mail["In-Reply-To"] = letter["Message-ID"]
        mail.set_content(text)
        content = mail.as_bytes()
        self.post.post(content)
        return content

    def takes(self, letter: EmailMessage, **how: bool) -> bytes:
        """The first confirmation."""
        return self.answer(letter, "Télécopie", "Votre demande a bien été prise en compte.", **how)

    def transmits(self, letter: EmailMessage, **how: bool) -> bytes:
        """The second one, which quotes the name of the file."""
        (attached,) = letter.iter_attachments()
        return self.answer(letter, f"Télécopie de '{attached.get_filename()}' : bonne transmission", **how)


def _tls(pki: TestPki) -> TlsSettings:
    return TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "operateur.test")


def _read(content: bytes) -> EmailMessage:
    read = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read
