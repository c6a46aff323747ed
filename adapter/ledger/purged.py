"""What is told of a receipt or a submission whose content is gone: ids, state, type, instants. Nothing of anybody.

Law: style card (no tombstones: nothing stands in the place of what went; the rows that stay say what became of it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from adapter.ledger import tables
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import Sealed, read_submission
from adapter.ledger.vault import Vault
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.identity import PatientIdentity
from adapter.model.parties import Organisation
from adapter.model.submission import Intent, Submission, Urgency


def particulars_left(connection: Connection, vault: Vault, receipt_id: str) -> bytes:
    """A receipt's sealed particulars; without them, no key and no reference."""
    sealed = Sealed(connection, [receipt_id], [PayloadKind.PARTICULARS])
    if sealed.has(receipt_id, PayloadKind.PARTICULARS):
        return sealed.open(vault, receipt_id, PayloadKind.PARTICULARS)
    return json.dumps({"key": "", "reference": ""}).encode()


def submission_left(connection: Connection, vault: Vault, submission_id: str) -> Submission:
    """A submission as it was kept; once its content went, what its row says."""
    sealed = Sealed(connection, [submission_id], [PayloadKind.SUBMISSION])
    if sealed.has(submission_id, PayloadKind.SUBMISSION):
        return read_submission(sealed.open(vault, submission_id, PayloadKind.SUBMISSION))
    s = tables.submission
    return _bare(connection.execute(select(s).where(s.c.id == submission_id)).mappings().one())


def _bare(row: Mapping[Any, Any]) -> Submission:
    document = DocumentHeader(
        unique_id=row["document_id"],
        type=Code(row["type_code"]),
        title="",
        created="",
        patient=PatientIdentity(birth_name=""),
        authors=(),
        custodian=Organisation(""),
        body=BodyKind.PDF,
        set_id=row["set_id"],
        version=row["version"],
        replaces=row["replaces"],
    )
    return Submission(
        id=row["id"],
        receipt_id=row["receipt_id"],
        legal_entity=row["legal_entity"],
        document=document,
        intent=Intent(row["intent"]),
        urgency=Urgency(row["urgency"]),
        in_reply_to=row["in_reply_to"],
        content_kind=row["content_kind"],
        revision=row["revision"],
    )
