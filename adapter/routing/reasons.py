"""The sentences of each reason why a recipient is not found or a unit stops a document: stable codes, French for people."""

from __future__ import annotations

from collections.abc import Mapping

EXPLANATIONS: Mapping[str, str] = {
    "unknown-recipient": "Destinataire absent de l'annuaire, ou nommé sans adresse ni identifiant : à compléter.",
    "bad-address": "L'adresse indiquée n'est pas une adresse de messagerie.",
    "untrusted-domain": "Le domaine de l'adresse n'est pas dans l'espace de confiance à cette date.",
    "address-conflict": "L'adresse, le professionnel ou la structure indiqués se contredisent : vérifier le destinataire.",
    "national-conflict": "L'annuaire national attribue cette adresse à quelqu'un d'autre : vérifier le destinataire.",
    "closed-role": "La fonction ou le service visé n'est pas ouvert à cette date : indiquer qui lui succède.",
    "ambiguous-role": "Plusieurs destinataires possibles : préciser la structure, le service ou l'adresse.",
    "internal-role": "Ce professionnel n'a de fonction que dans la structure émettrice : indiquer l'adresse.",
    "no-role-there": "Ce professionnel n'a pas de fonction en cours dans la structure indiquée.",
    "unknown-target": "Aucun service ne reçoit ce formulaire sur le site indiqué.",
    "sender-not-allowed": "Ce formulaire n'est pas reçu de ce type de structure.",
    "unknown-unit": "Unité absente de la table des unités de la structure : compléter la table ou corriger le destinataire.",
    "closed-unit": "Unité fermée à cette date : indiquer celle qui lui succède.",
    "no-record": "Aucun dossier partagé n'est ouvert pour ce territoire à cette date.",
}

# How a service takes a stay request, said beside its name.
PATHWAY_WORDS: Mapping[str, str] = {
    "simple": "Parcours simple : réservation directe.",
    "complex": "Parcours complexe : consultation d'orientation d'abord.",
}

_UNIT_ADVICE: Mapping[str, str] = {
    "unknown-unit": "L'unité indiquée en {place} n'est pas dans la table des unités : compléter la table ou corriger le message.",
    "closed-unit": "L'unité indiquée en {place} est fermée à cette date : indiquer celle qui lui succède.",
}


def unit_advice(reason: str, place: str) -> str:
    """What to do about a unit named by the source, at a place of the message."""
    return _UNIT_ADVICE[reason].format(place=place)
