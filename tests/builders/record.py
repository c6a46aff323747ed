"""A record to try things on, and ITI-65 transactions written by hand: an oracle that knows nothing of our own writer.

Patients are invented; their INS is under the test OID.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import uuid
from typing import Any

from adapter.fhir.search import PageTokens
from adapter.formats.fhir import FhirLimits
from adapter.ledger.ledger import Ledger
from adapter.record.deposit import Policy
from adapter.record.rights import Client, ClientKind
from adapter.record.shelf import Shelf
from tests.builders.ledger import ENTITY, OTHER_ENTITY

Resource = dict[str, Any]

PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/"
MHD = "https://profiles.ihe.net/ITI/MHD/"
INS_TEST_SYSTEM = "urn:oid:1.2.250.1.213.1.4.10"
URI = "urn:ietf:rfc:3986"
INS_ONE = "279035121518989"
INS_TWO = "183092B05001243"
HOSPITAL, TOWN = "750100001", "920200002"
NOS = "https://mos.esante.gouv.fr/NOS/"
FRC_TYPES = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
LOINC = "http://loinc.org"
V3 = "http://terminology.hl7.org/CodeSystem/v3-"

FEEDER = Client("hopital", ClientKind.FEEDER, ENTITY, HOSPITAL)
OTHER_FEEDER = Client("clinique", ClientKind.FEEDER, ENTITY, TOWN)
DOCTOR = Client("cabinet", ClientKind.PROFESSIONAL, ENTITY, TOWN, "N")
WARD = Client("service", ClientKind.PROFESSIONAL, ENTITY, HOSPITAL, "V")
PORTAL = Client("portail", ClientKind.PATIENT, ENTITY)
KEEPER = Client("administrateur", ClientKind.ADMINISTRATOR, ENTITY)
STRANGER = Client("ailleurs", ClientKind.PROFESSIONAL, OTHER_ENTITY, TOWN, "V")
CLIENTS = (FEEDER, OTHER_FEEDER, DOCTOR, WARD, PORTAL, KEEPER, STRANGER)


def secret_of(client: Client) -> str:
    """The bearer token of a client in tests."""
    return f"jeton-de-{client.name}"


def shelf_of(ledger: Ledger, *, production: bool = False, needs_consent: bool = False, base: str = "") -> Shelf:
    """A record on a ledger."""
    tokens = PageTokens(ledger.seal_token, ledger.open_token)
    return Shelf(ledger.record, tokens, Policy(production, needs_consent, base), FhirLimits())


# ── what is sent ───────────────────────────────────────────────────────────────────────────────────────────────────


def coded(system: str, code: str) -> Resource:
    """A CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code}]}


def patient(ins: str = INS_ONE, *, system: str = INS_TEST_SYSTEM, birth: str = "1979-03-28") -> Resource:
    """An invented patient."""
    return {
        "resourceType": "Patient",
        "identifier": [
            {
                "use": "official",
                "type": coded(FRC_TYPES, "INS-NIR-TEST"),
                "system": system,
                "value": ins,
            }
        ],
        "name": [{"use": "official", "family": "ZEBULONNE", "given": ["Camille"]}],
        "gender": "female",
        "birthDate": birth,
    }


def binary(data: bytes, media_type: str = "application/pdf") -> Resource:
    """A document's bytes."""
    return {"resourceType": "Binary", "contentType": media_type, "data": base64.b64encode(data).decode()}


def document(
    unique: str,
    data: bytes,
    *,
    url: str,
    subject: str,
    media_type: str = "application/pdf",
    labels: tuple[str, ...] = ("N",),
    ins: str = INS_ONE,
    date: str = "2026-11-20T10:00:00+01:00",
    replaces: str = "",
    author: str = "MAQUETTE",
    organisation: str = HOSPITAL,
) -> Resource:
    """The metadata of a document, as PDSm wants them. `labels`: N, R, V and the marks of visibility."""
    source = {**patient(ins), "id": "src"}
    made: Resource = {
        "resourceType": "DocumentReference",
        "meta": {"profile": [PDSM + "pdsm-comprehensive-document-reference"]},
        "contained": [
            source,
            {
                "resourceType": "Organization",
                "id": "org",
                "identifier": [{"system": "https://finess.esante.gouv.fr", "value": organisation}],
                "name": "Hôpital fictif",
            },
            {
                "resourceType": "Practitioner",
                "id": "ps",
                "identifier": [
                    {"type": coded(FRC_TYPES, "RPPS"), "system": "https://rpps.esante.gouv.fr", "value": "99900000086"},
                ],
                "name": [{"family": author, "given": ["Alix"]}],
            },
            {
                "resourceType": "PractitionerRole",
                "id": "role",
                "practitioner": {"reference": "#ps"},
                "organization": {"reference": "#org"},
            },
        ],
        "masterIdentifier": {
            "use": "usual",
            "type": {"coding": [{"system": MHD + "CodeSystem/IHE.MHD.MHDIdentifierType", "code": "uniqueId"}]},
            "system": URI,
            "value": unique,
        },
        "identifier": [{"use": "official", "system": URI, "value": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, unique)}"}],
        "status": "current",
        "type": coded(LOINC, "11490-0"),
        "category": [coded(NOS + "TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument", "10")],
        "subject": {"reference": subject},
        "date": date,
        "author": [{"reference": "#role"}],
        "custodian": {"reference": "#org"},
        "securityLabel": [label(code) for code in labels],
        "content": [
            {
                "attachment": {
                    "contentType": media_type,
                    "language": "fr-FR",
                    "url": url,
                    "size": len(data),
                    "hash": base64.b64encode(hashlib.sha1(data).digest()).decode(),
                    "title": "Lettre de sortie",
                    "creation": date,
                },
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                },
            }
        ],
        "context": {
            "period": {"start": "2026-11-18", "end": "2026-11-20"},
            "facilityType": coded(NOS + "TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite", "SA01"),
            "practiceSetting": coded(NOS + "TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice", "ETABLISSEMENT"),
            "sourcePatientInfo": {"reference": "#src"},
        },
    }
    if replaces:
        made["relatesTo"] = [{"code": "replaces", "target": {"identifier": {"system": URI, "value": replaces}}}]
    return made


def label(code: str) -> Resource:
    """A confidentiality code or a mark of visibility."""
    system = (
        V3 + "Confidentiality"
        if len(code) == 1
        else NOS + "TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
    )
    return coded(system, code)


def submission_set(unique: str, subject: str, *references: str) -> Resource:
    """A submission set of PDSm."""
    return {
        "resourceType": "List",
        "meta": {"profile": [PDSM + "pdsm-submissionset-comprehensive"]},
        "contained": [{"resourceType": "Device", "id": "dev", "deviceName": [{"name": "Essai", "type": "user-friendly-name"}]}],
        "extension": [
            {
                "url": MHD + "StructureDefinition/ihe-designationType",
                "valueCodeableConcept": coded(NOS + "TRE_R209-TypeActivite/FHIR/TRE-R209-TypeActivite", "10"),
            },
            {
                "url": MHD + "StructureDefinition/ihe-sourceId",
                "valueIdentifier": {"system": URI, "value": "urn:oid:1.2.250.1.999.1"},
            },
        ],
        "identifier": [{"use": "usual", "system": URI, "value": unique}],
        "status": "current",
        "mode": "working",
        "title": "Envoi",
        "code": {"coding": [{"system": MHD + "CodeSystem/MHDlistTypes", "code": "submissionset"}]},
        "subject": {"reference": subject},
        "date": "2026-11-20T10:00:00+01:00",
        "source": {"reference": "#dev"},
        "entry": [{"item": {"reference": reference}} for reference in references],
    }


def urn(*names: str) -> str:
    """The fullUrl of a thing."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(names))}"


def entry(full_url: str, resource: Resource, condition: str = "") -> Resource:
    """A create, conditional or not."""
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": full_url, "resource": resource, "request": request | ({"ifNoneExist": condition} if condition else {})}


def transaction(
    number: int | str = 1, data: bytes = b"%PDF-1.7 essai", *, conditional: bool = True, ins: str = INS_ONE, **said: Any
) -> Resource:
    """One document of one patient, complete and right. `said` goes to `document`."""
    tag = str(number)
    unique, set_id = f"urn:oid:1.2.250.1.999.94.7.{tag}", f"urn:oid:1.2.250.1.999.95.{tag}"
    who, what, where, all_of = urn("patient", ins), urn("binary", tag), urn("document", tag), urn("set", tag)
    told = {"ins": ins, **said}
    by_id = f"identifier={URI}|"
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [PDSM + "pdsm-comprehensive-provide-document-bundle"]},
        "type": "transaction",
        "entry": [
            entry(all_of, submission_set(set_id, who, where), by_id + set_id if conditional else ""),
            entry(where, document(unique, data, url=what, subject=who, **told), by_id + unique if conditional else ""),
            entry(what, binary(data, str(said.get("media_type", "application/pdf")))),
            entry(who, patient(ins), f"identifier={INS_TEST_SYSTEM}|{ins}"),
        ],
    }


def unique_of(number: int | str) -> str:
    """The unique id of a document that `transaction` makes."""
    return f"urn:oid:1.2.250.1.999.94.7.{number}"


def resource_in(bundle: Resource, kind: str) -> Resource:
    """The first resource of a type in a Bundle."""
    found: Resource = next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind)
    return found


def changed(bundle: Resource, **at: Any) -> Resource:
    """A copy with the values at some paths of the DocumentReference changed; None takes an element away.

    A path is written with two underscores between steps: `content__0__attachment__size`.
    """
    made = copy.deepcopy(bundle)
    for path, value in at.items():
        node: Any = resource_in(made, "DocumentReference")
        *steps, last = path.split("__")
        for step in steps:
            node = node[int(step)] if step.isdigit() else node[step]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return made


def written(resource: Any) -> bytes:
    """As it travels."""
    return json.dumps(resource).encode()


def simple(number: int, data: bytes = b"simple") -> Resource:
    """An ITI-105 publication: the bytes are in the metadata."""
    made = document(unique_of(number), data, url="", subject="#src")
    made["meta"] = {"profile": [PDSM + "pdsm-simplified-publish"]}
    del made["identifier"]
    attachment = made["content"][0]["attachment"]
    del attachment["url"]
    attachment["data"] = base64.b64encode(data).decode()
    return made


def patch_labels(*codes: str) -> list[Resource]:
    """A JSON Patch of a document's visibility."""
    return [{"op": "replace", "path": "/securityLabel", "value": [label(code) for code in codes]}]
