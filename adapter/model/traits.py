"""What somebody must say of a bare PDF before it can go anywhere: the names of these facts, and how a person calls them.

One list for the side-car file, the folder's name pattern and the text zones of a model: a fact has one name everywhere.
"""

from __future__ import annotations

TRAITS = {
    "patient.birth_name": "nom de naissance du patient",
    "patient.first_given": "premier prénom de naissance",
    "patient.birth_given_names": "liste des prénoms de naissance",
    "patient.used_name": "nom utilisé",
    "patient.used_given": "prénom utilisé",
    "patient.birth_date": "date de naissance",
    "patient.sex": "sexe (F, M ou UN)",
    "patient.birth_place_insee": "code INSEE du lieu de naissance",
    "patient.ins": "matricule INS",
    "patient.ins_kind": "nature du matricule (NIR, NIA, TEST, DEMO)",
    "patient.local_id": "numéro local du patient (IPP)",
    "patient.local_authority": "OID de l'autorité du numéro local",
    "document.type": "type du document (code LOINC)",
    "document.type_label": "libellé du type",
    "document.title": "titre",
    "document.date": "date du document",
    "document.id": "identifiant du document (OID)",
    "author.family": "nom de l'auteur",
    "author.given": "prénom de l'auteur",
    "author.title": "titre de l'auteur (DR, PR)",
    "author.rpps": "numéro RPPS de l'auteur",
    "author.organisation": "structure de l'auteur",
    "author.finess": "numéro FINESS de la structure",
    "recipient.rpps": "numéro RPPS du destinataire",
    "recipient.finess": "numéro FINESS du destinataire",
    "recipient.address": "adresse MSSanté du destinataire",
}

# Without these nobody can say what the document is, whose it is, or who answers for it.
REQUIRED = (
    "patient.birth_name",
    "patient.first_given",
    "patient.birth_date",
    "document.type",
    "document.date",
    "author.family",
)
