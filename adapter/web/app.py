"""The ASGI application: health for supervisors, figures for Prometheus, and the routes that doors bring.

`/health/live` says that the process answers; `/health/ready` that it can keep what it is given (503 otherwise); `/health` both.
Neither these nor `/metrics` ever hold a patient datum. The interactive API pages are off: they load scripts from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()


@dataclass(frozen=True)
class Health:
    """Whether arrivals can be kept now, and what each part says of itself (`ledger`: `ok`)."""

    ready: bool
    parts: Mapping[str, str] = field(default_factory=dict)


def build_app(
    routers: Sequence[APIRouter], *, health: Callable[[], Health], metrics: Callable[[], bytes], version: str
) -> FastAPI:
    """The application with the doors' routes."""
    app = FastAPI(title="Trait d'union", version=version, openapi_url=None, docs_url=None, redoc_url=None)
    for router in routers:
        app.include_router(router)
    app.include_router(_service_routes(health, metrics))
    app.add_middleware(SilentFailures)
    return app


def _service_routes(health: Callable[[], Health], metrics: Callable[[], bytes]) -> APIRouter:
    router = APIRouter()

    @router.get("/health/live")
    def live() -> Response:
        return JSONResponse({"live": True})

    @router.get("/health/ready")
    def ready() -> Response:
        return _health_response(health())

    @router.get("/health")
    def whole() -> Response:
        return _health_response(health())

    @router.get("/metrics")
    def figures() -> Response:
        return Response(metrics(), media_type=CONTENT_TYPE_LATEST)

    return router


def _health_response(state: Health) -> Response:
    status = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"live": True, "ready": state.ready, "parts": dict(state.parts)}, status)


class SilentFailures:
    """Outermost: a defect of ours could quote a body, so neither the caller nor the log gets more than its class.

    A framework's own handler would answer and then raise again, and the server would print the traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; answer 500 when it failed before it began to answer."""
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_begin)
        except ClientDisconnect:
            log.info("web.caller-left", route=_route_of(scope))
        except Exception as error:
            log.error("web.defect", route=_route_of(scope), error=type(error).__name__)
            if not begun and scope["type"] == "http":
                await _defect_response()(scope, receive, send)


def _route_of(scope: Scope) -> str:
    """Our own name of the place that was called: the path is the caller's text, and may hold anything."""
    return str(getattr(scope.get("route"), "path", ""))


def _defect_response() -> Response:
    issue = {"severity": "error", "code": "exception", "details": {"text": "Erreur interne."}}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    return JSONResponse(outcome, HTTPStatus.INTERNAL_SERVER_ERROR, media_type="application/fhir+json")
