"""Certificates and lists as files: what expires when, which chain holds, which list counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.errors import TrustError
from mssante.testing import TestPki, issue, make_test_pki, write_revocation_list
from mssante.trust import (
    ChainFault,
    Kind,
    Urgency,
    check_chain,
    expiries,
    read_certificates,
    read_revocation_lists,
    usable_lists,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return make_test_pki(tmp_path_factory.mktemp("pki"), now=NOW, days=3650)


def certificate_of(pki: TestPki, folder: Path, start: datetime, days: int) -> x509.Certificate:
    return issue(pki, folder / "c.pem", folder / "c.key", "app.test", CLIENT, start, days)


@pytest.mark.parametrize(
    ("days", "urgency"),
    [
        (61, Urgency.FAR),
        (60, Urgency.NOTICE),
        (31, Urgency.NOTICE),
        (30, Urgency.WARNING),
        (8, Urgency.WARNING),
        (7, Urgency.URGENT),
        (0.5, Urgency.URGENT),
        (0, Urgency.EXPIRED),
        (-3, Urgency.EXPIRED),
    ],
)
def test_a_certificate_is_told_of_60_30_and_7_days_before(pki: TestPki, tmp_path: Path, days: float, urgency: Urgency) -> None:
    ends_at = NOW + timedelta(days=days)
    certificate_of(pki, tmp_path, ends_at - timedelta(days=100), 100)
    (expiry,) = expiries([tmp_path / "c.pem"], NOW)
    assert (expiry.urgency, expiry.ends_at, expiry.name, expiry.kind) == (urgency, ends_at, "app.test", Kind.CERTIFICATE)
    assert expiry.days_left == int(days // 1)


def test_a_certificate_of_tomorrow_is_not_yet_valid(pki: TestPki, tmp_path: Path) -> None:
    certificate_of(pki, tmp_path, NOW + timedelta(hours=1), 100)
    assert expiries([tmp_path / "c.pem"], NOW)[0].urgency is Urgency.NOT_YET


def test_a_list_is_urgent_on_its_last_day_only(pki: TestPki, tmp_path: Path) -> None:
    write_revocation_list(pki, tmp_path / "ca.crl", [], NOW)
    for moment, urgency in ((2, Urgency.FAR), (29.5, Urgency.URGENT), (31, Urgency.EXPIRED)):
        (expiry,) = expiries([tmp_path / "ca.crl"], NOW + timedelta(days=moment))
        assert (expiry.urgency, expiry.kind, expiry.name) == (urgency, Kind.REVOCATION_LIST, "Autorité de test")


def test_one_file_may_hold_certificates_and_lists_and_a_folder_lists(pki: TestPki, tmp_path: Path) -> None:
    crl = write_revocation_list(pki, tmp_path / "ca.crl", [], NOW)
    both = tmp_path / "ca+crl.pem"
    both.write_bytes(pki.authority.read_bytes() + crl.read_bytes())
    assert [expiry.kind for expiry in expiries([both], NOW)] == [Kind.REVOCATION_LIST, Kind.CERTIFICATE]
    folder = tmp_path / "lists"
    folder.mkdir()
    crl.rename(folder / "ca.crl")
    (folder / "LISEZMOI.txt").write_text("rien")
    assert len(read_revocation_lists(folder)) == 1


def test_der_files_are_read_too(pki: TestPki, tmp_path: Path) -> None:
    (certificate,) = read_certificates(pki.authority)
    (tmp_path / "ca.cer").write_bytes(certificate.public_bytes(Encoding.DER))
    (crl,) = read_revocation_lists(write_revocation_list(pki, tmp_path / "x.pem", [], NOW))
    (tmp_path / "ca.crl").write_bytes(crl.public_bytes(Encoding.DER))
    assert read_certificates(tmp_path / "ca.cer") == (certificate,)
    assert read_revocation_lists(tmp_path / "ca.crl") == (crl,)


@pytest.mark.parametrize(
    "content", [b"", b"pas un certificat", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_says_so_with_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pem").write_bytes(content)
    with pytest.raises(TrustError) as caught:
        expiries([tmp_path / "x.pem"], NOW)
    assert (caught.value.code, caught.value.where) == ("trust.certificate", "x.pem")
    with pytest.raises(TrustError, match=r"trust\.unreadable"):
        expiries([tmp_path / "absent.pem"], NOW)


# ── chains ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authorities(pki: TestPki) -> tuple[x509.Certificate, ...]:
    return read_certificates(pki.authority)


def test_a_good_chain_names_its_way_up(pki: TestPki, authorities: tuple[x509.Certificate, ...], tmp_path: Path) -> None:
    lists = read_revocation_lists(write_revocation_list(pki, tmp_path / "crl.pem", [], NOW))
    verdict = check_chain(certificate_of(pki, tmp_path, NOW - timedelta(days=1), 30), authorities, NOW, lists=lists)
    assert verdict.is_good
    assert verdict.path == ("app.test", "Autorité de test")


def revoked(pki: TestPki, folder: Path) -> tuple[x509.CertificateRevocationList, ...]:
    return read_revocation_lists(write_revocation_list(pki, folder / "crl.pem", [folder / "c.pem"], NOW))


def expired(pki: TestPki, folder: Path) -> tuple[x509.CertificateRevocationList, ...]:
    return read_revocation_lists(write_revocation_list(pki, folder / "crl.pem", [], NOW - timedelta(days=60)))


def forged(pki: TestPki, folder: Path) -> tuple[x509.CertificateRevocationList, ...]:
    return read_revocation_lists(write_revocation_list(make_test_pki(folder / "autre", now=NOW), folder / "crl.pem", [], NOW))


def none(pki: TestPki, folder: Path) -> tuple[x509.CertificateRevocationList, ...]:
    return ()


Lists = Callable[[TestPki, Path], tuple[x509.CertificateRevocationList, ...]]


@pytest.mark.parametrize(
    ("lists", "fault", "about"),
    [
        (revoked, ChainFault.REVOKED, "app.test"),
        (expired, ChainFault.LIST_EXPIRED, "Autorité de test"),
        (forged, ChainFault.LIST_MISSING, "Autorité de test"),
        (none, ChainFault.LIST_MISSING, "Autorité de test"),
    ],
)
def test_a_chain_needs_a_good_list_of_each_authority(
    pki: TestPki, authorities: tuple[x509.Certificate, ...], tmp_path: Path, lists: Lists, fault: ChainFault, about: str
) -> None:
    certificate = certificate_of(pki, tmp_path, NOW - timedelta(days=1), 30)
    verdict = check_chain(certificate, authorities, NOW, lists=lists(pki, tmp_path))
    assert (verdict.fault, verdict.about) == (fault, about)


def test_time_and_authority_are_checked(pki: TestPki, authorities: tuple[x509.Certificate, ...], tmp_path: Path) -> None:
    old = certificate_of(pki, tmp_path, NOW - timedelta(days=40), 30)
    assert check_chain(old, authorities, NOW).fault is ChainFault.EXPIRED
    young = certificate_of(pki, tmp_path, NOW + timedelta(days=1), 30)
    assert check_chain(young, authorities, NOW).fault is ChainFault.NOT_YET
    rogue = make_test_pki(tmp_path / "rogue", now=NOW)  # same names, another key
    stranger = read_certificates(rogue.client_certificate)[0]
    assert check_chain(stranger, authorities, NOW).fault is ChainFault.UNKNOWN_AUTHORITY


def test_a_client_certificate_is_no_authority(pki: TestPki, tmp_path: Path) -> None:
    forger = make_test_pki(tmp_path / "forger", now=NOW)
    (client,) = read_certificates(forger.client_certificate)
    pretended = TestPki(forger.client_certificate, forger.client_key, *[Path()] * 4)
    made = issue(pretended, tmp_path / "x.pem", tmp_path / "x.key", "victime", CLIENT, NOW - timedelta(days=1), 5)
    verdict = check_chain(made, [*read_certificates(forger.authority)], NOW, intermediates=[client])
    assert verdict.fault is ChainFault.NOT_AN_AUTHORITY


# ── which list counts ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_newest_unexpired_list_that_the_authority_signed_counts(
    pki: TestPki, authorities: tuple[x509.Certificate, ...], tmp_path: Path
) -> None:
    (older,) = read_revocation_lists(write_revocation_list(pki, tmp_path / "1.pem", [], NOW - timedelta(days=5)))
    (newer,) = read_revocation_lists(write_revocation_list(pki, tmp_path / "2.pem", [], NOW))
    future = read_revocation_lists(write_revocation_list(pki, tmp_path / "3.pem", [], NOW + timedelta(days=5)))
    every = (older, *expired(pki, tmp_path), newer, *forged(pki, tmp_path), *future)
    assert usable_lists(every, authorities, NOW) == (newer,)
    assert usable_lists(reversed(every), authorities, NOW) == (newer,)


def test_two_generations_of_an_authority_have_a_list_each(
    pki: TestPki, authorities: tuple[x509.Certificate, ...], tmp_path: Path
) -> None:
    successor = make_test_pki(tmp_path / "next", now=NOW)
    lists = [
        *read_revocation_lists(write_revocation_list(pki, tmp_path / "1.pem", [], NOW)),
        *read_revocation_lists(write_revocation_list(successor, tmp_path / "2.pem", [], NOW)),
    ]
    both = (*authorities, *read_certificates(successor.authority))
    chosen = usable_lists(lists, both, NOW)
    assert {crl.fingerprint(hashes.SHA256()) for crl in chosen} == {crl.fingerprint(hashes.SHA256()) for crl in lists}
