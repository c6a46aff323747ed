"""Treatments and prescriptions of a patient: what each letter says of them, newest letter first, nothing judged or merged.

Two letters may contradict each other: which one holds is a clinician's to say, so each resource names its document and day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapter.coordination.held import HeldDocument
from adapter.fhir.bundle import resources_of
from adapter.fhir.standing_alone import standing_alone

Resource = dict[str, Any]

STATEMENTS, PRESCRIPTIONS = "MedicationStatement", "MedicationRequest"
# Where FHIR says of when a resource speaks, if the source did not: the day of its document.
_TOLD_ON = {STATEMENTS: "dateAsserted", PRESCRIPTIONS: "authoredOn"}


def treatments_of(documents: Sequence[HeldDocument], kind: str) -> list[Resource]:
    """Every `MedicationStatement` or `MedicationRequest` of these documents, readable without them."""
    newest_first = sorted(documents, key=lambda one: one.submission.document.created, reverse=True)
    return [
        _dated(standing_alone(resource, held.bundle), kind, held)
        for held in newest_first
        for resource in resources_of(held.bundle, kind)
    ]


def _dated(resource: Resource, kind: str, held: HeldDocument) -> Resource:
    """When it was told: a treatment without a date would look like today's."""
    resource.setdefault(_TOLD_ON[kind], held.submission.document.created)
    return resource
