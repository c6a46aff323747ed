"""A hospitalisation request's checked answers to its FHIR document: the order of the stay, what supports it, the sections.

Sections: reason, stay requested, treatments, care information, letter enclosed, the form. The hospital's own half never edits
this document: it is a form of its own (reponse-hospitalisation).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir import request_narrative as say
from adapter.fhir import supporting
from adapter.fhir.bundle import reference_to
from adapter.fhir.document import Section
from adapter.fhir.stay import PATHWAYS, STAY_SYSTEM, StayOrder, enclosed_letter, isolation_flag, stay_request
from adapter.mapping.forms.delays import orientation_days
from adapter.mapping.forms.document import FormDocument, contact_person
from adapter.mapping.forms.facts import FormFacts
from adapter.model.document import Code

Resource = dict[str, Any]

_REASON = Code("42349-1", p.LOINC, "Reason for referral (narrative)")
_STAY = Code("18776-5", p.LOINC, "Plan of care note")
_TREATMENT = Code("42346-7", p.LOINC, "Medications on admission (narrative)")
_CARE = Code("11329-0", p.LOINC, "History general Narrative")
_LETTER = Code("77599-9", p.LOINC, "Additional documentation")
_YES = {"true": "Oui", "false": "Non"}


def stay_document(facts: FormFacts) -> Resource:
    """The document Bundle of one hospitalisation request."""
    return _StayRequest(facts).build()


class _StayRequest:
    """Builds one request."""

    def __init__(self, facts: FormFacts) -> None:
        self._facts = facts
        self._draft = FormDocument(facts)
        self._request = facts.request
        self._origin = facts.found.one("origin")
        self._contact = facts.found.one("contact")

    def build(self) -> Resource:
        """The resources, then the sections that show them."""
        treatment, flags, letter = self._treatment(), self._isolation(), self._letter()
        order = self._order([*treatment, *flags, *letter[:1]])
        sections = (
            self._reason_section(),
            self._stay_section(order),
            self._treatment_section(treatment),
            self._care_section(flags),
            *self._letter_section(letter),
        )
        contact = contact_person(self._contact["name"], self._contact["relation"], self._contact["phone"])
        return self._draft.bundle(sections, [order, *treatment, *flags, *letter], patient=contact)

    # Resources

    def _order(self, stated: list[Resource]) -> Resource:
        request, rules = self._request, self._facts.rules.data
        kind = self._facts.display("sejour.type")
        translation, label = rules["stays"][request["stay"]]
        service = self._facts.display("sejour.service")
        pathway = self._facts.terms.pathway
        return stay_request(
            StayOrder(
                identifier=self._draft.placer_number,
                requisition=self._draft.requisition,
                kind=Code(request["stay"], STAY_SYSTEM, kind),
                translation=Code(translation, p.V3_ACT_CODE, label),
                caption=kind,
                priority=rules["priority"][request["urgency"]],
                authored=request["date"],
                occurrence=self._occurrence(),
                reason=request["reason"],
                subject=self._draft.subject,
                encounter=self._draft.encounter,
                requester=self._draft.author,
                performer=self._draft.organization(service, request["unit"]),
                supporting=(*(reference_to(r) for r in stated), {"reference": self._draft.response_url}),
                notes=self._notes(),
                single_room={"true": True, "false": False}.get(request["single_room"]),
                pathway=Code(pathway, PATHWAYS, self._pathway_words()) if pathway else None,
            ),
            resource_id=self._draft.ids.mint("ServiceRequest", "1"),
        )

    def _occurrence(self) -> Resource:
        """The day wished, or the period from the request to the latest day wished; open when no day is."""
        if self._request["wished"]:
            return {"occurrenceDateTime": self._request["wished"]}
        start = self._request["date"]
        end = latest_day(start, self._request["within"], self._request["within_unit"])
        return {"occurrencePeriod": {"start": start} | ({"end": end} if end else {})}

    def _pathway_words(self) -> str:
        """How the service takes such a request, in the form's words; empty when the directory does not say."""
        facts = self._facts
        words = facts.rules.data["pathways"].get(facts.terms.pathway, "")
        return str(words).format(orientation_days=orientation_days(facts.rules, facts.terms))

    def _notes(self) -> tuple[str, ...]:
        wording = self._facts.wording
        room = (wording["single_room"],) if self._request["single_room"] == "true" else ()
        return (wording["urgency_note"].format(wish=self._wish()), *room)

    def _wish(self) -> str:
        """The date wished, in the form's own words."""
        words = self._facts.display("sejour.delai")
        if self._request["wished"]:
            return f"Le {say.french_date(self._request['wished'])}"
        if self._request["within"]:
            return f"{words} {self._request['within']} {self._request['within_unit']}"
        return words

    def _treatment(self) -> list[Resource]:
        if not self._request["treatment"]:
            return []
        return [
            supporting.medication_statement(
                resource_id=self._draft.ids.mint("MedicationStatement"),
                subject=self._draft.subject,
                text=self._request["treatment"],
                asserted=self._request["date"],
                source=self._draft.author,
            )
        ]

    def _isolation(self) -> list[Resource]:
        if self._request["isolation"] != "true":
            return []
        return [
            isolation_flag(
                resource_id=self._draft.ids.mint("Flag", "isolation"),
                subject=self._draft.subject,
                author=self._draft.author,
                text=self._request["isolation_kind"],
            )
        ]

    def _letter(self) -> list[Resource]:
        letter = self._facts.found.one("letter")
        if not letter["content"]:
            return []
        ids = (self._draft.ids.mint("DocumentReference", "letter"), self._draft.ids.mint("Binary", "letter"))
        return list(
            enclosed_letter(
                letter["content"],
                letter["type"],
                letter["title"] or "Courrier du médecin demandeur",
                ids=ids,
                subject=self._draft.subject,
                author=self._draft.author,
                on=self._request["date"],
            )
        )

    # Sections

    def _reason_section(self) -> Section:
        return self._draft.section(
            _REASON,
            "Motif de l’hospitalisation",
            [say.strong_paragraph(f"Date souhaitée : {self._wish()}"), say.paragraph(self._request["reason"])],
        )

    def _stay_section(self, order: Resource) -> Section:
        facts = self._facts
        rows = [
            ("Numéro de la demande", self._request["number"]),
            ("Type d’hospitalisation", facts.display("sejour.type")),
            ("Service demandé", facts.display("sejour.service")),
            ("Unité", self._request["unit"]),
            ("Date souhaitée", self._wish()),
            ("Parcours", self._pathway_words()),
            ("Chambre seule souhaitée", _YES.get(self._request["single_room"], "")),
            ("Demande faite le", say.french_date(self._request["date"])),
            ("Adresse du demandeur", facts.author["address"]),
            ("Rappeler le demandeur", facts.author["call_hours"]),
            ("Appeler le patient", facts.patient["call_hours"]),
        ]
        table = say.answers_table((row for row in rows if row[1]), strong=frozenset({facts.display("sejour.type"), self._wish()}))
        return self._draft.section(_STAY, "Séjour demandé", [table], [order])

    def _treatment_section(self, treatment: list[Resource]) -> Section:
        if treatment:
            return self._draft.section(_TREATMENT, "Traitement en cours", [say.paragraph(self._request["treatment"])], treatment)
        words = [say.paragraph(self._facts.wording["treatment_unsaid"])]
        return self._draft.section(_TREATMENT, "Traitement en cours", words, empty_reason="unavailable")

    def _care_section(self, flags: list[Resource]) -> Section:
        request, origin = self._request, self._origin
        isolation = _YES[request["isolation"]] + (f" : {request['isolation_kind']}" if request["isolation_kind"] else "")
        contact = ", ".join(part for part in (self._contact["name"], self._contact["relation"], self._contact["phone"]) if part)
        origin_words = [self._facts.display("provenance.lieu"), origin["address"], origin["phone"]]
        rows = [
            ("Isolement", isolation),
            ("Patient connu du service", _YES[request["known"]]),
            ("Médecin référent hospitalier", request["referring"]),
            ("Le patient vient", ", ".join(part for part in origin_words if part)),
            ("Personne à prévenir", contact),
        ]
        strong = frozenset({isolation} if request["isolation"] == "true" else ())
        table = say.answers_table((row for row in rows if row[1]), strong=strong)
        return self._draft.section(_CARE, "Informations de prise en charge", [table], flags)

    def _letter_section(self, letter: list[Resource]) -> list[Section]:
        if letter:
            words = f"{letter[0]['description']} : joint à ce document."
            return [self._draft.section(_LETTER, "Courrier joint", [say.paragraph(words)], letter)]
        if self._request["enclosed"] == "true":
            words = self._facts.wording["letter_absent"]
            return [self._draft.section(_LETTER, "Courrier joint", [say.paragraph(words)], empty_reason="unavailable")]
        return []


def latest_day(start: str, number: str, unit: str) -> str:
    """The last day of "within N days, weeks or months"; empty without a number. The 31st of a month plus one is its last day."""
    if not number:
        return ""
    day, count = date.fromisoformat(start[:10]), int(number)
    if unit != "mois":
        return (day + timedelta(days=count * (7 if unit == "semaines" else 1))).isoformat()
    months = day.year * 12 + day.month - 1 + count
    first_of_next = date((months + 1) // 12, (months + 1) % 12 + 1, 1)
    last = (first_of_next - timedelta(days=1)).day
    return date(months // 12, months % 12 + 1, min(day.day, last)).isoformat()
