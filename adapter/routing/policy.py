"""Sensitive content against each channel: one table (data) decides, and what the table forgets is parked, not sent.

Law: blueprint seam 15, domain §6. A document may be sensitive by masking, by confidentialityCode, by type, by the unit or the
speciality that made it. Rows are in `mappings/routing/policy.csv`: when, recipient, channel, decision, reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from adapter.data import mappings_root, parse_table
from adapter.errors import ConfigurationError
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName
from adapter.model.submission import Submission
from adapter.routing.directory import Directory

MASKED, RESTRICTED, VERY_RESTRICTED = "masked", "restricted", "very-restricted"
# Without a row, these are parked whatever the channel: what a table forgets must not be sent.
ALWAYS_SENSITIVE = frozenset({MASKED, RESTRICTED, VERY_RESTRICTED})
_COLUMNS = ("when", "recipient", "channel", "decision", "reason_fr")
_ANY = "*"
# The inbox of a practice that has nothing but a folder: whoever may open it sees all that lies there.
DROP_FOLDER = "drop_folder"


@dataclass(frozen=True)
class Objection:
    """Why a channel may not carry a document: the stable code of what is sensitive, and a sentence."""

    code: str
    reason: str


@dataclass(frozen=True)
class Rule:
    """One row: `allows` or not, and why not."""

    allows: bool
    reason: str


@dataclass(frozen=True)
class PolicyTable:
    """The table, by (when, recipient kind or `*`, channel)."""

    rules: Mapping[tuple[str, str, str], Rule] = field(default_factory=dict)

    def objection(self, facts: Iterable[str], recipient: RecipientKind, channel: str) -> Objection | None:
        """The first fact that forbids this channel (`DROP_FOLDER` is one more) towards this kind of recipient, or None."""
        for fact in facts:
            rule = self.rules.get((fact, recipient.value, str(channel))) or self.rules.get((fact, _ANY, str(channel)))
            if rule is None and fact in ALWAYS_SENSITIVE:
                return Objection(fact, "aucune règle n'autorise ce canal pour un document sensible")
            if rule is not None and not rule.allows:
                return Objection(fact.replace(":", "-"), rule.reason)
        return None


@lru_cache(maxsize=1)
def shipped_policy() -> PolicyTable:
    """The table that the product ships: `mappings/routing/policy.csv`."""
    path = mappings_root() / "routing" / "policy.csv"
    try:
        return read_policy(path.read_bytes())
    except OSError as error:
        said = f"the table cannot be read ({type(error).__name__})."
        raise ConfigurationError("policy.missing", said, where=str(path)) from error


def read_policy(content: bytes, name: str = "policy.csv") -> PolicyTable:
    """The table of a CSV file; ConfigurationError that lists every wrong row."""
    try:
        table = parse_table(content.decode("utf-8-sig"))
    except ValueError as error:
        raise ConfigurationError("policy.columns", "a row has not the columns of the others.", where=name) from error
    if table.columns != _COLUMNS:
        raise ConfigurationError("policy.columns", f"the columns must be {', '.join(_COLUMNS)}.", where=name)
    rules: dict[tuple[str, str, str], Rule] = {}
    problems: list[str] = []
    for line, row in enumerate(table.rows, start=table.head_lines + 2):
        key = (row["when"], row["recipient"], row["channel"])
        wrong = _problem_of(row, key in rules)
        if wrong:
            problems.append(f"{name}: line {line} {wrong}")
        rules[key] = Rule(row["decision"] == "allow", row["reason_fr"])
    if problems:
        raise ConfigurationError("policy.invalid", "\n".join(problems), where=name, remedy="Correct them all, then start again.")
    return PolicyTable(rules)


def _problem_of(row: Mapping[str, str], is_repeated: bool) -> str:
    if is_repeated:
        return "repeats an earlier row"
    if row["recipient"] not in {_ANY, *(kind.value for kind in RecipientKind)}:
        return "names an unknown kind of recipient"
    if row["channel"] not in {DROP_FOLDER, *(channel.value for channel in ChannelName)}:
        return "names an unknown channel"
    if row["decision"] not in {"allow", "park"}:
        return "must decide allow or park"
    when = row["when"]
    if when not in ALWAYS_SENSITIVE and when.partition(":")[0] not in {"type", "unit", "speciality"}:
        return "has an unknown condition"
    return "forbids without a reason" if row["decision"] == "park" and not row["reason_fr"] else ""


def facts_of(submission: Submission, directory: Directory, on: date) -> tuple[str, ...]:
    """What may make a document sensitive, gravest first: masking, confidentiality, type, units and their specialities."""
    document = submission.document
    facts = [MASKED] if submission.visibility.hidden_from_professionals else []
    facts += _confidentiality_facts(document.confidentiality)
    facts.append(f"type:{document.type.code}")
    for _, code in submission.unit_codes:
        facts.append(f"unit:{code}")
        speciality = directory.speciality_of_unit(code, submission.legal_entity, on)
        if speciality:
            facts.append(f"speciality:{speciality}")
    return tuple(facts)


def _confidentiality_facts(code: str) -> list[str]:
    """N (or nothing) is normal; V is very restricted; R, and any word we do not know, is restricted."""
    if code in {"", "N"}:
        return []
    return [VERY_RESTRICTED if code == "V" else RESTRICTED]
