"""A small FHIR record on loopback, so that the demo shows a document arriving in one: memory, and files to look at.

It takes ITI-65 transactions (all or nothing, conditional creates, PUT), `GET metadata`, reads, and searches by `identifier`
and `_tag`. It is a partner for demonstrations: no authentication, loopback only.
"""

from __future__ import annotations

import base64
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

Resource = dict[str, Any]
_JSON = "application/fhir+json"
_CAPABILITY = {"resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1"}


class RefusedError(Exception):
    """A transaction that cannot be taken, with its HTTP status and issue code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class RecordPartner:
    """The record and its HTTP server; `resources` holds what it took, by type and id."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.resources: dict[str, dict[str, Resource]] = {}
        self._folder = folder
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.owner = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/fhir"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> Resource:
        """Apply one transaction whole, or refuse it whole."""
        try:
            entries = json.loads(body)["entry"]
            kinds = [entry["resource"]["resourceType"] for entry in entries]
        except (ValueError, KeyError, TypeError):
            raise RefusedError(400, "structure") from None
        with self._lock:
            places = [self._place(entry, kind) for entry, kind in zip(entries, kinds, strict=True)]
            links = {e["fullUrl"]: f"{kind}/{key}" for e, kind, (key, _) in zip(entries, kinds, places, strict=True)}
            for entry, kind, (key, is_new) in zip(entries, kinds, places, strict=True):
                if is_new or entry["request"]["method"] == "PUT":
                    self._keep(kind, key, _linked(entry["resource"], links))
        answers = [
            {"response": {"status": "201 Created" if is_new else "200 OK", "location": f"{kind}/{key}/_history/1"}}
            for kind, (key, is_new) in zip(kinds, places, strict=True)
        ]
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}

    def search(self, kind: str, query: str) -> list[Resource]:
        """The resources of a type that match every `identifier` and `_tag`."""
        found = list(self.resources.get(kind, {}).values())
        for name, value in parse_qsl(query):
            if name in {"identifier", "_tag"}:
                found = [resource for resource in found if value in _tokens(resource, name)]
        return found

    def _place(self, entry: Resource, kind: str) -> tuple[str, bool]:
        """The id that an entry gets, and whether it is new."""
        request = entry["request"]
        if request["method"] == "PUT":
            key = str(request["url"]).rpartition("/")[2]
            return key, key not in self.resources.get(kind, {})
        held = self.search(kind, request["ifNoneExist"]) if request.get("ifNoneExist") else []
        if len(held) > 1:
            raise RefusedError(412, "multiple-matches")
        return (str(held[0]["id"]), False) if held else (str(uuid.uuid4()), True)

    def _keep(self, kind: str, key: str, resource: Resource) -> None:
        kept = {**resource, "id": key}
        self.resources.setdefault(kind, {})[key] = kept
        text = json.dumps(kept, ensure_ascii=False, indent=1)
        (self._folder / f"{kind}-{uuid.uuid5(uuid.NAMESPACE_URL, key)}.json").write_text(text, encoding="utf-8")


def _linked(value: Any, links: dict[str, str]) -> Any:
    """The same, with every fullUrl of the transaction turned into where its entry went."""
    if isinstance(value, dict):
        return {key: _linked(held, links) for key, held in value.items()}
    if isinstance(value, list):
        return [_linked(held, links) for held in value]
    return links.get(value, value) if isinstance(value, str) else value


def _tokens(resource: Resource, name: str) -> set[str]:
    if name == "_tag":
        return {f"{tag.get('system', '')}|{tag.get('code', '')}" for tag in resource.get("meta", {}).get("tag", ())}
    held = [*resource.get("identifier", ()), resource.get("masterIdentifier", {})]
    return {f"{one.get('system', '')}|{one.get('value', '')}" for one in held}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: RecordPartner


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self._answer(200, self.server.owner.take(body))
        except RefusedError as refusal:
            self._answer(refusal.status, _outcome(refusal.code))

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        _, _, kind, *rest = [*parts.path.split("/"), "", ""]
        if kind == "metadata":
            return self._answer(200, _CAPABILITY)
        resource = self.server.owner.resources.get(kind, {}).get(rest[0])
        if rest[0] and resource is None:
            return self._answer(404, _outcome("not-found"))
        if resource is None:
            entries = [{"resource": found} for found in self.server.owner.search(kind, parts.query)]
            return self._answer(200, {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries})
        if kind == "Binary" and _JSON not in self.headers.get("Accept", ""):
            return self._write(200, base64.b64decode(resource["data"]), str(resource["contentType"]))
        return self._answer(200, resource)

    def _answer(self, status: int, resource: Resource) -> None:
        self._write(status, json.dumps(resource, ensure_ascii=False).encode(), _JSON)

    def _write(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Silent: paths hold identifiers."""


def _outcome(code: str) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
