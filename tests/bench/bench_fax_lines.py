"""How many documents come back whole from the codes of a fax: `python tests/bench/bench_fax_lines.py [--documents 200]`.

As many documents of 1 to 12 KB (deflated) on our own annex sheets through each simulated line (tests/builders/fax_lines.py), fine
and at standard resolution. Prints the table of docs/reference/figures.md; exit 1 when fewer come through than LEAST.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapter.packaging.fax_page import RowsPerDot
from tests.builders.fax_lines import Line, comes_through, document_of

SIZES = (1000, 2500, 4000, 8000, 12000)
# Out of a hundred, at any size and on any line.
LEAST = {RowsPerDot.FINE: 97, RowsPerDot.STANDARD: 90}


def main() -> int:
    """Run it and print the table."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--documents", type=int, default=200)
    parse.add_argument("--first", type=int, default=0, help="first seed: another one, other documents and lines")
    parse.add_argument("--standard", action="store_true")
    options = parse.parse_args()
    rows, each, failed = RowsPerDot.STANDARD if options.standard else RowsPerDot.FINE, options.documents // len(SIZES), False
    seeds = range(options.first, options.first + each)
    print("| size | sheets | " + " | ".join(line.value for line in Line) + " |")
    for size in SIZES:
        documents, began = {seed: document_of(size, seed, rows) for seed in seeds}, time.process_time()
        whole = [sum(comes_through(one, line, seed) for seed, one in documents.items()) for line in Line]
        failed |= any(100 * one < LEAST[rows] * each for one in whole)
        shown = " | ".join(f"{one}/{each}" for one in whole)
        seconds = (time.process_time() - began) / each / len(Line)
        print(f"| {size / 1000:g} KB | {len(documents[seeds[0]].sheets)} | {shown} | {seconds:.1f} s a document", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
