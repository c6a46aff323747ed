"""Checks that need several tables of the partners files: references, duplicates, overlapping periods, trust, shared mailboxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from adapter.routing.entries import Department, DomainKind, Entries, Organisation, Period
from adapter.routing.identifiers import domain_is_under


def cross_checks(e: Entries) -> list[str]:
    """Every problem, one sentence each."""
    return [*_duplicates(e), *_dangling(e), *_overlaps(e), *_untrusted(e), *_shared_mailboxes(e)]


def _duplicates(e: Entries) -> list[str]:
    return [
        *_twice("legal_entity key", [x.key for x in e.legal_entities]),
        *_twice("legal_entity FINESS", [x.finess for x in e.legal_entities]),
        *_twice("organisation key", [x.key for x in e.organisations]),
        *_twice("organisation FINESS", [x.finess for x in e.organisations]),
        *_twice("pole key", [x.key for x in e.poles]),
        *_twice("department key", [x.key for x in e.departments]),
        *_twice("role key", [x.key for x in e.roles]),
        *_twice("record key", [x.key for x in e.records]),
        *_twice("agreement key", [x.key for x in e.agreements]),
        *_twice("form_target", [f"{x.form} at {x.site}" for x in e.form_targets]),
        *_twice("domain", [x.domain for x in e.domains if x.period == Period()]),
    ]


def _twice(what: str, values: Sequence[str]) -> list[str]:
    return [f"{what} {value} is given more than once" for value in sorted({v for v in values if v and values.count(v) > 1})]


def _dangling(e: Entries) -> list[str]:
    """References to keys that no table holds."""
    entities = {x.key for x in e.legal_entities}
    organisations = {x.key: x for x in e.organisations}
    departments = {x.key: x for x in e.departments}
    poles = {x.key for x in e.poles}
    wanted: list[tuple[str, str, str, Iterable[str]]] = [
        *(("organisation", o.key, o.legal_entity, entities) for o in e.organisations),
        *(("pole", p.key, p.legal_entity, entities) for p in e.poles),
        *(("form_target", f"{t.form} at {t.site}", t.department, departments) for t in e.form_targets),
        *(("form_target", f"{t.form} at {t.site}", t.organisation, organisations) for t in e.form_targets),
    ]
    for d in e.departments:
        wanted += [("department", d.key, d.organisation, organisations), ("department", d.key, d.pole, poles)]
    for r in e.roles:
        wanted += [("role", r.key, r.organisation, organisations), ("role", r.key, r.department, departments)]
    for u in e.units:
        wanted += [
            ("unit", u.code, u.legal_entity, entities),
            ("unit", u.code, u.site, organisations),
            ("unit", u.code, u.department, departments),
            ("unit", u.code, u.pole, poles),
        ]
    for a in e.agreements:
        wanted += [("agreement", a.key, a.hospital, {*entities, *organisations}), ("agreement", a.key, a.centre, organisations)]
    for record in e.records:
        wanted += [("record", record.key, key, entities) for key in record.legal_entities]
    problems = [
        f"{kind} {key} names {target}, which is not in the files"
        for kind, key, target, held in wanted
        if target and target not in held
    ]
    return problems + _misplaced(e, organisations, departments)


def _misplaced(e: Entries, organisations: Mapping[str, Organisation], departments: Mapping[str, Department]) -> list[str]:
    """A role or unit whose department is elsewhere; an entity that checks units without a table."""
    problems = []
    for key, organisation, department in [(r.key, r.organisation, r.department) for r in e.roles] + [
        (u.code, u.site, u.department) for u in e.units
    ]:
        held = departments.get(department)
        if held is not None and held.organisation != organisation:
            problems.append(f"{key} is in {organisation}, but its department {department} is in {held.organisation}")
    for unit in e.units:
        site = organisations.get(unit.site)
        if site is not None and site.legal_entity != unit.legal_entity:
            problems.append(f"unit {unit.code} is of {unit.legal_entity}, but its site {unit.site} is of {site.legal_entity}")
    tabled = {unit.legal_entity for unit in e.units}
    problems += [
        f"legal_entity {x.key} checks units, but no unit table holds a line of it"
        for x in e.legal_entities
        if x.checks_units and x.key not in tabled
    ]
    return problems


def _overlaps(e: Entries) -> list[str]:
    """Two lines that would both rule on the same day."""
    groups: list[tuple[str, Period]] = []
    groups += [(f"unit {u.code} of {u.legal_entity}", u.period) for u in e.units]
    groups += [(f"agreement of {a.hospital} with {a.centre}", a.period) for a in e.agreements]
    groups += [(f"role of {r.rpps} in {r.organisation} {r.department}".rstrip(), r.period) for r in e.roles]
    groups += [(f"domain {d.domain}", d.period) for d in e.domains if d.period != Period()]
    by_name: dict[str, list[Period]] = {}
    for name, period in groups:
        by_name.setdefault(name, []).append(period)
    return [
        f"{name} has two overlapping periods"
        for name, periods in by_name.items()
        if any(one.overlaps(other) for one, other in combinations(periods, 2))
    ]


def _mailboxes(e: Entries) -> list[tuple[str, str, Period]]:
    return [
        *((o.mailbox, f"organisation {o.key}", Period()) for o in e.organisations if o.mailbox),
        *((d.mailbox, f"department {d.key}", d.period) for d in e.departments if d.mailbox),
        *((r.mailbox, f"role {r.key}", r.period) for r in e.roles if r.mailbox),
        *((u.mailbox, f"unit {u.code}", u.period) for u in e.units if u.mailbox),
    ]


def _untrusted(e: Entries) -> list[str]:
    domains = [d.domain for d in e.domains if d.kind is DomainKind.PROFESSIONAL]
    return [
        f"{holder} has the mailbox {mailbox}, whose domain is in no [[domain]]"
        for mailbox, holder, _ in _mailboxes(e)
        if not any(domain_is_under(mailbox.rpartition("@")[2], domain) for domain in domains)
    ]


def _shared_mailboxes(e: Entries) -> list[str]:
    """One box, one role: else what is addressed to one role lands in another."""
    problems = []
    by_box: dict[str, list[tuple[str, Period]]] = {}
    for mailbox, holder, period in _mailboxes(e):
        by_box.setdefault(mailbox, []).append((holder, period))
    for mailbox, holders in by_box.items():
        for (one, period), (other, other_period) in combinations(holders, 2):
            if period.overlaps(other_period):
                problems.append(f"{one} and {other} have the same mailbox {mailbox} on the same days")
    return problems
