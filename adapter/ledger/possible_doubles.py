"""Two requests that may be one: the same patient, exam and requester, and one of them came by fax or on paper.

Law: issue 6: a possible double is told to a person, on both, and neither is merged, refused or held. Another version of the same
document is none. Compared by keyed HMACs; the question names the other request, nothing of a patient.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import exists, insert, or_, select

from adapter.ledger import tables
from adapter.ledger.database import Transaction
from adapter.ledger.receipts import lookup_rows
from adapter.ledger.records import StoredSubmission
from adapter.ledger.work_items import add_work_items
from adapter.model.fax_in import FAX_DESK_DOOR, FAX_DOOR
from adapter.model.receipt import ContentKind
from adapter.model.request import StepKind
from adapter.model.submission import Urgency
from adapter.model.work_item import WorkAbout, WorkItem

REASON = "possible-double"
LIKENESS = "request-like"
# A request older than this was dealt with, whether or not anybody said so.
_OPEN_FOR = timedelta(days=90)
_MOST = 10
_ADVICE = (
    "Demande peut-être reçue deux fois (même patient, même examen, même demandeur), dont une par télécopie ou sur papier : "
    "comparer avec {other}, puis répondre à une seule."
)
# The door of forms that a person typed from received pages.
_PAPER_DOOR = "desk"
_ENDED = (StepKind.REJECTED.value, StepKind.SCHEDULED.value)


def note_likeness(tx: Transaction, stored: StoredSubmission, line_id: str) -> None:
    """Keep what a new request is like, and ask about those that it is like."""
    if not stored.likeness:
        return
    submission = stored.translation.submission
    entity, about = submission.legal_entity, WorkAbout.SUBMISSION
    rows = lookup_rows(tx, entity, about, submission.id, [(LIKENESS, value) for value in stored.likeness])
    if not rows:
        return
    # Two that come at once see each other: the second waits here for the first.
    tx.lock(*(f"{LIKENESS}/{row['mac']}" for row in rows))
    tx.execute(insert(tables.lookup), rows)
    macs = [mac for value in stored.likeness for mac in tx.vault.lookup_macs(LIKENESS, entity, value)]
    others = _others(tx, stored, line_id, macs)
    urgent = submission.urgency is Urgency.URGENT
    items = []
    for other in others:
        for one, its_other in ((submission.id, other), (other, submission.id)):
            advice = _ADVICE.format(other=its_other)
            items.append(WorkItem(tx.new_id(), entity, about, one, REASON, advice, tx.now, urgent))
    add_work_items(tx, items)


def _others(tx: Transaction, stored: StoredSubmission, line_id: str, macs: list[str]) -> list[str]:
    submission = stored.translation.submission
    k, s, r, step = tables.lookup, tables.submission, tables.receipt, tables.request_step
    came = select(r.c.id, r.c.kind, r.c.door).where(r.c.id == submission.receipt_id)
    own = tx.execute(came).mappings().one()
    by_paper = or_(
        r.c.kind == ContentKind.FAX.value,
        r.c.door == _PAPER_DOOR,
        r.c.door.startswith(FAX_DOOR),
        r.c.door.startswith(FAX_DESK_DOOR),
    )
    is_ended = exists().where(step.c.legal_entity == s.c.legal_entity, step.c.submission_id == s.c.id, step.c.kind.in_(_ENDED))
    query = select(s.c.id).join(k, k.c.about_id == s.c.id).join(r, r.c.id == s.c.receipt_id)
    query = query.where(k.c.legal_entity == submission.legal_entity, k.c.kind == LIKENESS, k.c.mac.in_(macs))
    query = query.where(s.c.legal_entity == submission.legal_entity, s.c.id != submission.id, s.c.line_id != line_id)
    query = query.where(s.c.created_at >= tx.now - _OPEN_FOR, ~is_ended)
    if not _is_paper(own["kind"], own["door"]):
        query = query.where(by_paper)
    return list(tx.execute(query.distinct().order_by(s.c.id).limit(_MOST)).scalars())


def _is_paper(kind: str, door: str) -> bool:
    return kind == ContentKind.FAX.value or door == _PAPER_DOOR or door.startswith((FAX_DOOR, FAX_DESK_DOOR))
