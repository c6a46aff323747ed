"""A CDA R2 N3 from our FHIR document: header as for an N1, sections with their narrative, entries that we know how to write.

Law: every word of the narrative is kept; an entry without a CDA form is told in words there. Codes, dates and quantities of
the entries are those of the resources; ids derive from theirs, so the same document gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lxml import etree

from adapter.fhir import profiles as p
from adapter.fhir.narrative import NOTHING_SAID, div_of
from adapter.fhir.reading import Entries, extension, extensions
from adapter.model.document import ServiceEvent
from adapter.model.submission import Submission
from adapter.packaging.cda_out.absent import tells_absence, write_absence
from adapter.packaging.cda_out.acts import HISTORY, WRITERS, add_file, observation_words, write_history
from adapter.packaging.cda_out.context import SIMPLE_OBSERVATION, EntryWriter, Write, add_text_reference, caption_of, cisis, start
from adapter.packaging.cda_out.header import write_header
from adapter.packaging.cda_out.models import DocumentModel, SectionModel, all_sections, code_of, composition_of, model_for
from adapter.packaging.cda_out.narrative import NOTHING, Anchors, Narrative
from adapter.packaging.cda_out.values import XSI_TYPE, add_concept, add_ids, add_ii
from adapter.packaging.cda_out.xml import Element, add, add_text

Fhir = Mapping[str, Any]

_PAGE_ID = "page"
_PAGE_CAPTION = "Document lisible (PDF)"
_SHORT_CAPTION = 400
# Base64 of what leaves is never so large; beyond, the file stays in the FHIR document and beside.
_LARGEST_FILE = 30_000_000


@dataclass
class _Body:
    """A body being written."""

    entries: Entries
    model: DocumentModel
    page: bytes
    unique_id: str
    anchors: Anchors = field(default_factory=Anchors)
    media: dict[str, str] = field(default_factory=dict)
    moved: dict[str, list[Any]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)


def write_as_n3(submission: Submission, bundle: Fhir, model: DocumentModel, page: bytes) -> bytes:
    """The structured CDA of a document that meets a model. RenditionError when the header lacks what no nullFlavor replaces."""
    root = write_header(_with_principal_act(submission, model), model.templates)
    structured = add(add(root, "component"), "structuredBody")
    body = _Body(Entries(bundle), model, page if model.page else b"", submission.document.unique_id)
    composition = composition_of(bundle)
    body.media = _media_ids(composition, body.entries)
    body.moved = _moved(composition, model)
    sections = [section for section in composition.get("section") or () if isinstance(section, dict)]
    for section in sections:
        _write_section(structured, section, body)
    for missing in _missing(model, sections, page=bool(body.page)):
        _write_section(structured, _empty(missing), body)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def structured_model(submission: Submission, bundle: Fhir) -> DocumentModel | None:
    """The model under which a document that was not born a CDA leaves; None: as N1."""
    return model_for(submission, bundle)


def _with_principal_act(submission: Submission, model: DocumentModel) -> Submission:
    """The volet fixes the code of the principal act: one that bears it comes first; without, the first act is it."""
    header = submission.document
    acts = list(header.service_events) or [ServiceEvent(start=header.created)]
    known = next((act for act in acts if act.code.code == model.principal_act.code), None)
    first = known or replace(acts[0], code=model.principal_act)
    others = [act for act in acts if act is not known] if known else acts[1:] if not acts[0].code.code else acts
    performer = first.performer or (header.authors[0] if header.authors else None)
    events = (replace(first, performer=performer), *others)
    return replace(submission, document=replace(header, service_events=events))


def _missing(model: DocumentModel, sections: list[Any], *, page: bool) -> list[SectionModel]:
    present = {code_of(section.get("code")) for section in sections}
    wanted = [section for section in model.sections if not section.inside and section.code not in present]
    return [section for section in wanted if section.required or (section.kind == "files" and page)]


def _empty(model: SectionModel) -> Fhir:
    words = _PAGE_CAPTION if model.kind == "files" else NOTHING
    concept = {"coding": [{"system": p.LOINC, "code": model.code}]}
    return {"code": concept, "title": model.title, "text": {"div": div_of(words)}}


def _media_ids(composition: Fhir, entries: Entries) -> dict[str, str]:
    """The name inside the document of each file that a section holds, by the reference that the narrative uses."""
    found: dict[str, str] = {}
    stack = list(composition.get("section") or ())
    while stack:
        section = stack.pop(0)
        stack[:0] = list(section.get("section") or ())
        for reference in section.get("entry") or ():
            for url in _files_of(entries.at(reference), reference):
                found.setdefault(url, f"file-{len(found) + 1}")
    return found


def _files_of(resource: Fhir, reference: Fhir) -> list[str]:
    """The references of the Binaries that an entry is, or shows."""
    if resource.get("resourceType") == "Binary":
        return [str(reference.get("reference"))]
    if resource.get("resourceType") != "DocumentReference":
        return []
    attachments = [content.get("attachment") or {} for content in resource.get("content") or ()]
    return [str(attachment["url"]) for attachment in attachments if attachment.get("url")]


def _moved(composition: Fhir, model: DocumentModel) -> dict[str, list[Any]]:
    """Entries that their section may not hold, by the section that takes them."""
    found: dict[str, list[Any]] = {}
    for section in all_sections(composition.get("section")):
        known = model.section(code_of(section.get("code")))
        if known is not None and known.entries_in:
            found.setdefault(known.entries_in, []).extend(section.get("entry") or ())
    return found


# -- sections --------------------------------------------------------------------------------------------------------------------


def _write_section(parent: Element, section: Fhir, body: _Body) -> None:
    model = body.model.section(code_of(section.get("code")))
    made = add(add(parent, "component"), "section")
    for template in _templates(section, model):
        root, _, version = template.partition("|")
        add(made, "templateId", root=root, extension=version)
    identifier = extension(section, p.EXT_SECTION_IDENTIFIER).get("valueIdentifier")
    if isinstance(identifier, dict) and identifier.get("value"):
        add_ii(made, identifier)
    else:
        add_ids(made, {"id": f"{body.unique_id}{made.getroottree().getpath(made)}"})
    _add_code(made, section, model)
    add_text(made, "title", str(section.get("title") or (model.title if model else "")) or "Section")
    own, below = _parts(section)
    text = section.get("text")
    div = text.get("div", "") if isinstance(text, dict) else ""
    narrative = Narrative(made, "" if NOTHING_SAID in div else str(div), body.anchors, body.media)
    at = EntryWriter(body.entries, narrative, model.kind if model else "", model.accepts if model else ())
    _write_entries(made, own + body.moved.get(model.code if model else "", []), at, body)
    if model is not None and not own and tells_absence(model.absent, section):
        write_absence(made, model.absent, section, caption_of(section), at)
    for child in below:
        _write_section(made, child, body)


def _templates(section: Fhir, model: SectionModel | None) -> tuple[str, ...]:
    if model is not None:
        return model.templates
    return tuple(str(found.get("valueString", "")) for found in extensions(section, p.EXT_TEMPLATE_ID))


def _add_code(made: Element, section: Fhir, model: SectionModel | None) -> None:
    if model is None:
        add_concept(made, "code", section.get("code") or {})
        return
    add(made, "code", code=model.code, displayName=model.label, codeSystem="2.16.840.1.113883.6.1", codeSystemName="LOINC")


def _parts(section: Fhir) -> tuple[list[Any], list[Any]]:
    """Entries and sub-sections; entries that FHIR made us put in a sub-section of the same name come back."""
    own, below = list(section.get("entry") or ()), []
    for child in section.get("section") or ():
        twin = code_of(child.get("code")) == code_of(section.get("code")) and child.get("title") == section.get("title")
        if twin and not child.get("section"):
            own += child.get("entry") or ()
        else:
            below.append(child)
    return own, below


def _write_entries(made: Element, references: list[Any], at: EntryWriter, body: _Body) -> None:
    seen: set[str] = set()
    for reference in sorted(references, key=lambda found: at.entries.at(found).get("resourceType") == "Binary"):
        resource = at.entries.at(reference)
        kind = str(resource.get("resourceType"))
        write = _writer_of(kind, at)
        if kind in ("Binary", "DocumentReference"):
            _write_files(made, resource, reference, at, body)
        elif write is not None:
            seen.add(code_of(resource.get("code")))
            write(add(made, "entry"), resource, at)
        else:
            _say(resource, kind, at)
    if at.kind == "history":
        _complete_history(made, seen, at)
    elif at.kind == "education":
        _complete_education(made, at)
    elif at.kind == "files" and body.page:
        _write_page(made, at, body)


def _writer_of(kind: str, at: EntryWriter) -> Write | None:
    if at.kind == "words":
        return None
    if at.kind == "history":
        return write_history if kind in HISTORY else None
    return WRITERS.get(kind)


def _say(resource: Fhir, kind: str, at: EntryWriter) -> None:
    """What has no entry here is told in words, once."""
    words = observation_words(resource) if kind == "Observation" else caption_of(resource)
    if 0 < len(words) <= _SHORT_CAPTION:
        at.narrative.anchor(words)


def _complete_history(made: Element, seen: set[str], at: EntryWriter) -> None:
    """Two facts that the volet wants, told or not: past illness (the section's own words) and past surgery."""
    wanted = (
        ("11348-0", "Antécédents médicaux", "Antécédents médicaux : voir les réponses ci-dessus"),
        ("47519-4", "Antécédents chirurgicaux", "Antécédents chirurgicaux : non renseignés"),
    )
    for code, label, words in wanted:
        if code not in seen:
            concept = {"coding": [{"system": p.LOINC, "code": code, "display": label}]}
            resource = {"resourceType": "Observation", "id": f"{code}{at.narrative.anchor(words)}", "code": concept}
            write_history(add(made, "entry"), {**resource, "text": {"div": words}, "valueCodeableConcept": {"text": words}}, at)


def _complete_education(made: Element, at: EntryWriter) -> None:
    """Whether the patient was told of the risks (MED-1130): a form that does not say leaves it unsaid."""
    if any(found.get("code") == "MED-1130" for found in made.iter("{*}code")):
        return
    told = start(add(made, "entry"), "observation", "OBS", "EVN", SIMPLE_OBSERVATION)
    reference = at.narrative.anchor("Information du patient sur les risques de l'examen : non renseignée")
    add_ids(told, {"id": f"MED-1130{reference}"})
    label = "Le patient a-t-il été informé des risques relatifs à l'examen d'imagerie médicale ?"
    add_concept(told, "code", cisis("MED-1130", label))
    add_text_reference(told, reference)
    add(told, "statusCode", code="completed")
    add(told, "effectiveTime", nullFlavor="UNK")
    add(told, "value", nullFlavor="NASK").set(XSI_TYPE, "BL")


# -- files -----------------------------------------------------------------------------------------------------------------------


def _write_files(made: Element, resource: Fhir, reference: Fhir, at: EntryWriter, body: _Body) -> None:
    """Each file once, though a section may name the Binary and a DocumentReference to it."""
    contents = resource.get("content") or [{}]
    title = str((contents[0].get("attachment") or {}).get("title") or resource.get("description") or "")
    for url in _files_of(resource, reference):
        binary = at.entries.at({"reference": url})
        name, data = body.media.get(url, ""), str(binary.get("data", ""))
        if binary.get("resourceType") == "Binary" and data and len(data) <= _LARGEST_FILE and name not in body.written:
            body.written.add(name)
            media_type = str(binary.get("contentType", "application/octet-stream"))
            add_file(add(made, "entry"), name, media_type, data, title or f"Pièce jointe ({media_type})", at)
            if not any(shown.get("referencedObject") == name for shown in at.narrative.element.iter("{*}renderMultiMedia")):
                at.narrative.show(name, title or "pièce jointe")


def _write_page(made: Element, at: EntryWriter, body: _Body) -> None:
    data = base64.b64encode(body.page).decode("ascii")
    add_file(add(made, "entry"), _PAGE_ID, "application/pdf", data, _PAGE_CAPTION, at)
    at.narrative.show(_PAGE_ID, _PAGE_CAPTION)
