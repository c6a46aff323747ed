"""FHIR data types as HL7 v3 ones: the way back of `mapping.cda_values`. What the source wrote (a literal) goes out as written."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.reading import extension, extensions, root_of
from adapter.packaging.cda_out.xml import XSI, Element, add
from adapter.packaging.code_tables import oid_of

Fhir = Mapping[str, Any]

XSI_TYPE = f"{{{XSI}}}type"
_OUR_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, p.OURS)
_FLAVORS = {
    "unknown": "UNK", "asked-unknown": "ASKU", "not-asked": "NASK", "temp-unknown": "NAV", "masked": "MSK",
    "not-applicable": "NA", "unsupported": "OTH", "negative-infinity": "NINF", "positive-infinity": "PINF",
}  # fmt: skip
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_LITERAL_TIME = re.compile(r"\d{4,14}(\.\d+)?([+-]\d{1,4})?")
_NAMES = {
    "2.16.840.1.113883.6.1": "LOINC", "2.16.840.1.113883.6.96": "SNOMED CT", "1.2.250.1.213.1.1.4.322": "TA_ASIP",
    "2.16.840.1.113883.6.3": "CIM-10", "2.16.840.1.113883.6.73": "ATC", "1.2.250.1.215.300.1": "CCAM",
    "1.2.840.10008.2.16.4": "DCM", "0.4.0.127.0.16.1.1.2.1": "EDQM", "1.2.250.1.213.2.3.1": "CIS", "1.2.250.1.213.2.3.2": "CIP",
}  # fmt: skip


# -- time ------------------------------------------------------------------------------------------------------------------------


def time_text(holder: Fhir, key: str) -> str:
    """The TS of `key`: the literal kept beside it, else the value with its own precision; empty when there is none."""
    literal = extension(_shadow(holder, key), p.EXT_ORIGINAL_LITERAL).get("valueString")
    if isinstance(literal, str) and _LITERAL_TIME.fullmatch(literal):
        return literal
    match = _DATE.fullmatch(str(holder.get(key) or ""))
    if match is None:
        return ""
    *digits, fraction, zone = match.groups()
    return (
        "".join(part for part in digits if part) + (fraction or "") + ("+0000" if zone == "Z" else (zone or "").replace(":", ""))
    )


def absent_flavor(holder: Fhir, key: str) -> str:
    """The null flavour of a `data-absent-reason` beside `key`; empty when there is none."""
    code = extension(_shadow(holder, key), p.EXT_DATA_ABSENT).get("valueCode")
    return _FLAVORS.get(str(code), "UNK") if code else ""


def _shadow(holder: Fhir, key: str) -> Fhir:
    shadow = holder.get(f"_{key}")
    return shadow if isinstance(shadow, dict) else {}


def add_ts(parent: Element, name: str, holder: Fhir, key: str, *, absent: str = "") -> None:
    """A TS, its null flavour, or `absent`; nothing when none of them says anything."""
    value = time_text(holder, key)
    flavor = "" if value else absent_flavor(holder, key) or absent
    if value or flavor:
        add(parent, name, value=value, nullFlavor=flavor)


def add_period(parent: Element, name: str, period: Fhir, *, both: bool = False, typed: bool = False) -> Element:
    """An IVL_TS. `both`: where the norm wants both bounds, one that is not told is unknown."""
    made = add(parent, name)
    if typed:
        made.set(XSI_TYPE, "IVL_TS")
    for bound, key in (("low", "start"), ("high", "end")):
        wanted = "UNK" if both or bound == "low" else ""
        add_ts(made, bound, period, key, absent=wanted)
    return made


def add_when(parent: Element, holder: Fhir, name: str, *, absent: str = "", interval: bool = False) -> None:
    """effectiveTime of `name[x]`. `interval`: the template takes no point, which becomes an interval without end."""
    period = holder.get(f"{name}Period")
    moment = time_text(holder, f"{name}DateTime") or time_text(holder, f"{name}Instant")
    if isinstance(period, dict):
        add_period(parent, "effectiveTime", period)
    elif moment and interval:
        add(add(parent, "effectiveTime"), "low", value=moment)
    elif moment:
        add(parent, "effectiveTime", value=moment)
    else:
        flavor = absent_flavor(holder, f"{name}DateTime") or absent
        if flavor and interval:
            add(add(parent, "effectiveTime"), "low", nullFlavor=flavor)
        elif flavor:
            add(parent, "effectiveTime", nullFlavor=flavor)
    if interval and len(parent) and str(parent[-1].tag).endswith("}effectiveTime"):
        parent[-1].set(XSI_TYPE, "IVL_TS")


# -- codes -----------------------------------------------------------------------------------------------------------------------


def add_concept(parent: Element, name: str, concept: Fhir, *, words: str = "", flavor: str = "UNK", typed: str = "") -> Element:
    """A CD: the first coding that has an OID, the others as translations; `words` is the reference of its original text."""
    made = add(parent, name)
    if typed:
        made.set(XSI_TYPE, typed)
    codings = [coding for coding in concept.get("coding") or () if isinstance(coding, dict) and coding.get("code")]
    known = [coding for coding in codings if oid_of(str(coding.get("system", "")))]
    if known:
        _set_code(made, known[0])
    elif flavor and not words:
        made.set("nullFlavor", flavor)
    if words:
        add(add(made, "originalText"), "reference", value=words)
    for coding in known[:1]:
        _add_qualifiers(made, coding)
    for coding in known[1:]:
        translation = add(made, "translation")
        _set_code(translation, coding)
        _add_qualifiers(translation, coding)
    return made


def _set_code(element: Element, coding: Fhir) -> None:
    oid = oid_of(str(coding["system"]))
    found = {"code": coding["code"], "displayName": coding.get("display"), "codeSystem": oid, "codeSystemName": _NAMES.get(oid),
             "codeSystemVersion": coding.get("version")}  # fmt: skip
    for key, value in found.items():
        if value:
            element.set(key, str(value))


def _add_qualifiers(element: Element, coding: Fhir) -> None:
    for found in extensions(coding, p.EXT_QUALIFIER):
        qualifier = add(element, "qualifier")
        for name in ("name", "value"):
            inner = extension(found, name).get("valueCoding")
            if isinstance(inner, dict) and oid_of(str(inner.get("system", ""))):
                _set_code(add(qualifier, name), inner)


def concept_words(concept: Fhir) -> str:
    """What a concept says to a reader: its text, else its first label, else its code."""
    coding: Fhir = next(iter(concept.get("coding") or ()), {})
    return str(concept.get("text") or coding.get("display") or coding.get("code") or "")


def unwritten_codes(concept: Fhir) -> str:
    """Codes of systems that have no OID, as words: they have no other place in a CDA."""
    found = [c for c in concept.get("coding") or () if isinstance(c, dict) and not oid_of(str(c.get("system", "")))]
    return ", ".join(f"{c.get('display') or concept.get('text') or 'code'} [{c.get('code', '')}]" for c in found if c.get("code"))


# -- quantities ------------------------------------------------------------------------------------------------------------------


def number_text(holder: Fhir, key: str) -> str:
    """A number as the source wrote it, else without exponent."""
    literal = extension(_shadow(holder, key), p.EXT_ORIGINAL_LITERAL).get("valueString")
    if isinstance(literal, str):
        return literal
    value = holder.get(key)
    if value is None or isinstance(value, bool):
        return ""
    try:
        return format(Decimal(str(value)), "f")
    except InvalidOperation:
        return ""


def add_quantity(parent: Element, name: str, quantity: Fhir, *, typed: str = "") -> Element:
    """A PQ."""
    unit = str(quantity.get("code") or quantity.get("unit") or "")
    value = number_text(quantity, "value")
    made = add(parent, name, value=value, unit=unit if value else "", nullFlavor="" if value else "UNK")
    if typed:
        made.set(XSI_TYPE, typed)
    return made


def add_range(parent: Element, name: str, holder: Fhir, key: str) -> None:
    """doseQuantity, rateQuantity: both bounds are wanted; a single quantity is both."""
    quantity, found = holder.get(f"{key}Quantity"), holder.get(f"{key}Range")
    if not isinstance(quantity, dict) and not isinstance(found, dict):
        return
    made = add(parent, name)
    for bound in ("low", "high"):
        add_quantity(made, bound, quantity if isinstance(quantity, dict) else (found or {}).get(bound, {}))


def add_ratio(parent: Element, name: str, ratio: Fhir, *, typed: str = "") -> None:
    """An RTO."""
    made = add(parent, name)
    if typed:
        made.set(XSI_TYPE, typed)
    for half in ("numerator", "denominator"):
        add_quantity(made, half, ratio.get(half, {}))


# -- identifiers -----------------------------------------------------------------------------------------------------------------


def add_ids(parent: Element, resource: Fhir, *, most: int = 0) -> None:
    """The resource's identifiers, else its own id: an entry has at least one."""
    identifiers = [found for found in resource.get("identifier") or () if isinstance(found, dict) and found.get("value")]
    for identifier in identifiers[:most] if most else identifiers:
        add_ii(parent, identifier)
    if not identifiers:
        add(parent, "id", root=_as_root(str(resource.get("id", ""))))


def add_ii(parent: Element, identifier: Fhir) -> None:
    """An II; a system that is a mere URL gets a root of its own, always the same."""
    system, value = str(identifier.get("system") or ""), str(identifier["value"])
    assigner = identifier.get("assigner")
    label = str(assigner.get("display", "")) if isinstance(assigner, dict) else ""
    if system == p.URI_SYSTEM and root_of(value):
        add(parent, "id", root=root_of(value), assigningAuthorityName=label)
    else:
        add(parent, "id", root=root_of(system) or _as_root(system), extension=value, assigningAuthorityName=label)


def _as_root(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(_OUR_ROOT, text))


# -- value[x] --------------------------------------------------------------------------------------------------------------------


def add_value(parent: Element, holder: Fhir, words: str = "") -> bool:
    """The `value` of `value[x]`, or why there is none; False when neither is told. `words`: its original text's reference."""
    if "valueCodeableConcept" in holder:
        add_concept(parent, "value", holder["valueCodeableConcept"], words=words, typed="CD")
        return True
    for key, kind in _SIMPLE.items():
        if key in holder:
            return _add_simple(parent, holder, key, kind)
    for key, write in _COMPOUND.items():
        if key in holder:
            write(parent, holder[key])
            return True
    if "dataAbsentReason" not in holder:
        return False
    coding: Fhir = next(iter(holder["dataAbsentReason"].get("coding") or ()), {})
    add(parent, "value", nullFlavor=_FLAVORS.get(str(coding.get("code")), "UNK")).set(XSI_TYPE, "ST")
    return True


def _add_value_range(parent: Element, found: Fhir) -> None:
    made = add(parent, "value")
    made.set(XSI_TYPE, "IVL_PQ")
    for bound in ("low", "high"):
        if bound in found:
            add_quantity(made, bound, found[bound])


_SIMPLE = {"valueString": "ST", "valueBoolean": "BL", "valueInteger": "INT", "valueDateTime": "TS", "_valueDateTime": "TS"}
_COMPOUND: Mapping[str, Callable[[Element, Fhir], object]] = {
    "valueQuantity": lambda parent, found: add_quantity(parent, "value", found, typed="PQ"),
    "valueRange": _add_value_range,
    "valueRatio": lambda parent, found: add_ratio(parent, "value", found, typed="RTO_PQ_PQ"),
    "valuePeriod": lambda parent, found: add_period(parent, "value", found, typed=True),
}


def _add_simple(parent: Element, holder: Fhir, key: str, kind: str) -> bool:
    value = holder[key]
    if kind == "ST":
        made = add(parent, "value")
        made.text = str(value)
    elif kind == "TS":
        add_ts(parent, "value", holder, "valueDateTime", absent="UNK")
        made = parent[-1]
    else:
        made = add(parent, "value", value=str(value).lower() if kind == "BL" else str(value))
    made.set(XSI_TYPE, kind)
    return True
