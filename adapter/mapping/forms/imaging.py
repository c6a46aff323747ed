"""An imaging request's checked answers to its FHIR document: the orders, their supporting resources, the sections.

Sections mirror the CDA volet IMG-DA-IMG: clinical information (aim, history and contra-indications), patient information,
requested acts, earlier results, linked documents. Nothing here concludes on the injection: answers are shown as answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir import supporting
from adapter.fhir.bundle import Ids, full_url, reference_to
from adapter.fhir.document import (
    DocumentExtras,
    Section,
    document_bundle_from,
    document_ids,
    encounter_url,
    patient_url,
)
from adapter.fhir.parties import Parties
from adapter.fhir.request import Order, RequestedExam, requisition_of, service_request
from adapter.fhir.supporting import Creatinine
from adapter.mapping.engine import Values
from adapter.mapping.forms.answers import response_items
from adapter.mapping.forms.delays import exam_delay, latest_moment
from adapter.mapping.forms.facts import FormFacts
from adapter.mapping.forms.imaging_words import ImagingWords
from adapter.mapping.forms.paper_pages import enclosed_pages, pages_sections
from adapter.mapping.forms.safety import AlertKind, MetforminAlert
from adapter.mapping.forms.values import plain
from adapter.mapping.terminology import load_table
from adapter.model.confidential import Confidential
from adapter.model.document import Code
from adapter.model.parties import Device, Organisation, Party

Resource = dict[str, Any]

_SIDES = {"droit": "côté droit", "gauche": "côté gauche", "bilateral": "des deux côtés"}
_INJECTION = {"avec": "avec injection de produit de contraste", "sans": "sans injection", "non-precise": "injection non précisée"}
# Who points at a risk: software, never a person.
_SOFTWARE = Party(device=Device(software="Trait d’union"))
_ALERT_LABELS = {
    AlertKind.NAMED: "Metformine nommée, scanner possiblement injecté",
    AlertKind.VERIFY: "Prise de metformine à vérifier, scanner possiblement injecté",
}
_TERM = re.compile(r"(\d{2})\s*(?:sa|semaines?(?:\s+d['’]amenorrhee)?|s)?\s*(?:\+?\s*(\d)\s*(?:j|jours?)?)?")


# Codes of the sections; titles are those of the CDA volet, French displays its own.
_SECTIONS = {
    "clinical": Code("55752-0", p.LOINC, "Clinical information"),
    "aim": Code("55115-0", p.LOINC, "Requested imaging studies information Document"),
    "history": Code("11329-0", p.LOINC, "History general Narrative"),
    "informed": Code("34895-3", p.LOINC, "Education note"),
    "acts": Code("18776-5", p.LOINC, "Plan of care note"),
    "results": Code("30954-2", p.LOINC, "Relevant diagnostic tests/laboratory data note"),
    "form": Code("55107-7", p.LOINC, "Addendum Document"),
}
_TITLES = {
    "aim": "But(s) précis de l’examen",
    "history": "Antécédents, contre-indications et informations de prise en charge",
    "informed": "Information du patient",
    "acts": "Acte(s) d’imagerie demandé(s)",
    "results": "Résultats d’examens antérieurs et mesures",
    "form": "Document joint : formulaire rempli par le prescripteur",
}


def _section(name: str, divs: Mapping[str, str], resources: Sequence[Resource] = ()) -> Section:
    return Section(
        _SECTIONS[name], _TITLES[name], divs[name], tuple(full_url(r) for r in resources), narrative_status="additional"
    )


@dataclass(frozen=True, repr=False)
class Actors(Confidential):
    """References of those whom the orders name, minted by the document; `software` only when it points at a risk."""

    patient: Resource
    encounter: Resource
    requester: Resource
    site: Resource
    software: Resource


@dataclass(frozen=True, repr=False)
class ImagingRequest(Confidential):
    """All that the document holds beside its header: resources by role, and the words of its sections."""

    orders: tuple[Resource, ...]
    history: tuple[Resource, ...]
    results: tuple[Resource, ...]
    informed: tuple[Resource, ...]
    response: Resource
    divs: Mapping[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> list[Resource]:
        """Every resource, orders first."""
        return [*self.orders, *self.history, *self.results, *self.informed, self.response]

    def sections(self) -> tuple[Section, ...]:
        """The sections that have something to say, in the order of the CDA volet."""
        history = _section("history", self.divs, self.history)
        clinical = Section(
            _SECTIONS["clinical"], "Informations cliniques", self.divs["clinical"], sections=(_section("aim", self.divs), history)
        )
        optional = [
            _section(name, self.divs, resources)
            for name, resources in (("informed", self.informed), ("acts", self.orders), ("results", self.results))
            if name in self.divs
        ]
        return (clinical, *optional, _section("form", self.divs, (self.response,)))


def imaging_document(facts: FormFacts) -> Resource:
    """The document Bundle of one imaging request."""
    ids = document_ids(facts.header, facts.source)
    parties = Parties(ids)
    requester = parties.role(facts.header.authors[0])
    site = parties.organization(Organisation(name=f"{facts.request['target']} – {facts.display('site')}"))
    alert = facts.alert
    raised = alert is not None and alert.is_raised
    actors = Actors(
        patient={"reference": patient_url(ids)},
        encounter={"reference": encounter_url(ids)},
        requester=reference_to(requester),
        site=reference_to(site),
        software=reference_to(parties.actor(_SOFTWARE)) if raised else {},
    )
    imaging = ImagingRequestBuilder(facts, ids, actors, alert).build()
    pages = enclosed_pages(facts, ids, parties)
    return document_bundle_from(
        facts.header,
        (*imaging.sections(), *pages_sections(facts.paper, pages)),
        [*imaging.resources, *pages],
        facts.source,
        facts.media_type,
        extras=DocumentExtras(timestamp=facts.assembled),
        parties=parties,
    )


class ImagingRequestBuilder:
    """Builds one request; `ids` is the document's own minting."""

    def __init__(self, facts: FormFacts, ids: Ids, actors: Actors, alert: MetforminAlert | None) -> None:
        self._checked = facts.checked
        self._rules = facts.rules
        self._terms = facts.terms
        self._ids = ids
        self._actors = actors
        self._number = facts.number
        self._request = facts.request
        self._patient = facts.patient
        self._checklist = facts.found.one("checklist")
        self._exams = facts.found.many("exams")
        self._wording = facts.wording
        self._withheld = facts.withheld
        self._alert = alert
        self._assembled = facts.assembled
        self._words = ImagingWords(facts, alert)
        self._namespace = f"{p.OURS.rpartition('/StructureDefinition')[0]}/sid/{facts.author['finess'] or 'formulaire'}"

    def build(self) -> ImagingRequest:
        """The resources and the sections' narratives."""
        treatment = self._treatment()
        response_id = self._ids.mint("QuestionnaireResponse")
        alert = self._detected_issue(treatment, {"reference": f"urn:uuid:{response_id}"})
        history = (*alert, *self._conditions(), *self._allergy(), *treatment, *self._birth_term())
        results = (*self._creatinine(), *self._weight())
        informed = self._informed()
        exams = [self._exam(number, exam) for number, exam in enumerate(self._exams, start=1)]
        stated = (reference_to(r) for r in (*history, *results, *informed))
        supports = (*stated, {"reference": f"urn:uuid:{response_id}"})
        order = self._order(supports)
        orders = tuple(
            service_request(exam, order, resource_id=self._ids.mint("ServiceRequest", str(n)))
            for n, exam in enumerate(exams, start=1)
        )
        return ImagingRequest(
            orders, history, results, informed, self._response(response_id, order), self._words.divs(exams, order)
        )

    # Orders

    def _order(self, supports: tuple[Resource, ...]) -> Order:
        urgency = self._request["urgency"]
        start = self._request["date"]
        return Order(
            requisition=self._number,
            namespace=self._namespace,
            priority=load_table("imaging-urgency")[urgency]["target"],
            authored=start,
            start=start,
            end=latest_moment(start, exam_delay(self._rules, urgency, self._terms)),
            aim=self._request["aim"],
            subject=self._actors.patient,
            encounter=self._actors.encounter,
            requester=self._actors.requester,
            performer=self._actors.site,
            supporting=supports,
            notes=(
                f"Degré d’urgence écrit par le prescripteur : {urgency}.",
                self._words.premedication(),
                *self._words.alert_note(),
            ),
        )

    def _exam(self, number: int, exam: Values) -> RequestedExam:
        modality, injection = exam["modality"], exam["injection"]
        table = load_table("imaging-modality")
        row = table.get(f"{modality}/{injection}") or table[modality]
        region = ", ".join(part for part in (exam["region"], _SIDES.get(exam["side"], "")) if part)
        told = _INJECTION.get(injection, _INJECTION["non-precise"] if modality == "TDM" else "")
        return RequestedExam(
            identifier=f"{self._number}-{number}",
            modality=Code(row["code"], row["system"], row["display"]),
            wording=" – ".join(part for part in (row["wording"], region, told) if part),
            region_text=region,
            sites=body_sites(exam["region"]),
            detail=exam["detail"],
        )

    # Supporting resources

    def _detected_issue(self, treatment: Sequence[Resource], evidence: Resource) -> list[Resource]:
        """The alert as a resource, pointing at the scans and the treatment that it is about."""
        alert = self._alert
        if alert is None or not alert.is_raised:
            return []
        exams = tuple({"reference": f"urn:uuid:{self._ids.mint('ServiceRequest', str(rank + 1))}"} for rank in alert.exams)
        issue = supporting.detected_issue(
            resource_id=self._ids.mint("DetectedIssue", "metformin"),
            subject=self._actors.patient,
            code=Code(f"metformin-{alert.kind}", f"{p.OUR_CODES}safety-alert", _ALERT_LABELS[alert.kind]),
            title=alert.title,
            detail=(*alert.sentences, f"Liste de noms du {alert.names_revision}."),
            implicated=(*exams, *(reference_to(each) for each in treatment)),
            evidence=evidence,
            author=self._actors.software,
            identified=self._assembled,
        )
        return [issue]

    def _conditions(self) -> list[Resource]:
        found = []
        for link_id, told in self._rules.data["conditions"].items():
            if "Y" in self._checked.values_of(link_id):
                codes = tuple(Code(code, p.CIM10, label) for code, label in told["codes"])
                found.append(
                    supporting.condition(
                        resource_id=self._ids.mint("Condition", link_id),
                        subject=self._actors.patient,
                        codes=codes,
                        text=told["text"],
                    )
                )
        return found

    def _allergy(self) -> list[Resource]:
        if self._checklist["allergy"] != "Y":
            return []
        detail = self._checklist["allergy_detail"]
        text = "Allergie signalée comme contre-indication à l’injection d’iode" + (f" : {detail}" if detail else "")
        return [
            supporting.iodine_allergy(resource_id=self._ids.mint("AllergyIntolerance"), subject=self._actors.patient, text=text)
        ]

    def _treatment(self) -> list[Resource]:
        if not self._checklist["treatment"]:
            return []
        statement = supporting.medication_statement(
            resource_id=self._ids.mint("MedicationStatement"),
            subject=self._actors.patient,
            text=self._checklist["treatment"],
            asserted=self._request["date"],
            source=self._actors.requester,
        )
        return [statement]

    def _birth_term(self) -> list[Resource]:
        text = self._patient["term"]
        if not text:
            return []
        weeks, days = read_term(text)
        age = supporting.gestational_age(
            resource_id=self._ids.mint("Observation", "term"), subject=self._actors.patient, text=text, weeks=weeks, days=days
        )
        return [age]

    def _creatinine(self) -> list[Resource]:
        if not self._checklist["creatinine"]:
            return []
        measured = Creatinine(
            Decimal(self._checklist["creatinine"]), self._checklist["creatinine_unit"], self._checklist["creatinine_date"]
        )
        return supporting.creatinine_observations(
            measured,
            ids=(self._ids.mint("Observation", "creatinine"), self._ids.mint("Observation", "creatinine", "umol/L")),
            subject=self._actors.patient,
            no_unit=self._wording["no_unit"],
            converted=self._wording["converted"],
        )

    def _weight(self) -> list[Resource]:
        if not self._patient["weight"]:
            return []
        weight = supporting.body_weight(
            resource_id=self._ids.mint("Observation", "weight"),
            subject=self._actors.patient,
            kilograms=Decimal(self._patient["weight"]),
            on=self._request["date"],
        )
        return [weight]

    def _informed(self) -> tuple[Resource, ...]:
        if not self._request["informed"]:
            return ()
        informed = self._request["informed"] == "true"
        return (
            supporting.patient_informed(
                resource_id=self._ids.mint("Observation", "informed"), subject=self._actors.patient, informed=informed
            ),
        )

    def _response(self, resource_id: str, order: Order) -> Resource:
        return supporting.questionnaire_response(
            resource_id=resource_id,
            canonical=self._checked.questionnaire.canonical,
            items=response_items(self._checked.questionnaire.items, self._checked.values, self._withheld),
            subject=self._actors.patient,
            author=self._actors.requester,
            authored=self._request["date"],
            identifier=requisition_of(order),
        )


def body_sites(region: str) -> tuple[Code, ...]:
    """The sites of a region written in usual words; none when the table does not know the whole text."""
    row = load_table("imaging-region").get(plain(region))
    labels = load_table("imaging-body-site")
    return tuple(Code(code, p.SNOMED, labels[code]["display"]) for code in row["codes"].split()) if row else ()


def read_term(text: str) -> tuple[int | None, int]:
    """Weeks and days of `32`, `32 SA`, `32 SA + 4 j`; no weeks when the text says anything else."""
    match = _TERM.fullmatch(plain(text))
    if match is None:
        return None, 0
    weeks, days = int(match[1]), int(match[2] or 0)
    return (weeks, days) if 20 <= weeks <= 45 and days < 7 else (None, 0)
