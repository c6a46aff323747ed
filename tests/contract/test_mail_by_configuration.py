"""The configuration alone says how mail leaves and comes: real Postfix and Dovecot, by certificate, container or token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from cryptography.x509 import load_pem_x509_certificate

from adapter.assembly import build_channels
from adapter.channels.base import Channel
from adapter.config import Config, load_config
from adapter.intake.mailbox import MailboxDoorSettings
from adapter.model.delivery import OutcomeKind
from adapter.model.plan import ChannelName
from adapter.routing.directory import Directory, load_directory
from adapter.secure_line import SecureLines
from adapter.service.doors import mailbox_settings
from mssante.errors import MailboxRefusedError, TokenUnavailableError
from mssante.mailbox import Mailbox
from mssante.testing import write_revocation_list
from tests.builders.secure_mail import DOCTOR
from tests.contract.test_secure_mail_channel import parcel
from tests.loudly import skip_loudly
from tests.servers.mail_operator import SENDER, MailOperator, is_installed

pytestmark = pytest.mark.contract

BASE = """
[instance]
mode = "production"
name = "essai"
[[legal_entities]]
finess_ej = "750712184"
name = "AP-HP"
source_oid = "1.2.250.1.71.4.2.1"
[channels.mssante]
host = "127.0.0.1"
port = {smtp_port}
server_name = "operateur.test"
timeout_seconds = 10
{who}
[channels.mssante.tls]
ca = "{pki.authority}"
{files}
{token}
[[doors.mailboxes]]
name = "boite"
address = "{address}"
host = "127.0.0.1"
port = {imap_port}
server_name = "operateur.test"
{who}
[doors.mailboxes.tls]
ca = "{pki.authority}"
{files}
{mailbox_token}
"""


@pytest.fixture(scope="module")
def operator(require_root_servers: None) -> Iterator[MailOperator]:
    if not is_installed():
        skip_loudly("postfix, dovecot-imapd and dovecot-lmtpd are not installed (run `sudo make test`)")
    running = MailOperator()
    try:
        yield running.start()
    finally:
        running.stop()


class Site:
    """One configuration file and what it opens."""

    def __init__(self, folder: Path, operator: MailOperator, *, token: str = "", files: str = "", who: str = "") -> None:
        values = {
            "smtp_port": operator.token_port if token else operator.smtp_port,
            "imap_port": operator.imap_port,
            "pki": operator.pki,
            "address": DOCTOR if token else SENDER,
            "who": who,
            "files": files,
            "token": f"[channels.mssante.token]\n{token}" if token else "",
            "mailbox_token": f"[doors.mailboxes.token]\n{token}" if token else "",
        }
        (folder / "tdu.toml").write_text(BASE.format(**values))
        self.config: Config = load_config(folder / "tdu.toml", {})
        self.lines = SecureLines(self.config)

    def channel(self, directory: Directory | None = None) -> Channel:
        return build_channels(self.config, self.lines, (lambda: directory) if directory else None)[ChannelName.SECURE_MAIL]

    def mailbox(self) -> MailboxDoorSettings:
        box = self.config.doors.mailboxes[0]
        auth = self.lines.auth(box.user, box.password, box.token, external=True)
        return mailbox_settings(box, self.lines.at("doors.mailboxes[1].tls"), auth)


def test_a_token_that_another_program_renews_sends_and_reads(tmp_path: Path, operator: MailOperator) -> None:
    site = Site(tmp_path, operator, token='file = "psc.token"', who=f'user = "{DOCTOR}"')
    channel = site.channel()
    waiting = channel.send(parcel(1))
    assert (waiting.kind, waiting.cause) == (OutcomeKind.DEFERRED, "auth-refused"), "no token yet: later"
    with pytest.raises(TokenUnavailableError):
        Mailbox.open(site.mailbox().mailbox)
    before = len(operator.mails(DOCTOR))
    for number in (1, 2):
        (tmp_path / "psc.token").write_text(operator.wallet.token(DOCTOR, lives_seconds=60 + number))
        assert channel.check() == ""
        assert channel.send(parcel(number)).kind is OutcomeKind.ACCEPTED
    operator.wait_for_mail(DOCTOR, before + 2)
    with Mailbox.open(site.mailbox().mailbox) as mailbox:
        mailbox.select("INBOX")
        assert len(mailbox.search()) == before + 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["psc.token", "tdu.toml"], "nothing is kept by us"


def test_a_token_of_somebody_else_opens_nothing(tmp_path: Path, operator: MailOperator) -> None:
    site = Site(tmp_path, operator, token='file = "psc.token"', who=f'user = "{DOCTOR}"')
    (tmp_path / "psc.token").write_text(operator.wallet.token(DOCTOR, issuer="https://ailleurs.test"))
    outcome = site.channel().send(parcel(3))
    assert outcome.cause == "auth-refused"
    assert outcome.kind is not OutcomeKind.ACCEPTED
    with pytest.raises(MailboxRefusedError):
        Mailbox.open(site.mailbox().mailbox)


def test_a_container_with_its_password_opens_both_ways(tmp_path: Path, operator: MailOperator) -> None:
    key = load_pem_private_key(operator.pki.client_key.read_bytes(), None)
    certificate = load_pem_x509_certificate(operator.pki.client_certificate.read_bytes())
    sealed = pkcs12.serialize_key_and_certificates(b"app", key, certificate, None, BestAvailableEncryption(b"sesame"))  # type: ignore[arg-type]
    (tmp_path / "app.p12").write_bytes(sealed)
    (tmp_path / "app.password").write_text("sesame\n")
    site = Site(tmp_path, operator, files='certificate = "app.p12"\nkey_password_file = "app.password"')
    assert site.channel().check() == ""
    assert site.channel().send(parcel(4)).kind is OutcomeKind.ACCEPTED
    with Mailbox.open(site.mailbox().mailbox) as mailbox:
        assert mailbox.folders()


def test_a_list_that_names_the_operator_stops_both_ways_at_once(tmp_path: Path, operator: MailOperator) -> None:
    pki = operator.pki
    write_revocation_list(pki, tmp_path / "ca.crl", [])
    own = f'certificate = "{pki.client_certificate}"\nkey = "{pki.client_key}"\nrevocation_lists = "ca.crl"'
    site = Site(tmp_path, operator, files=own)
    channel = site.channel()
    assert channel.send(parcel(5)).kind is OutcomeKind.ACCEPTED
    Mailbox.open(site.mailbox().mailbox).close()
    write_revocation_list(pki, tmp_path / "ca.crl", [pki.server_certificate])
    outcome = channel.send(parcel(6))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")
    with pytest.raises(Exception, match="tls"):
        Mailbox.open(site.mailbox().mailbox)


@pytest.mark.parametrize("name", ["revoked_certificate", ""])
def test_our_revoked_or_absent_certificate_opens_no_mailbox(tmp_path: Path, operator: MailOperator, name: str) -> None:
    # Without one there is nothing to enter with: the configuration itself is refused.
    if not name:
        with pytest.raises(Exception, match=r"doors\.mailboxes\[1\]\.tls\.certificate: missing"):
            Site(tmp_path, operator)
        return
    site = Site(tmp_path, operator, files=f'certificate = "{operator.revoked_certificate}"\nkey = "{operator.revoked_key}"')
    with pytest.raises(Exception, match=r"mailbox\."):
        Mailbox.open(site.mailbox().mailbox)


def test_a_domain_that_left_the_trust_space_since_the_plan_is_not_written_to(tmp_path: Path, operator: MailOperator) -> None:
    pki = operator.pki
    own = f'certificate = "{pki.client_certificate}"\nkey = "{pki.client_key}"'
    domain = DOCTOR.rpartition("@")[2]

    def listed(until: str) -> Directory:
        row = f"{domain},professional,2020-01-01,{until},true"
        return load_directory({"domaines.csv": f"domain,kind,since,until,training\n{row}\n".encode()})

    site = Site(tmp_path, operator, files=own)
    assert site.channel(listed("")).send(parcel(7)).kind is OutcomeKind.ACCEPTED
    outcome = site.channel(listed("2025-12-31")).send(parcel(8))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "domain-refused")
