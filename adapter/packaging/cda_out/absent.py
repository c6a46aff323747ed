"""What a section says that there is none of, or that nobody knows: the entry that the volet makes mandatory all the same.

Law: only what the document says (FHIR `emptyReason`) is written, never what it does not speak of. Source: CI-SIS value sets
JDV_AbsentOrUnknownMedication and JDV_AbsentOrUnknownAllergy, sample CNAM-HR « sans-info ».
"""

from __future__ import annotations

from typing import Any

from adapter.packaging.cda_out.context import EntryWriter, Fhir, add_text_reference, start
from adapter.packaging.cda_out.drugs import NORMAL_TREATMENT, PRODUCT
from adapter.packaging.cda_out.problems import ALLERGY, ALLERGY_LIST
from adapter.packaging.cda_out.values import XSI_TYPE, add_ids, add_period
from adapter.packaging.cda_out.xml import Element, add

_SYSTEM = "2.16.840.1.113883.5.1150.1"
_TOLD = {
    ("medications", "nilknown"): ("no-known-medications", "Pas de traitement médicamenteux connu"),
    ("medications", "unavailable"): ("no-medication-info", "Pas d'information relative au traitement médicamenteux"),
    ("medications", "notasked"): ("no-medication-info", "Pas d'information relative au traitement médicamenteux"),
    ("allergies", "nilknown"): ("no-known-allergies", "Pas d'allergie connue"),
    ("allergies", "unavailable"): ("no-allergy-info", "Pas d'information relative aux allergies"),
    ("allergies", "notasked"): ("no-allergy-info", "Pas d'information relative aux allergies"),
}


def reason_of(section: Fhir) -> str:
    """Why a section is empty, in FHIR's code; empty when it does not say, or is not empty."""
    reason: Any = section.get("emptyReason")
    codings = reason.get("coding") or () if isinstance(reason, dict) else ()
    return next((str(coding.get("code", "")) for coding in codings), "")


def tells_absence(kind: str, section: Fhir) -> bool:
    """True when the section says of this kind of entries that there is none, or that it is not known."""
    return (kind, reason_of(section)) in _TOLD


def write_absence(made: Element, kind: str, section: Fhir, words: str, at: EntryWriter) -> None:
    """The entry of what a section says; `words` are the section's own."""
    code, label = _TOLD[kind, reason_of(section)]
    reference = at.narrative.anchor(words or label)
    told = {"code": code, "displayName": label, "codeSystem": _SYSTEM}
    write = _medication if kind == "medications" else _allergy
    write(add(made, "entry"), told, reference)


def _medication(entry: Element, told: dict[str, str], reference: str) -> None:
    made = start(entry, "substanceAdministration", "SBADM", "EVN", NORMAL_TREATMENT)
    add_ids(made, {"id": f"{told['code']}{reference}"})
    add(made, "code", **told)
    add_text_reference(made, reference)
    add(made, "statusCode", code="completed")
    add_period(made, "effectiveTime", {}, both=True, typed=True)
    product = add(add(made, "consumable"), "manufacturedProduct")
    for template in PRODUCT:
        add(product, "templateId", root=template)
    material = add(product, "manufacturedMaterial")
    add(material, "code", nullFlavor="NA")
    add(material, "name", nullFlavor="NA")


def _allergy(entry: Element, told: dict[str, str], reference: str) -> None:
    act = start(entry, "act", "ACT", "EVN", ALLERGY_LIST)
    add_ids(act, {"id": f"{told['code']}{reference}/list"})
    add(act, "code", nullFlavor="NA")
    add(act, "statusCode", code="active")
    add(add(act, "effectiveTime"), "low", nullFlavor="UNK")
    made = start(add(act, "entryRelationship", typeCode="SUBJ", inversionInd="false"), "observation", "OBS", "EVN", ALLERGY)
    add_ids(made, {"id": f"{told['code']}{reference}"})
    add(made, "code", code="420134006", displayName="propension à des réactions indésirables",
        codeSystem="2.16.840.1.113883.6.96", codeSystemName="SNOMED CT")  # fmt: skip
    add_text_reference(made, reference)
    add(made, "statusCode", code="completed")
    add(add(made, "effectiveTime"), "low", nullFlavor="UNK")
    value = add(made, "value", **told)
    value.set(XSI_TYPE, "CD")
    add(add(value, "originalText"), "reference", value=reference)
