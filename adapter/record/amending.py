"""A document's metadata changed in the store: of the version that was read, and never back to current once replaced."""

from __future__ import annotations

import json
from typing import Any

from adapter.ledger.record_rows import AnyToken, Row
from adapter.ledger.record_store import RecordChanges
from adapter.record.amendment import JSON_PATCH, amended_by_json_patch, amended_by_parameters
from adapter.record.content import binary_content
from adapter.record.entries import Entry
from adapter.record.holding import written
from adapter.record.parameters import indexes_of
from adapter.record.refusals import refused
from adapter.record.rights import openness_of

Resource = dict[str, Any]


def amended_by_entry(document: Resource, entry: Entry) -> Resource:
    """The document after a PATCH entry of a transaction: Parameters, or a Binary that holds a JSON Patch."""
    if entry.kind == "Parameters":
        return amended_by_parameters(document, entry.resource)
    return amended_by_json_patch(document, _json_patch_of(entry))


def _json_patch_of(entry: Entry) -> Any:
    """The JSON Patch that a Binary holds; one that cannot be read changes nothing, and is refused."""
    content = binary_content(entry.resource)
    if content is None or content.media_type != JSON_PATCH:
        raise refused("record.amendment", f"{entry.place}.resource.contentType")
    try:
        return json.loads(content.data)
    except (ValueError, RecursionError):
        raise refused("record.amendment", f"{entry.place}.resource.data") from None


def document_of(changes: RecordChanges, row: Row) -> Resource:
    """The metadata of a row."""
    found: Resource = json.loads(changes.content(row.id))
    return found


def amend(changes: RecordChanges, row: Row, made: Resource) -> Row:
    """Keep the new metadata of a document. A superseded one whose successor is there stays superseded."""
    if row.state == "superseded" and made["status"] == "current" and _is_replaced(changes, row):
        raise refused("record.replaced-superseded", "DocumentReference.status")
    return changes.change(row, written(made), str(made["status"]), openness_of(made), indexes_of(made))


def _is_replaced(changes: RecordChanges, row: Row) -> bool:
    return changes.count("DocumentReference", [AnyToken("relatesto", (f"to:DocumentReference/{row.id}",))]) > 0


def check_version(row: Row, if_match: str) -> None:
    """RecordRefusal when a change was made of another version."""
    if if_match and if_match.removeprefix("W/").strip('"') not in (str(row.version), "*"):
        raise refused("record.stale", "ifMatch")
