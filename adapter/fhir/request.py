"""The order: one ServiceRequest per exam, under the form's one requisition.

Sources: FR Document Core `fr-service-request-imaging-document` (draft) and EU imaging order, both met; fhir-profiles §5.
Urgency: urgent → `asap`, semi-urgent → `urgent`, non urgent → `routine`: R4 orders routine < urgent < asap < stat, and `stat`
is a vital risk. The form's own word stands in a note, since a display of these codes would betray it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.narrative import generated
from adapter.model.confidential import Confidential
from adapter.model.document import Code

Resource = dict[str, Any]

_IMAGING = {"system": p.SNOMED, "code": "363679005", "display": "Imaging"}


@dataclass(frozen=True, repr=False)
class RequestedExam(Confidential):
    """One exam of a form. `wording` is the whole act in French; `region_text` the region (and side) in the form's words."""

    identifier: str
    modality: Code
    wording: str
    region_text: str
    sites: tuple[Code, ...] = ()
    detail: str = ""


@dataclass(frozen=True, repr=False)
class Order(Confidential):
    """What all exams of one form share. References are FHIR References; `requisition` is the form's number.

    `start` and `end` are ISO dates or instants: the request, and the latest moment that the agreement allows (or empty).
    `namespace` is the URI under which our own numbers (PLAC, requisition) are unique.
    """

    requisition: str
    namespace: str
    priority: str
    authored: str
    start: str
    end: str
    aim: str
    subject: Resource
    encounter: Resource
    requester: Resource
    performer: Resource
    supporting: tuple[Resource, ...] = ()
    notes: tuple[str, ...] = ()


def service_request(exam: RequestedExam, order: Order, *, resource_id: str) -> Resource:
    """The ServiceRequest of one exam. A sent order never changes its meaning: a correction is another order."""
    occurrence = {"start": order.start} | ({"end": order.end} if order.end else {})
    resource: Resource = {
        "resourceType": "ServiceRequest",
        "id": resource_id,
        "meta": {"profile": [p.SERVICE_REQUEST_IMAGING]},
        "text": generated(exam.wording),
        "extension": [_reason(order.aim)],
        "identifier": [
            {
                "type": {"coding": [{"system": p.V2_IDENTIFIER_TYPES, "code": "PLAC"}]},
                "system": f"{order.namespace}/placer-order",
                "value": exam.identifier,
            }
        ],
        "requisition": requisition_of(order),
        "status": "active",
        "intent": "order",
        "category": [{"coding": [_IMAGING]}, {"coding": [_coding(exam.modality)]}],
        "priority": order.priority,
        "code": {"text": exam.wording},
        "subject": order.subject,
        "encounter": order.encounter,
        "occurrencePeriod": occurrence,
        "authoredOn": order.authored,
        "requester": order.requester,
        "performer": [order.performer],
        "reasonCode": [{"text": order.aim}],
    }
    if order.supporting:
        resource["supportingInfo"] = list(order.supporting)
    resource["bodySite"] = _body_sites(exam)
    notes = [*order.notes, *([exam.detail] if exam.detail else [])]
    if notes:
        resource["note"] = [{"text": text} for text in notes]
    return resource


def requisition_of(order: Order) -> Resource:
    """The Identifier that all lines of one form share."""
    return {"system": f"{order.namespace}/requisition", "value": order.requisition}


def _reason(aim: str) -> Resource:
    """R5 ServiceRequest.reason in R4: the aim of the exam (finaliteExamen)."""
    return {"url": p.EXT_REQUEST_REASON, "extension": [{"url": "concept", "valueCodeableConcept": {"text": aim}}]}


def _body_sites(exam: RequestedExam) -> list[Resource]:
    """One per known site, each with the form's own words; a region that no table knows is its words alone."""
    if not exam.sites:
        return [{"text": exam.region_text}]
    return [{"coding": [_coding(site)], "text": exam.region_text} for site in exam.sites]


def _coding(code: Code) -> Resource:
    coding: Resource = {"system": code.system, "code": code.code}
    if code.label:
        coding["display"] = code.label
    return coding
