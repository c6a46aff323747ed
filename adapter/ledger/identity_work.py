"""When an identity changes after documents left under it: each is listed for a person, and what has not left is held.

Law: blueprint seam 14; RNIV (merge, split, withdrawal of an INS). One work item on the patient lists all documents; each document
has its own item, which a person answers: `correct` (a replacement under today's identity), `cancel` (a cancellation to those
reached), `retry` (let go what was held), `close`. Answering the patient's item answers all. Lists hold ids, channels and states,
never a patient's data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from adapter.errors import LedgerError, VaultError
from adapter.ledger import moves, tables
from adapter.ledger.database import Transaction
from adapter.ledger.identity_decisions import child_id
from adapter.ledger.patient_rows import ids_under
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import Sealed, read_submission
from adapter.ledger.versions import was_cancelled
from adapter.ledger.work_items import URGENT_BELOW, add_work_items
from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.identity import Ins, LocalIdentifier, PatientIdentity
from adapter.model.patient import patient_numbers
from adapter.model.submission import Intent, Submission
from adapter.model.work_item import WorkAbout, WorkItem

S = DeliveryState
Row = Mapping[Any, Any]

# What is on its way, or about to be: it stops until a person has looked.
_HELD = (S.QUEUED, S.CLAIMED, S.UNCLEAR)
_WHAT = {
    "identity-merged": "Identité fusionnée avec une autre",
    "identifier-changed": "Numéro de patient remplacé par un autre",
    "identity-unmerged": "Fusion d'identités annulée",
    "ins-withdrawn": "Matricule INS retiré ou n'étant plus qualifié",
    "ins-changed": "Matricule INS remplacé par un autre",
    "account-moved": "Dossier rattaché à un autre patient",
}
_DO = "Pour chacun : correct (renvoyer sous l'identité d'aujourd'hui), cancel (annuler), retry (laisser partir), close (rien)."
# The author's CDA is never altered: corrected, it leaves in a new envelope and still names the other identity within.
_FOREIGN = "CDA de l'émetteur, qui garde l'autre identité : préférer cancel, et demander à l'émetteur d'en produire un nouveau"
_DAMAGED_ADVICE = (
    "L'identité d'un patient a changé, et ce document, peut-être le sien, est illisible dans le registre : prévenir le support."
)


@dataclass(frozen=True, repr=False)
class IdentityChange(Confidential):
    """What changed, and which documents it concerns: those under `numbers` (of `accounts` only, if any), or under `ins` for the
    `holder`; since an instant, if it is said. `patient_id` is the entry whose documents they really are, or were.
    """

    reason: str
    patient_id: str
    numbers: tuple[LocalIdentifier, ...] = ()
    accounts: tuple[LocalIdentifier, ...] = ()
    ins: Ins | None = None
    holder: LocalIdentifier | None = None
    since: datetime | None = None


def list_documents(tx: Transaction, entity: str, change: IdentityChange, actor: str) -> set[str]:
    """Hold what has not left and ask about every document; returns the submissions concerned. None: nothing to ask."""
    documents = _documents_of(tx, entity, change)
    if not documents:
        return set()
    parent = tx.new_id()
    lines, items = [], []
    for submission in documents:
        rows = _deliveries_of(tx, submission.id)
        rows = [_held(tx, row, change.reason, actor) for row in rows]
        told = _line(submission, rows)
        lines.append(told)
        urgent = any(row["priority"] < URGENT_BELOW for row in rows)
        made = child_id(parent, submission.id)
        items.append(_item(tx, entity, made, WorkAbout.SUBMISSION, submission.id, change.reason, told, urgent=urgent))
    advice = f"{_WHAT[change.reason]} : {len(documents)} document(s) déjà pris en charge. {_DO}\n" + "\n".join(lines)
    added = add_work_items(tx, [_item(tx, entity, parent, WorkAbout.PATIENT, change.patient_id, change.reason, advice)])
    if added:
        add_work_items(tx, items)
    return {submission.id for submission in documents}


def _item(
    tx: Transaction, entity: str, made: str, about: WorkAbout, about_id: str, reason: str, advice: str, *, urgent: bool = False
) -> WorkItem:
    return WorkItem(made, entity, about, about_id, reason, advice, tx.now, urgent)


# ── which documents ───────────────────────────────────────────────────────────────────────────────────────────


def _documents_of(tx: Transaction, entity: str, change: IdentityChange) -> list[Submission]:
    """Looked up by number, then read: a bare number may be another authority's."""
    pairs = [("ipp", number.value) for number in change.numbers]
    if change.ins is not None:
        pairs.append(("ins", change.ins.value))
    s, found = tables.submission, ids_under(tx.connection, tx.vault, entity, pairs, WorkAbout.SUBMISSION.value)
    if not found:
        return []
    query = select(s.c.id).where(s.c.id.in_(found), s.c.legal_entity == entity, s.c.intent != Intent.CANCEL.value)
    if change.since is not None:
        query = query.where(s.c.created_at >= change.since)
    ids = list(tx.execute(query.order_by(s.c.created_at, s.c.id)).scalars())
    sealed = Sealed(tx.connection, ids, (PayloadKind.SUBMISSION,))
    # What its sender took back since needs no correction.
    read = (_read(tx, entity, sealed, one) for one in ids if not was_cancelled(tx.connection, entity, one))
    return [submission for submission in read if submission is not None and _concerns(change, submission)]


def _read(tx: Transaction, entity: str, sealed: Sealed, submission_id: str) -> Submission | None:
    """A damaged document must not keep the index from learning of a merge, or of a death: a person looks at it."""
    try:
        return read_submission(sealed.open(tx.vault, submission_id, PayloadKind.SUBMISSION))
    except (VaultError, LedgerError, ValueError):
        item = _item(tx, entity, tx.new_id(), WorkAbout.SUBMISSION, submission_id, "identity-unreadable", _DAMAGED_ADVICE)
        add_work_items(tx, [item])
        return None


def _concerns(change: IdentityChange, submission: Submission) -> bool:
    patient = submission.document.patient
    if change.ins is not None:
        return patient.ins == change.ins and _is_of(change.holder, patient)
    if not set(change.numbers) & set(patient_numbers(patient.local_ids)):
        return False
    return not change.accounts or _is_in(change.accounts, submission)


def _is_of(holder: LocalIdentifier | None, patient: PatientIdentity) -> bool:
    """True unless the document names another number of the holder's own authority: then it is somebody else's."""
    if holder is None:
        return True
    own = [n for n in patient_numbers(patient.local_ids) if n.authority == holder.authority]
    return not own or holder in own


def _is_in(accounts: Sequence[LocalIdentifier], submission: Submission) -> bool:
    """True when the document names one of these accounts, as a number of the patient or of the stay."""
    values = {account.value for account in accounts}
    stay = submission.document.stay
    named = {n.value for n in submission.document.patient.local_ids} | {v for _, v in (stay.identifiers if stay else ())}
    return bool(values & named)


# ── what became of them ───────────────────────────────────────────────────────────────────────────────────────


def _deliveries_of(tx: Transaction, submission_id: str) -> list[Row]:
    d = tables.delivery
    mine = moves.locked(d.c.submission_id == submission_id, d.c.purpose == Purpose.DOCUMENT.value)
    return sorted(tx.execute(mine).mappings(), key=lambda row: (row["role_id"], row["leg"]))


def _held(tx: Transaction, row: Row, reason: str, actor: str) -> Row:
    if S(row["state"]) not in _HELD:
        return row
    return moves.move_delivery(tx, row, S.PARKED, actor=actor, detail=reason, cause=reason)


def _line(submission: Submission, rows: Sequence[Row]) -> str:
    """One document on one line: its ids, then recipient, channel and state of each delivery."""
    ways = [f"{_role(row['role_id'])} par {row['channel']} : {row['state']}" for row in rows if row["state"] != S.WAITING.value]
    sent = " ; ".join(ways) or "aucun envoi"
    told = f" — {_FOREIGN}" if submission.content_kind == "cda" else ""
    return f"{submission.document.unique_id} ({submission.id}) → {sent}{told}"


def _role(role_id: str) -> str:
    """A recipient's role; an address that may hold a matricule is not told."""
    return "patient" if "@patient." in role_id.lower() else role_id
