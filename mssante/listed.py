"""What an answer of the national directory says of mailboxes: pure reading of Annuaire Santé FHIR R4 bundles.

Sources: Annuaire Santé guide v2 and IG 1.1.0 (as-mailbox-mss, as-ext-mailbox-mss-metadata, fr-core-contact-point-email-type).
A mailbox is a `telecom`: of a Practitioner (PER, CAB), of a PractitionerRole (PER at one structure) or of an Organization
(ORG, APP). The guides contradict themselves on how the type is written, so every form met is read. An Organization also lists
ordinary e-mails: only what is marked MSSANTE counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mssante.address import is_well_formed

EMAIL_TYPE = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-contact-point-email-type"
METADATA = "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/as-ext-mailbox-mss-metadata"
IDNPS_SYSTEM = "urn:oid:1.2.250.1.71.4.2.1"
RPPS_SYSTEMS = ("https://rpps.esante.gouv.fr", "http://rpps.fr")
FINESS_SYSTEMS = ("https://finess.esante.gouv.fr", "http://finess.sante.gouv.fr")
HOLDERS = ("Practitioner", "PractitionerRole", "Organization")

Resource = Mapping[str, Any]


class MailboxKind(StrEnum):
    """Whose mailbox it is (TRE_R257)."""

    PERSON = "PER"
    ORGANISATION = "ORG"
    APPLICATION = "APP"
    PRACTICE = "CAB"
    UNKNOWN = ""


@dataclass(frozen=True)
class Holder:
    """Who is listed with a mailbox. `rpps` is 11 digits, `finess` 9 characters; `key` is `Type/id` in the directory."""

    key: str
    rpps: str = ""
    finess: str = ""
    name: str = ""
    is_active: bool = True


@dataclass(frozen=True)
class ListedMailbox:
    """One mailbox as the directory lists it. `rank` 1 is preferred, 0 means that none is given.

    `at_structure` is the FINESS of the structure where a person holds it, when the directory says so.
    """

    address: str
    kind: MailboxKind
    holder: Holder
    rank: int = 0
    description: str = ""
    service: str = ""
    is_red_listed: bool = False
    at_structure: str = ""


@dataclass(frozen=True)
class Finding:
    """Something odd in an answer: a stable code and the place, never a content."""

    code: str
    where: str = ""


@dataclass
class Answer:
    """What a few pages said, put together: resources by `Type/id`, and what was odd."""

    resources: dict[str, Resource] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, bundle: Resource) -> None:
        """Take in a searchset page. What is no resource of ours is left out, with a finding when the server warns."""
        entries = bundle.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, Mapping) else None
            if not isinstance(resource, Mapping):
                self.findings.append(Finding("directory.entry-without-resource"))
                continue
            kind, number = resource.get("resourceType"), resource.get("id")
            if kind == "OperationOutcome":
                self.findings.append(Finding("directory.server-warns", _outcome_codes(resource)))
            elif isinstance(kind, str) and isinstance(number, str):
                self.resources[f"{kind}/{number}"] = resource

    def of_type(self, kind: str) -> Iterator[tuple[str, Resource]]:
        """The resources of one type, with their keys, as they came."""
        for key, resource in self.resources.items():
            if resource["resourceType"] == kind:
                yield key, resource

    def mailboxes(self) -> tuple[ListedMailbox, ...]:
        """Every mailbox, preferred ones first, each (address, holder) once. What cannot be written to is a finding."""
        found: dict[tuple[str, str], ListedMailbox] = {}
        for kind in HOLDERS:
            for key, resource in self.of_type(kind):
                for box in self._boxes_of(key, resource):
                    found.setdefault((box.address, box.holder.key), box)
        return tuple(sorted(found.values(), key=lambda box: (box.rank or 99, box.address, box.holder.key)))

    def _boxes_of(self, key: str, resource: Resource) -> Iterator[ListedMailbox]:
        telecoms = resource.get("telecom")
        for index, telecom in enumerate(telecoms if isinstance(telecoms, list) else ()):
            if not isinstance(telecom, Mapping) or not is_secure_mailbox(telecom):
                continue
            address = str(telecom.get("value", "")).strip().lower()
            if not is_well_formed(address):
                self.findings.append(Finding("directory.unusable-address", f"{key}.telecom[{index}]"))
                continue
            yield self._box(key, resource, telecom, address)

    def _box(self, key: str, resource: Resource, telecom: Resource, address: str) -> ListedMailbox:
        said = _metadata(telecom)
        holder = self.holder_of(key, resource)
        rank = telecom.get("rank")
        structure = self._structure_of(resource) if resource["resourceType"] == "PractitionerRole" else ""
        return ListedMailbox(
            address=address,
            kind=_kind(said.get("type"), str(resource["resourceType"])),
            holder=holder,
            rank=rank if isinstance(rank, int) and not isinstance(rank, bool) and rank > 0 else 0,
            description=_text(said.get("description")),
            service=_text(said.get("service")),
            is_red_listed=said.get("listeRouge") is True,
            at_structure=structure,
        )

    def holder_of(self, key: str, resource: Resource) -> Holder:
        """Who a resource is about; a role speaks for its practitioner, when the answer holds them."""
        if resource["resourceType"] != "PractitionerRole":
            return _holder(key, resource)
        person_key = reference_of(resource, "practitioner")
        person = self.resources.get(person_key)
        if person is None:
            return Holder(key, rpps=rpps_of(resource), is_active=resource.get("active") is not False)
        known = _holder(person_key, person)
        is_active = known.is_active and resource.get("active") is not False
        return Holder(key, known.rpps, known.finess, known.name, is_active)

    def _structure_of(self, role: Resource) -> str:
        organisation = self.resources.get(reference_of(role, "organization"))
        return finess_of(organisation) if organisation is not None else ""


def is_secure_mailbox(telecom: Resource) -> bool:
    """True for an e-mail marked MSSANTE, by either extension; an ordinary e-mail is not one."""
    if telecom.get("system") != "email":
        return False
    for extension in _extensions(telecom):
        if extension.get("url") == METADATA:
            return True
        if extension.get("url") == EMAIL_TYPE and "MSSANTE" in _codes(extension):
            return True
    return False


def reference_of(resource: Resource, name: str) -> str:
    """`Type/id` of a reference, relative or absolute; empty when there is none."""
    value = resource.get(name)
    reference = value.get("reference") if isinstance(value, Mapping) else None
    return "/".join(reference.split("/")[-2:]) if isinstance(reference, str) and "/" in reference else ""


def rpps_of(resource: Resource) -> str:
    """The 11 digits, from the RPPS itself or from the IDNPS (`8` and the RPPS)."""
    for system, value in _identifiers(resource):
        if system in RPPS_SYSTEMS and len(value) == 11 and value.isdigit():
            return value
        if system == IDNPS_SYSTEM and len(value) == 12 and value.isdigit() and value[0] == "8":
            return value[1:]
    return ""


def finess_of(resource: Resource) -> str:
    """The 9 characters of a FINESS number, geographical before legal."""
    numbers = [value for system, value in _identifiers(resource) if system in FINESS_SYSTEMS and len(value) == 9]
    return numbers[0] if numbers else ""


def _holder(key: str, resource: Resource) -> Holder:
    is_active = resource.get("active") is not False
    return Holder(key, rpps_of(resource), finess_of(resource), _name(resource), is_active)


def _name(resource: Resource) -> str:
    name = resource.get("name")
    if isinstance(name, str):
        return name.strip()
    first = name[0] if isinstance(name, list) and name else None
    if not isinstance(first, Mapping):
        return ""
    given = first.get("given")
    words = [*(given if isinstance(given, list) else ()), first.get("family")]
    return " ".join(word.strip() for word in words if isinstance(word, str) and word.strip())


def _identifiers(resource: Resource) -> Iterator[tuple[str, str]]:
    identifiers = resource.get("identifier")
    for one in identifiers if isinstance(identifiers, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("value"), str):
            yield str(one.get("system", "")), one["value"].strip()


def _extensions(holder: Resource) -> Iterator[Resource]:
    extensions = holder.get("extension")
    for extension in extensions if isinstance(extensions, list) else ():
        if isinstance(extension, Mapping):
            yield extension


def _metadata(telecom: Resource) -> dict[str, Any]:
    """The parts of the metadata extension, by name, each with its value whatever its type."""
    said: dict[str, Any] = {}
    for extension in _extensions(telecom):
        if extension.get("url") == METADATA:
            for part in _extensions(extension):
                value = next((part[name] for name in part if name.startswith("value")), None)
                said.setdefault(str(part.get("url", "")), value)
    return said


def _codes(extension: Resource) -> set[str]:
    """The codes of a value written as Coding, code or CodeableConcept."""
    return {code for name, value in extension.items() if name.startswith("value") for code in _codes_of(value)}


def _codes_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        if isinstance(value.get("code"), str):
            yield value["code"]
        codings = value.get("coding")
        for coding in codings if isinstance(codings, list) else ():
            yield from _codes_of(coding)


def _kind(value: Any, holder: str) -> MailboxKind:
    """The type as said; unsaid, a person's box is one, an organisation's may be either."""
    for code in _codes_of(value):
        if code in (MailboxKind.PERSON, MailboxKind.ORGANISATION, MailboxKind.APPLICATION, MailboxKind.PRACTICE):
            return MailboxKind(code)
    return MailboxKind.UNKNOWN if holder == "Organization" else MailboxKind.PERSON


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _outcome_codes(outcome: Resource) -> str:
    issues = outcome.get("issue")
    codes = [str(i.get("code", "")) for i in issues if isinstance(i, Mapping)] if isinstance(issues, list) else []
    return " ".join(codes[:5])
