"""Log lines are an event and ids. A last guard cuts any value that is not short and plain, so content cannot slip in."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from adapter.config import Logging

LONGEST_VALUE = 200


def configure_logs(settings: Logging) -> None:
    """Set structlog up for this process: JSON lines or console, on standard error."""
    level = logging.getLevelNamesMapping().get(settings.level.upper(), logging.INFO)
    renderer: Any = (
        structlog.processors.JSONRenderer() if settings.format.value == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_plain_values,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def keep_plain_values(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Only short texts, numbers and truths are written; anything else shows its type."""
    for key, value in event.items():
        if value is None or isinstance(value, bool | int | float):
            continue
        if not isinstance(value, str):
            event[key] = f"<{type(value).__name__}>"
        elif len(value) > LONGEST_VALUE:
            event[key] = value[:LONGEST_VALUE] + "…"
    return event
