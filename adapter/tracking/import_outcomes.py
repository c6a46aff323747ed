"""What a practice may say of a document, and what each word leads to: a closed, published list.

`mappings/import-outcomes.csv` is the law (blueprint seam 7): the state that it proves, the cause that decides what follows (of
`mappings/causes.csv`), the FHIR issue type that tells it, who acts next, and whether another outcome may follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from adapter.data import mappings_root, read_table
from adapter.errors import MappingError
from adapter.model.delivery import DeliveryState


@dataclass(frozen=True)
class ImportOutcome:
    """One row. `may_change`: another outcome may be given later. `label` and `next_step` are French."""

    code: str
    label: str
    issue_type: str
    proves: DeliveryState
    cause: str
    business_ack: str
    next_step: str
    may_change: bool


@lru_cache(maxsize=1)
def import_outcomes() -> Mapping[str, ImportOutcome]:
    """The table, in its order; MappingError when it is missing or wrong."""
    try:
        return {
            row["outcome"]: ImportOutcome(
                row["outcome"],
                row["label_fr"],
                row["issue"],
                DeliveryState(row["state"]),
                row["cause"],
                row["business_ack"],
                row["next_fr"],
                row["retry"] == "yes",
            )
            for row in read_table(mappings_root() / "import-outcomes.csv").rows
        }
    except (OSError, KeyError, ValueError) as error:
        raise MappingError("import-outcomes.unreadable", f"{type(error).__name__}", where="import-outcomes.csv") from error


def final_outcomes() -> frozenset[str]:
    """Outcomes after which no other is taken."""
    return frozenset(code for code, outcome in import_outcomes().items() if not outcome.may_change)
