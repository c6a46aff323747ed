"""Who writes, sends, keeps and receives: professionals, organisations, units, and a recipient as a source names it.

Sources: CI-SIS volet 2.1 §PRT; Annuaire Santé identifiers. Numbers are normalised at the door:
RPPS = 11 digits (the `8` of IDNPS dropped), FINESS = 9 digits (the `1` of Struct_IdNat dropped); other kinds keep their form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.identity import Address, Telecom


@dataclass(frozen=True)
class Professional:
    """A person who practises. `rpps` is 11 digits or empty; `national_id` keeps the IDNPS as the source gave it, or the number
    of another authority (`root^number`); `other_ids` keep any further ones.
    """

    family: str = ""
    given: str = ""
    rpps: str = ""
    national_id: str = ""
    title: str = ""
    civility: str = ""
    specialty_code: str = ""
    specialty_system: str = ""
    specialty_label: str = ""
    telecoms: tuple[Telecom, ...] = ()
    addresses: tuple[Address, ...] = ()
    other_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Organisation:
    """A structure. `finess` is 9 digits or empty; `national_id` keeps the Struct_IdNat as it came; `unit` is a UF code."""

    name: str = ""
    finess: str = ""
    national_id: str = ""
    unit: str = ""
    setting_code: str = ""
    setting_label: str = ""
    telecoms: tuple[Telecom, ...] = ()
    addresses: tuple[Address, ...] = ()
    setting_system: str = ""
    other_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Device:
    """Software that authored or sent something."""

    identifier: str = ""
    software: str = ""
    model: str = ""
    kind_code: str = ""
    kind_system: str = ""
    kind_label: str = ""
    telecoms: tuple[Telecom, ...] = ()
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True)
class FunctionWords:
    """What a function says beyond its code: other codings as (code, system, label), and the author's own words."""

    system: str = ""
    text: str = ""
    translations: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Party:
    """Somebody acting somewhere: a professional and/or a device, and the organisation where the act is done.

    `time_literal` keeps the time as written where FHIR had to change it; `place` is where the source names them.
    """

    professional: Professional | None = None
    organisation: Organisation | None = None
    device: Device | None = None
    function_code: str = ""
    function_label: str = ""
    time: str = ""
    time_literal: str = ""
    function_words: FunctionWords = field(default_factory=FunctionWords)
    place: str = field(default="", compare=False)


class RecipientKind(StrEnum):
    """What a recipient is: it decides which legs are lawful."""

    PROFESSIONAL = "professional"
    ORGANISATION = "organisation"
    APPLICATION = "application"
    PATIENT = "patient"
    RECORD = "record"


@dataclass(frozen=True, repr=False)
class Recipient(Confidential):
    """One recipient as the source names it: an address, or identifiers that the directory resolves.

    `role_hint` says where it comes from (`RCT`, `DESTDMP`, `form-target`, `side-car`, `PCP`, `REF`).
    A patient's address holds an INS, hence confidential.
    """

    kind: RecipientKind
    address: str = ""
    rpps: str = ""
    finess: str = ""
    unit: str = ""
    name: str = ""
    role_hint: str = ""
