"""Makes a wheel whose busiest modules are machine code, by mypyc, when asked: `TDU_COMPILED=1 pip wheel .` (ADR 0014).

The sources stay beside, untouched: Python takes the compiled module of a name first. Nothing else changes; without the variable,
the wheel is plain Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_NO_CONFIG = "[mypy]\nignore_missing_imports = True\n"  # the project's own checks sources, not what is compiled


class CompiledModules(BuildHookInterface[Any]):
    """The modules named in `pyproject.toml`, compiled in a copy and added to the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Of the build alone, and only of this one."""
        return ["mypy>=1.13", "setuptools>=65"] if _is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are gathered."""
        if not _is_wanted() or version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory()
        copy = Path(self._folder.name)
        for package in ("adapter", "mssante"):
            shutil.copytree(Path(self.root) / package, copy / package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        (copy / "mypy.ini").write_text(_NO_CONFIG)
        modules = [str(path.relative_to(copy)) for name in self.config["modules"] for path in sorted(copy.glob(name))]
        done = subprocess.run(  # noqa: S603 - our own modules, by our own Python
            [sys.executable, "-m", "mypyc", *modules], cwd=copy, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"mypyc failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        for made in copy.rglob("*.so"):
            place = made.relative_to(copy)
            if place.parts[0] != "build":
                build_data["force_include"][str(made)] = place.as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, *_: Any) -> None:
        """Let go of the copy."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def _is_wanted() -> bool:
    return os.environ.get("TDU_COMPILED") == "1"
