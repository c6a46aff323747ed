"""The soak of HL7 messages: `python -m tests.soak.hl7_messages COUNT [first] [processes]`; exit 1 when a value is lost.

Message n is made of the number n, so that any failure is made again. The documents inside are a few and always the same: each is
translated once, the message around it every time.
"""

from __future__ import annotations

import functools
import multiprocessing
import random
import sys
import time
from collections import Counter

from adapter.mapping import from_cda
from tests.builders.hl7_variety import vary
from tests.properties.hl7_account import Fate, fate_of

_STEP = 500


def _remember_documents() -> None:
    """Translate each distinct document once in this process."""
    from_cda.translate_cda = functools.lru_cache(maxsize=16)(from_cda.translate_cda)
    from_cda.read_cda_header = functools.lru_cache(maxsize=16)(from_cda.read_cda_header)


def _run(first: int) -> tuple[Counter[str], Counter[str], list[str]]:
    counts: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    lost: list[str] = []
    for number in range(first, first + _STEP):
        message = vary(random.Random(number))
        try:
            fate = fate_of(message)
        except Exception as error:  # a soak counts what breaks, and goes on
            fate = Fate("broken", Counter(), [type(error).__name__])
        counts += fate.counts
        verdicts[fate.verdict] += 1
        lost += [f"{number}: {place}" for place in fate.unaccounted]
    return counts, verdicts, lost


def main(arguments: list[str]) -> int:
    """Run and tell."""
    count, first, processes = (*map(int, arguments), *(100_000, 0, 2)[len(arguments) :])
    counts: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    lost: list[str] = []
    began = time.monotonic()
    with multiprocessing.Pool(processes, initializer=_remember_documents) as pool:
        for done, (some, told, missing) in enumerate(pool.imap_unordered(_run, range(first, first + count, _STEP)), 1):
            counts += some
            verdicts += told
            lost += missing
            sys.stderr.write(f"\r{done * _STEP:,} messages, {sum(some.values()):,} values in the last step, {len(lost)} lost ")
    seconds = time.monotonic() - began
    lines = [
        f"\n{sum(verdicts.values()):,} messages in {seconds:,.0f} s: {dict(verdicts)}",
        f"{sum(counts.values()):,} values: {dict(counts)}; {len(lost)} unaccounted for",
        *lost[:20],
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
