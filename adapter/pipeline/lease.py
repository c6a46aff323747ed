"""Keeps a delivery's lease alive while a channel works: a long send is not taken for a dead worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from adapter.errors import StaleClaimError
from adapter.ledger.deliveries import Hold
from adapter.ledger.ledger import Ledger
from adapter.model.delivery import Delivery

log = structlog.get_logger()


@contextmanager
def kept_alive(ledger: Ledger, delivery: Delivery, lease: timedelta, *companions: Hold) -> Iterator[None]:
    """Extend the lease three times per its length until the block ends; that of `companions` in the same mail too.

    When it cannot be extended the block goes on: what it does next is guarded by the fence. A ledger that is away is asked
    again; a claim that is lost is not.
    """
    done = threading.Event()
    thread = threading.Thread(target=_extend, args=(ledger, delivery, lease, done, companions), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _extend(ledger: Ledger, delivery: Delivery, lease: timedelta, done: threading.Event, companions: tuple[Hold, ...]) -> None:
    while not done.wait(lease.total_seconds() / 3):
        try:
            ledger.extend_lease(delivery.id, delivery.fence, lease, *companions)
        except StaleClaimError:
            return
        except Exception as error:
            log.warning("delivery.lease-not-extended", delivery=delivery.id, error=type(error).__name__)
