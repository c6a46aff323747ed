"""Other people's HL7 servers take what we send, acknowledgements and flow 6, large ones too; their answers are understood."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.channels.hl7_push import Hl7PushChannel, Hl7PushSettings
from adapter.channels.mllp_client import MllpPartner
from adapter.model.ack import AckKind, AckReason, BusinessAck
from adapter.model.delivery import OutcomeKind
from adapter.packaging.hl7.er7 import Header
from adapter.packaging.hl7.mdm import LocalDocument, build_mdm
from adapter.packaging.hl7.zam import build_zam
from adapter.packaging.parcel import Hl7Content, Parcel
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import submission
from tests.servers.foreign_hl7 import NODE_LIBRARIES, Listening, installed_node, node_server, python_hl7

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ACK = BusinessAck(
    AckKind.DELIVERY, "role:a", False, NOW, AckReason("550", "Boîte non disponible"), "MSG1", "a@b.mssante.fr", "899900000060"
)


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_node(tmp_path_factory.mktemp("node"))


@pytest.fixture(params=["python-hl7", *NODE_LIBRARIES])
def foreign(request: pytest.FixtureRequest) -> Iterator[Listening]:
    if request.param == "python-hl7":
        with python_hl7() as listening:
            yield listening
        return
    with node_server(request.getfixturevalue("node_folder"), request.param) as listening:
        yield listening


def parcels(size: int) -> list[Parcel]:
    """A refusal told, a small document, a large one."""
    large = build_ldl_ses() + b" " * size
    ids = [f"T{number:019d}" for number in (1, 2, 3)]
    documents = [LocalDocument(submission(), cda, "b@h.fr") for cda in (build_ldl_ses(), large)]
    messages = [(ids[0], build_zam(ACK, header(ids[0])))]
    messages += [(one, build_mdm(document, header(one))) for one, document in zip(ids[1:], documents, strict=True)]
    return [Parcel(control_id, control_id, "them", False, Hl7Content(message, control_id)) for control_id, message in messages]


def header(control_id: str) -> Header:
    return Header("TRAITDUNION", "750712184", "RIS", "SITE", NOW, control_id, "T")


def test_they_take_all_that_we_send_and_we_understand_their_answers(foreign: Listening) -> None:
    """node-hl7-server says its first answer a second time on the same connection: never taken for the next message's."""
    partner = MllpPartner("them", "127.0.0.1", foreign.port, answer_timeout_seconds=20)
    channel = Hl7PushChannel(Hl7PushSettings((partner,)))
    tries = [_send_until_taken(channel, parcel) for parcel in parcels(1_000_000)]
    assert max(tries) <= 2, tries
    _wait_until(lambda: len(set(foreign.control_ids)) == 3)  # what it read, it tells on its own time
    assert list(dict.fromkeys(foreign.control_ids)) == [f"T{number:019d}" for number in (1, 2, 3)]
    assert set(foreign.events) == {"Z02", "T02"}


def _wait_until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)


def _send_until_taken(channel: Hl7PushChannel, parcel: Parcel) -> int:
    """As dispatch does after an unclear send: the same bytes again."""
    for tries in range(1, 5):
        outcome = channel.send(parcel)
        if outcome.kind is OutcomeKind.ACCEPTED:
            return tries
        assert outcome.kind is OutcomeKind.UNCLEAR, outcome
    raise AssertionError("never taken")
