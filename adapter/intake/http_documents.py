"""The HTTP door for documents: `POST /documents` takes a FHIR document Bundle or a CDA and answers when it is durable.

To whom it goes: `?rpps=…`, `?finess=…`, `?address=…` (each may be repeated), `?urgency=urgent`; left out, the document itself
tells (médecin traitant and who referred), else a person is asked. Never a patient's datum in an address: they end in logs.
202 accepted, 422 refused with an OperationOutcome, 415 neither of these formats or not the one announced; the rest as for forms.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from adapter.formats.detect import detect_content
from adapter.intake.committer import Count, Intake, count_nothing
from adapter.intake.http_forms import (
    FHIR_JSON,
    JSON,
    Authenticate,
    FormsSettings,
    HttpRefusalError,
    idempotency_key,
    read_body,
    respond,
)
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Arrival, ContentKind, Principal

_KINDS = {
    FHIR_JSON: ContentKind.FHIR,
    JSON: ContentKind.FHIR,
    "application/xml": ContentKind.CDA,
    "text/xml": ContentKind.CDA,
}
_RECIPIENTS = ("rpps", "finess", "address")
_KNOWN = frozenset({*_RECIPIENTS, "urgency"})
_MOST_RECIPIENTS = 50


def documents_router(
    settings: FormsSettings,
    intake: Intake[Any],
    authenticate: Authenticate,
    *,
    clock: Callable[[], datetime],
    count: Count = count_nothing,
) -> APIRouter:
    """The route of this door; its limits are those of the HTTP door."""
    router = APIRouter()

    @router.post("/documents")
    async def receive_document(request: Request) -> Response:
        async def arrive() -> Arrival:
            return await _arrival(request, settings, authenticate(request), clock)

        return await respond(arrive, intake, count, door="documents")

    return router


async def _arrival(request: Request, settings: FormsSettings, principal: Principal, clock: Callable[[], datetime]) -> Arrival:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    expected = _KINDS.get(media_type)
    if expected is None:
        raise _unsupported(f"Le contenu doit être annoncé comme {FHIR_JSON} (document FHIR) ou application/xml (CDA).")
    side_car = _side_car(request)
    reference = idempotency_key(request)
    body = await read_body(request, settings)
    if detect_content(body) is not expected:
        raise _unsupported("Le contenu n’est pas ce que Content-Type annonce.")
    return Arrival(
        content=body,
        door="http",
        principal=principal,
        received_at=clock(),
        reference=reference,
        side_car=side_car,
        zone=settings.zone,
    )


def _side_car(request: Request) -> bytes:
    """What the address says of the recipients, as the side-car file that says it elsewhere."""
    pairs = request.query_params.multi_items()
    unknown = [name for name, _ in pairs if name not in _KNOWN]
    if unknown or len(pairs) > _MOST_RECIPIENTS:
        text = "Paramètre inconnu ou trop nombreux : rpps, finess, address, urgency."
        raise HttpRefusalError(HTTPStatus.BAD_REQUEST, Finding(Severity.ERROR, "http.unknown-parameter", text, "query"))
    told: dict[str, Any] = {}
    recipients = [{name: value} for name, value in pairs if name in _RECIPIENTS]
    if recipients:
        told["recipients"] = recipients
    if request.query_params.get("urgency"):
        told["urgency"] = request.query_params["urgency"]
    return json.dumps(told, ensure_ascii=False).encode() if told else b""


def _unsupported(text: str) -> HttpRefusalError:
    finding = Finding(Severity.ERROR, "http.media-type", text, "Content-Type")
    return HttpRefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, finding)
