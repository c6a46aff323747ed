"""Writes flow 6: a document for local software as MDM^T02, T10 or T04, structure MDM_T02, HL7 2.6. Pure.

Source: CI-SIS volet "Transmission au LPS d'un document CDA" 1.1: MSH EVN PID PV1(N) ORC OBR TXA OBX(document) PRT(SB, RCT, REPLY)
OBX(courriel) and four flags. PRT is pre-adopted from 2.9. TXA-12 and TXA-13 are the document's ids: `ext^^root^ISO`, or the root.
A document that came by another door than mail says so in the courriel OBX: its own reference and title stand for a mail's.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from adapter.errors import RenditionError
from adapter.model.confidential import Confidential
from adapter.model.document import Code
from adapter.model.identity import Address, LocalIdentifier, PatientIdentity, Reliability
from adapter.model.parties import Organisation, Professional, Recipient
from adapter.model.submission import Intent, MailOrigin, Submission
from adapter.packaging.hl7.er7 import Header, authority, instant, message_header, parts, segment, stamp_of, value, write_message

PROFILE = "1.1^CISIS_CDA_HL7_LPS"
_EVENTS = {Intent.NEW: ("T02", "F", "NW"), Intent.REPLACE: ("T10", "C", "RO"), Intent.CANCEL: ("T04", "D", "CA")}
_LOINC = frozenset({"2.16.840.1.113883.6.1", "http://loinc.org"})
_PS_OID, _ST_OID = "1.2.250.1.71.4.2.1", "1.2.250.1.71.4.2.2"
_INS_AUTHORITY = {"1.2.250.1.213.1.4.9": "ASIP-SANTE-INS-NIA"}
_SEXES = {"F": "F", "M": "M"}
_NORMAL_BODY = "Document transmis par Trait d'union."


@dataclass(frozen=True, repr=False)
class LocalDocument(Confidential):
    """What flow 6 carries: the submission, the very CDA that travels, and whose mailbox stands for ours without a mail."""

    submission: Submission
    cda: bytes
    own_mailbox: str


def build_mdm(document: LocalDocument, header: Header) -> bytes:
    """The message; RenditionError when the norm wants what the document does not have."""
    submission = document.submission
    event, status, order = _EVENTS[submission.intent]
    mail = submission.mail or _as_mail(document)
    coded = _type(submission.document.type)
    lines = [
        message_header(header, f"MDM^{event}^MDM_T02", PROFILE),
        segment("EVN", "", instant(header.sent_at), "", "", "", stamp_of(mail.received_at)),
        _patient(submission.document.patient),
        segment("PV1", "1", "N"),
        segment("ORC", order),
        segment("OBR", "1", "", "", coded),
        _record(submission),
        segment("OBX", "1", "ED", coded, "", f"^text^XML^Base64^{_base64(document.cda)}", *("",) * 5, status),
        *_participations(submission, mail),
        _mail_text(mail),
        *_flags(submission),
    ]
    return write_message(lines, header.charset)


def _as_mail(document: LocalDocument) -> MailOrigin:
    """What stands for the mail of a document that came otherwise: required by the profile, and true."""
    submission = document.submission
    return MailOrigin(
        message_id=submission.control_id or submission.receipt_id,
        subject=submission.document.title or submission.document.type.label,
        body=submission.bodies.professionals or _NORMAL_BODY,
        sender_address=document.own_mailbox,
    )


def _type(code: Code) -> str:
    if not code.code:
        raise RenditionError("mdm.no-type", "the document has no type code", where="OBR-4")
    return parts(code.code, code.label, "LN" if code.system in _LOINC else "TRE_A05")


# ── who the patient is ────────────────────────────────────────────────────────────────────────────────────────


def _patient(patient: PatientIdentity) -> str:
    identifiers = [_ins(patient)] if patient.ins is not None else []
    identifiers += [_local(one) for one in patient.local_ids if one.kind == "PI"]
    if not identifiers:
        raise RenditionError("mdm.no-patient-number", "the patient has neither INS nor local number", where="PID-3")
    case = next((_local(one) for one in patient.local_ids if one.kind == "AN"), "")
    status = "PROV" if patient.reliability is Reliability.PROVISIONAL else "VALI"
    return segment(
        "PID",
        "",
        "",
        "~".join(identifiers),
        "",
        _names(patient),
        "",
        stamp_of(patient.birth_date),
        _SEXES.get(patient.sex, "U"),
        "",
        "",
        _addresses(patient),
        "",
        _telecoms(patient),
        *("",) * 4,
        case,
        *("",) * 13,
        status,
    )


def _ins(patient: PatientIdentity) -> str:
    ins = patient.ins
    if ins is None:
        return ""
    return f"{value(ins.value)}^^^{authority(ins.oid, _INS_AUTHORITY.get(ins.oid, 'ASIP-SANTE-INS-NIR'))}^INS"


def _local(identifier: LocalIdentifier) -> str:
    return f"{value(identifier.value)}^^^{authority(identifier.authority)}^{identifier.kind}"


def _names(patient: PatientIdentity) -> str:
    names = [parts(patient.birth_name, patient.first_given, patient.birth_given_names, "", "", "", "L")]
    if patient.used_name or patient.used_given:
        names.append(parts(patient.used_name, patient.used_given, "", "", "", "", "D"))
    return "~".join(names)


def _addresses(patient: PatientIdentity) -> str:
    written = [_address(one) for one in patient.addresses]
    if patient.birth_place_insee or patient.birth_place_city:
        written.append(parts("", "", patient.birth_place_city, "", "", "", "BDL", "", patient.birth_place_insee))
    return "~".join(filter(None, written))


def _address(one: Address) -> str:
    street, *more = (*one.lines, "")
    kind = {"work": "O", "temp": "C"}.get(one.use, "H")
    country = one.country if len(one.country) == 3 else {"FR": "FRA"}.get(one.country, "")
    return parts(street, " ".join(filter(None, more)), one.city, "", one.postal_code, country, kind, "", one.insee)


def _telecoms(patient: PatientIdentity) -> str:
    written = []
    for one in patient.telecoms:
        if one.system == "email":
            written.append(parts("", "NET", "Internet", one.value))
        elif one.system == "phone":
            written.append(parts("", "PRN", "CP" if one.use == "mobile" else "PH", *("",) * 8, one.value))
    return "~".join(written)


# ── the document ──────────────────────────────────────────────────────────────────────────────────────────────


def _record(submission: Submission) -> str:
    """TXA. A replacement names what it replaces, else a receiver must refuse it; a cancelled version names its own parent."""
    document = submission.document
    names_parent = submission.intent is not Intent.NEW and document.replaces
    if submission.intent is Intent.REPLACE and not names_parent:
        raise RenditionError("mdm.no-parent", "a replacement names no document that it replaces", where="TXA-13")
    return segment(
        "TXA",
        "1",
        value(document.type.code),
        "TEXT",
        stamp_of(document.created),
        *("",) * 7,
        _entity(document.unique_id),
        _entity(document.replaces) if names_parent else "",
        *("",) * 3,
        "AU",
    )


def _entity(unique_id: str) -> str:
    root, _, extension = unique_id.partition("^")
    return parts(extension, "", root, "ISO") if extension else value(root)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _mail_text(mail: MailOrigin) -> str:
    body = f"^text^^Base64^{_base64(mail.body.encode())}"
    return segment("OBX", "2", "ED", parts(mail.message_id, mail.subject), "", body, *("",) * 5, "F")


_FLAG_LABELS = {
    "MASQUE_PS": "Masqué aux professionnels de Santé",
    "INVISIBLE_PATIENT": "Document Non Visible par le patient",
    "INVISIBLE_REP_LEGAUX": "Non visible par les représentants Légaux du patient",
    "MODIF_CONF_CODE": "Modification Confidentiality Code",
}


def _flags(submission: Submission) -> list[str]:
    seen = submission.visibility
    asked = {
        "MASQUE_PS": seen.hidden_from_professionals,
        "INVISIBLE_PATIENT": seen.hidden_from_patient,
        "INVISIBLE_REP_LEGAUX": seen.hidden_from_representatives,
        "MODIF_CONF_CODE": seen.changes_confidentiality,
    }
    return [
        segment(
            "OBX",
            str(number),
            "CWE",
            parts(code, _FLAG_LABELS[code], "MetaDMPMSS"),
            "",
            parts("Y" if is_so else "N", "", "expandedYes-NoIndicator"),
            *("",) * 5,
            "F",
        )
        for number, (code, is_so) in enumerate(asked.items(), 3)
    ]


# ── who sends it, to whom ─────────────────────────────────────────────────────────────────────────────────────


def _participations(submission: Submission, mail: MailOrigin) -> list[str]:
    """SB is who wrote the mail; RCT the mailbox it came to (lost on forwarding), with the unit or person it names."""
    sender = submission.sender
    written = [
        _participation(
            "SB",
            "Send by",
            _person(sender.professional) if sender and sender.professional else "",
            _organisation(sender.organisation) if sender and sender.organisation else "",
            mail.sender_address,
        )
    ]
    named = [one for one in submission.recipients if one.address or one.rpps or one.finess or one.unit]
    if submission.mail is not None and mail.recipient_address and not any(one.address for one in named):
        written.append(_participation("RCT", "Results Copies To", "", "", mail.recipient_address))
    written += [
        _participation("RCT", "Results Copies To", _named_person(one), _named_structure(one), one.address) for one in named
    ]
    if submission.reply_to_address:
        written.append(_participation("REPLY", "Reply to", "", "", submission.reply_to_address))
    return written


def _participation(code: str, label: str, person: str, organisation: str, address: str) -> str:
    contact = parts("", "", "X.400", address) if address else ""
    return segment("PRT", "", "UC", "", parts(code, label, "participation"), person, "", "", organisation, *("",) * 6, contact)


def _person(who: Professional) -> str:
    number = f"8{who.rpps}" if who.rpps else who.national_id
    return _xcn(number, who.family, who.given)


def _xcn(number: str, family: str, given: str) -> str:
    named = parts(number, family, given)
    if not number:
        return named
    filled = f"{named}{'^' * (2 - named.count('^'))}"
    return f"{filled}^^^^^^{authority(_PS_OID, 'ASIP-SANTE-PS')}^D^^^IDNPS"


def _organisation(where: Organisation) -> str:
    if where.unit:
        return _unit(where.name, where.finess, where.unit)
    return _structure(where.name, where.finess, where.national_id)


def _structure(name: str, finess: str, national_id: str = "") -> str:
    number = finess or national_id
    if not number:
        return value(name)
    return f"{value(name)}^^^^^{authority(_ST_OID, 'ASIP-SANTE-ST')}^{'FINEG' if finess else 'IDNST'}^^^{value(number)}"


def _unit(name: str, finess: str, unit: str) -> str:
    return f"{value(name)}^^^^^{value(finess)}^UF^^^{value(unit)}"


def _named_person(one: Recipient) -> str:
    return _xcn(f"8{one.rpps}", one.name if one.rpps else "", "") if one.rpps else ""


def _named_structure(one: Recipient) -> str:
    if one.unit:
        return _unit("" if one.rpps else one.name, one.finess, one.unit)
    return _structure("" if one.rpps else one.name, one.finess) if one.finess else ""
