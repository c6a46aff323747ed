"""A third party's FHIR server (sekmet-fhir 0.1.1, Apache-2.0) as the territory's record, in a virtual environment of its own.

It needs other versions of our libraries, hence `.venv-sekmet` beside `.venv`, made at the first use (needs pip's index once).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.ports import free_port

PROJECT_ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = PROJECT_ROOT / ".venv-sekmet"
REQUIREMENT = "sekmet-fhir==0.1.1"
START_SECONDS = 40.0


class UnavailableError(Exception):
    """The server cannot be installed or started here."""


def ensure_installed() -> Path:
    """The server's command; installs it when it is not there."""
    command = ENVIRONMENT / "bin" / "sekmet"
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "install.lock").open("w") as lock:
        # Several test workers may come here at once: one installs, the others wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not command.exists():
            _install()
    return command


def _install() -> None:
    try:
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True, capture_output=True, timeout=120)
        install = [str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]
        subprocess.run(install, check=True, capture_output=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{REQUIREMENT} cannot be installed ({type(error).__name__})") from error


@contextmanager
def sekmet_server(folder: Path) -> Iterator[str]:
    """The base URL of a fresh, empty server whose data is in `folder`."""
    command = ensure_installed()
    port = free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    settings = folder / "settings.yaml"
    settings.write_text(f"base_url: {base}\nsimulator:\n  enabled: false\nvalidation:\n  inbound: strict\n", encoding="utf-8")
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [str(command), "serve", "-c", str(settings), "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        try:
            _wait_until_ready(server, base, folder / "server.log")
            yield base
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(timeout=10)


def _wait_until_ready(server: subprocess.Popen[bytes], base: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{base}/metadata", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise UnavailableError(f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')[-1500:]}")
