"""Why a recipient's software did not file a document: the code and label that MDNs, KO mails and HL7 acknowledgements share.

Codes (CI-SIS, applicationErrorCondition): 900 wrong version, 901 author not allowed, 902 patient unknown, 903 no INS in the CDA,
904 INS differs, 905 INS traits incomplete, 906 other; technical 100–103, 198–203, 207.
"""

from __future__ import annotations

from dataclasses import dataclass

LABELS = {
    "900": "Version du document incorrecte",
    "901": "Auteur non autorisé à remplacer ou supprimer",
    "902": "Patient inconnu",
    "903": "INS absent du document",
    "904": "INS différent de l'INS connu localement",
    "905": "Traits de l'INS incomplets",
    "906": "Autre erreur applicative",
}


@dataclass(frozen=True)
class IntegrationError:
    """`code` and `label` as the sender wrote them; `severity` of table 0516 (E error, F fatal, W warning, I information)."""

    code: str
    label: str = ""
    severity: str = "E"

    @staticmethod
    def of(code: str, label: str = "") -> IntegrationError:
        """The error of that code, with the norm's label unless another is given."""
        return IntegrationError(code, label or LABELS.get(code, ""))

    @staticmethod
    def read(text: str) -> IntegrationError:
        """`902^label^applicationErrorCondition|E^Error^errorSeverity`; a text without code is the label of 906."""
        first, _, severity = text.strip().partition("|")
        code, _, rest = first.partition("^")
        label = " ".join(rest.partition("^")[0].split())
        level = severity.strip()[:1].upper() or "E"
        if not code.strip().isdecimal() and not rest:
            return IntegrationError("906", " ".join(code.split())[:200], level)
        return IntegrationError(code.strip()[:20], label[:200], level)

    def written(self) -> str:
        """As an MDN's Error field has it."""
        label = " ".join("".join(" " if c in "^|\r\n" else c for c in self.label).split())
        return f"{self.code}^{label}^applicationErrorCondition|{self.severity}^Error^errorSeverity"

    @property
    def is_fatal(self) -> bool:
        """False for a warning or an information: the document was filed all the same."""
        return self.severity not in ("W", "I")
