"""The alert on metformin and iodine of an imaging request: when it is due, what it says, who signed it off. Pure.

Law: it finds names in answers and says so, for a person to decide. No alert never reads as "no contra-indication": a search that
found nothing says that it concludes nothing, a search that was not made says that too (docs/explanation/adr-0008).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adapter.mapping.forms.conditions import CheckedForm
from adapter.mapping.forms.drug_names import load_drug_names, named_in_prose, recognise
from adapter.mapping.rules import RuleFile
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity


class AlertKind(StrEnum):
    """What the search came to."""

    NAMED = "named"
    VERIFY = "verify"
    NONE = "none"
    OFF = "off"


_NOTHING: tuple[str, ...] = ()
# Finding codes of the answer to the sender. A name found or not excluded is a warning; the rest is told beside.
_CODES = {
    AlertKind.NAMED: (Severity.WARNING, "safety.metformin"),
    AlertKind.VERIFY: (Severity.WARNING, "safety.metformin-to-verify"),
    AlertKind.NONE: (Severity.INFORMATION, "safety.metformin-not-found"),
    AlertKind.OFF: (Severity.INFORMATION, "safety.metformin-off"),
}


@dataclass(frozen=True, repr=False)
class MetforminAlert(Confidential):
    """The outcome of the search. `sentence` holds no patient content; `names` do (as listed, not as written).

    `exams` are the ranks (from 0) of the exams it is about. `sentences` is all that the page says, in order.
    """

    kind: AlertKind
    title: str
    sentence: str
    sentences: tuple[str, ...]
    names: tuple[str, ...]
    exams: tuple[int, ...]
    location: str
    names_revision: str

    @property
    def is_raised(self) -> bool:
        """True when it stands out and becomes a DetectedIssue."""
        return self.kind in (AlertKind.NAMED, AlertKind.VERIFY)

    def finding(self) -> Finding:
        """What the sender is told: places and rules, never a name of drug."""
        severity, code = _CODES[self.kind]
        remedy = self.sentences[1] if self.is_raised else ""
        return Finding(severity, code, self.sentence, self.location, remedy)


def metformin_alert(checked: CheckedForm, rules: RuleFile, *, switched_off: bool = False) -> MetforminAlert | None:
    """The alert of a form, or None when its rules have none or no exam calls for it.

    `switched_off`: the partners file says that the site does not want it; the page then says so.
    """
    told = rules.data.get("safety", {}).get("metformin")
    if told is None:
        return None
    exams = _exams_concerned(checked.values.get(told["exams"], []), told)
    if not exams:
        return None
    site = told["sites"].get(next(iter(checked.values_of("site")), ""), {})
    names = load_drug_names(told["names"])
    if switched_off or not site.get("enabled", True):
        kind, found = AlertKind.OFF, _NOTHING
    else:
        kind, found = _search(checked, told)
    wording: Mapping[str, str] = told["wording"]
    return MetforminAlert(
        kind=kind,
        title=wording["title"],
        sentence=wording[kind.value],
        sentences=_sentences(kind, found, told, site, str(rules.data["version"])),
        names=found,
        exams=exams,
        location=told["treatment"],
        names_revision=names.revision,
    )


def _exams_concerned(exams: list[Mapping[str, Any]], told: Mapping[str, Any]) -> tuple[int, ...]:
    """Ranks of the exams of the modality that are not marked as without injection."""
    wanted, without = told["modality"], told["without"]
    return tuple(
        rank
        for rank, exam in enumerate(exams)
        if exam.get(wanted["question"]) == wanted["answer"] and exam.get(without["question"]) != without["answer"]
    )


def _search(checked: CheckedForm, told: Mapping[str, Any]) -> tuple[AlertKind, tuple[str, ...]]:
    names = load_drug_names(told["names"])
    disease = next(iter(checked.values_of(told["disease"])), "")
    written = " ".join(checked.values_of(told["treatment"]))
    treatment = recognise(written, names)
    elsewhere = named_in_prose((text for link_id in told["prose"] for text in checked.values_of(link_id)), names)
    found = tuple(dict.fromkeys((*treatment.alerting, *elsewhere)))
    if found:
        return AlertKind.NAMED, found
    # A diabetes that nobody answered for, and a treatment that names no drug we know, are as open as an unknown name.
    names_a_treatment = bool(treatment.others) and not treatment.has_unknown
    if disease == "N" or (disease == "Y" and names_a_treatment):
        return AlertKind.NONE, ()
    return AlertKind.VERIFY, ()


def _sentences(
    kind: AlertKind, found: tuple[str, ...], told: Mapping[str, Any], site: Mapping[str, Any], version: str
) -> tuple[str, ...]:
    """What the page says: the outcome; for an alert the agreement's rule, the names, and who signed the text off."""
    wording = told["wording"]
    if kind in (AlertKind.NONE, AlertKind.OFF):
        return (wording[kind.value],)
    rule = wording["rule"].format(stop_days=told["stop_days"], restart_days=told["restart_days"])
    listed = (wording["found"].format(names=", ".join(name.upper() for name in found)),) if found else ()
    signed = site.get("signed_by") and site.get("signed_on") and site.get("signed_version") == version
    sign_off = wording["signed"].format(**site) if signed else wording["unsigned"]
    return (wording[kind.value], rule, *listed, sign_off)
