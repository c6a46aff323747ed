"""Who gets in at the MLLP and HTTP doors: real TLS sockets, bad certificates of every kind, files replaced under load."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPSHandler, build_opener

import pytest
import structlog
import uvicorn

from adapter.intake.peers import Peer
from adapter.model.receipt import Arrival
from adapter.secure_line import DoorContext, SecureLine, server_context
from adapter.service.doors import http_tls
from adapter.web.app import Health, build_app
from mssante.errors import MssanteError
from mssante.testing import make_test_pki
from mssante.tls import TlsSettings
from tests.builders.trust import CLIENT, FAULTS, NAME, SERVER, Pair, TrustFiles, replace_file
from tests.unit.intake.fakes import FakeAcceptor
from tests.unit.intake.test_mllp import Client, House, answer, closed, framed, message, run

pytestmark = pytest.mark.contract
BOUND = Peer("par-certificat", "", "", NAME, "750712184", "Europe/Paris")


@pytest.fixture
def files(tmp_path: Path) -> TrustFiles:
    return TrustFiles(tmp_path, CLIENT, SERVER)


def line_of(files: TrustFiles, **options: Any) -> SecureLine:
    settings = TlsSettings(files.authorities, *files.own, revocation_lists=files.lists)
    return SecureLine("doors.mllp.tls", settings, new_context=server_context, **options)


def door_of(files: TrustFiles, **options: Any) -> DoorContext:
    return DoorContext.on(line_of(files, **options))


def client_with(files: TrustFiles, pair: Pair | None, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.pki.authority))
    if pair is not None:
        context.load_cert_chain(*map(str, pair))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def at_door(story: Callable[[House], Any], door: DoorContext, acceptor: FakeAcceptor | None = None) -> House:
    return run(story, acceptor, peers=(BOUND,), tls=door, still_trusts=door.still_trusts)


async def is_let_in(house: House, context: ssl.SSLContext, control: str = "M1") -> bool:
    """In TLS 1.3 a client learns at its first read that it was turned away: only an acknowledgement proves anything."""
    try:
        client = await house.connect(context)
        client[1].write(framed(message(control)))
        acknowledged = await answer(client) == b"ack of " + control.encode()
        client[1].close()
        return acknowledged
    except (OSError, asyncio.IncompleteReadError):
        return False


# ── MLLP ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", [*FAULTS, "absent"])
def test_a_bad_client_certificate_is_turned_away_in_the_handshake(files: TrustFiles, kind: str, version: ssl.TLSVersion) -> None:
    async def story(house: House) -> None:
        assert not await is_let_in(house, client_with(files, None if kind == "absent" else files.pair(kind), version=version))
        assert await is_let_in(house, client_with(files, files.good, version=version))

    assert len(at_door(story, door_of(files)).acceptor.kept) == 1


def test_a_client_revoked_or_ended_while_it_is_connected_is_let_go_before_its_next_message(files: TrustFiles) -> None:
    clock = [datetime.now(UTC)]

    async def story(house: House) -> None:
        first = await house.connect(client_with(files, files.good))
        second = await house.connect(client_with(files, files.signed(files.pki, "b", CLIENT)))
        for number, client in enumerate((first, second)):
            client[1].write(framed(message(f"A{number}")))
            assert await answer(client) == b"ack of A%d" % number
        silent = await house.connect(client_with(files, files.signed(files.pki, "c", CLIENT)))
        await asyncio.sleep(0.1)
        files.revoke(files.revoked, files.good, (files.folder / "c.pem", files.folder / "c.key"))
        for number, client in enumerate((first, second)):
            client[1].write(framed(message(f"B{number}")))
        silent[1].write(framed(message("never before")))
        assert await closed(first)
        assert await closed(silent)
        assert await answer(second) == b"ack of B1"
        assert not await is_let_in(house, client_with(files, files.good))
        clock[0] += timedelta(days=40)
        second[1].write(framed(message("C1")))
        assert await closed(second)

    house = at_door(story, door_of(files, now=lambda: clock[0]))
    assert len(house.acceptor.kept) == 3
    assert house.counted.count("mllp.certificate-withdrawn") == 3


def test_the_old_and_the_new_authority_both_count_while_both_stand_in_the_file(files: TrustFiles) -> None:
    new = files.stranger  # its name is the old one's too, as of two generations of one authority

    async def story(house: House) -> None:
        old_client, new_client = client_with(files, files.good), client_with(files, files.rogue)
        assert (await is_let_in(house, old_client), await is_let_in(house, new_client)) == (True, False)
        files.revoke(files.revoked, by=[new])
        files.trust(files.pki, new)
        assert (await is_let_in(house, old_client), await is_let_in(house, new_client)) == (True, True)
        files.trust(new)
        assert (await is_let_in(house, old_client), await is_let_in(house, new_client)) == (False, True)

    at_door(story, door_of(files))


@pytest.mark.parametrize("broken", ["authorities", "lists", "certificate", "key"])
def test_a_file_that_cannot_be_used_leaves_the_last_good_one_in_force_and_says_so(files: TrustFiles, broken: str) -> None:
    spoilt = {"authorities": files.authorities, "lists": files.lists, "certificate": files.own[0], "key": files.own[1]}[broken]

    async def story(house: House) -> None:
        assert await is_let_in(house, client_with(files, files.good))
        replace_file(spoilt, b"-----BEGIN CERTIFICATE-----\nhalf of a fi" if broken != "lists" else b"\x30\x82junk")
        with structlog.testing.capture_logs() as logs:
            assert await is_let_in(house, client_with(files, files.good), "M2")
            assert not await is_let_in(house, client_with(files, files.revoked))
            assert not await is_let_in(house, client_with(files, files.rogue))
        (told,) = [line for line in logs if line["event"] == "tls.kept-old"]
        assert (told["log_level"], told["place"]) == ("error", "doors.mllp.tls")

    at_door(story, door_of(files))


def test_a_door_whose_files_are_broken_from_the_start_does_not_open(files: TrustFiles) -> None:
    shutil.copy(files.good[1], files.own[1])
    with pytest.raises(MssanteError) as caught:
        door_of(files)
    assert caught.value.code == "trust.key-mismatch"


def test_without_any_list_that_is_valid_nobody_is_let_in(files: TrustFiles) -> None:
    """Nobody knows who was revoked: a door that must look at lists stays shut rather than guess."""
    files.revoke()
    door = door_of(files, now=lambda: datetime.now(UTC) + timedelta(days=31))

    async def story(house: House) -> None:
        assert not await is_let_in(house, client_with(files, files.good))

    at_door(story, door)


class Sender:
    """As MLLP senders are: the same message again until it is acknowledged, on one lasting connection or one a message."""

    def __init__(self, house: House, files: TrustFiles, pair: Pair, *, lasting: bool) -> None:
        self.house, self.lasting = house, lasting
        self.client: Client | None = None
        self.context = client_with(files, pair)
        self.context.load_verify_locations(str(files.stranger.authority))

    async def send(self, control: str) -> None:
        while not await self._try(control):
            pass
        if not self.lasting:
            self.leave()

    def leave(self) -> None:
        if self.client is not None:
            self.client[1].close()
        self.client = None

    async def _try(self, control: str) -> bool:
        try:
            self.client = self.client or await self.house.connect(self.context)
            self.client[1].write(framed(message(control)))
            return await answer(self.client) == b"ack of " + control.encode()
        except (OSError, asyncio.IncompleteReadError):
            self.client = None
            await asyncio.sleep(0.01)
            return False


async def rotate(files: TrustFiles, done: asyncio.Event) -> int:
    """Our certificate and key, the authorities' order and the lists are new at each turn; both authorities stay in the files."""
    turns = 0
    while not done.is_set():
        signer = (files.pki, files.stranger)[turns % 2]
        certificate, key = files.signed(signer, "next", SERVER)
        replace_file(files.own[0], certificate.read_bytes())
        await asyncio.sleep(0.01)  # a moment with the new certificate and the old key: half of a replacement
        replace_file(files.own[1], key.read_bytes())
        files.revoke(files.revoked, by=[files.stranger])
        files.trust(*((files.pki, files.stranger) if turns % 2 else (files.stranger, files.pki)))
        await asyncio.sleep(0.03)
        turns += 1
    return turns


def test_everything_replaced_under_load_loses_and_doubles_nothing(files: TrustFiles) -> None:
    acknowledged: list[str] = []
    turns: list[int] = []

    async def speak(sender: Sender, name: str) -> None:
        for number in range(60):
            await sender.send(f"{name}{number}")
            acknowledged.append(f"{name}{number}")
        sender.leave()

    async def story(house: House) -> None:
        done = asyncio.Event()
        pairs = (files.good, files.rogue)  # clients of the old authority and of the new one
        senders = [speak(Sender(house, files, pairs[n % 2], lasting=n < 4), f"S{n}-") for n in range(8)]
        rotation = asyncio.create_task(rotate(files, done))
        await asyncio.gather(*senders)
        done.set()
        turns.append(await rotation)

    files.revoke(files.revoked, by=[files.stranger])
    files.trust(files.pki, files.stranger)
    house = at_door(story, door_of(files))
    kept = [control_of(arrival) for arrival in house.acceptor.kept]
    assert sorted(acknowledged) == sorted(kept) == sorted(f"S{n}-{number}" for n in range(8) for number in range(60))
    assert turns[0] >= 3


def control_of(arrival: Arrival) -> str:
    return arrival.content.split(b"|")[9].decode()


# ── HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Quiet(uvicorn.Server):
    def install_signal_handlers(self) -> None: ...


@pytest.fixture
def http_door(files: TrustFiles) -> Iterator[tuple[int, TrustFiles]]:
    app = build_app([], health=lambda: Health(True), metrics=lambda: b"", version="0")
    door = door_of(files)
    server = _Quiet(uvicorn.Config(app, port=0, log_config=None, lifespan="off", **http_tls(door)))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    yield port, files
    server.should_exit = True
    thread.join(10)


def is_served(port: int, context: ssl.SSLContext) -> bool:
    try:
        with build_opener(HTTPSHandler(context=context)).open(f"https://localhost:{port}/health/live", timeout=5) as found:
            return bool(json.load(found)["live"])
    except (URLError, OSError):
        return False


@pytest.mark.parametrize("kind", [*FAULTS, "absent"])
def test_the_http_door_turns_bad_certificates_away_too(http_door: tuple[int, TrustFiles], kind: str) -> None:
    port, files = http_door
    assert not is_served(port, client_with(files, None if kind == "absent" else files.pair(kind)))
    assert is_served(port, client_with(files, files.good))


def test_the_http_door_follows_its_files(http_door: tuple[int, TrustFiles]) -> None:
    port, files = http_door
    assert is_served(port, client_with(files, files.good))
    files.revoke(files.good)
    assert not is_served(port, client_with(files, files.good))
    new = make_test_pki(files.folder / "new")
    certificate, key = files.signed(new, "own", SERVER)
    assert (certificate, key) == files.own
    assert not is_served(port, client_with(files, files.revoked)), "our new certificate is of an authority that they do not know"
    trusting = client_with(files, files.revoked)
    trusting.load_verify_locations(str(new.authority))
    assert is_served(port, trusting)
