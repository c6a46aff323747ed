"""What is told of a mail that waits for a person: to them one French sentence a reason, to its sender the norm's code."""

from __future__ import annotations

_BROKEN = "Archive refusée, rien n'en a été intégré (906) : prévenir l'émetteur et lui demander un nouvel envoi."
_UNREADABLE = "Courriel ou document illisible, rien n'en a été intégré (906) : demander un nouvel envoi à l'émetteur."
_MATCH = "L'identité du patient est à vérifier par une personne avant toute intégration"
ADVICE = {
    "mail.too-large": "Courriel plus gros que la taille admise : resté dans la boîte, à lire et traiter par une personne.",
    "mail.unreadable": "Courriel que le serveur ne remet pas : resté dans la boîte, à lire et traiter par une personne.",
    "mail.not-kept": "Courriel que le registre n'a pas pu garder : resté dans la boîte, à traiter à la main et à signaler.",
    "mail.in-circles": "Courriel passé par trop de relais : il tourne en rond. Rien n'est intégré ni répondu.",
    "mail.receipt-unusable": "Avis de réception ou de non-remise qui ne dit rien d'exploitable : le lire.",
    "citizen-answer": "Un patient répond à un envoi : lire son message et lui répondre.",
    "citizen-mail": "Courriel d'un patient : le lire et lui répondre.",
    "human-answer": "Une personne répond à un envoi : lire son message et lui répondre.",
    "ordinary-mail": "Courriel sans document de santé structuré : le lire.",
    "mail.pdf-only": f"Document en PDF seul. {_MATCH}.",
    "mail.no-document": "Archive ou courriel sans document : demander un nouvel envoi à l'émetteur (906).",
    "mail.document-missing": "Un document annoncé manque dans l'archive (906) : demander un nouvel envoi.",
    "mail.hash-mismatch": "Un document n'est pas celui que l'archive annonce (empreinte différente) : en quarantaine (906).",
    "mail.size-mismatch": "Un document n'a pas la taille que l'archive annonce : en quarantaine (906).",
    "mail.metadata-unreadable": "METADATA.XML illisible : rien de ce lot n'a été intégré (906).",
    "mail.document-unreadable": _UNREADABLE,
    "mail.other-patient-in-metadata": f"L'archive et son document nomment deux patients (904). {_MATCH}.",
    "mail.other-patient-in-subject": f"L'objet du courriel et le document nomment deux patients (904). {_MATCH}.",
    "mail.several-patients": f"Un même courriel porte sur plusieurs patients (904). {_MATCH}.",
    "mail.ins-claimed-not-proved": f"INS annoncée qualifiée, que le document ne prouve pas (905). {_MATCH}.",
    "mail.identity-unqualified": f"Document sans INS qualifiée (903). {_MATCH}.",
    "mail.ins-disclaimed": f"L'émetteur dit que l'INS n'est pas qualifiée (903). {_MATCH}.",
    "mail.same-id-other-content": "Un même identifiant pour deux contenus : demander un nouvel envoi à l'émetteur (900).",
    "mail.masked": "Document masqué aux professionnels : une personne décide à qui il est remis.",
    "instance.test-identity": "Identité de test reçue par une instance de production : rien n'est intégré (906).",
}


def advice_on(reason: str) -> str:
    """The sentence of a reason; codes of the library that have none of their own are about an archive, or about the mail."""
    return ADVICE.get(reason) or (_BROKEN if reason.startswith("archive.") else _UNREADABLE)


# Causes of `mappings/acks.csv` by reason; whatever else stops a mail is 906.
_CAUSES = {
    "mail.same-id-other-content": "identity-900",
    "mail.identity-unqualified": "identity-903",
    "mail.ins-disclaimed": "identity-903",
    "mail.other-patient-in-metadata": "identity-904",
    "mail.other-patient-in-subject": "identity-904",
    "mail.several-patients": "identity-904",
    "mail.ins-claimed-not-proved": "identity-905",
}


def cause_of(reason: str) -> str:
    """Why the sender is told that a mail was not taken."""
    return _CAUSES.get(reason, "identity-906")
