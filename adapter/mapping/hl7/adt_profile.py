"""The events of PAM-FR and the words of its tables, as data: `mappings/hl7v2/adt.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adapter.errors import MappingError
from adapter.mapping.rules import RuleFile, load_rules
from adapter.model.patient import IdentityAct

RULES = "hl7v2/adt"


@dataclass(frozen=True)
class AdtEvent:
    """One event. `act` is None for one that is acknowledged and left aside, for the `reason` said.

    `whole`: its PID-3 is the whole list. `revives`: the number lives (again). `needs`: segments it says nothing without.
    `stay`: what it says of the stay, as an Encounter's status.
    """

    code: str
    label: str
    act: IdentityAct | None
    reason: str = ""
    whole: bool = False
    revives: bool = False
    needs: tuple[str, ...] = ()
    stay: str = "in-progress"


@dataclass(frozen=True)
class AdtWords:
    """What codes mean: doubtful statuses (PID-32), guardians (NK1), the treating doctor's role and its withdrawal (ROL)."""

    doubtful: frozenset[str]
    guardians: frozenset[str]
    treating_doctor: str
    withdrawn_roles: frozenset[str]


def adt_rules() -> RuleFile:
    """The mapping file."""
    return load_rules(RULES)


@lru_cache(maxsize=1)
def adt_events() -> dict[str, AdtEvent]:
    """Every event that is understood or left aside, by code."""
    return {row["code"]: _event(row) for row in adt_rules().data["event"]}


def _event(row: dict[str, Any]) -> AdtEvent:
    is_ignored = row["act"] == "ignore"
    if is_ignored and not row.get("reason"):
        raise MappingError("mapping.no-reason", "an ignored event says why", where=f"{RULES}:{row['code']}")
    act = None if is_ignored else IdentityAct(row["act"])
    needs = tuple(row.get("needs", ()))
    return AdtEvent(
        code=row["code"],
        label=row["label"],
        act=act,
        reason=row.get("reason", ""),
        whole=row.get("whole", False),
        revives=row.get("revives", False),
        needs=needs,
        stay=row.get("stay", "in-progress"),
    )


@lru_cache(maxsize=1)
def adt_words() -> AdtWords:
    """The words of the tables."""
    words = adt_rules().data["words"]
    return AdtWords(
        frozenset(words["doubtful"]),
        frozenset(words["guardians"]),
        words["treating_doctor"],
        frozenset(words["withdrawn_roles"]),
    )
