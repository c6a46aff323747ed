"""Certificates and revocation lists as files: read them, check a chain, say what expires when.

Sources: RFC 5280 (certificates, CRL), ECO 1.1.5–1.1.7 (valid, unrevoked, the last unexpired CRL kept), 1.1.10 (IGC-Santé).
OpenSSL judges each connection; what stands here tells people beforehand, and chooses the lists that OpenSSL is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID

from mssante.errors import TrustError

_BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_BEGIN_LIST = b"-----BEGIN X509 CRL-----"
_LONGEST_CHAIN = 8
THRESHOLDS_DAYS = (60, 30, 7)


class Kind(StrEnum):
    """What expires."""

    CERTIFICATE = "certificate"
    REVOCATION_LIST = "revocation-list"


class Urgency(StrEnum):
    """How near the end is. Certificates: 60, 30, 7 days. A revocation list lives for days only: its last day is urgent."""

    FAR = "far"
    NOTICE = "notice"
    WARNING = "warning"
    URGENT = "urgent"
    EXPIRED = "expired"
    NOT_YET = "not-yet"


@dataclass(frozen=True)
class Expiry:
    """When one certificate or list of a file ends. `days_left` is whole days, negative once it is over."""

    file: Path
    kind: Kind
    name: str
    ends_at: datetime
    days_left: int
    urgency: Urgency


class ChainFault(StrEnum):
    """Why a certificate is not to be trusted."""

    EXPIRED = "expired"
    NOT_YET = "not-yet"
    UNKNOWN_AUTHORITY = "unknown-authority"
    NOT_AN_AUTHORITY = "not-an-authority"
    REVOKED = "revoked"
    LIST_MISSING = "list-missing"
    LIST_EXPIRED = "list-expired"
    TOO_LONG = "too-long"


@dataclass(frozen=True)
class ChainVerdict:
    """Names from the certificate up to its root, and the fault if there is one, with the name it concerns."""

    path: tuple[str, ...]
    fault: ChainFault | None = None
    about: str = ""

    @property
    def is_good(self) -> bool:
        """True when nothing speaks against it."""
        return self.fault is None


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────


def read_certificates(file: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file (in its order) or of a DER file; none in a PEM of other things; TrustError when broken."""
    content = _content_of(file)
    try:
        if _BEGIN_CERTIFICATE in content:
            return tuple(x509.load_pem_x509_certificates(content))
        return () if content.lstrip().startswith(b"-----") else (x509.load_der_x509_certificate(content),)
    except ValueError as error:
        raise TrustError("trust.certificate", "not a readable certificate", where=file.name) from error


def read_revocation_lists(file: Path) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists of a PEM or DER file, or of every `.crl` and `.pem` file of a folder; TrustError when one is broken."""
    if file.is_dir():
        found = sorted(path for path in file.iterdir() if path.suffix.lower() in (".crl", ".pem", ".der"))
        return tuple(crl for path in found for crl in read_revocation_lists(path))
    content = _content_of(file)
    try:
        if b"-----BEGIN" not in content:
            return (x509.load_der_x509_crl(content),)
        end = b"-----END X509 CRL-----"
        blocks = [_BEGIN_LIST + block.partition(end)[0] + end for block in content.split(_BEGIN_LIST)[1:]]
        return tuple(x509.load_pem_x509_crl(block) for block in blocks)
    except ValueError as error:
        raise TrustError("trust.revocation-list", "not a readable revocation list", where=file.name) from error


def _content_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TrustError("trust.unreadable", type(error).__name__, where=file.name) from error


def name_of(certificate: x509.Certificate) -> str:
    """The common name, else the whole subject."""
    return _common_name(certificate.subject)


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


# ── expiry ──────────────────────────────────────────────────────────────────────────────────────────────────────


def expiries(files: Iterable[Path], now: datetime) -> tuple[Expiry, ...]:
    """What ends when, soonest first, over certificates and lists of those files. TrustError when a file cannot be read."""
    found = [expiry for file in files for expiry in _expiries_of(file, now)]
    return tuple(sorted(found, key=lambda expiry: (expiry.ends_at, expiry.file, expiry.name)))


def _expiries_of(file: Path, now: datetime) -> list[Expiry]:
    content = b"" if file.is_dir() else _content_of(file)
    lists = file.is_dir() or file.suffix.lower() == ".crl" or _BEGIN_LIST in content
    certificates = not file.is_dir() and file.suffix.lower() != ".crl" and (not lists or _BEGIN_CERTIFICATE in content)
    found = [expiry_of(certificate, file, now) for certificate in (read_certificates(file) if certificates else ())]
    return [*found, *(expiry_of_list(crl, file, now) for crl in (read_revocation_lists(file) if lists else ()))]


def expiry_of(certificate: x509.Certificate, file: Path, now: datetime) -> Expiry:
    """When one certificate ends."""
    ends_at = certificate.not_valid_after_utc
    urgency = _urgency(ends_at - now, THRESHOLDS_DAYS)
    if now < certificate.not_valid_before_utc:
        urgency = Urgency.NOT_YET
    return Expiry(file, Kind.CERTIFICATE, name_of(certificate), ends_at, _days(ends_at - now), urgency)


def expiry_of_list(crl: x509.CertificateRevocationList, file: Path, now: datetime) -> Expiry:
    """When one revocation list ends."""
    ends_at = _end_of(crl)
    urgency = _urgency(ends_at - now, (0, 0, 1))
    return Expiry(file, Kind.REVOCATION_LIST, _common_name(crl.issuer), ends_at, _days(ends_at - now), urgency)


def _urgency(left: timedelta, thresholds: tuple[int, int, int]) -> Urgency:
    if left <= timedelta(0):
        return Urgency.EXPIRED
    notice, warning, urgent = (timedelta(days=days) for days in thresholds)
    if left <= urgent:
        return Urgency.URGENT
    if left <= warning:
        return Urgency.WARNING
    return Urgency.NOTICE if left <= notice else Urgency.FAR


def _days(left: timedelta) -> int:
    return left // timedelta(days=1)


# ── revocation ──────────────────────────────────────────────────────────────────────────────────────────────────


def usable_lists(
    lists: Iterable[x509.CertificateRevocationList], authorities: Iterable[x509.Certificate], now: datetime
) -> tuple[x509.CertificateRevocationList, ...]:
    """For each authority the newest list that has not expired (ECO 1.1.7) and that it really signed.

    A list of an authority that is not among those given is taken by its name: OpenSSL will check who signed it.
    """
    known = tuple(authorities)
    best: dict[tuple[bytes, bytes], x509.CertificateRevocationList] = {}
    for crl in lists:
        namesakes = [authority for authority in known if authority.subject == crl.issuer]
        signer = next((authority for authority in namesakes if is_signed_by(crl, authority)), None)
        if (namesakes and signer is None) or not crl.last_update_utc <= now < _end_of(crl):
            continue
        # Two generations of an authority share its name, not its key: each has its list.
        key = (crl.issuer.public_bytes(), signer.fingerprint(hashes.SHA256()) if signer else b"")
        if key not in best or _newness(best[key]) < _newness(crl):
            best[key] = crl
    return tuple(best.values())


def _newness(crl: x509.CertificateRevocationList) -> tuple[datetime, int]:
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = 0
    return crl.last_update_utc, number


def is_signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    """True when that authority's key signed the list."""
    key = authority.public_key()
    if crl.issuer != authority.subject or not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except (TypeError, UnsupportedAlgorithm):
        return False


def _end_of(crl: x509.CertificateRevocationList) -> datetime:
    # A list without an end says nothing about when it stops being true: its own day is all that can be believed.
    return crl.next_update_utc or crl.last_update_utc + timedelta(days=1)


# ── chains ──────────────────────────────────────────────────────────────────────────────────────────────────────


def check_chain(
    certificate: x509.Certificate,
    authorities: Iterable[x509.Certificate],
    now: datetime,
    *,
    intermediates: Iterable[x509.Certificate] = (),
    lists: Iterable[x509.CertificateRevocationList] | None = None,
) -> ChainVerdict:
    """Follow a certificate up to a trusted root. `lists` given: each authority on the way must have one (one CRL per CA)."""
    trusted = tuple(authorities)
    known = (*trusted, *intermediates)
    crls = None if lists is None else tuple(lists)
    path: list[x509.Certificate] = [certificate]
    while True:
        current = path[-1]
        names = tuple(name_of(step) for step in path)
        if (fault := _fault_in_time(current, now)) is not None:
            return ChainVerdict(names, fault, name_of(current))
        issuer = _issuer_of(current, known)
        if isinstance(issuer, ChainFault):
            return ChainVerdict(names, issuer, name_of(current))
        if crls is not None and (fault := _revocation_fault(current, issuer, crls, now)) is not None:
            return ChainVerdict(names, fault, name_of(current) if fault is ChainFault.REVOKED else name_of(issuer))
        if issuer == current and current in trusted:
            return ChainVerdict(names)
        if issuer in path or len(path) >= _LONGEST_CHAIN:
            return ChainVerdict(names, ChainFault.TOO_LONG, name_of(current))
        path.append(issuer)


def _fault_in_time(certificate: x509.Certificate, now: datetime) -> ChainFault | None:
    if now >= certificate.not_valid_after_utc:
        return ChainFault.EXPIRED
    return ChainFault.NOT_YET if now < certificate.not_valid_before_utc else None


def _issuer_of(certificate: x509.Certificate, known: Iterable[x509.Certificate]) -> x509.Certificate | ChainFault:
    fault = ChainFault.UNKNOWN_AUTHORITY
    for candidate in known:
        try:
            certificate.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature):
            continue
        if _is_authority(candidate):
            return candidate
        fault = ChainFault.NOT_AN_AUTHORITY
    return fault


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except x509.ExtensionNotFound:
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _revocation_fault(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    lists: tuple[x509.CertificateRevocationList, ...],
    now: datetime,
) -> ChainFault | None:
    signed = [crl for crl in lists if is_signed_by(crl, issuer)]
    if not signed:
        return ChainFault.LIST_MISSING
    usable = usable_lists(signed, [issuer], now)
    if not usable:
        return ChainFault.LIST_EXPIRED
    revoked = usable[0].get_revoked_certificate_by_serial_number(certificate.serial_number)
    return ChainFault.REVOKED if revoked is not None else None
