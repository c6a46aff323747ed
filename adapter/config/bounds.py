"""Numbers with bounds: the default of a setting, and what the loader checks."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def bounded(default: Any, low: float, high: float) -> Any:
    """A number with its default and the bounds that the loader checks."""
    return field(default=default, metadata={"low": low, "high": high})
