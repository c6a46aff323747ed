"""Worker processes for work that comes in many equal pieces: results in order, a bounded number of pieces in flight.

Processes, not threads: judging and sealing is Python's own work. Each opens its own ledger after the fork. A worker ends with the
process that started it, however that one ended: a killed command leaves no half alive.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, TypeVar

from adapter.errors import TduError

Tools = TypeVar("Tools")
Piece = TypeVar("Piece")
Result = TypeVar("Result")

_AHEAD = 2


class Crew(Generic[Tools]):
    """`workers` processes, each with its own tools. Use as a context; open no connection before."""

    def __init__(self, workers: int, open_tools: Callable[[], Tools]) -> None:
        self._workers = workers
        self._read, self._write = os.pipe()
        fork = multiprocessing.get_context("fork")
        self._pool = ProcessPoolExecutor(workers, fork, _Bench.begin, (open_tools, self._read, self._write))

    def __enter__(self) -> Crew[Tools]:
        gc.collect()
        gc.freeze()  # what is here already will not go: a collection in a worker must not copy its pages
        with _telling():
            self._pool.submit(_Bench.act, _nothing, None).result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        os.close(self._write)
        os.close(self._read)
        gc.unfreeze()

    def in_order(self, act: Callable[[Tools, Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
        """What `act` makes of each piece, in the pieces' order; pieces are taken as workers become free."""
        waiting: deque[Future[Result]] = deque()
        with _telling():
            for piece in pieces:
                waiting.append(self._pool.submit(_Bench.act, act, piece))
                if len(waiting) >= self._workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class _Bench:
    """What a worker process holds."""

    tools: Any = None
    problem: TduError | None = None

    @classmethod
    def begin(cls, open_tools: Callable[[], Any], leash_read: int, leash_write: int) -> None:
        """Keyboard signals are the parent's; its end is ours."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(leash_write)
        threading.Thread(target=_end_with_parent, args=(leash_read,), daemon=True).start()
        try:
            cls.tools = open_tools()
        except TduError as error:  # told with the first piece, in its own words
            cls.problem = error

    @classmethod
    def act(cls, act: Callable[[Any, Any], Any], piece: Any) -> Any:
        """One piece."""
        if cls.problem is not None:
            raise cls.problem
        return act(cls.tools, piece)


def _nothing(_tools: Any, _piece: Any) -> None:
    return None


def _end_with_parent(leash_read: int) -> None:
    os.read(leash_read, 1)
    os._exit(70)


class _telling:  # noqa: N801 - reads as a word
    """A worker that was killed (memory, power) is said as what it is: nothing is lost, run it again."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, BrokenProcessPool):
            raise TduError(
                "bulk.worker-died",
                "A worker process could not start or ended by force (is memory short?).",
                remedy="Run the same command again: it goes on where it stood.",
            ) from error
