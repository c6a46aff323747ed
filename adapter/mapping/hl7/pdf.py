"""A PDF in OBX-5 of an MDM or ORU: an extension of ours to the volet, which carries CDA only; told by a warning.

The message says what a CDA's header would: PID the patient, OBX-3 the type, TXA-4 (else OBX-14) the date, TXA-12 the number,
PRT SB (else TXA-9, OBX-16) the author. What is missing is asked for in the answer, never guessed; the identity is provisional.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

from adapter.errors import InputError
from adapter.formats.hl7v2 import Message, Segment
from adapter.mapping.cda.time import read_time
from adapter.mapping.hl7.identity import PidIdentity
from adapter.mapping.transforms import rpps_of
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.identity import PatientIdentity
from adapter.model.parties import Organisation, Party, Professional

_LOINC = "2.16.840.1.113883.6.1"
_OTHER_TYPES = "1.2.250.1.213.1.1.4.12"
_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "https://traitdunion.example/hl7-pdf")
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")


def pdf_header(
    segment: Segment, content: bytes, patient: Mapping[str, Any], pid: PidIdentity, sender: Party | None, zone: str
) -> DocumentHeader:
    """The header that the message gives to a PDF. Raises InputError hl7.pdf-incomplete with all that is missing."""
    message = segment.message
    code = segment.value(3, 1).strip() or message.value("TXA", 2, 1).strip()
    label = segment.value(3, 2).strip()
    created = read_time(message.value("TXA", 4, 1).strip() or segment.value(14, 1).strip(), zone).value
    author = _author(segment, message, sender, created)
    missing = [place for place, value in (
        ("PID-5", pid.birth_name), ("PID-7", pid.birth_date), ("OBX-3", code), ("TXA-4, OBX-14", created), ("PRT SB", author),
    ) if not value]  # fmt: skip
    if missing or author is None:
        text = f"This PDF needs what no header gives it: {', '.join(missing)}."
        raise InputError("hl7.pdf-incomplete", text, where=f"{segment.place}-5", remedy="Fill these fields, or send a CDA.")
    number = _number(message) or f"2.25.{uuid.uuid5(_ROOT, hashlib.sha256(content).hexdigest() + code + created).int}"
    system = _LOINC if segment.value(3, 3).strip() in ("LN", "") and code.replace("-", "").isdigit() else _OTHER_TYPES
    return DocumentHeader(
        unique_id=number,
        set_id=number,
        type=Code(code, system, label),
        title=label or "Document",
        created=created,
        patient=_identity(patient, pid),
        authors=(author,),
        custodian=author.organisation or Organisation(),
        body=BodyKind.PDF,
        legal_authenticator=author,
        model="pdf",
    )


def _number(message: Message) -> str:
    """TXA-12 when it is an OID, or a number under one."""
    value, root = message.value("TXA", 12, 1).strip(), message.value("TXA", 12, 3).strip()
    if _OID.fullmatch(value):
        return value
    return f"{root}^{value}" if value and _OID.fullmatch(root) else ""


def _identity(patient: Mapping[str, Any], pid: PidIdentity) -> PatientIdentity:
    return PatientIdentity(
        birth_name=pid.birth_name,
        first_given=str(patient["first_given"] or ""),
        birth_given_names=str(patient["birth_given_names"] or ""),
        birth_date=pid.birth_date,
        sex={"F": "F", "M": "M"}.get(pid.sex, "UN"),
        birth_place_insee=pid.birth_insee,
        ins=pid.ins,
        local_ids=pid.local_ids,
    )


def _author(segment: Segment, message: Message, sender: Party | None, created: str) -> Party | None:
    """The sender when it is a person, else who TXA-9 or OBX-16 names, in the sender's structure."""
    if sender is not None and sender.professional is not None and sender.professional.family:
        return Party(sender.professional, sender.organisation, time=created)
    for place, field in ((message.first("TXA"), 9), (segment, 16)):
        family = place.value(field, 2).strip() if place is not None else ""
        if place is not None and family:
            person = Professional(family=family, given=place.value(field, 3).strip(), rpps=rpps_of(place.value(field, 1)))
            return Party(person, sender.organisation if sender else None, time=created)
    return None
