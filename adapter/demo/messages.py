"""The demo's hospital: wraps a CDA in an MDM^T02 as its information system would, and speaks MLLP. Invented people only."""

from __future__ import annotations

import base64
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

V3 = "{urn:hl7-org:v3}"
RPPS_AUTHORITY = "ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO"
STRUCTURE_AUTHORITY = "ASIP-SANTE-ST&1.2.250.1.71.4.2.2&ISO"
FLAGS = (
    "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REP_LEGAUX", "CONNEXION_SECRETE", "MODIF_CONF_CODE",
    "DESTDMP", "DESTMSSANTEPS", "DESTMSSANTEPAT", "ACK_RECEPTION", "ACK_LECTURE_MSS",
)  # fmt: skip


@dataclass(frozen=True)
class Sender:
    """The sending application and who signs: MSH-3/4, and PRT SB."""

    application: str
    facility: str
    rpps: str
    family: str
    given: str
    finess: str
    organisation: str
    unit: str


@dataclass(frozen=True)
class To:
    """One PRT RCT: a person by RPPS, in a structure if named."""

    rpps: str
    family: str
    given: str
    address: str = ""
    finess: str = ""


def with_new_ids(cda: bytes, document_id: str) -> bytes:
    """The same letter as another document: its own id and setId."""
    root = etree.fromstring(cda, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True))
    for name, value in (("id", document_id), ("setId", f"{document_id}.0")):
        element = root.find(f"{V3}{name}")
        if element is not None:
            element.set("root", value)
            element.attrib.pop("extension", "")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def mdm_t02(
    cda: bytes, control_id: str, sender: Sender, recipients: Sequence[To], *, open_flags: Sequence[str], ins: str = ""
) -> bytes:
    """An MDM^T02 (HL7 2.6, CI-SIS volet 2.1) around a CDA. `ins` overrides PID-3: the demo's mistaken message."""
    root = etree.fromstring(cda, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True))
    patient = root.find(f"{V3}recordTarget/{V3}patientRole")
    code = root.find(f"{V3}code")
    unique = root.find(f"{V3}id")
    if patient is None or code is None or unique is None:
        raise ValueError("the demo's own letter lost its header")
    type_field = f"{code.get('code')}^{code.get('displayName')}^LN"
    segments = [
        (
            f"MSH|^~\\&|{sender.application}|{sender.facility}|TRAITDUNION|PFI|20261121093000||MDM^T02^MDM_T02|{control_id}|T|2.6"
            "|||||FRA|UNICODE UTF-8|||2.1^CISIS_CDA_HL7_V2"
        ),
        "EVN||20261121093000||||20261121093000",
        _pid(patient, ins),
        f"PV1|1|I|{sender.unit}||||||||||||||||990001122^^^{sender.facility}&1.2.250.1.999.94.2&ISO^VN",
        "ORC|NW",
        f"OBR|1|||{type_field}",
        f"TXA|1|{code.get('code')}|TEXT|||||||||{unique.get('root')}|||||AU",
        f"OBX|1|ED|{type_field}||^text^XML^Base64^{base64.b64encode(cda).decode()}||||||F",
        (
            f"PRT||UC||SB^Send by^participation|8{sender.rpps}^{sender.family}^{sender.given}^^^^^^{RPPS_AUTHORITY}^D^^^IDNPS"
            f"|||{sender.organisation}^^^^^{STRUCTURE_AUTHORITY}^FINEG^^^{sender.finess}"
        ),
        *[_recipient(to) for to in recipients],
        *[_flag(number, flag, flag in open_flags) for number, flag in enumerate(FLAGS, 2)],
    ]
    return ("\r".join(segments) + "\r").encode()


def _pid(patient: etree._Element, ins: str) -> str:
    identifiers = []
    for element in patient.findall(f"{V3}id"):
        root = element.get("root", "")
        if root.startswith("1.2.250.1.213.1.4."):
            identifiers.append(f"{ins or element.get('extension')}^^^ASIP-SANTE-INS-NIR&{root}&ISO^INS^^20240101")
        else:
            identifiers.append(f"{element.get('extension')}^^^HOPITAL&{root}&ISO^PI")
    family = patient.findtext(f"{V3}patient/{V3}name/{V3}family[@qualifier='BR']", "")
    given = patient.findtext(f"{V3}patient/{V3}name/{V3}given[@qualifier='BR']", "")
    birth = patient.find(f"{V3}patient/{V3}birthTime")
    sex = patient.find(f"{V3}patient/{V3}administrativeGenderCode")
    born, gender = (birth.get("value", "") if birth is not None else ""), (sex.get("code", "") if sex is not None else "")
    return f"PID|1||{'~'.join(identifiers)}||{family}^{given}^{given}^^^^L||{born}|{gender}" + "|" * 24 + "VALI"


def _recipient(to: To) -> str:
    place = f"^^^^^{STRUCTURE_AUTHORITY}^FINEG^^^{to.finess}" if to.finess else ""
    mail = f"^^X.400^{to.address}" if to.address else ""
    return (
        f"PRT||UC||RCT^Results Copies To^participation|8{to.rpps}^{to.family}^{to.given}^^^^^^{RPPS_AUTHORITY}^D^^^IDNPS"
        f"|||{place}|||||||{mail}"
    ).rstrip("|")


def _flag(number: int, flag: str, is_open: bool) -> str:
    return f"OBX|{number}|CWE|{flag}^{flag}^MetaDMPMSS||{'Y' if is_open else 'N'}^^expandedYes-NoIndicator||||||F"


def send_mllp(port: int, message: bytes, timeout_seconds: float = 30.0) -> bytes:
    """One message over MLLP, and its acknowledgement."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds) as link:
        link.sendall(b"\x0b" + message + b"\x1c\r")
        received = b""
        while not received.endswith(b"\x1c\r"):
            chunk = link.recv(65536)
            if not chunk:
                raise ConnectionError("the door closed before it answered")
            received += chunk
    return received[1:-2]
