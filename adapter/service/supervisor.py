"""`tdu serve`: binds the doors once, forks the workers that share them, replaces one that dies, stops all in order.

Workers are forked before any thread or database connection exists. Each watches a pipe whose other end only the supervisor
holds: when the supervisor is killed, its workers end at once and the ports are free for the next start.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

import structlog

from adapter.config import Config
from adapter.errors import ConfigurationError
from adapter.opening import LiveDirectory, migrate_ledger
from adapter.secure_line import SecureLines
from adapter.service.logs import configure_logs, tell_exception
from adapter.service.worker import run_worker
from mssante.errors import MssanteError

log = structlog.get_logger()

BIND_PATIENCE_SECONDS = 10.0
STOP_PATIENCE_SECONDS = 90.0
RESTART_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Listeners:
    """The listening sockets that workers inherit; None for a closed door."""

    mllp: socket.socket | None
    http: socket.socket | None


@dataclass
class _Crew:
    """The live workers by number."""

    processes: dict[int, multiprocessing.process.BaseProcess] = field(default_factory=dict)


def serve(config: Config) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (0 after an orderly stop)."""
    configure_logs(config.log)
    LiveDirectory(config.directory)()  # a wrong partners file is said here, not by workers that die one after another
    _check_doors(config)
    migrate_ledger(config)
    listeners = bind_doors(config)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    leash_read, leash_write = os.pipe()
    crew = _Crew()
    count = config.instance.workers or os.cpu_count() or 1
    try:
        for number in range(count):
            crew.processes[number] = _start_worker(config, listeners, number, leash_read, leash_write)
        log.info("service.started", workers=count, mode=config.instance.mode.value)
        while not stopping.wait(0.2):
            _replace_the_dead(crew, config, listeners, leash_read, leash_write)
    finally:
        _stop_all(crew)
        os.close(leash_write)
    log.info("service.stopped")
    return 0


def _check_doors(config: Config) -> None:
    """A door that cannot show its certificate is said here too; a channel's files may heal while it waits."""
    lines = SecureLines(config)
    for place, door in (("doors.mllp.tls", config.doors.mllp), ("doors.http.tls", config.doors.http)):
        if door is None or door.tls is None:
            continue
        try:
            lines.door(place)
        except MssanteError as error:
            remedy = "Its certificate, key, password, authorities and lists must be readable and belong together."
            raise ConfigurationError("serve.door-tls", f"the door cannot open: {error}.", where=place, remedy=remedy) from error


def bind_doors(config: Config) -> Listeners:
    """Bind MLLP and HTTP; a port that a dying predecessor still holds is waited for."""
    mllp = config.doors.mllp
    http = config.doors.http
    return Listeners(
        _listen(mllp.host, mllp.port) if mllp is not None else None,
        _listen(http.host, http.port) if http is not None else None,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + BIND_PATIENCE_SECONDS
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(256)
            listener.setblocking(False)
            return listener
        except OSError as error:
            listener.close()
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    "serve.port-taken",
                    f"the address cannot be used ({type(error).__name__}).",
                    where=f"{host}:{port}",
                    remedy="Stop what holds it or choose another port.",
                ) from error
            time.sleep(0.1)


def _start_worker(
    config: Config, listeners: Listeners, number: int, leash_read: int, leash_write: int
) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("fork")
    process = context.Process(
        target=_worker_body, args=(config, listeners, number, leash_read, leash_write), name=f"tdu-worker-{number}"
    )
    process.start()
    return process


def _worker_body(config: Config, listeners: Listeners, number: int, leash_read: int, leash_write: int) -> None:
    os.close(leash_write)
    threading.Thread(target=_end_with_supervisor, args=(leash_read,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told_to_stop = threading.Event()
    # The handler inherited from the supervisor would swallow a stop that comes while we wire ourselves up.
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    try:
        run_worker(config, listeners.mllp, listeners.http, number, told_to_stop)
    except Exception as error:  # the library that forked us would print its text
        tell_exception(type(error), error, error.__traceback__)
        sys.exit(1)


def _end_with_supervisor(leash_read: int) -> None:
    """Blocks until the supervisor is gone; a killed service leaves no half alive."""
    os.read(leash_read, 1)
    os._exit(70)


def _replace_the_dead(crew: _Crew, config: Config, listeners: Listeners, leash_read: int, leash_write: int) -> None:
    for number, process in list(crew.processes.items()):
        if process.is_alive():
            continue
        log.error("worker.died", worker=number, exit_code=process.exitcode)
        time.sleep(RESTART_PAUSE_SECONDS)
        crew.processes[number] = _start_worker(config, listeners, number, leash_read, leash_write)


def _stop_all(crew: _Crew) -> None:
    for process in crew.processes.values():
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_PATIENCE_SECONDS
    for process in crew.processes.values():
        process.join(max(0.1, deadline - time.monotonic()))
        if process.is_alive():
            log.error("worker.killed", worker=process.name)
            process.kill()
            process.join()
