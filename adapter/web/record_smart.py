"""The record's token endpoint: SMART Backend Services for its clients that have keys (the server itself is `web.smart`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import structlog
from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from adapter.web import fhir_http as web
from adapter.web.smart import ApiClient, SmartServer, TokenRefusedError, smart_configuration

log = structlog.get_logger()

_FORM = "application/x-www-form-urlencoded"
_LIMITS = web.BodyLimits(65_536, 10.0)
_MOST_FIELDS = 20


class RecordSmart:
    """Answers what clients ask before they have a token."""

    def __init__(self, smart: SmartServer, base: str, clients: Sequence[ApiClient]) -> None:
        self._smart = smart
        self._configuration = smart_configuration(base, clients)

    async def answer(self, request: Request, page: str) -> Response:
        """`smart-configuration`, or a token."""
        if page == "smart-configuration":
            if request.method not in ("GET", "HEAD"):
                raise web.not_allowed("GET")
            return _json(HTTPStatus.OK, self._configuration)
        if request.method != "POST":
            raise web.not_allowed("POST")
        try:
            given = await run_in_threadpool(self._smart.give_token, await _form(request))
        except TokenRefusedError as refused:
            # RFC 6749 §5.2: OAuth's own words, not an OperationOutcome.
            log.info("smart.refused", error=refused.error)
            return _json(refused.status, {"error": refused.error, "error_description": refused.text})
        return _json(HTTPStatus.OK, given.as_json())


async def _form(request: Request) -> dict[str, str]:
    body = await web.read_body(request, _LIMITS, (_FORM,))
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise TokenRefusedError("invalid_request", "Le formulaire n’est pas lisible.", HTTPStatus.BAD_REQUEST) from None
    if len(dict(pairs)) != len(pairs):
        raise TokenRefusedError("invalid_request", "Un champ figure deux fois.", HTTPStatus.BAD_REQUEST)
    return dict(pairs)


def _json(status: HTTPStatus, content: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return Response(json.dumps(content), status, headers, media_type="application/json")
