"""A request's steps to its FHIR Task: the living state, kept outside the immutable document.

Sources: HL7 Clinical Order Workflows (Task.code `fulfill`, focus = order, owner = fulfiller); fhir-profiles §5.
One form is one Task: it is answered as a whole. Its focus is the form's first order, `basedOn` all of them,
`groupIdentifier` the requisition that they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from adapter.errors import InputError
from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, full_url, reference_to, resources_of
from adapter.fhir.narrative import generated
from adapter.model.request import RequestStep, StepKind

Resource = dict[str, Any]

_PARIS = ZoneInfo("Europe/Paris")
_TASK_CODES = "http://hl7.org/fhir/CodeSystem/task-code"
# `on-hold` until the requester answers; an orientation consultation is work begun, not yet the stay's acceptance.
_STATUS = {
    StepKind.REQUESTED: "requested",
    StepKind.MORE_INFORMATION: "on-hold",
    StepKind.ORIENTATION: "in-progress",
    StepKind.ACCEPTED: "accepted",
    StepKind.SCHEDULED: "accepted",
    StepKind.REJECTED: "rejected",
}
_SAID = {
    StepKind.MORE_INFORMATION: "Informations complémentaires demandées",
    StepKind.ORIENTATION: "Consultation d’orientation d’abord",
    StepKind.ACCEPTED: "Accord, date à fixer",
    StepKind.SCHEDULED: "Accord, date fixée",
    StepKind.REJECTED: "Refus",
}
_PLANNED = {StepKind.SCHEDULED: "Séjour prévu", StepKind.ORIENTATION: "Consultation d’orientation prévue"}
# Of a refusal or a question, the words are why the Task stands as it does.
_WHY = frozenset({StepKind.REJECTED, StepKind.MORE_INFORMATION, StepKind.ORIENTATION})
# Resources that a server holds as such; the Composition stays with the document.
_OF_THE_DOCUMENT = ("Composition", "Provenance")
_CONDITIONAL = {"Organization": p.FINESS_SYSTEM, "Practitioner": p.RPPS_SYSTEM}


def project_task(steps: Sequence[RequestStep], bundle: Resource, *, zone: ZoneInfo = _PARIS) -> Resource:
    """The Task of a request, its steps oldest first: the same steps and document give the same Task.

    How the service takes it (simple or complex pathway) stands in the order, as the directory said on the day it came.
    """
    orders = resources_of(bundle, "ServiceRequest")
    if not steps or not orders:
        raise InputError("request.no-order", "A Task needs at least one step and one order.", where="ServiceRequest")
    first, last, order = steps[0], steps[-1], orders[0]
    task_id = Ids(f"request/{first.request_id}").mint("Task")
    task: Resource = {
        "resourceType": "Task",
        "id": task_id,
        "text": generated(_caption(order)),
        "identifier": [{"system": p.URI_SYSTEM, "value": f"urn:uuid:{task_id}"}],
        "basedOn": [reference_to(each) for each in orders],
        "groupIdentifier": order["requisition"],
        "status": _STATUS[last.kind],
        "intent": "order",
        "priority": order["priority"],
        "code": {"coding": [{"system": _TASK_CODES, "code": "fulfill"}]},
        "focus": reference_to(order),
        "for": order["subject"],
        "encounter": order["encounter"],
        "authoredOn": first.at.astimezone(zone).isoformat(timespec="seconds"),
        "lastModified": last.at.astimezone(zone).isoformat(timespec="seconds"),
        "requester": order["requester"],
        "owner": order["performer"][0],
    }
    due = next((step.answer_due for step in reversed(steps) if step.answer_due), None)
    if due:
        task["restriction"] = {"period": {"end": due.astimezone(zone).isoformat(timespec="seconds")}}
    task |= _state(last)
    pathway = next((e["valueCodeableConcept"] for e in order.get("extension", []) if e["url"] == p.EXT_PATHWAY), None)
    if pathway:
        task["input"] = [{"type": _ours("request-input", "pathway", "Parcours"), "valueCodeableConcept": pathway}]
    planned = [_planned(step) for step in steps if step is last and step.planned_start and step.kind in _PLANNED]
    if planned:
        task["output"] = planned
    notes = [{"time": step.at.astimezone(zone).isoformat(timespec="seconds"), "text": step.note} for step in steps if step.note]
    if notes:
        task["note"] = notes
    return task


def _state(step: RequestStep) -> Resource:
    """What the last step says beyond the status: which answer it was, and why."""
    if step.kind not in _SAID:
        return {}
    state: Resource = {"businessStatus": _ours("request-step", step.kind.value, _SAID[step.kind])}
    if step.note and step.kind in _WHY:
        state["statusReason"] = {"text": step.note}
    return state


def _planned(step: RequestStep) -> Resource:
    """The day or hours given, with the precision that they were given with."""
    period = {"start": step.planned_start} | ({"end": step.planned_end} if step.planned_end else {})
    return {"type": _ours("request-output", f"{step.kind.value}-period", _PLANNED[step.kind]), "valuePeriod": period}


def _ours(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": f"{p.OUR_CODES}{system}", "code": code, "display": display}]}


def _caption(order: Resource) -> str:
    imaging = p.SERVICE_REQUEST_IMAGING in order.get("meta", {}).get("profile", ())
    return "Suivi de la demande d’examen" if imaging else "Suivi de la demande"


def order_transaction(bundle: Resource, task: Resource) -> Resource:
    """The transaction form of a request for software that imports it: the document's resources and the Task.

    A structure or a person with a national number is created only if the server does not know it; a patient of a form is
    provisional, hence never matched by software: always created, for a person to link.
    """
    resources = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] not in _OF_THE_DOCUMENT]
    return {
        "resourceType": "Bundle",
        "id": Ids(f"transaction/{bundle['id']}").mint("Bundle"),
        "type": "transaction",
        "entry": [_post(resource) for resource in [*resources, task]],
    }


def _post(resource: Resource) -> Resource:
    kind = resource["resourceType"]
    request = {"method": "POST", "url": kind}
    system = _CONDITIONAL.get(kind, "")
    known = next((i["value"] for i in resource.get("identifier", []) if i.get("system") == system), "") if system else ""
    if known:
        request["ifNoneExist"] = f"identifier={system}|{known}"
    return {"fullUrl": full_url(resource), "resource": resource, "request": request}
