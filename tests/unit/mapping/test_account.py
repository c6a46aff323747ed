"""The account of every source: each value is read, left aside for a reason, or told as left; who told an element is known."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pikepdf
import pytest

from adapter.fhir.locate import located
from adapter.fhir.validate import validate_bundle
from adapter.formats.hl7v2 import read_message
from adapter.mapping.account import Account, ignored_patterns
from adapter.mapping.from_cda import translate_cda, understand_cda
from adapter.mapping.from_fhir import inspect_fhir, understand_fhir
from adapter.mapping.from_form import understand_form
from adapter.mapping.from_hl7v2 import understand_hl7v2
from adapter.mapping.from_pdf import inspect_pdf_file, understand_pdf
from adapter.mapping.hl7.source import Hl7Source
from adapter.mapping.sources import JsonSource
from adapter.model.effects import Translation, UnreadNode
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.offline import report_of
from tests.builders.cda import build_ldl_ses, build_n1, tiny_pdf
from tests.builders.fhir_document import build_discharge_letter, send
from tests.builders.form import as_response, build_imaging_request, form_bytes
from tests.builders.hl7 import build_mdm

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SIDE_CAR: dict[str, Any] = {
    "patient": {"birth_name": "EXEMPLE", "first_given": "CAMILLE", "birth_date": "1974-09-18"},
    "document": {"type": "11490-0", "date": "2026-11-20", "title": "Lettre de sortie"},
    "author": {"family": "MAQUETTE", "rpps": "10009990001"},
    "recipients": [{"rpps": "10009990002", "name": "Dr X"}],
}


def _arrival(content: bytes, side_car: dict[str, Any] | None = None, form: str = "") -> Arrival:
    told = json.dumps(side_car).encode() if side_car else b""
    return Arrival(content, "folder:x", Principal("x", "folder", "940999900"), AT, side_car=told, form=form)


def _section(translation: Translation, title: str) -> str:
    composition: Any = translation.bundle["entry"][0]["resource"]  # type: ignore[index]
    return next((section["text"]["div"] for section in composition["section"] if section["title"] == title), "")


# -- parts -----------------------------------------------------------------------------------------------------------------------


def test_parts_of_a_source_add_up() -> None:
    node = UnreadNode("a")
    total = Account((node,), 2, {"x": 1}) + Account((), 3, {"x": 2, "y": 1})
    assert (total.unread, total.read_count, dict(total.ignored)) == ((node,), 5, {"x": 3, "y": 1})
    assert [(i.pattern, i.reason, i.count) for i in ignored_patterns({"x": "why", "z": "no"}, total.ignored)] == [("x", "why", 3)]


def test_each_value_of_json_counts_once_whatever_marks_it() -> None:
    source = JsonSource({"a": "1", "b": {"c": 2, "d": True}, "e": "", "f": [None, "x"]})
    source.ignore("b")
    source.root.select("b.c")[0].read()
    account = source.account()
    assert (account.read_count, dict(account.ignored)) == (1, {"b": 1})
    assert [(node.path, node.kind) for node in account.unread] == [("a", "text"), ("f[1]", "text")]


def test_each_value_of_a_message_counts_once_whatever_marks_it() -> None:
    source = Hl7Source(read_message(b"MSH|^~\\&|A|B\rPID|1||x&y^z~w\rZZZ|q|\r"))
    source.root.select("PID-3.1.1")[0].read()
    for path in ("PID-3", "ZZZ"):
        source.ignore(path)
    account = source.account()
    assert account.read_count == 1
    assert dict(account.ignored) == {"PID-3": 3, "ZZZ": 1}
    assert [node.path for node in account.unread] == ["MSH-3.1", "MSH-4.1", "PID-1.1"]


# -- messages --------------------------------------------------------------------------------------------------------------------


def _message(extra: bytes = b"") -> Translation:
    (translation,) = understand_hl7v2(_arrival(build_mdm(build_ldl_ses()) + extra), "r")
    return translation


def test_a_message_s_envelope_is_counted_with_its_document() -> None:
    inside = translate_cda(build_ldl_ses())
    whole = _message()
    segments = read_message(build_mdm(build_ldl_ses())).segments()
    places = ((segment, leaf) for segment in segments for leaf in segment.leaves() if segment.name != "MSH" or leaf[0] > 2)
    leaves = sum(segment.value(f, c, r, s).strip() not in ("", '""') for segment, (f, r, c, s) in places)
    patterns = {ignored.pattern: ignored for ignored in whole.ignored}
    envelope = sum(ignored.count for pattern, ignored in patterns.items() if pattern.startswith("MSH-"))
    assert envelope >= 5 and all(ignored.reason for ignored in whole.ignored)
    left = [node for node in whole.unread if node not in inside.unread]
    told = whole.read_count - inside.read_count
    aside = sum(i.count for i in whole.ignored) - sum(i.count for i in inside.ignored)
    assert told + aside + len(left) == leaves
    assert told > 20


def test_what_was_left_of_a_message_is_listed_in_the_document_and_in_the_report() -> None:
    translation = _message(b"ZZZ|perdu^deux\r")
    assert "ZZZ : 2 valeurs" in _section(translation, "Éléments du message non repris")
    assert validate_bundle(translation.bundle) == ()
    told: Any = report_of("x.hl7", translation, "1")
    assert {"ZZZ-1.1", "ZZZ-1.2"} <= {node["path"] for node in told["unread"]}
    assert any(row["pattern"] == "MSH-7" for row in told["ignored"])
    assert told["read"] == translation.read_count


def test_a_message_that_was_read_whole_adds_no_section() -> None:
    assert _section(_message(), "Éléments du message non repris") == "" or _message().unread


# -- PDF -------------------------------------------------------------------------------------------------------------------------


def _with_metadata(**names: str) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(tiny_pdf())) as pdf:
        for name, value in names.items():
            pdf.docinfo[f"/{name}"] = value
        pdf.save(out)
    return out.getvalue()


def _pdf(content: bytes, side_car: dict[str, Any]) -> Translation:
    (translation,) = understand_pdf(_arrival(content, side_car), "r")
    return translation


def test_every_key_of_a_side_car_counts_and_one_that_nobody_knows_is_told() -> None:
    known, more = _pdf(tiny_pdf(), SIDE_CAR), _pdf(tiny_pdf(), SIDE_CAR | {"note": "x", "autre": {"y": 1}})
    assert known.read_count == 8 + 2 + 1  # facts, the recipient's two, the file itself
    assert more.read_count == known.read_count
    assert [node.path for node in more.unread] == ["side-car note", "side-car autre.y"]


def test_metadata_of_a_file_are_listed_or_left_aside_by_name() -> None:
    translation = _pdf(_with_metadata(Title="Lettre", Producer="Logiciel 1", Trapped="False"), SIDE_CAR)
    assert [(node.path, node.excerpt) for node in translation.unread] == [("metadata.Title", "Lettre")]
    assert {ignored.pattern for ignored in translation.ignored} == {"metadata.Producer", "metadata.Trapped"}
    assert "Propriétés du fichier (Title) : 1 valeur" in _section(translation, "Éléments non repris")
    assert validate_bundle(translation.bundle) == ()


def test_a_second_word_on_a_fact_is_read_when_it_agrees_and_told_when_not() -> None:
    agreeing = SIDE_CAR | {"from_name": {"document.title": "lettre de sortie"}}
    other = SIDE_CAR | {"from_name": {"document.title": "Autre"}}
    assert _pdf(tiny_pdf(), agreeing).read_count == _pdf(tiny_pdf(), SIDE_CAR).read_count + 1
    (node,) = _pdf(tiny_pdf(), other).unread
    assert (node.path, node.reason) == ("nom du fichier document.title", "side-car document.title says otherwise")


def test_a_pdf_has_its_provenance_and_its_letter_is_compared_with_the_law_at_the_door_too() -> None:
    translation = _pdf(tiny_pdf(), SIDE_CAR)
    kinds = [entry["resource"]["resourceType"] for entry in translation.bundle["entry"]]  # type: ignore[attr-defined]
    assert kinds[-1] == "Provenance"
    states = {item.code: item.state for item in translation.legal}
    assert (states["patient"], states["medecin-traitant"]) == ("present", "missing")
    inspection = inspect_pdf_file(_arrival(tiny_pdf(), SIDE_CAR))
    assert inspection.verdict is Verdict.ACCEPTED
    said = {finding.code for finding in inspection.findings}
    assert {"legal.missing", "legal.not-checkable"} <= said
    assert said <= {finding.code for finding in translation.findings}


@pytest.mark.parametrize(
    ("kind", "element", "place"),
    [
        ("Patient", "birthDate", "side-car patient.birth_date"),
        ("Patient", "maritalStatus", "side-car patient.birth_name, side-car patient.first_given"),
        ("Practitioner", "identifier[0].value", "side-car author.rpps"),
        ("Composition", "type", "side-car document.type"),
    ],
)
def test_a_fault_of_a_described_pdf_names_who_told_it(kind: str, element: str, place: str) -> None:
    assert _place_of(_pdf(tiny_pdf(), SIDE_CAR), kind, element) == place


def test_a_fault_of_a_pdf_in_a_message_names_its_field() -> None:
    message = build_mdm(tiny_pdf()).replace(b"^XML^Base64", b"^pdf^Base64")
    (translation,) = understand_hl7v2(_arrival(message), "r")
    assert _place_of(translation, "Patient", "birthDate") == "PID-7"
    assert _place_of(translation, "Composition", "date") == "TXA-4"
    kinds = [entry["resource"]["resourceType"] for entry in translation.bundle["entry"]]  # type: ignore[attr-defined]
    assert "Provenance" in kinds


def _place_of(translation: Translation, kind: str, element: str) -> str:
    from adapter.model.finding import Finding, Severity

    entries: Any = translation.bundle["entry"]
    index = next(n for n, entry in enumerate(entries) if entry["resource"]["resourceType"] == kind)
    fault = Finding(Severity.ERROR, "x", "x", f"Bundle.entry[{index}].resource.{element}")
    return located((fault,), translation.bundle, translation.source_map)[0].source


# -- FHIR ------------------------------------------------------------------------------------------------------------------------


def _fhir(content: bytes, side_car: dict[str, Any] | None = None) -> Translation:
    (translation,) = understand_fhir(_arrival(content, side_car), "r")
    return translation


def _leaves(data: Any) -> int:
    if isinstance(data, dict):
        return sum(map(_leaves, data.values()))
    return sum(map(_leaves, data)) if isinstance(data, list) else int(data not in (None, ""))


def test_every_value_of_a_partner_s_document_is_kept_and_counted() -> None:
    content = send(build_discharge_letter())
    translation = _fhir(content)
    assert translation.unread == ()
    assert translation.read_count == _leaves(json.loads(content))
    provenance = [e["resource"] for e in translation.bundle["entry"] if e["resource"]["resourceType"] == "Provenance"]  # type: ignore[attr-defined]
    assert provenance[-1]["target"] == [{"reference": translation.bundle["entry"][0]["fullUrl"]}]  # type: ignore[index]
    assert validate_bundle(translation.bundle) == ()


def test_a_value_that_would_not_leave_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from adapter.mapping import from_fhir

    original = from_fhir._with_source

    def losing(bundle: dict[str, Any], binary: dict[str, Any]) -> dict[str, Any]:
        made = original(bundle, binary)
        patient = next(e for e in made["entry"] if e["resource"]["resourceType"] == "Patient")
        del patient["resource"]["birthDate"]
        return made

    monkeypatch.setattr(from_fhir, "_with_source", losing)
    translation = _fhir(send(build_discharge_letter()))
    (node,) = translation.unread
    assert node.path.endswith(".resource.birthDate")
    assert "Éléments non repris" in [s["title"] for s in translation.bundle["entry"][0]["resource"]["section"]]  # type: ignore[index]


def test_a_partner_s_letter_is_compared_with_the_law_at_the_door_and_after() -> None:
    content = send(build_discharge_letter())
    translation = _fhir(content)
    told = {f.code for f in inspect_fhir(_arrival(content)).findings}
    assert bool(translation.legal) is ("legal.present" in told)


def test_a_fault_of_a_partner_s_document_names_its_place_there() -> None:
    assert "Patient" in _place_of(_fhir(send(build_discharge_letter())), "Patient", "birthDate")


# -- side-car of a CDA, forms ----------------------------------------------------------------------------------------------------


def test_a_side_car_of_a_cda_is_accounted_too() -> None:
    side_car = {"recipients": [{"rpps": "10009990002"}], "patient": {"birth_name": "X"}, "urgency": "urgent"}
    (plain,) = understand_cda(_arrival(build_n1()), "r")
    (told,) = understand_cda(_arrival(build_n1(), side_car), "r")
    assert told.read_count == plain.read_count + 2
    assert [node.path for node in told.unread[len(plain.unread) :]] == ["side-car patient.birth_name"]


def test_every_answer_of_a_form_counts_and_what_a_response_holds_beside_is_left_aside_with_its_reason() -> None:
    answers = build_imaging_request()
    (translation,) = understand_form(_arrival(form_bytes(answers), form="demande-imagerie"), "r")
    assert translation.read_count + len(translation.unread) >= _leaves(answers)
    response = json.dumps(as_response(answers) | {"meta": {"versionId": "3"}, "authored": "2026"}).encode()
    (same,) = understand_form(_arrival(response, form="demande-imagerie"), "r")
    patterns = {ignored.pattern: ignored.reason for ignored in same.ignored}
    assert {"meta", "status", "questionnaire"} <= set(patterns) and all(patterns.values())
    assert "authored" in {node.path for node in same.unread}
