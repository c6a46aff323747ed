"""What is promised of a form: the delays of the agreement in force on its day, else the form's own (`[delays]` of its rules).

A delay of the rules names the agreement's that stands for it (`agreed`); 0 there means that the agreement promises none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from adapter.mapping.rules import RuleFile
from adapter.model.request import Terms


def answer_hours(rules: RuleFile, terms: Terms) -> int | None:
    """Elapsed hours within which an answer is owed; None when the form promises none."""
    own: int | None = rules.data.get("delays", {}).get("answer_hours")
    return own if own is None else terms.agreed.get("answer_hours", own)


def exam_delay(rules: RuleFile, urgency: str, terms: Terms) -> Mapping[str, int]:
    """`hours` or `days` for the exam itself, by the form's urgency word; empty: as early as the schedule allows."""
    own = rules.data["delays"]["exam"].get(urgency, {})
    agreed = terms.agreed.get(own.get("agreed", ""))
    unit = "hours" if "hours" in own else "days"
    if not own or agreed == 0:
        return {}
    return {unit: agreed if agreed is not None else own[unit]}


def orientation_days(rules: RuleFile, terms: Terms) -> int:
    """Days within which a complex pathway's orientation consultation is held."""
    own: int = rules.data["delays"]["orientation_days"]
    return terms.agreed.get("orientation_days", own)


def latest_moment(start: str, delay: Mapping[str, int]) -> str:
    """The last moment of a delay: hours are elapsed from an instant, whole days from a day; empty delay gives none."""
    if not delay:
        return ""
    day = date.fromisoformat(start[:10])
    if "T" in start and "hours" in delay:
        return (datetime.fromisoformat(start) + timedelta(hours=delay["hours"])).isoformat()
    days = delay["days"] if "days" in delay else -(-delay["hours"] // 24)
    return (day + timedelta(days=days)).isoformat()
