"""TLS that follows its files: rotation without a stop, the last good one kept, what is withdrawn stops at once."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.auth import ClientCertificate
from mssante.errors import MssanteError, TrustError
from mssante.live_tls import LiveTls, TlsNews, TlsNotice, TlsPart, read_identity
from mssante.mailbox import Mailbox, MailboxSettings
from mssante.smtp import Reason, SmtpResult, TlsSettings, Verdict, probe
from mssante.testing import OperatorDouble, TestPki, issue, make_test_pki, write_revocation_list
from mssante.testing_mailbox import MailboxDouble
from mssante.trust import Urgency, read_certificates

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


class Files:
    """The folder of an installation: certificate, key, authorities, lists; and a clock."""

    def __init__(self, folder: Path, pki: TestPki) -> None:
        self.pki = pki
        # Asked here, not when this module is read: a whole run reads it half an hour before.
        self.start = self.now = datetime.now(UTC)
        self.notices: list[TlsNotice] = []
        self.certificate, self.key = folder / "app.pem", folder / "app.key"
        self.authorities, self.lists = folder / "ca.pem", folder / "ca.crl"
        shutil.copy(pki.client_certificate, self.certificate)
        shutil.copy(pki.client_key, self.key)
        shutil.copy(pki.authority, self.authorities)
        write_revocation_list(pki, self.lists, [])
        self.settings = TlsSettings(self.authorities, self.certificate, self.key, "localhost", self.lists)
        self._stamp = 0

    def live(self, **changes: object) -> LiveTls:
        return LiveTls(replace(self.settings, **changes), tell=self.notices.append, now=lambda: self.now)  # type: ignore[arg-type]

    def touched(self, *files: Path) -> None:
        """A later stamp, whatever the file system's grain."""
        for file in files:
            self._stamp += 1
            later = file.stat().st_mtime_ns + self._stamp * 1_000_000_000
            os.utime(file, ns=(later, later))

    def renew_identity(self, name: str, begins: timedelta = timedelta(hours=-1), days: int = 90) -> x509.Certificate:
        made = issue(self.pki, self.certificate, self.key, name, CLIENT, self.start + begins, days)
        self.touched(self.certificate, self.key)
        return made

    def told(self) -> list[tuple[TlsPart, TlsNews, str]]:
        told = [(notice.part, notice.news, notice.code) for notice in self.notices]
        self.notices.clear()
        return told


@pytest.fixture
def files(tmp_path: Path, pki: TestPki) -> Files:
    return Files(tmp_path, pki)


@pytest.fixture
def operator(pki: TestPki) -> Iterator[OperatorDouble]:
    with OperatorDouble(pki) as running:
        yield running


@pytest.fixture
def client_name(operator: OperatorDouble) -> Callable[[LiveTls], str]:
    """The name under which the operator knows who comes, or why nobody came."""
    from mssante.smtp import send

    def ask(tls: LiveTls) -> str:
        message = b"Subject: x\r\n\r\n"
        to = {"host": "127.0.0.1", "port": operator.port, "tls": tls, "timeout": 5.0}
        result: SmtpResult = send(message, "a@test.mssante.fr", "b@test.mssante.fr", **to)  # type: ignore[arg-type]
        return operator.received[-1].client if result.verdict is Verdict.ACCEPTED else result.reason

    return ask


Ask = Callable[[LiveTls], str]
KEPT_IDENTITY = (TlsPart.IDENTITY, TlsNews.KEPT_OLD)


def test_nothing_is_made_anew_while_no_file_changes(files: Files) -> None:
    live = files.live()
    assert live.contexts() == live.contexts()
    assert len(live.contexts()) == 1


def test_a_renewed_certificate_is_shown_at_the_next_connection(files: Files, client_name: Ask) -> None:
    live = files.live()
    assert client_name(live) == "app.test"
    files.renew_identity("app-2027")
    assert client_name(live) == "app-2027"
    assert len(live.contexts()) == 2


def test_half_of_a_replacement_keeps_the_old_pair_until_the_other_half_comes(files: Files, client_name: Ask) -> None:
    live = files.live()
    files.told()
    old_key = files.key.read_bytes()
    files.renew_identity("app-2027")
    new_key = files.key.read_bytes()
    files.key.write_bytes(old_key)
    files.touched(files.key)
    assert client_name(live) == "app.test"
    assert files.told() == [(*KEPT_IDENTITY, "trust.key-mismatch")]
    files.key.write_bytes(new_key)
    files.touched(files.key)
    assert client_name(live) == "app-2027"
    assert files.told() == [(TlsPart.IDENTITY, TlsNews.LOADED, "")]


@pytest.mark.parametrize("spoil", ["certificate", "key"])
def test_a_broken_or_absent_file_keeps_the_last_good_one_and_says_so_once(files: Files, client_name: Ask, spoil: str) -> None:
    live = files.live()
    files.told()
    getattr(files, spoil).write_bytes(b"-----BEGIN RUBBISH-----")
    files.touched(getattr(files, spoil))
    assert client_name(live) == client_name(live) == "app.test"
    ((part, news, code),) = files.told()
    assert (part, news) == KEPT_IDENTITY and code.startswith("trust.")
    getattr(files, spoil).unlink()
    assert client_name(live) == "app.test"
    assert [told[:2] for told in files.told()] == [KEPT_IDENTITY]


def test_a_certificate_of_tomorrow_waits_for_its_day(files: Files) -> None:
    live = files.live()
    before = live.contexts()
    files.renew_identity("app-2027", begins=timedelta(days=2))
    assert len(live.contexts()) == 1
    assert (*KEPT_IDENTITY, "trust.not-valid-now") in files.told()
    files.now = files.start + timedelta(days=2, seconds=1)
    assert len(live.contexts()) == 2
    assert live.contexts() != before


def test_the_generation_before_leaves_when_its_certificate_ends(files: Files) -> None:
    live = files.live()
    files.renew_identity("app-2027", days=365)
    assert len(live.contexts()) == 2
    files.now = files.start + timedelta(days=40)  # the first was made for 30 days
    write_revocation_list(files.pki, files.lists, [], files.now)
    assert len(live.contexts()) == 1


def test_a_partner_that_does_not_know_the_new_certificate_yet_gets_the_old_one(
    pki: TestPki, files: Files, tmp_path: Path
) -> None:
    live = files.live()
    next_authority = make_test_pki(tmp_path / "next")
    shutil.copy(next_authority.client_certificate, files.certificate)
    shutil.copy(next_authority.client_key, files.key)
    files.touched(files.certificate, files.key)
    assert len(live.contexts()) == 2
    with OperatorDouble(pki) as behind:
        result = probe(host="127.0.0.1", port=behind.port, tls=live, timeout=5.0)
    assert result.verdict is Verdict.ACCEPTED
    with MailboxDouble(pki) as mailbox:
        Mailbox.open(MailboxSettings("127.0.0.1", mailbox.port, live, ClientCertificate(external=True))).close()
        assert mailbox.logins == ["EXTERNAL"]


def test_an_authority_withdrawn_is_not_trusted_any_more(files: Files, client_name: Ask, tmp_path: Path) -> None:
    live = files.live(revocation_lists=None)
    other = make_test_pki(tmp_path / "other")
    shutil.copy(other.authority, files.authorities)
    files.touched(files.authorities)
    assert client_name(live) == Reason.TLS_REFUSED
    files.authorities.write_bytes(other.authority.read_bytes() + files.pki.authority.read_bytes())
    files.touched(files.authorities)
    assert client_name(live) == "app.test"


def test_a_broken_authorities_file_keeps_those_we_trusted(files: Files, client_name: Ask) -> None:
    live = files.live()
    files.told()
    files.authorities.write_bytes(b"")
    files.touched(files.authorities)
    assert client_name(live) == "app.test"
    assert (TlsPart.AUTHORITIES, TlsNews.KEPT_OLD, "trust.certificate") in files.told()


# ── revocation lists ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_list_takes_effect_at_the_next_connection(files: Files, client_name: Ask) -> None:
    live = files.live()
    assert client_name(live) == "app.test"
    write_revocation_list(files.pki, files.lists, [files.pki.server_certificate], files.start + timedelta(minutes=10))
    files.touched(files.lists)
    assert client_name(live) == Reason.TLS_REFUSED


@pytest.mark.parametrize("how", ["broken", "expired", "forged", "older", "absent"])
def test_a_list_that_cannot_replace_the_last_good_one_does_not(files: Files, client_name: Ask, tmp_path: Path, how: str) -> None:
    live = files.live()
    files.told()
    match how:
        case "broken":
            files.lists.write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
        case "expired":
            write_revocation_list(files.pki, files.lists, [], files.start - timedelta(days=90))
        case "forged":
            write_revocation_list(make_test_pki(tmp_path / "forger"), files.lists, [])
        case "older":
            write_revocation_list(files.pki, files.lists, [files.pki.server_certificate], files.start - timedelta(days=3))
        case "absent":
            files.lists.unlink()
    if how != "absent":
        files.touched(files.lists)
    assert client_name(live) == "app.test"
    assert [told[:2] for told in files.told()] == [(TlsPart.REVOCATION_LISTS, TlsNews.KEPT_OLD)]


def test_when_every_list_has_expired_nobody_is_talked_to_and_it_is_told(files: Files, client_name: Ask) -> None:
    write_revocation_list(files.pki, files.lists, [], files.start - timedelta(days=90))
    live = files.live()
    assert (TlsPart.REVOCATION_LISTS, TlsNews.LIST_MISSING, "trust.list-missing") in files.told()
    assert client_name(live) == Reason.TLS_REFUSED


def test_a_folder_of_lists_is_followed(files: Files, client_name: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    shutil.move(files.lists, folder / "a.crl")
    live = files.live(revocation_lists=folder)
    assert client_name(live) == "app.test"
    write_revocation_list(files.pki, folder / "b.crl", [files.pki.server_certificate], files.start + timedelta(minutes=10))
    assert client_name(live) == Reason.TLS_REFUSED


# ── containers and keys ─────────────────────────────────────────────────────────────────────────────────────────


def as_container(pki: TestPki, file: Path, password: bytes) -> Path:
    key = load_pem_private_key(pki.client_key.read_bytes(), None)
    (certificate,) = read_certificates(pki.client_certificate)
    chain = list(read_certificates(pki.authority))
    file.write_bytes(
        pkcs12.serialize_key_and_certificates(b"app", key, certificate, chain, BestAvailableEncryption(password))  # type: ignore[arg-type]
    )
    return file


def test_a_container_is_an_identity(files: Files, client_name: Ask, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mot de passe\n")
    container = as_container(files.pki, tmp_path / "app.p12", b"mot de passe")
    live = files.live(certificate=container, key=None, password_file=tmp_path / "secret")
    assert client_name(live) == "app.test"
    soonest = live.expiries(files.start)[0]
    assert soonest.urgency in (Urgency.WARNING, Urgency.NOTICE, Urgency.FAR)
    assert {expiry.file for expiry in live.expiries(files.start)} == {container, files.authorities, files.lists}


def test_a_wrong_password_says_so_without_it(files: Files, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("faux-secret")
    container = as_container(files.pki, tmp_path / "app.p12", b"mot de passe")
    with pytest.raises(TrustError) as caught:
        files.live(certificate=container, key=None, password_file=tmp_path / "secret")
    assert caught.value.code == "trust.key"
    assert "faux-secret" not in str(caught.value)


def test_an_encrypted_key_is_opened_with_its_password_file(files: Files, client_name: Ask, tmp_path: Path) -> None:
    key = load_pem_private_key(files.pki.client_key.read_bytes(), None)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"cle")))
    with pytest.raises(TrustError, match=r"trust\.key"):
        files.live()
    (tmp_path / "secret").write_text("cle")
    assert client_name(files.live(password_file=tmp_path / "secret")) == "app.test"


def test_the_certificate_of_the_key_comes_first_whatever_the_order_of_the_file(files: Files) -> None:
    files.certificate.write_bytes(files.authorities.read_bytes() + files.certificate.read_bytes())
    identity = read_identity(files.certificate, files.key)
    assert [certificate.subject.rfc4514_string() for certificate in identity.chain] == ["CN=app.test", "CN=Autorité de test"]


def test_a_key_of_another_certificate_is_told_at_the_start(files: Files) -> None:
    with pytest.raises(MssanteError, match=r"trust\.key-mismatch"):
        files.live(key=files.pki.server_key)


def test_the_key_is_in_no_file_and_no_text(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def watch(context: ssl.SSLContext, path: str, **more: object) -> None:
        written.append(Path(path).read_bytes())
        assert path.startswith("/proc/self/fd/")
        load(context, path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watch)
    live = files.live()
    assert written and all(b"ENCRYPTED PRIVATE KEY" in content for content in written)
    assert "PRIVATE" not in repr(live) + repr(read_identity(files.certificate, files.key))
