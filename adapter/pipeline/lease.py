"""Keeps a lease alive while a channel sends or a fax is read: what takes long is not taken for a dead worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import structlog

from adapter.errors import StaleClaimError
from adapter.ledger.deliveries import Hold
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import ClaimedReceipt
from adapter.model.delivery import Delivery

log = structlog.get_logger()


@contextmanager
def kept_alive(ledger: Ledger, delivery: Delivery, lease: timedelta, *companions: Hold) -> Iterator[None]:
    """Extend a delivery's lease three times per its length until the block ends; that of `companions` in the same mail too.

    When it cannot be extended the block goes on: what it does next is guarded by the fence. A ledger that is away is asked
    again; a claim that is lost is not.
    """
    with _extended(lambda: ledger.extend_lease(delivery.id, delivery.fence, lease, *companions), lease, delivery=delivery.id):
        yield


@contextmanager
def reading_kept_alive(ledger: Ledger, claim: ClaimedReceipt, lease: timedelta) -> Iterator[None]:
    """The same for a received fax, whose pages may take longer to read than a lease is long: else two workers would take it from
    each other until it counts as poison.
    """
    receipt = claim.receipt
    with _extended(lambda: ledger.extend_claim(receipt.id, claim.fence, lease), lease, receipt=receipt.id):
        yield


@contextmanager
def _extended(extend: Callable[[], None], lease: timedelta, **named: str) -> Iterator[None]:
    done = threading.Event()
    thread = threading.Thread(target=_extend, args=(extend, lease, done, named), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _extend(extend: Callable[[], None], lease: timedelta, done: threading.Event, named: Mapping[str, str]) -> None:
    while not done.wait(lease.total_seconds() / 3):
        try:
            extend()
        except StaleClaimError:
            return
        except Exception as error:
            log.warning("lease.not-extended", **named, error=type(error).__name__)
