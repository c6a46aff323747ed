"""The channel contract on secure mail: one suite on the double and on real Postfix and Dovecot, then scripted bad operators.

What arrived is judged from the partner's side: bytes in the double's memory, files in Dovecot's maildir.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import imaplib
import io
import itertools
import os
import ssl
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol, cast

import pytest
from lxml import etree

from adapter.channels.base import Channel
from adapter.channels.mssante import SecureMailChannel, SecureMailSettings, outcome_of
from adapter.model.delivery import DeliveryState, OutcomeKind
from adapter.packaging.mail import Enclosed, build_mail
from adapter.packaging.parcel import FaxContent, MailContent, Parcel
from adapter.secure_line import SecureLine
from adapter.tracking.causes import load_causes
from mssante.autoconfig import Endpoint
from mssante.smtp import Reason, SmtpResult, Stage, Verdict
from mssante.testing import Fault, Moment, OperatorDouble, TestPki, make_test_pki
from mssante.tls import TlsSettings
from tests.builders.cda import build_n1, tiny_pdf
from tests.builders.secure_mail import DOCTOR, SENDER, SENT_AT, SUBMISSION, delivery
from tests.servers.mail_operator import CLIENT_NAME, DOMAIN, SIZE_LIMIT, MailOperator, is_installed

pytestmark = pytest.mark.contract

CDA = build_n1(pdf=tiny_pdf("Compte rendu") * 40)
PDF = tiny_pdf("Compte rendu")


class Partner(Protocol):
    """The operator's side, whatever it is."""

    pki: TestPki
    port: int

    def mails(self, count: int) -> tuple[EmailMessage, ...]:
        """The doctor's mails once there are so many, oldest first."""
        ...


@dataclass
class DoublePartner:
    pki: TestPki
    operator: OperatorDouble

    @property
    def port(self) -> int:
        return self.operator.port

    def mails(self, count: int) -> tuple[EmailMessage, ...]:
        return tuple(_parse(mail.content) for mail in self.operator.wait_for(count))


@dataclass
class RealPartner:
    operator: MailOperator

    @property
    def pki(self) -> TestPki:
        return self.operator.pki

    @property
    def port(self) -> int:
        return self.operator.smtp_port

    def mails(self, count: int) -> tuple[EmailMessage, ...]:
        return self.operator.wait_for_mail(DOCTOR, count)


@pytest.fixture(scope="module")
def real_operator(require_root_servers: None) -> Iterator[MailOperator]:
    if not is_installed():
        reason = "postfix, dovecot-imapd and dovecot-lmtpd are not installed (run `sudo make test`)"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{reason} — and CI=true allows no skip", pytrace=False)
        warnings.warn(pytest.PytestWarning(f"SKIPPED: {reason}"), stacklevel=2)
        pytest.skip(reason)
    operator = MailOperator()
    try:
        yield operator.start()
    finally:
        operator.stop()


@pytest.fixture(params=["double", "postfix-dovecot"])
def partner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Partner]:
    if request.param == "postfix-dovecot":
        yield RealPartner(request.getfixturevalue("real_operator"))
        return
    pki = make_test_pki(tmp_path / "pki", server_name="operateur.test", client_name=CLIENT_NAME)
    with OperatorDouble(pki, mailboxes=[DOCTOR], domains=[DOMAIN], size_limit=SIZE_LIMIT) as operator:
        yield DoublePartner(pki, operator)


def settings_for(partner: Partner, **changes: object) -> SecureMailSettings:
    pki = partner.pki
    files = TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "operateur.test")
    of_tls = {name: changes.pop(name) for name in ("certificate", "key", "authorities") if name in changes}
    server = Endpoint("127.0.0.1", cast(int, changes.pop("port", partner.port)))
    plain = SecureMailSettings(
        servers=lambda _: (server,),
        tls=SecureLine("channels.mssante.tls", replace(files, **of_tls)),  # type: ignore[arg-type]
        timeout_seconds=10,
        final_timeout_seconds=10,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def parcel(number: int = 1, *, to: str = DOCTOR, cda: bytes = CDA) -> Parcel:
    row = delivery(id=f"d-{number}", reference=f"<d-{number}@{DOMAIN}>")
    content = build_mail([Enclosed(row, SUBMISSION, cda, PDF)], SENDER, to, SENT_AT)
    return Parcel(row.id, row.reference, to, False, content)


def _parse(content: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


# ── the suite, on both operators ────────────────────────────────────────────────────────────────────────────────────


def test_an_accepted_mail_arrives_whole(partner: Partner) -> None:
    before = 0 if isinstance(partner, DoublePartner) else len(partner.operator.mails(DOCTOR))  # type: ignore[attr-defined]
    outcome = SecureMailChannel(settings_for(partner)).send(parcel())
    assert (outcome.kind, outcome.proves, outcome.cause) == (OutcomeKind.ACCEPTED, DeliveryState.ACCEPTED, "")
    assert outcome.partner_reference
    message = partner.mails(before + 1)[-1]
    assert message["Message-ID"] == f"<d-1@{DOMAIN}>"
    assert message["Subject"] == "XDM/1.0/DDM+CR hospitalier (séjour) EXEMPLE-BERTHIER CAMILLE 18/09/1974"
    archive, pdf = message.iter_attachments()
    sent = _parse(parcel().content.message)  # type: ignore[union-attr]
    sent_archive = next(sent.iter_attachments()).get_content()
    assert hashlib.sha1(archive.get_content()).digest() == hashlib.sha1(sent_archive).digest()
    assert pdf.get_content() == PDF
    opened = zipfile.ZipFile(io.BytesIO(archive.get_content()))
    stored = opened.read("IHE_XDM/SUBSET01/DOC00001.XML")
    assert stored == CDA
    metadata = etree.fromstring(opened.read("IHE_XDM/SUBSET01/METADATA.XML"))
    declared = metadata.xpath("//*[@name='hash']//text()[normalize-space()]")
    assert declared == [hashlib.sha1(stored).hexdigest()]


def test_an_unknown_mailbox_is_refused_as_such(partner: Partner) -> None:
    outcome = SecureMailChannel(settings_for(partner)).send(parcel(2, to=f"personne@{DOMAIN}"))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "mailbox-unknown")


def test_a_domain_outside_the_trust_space_is_refused_as_such(partner: Partner) -> None:
    outcome = SecureMailChannel(settings_for(partner)).send(parcel(3, to="a@ailleurs.fr"))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "domain-refused")


def test_our_own_list_of_domains_stops_a_mail_before_the_operator_does(partner: Partner) -> None:
    channel = SecureMailChannel(settings_for(partner, is_trusted=lambda to: to.endswith(f"@{DOMAIN}"), port=1))
    assert channel.send(parcel(4, to="a@ailleurs.fr")).cause == "domain-refused"
    assert channel.send(parcel(4)).cause == "connect-failed"


def test_a_mail_above_the_operators_limit_is_too_large(partner: Partner) -> None:
    noise = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(60_000))
    big = parcel(5, cda=build_n1(pdf=noise))
    assert isinstance(big.content, MailContent)
    assert len(big.content.message) > SIZE_LIMIT
    outcome = SecureMailChannel(settings_for(partner)).send(big)
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "too-large")


def test_a_mail_above_our_own_limit_never_reaches_the_operator(partner: Partner) -> None:
    outcome = SecureMailChannel(settings_for(partner, max_message_bytes=1_000, port=1)).send(parcel(6))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "too-large")


def test_without_certificate_the_operator_does_not_talk_to_us(partner: Partner) -> None:
    outcome = SecureMailChannel(settings_for(partner, certificate=None, key=None)).send(parcel(7))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")


def test_a_rogue_certificate_is_refused(partner: Partner, tmp_path: Path) -> None:
    rogue = make_test_pki(tmp_path / "rogue", client_name=CLIENT_NAME)
    channel = SecureMailChannel(settings_for(partner, certificate=rogue.client_certificate, key=rogue.client_key))
    assert channel.send(parcel(8)).cause == "tls-failed"
    assert "tls" in channel.check()


def test_an_operator_of_another_authority_gets_no_mail(partner: Partner, tmp_path: Path) -> None:
    other = make_test_pki(tmp_path / "other")
    outcome = SecureMailChannel(settings_for(partner, authorities=other.authority)).send(parcel(9))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")


def test_checking_is_silent_when_all_is_well_and_sends_nothing(partner: Partner) -> None:
    assert SecureMailChannel(settings_for(partner)).check() == ""
    assert "connect" in SecureMailChannel(settings_for(partner, port=1)).check()
    assert "trust.unreadable" in SecureMailChannel(settings_for(partner, key=Path("absent.key"))).check()


def test_the_port_of_channels_is_kept(partner: Partner) -> None:
    channel: Channel = SecureMailChannel(settings_for(partner))
    assert channel.capabilities.resend_is_safe
    assert channel.capabilities.final_state is DeliveryState.INTEGRATED
    assert channel.find(parcel()) is None
    assert channel.collect("cursor-7") == ((), "cursor-7")
    fax = Parcel("d", "r", "+33100000000", False, FaxContent(b"", 0))
    assert channel.send(fax).cause == "rendition-impossible"


def test_a_key_that_cannot_be_read_defers_and_never_raises(partner: Partner) -> None:
    outcome = SecureMailChannel(settings_for(partner, key=Path("absent.key"))).send(parcel(10))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")


# ── only real servers do these ──────────────────────────────────────────────────────────────────────────────────────


def test_a_real_operator_answers_with_a_notification_that_names_the_delivery(real_operator: MailOperator) -> None:
    partner = RealPartner(real_operator)
    assert SecureMailChannel(settings_for(partner)).send(parcel(20)).kind is OutcomeKind.ACCEPTED
    deadline_count = 1
    while True:
        reports = real_operator.wait_for_mail(SENDER.mailbox, deadline_count)
        ours = [report for report in reports if "Original-Envelope-Id: d-20" in report.as_string()]
        if ours:
            break
        deadline_count = len(reports) + 1
    assert ours[0].get_content_type() == "multipart/report"
    assert "Action: relayed" in ours[0].as_string()


def test_the_sending_box_reads_its_mail_by_imap_with_the_same_certificate(real_operator: MailOperator) -> None:
    partner = RealPartner(real_operator)
    SecureMailChannel(settings_for(partner)).send(parcel(21))
    real_operator.wait_for_mail(SENDER.mailbox, 1)
    context = ssl.create_default_context(cafile=str(partner.pki.authority))
    context.load_cert_chain(partner.pki.client_certificate, partner.pki.client_key)
    context.check_hostname = False
    with imaplib.IMAP4("127.0.0.1", real_operator.imap_port, timeout=10) as box:
        box.starttls(context)
        box.authenticate("EXTERNAL", lambda _: b"")
        status, counts = box.select("INBOX", readonly=True)
        assert status == "OK"
        assert int(counts[0] or b"0") >= 1


# ── scripted bad operators ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[DoublePartner]:
    pki = make_test_pki(tmp_path / "pki", server_name="operateur.test")
    with OperatorDouble(pki) as operator:
        yield DoublePartner(pki, operator)


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        (Fault.answer(Moment.CONNECT, "421 4.3.2 Fermé"), OutcomeKind.DEFERRED, "partner-busy"),
        (Fault.answer(Moment.CONNECT, "554 5.7.1 Non"), OutcomeKind.REFUSED, "auth-refused"),
        (Fault.drop(Moment.CONNECT), OutcomeKind.DEFERRED, "connect-failed"),
        (Fault.stall(Moment.CONNECT), OutcomeKind.DEFERRED, "connect-timeout"),
        (Fault.answer(Moment.MAIL, "552 5.3.4 Trop gros"), OutcomeKind.REFUSED, "too-large"),
        (Fault.answer(Moment.MAIL, "550 5.7.1 Émetteur refusé"), OutcomeKind.REFUSED, "auth-refused"),
        (Fault.answer(Moment.MAIL, "452 4.3.1 Disque plein"), OutcomeKind.DEFERRED, "partner-busy"),
        (Fault.answer(Moment.RCPT, "550 5.1.1 Inconnue"), OutcomeKind.REFUSED, "mailbox-unknown"),
        (Fault.answer(Moment.RCPT, "551 5.1.6 Partie"), OutcomeKind.REFUSED, "mailbox-unknown"),
        (Fault.answer(Moment.RCPT, "554 5.7.1 Domaine"), OutcomeKind.REFUSED, "domain-refused"),
        (Fault.answer(Moment.RCPT, "552 5.2.2 Pleine"), OutcomeKind.REFUSED, "mailbox-full"),
        (Fault.answer(Moment.RCPT, "452 4.2.2 Pleine"), OutcomeKind.DEFERRED, "mailbox-full"),
        (Fault.answer(Moment.RCPT, "450 4.2.1 Occupée"), OutcomeKind.DEFERRED, "partner-busy"),
        (Fault.drop(Moment.RCPT), OutcomeKind.DEFERRED, "connect-failed"),
        (Fault.stall(Moment.RCPT), OutcomeKind.DEFERRED, "connect-timeout"),
        (Fault.answer(Moment.DATA, "451 4.3.0 Plus tard"), OutcomeKind.DEFERRED, "partner-busy"),
        (Fault.answer(Moment.END_OF_DATA, "554 5.6.0 Contenu refusé"), OutcomeKind.REFUSED, "content-refused"),
        (Fault.answer(Moment.END_OF_DATA, "552 5.3.4 Trop gros"), OutcomeKind.REFUSED, "too-large"),
        (Fault.answer(Moment.END_OF_DATA, "552 5.2.2 Pleine"), OutcomeKind.REFUSED, "mailbox-full"),
        (Fault.answer(Moment.END_OF_DATA, "451 4.3.0 Plus tard"), OutcomeKind.DEFERRED, "partner-busy"),
        (Fault.drop(Moment.END_OF_DATA), OutcomeKind.UNCLEAR, "no-answer"),
        (Fault.stall(Moment.END_OF_DATA), OutcomeKind.UNCLEAR, "no-answer"),
        (Fault.drop(Moment.KEPT), OutcomeKind.UNCLEAR, "no-answer"),
    ],
)
def test_what_an_operator_does_becomes_a_cause_of_the_table(
    bad: DoublePartner, fault: Fault, kind: OutcomeKind, cause: str
) -> None:
    bad.operator.script(fault)
    channel = SecureMailChannel(settings_for(bad, timeout_seconds=0.5, final_timeout_seconds=0.5))
    outcome = channel.send(parcel())
    assert (outcome.kind, outcome.cause) == (kind, cause)
    assert cause in load_causes()
    assert DOCTOR not in repr(outcome) and "BERTHIER" not in repr(outcome)
    kept = 1 if fault.at is Moment.KEPT else 0
    assert len(bad.operator.received) == kept


def test_sending_again_after_doubt_gives_the_partner_the_very_same_bytes(bad: DoublePartner) -> None:
    bad.operator.script(Fault.drop(Moment.KEPT))
    channel = SecureMailChannel(settings_for(bad))
    assert channel.send(parcel()).kind is OutcomeKind.UNCLEAR
    assert channel.send(parcel()).kind is OutcomeKind.ACCEPTED
    first, second = bad.operator.received
    assert first.content == second.content


def test_an_address_that_no_envelope_can_hold_is_refused_and_not_raised(bad: DoublePartner) -> None:
    content = replace(parcel().content, envelope_to="a b@c.fr")
    assert isinstance(content, MailContent)
    outcome = SecureMailChannel(settings_for(bad)).send(replace(parcel(), content=content))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "mailbox-unknown")


def test_every_possible_result_has_a_cause_that_the_table_knows() -> None:
    answers = ((0, ""), (421, "4.7.1"), (452, "4.2.2"), (535, "5.7.8"), (550, ""), (552, ""), (554, "5.7.1"))
    for verdict, stage, reason, (code, enhanced) in itertools.product(Verdict, Stage, Reason, answers):
        outcome = outcome_of(SmtpResult(verdict, stage, reason, code, enhanced))
        assert (outcome.cause in load_causes()) is (outcome.kind is not OutcomeKind.ACCEPTED), (verdict, stage, reason, code)
        assert (outcome.kind is OutcomeKind.UNCLEAR) == (outcome.cause == "no-answer")
