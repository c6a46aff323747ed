"""An acceptor that keeps what it is given in memory, and can be told to fail: what the doors' tests stand on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from adapter.errors import LedgerError
from adapter.ledger.database import UNWRITABLE
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Answer, Arrival, Kept, Verdict

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

REFUSAL = Finding(
    Severity.ERROR, "form.answer-required", "Le traitement du diabète manque.", "item[tdm-iode-diabete]", "Répondre."
)


@dataclass
class FakeAcceptor:
    """Keeps arrivals; the answer's body is `body(arrival)`. `refuses` decides the verdict, `down` breaks the commit."""

    body: Callable[[Arrival], bytes] = lambda arrival: b"answer to " + arrival.content[-24:]
    refuses: Callable[[Arrival], bool] = lambda arrival: b"REFUSE" in arrival.content
    commit_seconds: float = 0.0
    down: bool = False
    kept: list[Arrival] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: count[int] = field(default_factory=lambda: count(1))

    def judge(self, arrival: Arrival) -> Arrival:
        if b"JUDGE-BREAKS" in arrival.content:
            raise KeyError(arrival.content)
        return arrival

    def commit(self, batch: Sequence[Arrival]) -> list[Answer]:
        time.sleep(self.commit_seconds)
        if self.down:
            raise LedgerError("ledger.unavailable", "the ledger is down")
        if any(b"NUL" in arrival.content for arrival in batch):
            raise LedgerError(UNWRITABLE, "this value cannot be written")
        if any(b"POISON" in arrival.content for arrival in batch):
            raise ValueError("this row cannot be written")
        with self.lock:
            self.batches.append(len(batch))
            return [self._answer(arrival) for arrival in batch]

    def _answer(self, arrival: Arrival) -> Answer:
        known = [one for one in self.kept if one.reference and one.reference == arrival.reference]
        if known and known[0].content != arrival.content:
            return Answer("r0", Verdict.REFUSED, b"{}", Kept.CONFLICT, (REFUSAL,))
        if known:
            return Answer("r0", Verdict.ACCEPTED, self.body(arrival), Kept.REPEAT)
        self.kept.append(arrival)
        verdict = Verdict.REFUSED if self.refuses(arrival) else Verdict.ACCEPTED
        findings = (REFUSAL,) if verdict is Verdict.REFUSED else ()
        return Answer(f"r{next(self.numbers)}", verdict, self.body(arrival), Kept.STORED, findings)
