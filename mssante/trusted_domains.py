"""The dated list of trusted domains as a file: TOML or CSV with a domain, a first day and a last day.

Source: Référentiel socle MSSanté (the white list of operators' domains changes with time; a mail of last year is judged by last
year's list). Domains are compared whole: `test.mssante.fr` does not open `sub.test.mssante.fr`.

    as_of = 2026-11-01                                  # the day the list was drawn up; optional, as every date here
    [[domain]]
    name = "hopital-x.mssante.fr"
    from = 2024-01-01
    to = 2027-12-31                                     # the last day of trust

    domain,from,to                                      # the same as CSV (`,` or `;`), the day of the list in its file's name
    hopital-x.mssante.fr,2024-01-01,2027-12-31
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from mssante.address import TrustedDomain, is_trusted, is_well_formed
from mssante.errors import TrustError

_COLUMNS = ("domain", "from", "to")


@dataclass(frozen=True)
class DomainList:
    """The white list, and the day it was drawn up, if it says so."""

    domains: tuple[TrustedDomain, ...]
    as_of: date | None = None

    def trusts(self, address: str, on: date) -> bool:
        """True when mail may go to that address on that day."""
        return is_trusted(address, self.domains, on)

    def age_days(self, on: date) -> int | None:
        """How old the list is; None when it has no date."""
        return None if self.as_of is None else (on - self.as_of).days


def read_domains(file: Path) -> DomainList:
    """Read a list; TrustError with the file and the place when anything in it cannot be understood: half a list is none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TrustError("domains.unreadable", type(error).__name__, where=file.name) from error
    return _from_csv(text, file.name) if file.suffix.lower() == ".csv" else _from_toml(text, file.name)


def _from_toml(text: str, file: str) -> DomainList:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrustError("domains.syntax", "not TOML", where=file) from error
    entries = found.get("domain", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise TrustError("domains.syntax", "domains are `[[domain]]` tables", where=file)
    strangers = set(found) - {"domain", "as_of"}
    if strangers:
        raise TrustError("domains.unknown-key", "only `as_of` and `[[domain]]` are known", where=file)
    as_of = _day(found["as_of"], f"{file}, as_of") if "as_of" in found else None
    rows = ({**entry, "domain": entry.get("name", "")} for entry in entries)
    return DomainList(tuple(_read(rows, file, {"name", *_COLUMNS})), as_of)


def _from_csv(text: str, file: str) -> DomainList:
    header = text.partition("\n")[0]
    rows = csv.DictReader(text.splitlines(), delimiter=";" if ";" in header else ",")
    if "domain" not in [name.strip().lower() for name in rows.fieldnames or ()]:
        raise TrustError("domains.syntax", "the first line names the columns: domain, from, to", where=file)
    named = ({(name or "").strip().lower(): value for name, value in row.items()} for row in rows)
    return DomainList(tuple(_read(named, file, set(_COLUMNS))))


def _read(rows: Iterator[Mapping[str, object]], file: str, known: set[str]) -> Iterator[TrustedDomain]:
    for number, row in enumerate(rows, start=1):
        where = f"{file}, entry {number}"
        if set(row) - known:
            raise TrustError("domains.unknown-key", f"only {', '.join(_COLUMNS)} are known", where=where)
        name = str(row["domain"] or "").strip().lower()
        if not is_well_formed(f"x@{name}"):
            raise TrustError("domains.name", "not the name of a domain", where=where)
        since, last = _day(row.get("from"), where), _day(row.get("to"), where)
        if since is not None and last is not None and last < since:
            raise TrustError("domains.dates", "the last day is before the first", where=where)
        until = date.max if last is None or last == date.max else last + timedelta(days=1)
        yield TrustedDomain(name, since or date.min, until)


def _day(value: object, where: str) -> date | None:
    if value is None or value == "":
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value).strip()) if isinstance(value, str) else _refuse_date(where)
    except ValueError:
        return _refuse_date(where)


def _refuse_date(where: str) -> date:
    raise TrustError("domains.dates", "a day is written 2026-12-31", where=where)
