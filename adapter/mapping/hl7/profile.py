"""The volet as data: which events are taken, what each message must hold, which flag combinations are refused.

Source: `mappings/hl7v2/*.toml`, drawn from the CI-SIS volet 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from adapter.errors import MappingError
from adapter.formats.hl7v2 import Message
from adapter.mapping.rules import RuleFile, load_rules
from adapter.model.finding import Severity
from adapter.model.submission import Intent

SHARED_RULES = "hl7v2/volet_cda"


@dataclass(frozen=True)
class Action:
    """One event with what it must come with."""

    event: str
    document: str
    order: str
    intent: Intent
    rules: str


@dataclass(frozen=True)
class Slot:
    """One place in the order of segments."""

    name: str
    required: bool
    repeats: bool


@dataclass(frozen=True)
class Required:
    """A place that must hold a value."""

    at: str
    severity: Severity


@dataclass(frozen=True)
class Profile:
    """What a message of one structure must hold. `is_older`: what an older profile lacks is told, not refused."""

    version: str
    message_structure: str
    most_documents: int
    names_parent: bool
    slots: tuple[Slot, ...]
    missing_in_older: frozenset[str]
    required: tuple[Required, ...]
    visit_number_classes: frozenset[str]
    own: RuleFile
    shared: RuleFile
    is_older: bool = False

    @cached_property
    def ignored(self) -> dict[str, str]:
        """What is left aside of a message, with why."""
        return self.shared.ignored | self.own.ignored

    @property
    def revision(self) -> str:
        """The revision of the rules used."""
        return f"{self.shared.revision}+{self.own.revision}"


@dataclass(frozen=True)
class Decision:
    """One line of a decision profile. `at` names the flag to point at."""

    when: Mapping[str, str]
    code: str = ""
    text: str = ""
    at: str = ""

    def holds(self, flags: Mapping[str, str]) -> bool:
        """True when every flag is as written."""
        return all(flags.get(name, "N") == value for name, value in self.when.items())


@lru_cache(maxsize=1)
def actions() -> tuple[Action, ...]:
    """The table of actions."""
    rows = load_rules("hl7v2/actions").data["action"]
    return tuple(Action(row["event"], row["document"], row["order"], Intent(row["intent"]), row["rules"]) for row in rows)


@lru_cache(maxsize=1)
def kinds_taken() -> frozenset[str]:
    """The types of message that are taken: MDM, ORU."""
    return frozenset(action.event.partition("^")[0] for action in actions())


@lru_cache(maxsize=64)
def actions_of(event: str) -> tuple[Action, ...]:
    """The actions of an event such as `MDM^T02`."""
    return tuple(action for action in actions() if action.event == event)


def older_says_nothing(order: str) -> bool:
    """True for an ORC-1 that older profiles write whatever is asked."""
    return order in load_rules("hl7v2/actions").data["older_orders"]


def dialect_of(message: Message) -> str:
    """`current`, `older`, `other-way`, `unknown` or `missing`, from MSH-21."""
    name, family = message.value("MSH", 21, 1).strip(), message.value("MSH", 21, 2).strip()
    if not name and not family:
        return "missing"
    dialects: Mapping[str, str] = load_rules(SHARED_RULES).data["dialects"]
    return dialects.get(f"{name}^{family}", "unknown")


@lru_cache(maxsize=16)
def profile_of(rules: str, is_older: bool) -> Profile:
    """The profile of a rule file."""
    own, shared = load_rules(rules), load_rules(SHARED_RULES)
    data = own.data
    return Profile(
        version=data["version"],
        message_structure=data["message_structure"],
        most_documents=int(data["most_documents"]),
        names_parent=bool(data["names_parent"]),
        slots=tuple(_slot(text) for text in data["structure"]),
        missing_in_older=frozenset(data["missing_in_older"]),
        required=tuple(_required(row) for row in (*shared.data["required"], *data["required"])),
        visit_number_classes=frozenset(shared.data["visit_number_classes"]),
        own=own,
        shared=shared,
        is_older=is_older,
    )


def _slot(text: str) -> Slot:
    return Slot(text.rstrip("?*"), required=text[-1] not in "?*", repeats=text.endswith("*"))


def _required(row: Mapping[str, str]) -> Required:
    return Required(row["at"], Severity(row.get("level", "error")))


@lru_cache(maxsize=8)
def decisions(policy: str) -> tuple[tuple[Decision, ...], tuple[Decision, ...], Decision]:
    """A decision profile: what it refuses, the only rows it accepts (none: all others), and how to say that none fits."""
    profiles: Mapping[str, Any] = load_rules("hl7v2/decision").data["profiles"]
    if policy not in profiles:
        raise MappingError("mapping.unknown-decision-profile", "no such decision profile", where=policy)
    profile = profiles[policy]
    refused = tuple(Decision(r["when"], r["code"], r["text"], r["at"]) for r in profile.get("refuse", ()))
    accepted = tuple(Decision(r["when"]) for r in profile.get("accept", ()))
    return refused, accepted, Decision({}, profile.get("code", ""), profile.get("text", ""))


def policies() -> tuple[str, ...]:
    """The names of the decision profiles."""
    return tuple(load_rules("hl7v2/decision").data["profiles"])


def default_policy() -> str:
    """The decision profile used unless the instance says otherwise."""
    return str(load_rules("hl7v2/decision").data["default"])
