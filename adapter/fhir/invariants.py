"""R4's invariants that matter for what we write and read, by type: each a claim of the norm under its own name (`ref-1`).

Written by hand: fhirpathpy takes 15 times the time for the same (measured on ext-1), and is an oracle in tests.
Source: HL7 FHIR R4 4.0.1, `StructureDefinition.snapshot.element.constraint`. What is best practice only (dom-6) is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
Claim = tuple[str, Callable[[Node], bool], str]  # name, what must hold, one sentence


def broken_claims(kind: str, node: Node) -> Iterator[tuple[str, str]]:
    """The name and the sentence of each claim that a node of this type breaks."""
    for name, holds, text in CLAIMS.get(kind, ()):
        if not holds(node):
            yield name, text


def _has(node: Node, *names: str) -> bool:
    return any(name in node or f"_{name}" in node for name in names)


def _has_choice(node: Node, prefix: str) -> bool:
    size = len(prefix)
    return any(key.lstrip("_").startswith(prefix) and key.lstrip("_")[size : size + 1].isupper() for key in node)


def _is_value_or_parts(node: Node) -> bool:
    return ("extension" in node) != any(key.startswith(("value", "_value")) for key in node)


def _codes(concept: object) -> set[str]:
    """The codes of a CodeableConcept."""
    codings = concept.get("coding", ()) if isinstance(concept, dict) else ()
    return {str(coding.get("code", "")) for coding in codings if isinstance(coding, dict)}


def _same_precision(low: str, high: str) -> tuple[str, str]:
    """Two dates cut to what both tell: `2024-03` and `2024-03-12` are not out of order."""
    size = min(len(low), len(high), 10)
    return low[:size], high[:size]


def is_in_order(node: Node) -> bool:
    """per-1: True unless both bounds are there and the first is the later."""
    start, end = node.get("start"), node.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    low, high = _same_precision(start, end)
    return low <= high


def _number(quantity: object) -> float | None:
    value = quantity.get("value") if isinstance(quantity, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _bounds_in_order(node: Node) -> bool:
    low, high = _number(node.get("low")), _number(node.get("high"))
    return low is None or high is None or low <= high


def _one_or_more(node: Node, repeated: str, holds: Callable[[Node], bool]) -> bool:
    return all(holds(item) for item in node.get(repeated, ()) if isinstance(item, dict))


def _positive(node: Node, name: str) -> bool:
    value = node.get(name)
    return not isinstance(value, int | float) or value >= 0


_CLOSED = {"inactive", "resolved", "remission"}
_WHEN_MEAL = {"C", "CM", "CD", "CV"}


def _is_closed(node: Node) -> bool:
    """con-4: what has an end goes on no more."""
    return not _has_choice(node, "abatement") or "clinicalStatus" not in node or bool(_codes(node["clinicalStatus"]) & _CLOSED)


def _observation_values(node: Node) -> bool:
    """obs-7: the value has not the code of a component."""
    parts = [part for part in node.get("component", ()) if isinstance(part, dict)]
    if not parts or not _has_choice(node, "value"):
        return True
    return not any(_codes(part.get("code")) & _codes(node.get("code")) for part in parts)


def _anatomy_of_location(use: str) -> Callable[[Node], bool]:
    return lambda node: all(point.get("use") != "home" for point in node.get(use, ()) if isinstance(point, dict))


def _has_target(node: Node) -> bool:
    return "reference" in node or "display" in node or _has(node, "reference", "identifier", "extension")


def _contained_is_flat(node: Node) -> bool:
    return not any("contained" in inner for inner in node.get("contained", ()) if isinstance(inner, dict))


def _contained_is_unversioned(node: Node) -> bool:
    metas = (inner.get("meta") for inner in node.get("contained", ()) if isinstance(inner, dict))
    return not any(isinstance(meta, dict) and {"versionId", "lastUpdated", "security"} & set(meta) for meta in metas)


EVERY_RESOURCE: tuple[Claim, ...] = (
    ("dom-2", _contained_is_flat, "A contained resource contains none."),
    ("dom-4", _contained_is_unversioned, "A contained resource has neither version nor security label (dom-4, dom-5)."),
)

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "Extension": (("ext-1", _is_value_or_parts, "An extension has a value or extensions, not both."),),
    "Reference": (("ref-1", _has_target, "A reference leads somewhere, or says where in words."),),
    "Period": (("per-1", is_in_order, "A period begins before it ends."),),
    "Quantity": (("qty-3", lambda n: "code" not in n or "system" in n, "A unit's code has a system."),),
    "Range": (("rng-2", _bounds_in_order, "The low bound is not above the high one."),),
    "Ratio": (
        (
            "rat-1",
            lambda n: ("numerator" in n) == ("denominator" in n) and (_has(n, "numerator", "extension")),
            "A ratio has both halves, or none and an extension.",
        ),
    ),
    "Attachment": (("att-1", lambda n: "data" not in n or "contentType" in n, "Attached data tell their type."),),
    "ContactPoint": (("cpt-2", lambda n: "value" not in n or _has(n, "system"), "A value of a contact tells its system."),),
    "TimingRepeat": (
        ("tim-1", lambda n: not _has(n, "duration") or _has(n, "durationUnit"), "A duration has a unit."),
        ("tim-2", lambda n: not _has(n, "period") or _has(n, "periodUnit"), "A period has a unit."),
        ("tim-4", lambda n: _positive(n, "duration"), "A duration is not negative."),
        ("tim-5", lambda n: _positive(n, "period"), "A period is not negative."),
        ("tim-6", lambda n: not _has(n, "periodMax") or _has(n, "period"), "A longest period comes with a period."),
        ("tim-7", lambda n: not _has(n, "durationMax") or _has(n, "duration"), "A longest duration comes with a duration."),
        ("tim-8", lambda n: not _has(n, "countMax") or _has(n, "count"), "A highest count comes with a count."),
        (
            "tim-9",
            lambda n: not _has(n, "offset") or (bool(n.get("when")) and not _WHEN_MEAL & set(n.get("when", ()))),
            "An offset needs an event that is not a meal itself.",
        ),
        ("tim-10", lambda n: not ("timeOfDay" in n and "when" in n), "A time of day and an event are not given both."),
    ),
    "Composition": (),
    "CompositionSection": (
        ("cmp-1", lambda n: _has(n, "text", "entry", "section"), "A section has words, entries or sections."),
        ("cmp-2", lambda n: not (_has(n, "emptyReason") and _has(n, "entry")), "A section with entries is not empty."),
    ),
    "PatientContact": (
        (
            "pat-1",
            lambda n: _has(n, "name", "telecom", "address", "organization"),
            "A contact has a name or can be reached.",
        ),
    ),
    "Organization": (
        ("org-1", lambda n: _has(n, "identifier", "name"), "An organization has a number or a name."),
        ("org-2", _anatomy_of_location("address"), "An organization has no home address."),
        ("org-3", _anatomy_of_location("telecom"), "An organization has no home telephone."),
    ),
    "Condition": (
        (
            "con-4",
            _is_closed,
            "What has an end is inactive, resolved or in remission.",
        ),
        (
            "con-5",
            lambda n: "entered-in-error" not in _codes(n.get("verificationStatus")) or "clinicalStatus" not in n,
            "What was entered in error has no clinical status.",
        ),
    ),
    "AllergyIntolerance": (
        (
            "ait-1",
            lambda n: "entered-in-error" in _codes(n.get("verificationStatus")) or "clinicalStatus" in n,
            "An allergy has a clinical status, unless entered in error.",
        ),
        (
            "ait-2",
            lambda n: "entered-in-error" not in _codes(n.get("verificationStatus")) or "clinicalStatus" not in n,
            "What was entered in error has no clinical status.",
        ),
    ),
    "Observation": (
        (
            "obs-6",
            lambda n: not (_has(n, "dataAbsentReason") and _has_choice(n, "value")),
            "A reason why there is no value stands only without a value.",
        ),
        ("obs-7", _observation_values, "A value has not the code of a component."),
    ),
    "ObservationReferenceRange": (
        ("obs-3", lambda n: _has(n, "low", "high", "text"), "A reference range has a bound or words."),
    ),
    "Appointment": (
        ("app-2", lambda n: _has(n, "start") == _has(n, "end"), "A start comes with an end."),
        (
            "app-3",
            lambda n: _has(n, "start") or n.get("status") in ("proposed", "cancelled", "waitlist"),
            "Only what is proposed, cancelled or waiting has no hour.",
        ),
        (
            "app-4",
            lambda n: not _has(n, "cancelationReason") or n.get("status") in ("cancelled", "noshow"),
            "A reason of cancellation stands on what was cancelled.",
        ),
    ),
    "AppointmentParticipant": (("app-1", lambda n: _has(n, "type", "actor"), "A participant has a type or a name."),),
    "Consent": (("ppc-1", lambda n: _has(n, "policy", "policyRule"), "A consent names its policy."),),
    "ServiceRequest": (("prr-1", lambda n: not _has(n, "orderDetail") or _has(n, "code"), "Details come with a code."),),
    "Immunization": (),
    "ImmunizationEducation": (("imm-1", lambda n: _has(n, "documentType", "reference"), "An education names its document."),),
    "FamilyMemberHistory": (
        ("fhs-1", lambda n: not (_has_choice(n, "age") and _has_choice(n, "born")), "An age or a birth, not both."),
        ("fhs-2", lambda n: not _has(n, "estimatedAge") or _has_choice(n, "age"), "An estimated age has an age."),
    ),
    "MedicationAdministrationDosage": (
        ("mad-1", lambda n: _has(n, "dose") or _has_choice(n, "rate"), "A dosage given has a dose or a rate."),
    ),
    "BundleEntry": (
        ("bdl-5", lambda n: _has(n, "resource", "request", "response"), "An entry holds a resource, a request or a response."),
        ("bdl-8", lambda n: "/_history/" not in str(n.get("fullUrl", "")), "A fullUrl names no version."),
    ),
    "List": (
        (
            "lst-2",
            lambda n: n.get("mode") == "changes" or _one_or_more(n, "entry", lambda e: "deleted" not in e),
            "Only a list of changes has deleted entries.",
        ),
    ),
    "Narrative": (),
}
CLAIMS |= dict.fromkeys(("Age", "Count", "Distance", "Duration", "SimpleQuantity", "Money"), CLAIMS["Quantity"])
# Those that look at the names of a node's elements alone, whatever their values.
OF_NAMES = frozenset({
    "ext-1", "ref-1", "qty-3", "rat-1", "att-1", "cpt-2", "tim-1", "tim-2", "tim-6", "tim-7", "tim-8", "tim-10", "cmp-1", "cmp-2",
    "pat-1", "org-1", "obs-6", "obs-3", "app-2", "app-1", "ppc-1", "prr-1", "imm-1", "fhs-1", "fhs-2", "mad-1", "bdl-5",
})  # fmt: skip
