"""The receive queue of a real HylaFAX, and its double: the same scenes, so that tests of the door stand on what servers do."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.channels.fnp import FaxServer, FnpError, JobOrder
from adapter.channels.fnp_received import QueuedFax, ReceiveQueue
from tests.loudly import skip_loudly
from tests.servers.hylafax import HylaFax, start_hylafax, why_not
from tests.servers.receive_queue import Lying, QueueDouble
from tests.unit.intake.test_fax_folder import fax_tiff

pytestmark = pytest.mark.contract

ADMINISTRATOR = "geheim"
AT = datetime(2026, 11, 22, 5, 1, 29, tzinfo=UTC)
PATIENCE_SECONDS = 240


@dataclass
class Place:
    """A queue that files can be put into by hand."""

    port: int
    put: Callable[[str, bytes, bool], None]
    names: Callable[[], set[str]]

    def queue(self, administrator: str = "") -> ReceiveQueue:
        queue = ReceiveQueue("127.0.0.1", self.port, "traitdunion", timeout_seconds=10)
        if administrator:
            queue.become_administrator(administrator)
        return queue


@pytest.fixture(scope="module")
def hylafax() -> Iterator[HylaFax]:
    reason = why_not()
    if reason:
        skip_loudly(reason)
    server = start_hylafax()
    hashed = subprocess.run(["openssl", "passwd", "-1", ADMINISTRATOR], capture_output=True, text=True, check=True).stdout.strip()
    (server.spool / "etc" / "hosts.hfaxd").write_text(f"localhost:21::{hashed}\n127.0.0.1:21::{hashed}\n")
    yield server
    server.stop()


def _real(server: HylaFax) -> Place:
    def put(name: str, content: bytes, is_fax: bool) -> None:
        path = server.received / name
        path.write_bytes(content)
        shutil.chown(path, "uucp", "uucp")
        path.chmod(0o644)
        os.utime(path, (AT.timestamp(), AT.timestamp()))

    return Place(server.port, put, lambda: {path.name for path in server.received.glob("fax*")})


def _fake(server: QueueDouble) -> Place:
    def put(name: str, content: bytes, is_fax: bool) -> None:
        server.files[name] = Lying(content, AT, is_fax=is_fax)

    return Place(server.port, put, lambda: set(server.files))


@pytest.fixture(params=["double", pytest.param("hylafax", marks=pytest.mark.fax)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "double":
        with QueueDouble(administrator=ADMINISTRATOR) as server:
            yield _fake(server)
        return
    real: HylaFax = request.getfixturevalue("hylafax")
    for path in real.received.glob("fax*"):
        path.unlink()
    yield _real(real)


def by_name(queue: ReceiveQueue) -> dict[str, QueuedFax]:
    return {fax.name: fax for fax in queue.received()}


def test_a_fax_is_listed_and_its_very_bytes_are_given(place: Place) -> None:
    place.put("fax000000071.tif", fax_tiff(2), True)
    with place.queue() as queue:
        (fax,) = queue.received()
        assert (fax.name, fax.size, fax.received_at, fax.is_listed) == ("fax000000071.tif", len(fax_tiff(2)), AT, True)
        assert queue.retrieve(fax) == fax_tiff(2)
        assert queue.holds(fax)


def test_what_is_no_fax_is_seen_too_and_an_empty_file_does_not_hang_the_conversation(place: Place) -> None:
    place.put("fax000000071.tif", b"", False)
    place.put("fax000000072.tif", b"garbage", False)
    place.put("fax000000073.tif", fax_tiff(), True)
    with place.queue() as queue:
        found = by_name(queue)
        assert {name: (fax.size, fax.is_listed, fax.received_at) for name, fax in found.items()} == {
            "fax000000071.tif": (0, False, AT),
            "fax000000072.tif": (7, False, AT),
            "fax000000073.tif": (len(fax_tiff()), True, AT),
        }
        assert [queue.retrieve(found[f"fax00000007{n}.tif"]) for n in (1, 2, 3)] == [b"", b"garbage", fax_tiff()]


def test_administrators_remove_one_after_the_other_others_may_not(place: Place) -> None:
    for n in (1, 2):
        place.put(f"fax00000007{n}.tif", fax_tiff(mark=n), True)
    with place.queue() as queue:
        assert not queue.remove(queue.received()[0])
    with place.queue(ADMINISTRATOR) as queue:
        for fax in queue.received():
            assert queue.retrieve(fax)
            assert queue.remove(fax)
            assert queue.remove(fax), "what is gone is removed"
            assert queue.retrieve(fax) is None and not queue.holds(fax)
        assert not queue.is_spent and not queue.received()
    assert not place.names()


def test_a_name_that_is_another_faxs_by_now_is_not_removed(place: Place) -> None:
    place.put("fax000000071.tif", fax_tiff(), True)
    with place.queue(ADMINISTRATOR) as queue:
        (fax,) = queue.received()
        place.put("fax000000071.tif", fax_tiff(3), True)
        assert queue.remove(fax)
    assert place.names() == {"fax000000071.tif"}


def test_a_wrong_administrators_password_is_refused(place: Place) -> None:
    with pytest.raises(FnpError, match=r"fnp\.refused"):
        place.queue("anders")


@pytest.mark.fax
@pytest.mark.parametrize("administrator", ["", ADMINISTRATOR])
def test_a_fax_is_seen_once_its_call_is_over_with_the_number_of_its_sender(hylafax: HylaFax, administrator: str) -> None:
    for path in hylafax.received.glob("fax*"):
        path.unlink()
    hylafax.fault()
    place = _real(hylafax)
    with FaxServer("127.0.0.1", hylafax.port, "traitdunion") as server:
        server.submit(JobOrder(f"in-{administrator}", "+33199000001", fax_tiff(2), "tdu", fine=False))
    listed = _once_received(place, administrator)
    sent = Path(hylafax.received / listed.name).read_bytes()
    assert listed.size == len(sent) and listed.station
    with place.queue(administrator) as queue:
        assert queue.retrieve(listed) == sent


def _once_received(place: Place, administrator: str) -> QueuedFax:
    """The first listed fax, whole on its first sight."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with place.queue(administrator) as queue:
            listed = [fax for fax in queue.received() if fax.is_listed]
        if listed:
            return listed[0]
        time.sleep(0.2)
    raise AssertionError("nothing was received")
