"""A lease is kept while a channel works, through a ledger that is away for a moment, and no longer than the claim."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, cast

from adapter.errors import LedgerError, StaleClaimError
from adapter.ledger.ledger import Ledger
from adapter.pipeline.lease import kept_alive
from tests.builders.secure_mail import delivery

LEASE = timedelta(seconds=0.03)


class FakeLedger:
    """Answers `extend_lease` with what it is told, and says when it was asked often enough."""

    def __init__(self, *answers: Exception, enough: int = 3) -> None:
        self._answers = list(answers)
        self._enough = enough
        self.calls = 0
        self.asked_enough = threading.Event()

    def extend_lease(self, *_: Any) -> None:
        """One heartbeat."""
        self.calls += 1
        if self.calls >= self._enough:
            self.asked_enough.set()
        if self._answers:
            raise self._answers.pop(0)


def _kept(ledger: FakeLedger, seconds: float) -> bool:
    with kept_alive(cast(Ledger, ledger), delivery(), LEASE):
        return ledger.asked_enough.wait(seconds)


def test_a_slow_send_keeps_its_lease() -> None:
    assert _kept(FakeLedger(), 5)


def test_a_ledger_that_is_away_is_asked_again() -> None:
    assert _kept(FakeLedger(LedgerError("ledger.unavailable", "away"), OSError("disk")), 5)


def test_a_lost_claim_is_not_asked_again() -> None:
    ledger = FakeLedger(StaleClaimError("delivery.claim-lost", "gone"), enough=2)
    assert not _kept(ledger, 0.2)
    assert ledger.calls == 1


def test_nothing_is_extended_once_the_send_is_over() -> None:
    ledger = FakeLedger()
    _kept(ledger, 5)
    calls = ledger.calls
    threading.Event().wait(0.1)
    assert ledger.calls == calls
