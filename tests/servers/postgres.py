"""A private PostgreSQL for tests: its own cluster in a temporary folder, a unix socket, a free port; gone afterwards.

The package `postgresql` is enough; its system cluster is neither used nor touched. PostgreSQL refuses to run as root, so as root
it runs as the user `postgres`. `fsync` stays on: what is measured is what is promised.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.ports import free_port

_STOP_SECONDS = 20


@dataclass(frozen=True)
class PostgresServer:
    """A running cluster."""

    bin_dir: Path
    data_dir: Path
    port: int

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """A new database, empty or a copy of another; returns its URL."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self._psql("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop it, whoever is still connected."""
        self._psql("postgres", f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def _psql(self, database: str, statement: str) -> None:
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        command = [str(self.bin_dir / "psql"), *address, "-d", database, "-q", "-c", statement]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


def find_postgres() -> Path | None:
    """The newest installed server's programs."""
    folders = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    return max(folders, key=lambda path: int(path.parent.name), default=None)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a cluster; stop it and remove it at the end. FileNotFoundError when PostgreSQL is not installed."""
    bin_dir = find_postgres()
    if bin_dir is None:
        raise FileNotFoundError("PostgreSQL is not installed (apt-get install postgresql)")
    home = Path(tempfile.mkdtemp(prefix="tdu-pg-"))
    server = PostgresServer(bin_dir, home / "data", free_port())
    try:
        _own(home)
        _run(server, "initdb", "-D", str(server.data_dir), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        options = f"-p {server.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c max_connections=60"
        log = str(home / "log")
        _run(server, "pg_ctl", "-D", str(server.data_dir), "-l", log, "-w", "-t", "60", "-o", options, "start")
        yield server
    finally:
        if (server.data_dir / "postmaster.pid").exists():
            _run(server, "pg_ctl", "-D", str(server.data_dir), "-m", "immediate", "-w", "-t", str(_STOP_SECONDS), "stop")
        shutil.rmtree(home, ignore_errors=True)


def _own(folder: Path) -> None:
    """PostgreSQL wants to own its folder and not to be root."""
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)


def _run(server: PostgresServer, program: str, *arguments: str) -> None:
    command = [str(server.bin_dir / program), *arguments]
    user = "postgres" if os.geteuid() == 0 else None
    # pg_ctl's server would keep a pipe open: output goes nowhere, errors are in its log.
    subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
