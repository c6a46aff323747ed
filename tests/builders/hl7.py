"""Builds our own MDM^T02 and ORU^R01 messages around any CDA, about the invented people of `tests.builders.cda`.

    build_mdm(build_ldl_ses())                                  # discharge letter to one doctor by secure mail
    build_mdm(cda, control_id="M2", recipients=(to_patient(PATIENT),), flags={"DESTMSSANTEPAT": "Y"})
    build_oru(n1, n3)                                           # the same content twice, each with its own id
    build_mdm(second, **REPLACES)                               # a T10; `**CANCELS` a T04; for build_oru, `**ORU_REPLACES`…

Same arguments, same bytes. Sender, unit and doctors are those of the reference territory. Options: `change={"MSH-12": "2.5"}`
replaces a whole field, `drop=("EVN",)` takes segments out, `add=("ZBE|…",)` puts some after PV1, `reply=` and `sender=` are PRT,
`final=True` is NTE FIN, `bodies={"CORPSMAIL_PS": "…"}`, `end=` the line end, `encoding=` the character set.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.builders.cda import PATIENT, SamplePatient

FLAGS = (
    "MASQUE_PS",
    "INVISIBLE_PATIENT",
    "INVISIBLE_REP_LEGAUX",
    "CONNEXION_SECRETE",
    "MODIF_CONF_CODE",
    "DESTDMP",
    "DESTMSSANTEPS",
    "DESTMSSANTEPAT",
    "ACK_RECEPTION",
    "ACK_LECTURE_MSS",
)
REPLACES = {"event": "T10", "order": "RO", "status": "C"}
CANCELS = {"event": "T04", "order": "CA", "status": "D"}
ORU_REPLACES = {"order": "RO", "status": "C"}
ORU_CANCELS = {"order": "CA", "status": "D"}
_RPPS = "ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO"
_FINESS = "ASIP-SANTE-ST&1.2.250.1.71.4.2.2&ISO"


@dataclass(frozen=True)
class Recipient:
    """One PRT RCT, ready to be written."""

    person: str = ""
    organisation: str = ""
    device: str = ""
    address: str = ""


def to_professional(address: str = "", *, rpps: str = "", family: str = "", given: str = "", finess: str = "") -> Recipient:
    """A professional, with an address or a number or both."""
    number = f"8{rpps}" if rpps else ""
    person = f"{number}^{family}^{given}^^^^^^{_RPPS}^D^^^IDNPS" if number or family else ""
    organisation = f"^^^^^{_FINESS}^FINEG^^^{finess}" if finess else ""
    return Recipient(person, organisation, address=address)


def to_organisation(name: str, finess: str, *, unit: str = "", address: str = "") -> Recipient:
    """A structure, or one of its units."""
    if unit:
        return Recipient(organisation=f"{name}^^^^^{finess}^UF^^^{unit}", address=address)
    return Recipient(organisation=f"{name}^^^^^{_FINESS}^FINEG^^^{finess}", address=address)


def to_application(identifier: str, address: str) -> Recipient:
    """An application mailbox."""
    return Recipient(device=identifier, address=address)


def to_patient(patient: SamplePatient = PATIENT, address: str = "") -> Recipient:
    """The patient's own mailbox."""
    person = f"{patient.ins}^{patient.birth_name}^{patient.first_given}^^^^^^{'&'}{patient.ins_oid}&ISO^L^^^INS"
    return Recipient(person, address=address or f"{patient.ins}@patient.mssante.fr")


# People of `fixtures/partners/reference-territory.toml`.
DOCTOR = to_professional("dominique.modele@cms-ivry.formation.mssante.fr", rpps="99700000013", family="MODELE", given="Dominique")
FAX_DOCTOR = to_professional(rpps="99900000029", family="FICTIF", given="Sacha")


def build_mdm(
    cda: bytes,
    *,
    control_id: str = "MDM0001",
    recipients: Sequence[Recipient] = (DOCTOR,),
    flags: Mapping[str, str] | None = None,
    patient: SamplePatient = PATIENT,
    event: str = "T02",
    order: str = "NW",
    status: str = "F",
    unit: str = "221",
    **options: object,
) -> bytes:
    """An MDM message (HL7 2.6) carrying one document."""
    head = [
        _msh(f"MDM^{event}^MDM_T02", control_id, "2.6"),
        "EVN||20261120163500||||20261120163000",
        _pid(patient),
        _pv1(unit),
        f"ORC|{order}",
        "OBR|1|||11490-0^Lettre de liaison à la sortie^LN",
        f"TXA|1|11490-0|TEXT|20261120163000||||||||{_id_after(cda, '<typeId ')}|{_id_after(cda, '<parentDocument>')}||||AU",
    ]
    return _message(head, (cda,), "text", "CWE", recipients, flags, status, options)


def _id_after(cda: bytes, mark: str) -> str:
    """The first id after a mark of a CDA, as TXA-12 and TXA-13 write it; empty when there is none, or no CDA."""
    _, found, after = cda.decode("utf-8", "ignore").partition(mark)
    node = re.search(r'<id (?:extension="(?P<extension>[^"]*)" )?root="(?P<root>[^"]+)"', after) if found else None
    if node is None:
        return ""
    return f"{node['extension']}^^{node['root']}^ISO" if node["extension"] else node["root"]


def build_oru(
    *documents: bytes,
    control_id: str = "ORU0001",
    recipients: Sequence[Recipient] = (DOCTOR,),
    flags: Mapping[str, str] | None = None,
    patient: SamplePatient = PATIENT,
    order: str = "NW",
    status: str = "F",
    unit: str = "221",
    **options: object,
) -> bytes:
    """An ORU message (HL7 2.5) carrying one or two documents."""
    head = [
        _msh("ORU^R01^ORU_R01", control_id, "2.5"),
        _pid(patient),
        _pv1(unit),
        f"ORC|{order}|DEM-1^PRESCRIPTEUR|RES-1^LABO",
        "OBR|1|DEM-1^PRESCRIPTEUR|RES-1^LABO|11502-2^CR d'examens biologiques^LN",
    ]
    return _message(head, documents, "TEXT", "CE", recipients, flags, status, options)


def _message(
    head: list[str],
    documents: Sequence[bytes],
    kind: str,
    datatype: str,
    recipients: Sequence[Recipient],
    flags: Mapping[str, str] | None,
    status: str,
    options: Mapping[str, object],
) -> bytes:
    values = dict.fromkeys(FLAGS, "N") | {"DESTMSSANTEPS": "Y"} | dict(flags or {})
    lines = list(head)
    number = 0
    for document in documents:
        number += 1
        data = base64.b64encode(document).decode()
        lines.append(f"OBX|{number}|ED|11490-0^Lettre de liaison à la sortie^LN||^{kind}^XML^Base64^{data}||||||{status}")
        if number == 1:
            lines += _participations(recipients, str(options.get("reply", "")), str(options.get("sender", SENDER)))
    for name, value in values.items():
        number += 1
        lines.append(f"OBX|{number}|{datatype}|{name}^{name}^MetaDMPMSS||{value}^^expandedYes-NoIndicator||||||F")
        if name == "DESTMSSANTEPAT" and options.get("final"):
            lines.append("NTE|1|||FIN")
    bodies = options.get("bodies", {})
    assert isinstance(bodies, Mapping)
    for name, text in bodies.items():
        number += 1
        data = base64.b64encode(str(text).encode()).decode()
        lines.append(f"OBX|{number}|ED|{name}^Corps du mail^MetaDMPMSS||^{kind}^^Base64^{data}||||||F")
    return _write(lines, options)


SENDER = (
    f"PRT||UC||SB^Send by^participation|810009990001^DUTEST^Hélène^^^^^^{_RPPS}^D^^^IDNPS|||"
    f"Hôpital Bicêtre^^^^^{_FINESS}^FINEG^^^949990121"
)


def _participations(recipients: Sequence[Recipient], reply: str, sender: str) -> list[str]:
    lines = [sender] if sender else []
    for r in recipients:
        address = f"^^X.400^{r.address}" if r.address else ""
        line = f"PRT||UC||RCT^Results Copies To^participation|{r.person}|||{r.organisation}||{r.device}|||||{address}"
        lines.append(line.rstrip("|"))
    if reply:
        lines.append(f"PRT||UC||REPLY^Reply to^participation|||||||||||^^X.400^{reply}")
    return lines


def _msh(event: str, control_id: str, version: str) -> str:
    return (
        f"MSH|^~\\&|DPI|HOPITAL-EXEMPLE|TRAIT-D-UNION|HOPITAL-EXEMPLE|20261120163500+0100||{event}|{control_id}|T|{version}|||||FRA|"
        "UNICODE UTF-8|||2.1^CISIS_CDA_HL7_V2"
    )


def _pid(patient: SamplePatient) -> str:
    ins = f"{patient.ins}^^^ASIP-SANTE-INS-NIR&{patient.ins_oid}&ISO^INS^^20201207~" if patient.ins else ""
    given = f"{patient.first_given}^{patient.birth_given_names}"
    return (
        f"PID|||{ins}{patient.ipp}^^^HOPITAL-EXEMPLE&{patient.ipp_oid}&ISO^PI||{patient.birth_name}^{given}^^^^L||"
        f"{patient.birth_date}|{patient.sex}|||^^^^^^BDL^^{patient.birth_insee}|||||||"
        "DOS-42^^^HOPITAL-EXEMPLE&1.2.250.1.999.94.2&ISO^AN||||||||||||||VALI"
    )


def _pv1(unit: str) -> str:
    return f"PV1|1|I|{unit}^^^HOPITAL-EXEMPLE" + "|" * 16 + "SEJ-7^^^HOPITAL-EXEMPLE&1.2.250.1.999.94.3&ISO^VN"


def _write(lines: list[str], options: Mapping[str, object]) -> bytes:
    dropped, changed, added = options.get("drop", ()), options.get("change", {}), options.get("add", ())
    assert isinstance(dropped, Sequence) and isinstance(changed, Mapping) and isinstance(added, Sequence)
    kept = [line for line in lines if line[:3] not in dropped]
    for place, value in changed.items():
        kept = _changed(kept, str(place), str(value))
    after = next((at for at, line in enumerate(kept) if line.startswith("PV1")), len(kept) - 1)
    kept[after + 1 : after + 1] = [str(line) for line in added]
    end = str(options.get("end", "\r"))
    return "".join(line + end for line in kept).encode(str(options.get("encoding", "utf-8")))


def _changed(lines: list[str], place: str, value: str) -> list[str]:
    """`OBX[2]-5` → the fifth field of the second OBX."""
    name, _, field = place.partition("-")
    rank = int(name[4:-1]) if "[" in name else 1
    seen, result = 0, []
    for line in lines:
        if line[:3] == name[:3]:
            seen += 1
            if seen == rank:
                parts = line.split("|")
                number = int(field) - (1 if line.startswith("MSH") else 0)
                parts += [""] * (number + 1 - len(parts))
                parts[number] = value
                line = "|".join(parts)
        result.append(line)
    return result
