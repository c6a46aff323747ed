"""An audit row as a FHIR AuditEvent, for who keeps watch over a record. Pure; rows hold ids and codes, so events do too.

Law: FHIR R4 AuditEvent; IHE BALP (Basic Audit Log Patterns): type `rest`, subtype the interaction and the ITI transaction, agents
the client and this server, the patient as an entity of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from adapter.model.audit import AuditRow

Resource = dict[str, Any]

_TYPES = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTIONS = "http://hl7.org/fhir/restful-interaction"
_TRANSACTIONS = "urn:ihe:event-type-code"
_ENTITY_TYPES = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
_AGENT_TYPES = "http://dicom.nema.org/resources/ontology/DCM"
_SOURCE_TYPES = "http://terminology.hl7.org/CodeSystem/security-source-type"
_OUR_ACTIONS = "urn:traitdunion:audit-action"


@dataclass(frozen=True)
class _Deed:
    """What an action is in FHIR: its interaction, its letter (C, R, U, E)."""

    interaction: str
    letter: str


_DEEDS: Mapping[str, _Deed] = {
    "record.create": _Deed("create", "C"),
    "record.update": _Deed("patch", "U"),
    "record.supersede": _Deed("update", "U"),
    "record.read": _Deed("read", "R"),
    "record.search": _Deed("search", "E"),
    "record.refused": _Deed("operation", "E"),
}
# What the table does not name is an operation of ours: told, never hidden.
_OTHER = _Deed("operation", "E")


@dataclass(frozen=True)
class Telling:
    """What an audit row of the record says beside itself, as its `detail` keeps it: four words, absent ones empty."""

    transaction: str = ""
    outcome: str = "0"
    patient_id: str = ""
    reason: str = ""

    def written(self) -> str:
        """As the row keeps it."""
        return " ".join((self.transaction or "-", self.outcome, self.patient_id or "-", self.reason)).rstrip()


def read_telling(detail: str) -> Telling:
    """The contrary of `written`."""
    words = [*detail.split(" ", 3), "", "", "", ""]
    transaction, outcome, patient_id, reason = words[:4]
    return Telling(transaction.strip("-"), outcome or "0", "" if patient_id == "-" else patient_id, reason)


def audit_event(row: AuditRow, *, observer: str) -> Resource:
    """The event that a row tells of; `observer` is the name of this instance."""
    entry = row.entry
    deed = _DEEDS.get(entry.action, _OTHER)
    telling = read_telling(entry.detail)
    subtypes = [{"system": _INTERACTIONS, "code": deed.interaction}, {"system": _OUR_ACTIONS, "code": entry.action}]
    if telling.transaction:
        subtypes.append({"system": _TRANSACTIONS, "code": telling.transaction})
    at = entry.at.astimezone(UTC).isoformat(timespec="milliseconds")
    event: Resource = {
        "resourceType": "AuditEvent",
        "id": str(row.number),
        "type": {"system": _TYPES, "code": "rest", "display": "RESTful Operation"},
        "subtype": subtypes,
        "action": deed.letter,
        "recorded": at,
        "outcome": telling.outcome if telling.outcome in ("0", "4", "8", "12") else "0",
        "agent": [
            _agent("110153", "Source Role ID", entry.actor, requestor=True),
            _agent("110152", "Destination Role ID", observer, requestor=False),
        ],
        "source": {
            "observer": {"display": observer},
            "type": [{"system": _SOURCE_TYPES, "code": "4", "display": "Application Server"}],
        },
    }
    if telling.reason:
        event["outcomeDesc"] = telling.reason
    entities = _entities(entry.about, entry.about_id, telling.patient_id)
    if entities:
        event["entity"] = entities
    return event


def _agent(code: str, display: str, name: str, *, requestor: bool) -> Resource:
    return {
        "type": {"coding": [{"system": _AGENT_TYPES, "code": code, "display": display}]},
        "who": {"display": name},
        "altId": name,
        "requestor": requestor,
    }


def _entities(about: str, about_id: str, patient_id: str) -> list[Resource]:
    found = []
    if patient_id:
        found.append(_entity(f"Patient/{patient_id}", "1", "Person", "1", "Patient"))
    if about_id and not (about == "Patient" and about_id == patient_id):
        found.append(_entity(f"{about}/{about_id}", "2", "System Object", "4", "Domain Resource"))
    return found


def _entity(reference: str, kind: str, kind_display: str, role: str, role_display: str) -> Resource:
    what: Resource = {"reference": reference} if reference[:1].isupper() else {"display": reference}
    return {
        "what": what,
        "type": {"system": _ENTITY_TYPES, "code": kind, "display": kind_display},
        "role": {"system": _OBJECT_ROLES, "code": role, "display": role_display},
    }
