"""Secure mail as a channel: one SMTP send to the operator, its answer turned into an outcome with a cause of the table.

Sources: Référentiel socle MSSanté #2; blueprint seams 4, 5, 7. Accepted means the operator answered 250: nothing more.
A second copy is recognised by its Message-ID and submission set id, so sending again is safe for the receiver's software.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapter.channels.base import Capabilities
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import MailContent, Parcel
from mssante.address import domain_of
from mssante.auth import Auth, ClientCertificate
from mssante.autoconfig import Endpoint
from mssante.errors import AddressError, LookupFailedError, MssanteError
from mssante.smtp import Reason, SmtpResult, Stage, Verdict, probe, send, send_to_first
from mssante.tls import TlsSettings, TlsSource


@dataclass(frozen=True)
class SecureMailSettings:
    """How to reach our operator, and who we are there.

    `servers` tells where to go for a sender's mail domain, in order (LookupFailedError: nowhere now); `domains` are those of our
    senders, for a check without a mail. `is_trusted` is a last guard, asked just before each mail: a domain that left the trust
    space since the plan was made is not written to. `final_timeout_seconds` is the patience after the last byte, where giving up
    means doubt.
    """

    servers: Callable[[str], Sequence[Endpoint]]
    tls: TlsSettings | TlsSource = field(default_factory=TlsSettings)
    auth: Auth = field(default_factory=ClientCertificate)
    domains: tuple[str, ...] = ()
    local_name: str = ""
    timeout_seconds: float = 60.0
    final_timeout_seconds: float = 120.0
    max_message_bytes: int = 26_214_400
    is_trusted: Callable[[str], bool] = lambda _: True


class SecureMailChannel:
    """The secure mail channel. Keeps no connection between two sends: certificates are rotated under it at will."""

    def __init__(self, settings: SecureMailSettings) -> None:
        self._settings = settings

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
            if not self._settings.is_trusted(content.envelope_to):
                return SendOutcome(OutcomeKind.REFUSED, "domain-refused", detail="outside our list of trusted domains")
            return outcome_of(self._hand_over(content, parcel.reference))
        except AddressError as error:
            return SendOutcome(OutcomeKind.REFUSED, "mailbox-unknown", detail=error.code)
        except LookupFailedError as error:
            return SendOutcome(OutcomeKind.DEFERRED, "connect-failed", detail=error.code)
        except MssanteError as error:
            return SendOutcome(OutcomeKind.DEFERRED, "tls-failed", detail=error.code)

    def find(self, parcel: Parcel) -> SendOutcome | None:  # noqa: ARG002 - the port's signature
        """SMTP cannot be asked about a mail: a notification will tell, or a second send with the same Message-ID."""
        return None

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Nothing to poll: notifications arrive by mail, and mail has one reader (seam 8)."""
        return (), cursor

    def check(self) -> str:
        """Connect, encrypt, say NOOP, leave: at each server."""
        problems: list[str] = []
        for domain in self._settings.domains or ("",):
            try:
                servers = self._settings.servers(domain)
            except LookupFailedError as error:
                problems.append(f"{error}. Write the operator's host, or ask it for its DNS records.")
                continue
            problems += [problem for server in servers if (problem := self._problem_at(server))]
        return " ".join(dict.fromkeys(problems))

    def _problem_at(self, server: Endpoint) -> str:
        settings = self._settings
        try:
            result = probe(
                host=server.host,
                port=server.port,
                tls=settings.tls,
                timeout=min(settings.timeout_seconds, 10.0),
                auth=settings.auth,
                local_name=settings.local_name,
                immediate=server.immediate,
            )
        except MssanteError as error:
            return f"{error}. Check the certificate, key and authority files."
        if result.verdict is Verdict.ACCEPTED:
            return ""
        why = "" if result.reason in result.summary else f" ({result.reason})"
        return f"{server.host}:{server.port} answered {result.summary}{why}. {_ADVICE[result.stage]}"

    def _hand_over(self, content: MailContent, reference: str) -> SmtpResult:
        settings = self._settings
        # A receipt leaves without an envelope sender: its Message-ID holds our mail domain.
        domain = domain_of(content.envelope_from or reference.strip("<>"))

        def hand_over(server: Endpoint) -> SmtpResult:
            return send(
                content.message,
                content.envelope_from,
                content.envelope_to,
                host=server.host,
                port=server.port,
                tls=settings.tls,
                timeout=settings.timeout_seconds,
                final_timeout=settings.final_timeout_seconds,
                auth=settings.auth,
                dsn=content.wants_dsn,
                envelope_id=content.envelope_id,
                # `localhost` is what many operators refuse as a greeting: our mail domain stands for an unnamed host.
                local_name=settings.local_name or domain,
                immediate=server.immediate,
            )

        return send_to_first(settings.servers(domain), hand_over)


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
    if result.reason in (Reason.NOT_SIGNED_IN, Reason.SIGNED_OUT):
        return "auth-refused"  # no access token: somebody has to sign in, or what renews it is down
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
