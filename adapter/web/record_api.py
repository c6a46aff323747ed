"""The built-in record over HTTP, at `/record/fhir`: which request is which transaction of MHD, and what is answered.

Law: MHD 4.2.3 ITI-65, 66, 67, 68, 105; FHIR R4 `http.html`. Every answer that is no resource is an OperationOutcome. One route
takes all: a path or method that the record does not know is refused in FHIR's words too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from adapter.errors import InputError
from adapter.formats.fhir import FHIR_JSON
from adapter.record.amendment import JSON_PATCH
from adapter.record.capability import capability_statement
from adapter.record.refusals import RecordRefusal
from adapter.record.rights import Client
from adapter.record.shelf import DOCUMENT_KINDS, Held, Shelf
from adapter.record.submission import LITERAL
from adapter.web import fhir_http as web
from adapter.web.record_audit import AuditReader
from adapter.web.record_callers import Known, RecordCallers
from adapter.web.record_smart import RecordSmart

BASE_PATH = "/record/fhir"
_KINDS = frozenset({*DOCUMENT_KINDS, "Patient", "Consent", "AuditEvent"})
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True)
class RecordSite:
    """What the record says of itself. `base_url` empty: what the caller called."""

    name: str
    version: str
    since: datetime
    base_url: str = ""
    max_body_bytes: int = 67_108_864


def record_router(
    shelf: Shelf,
    callers: RecordCallers,
    site: RecordSite,
    rate: web.RateLimit,
    *,
    smart: RecordSmart | None = None,
    count: Callable[[str], None] = lambda _: None,
) -> APIRouter:
    """The record's routes."""
    desk = _Desk(shelf, callers, site, rate, smart)
    router = APIRouter()
    answered = web.fhir_route(desk.answer, "record", count, negotiate=_negotiate)
    for path in (BASE_PATH, BASE_PATH + "/{rest:path}"):
        router.add_api_route(path, answered, methods=_METHODS, response_model=None, include_in_schema=False)
    return router


def _negotiate(request: Request) -> None:
    """A document is given in its own type to who asks for it: anything may be accepted there."""
    if _steps(request)[:1] not in (["Binary"], ["auth"], [".well-known"]):
        web.check_accept(request)


def _steps(request: Request) -> list[str]:
    return [step for step in str(request.path_params.get("rest", "")).split("/") if step]


class _Desk:
    """One record's requests."""

    def __init__(
        self, shelf: Shelf, callers: RecordCallers, site: RecordSite, rate: web.RateLimit, smart: RecordSmart | None
    ) -> None:
        self._shelf = shelf
        self._callers = callers
        self._site = site
        self._rate = rate
        self._smart = smart
        self._limits = web.BodyLimits(site.max_body_bytes)
        self._audit = AuditReader(shelf, site.name)

    async def answer(self, request: Request) -> Response:
        """Any request under the base."""
        steps = _steps(request)
        if steps == ["metadata"] and request.method in ("GET", "HEAD"):
            return web.resource_answer(self._capability(request))
        if self._smart is not None and steps in (["auth", "token"], [".well-known", "smart-configuration"]):
            return await self._smart.answer(request, steps[-1])
        # Off the event loop: an access token is looked up by the ledger's key.
        known = await run_in_threadpool(self._callers.caller_of, request)
        client = known.client
        self._rate.take(client.name)
        _check_granted(request, known, steps)
        try:
            return await self._answered(request, client, steps)
        except RecordRefusal as refusal:
            await run_in_threadpool(
                self._shelf.tell_refusal, client, refusal.code, steps[0] if steps[:1] and steps[0] in _KINDS else ""
            )
            raise web.FhirRefusal(HTTPStatus(refusal.reason.status), refusal.reason.issue_type, *refusal.findings) from None

    async def _answered(self, request: Request, client: Client, steps: list[str]) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if not steps:
            return await self._base(request, client, method)
        if steps[0] not in _KINDS:
            raise web.not_found("Le dossier n’a pas de ressource de ce type.")
        match method, steps[1:]:
            case "GET", []:
                return await self._search(request, client, steps[0])
            case "POST", ["_search"]:
                return await self._search(request, client, steps[0])
            case "POST", []:
                return await self._create(request, client, steps[0])
            case "PATCH", [] if steps[0] == "DocumentReference":
                return await self._patch(request, client, "")
            case "PATCH", [resource_id] if steps[0] == "DocumentReference":
                return await self._patch(request, client, resource_id)
            case "GET", [resource_id]:
                return await self._read(request, client, steps[0], resource_id, "")
            case "GET", [resource_id, "_history", version]:
                return await self._read(request, client, steps[0], resource_id, version)
        raise web.not_allowed("GET", "POST", *(["PATCH"] if steps[0] == "DocumentReference" else []))

    async def _base(self, request: Request, client: Client, method: str) -> Response:
        if method != "POST":
            raise web.not_allowed("POST")
        body = await web.read_body(request, self._limits)
        response = await run_in_threadpool(self._shelf.provide, client, body)
        return web.resource_answer(response)

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, request: Request, client: Client, kind: str) -> Response:
        if kind not in ("DocumentReference", "Patient", "Consent"):
            raise web.not_allowed("GET")
        resource = web.parse_resource(await web.read_body(request, self._limits), LITERAL, kind)
        is_new = True
        if kind == "DocumentReference":
            condition = request.headers.get("if-none-exist", "")
            held, is_new = await run_in_threadpool(self._shelf.publish, client, resource, condition)
        elif kind == "Patient":
            held, is_new = await run_in_threadpool(self._shelf.open_patient, client, resource)
        else:
            held = await run_in_threadpool(self._shelf.set_consent, client, resource)
        return self._written(request, held, HTTPStatus.CREATED if is_new else HTTPStatus.OK)

    async def _patch(self, request: Request, client: Client, resource_id: str) -> Response:
        body = await web.read_body(request, self._limits, (FHIR_JSON, "application/json", JSON_PATCH))
        is_json_patch = request.headers["content-type"].startswith(JSON_PATCH)
        patch = _json_patch(body) if is_json_patch else web.parse_resource(body, LITERAL, "Parameters")
        if_match = request.headers.get("if-match", "")
        if resource_id:
            held = await run_in_threadpool(self._shelf.amend_one, client, resource_id, patch, if_match)
        else:
            pairs = request.query_params.multi_items()
            held = await run_in_threadpool(self._shelf.amend_where, client, pairs, patch, if_match)
        return self._written(request, held, HTTPStatus.OK)

    def _written(self, request: Request, held: Held, status: HTTPStatus) -> Response:
        """What a write answers, in the form that the caller prefers."""
        row = held.row
        location = f"{self._base_url(request)}/{row.kind}/{row.id}/_history/{row.version}"
        answer = web.resource_answer(held.resource(), status, version=row.version, changed=row.changed_at, location=location)
        match web.preferred_return(request):
            case "minimal":
                bare = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
                return Response(status_code=status, headers=bare)
            case "OperationOutcome":
                outcome = web.written(web.success_outcome())
                answer.body = outcome
                answer.headers["content-length"] = str(len(outcome))
        return answer

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, request: Request, client: Client, kind: str, resource_id: str, version: str) -> Response:
        if kind == "AuditEvent":
            return web.resource_answer(await run_in_threadpool(self._audit.read, client, resource_id))
        held = await run_in_threadpool(self._shelf.read, client, kind, resource_id)
        row = held.row
        if version and version != str(row.version):
            raise web.not_found("Cette version n’est plus tenue.")
        if web.is_known(request, row.version):
            return web.not_modified(row.version)
        if kind == "Binary" and not _wants_resource(request, row.media_type):
            headers = {"Cache-Control": "no-store", "ETag": web.etag(row.version), "X-Content-Type-Options": "nosniff"}
            return Response(held.data, HTTPStatus.OK, {**headers, "Content-Type": row.media_type})
        if kind == "Bundle":  # a document is given back byte for byte: its hash is of these
            headers = {"Cache-Control": "no-store", "ETag": web.etag(row.version)}
            return Response(held.data, HTTPStatus.OK, headers, media_type=FHIR_JSON)
        return web.resource_answer(held.resource(), version=row.version, changed=row.changed_at)

    async def _search(self, request: Request, client: Client, kind: str) -> Response:
        pairs = await web.query_pairs(request, self._limits)
        base = self._base_url(request)
        strict = web.wants_strict(request)
        if kind == "AuditEvent":
            return web.resource_answer(await run_in_threadpool(self._audit.search, client, pairs, base, strict))
        if kind in ("Binary", "Bundle"):
            raise web.not_allowed("GET")
        try:
            page = await run_in_threadpool(_searching(self._shelf, strict), client, kind, pairs)
        except InputError as error:
            await run_in_threadpool(self._shelf.tell_refusal, client, error.code, kind)
            raise
        found = [web.Found(f"{base}/{kind}/{held.row.id}", held.resource()) for held in page.found]
        bundle = web.searchset(
            found,
            self_url=self_link(base, kind, pairs),
            next_url=f"{base}/{kind}?{urlencode({'_page': page.next_token})}" if page.next_token else "",
            total=page.total,
            ignored=page.ignored,
        )
        return web.resource_answer(bundle)

    # ── the record itself ─────────────────────────────────────────────────────────────────────────────────────

    def _base_url(self, request: Request) -> str:
        return web.base_of(request, BASE_PATH, self._site.base_url)

    def _capability(self, request: Request) -> dict[str, Any]:
        since = self._site.since.isoformat(timespec="seconds")
        return capability_statement(base=self._base_url(request), name=self._site.name, version=self._site.version, date=since)


def _check_granted(request: Request, known: Known, steps: list[str]) -> None:
    """403 when the token's scopes leave this out; a transaction is the creation of documents."""
    letters = {"PATCH": "u", "POST": "s" if steps[-1:] == ["_search"] else "c"}
    letter = letters.get(request.method, "r" if len(steps) > 1 else "s")
    if not known.grants(steps[0] if steps else "DocumentReference", letter):
        raise web.forbidden("record.scope", "Le jeton ne porte pas de scope pour cette opération.", "Demander le scope voulu.")


def self_link(base: str, kind: str, pairs: Sequence[tuple[str, str]]) -> str:
    """What was searched, as it was understood."""
    return f"{base}/{kind}" + (f"?{urlencode(pairs)}" if pairs else "")


def _searching(shelf: Shelf, strict: bool) -> Callable[[Client, str, Sequence[tuple[str, str]]], Any]:
    def search(client: Client, kind: str, pairs: Sequence[tuple[str, str]]) -> Any:
        return shelf.search(client, kind, pairs, strict=strict)

    return search


def _wants_resource(request: Request, media_type: str) -> bool:
    """ITI-68: the document itself unless FHIR is asked for by name (R4 §2.35: Accept decides), and not beside its own type."""
    if request.query_params.get("_format", "").startswith(("json", "application/fhir+json", "application/json")):
        return True
    accepted = web.accepted_types(request)
    is_own_type = media_type.partition(";")[0].strip().lower() in accepted
    return FHIR_JSON in accepted and (not is_own_type or len(accepted) == 1)


def _json_patch(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise web.refusal(HTTPStatus.BAD_REQUEST, "structure", "fhir.not-json", "Le contenu n’est pas du JSON lisible.") from None
