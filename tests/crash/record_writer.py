"""Feeds a record and dies (SIGKILL) at the n-th statement of its transaction; 0: it lives and tells what was answered.

python -m tests.crash.record_writer URL N first|replacement
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from adapter.ledger.database import Transaction
from tests.builders import record as r
from tests.builders.ledger import World


def arm(count: int) -> None:
    """Die at the n-th statement, or when all are done and only the commit is missing."""
    execute, flush = Transaction.execute, Transaction.flush
    seen = 0

    def counted(self: Transaction, *args: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(self, *args)

    def flushed(self: Transaction) -> None:
        flush(self)
        os.kill(os.getpid(), signal.SIGKILL)

    Transaction.execute = counted  # type: ignore[method-assign, assignment]
    Transaction.flush = flushed  # type: ignore[method-assign]


def main() -> None:
    """One transaction."""
    url, count, what = sys.argv[1:]
    ledger = World(url).ledger
    ledger.ping()
    shelf = r.shelf_of(ledger)
    bundle = r.transaction(1) if what == "first" else r.transaction(2, b"second", replaces=r.unique_of(1))
    if int(count):
        arm(int(count))
    answer = shelf.provide(r.FEEDER, r.written(bundle))
    sys.stdout.write(" ".join(entry["response"]["status"][:3] for entry in answer["entry"]))


if __name__ == "__main__":
    main()
