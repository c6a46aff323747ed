"""The files of one publication in a practice's folder, in the form that its program reads. Same publication, same bytes.

    fhir      TDU-….json                the FHIR document Bundle
    xdm       TDU-…_IHE_XDM.zip         the archive that a secure mail carries
    cda+pdf   TDU-….pdf  TDU-….xml      what is read, then the CDA
    hprim     TDU-….pdf  TDU-….hpr      what is read, then the HPRIM Médecin text
    beside    TDU-….suite.txt           if something given before is replaced, cancelled or shown otherwise: which file, in words

A cancellation gives a Bundle whose Composition is *entered-in-error*, or an HPRIM text that says so, or the words alone; a change
of visibility gives the words alone, which name neither the patient nor the document's kind: a folder is shared (seam 15).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery
from adapter.model.folder import FileSet, FolderFormat, FolderSet, Standing
from adapter.model.identity import PatientIdentity
from adapter.model.publication import PublicationKind
from adapter.model.submission import Submission, Visibility
from adapter.packaging.hprim import FILE_NUMBER_WIDTH, HprimCharset, HprimLetter, plain_text, write_hprim
from adapter.packaging.parcel import SenderProfile
from adapter.packaging.xdm import Entered, build_xdm_zip

_PARIS = ZoneInfo("Europe/Paris")
_TAIL_WIDTH = 40
_HOW = {
    Standing.DONE: "importé",
    Standing.ERROR: "refusé par le logiciel",
    Standing.GONE: "disparu du dossier d'échange",
    Standing.WITHDRAWN: "retiré du dossier d'échange avant d'être importé",
}


@dataclass(frozen=True)
class Shelf:
    """How one practice's program wants its files. `names_patient`: their names end with the patient's."""

    format: FolderFormat
    charset: HprimCharset = HprimCharset.CP1252
    names_patient: bool = False


@dataclass(frozen=True, repr=False)
class Shelved(Confidential):
    """One publication with all that its files are made of. `earlier`: sets of the same document given before, oldest first.

    `bundle` is the FHIR document as kept; `cda` and `pdf` are empty for what brings no content. `line_id` numbers the document.
    """

    stem: str
    kind: PublicationKind
    delivery: Delivery
    submission: Submission
    line_id: str
    recipient_name: str
    published_at: datetime
    bundle: bytes = b""
    cda: bytes = b""
    pdf: bytes = b""
    templates: tuple[str, ...] = ()
    earlier: tuple[FolderSet, ...] = ()


def build_file_set(shelved: Shelved, shelf: Shelf, sender: SenderProfile) -> FileSet:
    """The files, the main one last; RenditionError when a form cannot be made."""
    base = shelved.stem + (_tail(shelved.submission.document.patient) if shelf.names_patient and _names(shelved) else "")
    follow_up = [(f"{base}.suite.txt", _follow_up_file(shelved, shelf.charset))] if _follows(shelved) else []
    files = follow_up + [(base + ending, content) for ending, content in _forms(shelved, shelf, sender, base)]
    return FileSet(shelved.stem, tuple(files))


def file_number(line_id: str) -> str:
    """Ten characters under which all versions of one document are known to the practice."""
    return hashlib.sha256(line_id.encode()).hexdigest()[:FILE_NUMBER_WIDTH].upper()


def _names(shelved: Shelved) -> bool:
    return shelved.kind is not PublicationKind.METADATA


def _follows(shelved: Shelved) -> bool:
    return shelved.kind is not PublicationKind.NEW or bool(shelved.earlier)


def _forms(shelved: Shelved, shelf: Shelf, sender: SenderProfile, base: str) -> list[tuple[str, bytes]]:
    match shelved.kind:
        case PublicationKind.METADATA:
            return []
        case PublicationKind.CANCEL:
            return _cancelled_forms(shelved, shelf, sender)
    match shelf.format:
        case FolderFormat.FHIR:
            return [(".json", shelved.bundle)]
        case FolderFormat.XDM:
            entered = Entered(shelved.delivery, shelved.submission, shelved.cda, shelved.templates)
            return [("_IHE_XDM.zip", build_xdm_zip([entered], sender, shelved.published_at))]
        case FolderFormat.CDA_AND_PDF:
            return [(".pdf", shelved.pdf), (".xml", shelved.cda)]
        case FolderFormat.HPRIM:
            return [(".pdf", shelved.pdf), (".hpr", _hprim(shelved, shelf, sender, f"{base}.pdf"))]


def _cancelled_forms(shelved: Shelved, shelf: Shelf, sender: SenderProfile) -> list[tuple[str, bytes]]:
    if shelf.format is FolderFormat.HPRIM:
        return [(".hpr", _hprim(shelved, shelf, sender, ""))]
    if shelf.format is FolderFormat.FHIR:
        return [(".json", _entered_in_error(shelved.bundle))]
    return []


def _entered_in_error(bundle: bytes) -> bytes:
    """The document as it was, whose Composition says that it must not be used any more."""
    document: dict[str, Any] = orjson.loads(bundle)
    composition = document["entry"][0]["resource"]
    composition["status"] = "entered-in-error"
    return orjson.dumps(document)


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _hprim(shelved: Shelved, shelf: Shelf, sender: SenderProfile, pdf_name: str) -> bytes:
    header = shelved.submission.document
    patient = header.patient
    names = " ".join(filter(None, (patient.birth_name, patient.first_given)))
    words = [
        header.title or header.type.label,
        *_follow_up_words(shelved),
        f"Document complet : fichier joint {pdf_name}." if pdf_name else "",
        f"Urgence indiquée par l'expéditeur : {shelved.submission.urgency.value}." if shelved.submission.urgency else "",
        f"Nom de naissance et premier prénom : {names}." if names else "",
        "Identité non qualifiée : à vérifier avant de classer." if not patient.is_qualified else "",
        sender.stamp,
    ]
    letter = HprimLetter(
        patient=patient,
        file_number=file_number(shelved.line_id),
        written_on=header.created,
        sender_name=sender.name,
        recipient_name=shelved.recipient_name,
        words=tuple(filter(None, words)),
        sender_code=sender.finess,
    )
    return write_hprim(letter, shelf.charset)


def _follow_up_file(shelved: Shelved, charset: HprimCharset) -> bytes:
    facts = [f"Suite : {shelved.kind.value}", f"Document : {file_number(shelved.line_id)}"]
    facts += [f"Fichier : {shelved.stem}"]
    facts += [f"Concerne : {one.known.stem}" for one in shelved.earlier]
    return plain_text([*facts, "", *_follow_up_words(shelved)], charset)


def _follow_up_words(shelved: Shelved) -> list[str]:
    given = " et ".join(_named(one) for one in shelved.earlier) or "fichier précédent"
    match shelved.kind:
        case PublicationKind.CANCEL:
            return [f"Document annulé par son auteur, {given} : s'il a été importé, le retirer du dossier du patient."]
        case PublicationKind.METADATA:
            return [f"Visibilité changée, {given} : {_visibility_words(shelved.submission.visibility)}."]
        case PublicationKind.REPLACE | PublicationKind.NEW:
            return [f"Ce document annule et remplace le précédent, {given}."] if _follows(shelved) else []


def _named(earlier: FolderSet) -> str:
    how = _HOW.get(earlier.standing)
    day = earlier.changed_at.astimezone(_PARIS)
    return f"fichier {earlier.known.stem}" + (f" ({how} le {day:%d/%m/%Y})" if how else "")


def _visibility_words(visibility: Visibility) -> str:
    hidden = [
        words
        for is_hidden, words in (
            (visibility.hidden_from_professionals, "ne plus le montrer aux professionnels"),
            (visibility.hidden_from_patient, "ne pas le montrer au patient"),
            (visibility.hidden_from_representatives, "ne pas le montrer aux représentants légaux"),
        )
        if is_hidden
    ]
    return ", ".join(hidden) or "il peut de nouveau être montré à tous"


def _tail(patient: PatientIdentity) -> str:
    """`_EXEMPLE_Andree`: letters and figures that every file system takes."""
    names = (patient.used_name or patient.birth_name, patient.used_given or patient.first_given)
    bare = (unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() for name in names)
    kept = (re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") for name in bare)
    return "".join(f"_{name}" for name in kept if name)[:_TAIL_WIDTH]
