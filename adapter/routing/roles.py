"""Makes roles of entries: one identity, one mailbox, one fax and the equipment levels above it for each possible recipient.

A structure or a person without a mailbox takes the one that the national directory lists for them, when one alone fits.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapter.model.parties import RecipientKind
from adapter.routing.entries import Department, Entries, Organisation, PractitionerRole, Role, Unit
from adapter.routing.national import NOTHING_LISTED, NationalListing


class RoleMaker:
    """Knows the structures and departments that roles stand in."""

    def __init__(self, entries: Entries, national: NationalListing = NOTHING_LISTED) -> None:
        self._entries = entries
        self._national = national
        self._legal_finess = {x.key: x.finess for x in entries.legal_entities}
        self._organisations = {x.key: x for x in entries.organisations}
        self._departments = {x.key: x for x in entries.departments}

    def all(self) -> Iterable[Role]:
        """Every role that has a mailbox or a fax of its own, whatever its dates."""
        yield from map(self.of_organisation, self._entries.organisations)
        yield from map(self.of_department, self._entries.departments)
        yield from map(self.of_person, self._entries.roles)
        yield from (self.of_unit(unit) for unit in self._entries.units if unit.mailbox or unit.fax)

    def of_organisation(self, o: Organisation) -> Role:
        """The structure as a whole."""
        return Role(
            id=f"role:org:{o.key}",
            kind=RecipientKind.ORGANISATION,
            display=o.name,
            organisation=o.key,
            legal_entity=o.legal_entity,
            mailbox=o.mailbox or self._national.of_structure(o.finess),
            fax=o.fax,
            phone_line=o.phone,
            levels=(o.equipment,),
            pdf_only=o.pdf_only,
        )

    def of_department(self, d: Department) -> Role:
        """A service of a site."""
        o = self._organisations[d.organisation]
        return Role(
            id=f"role:dep:{d.key}",
            kind=RecipientKind.ORGANISATION,
            display=f"{d.name}, {o.short}",
            organisation=o.key,
            legal_entity=o.legal_entity,
            department=d.key,
            mailbox=d.mailbox,
            fax=d.fax,
            phone_line=d.senior_line or o.phone,
            local_application=d.local_application,
            period=d.period,
            levels=(o.equipment, d.equipment),
            pdf_only=o.pdf_only or d.pdf_only,
        )

    def of_unit(self, u: Unit) -> Role:
        """A unit with a box or a fax of its own is a role of its own; else it is its department."""
        department = self.of_department(self._departments[u.department])
        if not u.mailbox and not u.fax:
            return department
        o = self._organisations[u.site]
        return Role(
            id=f"role:uf:{u.legal_entity}:{u.code}",
            kind=RecipientKind.ORGANISATION,
            display=f"{u.name}, {o.short}",
            organisation=o.key,
            legal_entity=o.legal_entity,
            department=u.department,
            mailbox=u.mailbox or department.mailbox,
            fax=u.fax or department.fax,
            phone_line=u.senior_line or department.phone_line,
            local_application=u.local_application or department.local_application,
            period=u.period,
            levels=department.levels,
            pdf_only=department.pdf_only,
        )

    def of_person(self, r: PractitionerRole) -> Role:
        """One function of a person: its own box, never the one of another function."""
        o = self._organisations[r.organisation]
        d = self._departments.get(r.department)
        return Role(
            id=f"role:{r.key}",
            kind=RecipientKind.PROFESSIONAL,
            display=f"{r.display}, {o.short}",
            organisation=o.key,
            legal_entity=o.legal_entity,
            department=r.department,
            rpps=r.rpps,
            mailbox=r.mailbox or self._national.of_person(r.rpps, (o.finess, self._legal_finess[o.legal_entity])),
            fax=r.fax,
            inbox=r.inbox,
            phone_line=r.phone or (d.senior_line if d else "") or o.phone,
            period=r.period,
            levels=(o.equipment, d.equipment, r.equipment) if d else (o.equipment, r.equipment),
            pdf_only=o.pdf_only or r.pdf_only or (d is not None and d.pdf_only),
        )
