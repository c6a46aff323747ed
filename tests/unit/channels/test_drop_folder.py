"""A practice's folder: sets appear whole, once; a program's habits are understood; nothing is concluded from an absence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from adapter.channels import drop_folder
from adapter.channels.drop_folder import PracticeFolder, Seen
from adapter.model.folder import FileSet, Standing, stem_of

STEM = stem_of(12, "publication-12")
SET = FileSet(STEM, ((f"{STEM}.pdf", b"%PDF lettre"), (f"{STEM}.hpr", b"texte")))
WORDS = ("integrated", "already-held", "unreadable")


@pytest.fixture
def folder(tmp_path: Path) -> PracticeFolder:
    one = PracticeFolder(tmp_path / "cabinet", WORDS)
    one.found()
    with one.mine() as mine:
        assert mine
    return one


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cabinet"


def lying(path: Path, place: str = "") -> list[str]:
    return sorted(entry.name for entry in (path / place).iterdir() if entry.is_file() and not entry.name.startswith("."))


def standing(folder: PracticeFolder, one: FileSet = SET) -> Seen:
    return folder.look([one.main])[one.stem]


def give(folder: PracticeFolder, one: FileSet = SET) -> None:
    folder.stage(one)
    assert folder.expose(one.stem)


def test_the_name_tells_nothing_and_is_the_same_each_time() -> None:
    assert stem_of(12, "publication-12") == STEM and STEM.startswith("TDU-00000012-")
    assert len({stem_of(12, f"publication-{n}") for n in range(100)}) == 100


def test_a_staged_set_is_not_seen_before_it_is_exposed(folder: PracticeFolder, path: Path) -> None:
    folder.stage(SET)
    assert lying(path) == []
    folder.expose(STEM)
    assert lying(path) == sorted([f"{STEM}.pdf", f"{STEM}.hpr"])
    assert standing(folder) == Seen(Standing.LYING)


def test_the_main_file_is_renamed_last(folder: PracticeFolder, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.stage(SET)
    order: list[str] = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, target: (order.append(Path(target).name), rename(self, target))[1])
    folder.expose(STEM)
    assert order == [f"{STEM}.pdf", f"{STEM}.hpr"]


def test_everything_is_on_disk_before_anything_is_renamed(folder: PracticeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink().name), fsync(fd))[1])
    folder.stage(SET)
    assert synced == [f"00-{STEM}.pdf", f"01-{STEM}.hpr", STEM, ".work"]
    synced.clear()
    folder.expose(STEM)
    assert synced == ["cabinet"]


def test_exposing_again_gives_nothing_twice(folder: PracticeFolder, path: Path) -> None:
    """The program took a file between our death and our return."""
    give(folder)
    for name in lying(path):
        (path / name).rename(path / "done" / name)
    assert not folder.expose(STEM)
    assert lying(path) == []


def test_a_death_among_the_renames_is_finished(folder: PracticeFolder, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.stage(SET)
    rename = Path.rename

    def dies(self: Path, target: Path) -> Path:
        if self.name.endswith(".hpr"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        folder.expose(STEM)
    monkeypatch.setattr(Path, "rename", rename)
    assert lying(path) == [f"{STEM}.pdf"]
    assert folder.expose(STEM)
    assert lying(path) == sorted([f"{STEM}.pdf", f"{STEM}.hpr"])


def test_a_half_written_set_is_written_anew(folder: PracticeFolder, path: Path) -> None:
    aside = path / ".work" / STEM
    aside.mkdir()
    (aside / "00-half").write_bytes(b"%P")
    give(folder)
    assert lying(path) == sorted([f"{STEM}.pdf", f"{STEM}.hpr"])


@pytest.mark.parametrize(("place", "expected"), [("done", Standing.DONE), ("error", Standing.ERROR)])
def test_where_the_program_moves_it_is_what_it_says(folder: PracticeFolder, path: Path, place: str, expected: Standing) -> None:
    give(folder)
    for name in lying(path):
        (path / name).rename(path / place / name)
    assert standing(folder) == Seen(expected)


def test_a_companion_moved_alone_says_nothing_yet(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    (path / f"{STEM}.pdf").rename(path / "done" / f"{STEM}.pdf")
    assert standing(folder).standing is Standing.LYING


def test_a_main_file_that_is_deleted_while_its_companion_is_put_to_done_is_done(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    (path / f"{STEM}.hpr").unlink()
    (path / f"{STEM}.pdf").rename(path / "done" / f"{STEM}.pdf")
    assert standing(folder).standing is Standing.DONE


def test_in_both_places_the_worse_counts(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    for place in ("done", "error"):
        (path / place / f"{STEM}.hpr").write_bytes(b"texte")
    assert standing(folder).standing is Standing.ERROR


@pytest.mark.parametrize("name", ["EXEMPLE Camille.txt", "0001.HPR", f"{STEM.lower()}.hpr.ok", f"{STEM} (2).HPR"])
def test_a_renamed_file_is_recognised(folder: PracticeFolder, path: Path, name: str) -> None:
    give(folder)
    (path / f"{STEM}.hpr").rename(path / "done" / name)
    assert standing(folder).standing is Standing.DONE


def test_two_sets_of_one_content_are_never_taken_for_one_another(folder: PracticeFolder, path: Path) -> None:
    other = FileSet(stem_of(13, "publication-13"), ((f"{stem_of(13, 'publication-13')}.hpr", b"texte"),))
    give(folder)
    give(folder, other)
    (path / other.files[0][0]).rename(path / "done" / "renamed.txt")
    (path / f"{STEM}.hpr").unlink()
    seen = folder.look([SET.main, other.main])
    assert {one.standing for one in seen.values()} == {Standing.GONE}


def test_a_file_still_being_copied_says_nothing(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    (path / f"{STEM}.hpr").rename(path / "done" / f"{STEM}.hpr.part")
    (path / f"{STEM}.pdf").unlink()
    assert standing(folder).standing is Standing.GONE


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("already-held", "already-held"),
        ("Motif : UNREADABLE (code 12)\r\n", "unreadable"),
        ("Mme EXEMPLE n'est pas suivie ici", ""),
        ("not-unreadable-at-all", ""),
        ("", ""),
    ],
)
def test_only_a_code_of_the_list_is_read_in_the_reason(folder: PracticeFolder, path: Path, text: str, word: str) -> None:
    give(folder)
    for name in lying(path):
        (path / name).rename(path / "error" / name)
    (path / "error" / f"{STEM}.hpr.reason.txt").write_text(text, encoding="cp1252")
    assert standing(folder) == Seen(Standing.ERROR, word)


def test_a_withdrawn_set_is_nowhere_a_program_looks(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    assert folder.withdraw(SET.main)
    assert lying(path) == [] and len(lying(path, "withdrawn")) == 2
    assert standing(folder).standing is Standing.WITHDRAWN
    assert not folder.withdraw(SET.main)


def test_a_set_renamed_where_it_lies_is_withdrawn_too(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    (path / f"{STEM}.hpr").rename(path / "Lettre de Mme EXEMPLE.txt")
    assert folder.withdraw(SET.main)
    assert lying(path) == []


def test_what_the_program_took_just_before_is_not_withdrawn(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    (path / f"{STEM}.hpr").rename(path / "done" / f"{STEM}.hpr")
    assert not folder.withdraw(SET.main)
    assert standing(folder).standing is Standing.DONE


def test_what_does_not_wait_any_more_is_swept_and_strangers_files_are_left(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    (path / f"{STEM}.hpr").rename(path / "done" / f"{STEM}.hpr")
    (path / "planning.xls").write_bytes(b"theirs")
    (path / f"{stem_of(3, 'old')}.hpr").write_bytes(b"put back by somebody")
    assert folder.sweep([]) == 2
    assert lying(path) == ["planning.xls"]
    assert f"{STEM}.pdf" in lying(path, "done")
    assert lying(path, "withdrawn") == [f"{stem_of(3, 'old')}.hpr"]


def test_what_waits_is_not_swept(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    assert folder.sweep([STEM]) == 0
    assert len(lying(path)) == 2


def test_old_files_are_deleted_where_they_were_dealt_with_and_nowhere_else(folder: PracticeFolder, path: Path) -> None:
    give(folder)
    for place in ("done", "error"):
        (path / place / f"{STEM}.hpr").write_bytes(b"texte")
    (path / "done" / "theirs.txt").write_bytes(b"theirs")
    future = (path / "done" / f"{STEM}.hpr").stat().st_ctime + 10
    assert folder.prune(future - 1000) == 0
    assert folder.prune(future) == 1
    assert lying(path, "done") == ["theirs.txt"] and lying(path, "error") == [f"{STEM}.hpr"]
    assert len(lying(path)) == 2


def test_a_folder_without_its_mark_is_not_the_folder(folder: PracticeFolder, path: Path) -> None:
    assert folder.is_there
    (path / drop_folder.MARKER).unlink()
    assert not folder.is_there


def test_only_one_process_works_in_a_folder(folder: PracticeFolder, path: Path) -> None:
    with folder.mine() as mine, PracticeFolder(path).mine() as other:
        assert mine and not other
    with PracticeFolder(path).mine() as mine:
        assert mine


def test_a_share_that_cannot_sync_a_directory_is_no_obstacle(folder: PracticeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refuses(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").resolve().is_dir():
            raise OSError(errno.EINVAL, "no")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", refuses)
    give(folder)
    assert standing(folder).standing is Standing.LYING


def test_a_disk_that_fails_is_not_passed_over(folder: PracticeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="gone"):
        folder.stage(SET)
