"""A form's common answers to the document's header: patient, author, custodian, care setting. Any form.

Law: a form's identity is provisional (seam 14). The groups `patient`, `author` and `request` of the rules feed this; a field
that a form does not have is simply not in its rules.
"""

from __future__ import annotations

from adapter.mapping.engine import Extraction, Values
from adapter.mapping.rules import RuleFile
from adapter.model.document import BodyKind, Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.identity import (
    INS_DEMO,
    INS_NIA,
    INS_NIR,
    INS_TEST,
    Address,
    Ins,
    PatientIdentity,
    Telecom,
    ins_is_valid,
)
from adapter.model.parties import Organisation, Party, Professional

_INS_KINDS = {"": INS_NIR, "NIR": INS_NIR, "NIA": INS_NIA, "TEST": INS_TEST, "DEMO": INS_DEMO}
_SEXES = {"F": "F", "M": "M", "inconnu": "UN"}
# The care setting: v3-ActCode class, its label, and PV1-2.
_SETTINGS = {"externe": ("AMB", "Externe", "O"), "hospitalise": ("IMP", "Hospitalisé", "I")}
# A header names its systems by OID, as the CDA headers that every rendition derives from.
_LOINC_OID = "2.16.840.1.113883.6.1"
_ACT_CODE_OID = "2.16.840.1.113883.5.4"


def form_header(slug: str, unique_id: str, found: Extraction, rules: RuleFile, target: str = "") -> DocumentHeader:
    """The header of the document that a form becomes; `target` names where the stay is when the rules put it there."""
    request, told = found.one("request"), rules.data["document"]
    code = Code(told["type"], _LOINC_OID, told["type_label"])
    act = Code(*told["act"]) if "act" in told else code
    # Where the principal act is the stay, it begins with it; elsewhere the act is the form's own writing.
    began = (request.get("stay_start") if "act" in told else "") or request["date"]
    author = _author(found.one("author"), request["date"])
    setting, label, _ = _SETTINGS[care_setting(request, rules)]
    custodian = _custodian(found.one("author"))
    elsewhere = Organisation(name=target) if told.get("stay_at") == "target" else None
    performer = Party(organisation=elsewhere) if elsewhere else author
    return DocumentHeader(
        unique_id=unique_id,
        set_id=unique_id,
        type=code,
        title=told["title"],
        created=request["date"],
        patient=_identity(found.one("patient")),
        authors=(author,),
        legal_authenticator=author,
        custodian=custodian,
        body=BodyKind.FORM,
        participants=(ReferringParty("INF", "PCP", author),) if found.one("author").get("primary") == "true" else (),
        service_events=(ServiceEvent(code=act, start=began, performer=performer),),
        stay=Stay(
            class_code=setting,
            class_system=_ACT_CODE_OID,
            class_label=label,
            start=request.get("stay_start") or request["date"],
            end=request.get("stay_end", ""),
            organisation=elsewhere or custodian,
        ),
        model=slug,
    )


def care_setting(request: Values, rules: RuleFile) -> str:
    """Where the patient is cared for: the form's answer, else what its rules say for all (`[document] setting`)."""
    return str(request.get("setting") or rules.data["document"].get("setting", "externe"))


def patient_class(request: Values, rules: RuleFile) -> str:
    """The same as PV1-2."""
    return _SETTINGS[care_setting(request, rules)][2]


def matricule(written: str) -> str:
    """A matricule without the blanks people write in it."""
    return "".join(written.split()).upper()


def _identity(patient: Values) -> PatientIdentity:
    """The traits as written, provisional; the name is a birth name only if the form says so, else it stands for it."""
    number = matricule(patient.get("ins", ""))
    birth_name = patient.get("birth_name", "")
    return PatientIdentity(
        birth_name=birth_name or patient["name"],
        used_name=patient["name"] if birth_name else "",
        first_given=patient["given"],
        birth_date=patient["birth_date"],
        sex=_SEXES.get(patient.get("sex", ""), ""),
        ins=Ins(number, _INS_KINDS[patient.get("ins_kind", "")]) if ins_is_valid(number) else None,
        addresses=_addresses(patient),
        telecoms=_telecoms(patient),
    )


def _addresses(patient: Values) -> tuple[Address, ...]:
    lines = tuple(line.strip() for line in patient.get("address", "").splitlines() if line.strip())
    place = (patient.get("postal_code", ""), patient.get("city", ""))
    return (Address(lines, *place),) if lines or any(place) else ()


def _telecoms(patient: Values) -> tuple[Telecom, ...]:
    ways = (("phone", "phone", ""), ("home_phone", "phone", "home"), ("mobile", "phone", "mobile"), ("email", "email", ""))
    return tuple(Telecom(system, patient[name], use) for name, system, use in ways if patient.get(name))


def _custodian(author: Values) -> Organisation:
    """The structure that keeps the request: the author's own, by its name, else by the department's."""
    return Organisation(name=author.get("organisation") or author.get("service", ""), finess=author.get("finess", ""))


def _author(author: Values, time: str) -> Party:
    """The author in their department, whose phone line the recipient calls back."""
    parts = (author.get("service", ""), author.get("organisation", ""))
    department = ", ".join(dict.fromkeys(part for part in parts if part))
    phone, mail = author.get("phone", ""), author.get("email", "")
    ways = ((Telecom("phone", phone, "work"),) if phone else ()) + ((Telecom("email", mail, "work"),) if mail else ())
    professional = Professional(
        family=author["family"], given=author.get("given", ""), rpps=author.get("rpps", ""), telecoms=ways
    )
    return Party(professional, Organisation(name=department, finess=author.get("finess", "")), time=time)
