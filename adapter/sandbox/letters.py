"""Letters about invented people: the shipped discharge letter under other names, as new, replacing or cancelling messages.

Law: CI-SIS volet 2.1 (MDM T02, T10, T04; ORC-1, OBX-11, TXA-13). Matricules are under the test OID, with right keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import resources

from lxml import etree

from adapter.demo.messages import V3, Sender, To, mdm_t02
from adapter.model.confidential import Confidential
from adapter.model.identity import INS_TEST, ins_key

ROOT = "1.2.250.1.999.94.70"
HOSPITAL_IS = Sender("DPI", "BICETRE", "99900000086", "MAQUETTE", "Alix", "949990121", "Hôpital Bicêtre", "221")
TO_PROFESSIONALS = "DESTMSSANTEPS"
HIDDEN_FROM_REPRESENTATIVES = "INVISIBLE_REP_LEGAUX"


class Order(Enum):
    """What a message does with its document: the event of MSH-9, ORC-1, OBX-11."""

    NEW = ("T02", "NW", "F")
    REPLACE = ("T10", "RO", "C")
    CANCEL = ("T04", "CA", "D")


@dataclass(frozen=True, repr=False)
class Person(Confidential):
    """An invented patient. `thirteen`: the matricule without its key; `born` as CDA writes it."""

    birth_name: str
    given: str
    sex: str
    born: str
    thirteen: str
    ipp: str
    used_name: str = ""


@dataclass(frozen=True, repr=False)
class Letter(Confidential):
    """One version of one document. `number` tells documents apart."""

    number: int
    person: Person
    recipients: tuple[To, ...]
    version: int = 1
    order: Order = Order.NEW
    flags: tuple[str, ...] = ()

    @property
    def document_id(self) -> str:
        """Its unique id, an OID."""
        return f"{ROOT}.{self.number}.{self.version}"

    @property
    def control_id(self) -> str:
        """MSH-10 of the message that brings it."""
        return f"BAS{self.number}-{self.version}-{self.order.name[0]}"


def message_of(letter: Letter) -> bytes:
    """The HL7 message that a hospital would send."""
    event, control, status = letter.order.value
    message = mdm_t02(
        _cda(letter), letter.control_id, HOSPITAL_IS, letter.recipients, open_flags=(TO_PROFESSIONALS, *letter.flags)
    )
    segments: Sequence[bytes] = [_as_ordered(line, event, control, status, letter) for line in message.split(b"\r")]
    return b"\r".join(segments)


def _as_ordered(line: bytes, event: str, control: str, status: str, letter: Letter) -> bytes:
    if line.startswith(b"MSH|"):
        return line.replace(b"|MDM^T02^", f"|MDM^{event}^".encode(), 1)
    if line.startswith(b"ORC|"):
        return f"ORC|{control}".encode()
    if line.startswith(b"OBX|1|"):
        return line.removesuffix(b"F") + status.encode()
    if line.startswith(b"TXA|") and letter.version > 1:
        parent = f"{ROOT}.{letter.number}.{letter.version - 1}"
        return line.replace(letter.document_id.encode() + b"|", f"{letter.document_id}|{parent}".encode() + b"|", 1).replace(
            b"|||||AU", b"||||AU", 1
        )
    return line


def _cda(letter: Letter) -> bytes:
    shipped = (resources.files("adapter") / "demo" / "documents" / "lettre-de-sortie.xml").read_bytes()
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    root = etree.fromstring(shipped, parser)
    _set(root, "id", root=letter.document_id)
    _set(root, "setId", root=f"{ROOT}.{letter.number}")
    _set(root, "versionNumber", value=str(letter.version))
    if letter.version > 1:
        _replace_parent(root, f"{ROOT}.{letter.number}.{letter.version - 1}")
    role = root.find(f"{V3}recordTarget/{V3}patientRole")
    if role is None:
        raise ValueError("the shipped letter lost its patient")
    _name_patient(role, letter.person)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _set(document: etree._Element, name: str, **attributes: str) -> None:
    element = document.find(f"{V3}{name}")
    if element is None:
        raise ValueError("the shipped letter lost its header")
    element.attrib.pop("extension", "")
    for key, value in attributes.items():
        element.set(key, value)


def _replace_parent(root: etree._Element, parent_id: str) -> None:
    """relatedDocument RPLC, at its place in the header: before componentOf."""
    related = etree.Element(f"{V3}relatedDocument", typeCode="RPLC")
    parent = etree.SubElement(related, f"{V3}parentDocument")
    etree.SubElement(parent, f"{V3}id", root=parent_id)
    place = root.find(f"{V3}componentOf")
    if place is None:
        raise ValueError("the shipped letter lost its stay")
    place.addprevious(related)


def _name_patient(role: etree._Element, person: Person) -> None:
    matricule = f"{person.thirteen}{ins_key(person.thirteen):02d}"
    for element in role.findall(f"{V3}id"):
        element.set("extension", matricule if element.get("root") == INS_TEST else person.ipp)
    for telecom in role.findall(f"{V3}telecom"):
        if telecom.get("value", "").startswith("mailto:"):
            role.remove(telecom)
    for element in role.iterfind(f"{V3}patient/{V3}name/{V3}*"):
        element.text = _name_part(element, person)
    for path, key, value in (("administrativeGenderCode", "code", person.sex), ("birthTime", "value", person.born)):
        for found in role.iterfind(f"{V3}patient/{V3}{path}"):
            found.set(key, value)


def _name_part(element: etree._Element, person: Person) -> str:
    if element.tag != f"{V3}family":
        return person.given
    return (person.used_name or person.birth_name) if element.get("qualifier") == "CL" else person.birth_name
