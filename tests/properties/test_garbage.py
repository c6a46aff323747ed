"""Garbage raises only our errors, in time that grows with its size; what is written by hand never reaches a text of ours."""

from __future__ import annotations

import io
import logging
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from adapter.config import Logging, load_config
from adapter.config.load import example_text
from adapter.data import partners_root
from adapter.errors import ConfigurationError, InputError, TduError
from adapter.fhir.validate import validate_bundle
from adapter.formats.cda import read_cda
from adapter.formats.detect import detect_content
from adapter.formats.form import parse_form
from adapter.formats.hl7v2 import read_message
from adapter.formats.mllp_frames import FrameReader
from adapter.mapping.fax_pages import read_fax
from adapter.mapping.kinds import ENVELOPES, INSPECTORS, READERS
from adapter.mapping.side_car import read_side_car
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from adapter.offline import Target, render
from adapter.packaging.fax_codes import Room, place_codes
from adapter.packaging.parcel import SenderProfile
from adapter.pipeline.judge import InstanceRules, Judge
from adapter.routing.directory import load_directory
from adapter.service.logs import configure_logs
from adapter.validation import validate_file
from tests.builders.cda import SamplePatient, build_ldl_ses, build_n1, tiny_pdf
from tests.builders.fhir_document import build_entry_letter, send
from tests.builders.form import as_response, build_imaging_request, form_bytes
from tests.builders.hl7 import build_mdm, build_oru

pytestmark = [pytest.mark.properties, pytest.mark.timeout(180)]

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ENTITY = "750712184"
PARTNERS = {name: (partners_root() / name).read_bytes() for name in ("reference-territory.toml", "units.csv")}
DIRECTORY = load_directory(PARTNERS)
JUDGE = Judge(
    INSPECTORS,
    ENVELOPES,
    lambda: DIRECTORY,
    InstanceRules(production=False, repeat_window=timedelta(days=7)),
    clock=lambda: NOW,
    new_id=lambda: "00000000-0000-4000-8000-000000000001",
)
SENDER = SenderProfile("750712184", "Émetteur", "750712184", "a@aphp.formation.mssante.fr", "Émetteur", "1.2.250.1.999.94.1", "x")
SEEDS = (
    build_mdm(build_n1()),
    build_oru(build_n1()),
    build_n1(),
    build_ldl_ses(),
    form_bytes(build_imaging_request()),
    send(build_entry_letter()),
    tiny_pdf(),
    form_bytes(as_response(build_imaging_request())),
)


def _fax() -> bytes:
    """Two small pages as a line brings them, one with a code."""
    written, coded = Image.new("1", (864, 600), 255), Image.new("1", (864, 600), 255)
    ImageDraw.Draw(written).text((100, 100), "Courrier", fill=0)
    (code,) = place_codes([b"TDUF" + bytes(40)], Room(864, 20, 600))[0]
    coded.paste(code[0].resize((560, 560)), (20, 20))
    out = io.BytesIO()
    written.save(out, "TIFF", compression="group4", save_all=True, append_images=[coded])
    return out.getvalue()


FAX = _fax()
# What parsers trip over: controls, other alphabets' figures, numbers out of range, signs of each format.
TOKENS = (
    b"", b"\x00", b"\x0b", b"\x1c", b"\xff", b"\r", b"\n", "²".encode(), "١".encode(), "\u2028".encode(), "\ufffe".encode(),
    "\U0001f600".encode(), b"-1", b"0", b"9" * 30, b"9" * 5000, b"1e400", b"NaN", b"null", b"[]", b"{}", b'"', b"|", b"^", b"~",
    b"\\", b"&", b"\\XFF\\", b"\\.br\\", b"\\ud800", b"&#1;", b"&amp;", b"<!DOCTYPE a>", b"<?x?>", b"<!--", b"]]>", b"</", b"/>",
    b"00000000", b"2026-02-30", b"99991231235959-1400", b"00010101000000+1400", b" " * 300, b"A" * 5000, b"[" * 3000, b"2A",
)  # fmt: skip
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.sampled_from(TOKENS)), min_size=1, max_size=6)
ANYTHING = st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode))


def damaged(content: bytes, cuts: list[tuple[float, int, bytes]]) -> bytes:
    """Some bytes replaced at some places."""
    for where, length, token in cuts:
        at = int(where * len(content))
        content = content[:at] + token + content[at + length :]
    return content


def arrival(content: bytes, side_car: bytes = b"", *, form: str = "") -> Arrival:
    principal = Principal("p", "application", ENTITY)
    return Arrival(content, "http" if form else "folder:x", principal, NOW, side_car=side_car, form=form, zone="Europe/Paris")


def take(one: Arrival) -> None:
    """Accept and prepare as the service does: a judge never raises, a translation raises only our errors."""
    judged = JUDGE.judge(one)
    assert judged.new_receipt.answer
    if judged.inspection.verdict is not Verdict.ACCEPTED:
        return
    try:
        for translation in READERS[judged.inspection.kind](one, "r"):
            validate_bundle(translation.bundle)
    except TduError:
        return


@given(ANYTHING, st.sampled_from(["", "demande-imagerie"]))
@example(b"MSH", "")
@example(b"MSH|", "")
@example(b"MSH|^~\\&|" + b"|" * 30, "")
@example(b"\xff\xfe<\x00", "")
def test_a_judge_takes_any_bytes(content: bytes, form: str) -> None:
    take(arrival(content, form=form))


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(SEEDS), CUTS)
def test_a_damaged_document_is_refused_or_read(seed: bytes, cuts: list[tuple[float, int, bytes]]) -> None:
    take(arrival(damaged(seed, cuts)))


@settings(max_examples=60, deadline=None)
@given(CUTS)
def test_a_damaged_fax_is_read_as_far_as_it_goes_and_raises_nothing(cuts: list[tuple[float, int, bytes]]) -> None:
    content = damaged(FAX, cuts)
    assert JUDGE.judge(replace(arrival(content), door="fax:x")).new_receipt.answer
    reading = read_fax(content, "r", lambda _slug: None)
    assert reading.pages or reading.problem


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([build_n1(), build_ldl_ses()]), CUTS)
def test_a_damaged_document_in_a_message_is_refused_or_read(seed: bytes, cuts: list[tuple[float, int, bytes]]) -> None:
    take(arrival(build_mdm(damaged(seed, cuts))))


@pytest.mark.parametrize("read", [read_message, read_cda, parse_form, read_side_car], ids=lambda f: f.__name__)
@given(content=ANYTHING)
def test_a_reader_raises_only_our_error(read: Callable[[bytes], object], content: bytes) -> None:
    try:
        read(content)
    except InputError:
        detect_content(content)


@given(st.lists(ANYTHING, max_size=5))
def test_frames_are_cut_from_any_stream(parts: list[bytes]) -> None:
    reader = FrameReader(100)
    seen = [frame for part in parts for frame in reader.feed(part)] + reader.finish()
    assert sum(len(frame.content) for frame in seen) <= sum(map(len, parts))


@settings(deadline=None)
@given(CUTS)
def test_a_damaged_side_car_is_refused_or_read(cuts: list[tuple[float, int, bytes]]) -> None:
    whole = (
        b'{"recipients": [{"rpps": "10009990002", "finess": "940999902", "address": "a@b.fr", "name": "x"}], "urgency": "urgent"}'
    )
    take(arrival(build_n1(), damaged(whole, cuts)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=CUTS)
def test_a_damaged_configuration_is_refused_or_read(tmp_path: Path, cuts: list[tuple[float, int, bytes]]) -> None:
    file = tmp_path / "tdu.toml"
    file.write_bytes(damaged(example_text().encode(), cuts))
    try:
        load_config(file, {})
    except ConfigurationError:
        return


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PARTNERS)), CUTS)
def test_a_damaged_partners_file_is_refused_or_read(name: str, cuts: list[tuple[float, int, bytes]]) -> None:
    try:
        load_directory(PARTNERS | {name: damaged(PARTNERS[name], cuts)})
    except ConfigurationError:
        return


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FHIR_KEYS := [
            "resourceType", "entry", "resource", "fullUrl", "section", "text", "div", "identifier", "system", "value", "type",
            "reference", "subject", "status",
        ]), inner, max_size=4),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict)),
    st.sampled_from(["Bundle", "Composition", "Patient"]),
)  # fmt: skip
def test_a_resource_of_any_shape_is_judged(resource: dict[str, object], kind: str) -> None:
    for one in (
        resource | {"resourceType": kind},
        {"resourceType": "Bundle", "type": "document", "entry": [resource, {"resource": resource}]},
    ):
        validate_bundle(one)


# ── archives ──────────────────────────────────────────────────────────────────────────────────────────────────────


def archive(method: int, *files: tuple[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as whole:
        for name, content in files:
            whole.writestr(name, content)
    return held.getvalue()


@settings(deadline=None)
@given(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]), CUTS)
def test_a_damaged_archive_is_told(method: int, cuts: list[tuple[float, int, bytes]]) -> None:
    whole = archive(
        method, ("IHE_XDM/SUBSET01/METADATA.XML", b"<a>" + bytes(range(32, 127)) * 5 + b"</a>"), ("README.TXT", b"x" * 99)
    )
    with suppress(InputError):  # nobody can say what it is
        assert validate_file(damaged(whole, cuts), "", "Europe/Paris", NOW)


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked() -> None:
    bomb = archive(zipfile.ZIP_DEFLATED, *((f"{n}", bytes(30_000_000)) for n in range(4)))
    [finding] = validate_file(bomb, "", "Europe/Paris", NOW)
    assert finding.code == "xdm.too-large"


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

MDM, LETTER = build_mdm(build_n1()), build_ldl_ses()
MILLION = 1_000_000
BOMBS = {
    "fields of MSH": lambda: MDM.split(b"\r")[0] + b"|" * (10 * MILLION),
    "fields": lambda: MDM.replace(b"PID|", b"PID|" + b"|" * (10 * MILLION)),
    "repetitions": lambda: MDM.replace(b"PID|||", b"PID|||" + b"~" * MILLION),
    "subcomponents": lambda: MDM.replace(b"PID|||", b"PID|||" + b"1&" * 90_000),
    "components": lambda: MDM.replace(b"PID|||", b"PID|||" + b"1^" * 90_000),
    "escape signs": lambda: MDM.replace(b"PID|||", b"PID|||" + b"\\" * (10 * MILLION)),
    "escapes": lambda: MDM.replace(b"PID|||", b"PID|||" + b"\\X41" * (2 * MILLION)),
    "segments": lambda: MDM + b"NTE|\r" * (2 * MILLION),
    "segments just allowed": lambda: MDM + b"PRT||UC||RCT\r" * 1_900,
    "lines": lambda: MDM + b"\r" * (10 * MILLION),
    "line feeds": lambda: MDM + b"\n" * (10 * MILLION),
    "blanks before": lambda: b"\x0b" * (10 * MILLION) + MDM,
    "Base64": lambda: build_mdm(b"A" * (20 * MILLION)),
    "wrapped Base64": lambda: MDM.replace(b"^Base64^", b"^Base64^" + b"\\.br\\" * (2 * MILLION)),
    "comments": lambda: b"<!---->" * MILLION + LETTER,
    "declarations": lambda: b"<?xml " + b"encoding " * MILLION + b"?>" + LETTER,
    "brackets": lambda: b"<!DOCTYPE a [" + b"] " * (5 * MILLION),
    "elements": lambda: LETTER.replace(b"</ClinicalDocument>", b"<x/>" * (3 * MILLION) + b"</ClinicalDocument>"),
    "attributes": lambda: b"<ClinicalDocument " + b" ".join(b"a%d=''" % n for n in range(MILLION)) + b"/>",
    "depth": lambda: b"<ClinicalDocument xmlns='urn:hl7-org:v3'>" + b"<a>" * (3 * MILLION),
    "entities": lambda: b"<!DOCTYPE a [<!ENTITY a 'aaaa'>]><ClinicalDocument>" + b"&a;" * MILLION,
    "JSON depth": lambda: b'{"a":' * (2 * MILLION),
    "JSON keys": lambda: b"{" + b",".join(b'"k%d":1' % n for n in range(90_000)) + b"}",
    "JSON list": lambda: b'{"examens":[' + b",".join([b"{}"] * 300_000) + b"]}",
    "JSON answers": lambda: form_bytes(as_response(build_imaging_request()) | {"item": [{"linkId": "numero"}] * 40_000}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_ten_megabytes_of_small_tokens_take_seconds_and_little_memory(name: str) -> None:
    content = BOMBS[name]()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    began, before = time.process_time(), _megabytes("VmRSS")
    take(arrival(content))
    assert time.process_time() - began < 12
    assert _megabytes("VmHWM") - before < 500


def _megabytes(line: str) -> int:
    """What this process holds, or held at most: /proc says it, since nothing else counts what C code takes."""
    return int(Path("/proc/self/status").read_text().partition(f"{line}:")[2].split()[0]) // 1024


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_LETTERS = st.characters(categories=["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Nd"], codec="utf-8")
NAMES = st.text(_LETTERS, min_size=3, max_size=12).map(lambda word: f"Zz{word}zZ")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
def test_a_name_in_any_script_never_reaches_a_log_nor_a_text_of_ours(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """By message, by document and by form; well formed, and damaged so that each reader meets it."""
    configure_logs(Logging())
    said: list[str] = []
    patient = SamplePatient(birth_name=name, first_given=name, birth_given_names=name, used_name=name)
    form = build_imaging_request(**{"patient.nom": name, "patient.prenom": name, "demande.but": name})
    n1 = build_n1(patient=patient, title=name)
    whole = [build_mdm(n1, patient=patient), n1, build_ldl_ses(patient=patient), form_bytes(form), form_bytes(as_response(form))]
    broken = [content.replace(name.encode(), name.encode() + b"|\x01\\ud800<") for content in whole]
    for content in (*whole, *broken):
        said += _told(arrival(content))
    out, err = capfd.readouterr()
    assert name not in "".join((*said, out, err))


def _told(one: Arrival) -> list[str]:
    """Everything that is said of an arrival: findings, answers, reprs, errors."""
    judged = JUDGE.judge(one)
    structlog.get_logger().info("judged", arrival=one, judged=judged)
    said = [repr(judged), repr(judged.inspection.findings), judged.new_receipt.answer.decode(), repr(one)]
    if judged.inspection.verdict is not Verdict.ACCEPTED:
        return said
    try:
        for translation in READERS[judged.inspection.kind](one, "r"):
            said += [repr(translation), repr(translation.submission), repr(translation.findings)]
            said += [repr(finding) for finding in validate_bundle(translation.bundle)]
            said.append(repr(render(translation, Target.CDA, SENDER, NOW)))
    except TduError as error:
        said += [str(error), repr(error)]
    return said


def test_what_a_library_says_is_told_without_its_words(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs(Logging())
    try:
        int("ZZPRIVATE")
    except ValueError:
        logging.getLogger("some.library").exception("could not read %s", "ZZPRIVATE")
    err = capfd.readouterr().err
    assert "ZZPRIVATE" not in err
    assert "some.library" in err and "ValueError" in err


def test_every_seed_meets_a_reader_and_every_content_known_has_one() -> None:
    assert {detect_content(seed) for seed in SEEDS} <= set(READERS)
    # A correction is an order of our own: it comes by no door, and the pipeline carries it out. A fax is joined with what came by
    # other calls, so the pipeline reads it with the ledger; its pages meet garbage above.
    assert set(READERS) == set(ContentKind) - {ContentKind.UNKNOWN, ContentKind.CORRECTION, ContentKind.FAX}
