"""The drop folder: nothing lost, nothing taken half written, the reason beside what was refused."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from adapter.intake.claims import LONELY_SECONDS
from adapter.intake.committer import Intake
from adapter.intake.folder import DropFolder, FolderSettings
from adapter.model.receipt import Arrival
from tests.unit.intake.fakes import NOW, FakeAcceptor


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def acceptor() -> FakeAcceptor:
    return FakeAcceptor()


@pytest.fixture
def intake(acceptor: FakeAcceptor) -> Iterator[Intake[Arrival]]:
    intake = Intake(acceptor)
    intake.start()
    yield intake
    intake.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watch(path: Path, intake: Intake[Arrival], clock: Clock | None = None, **settings: float | str) -> DropFolder:
    numbers = count(1)
    values: dict[str, float | str] = {"settle_seconds": 0, **settings}
    return DropFolder(
        FolderSettings(path, "depot", "750712184", "Europe/Paris", **values),  # type: ignore[arg-type]
        intake,
        clock=lambda: NOW,
        monotonic=clock or Clock(),
        new_id=lambda: f"claim-{id(numbers)}-{next(numbers)}",
    )


def files(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and file.name != "lock"}


def test_an_accepted_file_ends_in_done(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    (tmp_path / "lettre.xml").write_bytes(b"<a/>")
    assert watch(tmp_path, intake).poll_once() == 1
    assert files(tmp_path) == {"done/lettre.xml"}
    (arrival,) = acceptor.kept
    assert arrival.content == b"<a/>"
    assert arrival.door == "folder:depot"
    assert arrival.principal.name == "depot"
    assert arrival.reference.startswith("lettre.xml#")


def test_a_refused_file_ends_in_error_with_the_reason_beside_it(tmp_path: Path, intake: Intake[Arrival]) -> None:
    (tmp_path / "lettre.xml").write_bytes(b"REFUSE MARTIN")
    watch(tmp_path, intake).poll_once()
    assert files(tmp_path) == {f"error/lettre.xml{end}" for end in ("", ".reason.txt", ".reason.json")}
    text = (tmp_path / "error/lettre.xml.reason.txt").read_text(encoding="utf-8")
    assert "Le traitement du diabète manque." in text
    assert "item[tdm-iode-diabete]" in text
    assert "Répondre." in text
    assert "MARTIN" not in text
    reason = json.loads((tmp_path / "error/lettre.xml.reason.json").read_text(encoding="utf-8"))
    assert reason["findings"][0]["code"] == "form.answer-required"
    assert reason["receipt"] == "r1"


@pytest.mark.parametrize("side_car", ["lettre.xml.json", "lettre.xml.side.json"])
def test_the_side_car_travels_with_its_document(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], side_car: str
) -> None:
    (tmp_path / side_car).write_bytes(b'{"to": 1}')
    (tmp_path / "lettre.xml").write_bytes(b"<a/>")
    watch(tmp_path, intake).poll_once()
    assert [arrival.side_car for arrival in acceptor.kept] == [b'{"to": 1}']
    assert files(tmp_path) == {"done/lettre.xml", f"done/{side_car}"}


def test_a_side_car_waits_for_its_document_and_is_never_taken_for_a_form(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], clock: Clock
) -> None:
    (tmp_path / "lettre.xml.json").write_bytes(b"{}")
    folder = watch(tmp_path, intake, clock)
    assert folder.poll_once() == 0
    assert files(tmp_path) == {"lettre.xml.json"}
    clock.seconds += LONELY_SECONDS + 1
    assert folder.poll_once() == 1
    assert "error/lettre.xml.json.reason.txt" in files(tmp_path)
    assert acceptor.kept == []


def test_a_name_in_latin_1_keeps_no_document_out_and_what_it_says_of_a_patient_is_not_guessed(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    for name in (b"DUPR\xc9_1951-03-02.pdf", b"MARTIN_1960-01-01.pdf"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"%PDF" + name)
    pattern = "{patient.birth_name}_{patient.birth_date}.pdf"
    assert watch(tmp_path, intake, name_pattern=pattern).poll_once() == 2
    first, second = acceptor.kept
    assert first.reference.encode().startswith(b"DUPR\\xc9_1951-03-02.pdf#")
    assert json.loads(first.side_car)["from_name"] == {"patient.birth_date": "1951-03-02"}
    assert json.loads(second.side_car)["from_name"]["patient.birth_name"] == "MARTIN"


def test_a_file_that_cannot_be_read_now_holds_up_no_other(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.xml").write_bytes(b"<a/>")
    (tmp_path / "b.xml").write_bytes(b"<b/>")
    folder, whole = watch(tmp_path, intake), Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "a.xml":
            raise PermissionError
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(PermissionError):
        folder.poll_once()
    assert [arrival.content for arrival in acceptor.kept] == [b"<b/>"]
    monkeypatch.undo()
    assert folder.poll_once() == 1


def test_a_form_as_plain_json_is_a_document(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    (tmp_path / "demande.json").write_bytes(b"{}")
    watch(tmp_path, intake).poll_once()
    assert len(acceptor.kept) == 1


def test_a_file_still_growing_waits(tmp_path: Path, intake: Intake[Arrival], clock: Clock) -> None:
    folder = watch(tmp_path, intake, clock, settle_seconds=2)
    with (tmp_path / "lettre.xml").open("wb") as handle:
        for _ in range(5):
            handle.write(b"morceau")
            handle.flush()
            assert folder.poll_once() == 0
            clock.seconds += 1.5
    assert folder.poll_once() == 0
    clock.seconds += 2
    assert folder.poll_once() == 1


@pytest.mark.parametrize("name", [".lettre.xml", "lettre.xml.tmp", "lettre.xml.part", "lettre.xml.FILEPART"])
def test_an_unfinished_name_is_never_looked_at(tmp_path: Path, intake: Intake[Arrival], name: str) -> None:
    (tmp_path / name).write_bytes(b"<a/>")
    assert watch(tmp_path, intake).poll_once() == 0
    assert files(tmp_path) == {name}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, intake: Intake[Arrival]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "in/lettre.xml").symlink_to(tmp_path / "secret")
    assert watch(tmp_path / "in", intake).poll_once() == 0


@pytest.mark.parametrize(("content", "code"), [(b"", "folder.empty"), (b"x" * 2000, "folder.too-large")])
def test_a_file_of_impossible_size_is_refused_unread(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], content: bytes, code: str
) -> None:
    (tmp_path / "lettre.xml").write_bytes(content)
    watch(tmp_path, intake, max_file_bytes=1024).poll_once()
    assert code in (tmp_path / "error/lettre.xml.reason.txt").read_text(encoding="utf-8")
    assert acceptor.kept == []


def test_when_nothing_can_be_kept_the_file_is_tried_again(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    (tmp_path / "lettre.xml").write_bytes(b"<a/>")
    acceptor.down = True
    folder = watch(tmp_path, intake)
    assert folder.poll_once() == 0
    acceptor.down = False
    assert folder.poll_once() == 1
    assert files(tmp_path) == {"done/lettre.xml"}


def test_after_a_crash_between_commit_and_move_the_same_file_gets_the_same_answer(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lettre.xml.json").write_bytes(b"{}")
    (tmp_path / "lettre.xml").write_bytes(b"<a/>")
    folder = watch(tmp_path, intake)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder, "_place", crash)
        with pytest.raises(KeyboardInterrupt):
            folder.poll_once()
    assert len(acceptor.kept) == 1
    assert watch(tmp_path, intake).poll_once() == 1
    assert len(acceptor.kept) == 1
    assert files(tmp_path) == {"done/lettre.xml", "done/lettre.xml.json"}


def test_after_a_crash_between_two_renames_document_and_side_car_meet_again(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    claim = tmp_path / ".work" / "dead"
    claim.mkdir(parents=True)
    (claim / "lettre.xml.json").write_bytes(b'{"to": 1}')
    (tmp_path / "lettre.xml").write_bytes(b"<a/>")
    watch(tmp_path, intake).poll_once()
    assert [arrival.side_car for arrival in acceptor.kept] == [b'{"to": 1}']
    assert files(tmp_path) == {"done/lettre.xml", "done/lettre.xml.json"}


def test_a_name_used_again_overwrites_nothing(tmp_path: Path, intake: Intake[Arrival]) -> None:
    folder = watch(tmp_path, intake)
    for content in (b"<a/>", b"<b/>", b"REFUSE 1", b"REFUSE 2"):
        (tmp_path / "lettre.xml").write_bytes(content)
        folder.poll_once()
    kept = {path: (tmp_path / path).read_bytes() for path in files(tmp_path) if "reason" not in path}
    assert kept == {
        "done/lettre.xml": b"<a/>",
        "done/lettre.xml.2": b"<b/>",
        "error/lettre.xml": b"REFUSE 1",
        "error/lettre.xml.2": b"REFUSE 2",
    }


def test_several_watchers_take_each_file_once(tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    for n in range(60):
        (tmp_path / f"{n}.xml.json").write_bytes(b"%d" % n)
        (tmp_path / f"{n}.xml").write_bytes(b"<a%d/>" % n)
    folders = [watch(tmp_path, intake) for _ in range(4)]
    failures: list[BaseException] = []

    def work(folder: DropFolder) -> None:
        try:
            for _ in range(3):
                folder.poll_once()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watch(tmp_path, intake).poll_once()
    assert failures == []
    assert sorted(arrival.content for arrival in acceptor.kept) == sorted(b"<a%d/>" % n for n in range(60))
    assert all(arrival.side_car == arrival.content[2:-2] for arrival in acceptor.kept)
    assert len(files(tmp_path)) == 120
    assert all(path.startswith("done/") for path in files(tmp_path))


def test_the_watch_ends_when_told(tmp_path: Path, intake: Intake[Arrival]) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=watch(tmp_path, intake, poll_seconds=0.01).run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_the_name_of_a_file_says_what_the_folder_s_pattern_declares(
    tmp_path: Path, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    (tmp_path / "EXEMPLE_2026-11-20.pdf").write_bytes(b"%PDF-")
    (tmp_path / "EXEMPLE_2026-11-20.pdf.json").write_bytes(b'{"urgency": "urgent"}')
    watch(tmp_path, intake, name_pattern="{patient.birth_name}_{document.date}.pdf").poll_once()  # type: ignore[arg-type]
    (arrival,) = acceptor.kept
    told = {"patient.birth_name": "EXEMPLE", "document.date": "2026-11-20"}
    assert json.loads(arrival.side_car) == {"urgency": "urgent", "from_name": told}
