"""The hospital's half of a hospitalisation request to its FHIR document: the decision, and the Appointment it gives.

The request that it answers is named by its number and never touched. "Requesting doctor informed" is no answer: it is the proof
that this document was delivered.
"""

from __future__ import annotations

from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir import request_narrative as say
from adapter.fhir.narrative import generated
from adapter.mapping.forms.document import FormDocument
from adapter.mapping.forms.facts import FormFacts
from adapter.model.document import Code

Resource = dict[str, Any]

_ANSWER = Code("18776-5", p.LOINC, "Plan of care note")
_PLANNED = {"accord": "Séjour prévu le", "orientation": "Consultation d’orientation prévue le"}
_KINDS = {"accord": "Séjour", "orientation": "Consultation d’orientation"}


def stay_answer_document(facts: FormFacts) -> Resource:
    """The document Bundle of one answer."""
    draft = FormDocument(facts)
    appointment = _appointment(facts, draft)
    request = facts.request
    decision = facts.wording[request["decision"]]
    rows = [
        ("Demande n°", request["answers"]),
        ("Décision", facts.display("validation.avis")),
        ("Pourquoi", request["why"]),
        (_PLANNED.get(request["decision"], "Prévu le"), say.french_date(request["start"])),
        ("Fin prévue", say.french_date(request["end"])),
        ("Informations complémentaires prises par téléphone le", say.french_date(request["asked_on"])),
        ("Informations prises par", request["asked_by"]),
        ("Informations complémentaires", request["learnt"]),
        ("Convocation faite le", say.french_date(request["called_on"])),
        ("Convocation faite par", facts.display("validation.convocation-moyen")),
    ]
    blocks = [say.strong_paragraph(decision), say.answers_table(row for row in rows if row[1])]
    return draft.bundle([draft.section(_ANSWER, "Réponse de l’hôpital", blocks, appointment)], appointment)


def _appointment(facts: FormFacts, draft: FormDocument) -> list[Resource]:
    """Booked when both ends are instants (FHIR app-3), proposed otherwise; a refusal gives none."""
    request = facts.request
    if request["decision"] not in _KINDS or not request["start"]:
        return []
    kind = _KINDS[request["decision"]]
    booked = "T" in request["start"] and "T" in request["end"]
    when: Resource = {"start": request["start"], "end": request["end"]} if booked else {}
    wished = {key: request[key] for key in ("start", "end") if request[key]}
    number = {"system": f"{p.OURS.rpartition('/StructureDefinition')[0]}/sid/requisition", "value": request["answers"]}
    resource: Resource = {
        "resourceType": "Appointment",
        "id": draft.ids.mint("Appointment"),
        "text": generated(f"{kind} : {say.french_date(request['start'])}"),
        "status": "booked" if booked else "proposed",
        "serviceType": [{"text": kind}],
        "description": kind,
        **when,
        "created": request["date"],
        "basedOn": [{"type": "ServiceRequest", "identifier": number}],
        "participant": [
            {"actor": draft.subject, "required": "required", "status": "needs-action"},
            {"actor": draft.author, "required": "required", "status": "accepted"},
        ],
    }
    return [resource if booked else resource | {"requestedPeriod": [wished]}]
