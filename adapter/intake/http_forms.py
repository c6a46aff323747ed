"""The HTTP door: `POST /forms/{slug}` takes a filled form and answers when it is durable.

202 accepted (the same request again gets the same bytes), 422 refused with an OperationOutcome that words the question,
401/403 unknown caller, 404 unknown form, 408 too slow, 409 the Idempotency-Key was used for another content, 413 too large,
415 neither JSON, nor FHIR JSON, nor the form's PDF, 503 nothing was kept. Texts are French where a secretary reads them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response

from adapter.errors import InputError
from adapter.fhir.outcome import operation_outcome
from adapter.formats.pdf_form import is_pdf
from adapter.intake.committer import Count, Intake, NotKeptError, TryLaterError, count_nothing
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Answer, Arrival, Kept, Principal, Verdict

log = structlog.get_logger()

JSON = "application/json"
FHIR_JSON = "application/fhir+json"
PDF = "application/pdf"
RETRY_AFTER_SECONDS = "5"
LONGEST_KEY = 200

Authenticate = Callable[[Request], Principal]


@dataclass(frozen=True)
class FormsSettings:
    """`forms` are the slugs that have a mapping; `zone` is that of times without one."""

    forms: Collection[str]
    zone: str
    max_body_bytes: int
    body_timeout_seconds: float = 60.0


class HttpRefusalError(InputError):
    """A refusal that needs no receipt: the caller, the address or the envelope is wrong."""

    def __init__(self, status: HTTPStatus, finding: Finding) -> None:
        super().__init__(finding.code, finding.text, where=finding.location, remedy=finding.remedy)
        self.status = status
        self.finding = finding


OUR_DEFECT = Finding(
    Severity.ERROR, "http.defect", "Erreur interne : rien n'a été conservé.", remedy="Prévenir l'exploitant du service."
)


def forms_router(
    settings: FormsSettings,
    intake: Intake[Any],
    authenticate: Authenticate,
    *,
    clock: Callable[[], datetime],
    count: Count = count_nothing,
) -> APIRouter:
    """The routes of this door."""
    router = APIRouter()

    @router.post("/forms/{slug}")
    async def receive_form(slug: str, request: Request) -> Response:
        async def arrive() -> Arrival:
            return await _arrival(slug, request, settings, authenticate(request), clock)

        # An address that is no form of ours is the caller's text: it may hold anything.
        return await respond(arrive, intake, count, door=f"forms/{slug}" if slug in settings.forms else "forms")

    return router


async def respond(arrive: Callable[[], Awaitable[Arrival]], intake: Intake[Any], count: Count, *, door: str) -> Response:
    """The answer to one request, durable or not; `door` names it in logs."""
    try:
        answer = await asyncio.wrap_future(intake.take(await arrive()))
    except HttpRefusalError as refusal:
        count(f"http.{refusal.status.value}")
        log.info("http.refused", door=door, status=refusal.status.value, code=refusal.code)
        return outcome_response(refusal.status, refusal.finding)
    except TryLaterError as error:
        count("http.503")
        log.warning("http.later", door=door, code=error.code)
        return later_response()
    except NotKeptError as error:
        count("http.500")
        log.error("http.defect", door=door, code=error.code)
        return outcome_response(HTTPStatus.INTERNAL_SERVER_ERROR, OUR_DEFECT)
    response = answer_response(answer)
    count(f"http.{response.status_code}")
    log.info("http.answered", door=door, receipt=answer.receipt_id, status=response.status_code, kept=answer.kept.value)
    return response


def outcome_response(status: HTTPStatus, finding: Finding) -> Response:
    """One finding as an OperationOutcome."""
    body = json.dumps(operation_outcome([finding]), ensure_ascii=False).encode()
    headers = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else {}
    return Response(body, status, headers, media_type=FHIR_JSON)


async def _arrival(
    slug: str, request: Request, settings: FormsSettings, principal: Principal, clock: Callable[[], datetime]
) -> Arrival:
    if slug not in settings.forms:
        raise HttpRefusalError(HTTPStatus.NOT_FOUND, _error("form.unknown", "Ce formulaire n'existe pas.", "slug"))
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (JSON, FHIR_JSON, PDF):
        text = f"Le contenu doit être annoncé comme {JSON}, {FHIR_JSON} ou {PDF}."
        raise HttpRefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _error("http.media-type", text, "Content-Type"))
    reference = idempotency_key(request)
    body = await read_body(request, settings)
    if (media_type == PDF) is not is_pdf(body):
        text = f"Le contenu n’est pas du {media_type}."
        raise HttpRefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _error("http.media-type", text, "Content-Type"))
    return Arrival(
        content=body,
        door="http",
        principal=principal,
        received_at=clock(),
        reference=reference,
        form=slug,
        zone=settings.zone,
    )


def idempotency_key(request: Request) -> str:
    """The caller's own key, empty without; a refusal when it is too long."""
    reference: str = request.headers.get("idempotency-key", "")
    if len(reference) > LONGEST_KEY:
        text = f"La clé dépasse {LONGEST_KEY} caractères."
        raise HttpRefusalError(HTTPStatus.BAD_REQUEST, _error("http.key-too-long", text, "Idempotency-Key"))
    return reference


async def read_body(request: Request, settings: FormsSettings) -> bytes:
    """The whole body, read no further than the limits of size and time whatever Content-Length claims."""
    limit = settings.max_body_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise HttpRefusalError(
            HTTPStatus.REQUEST_TIMEOUT, _error("http.too-slow", "Le contenu n'est pas arrivé à temps.", "corps")
        ) from None
    return bytes(body)


def answer_response(answer: Answer) -> Response:
    """The kept answer, with the status that its verdict has in HTTP."""
    if answer.kept is Kept.CONFLICT:
        return Response(answer.body, HTTPStatus.CONFLICT, media_type=FHIR_JSON)
    if answer.verdict is Verdict.ACCEPTED:
        headers = {"Idempotency-Replayed": "true"} if answer.kept is Kept.REPEAT else {}
        return Response(answer.body, HTTPStatus.ACCEPTED, headers, media_type=JSON)
    if answer.verdict is Verdict.TRY_LATER:
        return later_response()
    return Response(answer.body, HTTPStatus.UNPROCESSABLE_ENTITY, media_type=FHIR_JSON)


def later_response() -> Response:
    """Nothing was kept: the same thing must come again."""
    text = "Le service ne peut rien enregistrer pour l'instant : rien n'a été conservé."
    response = outcome_response(
        HTTPStatus.SERVICE_UNAVAILABLE, _error("http.try-later", text, remedy="Renvoyer la même demande plus tard.")
    )
    response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def _too_large(limit: int) -> HttpRefusalError:
    return HttpRefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _error("http.too-large", f"Le contenu dépasse {limit} octets.", "corps")
    )


def _error(code: str, text: str, location: str = "", remedy: str = "") -> Finding:
    return Finding(Severity.ERROR, code, text, location, remedy)
