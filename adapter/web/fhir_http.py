"""FHIR over HTTP: negotiation, bodies and their limits, resources, searchsets, ETags, and every refusal as an OperationOutcome.

Law: FHIR R4 `http.html`; RFC 9110 (conditional requests, Retry-After). JSON only. Texts are French for the people who read a
refusal, codes are FHIR's; neither ever holds a value of the request. A route is `fhir_route(handler)`: whatever the handler
raises on purpose becomes an answer here, once.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import structlog
from fastapi import Request, Response

from adapter.errors import InputError, LedgerError, UnavailableError
from adapter.fhir.outcome import operation_outcome
from adapter.fhir.search import MOST_PARAMETERS
from adapter.formats.fhir import DEFAULT_LIMITS, FHIR_JSON, FhirLimits, read_resource
from adapter.model.finding import Finding, Severity

log = structlog.get_logger()

Resource = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
Count = Callable[[str], None]

RETRY_AFTER_SECONDS = 5
_JSON_TYPES = frozenset({FHIR_JSON, "application/json", "text/json", "application/*", "*/*"})
_JSON_FORMATS = frozenset({"json", "application/json", FHIR_JSON})
# FHIR issue types of what InputErrors of the lower rooms say; anything else of theirs is `invalid`.
_ISSUE_TYPES = {
    "search.unknown-parameter": "not-supported",
    "search.bad-modifier": "not-supported",
    "search.bad-sort": "not-supported",
    "search.bad-count": "value",
    "search.bad-date": "value",
    "search.page-forged": "value",
    "fhir.not-json": "structure",
    "fhir.not-a-resource": "structure",
    "fhir.duplicate-key": "structure",
    "fhir.too-deep": "structure",
    "fhir.too-large": "too-long",
    "fhir.too-many-parts": "too-long",
}


class FhirRefusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """An answer other than success: its HTTP status, its FHIR issue type, what is wrong."""

    def __init__(
        self,
        status: HTTPStatus,
        issue_type: str,
        *findings: Finding,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = findings[0].code if findings else issue_type
        super().__init__(self.code)
        self.status = status
        self.issue_type = issue_type
        self.findings = findings
        self.headers = dict(headers or {})


def refusal(
    status: HTTPStatus, issue_type: str, code: str, text: str, where: str = "", remedy: str = "", **headers: str
) -> FhirRefusal:
    """One-finding refusal. `code` is our stable word, `text` a French sentence; `Retry_After="5"` gives a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FhirRefusal(status, issue_type, Finding(Severity.ERROR, code, text, where, remedy), headers=named)


def unauthorised(text: str = "Jeton absent, inconnu ou périmé.") -> FhirRefusal:
    """401: who calls is not known."""
    remedy = "Joindre un jeton Bearer valable."
    return refusal(
        HTTPStatus.UNAUTHORIZED, "login", "http.unknown-caller", text, "Authorization", remedy, WWW_Authenticate="Bearer"
    )


def forbidden(code: str, text: str, remedy: str = "") -> FhirRefusal:
    """403: known, but not for this."""
    return refusal(HTTPStatus.FORBIDDEN, "forbidden", code, text, "", remedy)


def not_found(text: str = "Cette ressource n’existe pas, ou n’est pas visible pour cet appelant.") -> FhirRefusal:
    """404: also what one may not see, so that nobody learns that it exists."""
    return refusal(HTTPStatus.NOT_FOUND, "not-found", "fhir.not-found", text)


def gone() -> FhirRefusal:
    """410: it was there, and is no more."""
    return refusal(HTTPStatus.GONE, "deleted", "fhir.gone", "Cette ressource a été retirée.")


def not_allowed(*methods: str) -> FhirRefusal:
    """405: this address takes other methods."""
    text = "Cette opération n’est pas prise en charge ici."
    return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "not-supported", "http.method", text, Allow=", ".join(methods))


def precondition_failed(text: str = "La ressource a changé depuis qu’elle a été lue.") -> FhirRefusal:
    """412: If-Match is of another version, or a condition has several matches."""
    return refusal(HTTPStatus.PRECONDITION_FAILED, "conflict", "fhir.precondition", text, remedy="Relire, puis recommencer.")


def input_refusal(error: InputError, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> FhirRefusal:
    """What a lower room refused, as an answer."""
    if error.code == "fhir.too-large":
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    finding = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy)
    return FhirRefusal(status, _ISSUE_TYPES.get(error.code, "invalid"), finding)


# ── requests ───────────────────────────────────────────────────────────────────────────────────────────────────────


def check_accept(request: Request) -> None:
    """406 when the caller takes no JSON; `_format` wins over `Accept`."""
    wanted = request.query_params.get("_format", "")
    if wanted:
        accepted = wanted.partition(";")[0].strip().lower() in _JSON_FORMATS
    else:
        accepted = bool(accepted_types(request) & _JSON_TYPES)
    if not accepted:
        raise refusal(
            HTTPStatus.NOT_ACCEPTABLE, "not-supported", "http.not-acceptable", "Seul le format JSON de FHIR est servi.", "Accept",
            f"Demander {FHIR_JSON}.",
        )  # fmt: skip


def accepted_types(request: Request) -> frozenset[str]:
    """The media types that the caller takes, without those that it refuses (`q=0`); all when it says nothing."""
    found = set()
    for part in request.headers.get("accept", "*/*").split(","):
        name, *options = [piece.strip().lower() for piece in part.split(";")]
        if not any(option.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for option in options):
            found.add(name or "*/*")
    return frozenset(found)


def wants_strict(request: Request) -> bool:
    """`Prefer: handling=strict`."""
    return "handling=strict" in preferences(request)


def preferred_return(request: Request) -> str:
    """`minimal`, `representation` (also when nothing is said) or `OperationOutcome`."""
    named = [wish.partition("=")[2] for wish in preferences(request) if wish.startswith("return=")]
    return named[0] if named and named[0] in ("minimal", "OperationOutcome") else "representation"


def preferences(request: Request) -> list[str]:
    """The wishes of all `Prefer` headers, one by one."""
    return [wish.strip() for line in request.headers.getlist("prefer") for part in line.split(",") for wish in part.split(";")]


@dataclass(frozen=True)
class BodyLimits:
    """How large and how slow a body may be."""

    max_bytes: int
    seconds: float = 60.0


async def read_body(request: Request, limits: BodyLimits, media_types: Iterable[str] = (FHIR_JSON, "application/json")) -> bytes:
    """The whole body, read no further than its limits whatever Content-Length claims; 415, 413, 408."""
    allowed = tuple(media_types)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in allowed:
        text = f"Le contenu doit être annoncé comme {' ou '.join(allowed)}."
        raise refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-supported", "http.media-type", text, "Content-Type")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limits.max_bytes:
        raise _too_large(limits)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                body += part
                if len(body) > limits.max_bytes:
                    raise _too_large(limits)
    except TimeoutError:
        text = "Le contenu n’est pas arrivé à temps."
        raise refusal(HTTPStatus.REQUEST_TIMEOUT, "timeout", "http.too-slow", text) from None
    return bytes(body)


def _too_large(limits: BodyLimits) -> FhirRefusal:
    text = f"Le contenu dépasse {limits.max_bytes} octets."
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-long", "http.too-large", text)


def parse_resource(body: bytes, literal_url: str, kind: str = "", limits: FhirLimits = DEFAULT_LIMITS) -> Resource:
    """A body as one FHIR resource of this type (any, when none is named); 400 otherwise."""
    resource = read_resource(body, literal_url, limits)
    if kind and resource["resourceType"] != kind:
        text = f"Une ressource {kind} est attendue ici."
        raise refusal(HTTPStatus.BAD_REQUEST, "structure", "fhir.other-type", text, "resourceType")
    return resource


async def query_pairs(request: Request, limits: BodyLimits) -> list[tuple[str, str]]:
    """The parameters of a search: of the address, and of the form when it was POSTed to `_search` (R4 §3.1.0.9)."""
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        body = await read_body(request, limits, ("application/x-www-form-urlencoded",))
        try:
            pairs += parse_qsl(body.decode("utf-8", errors="strict"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            raise refusal(HTTPStatus.BAD_REQUEST, "structure", "http.bad-form", "Le formulaire n’est pas lisible.") from None
    return pairs


# ── conditional requests ───────────────────────────────────────────────────────────────────────────────────────────


def etag(version: int) -> str:
    """A weak ETag, as R4 wants it."""
    return f'W/"{version}"'


def _versions(header: str) -> list[str]:
    return [part.strip().removeprefix("W/").strip('"') for part in header.split(",")]


def check_if_match(request: Request, version: int) -> None:
    """412 when the caller changes another version than the one that is held."""
    written = request.headers.get("if-match")
    if written is not None and written.strip() != "*" and str(version) not in _versions(written):
        raise precondition_failed()


def is_known(request: Request, version: int) -> bool:
    """Whether the caller holds this version already (`If-None-Match`): 304."""
    written = request.headers.get("if-none-match")
    return written is not None and (written.strip() == "*" or str(version) in _versions(written))


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def resource_answer(
    resource: Mapping[str, Any],
    status: HTTPStatus = HTTPStatus.OK,
    *,
    version: int | None = None,
    changed: datetime | None = None,
    location: str = "",
) -> Response:
    """One resource. A patient's data are never kept by a cache on the way."""
    headers = {"Cache-Control": "no-store"}
    if version is not None:
        headers["ETag"] = etag(version)
    if changed is not None:
        headers["Last-Modified"] = format_datetime(changed.astimezone(UTC), usegmt=True)
    if location:
        headers["Location"] = location
    return Response(written(resource), status, headers, media_type=FHIR_JSON)


def written(resource: Mapping[str, Any]) -> bytes:
    """A resource's bytes."""
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


def not_modified(version: int) -> Response:
    """304."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(version), "Cache-Control": "no-store"})


def success_outcome() -> Resource:
    """What a caller who prefers an OperationOutcome gets of a success."""
    return operation_outcome([Finding(Severity.INFORMATION, "http.done", "Fait.")], "informational")


def refusal_answer(refused: FhirRefusal) -> Response:
    """A refusal as an OperationOutcome."""
    body = written(operation_outcome(refused.findings, refused.issue_type))
    return Response(body, refused.status, {"Cache-Control": "no-store", **refused.headers}, media_type=FHIR_JSON)


@dataclass(frozen=True)
class Found:
    """One resource of a searchset, with its address."""

    full_url: str
    resource: Mapping[str, Any]
    mode: str = "match"


def searchset(
    found: Sequence[Found], *, self_url: str, next_url: str = "", total: int | None = None, ignored: Sequence[str] = ()
) -> Resource:
    """A page of results. What was ignored is named in an OperationOutcome entry."""
    links = [{"relation": "self", "url": self_url}]
    if next_url:
        links.append({"relation": "next", "url": next_url})
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        bundle["total"] = total
    bundle["link"] = links
    entries: list[Resource] = [{"fullUrl": f.full_url, "resource": f.resource, "search": {"mode": f.mode}} for f in found]
    if ignored:
        text = f"Paramètres sans effet ici : {', '.join(ignored)}."
        outcome = operation_outcome([Finding(Severity.INFORMATION, "search.ignored", text)], "informational")
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    if entries:  # R4 forbids an empty list
        bundle["entry"] = entries
    return bundle


def base_of(request: Request, path: str, configured: str = "") -> str:
    """The base that links start with: what the operator wrote (behind a proxy), else what the caller called."""
    return configured.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}{path}"


# ── limits and routes ──────────────────────────────────────────────────────────────────────────────────────────────


class RateLimit:
    """Requests a minute for each caller, with a burst of as many: a token bucket in each process."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._burst = float(per_minute)
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}
        self._guard = threading.Lock()

    def take(self, caller: str) -> None:
        """Count one request; 429 with Retry-After when there were too many."""
        now = self._monotonic()
        with self._guard:
            left, since = self._left.get(caller, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._per_second)
            self._left[caller] = (max(0.0, left - 1), now) if left >= 1 else (left, now)
        if left < 1:
            wait = math.ceil((1 - left) / self._per_second)
            text = "Trop de demandes en peu de temps."
            raise refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                "throttled",
                "http.too-many",
                text,
                "",
                "Reprendre plus tard.",
                Retry_After=str(wait),
            )


def fhir_route(handler: Handler, name: str, count: Count, negotiate: Callable[[Request], None] = check_accept) -> Handler:
    """The handler, with each refusal turned into an answer. `name` is ours, for logs: a path is the caller's text."""

    async def answered(request: Request) -> Response:
        try:
            negotiate(request)
            response = await handler(request)
        except FhirRefusal as refused:
            response = refusal_answer(refused)
            log.info("fhir.refused", route=name, status=int(response.status_code), code=refused.code)
        except InputError as error:
            response = refusal_answer(input_refusal(error))
            log.info("fhir.refused", route=name, status=int(response.status_code), code=error.code)
        except (LedgerError, UnavailableError) as error:
            response = _later()
            log.warning("fhir.later", route=name, code=error.code)
        count(f"http.{response.status_code}")
        return response

    return answered


def _later() -> Response:
    text = "Le service ne peut pas répondre pour l’instant : rien n’a été conservé."
    remedy = "Renvoyer la même demande plus tard."
    wait = str(RETRY_AFTER_SECONDS)
    return refusal_answer(
        refusal(HTTPStatus.SERVICE_UNAVAILABLE, "transient", "http.try-later", text, "", remedy, Retry_After=wait)
    )
