"""A file named on the command line, as a door would see it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from adapter.model.receipt import Arrival
from adapter.offline import arrival_of


def arrival_from(path: Path, form: str, zone: str) -> Arrival:
    """A file as a door would see it now, with its side-car `FILE.json` when there is one beside it."""
    side_car = path.with_name(path.name + ".json")
    companion = side_car.read_bytes() if side_car.is_file() else b""
    return arrival_of(path.read_bytes(), companion, datetime.now(UTC), form, zone)
