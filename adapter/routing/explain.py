"""Tells a plan to a person (French) and to a program (JSON data): channel by channel, with why and why not.

A patient's address holds the INS: its local part is never shown.
"""

from __future__ import annotations

from typing import Any

from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.identity import PatientIdentity
from adapter.model.parties import Organisation, Recipient, RecipientKind
from adapter.model.plan import ChannelName, Leg, RecipientPlan, RoutePlan
from adapter.model.submission import Submission

_LABELS = {
    ChannelName.SECURE_MAIL: "messagerie sécurisée",
    ChannelName.SHARED_RECORD: "dossier partagé",
    ChannelName.FAX: "télécopie",
    ChannelName.HL7_PUSH: "logiciel local (HL7)",
    ChannelName.INBOX: "import par le cabinet",
}


def render_plan(plan: RoutePlan) -> str:
    """The plan as a person reads it."""
    year, month, day = plan.on.split("-")
    lines = [f"Plan d'envoi pour le {day}/{month}/{year} (annuaire {plan.directory_revision})"]
    if not plan.recipients:
        lines.append("  Aucun destinataire.")
    for recipient in plan.recipients:
        lines += _recipient_lines(recipient)
    return "\n".join(lines) + "\n"


def _recipient_lines(recipient: RecipientPlan) -> list[str]:
    lines = ["", f"→ {_display(recipient)}", f"    {recipient.explanation}"]
    for leg in recipient.legs:
        lines.append(f"    {leg.order}. {_LABELS[leg.channel]} vers {shown_address(recipient, leg)}")
        lines.append(f"       {leg.reason}")
    lines += [f"    ✗ {_LABELS[r.channel]} : {r.reason}" for r in recipient.rejected]
    if recipient.parked_because:
        lines.append(f"    ⏸ en attente d'une personne ({recipient.parked_because})")
    if recipient.phone_line:
        lines.append(f"    ☎ {recipient.phone_line}")
    return lines


def plan_as_dict(plan: RoutePlan) -> dict[str, Any]:
    """The plan as JSON data, for `--json`."""
    return {
        "on": plan.on,
        "directory_revision": plan.directory_revision,
        "recipients": [_recipient_dict(recipient) for recipient in plan.recipients],
    }


def _recipient_dict(recipient: RecipientPlan) -> dict[str, Any]:
    return {
        "role_id": recipient.role_id,
        "kind": recipient.kind.value,
        "display": _display(recipient),
        "explanation": recipient.explanation,
        "legs": [
            {
                "order": leg.order,
                "channel": leg.channel.value,
                "address": shown_address(recipient, leg),
                "reason": leg.reason,
                "opened_since": leg.opened_since,
            }
            for leg in recipient.legs
        ],
        "rejected": [{"channel": r.channel.value, "reason": r.reason} for r in recipient.rejected],
        "parked_because": recipient.parked_because,
        "phone_line": recipient.phone_line,
    }


def _display(recipient: RecipientPlan) -> str:
    return "Le patient" if recipient.kind is RecipientKind.PATIENT else recipient.display


def probe_submission(recipient: Recipient, legal_entity: str) -> Submission:
    """An ordinary letter from a legal entity to one recipient, about nobody: to see how they would be reached."""
    header = DocumentHeader(
        unique_id="2.25.0",
        type=Code("11490-0", "http://loinc.org", "Lettre de liaison"),
        title="Essai d'acheminement",
        created="",
        patient=PatientIdentity(birth_name=""),
        authors=(),
        custodian=Organisation(),
        body=BodyKind.PDF,
    )
    return Submission(id="probe", receipt_id="", legal_entity=legal_entity, document=header, recipients=(recipient,))


def shown_address(recipient: RecipientPlan, leg: Leg) -> str:
    """The leg's address, without what identifies a patient."""
    if recipient.kind is RecipientKind.PATIENT and "@" in leg.address:
        return "…@" + leg.address.rpartition("@")[2]
    return leg.address
