"""ServiceRequest and Task of the Import API: read, search, and what a practice's software makes of a request.

A ServiceRequest stands alone, with what it refers to contained. A Task is projected from the request's steps, and tells besides
what the software did with the document. Updating it is asking for a step, or giving an outcome: kept by the ledger's verbs,
audited, under If-Match; what comes from the request never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi import Response

from adapter.errors import InputError
from adapter.fhir.bundle import resources_of
from adapter.fhir.profiles import EXT_ORIGINAL_LITERAL
from adapter.fhir.search import Kind, Parameter, Query, SearchRules, Span, parameters, span_of
from adapter.fhir.standing_alone import standing_alone
from adapter.ledger.import_records import Sought
from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState
from adapter.model.request import RequestStep
from adapter.requests.steps import project_task
from adapter.requests.task_alone import Received, task_alone
from adapter.requests.transitions import AskedOutcome, AskedStep, check_follows, read_asked
from adapter.tracking.import_outcomes import final_outcomes, import_outcomes
from adapter.web.fhir_http import (
    check_if_match,
    input_refusal,
    is_known,
    not_found,
    not_modified,
    parse_resource,
    precondition_failed,
    refusal,
    resource_answer,
)
from adapter.web.import_access import Ask, ImportDoor
from adapter.web.import_acknowledge import Word, keep_outcome, spoken_of
from adapter.web.import_search import (
    DEFAULT_COUNT,
    MOST_COUNT,
    ImportSearch,
    Pairs,
    Says,
    Searched,
    patients_of,
    says_changed,
    says_code,
    says_id,
    says_identifiers,
    says_patient,
)
from adapter.web.import_standing import Shown, shown_named, steps_of

Resource = dict[str, Any]
_COMMON = (
    Parameter("_id", Kind.TOKEN),
    Parameter("_lastUpdated", Kind.DATE),
    Parameter("identifier", Kind.TOKEN),
    Parameter("status", Kind.TOKEN),
    Parameter("patient", Kind.TOKEN, frozenset({"identifier"})),
    Parameter("patient.identifier", Kind.TOKEN),
)
REQUEST_PARAMETERS = parameters(*_COMMON, Parameter("authored", Kind.DATE), Parameter("requisition", Kind.TOKEN))
TASK_PARAMETERS = parameters(*_COMMON, Parameter("authored-on", Kind.DATE), Parameter("based-on", Kind.REFERENCE))


def _says_date(name: str) -> Says:
    def says(_shown: Shown, part: Resource) -> list[Span]:
        span = span_of(part.get(name, ""))
        return [span] if span is not None else []

    return says


def _says_updated(_shown: Shown, part: Resource) -> list[Span]:
    span = span_of(part["meta"]["lastUpdated"])
    return [span] if span is not None else []


def _says_based_on(_shown: Shown, part: Resource) -> Pairs:
    return [("ServiceRequest", str(one.get("reference", "")).rpartition("/")[2]) for one in part.get("basedOn", ())]


_SAYS: dict[str, Says] = {
    "_id": says_id,
    "identifier": says_identifiers,
    "patient": says_patient,
    "patient.identifier": says_patient,
}
_REQUEST_SAYS: dict[str, Says] = {
    **_SAYS,
    "_lastUpdated": says_changed,
    "status": says_code("status", "http://hl7.org/fhir/request-status"),
    "authored": _says_date("authoredOn"),
    "requisition": says_identifiers,
}
_TASK_SAYS: dict[str, Says] = {
    **_SAYS,
    "_lastUpdated": _says_updated,
    "status": says_code("status", "http://hl7.org/fhir/task-status"),
    "authored-on": _says_date("authoredOn"),
    "based-on": _says_based_on,
}


@dataclass(frozen=True, repr=False)
class HeldTask(Confidential):
    """A request's Task as it stands, with what it is made of."""

    shown: Shown
    steps: list[RequestStep]
    task: Resource

    @property
    def version(self) -> int:
        """Grows with each step and each outcome."""
        return int(self.task["meta"]["versionId"])


class ImportRequests:
    """The handlers of ServiceRequest and Task."""

    def __init__(self, door: ImportDoor) -> None:
        self._door = door

        def searched(kind: str, known: dict[str, Parameter], says: dict[str, Says], parts: Any) -> ImportSearch:
            zone = door.settings.zone
            rules = SearchRules(known, default_count=DEFAULT_COUNT, most_count=MOST_COUNT, zone=zone)
            return ImportSearch(door, Searched(kind, rules, says, parts, _narrow))

        self._orders = searched("ServiceRequest", REQUEST_PARAMETERS, _REQUEST_SAYS, orders_of)
        self._tasks = searched("Task", TASK_PARAMETERS, _TASK_SAYS, self._tasks_of)

    # ── read ──────────────────────────────────────────────────────────────────────────────────────────────────

    def search_orders(self, ask: Ask) -> Response:
        """A page of ServiceRequests."""
        return resource_answer(self._orders.answer(ask))

    def search_tasks(self, ask: Ask) -> Response:
        """A page of Tasks."""
        return resource_answer(self._tasks.answer(ask))

    def read_order(self, ask: Ask) -> Response:
        """One ServiceRequest, standing alone."""
        shown = shown_named(self._door.ledger, ask.caller.client.readers, ask.id)
        found = [one for one in orders_of(shown) if one["id"] == ask.id]
        if not found:
            raise not_found()
        version = shown.standing.version
        if is_known(ask.request, version):
            return not_modified(version)
        self._door.audit(ask.caller, "import.read", "delivery", shown.standing.head.id, "ServiceRequest")
        return resource_answer(found[0], version=version, changed=shown.standing.changed)

    def read_task(self, ask: Ask) -> Response:
        """One Task."""
        held = self._held(ask)
        if is_known(ask.request, held.version):
            return not_modified(held.version)
        self._door.audit(ask.caller, "import.read", "delivery", held.shown.standing.head.id, "Task")
        return self._answer(held)

    # ── update ────────────────────────────────────────────────────────────────────────────────────────────────

    def update_task(self, ask: Ask) -> Response:
        """A step, or an outcome; the Task as it then stands."""
        sent = parse_resource(ask.body, EXT_ORIGINAL_LITERAL, "Task")
        held = self._held(ask)
        if sent.get("id") != ask.id:
            text = "L’id de la Task n’est pas celui de l’adresse."
            raise refusal(HTTPStatus.BAD_REQUEST, "value", "task.other-id", text, "Task.id")
        if ask.request.headers.get("if-match") is None:
            text, remedy = "If-Match est nécessaire pour changer une Task.", "Y mettre l’ETag de la dernière lecture."
            raise refusal(HTTPStatus.PRECONDITION_REQUIRED, "required", "task.no-if-match", text, "If-Match", remedy)
        check_if_match(ask.request, held.version)
        try:
            asked = read_asked(sent, held.task)
            if isinstance(asked, AskedStep):
                self._take_step(ask, held, asked)
        except InputError as error:
            raise input_refusal(error, HTTPStatus.UNPROCESSABLE_ENTITY) from None
        if isinstance(asked, AskedOutcome):
            self._take_outcome(ask, held, asked)
        return self._answer(self._held(ask))

    def _take_step(self, ask: Ask, held: HeldTask, asked: AskedStep) -> None:
        last = held.steps[-1]
        if (asked.kind, asked.note, asked.start, asked.end) == (last.kind, last.note, last.planned_start, last.planned_end):
            return  # said again: nothing new
        check_follows(last.kind, asked)
        step = RequestStep(
            request_id=last.request_id,
            kind=asked.kind,
            at=self._door.clock(),
            by=ask.caller.name,
            note=asked.note,
            planned_start=asked.start,
            planned_end=asked.end,
        )
        submission_id, entity = held.shown.standing.head.submission_id, held.shown.submission.legal_entity
        if not self._door.ledger.append_request_step(submission_id, step, len(held.steps), legal_entity=entity):
            raise precondition_failed()

    def _take_outcome(self, ask: Ask, held: HeldTask, asked: AskedOutcome) -> None:
        failures = [code for code, one in import_outcomes().items() if one.proves is DeliveryState.REFUSED]
        if asked.outcome not in ("integrated", *failures):
            text, where = "Cette issue n’est pas un échec de la liste.", "Task.statusReason.coding"
            remedy = f"Échecs reconnus : {', '.join(failures)}."
            raise refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "value", "import.bad-outcome", text, where, remedy)
        keep_outcome(self._door, ask, spoken_of(held.shown), Word(import_outcomes()[asked.outcome], asked.note))

    # ── from documents to Tasks ───────────────────────────────────────────────────────────────────────────────

    def _held(self, ask: Ask) -> HeldTask:
        held = self._task_of(shown_named(self._door.ledger, ask.caller.client.readers, ask.id))
        if held is None or held.task["id"] != ask.id:
            raise not_found()
        return held

    def _tasks_of(self, shown: Shown) -> list[Resource]:
        held = self._task_of(shown) if shown.standing.has_content else None
        return [held.task] if held is not None else []

    def _task_of(self, shown: Shown) -> HeldTask | None:
        """The Task of a document that asks for something; None for any other."""
        steps = steps_of(self._door.ledger, shown)
        if not steps or not resources_of(shown.bundle, "ServiceRequest"):
            return None
        zone = self._door.settings.zone
        told = [one.outcome for one in shown.standing.publications if one.outcome]
        version = len(steps) + len(told) + sum(outcome in final_outcomes() for outcome in told)
        task = project_task(steps, shown.bundle, zone=zone)
        return HeldTask(shown, steps, task_alone(task, shown.bundle, version, _received(shown), zone))

    @staticmethod
    def _answer(held: HeldTask) -> Response:
        changed = datetime.fromisoformat(held.task["meta"]["lastUpdated"])
        return resource_answer(held.task, version=held.version, changed=changed)


def _received(shown: Shown) -> Received | None:
    """What was said of the document that stands."""
    head = shown.standing.head
    outcome = import_outcomes().get(head.outcome)
    if outcome is None or head.outcome_at is None:
        return None
    return Received(outcome.code, outcome.label, outcome.proves is DeliveryState.REFUSED, head.outcome_at)


def orders_of(shown: Shown) -> list[Resource]:
    """A document's ServiceRequests, each standing alone; none of a document that is no longer the current one."""
    if not shown.standing.has_content:
        return []
    return [standing_alone(one, shown.bundle) for one in resources_of(shown.bundle, "ServiceRequest")]


def _narrow(query: Query) -> Sought:
    return Sought(patients=patients_of(query), requests_only=True)
