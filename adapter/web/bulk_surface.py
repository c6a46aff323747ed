"""What `$export` offers, as the API's CapabilityStatement and its OpenAPI document say it."""

from __future__ import annotations

from typing import Any

from adapter.web.bulk_making import TYPES

Resource = dict[str, Any]

_DEFINITION = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"
_BULK_DATA = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
_REFUSALS = {
    400: "Not understood: Prefer: respond-async is missing, unknown parameter, unreadable instant, a type that is not exported.",
    401: "No token, or one that is not good any more.",
    403: "The token does not grant this.",
    404: "No such export of this client, or no more.",
    406: "Asked for in a form that is not served.",
    410: "A document of the file is not the current one any more: ask for the export anew.",
    429: "Too many calls in a minute, or too many exports under way: see Retry-After.",
    500: "The export could not be made.",
    503: "The service cannot answer now: see Retry-After.",
}
_DAY = r"^20[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_TIME = r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+\-](0[0-9]|1[0-3]):[0-5][0-9])$"


def with_export(statement: Resource) -> Resource:
    """The CapabilityStatement, `$export` in it."""
    (rest,) = statement["rest"]
    told = {**rest, "operation": [*rest.get("operation", ()), {"name": "export", "definition": _DEFINITION}]}
    return {**statement, "instantiates": [*statement.get("instantiates", ()), _BULK_DATA], "rest": [told]}


def with_export_paths(openapi: Resource) -> Resource:
    """The OpenAPI document, the four addresses in it."""
    status = {"get": _status(), "delete": _cancel()}
    paths = {"/$export": {"get": _kick_off()}, "/$export/{id}": status, "/$export/{id}/{number}": {"get": _file()}}
    return {**openapi, "paths": {**openapi["paths"], **paths}}


def _kick_off() -> Resource:
    kinds = "|".join(TYPES)
    parameters = [
        _parameter("Prefer", "header", {"enum": ["respond-async"]}, required=True),
        _parameter("_since", "query", {"type": "string", "pattern": _DAY + _TIME}),
        _parameter("_type", "query", {"type": "string", "pattern": f"^({kinds})(,({kinds}))*$"}),
        _parameter("_outputFormat", "query", {"enum": ["application/fhir+ndjson", "application/ndjson", "ndjson"]}),
    ]
    answers = {"202": {"description": "It will be made: ask at Content-Location.", "headers": _headers("Content-Location")}}
    return _operation("export", "All documents of the client's practices, in files.", parameters, answers, (400, 429))


def _status() -> Resource:
    answers = {
        "200": {"description": "The manifest.", "content": {"application/json": {"schema": {"type": "object"}}}},
        "202": {"description": "It is being made.", "headers": _headers("X-Progress", "Retry-After")},
    }
    return _operation("export-status", "How far an export is, then its manifest.", [_id()], answers, (404, 429, 500))


def _cancel() -> Resource:
    answers = {"202": {"description": "It is thrown away."}}
    return _operation("export-cancel", "Throw an export away, made or not.", [_id()], answers, (404, 429))


def _file() -> Resource:
    content = {"application/fhir+ndjson": {"schema": {"type": "string", "format": "binary"}}}
    answers = {
        "200": {"description": "The file.", "content": content},
        "206": {"description": "The range that was asked for.", "content": content},
        "304": {"description": "Known already (If-None-Match)."},
        "416": {"description": "There is no such range."},
    }
    number = _parameter("number", "path", {"type": "integer", "minimum": 1, "maximum": 999_999}, required=True)
    return _operation("export-file", "One file of an export, or a range of it.", [_id(), number], answers, (404, 410, 429))


def _operation(name: str, summary: str, parameters: list[Resource], answers: Resource, refusals: tuple[int, ...]) -> Resource:
    media = {"application/fhir+json": {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}}
    codes = sorted({*refusals, 401, 403, 406, 503})
    refused = {str(code): {"description": _REFUSALS[code], "content": media} for code in codes}
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": {**answers, **refused}}


def _id() -> Resource:
    return _parameter("id", "path", {"type": "string", "pattern": r"^[A-Za-z0-9\-]{1,64}$"}, required=True)


def _parameter(name: str, place: str, schema: Resource, *, required: bool = False) -> Resource:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _headers(*names: str) -> Resource:
    return {name: {"schema": {"type": "string"}} for name in names}
