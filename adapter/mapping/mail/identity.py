"""Whom a mailed document is about, as its mail, its METADATA.XML and its own header say: agreed, or why a person must look. Pure.

Sources: Référentiel socle #2 ECO 2.1.2, 2.4.2; digest §5.4; blueprint seam 14: identity is never repaired, a contradiction parks.
Names are compared without case, accents and hyphens; what one side does not say contradicts nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from adapter.model.document import DocumentHeader
from adapter.model.identity import INS_OIDS, PatientIdentity
from mssante.entries import DocumentEntry, Patient, PatientNumber, SubmissionSet
from mssante.incoming import IncomingMail

_BIRTH_IN_SUBJECT = re.compile(r"\b(\d{2})/(\d{2})/(\d{4})\b")


def identity_doubts(
    header: DocumentHeader, mail: IncomingMail, entry: DocumentEntry | None, submission_set: SubmissionSet | None
) -> tuple[str, ...]:
    """Stable codes, the gravest first; empty when all agree on a qualified identity."""
    return tuple(dict.fromkeys(_doubts(header.patient, mail, entry, submission_set)))


def _doubts(
    patient: PatientIdentity, mail: IncomingMail, entry: DocumentEntry | None, submission_set: SubmissionSet | None
) -> Iterator[str]:
    described = entry.patient if entry is not None else None
    if described is not None and (_numbers_differ(described, patient) or _traits_differ(described, patient)):
        yield "mail.other-patient-in-metadata"
    if submission_set is not None and described is not None and _sets_differ(submission_set.patient.number, described.number):
        yield "mail.other-patient-in-metadata"
    if _subject_differs(mail, patient):
        yield "mail.other-patient-in-subject"
    if not patient.is_qualified:
        # X-MSS-INS: O with a header that proves none is a contradiction, and no better than none.
        yield "mail.ins-claimed-not-proved" if mail.headers.holds_qualified_ins else "mail.identity-unqualified"
    elif mail.headers.holds_qualified_ins is False:
        yield "mail.ins-disclaimed"


def _numbers_differ(described: Patient, patient: PatientIdentity) -> bool:
    return any(_differs(number, patient) for number in (described.number, described.source_number) if number is not None)


def _differs(number: PatientNumber, patient: PatientIdentity) -> bool:
    """A number of the same authority, other than the document's own."""
    if number.authority in INS_OIDS or number.kind == "NH":
        return patient.ins is not None and number.value != patient.ins.value
    same = [one.value for one in patient.local_ids if one.authority == number.authority and one.kind == number.kind]
    return bool(same) and number.value not in same


def _sets_differ(of_set: PatientNumber | None, of_document: PatientNumber | None) -> bool:
    if of_set is None or of_document is None or of_set.authority != of_document.authority:
        return False
    return of_set.value != of_document.value


def _traits_differ(described: Patient, patient: PatientIdentity) -> bool:
    return (
        _are_two(_plain(described.birth_name), _plain(patient.birth_name))
        or _are_two_dates(_digits(described.birth_date), _digits(patient.birth_date))
        or _are_two(*(sex if sex in ("F", "M") else "" for sex in (described.sex, patient.sex)))
    )


def _are_two(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def _are_two_dates(one: str, other: str) -> bool:
    """A shorter date is a less precise one, not another."""
    return bool(one and other) and not (one.startswith(other) or other.startswith(one))


def _subject_differs(mail: IncomingMail, patient: PatientIdentity) -> bool:
    """A birth date in a subject of the norm's own form; the rest of a subject is anybody's words."""
    found = _BIRTH_IN_SUBJECT.findall(mail.subject.title) if mail.subject.is_xdm else []
    if not found or len(_digits(patient.birth_date)) != 8:
        return False
    day, month, year = found[-1]
    return f"{year}{month}{day}" != _digits(patient.birth_date)


def _digits(value: str) -> str:
    return re.sub(r"\D", "", value)[:8]


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFD", name.replace("œ", "oe").replace("Œ", "OE"))
    return "".join(c for c in letters.upper() if c.isalnum())
