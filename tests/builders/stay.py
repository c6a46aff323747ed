"""Filled hospitalisation requests and answers about invented people."""

from __future__ import annotations

import base64
import copy
from typing import Any

LETTER = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

_REQUEST: dict[str, Any] = {
    "formulaire": "demande-hospitalisation",
    "numero": "CMS-2026-H100",
    "sejour": {"type": "HDJ", "service": "pbr-geriatrie", "unite": "Hôpital de jour", "delai": "le", "date": "2026-12-10"},
    "patient": {
        "nom": "EXEMPLE",
        "prenom": "Andrée",
        "date-naissance": "1938-02-17",
        "adresse": "3 rue de l’Essai",
        "code-postal": "94200",
        "ville": "Ivry-sur-Seine",
        "telephone": "01 99 00 45 01",
        "mobile": "06 99 00 45 02",
        "email": "andree@exemple.invalid",
        "heures-appel": "de 10 h à 12 h",
    },
    "provenance": {"lieu": "domicile"},
    "personne-a-prevenir": {"nom": "Jean EXEMPLE", "relation": "fils", "telephone": "06 99 00 45 03"},
    "demandeur": {
        "nom": "MODELE",
        "prenom": "Dominique",
        "etablissement": "Centre fictif",
        "adresse": "1 place du Test",
        "telephone": "01 99 00 56 78",
        "heures-appel": "mardi après 14 h",
        "finess": "940000003",
    },
    "demande": {
        "date": "2026-11-20",
        "motif": "Chutes à répétition.",
        "courrier-joint": True,
        "courrier": {"type": "application/pdf", "titre": "Courrier", "contenu": base64.b64encode(LETTER).decode()},
        "traitement": "Périndopril 4 mg",
    },
    "hopital": {"connu": True, "medecin-referent": "Dr Alix MAQUETTE", "isolement": False, "chambre-seule": True},
}
_ANSWER: dict[str, Any] = {
    "formulaire": "reponse-hospitalisation",
    "numero": "PBR-2026-R100",
    "demande": {"numero": "CMS-2026-H100", "destinataire": "ivry"},
    "patient": {"nom": "EXEMPLE", "prenom": "Andrée", "date-naissance": "1938-02-17"},
    "validation": {
        "date": "2026-11-21",
        "avis": "accord",
        "sejour-debut": "2026-12-10T09:00:00+01:00",
        "sejour-fin": "2026-12-10T17:00:00+01:00",
    },
    "medecin": {
        "nom": "MAQUETTE",
        "service": "Gériatrie",
        "telephone": "01 99 00 33 10",
        "etablissement": "Hôpital Paul-Brousse",
    },
}


def build_stay_request(**changes: Any) -> dict[str, Any]:
    """A complete request of a day stay, changed at linkIds; None takes the answer away."""
    return changed(_REQUEST, changes)


def build_stay_answer(**changes: Any) -> dict[str, Any]:
    """A complete agreement, changed at linkIds; None takes the answer away."""
    return changed(_ANSWER, changes)


def changed(form: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A deep copy with answers put at, or taken from, their linkIds."""
    form = copy.deepcopy(form)
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
