"""What FHIR demands of vital signs: the LOINC code alone puts an Observation under the R4 vital signs profile.

Source: FHIR R4 §Observation vital signs: a category, a date precise to the day, for some a unit. A source may know less. Its
date is not invented: the code then stands in a component, where a search finds it (`combo-code`) and nothing false is
claimed. A height in metres is told in centimetres, with what was written beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.clinical import observation_category

Resource = dict[str, Any]

VITAL_SIGNS_PANEL = "85353-1"
_CODES = frozenset({
    VITAL_SIGNS_PANEL, "9279-1", "8867-4", "2708-6", "59408-5", "8310-5", "8302-2", "9843-4", "29463-7", "39156-5",
    "85354-9", "8480-6", "8462-4", "8478-0",
})  # fmt: skip
_LENGTHS = frozenset({"8302-2", "9843-4"})
_TO_THE_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_COMPONENT_PARTS = ("dataAbsentReason", "interpretation", "referenceRange")


def as_vital_sign(observation: Resource) -> Resource:
    """The same observation, as the profile wants it; any other is returned as it is."""
    codes = _loinc_codes(observation) & _CODES
    if not codes:
        return observation
    if not _is_dated(observation):
        return observation if VITAL_SIGNS_PANEL in codes else _undated(observation)
    found = dict(observation)
    if not _has_category(found):
        found["category"] = [*observation_category("vital-signs"), *found.get("category", ())]
    if codes & _LENGTHS and found.get("valueQuantity", {}).get("code") == "m":
        found["valueQuantity"] = _in_centimetres(found["valueQuantity"])
    return found


def settle_panel(panel: Resource, members: Sequence[Resource]) -> None:
    """A panel of vital signs takes the one day of its members; where it may not bear its code, the code stands aside."""
    if VITAL_SIGNS_PANEL not in _loinc_codes(panel):
        return
    days = {str(member.get("effectiveDateTime", "")) for member in members}
    if not _is_dated(panel) and len(days) == 1 and _TO_THE_DAY.match(day := days.pop()):
        panel.pop("_effectiveDateTime", None)
        panel["effectiveDateTime"] = day
    if _is_dated(panel) and all(_is_dated(member) and _has_category(member) for member in members):
        panel.update(as_vital_sign(panel))
        return
    panel["extension"] = [*panel.get("extension", ()), {"url": p.EXT_ACT_CODE, "valueCodeableConcept": panel["code"]}]
    panel["code"] = {"text": _label(panel["code"])}


def _loinc_codes(observation: Resource) -> set[str]:
    return {str(c.get("code")) for c in observation["code"].get("coding", ()) if c.get("system") == p.LOINC}


def _is_dated(observation: Resource) -> bool:
    return bool(_TO_THE_DAY.match(str(observation.get("effectiveDateTime", ""))))


def _has_category(observation: Resource) -> bool:
    return any(c.get("code") == "vital-signs" for kind in observation.get("category", ()) for c in kind.get("coding", ()))


def _label(concept: Resource) -> str:
    coding = (concept.get("coding") or [{}])[0]
    return str(concept.get("text") or coding.get("display") or coding.get("code") or "Signe vital")


def _undated(observation: Resource) -> Resource:
    """The measure as the component of an observation that has but a name."""
    moved = [key for key in observation if key.startswith("value") or key in _COMPONENT_PARTS]
    component = {"code": observation["code"]} | {key: observation[key] for key in moved}
    found = {key: value for key, value in observation.items() if key not in moved}
    return found | {"code": {"text": _label(observation["code"])}, "component": [component, *observation.get("component", ())]}


def _in_centimetres(quantity: Resource) -> Resource:
    if not isinstance(quantity.get("value"), int | float):
        return quantity
    value = Decimal(str(quantity["value"])) * 100
    number = int(value) if value == value.to_integral_value() else float(value)
    written = {"url": p.EXT_WRITTEN_QUANTITY, "valueQuantity": quantity}
    return {"extension": [written], "value": number, "unit": "cm", "system": p.UCUM, "code": "cm"}
