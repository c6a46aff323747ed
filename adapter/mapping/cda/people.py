"""People and structures of a CDA header as model values: names, addresses, numbers, the roles they act in.

Sources: CI-SIS structuration minimale; Annuaire Santé numbers (`8` + RPPS, `1` + FINESS). A title (DR) is a suffix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from adapter.mapping.cda.values import CdaValues
from adapter.mapping.engine import extract_group
from adapter.mapping.rules import RuleFile
from adapter.mapping.transforms import finess_of, rpps_of
from adapter.mapping.xml_source import XmlNode
from adapter.model.identity import INS_OIDS, Address, Telecom, ins_is_valid
from adapter.model.parties import Device, FunctionWords, Organisation, Party, Professional

_IDNPS = "1.2.250.1.71.4.2.1"
_STRUCT = "1.2.250.1.71.4.2.2"
_RPPS_DIGITS = 11

_PERSONS = ("assignedPerson", "associatedPerson", "informationRecipient", "relatedPerson", "guardianPerson")
_ORGANISATIONS = ("representedOrganization", "scopingOrganization", "receivedOrganization", "guardianOrganization")

_TELECOM_SYSTEMS = {"tel": "phone", "fax": "fax", "mailto": "email", "http": "url", "https": "url"}
_TELECOM_USES = {"H": "home", "HP": "home", "HV": "home", "WP": "work", "DIR": "work", "PUB": "work", "MC": "mobile"}
_ADDRESS_USES = {"H": "home", "HP": "home", "HV": "home", "WP": "work", "DIR": "work", "PUB": "work", "TMP": "temp"}
_STREET = (
    "houseNumber",
    "houseNumberNumeric",
    "buildingNumberSuffix",
    "streetNameType",
    "streetName",
    "streetNameBase",
    "direction",
)
_OTHER_LINES = (
    "additionalLocator", "unitID", "unitType", "deliveryAddressLine", "postBox", "precinct", "careOf", "streetAddressLine",
    "censusTract", "deliveryInstallationType", "deliveryInstallationArea",
)  # fmt: skip
_NO_WORD = ("",)


def read_addresses(node: XmlNode) -> tuple[Address, ...]:
    """The addresses that say something: parts become lines, number and street on one."""
    return tuple([found for child in node.children("addr") if (found := read_address(child)) is not None])


def read_address(node: XmlNode) -> Address | None:
    """One address; None when it is null or empty. `county` holds the INSEE code of the commune."""
    node.get("nullFlavor")
    use = node.get("use")
    parts: dict[str, list[str]] = {}
    for child in node.children():
        text = child.read()
        child.get("nullFlavor")
        if text:
            parts.setdefault(child.name, []).append(text)
    free = node.read()
    if not parts and not free:
        return None
    street = " ".join([word for name in _STREET if name in parts for word in parts[name]])
    lines = [line for name in _OTHER_LINES if name in parts for line in parts[name]]
    return Address(
        lines=tuple([line for line in (street, *lines, free, *parts.get("state", ())) if line]),
        postal_code=" ".join(parts.get("postalCode", ())),
        city=" ".join(parts.get("city", ())),
        country=parts.get("country", _NO_WORD)[0],
        insee=parts.get("county", _NO_WORD)[0],
        use=_first_known(_ADDRESS_USES, use),
        use_words=use,
    )


def _first_known(uses: Mapping[str, str], words: str) -> str:
    """FHIR's use for the first word that has one. `use` is one word, or none, nearly always."""
    known = uses.get(words)
    return known if known is not None else next((uses[word] for word in words.split() if word in uses), "")


def read_telecoms(node: XmlNode) -> tuple[Telecom, ...]:
    """How to reach somebody; null ones are left out."""
    found = []
    for child in node.children("telecom"):
        child.get("nullFlavor")
        value, use = child.get("value"), child.get("use")
        if value:
            found.append(_telecom(value, use))
    return tuple(found)


def _telecom(value: str, use: str) -> Telecom:
    scheme, colon, rest = value.partition(":")
    system = _TELECOM_SYSTEMS.get(scheme.lower(), "") if colon else ""
    known_use = _first_known(_TELECOM_USES, use)
    if not system:
        return Telecom("other", value, known_use, use_words=use)
    return Telecom(system, value if system == "url" else rest, known_use, "" if system == "url" else value, use)


def read_party(
    rules: RuleFile, values: CdaValues, node: XmlNode | None, *, time: str = "", acting: XmlNode | None = None
) -> Party:
    """Who acts at a node (assignedEntity, associatedEntity…); `acting` bears the function (author, participant…)."""
    if node is None:
        return Party(time=time)
    told, _ = extract_group(rules.groups["at_party"], node)
    function, _ = extract_group(rules.groups["at_function"], acting or node)
    if acting is not None:
        values.concept(acting.first("functionCode"))
    node.get("nullFlavor")
    values.concept(node.first("code"))
    device = _device(node, told)
    return Party(
        professional=None if device and not _names_someone(node) else _professional(node, told),
        organisation=_organisation_of(rules, node),
        device=device,
        function_code=function["code"],
        function_label=function["label"],
        time=time,
        time_literal=values.point_literal(acting.first("time")) if acting is not None else "",
        function_words=_function_words(function, (acting or node).select("functionCode/translation")),
        place=node.path,
    )


def _function_words(function: Mapping[str, str], translations: list[XmlNode]) -> FunctionWords:
    others = tuple((n.get("code"), n.get("codeSystem"), n.get("displayName")) for n in translations)
    return FunctionWords(function["system"], " ".join(function["text"].split()), tuple(other for other in others if other[0]))


def _names_someone(node: XmlNode) -> bool:
    return any(node.first(name) is not None for name in _PERSONS)


def _device(node: XmlNode, told: Mapping[str, str]) -> Device | None:
    if not told["software"] and not told["model"]:
        return None
    identifier = node.first("id")
    device = Device(
        identifier=_number(identifier) if identifier is not None else "", software=told["software"], model=told["model"]
    )
    if _names_someone(node):
        return device  # the code, the telecoms and the addresses are the person's
    return replace(
        device,
        kind_code=told["specialty_code"],
        kind_system=told["specialty_system"],
        kind_label=told["specialty_label"],
        telecoms=read_telecoms(node),
        addresses=read_addresses(node),
    )


def _number(node: XmlNode) -> str:
    root, extension = node.get("root"), node.get("extension")
    return f"{root}^{extension}" if extension else root


def _professional(node: XmlNode, told: Mapping[str, str]) -> Professional | None:
    rpps, national_id, other_ids = _person_numbers(node)
    person = next((found for name in _PERSONS if (found := node.first(name)) is not None), None)
    points, places = read_telecoms(node), read_addresses(node)
    if person is None and not (rpps or national_id or points or places):
        return None
    family, given, civility, title = read_name(person.first("name") if person is not None else None)
    return Professional(
        family=family,
        given=given,
        rpps=rpps,
        national_id=national_id,
        title=title,
        civility=civility,
        specialty_code=told["specialty_code"],
        specialty_system=told["specialty_system"],
        specialty_label=told["specialty_label"],
        telecoms=points,
        addresses=places,
        other_ids=other_ids,
    )


def _person_numbers(node: XmlNode) -> tuple[str, str, tuple[str, ...]]:
    """RPPS, the national number as it came (else another authority's, `root^number`), and any further ones."""
    rpps: str = ""
    others: list[str] = []
    for child in node.children("id"):
        if child.look("root") in INS_OIDS and not ins_is_valid(child.look("extension")):
            continue  # a matricule whose key is wrong stays where it is, unread
        child.get("nullFlavor")
        child.get("assigningAuthorityName")
        root, extension = child.get("root"), child.get("extension")
        if root == _IDNPS:
            rpps = rpps or rpps_of(extension)
            others += [extension] if extension and (len(extension) != _RPPS_DIGITS or not rpps_of(extension)) else []
        elif root:
            others.append(f"{root}^{extension}" if extension else f"{root}^")
    return (rpps, *_first_and_rest(others))


def _first_and_rest(numbers: list[str]) -> tuple[str, tuple[str, ...]]:
    """A national number comes before another authority's, whatever the order of the source."""
    ordered = sorted(dict.fromkeys(numbers), key=lambda number: "^" in number)
    return (ordered[0] if ordered else ""), tuple(ordered[1:])


def read_name(node: XmlNode | None) -> tuple[str, str, str, str]:
    """Family, given, civility and title of anyone but the patient."""
    if node is None:
        return "", "", "", ""
    texts: dict[str, list[str]] = {}
    for child in node.children():
        child.get("qualifier")  # SP and the like: a relic of before the RNIV, without meaning for a professional
        child.get("nullFlavor")
        text = " ".join(child.read().split())
        if text:
            texts.setdefault(child.name, []).append(text)
    family = " ".join(texts.get("family", ())) or " ".join(node.read().split())
    return family, " ".join(texts.get("given", ())), " ".join(texts.get("prefix", ())), " ".join(texts.get("suffix", ()))


def _organisation_of(rules: RuleFile, node: XmlNode) -> Organisation | None:
    found = next((child for name in _ORGANISATIONS if (child := node.first(name)) is not None), None)
    return read_organisation(rules, found) if found is not None else None


def read_organisation(rules: RuleFile, node: XmlNode) -> Organisation:
    """A structure, with its practice setting."""
    told, _ = extract_group(rules.groups["at_organisation"], node)
    node.get("nullFlavor")
    finess, national_id, other_ids = read_structure_number(node)
    return Organisation(
        name=" ".join(told["name"].split()),
        finess=finess,
        national_id=national_id,
        setting_code=told["setting_code"],
        setting_label=told["setting_label"],
        telecoms=read_telecoms(node),
        addresses=read_addresses(node),
        setting_system=told["setting_system"],
        other_ids=other_ids,
    )


def read_structure_number(node: XmlNode) -> tuple[str, str, tuple[str, ...]]:
    """FINESS, the national number as it came (else another authority's), and any further ones."""
    finess: str = ""
    others: list[str] = []
    for child in node.children("id"):
        child.get("nullFlavor")
        child.get("assigningAuthorityName")
        root, extension = child.get("root"), child.get("extension")
        if root == _STRUCT:
            finess = finess or finess_of(extension)
            others += [extension] if extension and extension != finess_of(extension) else []
        elif root:
            others.append(f"{root}^{extension}" if extension else f"{root}^")
    return (finess, *_first_and_rest(others))
