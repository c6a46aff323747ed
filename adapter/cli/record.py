"""The shared record, read: find a patient's documents there, fetch one. Every question and every reading is audited."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from adapter.assembly import record_settings
from adapter.channels.record_reader import FoundDocument, RecordReader
from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    JsonOption,
    chosen_entity,
    operator_name,
    read_config,
)
from adapter.config import Config, Mode
from adapter.errors import ConfigurationError, InputError
from adapter.ledger.ledger import Ledger
from adapter.model.audit import AuditEntry
from adapter.model.identity import ins_is_valid
from adapter.opening import new_id, now, open_ledger
from adapter.secure_line import SecureLines

_OID_OF_MODE = {Mode.PRODUCTION: "1.2.250.1.213.1.4.8", Mode.TEST: "1.2.250.1.213.1.4.10"}


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree = typer.Typer(help="The shared record: find a patient's documents there, fetch one.", no_args_is_help=True)
    tree.command("find")(find)
    tree.command("fetch")(fetch)
    app.add_typer(tree, name="record")


def find(
    ins: Annotated[str, typer.Option("--ins", help="A patient's matricule (15 characters), known to this legal entity.")] = "",
    identifier: Annotated[str, typer.Option("--identifier", help="A document's master identifier (urn:oid:…, urn:uuid:…).")] = "",
    oid: Annotated[
        str, typer.Option("--ins-oid", help="The matricule's authority (default: NIR, or test in a test instance).")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Superseded documents too.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: Annotated[str, typer.Option("--by", help="Who asks (default: the system user).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the shared record which documents it holds, of a patient or under an identifier (ITI-67).

    Example: tdu record find --ins 190112345678924
    """
    if bool(ins) is bool(identifier):
        raise typer.BadParameter("name a patient (--ins) or a document (--identifier), one of them")
    if identifier and not identifier.startswith("urn:"):
        # The audit names what was asked for: a matricule typed here would lie there in clear.
        raise typer.BadParameter("a master identifier is a URI: urn:oid:… or urn:uuid:…", param_hint="--identifier")
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        reader, who = _reader(settings), by or operator_name()
        if ins:
            about = _known_patient(ledger, ins, legal_entity)
            _audit(ledger, legal_entity, who, "record.search", "patient", about)
            authority = f"urn:oid:{oid or _OID_OF_MODE[settings.instance.mode]}"
            found = reader.find_by_patient(authority, "".join(ins.split()).upper(), also_superseded=every)
        else:
            _audit(ledger, legal_entity, who, "record.search", "document", identifier)
            found = [one for one in reader.find_by_identifier(identifier) if _is_ours(ledger, one, legal_entity)]
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps([document_data(one) for one in found], ensure_ascii=False, indent=2))
        return
    for one in found:
        typer.echo(document_line(one))
    if not found:
        typer.echo("The record holds nothing there.")


def fetch(
    reference: Annotated[str, typer.Argument(help="DocumentReference/<id> (tdu record find), or a master identifier.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: Annotated[str, typer.Option("--by", help="Who reads (default: the system user).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Fetch one document of the shared record (ITI-68); its size and SHA-1 are checked before anything is written.

    Example: tdu record fetch DocumentReference/7 --out lettre.xml
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        reader, who = _reader(settings), by or operator_name()
        document = _one(reader, reference)
        if not _is_ours(ledger, document, legal_entity):
            _audit(ledger, legal_entity, who, "record.read-refused", "document", document.reference)
            raise InputError("record.other-patient", "this legal entity knows no such patient", where=document.reference)
        _audit(ledger, legal_entity, who, "record.read", "document", document.master_identifier or document.reference)
        fetched = reader.fetch(document)
    finally:
        ledger.close()
    _write(out, fetched.content)
    told = document_data(document) | {"file": str(out), "bytes": len(fetched.content), "checked": list(fetched.checked)}
    checked = " and ".join(fetched.checked) or "nothing (the record announces neither size nor hash)"
    plain = f"{document.reference}: {len(fetched.content)} bytes, {document.media_type}, checked {checked}, in {out}"
    typer.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else plain)


def _reader(config: Config) -> RecordReader:
    settings = record_settings(config, SecureLines(config))
    if settings is None:
        remedy = "Add [channels.shared_record]."
        raise ConfigurationError("record.none", "no shared record is configured.", where="channels.shared_record", remedy=remedy)
    return RecordReader(settings, clock=now, new_id=new_id)


def _known_patient(ledger: Ledger, ins: str, legal_entity: str) -> str:
    """What the audit names the patient by: an entry of the index, or a receipt; nobody else's patient is looked up."""
    plain = "".join(ins.split()).upper()
    if not ins_is_valid(plain):
        raise typer.BadParameter("not a matricule: 15 characters, key included", param_hint="--ins")
    entries = ledger.find_patients(plain, legal_entity=legal_entity)
    if entries:
        return entries[0].id
    receipts = ledger.find(plain, legal_entity=legal_entity)
    if not receipts:
        raise InputError("record.other-patient", "this legal entity knows no such patient", where="--ins")
    return receipts[0]


def _is_ours(ledger: Ledger, document: FoundDocument, legal_entity: str) -> bool:
    """True for a document of a patient that this legal entity knows (seam 13)."""
    known = (
        ledger.find_patients(one, legal_entity=legal_entity) or ledger.find(one, legal_entity=legal_entity)
        for one in document.ins
    )
    return any(known)


def _one(reader: RecordReader, reference: str) -> FoundDocument:
    if not reference.startswith("urn:"):
        return reader.read(reference)
    found = reader.find_by_identifier(reference)
    current = [one for one in found if one.status == "current"] or found
    if len(current) != 1:
        text = "the record holds nothing there" if not current else f"the record holds {len(current)} documents there"
        raise InputError("record.unknown", text, where=reference)
    return current[0]


def _audit(ledger: Ledger, legal_entity: str, who: str, action: str, about: str, about_id: str) -> None:
    """Written before the answer is seen: who asked is known even if the answer never comes."""
    ledger.write_audit([AuditEntry(legal_entity, now(), who, action, about, about_id[:64])])


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def document_data(document: FoundDocument) -> dict[str, Any]:
    """A document of the record as plain data, without the patient's matricule."""
    data = asdict(document)
    del data["ins"], data["url"], data["subject"]
    return {**data, "hidden": list(document.hidden), "replaces": list(document.replaces)}


def document_line(document: FoundDocument) -> str:
    """What a person reads of one."""
    hidden = f", {' '.join(document.hidden)}" if document.hidden else ""
    size = f", {document.size} bytes" if document.size is not None else ""
    return (
        f"{document.reference}: {document.status}, {document.type_code}, {document.date}, {document.media_type}{size}{hidden}"
        f"\n  {document.master_identifier}"
    )
