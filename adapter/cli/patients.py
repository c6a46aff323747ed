"""Patients: what `tdu trace` shows of the index (ids, states, codes; numbers shortened), and wishes told at the desk."""

from __future__ import annotations

import json
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    JsonOption,
    chosen_entity,
    operator_name,
    read_config,
)
from adapter.errors import InputError
from adapter.ledger.ledger import Ledger
from adapter.ledger.patient_wishes import names_of_document, names_of_entries
from adapter.model.identity import LocalIdentifier, PatientIdentity
from adapter.model.patient import PatientEntry, PatientKeys, patient_numbers
from adapter.model.wish import PatientWord, WishFor, Word
from adapter.opening import now, open_ledger

_SHOWN = 3
_WISHES = (Word.AGREED.value, Word.REFUSED.value)


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree = typer.Typer(help="Patients: what they wish of the shared record and of secure mail.", no_args_is_help=True)
    tree.callback()(lambda: None)  # one command is a group all the same: others will come beside it
    tree.command("wish")(wish)
    app.add_typer(tree, name="patient")


def wish(
    reference: Annotated[
        str, typer.Argument(help="The patient: INS, IPP, an entry's id, or a reference of one of their documents.")
    ],
    record: Annotated[str, typer.Option("--record", help="Feeding the shared record: agreed or refused.")] = "",
    mail: Annotated[str, typer.Option("--mail", help="Letters by secure mail: agreed or refused.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: Annotated[str, typer.Option("--by", help="Who heard the patient (default: the system user).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Keep what a patient said of the shared record or of secure mail; of a person, ADT or the record, the newest word rules.

    Nothing is ever rewritten: each word is kept with who heard it. What has not left yet follows it.

    Example: tdu patient wish 8012345678 --record refused --by "Accueil"
    """
    wanted = {WishFor.RECORD: _wish("--record", record), WishFor.MAIL: _wish("--mail", mail)}
    if not any(wanted.values()):
        raise typer.BadParameter("say what the patient wishes: --record, --mail or both")
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    at, who = now(), by or operator_name()
    try:
        names = _names(ledger, reference.strip(), legal_entity)
        for about, said in wanted.items():
            if said is not None:
                ledger.keep_patient_word(names, PatientWord(about, said, who, at), legal_entity=legal_entity)
    finally:
        ledger.close()
    kept = {about.value: said.value for about, said in wanted.items() if said is not None}
    if as_json:
        typer.echo(json.dumps({"kept": kept, "by": who, "at": at.isoformat()}, ensure_ascii=False, indent=2))
    else:
        typer.echo(f"kept, by {who}: " + ", ".join(f"{about} {said}" for about, said in kept.items()))


def _wish(option: str, value: str) -> Word | None:
    if not value:
        return None
    if value not in _WISHES:
        raise typer.BadParameter(f"must be one of {', '.join(_WISHES)}", param_hint=option)
    return Word(value)


def _names(ledger: Ledger, reference: str, legal_entity: str) -> set[tuple[str, str]]:
    """Every number that names the one patient meant; InputError when there is none, or more than one."""
    entries = ledger.find_patients(reference, legal_entity=legal_entity)
    if entries:
        views = [
            ledger.patient_view(PatientIdentity("", local_ids=(e.record.number,)), legal_entity=legal_entity) for e in entries
        ]
        people = [view.entries if view is not None else (e.record,) for view, e in zip(views, entries, strict=True)]
        if any({e.number for e in one} != {e.number for e in people[0]} for one in people[1:]):
            raise InputError("patient.several", "several patients are under that reference: name one by its IPP", where="REF")
        return names_of_entries(people[0])
    patients = _patients_of_documents(ledger, reference, legal_entity)
    if not patients:
        raise InputError("patient.unknown", "this legal entity knows no such patient", where="REF")
    first = patients[0]
    mine = PatientKeys(first.ins, first.local_ids)
    if any(not _is_same(mine, other) for other in patients[1:]):
        raise InputError("patient.several", "several patients are under that reference: name one by its IPP", where="REF")
    return set().union(*(names_of_document(one) for one in patients))


def _patients_of_documents(ledger: Ledger, reference: str, legal_entity: str) -> list[PatientIdentity]:
    """The patients of documents that the index was never told of."""
    found: list[PatientIdentity] = []
    for receipt_id in ledger.find(reference, legal_entity=legal_entity):
        timeline = ledger.timeline(receipt_id, legal_entity=legal_entity)
        found += [sent.submission.document.patient for sent in (timeline.submissions if timeline else ())]
    return [one for one in found if names_of_document(one)]


def _is_same(mine: PatientKeys, other: PatientIdentity) -> bool:
    """Two documents that bear one matricule, or one number of one authority, are of one patient."""
    if mine.ins is not None and other.ins is not None:
        return mine.ins == other.ins
    return not set(patient_numbers(mine.numbers)).isdisjoint(patient_numbers(other.local_ids))


def patient_data(entry: PatientEntry) -> dict[str, Any]:
    """An entry as plain data."""
    record, facts = entry.record, entry.record.facts
    into = record.merged_into
    return {
        "patient": entry.id,
        "number": _shortened(record.number),
        "state": entry.state,
        "merged_into": _shortened(into) if into is not None else "",
        "flags": list(entry.flags),
        "ins": "usable" if record.usable_ins is not None else "not-usable" if facts.ins is not None else "none",
        "statuses": list(facts.statuses),
        "deceased": facts.is_deceased,
        "guardian": any(contact.is_guardian for contact in facts.contacts),
        "treating_doctor": "declared" if facts.doctor is not None else "none-declared" if record.told("doctor") else "untold",
        "record_feeding": facts.feeding.value,
        "record_consultation": facts.consultation.value,
        "history": [
            {
                "event": line.event,
                "told_at": line.told_at.isoformat(),
                "receipt": line.receipt_id,
                "facts": list(line.update.said),
            }
            for line in entry.history
        ],
    }


def patient_lines(entry: PatientEntry, zone: str) -> list[str]:
    """What a person reads."""
    data, civil = patient_data(entry), ZoneInfo(zone)
    merged = f", merged into {data['merged_into']}" if data["merged_into"] else ""
    flags = f", doubtful: {' '.join(entry.flags)}" if entry.flags else ""
    statuses = " ".join(data["statuses"]) or "no status"
    feeding, consultation = data["record_feeding"] or "untold", data["record_consultation"] or "untold"
    lines = [
        f"patient {entry.id}: {data['number']}, {entry.state}{merged}{flags}",
        f"  INS {data['ins']} ({statuses}); treating doctor {data['treating_doctor']}",
        f"  shared record: feeding {feeding}, consultation {consultation}",
    ]
    lines += ["  deceased"] if data["deceased"] else []
    lines += ["  has a guardian"] if data["guardian"] else []
    told = [f"  {one.told_at.astimezone(civil):%Y-%m-%d %H:%M:%S}  {one.event}  {one.receipt_id}" for one in entry.history]
    return lines + told


def _shortened(number: LocalIdentifier) -> str:
    """Enough to tell two entries apart before somebody who knows the number."""
    return f"…{number.value[-_SHOWN:]} of {number.authority}"
