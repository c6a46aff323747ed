"""The DICOM catalogue of an imaging report (study, series, images) as an ImagingStudy."""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.mapping.cda.context import Built, EntryContext, Fhir, read_basics
from adapter.mapping.cda.keep import keep_rest
from adapter.mapping.xml_source import XmlNode

_UNKNOWN_MODALITY = {"system": p.DCM, "code": "OT", "display": "Other"}
_DICOM_UID = "urn:dicom:uid"


def build_imaging_study(node: XmlNode, at: EntryContext) -> Built:
    """One study, its series, the images of each."""
    basics = read_basics(node, at)
    code = at.values.concept(node.first("code"))
    series = [_series(act, at) for act in node.select("entryRelationship/act")]
    found = clinical.about_patient(
        "ImagingStudy", at.mint("ImagingStudy"), basics.text or "Examen d'imagerie", subject=at.subject, status="available",
        extension=[*basics.extension, *_kind(code)], identifier=[_study_uid(one) for one in basics.identifier],
        encounter=at.encounter, **at.values.time(node.first("effectiveTime"), "started"),
        modality=_distinct([one["modality"] for one in series]), numberOfSeries=len(series),
        numberOfInstances=sum(len(one.get("instance", ())) for one in series), description=basics.text, series=series,
    )  # fmt: skip
    return Built((found,))


def _kind(code: Fhir) -> list[Fhir]:
    return [{"url": p.EXT_ACT_CODE, "valueCodeableConcept": code}] if code else []


def _study_uid(identifier: Fhir) -> Fhir:
    value = str(identifier.get("value", ""))
    if identifier.get("system") != p.URI_SYSTEM or not value.startswith("urn:oid:"):
        return identifier
    return {"system": _DICOM_UID, "value": value}


def _series(act: XmlNode, at: EntryContext) -> Fhir:
    basics = read_basics(act, at)
    code = at.values.concept(act.first("code"))
    modality = _modality(code)
    instances = [_instance(one, at, number) for number, one in enumerate(act.select("entryRelationship/observation"))]
    found: Fhir = {
        "extension": [*basics.extension, *_kind(code)],
        "uid": _uid(act, basics.identifier, at),
        "modality": modality or _UNKNOWN_MODALITY,
        **at.values.time(act.first("effectiveTime"), "started"),
        "numberOfInstances": len(instances),
        "instance": instances,
    }
    found["extension"] += keep_rest(act, at)
    act.consume()
    return {key: value for key, value in found.items() if value}


def _instance(act: XmlNode, at: EntryContext, number: int) -> Fhir:
    basics = read_basics(act, at)
    code = at.values.concept(act.first("code"))
    sop_class = (code.get("coding") or [{}])[0].get("code", "")
    found: Fhir = {
        "extension": [*basics.extension, *_kind(code)],
        "uid": _uid(act, basics.identifier, at),
        "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{sop_class}"},
        "number": number + 1,
    }
    found["extension"] += keep_rest(act, at)
    act.consume()
    return {key: value for key, value in found.items() if value}


def _uid(act: XmlNode, identifiers: list[Fhir], at: EntryContext) -> str:
    """The DICOM UID (mandatory): the act's own id; one that has none is told and stands under the unknown."""
    for identifier in identifiers:
        return str(identifier["value"]).removeprefix("urn:oid:")
    at.values.warn("cda.no-dicom-uid", "A series or an image of the catalogue has no UID.", act.path)
    return "0"


def _modality(code: Fhir) -> Fhir:
    """Of a series: the qualifier « Modalité » of its code."""
    for coding in code.get("coding", ()):
        for qualifier in coding.get("extension", ()):
            for part in qualifier.get("extension", ()):
                if part["url"] == "value":
                    value: Fhir = part["valueCoding"]
                    return {key: value[key] for key in ("system", "code", "display") if key in value}
    return {}


def _distinct(codings: list[Fhir]) -> list[Fhir]:
    return list({str(coding.get("code")): coding for coding in codings}.values())
