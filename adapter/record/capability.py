"""What the record says that it does: its CapabilityStatement, made from the very tables that it works by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.narrative import generated
from adapter.fhir.search import Kind
from adapter.record import profile_rules as rules
from adapter.record.parameters import TABLES, Searchable

Resource = dict[str, Any]

_IGS = "https://interop.esante.gouv.fr/ig/fhir/pdsm/CapabilityStatement/"
_MHD_CAPABILITIES = "https://profiles.ihe.net/ITI/MHD/CapabilityStatement/"
# The actors of MHD 4.2.3 that it plays, for PDSm's flows.
INSTANTIATES = (
    _MHD_CAPABILITIES + "IHE.MHD.DocumentRecipient.Comprehensive",
    _MHD_CAPABILITIES + "IHE.MHD.DocumentResponder",
)
_INTERACTIONS: Mapping[str, tuple[str, ...]] = {
    "DocumentReference": ("create", "patch", "read", "vread", "search-type"),
    "List": ("read", "vread", "search-type"),
    "Binary": ("read",),
    "Bundle": ("read",),
    "Patient": ("create", "read", "search-type"),
    "Consent": ("create", "read", "search-type"),
    "AuditEvent": ("read", "search-type"),
}
_PROFILES: Mapping[str, tuple[str, ...]] = {
    "DocumentReference": (rules.PDSM_DOCUMENT, rules.PDSM_SIMPLIFIED),
    "List": (rules.PDSM + "pdsm-submissionset-comprehensive",),
    "Patient": (p.PATIENT_INS,),
}
AUDIT_PARAMETERS = (
    ("date", Kind.DATE, "L’instant."),
    ("agent", Kind.STRING, "Le nom du client, exactement."),
    ("entity", Kind.REFERENCE, "La ressource, par Type/id."),
    ("patient", Kind.REFERENCE, "Le patient, par Patient/id."),
)


def capability_statement(*, base: str, name: str, version: str, date: str) -> Resource:
    """The statement of one instance. `date` is when this version was released or started."""
    return {
        "resourceType": "CapabilityStatement",
        "text": generated(f"Dossier partagé de {name}"),
        "url": f"{base}/metadata",
        "version": version,
        "name": "TraitDUnionRecord",
        "title": f"Dossier partagé de {name}",
        "status": "active",
        "date": date,
        "kind": "instance",
        "description": "Dossier partagé intégré : MHD Document Recipient et Document Responder, profils PDSm 3.1.1.",
        "instantiates": list(INSTANTIATES),
        "software": {"name": "Trait d’union", "version": version},
        "implementation": {"description": f"Dossier partagé de {name}", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "patchFormat": ["application/fhir+json", "application/json-patch+json"],
        "implementationGuide": [
            "https://interop.esante.gouv.fr/ig/fhir/pdsm/ImplementationGuide/ans.fhir.fr.pdsm|3.1.1",
            "https://profiles.ihe.net/ITI/MHD/ImplementationGuide/ihe.iti.mhd|4.2.3",
        ],
        "rest": [
            {
                "mode": "server",
                "documentation": "Un jeton Bearer par client. Un paramètre de recherche inconnu est refusé.",
                "security": {
                    "cors": False,
                    "service": [
                        {
                            "coding": [
                                {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "OAuth"}
                            ]
                        }
                    ],
                },
                "resource": [_resource(kind) for kind in _INTERACTIONS],
                "interaction": [
                    {
                        "code": "transaction",
                        "documentation": "ITI-65 ; profils : " + ", ".join(sorted(rules.TRANSACTION_PROFILES)),
                    }
                ],
            }
        ],
    }


def _resource(kind: str) -> Resource:
    stated: Resource = {"type": kind}
    if kind in _PROFILES:
        stated["supportedProfile"] = list(_PROFILES[kind])
    stated |= {
        "interaction": [{"code": code} for code in _INTERACTIONS[kind]],
        "versioning": "versioned" if kind in ("DocumentReference", "List", "Patient", "Consent") else "no-version",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": kind == "DocumentReference",
        "conditionalRead": "not-match",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
    }
    parameters = [_parameter(one) for one in TABLES.get(kind, ())]
    if kind == "AuditEvent":
        parameters = [{"name": name, "type": sort.value, "documentation": text} for name, sort, text in AUDIT_PARAMETERS]
    if parameters:
        stated["searchParam"] = parameters
    return stated


def _parameter(searchable: Searchable) -> Resource:
    modifiers = "".join(f" Modificateur :{one}." for one in sorted(searchable.parameter.modifiers))
    return {
        "name": searchable.name,
        "type": searchable.parameter.kind.value,
        "documentation": searchable.text + modifiers,
    }
