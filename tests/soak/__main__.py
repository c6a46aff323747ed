"""The soak: `python -m tests.soak --minutes 3` spoils documents for minutes, remembers where it stopped, keeps what broke.

Each document comes of (parser, number): a state file holds the next number, so that stopping and starting again goes on with new
documents, and any failure is made again by `--only PARSER --number N`. Exit 1 when something broke.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.soak.parsers import Parser, parsers

_SAVED_EVERY_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Run it."""
    options = _options(arguments)
    found = parsers()
    chosen = [found[name] for name in (options.only or found)]
    state: dict[str, Any] = json.loads(options.state.read_text()) if options.state.is_file() else {}
    if options.number is not None:
        for parser in chosen:
            parser.take(parser.spoilt(_dice(parser, options.number)), Counter())
        return 0
    for parser in chosen:
        _soak(parser, state.setdefault(parser.name, {"next": 0, "seconds": 0.0, "told": {}, "failures": []}), options, state)
    sys.stdout.write(_table(state) + "\n")
    return 1 if any(state[parser.name]["failures"] for parser in chosen) else 0


def _soak(parser: Parser, held: dict[str, Any], options: argparse.Namespace, state: dict[str, Any]) -> None:
    told = Counter(held["told"])
    began = saved = time.monotonic()
    before = held["seconds"]
    while time.monotonic() - began < options.minutes * 60:
        number = held["next"]
        held["next"] += 1
        content = parser.spoilt(_dice(parser, number))
        try:
            parser.take(content, told)
        except Exception as error:  # what the soak is for
            told["FAILED"] += 1
            _keep(parser, number, content, error, held, options)
        if time.monotonic() - saved > _SAVED_EVERY_SECONDS:
            saved = time.monotonic()
            _save(held, told, before + saved - began, options, state)
    _save(held, told, before + time.monotonic() - began, options, state)


def _dice(parser: Parser, number: int) -> random.Random:
    return random.Random(f"{parser.name}/{number}")


def _keep(
    parser: Parser, number: int, content: bytes, error: Exception, held: dict[str, Any], options: argparse.Namespace
) -> None:
    """One of each kind of failure: where it was raised tells kinds apart."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    kind = f"{type(error).__name__} {place} {error if isinstance(error, AssertionError) else ''}".strip()
    if any(failure["kind"] == kind for failure in held["failures"]):
        return
    held["failures"].append({"number": number, "kind": kind})
    folder = options.state.parent / "failures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{parser.name}-{number}.bin").write_bytes(content)
    sys.stderr.write(f"{parser.name} {number}: {kind}\n")


def _save(held: dict[str, Any], told: Counter[str], seconds: float, options: argparse.Namespace, state: dict[str, Any]) -> None:
    held |= {"told": dict(told), "seconds": round(seconds, 1), "last": f"{datetime.now(UTC):%Y-%m-%d}"}
    options.state.parent.mkdir(parents=True, exist_ok=True)
    options.state.write_text(json.dumps(state, indent=1))


def _table(state: dict[str, Any]) -> str:
    """Lines for docs/reference/figures.md."""
    lines = ["| parser | documents | minutes | refused | parked | accepted | pages | CDA | failures |", "| --- " * 9 + "|"]
    for name, held in state.items():
        told = Counter(held["told"])
        cells = (told["refused"], told["parked"], told["accepted"], told["pdf"], told["cda"], told["FAILED"])
        figures = " | ".join(f"{cell:,}".replace(",", " ") for cell in cells)
        lines.append(f"| {name} | {held['next']:,} | {held['seconds'] / 60:.1f} | {figures} |".replace(",", " "))
    return "\n".join(lines)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parse = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parse.add_argument("--minutes", type=float, default=3.0, help="for each parser")
    parse.add_argument("--only", action="append", help="a parser's name; may be repeated")
    parse.add_argument("--number", type=int, help="one document only, its failure shown")
    parse.add_argument("--state", type=Path, default=Path(".soak/state.json"))
    return parse.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
