"""Whether a patient's record is open, may be fed, may be read: one Consent in force a patient, kept by an administrator.

Law: FHIR R4 Consent (scope patient-privacy); actions of consentaction: `collect` is feeding, `access` is reading. A denial
without action closes the record; a permission lifts what was denied before. The patient's own readers are stopped by a closed
record only: an opposition is to professionals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter.ledger.record_rows import InStates, OfPatients
from adapter.ledger.record_store import RecordRows
from adapter.model.finding import Finding
from adapter.record.profile_rules import shape_faults
from adapter.record.refusals import finding, refused
from adapter.record.rights import Client, ClientKind

ACTIONS = "http://terminology.hl7.org/CodeSystem/consentaction"
SCOPE = "patient-privacy"
_FEEDING, _READING = "collect", "access"


@dataclass(frozen=True)
class Wishes:
    """What a patient's Consent in force says. `is_told`: there is one."""

    is_told: bool = False
    is_closed: bool = False
    opposes_feeding: bool = False
    opposes_reading: bool = False


def wishes_of(rows: RecordRows, patient_id: str) -> Wishes:
    """The wishes of a patient; nothing told without a Consent in force."""
    held = rows.find("Consent", [OfPatients((patient_id,)), InStates(("active",))])
    return read_wishes(json.loads(rows.content(held[-1].id))) if held else Wishes()


def read_wishes(consent: Mapping[str, Any]) -> Wishes:
    """What one Consent says."""
    provision = consent.get("provision") or {}
    if provision.get("type") != "deny":
        return Wishes(is_told=True)
    actions = {coding.get("code") for action in provision.get("action") or () for coding in action.get("coding") or ()}
    if not actions:
        return Wishes(is_told=True, is_closed=True)
    return Wishes(is_told=True, opposes_feeding=_FEEDING in actions, opposes_reading=_READING in actions)


def consent_faults(consent: dict[str, Any]) -> Iterator[Finding]:
    """What this record does not understand of a Consent: better refused than half obeyed."""
    faults = list(shape_faults(consent, "Consent"))
    yield from faults
    if faults:
        return
    provision = consent.get("provision") or {}
    scopes = {coding.get("code") for coding in (consent.get("scope") or {}).get("coding") or ()}
    actions = [coding for action in provision.get("action") or () for coding in action.get("coding") or ()]
    claims = {
        "status": consent.get("status") == "active",
        "scope": SCOPE in scopes,
        "provision.type": provision.get("type") in ("permit", "deny"),
        "provision.action": all(c.get("system") == ACTIONS and c.get("code") in (_FEEDING, _READING) for c in actions),
        "provision": not set(provision) - {"type", "action"},
    }
    yield from (finding("record.value", f"Consent.{place}") for place, holds in claims.items() if not holds)


def check_feeding(wishes: Wishes, where: str, *, needs_consent: bool) -> None:
    """RecordRefusal when the patient's record takes nothing."""
    if wishes.is_closed:
        raise refused("record.closed", where)
    if wishes.opposes_feeding:
        raise refused("record.feeding-opposed", where)
    if needs_consent and not wishes.is_told:
        raise refused("record.not-open", where)


def check_reading(wishes: Wishes, client: Client) -> None:
    """RecordRefusal when this client may not read this patient's documents. Who fed may always look after its own."""
    if client.kind is ClientKind.FEEDER:
        return
    if wishes.is_closed:
        raise refused("record.reading-closed")
    if wishes.opposes_reading and client.kind is ClientKind.PROFESSIONAL:
        raise refused("record.reading-opposed")
