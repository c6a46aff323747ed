"""The names under which a published document and its parts are asked for: FHIR ids and the document's URI. Pure.

Ids are those that the resources bear in the document, so that a part read alone and the same part in its Bundle are one thing.
"""

from __future__ import annotations

from typing import Any

from adapter.fhir.bundle import Ids
from adapter.model.document import DocumentHeader
from adapter.packaging.mhd_values import master_identifier

Resource = dict[str, Any]
# What may be read alone, beside the document.
READ_ALONE = ("ServiceRequest",)


def names_of(header: DocumentHeader, bundle: Resource) -> tuple[str, ...]:
    """Every name of one document, its own URI first."""
    resources = (entry["resource"] for entry in bundle.get("entry", ()))
    parts = [str(one["id"]) for one in resources if one["resourceType"] in READ_ALONE and one.get("id")]
    names = [master_identifier(header.unique_id)]
    if bundle.get("id"):
        names += [str(bundle["id"]), transaction_id(bundle)]
    if parts:
        names += [task_id(one) for one in (header.unique_id, header.replaces) if one] + parts
    return tuple(dict.fromkeys(names))


def transaction_id(bundle: Resource) -> str:
    """The id of a document's transaction form, as `requests.steps.order_transaction` gives it."""
    return Ids(f"transaction/{bundle['id']}").mint("Bundle")


def task_id(request_id: str) -> str:
    """The id of a request's Task, as `requests.steps.project_task` gives it."""
    return Ids(f"request/{request_id}").mint("Task")
