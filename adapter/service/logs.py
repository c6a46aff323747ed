"""Log lines are an event and ids. A last guard cuts any value that is not short and plain, so content cannot slip in.

What libraries say, warn of or raise is told by its place and class only: their texts quote what they were given.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from adapter.config import Logging
from adapter.errors import TduError

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
        # Looked up at each line: whoever replaces standard error (a supervisor, a test) is followed.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)
    logging.captureWarnings(True)
    sys.excepthook = tell_exception
    threading.excepthook = lambda args: tell_exception(args.exc_type, args.exc_value, args.exc_traceback)


class _Libraries(logging.Handler):
    """Standard logging, which only libraries use."""

    def emit(self, record: logging.LogRecord) -> None:
        """Where it was said, and the class of the error it was said of."""
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        structlog.get_logger().warning(
            "library.said", logger=record.name, severity=record.levelname, place=f"{record.module}:{record.lineno}", error=error
        )


def tell_exception(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """An exception that nobody caught: its class and where it came from."""
    frames = traceback.extract_tb(trace)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    code = error.code if isinstance(error, TduError) else ""
    structlog.get_logger().error("process.failed", error=kind.__name__, code=code, place=place)


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
