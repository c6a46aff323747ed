"""The data types of HL7 v2 that an ADT message is made of, taken from a segment: CX, XPN, XAD, XTN, XCN, TS, CE.

What is taken leaves its place in the segment; what a type's reader does not know stays, and is listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adapter.mapping.cda.time import read_time
from adapter.mapping.hl7.adt_message import AdtSegment
from adapter.mapping.hl7.envelope import authority_of
from adapter.mapping.transforms import rpps_of
from adapter.model.confidential import Confidential
from adapter.model.document import Code
from adapter.model.identity import INS_OIDS, Address, LocalIdentifier, Telecom
from adapter.model.parties import Professional

_TELECOM_KINDS = {"PH": "phone", "CP": "phone", "FX": "fax", "Internet": "email", "X.400": "email", "BP": "pager"}
_TELECOM_USES = {"PRN": "home", "ORN": "home", "WPN": "work", "VHN": "home", "PRS": "mobile"}
_ADDRESS_USES = {"H": "home", "HP": "home", "O": "work", "B": "work", "C": "temp", "TMP": "temp", "BA": "old"}
BIRTH_PLACE = "BDL"


@dataclass(frozen=True, repr=False)
class Cx(Confidential):
    """An identifier as CX gives it, with its authority's OID and name. `since` and `until` are ISO dates or empty."""

    number: LocalIdentifier
    oid: str
    since: str = ""
    until: str = ""
    name: str = ""

    @property
    def is_ins(self) -> bool:
        """True for what claims to be an INS, by its OID or by its type."""
        return self.oid in INS_OIDS or self.number.kind == "INS"


def identifiers(segment: AdtSegment, field: int, kind: str = "") -> Iterator[Cx]:
    """The identifiers of a field; `kind` is what an identifier without type is."""
    for r in range(1, segment.count(field) + 1):
        value = segment.take(field, 1, r)
        name, oid = segment.take(field, 4, r), segment.take(field, 4, r, 2)
        told = segment.take(field, 5, r) or kind
        segment.take(field, 4, r, 3)
        if value:
            since, until = day_of(segment.take(field, 7, r)), day_of(segment.take(field, 8, r))
            yield Cx(LocalIdentifier(value, authority_of(oid, name), told), oid, since, until, name)


def day_of(literal: str) -> str:
    """A date, at the precision that is written; empty when it is none."""
    return read_time(literal[:8], "UTC").value if literal else ""


def time_of(literal: str, zone: str) -> str:
    """A date or an instant; empty when it is none."""
    return read_time(literal, zone).value if literal else ""


def address_of(segment: AdtSegment, field: int, repetition: int) -> tuple[Address, str]:
    """One XAD and its type."""
    take = segment.take
    street = take(field, 1, repetition) or " ".join(filter(None, (take(field, 1, repetition, 3), take(field, 1, repetition, 2))))
    lines = (street, take(field, 2, repetition))
    city, postal = take(field, 3, repetition), take(field, 5, repetition)
    country, kind = take(field, 6, repetition), take(field, 7, repetition)
    insee = take(field, 9, repetition)
    use = _ADDRESS_USES.get(kind, "")
    kept = tuple(line for line in lines if line)
    return Address(kept, postal, city, country, insee, use, "" if use else kind), kind


def addresses_of(segment: AdtSegment, field: int) -> tuple[Address, ...]:
    """All addresses of a field that hold something."""
    found = (address_of(segment, field, r)[0] for r in range(1, segment.count(field) + 1))
    return tuple(a for a in found if a.lines or a.city or a.postal_code or a.country or a.insee)


def telecoms_of(segment: AdtSegment, field: int, use: str = "") -> tuple[Telecom, ...]:
    """All phones and mail addresses of a field."""
    found: list[Telecom] = []
    for r in range(1, segment.count(field) + 1):
        take = segment.take
        written, told, kind, mail = take(field, 1, r), take(field, 2, r), take(field, 3, r), take(field, 4, r)
        parts = "".join(take(field, part, r) for part in (5, 6, 7))
        number = take(field, 12, r)
        system = _TELECOM_KINDS.get(kind, "phone")
        where = _TELECOM_USES.get(told, use)
        if kind == "CP":
            where = "mobile"
        found += [Telecom(system, value, where) for value in dict.fromkeys((written, number, parts)) if value]
        if mail:
            found.append(Telecom("email", mail, where))
    return tuple(found)


def person_of(segment: AdtSegment, field: int, repetition: int = 1) -> Professional | None:
    """One XCN: a professional by name or number."""
    take = segment.take
    number, family, given = take(field, 1, repetition), take(field, 2, repetition), take(field, 3, repetition)
    title = take(field, 6, repetition)
    for place in (8, 10, 13):  # source table, type of name, type of number: its own form tells
        segment.take(field, place, repetition)
    segment.take_component(field, 9, repetition)
    if not (number or family):
        return None
    rpps = rpps_of(number)
    return Professional(family=family, given=given, rpps=rpps, national_id="" if rpps else number, title=title)


def people_of(segment: AdtSegment, field: int) -> tuple[Professional, ...]:
    """All XCN of a field."""
    found = (person_of(segment, field, r) for r in range(1, segment.count(field) + 1))
    return tuple(person for person in found if person is not None)


def code_of(segment: AdtSegment, field: int, repetition: int = 1) -> Code:
    """A CE, or a plain code: code, system, label."""
    take = segment.take
    return Code(take(field, 1, repetition), take(field, 3, repetition), take(field, 2, repetition))
