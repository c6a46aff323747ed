"""What an entry builder needs at hand: values, ids, actors, where it stands; and what every entry has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids
from adapter.fhir.document import encounter_url, patient_url, template_extension, timed_reference
from adapter.fhir.narrative import Media
from adapter.fhir.parties import Parties, party_label
from adapter.mapping.cda.header import header_rules, interval_text, template_of
from adapter.mapping.cda.people import read_party
from adapter.mapping.cda.values import CdaValues
from adapter.mapping.xml_source import XmlNode

Fhir = dict[str, Any]


@dataclass(frozen=True)
class EntryContext:
    """Where an entry stands. `path` names it for its ids; `options` are what its section means for it.

    `build` understands an act found inside another; `media` are the embedded files, by what the narrative calls them.
    """

    values: CdaValues
    ids: Ids
    actors: Parties
    path: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    section_text: str = ""
    build: Builder | None = None
    media: Mapping[str, Media] = field(default_factory=dict)

    def below(self, *steps: str) -> EntryContext:
        """The same, one step down."""
        path = (*self.path, *steps)
        return EntryContext(self.values, self.ids, self.actors, path, self.options, self.section_text, self.build, self.media)

    def within(self, options: Mapping[str, str], section_text: str) -> EntryContext:
        """The same, inside a section that means something for its entries."""
        return EntryContext(self.values, self.ids, self.actors, self.path, options, section_text, self.build, self.media)

    def mint(self, kind: str, *more: str) -> str:
        """The id of a resource made from this entry."""
        return self.ids.mint(kind, *self.path, *more)

    @property
    def subject(self) -> str:
        """The patient's fullUrl."""
        return patient_url(self.ids)

    @property
    def encounter(self) -> Fhir:
        """A reference to the stay."""
        return {"reference": encounter_url(self.ids)}

    def anchor_url(self, anchor: str) -> str:
        """A place in the Composition's narrative."""
        return f"Composition/{self.ids.mint('Composition')}#{anchor}"


@dataclass(frozen=True)
class Built:
    """What an entry became: `entries` are named by the section, `others` only by them."""

    entries: tuple[Fhir, ...]
    others: tuple[Fhir, ...] = ()


Builder = Callable[[XmlNode, EntryContext], Built]


@dataclass(frozen=True)
class Basics:
    """What every act has: words, identifiers, and the extensions that keep the rest."""

    text: str
    identifier: list[Fhir]
    extension: list[Fhir]


def read_basics(node: XmlNode, at: EntryContext) -> Basics:
    """templateId, id, text (with its anchor in the narrative) and languageCode of an act."""
    extensions = [template_extension(template) for child in node.children("templateId") if (template := template_of(child))]
    node.get("negationInd")  # a true one is told by each builder in its own way
    text_node = node.first("text")
    text = at.values.text(text_node)
    anchor = at.values.anchor(text_node)
    if anchor:
        extensions.append({"url": p.EXT_NARRATIVE_LINK, "valueUrl": at.anchor_url(anchor)})
    return Basics(text, at.values.identifiers(node), extensions)


def read_actors(nodes: list[XmlNode], at: EntryContext, entity: str) -> list[Fhir]:
    """References to authors or performers, with when and as what they took part."""
    found = []
    for child in nodes:
        time = interval_text(at.values, child.first("time"))
        party = read_party(header_rules(), at.values, child.first(entity), time=time, acting=child)
        found.append(timed_reference(party, at.actors.actor(party)))
    return found


def authors(node: XmlNode, at: EntryContext) -> list[Fhir]:
    """Who wrote this entry."""
    return read_actors(node.children("author"), at, "assignedAuthor")


def performers(node: XmlNode, at: EntryContext) -> list[Fhir]:
    """Who does what this entry tells."""
    return read_actors(node.children("performer"), at, "assignedEntity")


def has_template(node: XmlNode, *roots: str) -> bool:
    """True when an act declares one of these templates (looks without reading)."""
    return any(child.look("root") in roots for child in node.children("templateId"))


def is_negated(node: XmlNode) -> bool:
    """True when an act is told as not being (looks without reading)."""
    return node.look("negationInd") == "true"


def related(node: XmlNode) -> list[tuple[str, XmlNode]]:
    """The acts related to this one, each with the kind of relation. A negated fact is left to the general case."""
    found = ((link, act) for link in node.children("entryRelationship") for act in link.children())
    return [
        (link.look("typeCode"), act)
        for link, act in found
        if act.name not in ("sequenceNumber", "templateId") and not (act.name == "observation" and is_negated(act))
    ]


_COMMENT = "1.2.250.1.213.1.1.3.32"


def comments(node: XmlNode, at: EntryContext) -> list[Fhir]:
    """The comments (FR-Commentaire-ER) attached to an act, as Annotations."""
    found = []
    for _, act in related(node):
        if has_template(act, _COMMENT):
            found.append(_annotation(act, at))
    return [note for note in found if note]


def _annotation(act: XmlNode, at: EntryContext) -> Fhir:
    basics = read_basics(act, at)
    at.values.concept(act.first("code"))
    act.value_at("statusCode/@code")
    who = [read_party(header_rules(), at.values, child.first("assignedAuthor"), acting=child) for child in act.children("author")]
    times = [at.values.plain_time(child.first("time")) for child in act.children("author")]
    note: Fhir = {"authorString": party_label(who[0])} if who else {}
    if times and times[0]:
        note["time"] = times[0]
    if not basics.text:
        return {}
    extension = [*basics.extension, *({"url": p.EXT_ACT_IDENTIFIER, "valueIdentifier": one} for one in basics.identifier)]
    return ({"extension": extension} if extension else {}) | note | {"text": basics.text}
