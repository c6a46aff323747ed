"""`tdu translate`, `tdu validate`, `tdu explain`: files in, results or reasons out."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.cda import build_ldl_ses
from tests.builders.form import build_imaging_request, form_bytes
from tests.unit.cli.conftest import Terminal

SUFFIXES = {"fhir": ".fhir.json", "cda": ".cda.xml", "xdm": ".IHE_XDM.zip", "pdf": ".pdf", "fax": ".tiff"}
BEGINNINGS = {"fhir": b'{"resourceType":"Bundle"', "cda": b"<", "xdm": b"PK", "pdf": b"%PDF-", "fax": b"II*"}


@pytest.fixture
def cda(tmp_path: Path) -> Path:
    path = tmp_path / "sortie.xml"
    path.write_bytes(build_ldl_ses())
    return path


@pytest.fixture
def form(tmp_path: Path) -> Path:
    path = tmp_path / "demande.json"
    path.write_bytes(form_bytes(build_imaging_request()))
    return path


# ── translate ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", ["letter", "cda", "form"])
def test_each_kind_of_file_becomes_each_rendition(
    source: str, target: str, tdu: Terminal, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file: Path = request.getfixturevalue(source)
    words = ["translate", file, "--to", target, "--out", tmp_path / "out"]
    if source == "form":
        words += ["--form", "demande-imagerie"]
    assert tdu(*words).exit_code == 0
    made = (tmp_path / "out" / f"{file.stem}{SUFFIXES[target]}").read_bytes()
    assert made.startswith(BEGINNINGS[target])


@pytest.mark.parametrize("source", ["letter", "cda"])
def test_a_letter_becomes_the_message_that_local_software_would_get(
    source: str, tdu: Terminal, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file: Path = request.getfixturevalue(source)
    assert tdu("translate", file, "--to", "mdm", "--out", tmp_path / "out").exit_code == 0
    assert b"|MDM^T02^MDM_T02|" in (tmp_path / "out" / f"{file.stem}.mdm.hl7").read_bytes()


def test_a_form_about_a_patient_without_any_number_is_no_message(form: Path, tdu: Terminal, tmp_path: Path) -> None:
    """PID-3 is required: software that got it would have nobody to file it under."""
    result = tdu("translate", form, "--form", "demande-imagerie", "--to", "mdm", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "mdm.no-patient-number" in result.output


def test_what_is_made_is_found_right_by_validate(cda: Path, tdu: Terminal, tmp_path: Path, told: Callable[..., Any]) -> None:
    for target in ("fhir", "cda", "xdm"):
        tdu("translate", cda, "--to", target, "--out", tmp_path / "out")
    rows = told("validate", *sorted((tmp_path / "out").iterdir()))
    assert {row["kind"] for row in rows} == {"FHIR Bundle", "CDA", "IHE_XDM.zip"}
    assert {row["verdict"] for row in rows} == {"ok"}


def test_without_a_folder_one_bundle_is_printed_alone(form: Path, tdu: Terminal) -> None:
    result = tdu("translate", form, "--form", "demande-imagerie")
    assert json.loads(result.stdout)["resourceType"] == "Bundle"
    assert "task.json" in result.stderr


def test_several_files_need_a_folder(letter: Path, cda: Path, tdu: Terminal) -> None:
    result = tdu("translate", letter, cda)
    assert result.exit_code == 2
    assert "--out" in result.stderr


def test_two_files_of_one_stem_do_not_overwrite_each_other(letter: Path, cda: Path, tdu: Terminal, tmp_path: Path) -> None:
    twin = cda.rename(letter.with_suffix(".xml"))
    assert tdu("translate", letter, twin, "--out", tmp_path / "out").exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"lettre.hl7.fhir.json", "lettre.xml.fhir.json"}


def test_two_files_of_one_name_are_not_put_in_one_folder(letter: Path, tdu: Terminal, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / letter.name).write_bytes(letter.read_bytes())
    assert tdu("translate", letter, other / letter.name, "--out", tmp_path / "out").exit_code == 2


def test_the_report_tells_what_was_read_and_what_was_refused(
    letter: Path, wrong_letter: Path, tdu: Terminal, tmp_path: Path
) -> None:
    report = tmp_path / "reports" / "report.json"
    result = tdu("translate", letter, wrong_letter, "--out", tmp_path / "out", "--report", report)
    assert result.exit_code == 1
    right, wrong = json.loads(report.read_text(encoding="utf-8"))
    assert {"unread", "warnings", "version", "mapping_revision"} <= set(right)
    assert (wrong["file"], wrong["refused"]["code"]) == (str(wrong_letter), "ins.wrong-key")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lettre.fhir.json"]


def test_an_unknown_zone_is_wrong_usage(letter: Path, tdu: Terminal) -> None:
    result = tdu("translate", letter, "--zone", "Mars/Olympus")
    assert result.exit_code == 2
    assert "Europe/Paris" in result.stderr


# ── validate ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_file_of_each_kind_is_named_and_right(letter: Path, cda: Path, form: Path, told: Callable[..., Any]) -> None:
    assert [(row["kind"], row["verdict"]) for row in told("validate", letter, cda)] == [("HL7 v2", "ok"), ("CDA", "ok")]
    assert [(row["kind"], row["verdict"]) for row in told("validate", form, "--form", "demande-imagerie")] == [("form", "ok")]


def test_a_wrong_message_is_refused_with_the_place(wrong_letter: Path, tdu: Terminal) -> None:
    result = tdu("validate", wrong_letter)
    assert result.exit_code == 1
    assert f"{wrong_letter}: refused (HL7 v2)\n" in result.stdout
    assert "error ins.wrong-key [PID-3]" in result.stdout


def test_each_question_left_unanswered_is_named(tmp_path: Path, told: Callable[..., Any]) -> None:
    path = tmp_path / "vide.json"
    path.write_text("{}")
    (row,) = told("validate", path, "--form", "demande-imagerie", status=1)
    places = {finding["location"] for finding in row["findings"]}
    assert {"patient.nom", "prescripteur.nom", "demande.urgence"} <= places


def test_a_bundle_whose_reference_leads_nowhere_is_refused(cda: Path, tdu: Terminal, tmp_path: Path) -> None:
    bundle = json.loads(tdu("translate", cda).stdout)
    bundle["entry"][0]["resource"]["subject"]["reference"] = "urn:uuid:00000000-0000-4000-8000-000000000000"
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle))
    result = tdu("validate", path)
    assert result.exit_code == 1
    assert "fhir.reference-nowhere" in result.stdout


def test_an_archive_whose_document_was_changed_is_refused(cda: Path, tdu: Terminal, tmp_path: Path) -> None:
    tdu("translate", cda, "--to", "xdm", "--out", tmp_path)
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(tmp_path / "sortie.IHE_XDM.zip") as good, zipfile.ZipFile(changed, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name) + (b" " if "DOC0" in name else b""))
    result = tdu("validate", changed)
    assert result.exit_code == 1
    assert "xdm.wrong-hash" in result.stdout


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<html/>", b"PK\x03\x04 cut short", b'{"resourceType": "Patient", "birthDate": 3}']
)
def test_what_is_not_right_is_never_ok_and_never_a_trace(content: bytes, tmp_path: Path, tdu: Terminal) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    result = tdu("validate", path)
    assert result.exit_code == 1
    assert ": refused (" in result.stdout


def test_two_files_of_one_name_are_both_told(letter: Path, tmp_path: Path, told: Callable[..., Any]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / letter.name).write_bytes(b"hello")
    rows = told("validate", letter, other / letter.name, status=1)
    assert [row["verdict"] for row in rows] == ["ok", "refused"]


# ── explain ───────────────────────────────────────────────────────────────────────────────────────────────────────


def legs(plans: list[dict[str, Any]]) -> list[list[str]]:
    return [[leg["channel"] for leg in recipient["legs"]] for plan in plans for recipient in plan["recipients"]]


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2020-03-01", ["fax"]), ("2027-02-28", ["fax"]), ("2027-03-01", ["mssante", "fax"])],
)
def test_a_centre_gets_mail_from_the_day_it_is_equipped(
    day: str, expected: list[str], instance: Path, told: Callable[..., Any]
) -> None:
    assert legs(told("explain", "--to", "99900000037", "--on", day)) == [expected]


@pytest.mark.parametrize("who", ["99900000060", "949990121"])
def test_an_rpps_and_a_finess_are_known(who: str, instance: Path, told: Callable[..., Any]) -> None:
    assert legs(told("explain", "--to", who)) == [["mssante", "fax"]]


def test_a_mailbox_outside_the_trusted_space_waits_for_a_person(instance: Path, told: Callable[..., Any]) -> None:
    (plan,) = told("explain", "--to", "dr@gmail.example")
    assert plan["recipients"][0]["parked_because"] == "untrusted-domain"


def test_a_document_is_planned_for_those_it_names(instance: Path, letter: Path, tdu: Terminal) -> None:
    result = tdu("explain", letter)
    assert result.exit_code == 0
    assert "ARCHETYPE" in result.stdout
    assert "messagerie sécurisée" in result.stdout


def test_a_plan_without_document_says_what_it_cannot_know(instance: Path, letter: Path, tdu: Terminal) -> None:
    assert "Sans document, le patient est inconnu" in tdu("explain", "--to", "99900000060").stdout
    assert "Sans document" not in tdu("explain", letter).stdout


def test_a_channel_of_the_plan_that_is_not_configured_is_told(instance: Path, tdu: Terminal) -> None:
    assert "[channels.mssante] n'est pas configuré ici" in tdu("explain", "--to", "99900000060").stdout
    assert "[channels.mssante]" not in tdu("explain", "--to", "99900000037", "--on", "2020-03-01").stdout


@pytest.mark.parametrize(
    "words", [[], ["--to", "12"], ["--to", "99900000037", "--on", "tomorrow"], ["--to", "99900000037", "--entity", "123456789"]]
)
def test_a_question_that_is_not_clear_is_wrong_usage(words: list[str], instance: Path, tdu: Terminal) -> None:
    assert tdu("explain", *words).exit_code == 2


def test_a_document_that_a_door_would_refuse_has_no_plan(instance: Path, wrong_letter: Path, tdu: Terminal) -> None:
    result = tdu("explain", wrong_letter)
    assert result.exit_code == 1
    assert "ins.wrong-key" in result.stderr
