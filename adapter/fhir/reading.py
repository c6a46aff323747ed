"""People, structures and documents read back out of FHIR resources: the mirror of `identity` and `parties`.

Used where FHIR is the source (a partner's document) or the middle (a structured CDA written from a Bundle).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.identity import is_oid
from adapter.model.identity import (
    INS_OIDS,
    Address,
    Ins,
    LocalIdentifier,
    PatientIdentity,
    Reliability,
    Telecom,
    ins_is_valid,
)
from adapter.model.parties import Device, Organisation, Party, Professional

Resource = dict[str, Any]

_SEXES = {"female": "F", "male": "M", "unknown": "UN", "other": "UN"}
_AUTHORITY = f"{p.OURS}authority/"


class Entries:
    """The resources of a Bundle by what references call them: fullUrl, or `Type/id`."""

    def __init__(self, bundle: Mapping[str, Any]) -> None:
        self._found: dict[str, Resource] = {}
        for entry in _objects(bundle.get("entry")):
            resource = entry.get("resource")
            if isinstance(resource, dict):
                for name in (entry.get("fullUrl"), f"{resource.get('resourceType')}/{resource.get('id')}"):
                    self._found.setdefault(str(name), resource)

    def at(self, reference: object) -> Resource:
        """What a Reference leads to; empty when it leads nowhere."""
        target = reference.get("reference") if isinstance(reference, dict) else ""
        return self._found.get(str(target), {})


def extension(node: Mapping[str, Any], url: str) -> Resource:
    """The first extension of that URL; empty when there is none."""
    return next(iter(extensions(node, url)), {})


def extensions(node: Mapping[str, Any], url: str) -> list[Resource]:
    """All extensions of that URL."""
    return [found for found in _objects(node.get("extension")) if found.get("url") == url]


def unique_id(identifier: Mapping[str, Any]) -> str:
    """An Identifier as an XDS unique id (`root`, `root^extension`); empty when it is neither an OID nor a UUID."""
    system, value = str(identifier.get("system") or ""), str(identifier.get("value") or "").strip()
    root = root_of(value) if system in (p.URI_SYSTEM, "") else root_of(system)
    if not root:
        return ""
    return root if system in (p.URI_SYSTEM, "") else f"{root}^{value}"


def root_of(uri: str) -> str:
    """`urn:oid:…` or `urn:uuid:…` as the OID or UUID alone; empty for any other."""
    if uri.startswith("urn:oid:"):
        bare = uri.removeprefix("urn:oid:")
        return bare if is_oid(bare) or _is_uuid(bare) else ""
    bare = uri.removeprefix("urn:uuid:")
    return bare if uri.startswith("urn:uuid:") and _is_uuid(bare) else ""


def _is_uuid(text: str) -> bool:
    try:
        return "-" in text and bool(uuid.UUID(text))
    except ValueError:
        return False


# -- the patient -----------------------------------------------------------------------------------------------------------------


def identity_of(patient: Mapping[str, Any]) -> PatientIdentity:
    """A Patient's identity; qualified when it says VALI and bears an INS with its right key."""
    official, usual = _name(patient, "official"), _name(patient, "usual")
    official = official or _name(patient, "")
    place = extension(patient, p.EXT_BIRTH_PLACE).get("valueAddress", {})
    ins = _ins(patient)
    status = extension(extension(patient, p.EXT_IDENTITY_RELIABILITY), "identityStatus").get("valueCoding", {}).get("code")
    qualified = status == "VALI" and ins is not None and ins_is_valid(ins.value)
    return PatientIdentity(
        birth_name=_text(official, "family"),
        first_given=_first(official, "given"),
        birth_given_names=str(extension(official, p.EXT_BIRTH_GIVEN_NAMES).get("valueString", "")),
        used_name=_text(usual, "family"),
        used_given=_first(usual, "given"),
        birth_date=_text(patient, "birthDate"),
        sex=_SEXES.get(_text(patient, "gender"), ""),
        birth_place_insee=_insee(place),
        birth_place_city=_text(place, "city"),
        ins=ins,
        local_ids=tuple(_local_ids(patient)),
        addresses=addresses_of(patient),
        telecoms=telecoms_of(patient),
        reliability=Reliability.QUALIFIED if qualified else Reliability.PROVISIONAL,
    )


def _name(node: Mapping[str, Any], use: str) -> Resource:
    return next((name for name in _objects(node.get("name")) if name.get("use", "") == use), {})


def _ins(patient: Mapping[str, Any]) -> Ins | None:
    for identifier in _objects(patient.get("identifier")):
        oid = root_of(_text(identifier, "system"))
        if oid in INS_OIDS:
            return Ins(_text(identifier, "value"), oid)
    return None


def _local_ids(patient: Mapping[str, Any]) -> Iterable[LocalIdentifier]:
    for identifier in _objects(patient.get("identifier")):
        system = _text(identifier, "system")
        if root_of(system) in INS_OIDS or not identifier.get("value"):
            continue
        kind = _coding(identifier.get("type")).get("code", "PI")
        named = _text(identifier.get("assigner", {}), "display")
        authority = root_of(system) or named or ("" if system == f"{_AUTHORITY}unknown" else system)
        yield LocalIdentifier(_text(identifier, "value"), authority, str(kind))


def addresses_of(node: Mapping[str, Any]) -> tuple[Address, ...]:
    """The addresses of a Patient or an Organization."""
    return tuple(address_of(found) for found in _objects(node.get("address")))


def address_of(found: Mapping[str, Any]) -> Address:
    """One Address."""
    lines = tuple(str(line) for line in found.get("line") or () if line)
    lines = lines or ((_text(found, "text"),) if found.get("text") and not found.get("city") else ())
    parts = (_text(found, "postalCode"), _text(found, "city"), _text(found, "country"))
    return Address(lines, *parts, insee=_insee(found), use=_text(found, "use"))


def _insee(node: Mapping[str, Any]) -> str:
    return str(extension(node, p.EXT_INSEE_CODE).get("valueCoding", {}).get("code", ""))


def telecoms_of(node: Mapping[str, Any]) -> tuple[Telecom, ...]:
    """The contact points of anybody."""
    found = _objects(node.get("telecom"))
    return tuple(Telecom(_text(t, "system"), _text(t, "value"), _text(t, "use")) for t in found if t.get("value"))


# -- professionals and structures ------------------------------------------------------------------------------------------------


def party_of(reference: object, entries: Entries) -> Party | None:
    """Who a reference names, with the time and function that it bears; None when it names nobody who acts."""
    party = _party(entries.at(reference), entries)
    if party is None or not isinstance(reference, dict):
        return party
    function = extension(reference, p.EXT_FUNCTION).get("valueCoding", {})
    return Party(
        party.professional, party.organisation, party.device, str(function.get("code", "")), str(function.get("display", "")),
        time_of(extension(reference, p.EXT_AUTHOR_TIME)),
    )  # fmt: skip


def time_of(node: Mapping[str, Any]) -> str:
    """A moment, or `start/end` for a Period: how a Party holds when it acted."""
    if node.get("valueDateTime"):
        return str(node["valueDateTime"])
    period = node.get("valuePeriod") or {}
    start, end = _text(period, "start"), _text(period, "end")
    return f"{start}/{end}" if end else start


def _party(resource: Mapping[str, Any], entries: Entries) -> Party | None:
    match resource.get("resourceType"):
        case "PractitionerRole":
            person = entries.at(resource.get("practitioner"))
            place = entries.at(resource.get("organization"))
            professional = professional_of(person, resource) if person else None
            return Party(professional, organisation_of(place) if place else None)
        case "Practitioner":
            return Party(professional_of(resource, {}))
        case "Organization":
            return Party(organisation=organisation_of(resource))
        case "Device":
            owner = entries.at(resource.get("owner"))
            return Party(device=device_of(resource), organisation=organisation_of(owner) if owner else None)
        case _:
            return None


def professional_of(practitioner: Mapping[str, Any], role: Mapping[str, Any]) -> Professional:
    """The person in a role."""
    name = next(iter(_objects(practitioner.get("name"))), {})
    rpps, national = _professional_numbers(practitioner)
    code = _coding(next(iter(_objects(role.get("code"))), {}))
    where = tuple(address_of(found.get("valueAddress", {})) for found in extensions(role, p.EXT_ADDRESS))
    return Professional(
        family=_text(name, "family") or _text(name, "text"),
        given=_first(name, "given"),
        rpps=rpps,
        national_id=national,
        title=_first(name, "suffix"),
        civility=_first(name, "prefix"),
        specialty_code=_text(code, "code"),
        specialty_system=_text(code, "system"),
        specialty_label=_text(code, "display"),
        telecoms=telecoms_of(role) or telecoms_of(practitioner),
        addresses=where or addresses_of(practitioner),
    )


def _professional_numbers(practitioner: Mapping[str, Any]) -> tuple[str, str]:
    rpps = national = ""
    for identifier in _objects(practitioner.get("identifier")):
        system, value = _text(identifier, "system"), _text(identifier, "value")
        if system == p.RPPS_SYSTEM:
            rpps = value
        elif system == p.IDNPS_SYSTEM and value.startswith("8") and len(value) == 12:
            rpps = rpps or value[1:]
        elif system == p.IDNPS_SYSTEM:
            national = value
        elif root_of(system):
            national = national or f"{root_of(system)}^{value}"
    return rpps, national


def organisation_of(organization: Mapping[str, Any]) -> Organisation:
    """The structure."""
    finess = national = unit = ""
    for identifier in _objects(organization.get("identifier")):
        system, value = _text(identifier, "system"), _text(identifier, "value")
        if system == p.FINESS_SYSTEM:
            finess = value
        elif system == p.IDNST_SYSTEM and value.startswith("1") and len(value) == 10:
            finess = finess or value[1:]
        elif system == p.IDNST_SYSTEM:
            national = value
        elif system == f"{p.OURS}unit":
            unit = value
        elif root_of(system):
            national = national or f"{root_of(system)}^{value}"
    setting = extension(organization, p.EXT_PRACTICE_SETTING).get("valueCoding", {})
    return Organisation(
        name=_text(organization, "name"),
        finess=finess,
        national_id=national,
        unit=unit,
        setting_code=_text(setting, "code"),
        setting_label=_text(setting, "display"),
        telecoms=telecoms_of(organization),
        addresses=addresses_of(organization),
    )


def device_of(device: Mapping[str, Any]) -> Device:
    """Software that acted."""
    names = {_text(name, "type"): _text(name, "name") for name in _objects(device.get("deviceName"))}
    identifier = next(iter(_objects(device.get("identifier"))), {})
    number = unique_id(identifier) or _text(identifier, "value")
    software = names.get("user-friendly-name") or _text(device, "modelNumber")
    return Device(number, software, names.get("model-name") or _text(device, "manufacturer"))


# -- shapes that a partner may have got wrong ------------------------------------------------------------------------------------


def _objects(value: object) -> list[Resource]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(node: object, key: str) -> str:
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, str) else ""


def _first(node: Mapping[str, Any], key: str) -> str:
    values = node.get(key)
    return str(values[0]) if isinstance(values, list) and values else ""


def _coding(concept: object) -> Resource:
    return next(iter(_objects(concept.get("coding"))), {}) if isinstance(concept, dict) else {}
