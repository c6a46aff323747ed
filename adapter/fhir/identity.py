"""The Patient resource: `fr-core-patient-ins` when the identity is qualified and complete, else `fr-core-patient`.

Law (Référentiel INS, FR Core 2.2.0): the matricule travels only with a qualified identity and all its traits, and is then
the only identifier with use `official`. Otherwise no matricule leaves: neither in a slice nor elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.narrative import generated
from adapter.model.identity import Address, LocalIdentifier, PatientIdentity, Telecom, ins_is_valid

Resource = dict[str, Any]

# CDA and HL7 v2 sex → FHIR; FR Core forbids `other`.
_GENDERS = {"F": "female", "M": "male", "UN": "unknown", "U": "unknown", "I": "unknown"}
_LOCAL_USES = {"PI": "usual", "RRI": "secondary"}


def carries_ins(identity: PatientIdentity) -> bool:
    """True when the matricule may be written: qualified, right key, and every trait that the profile makes mandatory."""
    return (
        identity.is_qualified
        and identity.ins is not None
        and identity.ins.oid in p.INS_TYPE_CODES
        and ins_is_valid(identity.ins.value)
        and bool(identity.birth_name and identity.first_given and identity.birth_given_names)
        and len(identity.birth_date) == 10
        and identity.sex in _GENDERS
        and bool(identity.birth_place_insee)
    )


def patient_resource(identity: PatientIdentity, *, id: str) -> Resource:  # noqa: A002 - FHIR's word
    """The Patient of an identity, with the profile it really meets."""
    qualified = carries_ins(identity)
    resource: Resource = {
        "resourceType": "Patient",
        "id": id,
        "meta": {"profile": [p.PATIENT_INS if qualified else p.PATIENT]},
        "text": generated(_caption(identity)),
        "extension": _extensions(identity, qualified),
    }
    _put(resource, "identifier", _identifiers(identity, qualified))
    _put(resource, "name", _names(identity))
    _put(resource, "telecom", telecoms(identity.telecoms))
    _put(resource, "gender", _GENDERS.get(identity.sex))
    _put(resource, "birthDate", identity.birth_date)
    _put(resource, "address", addresses(identity.addresses))
    return resource


def telecoms(values: Iterable[Telecom]) -> list[Resource]:
    """ContactPoints; a value without a kind gets `other`, an MSSanté address stays an e-mail."""
    return [contact_point(value) for value in values if value.value]


def contact_point(telecom: Telecom) -> Resource:
    """One ContactPoint."""
    point: Resource = {"system": telecom.system or "other", "value": telecom.value}
    _put(point, "use", telecom.use if telecom.use in ("home", "work", "temp", "old", "mobile") else "")
    kept: list[Resource] = []
    if telecom.uri:
        kept.append({"url": p.EXT_TELECOM_URI, "valueUrl": telecom.uri})
    kept += [{"url": p.EXT_TELECOM_USE, "valueCode": word} for word in telecom.use_words.split()]
    return {"extension": kept, **point} if kept else point


def addresses(values: Iterable[Address]) -> list[Resource]:
    """Addresses that hold something."""
    return [found for found in map(address, values) if found]


def address(value: Address) -> Resource:
    """One Address; the INSEE code goes in its French extension."""
    result: Resource = {}
    kept = [_insee(value.insee)] if value.insee else []
    kept += [{"url": p.EXT_ADDRESS_USE, "valueCode": word} for word in value.use_words.split()]
    _put(result, "extension", kept)
    _put(result, "use", value.use if value.use in ("home", "work", "temp", "old", "billing") else "")
    _put(result, "line", [line for line in value.lines if line])
    _put(result, "city", value.city)
    _put(result, "postalCode", value.postal_code)
    _put(result, "country", value.country)
    return result if value.insee or set(result) - {"use", "extension"} else {}


def _insee(code: str) -> Resource:
    return {"url": p.EXT_INSEE_CODE, "valueCoding": {"system": p.TRE_COMMUNE, "code": code}}


def _extensions(identity: PatientIdentity, qualified: bool) -> list[Resource]:
    status = {"system": p.FRC_IDENTITY_STATUS, "code": "VALI" if qualified else "PROV"}
    extensions: list[Resource] = [
        {"url": p.EXT_IDENTITY_RELIABILITY, "extension": [{"url": "identityStatus", "valueCoding": status}]}
    ]
    place: Resource = {}
    if identity.birth_place_insee:
        place["extension"] = [_insee(identity.birth_place_insee)]
    _put(place, "text", identity.birth_place_name)
    _put(place, "city", identity.birth_place_city)
    if identity.birth_place_address is not None:
        place = address(replace(identity.birth_place_address, insee="")) | place
    if place:
        extensions.append({"url": p.EXT_BIRTH_PLACE, "valueAddress": place})
    return extensions


def _identifiers(identity: PatientIdentity, qualified: bool) -> list[Resource]:
    found = [_local_identifier(local) for local in identity.local_ids if local.value]
    if not qualified or identity.ins is None:
        return found
    ins: Resource = {
        "use": "official",
        "type": {"coding": [{"system": p.FRC_IDENTIFIER_TYPES, "code": p.INS_TYPE_CODES[identity.ins.oid]}]},
        "system": f"urn:oid:{identity.ins.oid}",
        "value": identity.ins.value,
    }
    return [ins, *found]


def local_identifier(local: LocalIdentifier) -> Resource:
    """A number of one authority (patient, stay, case) as an Identifier with its type and system."""
    return _local_identifier(local)


def _local_identifier(local: LocalIdentifier) -> Resource:
    identifier: Resource = {
        "use": _LOCAL_USES.get(local.kind, "secondary"),
        "type": {"coding": [{"system": p.V2_IDENTIFIER_TYPES, "code": local.kind}]},
    }
    if is_oid(local.authority):
        identifier["system"] = f"urn:oid:{local.authority}"
    elif local.authority:
        # An authority known by name only: the PI slice demands a system, so the name is made into one.
        identifier["system"] = f"{p.OURS}authority/{_slug(local.authority)}"
        identifier["assigner"] = {"display": local.authority}
    else:
        identifier["system"] = f"{p.OURS}authority/unknown"
    identifier["value"] = local.value
    return identifier


def is_oid(text: str) -> bool:
    """True for a dotted OID."""
    return "." in text and text.replace(".", "").isdigit()


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in text).strip("-").lower() or "unknown"


def _names(identity: PatientIdentity) -> list[Resource]:
    names: list[Resource] = []
    if identity.birth_name or identity.first_given:
        official: Resource = {}
        if identity.birth_given_names:
            official["extension"] = [{"url": p.EXT_BIRTH_GIVEN_NAMES, "valueString": identity.birth_given_names}]
        official["use"] = "official"
        _put(official, "family", identity.birth_name)
        _put(official, "given", [identity.first_given] if identity.first_given else [])
        if not identity.first_given:
            official["given"] = identity.birth_given_names.split()[:1]
        names.append(_complete_official(official))
    if identity.used_name or identity.used_given:
        usual: Resource = {"use": "usual"}
        _put(usual, "family", identity.used_name)
        _put(usual, "given", [identity.used_given] if identity.used_given else [])
        names.append(usual)
    return names


def _complete_official(name: Resource) -> Resource:
    """FR Core wants family and given in an official name: one that lacks either is written without a use."""
    if not name.get("given"):
        name.pop("given", None)
    if "family" not in name or "given" not in name:
        name.pop("use")
    return name


def _caption(identity: PatientIdentity) -> str:
    shown = [" ".join(x for x in (identity.birth_name, identity.first_given) if x), identity.sex, identity.birth_date]
    return ", ".join(x for x in shown if x) or "Patient"


def _put(target: Resource, key: str, value: Any) -> None:
    """FHIR has no empty value: an empty one is left out."""
    if value:
        target[key] = value
