"""The way back from a resource to the answers it was made of: a group of the form's rules, or the question that names its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapter.fhir.bundle import Ids
from adapter.mapping.rules import RuleFile

# Which group of a form's extraction rules tells of which kind of resource.
_GROUPS = {"Patient": "patient", "Practitioner": "author", "PractitionerRole": "author"}


def form_places(bundle: Mapping[str, Any], rules: RuleFile, ids: Ids, questions: Iterable[str]) -> dict[str, str]:
    """For each resource id, the item that it comes from: `patient`, `examens[2]`, or the question itself."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    kinds = {resource["resourceType"] for resource in resources}
    by_question = {ids.mint(kind, question): question for question in questions for kind in kinds}
    places: dict[str, str] = {}
    orders = 0
    for resource in resources:
        kind, made = resource["resourceType"], resource["id"]
        group = rules.groups.get(_GROUPS.get(kind, ""))
        exams = rules.groups.get("exams")
        if kind == "ServiceRequest" and exams is not None:
            orders += 1
            places[made] = exams.base.replace(".*", f"[{orders}]")
        elif made in by_question:
            places[made] = by_question[made]
        elif group is not None and group.base:
            places[made] = group.base
    return places
