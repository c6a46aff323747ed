"""Over generated letters: FHIR to CDA and back keeps every value, twice gives the same, and the narrative stays whole."""

from __future__ import annotations

import string
from datetime import UTC, date, datetime
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapter.fhir import profiles as p
from adapter.fhir.narrative import div_of_narrative
from adapter.mapping.from_cda import translate_cda
from adapter.mapping.from_form import understand_form
from adapter.model.receipt import Arrival, Principal
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
from tests.builders.form import build_imaging_request, form_bytes
from tests.builders.letter import build_entry_letter as build_letter_form
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


# -- documents of forms: everything a person wrote, header included ---------------------------------------------------------

_PEOPLE = ("Patient", "Practitioner", "PractitionerRole", "Organization", "RelatedPerson")
_CLINICAL = ("MedicationStatement", "AllergyIntolerance", "Condition", "Procedure", "Observation", "ServiceRequest")
# What FHIR wants around a value and CDA has no word for: states and categories that are constants of ours, the English names of
# LOINC, a unit's French spelling beside its UCUM code, the kind of an identifier.
_OURS = {
    "active", "confirmed", "unconfirmed", "problem-list-item", "laboratory", "vital-signs", "exam", "Imaging", "PLAC",
    "Education note",
    "Creatinine [Moles/volume] in Serum or Plasma", "Creatinine [Mass/volume] in Serum or Plasma", "Body weight", "Active",
    "Gestational age--at birth", "µmol/L", "semaines", "Créatinine",
}  # fmt: skip


def squeezed(words: str) -> str:
    return "".join(words.split())


def lost_of(first: Any, second: Any, kinds: tuple[str, ...], *, narrative: bool = False) -> set[str]:
    """Values of the first bundle that the second holds nowhere: in no resource, nor (where the volet takes no entry) in words."""
    every = tuple({entry["resource"]["resourceType"] for entry in second["entry"]})
    held = {squeezed(value) for value in told(second, every)}
    words = squeezed("".join(_divs(second["entry"][0]["resource"].get("section", ())))) if narrative else ""
    return {value for value in told(first, kinds) - _OURS if squeezed(value) not in held and squeezed(value) not in words}


def _divs(sections: Any) -> Any:
    for section in sections:
        yield unescape("".join(etree.fromstring(section["text"]["div"]).itertext()))
        yield from _divs(section.get("section", ()))


def understood(form: dict[str, Any]) -> Any:
    arrival = Arrival(form_bytes(form), "http", Principal("x", "token", "750712184"), datetime(2026, 11, 21, 12, tzinfo=UTC))
    (translation,) = understand_form(arrival, "receipt")
    return translation


PAST = st.dates(min_value=date(1950, 1, 1), max_value=date(2026, 11, 19)).map(str)
PARTIAL = st.builds(lambda day, cut: day[:cut], PAST, st.sampled_from([4, 7, 10]))
LETTERS = st.fixed_dictionaries(
    {
        "lettre.motif": WORDS,
        "lettre.commentaire": WORDS,
        "patient.nom": WORDS,
        "patient.prenom": WORDS,
        "medecin.nom": WORDS,
        "traitements": st.lists(
            st.fixed_dictionaries({"nom": WORDS, "posologie": WORDS}, optional={"commentaire": WORDS}), min_size=1, max_size=3
        ),
        "allergies": st.lists(
            st.fixed_dictionaries(
                {"produit": WORDS}, optional={"reaction": WORDS, "gravite": st.sampled_from(["legere", "moderee", "grave"])}
            ),
            min_size=1, max_size=3,
        ),
        "antecedents": st.lists(
            st.fixed_dictionaries({"libelle": WORDS}, optional={"code": st.just("I48"), "debut": PARTIAL}), min_size=1, max_size=3
        ),
        "chirurgie": st.lists(
            st.fixed_dictionaries({"acte": WORDS}, optional={"code": st.just("NEKA020"), "date": PARTIAL}), min_size=1, max_size=3
        ),
    }
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(LETTERS)
def test_an_entry_letter_of_a_form_keeps_every_value_out_and_back(changes: dict[str, Any]) -> None:
    first = understood(build_letter_form(**changes))
    second = translate_cda(again(first.submission, first.bundle))
    assert not lost_of(first.bundle, second.bundle, (*_CLINICAL, *_PEOPLE))


EXAMS = st.lists(
    st.fixed_dictionaries(
        {"modalite": st.sampled_from(["TDM", "ECHO", "DOPPLER", "RADIO", "IRM"]), "region": WORDS},
        optional={
            "cote": st.sampled_from(["droit", "gauche", "bilateral"]),
            "injection": st.sampled_from(["avec", "sans", "non-precise"]),
            "precision": WORDS,
        },
    ),
    min_size=1,
    max_size=3,
)
REQUESTS_OF_EXAMS = st.fixed_dictionaries(
    {
        "examens": EXAMS,
        "demande.but": WORDS,
        "demande.resultats-anterieurs": WORDS,
        "demande.urgence": st.sampled_from(["urgent", "semi-urgent", "non urgent"]),
        "patient.nom": WORDS,
        "prescripteur.nom": WORDS,
        "contre-indications.insuffisance-renale": st.just(True),
        "contre-indications.creatinine": st.integers(20, 900),
        "contre-indications.creatinine-unite": st.sampled_from(["umol/L", "mg/L"]),
        "contre-indications.creatinine-date": PAST.filter(lambda day: day > "1961-04-12"),
        "contre-indications.allergie": st.just(True),
        "contre-indications.allergie-precision": WORDS,
        "contre-indications.diabete-traitement": WORDS,
    }
)


@settings(max_examples=30, deadline=None)
@given(REQUESTS_OF_EXAMS)
def test_an_imaging_request_of_a_form_keeps_every_value_out_and_back(changes: dict[str, Any]) -> None:
    first = understood(build_imaging_request(**changes))
    second = translate_cda(again(first.submission, first.bundle))
    assert not lost_of(first.bundle, second.bundle, (*_CLINICAL, *_PEOPLE), narrative=True)
    words = squeezed("".join(_divs(second.bundle["entry"][0]["resource"]["section"])))
    for alert in (e["resource"] for e in first.bundle["entry"] if e["resource"]["resourceType"] == "DetectedIssue"):
        assert squeezed(alert["code"]["text"]) in words  # an alert has no entry in the volet: its words stand on the page


def test_a_value_that_is_taken_out_is_seen_to_be_lost() -> None:
    """The judge of these properties is itself judged: each clinical value removed from the CDA is missed."""
    first = understood(build_letter_form())
    cda = again(first.submission, first.bundle)
    for value in ("Apixaban", "Prothèse de hanche", "NEKA020"):
        assert value.encode() in cda
        spoilt = translate_cda(cda.replace(value.encode(), b"X"))
        assert any(value in lost for lost in lost_of(first.bundle, spoilt.bundle, _CLINICAL, narrative=True)), value


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
