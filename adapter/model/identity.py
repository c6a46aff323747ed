"""Who the patient is: INS, local numbers, traits, and how far the identity can be trusted.

Sources: Référentiel INS; RNIV; FR Core `fr-core-patient-ins`; CI-SIS structuration minimale (recordTarget).
The matricule's check key is 97 − (13 digits mod 97), with 2A → 19 and 2B → 18 for Corsica.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapter.model.confidential import Confidential

INS_NIR = "1.2.250.1.213.1.4.8"
INS_NIA = "1.2.250.1.213.1.4.9"
INS_TEST = "1.2.250.1.213.1.4.10"
INS_DEMO = "1.2.250.1.213.1.4.11"
INS_OIDS = frozenset({INS_NIR, INS_NIA, INS_TEST, INS_DEMO})
INS_TEST_OIDS = frozenset({INS_TEST, INS_DEMO})


class Reliability(StrEnum):
    """RNIV status of an identity; only `qualified` opens patient mail and record legs."""

    QUALIFIED = "qualified"
    VALIDATED = "validated"
    PROVISIONAL = "provisional"


@dataclass(frozen=True, repr=False)
class Ins(Confidential):
    """The national health identity: 15-character matricule (13 + key) and the OID it was issued under."""

    value: str
    oid: str


@dataclass(frozen=True, repr=False)
class LocalIdentifier(Confidential):
    """A number given by one authority: IPP (`PI`), stay (`VN`), case (`AN`)… `authority` is an OID, or a name if no OID."""

    value: str
    authority: str
    kind: str = "PI"


@dataclass(frozen=True, repr=False)
class Address(Confidential):
    """A postal address; `insee` is the commune's INSEE code where the source gives it, `use_words` the uses in its own words."""

    lines: tuple[str, ...] = ()
    postal_code: str = ""
    city: str = ""
    country: str = ""
    insee: str = ""
    use: str = ""
    use_words: str = ""


@dataclass(frozen=True, repr=False)
class Telecom(Confidential):
    """One way to reach somebody; `system` is phone, fax, email or url, `use` is home, work, mobile or empty.

    `uri` is the address as a source wrote it (`tel:…`), `use_words` its uses in the source's own words (`HV MC`).
    """

    system: str
    value: str
    use: str = ""
    uri: str = ""
    use_words: str = ""


@dataclass(frozen=True, repr=False)
class PatientIdentity(Confidential):
    """A patient as one source names them.

    Dates keep the source's precision (`1979`, `1979-03` or `1979-03-28`). `sex` is F, M, UN or empty.
    `reliability` is provisional unless the source says and proves otherwise (seam 14: identity is never repaired).
    """

    birth_name: str
    first_given: str = ""
    birth_given_names: str = ""
    used_name: str = ""
    used_given: str = ""
    birth_date: str = ""
    sex: str = ""
    birth_place_insee: str = ""
    birth_place_city: str = ""
    birth_place_name: str = ""
    birth_place_address: Address | None = None
    ins: Ins | None = None
    local_ids: tuple[LocalIdentifier, ...] = ()
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()
    reliability: Reliability = Reliability.PROVISIONAL

    @property
    def is_qualified(self) -> bool:
        """True when a qualified INS may be used to address the patient or feed a record."""
        return self.ins is not None and self.reliability is Reliability.QUALIFIED


def ins_key(thirteen: str) -> int | None:
    """The check key of the first 13 characters of a matricule, or None when they cannot carry one."""
    department = thirteen[5:7].upper()
    corsica = thirteen[:5] + {"2A": "19", "2B": "18"}.get(department, department) + thirteen[7:]
    # `²` and Arabic figures are digits to Python: a matricule holds ASCII ones.
    if len(corsica) != 13 or not (corsica.isascii() and corsica.isdigit()):
        return None
    return 97 - int(corsica) % 97


def ins_is_valid(matricule: str) -> bool:
    """True when a matricule has 15 characters and its key is right."""
    key = ins_key(matricule[:13])
    return len(matricule) == 15 and key is not None and matricule[13:] == f"{key:02d}"
