"""Each ledger test runs on SQLite and on PostgreSQL. A migrated, empty ledger is made once an engine and copied a test."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builders.ledger import World
from tests.servers.postgres import PostgresServer, find_postgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A private cluster, or a loud skip."""
    if find_postgres() is None:
        reason = "PostgreSQL is not installed (apt-get install postgresql): its half of the ledger's contract is not proved"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{reason} — and CI=true allows no skip", pytrace=False)
        warnings.warn(pytest.PytestWarning(f"SKIPPED: {reason}"), stacklevel=1)
        pytest.skip(reason)
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    url = postgres.create_database()
    _migrate(url)
    return url.rpartition("/")[2]


def _migrate(url: str) -> None:
    world = World(url)
    world.ledger.migrate()
    world.ledger.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes empty databases on one engine: nothing in them."""
    if request.param == "sqlite":
        paths = iter(range(100))
        yield lambda: f"sqlite:///{tmp_path}/empty-{next(paths)}.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    made: list[str] = []

    def make() -> str:
        made.append(server.create_database())
        return made[-1]

    yield make
    for url in made:
        server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A migrated, empty ledger on one engine."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        sqlite = World(f"sqlite:///{path}")
        yield sqlite
        sqlite.ledger.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.create_database(request.getfixturevalue("migrated_postgres"))
    postgresql = World(url)
    yield postgresql
    postgresql.ledger.close()
    server.drop_database(url)
