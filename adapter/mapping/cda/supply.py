"""Supplies: what was delivered, what is asked to be delivered (medicines, devices for care)."""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.mapping.cda.context import Built, EntryContext, Fhir, authors, read_basics
from adapter.mapping.cda.observation import request_status
from adapter.mapping.xml_source import XmlNode

_PRODUCT = "product/manufacturedProduct/manufacturedMaterial/code"
_DEVICE = "participant/participantRole/playingDevice/code"
_REQUEST_STATUSES = {"revoked": "cancelled", "on-hold": "suspended"}
_ABSENT = {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}]}


def build_supply(node: XmlNode, at: EntryContext) -> Built:
    """Done is a SupplyDelivery; anything else a SupplyRequest."""
    basics = read_basics(node, at)
    item = at.values.concept(node.first(_PRODUCT)) or at.values.concept(node.first(_DEVICE)) or {}
    label = str(item.get("text") or (item.get("coding") or [{}])[0].get("display") or basics.text or "Fourniture")
    quantity = at.values.quantity(node.first("quantity"))
    status = node.value_at("statusCode/@code")
    when = at.values.when(node.first("effectiveTime"), "occurrence")
    if node.look("moodCode") in (None, "", "EVN"):
        supplied: Fhir = {"quantity": quantity, "itemCodeableConcept": item or {"text": label}}
        found = clinical.of_patient(
            "SupplyDelivery", at.mint("SupplyDelivery"), label, patient=at.subject,
            status="abandoned" if node.get("negationInd") == "true" else "in-progress" if status == "active" else "completed",
            extension=basics.extension, identifier=basics.identifier, **when,
            suppliedItem={key: value for key, value in supplied.items() if value},
        )  # fmt: skip
        return Built((found,))
    wrote = authors(node, at)
    told = "revoked" if node.get("negationInd") == "true" else request_status(status)
    requested = clinical.resource(
        "SupplyRequest", at.mint("SupplyRequest"), label, status=_REQUEST_STATUSES.get(told, told),
        itemCodeableConcept=item or {"text": label}, quantity=quantity or _ABSENT, extension=basics.extension,
        identifier=basics.identifier, **when, requester=wrote[0] if wrote else None,
    )  # fmt: skip
    return Built((requested,))
