"""TLS that follows its files: a new context when a certificate, key, authority or list changed, else the last good one.

Sources: ECO 1.1.6, 1.1.7 (the last unexpired CRL is kept), RFC 7292 (PKCS#12). Rotation without a stop and without a gap: our own
identity lives in two generations, since a partner may learn of the new certificate later than we do; what we *trust* never does,
since an authority withdrawn must stop at once (two authorities are trusted by standing in the same file).
A file that cannot be read, a key that is not the certificate's (half of a replacement), a certificate not yet valid: told, and
the generation before goes on.
"""

from __future__ import annotations

import os
import secrets
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from mssante.errors import TlsSettingsError, TrustError
from mssante.tls import TlsSettings, client_context, read_password
from mssante.trust import (
    ChainFault,
    Expiry,
    check_chain,
    expiries,
    expiry_of,
    expiry_of_list,
    is_signed_by,
    name_of,
    read_certificates,
    read_revocation_lists,
    usable_lists,
)

_CONTAINERS = (".p12", ".pfx")


class TlsPart(StrEnum):
    """What a notice is about. `WHOLE`: OpenSSL refuses the parts together."""

    IDENTITY = "identity"
    AUTHORITIES = "authorities"
    REVOCATION_LISTS = "revocation-lists"
    WHOLE = "whole"


class TlsNews(StrEnum):
    """What happened to it. `KEPT_OLD`: the new one cannot be used, the generation before goes on."""

    LOADED = "loaded"
    KEPT_OLD = "kept-old"
    LIST_MISSING = "list-missing"


@dataclass(frozen=True)
class TlsNotice:
    """One change or fault: a code and names of files and authorities, never a secret."""

    part: TlsPart
    news: TlsNews
    code: str = ""
    about: str = ""


@dataclass(frozen=True, repr=False)
class Identity:
    """Our certificate with its chain and its key."""

    chain: tuple[x509.Certificate, ...]
    key: RSAPrivateKey | EllipticCurvePrivateKey

    @property
    def starts_at(self) -> datetime:
        """From when it is valid."""
        return self.chain[0].not_valid_before_utc

    @property
    def ends_at(self) -> datetime:
        """Until when it is valid."""
        return self.chain[0].not_valid_after_utc

    def is_valid(self, now: datetime) -> bool:
        """True when a partner could accept it now."""
        return self.starts_at <= now < self.ends_at

    def load_into(self, context: ssl.SSLContext) -> None:
        """Show this identity in the connections of that context."""
        # OpenSSL takes files only, through Python: one in memory, encrypted with a word that lives as long as this call.
        once = secrets.token_hex(32)
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(once.encode()))
        pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.chain) + key
        with _as_file(pem) as path:
            context.load_cert_chain(path, password=once)


def read_identity(certificate: Path, key: Path | None = None, password_file: Path | None = None) -> Identity:
    """Our identity from PEM or DER files or from a PKCS#12 container; TrustError when they cannot be used together."""
    try:
        password = read_password(password_file) or None
        if certificate.suffix.lower() in _CONTAINERS:
            return _from_container(certificate, password)
        content = (key or certificate).read_bytes()
        load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
        private_key = load(content, password)
    except OSError as error:
        raise TrustError("trust.unreadable", type(error).__name__, where=certificate.name) from error
    except (ValueError, TypeError):  # TypeError: a password missing, or given to a key that has none
        raise TrustError(
            "trust.key", "not a key that can be opened with that password", where=(key or certificate).name
        ) from None
    return _paired(read_certificates(certificate), private_key, certificate)


def _from_container(file: Path, password: bytes | None) -> Identity:
    key, certificate, others = pkcs12.load_key_and_certificates(file.read_bytes(), password)
    if key is None or certificate is None:
        raise TrustError("trust.container", "no key or no certificate inside", where=file.name)
    return _paired((certificate, *others), key, file)


def _paired(certificates: tuple[x509.Certificate, ...], key: object, file: Path) -> Identity:
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise TrustError("trust.key", "a kind of key that TLS does not know", where=file.name)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ours = key.public_key().public_bytes(*form)
    own = [certificate for certificate in certificates if certificate.public_key().public_bytes(*form) == ours]
    if not own:
        raise TrustError("trust.key-mismatch", "the key does not belong to the certificate", where=file.name)
    return Identity((own[0], *(other for other in certificates if other != own[0])), key)


class LiveTls:
    """Give it where `TlsSettings` is taken. Raises at the start when nothing can be used; after that it tells and goes on.

    `contexts()` costs a few `stat` calls. Safe for several threads. `new_context` makes a context that trusts the authorities of
    a PEM text: another than the default one for those who listen instead of calling.
    """

    def __init__(
        self,
        settings: TlsSettings,
        *,
        tell: Callable[[TlsNotice], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_context: Callable[[str], ssl.SSLContext] = client_context,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._now = now
        self._new_context = new_context
        self._lock = threading.Lock()
        self._stamps: tuple[object, ...] = ()
        self._look_again_at: datetime | None = None
        self._authorities: tuple[x509.Certificate, ...] = ()
        self._lists: tuple[x509.CertificateRevocationList, ...] = ()
        self._identities: tuple[Identity, ...] = ()
        self._contexts: tuple[ssl.SSLContext, ...] = ()
        self.contexts()

    @property
    def settings(self) -> TlsSettings:
        """The files that are followed."""
        return self._settings

    def contexts(self) -> tuple[ssl.SSLContext, ...]:
        """The newest context; behind it, while its certificate is valid, one that shows the generation before."""
        with self._lock:
            now, stamps = self._now(), self._current_stamps()
            if stamps != self._stamps or (self._look_again_at is not None and now >= self._look_again_at):
                self._try_reload(now)
                self._stamps = stamps
            return self._contexts

    def expiries(self, now: datetime) -> tuple[Expiry, ...]:
        """What ends when: our identity, and what the files of authorities and lists hold; of a broken file, what is in use."""
        settings, found = self._settings, list[Expiry]()
        if settings.certificate is not None and self._identities:
            found.append(expiry_of(self._identities[0].chain[0], settings.certificate, now))
        if (file := settings.authorities) is not None:
            found += _told_by(file, now) or [expiry_of(authority, file, now) for authority in self._authorities]
        if (file := settings.revocation_lists) is not None:
            found += _told_by(file, now) or [expiry_of_list(crl, file, now) for crl in self._lists]
        return tuple(sorted(found, key=lambda expiry: expiry.ends_at))

    def still_trusts(self, certificate: bytes) -> bool:
        """For a connection that lives on: would the certificate (DER) that opened it be accepted with today's files?

        The other end's intermediate authorities are not known any more here: those that are in no file are not found.
        """
        self.contexts()
        lists = None if self._settings.revocation_lists is None else self._lists
        verdict = check_chain(x509.load_der_x509_certificate(certificate), self._authorities, self._now(), lists=lists)
        # OpenSSL asks for lists above the leaf only where all have one (`_load_lists`): no more is asked here.
        is_about_leaf = len(verdict.path) == 1
        return verdict.is_good or (verdict.fault in (ChainFault.LIST_MISSING, ChainFault.LIST_EXPIRED) and not is_about_leaf)

    # ── following the files ─────────────────────────────────────────────────────────────────────────────────────

    def _current_stamps(self) -> tuple[object, ...]:
        settings = self._settings
        files = (settings.certificate, settings.key, settings.password_file, settings.authorities, settings.revocation_lists)
        return tuple(stamp for file in files if file is not None for stamp in _stamps_of(file))

    def _try_reload(self, now: datetime) -> None:
        try:
            self._reload(now)
        except TlsSettingsError as error:
            if not self._contexts:
                raise
            self._tell(TlsNotice(TlsPart.WHOLE, TlsNews.KEPT_OLD, error.code))

    def _reload(self, now: datetime) -> None:
        self._look_again_at = None
        self._renew_authorities()
        self._renew_lists(now)
        self._renew_identities(now)
        identities: tuple[Identity | None, ...] = self._identities or (None,)
        self._contexts = tuple(self._context_with(identity) for identity in identities)

    def _renew_authorities(self) -> None:
        file = self._settings.authorities
        if file is None:
            return
        try:
            found = read_certificates(file)
            if not found:
                raise TrustError("trust.no-authority", "no certificate inside", where=file.name)
        except TrustError as error:
            self._keep_old(TlsPart.AUTHORITIES, error, held=bool(self._authorities))
        else:
            self._note_loaded(TlsPart.AUTHORITIES, file, changed=found != self._authorities)
            self._authorities = found

    def _renew_lists(self, now: datetime) -> None:
        file = self._settings.revocation_lists
        if file is None:
            return
        found: tuple[x509.CertificateRevocationList, ...] = ()
        try:
            found = read_revocation_lists(file)
        except TrustError as error:
            self._keep_old(TlsPart.REVOCATION_LISTS, error, held=bool(self._lists))
        # Those held stay in the choice: what came may be older, expired, or signed by somebody else (ECO 1.1.7).
        chosen = usable_lists((*found, *self._lists), self._authorities, now)
        refused = [crl for crl in found if crl not in chosen]
        if refused and any(crl not in found for crl in chosen):
            notice = "trust.list-not-better"
            self._tell(TlsNotice(TlsPart.REVOCATION_LISTS, TlsNews.KEPT_OLD, notice, file.name))
        self._note_loaded(TlsPart.REVOCATION_LISTS, file, changed=any(crl not in self._lists for crl in chosen))
        self._lists = chosen
        for authority in self._uncovered():
            notice = "trust.list-missing"
            self._tell(TlsNotice(TlsPart.REVOCATION_LISTS, TlsNews.LIST_MISSING, notice, name_of(authority)))

    def _uncovered(self) -> tuple[x509.Certificate, ...]:
        lists = self._lists
        return tuple(authority for authority in self._authorities if not any(is_signed_by(crl, authority) for crl in lists))

    def _renew_identities(self, now: datetime) -> None:
        settings = self._settings
        if settings.certificate is None:
            return
        before = tuple(identity for identity in self._identities if identity.is_valid(now))
        try:
            new = read_identity(settings.certificate, settings.key, settings.password_file)
            _try_out(new, settings.certificate)
            if before and not new.is_valid(now):
                if new.starts_at > now:
                    self._look_again_at = new.starts_at
                raise TrustError("trust.not-valid-now", "the new certificate is not valid today", where=settings.certificate.name)
        except TrustError as error:
            self._keep_old(TlsPart.IDENTITY, error, held=bool(self._identities))
            self._identities = before or self._identities
        else:
            changed = not self._identities or new.chain != self._identities[0].chain
            self._note_loaded(TlsPart.IDENTITY, settings.certificate, changed=changed)
            self._identities = (new, *(old for old in before if old.chain != new.chain))[:2]
        ends = [identity.ends_at for identity in self._identities[1:]]
        self._look_again_at = min((*ends, *([self._look_again_at] if self._look_again_at else [])), default=None)

    def _keep_old(self, part: TlsPart, error: TrustError, *, held: bool) -> None:
        if not held:
            raise error
        self._tell(TlsNotice(part, TlsNews.KEPT_OLD, error.code, error.where))

    def _note_loaded(self, part: TlsPart, file: Path, *, changed: bool) -> None:
        if changed:
            self._tell(TlsNotice(part, TlsNews.LOADED, about=file.name))

    # ── contexts ────────────────────────────────────────────────────────────────────────────────────────────────

    def _context_with(self, identity: Identity | None) -> ssl.SSLContext:
        try:
            pem = "".join(authority.public_bytes(Encoding.PEM).decode("ascii") for authority in self._authorities)
            context = self._new_context(pem)
            if self._settings.revocation_lists is not None:
                self._load_lists(context)
            if identity is not None:
                identity.load_into(context)
        except (OSError, ssl.SSLError) as error:
            raise TlsSettingsError(
                "tls.unusable", f"OpenSSL refuses a certificate, key or list: {type(error).__name__}"
            ) from error
        return context

    def _load_lists(self, context: ssl.SSLContext) -> None:
        # Every authority of the chain needs its list, or OpenSSL refuses the whole chain: asked for only where all have one.
        # Without any usable list, the check stays on and no connection is made: nobody knows who was revoked.
        complete = bool(self._authorities) and not self._uncovered()
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN if complete else ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        if self._lists:
            with _as_file(b"".join(crl.public_bytes(Encoding.PEM) for crl in self._lists)) as path:
                context.load_verify_locations(cafile=path)


def _try_out(identity: Identity, file: Path) -> None:
    try:
        identity.load_into(client_context())
    except ssl.SSLError as error:
        raise TrustError("trust.refused-by-openssl", "too weak, or not for TLS", where=file.name) from error


def _told_by(file: Path, now: datetime) -> list[Expiry]:
    try:
        return list(expiries([file], now))
    except TrustError:
        return []


def _stamps_of(file: Path) -> Iterator[object]:
    files = sorted(file.iterdir()) if file.is_dir() else [file]
    for path in files:
        try:
            state = path.stat()
        except OSError:
            yield (path, "absent")
        else:
            yield (path, state.st_mtime_ns, state.st_size, state.st_ino)


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A name under which OpenSSL can read bytes that are never on a disk (where the system has such files)."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tls")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tls.pem")
        path.touch(mode=0o600)
        path.write_bytes(content)
        yield str(path)
