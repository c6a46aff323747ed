"""One send, told stage by stage: what the operator does, how far it went, what may be believed."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.autoconfig import Endpoint
from mssante.errors import AddressError, MessageError, SessionEndedError, TlsSettingsError, TokenUnavailableError
from mssante.smtp import (
    PATIENT_SIZE_LIMIT,
    Password,
    Reason,
    SmtpResult,
    Stage,
    TlsSettings,
    Verdict,
    XOAuth2,
    probe,
    send,
    send_to_first,
    tls_context,
)
from mssante.testing import Fault, Moment, OperatorDouble, TestPki, issue, make_test_pki, write_revocation_list

SENDER = "labo.app@test.mssante.fr"
DOCTOR = "sacha.modele@test.mssante.fr"
MESSAGE = b"Subject: essai\r\nMessage-ID: <m1@test.mssante.fr>\r\n\r\nBonjour\r\n.\r\n..deux points\r\n"
Send = Callable[..., SmtpResult]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return make_test_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def tls(pki: TestPki) -> TlsSettings:
    return TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "localhost")


@pytest.fixture
def operator(pki: TestPki) -> Iterator[OperatorDouble]:
    with OperatorDouble(pki, mailboxes=[DOCTOR], domains=["test.mssante.fr"], size_limit=200_000) as running:
        yield running


@pytest.fixture
def mail(operator: OperatorDouble, tls: TlsSettings) -> Send:
    def go(message: bytes = MESSAGE, to: str = DOCTOR, **changes: object) -> SmtpResult:
        settings = {"host": "127.0.0.1", "port": operator.port, "tls": tls, "timeout": 5.0, **changes}
        return send(message, SENDER, to, **settings)  # type: ignore[arg-type]

    return go


def test_an_accepted_mail_arrives_byte_for_byte_from_the_named_client(mail: Send, operator: OperatorDouble) -> None:
    result = mail()
    assert (result.verdict, result.stage, result.code, result.enhanced) == (Verdict.ACCEPTED, Stage.END_OF_DATA, 250, "2.0.0")
    assert result.queue_id == "000001"
    assert result.size_limit == 200_000
    (received,) = operator.received
    assert (received.content, received.client) == (MESSAGE, "app.test")
    assert (received.envelope_from, received.envelope_to) == (SENDER, DOCTOR)


def test_a_double_started_again_writes_over_nothing_that_it_kept(pki: TestPki, tls: TlsSettings, tmp_path: Path) -> None:
    for _ in range(2):
        with OperatorDouble(pki, directory=tmp_path / "received") as operator:
            for _ in range(2):
                assert send(MESSAGE, SENDER, DOCTOR, host="127.0.0.1", port=operator.port, tls=tls).verdict is Verdict.ACCEPTED
    assert [file.name for file in sorted((tmp_path / "received").iterdir())] == [f"00000{n}.eml" for n in (1, 2, 3, 4)]


def test_line_ends_are_made_right_and_lone_dots_survive(mail: Send, operator: OperatorDouble) -> None:
    mail(b".premier\nSubject: x\r\n\n.\n..\nfin sans retour")
    assert operator.received[0].content == b".premier\r\nSubject: x\r\n\r\n.\r\n..\r\nfin sans retour\r\n"


@pytest.mark.parametrize(("to", "code", "enhanced"), [("inconnu@test.mssante.fr", 550, "5.1.1"), ("a@ailleurs.fr", 554, "5.7.1")])
def test_a_refused_recipient_is_told_by_its_codes(
    mail: Send, operator: OperatorDouble, to: str, code: int, enhanced: str
) -> None:
    result = mail(to=to)
    assert (result.verdict, result.stage, result.code, result.enhanced) == (Verdict.PERMANENT, Stage.RCPT, code, enhanced)
    assert operator.received == ()


def test_a_mail_above_the_announced_size_is_never_sent(mail: Send, operator: OperatorDouble) -> None:
    result = mail(b"x" * 200_001)
    assert (result.verdict, result.reason, result.size_limit) == (Verdict.PERMANENT, Reason.TOO_LARGE, 200_000)
    assert mail(b"x" * 70 + b"\r\n").verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("moment", "stage"),
    [(Moment.CONNECT, Stage.CONNECT), (Moment.MAIL, Stage.MAIL), (Moment.RCPT, Stage.RCPT), (Moment.DATA, Stage.DATA),
     (Moment.END_OF_DATA, Stage.END_OF_DATA)],
)  # fmt: skip
@pytest.mark.parametrize(("reply", "verdict"), [("451 4.3.0 Plus tard", Verdict.TEMPORARY), ("554 5.3.0 Non", Verdict.PERMANENT)])
def test_an_answer_counts_at_whatever_stage_it_comes(
    mail: Send, operator: OperatorDouble, moment: Moment, stage: Stage, reply: str, verdict: Verdict
) -> None:
    operator.script(Fault.answer(moment, reply))
    result = mail()
    assert (result.verdict, result.stage, result.reason, result.code) == (verdict, stage, Reason.ANSWER, int(reply[:3]))
    assert operator.received == ()
    assert mail().verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("moment", [Moment.CONNECT, Moment.MAIL, Moment.RCPT])
@pytest.mark.parametrize("fault", [Fault.drop, Fault.stall])
def test_a_break_before_the_content_means_not_taken(
    mail: Send, operator: OperatorDouble, moment: Moment, fault: Callable[[Moment], Fault]
) -> None:
    operator.script(fault(moment))
    result = mail(timeout=0.4)
    assert result.verdict is Verdict.TEMPORARY
    assert result.stage.value == moment.value
    assert result.code == 0
    assert (result.reason is Reason.TIMEOUT) == (fault == Fault.stall)


def test_a_line_cut_in_the_middle_of_a_long_content_means_not_taken(pki: TestPki, tls: TlsSettings) -> None:
    with OperatorDouble(pki, size_limit=64_000_000) as operator:
        operator.script(Fault.drop(Moment.DATA))
        long_mail = (b"x" * 70 + b"\r\n") * 600_000
        result = send(long_mail, SENDER, DOCTOR, host="127.0.0.1", port=operator.port, tls=tls, timeout=10)
    assert (result.verdict, result.stage) == (Verdict.TEMPORARY, Stage.DATA)
    assert operator.received == ()


@pytest.mark.parametrize("moment", [Moment.END_OF_DATA, Moment.KEPT])
@pytest.mark.parametrize("fault", [Fault.drop, Fault.stall])
def test_no_answer_to_the_final_dot_is_unclear_whether_or_not_the_mail_was_kept(
    mail: Send, operator: OperatorDouble, moment: Moment, fault: Callable[[Moment], Fault]
) -> None:
    operator.script(fault(moment))
    result = mail(timeout=5.0, final_timeout=0.4)
    assert (result.verdict, result.stage) == (Verdict.UNCLEAR, Stage.END_OF_DATA)
    assert len(operator.received) == (1 if moment is Moment.KEPT else 0)


def test_nobody_listening_is_unreachable(tls: TlsSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = send(MESSAGE, SENDER, DOCTOR, host="127.0.0.1", port=port, tls=tls, timeout=2)
    assert (result.verdict, result.stage, result.reason) == (Verdict.TEMPORARY, Stage.CONNECT, Reason.UNREACHABLE)


def test_a_client_without_certificate_or_with_a_rogue_one_gets_nowhere(
    mail: Send, operator: OperatorDouble, tls: TlsSettings, tmp_path: Path
) -> None:
    rogue = make_test_pki(tmp_path)
    for settings in (
        replace(tls, certificate=None, key=None),
        replace(tls, certificate=rogue.client_certificate, key=rogue.client_key),
    ):
        result = mail(tls=settings)
        assert (result.verdict, result.stage) == (Verdict.TEMPORARY, Stage.TLS)
    assert operator.received == ()


def test_a_server_that_is_not_the_operator_gets_no_mail(
    mail: Send, operator: OperatorDouble, tls: TlsSettings, tmp_path: Path
) -> None:
    other = make_test_pki(tmp_path)
    for settings in (replace(tls, authorities=other.authority), replace(tls, server_name="autre.fr")):
        result = mail(tls=settings)
        assert (result.stage, result.reason) == (Stage.TLS, Reason.TLS_REFUSED)
    assert operator.received == ()


def test_a_revoked_server_certificate_is_refused(mail: Send, pki: TestPki, tls: TlsSettings, tmp_path: Path) -> None:
    nobody = write_revocation_list(pki, tmp_path / "vide.pem", [])
    revoked = write_revocation_list(pki, tmp_path / "crl.pem", [pki.server_certificate])
    assert mail(tls=replace(tls, revocation_lists=nobody)).verdict is Verdict.ACCEPTED
    assert mail(tls=replace(tls, revocation_lists=revoked)).reason is Reason.TLS_REFUSED


def test_an_expired_server_certificate_is_refused(pki: TestPki, tls: TlsSettings, tmp_path: Path) -> None:
    old = replace(pki, server_certificate=tmp_path / "old.pem", server_key=tmp_path / "old.key")
    long_ago = datetime.now(UTC) - timedelta(days=90)
    issue(pki, old.server_certificate, old.server_key, "localhost", ExtendedKeyUsageOID.SERVER_AUTH, long_ago, 30)
    with OperatorDouble(old) as operator:
        result = send(MESSAGE, SENDER, DOCTOR, host="127.0.0.1", port=operator.port, tls=tls, timeout=5)
    assert (result.stage, result.reason) == (Stage.TLS, Reason.TLS_REFUSED)


def test_an_unreadable_key_is_an_error_of_settings(tls: TlsSettings, tmp_path: Path) -> None:
    with pytest.raises(TlsSettingsError):
        tls_context(replace(tls, key=tmp_path / "absent.key"))


def test_the_context_wants_tls_1_2_and_a_verified_name(tls: TlsSettings) -> None:
    context = tls_context(tls)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    suites = {suite["name"] for suite in context.get_ciphers() if not suite["name"].startswith("TLS_")}
    assert suites
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in suites)


def test_probing_sends_no_mail(operator: OperatorDouble, tls: TlsSettings) -> None:
    assert probe(host="127.0.0.1", port=operator.port, tls=tls).verdict is Verdict.ACCEPTED
    operator.script(Fault.answer(Moment.CONNECT, "421 4.3.2 Fermé"))
    assert probe(host="127.0.0.1", port=operator.port, tls=tls).code == 421
    assert operator.received == ()


@pytest.mark.parametrize("where", ["envelope_from", "envelope_to"])
def test_an_envelope_never_carries_a_second_command(tls: TlsSettings, where: str) -> None:
    addresses = {"envelope_from": SENDER, "envelope_to": DOCTOR, where: "a@b.fr>\r\nRCPT TO:<c@d.fr"}
    with pytest.raises(AddressError):
        send(MESSAGE, **addresses, host="127.0.0.1", port=1, tls=tls)
    with pytest.raises(MessageError):
        send(MESSAGE, SENDER, DOCTOR, host="127.0.0.1", port=1, tls=tls, envelope_id="a\r\nRSET")


def test_what_the_operator_says_never_leaves_in_a_result(mail: Send, operator: OperatorDouble) -> None:
    operator.script(Fault.answer(Moment.RCPT, "550 5.1.1 <279035121518989@patient.mssante.fr> inconnu queued as SECRET"))
    result = mail()
    assert "279035121518989" not in repr(result) + result.summary
    assert "SECRET" not in repr(result)


def test_secrets_stay_out_of_repr() -> None:
    assert "s3cret" not in repr(Password("u", "s3cret"))
    assert "jeton" not in repr(XOAuth2("u", lambda: "jeton"))


def test_the_double_logs_no_address(mail: Send, tls: TlsSettings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        mail()
        mail(tls=replace(tls, certificate=None, key=None))
    assert caplog.text == ""


# ── an operator written line by line, for what aiosmtpd does not do ─────────────────────────────────────────────────


class ScriptedServer:
    """Answers each line by the next reply; after `STARTTLS` it encrypts. Keeps the lines it was told."""

    def __init__(self, pki: TestPki, replies: list[bytes], *, immediate: bool = False, lingers: float = 0.0) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pki.server_certificate, pki.server_key)
        self._replies = replies
        self._immediate = immediate
        self._lingers = lingers
        self.lines: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        try:
            line, _ = self._listener.accept()
        except OSError:
            return
        line.settimeout(5)
        try:
            if self._immediate:
                line = self._context.wrap_socket(line, server_side=True)
            self._converse(line)
        except OSError:
            pass
        finally:
            line.close()

    def _converse(self, line: socket.socket) -> None:
        line.sendall(self._replies.pop(0))
        reader = line.makefile("rb")
        while self._replies:
            told = reader.readline()
            if not told:
                return
            self.lines.append(told.rstrip())
            line.sendall(self._replies.pop(0))
            if told.strip().upper() == b"STARTTLS" and not isinstance(line, ssl.SSLSocket):
                line = self._context.wrap_socket(line, server_side=True)
                reader = line.makefile("rb")
        time.sleep(self._lingers)  # reads no more, and does not hang up


GREETING = b"220 operateur.test\r\n"
CLEAR = b"250-operateur.test\r\n250 STARTTLS\r\n"
READY = b"220 2.0.0 Ready\r\n"


def talk(server: ScriptedServer, tls: TlsSettings, **more: object) -> SmtpResult:
    return send(MESSAGE, SENDER, DOCTOR, host="127.0.0.1", port=server.port, tls=tls, timeout=5, **more)  # type: ignore[arg-type]


def test_notifications_are_asked_for_only_where_they_are_offered(pki: TestPki, tls: TlsSettings) -> None:
    replies = [
        GREETING,
        CLEAR,
        READY,
        b"250-x\r\n250-DSN\r\n250 SIZE 1000000\r\n",
        b"250 ok\r\n",
        b"250 ok\r\n",
        b"451 stop\r\n",
        b"",
    ]
    with ScriptedServer(pki, replies) as server:
        result = talk(server, tls, envelope_id="d+1=2")
    assert result.dsn
    assert server.lines[3] == b"mail FROM:<%s> SIZE=%d RET=HDRS ENVID=d+2B1+3D2" % (SENDER.encode(), len(MESSAGE))
    assert server.lines[4] == b"rcpt TO:<%s> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;%s" % (DOCTOR.encode(), DOCTOR.encode())
    replies = [GREETING, CLEAR, READY, b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"451 stop\r\n", b""]
    with ScriptedServer(pki, replies) as server:
        assert not talk(server, tls, envelope_id="d1").dsn
    assert server.lines[3:5] == [b"mail FROM:<%s>" % SENDER.encode(), b"rcpt TO:<%s>" % DOCTOR.encode()]


def test_an_operator_without_starttls_gets_no_mail(pki: TestPki, tls: TlsSettings) -> None:
    with ScriptedServer(pki, [GREETING, b"250 operateur.test\r\n", b"221 bye\r\n"]) as server:
        result = talk(server, tls)
    assert (result.verdict, result.reason) == (Verdict.PERMANENT, Reason.TLS_NOT_OFFERED)
    assert not any(line.lower().startswith(b"mail") for line in server.lines)


def test_answers_slipped_in_before_the_handshake_are_forgotten(pki: TestPki, tls: TlsSettings) -> None:
    injected = READY + b"250-x\r\n250-SIZE 1\r\n250 DSN\r\n"
    with ScriptedServer(pki, [GREETING, CLEAR, injected, b"250 SIZE 1000000\r\n", b"451 stop\r\n", b""]) as server:
        result = talk(server, tls)
    # OpenSSL may also see the injected clear text as a broken handshake: no mail either way.
    assert result.size_limit != 1 and not result.dsn and result.verdict is Verdict.TEMPORARY


def test_tls_from_the_first_byte_is_spoken_where_asked(pki: TestPki, tls: TlsSettings) -> None:
    replies = [GREETING, b"250 x\r\n", b"451 4.3.0 plus tard\r\n", b""]
    with ScriptedServer(pki, replies, immediate=True) as server:
        result = talk(server, replace(tls, immediate=True))
    assert (result.stage, result.code) == (Stage.MAIL, 451)


def test_a_refused_token_is_told_after_its_challenge(pki: TestPki, tls: TlsSettings) -> None:
    challenge = b"334 eyJzdGF0dXMiOiI0MDAifQ==\r\n"
    replies = [GREETING, CLEAR, READY, b"250 AUTH XOAUTH2\r\n", challenge, b"535 5.7.8 non\r\n", b"221 bye\r\n"]
    with ScriptedServer(pki, replies) as server:
        result = talk(server, tls, auth=XOAuth2("dr@test.mssante.fr", lambda: "jeton"))
    assert (result.verdict, result.stage, result.code, result.enhanced) == (Verdict.PERMANENT, Stage.AUTH, 535, "5.7.8")
    assert server.lines[3].startswith(b"AUTH XOAUTH2 ")
    assert server.lines[4] == b""


def test_garbage_instead_of_smtp_is_not_taken(pki: TestPki, tls: TlsSettings) -> None:
    with ScriptedServer(pki, [b"HTTP/1.1 400 Bad Request\r\n"]) as server:
        result = talk(server, tls)
    assert (result.verdict, result.stage, result.reason) == (Verdict.TEMPORARY, Stage.CONNECT, Reason.PROTOCOL)


# ── tokens and sizes ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TokenUnavailableError("token.later", "wallet down"), Reason.NOT_SIGNED_IN),
        (SessionEndedError("token.refresh-dead", "sign in again"), Reason.SIGNED_OUT),
    ],
)
def test_a_provider_without_token_means_not_taken(pki: TestPki, tls: TlsSettings, error: Exception, reason: Reason) -> None:
    def token() -> str:
        raise error

    with ScriptedServer(pki, [GREETING, CLEAR, READY, b"250 AUTH XOAUTH2\r\n", b"221 bye\r\n"]) as server:
        result = talk(server, tls, auth=XOAuth2("dr@test.mssante.fr", token))
    assert (result.verdict, result.stage, result.reason) == (Verdict.TEMPORARY, Stage.AUTH, reason)
    assert not any(line.upper().startswith((b"AUTH", b"MAIL")) for line in server.lines)


def test_a_citizen_takes_25_megabytes_whatever_the_operator_announces(
    pki: TestPki, tls: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mssante.smtp.PATIENT_SIZE_LIMIT", 150_000)
    large = MESSAGE + b"x\r\n" * 55_000
    with OperatorDouble(pki, size_limit=200_000) as operator:
        where = {"host": "127.0.0.1", "port": operator.port, "tls": tls, "timeout": 5.0}
        doctor = send(large, SENDER, DOCTOR, **where)  # type: ignore[arg-type]
        citizen = send(large, SENDER, "279035121518989@patient.mssante.fr", **where)  # type: ignore[arg-type]
        in_test = send(large, SENDER, "1@patient.test.fr", patient_domain="patient.test.fr", **where)  # type: ignore[arg-type]
    assert doctor.verdict is Verdict.ACCEPTED
    for refused in (citizen, in_test):
        assert (refused.verdict, refused.reason, refused.size_limit) == (Verdict.PERMANENT, Reason.TOO_LARGE, 200_000)
    assert len(operator.received) == 1


def test_the_smaller_of_both_limits_counts(pki: TestPki, tls: TlsSettings) -> None:
    with OperatorDouble(pki, size_limit=1000) as operator:
        where = {"host": "127.0.0.1", "port": operator.port, "tls": tls, "timeout": 5.0}
        result = send(MESSAGE + b"x\r\n" * 500, SENDER, "279035121518989@patient.mssante.fr", **where)  # type: ignore[arg-type]
    assert result.reason is Reason.TOO_LARGE
    assert PATIENT_SIZE_LIMIT == 25_000_000


# ── slow and reluctant operators ────────────────────────────────────────────────────────────────────────────────


def trickling(pki: TestPki, opening: bytes, drop: bytes) -> tuple[socket.socket, threading.Thread]:
    """A server that says `opening`, then `drop` for ever: no single wait is ever long."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = listener.accept()
        with line, contextlib.suppress(OSError):
            line.sendall(opening)
            while True:
                line.sendall(drop)
                time.sleep(0.05)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread


@pytest.mark.parametrize(
    ("opening", "drop"),
    [(b"220", b" "), (b"", b"220-encore\r\n"), (b"220 pret\r\n", b"250-ENCORE\r\n")],
    ids=["one byte at a time", "an endless greeting", "an endless list of abilities"],
)
def test_an_operator_that_trickles_is_left_in_time(pki: TestPki, tls: TlsSettings, opening: bytes, drop: bytes) -> None:
    listener, thread = trickling(pki, opening, drop)
    started = time.monotonic()
    result = send(MESSAGE, SENDER, DOCTOR, host="127.0.0.1", port=listener.getsockname()[1], tls=tls, timeout=0.4)
    listener.close()
    thread.join(5)
    assert (result.verdict, result.reason) == (Verdict.TEMPORARY, Reason.TIMEOUT)
    assert time.monotonic() - started < 2.0


def test_an_operator_that_does_not_take_the_content_is_left_in_time(
    pki: TestPki, tls: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mssante.smtp._SLOWEST_BYTES_A_SECOND", 100_000_000)
    replies = [GREETING, CLEAR, READY, b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]

    with ScriptedServer(pki, replies, lingers=1.5) as server:
        result = send(MESSAGE * 300_000, SENDER, DOCTOR, host="127.0.0.1", port=server.port, tls=tls, timeout=0.5)
    assert (result.verdict, result.stage, result.reason) == (Verdict.TEMPORARY, Stage.DATA, Reason.TIMEOUT)


def test_a_greylisted_mail_is_taken_the_second_time_and_only_once(mail: Send, operator: OperatorDouble) -> None:
    operator.script(Fault.answer(Moment.RCPT, "451 4.7.1 Greylisted, try again in 300 seconds"))
    first, second = mail(), mail()
    assert (first.verdict, first.stage, first.code, first.enhanced) == (Verdict.TEMPORARY, Stage.RCPT, 451, "4.7.1")
    assert second.verdict is Verdict.ACCEPTED
    assert [received.content for received in operator.received] == [MESSAGE]


@pytest.mark.parametrize(("reply", "verdict"), [("452 4.2.2 Pleine", Verdict.TEMPORARY), ("552 5.2.2 Pleine", Verdict.PERMANENT)])
def test_a_full_mailbox_is_told_by_its_codes(mail: Send, operator: OperatorDouble, reply: str, verdict: Verdict) -> None:
    operator.script(Fault.answer(Moment.RCPT, reply))
    result = mail()
    assert (result.verdict, result.enhanced) == (verdict, reply.split()[1])


def test_servers_are_tried_in_order_until_one_is_reached(pki: TestPki, tls: TlsSettings, operator: OperatorDouble) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = Endpoint("127.0.0.1", closed.getsockname()[1])
    working = Endpoint("127.0.0.1", operator.port)
    tried: list[Endpoint] = []

    def hand_over(server: Endpoint) -> SmtpResult:
        tried.append(server)
        return send(MESSAGE, SENDER, DOCTOR, host=server.host, port=server.port, immediate=server.immediate, tls=tls, timeout=5)

    assert send_to_first([nobody, working, nobody], hand_over).verdict is Verdict.ACCEPTED
    assert tried == [nobody, working]
    assert send_to_first([nobody, nobody], hand_over).reason is Reason.UNREACHABLE
    with pytest.raises(MessageError):
        send_to_first([], hand_over)


def test_after_a_refusal_or_a_doubt_no_other_server_gets_the_mail(tls: TlsSettings, operator: OperatorDouble) -> None:
    operator.script(Fault.drop(Moment.KEPT), Fault.answer(Moment.RCPT, "451 4.7.1 Greylisted"))
    working = Endpoint("127.0.0.1", operator.port)

    def hand_over(server: Endpoint) -> SmtpResult:
        return send(MESSAGE, SENDER, DOCTOR, host=server.host, port=server.port, tls=tls, timeout=5)

    assert send_to_first([working, working], hand_over).code == 451
    assert send_to_first([working, working], hand_over).verdict is Verdict.UNCLEAR
    assert len(operator.received) == 1


def test_tls_at_once_may_be_said_server_by_server(pki: TestPki, tls: TlsSettings) -> None:
    replies = [GREETING, b"250 x\r\n", b"451 4.3.0 plus tard\r\n", b""]
    with ScriptedServer(pki, replies, immediate=True) as server:
        assert talk(server, tls, immediate=True).code == 451
