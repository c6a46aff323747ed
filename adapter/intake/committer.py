"""One commit for many arrivals: all doors of a process share a judge pool and a thread that commits in groups.

Law: blueprint seam 1, style card 8. An answer exists only after the durable commit that holds it. While one commit waits
for the disk the next group gathers by itself, so nothing lingers when the house is quiet: measured, the group commit is the
one lever that holds on a slow disk. Queues are bounded: when the ledger is slow, doors read more slowly, memory does not grow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Generic, Protocol, TypeVar

import structlog

from adapter.errors import LedgerError, TduError, UnavailableError
from adapter.ledger.database import UNWRITABLE
from adapter.model.receipt import Answer, Arrival

log = structlog.get_logger()

J = TypeVar("J")

Count = Callable[[str], None]


def count_nothing(event: str) -> None:
    """The counter of a door that nobody measures."""


class NotKeptError(TduError):
    """Nothing was kept, because of a defect of ours: sending the same thing again will not help."""


class TryLaterError(NotKeptError):
    """Nothing was kept for now: the sender must present the same thing again."""


class Acceptor(Protocol[J]):
    """What a door needs of the pipeline: judge without I/O, then make a batch durable."""

    def judge(self, arrival: Arrival) -> J:
        """What is known at once, and the answer to give."""
        ...

    def commit(self, batch: Sequence[J]) -> list[Answer]:
        """One durable transaction; one answer for each, in order."""
        ...


@dataclass(frozen=True)
class IntakeSettings:
    """How much is judged at once and committed together. `waiting_limit` bounds what is judged and not yet committed."""

    judge_threads: int = 2
    batch_size: int = 64
    waiting_limit: int = 256
    patience_seconds: float = 10.0


class GroupCommitter(Generic[J]):
    """A thread that commits what is waiting, in groups, and resolves each one's future."""

    def __init__(self, commit: Callable[[Sequence[J]], list[Answer]], settings: IntakeSettings) -> None:
        self._commit = commit
        self._settings = settings
        self._waiting: Queue[tuple[J, Future[Answer]] | None] = Queue(settings.waiting_limit)
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def start(self) -> None:
        """Start committing."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end. Nothing may be submitted any more."""
        self._waiting.put(None)
        self._thread.join()

    def submit(self, judged: J, future: Future[Answer]) -> None:
        """Hand one over; blocks while too many wait. TryLaterError when the ledger is slower than our patience."""
        try:
            self._waiting.put((judged, future), timeout=self._settings.patience_seconds)
        except Full:
            raise TryLaterError("intake.overloaded", "Too many arrivals wait for the ledger.", remedy="Send it again.") from None

    def _run(self) -> None:
        while True:
            group, goes_on = self._gather()
            if group:
                self._commit_group(group)
            if not goes_on:
                return

    def _gather(self) -> tuple[list[tuple[J, Future[Answer]]], bool]:
        """The first that waits and all others already there; whether the thread goes on."""
        group: list[tuple[J, Future[Answer]]] = []
        item = self._waiting.get()
        while item is not None:
            group.append(item)
            if len(group) == self._settings.batch_size:
                return group, True
            try:
                item = self._waiting.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit_group(self, group: list[tuple[J, Future[Answer]]]) -> None:
        try:
            answers = self._commit([judged for judged, _ in group])
        except LedgerError as error:
            log.error("intake.commit-failed", code=error.code, size=len(group))
            if error.code == UNWRITABLE:
                self._commit_one_by_one(group)
            else:
                _fail(group, _later(error.code))
        except Exception as error:
            log.error("intake.commit-failed", error=type(error).__name__, size=len(group))
            self._commit_one_by_one(group)
        else:
            for (_, future), answer in zip(group, answers, strict=True):
                future.set_result(answer)

    def _commit_one_by_one(self, group: list[tuple[J, Future[Answer]]]) -> None:
        """One arrival that the ledger cannot take must not refuse its neighbours for ever."""
        for judged, future in group:
            try:
                future.set_result(self._commit([judged])[0])
            except Exception as error:  # whatever it is, nothing was kept and the sender must know
                log.error("intake.commit-refused", error=type(error).__name__)
                future.set_exception(_not_kept(error))


class Intake(Generic[J]):
    """What every door calls: an arrival in, a future answer out. Stop the doors first, then this."""

    def __init__(self, acceptor: Acceptor[J], settings: IntakeSettings | None = None) -> None:
        settings = settings or IntakeSettings()
        self._acceptor = acceptor
        self._pool = ThreadPoolExecutor(settings.judge_threads, thread_name_prefix="judge")
        self._committer = GroupCommitter(acceptor.commit, settings)

    def start(self) -> None:
        """Start taking arrivals."""
        self._committer.start()

    def stop(self) -> None:
        """Finish what was handed over, then end."""
        self._pool.shutdown(wait=True)
        self._committer.stop()

    def take(self, arrival: Arrival) -> Future[Answer]:
        """The answer to this arrival, once durable; the future holds NotKeptError or TryLaterError when nothing was kept."""
        future: Future[Answer] = Future()
        # From here on the caller may go away, but not take back what it handed over.
        future.set_running_or_notify_cancel()
        try:
            self._pool.submit(self._judge, arrival, future)
        except RuntimeError:
            future.set_exception(TryLaterError("intake.stopping", "The service is stopping.", remedy="Send it again."))
        return future

    def _judge(self, arrival: Arrival, future: Future[Answer]) -> None:
        try:
            self._committer.submit(self._acceptor.judge(arrival), future)
        except TryLaterError as error:
            future.set_exception(error)
        except UnavailableError as error:
            log.error("intake.judge-later", door=arrival.door, code=error.code)
            future.set_exception(_later(error.code))
        except Exception as error:  # a defect of ours: the text could quote the content, so only its class is logged
            log.error("intake.judge-failed", door=arrival.door, error=type(error).__name__)
            future.set_exception(NotKeptError("intake.judge-failed", "The judge failed: nothing was kept."))


def _later(code: str) -> TryLaterError:
    return TryLaterError(code, "Nothing was kept.", remedy="Send it again later.")


def _not_kept(error: Exception) -> NotKeptError:
    """A value that can never be written is refused for good; anything else may go better next time."""
    if isinstance(error, LedgerError) and error.code == UNWRITABLE:
        return NotKeptError(error.code, "This cannot be kept: nothing was.")
    return _later("intake.commit-failed")


def _fail(group: Sequence[tuple[object, Future[Answer]]], error: TryLaterError) -> None:
    for _, future in group:
        future.set_exception(error)
