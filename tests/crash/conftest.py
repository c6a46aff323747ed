"""A database of a private PostgreSQL, for crashes that must be survived on both engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres_cluster(require_root_servers: None) -> Iterator[PostgresServer]:
    """One cluster for all crash tests of this process."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_cluster: PostgresServer) -> Iterator[str]:
    """The address of an empty database, as the configuration writes it."""
    url = postgres_cluster.create_database()
    yield url.replace("postgresql+psycopg://", "postgresql://")
    postgres_cluster.drop_database(url)
