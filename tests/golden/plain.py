"""Dataclasses as data for expected files; what is empty is left out, so that a case shows what it says."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any


def plain(value: object) -> Any:
    """A value as JSON data."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {name: found for name, found in pairs.items() if found not in ("", None, [], {}, False)}
    return [plain(item) for item in value] if isinstance(value, tuple) else value
