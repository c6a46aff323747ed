"""The account inside the document: who made it, what was left, and the way from a fault back to the source."""

from __future__ import annotations

from typing import Any

from adapter.fhir.account import Maker, with_account
from adapter.fhir.locate import located
from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import translate_cda
from adapter.model.effects import UnreadNode
from adapter.model.finding import Finding, Severity
from tests.builders.cda import build_ldl_ses

Bundle = dict[str, Any]
UNREAD = (
    UnreadNode("recordTarget/patientRole/x/@code"),
    UnreadNode("component/structuredBody/component[2]/section/entry/x/@code"),
    UnreadNode("component/structuredBody/component[2]/section/entry/y/@value"),
    UnreadNode("component/structuredBody/component[99]/section/entry/y/@value"),
)


def _letter() -> Bundle:
    return translate_cda(build_ldl_ses()).bundle


def _of(bundle: Bundle, kind: str) -> Bundle:
    found: Bundle = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)
    return found


def _source(bundle: Bundle) -> str:
    return str([e["resource"]["id"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Binary"][-1])


def test_a_document_tells_who_made_it_from_what_and_bears_no_clock() -> None:
    first, again = _letter(), _letter()
    assert first == again
    provenance = _of(first, "Provenance")
    assert provenance["recorded"] == first["timestamp"]
    (entity,) = provenance["entity"]
    assert entity["what"] == {"reference": f"urn:uuid:{_source(first)}", "identifier": first["identifier"]}
    assert provenance["target"] == [{"reference": first["entry"][0]["fullUrl"]}]
    (device,) = provenance["contained"]
    assert [version["type"]["text"] for version in device["version"]] == ["logiciel", "correspondances"]


def test_what_was_left_is_counted_by_place_and_the_source_is_named() -> None:
    bundle = _letter()
    source = _source(bundle)
    told = with_account(bundle, source, "00000000-0000-5000-8000-000000000000", Maker("1", "r"), UNREAD)
    section = _of(told, "Composition")["section"][-1]
    title = _of(bundle, "Composition")["section"][1]["title"]
    assert section["title"] == "Éléments non repris"
    for words in (
        "4 valeurs du document source",
        "En-tête (recordTarget) : 1 valeur<",
        f"Section « {title} » : 2 valeurs",
        "Corps",
    ):
        assert words in section["text"]["div"]
    assert section["entry"] == [{"reference": f"urn:uuid:{source}"}]
    told["entry"] = [e for e in told["entry"] if e["resource"]["id"] != "00000000-0000-5000-8000-000000000000"]
    assert validate_bundle(told) == ()


def test_a_document_that_was_read_whole_has_no_such_section() -> None:
    bundle = _letter()
    told = with_account(bundle, _source(bundle), "x", Maker("1", "r"), ())
    assert _of(told, "Composition") == _of(bundle, "Composition")


def test_long_lists_of_places_are_cut_and_say_so() -> None:
    left = [UnreadNode(f"part{n}/x/@code") for n in range(60)]
    bundle = _letter()
    section = _of(with_account(bundle, _source(bundle), "x", Maker("1", ""), left), "Composition")["section"][-1]
    assert section["text"]["div"].count("<li>") == 41
    assert "et 20 autres endroits" in section["text"]["div"]


def test_each_fault_names_the_node_that_it_comes_from() -> None:
    translated = translate_cda(build_ldl_ses())
    bundle: Bundle = translated.bundle
    expected = {"Patient": "recordTarget/patientRole", "Encounter": "componentOf/encompassingEncounter"}
    _of(bundle, "Patient")["birthDate"] = "hier"
    _of(bundle, "Encounter")["status"] = "banana"
    observation = _of(bundle, "Observation")
    observation["status"] = "banana"
    composition = _of(bundle, "Composition")
    composition["section"][2]["title"] = ""
    composition["custodian"] = {"reference": "urn:uuid:gone"}
    found = located(validate_bundle(bundle), bundle, translated.source_map)
    sources = {f.source for f in found}
    assert set(expected.values()) <= sources
    assert {"component/structuredBody/component[3]/section", "custodian"} <= sources
    assert any("/entry[" in source for source in sources)


def test_a_fault_outside_any_resource_has_no_source() -> None:
    fault = Finding(Severity.ERROR, "x", "x", "Bundle.identifier")
    assert located((fault,), {"entry": []}, {}) == (fault,)
    beyond = Finding(Severity.ERROR, "x", "x", "Bundle.entry[3].resource")
    assert located((beyond,), {"entry": []}, {}) == (beyond,)


def test_a_person_comes_from_the_node_that_names_them_first() -> None:
    translated = translate_cda(build_ldl_ses())
    people = [e["resource"]["id"] for e in translated.bundle["entry"] if e["resource"]["resourceType"] == "Practitioner"]
    places = {translated.source_map[person] for person in people}
    assert "participant[1]/associatedEntity" in places
    assert any(place.startswith("author") for place in places)


def test_the_account_counts_what_was_read_and_ignored() -> None:
    translated = translate_cda(build_ldl_ses())
    assert translated.read_count > 300
    patterns = {ignored.pattern: ignored for ignored in translated.ignored}
    assert patterns["**/@codeSystemName"].count > 0
    assert all(ignored.reason for ignored in translated.ignored)
