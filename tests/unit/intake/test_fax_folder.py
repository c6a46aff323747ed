"""The fax door on a folder: each file is one fax, what cannot be brought in is parked with its reason and blocks no other."""

from __future__ import annotations

import io
import json
import os
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from adapter.intake.committer import Intake
from adapter.intake.fax_folder import FaxFolder, FaxFolderSettings
from adapter.intake.fax_in import FaxIntakeSettings, FaxTaker, ReceivedFax
from adapter.model.fax_in import Withheld
from adapter.model.receipt import Answer, Arrival
from tests.unit.intake.fakes import NOW, FakeAcceptor

ENTITY = "750712184"
LONG_AGO = 1_790_000_000


def fax_tiff(pages: int = 1, mark: int = 0) -> bytes:
    """Pages as a fax machine writes them; `mark` makes one unlike another."""
    images = [Image.new("1", (1728, 1100), 1) for _ in range(pages)]
    images[0].putpixel((mark, 10), 0)
    out = io.BytesIO()
    images[0].save(out, "TIFF", compression="group4", dpi=(204, 98), save_all=True, append_images=images[1:])
    return out.getvalue()


def bomb(width: int, rows: int) -> bytes:
    """A TIFF of some bytes that says that its page is as large as that."""
    entries = struct.pack("<HHLL", 256, 4, 1, width) + struct.pack("<HHLL", 257, 4, 1, rows)
    return b"II*\0" + struct.pack("<LH", 8, 2) + entries + struct.pack("<L", 0)


@pytest.fixture
def acceptor() -> FakeAcceptor:
    return FakeAcceptor()


@pytest.fixture
def intake(acceptor: FakeAcceptor) -> Iterator[Intake[Arrival]]:
    intake = Intake(acceptor)
    intake.start()
    yield intake
    intake.stop()


def watch(
    path: Path,
    intake: Intake[Arrival],
    monotonic: Callable[[], float] = lambda: 1000.0,
    counted: list[str] | None = None,
    **settings: Any,
) -> FaxFolder:
    numbers = count(1)
    taker = FaxTaker(
        FaxIntakeSettings("fax-ivry", ENTITY), intake, clock=lambda: NOW, count=(counted if counted is not None else []).append
    )
    values: dict[str, Any] = {"settle_seconds": 0, **settings}
    return FaxFolder(
        FaxFolderSettings(path, "fax-ivry", **values),
        taker,
        monotonic=monotonic,
        new_id=lambda: f"claim-{id(numbers)}-{next(numbers)}",
    )


def drop(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    os.utime(folder / name, (LONG_AGO, LONG_AGO))


def files(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir() and file.name != "lock"}


def told(arrival: Arrival) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arrival.side_car)
    return found


# ── a fax ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_becomes_one_arrival_of_its_very_bytes_and_is_put_away(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    drop(tmp_path, "a.tif", fax_tiff(2))
    assert watch(tmp_path, intake).poll_once() == 1
    (arrival,) = acceptor.kept
    assert (arrival.content, arrival.door, arrival.principal.kind) == (fax_tiff(2), "fax:fax-ivry", "fax")
    assert (arrival.principal.name, arrival.principal.legal_entity, arrival.received_at) == ("fax-ivry", ENTITY, NOW)
    at = datetime.fromtimestamp(LONG_AGO, UTC).isoformat()
    assert told(arrival) == {"from": "", "called_id": "", "pages": 2, "received_at": at, "withheld": ""}
    assert arrival.reference.startswith("sha256:")
    assert files(tmp_path) == {"done/a.tif"}


def test_the_senders_number_is_read_beside_the_file_or_in_its_name(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    drop(tmp_path, "a.tif", fax_tiff())
    drop(tmp_path, "a.tif.json", json.dumps({"from": "01 45 21 00 01", "called_id": "+33145210099", "pages": 3}).encode())
    drop(tmp_path, "20261122_33145210002_7.pdf", b"%PDF-1.4\n")
    watch(tmp_path, intake, name_pattern="{fax.date}_{fax.from}_{fax.serial}.pdf").poll_once()
    assert sorted((told(one)["from"], told(one)["called_id"]) for one in acceptor.kept) == [
        ("+33145210001", "+33145210099"),
        ("+33145210002", ""),
    ]
    assert files(tmp_path) == {"done/a.tif", "done/a.tif.json", "done/20261122_33145210002_7.pdf"}


@pytest.mark.parametrize("beside", [b"{", b"[]", b'{"from": 7}', b'{"from": "Dr Martin"}', b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_beside_a_fax_does_not_keep_it_out(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], beside: bytes
) -> None:
    drop(tmp_path, "a.tif", fax_tiff())
    drop(tmp_path, "a.tif.json", beside)
    watch(tmp_path, intake).poll_once()
    assert told(acceptor.kept[0])["from"] == ""
    assert "done/a.tif" in files(tmp_path)


def test_letters_that_are_no_letters_beside_a_fax_or_in_its_name_keep_neither_it_nor_others_out(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    """A surrogate in JSON; a name in Latin-1."""
    drop(tmp_path, "a_1.tif", fax_tiff(mark=1))
    drop(tmp_path, "a_1.tif.json", b'{"called_id": "\\ud800", "from": "0145210001"}')
    drop(tmp_path, os.fsdecode(b"b\xe9_2.tif"), fax_tiff(mark=2))
    drop(tmp_path, "c_3.tif", fax_tiff(mark=3))
    assert watch(tmp_path, intake, name_pattern="{fax.called}_{fax.serial}.tif").poll_once() == 3
    assert [told(one)["called_id"] for one in acceptor.kept] == ["a", "", "c"]
    assert told(acceptor.kept[0])["from"] == "+33145210001"


def test_a_side_car_that_comes_before_its_fax_is_none_whatever_the_case_of_its_name(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    folder = watch(tmp_path, intake)
    drop(tmp_path, "FAX7.TIF.json", b'{"from": "0145210001"}')
    assert folder.poll_once() == 0
    drop(tmp_path, "FAX7.TIF", fax_tiff())
    folder.poll_once()
    (arrival,) = acceptor.kept
    assert told(arrival)["from"] == "+33145210001"


def test_what_lies_beside_tells_when_it_came_with_its_zone_or_not_at_all(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    for n, when in enumerate(("2026-11-22T10:15:30+01:00", "2026-11-22T10:15:30", "hier")):
        drop(tmp_path, f"{n}.tif", fax_tiff(mark=n))
        drop(tmp_path, f"{n}.tif.json", json.dumps({"received_at": when}).encode())
    watch(tmp_path, intake).poll_once()
    at = datetime.fromtimestamp(LONG_AGO, UTC).isoformat()
    assert [told(one)["received_at"] for one in acceptor.kept] == ["2026-11-22T10:15:30+01:00", at, at]


def test_a_file_that_still_grows_is_not_taken(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    now = [1000.0]
    folder = watch(tmp_path, intake, lambda: now[0], settle_seconds=5)
    drop(tmp_path, "a.tif", fax_tiff()[:100])
    folder.poll_once()
    now[0] += 6
    drop(tmp_path, "a.tif", fax_tiff())
    drop(tmp_path, "b.tif.part", b"x")
    folder.poll_once()
    assert not acceptor.kept
    now[0] += 6
    folder.poll_once()
    assert [one.content for one in acceptor.kept] == [fax_tiff()]


# ── what cannot be brought in ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "withheld"),
    [
        (b"", Withheld.EMPTY),
        (b"hello", Withheld.NOT_PAGES),
        (b"\x89PNG\r\n\x1a\n....", Withheld.NOT_PAGES),
        (fax_tiff()[:40], Withheld.DAMAGED),
        (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", Withheld.DAMAGED),  # a directory that is its own successor
        (bomb(60_000, 60_000), Withheld.TOO_MANY_DOTS),
        (fax_tiff() + bytes(300_000), Withheld.TOO_LARGE),
    ],
)
def test_what_is_no_fax_is_kept_as_far_as_it_is_known_and_holds_up_nobody(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], content: bytes, withheld: str
) -> None:
    counted: list[str] = []
    drop(tmp_path, "a.tif", content)
    drop(tmp_path, "b.tif", fax_tiff())
    folder = watch(tmp_path, intake, counted=counted, max_file_bytes=200_000)
    assert folder.poll_once() == 2
    first, second = acceptor.kept
    assert told(first)["withheld"] == withheld
    assert first.content == (b"" if withheld == Withheld.TOO_LARGE else content)
    assert second.content == fax_tiff()
    assert files(tmp_path) == {"error/a.tif", "error/a.tif.reason.txt", "error/a.tif.reason.json", "done/b.tif"}
    assert counted == ["fax.stored", "fax.withheld", "fax.stored"]
    assert folder.poll_once() == 0 and len(acceptor.kept) == 2


def test_many_pages_of_a_lawful_size_are_a_bomb_too(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    images = [Image.new("1", (1728, 8), 1) for _ in range(201)]
    images[0].save(tmp_path / "a.tif", "TIFF", compression="group4", save_all=True, append_images=images[1:])
    watch(tmp_path, intake).poll_once()
    assert told(acceptor.kept[0])["withheld"] == Withheld.TOO_MANY_DOTS


def test_a_link_is_not_followed(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    secret = tmp_path / "secret.tif"
    secret.write_bytes(fax_tiff())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.tif").symlink_to(secret)
    (folder / "b.tif").symlink_to(tmp_path / "nowhere")
    drop(folder, "c.tif", fax_tiff())
    (folder / "c.tif.json").symlink_to(secret)
    assert watch(folder, intake).poll_once() == 3
    assert [told(one)["withheld"] for one in acceptor.kept] == [Withheld.NOT_A_FILE, Withheld.NOT_A_FILE, ""]
    assert [one.content for one in acceptor.kept[:2]] == [b"", b""]
    assert len({one.reference for one in acceptor.kept}) == 3
    assert {"error/a.tif", "error/b.tif", "done/c.tif"} <= files(folder)
    assert secret.exists()


def test_two_files_too_large_are_two_parked_faxes(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    drop(tmp_path, "a.tif", bytes(300_000))
    drop(tmp_path, "b.tif", bytes(300_000))
    watch(tmp_path, intake, max_file_bytes=200_000).poll_once()
    assert len(acceptor.kept) == 2


def test_a_fax_that_the_ledger_can_never_keep_is_told_of_and_laid_aside(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    drop(tmp_path, "a.tif", fax_tiff() + b"NUL")
    watch(tmp_path, intake).poll_once()
    (arrival,) = acceptor.kept
    assert (arrival.content, told(arrival)["withheld"]) == (b"", Withheld.NOT_KEPT)
    assert "error/a.tif" in files(tmp_path)


def test_a_name_that_may_be_a_persons_goes_nowhere(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], capsys: pytest.CaptureFixture[str]
) -> None:
    drop(tmp_path, "0145210001_Martin.tif", fax_tiff())
    watch(tmp_path, intake, name_pattern="{fax.from}_{fax.serial}.tif").poll_once()
    (arrival,) = acceptor.kept
    assert told(arrival)["from"] == "+33145210001"
    said = capsys.readouterr()
    for word in ("145210001", "Martin"):
        assert word not in arrival.reference + said.out + said.err


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ledger_that_is_down_takes_the_fax_later(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    drop(tmp_path, "a.tif", fax_tiff())
    folder = watch(tmp_path, intake)
    acceptor.down = True
    assert folder.poll_once() == 0
    acceptor.down = False
    assert folder.poll_once() == 1
    assert files(tmp_path) == {"done/a.tif"}


def test_a_fax_kept_before_a_crash_is_known_again_by_another_process(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    """As if the power had gone between the commit and the move: the file lies in a claim that nobody holds."""
    drop(tmp_path, "a.tif", fax_tiff())
    watch(tmp_path, intake).poll_once()
    claim = tmp_path / ".work" / "left"
    claim.mkdir()
    (tmp_path / "done" / "a.tif").rename(claim / "a.tif")
    counted: list[str] = []
    watch(tmp_path, intake, counted=counted).poll_once()
    assert counted == ["fax.repeat"] and len(acceptor.kept) == 1
    assert files(tmp_path) == {"done/a.tif"}


def test_the_same_name_with_another_content_is_another_fax(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    for mark in (1, 2):
        drop(tmp_path, "a.tif", fax_tiff(mark=mark))
        watch(tmp_path, intake).poll_once()
    assert len(acceptor.kept) == 2
    assert files(tmp_path) == {"done/a.tif", "done/a.tif.2"}


def test_two_hosts_share_a_folder(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    for n in range(40):
        drop(tmp_path, f"{n}.tif", fax_tiff(mark=n))
    hosts = [watch(tmp_path, intake) for _ in range(2)]
    threads = [threading.Thread(target=host.poll_once) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(acceptor.kept) == 40
    assert len(files(tmp_path)) == 40


def test_a_claim_that_cannot_be_settled_holds_up_no_other(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, "a.tif", fax_tiff(mark=1))
    drop(tmp_path, "b.tif", fax_tiff(mark=2))
    folder = watch(tmp_path, intake)
    whole = os.open

    def open_(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith("a.tif"):
            raise OSError(116, "stale")
        return whole(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_)
    with pytest.raises(OSError, match="stale"):
        folder.poll_once()
    assert [one.content for one in acceptor.kept] == [fax_tiff(mark=2)]
    monkeypatch.undo()
    assert folder.poll_once() == 1
    assert len(acceptor.kept) == 2


def test_a_fax_that_meets_a_defect_of_ours_holds_up_no_other(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, "a.tif", fax_tiff(mark=1))
    drop(tmp_path, "b.tif", fax_tiff(mark=2))
    whole = FaxTaker.take

    def take(taker: FaxTaker, fax: ReceivedFax) -> tuple[Answer, str]:
        if fax.content == fax_tiff(mark=1):
            raise ZeroDivisionError
        return whole(taker, fax)

    monkeypatch.setattr(FaxTaker, "take", take)
    with pytest.raises(ZeroDivisionError):
        watch(tmp_path, intake).poll_once()
    assert [one.content for one in acceptor.kept] == [fax_tiff(mark=2)]


def test_a_folder_that_is_away_is_said_once_and_watched_again(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "share" / "fax"
    (tmp_path / "share").write_text("not a folder yet")
    folder = watch(path, intake, poll_seconds=0.01)
    stop = threading.Event()
    thread = threading.Thread(target=folder.run, args=(stop,), daemon=True)
    thread.start()
    waiting = threading.Event()
    waiting.wait(0.3)
    drop(tmp_path, "a.tif", fax_tiff())
    (tmp_path / "share").unlink()
    path.mkdir(parents=True, exist_ok=True)
    (tmp_path / "a.tif").rename(path / "a.tif")  # whole at once: it is watched meanwhile
    for _ in range(300):
        if acceptor.kept:
            break
        waiting.wait(0.02)
    stop.set()
    thread.join(5)
    assert not thread.is_alive() and len(acceptor.kept) == 1
    assert "".join(capsys.readouterr()).count("fax.away") == 1
