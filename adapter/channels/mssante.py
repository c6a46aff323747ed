"""Secure mail as a channel: one SMTP send to the operator, its answer turned into an outcome with a cause of the table.

Sources: Référentiel socle MSSanté #2; blueprint seams 4, 5, 7. Accepted means the operator answered 250: nothing more.
A second copy is recognised by its Message-ID and submission set id, so sending again is safe for the receiver's software.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from adapter.channels.base import Capabilities
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import MailContent, Parcel
from mssante.address import domain_of
from mssante.errors import AddressError, MssanteError
from mssante.smtp import Auth, ClientCertificate, Password, Reason, SmtpResult, Stage, TlsSettings, Verdict, probe, send


@dataclass(frozen=True)
class SecureMailSettings:
    """How to reach our operator, and who we are there.

    `authorities` absent: the system's list. `user` and `password`: operators (tests) that want them beside the certificate;
    `sasl_external`: those that want SASL EXTERNAL. `trusted_domains` is a last guard: when given, no other domain is ever
    written to, whatever the plan says. `final_timeout_seconds` is the patience after the last byte, where giving up means doubt.
    """

    host: str
    port: int = 587
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    revocation_lists: Path | None = None
    server_name: str = ""
    implicit_tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    sasl_external: bool = False
    local_name: str = ""
    timeout_seconds: float = 60.0
    final_timeout_seconds: float = 120.0
    max_message_bytes: int = 26_214_400
    trusted_domains: tuple[str, ...] = ()

    @property
    def tls(self) -> TlsSettings:
        """The same, as the mail library wants it."""
        return TlsSettings(
            authorities=self.authorities,
            certificate=self.certificate,
            key=self.key,
            server_name=self.server_name,
            revocation_lists=self.revocation_lists,
            immediate=self.implicit_tls,
        )

    @property
    def auth(self) -> Auth:
        """How we prove who we are once the line is encrypted."""
        return Password(self.user, self.password) if self.user else ClientCertificate(external=self.sasl_external)


class SecureMailChannel:
    """The secure mail channel. Keeps no connection between two sends: certificates are rotated under it at will."""

    def __init__(self, settings: SecureMailSettings) -> None:
        self._settings = settings
        self._trusted = frozenset(domain.lower() for domain in settings.trusted_domains)

    @property
    def capabilities(self) -> Capabilities:
        """What secure mail carries and can prove."""
        return Capabilities(
            name=ChannelName.SECURE_MAIL,
            renditions=("xdm", "pdf"),
            proves=(DeliveryState.ACCEPTED, DeliveryState.DELIVERED, DeliveryState.READ, DeliveryState.INTEGRATED),
            final_state=DeliveryState.INTEGRATED,
            size_limit_bytes=self._settings.max_message_bytes,
            resend_is_safe=True,
        )

    def send(self, parcel: Parcel) -> SendOutcome:
        """Hand the mail to the operator."""
        content = parcel.content
        if not isinstance(content, MailContent):
            return SendOutcome(OutcomeKind.REFUSED, "rendition-impossible", detail="not a mail")
        if len(content.message) > self._settings.max_message_bytes:
            return SendOutcome(OutcomeKind.REFUSED, "too-large", detail="above our own limit")
        try:
            if self._trusted and domain_of(content.envelope_to) not in self._trusted:
                return SendOutcome(OutcomeKind.REFUSED, "domain-refused", detail="outside our list of trusted domains")
            return outcome_of(self._hand_over(content))
        except AddressError as error:
            return SendOutcome(OutcomeKind.REFUSED, "mailbox-unknown", detail=error.code)
        except MssanteError as error:
            return SendOutcome(OutcomeKind.DEFERRED, "tls-failed", detail=error.code)

    def find(self, parcel: Parcel) -> SendOutcome | None:  # noqa: ARG002 - the port's signature
        """SMTP cannot be asked about a mail: a notification will tell, or a second send with the same Message-ID."""
        return None

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Nothing to poll: notifications arrive by mail, and mail has one reader (seam 8)."""
        return (), cursor

    def check(self) -> str:
        """Connect, encrypt, say NOOP, leave."""
        settings = self._settings
        try:
            result = probe(
                host=settings.host,
                port=settings.port,
                tls=settings.tls,
                timeout=min(settings.timeout_seconds, 10.0),
                auth=settings.auth,
                local_name=settings.local_name,
            )
        except MssanteError as error:
            return f"{error}. Check the certificate, key and authority files."
        if result.verdict is Verdict.ACCEPTED:
            return ""
        return f"{settings.host}:{settings.port} answered {result.summary} ({result.reason}). {_ADVICE[result.stage]}"

    def _hand_over(self, content: MailContent) -> SmtpResult:
        settings = self._settings
        return send(
            content.message,
            content.envelope_from,
            content.envelope_to,
            host=settings.host,
            port=settings.port,
            tls=settings.tls,
            timeout=settings.timeout_seconds,
            final_timeout=settings.final_timeout_seconds,
            auth=settings.auth,
            dsn=content.wants_dsn,
            envelope_id=content.envelope_id,
            # `localhost` is what many operators refuse as a greeting: our mail domain stands for an unnamed host.
            local_name=settings.local_name or domain_of(content.envelope_from),
        )


_ADVICE = {
    Stage.CONNECT: "Check host, port and network.",
    Stage.TLS: "Check both sides' certificates and authorities.",
    Stage.AUTH: "Check the account that the operator gave.",
    Stage.MAIL: "Ask the operator.",
    Stage.RCPT: "Ask the operator.",
    Stage.DATA: "Ask the operator.",
    Stage.END_OF_DATA: "Ask the operator.",
}


def outcome_of(result: SmtpResult) -> SendOutcome:
    """What an SMTP result means for a delivery."""
    match result.verdict:
        case Verdict.ACCEPTED:
            return SendOutcome(OutcomeKind.ACCEPTED, partner_reference=result.queue_id, detail=result.summary)
        case Verdict.UNCLEAR:
            return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=result.summary)
        case Verdict.TEMPORARY:
            return SendOutcome(OutcomeKind.DEFERRED, _passing_cause(result), detail=result.summary)
        case Verdict.PERMANENT:
            return SendOutcome(OutcomeKind.REFUSED, _lasting_cause(result), detail=result.summary)


def _passing_cause(result: SmtpResult) -> str:
    if result.reason is Reason.TIMEOUT:
        return "connect-timeout"
    if result.stage is Stage.TLS:
        return "tls-failed"
    if result.code in (0, 220):
        return "connect-failed"
    if result.stage is Stage.AUTH:
        return "auth-refused"
    # 4.2.2 is the mailbox's quota; 452 alone is the operator's own disk (RFC 3463).
    return "mailbox-full" if result.enhanced == "4.2.2" or result.code == 422 else "partner-busy"


def _lasting_cause(result: SmtpResult) -> str:
    if result.reason is Reason.TOO_LARGE or result.code == 523 or result.enhanced in ("5.3.4", "5.2.3"):
        return "too-large"
    if result.stage is Stage.TLS:
        return "tls-failed"
    if result.stage in (Stage.CONNECT, Stage.AUTH) or result.code in (530, 535, 538):
        return "auth-refused"
    if result.stage is Stage.RCPT:
        return _recipient_cause(result)
    if result.stage is Stage.MAIL:
        # RFC 1870: 552 to MAIL FROM is about the announced size. Anything else there refuses us as sender.
        return "too-large" if result.code == 552 else "auth-refused"
    return "mailbox-full" if result.enhanced == "5.2.2" else "content-refused"


def _recipient_cause(result: SmtpResult) -> str:
    if result.code == 552 or result.enhanced == "5.2.2":
        return "mailbox-full"
    # A domain that the operator does not serve is 554, or 550/5.7.1: correcting the mailbox would not help.
    if result.code == 554 or result.enhanced in ("5.7.1", "5.1.2", "5.4.4"):
        return "domain-refused"
    return "mailbox-unknown"
