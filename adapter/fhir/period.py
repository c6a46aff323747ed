"""A Period whose bounds contradict each other: FHIR forbids it (per-1), and neither bound may be dropped or swapped.

The end then stands as an erroneous value with its literal: what was written is still read, and nothing computes with it.
"""

from __future__ import annotations

from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.invariants import is_in_order

Resource = dict[str, Any]


def sound_period(period: Resource) -> Resource:
    """The same Period, or the one that tells its end as an error."""
    if is_in_order(period):
        return period
    wrong = [
        {"url": p.EXT_DATA_ABSENT, "valueCode": "error"},
        {"url": p.EXT_ORIGINAL_LITERAL, "valueString": period["end"]},
    ]
    kept = {key: value for key, value in period.items() if key not in ("end", "_end")}
    return kept | {"_end": {"extension": [*period.get("_end", {}).get("extension", ()), *wrong]}}
