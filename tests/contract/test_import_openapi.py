"""The OpenAPI document tells the truth: schemathesis calls the served API by it, well and badly, and finds nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks

from adapter.web.bulk import EXPORT_ROUTES
from adapter.web.import_surface import OPERATIONS
from tests.builders.import_client import ImportApi
from tests.builders.practices import Town
from tests.servers.ports import free_port
from tests.servers.served_app import served

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImportApi]:
    folder = tmp_path_factory.mktemp("openapi")
    town = Town(folder)
    port = free_port()
    made = ImportApi(town.house, folder, base=f"http://127.0.0.1:{port}/fhir")
    town.write(1)
    with served(made.app, port):
        yield made


@pytest.fixture(scope="module")
def described(api: ImportApi) -> Any:
    """The document as it is served."""
    return schemathesis.openapi.from_url(f"{api.base}/openapi.json")


CALLS = [
    *((f"/{one.path}", one.method) for one in (*OPERATIONS, *EXPORT_ROUTES)),
    ("/auth/token", "POST"),
    ("/metadata", "GET"),
    ("/.well-known/smart-configuration", "GET"),
]


@pytest.mark.parametrize(("path", "method"), CALLS)
def test_the_api_is_what_its_document_says(path: str, method: str, described: Any, api: ImportApi) -> None:
    headers = {} if path == "/auth/token" else {"Authorization": f"Bearer {api.token()}"}

    @given(case=described[path][method].as_strategy())
    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def call(case: Any) -> None:
        # A cursor, a date or an assertion is more than a text: the document cannot say which ones are good, and 400 is told of.
        case.call_and_validate(headers=headers, timeout=20, excluded_checks=[checks.positive_data_acceptance])

    call()


def test_every_operation_is_described(described: Any) -> None:
    told = {(path, method.upper()) for path, methods in described.raw_schema["paths"].items() for method in methods}
    assert set(CALLS) <= told
