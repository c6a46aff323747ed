"""Contents of the Import API: Binary (CDA, PDF) and Bundle (the FHIR document, its transaction form). Fetching delivers.

Law: MHD ITI-68; blueprint seam 7. A content is handed out while its version is the current one: afterwards its address is gone
(410), so that nobody takes a stale or cancelled document for the one that stands.
"""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from adapter.formats.fhir import FHIR_JSON
from adapter.packaging.letter_transaction import letter_transaction
from adapter.packaging.names import transaction_id
from adapter.requests.steps import order_transaction, project_task
from adapter.web.fhir_http import accepted_types, gone, is_known, not_found, not_modified, refusal, resource_answer
from adapter.web.import_access import Ask, ImportDoor
from adapter.web.import_standing import Shown, publication_of, shown_named, shown_of

Resource = dict[str, Any]
_MEDIA_TYPES = {"cda": "application/xml", "pdf": "application/pdf"}
_ENDINGS = {"cda": "xml", "pdf": "pdf"}
_RESOURCE_TYPES = frozenset({FHIR_JSON, "application/json"})


class ImportContents:
    """The handlers of Binary and Bundle."""

    def __init__(self, door: ImportDoor) -> None:
        self._door = door

    def binary(self, ask: Ask) -> Response:
        """The raw bytes, or a Binary resource when FHIR is asked for."""
        publication_id, _, form = ask.id.partition(".")
        media_type = _MEDIA_TYPES.get(form)
        shown = self._of_publication(ask, publication_id) if media_type else None
        if shown is None or media_type is None:
            raise not_found()
        head = shown.standing.head
        if not shown.standing.has_content or head.id != publication_id:
            raise gone()
        if not any(one.form == form for one in head.renditions):
            raise not_found()
        wants_resource, wants_raw = _wanted(ask.request, media_type)
        if not (wants_resource or wants_raw):
            text, remedy = "Ce contenu n’a pas la forme demandée.", f"Demander {media_type} ou {FHIR_JSON}."
            raise refusal(HTTPStatus.NOT_ACCEPTABLE, "not-supported", "http.not-acceptable", text, "Accept", remedy)
        content = self._door.ledger.published_content(head, form)
        self._fetched(ask, shown, f"Binary {form}")
        if wants_resource:
            return resource_answer(_binary(ask.id, media_type, content, shown), version=1)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {
            "Cache-Control": "no-store",
            "ETag": 'W/"1"',
            "Repr-Digest": f"sha-256=:{digest}:",
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": f'attachment; filename="document.{_ENDINGS[form]}"',
        }
        return Response(content, headers=headers, media_type=media_type)

    def bundle(self, ask: Ask) -> Response:
        """The FHIR document, or its transaction form: the id says which."""
        shown = shown_named(self._door.ledger, ask.caller.client.readers, ask.id)
        version = shown.standing.version
        if ask.id == shown.bundle.get("id"):
            resource = shown.bundle
        elif shown.bundle.get("id") and ask.id == transaction_id(shown.bundle):
            resource = self._transaction(shown)
        else:
            raise not_found()
        if is_known(ask.request, version):
            return not_modified(version)
        self._fetched(ask, shown, f"Bundle {resource['type']}")
        return resource_answer(resource, version=version, changed=shown.standing.changed)

    def _transaction(self, shown: Shown) -> Resource:
        """A request's resources and its Task; any other document's resources and its DocumentReference."""
        submission = shown.submission
        numbers = (submission.document.unique_id, submission.document.replaces)
        of_either = (self._door.ledger.request_steps(one, legal_entity=submission.legal_entity) for one in numbers if one)
        steps = next(filter(None, of_either), [])
        if steps:
            task = project_task(steps, shown.bundle, zone=self._door.settings.zone)
            return order_transaction(shown.bundle, task)
        return letter_transaction(shown.bundle, self._absolute(shown.reference))

    def _absolute(self, reference: Resource) -> Resource:
        """For another server, our contents have whole addresses; what is read alone only here is left out."""
        content = reference["content"][0]
        attachment = content["attachment"]
        attachment = attachment | ({"url": self._door.url(attachment["url"])} if "url" in attachment else {})
        context = {key: value for key, value in reference["context"].items() if key != "related"}
        own = {key: value for key, value in reference["meta"].items() if key not in ("versionId", "lastUpdated")}
        return reference | {"meta": own, "content": [content | {"attachment": attachment}], "context": context}

    def _of_publication(self, ask: Ask, publication_id: str) -> Shown | None:
        """The document that a publication is of, if this client sees it."""
        ledger, readers = self._door.ledger, ask.caller.client.readers
        key = ledger.document_key_of(publication_id, legal_entity=readers.legal_entity)
        shown = shown_of(ledger, readers, [key]) if key else []
        return shown[0] if shown and publication_of(shown[0].standing, publication_id) else None

    def _fetched(self, ask: Ask, shown: Shown, detail: str) -> None:
        """Said and kept before it leaves: *delivered*, and who read it."""
        self._door.audit(ask.caller, "import.read", "delivery", shown.standing.head.id, detail)
        entity = ask.caller.client.readers.legal_entity
        self._door.ledger.mark_fetched(shown.standing.fetchable_ids(), ask.caller.name, legal_entity=entity)


def no_negotiation(request: Request) -> None:
    """A Binary is what it is: its own handler looks at Accept."""


def _wanted(request: Request, media_type: str) -> tuple[bool, bool]:
    """Whether FHIR is asked for, and whether the raw bytes are; raw unless FHIR alone is named."""
    if request.query_params.get("_format"):
        return request.query_params["_format"].partition(";")[0] in (*_RESOURCE_TYPES, "json"), False
    accepted = accepted_types(request)
    family = media_type.partition("/")[0] + "/*"
    wants_raw = bool(accepted & {media_type, family, "*/*", "application/octet-stream"})
    wants_raw = wants_raw or (media_type == "application/xml" and "text/xml" in accepted)
    is_fhir_first = FHIR_JSON in accepted and media_type not in accepted
    return is_fhir_first or (not wants_raw and bool(accepted & _RESOURCE_TYPES)), wants_raw


def _binary(binary_id: str, media_type: str, content: bytes, shown: Shown) -> Resource:
    return {
        "resourceType": "Binary",
        "id": binary_id,
        "contentType": media_type,
        "securityContext": {"reference": f"DocumentReference/{shown.standing.key}"},
        "data": base64.b64encode(content).decode(),
    }
