"""The library against real Postfix and Dovecot: certificates, revocation, tokens, white list, sizes, notifications, delays.

Root only (loud skip otherwise, failure under CI=true). What arrived is judged from the operator's side.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest

from mssante.auth import XOAuth2
from mssante.errors import MailboxLostError, MailboxRefusedError
from mssante.mailbox import Mail, Mailbox, MailboxSettings
from mssante.mailbox_reader import Decision, Event, MailboxReader, Position, ReaderSettings, Received
from mssante.smtp import Reason, SmtpResult, Stage, TlsSettings, Verdict, send
from mssante.testing import make_test_pki, write_revocation_list
from tests.servers.mail_operator import (
    DOCTOR,
    DOMAIN,
    READ_ONLY_FOLDER,
    SENDER,
    SHARED_BOX,
    SIZE_LIMIT,
    TINY_BOX,
    MailOperator,
    Wallet,
)

pytestmark = pytest.mark.contract


@pytest.fixture
def app_tls(real_operator: MailOperator) -> TlsSettings:
    pki = real_operator.pki
    return TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "operateur.test")


@pytest.fixture
def person_tls(app_tls: TlsSettings) -> TlsSettings:
    return replace(app_tls, certificate=None, key=None)


@pytest.fixture
def app_box(real_operator: MailOperator, app_tls: TlsSettings) -> MailboxSettings:
    return MailboxSettings("127.0.0.1", real_operator.imap_port, app_tls)


@pytest.fixture
def person_box(real_operator: MailOperator, person_tls: TlsSettings) -> Callable[..., MailboxSettings]:
    def of(address: str, token: Callable[[], str] | None = None, source: str = "") -> MailboxSettings:
        provider = token or (lambda: real_operator.wallet.token(address))
        auth = XOAuth2(address, provider)
        return MailboxSettings("127.0.0.1", real_operator.imap_port, person_tls, auth, source_address=source)

    return of


@pytest.fixture
def mail(real_operator: MailOperator, app_tls: TlsSettings) -> Callable[..., SmtpResult]:
    def go(subject: str, to: str, body: bytes = b"Bonjour\r\n", **changes: object) -> SmtpResult:
        message = f"From: {SENDER}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{DOMAIN}>\r\n\r\n".encode() + body
        settings = {"host": "127.0.0.1", "port": real_operator.smtp_port, "tls": app_tls, "timeout": 20.0, **changes}
        return send(message, SENDER, to, **settings)  # type: ignore[arg-type]

    return go


PersonBox = Callable[..., MailboxSettings]
SendMail = Callable[..., SmtpResult]


def find(mailbox: Mailbox, subject: str, seconds: float = 20.0) -> int:
    deadline = time.monotonic() + seconds
    while not (uids := mailbox.search(header=("Message-ID", f"<{subject}@{DOMAIN}>"))):
        assert time.monotonic() < deadline, "the mail did not arrive"
        time.sleep(0.05)
    return uids[-1]


# ── who may enter ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_application_enters_with_its_certificate_alone(app_box: MailboxSettings) -> None:
    with Mailbox.open(app_box) as mailbox:
        assert set(mailbox.folders()) == {"INBOX", "Biologie reçue", READ_ONLY_FOLDER, "Traités"}
        assert mailbox.select("INBOX").keeps("$TduKept")
        assert mailbox.can_idle


def test_persons_and_organisations_enter_with_a_token_each_into_their_own_box(person_box: PersonBox, mail: SendMail) -> None:
    for number, box in enumerate((DOCTOR, SHARED_BOX)):
        assert mail(f"own{number}", box).verdict is Verdict.ACCEPTED
        with Mailbox.open(person_box(box)) as mailbox:
            mailbox.select("INBOX")
            body = mailbox.fetch(find(mailbox, f"own{number}"), 100_000)
            assert isinstance(body, Mail) and f"To: {box}".encode() in body.content


SPOILT: dict[str, Callable[[Wallet], str]] = {
    "expired": lambda wallet: wallet.token(DOCTOR, lives_seconds=-60),
    "another issuer": lambda wallet: wallet.token(DOCTOR, issuer="https://ailleurs.test"),
    "another key": lambda _: Wallet().token(DOCTOR),
    "garbage": lambda _: "pas-un-jeton",
}


def test_a_certificate_shown_beside_a_token_spoils_the_login(person_box: PersonBox, app_tls: TlsSettings) -> None:
    # The trap that the documentation of XOAuth2 names: the certificate's name takes the place of the token's user.
    with pytest.raises(MailboxRefusedError, match=r"mailbox\.auth-refused"):
        Mailbox.open(replace(person_box(DOCTOR, source="127.0.0.45"), tls=app_tls))


@pytest.mark.parametrize(("number", "why"), list(enumerate(SPOILT)))
def test_a_token_that_is_not_good_is_refused_with_its_status(
    real_operator: MailOperator, person_box: PersonBox, number: int, why: str
) -> None:
    source = f"127.0.0.{20 + number}"  # failed logins are punished by growing delays, per source
    with pytest.raises(MailboxRefusedError, match=r"mailbox\.auth-refused.*status (400|401)"):
        Mailbox.open(person_box(DOCTOR, lambda: SPOILT[why](real_operator.wallet), source))


def test_failed_logins_are_punished_for_their_source_only(real_operator: MailOperator, person_box: PersonBox) -> None:
    def seconds_of(source: str, token: Callable[[], str] | None) -> float:
        started = time.monotonic()
        try:
            Mailbox.open(person_box(DOCTOR, token, source)).close()
        except MailboxRefusedError:
            assert token is not None
        return time.monotonic() - started

    seconds_of("127.0.0.40", lambda: "faux")
    assert seconds_of("127.0.0.40", lambda: "faux") > 2.0
    assert seconds_of("127.0.0.41", None) < 2.0


def test_rogue_revoked_and_absent_certificates_get_nowhere(
    real_operator: MailOperator, app_box: MailboxSettings, app_tls: TlsSettings, tmp_path: Path
) -> None:
    rogue = make_test_pki(tmp_path)
    revoked = (real_operator.revoked_certificate, real_operator.revoked_key)
    # Dovecot lets the handshake end and refuses the login. From other addresses: failed logins are punished.
    for number, (certificate, key) in enumerate(((rogue.client_certificate, rogue.client_key), revoked, (None, None))):
        bad = replace(app_tls, certificate=certificate, key=key)
        with pytest.raises((MailboxLostError, MailboxRefusedError)):
            Mailbox.open(replace(app_box, tls=bad, source_address=f"127.0.0.{50 + number}"))


def test_a_revoked_operator_is_not_talked_to(
    real_operator: MailOperator, app_box: MailboxSettings, app_tls: TlsSettings, mail: SendMail, tmp_path: Path
) -> None:
    pki = real_operator.pki
    good = replace(app_tls, revocation_lists=write_revocation_list(pki, tmp_path / "bonne.pem", []))
    bad = replace(app_tls, revocation_lists=write_revocation_list(pki, tmp_path / "crl.pem", [pki.server_certificate]))
    Mailbox.open(replace(app_box, tls=good)).close()
    with pytest.raises(MailboxLostError, match=r"mailbox\.tls-refused"):
        Mailbox.open(replace(app_box, tls=bad))
    assert mail("jamais", DOCTOR, tls=bad).reason is Reason.TLS_REFUSED


# ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_token_sends_and_reads(
    real_operator: MailOperator, person_tls: TlsSettings, person_box: PersonBox, mail: SendMail
) -> None:
    auth = XOAuth2(DOCTOR, lambda: real_operator.wallet.token(DOCTOR))
    result = mail("jeton", DOCTOR, port=real_operator.token_port, tls=person_tls, auth=auth)
    assert result.verdict is Verdict.ACCEPTED
    with Mailbox.open(person_box(DOCTOR)) as mailbox:
        mailbox.select("INBOX")
        assert find(mailbox, "jeton")


def test_an_expired_token_is_refused_at_submission(real_operator: MailOperator, person_tls: TlsSettings, mail: SendMail) -> None:
    auth = XOAuth2(DOCTOR, lambda: real_operator.wallet.token(DOCTOR, now=datetime.now(UTC) - timedelta(hours=1)))
    result = mail("expire", DOCTOR, port=real_operator.token_port, tls=person_tls, auth=auth, source_address="127.0.0.60")
    assert (result.verdict, result.stage, result.code) == (Verdict.PERMANENT, Stage.AUTH, 535)


def test_nobody_sends_without_proving_who_they_are(real_operator: MailOperator, person_tls: TlsSettings, mail: SendMail) -> None:
    anonymous = mail("anonyme", DOCTOR, port=real_operator.token_port, tls=person_tls)
    assert (anonymous.verdict, anonymous.stage) == (Verdict.PERMANENT, Stage.RCPT)
    without = mail("sans", DOCTOR, tls=person_tls)
    assert without.verdict is not Verdict.ACCEPTED


def test_a_domain_outside_the_white_list_is_refused(mail: SendMail) -> None:
    result = mail("dehors", "quelquun@ailleurs.fr")
    assert (result.verdict, result.stage, result.code) == (Verdict.PERMANENT, Stage.RCPT, 554)


def test_a_mail_above_the_announced_size_is_not_even_offered(mail: SendMail) -> None:
    result = mail("gros", DOCTOR, b"x" * 70 + b"\r\n" + b"z\r\n" * (SIZE_LIMIT // 3))
    assert (result.verdict, result.reason, result.size_limit) == (Verdict.PERMANENT, Reason.TOO_LARGE, SIZE_LIMIT)


@pytest.mark.parametrize(("to", "action"), [(DOCTOR, b"Action: relayed"), (TINY_BOX, b"Action: failed")])
def test_success_and_a_full_mailbox_come_back_as_notifications(
    app_box: MailboxSettings, mail: SendMail, to: str, action: bytes
) -> None:
    subject = f"dsn-{to.partition('@')[0]}"
    body = b"x" * 76 + b"\r\n"
    assert mail(subject, to, body * (1000 if to == TINY_BOX else 1), envelope_id=subject).verdict is Verdict.ACCEPTED
    with Mailbox.open(app_box) as mailbox:
        mailbox.select("INBOX")
        deadline = time.monotonic() + 20
        while True:
            reports = [mailbox.fetch(uid, 1_000_000) for uid in mailbox.search()]
            ours = [
                r.content for r in reports if isinstance(r, Mail) and b"Original-Envelope-Id: " + subject.encode() in r.content
            ]
            if ours:
                break
            assert time.monotonic() < deadline, "no notification"
            time.sleep(0.1)
    assert action in ours[0]
    if to == TINY_BOX:
        assert b"5.2.2" in ours[0]


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_large_mail_comes_back_byte_for_byte(person_box: PersonBox, mail: SendMail) -> None:
    lines = b"".join(hashlib.sha256(b"%d" % number).hexdigest().encode() + b"\r\n" for number in range(28_000))
    assert mail("grand", DOCTOR, lines).verdict is Verdict.ACCEPTED
    with Mailbox.open(person_box(DOCTOR)) as mailbox:
        mailbox.select("INBOX")
        body = mailbox.fetch(find(mailbox, "grand"), 10_000_000)
    assert isinstance(body, Mail)
    assert hashlib.sha1(body.content.partition(b"\r\n\r\n")[2]).digest() == hashlib.sha1(lines).digest()


def test_a_folder_without_keyword_right_says_so_and_refuses_the_mark(app_box: MailboxSettings, mail: SendMail) -> None:
    assert mail("classe", SENDER).verdict is Verdict.ACCEPTED
    with Mailbox.open(app_box) as mailbox:
        mailbox.select("INBOX")
        uid = find(mailbox, "classe")
        assert mailbox.mark(uid, "$TduKept")
        assert uid not in mailbox.search(without="$TduKept")
        assert mailbox.move(uid, READ_ONLY_FOLDER)
        state = mailbox.select(READ_ONLY_FOLDER)
        assert not state.keeps("$TduKept")
        assert not mailbox.mark(mailbox.search()[-1], "$TduElse")


class Memory:
    """Positions in memory."""

    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}

    def load(self, folder: str) -> Position | None:
        return self.positions.get(folder)

    def save(self, folder: str, position: Position) -> None:
        self.positions[folder] = position


@pytest.fixture
def followed(app_box: MailboxSettings) -> Iterator[list[Received]]:
    kept: list[Received] = []
    events: list[Event] = []
    stop = threading.Event()

    def take(received: Received) -> Decision:
        kept.append(received)
        return Decision.KEPT

    plan = ReaderSettings(folders=("INBOX", READ_ONLY_FOLDER), keyword="$TduFollow", idle_seconds=30.0, poll_seconds=0.5)
    thread = threading.Thread(target=MailboxReader(app_box, plan, Memory(), take, tell=events.append).run, args=(stop,))
    thread.start()
    yield kept
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_followed_box_shows_each_mail_once_whatever_its_folder(
    followed: list[Received], app_box: MailboxSettings, mail: SendMail
) -> None:
    for number in range(3):
        assert mail(f"suivi{number}", SENDER).verdict is Verdict.ACCEPTED
    with Mailbox.open(app_box) as mailbox:
        mailbox.select("INBOX")
        uid = find(mailbox, "suivi0")
        mailbox.move(uid, READ_ONLY_FOLDER)
    deadline = time.monotonic() + 20
    wanted = {f"<suivi{number}@{DOMAIN}>" for number in range(3)}

    def seen() -> list[str]:
        names = (message_from_bytes(r.body.content)["Message-ID"] for r in followed if isinstance(r.body, Mail))
        return [name for name in names if name in wanted]  # notifications arrive in this box too

    while set(seen()) != wanted:
        assert time.monotonic() < deadline, "not all were shown"
        time.sleep(0.05)
    time.sleep(1.5)  # more visits: nothing is shown again
    once, twice = sorted(wanted)[1:], sorted(wanted)[0]
    assert [seen().count(name) for name in once] == [1, 1]
    assert seen().count(twice) <= 2  # it moved while it was read: the other folder shows it as new
    places = [(r.folder, r.uid_validity, r.arrival.uid) for r in followed]
    assert len(places) == len(set(places))


def test_a_mail_is_found_since_its_day_and_shown_again_when_its_keyword_is_taken_back(
    mail: SendMail, app_box: MailboxSettings
) -> None:
    mail("de-nouveau", SENDER)
    today = datetime.now(UTC).date()
    with Mailbox.open(app_box) as mailbox:
        mailbox.select("INBOX")
        uid = find(mailbox, "de-nouveau")
        assert uid in mailbox.search(since=today - timedelta(days=1))
        assert uid not in mailbox.search(since=today + timedelta(days=2))
        assert mailbox.mark(uid, "$TduKept") and uid not in mailbox.search(without="$TduKept")
        assert mailbox.unmark(uid, "$TduKept") and uid in mailbox.search(without="$TduKept")
