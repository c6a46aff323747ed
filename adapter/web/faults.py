"""Faults on demand, for integrators who try their program against a sandbox: never in production.

    X-Sandbox-Fault: 503                       this call
    X-Sandbox-Fault: slow; seconds=5           this call, answered late
    POST /sandbox/faults  {"fault": "cut", "times": 2, "path": "/fhir/Binary"}      the next two calls under that path
    GET /sandbox/faults · DELETE /sandbox/faults                                    what is to come; nothing any more

`429` and `503` come with Retry-After; `expired-token` is a 401; `stale-cursor` the 410 that asks to begin again; `slow` waits,
then answers; `cut` does the work and closes the connection in the middle of the answer: the caller cannot know that it was done.
Source: issue 5 §5. An instance that is not in test mode does not start with the setting that opens this.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapter.web.fhir_http import FhirRefusal, refusal, refusal_answer, unauthorised

HEADER = b"x-sandbox-fault"
CONTROL = "/sandbox/faults"
_API = "/fhir"
_LONGEST_BODY = 4096
_MOST_TIMES, _MOST_SECONDS = 1000, 120.0
_HEADER = re.compile(r"\s*(?P<fault>[a-z0-9-]+)\s*(?:;\s*seconds=(?P<seconds>[0-9]+(?:\.[0-9]+)?)\s*)?")
_WAIT = "Faute demandée au bac à sable : réessayer après le délai de Retry-After."


def _too_many() -> FhirRefusal:
    text = "Trop d’appels en une minute (faute demandée au bac à sable)."
    return refusal(HTTPStatus.TOO_MANY_REQUESTS, "throttled", "http.too-many", text, "", _WAIT, Retry_After="1")


def _unavailable() -> FhirRefusal:
    text = "Service momentanément indisponible (faute demandée au bac à sable)."
    return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "transient", "ledger.unavailable", text, "", _WAIT, Retry_After="1")


def _stale_cursor() -> FhirRefusal:
    text = "Ce curseur n’est plus valable (faute demandée au bac à sable)."
    return refusal(HTTPStatus.GONE, "expired", "sync.roles-changed", text, "cursor", "Appeler $sync sans curseur.")


_REFUSALS: dict[str, Callable[[], FhirRefusal]] = {
    "429": _too_many,
    "503": _unavailable,
    "expired-token": unauthorised,
    "stale-cursor": _stale_cursor,
}
FAULTS = (*_REFUSALS, "slow", "cut")


@dataclass(frozen=True)
class Fault:
    """One fault to come: for so many calls under a path."""

    fault: str
    times: int = 1
    path: str = _API
    seconds: float = 3.0


class Faults:
    """The application, failing as it is asked to. What is to come is this process's: a sandbox has one worker."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._coming: list[Fault] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == CONTROL:
            await (await self._control(Request(scope, receive)))(scope, receive, send)
        elif scope["path"].startswith(_API):
            await self._perhaps(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _perhaps(self, scope: Scope, receive: Receive, send: Send) -> None:
        written = next((value.decode("latin-1") for name, value in scope["headers"] if name == HEADER), "")
        fault = _of_header(written) if written else self._next(scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.fault in _REFUSALS:
            await refusal_answer(_REFUSALS[fault.fault]())(scope, receive, send)
        elif fault.fault == "slow":
            await asyncio.sleep(fault.seconds)
            await self._app(scope, receive, send)
        elif fault.fault == "cut":
            await self._app(scope, receive, _Cut(send))
        else:
            await _refused(f"faute inconnue ; connues : {', '.join(FAULTS)}")(scope, receive, send)

    def _next(self, path: str) -> Fault | None:
        for place, fault in enumerate(self._coming):
            if path.startswith(fault.path):
                left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                self._coming[place : place + 1] = left
                return fault
        return None

    # ── control ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _control(self, request: Request) -> Response:
        match request.method:
            case "GET":
                return JSONResponse([vars(fault) for fault in self._coming])
            case "DELETE":
                self._coming.clear()
                return Response(status_code=HTTPStatus.NO_CONTENT)
            case "POST":
                return await self._add(request)
            case _:
                return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, POST, DELETE"})

    async def _add(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LONGEST_BODY:
                return _refused("le corps est trop long")
        try:
            fault = _of_body(json.loads(body))
        except (ValueError, TypeError, RecursionError):
            return _refused(f'écrire {{"fault": "{"|".join(FAULTS)}", "times": 1, "path": "/fhir", "seconds": 3}}')
        self._coming.append(fault)
        return JSONResponse(vars(fault), HTTPStatus.CREATED)


class _Cut:
    """Sends half of the answer's body and never its end: the server then closes the connection."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_cut = False

    async def __call__(self, message: Message) -> None:
        """One part of the answer."""
        if self._is_cut:
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = message.get("body", b"")
        self._is_cut = True
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


def _of_header(written: str) -> Fault:
    match = _HEADER.fullmatch(written)
    if match is None:
        return Fault("")
    return Fault(match["fault"], seconds=min(float(match["seconds"] or Fault.seconds), _MOST_SECONDS))


def _of_body(told: Any) -> Fault:
    """ValueError or TypeError for anything that is no fault."""
    known = {"fault", "times", "path", "seconds"}
    if not isinstance(told, dict) or set(told) - known or told.get("fault") not in FAULTS:
        raise ValueError("no fault")
    path, times, seconds = str(told.get("path", _API)), int(told.get("times", 1)), float(told.get("seconds", Fault.seconds))
    if not path.startswith("/") or not 1 <= times <= _MOST_TIMES or not 0 <= seconds <= _MOST_SECONDS:
        raise ValueError("out of bounds")
    return Fault(told["fault"], times, path, seconds)


def _refused(text: str) -> Response:
    answer: Response = JSONResponse({"error": text}, HTTPStatus.BAD_REQUEST)
    return answer
