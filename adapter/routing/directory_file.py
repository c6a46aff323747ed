"""Reads partners files (TOML, and CSV for unit tables) into checked entries; says everything that is wrong at once.

A place in an error is `file: table[n] (key).field` for TOML, `file: line n.column` for CSV. Lists of tables of several TOML
files are put together, so that a partner may be one file of its own.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from adapter.errors import ConfigurationError
from adapter.model.plan import ChannelName
from adapter.routing.directory_checks import cross_checks
from adapter.routing.entries import (
    DEFAULT_ORDER,
    Agreement,
    Department,
    DomainKind,
    Entries,
    FaxLine,
    FormTarget,
    LegalEntity,
    Organisation,
    Pole,
    PractitionerRole,
    Record,
    TrustedDomain,
    Unit,
)
from adapter.routing.identifiers import rpps_is_valid
from adapter.routing.table_reader import Reader

T = TypeVar("T")
ORGANISATION_KINDS = ("hospital-site", "health-centre", "support-platform", "practice")
PATHWAYS = ("simple", "complex")
ALERTS = ("metformin",)
RENDITIONS = ("cda", "fhir", "pdf")
CHANGE_WAYS = ("patch", "transaction")
_FINE = "fine"
_RESOLUTIONS = (_FINE, "standard")

_TABLES = (
    "domain", "legal_entity", "organisation", "pole", "department", "practitioner", "record", "agreement", "form_target",
    "fax_line",
)  # fmt: skip
# `from` and `to` are what the library `mssante` calls the first and the last day: one list serves both.
_DOMAIN_COLUMNS = ("domain", "kind", "since", "until", "training", "from", "to")
_UNIT_COLUMNS = (
    "code", "name", "legal_entity", "site", "department", "pole", "mailbox", "fax", "senior_line", "local_application",
    "valid_from", "valid_to",
)  # fmt: skip


def read_entries(files: Mapping[str, bytes]) -> Entries:
    """The entries of all files; ConfigurationError that lists every problem when there is one."""
    problems: list[str] = []
    name, tables = _read_tables(files, problems)
    unreadable = any("not readable as TOML" in problem for problem in problems)
    readers = {kind: tables.get(kind, []) for kind in _TABLES}
    units, domains = _read_csv(files, problems)
    entries = Entries(
        name=name,
        domains=(*_each(readers["domain"], _domain), *domains),
        legal_entities=_each(readers["legal_entity"], _legal_entity),
        organisations=_each(readers["organisation"], _organisation),
        poles=_each(readers["pole"], _pole),
        departments=_each(readers["department"], _department),
        roles=tuple(role for reader in readers["practitioner"] for role in _practitioner(reader)),
        units=units,
        records=_each(readers["record"], _record),
        agreements=_each(readers["agreement"], _agreement),
        form_targets=_each(readers["form_target"], _form_target),
        fax_lines=_each(readers["fax_line"], _fax_line),
    )
    if not unreadable:  # else all that the file held would be told as missing, and hide the one thing to correct
        problems += cross_checks(entries)
    if problems:
        raise ConfigurationError(
            "directory.invalid",
            f"{len(problems)} problem(s) in the partners files:\n" + "\n".join(problems),
            where=", ".join(sorted(files)),
            remedy="Correct them all, then start again.",
        )
    return entries


def _read_tables(files: Mapping[str, bytes], problems: list[str]) -> tuple[str, dict[str, list[Reader]]]:
    """Every table of every TOML file, by kind, and the territory's name."""
    name = ""
    tables: dict[str, list[Reader]] = {}
    for file in sorted(files):
        if file.endswith(".csv"):
            continue
        try:
            data = tomllib.loads(files[file].decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append(f"{file}: not readable as TOML ({error})")
            continue
        top = Reader({k: v for k, v in data.items() if k not in _TABLES}, file, problems)
        name = top.text("name") or name
        top.close()
        for kind in _TABLES:
            tables.setdefault(kind, []).extend(_tables_of(data, kind, file, problems, files[file].decode("utf-8")))
    return name, tables


def _tables_of(data: Mapping[str, Any], kind: str, file: str, problems: list[str], text: str) -> list[Reader]:
    value = data.get(kind, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        problems.append(f"{file}: {kind} must be a list of tables ([[{kind}]])")
        return []
    return [
        Reader(item, f"{file}: {kind}[{n}] ({item.get('key') or item.get('rpps') or item.get('domain') or '?'})", problems, text)
        for n, item in enumerate(value, 1)
    ]


def _each(readers: Iterable[Reader], make: Callable[[Reader], T]) -> tuple[T, ...]:
    made = []
    for reader in readers:
        made.append(make(reader))
        reader.close()
    return tuple(made)


# ── one function per table ─────────────────────────────────────────────────────────────────────────────────────────


def _fax_line(r: Reader) -> FaxLine:
    r.text("number", required=True)
    return FaxLine(r.fax("number"), r.choice("resolution", _RESOLUTIONS, default=_FINE) != _FINE)


def _domain(r: Reader) -> TrustedDomain:
    kind = DomainKind(r.choice("kind", [k.value for k in DomainKind], default=DomainKind.PROFESSIONAL.value))
    return TrustedDomain(r.text("domain", required=True).lower(), kind, r.period("since", "until"), r.flag("training"))


def _legal_entity(r: Reader) -> LegalEntity:
    return LegalEntity(r.text("key", required=True), r.text("name", required=True), r.finess(), r.flag("checks_units"))


def _organisation(r: Reader) -> Organisation:
    name = r.text("name", required=True)
    return Organisation(
        key=r.text("key", required=True),
        name=name,
        short=r.text("short") or name,
        legal_entity=r.text("legal_entity", required=True),
        finess=r.finess(),
        kind=r.choice("kind", ORGANISATION_KINDS),
        commune=r.text("commune"),
        insee=r.text("insee"),
        address=r.text("address"),
        phone=r.phone("phone"),
        fax=r.fax(),
        mailbox=r.mailbox(),
        equipment=r.equipment(),
        aliases=r.texts("aliases"),
        pdf_only=r.flag("pdf_only"),
    )


def _pole(r: Reader) -> Pole:
    return Pole(r.text("key", required=True), r.text("name", required=True), r.text("legal_entity", required=True))


def _department(r: Reader) -> Department:
    return Department(
        key=r.text("key", required=True),
        name=r.text("name", required=True),
        organisation=r.text("organisation", required=True),
        pole=r.text("pole"),
        speciality=r.text("speciality"),
        mailbox=r.mailbox(),
        fax=r.fax(),
        senior_line=r.phone("senior_line"),
        local_application=r.text("local_application"),
        period=r.period(),
        equipment=r.equipment(),
        pdf_only=r.flag("pdf_only"),
    )


def _practitioner(r: Reader) -> tuple[PractitionerRole, ...]:
    rpps = r.checked("rpps", rpps_is_valid, "is not an RPPS number (11 digits, key included)", required=True)
    parts = (r.text("title"), r.text("given"), r.text("family", required=True))
    person = " ".join(part for part in parts if part)
    roles = _each(r.tables("role"), lambda role: _role(role, rpps, person))
    if not roles:
        r.complain("role", "is missing: a practitioner has one role at least")
    r.close()
    return roles


def _role(r: Reader, rpps: str, person: str) -> PractitionerRole:
    return PractitionerRole(
        key=r.text("key", required=True),
        rpps=rpps,
        display=person,
        organisation=r.text("organisation", required=True),
        department=r.text("department"),
        mailbox=r.mailbox(),
        fax=r.fax(),
        inbox=r.text("inbox"),
        phone=r.phone("phone"),
        period=r.period(),
        equipment=r.equipment(),
        pdf_only=r.flag("pdf_only"),
    )


def _record(r: Reader) -> Record:
    return Record(
        key=r.text("key", required=True),
        name=r.text("name", required=True),
        base_url_key=r.text("base_url_key", required=True),
        period=r.period("since", "until"),
        legal_entities=r.texts("legal_entities"),
        renditions=_renditions(r),
        changes=r.choice("changes", CHANGE_WAYS) if r.text("changes") else "",
    )


def _renditions(r: Reader) -> tuple[str, ...]:
    names = r.texts("renditions")
    if any(name not in RENDITIONS for name in names) or len(set(names)) != len(names):
        r.complain("renditions", f"must list forms once each, among: {', '.join(RENDITIONS)}")
        return ()
    return names


def _agreement(r: Reader) -> Agreement:
    return Agreement(
        key=r.text("key", required=True),
        framework=r.text("framework", required=True),
        hospital=r.text("hospital", required=True),
        centre=r.text("centre", required=True),
        period=r.period("since", "until"),
        order=_channel_order(r),
        record_beside=r.flag("record_beside"),
        record_first=r.flag("record_first"),
        all_centres_first=r.flag("all_centres_first"),
        answer_hours=r.number("answer_hours", 48),
        urgent_imaging_hours=r.number("urgent_imaging_hours", 48),
        semi_urgent_imaging_days=r.number("semi_urgent_imaging_days", 15),
        orientation_days=r.number("orientation_days", 7),
        urgent_imaging=r.choice("urgent_imaging", ["exam", "date"], default="exam"),
        clock=r.choice("clock", ["elapsed", "working"], default="elapsed"),
    )


def _channel_order(r: Reader) -> tuple[ChannelName, ...]:
    names = r.texts("order")
    known = {channel.value: channel for channel in ChannelName}
    if any(name not in known for name in names) or len(set(names)) != len(names):
        r.complain("order", f"must list channels once each, among: {', '.join(known)}")
        return DEFAULT_ORDER
    return tuple(known[name] for name in names) or DEFAULT_ORDER


def _form_target(r: Reader) -> FormTarget:
    target = FormTarget(
        form=r.text("form", required=True),
        site=r.text("site", required=True),
        department=r.text("department"),
        organisation=r.text("organisation"),
        pathway=r.choice("pathway", PATHWAYS) if r.text("pathway") else "",
        senders=r.texts("senders"),
        call_when_urgent=r.flag("call_when_urgent"),
        switched_off=r.texts("switched_off"),
    )
    if any(name not in ALERTS for name in target.switched_off):
        r.complain("switched_off", f"must list alerts among: {', '.join(ALERTS)}")
    if bool(target.department) is bool(target.organisation):
        r.complain("department", "exactly one of department and organisation must be given")
    if any(kind not in ORGANISATION_KINDS for kind in target.senders):
        r.complain("senders", f"must list kinds among: {', '.join(ORGANISATION_KINDS)}")
    return target


def _read_csv(files: Mapping[str, bytes], problems: list[str]) -> tuple[tuple[Unit, ...], tuple[TrustedDomain, ...]]:
    """Every CSV file, comma or semicolon: a list of trusted domains when its header names `domain`, else a unit table."""
    units: list[Unit] = []
    domains: list[TrustedDomain] = []
    for file in sorted(f for f in files if f.endswith(".csv")):
        try:
            text = files[file].decode("utf-8-sig")
        except UnicodeDecodeError:
            problems.append(f"{file}: not readable as UTF-8")
            continue
        header = text.partition("\n")[0]
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if header.count(";") > header.count(",") else ",")
        try:
            if "domain" in (rows.fieldnames or ()):
                domains += (_listed_domain(reader) for reader in _readers_of(rows, _DOMAIN_COLUMNS, file, problems))
            else:
                units += (_unit(reader) for reader in _readers_of(rows, _UNIT_COLUMNS, file, problems))
        except csv.Error:
            problems.append(f"{file}: line {rows.line_num} is no line of a table")
    return tuple(units), tuple(domains)


def _readers_of(rows: csv.DictReader[str], columns: tuple[str, ...], file: str, problems: list[str]) -> Iterator[Reader]:
    unknown = sorted(set(rows.fieldnames or ()) - set(columns))
    if unknown:
        problems.append(f"{file}: line 1 has unknown columns: {', '.join(unknown)}")
        return
    for row in rows:
        yield Reader({k: v for k, v in row.items() if k and v}, f"{file}: line {rows.line_num}", problems)


def _listed_domain(r: Reader) -> TrustedDomain:
    kind = DomainKind(r.choice("kind", [k.value for k in DomainKind], default=DomainKind.PROFESSIONAL.value))
    training = r.choice("training", ("false", "true"), default="false") == "true"  # a CSV knows no other kind of value
    days = ("from", "to") if r.text("from") or r.text("to") else ("since", "until")
    return TrustedDomain(r.text("domain", required=True).lower(), kind, r.period(*days), training)


def _unit(r: Reader) -> Unit:
    return Unit(
        code=r.text("code", required=True),
        name=r.text("name", required=True),
        legal_entity=r.text("legal_entity", required=True),
        site=r.text("site", required=True),
        department=r.text("department", required=True),
        pole=r.text("pole"),
        mailbox=r.mailbox(),
        fax=r.fax(),
        senior_line=r.phone("senior_line"),
        local_application=r.text("local_application"),
        period=r.period(),
    )
