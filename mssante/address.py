"""Secure mail addresses: syntax, the dated list of trusted domains, the patient's address made from the INS.

Sources: Référentiel socle MSSanté #2 (ECO 2.2.6), annuaire OpenAPI. The list of trusted domains is the operators' white list:
it is data with dates, never a suffix written in code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from mssante.errors import AddressError

PATIENT_DOMAIN = "patient.mssante.fr"
ADDRESSABLE_INS_OIDS = frozenset({"1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.9", "1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.11"})

# ASCII only: an address with other characters would need SMTPUTF8, which the trust space does not know.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
_ADDRESS = re.compile(f"(?P<local>{_LOCAL})@(?P<domain>{_DOMAIN})")
_TRAINING = re.compile(r"(^|\.)formation\.mssante\.fr$")


@dataclass(frozen=True)
class TrustedDomain:
    """One domain of the white list, trusted from `since` until the day before `until`. Sub-domains are not included."""

    name: str
    since: date = date.min
    until: date = date.max

    def is_open(self, on: date) -> bool:
        """True when the domain is trusted on that day."""
        return self.since <= on < self.until


def domain_of(address: str) -> str:
    """The domain in lower case; AddressError when the syntax is wrong."""
    match = _ADDRESS.fullmatch(address)
    if match is None or ".." in match["local"] or match["local"][0] == "." or match["local"][-1] == ".":
        raise AddressError("address.syntax", "not a usable mail address")
    return match["domain"].lower()


def is_well_formed(address: str) -> bool:
    """True when the address can be written in an SMTP envelope."""
    try:
        domain_of(address)
    except AddressError:
        return False
    return True


def is_trusted(address: str, domains: Iterable[TrustedDomain], on: date) -> bool:
    """True when the address belongs to a domain trusted on that day."""
    if not is_well_formed(address):
        return False
    domain = domain_of(address)
    return any(trusted.name.lower() == domain and trusted.is_open(on) for trusted in domains)


def is_training(address: str) -> bool:
    """True for the national training space (`*.formation.mssante.fr`): never written to from production."""
    return is_well_formed(address) and _TRAINING.search(domain_of(address)) is not None


def is_patient(address: str, patient_domain: str = PATIENT_DOMAIN) -> bool:
    """True when the address is a citizen's mailbox (Mon espace santé)."""
    return is_well_formed(address) and domain_of(address) == patient_domain.lower()


def patient_address(matricule: str, oid: str, patient_domain: str = PATIENT_DOMAIN) -> str:
    """The citizen's address of a *qualified* INS; AddressError for a legacy INS-C or a wrong check key.

    Whether the identity is qualified (five traits verified) is for the caller to know.
    """
    if oid not in ADDRESSABLE_INS_OIDS:
        raise AddressError("address.ins-oid", "this authority's number never makes an address", where="oid")
    if not has_valid_key(matricule):
        raise AddressError("address.ins-key", "the matricule has not 15 characters or its key is wrong", where="matricule")
    return f"{matricule}@{patient_domain}"


def has_valid_key(matricule: str) -> bool:
    """True when a 15-character matricule ends with its key: 97 − (13 digits mod 97), Corsica 2A → 19, 2B → 18."""
    if len(matricule) != 15 or not matricule.isascii():
        return False
    department = matricule[5:7].upper()
    digits = matricule[:5] + {"2A": "19", "2B": "18"}.get(department, department) + matricule[7:]
    return digits.isdecimal() and int(digits[13:]) == 97 - int(digits[:13]) % 97
