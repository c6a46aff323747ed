"""Fixtures that several test rooms share: the official samples, and the right to start real servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.loudly import skip_loudly

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds pyproject.toml."""
    return PROJECT_ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of official samples and independent checkers: `TDU_SHARED`, else `../shared` beside the project."""
    folder = Path(os.environ.get("TDU_SHARED", PROJECT_ROOT.parent / "shared"))
    if not (folder / "samples").is_dir():
        skip_loudly(f"official samples not found in {folder} (set TDU_SHARED)")
    return folder


@pytest.fixture(scope="session")
def require_root_servers() -> None:
    """Real servers (PostgreSQL, mail) are started by tests only as root: `make test` installed them."""
    if os.geteuid() != 0:
        skip_loudly("real servers are started only as root (run `sudo make test`)")
