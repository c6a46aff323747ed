"""The body of a CDA as sections: narrative made clean, entries given to the builder that their template names.

An entry that no builder knows is left unread, hence listed; its words are in the narrative and its bytes in the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.document import Section, binary_resource, template_extension
from adapter.fhir.narrative import Media, div_of_narrative, words_of
from adapter.formats.cda import decode_base64, sniff_media_type
from adapter.mapping.cda.context import EntryContext, Fhir, authors
from adapter.mapping.cda.entries import build_entry, entry_rules
from adapter.mapping.cda.header import template_of
from adapter.mapping.cda.panel import media_name
from adapter.mapping.cda.subject import read_subject
from adapter.mapping.rules import RuleFile
from adapter.mapping.xml_source import XmlNode

# A caption may quote a short narrative whole; a long one says nothing as a caption.
_SHORT_NARRATIVE = 200


@dataclass
class Body:
    """What the body became: sections, and every resource that they name."""

    sections: list[Section] = field(default_factory=list)
    resources: list[Fhir] = field(default_factory=list)
    templates: set[str] = field(default_factory=set)


def read_body(root: XmlNode, at: EntryContext) -> Body:
    """The sections of a structured body."""
    body = Body()
    media = _read_media(root, at, body)
    at = replace(at, build=build_entry, media=media)
    for number, node in enumerate(root.select("component/structuredBody/component/section")):
        body.sections.append(_section(node, at.below("section", str(number)), body))
    return body


def _section(node: XmlNode, at: EntryContext, body: Body) -> Section:
    rules = entry_rules()
    templates = list(filter(None, map(template_of, node.children("templateId"))))
    body.templates.update(template.partition("|")[0] for template in templates)
    block = node.first("text")
    element = block.consume() if block is not None else None
    words = " ".join(words_of(element).split()) if element is not None else ""
    focus = _focus(node, at, body)
    about = {"focus": focus} if focus else {key: at.options[key] for key in ("focus",) if key in at.options}
    inside = at.within({**_options(rules, templates), **about}, words if len(words) <= _SHORT_NARRATIVE else "")
    below = at.within(about, at.section_text)
    title = at.values.text(node.first("title"))
    code = at.values.concept(node.first("code"))
    entries = _entries(node, inside, body)
    children = node.select("component/section")
    sections = tuple(_section(child, below.below("section", str(n)), body) for n, child in enumerate(children))
    return Section(
        code=code,
        title=title,
        div=div_of_narrative(element, at.media.get) if element is not None else "",
        entries=entries,
        sections=sections,
        authors=tuple(authors(node, at)),
        focus=focus,
        empty_reason="" if words or entries or sections else "unavailable",
        narrative_status="additional",
        extensions=tuple(_extensions(node, at, templates)),
    )


def _focus(node: XmlNode, at: EntryContext, body: Body) -> str:
    """Whom a section is about when it is not the patient: the mother in a newborn's certificate."""
    subject = node.first("subject")
    person = read_subject(subject, at) if subject is not None else None
    if person is None:
        return ""
    body.resources.append(person)
    return f"urn:uuid:{person['id']}"


def _extensions(node: XmlNode, at: EntryContext, templates: list[str]) -> list[Fhir]:
    found = [template_extension(template) for template in templates]
    identifier = at.values.identifier(node.first("id"))
    if identifier:
        found.append({"url": p.EXT_SECTION_IDENTIFIER, "valueIdentifier": identifier})
    language = node.value_at("languageCode/@code")
    if language:
        found.append({"url": p.OURS + "section-language", "valueCode": language})
    return found


def _options(rules: RuleFile, templates: list[str]) -> Mapping[str, str]:
    table: dict[str, Any] = rules.data.get("sections", {})
    return next((table[root] for t in templates if (root := t.partition("|")[0]) in table), {})


def _entries(node: XmlNode, at: EntryContext, body: Body) -> tuple[str, ...]:
    urls: list[str] = []
    for number, entry in enumerate(node.children("entry")):
        for act in entry.children():
            built = build_entry(act, at.below("entry", str(number)))
            if built.entries and (templates := entry.children("templateId")):
                _keep_entry(built.entries[0], list(filter(None, map(template_of, templates))))
            body.resources += [*built.entries, *built.others]
            urls += [f"urn:uuid:{resource['id']}" for resource in built.entries]
        files = entry.descendants("observationMedia")
        urls += [at.media[name].url for name in map(media_name, files) if name in at.media]
    return tuple(dict.fromkeys(urls))


def _keep_entry(resource: Fhir, templates: list[str]) -> None:
    """The templates of the entry itself, which laboratory documents declare beside those of the act."""
    kept = [{"url": p.EXT_ENTRY_TEMPLATE, "valueString": template} for template in templates]
    resource["extension"] = [*resource.get("extension", ()), *kept]


# -- embedded files ----------------------------------------------------------------------------------------------------


def _read_media(root: XmlNode, at: EntryContext, body: Body) -> dict[str, Media]:
    """Every observationMedia of the body as a Binary, by its ID."""
    found: dict[str, Media] = {}
    for node in root.descendants("observationMedia"):
        value = node.first("value")
        if value is None or value.look("representation") != "B64":
            continue
        content, repaired = decode_base64(value.read(), value.path)
        if repaired:
            at.values.warn("cda.base64-repaired", "The padding of an embedded file was missing: it was added.", value.path)
        declared = value.get("mediaType")
        value.get("representation")
        media_type = sniff_media_type(content) or declared or "application/octet-stream"
        if declared and declared != media_type:
            at.values.warn("cda.other-media-type", "An embedded file is not of the type that it declares.", value.path)
        binary = binary_resource(content, media_type, at.mint("Binary", "media", str(len(found))))
        body.resources.append(binary)
        url = f"urn:uuid:{binary['id']}"
        found[media_name(node)] = Media(url, media_type.startswith("image/"))
    return found
