"""The page left beside the demo's artefacts: what each file is, and the acknowledgements in lines that a person can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# By the end of a name, the most telling first.
_KINDS = (
    (".repeat.sent.hl7", "le même message HL7 v2, envoyé une seconde fois"),
    (".repeat.ack.hl7", "l'acquittement rendu à cette répétition : les mêmes octets"),
    (".sent.hl7", "le message HL7 v2 (MDM^T02) que l'hôpital a envoyé"),
    (".ack.hl7", "l'acquittement HL7 v2 qui lui a été rendu"),
    (".answer.json", "la réponse HTTP au formulaire"),
    (".bundle.json", "le document compris, en FHIR R4"),
    (".document-reference.json", "ce que le dossier partagé a enregistré"),
    (".IHE_XDM.zip", "l'archive pour le logiciel du destinataire (IHE XDM) : CDA et métadonnées"),
    (".eml", "le courriel MSSanté, tel que l'opérateur l'a reçu"),
    (".pdf", "le document à lire, joint au courriel"),
    (".fax.tiff", "les pages reçues par le télécopieur"),
)
_REST = (
    "`service/` est l'instance de la démonstration : configuration, registre chiffré, journal, "
    "et `received/`, ce que les partenaires ont reçu."
)


def write_guide(verdicts: Iterable[tuple[str, str, str]], files: Mapping[str, bytes]) -> str:
    """The page, in French. `verdicts`: reference, what was sent, what was found; `files`: the artefacts by name."""
    lines = ["# Ce que la démonstration a laissé ici", "", "Toutes les personnes sont inventées.", ""]
    for reference, title, verdict in verdicts:
        lines += [f"- **{reference}** {title} – {verdict}"]
    lines += ["", "| fichier | ce que c'est |", "|---|---|"]
    lines += [f"| `{name}` | {kind_of(name)} |" for name in sorted(files) if kind_of(name)]
    lines += ["", _REST, "", "## Les acquittements, ligne à ligne", ""]
    for name in sorted(files):
        if name.endswith(".ack.hl7") and ".repeat." not in name:
            lines += [f"`{name}`", "", "```", *files[name].decode("utf-8", "replace").strip().split("\r"), "```", ""]
    return "\n".join(lines)


def kind_of(name: str) -> str:
    """What a file is, by the end of its name; empty when the demo did not make it."""
    return next((words for end, words in _KINDS if name.endswith(end)), "")
