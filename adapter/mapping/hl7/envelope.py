"""Builds the envelope of a message: sender, recipients, visibility, proofs wanted, mail bodies, units. Never clinical content.

Sources: CI-SIS volet 2.1 §PRT, §MetaDMPMSS, NTE FIN; blueprint seams 3 and 14. Identifiers are told by their own form and OID,
never by a label: samples mix `IDNPS` and `RPPS`, `FINEG` and `1` + FINESS, and misspell namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapter.errors import InputError
from adapter.mapping.engine import Extraction, Values
from adapter.mapping.hl7.documents import BODY_CODES, body_text
from adapter.mapping.hl7.leftovers import give_back_marks, give_back_recipients, give_back_sender
from adapter.mapping.hl7.source import Hl7Source
from adapter.mapping.transforms import finess_of, rpps_of
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from adapter.model.identity import INS_OIDS
from adapter.model.parties import Device, Organisation, Party, Professional, Recipient, RecipientKind
from adapter.model.submission import AcksWanted, Destinations, MailBodies, Visibility

# Patients have their boxes under `patient.mssante.fr`, or `patient.test.…` and `patient.formation.…` for training.
_PATIENT_DOMAIN = "patient."
# XON.7 of what is a part of a structure: its number is a unit code, and its authority is the structure.
_UNIT_KINDS = frozenset({"UF", "SVR"})


@dataclass(frozen=True, repr=False)
class Envelope(Confidential):
    """Everything that a message says about a sending, apart from the document and its patient."""

    flags: Mapping[str, str]
    visibility: Visibility
    destinations: Destinations
    acks: AcksWanted
    sender: Party | None
    recipients: tuple[Recipient, ...]
    reply_to_address: str
    bodies: MailBodies
    encounter_class: str
    unit_codes: tuple[tuple[str, str], ...]
    visit_number: tuple[str, str] = ("", "")
    findings: tuple[Finding, ...] = field(default_factory=tuple)


def read_envelope(source: Hl7Source, found: Extraction) -> Envelope:
    """The envelope, from what the rules extracted."""
    findings: list[Finding] = []
    flags = {name: str(value or "").upper() for name, value in found.one("flags").items()}

    def asked(name: str) -> bool:
        return flags[name] == "Y"

    destinations = Destinations(
        record=asked("DESTDMP"),
        professionals=asked("DESTMSSANTEPS"),
        patient=asked("DESTMSSANTEPAT"),
        patient_may_reply="FIN" not in found.one("patient_reply")["marks"],
    )
    control, visit = found.one("control"), found.one("visit")
    sender, recipients = _sender(found.one("sender")), _recipients(source, found, destinations, findings)
    give_back_sender(source, found.one("sender"), sender)
    give_back_marks(source)
    return Envelope(
        flags=flags,
        visibility=Visibility(
            hidden_from_professionals=asked("MASQUE_PS"),
            hidden_from_patient=asked("INVISIBLE_PATIENT"),
            hidden_from_representatives=asked("INVISIBLE_REP_LEGAUX"),
            secret_connection=asked("CONNEXION_SECRETE"),
            changes_confidentiality=asked("MODIF_CONF_CODE"),
        ),
        destinations=destinations,
        acks=AcksWanted(
            reception=asked("ACK_RECEPTION"),
            reading=asked("ACK_LECTURE_MSS"),
            reply_application=control["application"],
            reply_facility=control["facility"],
        ),
        sender=sender,
        recipients=recipients,
        reply_to_address=found.one("reply")["address"],
        bodies=_bodies(source, findings),
        encounter_class=visit["encounter_class"],
        unit_codes=_units(found.one("units")),
        visit_number=(authority_of(visit["number_authority"], visit["number_namespace"]), visit["number"]),
        findings=tuple(findings),
    )


def ins_in(found: Extraction) -> str:
    """The matricule of PID-3, or empty."""
    for row in found.many("identifiers"):
        if is_ins(row):
            return str(row["value"])
    return ""


def is_ins(row: Values) -> bool:
    """True for a PID-3 repetition that claims to be an INS, by its OID or by its type."""
    return row["authority"] in INS_OIDS or row["kind"] == "INS"


def authority_of(number: str, name: str) -> str:
    """Who gave a number: an OID where there is one, else a name, else whatever stands for it."""
    return (number if "." in number else "") or name or number


def _sender(row: Values) -> Party | None:
    professional = _professional(row) if row["person_id"] or row["person_family"] else None
    organisation = _organisation(row)
    device = Device(identifier=row["device_id"], software=row["device_name"]) if row["device_id"] else None
    if professional is None and organisation is None and device is None:
        return None
    return Party(professional=professional, organisation=organisation, device=device)


def _professional(row: Values) -> Professional:
    number = row["person_id"]
    rpps = rpps_of(number)
    return Professional(family=row["person_family"], given=row["person_given"], rpps=rpps, national_id="" if rpps else number)


def _organisation(row: Values) -> Organisation | None:
    number, name = row["organisation_id"], row["organisation_name"]
    if not (number or name):
        return None
    if row["organisation_kind"] in _UNIT_KINDS:
        return Organisation(name=name, finess=finess_of(row["organisation_authority"]), unit=number)
    finess = finess_of(number)
    return Organisation(name=name, finess=finess, national_id="" if finess else number)


def _recipients(source: Hl7Source, found: Extraction, asked: Destinations, findings: list[Finding]) -> tuple[Recipient, ...]:
    """Those that the flags ask for: a PRT alone opens no destination, and a flag without PRT gives no professional."""
    recipients: list[Recipient] = []
    patient_address = ""
    rows = [(row, _recipient(row)) for row in found.many("recipients")]
    for _, recipient in rows:
        if recipient.kind is RecipientKind.PATIENT:
            patient_address = recipient.address
            if not asked.patient:
                findings.append(_not_asked("DESTMSSANTEPAT"))
        elif asked.professionals:
            recipients.append(recipient)
        else:
            findings.append(_not_asked("DESTMSSANTEPS"))
    if asked.patient:
        recipients.append(_patient(patient_address, ins_in(found), findings))
    give_back_recipients(source, rows, recipients, ins_in(found))
    if asked.record:
        recipients.append(Recipient(RecipientKind.RECORD, role_hint="DESTDMP"))
    return tuple(recipients)


def _recipient(row: Values) -> Recipient:
    organisation = _organisation(row) or Organisation()
    person = " ".join(part for part in (row["person_given"], row["person_family"]) if part)
    return Recipient(
        kind=_kind(row),
        address=row["address"],
        rpps=rpps_of(row["person_id"]),
        finess=organisation.finess,
        unit=organisation.unit,
        name=person or organisation.name or row["device_name"] or row["device_id"],
        role_hint="RCT",
    )


def _kind(row: Values) -> RecipientKind:
    if row["person_kind"] == "INS" or {row["person_authority"], row["person_namespace"]} & INS_OIDS:
        return RecipientKind.PATIENT
    if f"@{_PATIENT_DOMAIN}" in row["address"]:
        return RecipientKind.PATIENT
    if row["person_id"] or row["person_family"]:
        return RecipientKind.PROFESSIONAL
    if row["organisation_id"] or row["organisation_name"]:
        return RecipientKind.ORGANISATION
    return RecipientKind.APPLICATION


def _patient(address: str, matricule: str, findings: list[Finding]) -> Recipient:
    """The patient's leg. An address made of another number than PID-3's is somebody else's box: it is dropped and told."""
    local, _, domain = address.partition("@")
    if domain.startswith(_PATIENT_DOMAIN) and local != matricule.lower():
        text = "The patient's address is not made of the INS of PID-3: it is not used."
        findings.append(Finding(Severity.WARNING, "hl7.patient-address", text, "PRT-15.4", hl7_code="103"))
        address = ""
    return Recipient(RecipientKind.PATIENT, address=address, role_hint="DESTMSSANTEPAT")


def _not_asked(flag: str) -> Finding:
    text = f"A recipient is named although {flag} does not ask for it: nothing is sent there."
    return Finding(Severity.WARNING, "hl7.recipient-not-asked", text, "PRT", hl7_code="199")


def _bodies(source: Hl7Source, findings: list[Finding]) -> MailBodies:
    texts = {"professionals": "", "patient": ""}
    for code, role in BODY_CODES.items():
        for node in source.root.select(f"OBX[3={code}]-5.5")[:1]:
            node.payload()
            try:
                texts[role] = body_text(node.segment)
            except InputError as error:
                text = "The mail body cannot be decoded: the usual text is sent instead."
                findings.append(Finding(Severity.WARNING, "hl7.mail-body", text, error.where, hl7_code="102"))
    return MailBodies(**texts)


def _units(row: Values) -> tuple[tuple[str, str], ...]:
    """Units named by the message, most precise first, each once."""
    named = (("medical", row["medical"]), ("care", row["care"]), ("medical", row["sender"]), ("location", row["location"]))
    return tuple(dict.fromkeys((kind, code) for kind, code in named if code))
