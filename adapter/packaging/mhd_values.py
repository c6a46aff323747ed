"""Values of the MHD and PDSm profiles: identifiers, codes, security labels, dates, written as FHIR data types.

Sources: PDSm 3.1.1 on IHE MHD 4.2.3 (identifiers by `use`) and 4.2.4 (by `type`): both are written. Codes come from the tables
of `mappings/terminology`.
"""

from __future__ import annotations

import base64
import uuid
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapter.fhir import profiles as p
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.submission import Visibility
from adapter.packaging.code_tables import PDF_FORMAT, class_of, format_of, load_codes

Resource = dict[str, Any]

MHD = "https://profiles.ihe.net/ITI/MHD/"
NOS = "https://mos.esante.gouv.fr/NOS/"
_IDENTIFIER_TYPES = MHD + "CodeSystem/IHE.MHD.MHDIdentifierType"
_VISIBILITY = NOS + "TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
_ANS_FORMATS = NOS + "TRE_A06-FormatCodeComplementaire/FHIR/TRE-A06-FormatCodeComplementaire"
_IHE_FORMATS = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
ANY_FORMAT = Code("urn:ihe:iti:xds:2017:mimeTypeSufficient", _IHE_FORMATS, "mimeType Sufficient")
_PARIS = ZoneInfo("Europe/Paris")
# The forms in which one document may be deposited; the ids of all but the first derive from the document's.
RENDITIONS = ("cda", "fhir", "pdf")


def master_identifier(unique_id: str) -> str:
    """The XDS unique id as a URI: `urn:oid:` (root, or root and a numeric extension) or `urn:uuid:`.

    An extension that is no number has no OID form, and the rule wants a URI: such a document gets a UUIDv5 of its id, always
    the same; the id itself stays in the document.
    """
    root, _, extension = unique_id.partition("^")
    oid = f"{root}.{extension}" if extension else root
    if all(part.isdigit() and (part == "0" or part[0] != "0") for part in oid.split(".")):
        return f"urn:oid:{oid}"
    try:
        return f"urn:uuid:{uuid.UUID(unique_id)}"
    except ValueError:
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, unique_id)}"


def rendition_identifier(unique_id: str, kind: str) -> str:
    """The master identifier of one more form of a document: always the same, and another one than the document's."""
    return f"urn:oid:2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{master_identifier(unique_id)}/{kind}').int}"


def all_identifiers(unique_id: str) -> tuple[str, ...]:
    """Every master identifier under which a record may hold this document, its own first."""
    return (master_identifier(unique_id), *(rendition_identifier(unique_id, kind) for kind in RENDITIONS))


def mhd_identifier(use: str, kind: str, value: str) -> Resource:
    """An identifier told both ways: by `use` (4.2.3) and by `type` (4.2.4)."""
    return {
        "use": use,
        "type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": kind}]},
        "system": p.URI_SYSTEM,
        "value": value,
    }


def concept(system: str, code: str, label: str) -> Resource:
    """A CodeableConcept of one code."""
    coding: Resource = {"system": system, "code": code} if system else {"code": code}
    return {"coding": [coding | {"display": label} if label else coding]}


def type_concept(code: Code) -> Resource:
    """The document type (JDV_J07)."""
    number, dash, check = code.code.partition("-")
    is_loinc = bool(dash) and number.isdigit() and check.isdigit()
    return concept(p.LOINC if is_loinc else p.TRE_DOCUMENT_TYPE, code.code, code.label)


def class_concept(type_code: str) -> Resource:
    """The class of a document type (JDV_J06)."""
    found = class_of(type_code)
    return concept(p.TRE_DOCUMENT_CLASS, found.code, found.label)


def format_of_source(header: DocumentHeader) -> Code:
    """The format code of the document as its source gave it."""
    match header.body:
        case BodyKind.STRUCTURED_CDA:
            return format_of(header.template_ids)
        case BodyKind.PDF_IN_CDA:
            return PDF_FORMAT
        case BodyKind.FORM | BodyKind.PDF | BodyKind.FHIR:
            return ANY_FORMAT


def format_concept(code: Code) -> Resource:
    """A format as a Coding."""
    system = _IHE_FORMATS if code.code.startswith("urn:ihe:") else _ANS_FORMATS
    return {"system": system, "code": code.code, "display": code.label}


def security_labels(header: DocumentHeader, visibility: Visibility) -> list[Resource]:
    """Confidentiality first, then what is hidden from whom (JDV_J08)."""
    labels = [concept(p.V3_CONFIDENTIALITY, header.confidentiality or "N", "")]
    wishes = (
        (visibility.hidden_from_professionals, "MASQUE_PS", "Masqué aux professionnels de santé"),
        (visibility.hidden_from_patient, "INVISIBLE_PATIENT", "Non visible par le patient"),
        (visibility.hidden_from_representatives, "INVISIBLE_REPRESENTANTS_LEGAUX", "Non visible par les représentants légaux"),
    )
    return labels + [concept(_VISIBILITY, code, label) for wanted, code, label in wishes if wanted]


def facility_concept(header: DocumentHeader) -> Resource:
    """The kind of facility (JDV_J02)."""
    given = header.stay.facility_type if header.stay else Code()
    # A form has no encounter: forms come from health centres (SA05), all else from hospitals (SA01), as in our XDM metadata.
    code = given.code or ("SA05" if header.body is BodyKind.FORM else "SA01")
    known = load_codes("facility-types").get(code)
    return concept(p.TRE_FACILITY, code, given.label or (known.label if known else ""))


def setting_concept(header: DocumentHeader) -> Resource:
    """The practice setting (JDV_J04)."""
    performers = [event.performer.organisation for event in header.service_events if event.performer]
    places = [*performers, header.stay.organisation if header.stay else None, header.custodian]
    named = next((place for place in places if place is not None and place.setting_code), None)
    code = named.setting_code if named else ("AMBULATOIRE" if header.body is BodyKind.FORM else "ETABLISSEMENT")
    known = load_codes("practice-settings").get(code)
    return concept(p.TRE_SETTING, code, (named.setting_label if named else "") or (known.label if known else ""))


def code_uri(system: str) -> str:
    """A code system as a URI."""
    return f"urn:oid:{system}" if system and system[0].isdigit() else system


def base64_text(data: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def instant(value: datetime) -> str:
    """An instant to the second, with its zone."""
    return value.isoformat(timespec="seconds")


def instant_of(created: str, sent_at: datetime) -> str:
    """A full instant: the document's, or that of sending when the source gives a day only."""
    given = date_time(created)
    return given if "T" in given else instant(sent_at)


def date_time(value: str) -> str:
    """A FHIR dateTime: a time has seconds and a zone (French civil time when none is said); anything else is left out."""
    if "T" not in value:
        parts = value.split("-")
        return value if value and len(parts) <= 3 and all(part.isdigit() for part in parts) else ""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return ""
    return instant(moment if moment.tzinfo else moment.replace(tzinfo=_PARIS))
