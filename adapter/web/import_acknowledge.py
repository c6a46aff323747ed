"""`$acknowledge`: the practice says what it did with a document, in one word of the closed list. Settles the delivery.

Law: blueprint seam 7; issue 5 §5. Said again, the same word changes nothing; another word after a final one is a conflict (409).
What becomes of it (next channel, a person, Z03 or MDN to the sender) is the tables' business, not this module's.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Response

from adapter.fhir.outcome import operation_outcome
from adapter.fhir.profiles import EXT_ORIGINAL_LITERAL
from adapter.ledger.import_records import Kept, Said
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from adapter.model.publication import WITHOUT_CONTENT, Publication
from adapter.tracking.causes import opens_next_leg
from adapter.tracking.import_outcomes import ImportOutcome, final_outcomes, import_outcomes
from adapter.web.fhir_http import FhirRefusal, check_if_match, parse_resource, refusal, resource_answer
from adapter.web.import_access import Ask, ImportDoor
from adapter.web.import_standing import Shown, one_shown

Resource = dict[str, Any]
_LONGEST_NOTE = 2000
_PARAMETERS = ("outcome", "note")


@dataclass(frozen=True, repr=False)
class Word(Confidential):
    """What was said: the outcome of the list, and a person's words."""

    outcome: ImportOutcome
    note: str = ""


class ImportAcknowledge:
    """The handler of `DocumentReference/{id}/$acknowledge`."""

    def __init__(self, door: ImportDoor) -> None:
        self._door = door

    def acknowledge(self, ask: Ask) -> Response:
        """Keep the outcome; the answer says who acts next."""
        parameters = parse_resource(ask.body, EXT_ORIGINAL_LITERAL, "Parameters")
        word = read_word(parameters)
        shown = one_shown(self._door.ledger, ask.caller.client.readers, ask.id)
        check_if_match(ask.request, shown.standing.version)
        kept = keep_outcome(self._door, ask, spoken_of(shown), word)
        return resource_answer(outcome_answer(word.outcome, kept))


def keep_outcome(door: ImportDoor, ask: Ask, publications: list[Publication], word: Word) -> Kept:
    """Settle what is spoken of; 409 when another final word was said before."""
    outcome = word.outcome
    said = Said(outcome.code, outcome.proves, outcome.cause, ask.caller.name, final_outcomes(), word.note)
    entity = ask.caller.client.readers.legal_entity
    ids = [one.id for one in publications]
    kept = door.ledger.keep_import_outcome(ids, said, legal_entity=entity, opens_next_leg=opens_next_leg)
    if kept is Kept.CONFLICT:
        text = "Une autre issue définitive a déjà été donnée pour ce document : elle est conservée."
        raise refusal(HTTPStatus.CONFLICT, "conflict", "import.other-outcome", text, "outcome", "Appeler l’émetteur.")
    return kept


def spoken_of(shown: Shown) -> list[Publication]:
    """What a word is about: what the practice had. A cancellation that it never saw is not answered with its document."""
    standing = shown.standing
    had = [one for one in standing.publications if one.fetched_at is not None or one.kind not in WITHOUT_CONTENT]
    final = final_outcomes()
    return [one for one in had if one.outcome not in final] or had or [standing.head]


def read_word(parameters: Resource) -> Word:
    """`outcome` (a code of the list) and `note`; 422 for anything else."""
    told: dict[str, str] = {}
    for one in parameters.get("parameter", []):
        name = one.get("name") if isinstance(one, dict) else None
        value = next((one[key] for key in ("valueCode", "valueString") if isinstance(one.get(key), str)), None) if name else None
        if name not in _PARAMETERS or name in told or value is None:
            raise _unfit("Seuls outcome (valueCode) et note (valueString) sont reconnus, une fois chacun.", "parameter")
        told[name] = value
    outcome = import_outcomes().get(told.get("outcome", ""))
    if outcome is None:
        raise _unfit("Cette issue n’est pas dans la liste.", "outcome")
    if len(told.get("note", "")) > _LONGEST_NOTE:
        raise _unfit(f"La note dépasse {_LONGEST_NOTE} signes.", "note")
    return Word(outcome, told.get("note", ""))


def outcome_answer(outcome: ImportOutcome, kept: Kept) -> Resource:
    """What was understood, and who acts next."""
    again = " (déjà dit, rien ne change)" if kept is Kept.REPEATED else ""
    text = f"{outcome.label}{again}. {outcome.next_step}"
    finding = Finding(Severity.INFORMATION, f"import.{outcome.code}", text)
    return dict(operation_outcome([finding], outcome.issue_type))


def _unfit(text: str, where: str) -> FhirRefusal:
    remedy = f"Issues reconnues : {', '.join(import_outcomes())}."
    return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "value", "import.bad-outcome", text, where, remedy)
