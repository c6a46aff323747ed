"""Search without clear text: each looked-up value is normalised here, then kept only as a keyed HMAC.

Law: blueprint seam 9. Normalisation is what makes two spellings one: it is pure, and never changes once rows exist
(a new way needs a new kind). A value that normalises to nothing is not kept.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from adapter.model.document import DocumentHeader
from adapter.model.parties import Party
from adapter.model.submission import Submission

Pair = tuple[str, str]


def normalise_ins(value: str) -> str:
    """The matricule's 13 characters, without key nor spaces: both spellings find each other."""
    text = "".join(value.split()).upper()
    return text[:13] if len(text) in (13, 15) and text.isalnum() else ""


def normalise_number(value: str) -> str:
    """An identifier without spaces, in upper case."""
    return "".join(value.split()).upper()


def normalise_local_id(value: str) -> str:
    """`authority|number`, both in upper case without spaces; nothing when either is absent."""
    authority, _, number = value.rpartition("|")
    parts = normalise_number(authority), normalise_number(number)
    return "|".join(parts) if all(parts) else ""


def normalise_rpps(value: str) -> str:
    """11 digits; the `8` of an IDNPS is dropped."""
    digits = "".join(value.split())
    if not digits.isdigit():
        return ""
    return digits[1:] if len(digits) == 12 and digits.startswith("8") else digits if len(digits) == 11 else ""


def normalise_finess(value: str) -> str:
    """9 characters; the `1` of a Struct_IdNat is dropped."""
    number = "".join(value.split()).upper()
    number = number[1:] if len(number) == 10 and number.startswith("1") else number
    return number if len(number) == 9 and number.isalnum() else ""


def normalise_unique_id(value: str) -> str:
    """A document id without URN prefix, in lower case; `root^extension` stays."""
    return value.strip().lower().removeprefix("urn:oid:").removeprefix("urn:uuid:")


def normalise_name(value: str) -> str:
    """A name without accents, hyphens, apostrophes nor case, one space between words."""
    plain = unicodedata.normalize("NFKD", value.replace("œ", "oe").replace("Œ", "OE").replace("æ", "ae").replace("Æ", "AE"))
    letters = "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return " ".join(letters.upper().split())


def normalise_name_and_birth(value: str) -> str:
    """`name|YYYY-MM-DD`; nothing when either is absent."""
    name, _, birth = value.partition("|")
    day = "".join(c for c in birth if c.isdigit())
    return f"{normalise_name(name)}|{day}" if normalise_name(name) and day else ""


def normalise_reference(value: str) -> str:
    """A reference as given, without the angle brackets of a Message-ID."""
    return value.strip().removeprefix("<").removesuffix(">")


def normalise_address(value: str) -> str:
    """A mail address in lower case: no operator tells two mailboxes apart by their case."""
    return value.strip().lower() if "@" in value else ""


NORMALISERS: dict[str, Callable[[str], str]] = {
    "ins": normalise_ins,
    "ipp": normalise_number,
    "local-id": normalise_local_id,
    "rpps": normalise_rpps,
    "finess": normalise_finess,
    "control-id": normalise_reference,
    "unique-id": normalise_unique_id,
    "name-birth-date": normalise_name_and_birth,
    "message-id": normalise_reference,
    "reference": normalise_reference,
    "request-number": normalise_number,
    "address": normalise_address,
    "fhir-name": normalise_reference,
    "request-like": str.strip,
}


def normalise(kind: str, value: str) -> str:
    """The normal form of a value; empty when it has none. KeyError for a kind that does not exist: a defect of ours."""
    return NORMALISERS[kind](value)


def lookups_of(submission: Submission) -> tuple[Pair, ...]:
    """What a document may be found by: its patient, its people and places, its ids. Each pair once, in a fixed order."""
    document = submission.document
    patient = document.patient
    pairs: list[Pair] = [("unique-id", document.unique_id), ("unique-id", document.set_id), ("control-id", submission.control_id)]
    if patient.ins is not None:
        pairs.append(("ins", patient.ins.value))
    pairs.extend(("ipp", identifier.value) for identifier in patient.local_ids)
    pairs.extend(("name-birth-date", f"{name}|{patient.birth_date}") for name in (patient.birth_name, patient.used_name))
    pairs.extend(_people(document, submission.sender))
    for recipient in submission.recipients:
        pairs += [("rpps", recipient.rpps), ("finess", recipient.finess)]
    return tuple(dict.fromkeys((kind, value) for kind, value in pairs if normalise(kind, value)))


def _people(document: DocumentHeader, sender: Party | None) -> Iterable[Pair]:
    parties = [*document.authors, document.legal_authenticator, sender]
    parties += [participant.party for participant in document.participants]
    yield "finess", document.custodian.finess
    for party in parties:
        if party is not None and party.professional is not None:
            yield "rpps", party.professional.rpps
        if party is not None and party.organisation is not None:
            yield "finess", party.organisation.finess
