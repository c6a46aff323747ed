"""TLS lines, credentials and servers of mail operators: from the operator's tables to values that follow files and DNS.

Law: ECO 1.1.5–1.1.10 (valid, unrevoked, IGC-Santé), 1.2.1–1.2.6 (tokens never kept); blueprint §1 (rooms receive values).
A certificate, key, authority or list may be replaced at any time: the next connection uses it. What cannot be used is told,
and the last good one stays in force. Towards partners a line is laid at its first use, so that one partner's broken file
stops neither the service nor the other partners; a door without its files does not open.
"""

from __future__ import annotations

import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from cryptography.x509 import load_der_x509_certificate

from adapter.config.secure_lines import tls_settings
from adapter.config.settings import AccessToken, Config, MailboxDoor, MailSecurity, Secret, TlsClient, TlsServer
from mssante.auth import Auth, ClientCertificate, Password, TokenProvider, XOAuth2
from mssante.autoconfig import Endpoint, Service, SrvLookup, discover, dns_lookup
from mssante.errors import LookupFailedError, MssanteError
from mssante.live_tls import LiveTls, TlsNews, TlsNotice
from mssante.mailbox import MailboxSettings
from mssante.tls import TlsSettings, TlsSource
from mssante.token_sources import CommandToken, FileToken, RefreshedToken
from mssante.trust import Expiry

log = structlog.get_logger()

# What DNS said is asked again after so long; while nobody answers, the last good answer stays in use.
_DNS_SECONDS = 300.0
# Certificates of clients remembered with what was thought of them.
_MOST_REMEMBERED = 65_536


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────────────────


class SecureLine:
    """The TLS of one place of the configuration: a `TlsSource` for mail, plain contexts for everybody else."""

    def __init__(
        self,
        place: str,
        settings: TlsSettings,
        *,
        new_context: Callable[[str], ssl.SSLContext] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        tell: Callable[[str, TlsNotice], None] | None = None,
    ) -> None:
        self.place = place
        self._teller = tell
        self._settings = settings
        self._now = now
        self._options: dict[str, Any] = {"new_context": new_context} if new_context is not None else {}
        self._lock = threading.Lock()
        self._live: LiveTls | None = None

    @property
    def settings(self) -> TlsSettings:
        """The files behind the line."""
        return self._settings

    def today(self) -> datetime:
        """The line's clock."""
        return self._now()

    def lay(self) -> LiveTls:
        """The line itself; MssanteError while its files cannot be used and never could."""
        with self._lock:
            if self._live is None:
                self._live = LiveTls(self._settings, tell=self._tell, now=self._now, **self._options)
            return self._live

    def contexts(self) -> tuple[ssl.SSLContext, ...]:
        """For mail: the contexts to try, best first; MssanteError while there is none."""
        return self.lay().contexts()

    def plain_contexts(self) -> tuple[ssl.SSLContext, ...]:
        """For rooms that know no mail: the same, and an OSError while there is none."""
        try:
            return self.contexts()
        except MssanteError as error:
            raise ssl.SSLError(error.code) from None

    def expiries(self, now: datetime) -> tuple[Expiry, ...]:
        """What ends when; MssanteError while the files cannot be used and never could."""
        live = self.lay()
        live.contexts()  # a file that changed is looked at now, not at the next connection
        return live.expiries(now)

    def _tell(self, notice: TlsNotice) -> None:
        if self._teller is not None:
            self._teller(self.place, notice)
            return
        about = {"place": self.place, "part": notice.part.value, "about": notice.about}
        match notice.news:
            case TlsNews.LOADED:
                if self._live is not None:  # the first time is the start, not news
                    log.info("tls.loaded", **about)
            case TlsNews.KEPT_OLD:
                log.error("tls.kept-old", code=notice.code, **about)
            case TlsNews.LIST_MISSING:
                log.warning("tls.list-missing", **about)


@dataclass(frozen=True)
class _Judged:
    """What was thought of a client's certificate with one generation of files."""

    generation: tuple[ssl.SSLContext, ...]
    ends_at: datetime
    is_good: bool


class DoorContext(ssl.SSLContext):
    """The context that a listening door is given once: each handshake is made with the line's files of that moment.

    A context cannot forget an authority, nor a session that it opened; so each generation of files has its own behind this one.
    """

    line: SecureLine
    _judged: dict[bytes, _Judged]

    @classmethod
    def on(cls, line: SecureLine) -> DoorContext:
        """The door's context; MssanteError when its files cannot be used."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        line.lay()
        context.line = line
        context._judged = {}
        return context

    def wrap_bio(self, *args: Any, **named: Any) -> ssl.SSLObject:
        """What asyncio calls for each connection."""
        return self.line.contexts()[0].wrap_bio(*args, **named)

    def wrap_socket(self, *args: Any, **named: Any) -> ssl.SSLSocket:
        """What plain servers call for each connection."""
        return self.line.contexts()[0].wrap_socket(*args, **named)

    def still_trusts(self, certificate: bytes) -> bool:
        """Whether a client let in earlier would be let in now (its certificate in DER): judged again when a file changed.

        To be asked once at the connection: a certificate never seen before is one that the handshake has just accepted.
        """
        generation = self.line.contexts()
        known = self._judged.get(certificate)
        if known is None or known.generation is not generation:
            if len(self._judged) >= _MOST_REMEMBERED:
                self._judged.clear()
            ends_at = load_der_x509_certificate(certificate).not_valid_after_utc
            # The handshake has just judged it: only what changed since is asked again.
            is_good = known is None or self.line.lay().still_trusts(certificate)
            known = self._judged[certificate] = _Judged(generation, ends_at, is_good)
        return known.is_good and self.line.today() < known.ends_at


class SecureLines:
    """Every line of one process, by its place in the configuration (`channels.mssante.tls`). `tell` replaces the log."""

    def __init__(self, config: Config, tell: Callable[[str, TlsNotice], None] | None = None) -> None:
        self._lines = {place: _line_at(place, tls, config, tell) for place, tls in tls_settings(config)}
        self._entities = {place: _entities_of(place, config) for place in self._lines}
        self._tokens: dict[AccessToken, TokenProvider] = {}

    def at(self, place: str) -> SecureLine:
        """One line."""
        return self._lines[place]

    def door(self, place: str) -> DoorContext:
        """A door's context on its line."""
        return DoorContext.on(self._lines[place])

    def auth(self, user: str, password: Secret | None, token: AccessToken | None, *, external: bool) -> Auth:
        """Who we are at an operator's. Who sends and reads with one refresh token shares what it was last renewed to."""
        if token is None:
            return mail_auth(user, password, external=external)
        return XOAuth2(user, self._tokens.setdefault(token, token_source(token)))

    def all(self) -> Iterator[tuple[SecureLine, tuple[str, ...]]]:
        """Each line with the legal entities (FINESS EJ) that it serves."""
        for place, line in self._lines.items():
            yield line, self._entities[place]


def _line_at(place: str, tls: TlsServer | TlsClient, config: Config, tell: Callable[[str, TlsNotice], None] | None) -> SecureLine:
    if isinstance(tls, TlsServer):
        files = TlsSettings(tls.client_ca, tls.certificate, tls.key, "", tls.revocation_lists, False, tls.key_password_file)
        return SecureLine(place, files, new_context=server_context, tell=tell)
    name, immediate = _reached_as(place, config)
    return SecureLine(place, client_files(tls, server_name=name, immediate=immediate), tell=tell)


def client_files(tls: TlsClient, *, server_name: str = "", immediate: bool = False) -> TlsSettings:
    """The files of one of our client lines."""
    return TlsSettings(tls.ca, tls.certificate, tls.key, server_name, tls.revocation_lists, immediate, tls.key_password_file)


def server_context(authorities: str) -> ssl.SSLContext:
    """TLS 1.2 at least; with authorities (PEM text), clients without a certificate of theirs are turned away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities:
        context.load_verify_locations(cadata=authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _reached_as(place: str, config: Config) -> tuple[str, bool]:
    """The name that a mail operator's certificate must carry (empty: its host's), and whether TLS comes at once."""
    operator = config.channels.mssante
    if operator is not None and place == "channels.mssante.tls":
        return operator.server_name, operator.security is MailSecurity.TLS
    fax = config.channels.fax
    if fax is not None and fax.mail is not None and place == "channels.fax.mail.tls":
        return fax.mail.server_name, fax.mail.security is MailSecurity.TLS
    for n, box in enumerate(config.doors.mailboxes, start=1):
        if place == f"doors.mailboxes[{n}].tls":
            return box.server_name, box.security is MailSecurity.TLS
    return "", False


def _entities_of(place: str, config: Config) -> tuple[str, ...]:
    boxes = {f"doors.mailboxes[{n}].tls": box.legal_entity for n, box in enumerate(config.doors.mailboxes, start=1)}
    push = config.channels.hl7_push.partners if config.channels.hl7_push else ()
    owned = boxes | {f"channels.hl7_push.partners[{n}].tls": partner.legal_entity for n, partner in enumerate(push, start=1)}
    return (owned[place],) if place in owned else tuple(entity.finess_ej for entity in config.legal_entities)


# ── who we are ────────────────────────────────────────────────────────────────────────────────────────────────


def mail_auth(user: str, password: Secret | None, *, external: bool) -> Auth:
    """A test operator's password, else the certificate (with SASL EXTERNAL when the operator wants it)."""
    if password is not None:
        return Password(user, password.read(os.environ))
    return ClientCertificate(external=external)


def token_source(token: AccessToken) -> TokenProvider:
    """Where tokens come from: asked at each connection, kept nowhere."""
    if token.file is not None:
        return FileToken(token.file)
    if token.refresh_token_file is not None:
        secret = partial(token.client_secret.read, os.environ) if token.client_secret is not None else str
        return RefreshedToken(token.endpoint, token.refresh_token_file, token.client_id, secret, token.ca)
    return CommandToken(token.command)


# ── where operators are ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Known:
    """What DNS said of a domain, and until when it counts."""

    servers: tuple[Endpoint, ...]
    until: float


class MailServers:
    """The servers of a mail domain: the configured one, else what DNS says, remembered a while."""

    def __init__(
        self,
        service: Service,
        configured: Sequence[Endpoint] = (),
        trusted_hosts: Sequence[str] = (),
        *,
        lookup: SrvLookup | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._configured = tuple(configured)
        self._trusted_hosts = tuple(trusted_hosts)
        self._lookup = lookup
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def __call__(self, domain: str) -> tuple[Endpoint, ...]:
        """The servers to try in order; LookupFailedError when there is none to try."""
        if self._configured:
            return self._configured
        with self._lock:
            known = self._known.get(domain)
            if known is not None and self._monotonic() < known.until:
                return known.servers
            servers = self._ask(domain) or (known.servers if known is not None else ())
            if not servers:
                raise LookupFailedError("dns.no-server", "DNS tells no server of this mail domain", where=domain)
            self._known[domain] = _Known(servers, self._monotonic() + _DNS_SECONDS)
            return servers

    def _ask(self, domain: str) -> tuple[Endpoint, ...]:
        lookup = self._lookup or dns_lookup()
        found = discover(domain, self._service, lookup=lookup, pick=_draw, trusted_hosts=self._trusted_hosts)
        if not found.endpoints:
            log.error("mail.no-server", domain=domain, service=self._service.value, why=found.absence.value)
        return found.endpoints


def _draw(most: int) -> int:
    return random.randint(0, most)  # noqa: S311 - shares the load between servers, keeps no secret


def configured_server(host: str, port: int, security: MailSecurity) -> tuple[Endpoint, ...]:
    """The server that the operator wrote down; none when DNS is to tell it."""
    return (Endpoint(host, port, security is MailSecurity.TLS),) if host else ()


def mailbox_server(box: MailboxDoor, tls: TlsSource, auth: Auth) -> MailboxSettings:
    """Where a mailbox is and how we enter it: as written, else as DNS says for its domain."""
    servers = MailServers(Service.IMAP, configured_server(box.host, box.port, box.security), box.trusted_hosts)
    domain = box.address.rpartition("@")[2].lower()
    return MailboxSettings(box.host, box.port, tls, auth, servers=partial(servers, domain))
