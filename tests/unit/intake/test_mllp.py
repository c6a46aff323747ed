"""The MLLP door over real sockets on loopback: order, framing, limits, certificates, stop."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trustme

from adapter.errors import UnavailableError
from adapter.intake.committer import Intake
from adapter.intake.mllp import MllpServer, MllpSettings
from adapter.intake.peers import Peer, recognise_peer
from adapter.mapping.from_hl7v2 import read_control
from adapter.model.receipt import Arrival
from adapter.secure_line import DoorContext, SecureLine, server_context
from mssante.tls import TlsSettings
from tests.unit.intake.fakes import NOW, FakeAcceptor

PEER = Peer("dpi-bicetre", "DPI", "BICETRE", "", "750712184", "Europe/Paris")
HEAD = "MSH|^~\\&|{application}|BICETRE^2.16^ISO|TDU|HUPS|20260302093000||MDM^T02^MDM_T02|{control}|T|2.6|||||FRA|UNICODE UTF-8\r"
WAIT = 5.0

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def message(control: str, application: str = "DPI", rest: str = "PID|1\r") -> bytes:
    return (HEAD.format(application=application, control=control) + rest).encode()


def framed(*messages: bytes) -> bytes:
    return b"".join(b"\x0b" + one + b"\x1c\r" for one in messages)


def echo_control(arrival: Arrival) -> bytes:
    return b"ack of " + read_control(arrival.content).control_id.encode()


class House:
    """A door on a free port, its acceptor, and what it counted."""

    def __init__(self, acceptor: FakeAcceptor, settings: MllpSettings) -> None:
        self.acceptor = acceptor
        self.intake: Intake[Any] = Intake(acceptor)
        self.counted: list[str] = []
        numbers = count(1)
        self.door = MllpServer(
            settings, self.intake, clock=lambda: NOW, new_id=lambda: f"{next(numbers):032d}", count=self.counted.append
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    async def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        name = "localhost" if tls else None
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname=name)


async def answer(client: Client) -> bytes:
    whole = await asyncio.wait_for(client[0].readuntil(b"\x1c\r"), WAIT)
    assert whole.startswith(b"\x0b")
    return whole[1:-2]


async def closed(client: Client) -> bool:
    return await asyncio.wait_for(client[0].read(1), WAIT) == b""


def run(story: Callable[[House], Awaitable[None]], acceptor: FakeAcceptor | None = None, **settings: Any) -> House:
    """Open the door, run one story, stop in order."""
    settings = {"peers": (PEER,), **settings}
    house = House(acceptor or FakeAcceptor(body=echo_control), MllpSettings(**settings))

    async def whole() -> None:
        house.intake.start()
        await house.door.start(house.socket)
        try:
            await story(house)
        finally:
            await house.door.stop(grace_seconds=2)
            await asyncio.to_thread(house.intake.stop)

    asyncio.run(whole())
    return house


def test_many_messages_in_one_segment_are_each_answered_in_order() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(*(message(f"M{n}") for n in range(50))))
        for n in range(50):
            assert await answer(client) == b"ack of M%d" % n

    house = run(story)
    assert [read_control(arrival.content).control_id for arrival in house.acceptor.kept] == [f"M{n}" for n in range(50)]
    assert {arrival.principal.name for arrival in house.acceptor.kept} == {"dpi-bicetre"}


def test_a_message_in_many_segments_is_one_message() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        whole = framed(message("LENT"))
        for at in range(0, len(whole), 7):
            client[1].write(whole[at : at + 7])
            await client[1].drain()
            await asyncio.sleep(0)
        assert await answer(client) == b"ack of LENT"

    assert len(run(story).acceptor.kept) == 1


def test_many_clients_are_served_together() -> None:
    async def one(house: House, name: int) -> None:
        client = await house.connect()
        for n in range(20):
            client[1].write(framed(message(f"{name}-{n}")))
            assert await answer(client) == b"ack of %d-%d" % (name, n)

    async def story(house: House) -> None:
        await asyncio.gather(*(one(house, name) for name in range(10)))

    house = run(story, FakeAcceptor(body=echo_control, commit_seconds=0.005))
    assert len(house.acceptor.kept) == 200
    assert max(house.acceptor.batches) > 1


def test_a_frame_of_200_megabytes_is_refused_without_growing_memory() -> None:
    async def story(house: House) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client = await house.connect()
        client[1].write(b"\x0b" + message("GROS"))
        block = b"A" * 1_000_000
        try:
            for _ in range(200):
                client[1].write(block)
                await client[1].drain()
        except ConnectionError:
            pass
        refusal = await answer(client)
        assert b"MSA|AE|GROS" in refusal
        assert b"mllp.too-large" in refusal
        assert await closed(client)
        grown_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kilobytes < 20_000

    house = run(story, max_message_bytes=2_000_000)
    assert house.acceptor.kept == []
    assert "mllp.oversized" in house.counted


def test_many_large_messages_at_once_are_put_off_and_small_ones_still_pass() -> None:
    async def story(house: House) -> None:
        unfinished = b"\x0b" + message("LARGE") + b"A" * 2_000_000
        first, second = await house.connect(), await house.connect()
        first[1].write(unfinished)
        await first[1].drain()
        second[1].write(unfinished)
        told = {task.result() for task in (await asyncio.wait([later(first), later(second)], return_when="FIRST_COMPLETED"))[0]}
        assert all(b"MSA|AR|LARGE" in one for one in told)
        small = await house.connect()
        small[1].write(framed(message("SMALL")))
        assert await answer(small) == b"ack of SMALL"

    def later(client: Client) -> asyncio.Task[bytes]:
        return asyncio.ensure_future(answer(client))

    house = run(story, max_held_bytes=3_000_000)
    assert "mllp.too-much-at-once" in house.counted
    assert [read_control(arrival.content).control_id for arrival in house.acceptor.kept] == ["SMALL"]


def test_a_truncated_frame_keeps_nothing_and_the_service_goes_on() -> None:
    async def story(house: House) -> None:
        reader, writer = await house.connect()
        writer.write(framed(message("A")) + b"\x0b" + message("B"))
        assert await answer((reader, writer)) == b"ack of A"
        writer.write_eof()
        assert await closed((reader, writer))
        again = await house.connect()
        again[1].write(framed(message("C")))
        assert await answer(again) == b"ack of C"

    house = run(story)
    assert [read_control(arrival.content).control_id for arrival in house.acceptor.kept] == ["A", "C"]
    assert house.counted.count("mllp.truncated") == 1


def test_a_client_that_trickles_is_cut_although_it_is_never_silent() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(b"\x0b")
        began = time.monotonic()
        try:
            while not client[0].at_eof() and time.monotonic() - began < WAIT:
                client[1].write(b"M")
                await client[1].drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        assert 0.2 < time.monotonic() - began < 2

    house = run(story, message_timeout_seconds=0.3, idle_timeout_seconds=60)
    assert "mllp.too-slow" in house.counted


def test_a_new_frame_has_its_own_time() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        for n in range(6):
            first, second = framed(message(f"M{n}"))[:50], framed(message(f"M{n}"))[50:]
            client[1].write(first)
            await client[1].drain()
            await asyncio.sleep(0.15)
            client[1].write(second)
            assert await answer(client) == b"ack of M%d" % n

    run(story, message_timeout_seconds=0.5)


def test_a_silent_connection_is_closed() -> None:
    async def story(house: House) -> None:
        assert await closed(await house.connect())

    assert "mllp.idle" in run(story, idle_timeout_seconds=0.1).counted


def test_a_stream_that_is_no_mllp_is_hung_up_on() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(b"GET / HTTP/1.1 " * 6000)
        try:
            assert await closed(client)
        except ConnectionError:
            pass

    assert "mllp.junk" in run(story).counted


def test_a_sender_that_nobody_knows_is_refused_and_nothing_is_kept() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(message("X1", application="INCONNU")))
        refusal = await answer(client)
        assert b"MSA|AE|X1" in refusal
        assert b"mllp.unknown-peer" in refusal
        client[1].write(framed(b"this is not HL7"))
        assert b"MSA|AE" in await answer(client)

    assert run(story).acceptor.kept == []


def test_when_the_ledger_is_down_the_answer_is_ar_and_the_connection_goes_on() -> None:
    acceptor = FakeAcceptor(body=echo_control, down=True)

    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(message("P1")))
        assert b"MSA|AR|P1" in await answer(client)
        acceptor.down = False
        client[1].write(framed(message("P1")))
        assert await answer(client) == b"ack of P1"

    assert len(run(story, acceptor).acceptor.kept) == 1


def test_a_defect_of_ours_is_an_error_that_quotes_nothing() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(message("D1", rest="PID|JUDGE-BREAKS|MARTIN\r")))
        refusal = await answer(client)
        assert b"MSA|AE|D1" in refusal
        assert b"MARTIN" not in refusal

    run(story)


def test_no_answer_leaves_before_the_commit() -> None:
    acceptor = FakeAcceptor(body=echo_control, commit_seconds=0.3)

    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(message("M1")))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].read(1), 0.15)
        assert acceptor.kept == []
        assert await asyncio.wait_for(client[0].read(1), WAIT) == b"\x0b"
        assert len(acceptor.kept) == 1

    run(story, acceptor)


def test_stop_answers_what_was_received_whole_and_takes_nothing_more() -> None:
    acceptor = FakeAcceptor(body=echo_control, commit_seconds=0.1)

    async def story(house: House) -> None:
        client = await house.connect()
        idle = await house.connect()
        client[1].write(framed(message("M1"), message("M2")) + b"\x0b" + message("M3"))
        await client[1].drain()
        await asyncio.sleep(0.05)
        began = time.monotonic()
        stopping = asyncio.create_task(house.door.stop())
        assert await answer(client) == b"ack of M1"
        assert await answer(client) == b"ack of M2"
        assert await closed(client)
        assert await closed(idle)
        await stopping
        assert time.monotonic() - began < 2
        with pytest.raises(OSError):
            await house.connect()

    assert len(run(story, acceptor).acceptor.kept) == 2


def test_a_client_that_leaves_before_its_answer_is_still_kept_once() -> None:
    acceptor = FakeAcceptor(body=echo_control, commit_seconds=0.2)

    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(message("M1")))
        await client[1].drain()
        client[1].transport.abort()
        await asyncio.sleep(0.4)
        again = await house.connect()
        again[1].write(framed(message("M2")))
        assert await answer(again) == b"ack of M2"

    assert len(run(story, acceptor).acceptor.kept) == 2


def test_more_connections_than_allowed_are_closed_at_once() -> None:
    async def story(house: House) -> None:
        first = await house.connect()
        first[1].write(framed(message("M1")))
        await answer(first)
        assert await closed(await house.connect())
        first[1].write(framed(message("M2")))
        assert await answer(first) == b"ack of M2"

    run(story, max_connections=1)


# ── certificates ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(folder: Path, authority: trustme.CA) -> ssl.SSLContext:
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    for n, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(folder / "server.pem", append=n > 0)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    files = TlsSettings(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    return DoorContext.on(SecureLine("doors.mllp.tls", files, new_context=server_context))


def client_tls(authority: trustme.CA, signer: trustme.CA | None, common_name: str = "dpi.bicetre.example") -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if signer is not None:
        signer.issue_cert(common_name, common_name=common_name).configure_cert(context)
    return context


def test_a_client_certificate_tells_who_speaks(tmp_path: Path, authority: trustme.CA) -> None:
    bound = Peer("par-certificat", "", "", "dpi.bicetre.example", "750712184", "Europe/Paris")

    async def story(house: House) -> None:
        client = await house.connect(client_tls(authority, authority))
        client[1].write(framed(message("M1")))
        assert await answer(client) == b"ack of M1"

    house = run(story, peers=(PEER, bound), tls=server_tls(tmp_path, authority))
    (arrival,) = house.acceptor.kept
    assert (arrival.principal.name, arrival.principal.kind) == ("par-certificat", "certificate")


@pytest.mark.parametrize("rogue", [True, False])
def test_a_client_without_a_certificate_of_the_authority_is_turned_away(
    tmp_path: Path, authority: trustme.CA, rogue: bool
) -> None:
    async def story(house: House) -> None:
        context = client_tls(authority, trustme.CA() if rogue else None)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            client = await house.connect(context)
            client[1].write(framed(message("M1")))
            await answer(client)

    assert run(story, tls=server_tls(tmp_path, authority)).acceptor.kept == []


def test_a_peer_bound_to_a_certificate_cannot_be_played_by_its_name_alone() -> None:
    bound = Peer("a", "DPI", "BICETRE", "dpi.bicetre.example", "750712184", "Europe/Paris")
    control = read_control(message("M1"))
    assert recognise_peer((bound,), control, "") is None
    assert recognise_peer((bound,), control, "autre.example") is None
    assert recognise_peer((bound,), control, "dpi.bicetre.example") is bound


def test_the_most_precise_peer_wins() -> None:
    anybody = Peer("tout-dpi", "DPI", "", "", "750712184", "Europe/Paris")
    control = read_control(message("M1"))
    assert recognise_peer((anybody, PEER), control, "") is PEER
    assert recognise_peer((anybody,), control, "") is anybody


def test_a_sender_that_wants_no_answer_gets_none_and_its_next_message_is_taken() -> None:
    def quiet(arrival: Arrival) -> bytes:
        return b"" if read_control(arrival.content).application_ack == "NE" else echo_control(arrival)

    silent = message("Q1").replace(b"|||||FRA|", b"|||AL|NE|FRA|").replace(b"|AL|NE", b"||NE")

    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(silent, message("M2")))
        assert await answer(client) == b"ack of M2"

    house = run(story, FakeAcceptor(body=quiet))
    assert len(house.acceptor.kept) == 2


def test_the_decision_profile_of_the_door_goes_with_what_it_takes() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(message("M1")))
        await answer(client)

    assert [a.decision_policy for a in run(story, decision_policy="matrix-strict").acceptor.kept] == ["matrix-strict"]


def test_what_we_need_and_cannot_read_now_is_answered_try_later_and_nothing_is_kept() -> None:
    class Away(FakeAcceptor):
        def judge(self, arrival: Arrival) -> Arrival:
            raise UnavailableError("directory.unreadable", f"The directory cannot be read at {arrival.received_at}.")

    async def story(house: House) -> None:
        client = await house.connect()
        client[1].write(framed(message("M1")))
        told = await answer(client)
        assert b"MSA|AR|M1" in told
        assert b"mllp.try-later" in told

    assert run(story, Away()).acceptor.kept == []
