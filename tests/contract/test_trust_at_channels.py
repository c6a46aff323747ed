"""Whom we write to and read from: real TLS sockets, partners with every kind of bad certificate, files replaced between sends."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, Self

import pytest
import structlog

from adapter.channels.hl7_push import Hl7PushChannel, Hl7PushSettings
from adapter.channels.mllp_client import MllpPartner, MllpTls
from adapter.channels.mssante import SecureMailChannel, SecureMailSettings
from adapter.channels.shared_record import SharedRecordChannel, SharedRecordSettings
from adapter.model.delivery import OutcomeKind
from adapter.packaging.parcel import Hl7Content, Parcel
from adapter.secure_line import MailServers, SecureLine
from mssante.autoconfig import Endpoint, Service, SrvRecord
from mssante.errors import MssanteError
from mssante.mailbox import Mailbox, MailboxSettings
from mssante.testing import OperatorDouble, TestPki, write_revocation_list
from mssante.testing_mailbox import MailboxDouble
from mssante.tls import TlsSettings
from tests.builders.trust import CLIENT, FAULTS, SERVER, Pair, TrustFiles, replace_file
from tests.contract.test_secure_mail_channel import parcel as mail_parcel
from tests.contract.test_shared_record_channel import parcel as record_parcel
from tests.servers.fhir_fault_server import FaultServer, Success
from tests.servers.mllp_peer import MllpPeer

pytestmark = pytest.mark.contract
WAYS = ("smtp", "imap", "hl7", "record")


@pytest.fixture
def files(tmp_path: Path) -> TrustFiles:
    """The other side's certificates are a server's; `own` is our client's."""
    return TrustFiles(tmp_path, SERVER, CLIENT)


def line_of(files: TrustFiles, **changes: object) -> SecureLine:
    settings = TlsSettings(files.authorities, *files.own, "localhost", files.lists)
    return SecureLine("channels.x.tls", replace(settings, **changes))  # type: ignore[arg-type]


class Way(Protocol):
    """A partner behind one protocol, and our side of it; `goes` says whether something really went through."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def goes(self) -> bool: ...


class _Mail:
    def __init__(self, files: TrustFiles, pair: Pair, line: SecureLine) -> None:
        self.operator = OperatorDouble(shown(files, pair))
        self.line = line

    def __enter__(self) -> Self:
        self.operator.start()
        settings = SecureMailSettings(
            lambda _: (Endpoint("127.0.0.1", self.operator.port),), self.line, timeout_seconds=5, final_timeout_seconds=5
        )
        self.channel = SecureMailChannel(settings)
        return self

    def __exit__(self, *_: object) -> None:
        self.operator.stop()

    def goes(self) -> bool:
        before = len(self.operator.received)
        outcome = self.channel.send(mail_parcel())
        arrived = len(self.operator.received) > before
        assert arrived == (outcome.kind is OutcomeKind.ACCEPTED)
        assert arrived or (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")
        return arrived


class _Imap:
    def __init__(self, files: TrustFiles, pair: Pair, line: SecureLine) -> None:
        self.double = MailboxDouble(shown(files, pair))
        self.line = line

    def __enter__(self) -> Self:
        self.double.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.double.__exit__(None, None, None)

    def goes(self) -> bool:
        before = len(self.double.logins)
        with suppress(MssanteError), Mailbox.open(MailboxSettings("127.0.0.1", self.double.port, self.line)) as mailbox:
            mailbox.select("INBOX")
            return len(self.double.logins) > before
        return False


class _Hl7:
    def __init__(self, files: TrustFiles, pair: Pair, line: SecureLine) -> None:
        self.peer = MllpPeer(context_of(files, pair))
        self.line = line

    def __enter__(self) -> Self:
        self.peer.start()
        tls = MllpTls(self.line.plain_contexts, "localhost")
        partner = MllpPartner("ris", "127.0.0.1", self.peer.port, tls, connect_timeout_seconds=5, answer_timeout_seconds=5)
        self.channel = Hl7PushChannel(Hl7PushSettings((partner,)))
        return self

    def __exit__(self, *_: object) -> None:
        self.peer.stop()

    def goes(self) -> bool:
        before = len(self.peer.received)
        head = "MSH|^~\\&|TRAITDUNION|H|RIS|SITE|20261121090000||MDM^T02^MDM_T02|T1|T|2.6\r"
        outcome = self.channel.send(Parcel("d1", "T1", "ris", False, Hl7Content(head.encode(), "T1")))
        arrived = len(self.peer.received) > before
        assert arrived == (outcome.kind is OutcomeKind.ACCEPTED)
        return arrived


class _Record:
    def __init__(self, files: TrustFiles, pair: Pair, line: SecureLine) -> None:
        self.server = FaultServer(Success(), tls=context_of(files, pair))
        self.line = line

    def __enter__(self) -> Self:
        self.server.__enter__()
        url = self.server.base_url.replace("127.0.0.1", "localhost")
        self.channel = SharedRecordChannel(SharedRecordSettings(url, 5, 5, tls=self.line.plain_contexts))
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    def goes(self) -> bool:
        before = len(self.server.requests)
        outcome = self.channel.send(record_parcel())
        arrived = len(self.server.requests) > before
        assert arrived == (outcome.kind is OutcomeKind.ACCEPTED)
        return arrived


def shown(files: TrustFiles, pair: Pair) -> TestPki:
    """The partner shows this certificate and trusts our authority."""
    return replace(files.pki, server_certificate=pair[0], server_key=pair[1])


def context_of(files: TrustFiles, pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, pair))
    context.load_verify_locations(str(files.pki.authority))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


MAKERS: dict[str, Callable[[TrustFiles, Pair, SecureLine], Way]] = {"smtp": _Mail, "imap": _Imap, "hl7": _Hl7, "record": _Record}


def way_to(name: str, files: TrustFiles, pair: Pair | None = None, line: SecureLine | None = None) -> Way:
    return MAKERS[name](files, pair or files.good, line or line_of(files))


# ── the other side's certificate ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", WAYS)
def test_a_good_partner_is_written_to(files: TrustFiles, way: str) -> None:
    with way_to(way, files) as partner:
        assert partner.goes()


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_partner_with_a_bad_certificate_gets_nothing(files: TrustFiles, way: str, kind: str) -> None:
    with way_to(way, files, files.pair(kind)) as partner:
        assert not partner.goes()


@pytest.mark.parametrize("way", WAYS)
def test_a_partner_of_another_name_gets_nothing(files: TrustFiles, way: str) -> None:
    with way_to(way, files, files.signed(files.pki, "other", SERVER, name="autre.example")) as partner:
        assert not partner.goes()


# ── ours ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", WAYS)
def test_without_our_certificate_a_partner_takes_nothing(files: TrustFiles, way: str) -> None:
    with way_to(way, files, line=line_of(files, certificate=None, key=None)) as partner:
        assert not partner.goes()


@pytest.mark.parametrize("way", WAYS)
def test_a_partner_that_does_not_know_our_new_certificate_yet_is_shown_the_one_of_before(files: TrustFiles, way: str) -> None:
    with way_to(way, files) as partner:
        assert partner.goes()
        certificate, key = files.signed(files.stranger, "next", CLIENT)
        replace_file(files.own[0], certificate.read_bytes())
        replace_file(files.own[1], key.read_bytes())
        assert partner.goes()


@pytest.mark.parametrize("way", WAYS)
def test_files_that_cannot_be_used_from_the_start_defer_and_heal(files: TrustFiles, way: str) -> None:
    good = files.own[1].read_bytes()
    shutil.copy(files.good[1], files.own[1])
    with way_to(way, files) as partner:
        assert not partner.goes()
        replace_file(files.own[1], good)
        assert partner.goes()


# ── files replaced between two sends ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", WAYS)
def test_a_partner_revoked_between_two_sends_gets_nothing_more(files: TrustFiles, way: str) -> None:
    with way_to(way, files) as partner:
        assert partner.goes()
        files.revoke(files.revoked, files.good)
        assert not partner.goes()
        older = write_revocation_list(files.pki, files.folder / "older.crl", [], datetime.now(UTC) - timedelta(minutes=5))
        replace_file(files.lists, older.read_bytes())
        assert not partner.goes(), "an older list does not take the place of the one in force"


@pytest.mark.parametrize("way", WAYS)
def test_two_authorities_count_while_both_stand_in_the_file_and_one_withdrawn_stops_at_once(files: TrustFiles, way: str) -> None:
    files.revoke(files.revoked, by=[files.stranger])
    with ExitStack() as stack:
        line = line_of(files)
        old, new = (stack.enter_context(way_to(way, files, pair, line)) for pair in (files.good, files.rogue))
        assert (old.goes(), new.goes()) == (True, False)
        files.trust(files.pki, files.stranger)
        assert (old.goes(), new.goes()) == (True, True)
        files.trust(files.stranger)
        assert (old.goes(), new.goes()) == (False, True)


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_new_file_leaves_the_last_good_one_in_force_and_says_so_once(files: TrustFiles, way: str) -> None:
    with way_to(way, files) as partner:
        assert partner.goes()
        replace_file(files.lists, b"\x30\x82 not a list")
        with structlog.testing.capture_logs() as logs:
            assert partner.goes()
            assert partner.goes()
        assert [line["part"] for line in logs if line["event"] == "tls.kept-old"] == ["revocation-lists"]


@pytest.mark.parametrize("way", ["smtp", "hl7", "record"])
def test_files_replaced_under_load_lose_nothing(files: TrustFiles, way: str) -> None:
    """Half of a replacement (the new certificate, still the old key) is what a sender meets in between."""
    files.revoke(files.revoked, by=[files.stranger])
    files.trust(files.pki, files.stranger)
    halt = threading.Event()
    turns: list[int] = []

    def rotate() -> None:
        while not halt.wait(0.01):
            certificate, key = files.signed(files.pki, "next", CLIENT)
            replace_file(files.own[0], certificate.read_bytes())
            halt.wait(0.01)
            replace_file(files.own[1], key.read_bytes())
            files.trust(*((files.pki, files.stranger) if len(turns) % 2 else (files.stranger, files.pki)))
            files.revoke(files.revoked, by=[files.stranger])
            turns.append(1)

    with way_to(way, files) as partner:
        thread = threading.Thread(target=rotate)
        thread.start()
        try:
            assert all(partner.goes() for _ in range(60))
        finally:
            halt.set()
            thread.join()
    assert len(turns) >= 3


# ── where the operator is ───────────────────────────────────────────────────────────────────────────────────────────


class Dns:
    """Answers as it is told, and counts the questions."""

    def __init__(self, **records: SrvRecord) -> None:
        self.records = records
        self.asked: list[str] = []

    def __call__(self, name: str) -> tuple[SrvRecord, ...]:
        self.asked.append(name)
        label = name.partition(".")[0].removeprefix("_")
        return (self.records[label],) if label in self.records else ()


def servers(dns: Dns, clock: list[float], **options: object) -> MailServers:
    return MailServers(Service.SUBMISSION, lookup=dns, monotonic=lambda: clock[0], **options)  # type: ignore[arg-type]


def test_what_dns_says_is_remembered_a_while_and_outlives_its_silence() -> None:
    clock, dns = [0.0], Dns(submission=SrvRecord(0, 0, 587, "smtp.hopital-x.mssante.fr."))
    found = servers(dns, clock)
    (server,) = found("hopital-x.mssante.fr")
    assert server == Endpoint("smtp.hopital-x.mssante.fr", 587)
    assert found("hopital-x.mssante.fr") == (server,)
    assert len(dns.asked) == 2
    clock[0] += 400
    dns.records.clear()
    assert found("hopital-x.mssante.fr") == (server,), "nobody answers any more: what was known stays"


def test_without_any_server_a_mail_waits(files: TrustFiles) -> None:
    channel = SecureMailChannel(SecureMailSettings(servers(Dns(), [0.0]), line_of(files), domains=("hopital-x.mssante.fr",)))
    outcome = channel.send(mail_parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "connect-failed")
    assert "DNS" in channel.check()


def test_a_host_outside_the_domain_counts_only_when_it_was_named() -> None:
    record = SrvRecord(0, 0, 465, "smtp.operateur.fr.")
    with pytest.raises(MssanteError):
        servers(Dns(submissions=record), [0.0])("hopital-x.mssante.fr")
    (server,) = servers(Dns(submissions=record), [0.0], trusted_hosts=("smtp.operateur.fr",))("hopital-x.mssante.fr")
    assert server == Endpoint("smtp.operateur.fr", 465, immediate=True)


def test_a_mail_goes_to_the_server_that_dns_names(files: TrustFiles) -> None:
    with OperatorDouble(shown(files, files.good)) as operator:
        dns = Dns(submission=SrvRecord(0, 0, operator.port, "localhost."))
        channel = SecureMailChannel(SecureMailSettings(servers(dns, [0.0], trusted_hosts=("localhost",)), line_of(files)))
        assert channel.send(mail_parcel()).kind is OutcomeKind.ACCEPTED
        assert {name.partition(".")[2].partition(".")[2] for name in dns.asked} == {"test.mssante.fr"}
