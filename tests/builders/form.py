"""Filled imaging requests about invented people, for tests and the demo."""

from __future__ import annotations

import copy
import json
from typing import Any

_COMPLETE: dict[str, Any] = {
    "numero": "CMS-2026-0417",
    "site": "BCT",
    "patient": {
        "nom": "EXEMPLE",
        "prenom": "Camille",
        "date-naissance": "1961-04-12",
        "sexe": "F",
        "telephone": "01 99 00 12 34",
    },
    "prescripteur": {
        "nom": "MODELE",
        "prenom": "Dominique",
        "service": "Médecine générale",
        "telephone": "01 99 00 56 78",
        "rpps": "99700000013",
        "etablissement": "Centre municipal de santé fictif",
        "finess": "940000003",
    },
    "demande": {
        "date": "2026-11-20",
        "prise-en-charge": "externe",
        "urgence": "semi-urgent",
        "but": "Douleurs abdominales fébriles : recherche d’un abcès.",
        "resultats-anterieurs": "Échographie du 02/11/2026 : sans particularité.",
    },
    "examens": [{"modalite": "TDM", "region": "abdomen et pelvis", "injection": "avec"}],
    "contre-indications": {
        "myelome": False,
        "allergie": False,
        "insuffisance-renale": False,
        "diabete": True,
        "diabete-traitement": "METFORMINE 1000 mg matin et soir",
    },
    "premedication": False,
}


def build_imaging_request(**changes: Any) -> dict[str, Any]:
    """A complete injected CT of an adult with diabetes, changed at linkIds: `**{"patient.poids": 12, "numero": None}`.

    None takes the answer (or the whole group) away.
    """
    form = copy.deepcopy(_COMPLETE)
    for link_id, value in changes.items():
        *groups, key = link_id.split(".")
        target = form
        for group in groups:
            target = target.setdefault(group, {})
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    return form


def form_bytes(form: dict[str, Any]) -> bytes:
    """A form as it arrives."""
    return json.dumps(form, ensure_ascii=False).encode("utf-8")


def as_response(
    form: dict[str, Any], canonical: str = "https://traitdunion.example/fhir/Questionnaire/demande-imagerie"
) -> dict[str, Any]:
    """The same answers as a FHIR QuestionnaireResponse, built without the project's own code."""
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": canonical,
        "status": "completed",
        "item": _items(form, ""),
    }


def _items(group: dict[str, Any], parent: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for key, value in group.items():
        link_id = f"{parent}.{key}" if parent else key
        if isinstance(value, dict):
            items.append({"linkId": link_id, "item": _items(value, link_id)})
        elif isinstance(value, list) and value and not isinstance(value[0], dict):
            items.append({"linkId": link_id, "answer": [{"valueString": each} for each in value]})
        elif isinstance(value, list):
            items.extend({"linkId": link_id, "item": _items(entry, link_id)} for entry in value)
        elif isinstance(value, bool):
            items.append({"linkId": link_id, "answer": [{"valueBoolean": value}]})
        elif isinstance(value, int | float):
            items.append({"linkId": link_id, "answer": [{"valueDecimal": value}]})
        else:
            items.append({"linkId": link_id, "answer": [{"valueString": value}]})
    return items
