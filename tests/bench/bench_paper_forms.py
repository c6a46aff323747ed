"""How well forms filled by hand are read from a fax: `python tests/bench/bench_paper_forms.py [--forms 150] [--standard]`.

Draws and faxes forms (tests/builders/paper_forms.py), reads them back, and counts boxes: right, doubtful, and *confident errors*:
a box that was meant ticked and is told empty, or the other way round. Exit 1 when there is one, or more than 5 % are doubtful.
A box that is wrong on a page of which the draft says that it is too pale (`sheet.pale`) is counted apart.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.builders.paper_forms import Line
from tests.builders.paper_reading import Tally, read_back

SLUGS = ("demande-imagerie", "demande-hospitalisation")
MOST_DOUBTFUL = 0.05


def main() -> int:
    """Run it and print the table of docs/reference/figures.md."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--forms", type=int, default=150)
    parse.add_argument("--first", type=int, default=0)
    parse.add_argument("--standard", action="store_true")
    parse.add_argument("--light", type=float, default=0.25)
    parse.add_argument("--specks", type=int, default=1)
    parse.add_argument("--out", type=Path, help="keep here the pages with a confident error")
    options = parse.parse_args()
    total, began = Tally(), time.process_time()
    for number in range(options.first, options.first + options.forms):
        dice = random.Random(number)
        line = Line(standard=options.standard, specks=options.specks)
        total.add(read_back(SLUGS[number % len(SLUGS)], str(number), dice, line, options.light, options.out))
    boxes = sum(total.outcomes.values())
    print(
        f"{options.forms} forms, {total.pages} pages, {boxes} boxes, {(time.process_time() - began) / total.pages:.2f} s a page"
    )
    for outcome, count in total.outcomes.most_common():
        print(f"  {outcome:<18} {count:>6} {100 * count / max(boxes, 1):6.2f} %")
    print(
        "  pages not read     ",
        total.unread,
        " fields missed",
        total.fields_missed,
        "of",
        total.fields,
        " phantom",
        total.phantoms,
    )
    for style, outcomes in sorted(total.by_style.items()):
        print(f"  {style:<12}", dict(outcomes))
    print("  doubts", dict(total.doubts))
    print("  findings", dict(total.findings))
    wrong = total.outcomes["confident error"]
    return 1 if wrong or total.outcomes["doubtful"] > MOST_DOUBTFUL * boxes else 0


if __name__ == "__main__":
    sys.exit(main())
