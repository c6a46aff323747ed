"""The routes of the Import API, at `/fhir`: every operation of its table, the token endpoint, and what describes it.

Law: blueprint §3. Starlette routes with raw FHIR bodies: no framework reads or writes a resource.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Request, Response

from adapter.coordination.treatments import PRESCRIPTIONS, STATEMENTS
from adapter.errors import LedgerError
from adapter.ledger.ledger import Ledger
from adapter.routing.directory import Directory
from adapter.web.bulk import EXPORT_ROUTES, add_export_routes
from adapter.web.bulk_surface import with_export, with_export_paths
from adapter.web.fhir_http import (
    RETRY_AFTER_SECONDS,
    BodyLimits,
    Count,
    FhirRefusal,
    Handler,
    check_accept,
    fhir_route,
    not_allowed,
    not_found,
    read_body,
    resource_answer,
)
from adapter.web.import_access import API_VERSION, VERSION_HEADER, Ask, ImportDoor, ImportSettings
from adapter.web.import_acknowledge import ImportAcknowledge
from adapter.web.import_contents import ImportContents, no_negotiation
from adapter.web.import_coordination import APPOINTMENTS, TEAM, ImportCoordination
from adapter.web.import_documents import ImportDocuments
from adapter.web.import_requests import ImportRequests
from adapter.web.import_surface import OPERATIONS, capability_statement, openapi_document
from adapter.web.smart import ApiClient, SmartServer, TokenAnswer, TokenRefusedError, smart_configuration

log = structlog.get_logger()

BASE = "/fhir"
_FORM = "application/x-www-form-urlencoded"
_TOKEN_LIMITS = BodyLimits(32_768, seconds=20.0)
_MOST_FIELDS = 20


def import_router(
    clients: tuple[ApiClient, ...],
    ledger: Ledger,
    directory: Callable[[], Directory],
    settings: ImportSettings,
    *,
    clock: Callable[[], datetime],
    count: Count,
) -> APIRouter:
    """Everything under `/fhir`."""
    base = settings.base_url
    smart = SmartServer(clients, ledger, f"{base}/auth/token", clock=clock)
    door = ImportDoor(ledger, smart, settings, clock=clock, count=count)
    handlers = _handlers(door, directory)
    router = APIRouter()
    made_on = clock().replace(microsecond=0).isoformat()
    _describe(router, door, clients, made_on)
    router.add_route(f"{BASE}/auth/token", _token_route(smart, count), methods=["POST"])
    for one in OPERATIONS:
        negotiate = no_negotiation if one.resource == "Binary" else check_accept
        route = door.route(
            handlers[one.name], one.name, resource=one.resource, letter=one.letter, has_body=bool(one.body), negotiate=negotiate
        )
        router.add_route(f"{BASE}/{one.path}", route, methods=[one.method])
    add_export_routes(router, BASE, door)
    _refuse_the_rest(router, count)
    return router


def _handlers(door: ImportDoor, directory: Callable[[], Directory]) -> dict[str, Callable[[Ask], Response]]:
    documents, contents, requests = ImportDocuments(door), ImportContents(door), ImportRequests(door)
    together = ImportCoordination(door, directory)
    return {
        "sync": documents.sync,
        "search-documents": documents.search,
        "search-documents-form": documents.search,
        "read-document": documents.read,
        "acknowledge": ImportAcknowledge(door).acknowledge,
        "read-binary": contents.binary,
        "read-bundle": contents.bundle,
        "search-orders": requests.search_orders,
        "search-orders-form": requests.search_orders,
        "read-order": requests.read_order,
        "search-tasks": requests.search_tasks,
        "search-tasks-form": requests.search_tasks,
        "read-task": requests.read_task,
        "update-task": requests.update_task,
        "search-treatments": together.searching(STATEMENTS),
        "search-prescriptions": together.searching(PRESCRIPTIONS),
        "search-appointments": together.searching(APPOINTMENTS),
        "search-teams": together.searching(TEAM),
    }


def _describe(router: APIRouter, door: ImportDoor, clients: tuple[ApiClient, ...], made_on: str) -> None:
    """What anybody may read: it names no client, no practice and no patient."""
    base = door.settings.base_url
    statement = with_export(capability_statement(base, f"{base}/auth/token", made_on))
    smart, openapi = json.dumps(smart_configuration(base, clients)), json.dumps(with_export_paths(openapi_document(base)))

    def plain(text: str) -> Callable[[Request], Response]:
        return lambda _request: Response(text, media_type="application/json")

    router.add_route(f"{BASE}/metadata", door.open_route(lambda _: resource_answer(statement), "metadata"), methods=["GET"])
    router.add_route(
        f"{BASE}/.well-known/smart-configuration", door.open_route(plain(smart), "smart-configuration"), methods=["GET"]
    )
    router.add_route(f"{BASE}/openapi.json", door.open_route(plain(openapi), "openapi"), methods=["GET"])


def _refuse_the_rest(router: APIRouter, count: Count) -> None:
    """What is not offered is refused as FHIR wants it: 405 with what the address takes, 404 for what is no address."""
    methods: dict[str, list[str]] = {}
    for one in (*OPERATIONS, *EXPORT_ROUTES):
        methods.setdefault(one.path, []).append(one.method)
    for path in ("metadata", "openapi.json", ".well-known/smart-configuration"):
        methods[path] = ["GET"]
    methods["auth/token"] = ["POST"]
    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]

    def refusing(refused: FhirRefusal, name: str) -> Handler:
        async def handle(_request: Request) -> Response:
            raise refused

        return fhir_route(handle, name, count, no_negotiation)

    for path, allowed in methods.items():
        others = [method for method in every if method not in allowed]
        router.add_route(
            f"{BASE}/{path}", refusing(not_allowed(*allowed), "not-allowed"), methods=others, include_in_schema=False
        )
    router.add_route(BASE + "/{rest:path}", refusing(not_found(), "no-address"), methods=every, include_in_schema=False)


def _token_route(smart: SmartServer, count: Count) -> Handler:
    """The token endpoint speaks OAuth's JSON, refusals too (RFC 6749 §5.2)."""

    async def handle(request: Request) -> Response:
        try:
            response = _json(200, (await _token(smart, request)).as_json())
        except TokenRefusedError as refused:
            log.info("smart.refused", error=refused.error)
            response = _json(refused.status, {"error": refused.error, "error_description": refused.text})
        except FhirRefusal as refused:
            response = _json(refused.status, {"error": "invalid_request", "error_description": refused.findings[0].text})
        except LedgerError as error:
            log.warning("smart.later", code=error.code)
            response = _json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "temporarily_unavailable"})
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        response.headers[VERSION_HEADER] = API_VERSION
        count(f"http.{response.status_code}")
        return response

    return handle


async def _token(smart: SmartServer, request: Request) -> TokenAnswer:
    body = await read_body(request, _TOKEN_LIMITS, (_FORM,))
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise TokenRefusedError("invalid_request", "Le formulaire n’est pas lisible.", HTTPStatus.BAD_REQUEST) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRefusedError("invalid_request", "Un champ figure deux fois.", HTTPStatus.BAD_REQUEST)
    return await asyncio.to_thread(smart.give_token, form)


def _json(status: int, content: dict[str, object]) -> Response:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return Response(json.dumps(content), status, headers, media_type="application/json")
