"""A practice's folder follows its feed: one copy, the newest; where the program moves it is what it says."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from adapter.model.folder import FolderFormat, Standing
from adapter.model.publication import Readers
from adapter.service.practice_folders import said_in_folder
from tests.builders.directory import APHP_EJ
from tests.builders.practices import Town, with_practices


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def outcomes(town: Town, name: str = "cab-1") -> list[str]:
    every = town.house.ledger.folder_sets(name, list(Standing), legal_entity=APHP_EJ)
    return [f"{one.kind.value}:{one.standing.value}:{one.outcome}" for one in every]


def test_a_letter_lies_there_with_its_text_last_and_nothing_in_its_name(town: Town) -> None:
    town.write()
    town.keeper().keep()
    pdf, text = sorted(town.names(), key=lambda name: name.endswith(".hpr"))
    assert pdf.endswith(".pdf") and text.endswith(".hpr") and pdf[:-4] == text[:-4]
    assert pdf.startswith("TDU-00000001-")
    assert (town.path() / pdf).read_bytes().startswith(b"%PDF")
    assert outcomes(town) == ["new:lying:"]


def test_moved_to_done_is_integrated(town: Town) -> None:
    receipt = town.write()
    town.keeper().keep()
    assert town.house.states(receipt) == {"inbox": "accepted"}, "a file that lies there was fetched by nobody"
    town.take()
    town.round()
    assert town.house.states(receipt) == {"inbox": "integrated"}
    assert outcomes(town) == ["new:done:integrated"]


def test_moved_to_error_is_unreadable_and_a_code_beside_it_is_heard(town: Town) -> None:
    town.write(number=1)
    town.write(number=2)
    town.keeper().keep()
    _, second = sorted(name for name in town.names() if name.endswith(".hpr"))
    town.take(place="error")
    (town.path() / "error" / f"{second}.reason.txt").write_bytes("Patient inconnu : not-our-patient\r\n".encode("cp1252"))
    town.round()
    assert outcomes(town) == ["new:error:unreadable", "new:error:not-our-patient"]


def test_a_newer_version_withdraws_the_older_one_that_nobody_took(town: Town) -> None:
    town.write(1)
    town.keeper().keep()
    old = town.names()
    town.write(2)
    town.keeper().keep()
    assert town.names(place="withdrawn") == old
    assert not set(old) & set(town.names())
    stem = old[0].partition(".")[0]
    (words,) = [name for name in town.names() if name.endswith(".suite.txt")]
    assert stem in (town.path() / words).read_text("cp1252")
    assert outcomes(town) == ["new:withdrawn:", "replace:lying:"]


def test_a_newer_version_of_what_was_imported_names_it(town: Town) -> None:
    town.write(1)
    town.keeper().keep()
    stem = town.take()[0].partition(".")[0]
    town.round()
    town.write(2)
    town.keeper().keep()
    (text,) = [name for name in town.names() if name.endswith(".hpr")]
    assert f"annule et remplace le précédent, fichier {stem} (importé le" in " ".join(
        (town.path() / text).read_text("cp1252").split()
    )


def test_two_versions_published_before_the_folder_was_looked_at_leave_the_newest(town: Town) -> None:
    town.write(1)
    town.write(2)
    town.keeper().keep()
    assert outcomes(town) == ["new:skipped:", "replace:lying:"]
    assert all(name.startswith("TDU-00000002-") for name in town.names())


@pytest.mark.parametrize("format_", list(FolderFormat))
def test_a_cancellation_withdraws_the_letter_and_tells_of_it_without_bringing_it(tmp_path: Path, format_: FolderFormat) -> None:
    town = Town(tmp_path, format_=format_)
    town.write(1)
    town.keeper().keep()
    letter = town.names()
    town.write(1, cancels=True)
    town.keeper().keep()
    assert town.names(place="withdrawn") == letter
    left = {name: (town.path() / name).read_bytes() for name in town.names()}
    assert not any(name.endswith((".pdf", ".xml", ".zip")) for name in left)
    told = b"".join(left.values())
    assert letter[0].partition(".")[0].partition("_")[0].encode() in told and "annulé".encode("cp1252") in told
    if format_ is FolderFormat.FHIR:
        assert b'"entered-in-error"' in told


def test_a_cancellation_of_what_the_folder_never_held_is_not_told(town: Town) -> None:
    town.write(1)
    town.write(1, cancels=True)
    town.keeper().keep()
    assert town.names() == []


@pytest.mark.parametrize("format_", list(FolderFormat))
def test_each_format_puts_its_main_file_last(tmp_path: Path, format_: FolderFormat) -> None:
    town = Town(tmp_path, format_=format_)
    town.write()
    town.keeper().keep()
    endings = {name.partition("TDU-00000001-")[2][8:] for name in town.names()}
    expected = {
        FolderFormat.FHIR: {".json"},
        FolderFormat.XDM: {"_IHE_XDM.zip"},
        FolderFormat.CDA_AND_PDF: {".pdf", ".xml"},
        FolderFormat.HPRIM: {".pdf", ".hpr"},
    }
    assert endings == expected[format_]
    town.take()
    town.round()
    assert outcomes(town) == ["new:done:integrated"]


def test_a_file_that_vanished_is_asked_about_and_never_assumed(town: Town) -> None:
    receipt = town.write()
    town.keeper().keep()
    for name in town.names():
        (town.path() / name).unlink()
    town.round(seconds=30)
    assert town.house.reasons() == []
    town.ticks += 61
    town.keeper().keep()
    assert town.house.reasons() == ["folder-file-vanished"]
    assert town.house.states(receipt) == {"inbox": "accepted"}
    town.round()
    assert len(town.house.reasons()) == 1


def test_what_vanished_is_given_again_when_a_person_asks(town: Town) -> None:
    town.write()
    town.keeper().keep()
    before = {name: (town.path() / name).read_bytes() for name in town.names()}
    for name in before:
        (town.path() / name).unlink()
    town.keeper().keep()
    town.ticks += 61
    town.keeper().keep()
    (row,) = town.house.ledger.folder_sets("cab-1", [Standing.GONE], legal_entity=APHP_EJ)
    town.house.ledger.stand_folder_sets([row.publication_id], Standing.AGAIN, legal_entity=APHP_EJ)
    town.keeper().keep()
    assert {name: (town.path() / name).read_bytes() for name in town.names()} == before


def test_what_is_given_again_in_other_words_is_recognised_all_the_same(town: Town) -> None:
    """The text tells what became of the version before: told anew, it may say something else, and is another file."""
    town.write(1)
    town.keeper().keep()
    first = town.names()
    town.take(place="error")
    town.round()
    town.write(2)
    town.keeper().keep()
    for name in first:
        (town.path() / "error" / name).rename(town.path() / "done" / name)
    for name in town.names():
        (town.path() / name).unlink()
    town.round(seconds=90)
    assert outcomes(town) == ["new:done:integrated", "replace:gone:"]
    (row,) = town.house.ledger.folder_sets("cab-1", [Standing.GONE], legal_entity=APHP_EJ)
    town.house.ledger.stand_folder_sets([row.publication_id], Standing.AGAIN, legal_entity=APHP_EJ)
    town.keeper().keep()
    town.round(seconds=90)
    assert outcomes(town) == ["new:done:integrated", "replace:lying:"]


def test_what_the_practice_integrated_by_the_api_is_not_put_in_its_folder_afterwards(town: Town) -> None:
    """A folder opened for a practice that imports already: its feed is followed from the beginning."""
    town.write()
    (one,) = town.house.ledger.feed(Readers(APHP_EJ, ("cab-1",)), "cab-1", 0, 10)
    said_in_folder(town.house.ledger, "cab-1", APHP_EJ)([one.id], "integrated")
    town.keeper().keep()
    assert town.names() == []
    assert outcomes(town) == ["new:skipped:integrated"]


def test_a_set_left_aside_by_a_death_and_overtaken_meanwhile_does_not_stay_on_disk(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.write(1)

    def dies(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as death, pytest.raises(RuntimeError):
        death.setattr(town.house.ledger, "keep_folder_sets", dies)
        town.keeper().keep()
    assert [path.name for path in (town.path() / ".work").iterdir() if path.is_dir()]
    town.write(2)
    town.new_keeper().keep()
    assert outcomes(town) == ["new:skipped:", "replace:lying:"]
    assert [path.name for path in (town.path() / ".work").iterdir()] == ["lock"]


def test_a_program_that_renames_or_changes_case_is_understood(town: Town) -> None:
    town.write(number=1)
    town.write(number=2)
    town.keeper().keep()
    first, second = sorted(name for name in town.names() if name.endswith(".hpr"))
    (town.path() / first).rename(town.path() / "done" / "MME EXEMPLE 20112026.txt")
    (town.path() / second).rename(town.path() / "done" / f"import {second.lower()}.ok")
    town.round()
    assert outcomes(town) == ["new:done:integrated", "new:done:integrated"]


def test_a_program_that_copies_instead_of_moving_leaves_no_second_copy(town: Town) -> None:
    town.write()
    town.keeper().keep()
    for name in town.names():
        shutil.copy(town.path() / name, town.path() / "done" / name)
    town.round()
    assert outcomes(town) == ["new:done:integrated"]
    assert town.names() == []


def test_an_old_version_put_back_is_withdrawn_again(town: Town) -> None:
    town.write(1)
    town.keeper().keep()
    town.write(2)
    town.keeper().keep()
    for name in town.names(place="withdrawn"):
        (town.path() / "withdrawn" / name).rename(town.path() / name)
    town.keeper().keep()
    assert all(name.startswith("TDU-00000002-") for name in town.names())


def test_what_was_in_error_and_is_tried_again_may_yet_be_integrated(town: Town) -> None:
    receipt = town.write()
    town.keeper().keep()
    town.take(place="error")
    (town.path() / "error" / "TDU.reason.txt").write_text("no name of ours")
    for name in town.names(place="error"):
        if name.startswith("TDU-"):
            (town.path() / "error" / f"{name}.reason.txt").write_text("waiting-for-matching")
    town.round()
    assert outcomes(town) == ["new:error:waiting-for-matching"]
    assert town.house.states(receipt) == {"inbox": "delivered"}
    for name in [n for n in town.names(place="error") if n.endswith((".hpr", ".pdf"))]:
        (town.path() / "error" / name).rename(town.path() / "done" / name)
    town.round()
    assert outcomes(town) == ["new:done:integrated"]


def test_a_share_that_is_not_mounted_tells_nothing_of_its_files(town: Town) -> None:
    town.write(1)
    town.keeper().keep()
    town.path().rename(town.path("elsewhere"))
    town.write(2)
    town.path().mkdir()
    for _ in range(3):
        town.round(seconds=100)
    assert town.house.reasons() == ["partner-down"]
    assert outcomes(town) == ["new:lying:"]
    town.path().rmdir()
    town.path("elsewhere").rename(town.path())
    town.round()
    assert town.house.reasons() == []
    assert outcomes(town) == ["new:withdrawn:", "replace:lying:"]


@pytest.mark.parametrize("code", ["R", "V"])
def test_a_restricted_document_never_enters_the_folder_and_the_next_way_is_tried(town: Town, code: str) -> None:
    """The route's own policy knows such folders; here it did not, and the lane is the last guard."""
    receipt = town.write(confidentiality=code)
    town.keeper().keep()
    assert town.names() == [] and list((town.path() / ".work").glob("TDU*")) == []
    assert outcomes(town) == ["new:withheld:"]
    assert town.house.states(receipt)["inbox"] == "refused"


def test_what_a_practice_reaches_otherwise_too_is_withheld_without_a_word(town: Town) -> None:
    receipt = town.write(confidentiality="R")
    town.keeper(only_way=False).keep()
    assert outcomes(town) == ["new:withheld:"]
    assert town.house.states(receipt)["inbox"] == "accepted"


def test_a_document_masked_while_it_lies_there_is_withdrawn_and_the_words_name_nobody(town: Town) -> None:
    town.write()
    town.keeper().keep()
    letter = town.names()
    town.show_to("professionals")
    town.keeper().keep()
    assert town.names(place="withdrawn") == letter
    (words,) = town.names()
    told = (town.path() / words).read_text("cp1252")
    assert words.endswith(".suite.txt") and letter[0].partition(".")[0] in told and "ne plus le montrer" in told
    assert "EXEMPLE" not in told and "liaison" not in told.lower()


def test_a_document_masked_before_the_folder_was_looked_at_never_lies_there(town: Town) -> None:
    town.write()
    town.show_to("professionals")
    town.keeper().keep()
    assert town.names() == [] and town.names(place="withdrawn") == []
    assert outcomes(town) == ["new:withheld:", "metadata:skipped:"]


def test_a_document_hidden_from_the_patient_while_it_lies_there_is_given_anew_as_it_may_be_shown(tmp_path: Path) -> None:
    town = Town(tmp_path, format_=FolderFormat.XDM)
    receipt = town.write()
    town.keeper().keep()
    old = town.names()
    town.show_to("patient")
    town.keeper().keep()
    assert town.names(place="withdrawn") == old
    (archive,) = [name for name in town.names() if name.endswith(".zip")]
    metadata = zipfile.ZipFile(town.path() / archive).read("IHE_XDM/SUBSET01/METADATA.XML")
    assert b"INVISIBLE_PATIENT" in metadata
    town.take()
    town.round()
    assert town.house.states(receipt)["inbox"] == "integrated", "the letter is spoken for by the set that brought it"


def test_a_document_masked_after_it_was_imported_is_told_in_words(town: Town) -> None:
    town.write()
    town.keeper().keep()
    town.take()
    town.round()
    town.show_to("professionals", "patient")
    town.keeper().keep()
    (words,) = town.names()
    assert "(importé le" in " ".join((town.path() / words).read_text("cp1252").split())


def test_two_doctors_of_one_practice_get_one_copy_that_speaks_for_both(tmp_path: Path) -> None:
    town = Town(tmp_path, ("cab-1", "cab-2"))
    town.house.directory = with_practices(("cab-1", "cab-2"), inbox="cab-1")
    receipt = town.write(to=("cab-1", "cab-2"))
    town.keeper().keep()
    assert len([name for name in town.names() if name.endswith(".hpr")]) == 1
    assert outcomes(town) == ["new:lying:", "new:lying:"]
    town.take()
    town.round()
    assert set(town.house.states(receipt).values()) == {"integrated"}
    town.write(2, to=("cab-1", "cab-2"))
    town.keeper().keep()
    assert len([name for name in town.names() if name.endswith(".hpr")]) == 1


def test_another_process_at_work_in_the_folder_is_left_alone(town: Town) -> None:
    town.write()
    town.keeper().keep()
    town.write(number=2)
    from adapter.channels.drop_folder import PracticeFolder

    with PracticeFolder(town.path()).mine() as mine:
        assert mine
        assert town.keeper().keep() == 0
    assert town.keeper().keep() == 1


def test_the_same_publication_gives_the_same_bytes_in_another_process(town: Town, tmp_path: Path) -> None:
    town.write()
    town.keeper().keep()
    before = {name: (town.path() / name).read_bytes() for name in town.names()}
    (row,) = town.house.ledger.folder_sets("cab-1", [Standing.LYING], legal_entity=APHP_EJ)
    town.house.ledger.stand_folder_sets([row.publication_id], Standing.AGAIN, legal_entity=APHP_EJ)
    for name in before:
        (town.path() / name).unlink()
    town.house.clock.advance(days=2)
    town.new_keeper().keep()
    assert {name: (town.path() / name).read_bytes() for name in town.names()} == before
