"""Appointments of a patient: those that letters and answers hold, and those that a request's steps say without a document.

A request's last step rules: what was planned before a refusal is cancelled, a new day takes the place of the old one.
Source: FHIR R4 Appointment (app-3: without both instants it is only proposed).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapter.coordination.held import HeldDocument
from adapter.fhir.bundle import Ids, full_url, resources_of
from adapter.fhir.narrative import generated
from adapter.fhir.standing_alone import standing_alone
from adapter.model.request import StepKind

Resource = dict[str, Any]

_KINDS = {StepKind.SCHEDULED: "Séjour", StepKind.ORIENTATION: "Consultation d’orientation"}


def appointments_of(documents: Sequence[HeldDocument]) -> list[Resource]:
    """The patient's appointments, the latest first."""
    requests = [held for held in documents if held.steps]
    settled = {step.answer_document for held in requests for step in held.steps if step.answer_document}
    numbers = {held.submission.control_id for held in requests} - {""}
    found = [
        standing_alone(appointment, held.bundle)
        for held in documents
        for appointment in resources_of(held.bundle, "Appointment")
        if held.submission.document.unique_id not in settled and not _asked_for(appointment) & numbers
    ]
    found += [made for held in requests for made in _of_request(held)]
    return sorted(found, key=_moment, reverse=True)


def _asked_for(appointment: Resource) -> set[str]:
    """The numbers of the requests that it answers."""
    return {str(based["identifier"]["value"]) for based in appointment.get("basedOn", ()) if "identifier" in based}


def _moment(appointment: Resource) -> str:
    wished = appointment.get("requestedPeriod", [{}])[0]
    return str(appointment.get("start") or wished.get("start") or appointment.get("created", ""))


def _of_request(held: HeldDocument) -> list[Resource]:
    """What a request came to: the day of its newest step that gives one, as far as it still stands."""
    planned = [step for step in held.steps if step.kind in _KINDS and step.planned_start]
    orders = resources_of(held.bundle, "ServiceRequest")
    if not planned or not orders:
        return []
    step, last, order = planned[-1], held.steps[-1], orders[0]
    refused = last.kind is StepKind.REJECTED
    booked = "T" in step.planned_start and "T" in step.planned_end
    when = {"start": step.planned_start} | ({"end": step.planned_end} if step.planned_end else {})
    kind = _KINDS[step.kind]
    resource: Resource = {
        "resourceType": "Appointment",
        "id": Ids(f"appointment/{step.request_id}").mint("Appointment", step.kind.value),
        "text": generated(f"{kind} : {step.planned_start[:10]}"),
        "status": "cancelled" if refused else "booked" if booked else "proposed",
        **({"cancelationReason": {"text": last.note or "Refus"}} if refused else {}),
        "serviceType": [{"text": kind}],
        "description": kind,
        **(when if booked else {"requestedPeriod": [when]}),
        "created": step.at.isoformat(timespec="seconds"),
        "basedOn": [{"type": "ServiceRequest", "identifier": order["requisition"]}],
        "participant": [
            {"actor": order["subject"], "required": "required", "status": "needs-action"},
            {
                "actor": _giver(held, order["performer"][0]),
                "required": "required",
                "status": "declined" if refused else "accepted",
            },
        ],
    }
    return [standing_alone(resource, held.bundle)]


def _giver(held: HeldDocument, performer: Resource) -> Resource:
    """Who gives it: a structure may not be an actor of an Appointment, so it is named in words."""
    places = resources_of(held.bundle, "Organization")
    named = next((place["name"] for place in places if full_url(place) == performer.get("reference")), "")
    return {"display": named} if named else performer
