"""What `tdu trace` shows of a patient index entry: ids, states, codes and instants; numbers shortened, no name, no birth date."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from adapter.model.identity import LocalIdentifier
from adapter.model.patient import PatientEntry

_SHOWN = 3


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
