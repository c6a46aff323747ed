"""Letters by the thousand about invented people, as NDJSON: each with its own ids, patient, dates and words.

write_letters(path, 5000)                       # the same number gives the same letter, on every machine
write_letters(path, 5000, practices=16)         # each names one of 16 médecins traitants

A letter is one of a few templates with its identifiers and values replaced: what costs is reading them, not making them.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adapter.model.document import ReferringParty
from adapter.model.parties import Organisation, Party, Professional
from tests.builders.directory import letter_header, qualified_patient
from tests.builders.fhir_document import DISCHARGE_LETTER, ENTRY_LETTER, build_discharge_letter, build_entry_letter, header_of
from tests.builders.practices import rpps_of

_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NAMES = [
    "ZEBULON", "KALISTE", "MORVANEL", "TIRANDOL", "BREGUILLE", "SOLVEYRE", "PANTELLE", "OURDRY",
    "FANQUEVIN", "LESTRIGNE", "GARMOUSE", "VALDROME", "CHARIBERT", "NOLTINE", "RUFFAQUEL", "DASMINE",
]  # fmt: skip
_REASONS = ["Pneumopathie", "Insuffisance cardiaque", "Chute au domicile", "Pyélonéphrite", "Bilan d'une anémie"]


def letters(count: int, *, practices: int = 0, first: int = 0, matricule: bool = False) -> Iterator[bytes]:
    """`count` documents, from number `first` on; without `matricule`, such as a production instance takes."""
    templates = _templates(practices, matricule)
    for number in range(first, first + count):
        yield _vary(templates[number % len(templates)], number)


def write_letters(path: Path, count: int, *, practices: int = 0, first: int = 0, matricule: bool = False) -> None:
    """One a line."""
    with path.open("wb") as file:
        file.writelines(letter + b"\n" for letter in letters(count, practices=practices, first=first, matricule=matricule))


def document_id(number: int) -> str:
    """The identifier of the letter of that number."""
    return f"1.2.250.1.999.94.7.{100_000 + number}"


def _templates(practices: int, matricule: bool) -> list[bytes]:
    made = []
    for number in range(max(practices, 1)):
        for kind, build in ((DISCHARGE_LETTER, build_discharge_letter), (ENTRY_LETTER, build_entry_letter)):
            header = header_of(kind, participants=(_family_doctor(number),) if practices else ())
            patient = qualified_patient() if matricule else replace(qualified_patient(), ins=None)
            bundle = build(header=replace(header, patient=patient, unique_id=letter_header().unique_id))
            made.append(json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode())
    return made


def _family_doctor(number: int) -> ReferringParty:
    doctor = Professional("GENERALISTE", f"Sacha{number}", rpps_of(number + 1))
    return ReferringParty("INF", "PCP", Party(doctor, Organisation(f"Cabinet {number}"), None, "PCP", "Médecin traitant"))


def _vary(template: bytes, number: int) -> bytes:
    """Another letter: other ids everywhere, another patient, another day, another reason."""
    seed = hashlib.sha256(str(number).encode()).digest()
    ids: dict[bytes, bytes] = {}

    def other(found: re.Match[bytes]) -> bytes:
        known = found.group()
        if known not in ids:
            ids[known] = str(uuid.UUID(bytes=hashlib.md5(seed + known).digest(), version=5)).encode()
        return ids[known]

    name = f"{_NAMES[seed[0] % 16]}-{_NAMES[seed[1] % 16]}".encode()
    month, day = 1 + seed[2] % 10, 1 + seed[3] % 20
    text = _UUID.sub(other, template).replace(b"1.2.250.1.999.94.7.501", document_id(number).encode())
    text = text.replace(b"EXEMPLE", name).replace(b"900000123", str(900_000_000 + number).encode())
    born = f"{1930 + seed[4] % 70}-{1 + seed[5] % 12:02d}-{1 + seed[6] % 28:02d}".encode()
    text = text.replace(b"1961-04-12", born).replace(b"2026-11-16", f"2026-{month:02d}-{day:02d}".encode())
    text = text.replace(b"2026-11-20", f"2026-{month:02d}-{day + 4:02d}".encode())
    return text.replace(b"Pneumopathie", _REASONS[seed[7] % 5].encode())
