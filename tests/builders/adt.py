"""Builds our own ADT messages (PAM-FR 2.11) about invented patients.

    build_adt("A01")                                             # admission of the usual patient, qualified INS
    build_adt("A31", ins="", status="PROV")                      # the INS is withdrawn
    build_adt("A40", ipp="NEW", merged=("OLD",))                 # OLD gives way to NEW
    build_adt("A24", second="OTHER")                             # a link

`at` is EVN-2 (and MSH-7), `change={"PID-30": "Y"}` sets a whole field, `add=("NK1|…",)` appends segments, `drop=("ZFA",)` leaves
some out.
Same arguments, same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.builders.cda import PATIENT, SamplePatient

AUTHORITY = "HOPITAL-EXEMPLE"
MSH_END = "|||||FRA|UNICODE UTF-8|FR||2.11^IHE_FRANCE-2.11-PAM"
_RPPS = "ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^L^^^RPPS"
DOCTOR = (
    f"ROL||UC|ODRP|99700000013^MODELE^Dominique^^^^^^{_RPPS}|||||||1 rue du Test^^IVRY^^94200^FRA^O|^WPN^PH^^^^^^^^^0146000000"
)


def consent(feeding: str = "INO", consultation: str = "IC", at: str = "20261120090000") -> str:
    """A ZFA segment."""
    return f"ZFA|ACTIF|{at}|||||||{feeding}|{at}|{consultation}|{at}"


def guardian(relationship: str = "GRD", until: str = "") -> str:
    """An NK1 segment of somebody who acts for the patient in law."""
    home = "2 rue du Test^^PARIS^^75013^FRA|^PRN^PH^^^^^^^^^0145000000"
    return f"NK1|1|TUTEUR-EXEMPLE^Alix^^^^^L|{relationship}^Tuteur^HL70063|{home}||||{until}"


def build_adt(
    event: str = "A01",
    *,
    control_id: str = "ADT0001",
    at: str = "20261120090000",
    patient: SamplePatient = PATIENT,
    ipp: str = "",
    ins: str | None = None,
    status: str = "VALI",
    merged: Sequence[str] = (),
    account: str = "",
    second: str = "",
    add: Sequence[str] = (),
    drop: Sequence[str] = (),
    change: Mapping[str, str] | None = None,
    end: str = "\r",
    mode: str = "T",
) -> bytes:
    """One message."""
    lines = [
        f"MSH|^~\\&|GAM|{AUTHORITY}|TRAIT-D-UNION|{AUTHORITY}|{at}||ADT^{event}^ADT_A01|{control_id}|{mode}|2.5^FRA^2.11{MSH_END}",
        f"EVN||{at}|||AGENT^EXEMPLE|{at}",
        pid(patient, ipp or patient.ipp, patient.ins if ins is None else ins, status, account),
    ]
    if second:
        lines.append(pid(patient, second, patient.ins if ins is None else ins, status, ""))
    lines += [f"MRG|{former}^^^{AUTHORITY}&{patient.ipp_oid}&ISO^PI||{account_of(account)}" for former in merged]
    if not merged and not second:
        lines += [
            "PV1|1|I|221^12^1^HOPITAL-EXEMPLE|||||" + "|" * 11 + "SEJ-7^^^HOPITAL-EXEMPLE&1.2.250.1.999.94.3&ISO^VN",
            f"ZBE|MVT-1^GAM|{at}||INSERT|N||Chir^^^^^&1.2.250.1.999.94.4&ISO^UF^^^221|Chir^^^^^&1.2.250.1.999.94.4&ISO^UF^^^221|HMS",
        ]
    lines += list(add)
    lines = [line for line in lines if line[:3] not in drop]
    for place, value in (change or {}).items():
        lines = _changed(lines, place, value)
    return "".join(line + end for line in lines).encode()


def account_of(number: str) -> str:
    """A case number as CX."""
    return f"{number}^^^{AUTHORITY}&1.2.250.1.999.94.2&ISO^AN" if number else ""


def pid(patient: SamplePatient, ipp: str, ins: str, status: str, account: str) -> str:
    """The PID segment."""
    numbers = [f"{ipp}^^^{AUTHORITY}&{patient.ipp_oid}&ISO^PI"] if ipp else []
    numbers += [f"{ins}^^^ASIP-SANTE-INS-NIR&{patient.ins_oid}&ISO^INS^^20201207"] if ins else []
    name = f"{patient.birth_name}^{patient.first_given}^{patient.birth_given_names}^^^^L~{patient.used_name}^^^^^^D"
    home = f"3 rue du Test^^PARIS^^75011^FRA^H~^^{patient.birth_city}^^^^BDL^^{patient.birth_insee}"
    return (
        f"PID|1||{'~'.join(numbers)}||{name}||{patient.birth_date}|{patient.sex}|||{home}||^PRN^PH^^^^^^^^^0140000000|||"
        f"M||{account_of(account)}|||||||||||||N|{status}|20261120085900"
    )


def _changed(lines: list[str], place: str, value: str) -> list[str]:
    """`PID-30` → that field of the first segment of this name."""
    name, _, field = place.partition("-")
    done, result = False, []
    for line in lines:
        if line.startswith(name) and not done:
            done = True
            parts = line.split("|")
            number = int(field) - (1 if name == "MSH" else 0)
            parts += [""] * (number + 1 - len(parts))
            parts[number] = value
            line = "|".join(parts)
        result.append(line)
    return result
