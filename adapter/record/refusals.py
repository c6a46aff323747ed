"""Why the record refuses: an HTTP status, a FHIR issue type, and findings that name places, never values.

The closed list of our codes is `REASONS`: docs/reference/record-contract.md is compared with it by a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapter.model.finding import Finding, Severity


@dataclass(frozen=True)
class Reason:
    """One kind of refusal: its HTTP status, FHIR issue type, French sentence and remedy."""

    status: int
    issue_type: str
    text: str
    remedy: str = ""


REASONS: dict[str, Reason] = {
    "record.structure": Reason(400, "structure", "La transaction n’a pas la structure attendue."),
    "record.profile-missing": Reason(
        422, "required", "Le profil (meta.profile) est absent ou inconnu.", "Déclarer le profil PDSm ou MHD de la soumission."
    ),
    "record.resource-kind": Reason(422, "not-supported", "Ce type de ressource n’a pas sa place dans une soumission."),
    "record.method": Reason(422, "not-supported", "Cette méthode n’est pas prise en charge pour cette ressource."),
    "record.shape": Reason(422, "structure", "Une ressource n’a pas la forme que FHIR R4 lui donne."),
    "record.required": Reason(422, "required", "Un élément obligatoire manque."),
    "record.value": Reason(422, "value", "La valeur d’un élément n’est pas de celles que le profil permet."),
    "record.reference": Reason(422, "not-found", "Une référence ne mène à aucune ressource de la soumission ni du dossier."),
    "record.set": Reason(422, "business-rule", "Il faut exactement un lot de soumission, qui nomme chaque document."),
    "record.attachment-missing": Reason(
        422,
        "not-found",
        "Le document annoncé n’est pas dans la soumission.",
        "Joindre le Binary ou le Bundle que nomme attachment.url.",
    ),
    "record.attachment-unused": Reason(422, "business-rule", "Un contenu joint n’appartient à aucun document."),
    "record.size": Reason(422, "value", "La taille annoncée n’est pas celle du document joint."),
    "record.hash": Reason(422, "value", "L’empreinte annoncée (SHA-1) n’est pas celle du document joint."),
    "record.content-type": Reason(422, "value", "Le type de contenu annoncé n’est pas celui du document joint."),
    "record.not-a-document": Reason(422, "value", "Le Bundle joint n’est pas un document FHIR."),
    "record.patient-missing": Reason(422, "required", "Le patient n’est pas identifié par un matricule INS."),
    "record.patient-unknown": Reason(
        422, "not-found", "Ce patient n’est pas connu du dossier, et ses traits ne sont pas joints."
    ),
    "record.ins-key": Reason(422, "value", "La clé du matricule INS est fausse."),
    "record.ins-domain": Reason(
        422,
        "business-rule",
        "Un matricule réel n’entre pas dans une instance de test, ni l’inverse.",
        "S’adresser à l’autre instance.",
    ),
    "record.other-patient": Reason(422, "business-rule", "La soumission parle de plusieurs patients."),
    "record.replaced-unknown": Reason(422, "not-found", "Le document à remplacer n’est pas connu du dossier."),
    "record.replaced-superseded": Reason(
        422, "business-rule", "Le document à remplacer l’a déjà été : une seule version suit une autre."
    ),
    "record.replaced-other": Reason(
        422, "business-rule", "Le document à remplacer est d’un autre patient ou d’une autre structure."
    ),
    "record.duplicate": Reason(409, "duplicate", "Un document de même identifiant unique est déjà dans le dossier."),
    "record.several": Reason(412, "multiple-matches", "La condition désigne plusieurs ressources."),
    "record.condition": Reason(400, "invalid", "La condition (ifNoneExist) n’est pas une recherche prise en charge."),
    "record.closed": Reason(422, "business-rule", "Le dossier de ce patient est fermé."),
    "record.feeding-opposed": Reason(422, "business-rule", "Le patient s’oppose à l’alimentation de son dossier."),
    "record.not-open": Reason(422, "business-rule", "Le patient n’a pas de dossier ouvert."),
    "record.reading-closed": Reason(403, "forbidden", "Le dossier de ce patient est fermé."),
    "record.reading-opposed": Reason(403, "forbidden", "Le patient s’oppose à la consultation de son dossier."),
    "record.role": Reason(403, "forbidden", "Ce client n’a pas ce droit."),
    "record.patient-wanted": Reason(
        400, "required", "La recherche doit nommer le patient.", "Ajouter patient ou patient.identifier."
    ),
    "record.not-found": Reason(404, "not-found", "Cette ressource n’existe pas, ou n’est pas visible pour cet appelant."),
    "record.stale": Reason(412, "conflict", "La ressource a changé depuis qu’elle a été lue.", "Relire, puis recommencer."),
    "record.not-amendable": Reason(
        405, "not-supported", "Seuls le statut, la visibilité et l’archivage d’un document se modifient."
    ),
    "record.amendment": Reason(422, "value", "Cette modification n’est pas de celles que le profil permet."),
}


class RecordRefusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """Nothing was kept. The first finding gives the status."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(findings[0].code)
        self.findings = tuple(findings)

    @property
    def code(self) -> str:
        """Our word for the first fault."""
        return self.findings[0].code

    @property
    def reason(self) -> Reason:
        """What the first finding's code means."""
        return REASONS[self.code]


def finding(code: str, where: str = "") -> Finding:
    """One finding of the list, at a place."""
    reason = REASONS[code]
    return Finding(Severity.ERROR, code, reason.text, where, reason.remedy)


def refused(code: str, where: str = "") -> RecordRefusal:
    """A refusal for one reason."""
    return RecordRefusal([finding(code, where)])
