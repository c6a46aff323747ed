"""The transaction form of any published document, for software that takes resources and not documents. Pure.

Law: FHIR R4 §3.1.0.11; blueprint seam 14; fhir-profiles §5 (identity by INS first). Structures and persons with a national number
are created only where the server does not know them. A patient is matched by INS alone, and by nothing when the identity is
provisional: always created then, for a person to link. The document itself goes with them, as a DocumentReference.
"""

from __future__ import annotations

from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.bundle import full_url
from adapter.packaging.names import transaction_id

Resource = dict[str, Any]
_CONDITIONAL = {
    "Organization": (p.FINESS_SYSTEM,),
    "Practitioner": (p.RPPS_SYSTEM,),
    "Patient": tuple(f"urn:oid:{oid}" for oid in p.INS_TYPE_CODES),
}
# They speak of the document, which stays whole beside.
_OF_THE_DOCUMENT = ("Composition", "Provenance")


def letter_transaction(bundle: Resource, reference: Resource) -> Resource:
    """The resources of a document Bundle, each with how to create it, and the document's own DocumentReference last."""
    resources = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] not in _OF_THE_DOCUMENT]
    entries = [_post(resource) for resource in resources]
    master = reference["masterIdentifier"]
    document = {"method": "POST", "url": "DocumentReference", "ifNoneExist": f"identifier={master['system']}|{master['value']}"}
    entries.append({"fullUrl": f"urn:uuid:{reference['id']}", "resource": reference, "request": document})
    return {"resourceType": "Bundle", "id": transaction_id(bundle), "type": "transaction", "entry": entries}


def _post(resource: Resource) -> Resource:
    kind = resource["resourceType"]
    request = {"method": "POST", "url": kind}
    systems = _CONDITIONAL.get(kind, ())
    known = next((one for one in resource.get("identifier", []) if one.get("system") in systems and one.get("value")), None)
    if known is not None:
        request["ifNoneExist"] = f"identifier={known['system']}|{known['value']}"
    return {"fullUrl": full_url(resource), "resource": resource, "request": request}
