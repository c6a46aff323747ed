"""Which step may follow which in the life of a request, and what a Task sent by a practice's software asks for. Pure.

Sources: fhir-profiles §5 (states of HL7 Clinical Order Workflows); domain §2 row 7. A refusal is the last word: a new request is
made after it. The same state again, with nothing new, is no step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.errors import InputError
from adapter.fhir import profiles as p
from adapter.fhir.search import Span, span_of
from adapter.model.confidential import Confidential
from adapter.model.request import StepKind

Resource = dict[str, Any]
K = StepKind

MAY_FOLLOW: dict[StepKind, frozenset[StepKind]] = {
    K.REQUESTED: frozenset({K.MORE_INFORMATION, K.ORIENTATION, K.ACCEPTED, K.SCHEDULED, K.REJECTED}),
    K.MORE_INFORMATION: frozenset({K.MORE_INFORMATION, K.ORIENTATION, K.ACCEPTED, K.SCHEDULED, K.REJECTED}),
    K.ORIENTATION: frozenset({K.MORE_INFORMATION, K.ORIENTATION, K.ACCEPTED, K.SCHEDULED, K.REJECTED}),
    K.ACCEPTED: frozenset({K.MORE_INFORMATION, K.SCHEDULED, K.REJECTED}),
    K.SCHEDULED: frozenset({K.SCHEDULED, K.REJECTED}),
    K.REJECTED: frozenset(),
}
# Of a Task, what the order says: it never changes.
FIXED = ("basedOn", "groupIdentifier", "intent", "code", "focus", "for", "encounter", "requester", "owner", "authoredOn")
OUTCOME_CODES = p.OUR_CODES + "import-outcome"
_PERIODS = p.OUR_CODES + "request-output"
_LONGEST_NOTE = 2000
_ASKS = {"accepted": K.ACCEPTED, "rejected": K.REJECTED, "on-hold": K.MORE_INFORMATION, "in-progress": K.ORIENTATION}
_WITH_REASON = frozenset({K.REJECTED, K.MORE_INFORMATION})
_WORDS = "accepted, rejected, on-hold, in-progress, received, failed"


@dataclass(frozen=True, repr=False)
class AskedStep(Confidential):
    """A step that a Task asks for: a request's next state."""

    kind: StepKind
    note: str = ""
    start: str = ""
    end: str = ""


@dataclass(frozen=True, repr=False)
class AskedOutcome(Confidential):
    """What the software did with the request's document: a code of the closed list (`integrated` for *received*)."""

    outcome: str
    note: str = ""


def read_asked(task: Resource, current: Resource) -> AskedStep | AskedOutcome:
    """What a Task asks for, against the one that is held; InputError `task.*` otherwise."""
    changed = [name for name in FIXED if name in task and task[name] != current.get(name)]
    if changed:
        raise InputError("task.fixed", "Ce qui vient de la demande ne change pas.", where=f"Task.{changed[0]}", remedy="Relire.")
    status, note = str(task.get("status", "")), _note(task)
    if status == "received":
        return AskedOutcome("integrated", note)
    if status == "failed":
        return AskedOutcome(_outcome(task), note)
    kind = _ASKS.get(status)
    if kind is None:
        raise InputError("task.bad-status", "Cet état n’est pas de ceux qui se demandent.", where="Task.status", remedy=_WORDS)
    start, end = _period(task, kind)
    if kind is K.ACCEPTED and start:
        kind = K.SCHEDULED
    if kind in _WITH_REASON and not note:
        raise InputError("task.no-reason", "Un motif est nécessaire.", where="Task.statusReason.text", remedy="Écrire le motif.")
    return AskedStep(kind, note, start, end)


def check_follows(before: StepKind, asked: AskedStep) -> None:
    """Refuse a step that may not follow; InputError `task.illegal-transition`."""
    if asked.kind not in MAY_FOLLOW[before]:
        text = f"Une demande dans l’état {before.value} ne passe pas à l’état {asked.kind.value}."
        allowed = ", ".join(sorted(kind.value for kind in MAY_FOLLOW[before])) or "aucun : refaire une demande"
        raise InputError("task.illegal-transition", text, where="Task.status", remedy=f"États possibles : {allowed}.")


def _note(task: Resource) -> str:
    reason = task.get("statusReason")
    text = reason.get("text") if isinstance(reason, dict) else None
    note = text.strip() if isinstance(text, str) else ""
    if len(note) > _LONGEST_NOTE:
        raise InputError("task.too-long", f"Le motif dépasse {_LONGEST_NOTE} signes.", where="Task.statusReason.text")
    return note


def _outcome(task: Resource) -> str:
    """The outcome's code in statusReason; *failed* without one says too little for anybody to act."""
    reason = task.get("statusReason")
    codings = reason.get("coding") if isinstance(reason, dict) else None
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict) and coding.get("system") == OUTCOME_CODES and isinstance(coding.get("code"), str):
            return str(coding["code"])
    remedy = f"Donner un code de {OUTCOME_CODES}."
    raise InputError("task.no-outcome", "Un échec dit lequel.", where="Task.statusReason.coding", remedy=remedy)


def _period(task: Resource, kind: StepKind) -> tuple[str, str]:
    """The day or hours that an output gives, as written; nothing when there is none."""
    wanted = {K.ACCEPTED: "scheduled-period", K.ORIENTATION: "orientation-period"}.get(kind)
    outputs = task.get("output")
    for output in outputs if isinstance(outputs, list) and wanted else ():
        if isinstance(output, dict) and _is_coded(output.get("type"), str(wanted)):
            return _instants(output.get("valuePeriod"))
    return "", ""


def _is_coded(concept: Any, code: str) -> bool:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    named = [one for one in codings if isinstance(one, dict)] if isinstance(codings, list) else []
    return any(one.get("system") == _PERIODS and one.get("code") == code for one in named)


def _instants(period: Any) -> tuple[str, str]:
    start, end = (period.get("start", ""), period.get("end", "")) if isinstance(period, dict) else ("", "")
    first, last = _span(start), _span(end) if end else _span(start)
    if first is None or last is None or last.end <= first.start:
        raise InputError("task.bad-period", "Les dates prévues ne sont pas réelles.", where="Task.output.valuePeriod")
    return str(start), str(end)


def _span(written: Any) -> Span | None:
    return span_of(written) if isinstance(written, str) else None
