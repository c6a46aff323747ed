"""An operator on loopback for tests and demonstrations: STARTTLS, client certificate wanted, mails kept, faults on command.

It plays the *operator's* side with aiosmtpd and makes its own certificates. It offers no DSN (aiosmtpd has none) and never
relays: nothing leaves the machine. Not for production: keys are written unencrypted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mssante.address import domain_of, is_well_formed

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class TestPki:
    """Files of one throw-away authority: PEM certificates and keys of the server and of one client."""

    __test__ = False

    authority: Path
    authority_key: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path


def make_test_pki(
    directory: Path, *, server_name: str = "localhost", client_name: str = "app.test", now: datetime | None = None, days: int = 30
) -> TestPki:
    """Write an authority, a server and a client certificate. Elliptic keys: made in a few milliseconds."""
    directory.mkdir(parents=True, exist_ok=True)
    start = (now or datetime.now(UTC)) - timedelta(hours=1)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Autorité de test")
    authority = (
        _builder(name, name, authority_key, start, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_authority_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pki = TestPki(
        _write(directory / "ca.pem", authority.public_bytes(serialization.Encoding.PEM)),
        _write_key(directory / "ca.key", authority_key),
        directory / "server.pem",
        directory / "server.key",
        directory / "client.pem",
        directory / "client.key",
    )
    issue(pki, pki.server_certificate, pki.server_key, server_name, ExtendedKeyUsageOID.SERVER_AUTH, start, days)
    issue(pki, pki.client_certificate, pki.client_key, client_name, ExtendedKeyUsageOID.CLIENT_AUTH, start, days)
    return pki


def issue(
    pki: TestPki, certificate_file: Path, key_file: Path, name: str, usage: x509.ObjectIdentifier, start: datetime, days: int
) -> x509.Certificate:
    """One more certificate of the authority: an expired one, another client…"""
    authority, authority_key = _load_authority(pki)
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    certificate = (
        _builder(_name(name), authority.subject, key, start, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(key_file, key)
    return certificate


def write_revocation_list(pki: TestPki, file: Path, revoked: Iterable[Path], now: datetime | None = None) -> Path:
    """A CRL of the authority that names those certificates."""
    authority, authority_key = _load_authority(pki)
    start = (now or datetime.now(UTC)) - timedelta(hours=1)
    crl = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    crl = crl.last_update(start).next_update(start + timedelta(days=30))
    # RFC 5280 §5.2.1: without it, OpenSSL cannot tell the lists of two generations of one authority apart.
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    crl = crl.add_extension(signer, critical=False).add_extension(x509.CRLNumber(int(start.timestamp())), critical=False)
    for certificate_file in revoked:
        serial = x509.load_pem_x509_certificate(certificate_file.read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start).build()
        crl = crl.add_revoked_certificate(entry)
    return _write(file, crl.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


class Moment(StrEnum):
    """When a fault strikes. `KEPT`: the mail was taken, but the answer never leaves."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_DATA = "end-of-data"
    KEPT = "kept"


@dataclass(frozen=True)
class Fault:
    """One misbehaviour: an answer, a dropped line, or a silence."""

    at: Moment
    reply: str = ""
    stall_seconds: float = 0.0

    @classmethod
    def answer(cls, at: Moment, reply: str) -> Fault:
        """Answer this instead of what would be answered (`550 5.1.1 No such mailbox`)."""
        return cls(at, reply=reply)

    @classmethod
    def drop(cls, at: Moment) -> Fault:
        """Cut the line."""
        return cls(at)

    @classmethod
    def stall(cls, at: Moment, seconds: float = 3600.0) -> Fault:
        """Say nothing."""
        return cls(at, stall_seconds=seconds)


@dataclass(frozen=True, repr=False)
class ReceivedMail:
    """A mail that the operator took, and the name in the client's certificate."""

    envelope_from: str
    envelope_to: str
    content: bytes
    client: str


class OperatorDouble:
    """The operator: `with OperatorDouble(pki) as operator: …`. Loopback only, on a free port unless one is given.

    `mailboxes`: those that exist (None: any). `domains`: those served (None: any). `directory`: also keep each mail as `.eml`.
    """

    def __init__(
        self,
        pki: TestPki,
        *,
        port: int = 0,
        mailboxes: Iterable[str] | None = None,
        domains: Iterable[str] | None = None,
        size_limit: int = 26_214_400,
        directory: Path | None = None,
        wants_certificate: bool = True,
    ) -> None:
        self._mailboxes = None if mailboxes is None else frozenset(box.lower() for box in mailboxes)
        self._domains = None if domains is None else frozenset(domain.lower() for domain in domains)
        self._directory = directory
        self._before = 0
        self._faults: list[Fault] = []
        self._received: list[ReceivedMail] = []
        self._changed = threading.Condition()
        self._context = server_context(pki, wants_certificate)
        self._size_limit = size_limit
        self._requested_port = port
        self._controller: _LoopbackController | None = None

    def start(self) -> OperatorDouble:
        """Listen, after a stop on the same port."""
        # aiosmtpd warns at each connection, logs refused certificates with a traceback and addresses at lower levels.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        # The protocol is named, else asyncio does not switch Nagle off and each answer waits 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, self._requested_port))
        self._requested_port = listener.getsockname()[1]
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            # What an earlier run left is not written over.
            self._before = max((int(file.stem) for file in self._directory.glob("*.eml") if file.stem.isdecimal()), default=0)
            self._before -= len(self._received)
        self._controller = _LoopbackController(self, listener, self._context, self._size_limit)
        self._controller.start()
        return self

    def stop(self) -> None:
        """Stop listening; mails already received stay readable."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port listened on."""
        if self._controller is None:
            raise RuntimeError("the operator double is not started")
        return self._controller.port

    @property
    def received(self) -> tuple[ReceivedMail, ...]:
        """The mails taken so far, in order of arrival."""
        with self._changed:
            return tuple(self._received)

    def wait_for(self, mails: int, timeout: float = 10.0) -> tuple[ReceivedMail, ...]:
        """The mails taken, once there are so many; TimeoutError otherwise."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received) >= mails, timeout):
                raise TimeoutError(f"{len(self._received)} mails after {timeout} s, {mails} expected")
            return tuple(self._received)

    def script(self, *faults: Fault) -> None:
        """Misbehave so, once each, in this order for a given moment."""
        with self._changed:
            self._faults.extend(faults)

    # ── for the protocol side ───────────────────────────────────────────────────────────────────────────────────

    def take_fault(self, at: Moment) -> Fault | None:
        """The next scripted fault for that moment, used up."""
        with self._changed:
            for index, fault in enumerate(self._faults):
                if fault.at is at:
                    return self._faults.pop(index)
        return None

    def refusal_of(self, recipient: str) -> str:
        """Why a recipient is refused, or empty."""
        if not is_well_formed(recipient):
            return "501 5.1.3 Bad recipient address syntax"
        if self._domains is not None and domain_of(recipient) not in self._domains:
            return "554 5.7.1 Domain outside the trust space"
        if self._mailboxes is not None and recipient.lower() not in self._mailboxes:
            return "550 5.1.1 No such mailbox"
        return ""

    def keep(self, mail: ReceivedMail) -> str:
        """Keep a mail; returns the name it is queued under."""
        with self._changed:
            self._received.append(mail)
            queue_id = f"{self._before + len(self._received):06d}"
            if self._directory is not None:
                (self._directory / f"{queue_id}.eml").write_bytes(mail.content)
            self._changed.notify_all()
        return queue_id


class _LoopbackController(Controller):
    """A controller that listens on a socket bound before: a free port without a race."""

    def __init__(self, operator: OperatorDouble, listener: socket.socket, context: ssl.SSLContext, size_limit: int) -> None:
        super().__init__(
            _Handler(operator),
            hostname=LOOPBACK,
            port=listener.getsockname()[1],
            require_starttls=True,
            tls_context=context,
            data_size_limit=size_limit,
            ident="Operateur de test",
            server_hostname="operateur.test",
        )
        self._operator = operator
        self._listener = listener

    def factory(self) -> SMTP:
        return _ScriptedSmtp(self._operator, self.handler, **self.SMTP_kwargs)

    async def _listen(self) -> asyncio.AbstractServer:
        return await self.loop.create_server(self._factory_invoker, sock=self._listener)

    def _create_server(self):  # type: ignore[no-untyped-def]
        return self._listen()


class _ScriptedSmtp(SMTP):
    """aiosmtpd's protocol with faults where no handler hook reaches."""

    def __init__(self, operator: OperatorDouble, handler: object, **settings: object) -> None:
        super().__init__(handler, **settings)  # type: ignore[arg-type]
        self._operator = operator

    async def _handle_client(self) -> None:
        fault = self._operator.take_fault(Moment.CONNECT)
        if fault is None:
            await super()._handle_client()
            return
        await _misbehave(self, fault)
        if fault.reply:
            await self.push(fault.reply)
        if self.transport is not None:
            self.transport.close()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        fault = self._operator.take_fault(Moment.DATA)
        if fault is None:
            await super().smtp_DATA(arg)
            return
        if fault.reply:
            await self.push(fault.reply)
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        await self._reader.readuntil(b"\r\n")
        await _misbehave(self, fault)


class _Handler:
    """The operator's decisions, as aiosmtpd asks for them."""

    def __init__(self, operator: OperatorDouble) -> None:
        self._operator = operator

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = self._operator.take_fault(Moment.MAIL)
        if fault is not None:
            await _misbehave(server, fault)
            return fault.reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = self._operator.take_fault(Moment.RCPT)
        if fault is not None:
            await _misbehave(server, fault)
            return fault.reply
        refusal = self._operator.refusal_of(address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        fault = self._operator.take_fault(Moment.END_OF_DATA)
        if fault is not None:
            await _misbehave(server, fault)
            return fault.reply or "451 4.3.0 Stalled"
        queue_id = ""
        for recipient in envelope.rcpt_tos:
            content = envelope.original_content or b""
            queue_id = self._operator.keep(ReceivedMail(envelope.mail_from or "", recipient, content, _client_of(session)))
        fault = self._operator.take_fault(Moment.KEPT)
        if fault is not None:
            await _misbehave(server, fault)
        return f"250 2.0.0 Ok: queued as {queue_id}"


async def _misbehave(server: SMTP, fault: Fault) -> None:
    if fault.stall_seconds:
        await asyncio.sleep(fault.stall_seconds)
    elif not fault.reply and server.transport is not None:
        server.transport.abort()  # type: ignore[attr-defined]
        await asyncio.sleep(3600)  # cancelled when the line is really down: nothing more is answered


def _client_of(session: Session) -> str:
    certificate = (session.ssl or {}).get("peercert") or {}
    names = [value for attributes in certificate.get("subject", ()) for key, value in attributes if key == "commonName"]
    return names[0] if names else ""


def server_context(pki: TestPki, wants_certificate: bool) -> ssl.SSLContext:
    """The operator's TLS: its own certificate, and the client's demanded or only asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(pki.server_certificate), str(pki.server_key))
    context.load_verify_locations(str(pki.authority))
    context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_OPTIONAL
    return context


def _load_authority(pki: TestPki) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(pki.authority_key.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the test authority has an elliptic key")
    return x509.load_pem_x509_certificate(pki.authority.read_bytes()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _authority_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.touch(mode=0o600)
    file.chmod(0o600)
    return _write(file, pem)
