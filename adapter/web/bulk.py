"""`$export` of the Import API: asked for once, made beside, fetched file by file, resumed where a line broke.

Law: FHIR Bulk Data Access 2.0 (kick-off, status, manifest, delete), R4 asynchronous pattern; RFC 9110 §14 (ranges). A file is
handed out while every document in it is the current one: afterwards it is gone (410) and the export is asked for anew, so that
nobody takes a stale or cancelled document for the one that stands. Having fetched a file to its end is having fetched its
documents (seam 7).
"""

from __future__ import annotations

import gzip
import json
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from adapter.ledger.bulk_jobs import Asked, BulkJob, BulkPart, JobState, part_id
from adapter.ledger.records import PayloadKind
from adapter.packaging.published import standings
from adapter.web.bulk_making import BUNDLE, DELETED, TYPES
from adapter.web.fhir_http import FhirRefusal, Handler, check_accept, gone, not_found, preferences, refusal
from adapter.web.import_access import Ask, ImportDoor

Resource = dict[str, Any]

NDJSON = "application/fhir+ndjson"
_FORMATS = frozenset({NDJSON, "application/ndjson", "ndjson"})
_KEPT_FOR = timedelta(hours=24)
_MOST_AT_ONCE = 4
_RETRY_AFTER_SECONDS = "10"
_KNOWN = frozenset({"_since", "_type", "_outputFormat"})
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@dataclass(frozen=True)
class ExportRoute:
    """One address of `$export`, under the base."""

    method: str
    path: str
    name: str


EXPORT_ROUTES = (
    ExportRoute("GET", "$export", "export"),
    ExportRoute("GET", "$export/{id}", "export-status"),
    ExportRoute("DELETE", "$export/{id}", "export-cancel"),
    ExportRoute("GET", "$export/{id}/{number}", "export-file"),
)


def add_export_routes(router: APIRouter, base: str, door: ImportDoor) -> None:
    """The routes of `$export`: each asks for the right to read documents."""
    exports = BulkExports(door)
    works = {"export": exports.ask, "export-status": exports.status, "export-cancel": exports.cancel, "export-file": exports.file}
    for one in EXPORT_ROUTES:
        negotiate = _any_form if one.name == "export-file" else check_accept
        route: Handler = door.route(works[one.name], one.name, resource=BUNDLE, letter="r", negotiate=negotiate)
        router.add_route(f"{base}/{one.path}", route, methods=[one.method])


def _any_form(_request: Request) -> None:
    """A file is what it is."""


class BulkExports:
    """The handlers of `$export`."""

    def __init__(self, door: ImportDoor) -> None:
        self._door = door

    # ── ask ───────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, ask: Ask) -> Response:
        """202 with the address to ask again at."""
        if "respond-async" not in preferences(ask.request):
            text, remedy = "Un export est préparé à part.", "Joindre l’en-tête Prefer: respond-async."
            raise refusal(HTTPStatus.BAD_REQUEST, "required", "export.not-async", text, "Prefer", remedy)
        client, now = ask.caller.client, self._door.clock()
        readers = client.readers
        since, types = _wanted(ask)
        entity = readers.legal_entity
        heads = {practice: self._door.ledger.feed_head(practice, legal_entity=entity) for practice in readers.practices}
        roles = tuple(sorted(readers.roles)) if readers.roles is not None else None
        address = "?".join(filter(None, (self._door.url("$export"), ask.request.url.query)))
        asked = Asked(address, types, readers.practices, roles, heads, since)
        total = sum(heads.values())
        job = BulkJob("", entity, client.name, asked, JobState.ASKED, now, now + _KEPT_FOR, total=total)
        job_id = self._door.ledger.ask_bulk_job(job, _MOST_AT_ONCE)
        if not job_id:
            text, remedy = f"{_MOST_AT_ONCE} exports sont déjà en préparation.", "Attendre la fin de l’un d’eux, ou l’annuler."
            wait = _RETRY_AFTER_SECONDS
            raise refusal(HTTPStatus.TOO_MANY_REQUESTS, "throttled", "export.too-many", text, "", remedy, Retry_After=wait)
        return Response(status_code=HTTPStatus.ACCEPTED, headers={"Content-Location": self._door.url(f"$export/{job_id}")})

    # ── status ────────────────────────────────────────────────────────────────────────────────────────────────

    def status(self, ask: Ask) -> Response:
        """202 while it is made, then the manifest."""
        job = self._job(ask)
        if job.state is JobState.FAILED:
            text, remedy = "L’export n’a pas pu être préparé.", "Le demander à nouveau."
            raise refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "exception", job.problem, text, "", remedy)
        if job.state is JobState.ASKED:
            share = 100 * job.done // job.total if job.total else 0
            headers = {"X-Progress": f"{min(share, 99)} %", "Retry-After": _RETRY_AFTER_SECONDS, "Cache-Control": "no-store"}
            return Response(status_code=HTTPStatus.ACCEPTED, headers=headers)
        body = json.dumps(self._manifest(job), ensure_ascii=False)
        headers = {"Expires": f"{job.ends_at:%a, %d %b %Y %H:%M:%S} GMT", "Cache-Control": "no-store"}
        return Response(body, headers=headers, media_type="application/json")

    def _manifest(self, job: BulkJob) -> Resource:
        parts = self._door.ledger.bulk_parts(job.id)
        files = [(part.kind, self._output(job, part)) for part in parts]
        return {
            "transactionTime": job.asked_at.isoformat(),
            "request": job.asked.request,
            "requiresAccessToken": True,
            "outputFormat": NDJSON,
            "output": [one for kind, one in files if kind != DELETED],
            "deleted": [one for kind, one in files if kind == DELETED],
            "error": [],
        }

    def _output(self, job: BulkJob, part: BulkPart) -> Resource:
        return {
            "type": BUNDLE if part.kind == DELETED else part.kind,
            "url": self._door.url(f"$export/{job.id}/{part.number}"),
            "count": part.lines,
            "extension": {"bytes": part.size, "sha256": part.sha256},
        }

    def cancel(self, ask: Ask) -> Response:
        """It is thrown away, made or not."""
        self._door.ledger.drop_bulk_job(self._job(ask))
        return Response(status_code=HTTPStatus.ACCEPTED)

    # ── files ─────────────────────────────────────────────────────────────────────────────────────────────────

    def file(self, ask: Ask) -> Response:
        """A file, or the range of it that is still wanted; packed for who takes gzip. The same bytes each time."""
        job, readers = self._job(ask), ask.caller.client.readers
        number = str(ask.request.path_params.get("number", ""))
        parts = self._door.ledger.bulk_parts(job.id) if job.state is JobState.READY else []
        part = next((one for one in parts if str(one.number) == number), None)
        if part is None:
            raise not_found()
        standing = standings(self._door.ledger.publications_of(readers, list(part.documents)))
        # Under one key a document is masked, or comes back under the right identity: then the file holds what it was before.
        stands = all(key in standing and standing[key].head.id == head for key, head in part.documents.items())
        if part.kind != DELETED:
            stands = stands and all(standing[key].has_content for key in part.documents)
        if not stands:
            raise gone()
        self._door.audit(ask.caller, "import.read", "export", job.id, f"part {part.number}")
        entity = readers.legal_entity
        content = self._door.ledger.read_payload(PayloadKind.EXPORT_PART, part_id(job.id, part.number), legal_entity=entity)
        response, is_whole = _ranged(ask.request, part, content)
        if is_whole and part.kind in (BUNDLE, DELETED):
            ids = [one for key in part.documents for one in standing[key].fetchable_ids()]
            self._door.ledger.mark_fetched(ids, ask.caller.name, legal_entity=entity)
        return response

    def _job(self, ask: Ask) -> BulkJob:
        client = ask.caller.client
        job = self._door.ledger.bulk_job(_own_id(ask.id), client.name, legal_entity=client.readers.legal_entity)
        if job is None:
            raise not_found()
        return job


def _own_id(text: str) -> str:
    """An id as we give them; anything else names nothing."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise not_found() from None


def _wanted(ask: Ask) -> tuple[datetime | None, tuple[str, ...]]:
    """Since when, and which types; 400 for anything else, unless the caller is lenient about what it names."""
    told: dict[str, str] = {}
    is_lenient = "handling=lenient" in preferences(ask.request)
    for name, value in ask.pairs:
        if name not in _KNOWN or name in told:
            if is_lenient:
                continue
            raise _unknown("Paramètre inconnu, ou donné deux fois.", "$export", f"Reconnus : {', '.join(sorted(_KNOWN))}.")
        told[name] = value
    if told.get("_outputFormat", NDJSON).replace(" ", "+") not in _FORMATS:
        raise _unknown("Seul NDJSON est produit.", "_outputFormat", f"Demander {NDJSON}.")
    mine = tuple(kind for kind in TYPES if ask.caller.may(kind, "r"))
    named = [kind for kind in told.get("_type", "").split(",") if kind]
    types = tuple(kind for kind in TYPES if kind in named) if named else mine
    if not types or (set(named) - set(TYPES) and not is_lenient) or set(types) - set(mine):
        raise _unknown("Ce type n’est pas exporté, ou pas pour ce client.", "_type", f"Exportés : {', '.join(mine)}.")
    return _since(told.get("_since", "").replace(" ", "+")), types


def _since(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text) if _INSTANT.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise _unknown("L’instant n’est pas lisible.", "_since", "Écrire 2027-01-15T08:30:00+01:00.")
    return moment


def _unknown(text: str, where: str, remedy: str) -> FhirRefusal:
    return refusal(HTTPStatus.BAD_REQUEST, "value", "export.bad-parameter", text, where, remedy)


# ── ranges ────────────────────────────────────────────────────────────────────────────────────────────────────


def _ranged(request: Request, part: BulkPart, content: bytes) -> tuple[Response, bool]:
    """The answer, and whether with it the reader has all: the end of what it began."""
    is_packed = _takes_gzip(request)
    tag = f'"{part.sha256}{"-gzip" if is_packed else ""}"'
    # No date inside: packed again, the bytes are the same, and half of them can be resumed.
    body = gzip.compress(content, 6, mtime=0) if is_packed else content
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Vary": "Accept-Encoding",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    if tag in [one.strip() for one in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers), True
    found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or not any(found.groups()) or request.headers.get("if-range", tag) != tag:
        return Response(body, headers=headers, media_type=NDJSON), True
    first, last = _bounds(found, len(body))
    if first > last:
        headers["Content-Range"] = f"bytes */{len(body)}"
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers), False
    headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
    partial = Response(body[first : last + 1], HTTPStatus.PARTIAL_CONTENT, headers, media_type=NDJSON)
    return partial, last == len(body) - 1


def _bounds(found: re.Match[str], size: int) -> tuple[int, int]:
    """First and last byte that are wanted; beyond the file: an empty range."""
    first, last = found.groups()
    if not first:
        return max(0, size - int(last[:20])), size - 1
    begin = int(first[:20])
    end = min(int(last[:20]), size - 1) if last else size - 1
    return (begin, end) if begin < size else (1, 0)


def _takes_gzip(request: Request) -> bool:
    for one in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = one.replace(" ", "").lower().partition(";")
        if name == "gzip":
            return not re.fullmatch(r"q=0(\.0*)?", weight)
    return False
