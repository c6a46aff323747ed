"""A filled entry liaison letter about an invented person."""

from __future__ import annotations

from typing import Any

from tests.builders.stay import changed

_LETTER: dict[str, Any] = {
    "formulaire": "lettre-liaison-entree",
    "numero": "CMS-2026-L100",
    "destinataire": {"service": "pbr-geriatrie", "entree": "2026-11-21"},
    "patient": {"nom": "EXEMPLE", "prenom": "Andrée", "date-naissance": "1938-02-17"},
    "medecin": {"nom": "MODELE", "etablissement": "Centre fictif", "telephone": "01 99 00 56 78", "traitant": True},
    "lettre": {
        "date": "2026-11-20",
        "motif": "Chutes à répétition.",
        "traitements": "liste",
        "allergies": "liste",
        "commentaire": "Vit seule.",
    },
    "traitements": [{"nom": "Périndopril 4 mg", "posologie": "1 le matin", "commentaire": "bien toléré"}, {"nom": "Apixaban"}],
    "allergies": [{"produit": "Pénicilline", "reaction": "éruption", "gravite": "grave"}],
    "antecedents": [{"libelle": "Fibrillation auriculaire", "code": "i48", "debut": "2019", "actif": True}],
    "chirurgie": [{"acte": "Prothèse de hanche", "code": "NEKA020", "date": "2015-06"}],
}


def build_entry_letter(**changes: Any) -> dict[str, Any]:
    """A complete letter, changed at linkIds; None takes the answer away."""
    return changed(_LETTER, changes)
