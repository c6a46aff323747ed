"""The directory: from what a source names (address, RPPS, FINESS, unit, form target, record) to one role, or a reason to park.

Law: blueprint seams 3 and 22. The role is that of the address, else of the organisation named, else the only role outside the
sender's organisation, else parked; never both. A wrong guess would show a patient's letter to the wrong team.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from adapter.model.effects import Parked
from adapter.model.inbox import LOCAL, LOCAL_ROLE, LOCAL_SOFTWARE
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.plan import ChannelName
from adapter.model.submission import Submission, Urgency
from adapter.routing.directory_file import read_entries
from adapter.routing.entries import (
    Agreement,
    DomainKind,
    Entries,
    Equipment,
    FormTarget,
    LegalEntity,
    Organisation,
    Period,
    PractitionerRole,
    Record,
    Role,
    TrustedDomain,
    Unit,
)
from adapter.routing.identifiers import domain_is_under, is_mail_address
from adapter.routing.national import NOTHING_LISTED, NationalListing, read_listing
from adapter.routing.reasons import EXPLANATIONS, PATHWAY_WORDS, unit_advice
from adapter.routing.roles import RoleMaker

_TARGET_HINT = "form-target"
COPY_SUFFIX = ".json"
# Where each kind of unit code stands in an HL7 message: a finding names places, never values.
_UNIT_PLACES = {"location": "PV1-3", "medical": "ZBE-7", "care": "ZBE-8"}


@dataclass(frozen=True)
class Resolution:
    """A role, or the stable code of why there is none; a sentence for the person who reads the plan.

    `urgent_line`: the telephone that an urgent sender is told to ring besides.
    """

    role: Role | None = None
    reason: str = ""
    explanation: str = ""
    urgent_line: str = ""


@dataclass(frozen=True)
class SenderEnd:
    """Who sends, as equipment and agreements see it: one structure, or all those of a legal entity."""

    name: str
    organisations: tuple[Organisation, ...]
    legal_entity: str = ""


def load_directory(files: Mapping[str, bytes]) -> Directory:
    """The directory of the given files (name → content); ConfigurationError that lists every problem.

    A name that ends in `.json` is the copy of the national directory that `tdu directory refresh` keeps.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    copies = [read_listing(content, name) for name, content in files.items() if name.endswith(COPY_SUFFIX)]
    entries = read_entries({name: content for name, content in files.items() if not name.endswith(COPY_SUFFIX)})
    return Directory(entries, digest.hexdigest()[:16], copies[0] if copies else NOTHING_LISTED)


class Directory:
    """A frozen snapshot; `revision` names its content. Lookups take the civil day they are for."""

    def __init__(self, entries: Entries, revision: str, national: NationalListing = NOTHING_LISTED) -> None:
        self.revision = revision
        self.entries = entries
        self._national = national
        self._roles = RoleMaker(entries, national)
        self._entities = {x.key: x for x in entries.legal_entities}
        self._organisations = {x.key: x for x in entries.organisations}
        self._departments = {x.key: x for x in entries.departments}
        self._people: dict[str, list[PractitionerRole]] = {}
        for function in entries.roles:
            self._people.setdefault(function.rpps, []).append(function)
        self._units: dict[tuple[str, str], list[Unit]] = {}
        for unit in entries.units:
            self._units.setdefault((unit.legal_entity, unit.code), []).append(unit)
        self._by_mailbox: dict[str, list[Role]] = {}
        self._standard_only = frozenset(line.number for line in entries.fax_lines if line.standard_only)
        self._by_fax: dict[str, list[Role]] = {}
        self._by_phone: dict[str, list[Role]] = {}
        for role in self._roles.all():
            if role.mailbox:
                self._by_mailbox.setdefault(role.mailbox, []).append(role)
            if role.fax:
                self._by_fax.setdefault(role.fax, []).append(role)
            if role.phone_line:
                self._by_phone.setdefault(role.phone_line, []).append(role)

    # ── lookups ────────────────────────────────────────────────────────────────────────────────────────────────

    def unit(self, code: str, on: date, *, legal_entity: str = "") -> Unit | None:
        """The unit open that day; without an entity, only when one entity alone has that code."""
        lines = self._unit_lines(code, legal_entity)
        valid = [unit for unit in lines if unit.period.holds(on)]
        return valid[0] if len(valid) == 1 else None

    def roles_of(self, rpps: str, on: date) -> tuple[Role, ...]:
        """The roles that a person holds that day."""
        return tuple(self._roles.of_person(r) for r in self._people.get(rpps, ()) if r.period.holds(on))

    def role(self, role_id: str) -> Role | None:
        """A role by the id that plans and deliveries give it, whatever its dates."""
        return next((role for role in self._roles.all() if role.id == role_id), None)

    def holders_of_fax(self, number: str, on: date) -> tuple[Role, ...]:
        """Who has this fax number (E.164) that day."""
        return tuple(role for role in self._by_fax.get(number, ()) if role.period.holds(on))

    def fax_of(self, role_id: str, on: date) -> str:
        """The fax number (E.164) that a role has that day; empty when it has none."""
        held = ((number, role) for number in self._by_fax for role in self.holders_of_fax(number, on))
        return next((number for number, role in held if role.id == role_id), "")

    def is_standard_only(self, number: str) -> bool:
        """Whether the partners file wants no fine pages sent to this fax number (E.164)."""
        return number in self._standard_only

    def fax_numbers(self, on: date) -> tuple[str, ...]:
        """Every fax number (E.164) that somebody has that day, in order."""
        return tuple(sorted(number for number in self._by_fax if self.holders_of_fax(number, on)))

    def partners_with_number(self, number: str, on: date) -> tuple[Role, ...]:
        """Who a fax from this number (E.164) came from that day: whose fax it is, else whose telephone; all of them when shared.

        A structure's switchboard names the structure, not each of those who work there.
        """
        found = self.holders_of_fax(number, on) or tuple(one for one in self._by_phone.get(number, ()) if one.period.holds(on))
        whole = {one.organisation for one in found if not one.department and not one.rpps}
        return tuple(one for one in found if one.organisation not in whole or not (one.department or one.rpps))

    def finess_of(self, role: Role) -> tuple[str, str]:
        """The FINESS of the structure where a role is held, and of its legal entity."""
        return self._finess_of(role)

    def organisation(self, key: str) -> Organisation | None:
        """A structure by its key."""
        return self._organisations.get(key)

    def sender_end(self, sender_finess: str, legal_entity: str) -> SenderEnd:
        """The sending structure by its FINESS; unknown, all the structures of the legal entity that the door knows."""
        for organisation in self.entries.organisations:
            if sender_finess and organisation.finess == sender_finess:
                return SenderEnd(organisation.name, (organisation,), organisation.legal_entity)
        for finess in (legal_entity, sender_finess):
            entity = self._entity_by_finess(finess)
            if entity is not None:
                held = tuple(o for o in self.entries.organisations if o.legal_entity == entity.key)
                return SenderEnd(entity.name, held, entity.key)
        return SenderEnd("émetteur inconnu de l'annuaire", ())

    def agreement_between(self, sender: SenderEnd, receiver: Role, on: date) -> Agreement | None:
        """The agreement in force that day, in either direction; one with the site itself wins over one with its entity."""
        ours = {o.key for o in sender.organisations} | {sender.legal_entity}
        theirs = {receiver.organisation, receiver.legal_entity}
        found = [
            a
            for a in self.entries.agreements
            if a.period.holds(on) and ((a.hospital in ours and a.centre in theirs) or (a.hospital in theirs and a.centre in ours))
        ]
        found.sort(key=lambda a: (a.hospital not in self._organisations, a.key))
        return found[0] if found else None

    def centres_of(self, framework: str, on: date) -> tuple[Organisation, ...]:
        """The centres of all agreements of a framework in force that day."""
        keys = {a.centre for a in self.entries.agreements if a.framework == framework and a.period.holds(on)}
        return tuple(self._organisations[key] for key in sorted(keys))

    def record_for(self, sender: SenderEnd, on: date) -> Record | None:
        """The shared record of the sender's territory that can be fed that day."""
        for record in self.entries.records:
            if record.period.holds(on) and (not record.legal_entities or sender.legal_entity in record.legal_entities):
                return record
        return None

    def domain_of(self, address: str, on: date) -> TrustedDomain | None:
        """The trusted domain of an address that day: the most precise one."""
        domain = address.rpartition("@")[2].lower()
        found = [d for d in self.entries.domains if d.period.holds(on) and domain_is_under(domain, d.domain)]
        return max(found, key=lambda d: len(d.domain)) if found else None

    def patient_domain(self, on: date, *, training: bool) -> TrustedDomain | None:
        """Where patients have their boxes that day."""
        for domain in self.entries.domains:
            if domain.kind is DomainKind.PATIENT and domain.training is training and domain.period.holds(on):
                return domain
        return None

    @property
    def training_domains(self) -> tuple[str, ...]:
        """The domains that a production instance refuses."""
        return tuple(d.domain for d in self.entries.domains if d.training)

    # ── resolution (seam 3) ────────────────────────────────────────────────────────────────────────────────────

    def resolve(self, recipient: Recipient, *, sender_finess: str, on: date, legal_entity: str = "") -> Resolution:
        """One role, or why not. `legal_entity` (FINESS EJ) tells whose unit table and record it is when it is not said."""
        found = self._resolve(recipient, sender_finess, on, legal_entity)
        return _none("national-conflict") if self._is_listed_elsewhere(recipient, found.role) else found

    def _is_listed_elsewhere(self, recipient: Recipient, role: Role | None) -> bool:
        """True when the national directory lists this role's mailbox, and for somebody else."""
        if role is None or not role.mailbox or role.kind in (RecipientKind.PATIENT, RecipientKind.RECORD):
            return False
        finess = self._finess_of(role) if role.organisation else (recipient.finess,)
        return self._national.contradicts(role.mailbox, role.rpps or recipient.rpps, finess)

    def _resolve(self, recipient: Recipient, sender_finess: str, on: date, legal_entity: str) -> Resolution:
        sender = self.sender_end(sender_finess, legal_entity)
        if recipient.kind is RecipientKind.RECORD:
            return self._resolve_record(sender, on)
        if recipient.kind is RecipientKind.PATIENT:
            return self._resolve_patient(recipient, on)
        if recipient.role_hint.startswith((LOCAL_ROLE, LOCAL_SOFTWARE)):
            return self._resolve_local(recipient.role_hint, on)
        if recipient.address:
            return self._resolve_address(recipient, on)
        if recipient.rpps:
            return self._resolve_person(recipient, sender, on)
        if recipient.role_hint.startswith(_TARGET_HINT):
            return self._resolve_target(recipient, self.sender_end("", legal_entity), on)
        if recipient.finess or recipient.unit:
            return self._resolve_structure(recipient, sender, on)
        return _none("unknown-recipient")

    def _resolve_local(self, named: str, on: date) -> Resolution:
        """Whom a mailbox of ours is read for: a role of the partners files, or software by its name."""
        if named.startswith(LOCAL_SOFTWARE):
            partner = named.removeprefix(LOCAL_SOFTWARE)
            fed = (Equipment(ChannelName.HL7_PUSH, Period(), partner),)
            role = Role(f"software:{partner}", RecipientKind.APPLICATION, partner, levels=(fed,))
            return Resolution(role, explanation="Logiciel que la configuration nomme pour cette boîte.")
        known = self.role(named.removeprefix(LOCAL))
        if known is None:
            return _none("unknown-recipient")
        if not known.period.holds(on):
            return _none("closed-role")
        return Resolution(known, explanation="Fonction que la configuration nomme pour cette boîte.")

    def _resolve_record(self, sender: SenderEnd, on: date) -> Resolution:
        record = self.record_for(sender, on)
        if record is None:
            return _none("no-record")
        role = Role(f"record:{record.key}", RecipientKind.RECORD, record.name, mailbox=record.base_url_key)
        return Resolution(role, explanation=f"Dossier partagé du territoire : {record.name}.")

    def _resolve_patient(self, recipient: Recipient, on: date) -> Resolution:
        role = Role("patient", RecipientKind.PATIENT, "Le patient", mailbox=recipient.address.lower())
        if not recipient.address:
            return Resolution(role, explanation="Boîte du patient déduite de son INS.")
        domain = self.domain_of(recipient.address, on)
        if domain is None or domain.kind is not DomainKind.PATIENT:
            return _none("untrusted-domain")
        return Resolution(role, explanation="Adresse du patient donnée par l'émetteur.")

    def _resolve_address(self, recipient: Recipient, on: date) -> Resolution:
        address = recipient.address.lower()
        if not is_mail_address(address):
            return _none("bad-address")
        domain = self.domain_of(address, on)
        if domain is None or domain.kind is not DomainKind.PROFESSIONAL:
            return _none("untrusted-domain")
        known = self._by_mailbox.get(address, [])
        if not known:
            return self._bare_address(recipient, address, on)
        valid = [role for role in known if role.period.holds(on)]
        if not valid:
            return _none("closed-role")
        if self._contradicts(recipient, valid[0], on):
            return _none("address-conflict")
        return Resolution(valid[0], explanation="Fonction titulaire de l'adresse indiquée.")

    def _bare_address(self, recipient: Recipient, address: str, on: date) -> Resolution:
        """A box of the trust space that no directory entry holds: valid, unless the directory knows this person elsewhere."""
        if any(role.mailbox for role in self.roles_of(recipient.rpps, on)):
            return _none("address-conflict")
        role = Role(f"address:{address}", recipient.kind, recipient.name or address, mailbox=address, is_bare_address=True)
        return Resolution(role, explanation="Adresse de l'espace de confiance, absente de l'annuaire local.")

    def _contradicts(self, recipient: Recipient, role: Role, on: date) -> bool:
        """True when the RPPS or the structure named with an address are not those of the role that holds it."""
        if recipient.finess and recipient.finess not in self._finess_of(role):
            return True
        if not recipient.rpps:
            return False
        if role.rpps:
            return role.rpps != recipient.rpps
        # A service's box: right for those who work there, and for whom the directory does not know.
        known = self._people.get(recipient.rpps, [])
        return bool(known) and all(r.organisation != role.organisation or not r.period.holds(on) for r in known)

    def _resolve_person(self, recipient: Recipient, sender: SenderEnd, on: date) -> Resolution:
        if recipient.rpps not in self._people:
            return _none("unknown-recipient")
        roles = self.roles_of(recipient.rpps, on)
        if recipient.finess:
            return self._among_named(recipient, roles, on)
        ours = {o.key for o in sender.organisations}
        outside = [role for role in roles if role.organisation not in ours]
        if len(outside) == 1:
            return Resolution(outside[0], explanation="Seule fonction de ce professionnel hors de la structure émettrice.")
        if not roles:
            return _none("closed-role")
        return _none("ambiguous-role" if outside else "internal-role")

    def _among_named(self, recipient: Recipient, roles: Iterable[Role], on: date) -> Resolution:
        """The person's roles in the structure named, narrowed by the unit when one is named."""
        there = [role for role in roles if recipient.finess in self._finess_of(role)]
        if len(there) > 1 and recipient.unit:
            unit = self.unit(recipient.unit, on, legal_entity=there[0].legal_entity)
            there = [role for role in there if unit is not None and role.department == unit.department]
        if len(there) == 1:
            return Resolution(there[0], explanation="Fonction dans la structure indiquée.")
        if there:
            return _none("ambiguous-role")
        return _none("no-role-there")

    def _resolve_target(self, recipient: Recipient, caller: SenderEnd, on: date) -> Resolution:
        """`form-target:<slug>` with the site's key, short or full name, or the very name of the target.

        `caller` is whom the door knows, never whom the form says it comes from.
        """
        form = recipient.role_hint.removeprefix(_TARGET_HINT).removeprefix(":")
        target = self.form_target(form, recipient.name or recipient.finess)
        return self._open_target(target, caller, on) if target else _none("unknown-target")

    def form_target(self, form: str, name: str) -> FormTarget | None:
        """Who receives a form under the name that the form gives its target."""
        wished = _plain(name)
        sites = {o.key for o in self.entries.organisations if wished and wished in self._names_of(o)}
        for target in self.entries.form_targets:
            if target.form == form and (target.site in sites or _plain(target.site) == wished):
                return target
        return None

    def _open_target(self, target: FormTarget, caller: SenderEnd, on: date) -> Resolution:
        if target.senders and not any(o.kind in target.senders for o in caller.organisations):
            return _none("sender-not-allowed")
        if target.organisation:
            structure = self._organisations[target.organisation]
            return Resolution(self._roles.of_organisation(structure), explanation="Structure qui reçoit ce formulaire.")
        department = self._departments[target.department]
        if not department.period.holds(on):
            return _none("closed-role")
        told = " ".join(("Service qui reçoit ce formulaire sur ce site.", PATHWAY_WORDS.get(target.pathway, ""))).strip()
        role = self._roles.of_department(department)
        return Resolution(role, explanation=told, urgent_line=role.phone_line if target.call_when_urgent else "")

    def _resolve_structure(self, recipient: Recipient, sender: SenderEnd, on: date) -> Resolution:
        held = [o for o in self.entries.organisations if o.finess == recipient.finess]
        entity = self._entity_by_finess(recipient.finess)
        if recipient.finess and not held and entity is None:
            return _none("unknown-recipient")
        if recipient.unit:
            owner = held[0].legal_entity if held else (entity.key if entity else sender.legal_entity)
            return self._resolve_unit(recipient.unit, owner, {o.key for o in held}, on)
        if not held:
            held = [o for o in self.entries.organisations if entity is not None and o.legal_entity == entity.key]
        if len(held) == 1:
            return Resolution(self._roles.of_organisation(held[0]), explanation="Structure indiquée.")
        return _none("ambiguous-role")

    def _resolve_unit(self, code: str, legal_entity: str, sites: set[str], on: date) -> Resolution:
        lines = self._unit_lines(code, legal_entity)
        if not lines or (sites and all(unit.site not in sites for unit in lines)):
            return _none("unknown-unit")
        for unit in lines:
            if unit.period.holds(on) and (not sites or unit.site in sites):
                return Resolution(self._roles.of_unit(unit), explanation=f"Unité « {unit.name} ».")
        return _none("closed-unit")

    # ── units named by the source ──────────────────────────────────────────────────────────────────────────────

    def check_units(self, submission: Submission, on: date) -> Parked | None:
        """Why a unit named by the source stops the document; only entities that check theirs by a table do."""
        entity = self._entity_by_finess(submission.legal_entity)
        if entity is None or not entity.checks_units:
            return None
        for kind, code in submission.unit_codes:
            reason = self._unit_problem(code, entity.key, on)
            if reason:
                return _parked_unit(reason, _UNIT_PLACES.get(kind, "PRT-8"), submission, self._line_of(code, entity.key))
        return None

    def speciality_of_unit(self, code: str, legal_entity_finess: str, on: date) -> str:
        """The speciality of the department that a unit belongs to that day, or empty."""
        entity = self._entity_by_finess(legal_entity_finess)
        unit = self.unit(code, on, legal_entity=entity.key if entity else "")
        return self._departments[unit.department].speciality if unit else ""

    def _unit_problem(self, code: str, legal_entity: str, on: date) -> str:
        lines = self._unit_lines(code, legal_entity)
        if not lines:
            return "unknown-unit"
        return "" if any(unit.period.holds(on) for unit in lines) else "closed-unit"

    def _line_of(self, code: str, legal_entity: str) -> str:
        """The telephone of a closed unit's department: somebody there knows who took over."""
        for unit in self._unit_lines(code, legal_entity):
            department = self._departments[unit.department]
            return unit.senior_line or department.senior_line
        return ""

    # ── small lookups ──────────────────────────────────────────────────────────────────────────────────────────

    def _unit_lines(self, code: str, legal_entity: str) -> list[Unit]:
        if legal_entity:
            return self._units.get((legal_entity, code), [])
        holders = [lines for (_, held), lines in self._units.items() if held == code]
        return holders[0] if len(holders) == 1 else []

    def _entity_by_finess(self, finess: str) -> LegalEntity | None:
        return next((x for x in self.entries.legal_entities if finess and x.finess == finess), None)

    def _finess_of(self, role: Role) -> tuple[str, str]:
        return self._organisations[role.organisation].finess, self._entities[role.legal_entity].finess

    @staticmethod
    def _names_of(o: Organisation) -> set[str]:
        return {_plain(name) for name in (o.key, o.short, o.name, o.finess, *o.aliases)}


def _none(reason: str) -> Resolution:
    return Resolution(reason=reason, explanation=EXPLANATIONS[reason])


def _parked_unit(reason: str, place: str, submission: Submission, phone_line: str) -> Parked:
    return Parked(reason, unit_advice(reason, place), submission.urgency is Urgency.URGENT, phone_line)


def check_units(submission: Submission, directory: Directory, on: date) -> Parked | None:
    """`Directory.check_units`, as a function."""
    return directory.check_units(submission, on)


@lru_cache(maxsize=8192)  # the names of the territory are asked again for each form
def _plain(name: str) -> str:
    """A name without accents, case nor punctuation, so that `Le Kremlin-Bicêtre` and `le kremlin bicetre` are one."""
    bare = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", " ", bare.lower()).strip()
