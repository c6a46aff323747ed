"""What the document of any form needs beside its own content: ids, actors, the filled questionnaire, its section, the Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir import request_narrative as say
from adapter.fhir import supporting
from adapter.fhir.bundle import full_url, reference_to
from adapter.fhir.document import (
    DocumentExtras,
    Section,
    document_bundle_from,
    document_ids,
    encounter_url,
    patient_url,
)
from adapter.fhir.parties import Parties
from adapter.mapping.forms.answers import answer_tables, response_items
from adapter.mapping.forms.facts import FormFacts
from adapter.mapping.forms.paper_pages import enclosed_pages, pages_sections
from adapter.model.document import Code
from adapter.model.parties import Organisation

Resource = dict[str, Any]

_FORM = Code("55107-7", p.LOINC, "Addendum Document")
_FORM_TITLE = "Document joint : formulaire rempli par l’auteur"


class FormDocument:
    """The document of one form in the making. References point at what `bundle` will put beside."""

    def __init__(self, facts: FormFacts) -> None:
        self.facts = facts
        self.ids = document_ids(facts.header, facts.source)
        self.parties = Parties(self.ids)
        self.subject: Resource = {"reference": patient_url(self.ids)}
        self.encounter: Resource = {"reference": encounter_url(self.ids)}
        self.author = reference_to(self.parties.role(facts.header.authors[0]))
        finess = facts.author.get("finess", "")
        self._namespace = f"{p.OURS.rpartition('/StructureDefinition')[0]}/sid/{finess or 'formulaire'}"
        self.response_url = f"urn:uuid:{self.ids.mint('QuestionnaireResponse')}"

    @property
    def requisition(self) -> Resource:
        """The form's own number, unique under its author's structure."""
        return {"system": f"{self._namespace}/requisition", "value": self.facts.number}

    @property
    def placer_number(self) -> Resource:
        """The same as an order's identifier (PLAC)."""
        kind = {"coding": [{"system": p.V2_IDENTIFIER_TYPES, "code": "PLAC"}]}
        return {"type": kind, "system": f"{self._namespace}/placer-order", "value": f"{self.facts.number}-1"}

    def organization(self, name: str, unit: str = "") -> Resource:
        """A reference to a structure that the form only names."""
        return reference_to(self.parties.organization(Organisation(name=name, unit=unit)))

    def section(
        self, code: Code, title: str, blocks: Sequence[str], resources: Sequence[Resource] = (), empty_reason: str = ""
    ) -> Section:
        """A section whose words a person wrote."""
        return Section(
            code,
            title,
            say.request_div(*blocks),
            tuple(full_url(r) for r in resources),
            empty_reason=empty_reason,
            narrative_status="additional",
        )

    def bundle(
        self, sections: Sequence[Section], resources: Sequence[Resource], patient: Mapping[str, Any] | None = None
    ) -> Resource:
        """The document Bundle: at its end the filled questionnaire, and the pages that it was typed from, if it was; `patient` is
        merged into the Patient.
        """
        response, pages = self._response(), enclosed_pages(self.facts, self.ids, self.parties)
        return document_bundle_from(
            self.facts.header,
            (*sections, self._form_section(response), *pages_sections(self.facts.paper, pages)),
            [*resources, response, *pages],
            self.facts.source,
            self.facts.media_type,
            extras=DocumentExtras(timestamp=self.facts.assembled, patient=dict(patient or {})),
            parties=self.parties,
        )

    def _response(self) -> Resource:
        facts = self.facts
        return supporting.questionnaire_response(
            resource_id=self.ids.mint("QuestionnaireResponse"),
            canonical=facts.checked.questionnaire.canonical,
            items=response_items(facts.checked.questionnaire.items, facts.checked.values, facts.withheld),
            subject=self.subject,
            author=self.author,
            authored=facts.request["date"],
            identifier=self.requisition,
        )

    def _form_section(self, response: Resource) -> Section:
        tables = answer_tables(self.facts.checked.questionnaire.items, self.facts.checked.values, self.facts.withheld)
        return self.section(_FORM, _FORM_TITLE, [say.answers_table(rows, caption) for caption, rows in tables], [response])


def contact_person(name: str, relation: str, phone: str) -> Resource:
    """The Patient elements of a person to notify; nothing when nobody is named."""
    if not name:
        return {}
    role = {"system": p.TRE_CONTACT_ROLE, "code": "ECON"}
    category = {"url": p.EXT_CONTACT_CATEGORY, "valueCode": "role"}
    relationship: Resource = {"extension": [category], "coding": [role]}
    if relation:
        relationship["text"] = relation
    contact: Resource = {"relationship": [relationship], "name": {"text": name}}
    if phone:
        contact["telecom"] = [{"system": "phone", "value": phone}]
    return {"contact": [contact]}
