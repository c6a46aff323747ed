"""Addresses: syntax, the dated white list, the patient's address."""

from __future__ import annotations

from datetime import date

import pytest

from mssante.address import TrustedDomain, domain_of, has_valid_key, is_patient, is_training, is_trusted, patient_address
from mssante.errors import AddressError

TEST_OID = "1.2.250.1.213.1.4.10"
TODAY = date(2026, 11, 21)
DOMAINS = (
    TrustedDomain("hopital.mssante.fr"),
    TrustedDomain("ancien.mssante.fr", until=date(2026, 11, 21)),
    TrustedDomain("futur.mssante.fr", since=date(2026, 11, 22)),
    TrustedDomain("interop-mssante.apicrypt.org"),
)


@pytest.mark.parametrize(
    "address",
    ["a@b", "a b@c.fr", "a@c.fr\r\nRCPT TO:<x@y.fr>", "<a@c.fr>", ".a@c.fr", "a..b@c.fr", "é@c.fr", "a@é.fr", "", "@c.fr"],
)
def test_an_address_that_could_not_stand_in_an_envelope_is_refused(address: str) -> None:
    with pytest.raises(AddressError) as raised:
        domain_of(address)
    assert not address or address not in str(raised.value)


def test_a_domain_is_compared_without_case() -> None:
    assert is_trusted("Cardio.Secretariat@Hopital.MSSante.FR", DOMAINS, TODAY)


@pytest.mark.parametrize("domain", ["ancien.mssante.fr", "futur.mssante.fr", "autre.mssante.fr", "sous.hopital.mssante.fr"])
def test_a_domain_outside_its_dates_or_the_list_is_not_trusted(domain: str) -> None:
    assert not is_trusted(f"a@{domain}", DOMAINS, TODAY)


def test_a_domain_is_trusted_from_its_first_day_until_the_day_before_its_last() -> None:
    assert is_trusted("a@futur.mssante.fr", DOMAINS, date(2026, 11, 22))
    assert is_trusted("a@ancien.mssante.fr", DOMAINS, date(2026, 11, 20))


def test_trust_is_a_list_and_no_suffix_of_the_code() -> None:
    assert is_trusted("a@interop-mssante.apicrypt.org", DOMAINS, TODAY)
    assert not is_trusted("a@quelconque.mssante.fr", (), TODAY)


def test_the_training_space_is_recognised() -> None:
    assert is_training("a@hopital.formation.mssante.fr")
    assert not is_training("a@formation.hopital.mssante.fr")


@pytest.mark.parametrize(("thirteen", "key"), [("2790351215189", 89), ("2790351215190", 88), ("1840220A33044", None)])
def test_the_key_of_a_matricule_is_checked(thirteen: str, key: int | None) -> None:
    right = f"{thirteen}{key:02d}" if key is not None else f"{thirteen}01"
    assert has_valid_key(right) is (key is not None)
    assert not has_valid_key(right[:13] + "97" if key != 97 else right[:13] + "01")


@pytest.mark.parametrize(("department", "digits"), [("2A", "19"), ("2B", "18")])
def test_corsican_departments_count_as_numbers_in_the_key(department: str, digits: str) -> None:
    key = 97 - int(f"18402{digits}330444"[:13]) % 97
    assert has_valid_key(f"18402{department}330444"[:13] + f"{key:02d}")


def test_a_patient_address_is_made_from_an_addressable_number_only() -> None:
    address = patient_address("279035121518989", TEST_OID)
    assert address == "279035121518989@patient.mssante.fr"
    assert is_patient(address)
    with pytest.raises(AddressError, match="ins-oid"):
        patient_address("279035121518989", "1.2.250.1.213.1.4.2")
    with pytest.raises(AddressError, match="ins-key"):
        patient_address("279035121518988", TEST_OID)
