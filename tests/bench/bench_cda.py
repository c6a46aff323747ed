"""Speed of understanding a CDA: `python tests/bench/bench_cda.py` (official samples are used when they are there).

Figures are processor time of one core: wall time says more of the neighbours than of the code.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from adapter.fhir.bundle import write_json  # noqa: E402
from adapter.fhir.validate import Level, validate_bundle  # noqa: E402
from adapter.formats.cda import read_cda  # noqa: E402
from adapter.mapping.from_cda import read_cda_header, translate_cda  # noqa: E402
from tests.builders.cda import build_ldl_ses, build_n1  # noqa: E402

SHARED = Path(os.environ.get("TDU_SHARED", ROOT.parent / "shared")) / "samples" / "cda"


def documents() -> dict[str, bytes]:
    """What is measured, by name."""
    found = {"own letter": build_ldl_ses(), "own N1, 400 kB PDF": build_n1(pdf=b"%PDF-1.4\n" + bytes(range(256)) * 1600)}
    for name, file in (("LDL-SES sample", "LDL-SES_2022.01.xml"), ("N1 sample", "DOC_NON_STRUCTURE_CDA-R2-N1.xml")):
        if (SHARED / file).is_file():
            found[name] = (SHARED / file).read_bytes()
    return found


def milliseconds(call: Callable[[], object], seconds: float = 0.5) -> float:
    """The best of three runs, a call."""
    best = float("inf")
    for _ in range(3):
        times, start = 0, time.process_time()
        while (elapsed := time.process_time() - start) < seconds:
            call()
            times += 1
        best = min(best, elapsed / times)
    return best * 1000


def test_a_letter_is_understood_at_the_rate_of_a_large_hospital_group() -> None:
    """AP-HP sends some 121 documents a second at its worst: one core must come near it, several must pass it."""
    assert 1000 / milliseconds(lambda: translate_cda(build_ldl_ses())) > 60


def main() -> None:
    """Print the table."""
    print(
        f"{'document':22}{'kB':>6}{'parse':>9}{'header':>9}{'translate':>11}{'a second':>10}{'json':>8}{'rules':>8}{'models':>8}"
    )
    for name, content in documents().items():
        bundle = translate_cda(content).bundle
        parse, header = milliseconds(lambda c=content: read_cda(c)), milliseconds(lambda c=content: read_cda_header(c))  # type: ignore[misc]
        whole = milliseconds(lambda c=content: translate_cda(c))  # type: ignore[misc]
        written = milliseconds(lambda b=bundle: write_json(b))  # type: ignore[misc]
        rules = milliseconds(lambda b=bundle: validate_bundle(b, Level.RULES))  # type: ignore[misc]
        models = milliseconds(lambda b=bundle: validate_bundle(b)) - rules  # type: ignore[misc]
        print(
            f"{name:22}{len(content) // 1024:>6}{parse:>9.2f}{header:>9.2f}{whole:>11.2f}{1000 / whole:>10.0f}"
            f"{written:>8.2f}{rules:>8.2f}{models:>8.2f}"
        )


if __name__ == "__main__":
    main()
