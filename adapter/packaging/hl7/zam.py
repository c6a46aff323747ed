"""Writes a business acknowledgement: ZAM^Z01 (record), Z02 (delivery to a mailbox), Z03 (reading), structure ZAM_Z01. Pure.

Source: CI-SIS volet 2.1, flows 3 to 5: EVN-6 when the acknowledged event happened, OBX-1 the answer with the first MSH-10 in
OBX-4, OBX-2 the recipient or reader (Z02, Z03), ERR if and only if the answer is N.
"""

from __future__ import annotations

from adapter.errors import RenditionError
from adapter.model.ack import AckKind, BusinessAck
from adapter.packaging.hl7.er7 import Header, instant, message_header, parts, segment, value, write_message

PROFILE = "2.1^CISIS_CDA_HL7_V2"
_SYSTEM = "AckMetierZAM"
_STATUS = {
    AckKind.RECORD: ("ACK_RECEPTION_DMP", "Accusé de réception DMP"),
    AckKind.DELIVERY: ("ACK_RECEPTION_MSS", "Accusé de réception MSSanté"),
    AckKind.READING: ("ACK_LECTURE_MSS", "Accusé de lecture"),
}
_RECIPIENT = {
    AckKind.DELIVERY: ("DESTINATAIRE_MSS", "Destinataire MSSanté"),
    AckKind.READING: ("LECTEUR_MSS", "Lecteur du courriel MSSanté"),
}
# Of ERR-5, by kind. Z01: the norm's table writes DMP_ERROR_CODE, its one sample DMPERRORCODE.
# Z03: table 0533, by one of the two names that the volets give it.
_TABLE = {
    AckKind.RECORD: "DMP_ERROR_CODE",
    AckKind.DELIVERY: "SMTPERRORCODE",
    AckKind.READING: "applicationErrorCode",
}


def build_zam(ack: BusinessAck, header: Header) -> bytes:
    """The message; RenditionError when this kind has none (a mail is answered by mail), or when N has no reason."""
    if ack.kind not in _STATUS:
        raise RenditionError("zam.not-this-kind", "no ZAM message says this", where=ack.kind.value)
    lines = [
        message_header(header, f"ZAM^{ack.kind.value}^ZAM_Z01", PROFILE),
        segment("EVN", "", instant(header.sent_at), "", "", "", instant(ack.happened_at)),
        _status(ack),
    ]
    if ack.kind in _RECIPIENT:
        lines.append(_recipient(ack))
    if not ack.positive:
        lines.append(_error(ack))
    return write_message(lines, header.charset)


def _status(ack: BusinessAck) -> str:
    answer = "Y" if ack.positive else "N"
    said = parts(answer, "", "expandedYes-NoIndicator")
    return segment("OBX", "1", "CWE", parts(*_STATUS[ack.kind], _SYSTEM), value(ack.control_id), said, *("",) * 5, "F")


def _recipient(ack: BusinessAck) -> str:
    address = parts("", "", "X.400", ack.address)
    return segment("OBX", "2", "XTN", parts(*_RECIPIENT[ack.kind], _SYSTEM), value(ack.person_id), address, *("",) * 5, "F")


def _error(ack: BusinessAck) -> str:
    if ack.reason is None:
        raise RenditionError("zam.no-reason", "a negative acknowledgement says why", where=ack.kind.value)
    reason = parts(ack.reason.code, ack.reason.label, _TABLE[ack.kind])
    return segment("ERR", "", "", parts("207", "Application error", "messageErrorCondition"), "E", reason)
