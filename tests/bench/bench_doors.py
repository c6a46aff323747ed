"""How many messages a second the MLLP door takes, each acknowledged after an fsync: judge it by the disk's own floor.

make bench PYTEST_ARGS="-s -k doors"
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapter.intake.committer import Intake
from adapter.intake.mllp import MllpServer, MllpSettings
from adapter.intake.peers import Peer
from adapter.model.receipt import Answer, Arrival, Kept, Verdict

PEER = Peer("dpi", "DPI", "", "", "750712184", "Europe/Paris")
HEAD = b"MSH|^~\\&|DPI|BICETRE|TDU|HUPS|20260302093000||MDM^T02^MDM_T02|M1|T|2.6|||||FRA|UNICODE UTF-8\rOBX|1|ED|||"
SECONDS = 2.0


class FsyncAcceptor:
    """Appends each batch to a file and waits for the disk: the least that a ledger must do."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.commits = 0

    def judge(self, arrival: Arrival) -> Arrival:
        return arrival

    def commit(self, batch: Sequence[Arrival]) -> list[Answer]:
        self._file.write(b"".join(arrival.content for arrival in batch))
        os.fsync(self._file.fileno())
        self.commits += 1
        return [Answer("r", Verdict.ACCEPTED, b"MSH|^~\\&|\rMSA|AA|M1\r", Kept.STORED)] * len(batch)


def floor(path: Path, size: int) -> float:
    """fsyncs a second of one message each, in the same minute on the same disk."""
    with path.open("wb", buffering=0) as file:
        began, n = time.perf_counter(), 0
        while time.perf_counter() - began < 1.0:
            file.write(b"x" * size)
            os.fsync(file.fileno())
            n += 1
    return n / (time.perf_counter() - began)


@pytest.mark.parametrize("size", [3_000, 300_000])
@pytest.mark.parametrize("connections", [1, 8])
def test_messages_a_second_at_the_mllp_door(tmp_path: Path, size: int, connections: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rate, commits = asyncio.run(measure(FsyncAcceptor(tmp_path / "kept"), size, connections))
    disk = floor(tmp_path / "floor", size)
    print(
        f"\ndoors: {size} B, {connections} connections: {rate:.0f} messages/s, {commits:.0f} commits/s, floor {disk:.0f} fsync/s"
    )
    assert rate > 0


async def measure(acceptor: FsyncAcceptor, size: int, connections: int) -> tuple[float, float]:
    intake: Intake[Any] = Intake(acceptor)
    door = MllpServer(MllpSettings((PEER,)), intake, clock=lambda: datetime.now(UTC), new_id=lambda: "0")
    listening = socket.create_server(("127.0.0.1", 0))
    intake.start()
    await door.start(listening)
    frame = b"\x0b" + HEAD + b"A" * (size - len(HEAD)) + b"\r\x1c\r"
    ends = asyncio.get_running_loop().time() + SECONDS
    counts = await asyncio.gather(*(send_until(listening.getsockname()[1], frame, ends) for _ in range(connections)))
    await door.stop()
    await asyncio.to_thread(intake.stop)
    return sum(counts) / SECONDS, acceptor.commits / SECONDS


async def send_until(port: int, frame: bytes, ends: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    while asyncio.get_running_loop().time() < ends:
        writer.write(frame)
        await reader.readuntil(b"\x1c\r")
        sent += 1
    writer.close()
    return sent
