"""Where the shipped data files are (mappings, tables): beside the code in a checkout, inside the package in a wheel."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def mappings_root() -> Path:
    """The folder of the mapping data: `adapter/_mappings` in a wheel, `/mappings` in a checkout."""
    package = Path(str(resources.files("adapter")))
    packaged = package / "_mappings"
    return packaged if packaged.is_dir() else package.parent / "mappings"


def partners_root() -> Path:
    """The reference territory's partners files: `adapter/_partners` in a wheel, `/fixtures/partners` in a checkout."""
    package = Path(str(resources.files("adapter")))
    packaged = package / "_partners"
    return packaged if packaged.is_dir() else package.parent / "fixtures" / "partners"
