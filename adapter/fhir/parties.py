"""Who acts: Practitioner, PractitionerRole, Organization, Device, and the set of them that one party needs.

Source: FR Core 2.2.0. A title (DR, PR) is a suffix, a civility (M, MME) a prefix. An IDNPS is written only when the source
gave it: `8` + RPPS is what every French source gives, the rest is kept as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, reference_to, uri_of_root
from adapter.fhir.identity import addresses, telecoms
from adapter.fhir.narrative import generated
from adapter.model.parties import Device, Organisation, Party, Professional

Resource = dict[str, Any]


def practitioner_resource(professional: Professional, id: str) -> Resource:  # noqa: A002 - FHIR's word
    """The person."""
    resource: Resource = {
        "resourceType": "Practitioner",
        "id": id,
        "meta": {"profile": [p.PRACTITIONER]},
        "text": generated(professional_label(professional)),
    }
    identifiers = []
    if professional.rpps:
        identifiers.append(_identifier("official", "RPPS", p.RPPS_SYSTEM, professional.rpps))
    for number in (professional.national_id, *professional.other_ids):
        if "^" in number:
            identifiers.append(_of_other_authority(number))
        elif number:
            identifiers.append(_identifier("" if identifiers else "official", "IDNPS", p.IDNPS_SYSTEM, number))
    _put(resource, "identifier", identifiers)
    _put(resource, "name", _names(professional))
    return resource


def _of_other_authority(number: str) -> Resource:
    """`root^number`, or `root^` when the root is all that there is."""
    root, _, extension = number.partition("^")
    if not extension:
        return {"system": p.URI_SYSTEM, "value": uri_of_root(root)}
    return {"system": uri_of_root(root), "value": extension}


def professional_label(professional: Professional) -> str:
    """`DR Camille EXEMPLE` for captions and displays."""
    parts = (professional.title or professional.civility, professional.given, professional.family)
    return " ".join(part for part in parts if part) or "Professionnel"


def _names(professional: Professional) -> list[Resource]:
    name: Resource = {}
    _put(name, "family", professional.family)
    _put(name, "given", [professional.given] if professional.given else [])
    _put(name, "prefix", [professional.civility] if professional.civility else [])
    _put(name, "suffix", [professional.title] if professional.title else [])
    return [name] if name else []


def organization_resource(organisation: Organisation, id: str) -> Resource:  # noqa: A002 - FHIR's word
    """The structure, or the unit of one."""
    resource: Resource = {
        "resourceType": "Organization",
        "id": id,
        "meta": {"profile": [p.ORGANIZATION]},
        "text": generated(organisation.name or "Structure"),
    }
    if organisation.setting_code:
        system = p.system_uri(organisation.setting_system) or p.TRE_SETTING
        coding: Resource = {"system": system, "code": organisation.setting_code}
        _put(coding, "display", organisation.setting_label)
        resource["extension"] = [{"url": p.EXT_PRACTICE_SETTING, "valueCoding": coding}]
    identifiers = []
    if organisation.finess:
        identifiers.append(_identifier("", "FINEG", p.FINESS_SYSTEM, organisation.finess))
    for number in (organisation.national_id, *organisation.other_ids):
        if "^" in number:
            identifiers.append(_of_other_authority(number))
        elif number:
            identifiers.append(_identifier("official", "IDNST", p.IDNST_SYSTEM, number))
    if organisation.unit:
        identifiers.append(_identifier("", "INTRN", f"{p.OURS}unit", organisation.unit))
    _put(resource, "identifier", identifiers)
    resource["name"] = organisation.name or organisation.unit or organisation.finess or organisation.national_id or "Non précisé"
    _put(resource, "telecom", telecoms(organisation.telecoms))
    _put(resource, "address", addresses(organisation.addresses))
    return resource


def practitioner_role_resource(
    party: Party,
    id: str,  # noqa: A002 - FHIR's word
    *,
    practitioner: Resource | None = None,
    organization: Resource | None = None,
) -> Resource:
    """The person acting in an organisation: function, speciality, how to reach them there."""
    professional = party.professional or Professional()
    resource: Resource = {
        "resourceType": "PractitionerRole",
        "id": id,
        "meta": {"profile": [p.PRACTITIONER_ROLE]},
        "text": generated(party_label(party)),
    }
    if practitioner is not None:
        resource["practitioner"] = reference_to(practitioner)
    if organization is not None:
        resource["organization"] = reference_to(organization)
    _put(resource, "code", _role_codes(professional))
    _put(resource, "specialty", _specialties(professional))
    _put(resource, "telecom", telecoms(professional.telecoms))
    if professional.addresses:
        _put(resource, "extension", [{"url": p.EXT_ADDRESS, "valueAddress": a} for a in addresses(professional.addresses)])
    return resource


def party_label(party: Party) -> str:
    """Who and where, on one line."""
    who = professional_label(party.professional) if party.professional else ""
    if party.device and not who:
        who = party.device.software or party.device.model
    where = party.organisation.name if party.organisation else ""
    return ", ".join(x for x in (who, where) if x) or "Acteur"


def _role_codes(professional: Professional) -> list[Resource]:
    """TRE_A02 joins profession and know-how (`G15_10/SM26`): kept whole as the role's code."""
    if not professional.specialty_code:
        return []
    coding: Resource = {}
    _put(coding, "system", p.system_uri(professional.specialty_system))
    coding["code"] = professional.specialty_code
    _put(coding, "display", professional.specialty_label)
    return [{"coding": [coding]}]


def _specialties(professional: Professional) -> list[Resource]:
    """The TRE_R38 half of a TRE_A02 code, which the profile's required list holds."""
    _, slash, know_how = professional.specialty_code.partition("/")
    if not slash or not know_how.startswith("SM"):
        return []
    return [{"coding": [{"system": p.TRE_SPECIALTY, "code": know_how}]}]


def device_resource(device: Device, id: str) -> Resource:  # noqa: A002 - FHIR's word
    """Software that authored or sent."""
    resource: Resource = {
        "resourceType": "Device",
        "id": id,
        "text": generated(device.software or device.model or "Logiciel"),
    }
    if device.identifier:
        root, _, extension = device.identifier.partition("^")
        resource["identifier"] = [{"system": uri_of_root(root), "value": extension} if extension else {"value": root}]
    if device.addresses:
        resource["extension"] = [{"url": p.EXT_ADDRESS, "valueAddress": a} for a in addresses(device.addresses)]
    names = []
    if device.software:
        names.append({"name": device.software, "type": "user-friendly-name"})
    if device.model:
        names.append({"name": device.model, "type": "model-name"})
    _put(resource, "deviceName", names)
    if device.kind_code:
        kind: Resource = {"code": device.kind_code}
        _put(kind, "system", p.system_uri(device.kind_system))
        _put(kind, "display", device.kind_label)
        resource["type"] = {"coding": [kind]}
    _put(resource, "contact", telecoms(device.telecoms))
    return resource


class Parties:
    """The people and structures of one document: each distinct one becomes a resource once, whoever names it again.

    `places` says for each id where the source names it first.
    """

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._made: dict[tuple[object, ...], Resource] = {}
        self._counts: dict[str, int] = {}
        self.places: dict[str, str] = {}

    @property
    def resources(self) -> list[Resource]:
        """All that were made, in order of first naming."""
        return list(self._made.values())

    def role(self, party: Party) -> Resource:
        """The PractitionerRole of a party, with its Practitioner and Organization made beside it."""
        practitioner = self.practitioner(party.professional) if party.professional and _is_someone(party.professional) else None
        organization = self.organization(party.organisation) if party.organisation else None
        key = ("PractitionerRole", party.professional, party.organisation)
        role = self._once(
            key, lambda made: practitioner_role_resource(party, made, practitioner=practitioner, organization=organization)
        )
        for made in (role, practitioner, organization):
            if made is not None and party.place:
                self.places.setdefault(made["id"], party.place)
        return role

    def actor(self, party: Party) -> Resource:
        """The Device when software acted alone, else the PractitionerRole."""
        if party.device is None or party.professional is not None:
            return self.role(party)
        device = party.device
        resource = self._once(("Device", device), lambda made: device_resource(device, made))
        self.places.setdefault(resource["id"], party.place)
        if party.organisation is not None:
            resource.setdefault("owner", reference_to(self.organization(party.organisation)))
        return resource

    def practitioner(self, professional: Professional) -> Resource:
        """The Practitioner: the person alone, whatever the address or phone of the role."""
        person = (
            professional.family, professional.given, professional.rpps, professional.national_id, professional.title,
            professional.civility, professional.other_ids,
        )  # fmt: skip
        return self._once(("Practitioner", person), lambda made: practitioner_resource(professional, made))

    def organization(self, organisation: Organisation) -> Resource:
        """The Organization."""
        return self._once(("Organization", organisation), lambda made: organization_resource(organisation, made))

    def _once(self, key: tuple[object, ...], make: Callable[[str], Resource]) -> Resource:
        resource = self._made.get(key)
        if resource is None:
            kind = str(key[0])
            self._counts[kind] = self._counts.get(kind, 0) + 1
            resource = self._made[key] = make(self.ids.mint(kind, str(self._counts[kind])))
        return resource


def _is_someone(professional: Professional) -> bool:
    """A service that is reached by phone only, with no name nor number, is nobody: its role says how to reach it."""
    return bool(professional.family or professional.given or professional.rpps or professional.national_id)


def party_entries(party: Party, ids: Ids) -> list[Resource]:
    """Practitioner, Organization and PractitionerRole (or Device) of one party, the acting one last."""
    made = Parties(ids)
    actor = made.actor(party)
    return [r for r in made.resources if r is not actor] + [actor]


def _identifier(use: str, kind: str, system: str, value: str) -> Resource:
    identifier: Resource = {"use": use} if use else {}
    identifier |= {"type": {"coding": [{"system": p.FRC_IDENTIFIER_TYPES, "code": kind}]}, "system": system, "value": value}
    return identifier


def _put(target: Resource, key: str, value: Any) -> None:
    if value:
        target[key] = value
