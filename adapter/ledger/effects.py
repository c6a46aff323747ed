"""All that preparing a receipt leaves, committed in one transaction that may safely be run again.

Ids come from the pipeline as UUIDv5, so a second run names the same rows: what is there already is left as it is. A document
known under another control id or door goes only to recipient roles not yet served (seam 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import delete, insert, select, update

from adapter.errors import LedgerError, StaleClaimError, StalePlanError
from adapter.ledger import ack_marks, fax_calls, fax_codes_kept, moves, possible_doubles, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.evidence import Reactions, apply_evidence
from adapter.ledger.lookup import lookups_of
from adapter.ledger.patient_index import Telling, lock_name
from adapter.ledger.patient_reading import read_view
from adapter.ledger.receipts import lookup_rows
from adapter.ledger.records import EffectsResult, PayloadKind, StoredEffects, StoredSubmission
from adapter.ledger.requests import append_answer, insert_steps
from adapter.ledger.rows import (
    Sealed,
    delivery_row,
    read_chunk,
    read_plan,
    write_bundle,
    write_findings,
    write_plan,
    write_submission,
    write_unread,
)
from adapter.ledger.versions import Line, LineKeeper, Placement, lock_names, place_in_line
from adapter.ledger.work_items import STOPPED_BY_PERSON, URGENT_BELOW, add_delivery_item, add_work_items
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.effects import Ignored, Parked
from adapter.model.plan import RoutePlan
from adapter.model.receipt import ReceiptState
from adapter.model.submission import Submission, Urgency
from adapter.model.work_item import WorkAbout, WorkItem

S = DeliveryState
Row = Mapping[Any, Any]
# Another submission's delivery in one of these states did not serve the role, and nobody looks after it.
_FAILED = frozenset({S.REFUSED.value, S.SUPERSEDED.value})
_SENT_AGAIN_ADVICE = "L'émetteur renvoie ce document, refusé sur tous les canaux : corriger la cause, puis relancer cet envoi."
_STOPPED_ADVICE = "L'émetteur renvoie ce document, qu'une personne avait arrêté : rien ne part. Vérifier avec l'émetteur."
_ELSEWHERE_ADVICE = "Une version précédente a été transmise à d'autres, que l'émetteur ne nomme plus : les prévenir. Il s'agit de"
_OTHER_CONTENT_ADVICE = "Identifiant et version d'un document déjà reçu, mais autre contenu : demander une nouvelle version."


@dataclass
class _Tally:
    """What the commit did, counted on the way."""

    queued: int = 0
    already_served: int = 0
    superseded: int = 0
    touched: set[str] = field(default_factory=set)


def commit_effects(
    database: Database, receipt_id: str, fence: int, stored: StoredEffects, reactions: Reactions, doubtful: frozenset[str]
) -> EffectsResult:
    """See `Ledger.commit_effects`."""
    return database.write(lambda tx: _commit(tx, receipt_id, fence, stored, reactions, doubtful))


def _commit(
    tx: Transaction, receipt_id: str, fence: int, stored: StoredEffects, reactions: Reactions, doubtful: frozenset[str]
) -> EffectsResult:
    if stored.fax is not None:
        fax_codes_kept.hold_annexes(tx, stored.fax)
    receipt = _held_receipt(tx, receipt_id, fence)
    if receipt["state"] != ReceiptState.RECEIVED.value:
        s = tables.submission
        known = tx.execute(select(s.c.id).where(s.c.receipt_id == receipt_id).order_by(s.c.id)).scalars()
        return EffectsResult(tuple(known), already_committed=True)
    if stored.fax is not None:
        fax_codes_kept.keep_codes(tx, receipt, stored.fax)
    _hold_index(tx, receipt["legal_entity"], stored)
    tx.lock(*(name for one in stored.submissions for name in lock_names(one.translation.submission)))
    tally = _Tally()
    for one in stored.submissions:
        _store(tx, one, receipt["claimed_by"], tally)
    if stored.identity_updates:
        telling = Telling(tx, receipt["legal_entity"], receipt_id, receipt["claimed_by"], doubtful)
        tally.touched |= telling.apply(stored.identity_updates)
    if stored.evidences:
        apply_evidence(tx, stored.evidences, receipt["legal_entity"], reactions)
    fax_calls.keep_calls(tx, receipt["legal_entity"], receipt_id, "", stored.calls)
    items = _with_parked_item(tx, receipt, stored)
    add_work_items(tx, items)
    if isinstance(stored.outcome, Parked):
        _tell_answered(tx, receipt, stored.outcome)
        if stored.outcome.refusal is not None:
            ack_marks.mark_refused(tx, receipt, stored.outcome.refusal)
    if stored.fax is not None:
        fax_codes_kept.tell_joined(tx, receipt, stored.fax)
    _finish_receipt(tx, receipt, stored)
    ids = tuple(one.translation.submission.id for one in stored.submissions)
    moves.refresh_status(tx, {*ids, *tally.touched})
    return EffectsResult(ids, tally.queued, tally.already_served, tally.superseded)


def _hold_index(tx: Transaction, entity: str, stored: StoredEffects) -> None:
    """A document and a word on its patient's identity are committed one after the other, never at once: else the merge would
    not find the document that it must hold, and the document would be planned by the index of before. First of all locks.
    """
    if stored.identity_updates:
        tx.lock(lock_name(entity))
    elif stored.submissions:
        tx.lock_shared(lock_name(entity))
    for one in stored.submissions:
        submission = one.translation.submission
        if one.seen is None:
            continue
        if read_view(tx.connection, tx.vault, submission.document.patient, entity) != one.seen.view:
            raise StalePlanError(
                "receipt.plan-stale", "the patient index changed since the route was chosen", where=submission.id
            )


def _held_receipt(tx: Transaction, receipt_id: str, fence: int) -> Row:
    r = tables.receipt
    row = tx.execute(select(r).where(r.c.id == receipt_id).with_for_update()).mappings().first()
    if row is None:
        raise LedgerError("receipt.unknown", "no such receipt", where=receipt_id)
    if row["fence"] != fence:
        raise StaleClaimError("receipt.claim-lost", "another worker holds this receipt now", where=receipt_id)
    return row


def _tell_answered(tx: Transaction, receipt: Row, outcome: Parked) -> None:
    """Who wrote back about a letter is seen on the letter's own timeline."""
    d = tables.delivery
    mine = moves.locked(d.c.legal_entity == receipt["legal_entity"], d.c.reference.in_(outcome.answers))
    for row in tx.execute(mine).mappings().all() if outcome.answers else ():
        moves.note(tx, row, outcome.reason, receipt["id"])


def _finish_receipt(tx: Transaction, receipt: Row, stored: StoredEffects) -> None:
    outcome, r = stored.outcome, tables.receipt
    state = ReceiptState.PARKED if isinstance(outcome, Parked) else ReceiptState.PREPARED
    reason = outcome.reason if outcome is not None else _told_only(stored)
    values = {"state": state.value, "reason": reason, "claimed_by": "", "lease_until": None}
    tx.execute(update(r).where(r.c.id == receipt["id"]).values(values))
    kind = "ignored" if isinstance(outcome, Ignored) else state.value
    entity, about = receipt["legal_entity"], WorkAbout.RECEIPT
    tx.event(entity, about, receipt["id"], kind, reason)
    tx.audit(entity, receipt["claimed_by"], f"receipt.{kind}", about.value, receipt["id"], reason)


def _told_only(stored: StoredEffects) -> str:
    """What a receipt without document was good for: nothing of it stays to be sent."""
    if stored.submissions:
        return ""
    if stored.identity_updates:
        return "patient-index"
    return "evidence" if stored.evidences else ""


def _with_parked_item(tx: Transaction, receipt: Row, stored: StoredEffects) -> list[WorkItem]:
    """A parked receipt is always listed, whether or not the pipeline wrote its item."""
    items, outcome = list(stored.work_items), stored.outcome
    if not isinstance(outcome, Parked) or any(item.about_id == receipt["id"] for item in items):
        return items
    item = WorkItem(
        tx.new_id(),
        receipt["legal_entity"],
        WorkAbout.RECEIPT,
        receipt["id"],
        outcome.reason,
        outcome.advice,
        tx.now,
        outcome.urgent,
        outcome.phone_line,
    )
    return [*items, item]


# ── one submission ────────────────────────────────────────────────────────────────────────────────────────────


def _store(tx: Transaction, stored: StoredSubmission, actor: str, tally: _Tally) -> None:
    submission = stored.translation.submission
    line = place_in_line(tx, submission)
    keeper = LineKeeper(tx, submission, line, actor)
    question = ""
    if _is_new(tx, submission.id):
        _insert_submission(tx, stored, line)
        if stored.is_archived:
            return  # no version of it that was sent is touched, and nobody is asked
        keeper.flag_unknown_original()
    else:
        # Prepared again while nobody has said yet whose document it is: what it adds waits with the rest.
        question = moves.open_identity_question(tx, submission.id)
        _merge_plan(tx, submission, stored.plan)
        ack_marks.mark_again(tx, submission)
    ack_marks.mark_unserved(tx, submission, stored.plan)
    if stored.answered is not None:
        append_answer(tx, submission, stored.answered, actor)
    rows = _new_deliveries(tx, stored, keeper, line, tally, question)
    if rows:
        tx.execute(insert(tables.delivery), rows)
    documents = [row for row in rows if row["purpose"] == Purpose.DOCUMENT.value and not row["superseded_by"]]
    touched = keeper.supersede_older({row["role_id"]: row["id"] for row in documents})
    _ask_about_elsewhere(tx, stored, keeper)
    tally.superseded += len(touched)
    tally.touched |= touched


def _is_new(tx: Transaction, submission_id: str) -> bool:
    s = tables.submission
    return tx.execute(select(s.c.id).where(s.c.id == submission_id)).first() is None


def _insert_submission(tx: Transaction, stored: StoredSubmission, line: Line) -> None:
    translation = stored.translation
    submission = translation.submission
    tx.execute(insert(tables.submission), [_submission_row(tx, stored, line)])
    entity, about = submission.legal_entity, WorkAbout.SUBMISSION
    tx.keep(entity, submission.id, PayloadKind.SUBMISSION, write_submission(submission))
    tx.keep(entity, submission.id, PayloadKind.BUNDLE, write_bundle(translation.bundle))
    tx.keep(entity, submission.id, PayloadKind.PLAN, write_plan(stored.plan))
    tx.keep(entity, submission.id, PayloadKind.SOURCE, translation.source_document)
    if translation.unread:
        tx.keep(entity, submission.id, PayloadKind.UNREAD, write_unread(translation.unread))
    pairs = lookup_rows(tx, entity, about, submission.id, lookups_of(submission))
    if pairs:
        tx.execute(insert(tables.lookup), pairs)
    insert_steps(tx, submission, translation.steps)
    possible_doubles.note_likeness(tx, stored, line.id)
    if stored.is_archived:
        tx.event(entity, about, submission.id, tables.ARCHIVED)
    else:
        tx.event(entity, about, submission.id, "planned", f"directory {stored.plan.directory_revision}")


def _submission_row(tx: Transaction, stored: StoredSubmission, line: Line) -> dict[str, Any]:
    submission, document = stored.translation.submission, stored.translation.submission.document
    return {
        "id": submission.id,
        "legal_entity": submission.legal_entity,
        "receipt_id": submission.receipt_id,
        "document_id": document.unique_id,
        "set_id": document.set_id,
        "version": document.version,
        "intent": submission.intent.value,
        "replaces": document.replaces,
        "line_id": line.id,
        "revision": submission.revision,
        "in_reply_to": submission.in_reply_to,
        "content_kind": submission.content_kind,
        "type_code": document.type.code,
        "urgency": submission.urgency.value,
        "source_media_type": stored.translation.source_media_type,
        "wants_acks": submission.acks.any,
        "mapping_revision": stored.translation.mapping_revision,
        "findings": write_findings(stored.translation.findings),
        "created_at": tx.now,
    }


def _merge_plan(tx: Transaction, submission: Submission, plan: RoutePlan) -> None:
    """Prepared again on a person's word: roles that have deliveries keep their legs (a resend stays the same)."""
    d, chunk = tables.delivery, tables.payload_chunk
    kept = read_plan(read_chunk(tx.connection, tx.vault, submission.id, PayloadKind.PLAN))
    roles = set(tx.execute(select(d.c.role_id).where(d.c.submission_id == submission.id)).scalars())
    merged = [one for one in kept.recipients if one.role_id in roles]
    merged += [one for one in plan.recipients if one.role_id not in roles]
    tx.execute(delete(chunk).where(chunk.c.row_id == submission.id, chunk.c.kind == PayloadKind.PLAN.value))
    tx.keep(submission.legal_entity, submission.id, PayloadKind.PLAN, write_plan(replace(plan, recipients=tuple(merged))))
    detail = f"directory {plan.directory_revision}"
    tx.event(submission.legal_entity, WorkAbout.SUBMISSION, submission.id, "planned-again", detail)


# ── its deliveries ────────────────────────────────────────────────────────────────────────────────────────────


def _new_deliveries(
    tx: Transaction, stored: StoredSubmission, keeper: LineKeeper, line: Line, tally: _Tally, question: str
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    by_role: dict[tuple[str, Purpose], list[Delivery]] = {}
    for delivery in sorted(stored.deliveries, key=lambda one: one.leg):
        by_role.setdefault((delivery.role_id, delivery.purpose), []).append(delivery)
    known = _known_deliveries(tx, stored)
    _flag_other_content(tx, stored, known)
    for (role_id, purpose), legs in by_role.items():
        fresh = _not_yet_served(tx, stored.translation.submission, legs, known.get((role_id, purpose.value), []), tally)
        placement = keeper.place(role_id) if purpose is Purpose.DOCUMENT and fresh else Placement()
        if placement.superseded_by and fresh:
            ack_marks.mark_too_old(tx, stored.translation.submission, fresh[0])
        rows += [_placed_row(tx, leg, placement, line.id, question) for leg in fresh]
    tally.queued += sum(row["state"] == S.QUEUED.value for row in rows)
    return rows


def _known_deliveries(tx: Transaction, stored: StoredSubmission) -> dict[tuple[str, str], list[Row]]:
    """Deliveries of the same document, version and intent, by role and purpose, whichever submission made them."""
    submission, d = stored.translation.submission, tables.delivery
    document = submission.document
    query = moves.locked(
        d.c.legal_entity == submission.legal_entity,
        d.c.document_id == document.unique_id,
        d.c.version == document.version,
        d.c.intent == submission.intent.value,
    )
    known: dict[tuple[str, str], list[Row]] = {}
    for row in tx.execute(query).mappings():
        known.setdefault((row["role_id"], row["purpose"]), []).append(row)
    return known


def _not_yet_served(
    tx: Transaction, submission: Submission, legs: Sequence[Delivery], known: Sequence[Row], tally: _Tally
) -> list[Delivery]:
    """The legs to insert for one role: none when another submission's delivery served it, is on its way, or waits.

    Prepared again, a role that has its legs keeps them as they are: a directory that changed in the meantime adds no second one.
    """
    if any(row["submission_id"] == legs[0].submission_id for row in known):
        return []
    ack_marks.mark_reached(tx, submission, known)
    serving = next((row for row in known if row["state"] not in _FAILED and not _stopped_by_person(row)), None)
    if serving is not None:
        _tell_served(tx, legs[0], serving["id"], tally)
        return []
    taken = {row["channel"]: row["id"] for row in known}
    fresh: list[Delivery] = []
    for leg in legs:
        if leg.channel.value in taken:
            _tell_served(tx, leg, taken[leg.channel.value], tally)
            continue
        taken[leg.channel.value] = leg.id
        fresh.append(leg)
    if not fresh:
        _ask_about_failed(tx, legs[0], known)
    elif fresh[0].state is S.WAITING:
        fresh[0] = replace(fresh[0], state=S.QUEUED)  # the legs before it were tried, and refused, under another submission
    return fresh


def _stopped_by_person(row: Row) -> bool:
    return bool(row["state"] == S.CANCELLED.value and row["cause"] in STOPPED_BY_PERSON)


def _ask_about_failed(tx: Transaction, leg: Delivery, known: Sequence[Row]) -> None:
    """The sender sends again what failed on every channel: nothing leaves by itself, so somebody must know."""
    failed = sorted((row for row in known if not row["superseded_by"] and row["state"] != S.SUPERSEDED.value), key=_leg_number)
    if not failed:
        return  # a newer version serves this role
    refused = next((row for row in failed if row["state"] == S.REFUSED.value), None)
    if refused is not None:
        add_delivery_item(tx, refused, "sent-again", _SENT_AGAIN_ADVICE)
        return
    about, urgent = WorkAbout.SUBMISSION, leg.priority < URGENT_BELOW
    item = WorkItem(tx.new_id(), leg.legal_entity, about, leg.submission_id, "sent-again", _STOPPED_ADVICE, tx.now, urgent)
    add_work_items(tx, [item])


def _ask_about_elsewhere(tx: Transaction, stored: StoredSubmission, keeper: LineKeeper) -> None:
    """A newer version must reach whoever has the older one; those whom the sender names no more are a person's question.

    Nothing is sent to them by itself: the new version may be hidden from them on purpose.
    """
    roles = keeper.served_elsewhere({recipient.role_id for recipient in stored.plan.recipients})
    if not roles:
        return
    submission = stored.translation.submission
    named = ", ".join(role.partition(":")[2] or role for role in roles)
    advice = f"{_ELSEWHERE_ADVICE} {named}."
    about, urgent = WorkAbout.SUBMISSION, submission.urgency is Urgency.URGENT
    entity, reason = submission.legal_entity, "older-version-elsewhere"
    add_work_items(tx, [WorkItem(tx.new_id(), entity, about, submission.id, reason, advice, tx.now, urgent)])


def _leg_number(row: Row) -> int:
    return int(row["leg"])


def _flag_other_content(tx: Transaction, stored: StoredSubmission, known: Mapping[tuple[str, str], Sequence[Row]]) -> None:
    """One id and version, two contents: those already served keep the first one, and nobody would know."""
    submission = stored.translation.submission
    if submission.content_kind not in ("cda", "fhir"):
        return  # a form's id comes from its answers, which may be spelt in several ways
    others = _not_by_fax(tx, {row["submission_id"] for rows in known.values() for row in rows} - {submission.id})
    sealed = Sealed(tx.connection, others[:1], [PayloadKind.SOURCE])
    for other in others[:1]:
        # Once purged, nobody can tell whether it was another content.
        gone = not sealed.has(other, PayloadKind.SOURCE)
        if gone or sealed.open(tx.vault, other, PayloadKind.SOURCE) == stored.translation.source_document:
            return
        entity, about = submission.legal_entity, WorkAbout.SUBMISSION
        reason, urgent = "same-id-other-content", submission.urgency is Urgency.URGENT
        add_work_items(tx, [WorkItem(tx.new_id(), entity, about, submission.id, reason, _OTHER_CONTENT_ADVICE, tx.now, urgent)])


def _not_by_fax(tx: Transaction, ids: set[str]) -> list[str]:
    """Without what came by fax: its source is another form of the same document, and was compared when this one was prepared."""
    s = tables.submission
    query = select(s.c.id).where(s.c.id.in_(sorted(ids)), s.c.content_kind != "fax").order_by(s.c.id)
    return list(tx.execute(query).scalars()) if ids else []


def _tell_served(tx: Transaction, leg: Delivery, by: str, tally: _Tally) -> None:
    tally.already_served += 1
    tx.event(leg.legal_entity, WorkAbout.SUBMISSION, leg.submission_id, "already-served", by)


def _placed_row(tx: Transaction, leg: Delivery, placement: Placement, line_id: str, question: str) -> dict[str, Any]:
    state, cause = placement.state or leg.state, placement.cause or leg.cause
    if state is S.QUEUED and question and leg.purpose is Purpose.DOCUMENT:
        state, cause = S.PARKED, question
    row = delivery_row(leg) | {
        "state": state.value,
        "cause": cause,
        "replaces_sent_on": placement.replaces_sent_on or leg.replaces_sent_on,
        "superseded_by": placement.superseded_by,
        "line_id": line_id,
        "created_at": tx.now,
        "changed_at": tx.now,
    }
    tx.event(leg.legal_entity, WorkAbout.DELIVERY, leg.id, state.value, cause or leg.channel.value)
    return row
