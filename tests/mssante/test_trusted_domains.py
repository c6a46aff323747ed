"""The dated list of trusted domains: who may be written to on which day, and no half list."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from mssante.errors import TrustError
from mssante.trusted_domains import DomainList, read_domains

TOML = """
as_of = 2026-11-01

[[domain]]
name = "Hopital-X.mssante.fr"
from = 2024-01-01
to = 2026-12-31

[[domain]]
name = "patient.mssante.fr"
"""
CSV = "domain,from,to\nhopital-x.mssante.fr,2024-01-01,2026-12-31\npatient.mssante.fr,,\n"


def read(folder: Path, text: str, suffix: str) -> DomainList:
    file = folder / f"domaines{suffix}"
    file.write_text(text, encoding="utf-8")
    return read_domains(file)


@pytest.mark.parametrize(
    ("text", "suffix"),
    [(TOML, ".toml"), (CSV, ".csv"), (CSV.replace(",", ";").replace("\n", "\r\n"), ".csv"), ("\ufeff" + CSV, ".csv")],
    ids=["toml", "csv", "excel csv", "with a mark"],
)
def test_trust_begins_on_the_first_day_and_ends_after_the_last(tmp_path: Path, text: str, suffix: str) -> None:
    domains = read(tmp_path, text, suffix)
    days = [date(2023, 12, 31), date(2024, 1, 1), date(2026, 12, 31), date(2027, 1, 1)]
    assert [domains.trusts("dr@hopital-x.mssante.fr", day) for day in days] == [False, True, True, False]
    assert all(domains.trusts("279035121518989@PATIENT.mssante.fr", day) for day in days)
    assert not domains.trusts("dr@sous.hopital-x.mssante.fr", date(2025, 1, 1))
    assert not domains.trusts("dr@xhopital-x.mssante.fr", date(2025, 1, 1))


def test_a_list_says_how_old_it_is(tmp_path: Path) -> None:
    assert read(tmp_path, TOML, ".toml").age_days(date(2026, 11, 21)) == 20
    assert read(tmp_path, CSV, ".csv").age_days(date(2026, 11, 21)) is None


@pytest.mark.parametrize(
    ("text", "suffix", "code"),
    [
        ("[[domain]\n", ".toml", "domains.syntax"),
        ('domain = "a.fr"\n', ".toml", "domains.syntax"),
        ('[[domains]]\nname = "a.fr"\n', ".toml", "domains.unknown-key"),
        ('[[domain]]\nname = "a.fr"\nuntil = 2026-01-01\n', ".toml", "domains.unknown-key"),
        ("[[domain]]\nfrom = 2026-01-01\n", ".toml", "domains.name"),
        ('[[domain]]\nname = "*.mssante.fr"\n', ".toml", "domains.name"),
        ('[[domain]]\nname = "a.fr"\nfrom = 2026-02-01\nto = 2026-01-01\n', ".toml", "domains.dates"),
        ('[[domain]]\nname = "a.fr"\nfrom = 20260101\n', ".toml", "domains.dates"),
        ("domaine,de,a\na.fr,,\n", ".csv", "domains.syntax"),
        ("domain,from,to\na.fr,01/02/2026,\n", ".csv", "domains.dates"),
        ("domain,from,to\na.fr,,,,,\n", ".csv", "domains.unknown-key"),
        ("domain,from,to\nhttps://a.fr,,\n", ".csv", "domains.name"),
    ],
)
def test_half_a_list_is_none(tmp_path: Path, text: str, suffix: str, code: str) -> None:
    with pytest.raises(TrustError) as caught:
        read(tmp_path, text, suffix)
    assert caught.value.code == code
    assert caught.value.where.startswith("domaines")


def test_an_absent_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match=r"domains\.unreadable"):
        read_domains(tmp_path / "absent.toml")
