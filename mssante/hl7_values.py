"""HL7 v2 data types inside ebRIM values (CX, CXi, XCN, XON, PID lines): written strictly, read with patience.

Writing refuses what would not read back; reading never raises: what is absent is empty, as IHE ITI TF-3 §4.2.3.1.7 lets it be.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from mssante.entries import (
    PROFESSIONAL_AUTHORITY,
    Coded,
    Institution,
    Patient,
    PatientNumber,
    Person,
    Reference,
    Software,
    submission_unique_id,
)
from mssante.errors import MetadataError

_ISO = re.compile(
    r"(?P<date>[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?)"
    r"(?:[T ](?P<time>[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?)(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_DTM = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})?(?P<day>[0-9]{2})?(?P<hour>[0-9]{2})?(?P<minute>[0-9]{2})?(?P<second>[0-9]{2})?"
    r"(?:\.[0-9]+)?(?P<zone>[+-][0-9]{4})?"
)
_OID_AND_EXTENSION = re.compile(r"[0-9]+(?:\.[0-9]+)+(?:\^[^\^&|]+)?")
_DOTTED = re.compile(r"[0-9]+(\.[0-9]+)+")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ESCAPES = str.maketrans({"\\": "\\E\\", "^": "\\S\\", "&": "\\T\\", "|": "\\F\\", "~": "\\R\\"})
_ESCAPED = re.compile(r"\\([ESTFR])\\")
_ESCAPED_CHARACTERS = {"E": "\\", "S": "^", "T": "&", "F": "|", "R": "~"}

# ── written ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def utc_time(value: str, where: str) -> str:
    """An ISO 8601 instant as `YYYYMMDDhhmmss` in UTC; a date stays a date. A time without zone is refused, never guessed."""
    match = _ISO.fullmatch(value.strip())
    if match is None:
        raise MetadataError("xdm.time", "not an ISO 8601 date or time", where=where)
    if not match["time"]:
        if read_time(day := match["date"].replace("-", "")) is None:
            raise MetadataError("xdm.time", "no such date or time", where=where)
        return day
    if not match["zone"]:
        raise MetadataError("xdm.time-zone", "a time needs its zone", where=where)
    return compact_utc(_instant(match, where), where)


def compact_utc(instant: datetime, where: str) -> str:
    """The instant as `YYYYMMDDhhmmss` in UTC."""
    try:
        return instant.astimezone(UTC).strftime("%Y%m%d%H%M%S").rjust(14, "0")
    except OverflowError as error:  # 0001-01-01 east of Greenwich
        raise MetadataError("xdm.time", "no such date or time", where=where) from error


def _instant(match: re.Match[str], where: str) -> datetime:
    clock = (match["time"].split(".")[0] + ":00:00")[:8]
    zone = match["zone"].replace("Z", "+0000").replace(":", "")
    try:
        return datetime.strptime(f"{match['date']}T{clock}{zone}", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError as error:
        raise MetadataError("xdm.time", "no such date or time", where=where) from error


def write_cx(number: PatientNumber) -> str:
    """A patient's number: `value^^^&oid&ISO^kind`."""
    return f"{escape(required(number.value, 'patientId'))}^^^{_assigning(number.authority)}^{escape(number.kind)}"


def write_reference(reference: Reference) -> str:
    """A CXi of referenceIdList: `value^^^&oid&ISO^urn:ihe:iti:xds:2013:…`."""
    where = "DocumentEntry.referenceIdList"
    value, kind = required(reference.value, where), required(reference.kind, where)
    return f"{escape(value)}^^^{_assigning(reference.authority)}^{escape(kind)}"


def write_xcn(person: Person | Software, where: str) -> str:
    """A person or a machine."""
    if isinstance(person, Software):
        identifier = escape(required(person.identifier, where))
        return f"{identifier}^{escape(person.software)}^{escape(person.model)}^^^^^^{_assigning(person.authority)}^U^^^RI"
    names = [required(person.family, where), person.given, person.further_given, person.suffix, person.prefix]
    written = [escape(person.identifier), *(escape(name) for name in names)]
    if not person.identifier:
        return "^".join(written).rstrip("^")
    kind = escape(person.kind) or kind_of_person(person.identifier)
    return "^".join([*written, "", "", _assigning(person.authority), "D", "", "", kind])


def kind_of_person(identifier: str) -> str:
    """XCN-13 as it follows from the identifier: internal numbers bear a slash."""
    return "EI" if "/" in identifier else "IDNPS"


def write_xon(institution: Institution) -> str:
    """A structure."""
    if not institution.identifier:
        return escape(required(institution.name, "authorInstitution"))
    kind = escape(institution.kind) or "IDNST"
    return f"{escape(institution.name)}^^^^^{_assigning(institution.authority)}^{kind}^^^{escape(institution.identifier)}"


def write_specialty(specialty: Coded) -> str:
    """`code^label^scheme`."""
    return f"{escape(specialty.code)}^{escape(specialty.label)}^{escape(specialty.scheme)}".rstrip("^")


def write_patient_info(patient: Patient) -> list[str]:
    """The lines of sourcePatientInfo."""
    where = "DocumentEntry.sourcePatientInfo"
    birth = (required(patient.birth_name, where), patient.first_given, patient.birth_given_names)
    lines = [f"PID-5|{'^'.join(escape(value) for value in birth)}^^^^L"]
    if patient.used_name or patient.used_given:
        lines.append(f"PID-5|{escape(patient.used_name or patient.birth_name)}^{escape(patient.used_given)}^^^^^D")
    if patient.birth_date:
        # Only the day: a birth has no time zone, and midnight in Paris is the day before in UTC.
        lines.append(f"PID-7|{utc_time(patient.birth_date.partition('T')[0], where)}")
    if patient.sex:
        # PID-8 speaks HL7 table 0001: the CDA's UN (undifferentiated) is its U.
        lines.append(f"PID-8|{'U' if patient.sex == 'UN' else escape(patient.sex)}")
    if patient.birth_place_insee:
        lines.append(f"PID-11|^^^^^^BDL^^{escape(patient.birth_place_insee)}")
    return [*lines, *patient.further]


def document_id(value: str) -> str:
    """A CDA id as XDS has it: an OID, or an OID and an extension."""
    # A UUID root is legal in CDA but not in XDS, whose uniqueId is an OID: X.667 gives the one OID of a UUID.
    root, separator, extension = value.partition("^")
    value = f"{_oid_of_uuid(root) or root}{separator}{extension}"
    if not _OID_AND_EXTENSION.fullmatch(value):
        raise MetadataError("xdm.unique-id", "a document id is `OID` or `OID^extension`", where="DocumentEntry.uniqueId")
    return value


def oid(value: str, where: str) -> str:
    """The value, when it is an OID."""
    if not re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", value) or len(value) > 64:
        raise MetadataError("xdm.oid", "not an OID", where=where)
    return value


def escape(value: str) -> str:
    """The value without its outer blanks, HL7 separators escaped."""
    return value.strip().translate(_ESCAPES)


def required(value: str, where: str) -> str:
    """The value, when it says something."""
    if not value.strip():
        raise MetadataError("xdm.required", "a required metadata is empty", where=where)
    return value


def _assigning(authority: str) -> str:
    if not authority:
        return ""
    known = _oid_of_uuid(authority) or authority
    return f"&{known}&ISO" if _DOTTED.fullmatch(known) else escape(known)


def _oid_of_uuid(value: str) -> str:
    return submission_unique_id(int(value.replace("-", ""), 16)) if _UUID.fullmatch(value) else ""


# ── read ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_time(value: str) -> str | None:
    """A DTM of METADATA.XML as ISO 8601: an instant ends with its zone, `Z` when none is written; None when it is no time."""
    match = _DTM.fullmatch(value.strip())
    if match is None:
        return None
    day = "-".join(part for part in (match["year"], match["month"], match["day"]) if part)
    clock = ":".join(part for part in (match["hour"], match["minute"], match["second"]) if part)
    zone = match["zone"]
    iso = f"{day}T{clock}{f'{zone[:3]}:{zone[3:]}' if zone else 'Z'}" if clock else day
    return iso if _exists(match) else None


def _exists(match: re.Match[str]) -> bool:
    numbers = match.group("year", "month", "day", "hour", "minute", "second")
    written = "".join(number or default for number, default in zip(numbers, ("", "01", "01", "00", "00", "00"), strict=True))
    try:
        datetime.strptime(written, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def read_instant(value: str) -> datetime | None:
    """A DTM as an instant; None when it is none, or only a day."""
    iso = read_time(value)
    return datetime.fromisoformat(iso) if iso and "T" in iso else None


def read_cx(value: str) -> PatientNumber | None:
    """A patient's number; None when it has no value."""
    parts = _components(value)
    return PatientNumber(unescape(parts[0]), _authority(parts[3]), unescape(parts[4])) if parts[0].strip() else None


def read_reference(value: str) -> Reference:
    """A CXi of referenceIdList."""
    parts = _components(value)
    return Reference(unescape(parts[0]), _authority(parts[3]), unescape(parts[4]))


def read_xcn(value: str) -> Person | Software | None:
    """A machine when XCN-10 or XCN-13 say so, else a person; None when nobody is named."""
    parts = _components(value)
    identifier, family, given = (unescape(part) for part in parts[:3])
    if "^" not in value and " " in identifier:  # a name alone, where the number should be
        return Person("", identifier)
    if not (identifier or family or given):
        return None
    authority, kind = _authority(parts[8]), unescape(parts[12])
    if identifier and (parts[9].strip() == "U" or kind == "RI"):
        return Software(identifier, family, given, authority)
    further_given, suffix, prefix = (unescape(part) for part in parts[3:6])
    if not identifier:
        return Person("", family, given, PROFESSIONAL_AUTHORITY, further_given, suffix, prefix)
    kind = "" if kind == kind_of_person(identifier) else kind
    return Person(identifier, family, given, authority, further_given, suffix, prefix, kind)


def read_xon(value: str) -> Institution | None:
    """A structure; None when neither name nor number is there."""
    parts = _components(value)
    # XON-3 is where HL7 2.3 put the number.
    name, identifier, kind = unescape(parts[0]), unescape(parts[9]) or unescape(parts[2]), unescape(parts[6])
    if not (name or identifier):
        return None
    if not identifier:
        return Institution(name)
    return Institution(name, identifier, _authority(parts[5]), "" if kind == "IDNST" else kind)


def read_specialty(value: str) -> Coded:
    """`code^label^scheme` of the CI-SIS, or IHE's `code^^^&scheme&ISO`."""
    parts = _components(value)
    return Coded(unescape(parts[0]), unescape(parts[2]) or _authority(parts[3]), unescape(parts[1]))


def read_patient_info(lines: tuple[str, ...], number: PatientNumber | None, source: PatientNumber | None) -> Patient:
    """The patient of sourcePatientInfo; a line without a field here stays in `further`."""
    known: dict[str, str] = {}
    further: list[str] = []
    for line in lines:
        found = _read_pid(line)
        if not found or found.keys() & known.keys():
            further.append(line)
        else:
            known |= found
    return Patient(number, source, known.pop("birth_name", ""), further=tuple(further), **known)


def _read_pid(line: str) -> dict[str, str]:
    field, _, value = line.partition("|")
    field, parts = field.strip().upper(), _components(value)
    names = [unescape(part) for part in parts[:3]]
    kind = parts[6].strip()
    if field == "PID-5" and "~" not in value:
        return _read_name(names, kind) if not any(part.strip() for part in parts[3:6]) else {}
    if field == "PID-7":
        born = read_time(value.strip())
        return {"birth_date": born} if born and "T" not in born else {}
    if field == "PID-8":
        return {"sex": unescape(value)} if value.strip() else {}
    is_birth_place = field == "PID-11" and kind == "BDL" and not any(part.strip() for part in (*parts[:6], parts[7]))
    return {"birth_place_insee": unescape(parts[8])} if is_birth_place else {}


def _read_name(names: list[str], kind: str) -> dict[str, str]:
    if kind in ("L", "", "B") and names[0]:
        return {"birth_name": names[0], "first_given": names[1], "birth_given_names": names[2]}
    if kind == "D" and not names[2]:
        return {"used_name": names[0], "used_given": names[1]}
    return {}


def unescape(value: str) -> str:
    """The value without its outer blanks, HL7 escapes undone."""
    return _ESCAPED.sub(lambda match: _ESCAPED_CHARACTERS[match[1]], value.strip())


def _authority(component: str) -> str:
    parts = [*component.split("&"), "", ""]
    return unescape(parts[1]) or unescape(parts[0])


def _components(value: str) -> list[str]:
    return [*value.split("^"), *[""] * 13]
