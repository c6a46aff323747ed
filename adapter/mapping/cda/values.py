"""CDA data types as FHIR ones: codes, times, quantities, identifiers, text by reference. Nothing is guessed in silence.

Source: HL7 v3 data types R1 as the CI-SIS uses them; digest CDA→FHIR §6 and §8. What FHIR cannot hold (a literal cut
short, trailing zeros of a number, a null flavour) goes beside it in an extension.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from lxml import etree

from adapter.fhir import profiles as p
from adapter.fhir.bundle import uri_of_root
from adapter.fhir.narrative import words_of
from adapter.fhir.period import sound_period
from adapter.mapping.cda.time import Doubt, read_time
from adapter.mapping.terminology import translate_code, unknown_code, uri_of
from adapter.mapping.xml_source import XmlNode
from adapter.model.finding import Finding, Severity

Fhir = dict[str, Any]

_V3 = "{urn:hl7-org:v3}"
_UCUM_CODE = re.compile(r"[!-~]+")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")

# HL7 v3 NullFlavor → FHIR data-absent-reason.
_ABSENT = {
    "UNK": "unknown", "ASKU": "asked-unknown", "NASK": "not-asked", "NAV": "temp-unknown", "MSK": "masked",
    "NA": "not-applicable", "NI": "unknown", "OTH": "unsupported", "NP": "unknown", "NINF": "negative-infinity",
    "PINF": "positive-infinity", "TRC": "unknown", "QS": "unknown",
}  # fmt: skip
_ABSENT_SYSTEM = "http://terminology.hl7.org/CodeSystem/data-absent-reason"

_DOUBTS = {
    Doubt.NO_ZONE: ("cda.time-without-zone", "A time bears no zone: civil time was taken."),
    Doubt.ODD_ZONE: ("cda.odd-time-zone", "A time zone is not written ±hhmm: it was understood."),
    Doubt.INVALID: ("cda.invalid-date", "A date is no date: it was left out."),
}


class CdaValues:
    """Reads the values of one document and gathers what was dubious. `zone` is the civil time of times without one."""

    def __init__(self, element: etree._Element, zone: str) -> None:
        self._element = element
        self._zone = zone
        self._findings: dict[tuple[str, str], Finding] = {}
        self._narrative: dict[str, str] | None = None

    @property
    def _texts(self) -> dict[str, str]:
        if self._narrative is None:
            self._narrative = _narrative_texts(self._element)
        return self._narrative

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was dubious, each thing once."""
        return tuple(self._findings.values())

    def warn(self, code: str, text: str, location: str, severity: Severity = Severity.WARNING) -> None:
        """Remember a remark; the same one on the same place is kept once."""
        self._findings.setdefault((code, location), Finding(severity, code, text, location))

    def translated(self, table: str, code: str, node: XmlNode | None) -> str:
        """What a table makes of a code that stands at a node. One that it does not hold stays as it came, and that is told."""
        for finding in unknown_code(table, code, node.path if node is not None else table):
            self.warn(finding.code, finding.text, finding.location)
        return translate_code(table, code)

    # -- time ---------------------------------------------------------------------------------------------------------------

    def time(self, node: XmlNode | None, key: str) -> Fhir:
        """A TS as `{key: value}` and, where the literal or a null flavour must be kept, `{_key: …}`. Empty when absent."""
        if node is None:
            return {}
        literal = node.get("value")
        if not literal:
            return self._absent_primitive(node, key)
        civil = read_time(literal, self._zone)
        if civil.doubt in _DOUBTS:
            code, text = _DOUBTS[civil.doubt]
            self.warn(code, text, node.path)
        found: Fhir = {key: civil.value} if civil.value else {}
        if civil.doubt is not Doubt.NONE:
            found[f"_{key}"] = {"extension": [literal_extension(literal)]}
        return found

    def point_literal(self, node: XmlNode | None) -> str:
        """A point in time as written, where its FHIR form cannot be turned back into it; else empty."""
        literal = node.get("value") if node is not None else ""
        return literal if literal and read_time(literal, self._zone).doubt is not Doubt.NONE else ""

    def day(self, node: XmlNode | None, key: str) -> Fhir:
        """A TS where FHIR takes a day at most: the hour is kept beside it."""
        found = self.time(node, key)
        moment = str(found.get(key, ""))
        if node is None or "T" not in moment:
            return found
        return {key: moment[:10], f"_{key}": {"extension": [literal_extension(node.get("value"))]}}

    def plain_time(self, node: XmlNode | None) -> str:
        """A TS as FHIR text alone."""
        value: str = self.time(node, "value").get("value", "")
        return value

    def _absent_primitive(self, node: XmlNode, key: str) -> Fhir:
        reason = self.absent_reason(node)
        return {f"_{key}": {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": reason}]}} if reason else {}

    def absent_reason(self, node: XmlNode) -> str:
        """The data-absent-reason of a null flavour; empty when there is none."""
        flavor = node.get("nullFlavor")
        return _ABSENT.get(flavor, "unknown") if flavor else ""

    def period(self, node: XmlNode | None) -> Fhir:
        """An IVL_TS as a Period: bounds as given, a null bound with its reason, a lone value as both bounds."""
        if node is None:
            return {}
        if node.get("value"):
            return {**self.time(node, "start"), **self.time(node, "end")}
        return sound_period({**self.time(node.first("low"), "start"), **self.time(node.first("high"), "end")})

    def when(self, node: XmlNode | None, name: str) -> Fhir:
        """A choice `name[x]`: a dateTime for a point, a Period for an interval, a reason when the source gives a null."""
        if node is None:
            return {}
        node.get("xsi:type")
        if node.get("value"):
            return self.time(node, f"{name}DateTime")
        period = self.period(node)
        if period and set(period) - {"_start", "_end"}:
            return {f"{name}Period": period}
        bounds = node.children()
        reason = self.absent_reason(node) or (self.absent_reason(bounds[0]) if bounds else "")
        if not reason:
            return {}
        return {f"_{name}DateTime": {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": reason}]}}

    # -- codes --------------------------------------------------------------------------------------------------------------

    def coding(self, node: XmlNode) -> Fhir | None:
        """A CD/CE/CS as a Coding; None when it has no code. Qualifiers go in an extension."""
        code = node.get("code")
        system, display = node.get("codeSystem"), node.get("displayName")
        version = node.get("codeSystemVersion")
        if not code:
            return None
        found: Fhir = {}
        qualifiers = [extension for q in node.select("qualifier") if (extension := self._qualifier(q)) is not None]
        if qualifiers:
            found["extension"] = qualifiers
        if system:
            found["system"] = uri_of(system)
        if version:
            found["version"] = version
        found["code"] = code
        if display:
            found["display"] = display
        return found

    def worded_coding(self, node: XmlNode) -> Fhir | None:
        """A code inside a code, with its own words when the display does not say them."""
        coding = self.coding(node)
        words = self.text(node.first("originalText"))
        if coding is None or not words or words == coding.get("display"):
            return coding
        return coding | {"extension": [*coding.get("extension", ()), {"url": p.EXT_CODING_TEXT, "valueString": words}]}

    def _qualifier(self, node: XmlNode) -> Fhir | None:
        parts: list[Fhir] = []
        for name in ("name", "value"):
            child = node.first(name)
            coding = self.worded_coding(child) if child is not None else None
            if coding is not None:
                parts.append({"url": name, "valueCoding": coding})
        return {"url": p.EXT_QUALIFIER, "extension": parts} if parts else None

    def concept(self, node: XmlNode | None) -> Fhir:
        """A CD with translations and original text as a CodeableConcept; empty when it says nothing."""
        if node is None:
            return {}
        node.get("xsi:type")
        candidates = [self.coding(node), *(self.worded_coding(t) for t in node.select("translation"))]
        codings = [coding for coding in candidates if coding is not None]
        found: Fhir = {"coding": codings} if codings else {}
        text = self.text(node.first("originalText"))
        if text:
            found["text"] = text
        flavor = node.get("nullFlavor")
        if flavor and found:
            found = {"extension": [{"url": p.EXT_NULL_FLAVOR, "valueCode": flavor}], **found}
        return found

    def concepts(self, nodes: Iterable[XmlNode]) -> list[Fhir]:
        """Those that say something."""
        return [found for node in nodes if (found := self.concept(node))]

    # -- quantities -----------------------------------------------------------------------------------------------------------

    def quantity(self, node: XmlNode | None) -> Fhir:
        """A PQ (or REAL, INT) as a Quantity; the literal is kept where a JSON number would change it."""
        if node is None:
            return {}
        node.get("xsi:type")
        literal, unit = node.get("value"), node.get("unit")
        node.get("nullFlavor")
        if not literal:
            return {}
        found = self.number(literal, "value", node)
        if unit and unit != "1":
            found["unit"] = unit
        if unit and _UCUM_CODE.fullmatch(unit):
            found |= {"system": p.UCUM, "code": unit}
        return found

    def number(self, literal: str, key: str, node: XmlNode) -> Fhir:
        """A number as JSON, and its literal when trailing zeros or a sign would be lost."""
        if not _NUMBER.fullmatch(literal):
            self.warn("cda.not-a-number", "A quantity is no number: it was left out and the literal kept.", node.path)
            return {f"_{key}": {"extension": [literal_extension(literal)]}}
        value: int | float = int(literal) if "." not in literal else float(literal)
        if str(value) == literal:
            return {key: value}
        return {key: value, f"_{key}": {"extension": [literal_extension(literal)]}}

    def range_or_quantity(self, node: XmlNode | None) -> tuple[str, Fhir]:
        """An IVL_PQ as `("Quantity", …)` when both bounds are the same or it is a point, else `("Range", …)`."""
        if node is None:
            return "", {}
        node.get("xsi:type")
        if node.get("value"):
            return "Quantity", self.quantity(node)
        low, high = self.quantity(node.first("low")), self.quantity(node.first("high"))
        for bound in node.children():
            bound.get("inclusive")
        node.get("nullFlavor")
        if low and low == high:
            return "Quantity", low
        found = {key: bound for key, bound in (("low", low), ("high", high)) if bound}
        return ("Range", found) if found else ("", {})

    def ratio(self, node: XmlNode | None) -> Fhir:
        """An RTO as a Ratio; both halves or nothing."""
        if node is None:
            return {}
        node.get("xsi:type")
        node.get("nullFlavor")
        numerator, denominator = self.quantity(node.first("numerator")), self.quantity(node.first("denominator"))
        return {"numerator": numerator, "denominator": denominator} if numerator and denominator else {}

    # -- identifiers and text -------------------------------------------------------------------------------------------------

    def identifier(self, node: XmlNode | None) -> Fhir:
        """An II as an Identifier: the root is the system of an extension, or the value itself."""
        if node is None:
            return {}
        root, extension = node.get("root"), node.get("extension")
        node.get("nullFlavor")
        assigner = node.get("assigningAuthorityName")
        if not root and not extension:
            return {}
        if not extension:
            found = {"system": p.URI_SYSTEM, "value": self._root_uri(root, node)}
        else:
            found = {"system": self._root_uri(root, node), "value": extension} if root else {"value": extension}
        return found | ({"assigner": {"display": assigner}} if assigner else {})

    def identifiers(self, node: XmlNode) -> list[Fhir]:
        """All ids of an act."""
        return [found for child in node.children("id") if (found := self.identifier(child))]

    def _root_uri(self, root: str, node: XmlNode) -> str:
        uri = _known_root(root)
        if uri:
            return uri
        self.warn("cda.bad-oid", "An identifier's root is neither an OID nor a UUID.", node.path)
        return f"{p.OURS}root/{root}" if not re.search(r"\s", root) else f"{p.OURS}root/unreadable"

    def text(self, node: XmlNode | None) -> str:
        """An ED or ST: its words, or those of the narrative it points at."""
        if node is None:
            return ""
        node.get("mediaType")
        node.get("nullFlavor")
        reference = node.first("reference")
        if reference is None:
            words = " ".join(words_of(node.element).split())
            node.consume()
            return words
        own = node.read()
        return self._resolved(reference) or own

    def _resolved(self, reference: XmlNode) -> str:
        """What a reference points at. Real documents write it with `#`, without, alone, or to nothing."""
        target = reference.look("value").strip().removeprefix("#")
        if not target or target in self._texts:
            reference.get("value")  # one that leads elsewhere (a file, a picture) stays to be kept
        if not target:
            self.warn("cda.empty-reference", "A reference points nowhere.", reference.path, Severity.INFORMATION)
            return ""
        if target not in self._texts:
            self.warn("cda.dangling-reference", "A reference points at no part of the narrative.", reference.path)
        return self._texts.get(target, "")

    def anchor(self, node: XmlNode | None) -> str:
        """The narrative anchor that an ED points at, when it exists."""
        reference = node.first("reference") if node is not None else None
        target = reference.look("value").strip().removeprefix("#") if reference is not None else ""
        return target if target in self._texts else ""


def literal_extension(literal: str) -> Fhir:
    """Keeps what the source wrote."""
    return {"url": p.EXT_ORIGINAL_LITERAL, "valueString": literal}


def absent_concept(reason: str) -> Fhir:
    """A data-absent-reason as a CodeableConcept."""
    return {"coding": [{"system": _ABSENT_SYSTEM, "code": reason}]}


@lru_cache(maxsize=1024)
def _known_root(root: str) -> str:
    """The URI of a root that is an OID or a UUID, else nothing. The same few stand in every document."""
    return uri_of_root(root) if _OID.fullmatch(root) or _is_uuid(root) else ""


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return "-" in text


def _narrative_texts(root: etree._Element) -> dict[str, str]:
    """The words of each narrative element that bears an ID. The first of an ID wins."""
    texts: dict[str, str] = {}
    for section in root.iter(f"{_V3}section"):
        block = section.find(f"{_V3}text")
        for element in block.iter(etree.Element) if block is not None else ():
            name = element.get("ID")
            if name and name not in texts:
                texts[name] = " ".join(words_of(element).split())
    return texts
