"""Three forms that ask without an exam or a stay: advice, support platform, proposal of a GP. Answers to document and sections.

The words are the form's own; sections say first what the reader must do, then why. What nobody answered is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir import request_narrative as say
from adapter.fhir import supporting
from adapter.fhir.bundle import reference_to
from adapter.fhir.document import Section
from adapter.fhir.referral import REQUEST_KINDS, Referral, referral_request
from adapter.fhir.stay import enclosed_letter
from adapter.mapping.forms.answers import choices_shown
from adapter.mapping.forms.delays import answer_hours
from adapter.mapping.forms.document import FormDocument
from adapter.mapping.forms.facts import FormFacts
from adapter.model.document import Code

Resource = dict[str, Any]

_REASON = Code("42349-1", p.LOINC, "Reason for referral (narrative)")
_HISTORY = Code("11329-0", p.LOINC, "History general Narrative")
_TREATMENT = Code("10160-0", p.LOINC, "History of Medication use Narrative")
_PLAN = Code("18776-5", p.LOINC, "Plan of care note")
_AGREEMENT = Code("34895-3", p.LOINC, "Education note")
_ENCLOSED = Code("77599-9", p.LOINC, "Additional documentation")


def advice_document(facts: FormFacts) -> Resource:
    """The document Bundle of one advice request."""
    return _AdviceRequest(facts).build()


def support_document(facts: FormFacts) -> Resource:
    """The document Bundle of one request to a support platform."""
    return _SupportRequest(facts).build()


def proposal_document(facts: FormFacts) -> Resource:
    """The document Bundle of one proposal to be a patient's GP."""
    return _GpProposal(facts).build()


class _Asking:
    """What the three share: the request resource, its tables and sections."""

    def __init__(self, facts: FormFacts) -> None:
        self.facts = facts
        self.draft = FormDocument(facts)
        self.request = facts.request

    def order(
        self, kind: Code, act: Code, reason: str, performer: str, *, supports: Sequence[Resource] = (), notes: Sequence[str] = (),
        intent: str = "order", occurrence: Resource | None = None,
    ) -> Resource:  # fmt: skip
        """The ServiceRequest, the filled form always among what supports it."""
        urgency = self.request.get("urgency", "")
        told = (f"Degré d’urgence écrit par le demandeur : {urgency}.",) if urgency else ()
        return referral_request(
            Referral(
                identifier=self.draft.placer_number,
                requisition=self.draft.requisition,
                intent=intent,
                kind=kind,
                act=act,
                priority=self.facts.rules.data.get("priority", {}).get(urgency, "routine"),
                authored=self.request["date"],
                occurrence=occurrence or {"occurrencePeriod": {"start": self.request["date"]}},
                reason=reason,
                subject=self.draft.subject,
                encounter=self.draft.encounter,
                requester=self.draft.author,
                performer=self.draft.organization(performer),
                supporting=(*(reference_to(each) for each in supports), {"reference": self.draft.response_url}),
                notes=(*told, *notes),
            ),
            resource_id=self.draft.ids.mint("ServiceRequest", "1"),
        )

    def urgency_block(self) -> str:
        """The form's own urgency word, as it must not be missed."""
        urgency = self.request.get("urgency", "")
        return say.strong_paragraph(f"Degré d’urgence : {urgency.upper()}") if urgency else ""

    def table(self, *rows: tuple[str, str], strong: frozenset[str] = frozenset()) -> str:
        """The rows that have an answer."""
        return say.answers_table((row for row in rows if row[1]), strong=strong)

    def chosen(self, link_id: str) -> str:
        """All answers of a question of several choices, in words."""
        checked = self.facts.checked
        return choices_shown(checked.questionnaire.question(link_id), checked.values_of(link_id))

    def section(
        self, code: Code, title: str, *blocks: str, resources: Sequence[Resource] = (), absent: str = ""
    ) -> list[Section]:
        """A section when there is something to say, or its `absent` sentence, or nothing."""
        if any(blocks):
            return [self.draft.section(code, title, blocks, resources)]
        return [self.draft.section(code, title, [say.paragraph(absent)], empty_reason="unavailable")] if absent else []


class _AdviceRequest(_Asking):
    def build(self) -> Resource:
        """The request, its enclosed files, its sections."""
        request, wording = self.request, self.facts.wording
        files = self._files()
        treatment = self._treatment()
        kind = Code("avis", REQUEST_KINDS, "Demande d’avis spécialisé")
        service = self.facts.display("avis.specialite")
        mode = self.facts.display("avis.mode")
        act = Code(request["mode"], self._system(), f"{mode} – {service}")
        enclosed = [each for each in files if each["resourceType"] == "DocumentReference"]
        order = self.order(
            kind,
            act,
            request["question"],
            service,
            supports=[*treatment, *enclosed],
            notes=self._notes(),
            occurrence=self._wished(),
        )
        plan = self.table(
            ("Numéro de la demande", request["number"]),
            ("Mode de l’avis", mode),
            ("Spécialité et service", service),
            ("Demande faite le", say.french_date(request["date"])),
            ("Rappeler le demandeur au", self.facts.author["phone"]),
            ("Lui répondre à", self.facts.author["email"]),
        )
        promise = say.strong_paragraph(wording["urgent"]) if request["urgency"] == "urgent" else ""
        sections = (
            *self.section(_REASON, "Question posée", self.urgency_block(), say.paragraph(request["question"])),
            *self.section(_HISTORY, "Contexte", say.paragraph(request["context"])),
            *self.section(
                _TREATMENT, "Traitement en cours", say.paragraph(request["treatment"]), resources=treatment,
                absent=wording["treatment_unsaid"],
            ),
            *self.section(_PLAN, "Avis demandé", promise, plan, say.paragraph(self._promise()), resources=[order]),
            *self._agreement(),
            *self._enclosed_section(enclosed),
        )  # fmt: skip
        return self.draft.bundle(sections, [order, *treatment, *files])

    def _system(self) -> str:
        return f"{p.OUR_CODES}{self.facts.header.model}"

    @property
    def _hours(self) -> int:
        return answer_hours(self.facts.rules, self.facts.terms) or 0

    def _promise(self) -> str:
        return self.facts.wording["promise"].format(hours=self._hours)

    def _notes(self) -> tuple[str, ...]:
        return (self.facts.wording["urgent"],) if self.request["urgency"] == "urgent" else ()

    def _wished(self) -> Resource:
        """An answer within the promised delay, counted from the request; hours counted from a day alone are whole days."""
        start = self.request["date"]
        days = -(-self._hours // 24)
        end = (date.fromisoformat(start[:10]) + timedelta(days=days)).isoformat()
        return {"occurrencePeriod": {"start": start, "end": end + start[10:]}}

    def _treatment(self) -> list[Resource]:
        if not self.request["treatment"]:
            return []
        statement = supporting.medication_statement(
            resource_id=self.draft.ids.mint("MedicationStatement"),
            subject=self.draft.subject,
            text=self.request["treatment"],
            asserted=self.request["date"],
            source=self.draft.author,
        )
        return [statement]

    def _files(self) -> list[Resource]:
        """The files enclosed, byte for byte, each with its reference."""
        found: list[Resource] = []
        for number, piece in enumerate(self.facts.found.many("pieces"), start=1):
            if piece["content"]:
                ids = (self.draft.ids.mint("DocumentReference", str(number)), self.draft.ids.mint("Binary", str(number)))
                found += enclosed_letter(
                    piece["content"], piece["type"], piece["title"] or piece["nature"], ids=ids, subject=self.draft.subject,
                    author=self.draft.author, on=piece["date"] or self.request["date"],
                )  # fmt: skip
        return found

    def _agreement(self) -> list[Section]:
        told = self.facts.wording["agreed"] if self.request["agreed"] == "true" else ""
        return self.section(_AGREEMENT, "Information du patient", say.paragraph(told))

    def _enclosed_section(self, enclosed: Sequence[Resource]) -> list[Section]:
        pieces = self.facts.found.many("pieces")
        absent = self.facts.wording["no_piece"]
        rows = [
            (piece["nature"], say.french_date(piece["date"]), piece["title"] if piece["content"] else absent) for piece in pieces
        ]
        table = say.columns_table(("Pièce", "Date", "Fichier"), rows) if rows else ""
        return self.section(_ENCLOSED, "Pièces jointes", table, resources=enclosed)


class _SupportRequest(_Asking):
    def build(self) -> Resource:
        """The request and its sections."""
        request, facts = self.request, self.facts
        asked = facts.display("appui.type")
        platform = facts.display("appui.plateforme")
        kind = Code("appui", REQUEST_KINDS, "Demande à la plateforme territoriale d’appui")
        act = Code(request["kind"], f"{p.OUR_CODES}{facts.header.model}", asked)
        order = self.order(kind, act, request["wanted"], platform, notes=(self._agreement_words(),))
        difficulties = self.chosen("situation.difficultes")
        situation = self.table(
            ("Difficultés rencontrées", difficulties),
            ("Autre difficulté", request["other"]),
            ("Intervenants en place", request["helpers"]),
            ("Sortie d’hospitalisation prévue le", say.french_date(request["discharge"])),
        )
        plan = self.table(
            ("Numéro de la demande", request["number"]),
            ("Nature de la demande", asked),
            ("Plateforme", platform),
            ("Demande faite le", say.french_date(request["date"])),
            ("Rappeler le demandeur au", facts.author["phone"]),
            ("Jours et heures de rappel", facts.author["call_back"]),
            strong=frozenset({asked}),
        )
        sections = (
            *self.section(_REASON, "Ce qui est demandé", self.urgency_block(), say.paragraph(request["wanted"])),
            *self.section(_HISTORY, "Situation du patient", say.paragraph(request["summary"]), situation),
            *self.section(_PLAN, "Demande et rappel", plan, resources=[order]),
            *self.section(
                _AGREEMENT, "Accord du patient", say.strong_paragraph(self._agreement_words()),
                self.table(("Accord donné par", request["representative"])),
            ),
        )  # fmt: skip
        return self.draft.bundle(sections, [order])

    def _agreement_words(self) -> str:
        answers = {"true": "agreed", "false": "refused_agreement"}
        return self.facts.wording[answers.get(self.request["agreed"], "agreement_not_needed")]


class _GpProposal(_Asking):
    def build(self) -> Resource:
        """The proposal and its sections."""
        request, facts = self.request, self.facts
        commune = facts.display("patient.commune")
        centre = facts.display("patient.centre") or commune
        kind = Code("medecin-traitant", REQUEST_KINDS, "Proposition de médecin traitant")
        act = Code(
            "medecin-traitant", f"{p.OUR_CODES}{facts.header.model}", f"Être médecin traitant – centre de santé : {centre}"
        )
        risks = self.chosen("risque.motifs")
        order = self.order(
            kind, act, f"Risque médico-social : {risks}", f"Centre municipal de santé : {centre}", intent="proposal",
            notes=(facts.wording["agreed"],),
        )  # fmt: skip
        plan = self.table(
            ("Numéro de la proposition", request["number"]),
            ("Commune du patient", f"{commune} (code INSEE {request['commune']})"),
            ("Centre choisi", facts.display("patient.centre")),
            ("Proposition faite le", say.french_date(request["date"])),
            ("Service à rappeler", f"{facts.author['service']}, {facts.author['phone']}"),
        )
        risk = self.table(("Motifs", risks), ("Autre motif", request["other"]), strong=frozenset({risks}))
        stay = self.table(
            ("Entré le", say.french_date(request["stay_start"])), ("Sortie prévue le", say.french_date(request["stay_end"]))
        )
        support = facts.wording["pta" if request["pta"] == "true" else "no_pta"]
        sections = (
            *self.section(_REASON, "Risque médico-social", risk, say.paragraph(request["detail"]), say.paragraph(support)),
            *self.section(_HISTORY, "Séjour", stay, say.paragraph(request["reason"])),
            *self.section(_PLAN, "Proposition et suites en ville", plan, say.paragraph(request["follow_up"]), resources=[order]),
            *self.section(_AGREEMENT, "Accord du patient", say.strong_paragraph(facts.wording["agreed"])),
        )
        return self.draft.bundle(sections, [order], patient=self._address())

    def _address(self) -> Resource:
        """The commune by its INSEE code: the centre is chosen by it."""
        code = {"system": p.TRE_COMMUNE, "code": self.request["commune"], "display": self.facts.display("patient.commune")}
        address: Resource = {"extension": [{"url": p.EXT_INSEE_CODE, "valueCoding": code}]}
        if self.facts.patient["address"]:
            address["line"] = [self.facts.patient["address"]]
        return {"address": [address | {"city": self.facts.display("patient.commune")}]}
