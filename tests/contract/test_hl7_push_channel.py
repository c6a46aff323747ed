"""HL7 over MLLP: only the acknowledgement that names a message is its own; every fault of a partner has its outcome."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from adapter.channels.hl7_push import Hl7PushChannel, Hl7PushSettings
from adapter.channels.mllp_client import MllpPartner, MllpTls
from adapter.config.settings import TlsClient
from adapter.formats.hl7v2 import read_message
from adapter.formats.mllp_frames import frame_message
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.packaging.parcel import FaxContent, Hl7Content, Parcel
from adapter.secure_line import SecureLine, client_files
from tests.servers.mllp_peer import (
    Call,
    MllpPeer,
    Step,
    acknowledgement,
    answer_for,
    commit_then,
    hang_up,
    in_pieces,
    late_answer,
    later,
    raw,
    refuse,
    silence,
    take,
)

pytestmark = pytest.mark.contract
PATIENCE = 0.6


@pytest.fixture
def peer() -> Iterator[MllpPeer]:
    with MllpPeer() as running:
        yield running


def channel_to(peer: MllpPeer, tls: MllpTls | None = None, answer_seconds: float = PATIENCE) -> Hl7PushChannel:
    partner = MllpPartner("ris", "127.0.0.1", peer.port, tls, connect_timeout_seconds=2.0, answer_timeout_seconds=answer_seconds)
    return Hl7PushChannel(Hl7PushSettings((partner,)))


def parcel(control_id: str = "T0001", address: str = "ris", proves: DeliveryState = DeliveryState.INTEGRATED) -> Parcel:
    message = f"MSH|^~\\&|TRAITDUNION|H|RIS|SITE|20261121090000||MDM^T02^MDM_T02|{control_id}|T|2.6\rEVN||20261121090000\r"
    return Parcel("d1", control_id, address, False, Hl7Content(message.encode(), control_id, proves))


def sent(peer: MllpPeer, *steps: Step) -> SendOutcome:
    peer.script(*steps)
    return channel_to(peer).send(parcel())


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("proves", [DeliveryState.INTEGRATED, DeliveryState.ACCEPTED])
def test_an_aa_that_names_the_message_proves_what_its_kind_can_prove(peer: MllpPeer, proves: DeliveryState) -> None:
    outcome = channel_to(peer).send(parcel(proves=proves))
    assert (outcome.kind, outcome.proves) == (OutcomeKind.ACCEPTED, proves)


@pytest.mark.parametrize("code", [str(code) for code in range(900, 907)])
def test_each_application_code_of_table_0533_is_its_own_cause(peer: MllpPeer, code: str) -> None:
    outcome = sent(peer, refuse(code))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, f"identity-{code}")


@pytest.mark.parametrize(
    ("step", "kind", "cause"),
    [
        (refuse(condition="101"), OutcomeKind.REFUSED, "content-refused"),
        (refuse("850"), OutcomeKind.REFUSED, "content-refused"),
        (take("AE"), OutcomeKind.REFUSED, "content-refused"),
        (take("CE"), OutcomeKind.REFUSED, "content-refused"),
        (later(), OutcomeKind.DEFERRED, "partner-busy"),
        (take("CR"), OutcomeKind.DEFERRED, "partner-busy"),
        (take("XX"), OutcomeKind.UNCLEAR, "no-answer"),
        (silence(), OutcomeKind.UNCLEAR, "no-answer"),
        (hang_up(), OutcomeKind.UNCLEAR, "no-answer"),
        (raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), OutcomeKind.UNCLEAR, "no-answer"),
        (raw(b"\x0bnot an acknowledgement\x1c\r"), OutcomeKind.UNCLEAR, "no-answer"),
        (raw(b"\x0bMSH|^~\\&|half of an answ\x0b"), OutcomeKind.UNCLEAR, "no-answer"),
        (raw(b"\x0b" + b"x" * 2_000_000), OutcomeKind.UNCLEAR, "no-answer"),
    ],
)
def test_every_other_answer_has_its_outcome(peer: MllpPeer, step: Step, kind: OutcomeKind, cause: str) -> None:
    outcome = sent(peer, step)
    assert (outcome.kind, outcome.cause) == (kind, cause)


def test_a_commit_acknowledgement_is_not_taken_for_the_applications(peer: MllpPeer) -> None:
    """Complaint 7: CA says that it arrived; what the application says comes after."""
    assert sent(peer, commit_then(refuse("904"))).cause == "identity-904"
    assert sent(peer, commit_then(silence())).kind is OutcomeKind.UNCLEAR


def test_an_answer_that_comes_byte_by_byte_is_read(peer: MllpPeer) -> None:
    assert sent(peer, in_pieces()).kind is OutcomeKind.ACCEPTED


def test_an_answer_that_trickles_is_given_up_in_time(peer: MllpPeer) -> None:
    """Complaint 10: the time of an answer is that of all of it, not of its next byte."""
    peer.script(in_pieces(1, pause_seconds=PATIENCE / 4), take())
    channel, began = channel_to(peer), time.monotonic()
    assert channel.send(parcel()).kind is OutcomeKind.UNCLEAR
    assert time.monotonic() - began < 3 * PATIENCE
    assert channel.send(parcel()).kind is OutcomeKind.ACCEPTED


def test_a_warning_beside_an_error_does_not_hide_its_code(peer: MllpPeer) -> None:
    warning = "ERR|||0^dit en passant^messageErrorCondition|W"
    error = "ERR||PID^1^3|207^Erreur^messageErrorCondition|E|902^Patient inconnu^applicationErrorCode"
    outcome = sent(peer, lambda call: call.answer("AE", warning, error))
    assert outcome.cause == "identity-902"


def test_what_a_partner_writes_never_reaches_the_outcome(peer: MllpPeer) -> None:
    outcome = sent(peer, lambda call: call.answer("AE", "ERR|||DUPONT Jeanne^x|E|DUPONT^Jeanne^x"))
    assert "DUPONT" not in repr(outcome)


# ── late and foreign acknowledgements (complaint 1) ───────────────────────────────────────────────────────────


def test_somebody_elses_acknowledgement_is_never_taken_and_the_connection_is_reset(peer: MllpPeer) -> None:
    peer.script(answer_for("T0000"))
    channel = channel_to(peer)
    with structlog.testing.capture_logs() as logs:
        assert channel.send(parcel()).kind is OutcomeKind.UNCLEAR
    told = next(line for line in logs if line["event"] == "hl7_push.foreign-ack")
    assert (told["control_id"], told["named"]) == ("T0001", "T0000")
    assert channel.send(parcel()).kind is OutcomeKind.ACCEPTED
    assert peer.connections == 2


def test_a_late_acknowledgement_is_not_the_next_messages(peer: MllpPeer) -> None:
    """nextgenhealthcare/connect#1441: the second message must not read as taken on the word for the first."""
    peer.script(late_answer(PATIENCE + 0.3), refuse("902"))
    channel = channel_to(peer)
    assert channel.send(parcel("T0001")).kind is OutcomeKind.UNCLEAR
    threading.Event().wait(0.5)
    assert channel.send(parcel("T0002")).cause == "identity-902"


def test_an_acknowledgement_that_comes_while_nothing_is_asked_is_thrown_away_with_its_connection(peer: MllpPeer) -> None:
    def twice(call: Call) -> None:
        call.answer("AA")
        threading.Event().wait(0.3)
        call.answer("AA", named="T0002")

    peer.script(twice, refuse("904"))
    channel = channel_to(peer)
    assert channel.send(parcel("T0001")).kind is OutcomeKind.ACCEPTED
    threading.Event().wait(0.8)
    with structlog.testing.capture_logs() as logs:
        assert channel.send(parcel("T0002")).cause == "identity-904"
    assert any(line["event"] == "hl7_push.foreign-ack" and line["named"] == "T0002" for line in logs)
    assert peer.connections == 2


def test_two_acknowledgements_in_one_packet_are_one_answer_and_a_reset(peer: MllpPeer) -> None:
    def both(call: Call) -> None:
        call.send(frame_message(acknowledgement("AA", "T0001")) + frame_message(acknowledgement("AA", "T0002")))

    peer.script(both, refuse("904"))
    channel = channel_to(peer)
    with structlog.testing.capture_logs() as logs:
        assert channel.send(parcel("T0001")).kind is OutcomeKind.ACCEPTED
        assert channel.send(parcel("T0002")).cause == "identity-904"
    assert any(line["event"] == "hl7_push.foreign-ack" and line["named"] == "T0002" for line in logs)
    assert peer.connections == 2


def test_no_text_of_a_foreign_answer_reaches_the_log(peer: MllpPeer) -> None:
    peer.script(raw(b"\x0b" + acknowledgement("AA", "DUPONT Jeanne née le 03/04/1950 à Ivry, patiente") + b"\x1c\r"))
    with structlog.testing.capture_logs() as logs:
        channel_to(peer).send(parcel())
    assert "DUPONT" not in repr(logs)


# ── connections ───────────────────────────────────────────────────────────────────────────────────────────────


def test_one_connection_serves_message_after_message(peer: MllpPeer) -> None:
    channel = channel_to(peer)
    for number in range(5):
        assert channel.send(parcel(f"T{number:04d}")).kind is OutcomeKind.ACCEPTED
    assert (peer.connections, peer.control_ids) == (1, [f"T{number:04d}" for number in range(5)])


def test_two_threads_never_mix_their_messages(peer: MllpPeer) -> None:
    channel, outcomes = channel_to(peer, answer_seconds=5.0), []

    def send_some(start: int) -> None:
        outcomes.extend(channel.send(parcel(f"T{number:04d}")).kind for number in range(start, start + 20))

    threads = [threading.Thread(target=send_some, args=(start,)) for start in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) == {OutcomeKind.ACCEPTED} and len(set(peer.control_ids)) == 40


def test_a_partner_that_is_not_there_is_tried_later(peer: MllpPeer) -> None:
    peer.stop()
    outcome = channel_to(peer).send(parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "connect-failed")


def test_a_partner_that_restarted_gets_the_next_message_on_a_new_connection(peer: MllpPeer) -> None:
    channel = channel_to(peer)
    channel.send(parcel("T0001"))
    peer.stop()
    peer.start()
    threading.Event().wait(0.05)
    assert channel.send(parcel("T0002")).kind is OutcomeKind.ACCEPTED


def test_going_and_coming_back_are_told_once_each(peer: MllpPeer) -> None:
    """Complaint 26."""
    channel = channel_to(peer)
    with structlog.testing.capture_logs() as logs:
        peer.stop()
        for _ in range(3):
            channel.send(parcel())
        peer.start()
        channel.send(parcel())
        channel.send(parcel("T0002"))
    events = [line["event"] for line in logs if line["event"].startswith("hl7_push.partner")]
    assert events == ["hl7_push.partner-down", "hl7_push.partner-back"]


def test_the_same_message_again_is_the_same_bytes(peer: MllpPeer) -> None:
    """Complaint 2: the receiver knows it again by its MSH-10."""
    peer.script(silence())
    channel = channel_to(peer)
    channel.send(parcel())
    channel.send(parcel())
    first, second = peer.received
    assert first == second and read_message(first).value("MSH", 10) == "T0001"


def test_a_leg_to_no_known_partner_is_a_persons(peer: MllpPeer) -> None:
    outcome = channel_to(peer).send(parcel(address="elsewhere"))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "partner-unknown")
    assert peer.received == []


def test_what_is_no_hl7_message_is_not_sent(peer: MllpPeer) -> None:
    other = Parcel("d1", "T1", "ris", False, FaxContent(b"", 1))
    assert channel_to(peer).send(other).cause == "rendition-impossible"


def test_the_check_names_each_partner_that_cannot_be_reached(peer: MllpPeer) -> None:
    channel = channel_to(peer)
    assert channel.check() == ""
    peer.stop()
    assert "ris" in channel.check() and "connect-failed" in channel.check()
    assert peer.received == []


# ── mutual TLS ────────────────────────────────────────────────────────────────────────────────────────────────


class Pki:
    """Two authorities, a server certificate and a client's, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.other = trustme.CA(), trustme.CA()
        self.authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.other.cert_pem.write_to_path(str(folder / "other.pem"))
        self.issue(self.authority, "tdu.example", "client")
        self.issue(self.other, "stranger.example", "stranger")
        self.server = self.authority.issue_cert("ris.example")

    def issue(self, authority: trustme.CA, name: str, file: str) -> None:
        """A client's certificate and key."""
        issued = authority.issue_cert(name)
        issued.private_key_pem.write_to_path(str(self.folder / f"{file}.key"))
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.folder / f"{file}.pem"), append=number > 0)

    def server_context(self) -> ssl.SSLContext:
        """A server that wants a certificate of our authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.configure_cert(context)
        self.authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def tls(
        self, client: str = "client", ca: str = "ca.pem", crl: str = "", name: str = "ris.example", password: str = ""
    ) -> MllpTls:
        """Our side, as the service makes it."""
        lists, opened_by = (self.folder / file if file else None for file in (crl, password))
        files = TlsClient(self.folder / f"{client}.pem", self.folder / f"{client}.key", opened_by, self.folder / ca, lists)
        return MllpTls(SecureLine("partner", client_files(files)).plain_contexts, name)

    def revoke(self, revoked: bool) -> str:
        """A list of what was revoked, which names the server's certificate or nothing."""
        issuer = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        key = serialization.load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
        builder = builder.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=1))
        if revoked:
            serial = x509.load_pem_x509_certificate(self.server.cert_chain_pems[0].bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(hours=1)).build()
            builder = builder.add_revoked_certificate(entry)
        listed = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
        (self.folder / "crl.pem").write_bytes(listed.public_bytes(serialization.Encoding.PEM))
        return "crl.pem"


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def secure_peer(pki: Pki) -> Iterator[MllpPeer]:
    with MllpPeer(pki.server_context()) as running:
        yield running


def test_both_sides_show_their_certificates(pki: Pki, secure_peer: MllpPeer) -> None:
    assert channel_to(secure_peer, pki.tls()).send(parcel()).kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize("change", [{"ca": "other.pem"}, {"name": "other.example"}])
def test_a_partner_that_is_not_who_it_should_be_gets_nothing(pki: Pki, secure_peer: MllpPeer, change: dict[str, str]) -> None:
    outcome = channel_to(secure_peer, pki.tls(**change)).send(parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")
    assert secure_peer.received == []


def test_a_client_certificate_that_the_partner_does_not_know_gives_no_acceptance(pki: Pki, secure_peer: MllpPeer) -> None:
    outcome = channel_to(secure_peer, pki.tls(client="stranger")).send(parcel())
    assert outcome.kind in (OutcomeKind.DEFERRED, OutcomeKind.UNCLEAR)
    assert secure_peer.received == []


@pytest.mark.parametrize("revoked", [True, False])
def test_a_revoked_certificate_is_refused(pki: Pki, secure_peer: MllpPeer, revoked: bool) -> None:
    outcome = channel_to(secure_peer, pki.tls(crl=pki.revoke(revoked))).send(parcel())
    assert (outcome.kind is OutcomeKind.ACCEPTED) is not revoked
    assert (outcome.cause == "tls-failed") is revoked


def test_revocation_lists_may_be_a_folder_and_a_key_may_have_a_password(pki: Pki, secure_peer: MllpPeer) -> None:
    (pki.folder / "lists").mkdir()
    (pki.folder / pki.revoke(True)).rename(pki.folder / "lists" / "ours.pem")
    key = serialization.load_pem_private_key((pki.folder / "client.key").read_bytes(), None)
    sealed = serialization.BestAvailableEncryption(b"sesame")
    kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (pki.folder / "client.key").write_bytes(key.private_bytes(*kind, sealed))
    assert channel_to(secure_peer, pki.tls()).send(parcel()).cause == "tls-failed"
    (pki.folder / "password").write_text("sesame\n")
    opened = pki.tls(password="password")
    assert channel_to(secure_peer, opened).send(parcel()).kind is OutcomeKind.ACCEPTED
    assert channel_to(secure_peer, pki.tls(password="password", crl="lists")).send(parcel()).cause == "tls-failed"


def test_a_missing_certificate_file_is_a_tls_fault_not_a_crash(pki: Pki, secure_peer: MllpPeer) -> None:
    outcome = channel_to(secure_peer, pki.tls(client="absent")).send(parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")
