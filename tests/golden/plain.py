"""What all golden cases share: dataclasses as data, expected files compared or approved, the independent checker run."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"


def plain(value: object) -> Any:
    """A value as JSON data; what is empty is left out, so that a case shows what it says."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {name: found for name, found in pairs.items() if found not in ("", None, [], {}, False)}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def compare(folder: Path, outputs: Mapping[str, Any], given: Collection[str]) -> None:
    """Every file of a case but those `given` is an output, and equal to it: bytes as they are, text, or JSON data.

    With TDU_APPROVE=<case> the files are written first.
    """
    if os.environ.get("TDU_APPROVE") == folder.name:
        for name, value in outputs.items():
            (folder / name).write_bytes(_written(value))
    expected = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in {"CASE.md", *given}}
    assert set(outputs) == set(expected)
    for name, value in outputs.items():
        assert value == _as(value, expected[name]), name


def _written(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _as(value: Any, content: bytes) -> Any:
    """An expected file in the form of what it is compared with."""
    if isinstance(value, bytes):
        return content
    return content.decode() if isinstance(value, str) else json.loads(content)


def check_independently(shared_dir: Path, files: Sequence[Path]) -> None:
    """The checker that knows nothing of us finds no error in any of these."""
    assert files
    checker = shared_dir / "tools" / "fhir_check.py"
    command = [sys.executable, "-W", "ignore", str(checker), "--fr", *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(files)} passed, 0 failed" in run.stdout
