"""How soon an edited mapping shows what it would change: `tdu replay --diff` over 1,000 kept forms, and 1,000 kept messages.

    python tests/bench/bench_replay.py [RECEIPTS]

What was kept was made with another title, or by another version: every document is compared. The command is run whole, from the
shell to its last line; processor time is told too, for a machine has other work.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ROUNDS = 3


def forms(count: int) -> Iterator[dict[str, Any]]:
    """Imaging requests, each with its own number."""
    from tests.builders.form import build_imaging_request, form_bytes

    for number in range(count):
        content = form_bytes(build_imaging_request(numero=f"BENCH-{number}"))
        yield {"content": content, "door": "http", "reference": f"k{number}", "form": "demande-imagerie"}


def messages(count: int) -> Iterator[dict[str, Any]]:
    """MDM of at most 4 KB: the document inside is a PDF of one page, which the message describes."""
    from tests.builders.cda import tiny_pdf
    from tests.builders.hl7 import build_mdm

    for number in range(count):
        change = {"TXA-12": f"1.2.250.1.213.1.1.9.{number}"}
        content = build_mdm(tiny_pdf(f"n {number}"), control_id=f"B{number}", change=change).replace(
            b"^XML^Base64", b"^pdf^Base64"
        )
        yield {"content": content, "door": "mllp"}


KINDS = {"forms": forms, "messages": messages}


def fill(folder: Path, kind: str, count: int) -> int:
    """Make an instance that keeps so many, made by mappings that differ from today's; the bytes of the largest."""
    from adapter import setup
    from adapter.assembly import assemble
    from adapter.cli.options import read_config
    from adapter.mapping import from_pdf
    from adapter.mapping.rules import load_rules
    from adapter.model.receipt import Arrival, Principal

    load_rules("forms/demande-imagerie").data["document"]["title"] = "Autre titre"
    from_pdf.__version__ = "0"  # type: ignore[attr-defined]
    setup.write_instance(folder)
    settings = read_config(folder / setup.CONFIG_NAME)
    house = assemble(settings)
    house.ledger.migrate()
    principal = Principal("bench", "operator", settings.legal_entities[0].finess_ej)
    arrivals = [Arrival(principal=principal, received_at=AT, **told) for told in KINDS[kind](count)]
    for start in range(0, count, 100):
        house.pipeline.commit([house.pipeline.judge(arrival) for arrival in arrivals[start : start + 100]])
    while house.pipeline.prepare_some("bench"):
        pass
    house.ledger.close()
    return max(len(arrival.content) for arrival in arrivals)


@dataclass(frozen=True)
class Timed:
    """The best of some rounds: seconds on the clock, seconds of processor over all its processes, and its last words."""

    seconds: float
    processor: float
    told: str


def timed(command: list[str]) -> Timed:
    """A command run some times."""
    found = []
    for _ in range(ROUNDS):
        before, start = _children(), time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
        found.append(Timed(time.perf_counter() - start, _children() - before, done.stdout))
    return Timed(min(one.seconds for one in found), min(one.processor for one in found), found[-1].told)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(count: int) -> str:
    """The figures, one line a kind."""
    started = timed([sys.executable, "-c", "import adapter.cli.replaying"])
    lines = [f"{'':10}{'kept':>6}{'bytes':>7}{'differ':>8}{'seconds':>9}{'processor':>11}"]
    lines.append(f"{'(start)':10}{'':21}{started.seconds:>9.2f}{started.processor:>11.2f}")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as spare:
            folder = Path(spare) / "instance"
            fill_command = [sys.executable, __file__, "--fill", kind, str(folder), str(count)]
            size = int(subprocess.run(fill_command, capture_output=True, text=True, check=True, timeout=600).stdout.split()[-1])
            command = [sys.executable, "-m", "adapter", "replay", "--diff", "--config", str(folder / "tdu.toml")]
            found = timed(command)
            compared, _, _, differ, *_ = found.told.strip().splitlines()[-1].split()
            lines.append(f"{kind:10}{compared:>6}{size:>7}{differ:>8}{found.seconds:>9.2f}{found.processor:>11.2f}")
    return "\n".join(lines)


def test_what_an_edited_mapping_changes_is_told_of_all_that_is_kept() -> None:
    print("\n" + table(int(os.environ.get("TDU_BENCH_RECEIPTS", "1000"))))


def main(arguments: list[str]) -> None:
    """Print the table, or fill an instance for it."""
    sys.path.insert(0, str(ROOT))
    if arguments[:1] == ["--fill"]:
        print(fill(Path(arguments[2]), arguments[1], int(arguments[3])))
        return
    print(table(int(arguments[0]) if arguments else 1000))


if __name__ == "__main__":
    main(sys.argv[1:])
