"""What a patient's published documents say together: treatments, prescriptions, appointments and the team, per patient.

A client reads what was published for its own practices, and nothing else: these are projections of documents that it may fetch.
One patient a call, named by an identifier; the answer is whole, without pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import Response

from adapter.coordination.appointments import appointments_of
from adapter.coordination.held import HeldDocument
from adapter.coordination.team import care_team_of
from adapter.coordination.treatments import PRESCRIPTIONS, STATEMENTS, treatments_of
from adapter.errors import InputError
from adapter.fhir.search import Criterion, Kind, Parameter, Query, SearchRules, Token, parameters, read_query, token_holds
from adapter.ledger.import_records import Sought
from adapter.model.parties import Professional
from adapter.routing.directory import Directory
from adapter.web.fhir_http import Found, resource_answer, searchset, wants_strict
from adapter.web.import_access import Ask, ImportDoor
from adapter.web.import_search import patients_of, says_patient
from adapter.web.import_standing import Shown, shown_of, steps_of

Resource = dict[str, Any]

APPOINTMENTS, TEAM = "Appointment", "CareTeam"
PATIENT_PARAMETERS = parameters(
    Parameter("patient", Kind.TOKEN, frozenset({"identifier"})), Parameter("patient.identifier", Kind.TOKEN)
)
_BATCH = 50
# More documents of one patient than anybody has: beyond, the answer would be cut without a word.
_MOST_DOCUMENTS = 1000


class ImportCoordination:
    """The handlers of these four types."""

    def __init__(self, door: ImportDoor, directory: Callable[[], Directory]) -> None:
        self._door = door
        self._directory = directory
        self._made: Mapping[str, Callable[[list[HeldDocument]], list[Resource]]] = {
            STATEMENTS: lambda held: treatments_of(held, STATEMENTS),
            PRESCRIPTIONS: lambda held: treatments_of(held, PRESCRIPTIONS),
            APPOINTMENTS: appointments_of,
            TEAM: self._team,
        }

    def searching(self, kind: str) -> Callable[[Ask], Response]:
        """The search of one type."""
        return lambda ask: resource_answer(self._answer(ask, kind))

    def _answer(self, ask: Ask, kind: str) -> Resource:
        rules = SearchRules(PATIENT_PARAMETERS, zone=self._door.settings.zone)
        query = read_query(ask.pairs, rules, strict=wants_strict(ask.request))
        if not query.criteria or not all(_says_who(criterion) for criterion in query.criteria):
            text = "Un patient est nécessaire, et un seul, par son identifiant."
            remedy = "Ajouter patient.identifier=système|valeur."
            raise InputError("search.no-patient", text, where="patient.identifier", remedy=remedy)
        documents = self._documents(ask, query)
        _check_one_patient(documents, query)
        found = self._made[kind]([self._held(shown) for shown in documents])
        client = ask.caller.client.name
        self._door.audit(ask.caller, "import.searched", "client", client, f"{kind} {len(found)}")
        address = f"{self._door.url(kind)}?{urlencode(ask.pairs)}"
        entries = [Found(self._door.url(f"{kind}/{one['id']}"), one) for one in found]
        return searchset(entries, self_url=address, total=len(found), ignored=query.ignored)

    def _documents(self, ask: Ask, query: Query) -> list[Shown]:
        """The patient's documents that stand, as this client sees them."""
        readers, ledger, after = ask.caller.client.readers, self._door.ledger, ("", "")
        found: list[Shown] = []
        while batch := ledger.find_published(readers, Sought(patients=patients_of(query)), after, _BATCH):
            shown = shown_of(ledger, readers, [key for _, key in batch])
            found += [one for one in shown if one.standing.has_content and _is_of(one, query)]
            after = batch[-1]
            if len(found) > _MOST_DOCUMENTS:
                text = f"Plus de {_MOST_DOCUMENTS} documents pour ce patient."
                raise InputError("search.too-costly", text, where="patient.identifier")
        return found

    def _held(self, shown: Shown) -> HeldDocument:
        return HeldDocument(shown.submission, shown.bundle, shown.recipients, tuple(steps_of(self._door.ledger, shown)))

    def _team(self, held: list[HeldDocument]) -> list[Resource]:
        team = care_team_of(held, self._declared_doctor(held), self._directory())
        return [team] if team is not None else []

    def _declared_doctor(self, held: list[HeldDocument]) -> Professional | None:
        """The treating doctor that an admission declared, if the index knows the patient."""
        for one in held:
            submission = one.submission
            view = self._door.ledger.patient_view(submission.document.patient, legal_entity=submission.legal_entity)
            if view is not None and view.facts.doctor is not None:
                return view.facts.doctor
        return None


def _says_who(criterion: Criterion) -> bool:
    """One number: neither several, nor every number of a system."""
    return len(criterion.values) == 1 and all(value.code for value in criterion.values if isinstance(value, Token))


def _check_one_patient(documents: list[Shown], query: Query) -> None:
    """A number without its system may be two patients': then their treatments would be told as one's."""
    for value in (one for criterion in query.criteria for one in criterion.values if isinstance(one, Token)):
        systems = [{system for system, code in says_patient(one, {}) if token_holds(value, system, code)} for one in documents]
        if systems and not set.intersection(*systems):
            text = "Plusieurs patients portent ce numéro, dans des systèmes différents."
            remedy = "Donner le système : patient.identifier=système|valeur."
            raise InputError("search.several-patients", text, where="patient.identifier", remedy=remedy)


def _is_of(shown: Shown, query: Query) -> bool:
    """The ledger narrows by value alone: the system must hold too."""
    told = says_patient(shown, {})
    return all(
        any(token_holds(value, *one) for one in told for value in criterion.values if isinstance(value, Token))
        for criterion in query.criteria
    )
