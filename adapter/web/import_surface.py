"""What the Import API offers, once: the table that its routes, its CapabilityStatement and its OpenAPI document are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter.coordination.treatments import PRESCRIPTIONS, STATEMENTS
from adapter.fhir.search import Kind, Parameter
from adapter.packaging.mhd import DOCUMENT_REFERENCE_PROFILE
from adapter.web.import_access import API_VERSION
from adapter.web.import_coordination import APPOINTMENTS, PATIENT_PARAMETERS, TEAM
from adapter.web.import_documents import COUNT, CURSOR, DOCUMENT_PARAMETERS
from adapter.web.import_requests import REQUEST_PARAMETERS, TASK_PARAMETERS

Resource = dict[str, Any]
READ, SEARCH, UPDATE = "read", "search-type", "update"


@dataclass(frozen=True)
class Operation:
    """One interaction. `name` is ours (handler, log, operationId), `interaction` FHIR's, empty for an operation.

    `letter` is the scope's. `body` is the type that is sent; `is_conditional`: it takes If-Match.
    """

    name: str
    method: str
    path: str
    resource: str
    letter: str
    summary: str
    interaction: str = ""
    body: str = ""
    is_conditional: bool = False
    is_form: bool = False


SEARCHES: Mapping[str, Mapping[str, Parameter]] = {
    "DocumentReference": DOCUMENT_PARAMETERS,
    "ServiceRequest": REQUEST_PARAMETERS,
    "Task": TASK_PARAMETERS,
    **dict.fromkeys((STATEMENTS, PRESCRIPTIONS, APPOINTMENTS, TEAM), PATIENT_PARAMETERS),
}
# Order counts: `$sync` and `_search` before `{id}`.
OPERATIONS = (
    Operation("sync", "GET", "DocumentReference/$sync", "DocumentReference", "s", "What was published since a cursor."),
    Operation("search-documents", "GET", "DocumentReference", "DocumentReference", "s", "Documents by criteria.", SEARCH),
    Operation(
        "search-documents-form", "POST", "DocumentReference/_search", "DocumentReference", "s", "The same, by a form.",
        SEARCH, is_form=True,
    ),
    Operation("read-document", "GET", "DocumentReference/{id}", "DocumentReference", "r", "One document's metadata.", READ),
    Operation(
        "acknowledge", "POST", "DocumentReference/{id}/$acknowledge", "DocumentReference", "u",
        "What the practice did with a document.", body="Parameters", is_conditional=True,
    ),
    Operation("read-binary", "GET", "Binary/{id}", "Binary", "r", "The CDA or the PDF, as it is or as a Binary.", READ),
    Operation("read-bundle", "GET", "Bundle/{id}", "Bundle", "r", "The FHIR document, or its transaction form.", READ),
    Operation("search-orders", "GET", "ServiceRequest", "ServiceRequest", "s", "Requests by criteria.", SEARCH),
    Operation(
        "search-orders-form", "POST", "ServiceRequest/_search", "ServiceRequest", "s", "The same, by a form.",
        SEARCH, is_form=True,
    ),
    Operation("read-order", "GET", "ServiceRequest/{id}", "ServiceRequest", "r", "One request.", READ),
    Operation("search-tasks", "GET", "Task", "Task", "s", "Requests' states by criteria.", SEARCH),
    Operation("search-tasks-form", "POST", "Task/_search", "Task", "s", "The same, by a form.", SEARCH, is_form=True),
    Operation("read-task", "GET", "Task/{id}", "Task", "r", "One request's state.", READ),
    Operation(
        "update-task", "PUT", "Task/{id}", "Task", "u", "Accept, schedule, refuse, ask; integrated or failed.",
        UPDATE, body="Task", is_conditional=True,
    ),
    Operation("search-treatments", "GET", "MedicationStatement", "MedicationStatement", "s", "A patient's treatments.", SEARCH),
    Operation("search-prescriptions", "GET", "MedicationRequest", "MedicationRequest", "s", "A patient's prescriptions.", SEARCH),
    Operation("search-appointments", "GET", "Appointment", "Appointment", "s", "A patient's appointments.", SEARCH),
    Operation("search-teams", "GET", "CareTeam", "CareTeam", "s", "Who cares for a patient.", SEARCH),
)  # fmt: skip
_PROFILES = {"DocumentReference": DOCUMENT_REFERENCE_PROFILE}
_KINDS = {Kind.TOKEN: "token", Kind.DATE: "date", Kind.STRING: "string", Kind.REFERENCE: "reference"}
_DEFINITIONS = "https://traitdunion.example/fhir/OperationDefinition/"


def capability_statement(base: str, token_url: str, made_on: str) -> Resource:
    """FHIR's own description of the API."""
    kinds = list(dict.fromkeys(one.resource for one in OPERATIONS))
    service = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}]}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": made_on,
        "publisher": "Trait d'union",
        "kind": "instance",
        "software": {"name": "Trait d'union", "version": API_VERSION},
        "implementation": {"description": "Import API: documents and requests for practice software", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "instantiates": ["https://profiles.ihe.net/ITI/MHD/CapabilityStatement/IHE.MHD.DocumentResponder"],
        "rest": [
            {
                "mode": "server",
                "documentation": "Each client sees what was published for the roles of its own practices.",
                "security": {"cors": False, "service": [service], "description": f"SMART Backend Services: {token_url}"},
                "resource": [_capability(kind) for kind in kinds],
            }
        ],
    }


def _capability(kind: str) -> Resource:
    mine = [one for one in OPERATIONS if one.resource == kind]
    codes = list(dict.fromkeys(one.interaction for one in mine if one.interaction))
    resource: Resource = {"type": kind}
    if kind in _PROFILES:
        resource["supportedProfile"] = [_PROFILES[kind]]
    resource["interaction"] = [{"code": code} for code in codes]
    is_read = any(one.interaction == READ for one in mine)
    resource |= {"versioning": "versioned" if kind in SEARCHES and is_read else "no-version", "readHistory": False}
    if UPDATE in codes:
        resource["updateCreate"] = False
    if kind in SEARCHES:
        known = sorted(SEARCHES[kind].values(), key=lambda one: one.name)
        resource["searchParam"] = [{"name": one.name, "type": _KINDS[one.kind]} for one in known if "." not in one.name]
    operations = [one for one in mine if "$" in one.path]
    if operations:
        names = [one.path.rpartition("$")[2] for one in operations]
        resource["operation"] = [{"name": name, "definition": _DEFINITIONS + name} for name in names]
    return resource


# ── OpenAPI ───────────────────────────────────────────────────────────────────────────────────────────────────

_FHIR = "application/fhir+json"
_REFUSALS = {
    400: "Not understood: unknown parameter, absurd date, forged page or cursor, body that is no such resource.",
    401: "No token, or one that is not good any more.",
    403: "The token does not grant this.",
    404: "Not there, or not visible for this client.",
    406: "Asked for in a form that is not served.",
    429: "Too many calls in a minute: see Retry-After.",
    503: "The service cannot answer now: see Retry-After.",
}
_MORE_REFUSALS = {
    READ: {410: "It was there; a newer version or a cancellation took its place."},
    "body": {
        408: "The body came too slowly.",
        409: "Another final outcome was given before.",
        410: "It was there; a newer version or a cancellation took its place.",
        412: "It changed since it was read (If-Match).",
        413: "The body is too large.",
        415: "The body is not announced as FHIR JSON.",
        422: "Understood, and not possible: unknown outcome, illegal transition, fixed element changed.",
        428: "If-Match is missing.",
    },
    "form": {408: "The form came too slowly.", 413: "The form is too large.", 415: "Not a form."},
    "sync": {410: "The client's roles changed, or a backup was restored: begin again without a cursor."},
}


def openapi_document(base: str) -> Resource:
    """The API as OpenAPI 3.1, for those who make clients from it."""
    paths: dict[str, Resource] = {}
    for one in OPERATIONS:
        paths.setdefault(f"/{one.path}", {})[one.method.lower()] = _described(one)
    for path, summary, schema in (
        ("/metadata", "CapabilityStatement.", "Resource"),
        ("/.well-known/smart-configuration", "Where tokens are asked for.", "Any"),
        ("/openapi.json", "This document.", "Any"),
    ):
        media = _FHIR if schema == "Resource" else "application/json"
        answers = {"200": _answer("As asked.", schema, media), "406": _answer(_REFUSALS[406], "OperationOutcome")}
        paths[path] = {"get": {"operationId": path.strip("/."), "summary": summary, "security": [], "responses": answers}}
    paths["/auth/token"] = {"post": _token_operation()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trait d'union Import API", "version": API_VERSION, "license": {"name": "See LICENSE"}},
        "servers": [{"url": base}],
        "security": [{"smart": []}],
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"smart": {"type": "http", "scheme": "bearer"}}},
    }


def _described(one: Operation) -> Resource:
    described: Resource = {"operationId": one.name, "summary": one.summary, "parameters": _parameters(one)}
    if one.body:
        described["requestBody"] = {
            "required": True,
            "content": {_FHIR: {"schema": {"$ref": f"#/components/schemas/{one.body}"}}},
        }
    if one.is_form:
        fields = {parameter["name"]: parameter["schema"] for parameter in _search_parameters(one.resource)}
        form = {"type": "object", "properties": fields, "additionalProperties": False}
        described["requestBody"] = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}}
    refusals = dict(_REFUSALS)
    for key, wanted in ((READ, one.interaction == READ), ("body", one.body), ("form", one.is_form), ("sync", one.name == "sync")):
        refusals |= _MORE_REFUSALS[key] if wanted else {}
    answers = {"200": _success(one)} | (
        {"304": {"description": "Known already (If-None-Match)."}} if one.interaction == READ else {}
    )
    described["responses"] = answers | {str(code): _answer(text, "OperationOutcome") for code, text in sorted(refusals.items())}
    return described


def _success(one: Operation) -> Resource:
    if one.resource == "Binary":
        raw = {"schema": {"type": "string", "format": "binary"}}
        content = {_FHIR: {"schema": {"$ref": "#/components/schemas/Resource"}}, "application/xml": raw, "application/pdf": raw}
        return {"description": "The content.", "content": content}
    return _answer("As asked.", "OperationOutcome" if one.name == "acknowledge" else "Resource")


def _answer(text: str, schema: str, media: str = _FHIR) -> Resource:
    return {"description": text, "content": {media: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _parameters(one: Operation) -> list[Resource]:
    found: list[Resource] = []
    if "{id}" in one.path:
        schema = {"type": "string", "pattern": "^[A-Za-z0-9.\\-]{1,64}$"}
        found.append({"name": "id", "in": "path", "required": True, "schema": schema})
    if one.interaction == SEARCH and not one.is_form:
        found += _search_parameters(one.resource)
    if one.name == "sync":
        found.append({"name": CURSOR, "in": "query", "schema": {"type": "string", "minLength": 1}})
        found.append({"name": COUNT, "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999}})
    if one.is_conditional:
        required = one.name == "update-task"
        found.append({"name": "If-Match", "in": "header", "required": required, "schema": {"type": "string"}})
    return found


def _search_parameters(kind: str) -> list[Resource]:
    known = sorted(SEARCHES[kind].values(), key=lambda one: one.name)
    count = {"name": COUNT, "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999}}
    page = {"name": "_page", "in": "query", "schema": {"type": "string", "minLength": 1}}
    return [{"name": one.name, "in": "query", "schema": {"type": "string", "minLength": 1}} for one in known] + [count, page]


def _token_operation() -> Resource:
    names = ("grant_type", "scope", "client_assertion_type", "client_assertion")
    form = {"type": "object", "required": list(names), "properties": {name: {"type": "string"} for name in names}}
    json_error = _answer("Why not, as OAuth says it.", "OAuthError", "application/json")
    return {
        "operationId": "token",
        "summary": "A token against a signed assertion (private_key_jwt).",
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
        "responses": {
            "200": _answer("The token.", "Token", "application/json"),
            **{str(code): json_error for code in (400, 401, 413, 415, 429, 503)},
        },
    }


def _typed(kind: str) -> Resource:
    return {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"const": kind}}}


_SCHEMAS: Resource = {
    "Any": {"type": "object"},
    "Resource": {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"type": "string"}}},
    "OperationOutcome": _typed("OperationOutcome") | {"required": ["resourceType", "issue"]},
    "Parameters": {
        "type": "object",
        "required": ["resourceType", "parameter"],
        "properties": {
            "resourceType": {"const": "Parameters"},
            "parameter": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": ["outcome", "note"]},
                        "valueCode": {"type": "string"},
                        "valueString": {"type": "string"},
                    },
                },
            },
        },
    },
    "Task": {
        "type": "object",
        "required": ["resourceType", "id", "status"],
        "properties": {"resourceType": {"const": "Task"}, "id": {"type": "string"}, "status": {"type": "string"}},
    },
    "Token": {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in", "scope"],
        "properties": {
            "access_token": {"type": "string"},
            "token_type": {"const": "bearer"},
            "expires_in": {"type": "integer"},
            "scope": {"type": "string"},
        },
    },
    "OAuthError": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    },
}
