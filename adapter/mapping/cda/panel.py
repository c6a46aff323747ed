"""Organizers of a CDA body: vital signs and laboratory panels, attached documents, laboratory reports.

A panel is an Observation without a value whose members are the observations in it; the members are linked by `complete`.
"""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.fhir.vital_signs import VITAL_SIGNS_PANEL, settle_panel
from adapter.mapping.cda.context import Built, EntryContext, Fhir, authors, performers, read_basics
from adapter.mapping.cda.links import about_whom, complete
from adapter.mapping.cda.observation import build_specimens, observation_status
from adapter.mapping.xml_source import XmlNode

_DOCUMENT_STATUS = {"completed": "final", "active": "preliminary", "aborted": "cancelled", "cancelled": "cancelled"}


def build_panel(node: XmlNode, at: EntryContext) -> Built:
    """An organizer: what it says of all its members, and who they are about."""
    basics = read_basics(node, at)
    code = at.values.concept(node.first("code"))
    label = str(code.get("text") or (code.get("coding") or [{}])[0].get("display") or basics.text or "Groupe d'observations")
    specimens = build_specimens(node, at)
    about, persons = about_whom(node, at)
    is_vital = any(c.get("code") == VITAL_SIGNS_PANEL for c in code.get("coding", ()))
    options = dict(at.options) | ({"focus": about} if about else {})
    inside = at.within(options | ({"observation_category": "vital-signs"} if is_vital else {}), at.section_text)
    kind = node.get("classCode")
    found = clinical.observation(
        at.mint("Observation"), label, status=observation_status(node), code=code or {"text": label}, subject=at.subject,
        category=clinical.observation_category(at.options.get("observation_category", "")),
        extension=[*basics.extension, *([{"url": p.EXT_ACT_CLASS, "valueCode": kind}] if kind else [])],
        identifier=basics.identifier, encounter=at.encounter, **at.values.when(node.first("effectiveTime"), "effective"),
        performer=[*authors(node, at), *performers(node, at)],
        specimen={"reference": f"urn:uuid:{specimens[0]['id']}"} if specimens else None,
    )  # fmt: skip
    built = complete(node, inside, Built((found,), (*specimens, *persons)))
    members = {reference["reference"] for reference in found.get("hasMember", ())}
    settle_panel(found, [one for one in built.others if f"urn:uuid:{one['id']}" in members])
    return built


def build_report(node: XmlNode, at: EntryContext) -> Built:
    """A laboratory report (the act that holds a chapter's results)."""
    basics = read_basics(node, at)
    code = at.values.concept(node.first("code"))
    label = str(code.get("text") or (code.get("coding") or [{}])[0].get("display") or basics.text or "Compte rendu d'examens")
    specimens = build_specimens(node, at)
    status = _DOCUMENT_STATUS.get(node.value_at("statusCode/@code"), "unknown")
    found = clinical.about_patient(
        "DiagnosticReport", at.mint("DiagnosticReport"), label, status=status, code=code or {"text": label},
        subject=at.subject, extension=basics.extension, identifier=basics.identifier, encounter=at.encounter,
        **at.values.when(node.first("effectiveTime"), "effective"), performer=[*authors(node, at), *performers(node, at)],
        specimen=[{"reference": f"urn:uuid:{specimen['id']}"} for specimen in specimens],
    )  # fmt: skip
    return Built((found,), tuple(specimens))


# -- attached files ----------------------------------------------------------------------------------------------------


def build_media(node: XmlNode, at: EntryContext) -> Built:
    """An observationMedia: the file is a Binary, this says what it is."""
    basics = read_basics(node, at)
    file = at.media.get(media_name(node))
    node.get("ID")
    label = basics.text or "Pièce jointe"
    contents = [_attachment(file.url, label) if file else {"title": label}]
    named = {"url": p.EXT_MEDIA_NAME, "valueString": media_name(node)}
    found = _document(node, at, label, contents, extension=[*basics.extension, named], identifier=basics.identifier)
    return Built((found,))


def build_attachment(node: XmlNode, at: EntryContext) -> Built:
    """FR-Document-attache: one document, its type in words or code, its files."""
    basics = read_basics(node, at)
    code = at.values.concept(node.first("code"))
    kind: Fhir = {}
    for value in node.select("component/observation/value"):
        kind = kind or at.values.concept(value)
    names = [media_name(child) for child in node.select("component/observationMedia")]
    label = str(kind.get("text") or (kind.get("coding") or [{}])[0].get("display") or basics.text or "Document attaché")
    node.value_at("statusCode/@code")
    contents = [_attachment(at.media[name].url, label) for name in names if name in at.media] or [{"title": label}]
    found = _document(
        node, at, label, contents, type=kind or code, category=[code] if code else [], identifier=basics.identifier,
        extension=[*basics.extension, {"url": p.EXT_ACT_CLASS, "valueCode": node.get("classCode") or "CLUSTER"}],
        author=[*authors(node, at)],
    )  # fmt: skip
    for child in node.select("component/observationMedia"):
        if not child.has_unread():
            child.consume()
    return Built((found,))


def build_external_document(node: XmlNode, at: EntryContext) -> Built:
    """FR-Reference-externe: a document that is elsewhere, by its number."""
    basics = read_basics(node, at)
    external = node.first("reference/externalDocument")
    identifiers = at.values.identifiers(external) if external is not None else []
    code = at.values.concept(node.first("code"))
    label = basics.text or "Document de référence"
    found = _document(node, at, label, [{"title": label}], type=code, extension=basics.extension,
                      identifier=[*basics.identifier, *identifiers], author=authors(node, at))  # fmt: skip
    return Built((found,))


def _document(node: XmlNode, at: EntryContext, label: str, contents: list[Fhir], **more: object) -> Fhir:
    time = at.values.time(node.first("effectiveTime"), "date")
    dated = {"date": time["date"]} if "T" in str(time.get("date", "")) else {}
    return clinical.about_patient(
        "DocumentReference", at.mint("DocumentReference"), label, subject=at.subject, status="current", description=label,
        **dated, content=[{"attachment": one} for one in contents], **more,
    )  # fmt: skip


def _attachment(url: str, title: str) -> Fhir:
    return {"url": url, "title": title}


def media_name(node: XmlNode) -> str:
    """What a narrative calls an embedded file; one without ID is still carried, under its place."""
    return node.look("ID") or f"#{node.element.getroottree().getpath(node.element)}"
