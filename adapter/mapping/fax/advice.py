"""What is told to people of a fax that waits for them: one French sentence a reason. No patient, no number."""

from __future__ import annotations

ADVICE = {
    "fax-unread": "Télécopie sans code lisible : la lire et la classer à la main (`tdu fax show`).",
    "fax-unreadable": "Télécopie illisible (fichier abîmé ou vide) : demander à l'émetteur de la renvoyer.",
    "fax-too-long": "Télécopie de trop de pages pour être lue par le logiciel : la lire en entier à la main.",
    "fax-withheld": "Télécopie que la ligne n'a pas pu apporter en entier : la chercher sur le serveur de télécopie.",
    "fax-unverified": (
        "Document NON VÉRIFIÉ : non signé, modifié, ou signé par une clé inconnue. Rien n'en a été repris : lire les pages et "
        "vérifier auprès de l'émetteur."
    ),
    "fax-annex-unreadable": "L'annexe est complète mais illisible : rien n'en a été repris, lire les pages.",
    "fax-other-format": "L'annexe est d'un autre format que celui de ce logiciel : lire les pages.",
    "fax-page-differs": (
        "Les pages reçues ne sont pas celles que l'émetteur a signées (écrit à la main, rayé, page en trop ou manquante) : "
        "comparer (`tdu fax show`), puis confirmer ou saisir (`tdu fax confirm`)."
    ),
    "fax-not-compared": "L'annexe ne dit pas à quoi ressemblaient les pages : les comparer au document, puis confirmer.",
    "fax-over-paper": (
        "Document signé, mais ses pages sont passées par le papier (imprimées puis numérisées) : un mot ou une dose rayés d'un "
        "seul trait peuvent échapper au logiciel. Regarder les pages (`tdu fax show`), puis confirmer (`tdu fax confirm`)."
    ),
    "fax-paper-form": "Formulaire rempli à la main : vérifier le brouillon, puis confirmer (`tdu fax show`, `tdu fax confirm`).",
    "fax-masked": "Document masqué ou à diffusion restreinte : une personne décide à qui il est remis.",
    "fax-other-content": (
        "Un document de même identifiant et de même version est déjà là, avec un autre contenu : vérifier auprès de l'émetteur."
    ),
    "fax-document-refused": "Le document de l'annexe ne peut pas être repris tel quel : lire les pages.",
    "instance.test-identity": "Identité de test reçue par une instance de production : rien n'est intégré.",
    "fax-incomplete": (
        "Il manque des codes à l'annexe : lire les pages ; si les pages manquantes arrivent, le document se complète seul."
    ),
}
# Of several things that stop one fax, the first of these is its reason; the others are told beside. What closes by itself comes
# last: when the missing codes come, nothing else that the same fax brought goes with that question.
ORDER = tuple(ADVICE)


def advice_on(reason: str, sender: str, *more: str) -> str:
    """The sentence of a reason. `sender`: the name that the directory gives to the calling number, or empty."""
    told = [ADVICE.get(reason, ADVICE["fax-unread"]), *more]
    return " ".join(([f"De : {sender}."] if sender else []) + told)
