"""Over generated letters: FHIR to CDA and back keeps every value, twice gives the same, and the narrative stays whole."""

from __future__ import annotations

import string
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapter.fhir import profiles as p
from adapter.fhir.narrative import div_of_narrative
from adapter.mapping.from_cda import translate_cda
from adapter.packaging.cda_out.narrative import Anchors, Narrative
from adapter.packaging.cda_out.xml import V3
from tests.builders.fhir_document import (
    DISCHARGE_LETTER,
    build_discharge_letter,
    concept,
    medication,
    observation,
    send,
    subject_of,
)
from tests.unit.packaging.test_cda_structured import _stay, again, read

pytestmark = pytest.mark.properties

SUBJECT = subject_of(DISCHARGE_LETTER)
_SIGNS = string.ascii_letters + "éèà '-0123456789"
WORDS = st.text(alphabet=_SIGNS, min_size=1, max_size=30).map(lambda text: " ".join(text.split())).filter(bool)
DAYS = st.dates(min_value=date(1950, 1, 1), max_value=date(2099, 12, 31)).map(str)
DATES = st.builds(lambda day, cut: (f"{day}T10:30:00+01:00")[:cut], DAYS, st.sampled_from([4, 7, 10, 25]))
NUMBERS = st.integers(1, 99_999).map(lambda n: n / 100)
UNITS = st.sampled_from(["mg", "g/L", "mmol/L", "kg", "{tbl}", "%"])
CONCEPTS = st.builds(
    concept,
    st.sampled_from([p.LOINC, p.SNOMED, p.ATC, p.CIM10]),
    st.text(alphabet=string.ascii_uppercase + string.digits, min_size=2, max_size=9),
    WORDS,
    WORDS,
)
QUANTITIES = st.builds(lambda value, unit: {"value": value, "unit": unit, "system": p.UCUM, "code": unit}, NUMBERS, UNITS)
VALUES = st.one_of(
    WORDS.map(lambda text: {"valueString": text}),
    st.booleans().map(lambda truth: {"valueBoolean": truth}),
    QUANTITIES.map(lambda quantity: {"valueQuantity": quantity}),
    CONCEPTS.map(lambda code: {"valueCodeableConcept": code}),
    DATES.map(lambda moment: {"valueDateTime": moment}),
)
OBSERVATIONS = st.builds(
    lambda code, value, when, note: observation(SUBJECT, code, effectiveDateTime=when, note=[{"text": note}], **value),
    CONCEPTS,
    VALUES,
    DATES,
    WORDS,
)
DOSAGES = st.builds(
    lambda period, unit, dose, rate, words: {
        "patientInstruction": words,
        "timing": {"repeat": {"frequency": 1, "period": period, "periodUnit": unit}},
        "route": concept("http://standardterms.edqm.eu", "20053000", "Voie orale"),
        "doseAndRate": [{"doseQuantity": dose, "rateQuantity": rate}],
    },
    st.integers(1, 48),
    st.sampled_from(["h", "d", "wk"]),
    QUANTITIES,
    QUANTITIES,
    WORDS,
)
MEDICINES = st.builds(
    lambda name, dosage, days, why, note: medication(
        SUBJECT, name, dosage=[dosage], effectivePeriod=dict(zip(("start", "end"), sorted(days), strict=True)), reasonCode=[why],
        note=[{"text": note}],
    ),
    WORDS, DOSAGES, st.tuples(DAYS, DAYS), CONCEPTS, WORDS,
)  # fmt: skip
REQUESTS = st.builds(
    lambda words, when, priority: {
        "resourceType": "ServiceRequest", "status": "active", "intent": "plan", "code": {"text": words},
        "subject": {"reference": SUBJECT}, "occurrenceDateTime": when, "priority": priority,
    },
    WORDS, DATES, st.sampled_from(["routine", "urgent"]),
)  # fmt: skip
PROCEDURES = st.builds(
    lambda code, when: {
        "resourceType": "Procedure", "status": "completed", "code": code, "subject": {"reference": SUBJECT},
        "performedDateTime": when,
    },
    CONCEPTS, DATES,
)  # fmt: skip
ALLERGIES = st.builds(
    lambda code, onset, effect: {
        "resourceType": "AllergyIntolerance", "code": code, "patient": {"reference": SUBJECT}, "onsetDateTime": onset,
        "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "Active"),
        "reaction": [{"manifestation": [effect]}],
    },
    CONCEPTS, DAYS, CONCEPTS,
)  # fmt: skip
# Each kind goes where the model takes it; what a value is called may change, that it is there may not.
_SAID = ("value", "code", "display", "text", "start", "end", "period", "periodUnit", "unit", "patientInstruction")


def told(bundle: Any, kinds: tuple[str, ...]) -> set[str]:
    """Every code, label, word, date and number of the resources of these kinds."""
    found: set[str] = set()
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] in kinds:
            _gather(entry["resource"], "", found)
    return found


def _gather(node: Any, key: str, found: set[str]) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            if not (name == "text" and isinstance(value, dict)):
                _gather(value, name, found)
    elif isinstance(node, list):
        for item in node:
            _gather(item, key, found)
    elif key in _SAID or key.startswith(("value", "effective", "onset", "occurrence", "performed")):
        found.add(str(node))


@settings(max_examples=60, deadline=None)
@given(
    observations=st.lists(OBSERVATIONS, max_size=3),
    medicines=st.lists(MEDICINES, min_size=1, max_size=2),
    plan=st.lists(REQUESTS | PROCEDURES, max_size=3),
)
def test_out_and_back_keeps_every_value(observations: list[Any], medicines: list[Any], plan: list[Any]) -> None:
    letter = build_discharge_letter(stay=[*_stay(), *observations], medicines=medicines, plan=plan)
    first = read(send(letter))
    second = translate_cda(again(first.submission, first.bundle))
    kinds = ("Observation", "MedicationStatement", "ServiceRequest", "Procedure")
    lost = told(first.bundle, kinds) - told(second.bundle, kinds)
    assert not lost


@settings(max_examples=40, deadline=None)
@given(st.lists(ALLERGIES, min_size=1, max_size=3))
def test_allergies_keep_agent_onset_and_reactions(allergies: list[Any]) -> None:
    from tests.builders.fhir_document import ENTRY_LETTER, build_entry_letter

    subject = {"reference": subject_of(ENTRY_LETTER)}
    first = read(send(build_entry_letter(allergies=[allergy | {"patient": subject} for allergy in allergies])))
    second = translate_cda(again(first.submission, first.bundle))
    kinds = ("AllergyIntolerance",)
    assert not told(first.bundle, kinds) - told(second.bundle, kinds) - {"Active"}


BLOCKS = st.recursive(
    WORDS,
    lambda inner: (
        st.builds(
            lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>",
            st.sampled_from(["p", "span", "b", "div", "h2", "blockquote", "sub"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | st.builds(
            lambda tag, items: f"<{tag}>{''.join(f'<li>{item}</li>' for item in items)}</{tag}>",
            st.sampled_from(["ul", "ol"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | st.builds(
            lambda cells: f"<table><tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr></table>",
            st.lists(inner, min_size=1, max_size=3),
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=3))
def test_a_narrative_keeps_its_words_in_order_out_and_back(blocks: list[str]) -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{"".join(blocks)}</div>'
    section = etree.Element(f"{{{V3}}}section")
    written = Narrative(section, div, Anchors(), {}).element
    before = "".join("".join(etree.fromstring(div).itertext()).split())
    assert "".join("".join(written.itertext()).split()) == before
    back = etree.fromstring(div_of_narrative(written))
    assert "".join("".join(back.itertext()).split()) == before
