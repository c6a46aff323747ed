"""Tells whether the patient of PID is the patient of the document, and what PID adds to that identity. Repairs nothing.

Sources: CI-SIS volet 2.1 (PID-3 = recordTarget/patientRole/id), INS annex, table 0533; blueprint seam 14.
Numbers decide: INS against INS, else a local number of the same authority. Only when no number can be compared do traits decide.
Codes: 904 when numbers or, failing numbers, traits differ; 903 when the document lacks the INS that a destination needs;
906 for a wrong check key, since no comparison took place (904) and no trait is missing (905).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from adapter.mapping.engine import Extraction, Values
from adapter.mapping.hl7.envelope import authority_of, is_ins
from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.finding import Finding, Severity
from adapter.model.identity import Ins, LocalIdentifier, PatientIdentity, Reliability, ins_is_valid
from adapter.model.patient import PatientKeys, patient_numbers
from adapter.model.submission import Destinations

_VALIDATED = frozenset({"VALI", "QUAL"})


class Agreement(StrEnum):
    """What proves (or not) that two identities are of one person."""

    SAME_INS = "same-ins"
    SAME_LOCAL_NUMBER = "same-local-number"
    SAME_TRAITS = "same-traits"
    DIFFERENT = "different"


@dataclass(frozen=True, repr=False)
class PidIdentity(Confidential):
    """What PID says: the INS, local numbers, the traits to compare, the identity's status (PID-32)."""

    ins: Ins | None
    local_ids: tuple[LocalIdentifier, ...]
    birth_name: str
    birth_date: str
    sex: str
    birth_insee: str
    status: str


def pid_identity(found: Extraction) -> PidIdentity:
    """PID as extracted by the rules."""
    traits, rows = found.one("patient"), found.many("identifiers")
    ins = next((Ins(row["value"], row["authority"]) for row in rows if is_ins(row) and row["value"]), None)
    locals_ = [_local(row, row["kind"] or "PI") for row in rows if row["value"] and not is_ins(row)]
    case = found.one("case")
    if case["value"]:
        locals_.append(_local(case, case["kind"]))
    return PidIdentity(
        ins,
        tuple(locals_),
        traits["birth_name"],
        _iso_date(traits["birth_date"]),
        traits["sex"],
        traits["birth_insee"],
        traits["status"].upper(),
    )


def check_ins_key(pid: PidIdentity) -> tuple[Finding, ...]:
    """Seam 14: a wrong INS key is refused at HL7 doors."""
    if pid.ins is None or ins_is_valid(pid.ins.value):
        return ()
    return (_error("ins.wrong-key", "The INS of PID-3 has not the right form or check key.", "PID-3", "906"),)


def check_same_patient(
    pid: PidIdentity,
    header: DocumentHeader,
    destinations: Destinations,
    place: str,
    known: Callable[[PatientKeys, PatientKeys], bool] | None = None,
) -> tuple[Finding, ...]:
    """PID against the patient of one document. `known`: the patient index's word on numbers that differ."""
    document = header.patient
    findings: list[Finding] = []
    if document.ins is not None and not ins_is_valid(document.ins.value):
        findings.append(_error("ins.wrong-key", "The INS of the document has not the right form or check key.", place, "906"))
    agreement = compare(pid, document)
    if agreement is Agreement.DIFFERENT and known is not None and known(_keys(pid), _keys(document)):
        text = "The document names the patient by an older number: the patient index knows that it is the same person."
        findings.append(_warning("hl7.patient-by-index", text, "PID-3", "904"))
        return (*findings, *_missing_ins(pid, document, destinations, place))
    if agreement is Agreement.DIFFERENT:
        text = "The document is about another patient than PID: numbers, or failing them traits, differ."
        findings.append(_error("hl7.other-patient", text, "PID-3", "904"))
        return tuple(findings)
    if agreement is Agreement.SAME_TRAITS:
        text = "No number is common to PID-3 and the document: only name and birth date tell that the patient is the same."
        findings.append(_warning("hl7.patient-by-traits", text, "PID-3", "904"))
    elif differing := _differing_traits(pid, document):
        text = f"PID and the document have the same number but other traits ({', '.join(differing)})."
        findings.append(_warning("hl7.traits-differ", text, "PID-5", "904"))
    findings += _missing_ins(pid, document, destinations, place)
    if document.ins is not None and document.reliability is not Reliability.QUALIFIED:
        text = "The INS of the document comes without all its traits: it opens neither the record nor the patient's mailbox."
        findings.append(_warning("hl7.traits-incomplete", text, place, "905"))
    return tuple(findings)


def compare(pid: PidIdentity, document: PatientIdentity) -> Agreement:
    """How two identities agree: the strongest thing that can be compared decides alone."""
    if pid.ins is not None and document.ins is not None:
        return Agreement.SAME_INS if pid.ins == document.ins else Agreement.DIFFERENT
    shared = _shared(patient_numbers(pid.local_ids), patient_numbers(document.local_ids))
    shared = shared or _shared(pid.local_ids, document.local_ids)
    if shared:
        return Agreement.SAME_LOCAL_NUMBER if all(shared) else Agreement.DIFFERENT
    same_name = bool(pid.birth_name) and _folded(pid.birth_name) == _folded(document.birth_name)
    same_birth = bool(pid.birth_date) and pid.birth_date == document.birth_date
    return Agreement.SAME_TRAITS if same_name and same_birth else Agreement.DIFFERENT


def _shared(ours: Iterable[LocalIdentifier], theirs: Iterable[LocalIdentifier]) -> list[bool]:
    """For each authority that numbers both: whether a number is common. A patient's IPPs are compared before stays and cases,
    which an authority may number alike; where two authorities contradict each other, it is another patient.
    """
    named: dict[str, tuple[set[str], set[str]]] = {}
    for at, numbers in enumerate((ours, theirs)):
        for number in numbers:
            named.setdefault(number.authority, (set(), set()))[at].add(number.value)
    return [not a.isdisjoint(b) for authority, (a, b) in named.items() if authority and a and b]


def enriched(document: PatientIdentity, pid: PidIdentity) -> PatientIdentity:
    """The document's identity with what PID may add: its reliability, and local numbers when both INS agree.

    VALI or QUAL with the same INS is a qualified identity, if the document gives the INS with all its traits; the same status
    without these traits, or on a common local number, is a validated one; any other status is provisional.
    """
    agreement = compare(pid, document)
    stated = pid.status in _VALIDATED
    reliability = Reliability.PROVISIONAL
    if agreement is Agreement.SAME_INS and stated:
        complete = document.reliability is Reliability.QUALIFIED
        reliability = Reliability.QUALIFIED if complete else Reliability.VALIDATED
    elif agreement is Agreement.SAME_LOCAL_NUMBER and stated:
        reliability = Reliability.VALIDATED
    known = {(local.authority, local.value) for local in document.local_ids}
    added = tuple(local for local in pid.local_ids if (local.authority, local.value) not in known)
    local_ids = document.local_ids + (added if agreement is Agreement.SAME_INS else ())
    return replace(document, reliability=reliability, local_ids=local_ids)


def _keys(named: PidIdentity | PatientIdentity) -> PatientKeys:
    return PatientKeys(named.ins, named.local_ids)


def _missing_ins(pid: PidIdentity, document: PatientIdentity, asked: Destinations, place: str) -> list[Finding]:
    """903: the record and the patient's mailbox are reached by the INS of the document."""
    if document.ins is not None:
        return []
    text = "The document holds no INS."
    if asked.record or asked.patient:
        text += " The record and the patient's mailbox need it."
        return [_error("hl7.no-ins-in-document", text, place, "903")]
    return [_warning("hl7.no-ins-in-document", text, place, "903")] if pid.ins is not None else []


def _differing_traits(pid: PidIdentity, document: PatientIdentity) -> list[str]:
    pairs = (
        ("birth name", _folded(pid.birth_name), _folded(document.birth_name)),
        ("birth date", pid.birth_date, document.birth_date),
        ("sex", pid.sex, document.sex),
        ("birth place", pid.birth_insee, document.birth_place_insee),
    )
    return [name for name, ours, theirs in pairs if ours and theirs and ours != theirs]


def _local(row: Values, kind: str) -> LocalIdentifier:
    return LocalIdentifier(row["value"], authority_of(row["authority"], row["namespace"]), kind)


def _folded(name: str) -> str:
    """A name without accents, hyphens or case: registers differ on these and mean the same."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())


def _iso_date(literal: str) -> str:
    digits = literal[:8]
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if len(digits) == 8 and digits.isdigit() else literal


def _error(code: str, text: str, place: str, app_code: str) -> Finding:
    return Finding(Severity.ERROR, code, text, place, hl7_code="207", app_code=app_code)


def _warning(code: str, text: str, place: str, app_code: str) -> Finding:
    return Finding(Severity.WARNING, code, text, place, hl7_code="207", app_code=app_code)
