"""What a record is asked to change of a document that it holds: cancelled, hidden, shown again. No document travels.

Law: PDSm 3.1.1 flow 3 (status, securityLabel and isArchived only, by the document's own identifier) and MHD 4.2.3 (a PATCH entry
in a transaction with its submission set). PDSm has no deletion, and its status knows current and superseded only: a cancelled
document becomes superseded and archived. How a partner takes changes is declared in its record's entry of the partners file.
"""

from __future__ import annotations

from datetime import datetime

from adapter.errors import RenditionError
from adapter.fhir.bundle import Ids, write_json
from adapter.model.delivery import Delivery
from adapter.model.submission import Intent, Submission
from adapter.packaging.mhd import submission_set
from adapter.packaging.mhd_values import all_identifiers, security_labels
from adapter.packaging.parcel import RecordChange, SenderProfile

BY_PATCH, BY_TRANSACTION = "patch", "transaction"
WAYS = (BY_PATCH, BY_TRANSACTION)


def build_change(delivery: Delivery, submission: Submission, way: str, sender: SenderProfile, sent_at: datetime) -> RecordChange:
    """The change that a cancellation or a metadata change asks for; RenditionError when the partner takes none."""
    cancels = submission.intent is Intent.CANCEL
    if way not in WAYS:
        code = "mhd.cancel-unsupported" if cancels else "mhd.change-unsupported"
        remedy = "Change it in the record by hand, or declare `changes` in the record's entry of the partners file."
        raise RenditionError(code, "this record takes no change of metadata", where=delivery.id, remedy=remedy)
    ids = Ids(f"iti65:{delivery.id}")
    header = submission.document
    return RecordChange(
        master_identifiers=all_identifiers(header.unique_id),
        way=way,
        status="superseded" if cancels else "",
        # MHD's own patch knows the status alone; a superseded document is found by nobody who looks for current ones.
        archived=True if cancels and way == BY_PATCH else None,
        labels=b"" if cancels else write_json({"securityLabel": security_labels(header, submission.visibility)}),
        submission_set=write_json(submission_set(submission, sender, sent_at, ids, [])) if way == BY_TRANSACTION else b"",
    )
