"""Whether a liaison letter says all that the law wants: each item present, said not to be, or missing. Never blocks anything.

Source: CSP R. 1112-1-1 (entry) and R. 1112-1-2 (exit), as tables in `mappings/documents/legal-*.toml`. It looks at the FHIR
document, so a letter is judged alike whatever format it came in. What a PDF says cannot be seen: that is told, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from adapter.data import mappings_root
from adapter.mapping.rules import RuleFile, load_rules
from adapter.model.document import BodyKind, DocumentHeader
from adapter.model.effects import LegalItem
from adapter.model.finding import Finding, Severity

Fhir = Mapping[str, Any]

PRESENT, NEGATIVE, MISSING = "present", "negative", "missing"
# The body of a letter whose content is a file is not seen; its header is.
_BODY_UNSEEN = frozenset({BodyKind.PDF_IN_CDA, BodyKind.PDF})

_TAG = re.compile(r"<[^>]+>")
_SHORT = 160
# A short text of one sentence that begins like this says that there is none.
_NONE = re.compile(
    r"\W*(?:(?:aucune?|absence|n[ée]ant|sans objet|ras|non|pas de|nil|nulle?)(?:\W|$)|pas d['’]|n['’]a pas\W)", re.IGNORECASE
)
# JDV_AbsentOrUnknown… (2.16.840.1.113883.5.1150.1): "none known" is a negative, "no information" is nothing told.
_ABSENT = frozenset({"no-known-medications", "no-medication-info", "no-known-allergies", "no-allergy-info"})
_ABSENT_IS_NONE = re.compile("no-known-")
_SECOND_SENTENCE = re.compile(r"[.;!?]\s+\w")


def check_letter(header: DocumentHeader, bundle: Fhir) -> tuple[tuple[LegalItem, ...], tuple[Finding, ...]]:
    """The items of the letter, and what its sender should know; both empty when the law says nothing of such a document."""
    rules = _rules_for(header.type.code)
    if rules is None:
        return (), ()
    facts = _Facts(header, bundle)
    unseen = header.body in _BODY_UNSEEN
    asked = [item for item in rules.data["item"] if not unseen or "header" in item]
    law = rules.data["legal"]["law"]
    items = tuple(
        LegalItem(item["code"], item["label"], facts.state_of(item), f"{law} {item.get('law', '')}".strip()) for item in asked
    )
    return items, tuple(_findings(items, asked, rules, unseen=unseen))


def is_letter(header: DocumentHeader) -> bool:
    """True when the law wants something of such a document."""
    return is_letter_type(header.type.code)


def is_letter_type(code: str) -> bool:
    """The same of a document's type (LOINC)."""
    return _rules_for(code) is not None


@lru_cache(maxsize=1)
def _tables() -> tuple[RuleFile, ...]:
    names = sorted(path.stem for path in (mappings_root() / "documents").glob("legal-*.toml"))
    return tuple(load_rules(f"documents/{name}") for name in names)


def _rules_for(type_code: str) -> RuleFile | None:
    return next((rules for rules in _tables() if type_code in rules.data["legal"]["types"]), None)


def _findings(items: tuple[LegalItem, ...], asked: list[dict[str, Any]], rules: RuleFile, *, unseen: bool) -> Iterator[Finding]:
    letter, law = rules.data["legal"]["letter"], rules.data["legal"]["law"]
    for item, rule in zip(items, asked, strict=True):
        if item.state == MISSING:
            text = f"{letter} : « {item.label} » n'est ni présent ni dit absent ({item.law})."
            remedy = "Compléter la lettre, ou dire qu'il n'y en a pas."
            yield Finding(Severity.WARNING, "legal.missing", text, _places(rule), remedy)
        elif item.state == NEGATIVE:
            yield Finding(Severity.INFORMATION, "legal.negative", f"{letter} : « {item.label} » est dit absent.", _places(rule))
    if unseen:
        text = f"{letter} : le contenu est un fichier ; seul l'en-tête a été comparé à ce que veut le {law}."
        yield Finding(Severity.INFORMATION, "legal.not-checkable", text, "component")
    present = [item.label for item in items if item.state == PRESENT]
    if present:
        yield Finding(Severity.INFORMATION, "legal.present", f"{letter} : sont présents {', '.join(present)}.", "legal")


def _places(rule: Mapping[str, Any]) -> str:
    return " | ".join((*rule.get("sections", ()), *rule.get("observations", ()), *rule.get("header", ())))


# -- facts ----------------------------------------------------------------------------------------------------------------


class _Facts:
    """What a letter says, by the code of the place where it is said."""

    def __init__(self, header: DocumentHeader, bundle: Fhir) -> None:
        self._header = header
        self._resources: list[Fhir] = [entry["resource"] for entry in bundle.get("entry", ())]
        self._known: dict[str, Fhir] = {entry.get("fullUrl", ""): entry["resource"] for entry in bundle.get("entry", ())}
        self._sections: dict[str, list[str]] = {}
        self._observations: dict[str, list[str]] = {}
        for resource in self._resources:
            if resource["resourceType"] == "Composition":
                self._read_sections(resource.get("section", ()))
            elif resource["resourceType"] == "Observation":
                for code in _codes(resource.get("code")):
                    self._observations.setdefault(code, []).append(_observed(resource))

    def state_of(self, item: Mapping[str, Any]) -> str:
        """Present wins over negative, negative over missing."""
        states = [self._in_header(name) for name in item.get("header", ())]
        states += [state for code in item.get("observations", ()) for state in self._observations.get(code, ())]
        states += [state for code in item.get("sections", ()) for state in self._sections.get(code, ())]
        kinds = {resource["resourceType"] for resource in self._resources}
        states += [PRESENT for kind in item.get("resources", ()) if kind in kinds]
        return next((state for state in (PRESENT, NEGATIVE) if state in states), MISSING)

    def _read_sections(self, sections: object) -> None:
        for section in sections if isinstance(sections, (list, tuple)) else ():
            state = self._absence(section) or _section_state(section)
            for code in _codes(section.get("code")):
                self._sections.setdefault(code, []).append(state)
            self._read_sections(section.get("section", ()))

    def _absence(self, section: Fhir) -> str:
        """What entries that only say "none" or "not known" make of a section; empty when it holds anything else."""
        told = [self._known.get(entry.get("reference", ""), {}) for entry in section.get("entry", ())]
        codes = [next(iter(_ABSENT.intersection(_codes(r.get("medicationCodeableConcept") or r.get("code")))), "") for r in told]
        if not codes or not all(codes):
            return ""
        return NEGATIVE if all(_ABSENT_IS_NONE.match(code) for code in codes) else MISSING

    def _in_header(self, name: str) -> str:
        header = self._header
        stay = header.stay
        found = {
            "patient": bool(header.patient.birth_name and header.patient.birth_date),
            "pcp": any(r.function_code == "PCP" for r in header.participants),
            "referrer": any(r.type_code in ("REF", "REFB") for r in header.participants),
            "author": any(author.professional is not None for author in header.authors),
            "stay-dates": stay is not None and bool(stay.start and stay.end),
            "discharge": any("dischargeDisposition" in r.get("hospitalization", {}) for r in self._resources),
        }[name]
        return PRESENT if found else MISSING


def _codes(concept: object) -> list[str]:
    codings = concept.get("coding", ()) if isinstance(concept, dict) else ()
    return [str(coding.get("code", "")) for coding in codings]


def _section_state(section: Fhir) -> str:
    reason = _codes(section.get("emptyReason"))
    if "nilknown" in reason:
        return NEGATIVE
    words = " ".join(_TAG.sub(" ", str(section.get("text", {}).get("div", ""))).split())
    title = str(section.get("title", ""))
    said = words.removeprefix(title).strip()
    if reason or not said:
        return PRESENT if section.get("entry") or section.get("section") else MISSING
    return NEGATIVE if _denies(said) else PRESENT


def _denies(text: str) -> bool:
    return len(text) <= _SHORT and _NONE.match(text) is not None and _SECOND_SENTENCE.search(text) is None


def _observed(resource: Fhir) -> str:
    if resource.get("valueBoolean") is False:
        return NEGATIVE
    text = str(resource.get("valueString", ""))
    if _denies(text):
        return NEGATIVE
    return PRESENT if any(key.startswith("value") for key in resource) else MISSING
