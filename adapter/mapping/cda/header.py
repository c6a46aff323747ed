"""The header of a CDA as a `DocumentHeader`: rules extract, this builds. What FHIR alone needs is in `cda_extras`.

Source: CI-SIS structuration minimale; digest cda-models §1 and §6. Times are French civil time where no zone is written.
"""

from __future__ import annotations

from dataclasses import replace

from adapter.errors import InputError
from adapter.mapping.cda.people import (
    read_address,
    read_addresses,
    read_organisation,
    read_party,
    read_structure_number,
    read_telecoms,
)
from adapter.mapping.cda.values import CdaValues
from adapter.mapping.engine import Values, extract, extract_group
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.xml_source import XmlNode, XmlSource
from adapter.model.document import BodyKind, Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.finding import Finding, errors_of
from adapter.model.identity import INS_OIDS, Ins, LocalIdentifier, PatientIdentity, Reliability, ins_is_valid
from adapter.model.parties import Organisation, Party

_GROUPS = ("document", "patient", "stay")
_WHOLE_DATE = len("1974-09-18")


def header_rules() -> RuleFile:
    """The rules of the header, loaded once."""
    return load_rules("documents/cda-header")


def read_header(source: XmlSource, values: CdaValues) -> DocumentHeader:
    """The header. Raises InputError `cda.header-incomplete` when what identifies the document is absent."""
    rules = header_rules()
    extraction = extract(rules, source, only=_GROUPS)
    told = extraction.one("document")
    _refuse_incomplete(extraction.findings)
    root = source.root
    created = values.plain_time(root.first("effectiveTime"))
    if not created:
        raise InputError("cda.header-incomplete", "The document has no readable date.", where="effectiveTime")
    custodian = _custodian(rules, root)
    return DocumentHeader(
        unique_id=_unique_id(told["unique_root"], told["unique_extension"]),
        type=Code(told["type_code"], told["type_system"], told["type_label"]),
        title=" ".join(told["title"].split()) or told["type_label"],
        created=created,
        patient=_patient(root, extraction.one("patient"), values),
        authors=tuple(
            read_party(rules, values, author.first("assignedAuthor"), time=values.plain_time(author.first("time")), acting=author)
            for author in root.children("author")
        ),
        custodian=custodian,
        body=BodyKind.PDF_IN_CDA if root.first("component/nonXMLBody") is not None else BodyKind.STRUCTURED_CDA,
        set_id=_unique_id(told["set_root"], told["set_extension"]),
        version=_version(told["version"]),
        replaces=_unique_id(told["replaces_root"], told["replaces_extension"]),
        confidentiality=_confidentiality(told, values),
        confidentiality_label=told["confidentiality_label"],
        language=told["language"],
        legal_authenticator=_authenticator(rules, values, root),
        participants=_participants(rules, values, root),
        service_events=_service_events(rules, values, root),
        stay=_stay(rules, root, extraction.one("stay"), values, custodian),
        template_ids=tuple(filter(None, (template_of(node) for node in root.children("templateId")))),
    )


_CONFIDENTIALITIES = frozenset("ULMNRV")


def _confidentiality(told: Values, values: CdaValues) -> str:
    """Absent is normal; what nobody knows or is masked is taken as restricted: a doubt never opens a channel."""
    code = told["confidentiality"]
    if code in _CONFIDENTIALITIES or not (code or told["confidentiality_null"]):
        return str(code or "N")
    text = "The confidentiality is none that is known: the document is taken as restricted."
    values.warn("cda.unknown-confidentiality", text, "confidentialityCode")
    return "R"


def template_of(node: XmlNode) -> str:
    """A templateId as `root`, or `root|version`."""
    node.get("assigningAuthorityName")
    root, extension = node.get("root"), node.get("extension")
    return f"{root}|{extension}" if extension else root


def _refuse_incomplete(findings: tuple[Finding, ...]) -> None:
    for finding in errors_of(findings):
        raise InputError(finding.code, finding.text, where=finding.location, remedy="Send the document with its whole header.")


def _unique_id(root: str, extension: str) -> str:
    return f"{root}^{extension}" if extension else root


def _version(text: str) -> int:
    """A number that any ledger can hold; `²` is a digit too, but no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0 else 1


# -- patient ----------------------------------------------------------------------------------------------------


def _patient(root: XmlNode, told: Values, values: CdaValues) -> PatientIdentity:
    role = root.first("recordTarget/patientRole")
    if role is None:
        raise InputError("cda.header-incomplete", "The document names no patient.", where="recordTarget/patientRole")
    ins, local_ids = _patient_numbers(role)
    names = _patient_names(role)
    identity = PatientIdentity(
        **names,
        birth_date=values.plain_time(role.first("patient/birthTime")),
        sex=told["sex"],
        birth_place_insee=told["birth_place_insee"],
        birth_place_city=told["birth_place_city"] or told["birth_place_name"],
        birth_place_name=told["birth_place_name"] if told["birth_place_city"] else "",
        birth_place_address=read_address(place) if (place := role.first("patient/birthplace/place/addr")) is not None else None,
        ins=ins,
        local_ids=local_ids,
        addresses=read_addresses(role),
        telecoms=read_telecoms(role),
        reliability=Reliability.PROVISIONAL,
    )
    return _with_reliability(identity, values)


def _with_reliability(identity: PatientIdentity, values: CdaValues) -> PatientIdentity:
    """A CI-SIS document carries the INS of a qualified identity only, with every trait: without them it proves nothing.

    A wrong key is never repaired (seam 14): the number stays in the header and the identity is provisional.
    """
    if identity.ins is None:
        return identity
    place = "recordTarget/patientRole/id"
    if not ins_is_valid(identity.ins.value):
        values.warn("ins.wrong-key", "The key of the INS is wrong: the identity is provisional.", place)
        return identity
    traits = (identity.birth_name, identity.first_given, identity.sex, identity.birth_place_insee)
    if not all(traits) or len(identity.birth_date) != _WHOLE_DATE:
        values.warn("ins.traits-missing", "The INS comes without all its traits, whole: the identity is provisional.", place)
        return identity
    return replace(identity, reliability=Reliability.QUALIFIED)


def _patient_numbers(role: XmlNode) -> tuple[Ins | None, tuple[LocalIdentifier, ...]]:
    ins: Ins | None = None
    local: list[LocalIdentifier] = []
    for node in role.children("id"):
        node.get("nullFlavor")
        node.get("assigningAuthorityName")
        root, extension = node.get("root"), node.get("extension")
        if root in INS_OIDS and ins is None and extension:
            ins = Ins(extension.replace(" ", ""), root)
        elif extension:
            local.append(LocalIdentifier(extension, root))
        elif root:
            local.append(LocalIdentifier(root, ""))
    return ins, tuple(local)


def _patient_names(role: XmlNode) -> dict[str, str]:
    """BR is the birth certificate's, CL the name in use, a `given` without qualifier the whole list of given names.

    Older documents bear no qualifier (then it is the birth name) or SP (a relic: the name in use).
    """
    found: dict[str, str] = {}
    for name in role.select("patient/name"):
        name.get("use")
        for part in name.children():
            qualifier, text = part.get("qualifier"), " ".join(part.read().split())
            found.setdefault(f"{part.name}:{qualifier}", text)
    whole_list = found.get("given:", "")
    first = found.get("given:BR") or whole_list.split(" ", 1)[0]
    return {
        "birth_name": found.get("family:BR") or found.get("family:") or "",
        "first_given": first,
        "birth_given_names": whole_list or first,
        "used_name": found.get("family:CL") or found.get("family:SP") or "",
        "used_given": found.get("given:CL") or "",
    }


# -- people and acts ----------------------------------------------------------------------------------------------------


def _custodian(rules: RuleFile, root: XmlNode) -> Organisation:
    node = root.first("custodian/assignedCustodian/representedCustodianOrganization")
    return read_organisation(rules, node) if node is not None else Organisation()


def _authenticator(rules: RuleFile, values: CdaValues, root: XmlNode) -> Party | None:
    node = root.first("legalAuthenticator")
    if node is None:
        return None
    return read_party(rules, values, node.first("assignedEntity"), time=values.plain_time(node.first("time")), acting=node)


def _participants(rules: RuleFile, values: CdaValues, root: XmlNode) -> tuple[ReferringParty, ...]:
    found = []
    for node in root.children("participant"):
        time = interval_text(values, node.first("time"))
        party = read_party(rules, values, node.first("associatedEntity"), time=time, acting=node)
        found.append(ReferringParty(node.get("typeCode"), party.function_code, party))
        for template in node.children("templateId"):
            template_of(template)
    return tuple(found)


def interval_text(values: CdaValues, node: XmlNode | None) -> str:
    """A TS or IVL_TS as one text: a point as it is, an interval as `start/end` (ISO 8601), empty when unknown."""
    if node is None:
        return ""
    node.get("xsi:type")
    node.get("nullFlavor")
    if node.get("value"):
        return values.plain_time(node)
    period = values.period(node)
    start, end = period.get("start", ""), period.get("end", "")
    return f"{start}/{end}" if start or end else ""


def _service_events(rules: RuleFile, values: CdaValues, root: XmlNode) -> tuple[ServiceEvent, ...]:
    found = []
    for node in root.select("documentationOf/serviceEvent"):
        told, _ = extract_group(rules.groups["at_event"], node)
        period = values.period(node.first("effectiveTime"))
        performer = node.first("performer")
        found.append(
            ServiceEvent(
                code=Code(told["code"], told["system"], told["label"]),
                start=period.get("start", ""),
                end=period.get("end", ""),
                performer=_performer(rules, values, performer) if performer is not None else None,
                identifier=_unique_id(told["id_root"], told["id_extension"]),
            )
        )
    return tuple(found)


def _performer(rules: RuleFile, values: CdaValues, node: XmlNode) -> Party:
    for template in node.children("templateId"):
        template_of(template)
    time = interval_text(values, node.first("time"))
    return read_party(rules, values, node.first("assignedEntity"), time=time, acting=node)


def _stay(rules: RuleFile, root: XmlNode, told: Values, values: CdaValues, custodian: Organisation) -> Stay | None:
    node = root.first("componentOf/encompassingEncounter")
    if node is None:
        return None
    period = values.period(node.first("effectiveTime"))
    return Stay(
        class_code=told["class_code"],
        class_system=told["class_system"],
        class_label=told["class_label"],
        start=period.get("start", ""),
        end=period.get("end", ""),
        facility_type=Code(told["facility_code"], told["facility_system"], told["facility_label"]),
        identifiers=tuple((child.get("root"), child.get("extension")) for child in node.children("id") if child.get("root")),
        organisation=_facility_organisation(rules, node, custodian),
    )


def _facility_organisation(rules: RuleFile, encounter: XmlNode, custodian: Organisation) -> Organisation | None:
    """The structure of care: the id of the facility is its FINESS, its name is that of the organisation that runs it."""
    facility = encounter.first("location/healthCareFacility")
    if facility is None:
        return None
    finess, national_id, _ = read_structure_number(facility)
    provider = facility.first("serviceProviderOrganization")
    told = read_organisation(rules, provider) if provider is not None else None
    if told is None and ((not finess and not national_id) or finess == custodian.finess):
        return None  # unnamed, or the custodian under the name of a ward: the custodian it is
    name = told.name if told is not None else encounter.value_at("location/healthCareFacility/location/name")
    return Organisation(
        name=name,
        finess=finess or (told.finess if told is not None else ""),
        national_id=national_id or (told.national_id if told is not None else ""),
        setting_code=told.setting_code if told is not None else "",
        setting_label=told.setting_label if told is not None else "",
        setting_system=told.setting_system if told is not None else "",
        other_ids=told.other_ids if told is not None else (),
        telecoms=told.telecoms if told is not None else (),
        addresses=told.addresses if told is not None else (),
    )
