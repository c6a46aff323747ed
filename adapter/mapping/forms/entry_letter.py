"""An entry liaison letter written by hand to its FHIR document, section by section as the CDA volet LDL-EES.

Law: a mandatory section without a list says why in the doctor's own answer (none, not known, not looked for); silence is refused
at the door, so that it never reads as "none".
"""

from __future__ import annotations

from typing import Any

from adapter.fhir import admission
from adapter.fhir import profiles as p
from adapter.fhir import request_narrative as say
from adapter.fhir.document import Section
from adapter.mapping.forms.document import FormDocument, contact_person
from adapter.mapping.forms.facts import FormFacts
from adapter.model.document import Code

Resource = dict[str, Any]

_REASON = Code("42349-1", p.LOINC, "Reason for referral (narrative)")
_TREATMENTS = Code("42346-7", p.LOINC, "Medications on admission (narrative)")
_ALLERGIES = Code("48765-2", p.LOINC, "Allergies and adverse reactions Document")
_HISTORY = Code("11348-0", p.LOINC, "History of Past illness note")
_SURGERY = Code("47519-4", p.LOINC, "History of Procedures Document")
_COMMENT = Code("55112-7", p.LOINC, "Document summary")
_SEVERITIES = {"legere": "Légère", "moderee": "Modérée", "grave": "Grave"}
_YES = {"true": "Oui", "false": "Non"}


def entry_letter_document(facts: FormFacts) -> Resource:
    """The document Bundle of one entry letter."""
    return _EntryLetter(facts).build()


class _EntryLetter:
    """Builds one letter."""

    def __init__(self, facts: FormFacts) -> None:
        self._facts = facts
        self._draft = FormDocument(facts)
        self._request = facts.request

    def build(self) -> Resource:
        """The resources, then the sections in the order of the volet."""
        treatments, allergies = self._treatments(), self._allergies()
        history, surgery = self._history(), self._surgery()
        sections = [
            self._draft.section(_REASON, "Motif de la demande d’hospitalisation", self._reason()),
            self._list_section("traitements", _TREATMENTS, "Traitements à l’admission", self._treatment_table(), treatments),
            self._list_section("allergies", _ALLERGIES, "Allergies et intolérances", self._allergy_table(), allergies),
        ]
        if history:
            sections.append(self._draft.section(_HISTORY, "Antécédents médicaux", [self._history_table()], history))
        if surgery:
            sections.append(self._draft.section(_SURGERY, "Antécédents chirurgicaux", [self._surgery_table()], surgery))
        comment = [say.paragraph(self._request["comment"])]
        sections.append(self._draft.section(_COMMENT, "Commentaire et conclusion", comment))
        contact = self._facts.found.one("contact")
        return self._draft.bundle(
            sections,
            [*treatments, *allergies, *history, *surgery],
            patient=contact_person(contact["name"], contact["relation"], contact["phone"]),
        )

    def _reason(self) -> list[str]:
        rows = [
            ("Service d’accueil", self._facts.display("destinataire.service")),
            ("Date d’entrée", say.french_date(self._request["stay_start"])),
            ("Appeler le patient", self._facts.patient["call_hours"]),
        ]
        return [say.paragraph(self._request["reason"]), say.answers_table(row for row in rows if row[1])]

    def _list_section(self, question: str, code: Code, title: str, table: str, resources: list[Resource]) -> Section:
        """A mandatory section: its list, else the doctor's reason for having none."""
        if resources:
            return self._draft.section(code, title, [table], resources)
        answer = str(self._facts.checked.values_of(f"lettre.{question}")[0])
        told = self._facts.rules.data["empty"][question][answer]
        return self._draft.section(code, title, [say.paragraph(told["text"])], empty_reason=told["reason"])

    # Resources

    def _treatments(self) -> list[Resource]:
        return [
            admission.admission_treatment(
                resource_id=self._draft.ids.mint("MedicationStatement", str(n)),
                subject=self._draft.subject,
                source=self._draft.author,
                asserted=self._request["date"],
                name=each["name"],
                dosage=each["dosage"],
                note=each["note"],
            )
            for n, each in enumerate(self._facts.found.many("treatments"), start=1)
        ]

    def _allergies(self) -> list[Resource]:
        return [
            admission.known_allergy(
                resource_id=self._draft.ids.mint("AllergyIntolerance", str(n)),
                subject=self._draft.subject,
                product=each["product"],
                reaction=each["reaction"],
                severity=each["severity"],
            )
            for n, each in enumerate(self._facts.found.many("allergies"), start=1)
        ]

    def _history(self) -> list[Resource]:
        return [
            admission.past_illness(
                resource_id=self._draft.ids.mint("Condition", str(n)),
                subject=self._draft.subject,
                name=each["name"],
                code=each["code"],
                since=each["since"],
                active=each["active"],
            )
            for n, each in enumerate(self._facts.found.many("history"), start=1)
        ]

    def _surgery(self) -> list[Resource]:
        return [
            admission.past_operation(
                resource_id=self._draft.ids.mint("Procedure", str(n)),
                subject=self._draft.subject,
                name=each["name"],
                code=each["code"],
                on=each["date"],
            )
            for n, each in enumerate(self._facts.found.many("surgery"), start=1)
        ]

    # Tables

    def _treatment_table(self) -> str:
        rows = [(each["name"], each["dosage"], each["note"]) for each in self._facts.found.many("treatments")]
        return say.columns_table(("Médicament", "Posologie", "Remarque"), rows)

    def _allergy_table(self) -> str:
        rows = [
            (each["product"], each["reaction"], _SEVERITIES.get(each["severity"], ""))
            for each in self._facts.found.many("allergies")
        ]
        return say.columns_table(("Allergie ou intolérance à", "Réaction", "Gravité"), rows)

    def _history_table(self) -> str:
        rows = [
            (each["name"], each["code"], say.french_date(each["since"]), _YES.get(each["active"], ""))
            for each in self._facts.found.many("history")
        ]
        return say.columns_table(("Antécédent", "Code CIM-10", "Depuis", "Toujours actif"), rows)

    def _surgery_table(self) -> str:
        rows = [(each["name"], each["code"], say.french_date(each["date"])) for each in self._facts.found.many("surgery")]
        return say.columns_table(("Intervention", "Code CCAM", "Date"), rows)
