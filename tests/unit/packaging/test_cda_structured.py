"""Structured CDA out: which documents leave as N3, that nothing is lost on the way out and back, that the page goes with it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from lxml import etree

from adapter.fhir import profiles as p
from adapter.mapping.from_cda import translate_cda
from adapter.mapping.kinds import READERS
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, ContentKind, Principal
from adapter.packaging.build import Document, readable_pdf, travelling_cda, written_templates
from adapter.packaging.cda_out.structured import structured_model, write_as_n3
from adapter.packaging.xdm import document_entry
from tests.builders.cda import build_ldl_ses, tiny_pdf
from tests.builders.fhir_document import (
    DISCHARGE_LETTER,
    ENTRY_LETTER,
    build_discharge_letter,
    build_entry_letter,
    concept,
    medication,
    observation,
    send,
    subject_of,
)
from tests.builders.form import build_imaging_request, form_bytes

V3 = {"c": "urn:hl7-org:v3"}
AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
Fhir = dict[str, Any]


def read(content: bytes, kind: ContentKind = ContentKind.FHIR, *, form: str = "") -> Translation:
    arrival = Arrival(content, "test", Principal("essai", "token", "940999900"), AT, form=form)
    (translation,) = READERS[kind](arrival, "receipt")
    return translation


def document(translation: Translation) -> Document:
    return Document(translation.submission, translation.bundle, translation.source_document, translation.source_media_type)


def leaves(translation: Translation) -> etree._Element:
    return etree.fromstring(travelling_cda(document(translation), tiny_pdf("page")))


def values(bundle: Any, *, bare: bool = False) -> Counter[tuple[str, str]]:
    """What the resources of a document say: codes, dates, numbers, words; not ids or captions. `bare`: nor extensions."""
    found: Counter[tuple[str, str]] = Counter()
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] not in ("Composition", "Binary"):
            found.update((resource["resourceType"], leaf) for leaf in _leaves(resource, bare))
    return found


_FRAME = {"id", "reference", "fullUrl", "div", "data", "contentType", "meta", "url"}


def _leaves(node: Any, bare: bool = False) -> Iterator[str]:
    if isinstance(node, dict):
        if str(node.get("url", "")).endswith(("narrativeLink", "cda-template-id")):
            return
        for key, value in node.items():
            is_frame = key in _FRAME or (key == "text" and isinstance(value, dict)) or (bare and key == "extension")
            if not is_frame:
                yield from (f"{key}.{leaf}" if not isinstance(value, list) else leaf for leaf in _leaves(value, bare))
    elif isinstance(node, list):
        for item in node:
            yield from _leaves(item, bare)
    else:
        yield str(node)


def test_a_structured_letter_leaves_under_its_model_and_its_metadata_say_so() -> None:
    translation = read(send(build_entry_letter()))
    root = leaves(translation)
    templates = root.xpath("c:templateId/@root", namespaces=V3)
    assert "1.2.250.1.213.1.1.1.21" in templates
    assert "1.3.6.1.4.1.19376.1.2.20" not in templates
    assert root.find("c:component/c:structuredBody", V3) is not None
    (delivery,) = [_delivery(translation)]
    entry = document_entry(delivery, translation.submission, templates=written_templates(document(translation)))
    assert entry.format_code.code == "urn:asip:ci-sis:ldl-ees:2017"


def _delivery(translation: Translation) -> Any:
    from adapter.offline import _unsent

    return _unsent(translation)


@pytest.mark.parametrize("missing", ["42349-1", "42346-7", "48765-2"])
def test_a_letter_that_lacks_a_mandatory_section_leaves_as_n1_with_its_page(missing: str) -> None:
    translation = read(send(build_entry_letter(without=missing)))
    root = leaves(translation)
    text = root.find("c:component/c:nonXMLBody/c:text", V3)
    assert text is not None and base64.b64decode(text.text or "") == tiny_pdf("page")
    entry = document_entry(_delivery(translation), translation.submission, templates=written_templates(document(translation)))
    assert entry.format_code.code == "urn:ihe:iti:xds-sd:pdf:2008"


@pytest.mark.parametrize("entries", [{"medicines": []}, {"allergies": []}])
def test_a_section_without_the_entries_that_the_volet_wants_is_not_made_up(entries: dict[str, list[Fhir]]) -> None:
    assert leaves(read(send(build_entry_letter(**entries)))).find("c:component/c:nonXMLBody", V3) is not None


def test_a_missing_comment_says_that_nothing_was_told() -> None:
    root = leaves(read(send(build_entry_letter(without="55112-7"))))
    (words,) = root.xpath("//c:section[c:code/@code='55112-7']/c:text//text()", namespaces=V3)
    assert words == "Non renseigné dans le document d'origine."


def test_the_act_of_a_letter_is_the_one_that_its_volet_fixes() -> None:
    root = leaves(read(send(build_entry_letter())))
    assert root.xpath("c:documentationOf[1]/c:serviceEvent/c:code/@code", namespaces=V3) == ["IMP"]


def test_the_stays_facts_get_their_templates_from_their_codes() -> None:
    root = leaves(read(send(build_discharge_letter())))
    (observed,) = root.xpath("//c:observation[c:code/@code='ORG-070']", namespaces=V3)
    assert "1.2.250.1.213.1.1.3.48.6" in observed.xpath("c:templateId/@root", namespaces=V3)


def test_every_reference_of_an_entry_leads_to_words_of_its_section() -> None:
    for bundle in (build_entry_letter(), build_discharge_letter()):
        root = leaves(read(send(bundle)))
        names = {str(name) for name in root.xpath("//c:text//@ID", namespaces=V3)}
        references = {str(found)[1:] for found in root.xpath("//c:entry//c:reference/@value", namespaces=V3)}
        assert references and references <= names


def test_a_form_request_leaves_structured_with_the_page_inside_and_its_urgency_in_words() -> None:
    translation = read(form_bytes(build_imaging_request()), ContentKind.FORM, form="demande-imagerie")
    page = readable_pdf(document(translation), "")
    root = etree.fromstring(travelling_cda(document(translation), page))
    assert root.xpath("c:code/@code", namespaces=V3) == ["55115-0"]
    (value,) = root.xpath("//c:observationMedia[@ID='page']/c:value/text()", namespaces=V3)
    assert base64.b64decode(str(value)) == page
    assert root.xpath("//c:section[c:code/@code='18776-5']//c:observation[@moodCode='INT']", namespaces=V3)
    spoken = " ".join(root.xpath("//c:section//c:text//text()", namespaces=V3)).lower()
    assert translation.submission.urgency.value in spoken


def test_a_document_that_came_as_cda_leaves_byte_for_byte() -> None:
    source = build_ldl_ses()
    assert travelling_cda(document(read(source, ContentKind.CDA)), tiny_pdf()) == source


def test_the_same_document_gives_the_same_bytes() -> None:
    translation = read(send(build_entry_letter()))
    assert travelling_cda(document(translation), tiny_pdf()) == travelling_cda(document(translation), tiny_pdf())


def test_our_letter_is_a_fixed_point_of_cda_to_fhir_and_back() -> None:
    first = read(build_ldl_ses(), ContentKind.CDA)
    second = translate_cda(again(first.submission, first.bundle))
    third = translate_cda(again(replace(first.submission, document=second.header), second.bundle))
    assert values(second.bundle) == values(third.bundle)
    clinical = ("Observation", "MedicationStatement", "AllergyIntolerance", "ServiceRequest", "Appointment", "DeviceUseStatement")
    before, after = values(first.bundle, bare=True), values(second.bundle, bare=True)
    assert not {(kind, leaf) for kind, leaf in before - after if kind in clinical}


def again(submission: Any, bundle: Any) -> bytes:
    model = structured_model(submission, bundle)
    assert model is not None
    return write_as_n3(submission, bundle, model, tiny_pdf())


def test_a_partner_s_letter_keeps_every_value_of_its_entries() -> None:
    translation = read(send(build_entry_letter()))
    back = translate_cda(again(translation.submission, translation.bundle))
    for kind in ("MedicationStatement", "AllergyIntolerance"):
        told = {leaf for k, leaf in values(translation.bundle) if k == kind}
        kept = {leaf for k, leaf in values(back.bundle) if k == kind}
        assert {leaf for leaf in told - kept if "active" not in leaf.lower()} == set()


def test_a_frequency_that_cda_cannot_say_exactly_is_said_in_words() -> None:
    subject = subject_of(ENTRY_LETTER)
    dosage = {"timing": {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}}}
    root = leaves(read(send(build_entry_letter(medicines=[medication(subject, dosage=[dosage])]))))
    assert "3 fois par 1 jour" in root.xpath("//c:period/c:translation/c:originalText/text()", namespaces=V3)
    assert not root.xpath("//c:period/@value", namespaces=V3)


def test_several_dosages_become_subordinate_administrations_in_order() -> None:
    subject = subject_of(ENTRY_LETTER)
    dosages = [{"doseAndRate": [{"doseQuantity": {"value": n, "unit": "mg"}}]} for n in (10, 20)]
    root = leaves(read(send(build_entry_letter(medicines=[medication(subject, dosage=dosages)]))))
    path = "//c:entryRelationship[c:sequenceNumber]/c:substanceAdministration/c:doseQuantity/c:low/@value"
    found = root.xpath(path, namespaces=V3)
    assert found == ["10", "20"]


def test_a_number_keeps_the_zeros_that_its_sender_wrote() -> None:
    subject = subject_of(DISCHARGE_LETTER)
    weight = {"value": 72.5, "unit": "kg", "system": p.UCUM, "code": "kg"}
    fact = observation(subject, concept(p.LOINC, "29463-7", "Poids"), valueQuantity=weight)
    raw = send(build_discharge_letter(stay=[*_stay(), fact])).replace(b"72.5", b"72.50")
    root = leaves(read(raw))
    assert root.xpath("//c:observation[c:code/@code='29463-7']/c:value/@value", namespaces=V3) == ["72.50"]


def _stay() -> list[Fhir]:
    bundle = build_discharge_letter()
    kept = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Observation"]
    bare = [{k: v for k, v in r.items() if k not in ("id", "text")} for r in kept]
    return [r for r in bare if r["code"]["coding"][0]["code"] != "GEN-065"]


def test_a_code_of_a_system_without_oid_stays_readable() -> None:
    subject = subject_of(ENTRY_LETTER)
    code = concept("https://labo.example/codes", "X-12", "Essailol", "Essailol")
    odd = medication(subject) | {"medicationCodeableConcept": code}
    root = leaves(read(send(build_entry_letter(medicines=[odd]))))
    assert root.xpath("//c:manufacturedMaterial/c:name/text()", namespaces=V3) == ["Essailol · Essailol [X-12]"]
    assert root.xpath("//c:manufacturedMaterial/c:code/@nullFlavor", namespaces=V3) == ["OTH"]


def test_a_file_in_a_section_travels_inside_identical_and_is_shown() -> None:
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n0000").decode()
    binary = {"resourceType": "Binary", "contentType": "image/png", "data": picture}
    root = leaves(read(send(build_discharge_letter(plan=[binary]))))
    (media,) = root.xpath("//c:observationMedia", namespaces=V3)
    assert media.findtext("c:value", namespaces=V3) == picture
    assert media.get("ID") in root.xpath("//c:renderMultiMedia/@referencedObject", namespaces=V3)


def test_what_has_no_entry_in_cda_is_told_in_words() -> None:
    flag = {
        "resourceType": "Flag", "status": "active", "code": {"text": "Isolement contact"},
        "subject": {"reference": subject_of(DISCHARGE_LETTER)}, "caption": "Isolement contact requis",
    }  # fmt: skip
    root = leaves(read(send(build_discharge_letter(plan=[flag]))))
    words = root.xpath("//c:section[c:code/@code='18776-5']/c:text//text()", namespaces=V3)
    assert "Isolement contact requis" in words


def test_a_bundle_of_bytes_is_read_again_the_same(tmp_path: Any) -> None:
    content = send(build_entry_letter())
    translation = read(content)
    kept = [e["resource"] for e in translation.bundle["entry"] if e["resource"].get("contentType") == "application/fhir+json"]  # type: ignore[attr-defined]
    assert base64.b64decode(kept[0]["data"]) == content
    assert json.loads(content)["entry"][1] == translation.bundle["entry"][1]  # type: ignore[index]
