"""Treatments: every way of saying how often, until when, if, why; what FHIR cannot say becomes words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from adapter.fhir.bundle import resources_of
from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import CdaTranslation, translate_cda
from tests.builders.cda import build_ldl_ses

Bundle = dict[str, Any]


def _translated(*changes: tuple[str, str]) -> CdaTranslation:
    text = build_ldl_ses().decode()
    start = text.index("<substanceAdministration", text.index("Traitements à la sortie"))
    end = text.index("</substanceAdministration>", start)
    treatment = text[start:end]
    for old, new in changes:
        assert old in treatment, old
        treatment = treatment.replace(old, new, 1)
    found = translate_cda((text[:start] + treatment + text[end:]).encode())
    assert validate_bundle(found.bundle) == ()
    return found


def _treatment(*changes: tuple[str, str]) -> Bundle:
    found = _translated(*changes)
    assert [node.path for node in found.unread] == []
    made: Bundle = resources_of(found.bundle, "MedicationStatement")[1]
    return made


def _times() -> list[str]:
    """The two effectiveTime of the treatment as written: how long, how often."""
    text = build_ldl_ses().decode()
    return re.findall(r"<effectiveTime.*?</effectiveTime>", text[text.index('MED-B1"/>') :], re.DOTALL)[:2]


def _time(content: str, kind: str, more: str = "") -> str:
    return f'<effectiveTime xsi:type="{kind}" operator="A"{more}>{content}</effectiveTime>'


SAID = '<period value="6" unit="h"><translation><originalText>4 fois par jour</originalText></translation></period>'
OFFSET = '<event code="ACM"/><offset><low value="1" unit="h"/><high value="1" unit="h"/></offset>'
MEALS = '<comp xsi:type="EIVL_TS"><event code="CM"/></comp><comp xsi:type="EIVL_TS" operator="I"><event code="CV"/></comp>'
BOUNDED = (
    '<comp xsi:type="IVL_TS"><low value="20261120"/><width value="3" unit="d"/></comp>'
    '<comp xsi:type="PIVL_TS" operator="A"><period value="8" unit="h"/></comp>'
)
FREQUENCIES: dict[str, tuple[str, Bundle]] = {
    "every two days": (
        _time('<period value="2" unit="d"/>', "PIVL_TS"),
        {"repeat": {"frequency": 1, "period": 2, "periodUnit": "d"}},
    ),
    "a French unit": (_time('<period value="1" unit="J"/>', "PIVL_TS"), {"code": {"text": "toutes les 1 J"}}),
    "with its words": (
        _time(SAID, "PIVL_TS", ' institutionSpecified="true"'),
        {"repeat": {"frequency": 1, "period": 6, "periodUnit": "h"}, "code": {"text": "4 fois par jour"}},
    ),
    "at bedtime": (_time('<event code="HS"/>', "EIVL_TS"), {"repeat": {"when": ["HS"]}}),
    "an hour before breakfast": (_time(OFFSET, "EIVL_TS"), {"repeat": {"when": ["ACM"], "offset": 60}}),
    "between meals": (
        _time('<event code="ICD" displayName="entre les repas"/>', "EIVL_TS"),
        {"code": {"text": "entre les repas"}},
    ),
    "morning and evening": (_time(MEALS, "SXPR_TS"), {"repeat": {"when": ["CM", "CV"]}}),
    "for three days": (
        _time(BOUNDED, "SXPR_TS"),
        {"repeat": {"boundsPeriod": {"start": "2026-11-20"}, "frequency": 1, "period": 8, "periodUnit": "h"}},
    ),
    "on a day": ('<effectiveTime operator="A" value="20261121"/>', {"event": ["2026-11-21"]}),
}


@pytest.mark.parametrize("how", FREQUENCIES)
def test_each_way_of_saying_how_often_is_understood(how: str) -> None:
    frequency, expected = FREQUENCIES[how]
    (dosage,) = _treatment((_times()[1], frequency))["dosage"]
    assert dosage["timing"] == expected


def test_what_a_set_of_times_excludes_is_not_told_as_included() -> None:
    excluded = '<comp xsi:type="EIVL_TS"><event code="CM"/></comp><comp xsi:type="EIVL_TS" operator="E"><event code="CV"/></comp>'
    found = _translated((_times()[1], _time(excluded, "SXPR_TS")))
    made = resources_of(found.bundle, "MedicationStatement")[1]
    assert made["dosage"][0]["timing"] == {"repeat": {"when": ["CM"]}}
    (kept,) = [e for e in made["extension"] if e["url"].endswith("cda-effectiveTime")]
    (excluded_part,) = [e for e in kept["extension"] if e["url"] == "comp"]
    assert {"url": "operator", "valueString": "E"} in excluded_part["extension"]
    assert found.unread == ()


def test_a_treatment_known_by_its_length_only_has_a_duration() -> None:
    length = '<effectiveTime xsi:type="IVL_TS"><width value="7" unit="d"/></effectiveTime>'
    made = _treatment((_times()[0], length))
    assert "effectivePeriod" not in made
    assert made["dosage"][0]["timing"]["repeat"]["boundsDuration"]["value"] == 7


SUB = (
    '<entryRelationship typeCode="COMP"><sequenceNumber value="1"/><substanceAdministration classCode="SBADM" moodCode="INT">'
    '<effectiveTime xsi:type="IVL_TS"><low value="20261124"/></effectiveTime><doseQuantity><low value="2" unit="{tbl}"/>'
    '<high value="3" unit="{tbl}"/></doseQuantity></substanceAdministration></entryRelationship>'
)
REASON = (
    '<entryRelationship typeCode="RSON"><act classCode="ACT" moodCode="EVN"><templateId root="1.2.250.1.213.1.1.3.36"/>'
    '<id root="1.2.9"/><code code="J18.9" codeSystem="2.16.840.1.113883.6.3" displayName="Pneumopathie"/></act>'
    "</entryRelationship>"
)
INSTRUCTION = (
    '<entryRelationship typeCode="SUBJ"><act classCode="ACT" moodCode="INT"><templateId root="1.2.250.1.213.1.1.3.33"/>'
    '<code code="PINSTRUCT" codeSystem="1.3.5.1.4.1.19376.1.5.3.2"/><text>Au milieu du repas</text><statusCode code="completed"/>'
    "</act></entryRelationship>"
)
COMMENT = (
    '<entryRelationship typeCode="SUBJ" inversionInd="true"><act classCode="ACT" moodCode="EVN"><templateId '
    'root="1.2.250.1.213.1.1.3.32"/><code code="48767-8" codeSystem="2.16.840.1.113883.6.1"/><text>Générique refusé</text>'
    '<statusCode code="completed"/><author><time value="20261120"/><assignedAuthor><assignedPerson><name><family>NOTE</family>'
    "</name></assignedPerson></assignedAuthor></author></act></entryRelationship>"
)
CONDITION = "<precondition><criterion><text>si fièvre</text></criterion></precondition>"


def test_reason_instruction_comment_and_condition_have_their_place() -> None:
    made = _treatment(("</consumable>", "</consumable>" + REASON + INSTRUCTION + COMMENT + CONDITION))
    assert made["reasonCode"][0]["coding"][0]["code"] == "J18.9"
    (note,) = made["note"]
    assert (note["authorString"], note["time"], note["text"]) == ("NOTE", "2026-11-20", "Générique refusé")
    (dosage,) = made["dosage"]
    assert dosage["patientInstruction"] == "Au milieu du repas"
    assert dosage["asNeededCodeableConcept"] == {"text": "si fièvre"}


def test_a_dose_that_changes_is_a_further_dosage() -> None:
    found = _translated(("</consumable>", "</consumable>" + SUB))
    made = resources_of(found.bundle, "MedicationStatement")[1]
    assert [d["sequence"] for d in made["dosage"]] == [1, 2]
    assert made["dosage"][1]["doseAndRate"][0]["doseRange"]["high"]["value"] == 3


def test_a_treatment_without_a_code_is_known_by_its_words() -> None:
    text = build_ldl_ses().decode()
    start = text.rindex(
        "<code", 0, text.index("69990002", text.index("manufacturedMaterial", text.index("Traitements à la sortie")))
    )
    end = text.index("</code>", start) + len("</code>")
    made = _treatment((text[start:end], '<code nullFlavor="NAV"/>'))
    assert made["medicationCodeableConcept"] == {"text": "MODELICILLINE 1 g, comprimé"}


def test_an_intended_treatment_is_intended() -> None:
    assert _treatment(('moodCode="EVN"', 'moodCode="INT"'))["status"] == "intended"
