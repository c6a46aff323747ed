"""Builds FHIR document Bundles about invented people, as a partner would send them: an entry letter, a discharge letter.

build_entry_letter()                            # LDL-EES: reason, treatments, allergies, past, comment
build_discharge_letter(entries={...})           # LDL-SES, sections replaced by code
send(bundle)                                    # its bytes
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids
from adapter.fhir.document import Section, document_bundle_from, document_ids, encounter_url, patient_url
from adapter.fhir.narrative import div_of
from adapter.model.document import Code, DocumentHeader
from tests.builders.directory import letter_header

Resource = dict[str, Any]

ENTRY_LETTER = Code("18761-7", "2.16.840.1.113883.6.1", "Lettre de liaison à l'entrée d'un établissement de soins")
DISCHARGE_LETTER = Code("11490-0", "2.16.840.1.113883.6.1", "Lettre de liaison à la sortie d'un établissement de soins")


def coding(system: str, code: str, display: str) -> Resource:
    return {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str, text: str = "") -> Resource:
    return {"coding": [coding(system, code, display)]} | ({"text": text} if text else {})


def header_of(kind: Code, **changes: Any) -> DocumentHeader:
    """The header of `builders.directory`'s letter, as that of another kind of document."""
    from dataclasses import replace

    return replace(letter_header(), type=kind, title=kind.label, template_ids=(), **changes)


def medication(subject: str, name: str = "ESSAILOL 50 mg, comprimé", **more: Any) -> Resource:
    return {
        "resourceType": "MedicationStatement",
        "status": "active",
        "medicationCodeableConcept": concept("urn:oid:1.2.250.1.213.2.3.1", "60019927", name, name),
        "subject": {"reference": subject},
        **more,
    }


def allergy(subject: str, **more: Any) -> Resource:
    active = coding("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "Active")
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {"coding": [active]},
        "code": concept(p.ATC, "J01C", "pénicillines", "pénicillines"),
        "patient": {"reference": subject},
        **more,
    }


def observation(subject: str, code: Resource, **more: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", "code": code, "subject": {"reference": subject}, **more}


def build(
    kind: Code, sections: Sequence[tuple[str, str, str, Sequence[Resource]]], *, header: DocumentHeader | None = None
) -> Resource:
    """A document of sections `(LOINC, title, narrative, resources)`; resources get their ids here."""
    header = header or header_of(kind)
    ids = document_ids(header, b"partner")
    made: list[Section] = []
    resources: list[Resource] = []
    for code, title, words, entries in sections:
        own = [_named(resource, ids, f"{code}/{number}") for number, resource in enumerate(entries)]
        resources += own
        urls = tuple(f"urn:uuid:{resource['id']}" for resource in own)
        div = words if words.startswith("<div") else div_of(words)
        made.append(Section(Code(code, p.LOINC), title, div, urls, narrative_status="additional"))
    bundle = document_bundle_from(header, made, resources, b"partner", "text/plain")
    return _without_source(bundle)


def _named(resource: Resource, ids: Ids, place: str) -> Resource:
    made = {"resourceType": resource["resourceType"], "id": ids.mint("entry", place), **resource}
    if resource["resourceType"] != "Binary":
        made.setdefault("text", {"status": "generated", "div": div_of(resource.get("caption", resource["resourceType"]))})
    made.pop("caption", None)
    return made


def _without_source(bundle: Resource) -> Resource:
    """A partner's document has no source but itself."""
    entries = [entry for entry in bundle["entry"] if entry["resource"].get("contentType") != "text/plain"]
    composition = entries[0]["resource"]
    kept = [e for e in composition["extension"] if not e["url"].endswith("source-document")]
    return {**bundle, "entry": [{**entries[0], "resource": {**composition, "extension": kept}}, *entries[1:]]}


def subject_of(kind: Code, header: DocumentHeader | None = None) -> str:
    """The Patient's fullUrl of a document built here."""
    return patient_url(document_ids(header or header_of(kind), b"partner"))


def encounter_of(kind: Code) -> str:
    return encounter_url(document_ids(header_of(kind), b"partner"))


def build_entry_letter(*, without: str = "", header: DocumentHeader | None = None, **entries: Sequence[Resource]) -> Resource:
    """LDL-EES; `medicines`, `allergies`, `past`, `acts` replace the entries of a section, `without` drops one by code."""
    subject = subject_of(ENTRY_LETTER, header)
    dosage = {
        "timing": {"repeat": {"frequency": 1, "period": 12, "periodUnit": "h"}},
        "route": concept("http://standardterms.edqm.eu", "20053000", "Voie orale"),
        "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "{tbl}", "system": p.UCUM, "code": "{tbl}"}}],
    }
    given: Mapping[str, Sequence[Resource]] = {
        "medicines": [medication(subject, dosage=[dosage], effectivePeriod={"start": "2026-01-05"})],
        "allergies": [allergy(subject)],
        "past": [],
        "acts": [],
        **entries,
    }
    sections = [
        ("42349-1", "Motif d'hospitalisation", "Dyspnée fébrile depuis trois jours", ()),
        ("42346-7", "Traitements à l'admission", "ESSAILOL 50 mg, comprimé matin et soir", given["medicines"]),
        ("48765-2", "Allergies", "pénicillines", given["allergies"]),
        ("11348-0", "Antécédents médicaux", "Aucun autre", given["past"]),
        ("47519-4", "Antécédents chirurgicaux", "Voir ci-dessous", given["acts"]),
        ("55112-7", "Autres informations", "Vit seule, prévenir sa voisine", ()),
    ]
    optional = {code for code, _, _, resources in sections if code in ("11348-0", "47519-4") and not resources}
    kept = [section for section in sections if section[0] not in optional | {without}]
    return build(ENTRY_LETTER, kept, header=header)


def build_discharge_letter(*, without: str = "", header: DocumentHeader | None = None, **entries: Sequence[Resource]) -> Resource:
    """LDL-SES; `medicines`, `plan`, `stay` replace the entries of a section."""
    subject = subject_of(DISCHARGE_LETTER, header)

    def fact(code: str, label: str, **value: Any) -> Resource:
        return observation(subject, concept(p.CISIS, code, label), effectiveDateTime="2026-11-20", **value)

    stay = [
        fact("ORG-070", "Modalité d'entrée", valueCodeableConcept=concept(p.SNOMED, "183452005", "urgence")),
        fact("ORG-074", "Modalité de sortie", valueCodeableConcept=concept(p.SNOMED, "160849004", "domicile")),
        fact("MED-142", "Synthèse médicale", valueString="Pneumopathie lobaire droite, évolution favorable"),
        fact("MED-309", "Recherche de microorganismes multi-résistants", valueBoolean=False),
        fact("MED-145", "Transfusion de produits sanguins", valueBoolean=False),
        fact("MED-147", "Administration de dérivés du sang", valueBoolean=False),
    ]
    status = fact("GEN-065", "Statut du document", valueCodeableConcept=concept(p.SNOMED, "398166005", "effectué"))
    given: Mapping[str, Sequence[Resource]] = {"medicines": [medication(subject)], "plan": [], "stay": stay, **entries}
    sections = [
        ("33557-0", "Statut du document", "effectué", [status]),
        ("42349-1", "Motif de l'hospitalisation", "Pneumopathie", ()),
        ("42545-4", "Synthèse médicale du séjour", "Pneumopathie lobaire droite, évolution favorable", given["stay"]),
        ("10183-2", "Traitements à la sortie", "ESSAILOL 50 mg, comprimé", given["medicines"]),
        ("18776-5", "Suites à donner", "Contrôle à un mois", given["plan"]),
    ]
    return build(DISCHARGE_LETTER, [section for section in sections if section[0] != without], header=header)


def send(bundle: Resource) -> bytes:
    """The bytes of a partner's document."""
    return json.dumps(bundle, ensure_ascii=False, indent=1).encode()


def new_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))
