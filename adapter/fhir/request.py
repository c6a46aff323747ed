"""The order: one ServiceRequest per exam, under the form's one requisition.

Sources: FR Document Core `fr-service-request-imaging-document` (draft) and EU imaging order, both met; fhir-profiles §5.
Urgency: urgent → `asap`, semi-urgent → `urgent`, non urgent → `routine`: R4 orders routine < urgent < asap < stat, and `stat`
is a vital risk. The form's own word stands in a note, since a display of these codes would betray it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.service_request import active_request
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
    """The ServiceRequest of one exam; its reason is the aim of the exam (finaliteExamen)."""
    placer = {"coding": [{"system": p.V2_IDENTIFIER_TYPES, "code": "PLAC"}]}
    number = {"type": placer, "system": f"{order.namespace}/placer-order", "value": exam.identifier}
    period = {"start": order.start} | ({"end": order.end} if order.end else {})
    return active_request(
        resource_id, exam.wording, profile=p.SERVICE_REQUEST_IMAGING, reason=order.aim, identifier=number,
        requisition=requisition_of(order), intent="order", category=[_IMAGING, _coding(exam.modality)], priority=order.priority,
        code={"text": exam.wording}, subject=order.subject, encounter=order.encounter, occurrence={"occurrencePeriod": period},
        authored=order.authored, requester=order.requester, performer=order.performer, supporting=order.supporting,
        notes=(*order.notes, *((exam.detail,) if exam.detail else ())), body_sites=_body_sites(exam),
    )  # fmt: skip


def requisition_of(order: Order) -> Resource:
    """The Identifier that all lines of one form share."""
    return {"system": f"{order.namespace}/requisition", "value": order.requisition}


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
