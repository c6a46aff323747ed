"""node-hl7-client, as it comes, sends to our MLLP door and reads our answers: taken, refused, a large one, a repeat."""

from __future__ import annotations

import asyncio
import itertools
import socket
from pathlib import Path

import pytest

from adapter.intake.committer import Intake
from adapter.intake.mllp import MllpServer, MllpSettings
from adapter.intake.peers import Peer
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import build_mdm, build_oru
from tests.builders.instance import Instance
from tests.servers.foreign_hl7 import installed_node, node_client

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_its_messages_are_taken_or_refused_and_it_reads_why(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    node = installed_node(tmp_path_factory.mktemp("node"))
    house = Instance(tmp_path)
    taken = build_mdm(build_ldl_ses(), control_id="N1")
    messages = [
        taken,
        build_oru(build_n1(document_id="1.2.250.1.213.1.1.9.777.1"), control_id="N2"),
        build_mdm(build_ldl_ses() + b" " * 1_000_000, control_id="N3"),
        build_mdm(build_n1(), control_id="N4", change={"MSH-12": "9.9"}),
        build_mdm(build_n1(), control_id="N5", drop=("PID",)),
        taken,
    ]
    answers = asyncio.run(_exchange(house, node, messages))
    assert [(one["code"], one["control_id"], one["error"]) for one in answers] == [
        ("AA", "N1", ""),
        ("AA", "N2", ""),
        ("AA", "N3", ""),
        ("AE", "N4", "203"),
        ("AE", "N5", "100"),
        ("AA", "N1", ""),
    ]
    assert {one["event"] for one in answers} == {"T02", "R01"}
    house.prepare()
    assert house.conservation().received == 3 and house.conservation().holds


async def _exchange(house: Instance, node: Path, messages: list[bytes]) -> list[dict[str, str]]:
    numbers = itertools.count(1)
    intake = Intake(house.pipeline)
    peers = (Peer("hospital", "", "", "", APHP_EJ, "Europe/Paris"),)
    door = MllpServer(MllpSettings(peers), intake, clock=house.clock, new_id=lambda: f"{next(numbers):032d}")
    intake.start()
    listening = socket.create_server(("127.0.0.1", 0))
    await door.start(listening)
    try:
        return await asyncio.to_thread(node_client, node, listening.getsockname()[1], messages)
    finally:
        await door.stop()
        await asyncio.to_thread(intake.stop)
