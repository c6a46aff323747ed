"""The body of a CDA as sections: narrative made clean, entries given to the builder that their template names.

An entry that no builder knows is left unread, hence listed; its words are in the narrative and its bytes in the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.document import Section, binary_resource, template_extension
from adapter.fhir.narrative import Media, div_of_narrative, words_of
from adapter.formats.cda import decode_base64, sniff_media_type
from adapter.mapping.cda_context import Built, EntryContext, Fhir, authors
from adapter.mapping.cda_entries import BUILDERS
from adapter.mapping.cda_header import template_of
from adapter.mapping.cda_subject import read_subject
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.sources import XmlNode

# A caption may quote a short narrative whole; a long one says nothing as a caption.
_SHORT_NARRATIVE = 200


def entry_rules() -> RuleFile:
    """Which builder understands which entry."""
    return load_rules("documents/cda-entries")


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
    for number, node in enumerate(root.select("component/structuredBody/component/section")):
        body.sections.append(_section(node, at.below("section", str(number)), body, media))
    return body


def _section(node: XmlNode, at: EntryContext, body: Body, media: Mapping[str, tuple[Media, str]]) -> Section:
    rules = entry_rules()
    templates = [template_of(child) for child in node.children("templateId")]
    body.templates.update(template.partition("|")[0] for template in templates)
    block = node.first("text")
    element = block.consume() if block is not None else None
    words = " ".join(words_of(element).split()) if element is not None else ""
    inside = at.within(_options(rules, templates), words if len(words) <= _SHORT_NARRATIVE else "")
    title = at.values.text(node.first("title"))
    code = at.values.concept(node.first("code"))
    entries = _entries(node, inside, body, media)
    children = node.select("component/section")
    sections = tuple(_section(child, at.below("section", str(n)), body, media) for n, child in enumerate(children))
    return Section(
        code=code,
        title=title,
        div=div_of_narrative(element, lambda name: media[name][0] if name in media else None) if element is not None else "",
        entries=entries,
        sections=sections,
        authors=tuple(authors(node, at)),
        focus=_focus(node, at, body),
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


def _entries(node: XmlNode, at: EntryContext, body: Body, media: Mapping[str, tuple[Media, str]]) -> tuple[str, ...]:
    urls: list[str] = []
    for number, entry in enumerate(node.children("entry")):
        for act in entry.children():
            built = _build(act, at.below("entry", str(number)))
            body.resources += [*built.entries, *built.others]
            urls += [f"urn:uuid:{resource['id']}" for resource in built.entries]
        urls += [url for found in entry.element.iter("{urn:hl7-org:v3}observationMedia")
                 for _, url in [media.get(_media_name(found), (None, ""))] if url]  # fmt: skip
    return tuple(dict.fromkeys(urls))


def _build(act: XmlNode, at: EntryContext) -> Built:
    table: dict[str, str] = entry_rules().data["builders"]
    for child in act.children("templateId"):
        name = table.get(child.element.get("root") or "")
        if name and _is_sayable(act, name, at):
            return BUILDERS[name](act, at)
    return Built(())


# FHIR says "not done" of an act or a treatment; of a fact it has no way to say the contrary.
_CAN_BE_NEGATED = frozenset({"medication", "procedure"})


def _is_sayable(act: XmlNode, name: str, at: EntryContext) -> bool:
    """A negated fact told without its negation would say the contrary: it stays in the words of the narrative, unread."""
    if name in _CAN_BE_NEGATED:
        return True
    if not any(element.get("negationInd") == "true" for element in act.element.iter()):
        return True
    at.values.warn("cda.negated-entry", "A negated entry was not coded: only its words were kept.", act.path)
    return False


# -- embedded files ----------------------------------------------------------------------------------------------------


def _media_name(element: Any) -> str:
    """What a narrative calls an embedded file; one without ID is still carried, under its place."""
    return element.get("ID") or f"#{element.getroottree().getpath(element)}"


def _read_media(root: XmlNode, at: EntryContext, body: Body) -> dict[str, tuple[Media, str]]:
    """Every observationMedia of the body as a Binary, by its ID."""
    found: dict[str, tuple[Media, str]] = {}
    for element in root.element.iter("{urn:hl7-org:v3}observationMedia"):
        node = XmlNode(root.source, element)
        value = node.first("value")
        if value is None or value.element.get("representation") != "B64":
            continue
        content, repaired = decode_base64(value.read(), value.path)
        if repaired:
            at.values.warn("cda.base64-repaired", "The padding of an embedded file was missing: it was added.", value.path)
        declared = value.get("mediaType")
        value.get("representation")
        media_type = sniff_media_type(content) or declared or "application/octet-stream"
        if declared and declared != media_type:
            at.values.warn("cda.other-media-type", "An embedded file is not of the type that it declares.", value.path)
        _read_media_frame(node)
        binary = binary_resource(content, media_type, at.mint("Binary", "media", str(len(found))))
        body.resources.append(binary)
        url = f"urn:uuid:{binary['id']}"
        found[_media_name(element)] = (Media(url, media_type.startswith("image/")), url)
    return found


def _read_media_frame(node: XmlNode) -> None:
    """The Binary says all that matters; its id and templates are those of an envelope."""
    node.get("ID")
    for child in (*node.children("templateId"), *node.children("id")):
        child.get("root")
        child.get("extension")
    value = node.first("value")
    if value is not None:
        value.get("xsi:type")
