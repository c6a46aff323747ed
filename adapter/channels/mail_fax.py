"""The fax by a provider that takes mails: accepted = a mail server took ours, delivered = the provider says so, pages unproved.

Laws: blueprint seams 5 and 7. A provider does not know a second copy and cannot be asked what it has: after doubt nothing is sent
again until a person says so, and what it never confirmed is a person's. Its answers are mails, which anybody may write: what
counts stands in `mail_fax_answers`. TLS always, ourselves proved; the provider's password stands in the mail and nowhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from adapter.channels.base import Capabilities
from adapter.channels.fax_line import fax_capabilities, refused
from adapter.channels.mail_fax_answers import AnswerRules, News, ProviderMail, Silence, Told, Untold, understand
from adapter.channels.mail_fax_letter import LetterFacts, LetterTemplates, our_name, write_letter
from adapter.channels.mssante import outcome_of
from adapter.errors import ConfigurationError
from adapter.formats.phone_number import REFUSED_FOR_FAX, e164, kind_of
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall
from adapter.model.relayed_fax import RelayedFax
from adapter.packaging.parcel import FaxPdfContent, Parcel
from mssante.auth import Auth
from mssante.autoconfig import Endpoint
from mssante.errors import AddressError, MailError, MssanteError
from mssante.incoming import read_mail
from mssante.mailbox import Mail, Mailbox, MailboxSettings, Oversize
from mssante.smtp import Stage, Verdict, probe, send
from mssante.tls import TlsSettings, TlsSource

log = structlog.get_logger()

SOURCE = "mail-fax"
_PAGES_UNPROVED = "confirmed by the provider, pages not proved"
_UNSURE, _UNSURE_ADVICE = (
    "fax-answer-unsure",
    "Le fournisseur de télécopie a répondu, sans dire clairement pour quel envoi ou avec quel résultat : lire son message.",
)
_UNCONFIRMED_ADVICE = (
    "Le fournisseur de télécopie n'a pas confirmé la transmission dans le délai : vérifier dans son espace client ou appeler le "
    "destinataire, puis relancer si besoin."
)
# A mail of a provider is small; one that brings the pages back is read by its head alone.
_LARGEST_MAIL = 4 * 1024 * 1024
_MAILS_A_ROUND = 100
# Answers to faxes older than that are not looked for.
_MEMORY = timedelta(days=7)


class FaxBook(Protocol):
    """What we handed over: the ledger."""

    def handed_over(self, since: datetime) -> tuple[RelayedFax, ...]:
        """Faxes put on the wire since then, whatever became of them."""
        ...

    def may_go_again(self, delivery_id: str) -> bool:
        """True when a person said so after the last doubt about this fax."""
        ...

    def ask_about(self, reference: str, reason: str, advice: str) -> None:
        """Ask a person about one fax, once while nobody answered."""
        ...

    def park_unconfirmed(self, sent_before: datetime, urgent_before: datetime, advice: str) -> int:
        """Ask about every fax handed over before then that nothing ended."""
        ...


class EmptyBook:
    """For who only looks at the servers: nothing was handed over, nothing goes again."""

    def handed_over(self, since: datetime) -> tuple[RelayedFax, ...]:  # noqa: ARG002 - the port's signature
        """Nothing."""
        return ()

    def may_go_again(self, delivery_id: str) -> bool:  # noqa: ARG002 - the port's signature
        """Never."""
        return False

    def ask_about(self, reference: str, reason: str, advice: str) -> None:
        """Nobody."""

    def park_unconfirmed(self, sent_before: datetime, urgent_before: datetime, advice: str) -> int:  # noqa: ARG002
        """None."""
        return 0


@dataclass(frozen=True)
class Relay:
    """The mail server that takes our mails, and who we are there."""

    server: Endpoint
    auth: Auth = field(repr=False)
    tls: TlsSettings | TlsSource = field(default_factory=TlsSettings)
    timeout_seconds: float = 60.0


@dataclass(frozen=True)
class MailFaxSettings:
    """A provider's account. `sender`: the address that it knows us by, whose mailbox gets its answers.

    `patience`: how long its confirmation may take before a person is asked, `urgent_patience` for an urgent document.
    """

    relay: Relay
    mailbox: MailboxSettings
    book: FaxBook
    sender: str
    templates: LetterTemplates
    rules: AnswerRules
    password: Callable[[], str] = field(default=str, repr=False)
    line: str = ""
    quality: str = ""
    folder: str = "INBOX"
    poll_seconds: float = 30.0
    patience: timedelta = timedelta(hours=4)
    urgent_patience: timedelta = timedelta(minutes=30)
    size_limit_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True)
class _Place:
    """How far the mailbox was read."""

    validity: int = 0
    uid: int = 0

    @classmethod
    def read(cls, cursor: str) -> _Place:
        return cls(*json.loads(cursor)) if cursor else cls()

    def written(self) -> str:
        return json.dumps([self.validity, self.uid])


class MailFaxChannel:
    """The fax as a way out, through a provider's mails."""

    def __init__(
        self,
        settings: MailFaxSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._next_poll = monotonic()

    @property
    def capabilities(self) -> Capabilities:
        """What a provider's word proves. A second hand-over is a second fax."""
        return fax_capabilities(self._settings.size_limit_bytes, resend_is_safe=False, proof_is_secondhand=True)

    def send(self, parcel: Parcel) -> SendOutcome:
        """Hand the pages over to the provider's mail server."""
        content = parcel.content
        if not isinstance(content, FaxPdfContent):
            return refused("rendition-impossible", "not fax pages as a PDF")
        if kind_of(parcel.address) in REFUSED_FOR_FAX:
            return refused("no-such-number", "no telephone number that a fax may dial")
        try:
            outcome = self._hand_over(parcel, content)
        except ConfigurationError:
            return SendOutcome(OutcomeKind.DEFERRED, "auth-refused", detail="the provider's password cannot be read")
        except AddressError as error:
            return refused("fax-provider-refused", error.code)
        except MssanteError as error:
            return SendOutcome(OutcomeKind.DEFERRED, "tls-failed", detail=error.code)
        note = " ".join(filter(None, (outcome.detail, content.note)))
        return SendOutcome(outcome.kind, outcome.cause, partner_reference=outcome.partner_reference, detail=note)

    def find(self, parcel: Parcel) -> SendOutcome | None:
        """Nobody can be asked: what may have left goes again only once a person said so."""
        if self._settings.book.may_go_again(parcel.delivery_id):
            return None
        return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail="a provider cannot be asked what it has")

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """The provider's answers since a place in the mailbox; what stayed unconfirmed is asked about."""
        if self._monotonic() < self._next_poll:
            return (), cursor
        self._next_poll = self._monotonic() + self._settings.poll_seconds
        its, now = self._settings, self._clock()
        its.book.park_unconfirmed(now - its.patience, now - its.urgent_patience, _UNCONFIRMED_ADVICE)
        with Mailbox.open(its.mailbox) as mailbox:
            return self._read(mailbox, _Place.read(cursor), now)

    def check(self) -> str:
        """Whether both servers let us in, without sending nor reading."""
        relay = self._settings.relay
        server = relay.server
        try:
            self._settings.password()
            result = probe(host=server.host, port=server.port, tls=relay.tls, auth=relay.auth, immediate=server.immediate)
            if result.verdict is not Verdict.ACCEPTED:
                return f"{server.host}:{server.port} answered {result.summary}. Check host, account and certificate."
            with Mailbox.open(self._settings.mailbox) as mailbox:
                mailbox.select(self._settings.folder)
        except (MssanteError, ConfigurationError) as error:
            return f"{error}. Check the provider's password, the mail account, its mailbox and the authority file."
        return ""

    # -- sending ------------------------------------------------------------------------------------------------------

    def _hand_over(self, parcel: Parcel, content: FaxPdfContent) -> SendOutcome:
        its, relay = self._settings, self._settings.relay
        facts = LetterFacts(
            sender=its.sender,
            number=e164(parcel.address),
            name=our_name(parcel.reference, content.attempt),
            password=its.password(),
            line=its.line,
            quality=its.quality,
            sent_at=self._clock(),
            pdf=content.pdf,
        )
        letter = write_letter(its.templates, facts)
        if len(letter.message) > its.size_limit_bytes:
            return refused("too-large", f"{len(letter.message)} bytes")
        result = send(
            letter.message,
            its.sender,
            letter.recipient,
            host=relay.server.host,
            port=relay.server.port,
            tls=relay.tls,
            timeout=relay.timeout_seconds,
            final_timeout=2 * relay.timeout_seconds,
            auth=relay.auth,
            dsn=False,
            local_name=its.sender.rpartition("@")[2],
            immediate=relay.server.immediate,
        )
        outcome = outcome_of(result)
        if result.verdict is Verdict.PERMANENT and result.stage in _PROVIDERS_OWN and outcome.cause != "too-large":
            # The address is made of a number: no mailbox of anybody is to be suspended for it.
            return refused("fax-provider-refused", result.summary)
        return outcome

    # -- answers ------------------------------------------------------------------------------------------------------

    def _read(self, mailbox: Mailbox, place: _Place, now: datetime) -> tuple[tuple[Evidence, ...], str]:
        state = mailbox.select(self._settings.folder)
        last = place.uid if place.validity == state.uid_validity else 0
        uids = mailbox.search(after=last, since=(now - _MEMORY).date())[:_MAILS_A_ROUND]
        if len(uids) == _MAILS_A_ROUND:
            self._next_poll = self._monotonic()
        faxes = self._settings.book.handed_over(now - _MEMORY) if uids else ()
        evidence = []
        for uid in uids:
            proof = self._proof(mailbox, uid, faxes, now)
            evidence += [proof] if proof is not None else []
            last = uid
        return tuple(evidence), _Place(state.uid_validity, last).written()

    def _proof(self, mailbox: Mailbox, uid: int, faxes: tuple[RelayedFax, ...], now: datetime) -> Evidence | None:
        arrival = next(iter(mailbox.announce([uid])), None)
        found = mailbox.fetch(uid, _LARGEST_MAIL, arrival) if arrival is not None else None
        if arrival is None or not isinstance(found, Mail | Oversize):
            return None
        try:
            mail = read_mail(found.content if isinstance(found, Mail) else found.headers)
        except MailError as error:
            log.warning("mail-fax.unreadable", code=error.code)
            return None
        arrived_at = arrival.received_at or now
        told = understand(ProviderMail(mail, arrived_at), self._settings.rules, faxes)
        if isinstance(told, Told):
            return _evidence(told, arrived_at)
        self._leave(told)
        return None

    def _leave(self, untold: Untold) -> None:
        """A mail that proves nothing: a person learns of what may be theirs to decide."""
        log.info("mail-fax.no-proof", why=untold.why.value, faxes=len(untold.about))
        if untold.why in (Silence.CONTRADICTORY, Silence.SEVERAL_FAXES):
            for reference in untold.about:
                self._settings.book.ask_about(reference, _UNSURE, _UNSURE_ADVICE)


# Stages at which a no is about the fax, not about our account.
_PROVIDERS_OWN = (Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)


def _evidence(told: Told, at: datetime) -> Evidence:
    how = "matched by its number" if told.by_number else ""
    match told.news:
        case News.TAKEN:
            return _said(told, DeliveryState.ACCEPTED, at, "", "taken by the provider", how)
        case News.TRANSMITTED:
            return replace(_said(told, DeliveryState.DELIVERED, at, "", _PAGES_UNPROVED, how), calls=_call(told, at, ""))
        case News.FAILED:
            cause = "fax-provider-failed"
            return replace(_said(told, DeliveryState.REFUSED, at, cause, how), calls=_call(told, at, cause))
        case News.REFUSED:
            return _said(told, DeliveryState.REFUSED, at, "fax-provider-refused", how)


def _said(told: Told, proves: DeliveryState, at: datetime, cause: str, *words: str) -> Evidence:
    return Evidence(told.reference, proves, at, SOURCE, cause, ", ".join(filter(None, words)))


def _call(told: Told, at: datetime, cause: str) -> tuple[FaxCall, ...]:
    """The provider dialled, for how long and how often nobody says; no page of it is proved. It went once, however often told."""
    name = f"{told.reference} {at.isoformat() if cause else 'transmitted'}"
    return (FaxCall(told.reference, CallDirection.OUT, at, name, cause=cause, device=SOURCE),)
