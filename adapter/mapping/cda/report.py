"""The DiagnosticReport of a document that is one (an imaging report): its conclusion, what was studied, what was measured."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.fhir.document import DocumentExtras, Section, coding_of
from adapter.mapping.cda.context import EntryContext, Fhir
from adapter.mapping.cda.sections import Body
from adapter.model.document import DocumentHeader

_TAG = re.compile(r"<[^>]+>")
_ENDS = re.compile(r"</(p|td|th|li|tr|div)>|<br */>")
_STATUSES = frozenset({"preliminary", "final", "amended", "corrected", "appended", "cancelled", "entered-in-error"})


def add_report(template: str, header: DocumentHeader, extras: DocumentExtras, body: Body, at: EntryContext) -> None:
    """Add the report to the section that concludes, when the document has one."""
    for index, section in enumerate(body.sections):
        if any(e["url"] == p.EXT_TEMPLATE_ID and e["valueString"].partition("|")[0] == template for e in section.extensions):
            report = _report(header, extras, body, section, at)
            body.resources.append(report)
            body.sections[index] = replace(section, entries=(*section.entries, f"urn:uuid:{report['id']}"), empty_reason="")
            return


def _report(header: DocumentHeader, extras: DocumentExtras, body: Body, section: Section, at: EntryContext) -> Fhir:
    words = _words(section.div)
    period = {}
    if header.service_events and header.service_events[0].start:
        event = header.service_events[0]
        period = {"effectivePeriod": {"start": event.start} | ({"end": event.end} if event.end else {})}
    return clinical.about_patient(
        "DiagnosticReport", at.mint("DiagnosticReport", "document"), header.title or header.type.label or "Compte rendu",
        subject=at.subject, status=extras.status if extras.status in _STATUSES else "unknown",
        code={"coding": [coding_of(header.type)]}, encounter=at.encounter, **period,
        basedOn=[{"reference": f"urn:uuid:{order['id']}"} for order in extras.based_on],
        imagingStudy=_references(body, "ImagingStudy"), result=_measures(body), conclusion=words,
    )  # fmt: skip


def _references(body: Body, kind: str) -> list[Fhir]:
    return [{"reference": f"urn:uuid:{one['id']}"} for one in body.resources if one["resourceType"] == kind]


def _measures(body: Body) -> list[Fhir]:
    """What was measured (doses): observations with a quantity."""
    found = (one for one in body.resources if one["resourceType"] == "Observation" and "valueQuantity" in one)
    return [{"reference": f"urn:uuid:{one['id']}"} for one in found]


def _words(div: str) -> str:
    return " ".join(unescape(_TAG.sub("", _ENDS.sub(" ", div))).split())
