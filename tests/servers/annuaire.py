"""A national directory on loopback that answers as the Annuaire Santé's documentation says, oddities included.

Known: API key in a header, identifier and reference searches, `mailbox-mss:exact`, `_include`, pages with `link[next]`.
Refused as the real one refuses: search by mailbox type, `_type` at the root. Faults are scripted one answer at a time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from mssante.listed import EMAIL_TYPE, FINESS_SYSTEMS, IDNPS_SYSTEM, METADATA, RPPS_SYSTEMS

KEY = "cle-de-test"
_SUPPORTED = {"identifier", "practitioner", "organization", "mailbox-mss:exact", "_include", "_count", "page"}


@dataclass(frozen=True)
class Fault:
    """One answer other than the right one."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def mailbox(
    address: str, kind: str = "PER", *, rank: int = 0, style: str = "concept", marked: bool = True, **said: Any
) -> dict[str, Any]:
    """A telecom as the directory writes it; `style` is how the type is written: concept, code, or none at all."""
    typed: dict[str, Any] = {"url": "type"}
    if style == "concept":
        system = "https://mos.esante.gouv.fr/NOS/TRE_R257-TypeBAL/FHIR/TRE-R257-TypeBAL"
        typed["valueCodeableConcept"] = {"coding": [{"system": system, "code": kind}]}
    else:
        typed["valueCode"] = kind
    parts = [typed] if style != "none" else []
    parts += [{"url": name, ("valueBoolean" if isinstance(v, bool) else "valueString"): v} for name, v in said.items()]
    telecom: dict[str, Any] = {"system": "email", "value": address}
    if marked:
        telecom["extension"] = [
            {
                "url": EMAIL_TYPE,
                "valueCoding": {"system": "https://mos.esante.gouv.fr/NOS/TRE_R256-TypeMessagerie", "code": "MSSANTE"},
            },
            {"url": METADATA, "extension": parts},
        ]
    if rank:
        telecom["rank"] = rank
    return telecom


def practitioner(number: str, rpps: str, *telecoms: dict[str, Any], active: bool = True) -> dict[str, Any]:
    """A person with both of their numbers."""
    return {
        "resourceType": "Practitioner",
        "id": number,
        "active": active,
        "identifier": [{"system": IDNPS_SYSTEM, "value": f"8{rpps}"}, {"system": RPPS_SYSTEMS[0], "value": rpps}],
        "name": [{"family": "EXEMPLE", "given": ["Camille"]}],
        "telecom": list(telecoms),
    }


def role(number: str, person: str, structure: str, *telecoms: dict[str, Any], active: bool = True) -> dict[str, Any]:
    """A person at one structure."""
    return {
        "resourceType": "PractitionerRole",
        "id": number,
        "active": active,
        "practitioner": {"reference": f"Practitioner/{person}"},
        "organization": {"reference": f"Organization/{structure}"},
        "telecom": list(telecoms),
    }


def organisation(number: str, finess: str, *telecoms: dict[str, Any]) -> dict[str, Any]:
    """A structure."""
    identifier = [{"system": FINESS_SYSTEMS[0], "value": finess}]
    return {
        "resourceType": "Organization",
        "id": number,
        "active": True,
        "identifier": identifier,
        "name": "Centre",
        "telecom": list(telecoms),
    }


class Annuaire:
    """The server. `asked` lists what was asked; `faults` are given before right answers; `page_size` cuts pages."""

    def __init__(self, *resources: dict[str, Any], page_size: int = 50) -> None:
        self.resources = list(resources)
        self.page_size = page_size
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self._server.server_port}/fhir/v2"

    def answer(self, kind: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """A searchset page, or the refusal of a parameter that the real server does not know."""
        if unknown := set(query) - _SUPPORTED:
            text = f"unsupported {sorted(unknown)}"
            issue = {"severity": "error", "code": "not-supported", "diagnostics": text}
            return 400, {"resourceType": "OperationOutcome", "issue": [issue]}
        found = [one for one in self.resources if one["resourceType"] == kind and _matches(one, query)]
        start = int(query.get("page", ["0"])[0])
        page = found[start : start + self.page_size]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in page]}
        for target in query.get("_include", []):
            name = target.partition(":")[2]
            keys = {one[name]["reference"] for one in page if name in one}
            bundle["entry"] += [{"resource": r} for r in self.resources if f"{r['resourceType']}/{r['id']}" in keys]
        if start + self.page_size < len(found):
            following = {**{name: values[0] for name, values in query.items()}, "page": str(start + self.page_size)}
            bundle["link"] = [{"relation": "next", "url": f"{self.url}/{kind}?{urlencode(following)}"}]
        return 200, bundle


def _matches(resource: dict[str, Any], query: dict[str, list[str]]) -> bool:
    held = {f"{one['system']}|{one['value']}" for one in resource.get("identifier", [])}
    tokens = query.get("identifier", [""])[0]
    if tokens and not held & set(tokens.split(",")):
        return False
    for name, kind in (("practitioner", "Practitioner"), ("organization", "Organization")):
        if name in query and resource.get(name, {}).get("reference") != f"{kind}/{query[name][0]}":
            return False
    wanted = query.get("mailbox-mss:exact")
    return wanted is None or wanted[0] in {telecom["value"] for telecom in resource.get("telecom", [])}


def _handler_of(server: Annuaire) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """One search."""
            parts = urlsplit(self.path)
            server.asked.append(self.path)
            if self.headers.get("ESANTE-API-KEY") != KEY:
                return self._send(403, b"{}", {})
            if server.faults:
                fault = server.faults.pop(0)
                return self._send(fault.status, fault.body, fault.headers)
            kind = parts.path.rpartition("/")[2]
            if kind == "metadata":
                return self._send(200, json.dumps({"resourceType": "CapabilityStatement"}).encode(), {})
            status, bundle = server.answer(kind, parse_qs(parts.query))
            return self._send(status, json.dumps(bundle).encode(), {})

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Nothing on the console."""

    return Handler
