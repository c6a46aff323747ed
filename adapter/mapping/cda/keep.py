"""What an act says and FHIR has no element for, kept as typed values in extensions of ours, so that the way back finds it.

`cda-<element>` is a child of the act; inside, a child element is a part of that name. Codes, identifiers, dates, quantities,
truths, words and actors are FHIR values; anything else is its attributes and words, by name. It is no copy of the XML: the
part that a builder understood is not said twice, unless the whole act is asked for.
"""

from __future__ import annotations

from adapter.fhir import profiles as p
from adapter.mapping.cda.context import EntryContext, Fhir, read_actors
from adapter.mapping.cda.header import template_of
from adapter.mapping.xml_paths import local_name
from adapter.mapping.xml_source import XmlNode
from adapter.model.identity import INS_OIDS, ins_is_valid

_ACTORS = {"author": "assignedAuthor", "performer": "assignedEntity"}
_CODED = frozenset({"CD", "CE", "CV", "CS", "CO"})
_TIMES = frozenset({"effectiveTime", "time", "low", "high", "center", "availabilityTime"})
_CONCEPT_PARTS = frozenset({"originalText", "translation", "qualifier"})
_FIXED = frozenset({"codeSystemName"})
_ACT_ATTRIBUTES = ("classCode", "moodCode", "negationInd")


def keep_rest(node: XmlNode, at: EntryContext) -> list[Fhir]:
    """Every child of an act that still holds a value which nobody read, or a code that is null."""
    found = []
    for child in node.children():
        if child.is_taken:
            continue
        null_code = bool(child.look("nullFlavor")) and (child.name.endswith("Code") or local_name(child.name) == "code")
        if not null_code and not child.has_unread():
            continue
        kept = _kept(child, at, whole=null_code)
        if kept is not None:
            found.append(kept | {"url": f"{p.OURS}cda-{_url(kept['url'])}"})
    return found


def keep_whole(node: XmlNode, at: EntryContext, *, without: frozenset[str] = frozenset()) -> list[Fhir]:
    """All that an act says, whatever was read of it, as parts of an extension."""
    parts = [_attribute(node, name) for name in _ACT_ATTRIBUTES if node.look(name)]
    told = (_kept(child, at, whole=True) for child in node.children() if child.name not in without)
    return [*parts, *(kept for kept in told if kept is not None)]


def _kept(node: XmlNode, at: EntryContext, *, whole: bool) -> Fhir | None:
    if node.name in _ACTORS and (actors := _actor(node, at)) is not None and not node.has_unread():
        return actors
    typed = _typed(node, at) if whole or not node.was_touched() else None
    if typed is not None and not node.has_unread():
        return {"url": node.name} | typed
    parts = _parts(node, at, whole=whole)
    node.consume()
    return {"url": node.name, "extension": parts} if parts else None


def _actor(node: XmlNode, at: EntryContext) -> Fhir | None:
    if node.was_touched():
        return None
    (actor,) = read_actors([node], at, _ACTORS[node.name])
    return {"url": node.name, "valueReference": actor}


def _typed(node: XmlNode, at: EntryContext) -> Fhir | None:
    """The value of one FHIR type that says all of a small element; None when there is none."""
    names = set(map(local_name, node.attributes))
    children = {child.name for child in node.children()}
    words = bool((node.element.text or "").strip())
    kind = node.look("xsi:type").rpartition(":")[2]
    if node.name == "templateId":
        return {"valueString": template_of(node) or "-"}
    if children <= _CONCEPT_PARTS and not words and ("code" in names or kind in _CODED or "originalText" in children):
        concept = at.values.concept(node)
        return {"valueCodeableConcept": concept} if concept else None
    if children:
        return None
    if names <= {"mediaType", "type"} and words:
        node.get("mediaType")
        node.get("xsi:type")
        return {"valueString": " ".join(node.read().split())}
    return _identifier(node, at, names) if "root" in names else _scalar(node, at, names, kind)


def _identifier(node: XmlNode, at: EntryContext, names: set[str]) -> Fhir | None:
    root, extension = node.look("root"), node.look("extension")
    if "nullFlavor" in names or (root in INS_OIDS and not ins_is_valid(extension)):  # a wrong matricule is no identifier
        return None
    identifier = at.values.identifier(node)
    return {"valueIdentifier": identifier} if identifier else None


def _scalar(node: XmlNode, at: EntryContext, names: set[str], kind: str) -> Fhir | None:
    """A date, a truth or a quantity. A literal that FHIR would change is kept as it came."""
    value = node.attributes.get("value")
    if value is None:
        return None
    if kind == "TS" or (node.name in _TIMES and not kind and names == {"value"}):
        found = at.values.time(node, "valueDateTime")
        node.get("xsi:type")
        return found if "_valueDateTime" not in found else None
    if kind == "BL" and value in ("true", "false"):
        node.get("xsi:type")
        return {"valueBoolean": node.get("value") == "true"}
    if (kind == "PQ" or "unit" in names) and names <= {"value", "unit", "type"}:
        quantity = at.values.quantity(node)
        return {"valueQuantity": quantity} if "value" in quantity else None
    return None


def _parts(node: XmlNode, at: EntryContext, *, whole: bool) -> list[Fhir]:
    """The attributes, words and children of an element; only what nobody read unless the whole is asked for."""
    said = node.attributes if whole else node.left
    parts = [_attribute(node, name) for name, value in said.items() if value.strip() and local_name(name) not in _FIXED]
    words = " ".join((node.element.text or "").split())
    if words and (whole or not node.is_text_read):
        parts.append({"url": "text", "valueString": words})
    for child in node.children():
        if whole or child.has_unread():
            kept = _kept(child, at, whole=whole)
            parts += [kept | {"url": _url(kept["url"])}] if kept is not None else []
        tail = " ".join((child.element.tail or "").split())
        parts += [{"url": "text", "valueString": tail}] if tail else []
    if whole and (reference := node.first("reference")) is not None and node.name in ("text", "originalText"):
        told = at.values.text(node)
        parts += [{"url": "words", "valueString": told}] if told and reference is not None else []
    return parts


def _attribute(node: XmlNode, name: str) -> Fhir:
    return {"url": _url(name), "valueString": " ".join(node.attributes.get(name, "").split())}


def _url(name: str) -> str:
    """An element's name as part of a URL: prefixes and unknown namespaces have no place there."""
    return local_name(name)
