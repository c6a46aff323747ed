"""One worker process: the doors that share the inherited sockets, and the four lanes. Ends in order on SIGTERM.

Stop order: doors close (what was received whole is still answered), lanes finish the item at hand, the ledger closes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter

from adapter import __version__
from adapter.assembly import Instance, assemble
from adapter.audit.trail import seal_audit
from adapter.config import Config
from adapter.fax_lines import fax_folder_settings, fax_intake_settings, fax_queue_settings
from adapter.intake.committer import Intake
from adapter.intake.fax_folder import FaxFolder
from adapter.intake.fax_in import FaxTaker
from adapter.intake.fax_queue import FaxQueue
from adapter.intake.folder import DropFolder
from adapter.intake.http_documents import documents_router
from adapter.intake.http_forms import forms_router
from adapter.intake.mailbox import LedgerPositions, MailboxDoor
from adapter.intake.mllp import MllpServer
from adapter.ledger.records import PartnerChoice
from adapter.model.plan import ChannelName
from adapter.opening import new_id, now
from adapter.service.doors import (
    callers,
    folder_settings,
    forms_settings,
    http_tls,
    import_clients,
    import_settings,
    mailbox_settings,
    mllp_settings,
)
from adapter.service.figures import Figures
from adapter.service.lanes import Lane
from adapter.service.logs import configure_logs
from adapter.service.practice_folders import folder_lanes
from adapter.service.record import record_routes
from adapter.service.trust_watch import Speaker, TrustWatch
from adapter.web.app import Health, build_app
from adapter.web.bulk_making import ExportMaker
from adapter.web.faults import Faults
from adapter.web.import_api import import_router

log = structlog.get_logger()

PREPARE_IDLE_SECONDS = 0.2
DISPATCH_IDLE_SECONDS = 0.3
SETTLE_IDLE_SECONDS = 1.0
SEAL_IDLE_SECONDS = 60.0
TRUST_IDLE_SECONDS = 60.0
EXPORT_IDLE_SECONDS = 2.0
DISPATCH_THREADS = 2
LANE_PATIENCE_SECONDS = 75.0


class WokenPipeline:
    """What the doors call: commits, then tells the prepare lane that there is work."""

    def __init__(self, instance: Instance, lanes: list[Lane]) -> None:
        self._instance = instance
        self._lanes = lanes
        self.judge = instance.pipeline.judge

    def commit(self, batch: Any) -> Any:
        """One durable transaction, then wake."""
        answers = self._instance.pipeline.commit(batch)
        for lane in self._lanes:
            lane.wake()
        return answers


def run_worker(
    config: Config, mllp: socket.socket | None, http: socket.socket | None, number: int, told_to_stop: threading.Event
) -> None:
    """The whole life of a worker process. `told_to_stop` is set by a SIGTERM that comes before the doors are open."""
    configure_logs(config.log)
    figures = Figures()
    instance = assemble(config, tell_calls=figures.count_calls)
    halt = threading.Event()
    dispatch = _dispatch_lanes(instance, number, halt)
    prepare = _prepare_lane(instance, number, dispatch, halt)
    lanes = [prepare, *dispatch]
    # Each worker tells its own figures; one of them speaks of what ends, in the log and to people.
    watch = TrustWatch(instance.lines, figures.days_left, _speaker(instance) if number == 0 else None, clock=now)
    lanes.append(Lane("trust", watch.look, TRUST_IDLE_SECONDS))
    if number == 0:  # on each host one worker takes the proofs and gives back lost leases; a double would be harmless
        lanes.append(Lane("settle", instance.pipeline.settle_some, SETTLE_IDLE_SECONDS, after=_waker(dispatch)))
        lanes += folder_lanes(instance)
        make = partial(ExportMaker(instance.ledger).make_one, goes_on=lambda: not halt.is_set())
        lanes.append(Lane("export", make, EXPORT_IDLE_SECONDS))
        lanes.append(Lane("seal", partial(seal_audit, instance.ledger), SEAL_IDLE_SECONDS))
    intake = Intake(WokenPipeline(instance, [prepare]))
    intake.start()
    for lane in lanes:
        lane.start()
    try:
        asyncio.run(_keep_doors(config, instance, intake, figures, mllp, http, number, told_to_stop))
    finally:
        intake.stop()
        halt.set()
        _stop_lanes(lanes)
        instance.ledger.close()


def _speaker(instance: Instance) -> Speaker:
    return Speaker(instance.ledger.open_work_item, instance.ledger.close_work_items, new_id, instance.config.instance.time_zone)


def _worker_name(number: int, lane: str) -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{number}:{lane}"


def _prepare_lane(instance: Instance, number: int, dispatch: list[Lane], halt: threading.Event) -> Lane:
    step = partial(instance.pipeline.prepare_some, _worker_name(number, "prepare"), goes_on=lambda: not halt.is_set())
    return Lane("prepare", step, PREPARE_IDLE_SECONDS, after=_waker(dispatch))


def _dispatch_lanes(instance: Instance, number: int, halt: threading.Event) -> list[Lane]:
    """Threads per channel: a slow partner holds its own channel only."""

    def goes_on() -> bool:
        return not halt.is_set()

    def lane(name: str, channel: ChannelName, partners: PartnerChoice) -> Lane:
        step = instance.pipeline.dispatch_some
        worker = _worker_name(number, name)
        return Lane(f"dispatch-{name}", partial(step, worker, channel, goes_on=goes_on, partners=partners), DISPATCH_IDLE_SECONDS)

    lanes = [
        lane(f"{channel.value}-{thread}", channel, PartnerChoice())
        for channel in ChannelName
        for thread in range(DISPATCH_THREADS)
        if channel is not ChannelName.HL7_PUSH
    ]
    # One for each HL7 partner, one message at a time as MLLP wants it: a silent partner holds up nobody else's.
    push = instance.config.channels.hl7_push
    names = tuple(partner.name for partner in push.partners) if push is not None else ()
    hl7 = ChannelName.HL7_PUSH
    lanes += [lane(f"{hl7.value}-{name}", hl7, PartnerChoice(only=name)) for name in names]
    return [*lanes, lane(f"{hl7.value}-others", hl7, PartnerChoice(others_than=names))]


def _waker(lanes: list[Lane]) -> Any:
    def wake() -> None:
        for lane in lanes:
            lane.wake()

    return wake


def _stop_lanes(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.stop()
    deadline = time.monotonic() + LANE_PATIENCE_SECONDS
    for lane in lanes:
        lane.join(max(0.1, deadline - time.monotonic()))


async def _keep_doors(
    config: Config,
    instance: Instance,
    intake: Intake[Any],
    figures: Figures,
    mllp: socket.socket | None,
    http: socket.socket | None,
    number: int,
    told_to_stop: threading.Event,
) -> None:
    """Open this worker's doors, wait for SIGTERM, close them in order."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    if told_to_stop.is_set():
        return
    zone = config.instance.time_zone
    mllp_server = None
    if mllp is not None and config.doors.mllp is not None:
        tls = instance.lines.door("doors.mllp.tls") if config.doors.mllp.tls is not None else None
        settings = mllp_settings(config.doors.mllp, zone, tls)
        mllp_server = MllpServer(settings, intake, clock=now, new_id=new_id, count=figures.count)
        await mllp_server.start(mllp)
    web = _web_server(config, instance, intake, figures) if http is not None else None
    web_task = asyncio.create_task(web.serve(sockets=[http])) if web is not None and http is not None else None
    halt_folders = threading.Event()
    folders = _start_folders(config, intake, figures, halt_folders) if number == 0 else []
    folders += _start_mailboxes(config, instance, intake, figures, halt_folders) if number == 0 else []
    folders += _start_fax_lines(config, instance, intake, figures, halt_folders) if number == 0 else []
    log.info("worker.ready", worker=number)
    await stopping.wait()
    halt_folders.set()
    if web is not None and web_task is not None:
        web.should_exit = True
        await web_task
    if mllp_server is not None:
        await mllp_server.stop()
    for folder in folders:
        await asyncio.to_thread(folder.join, 30.0)


def _start_folders(config: Config, intake: Intake[Any], figures: Figures, halt: threading.Event) -> list[threading.Thread]:
    threads = []
    for door in config.doors.folders:
        settings = folder_settings(door, config.instance.time_zone)
        drop = DropFolder(settings, intake, clock=now, monotonic=time.monotonic, new_id=new_id, count=figures.count)
        thread = threading.Thread(target=drop.run, args=(halt,), name=f"folder-{door.name}", daemon=True)
        thread.start()
        threads.append(thread)
    return threads


def _start_mailboxes(
    config: Config, instance: Instance, intake: Intake[Any], figures: Figures, halt: threading.Event
) -> list[threading.Thread]:
    """One thread a mailbox, on one worker of a host; another host that reads the same one is harmless."""
    threads = []
    for n, box in enumerate(config.doors.mailboxes, start=1):
        auth = instance.lines.auth(box.user, box.password, box.token, external=True)
        settings = mailbox_settings(box, instance.lines.at(f"doors.mailboxes[{n}].tls"), auth)
        positions = LedgerPositions(instance.ledger, box.name, box.legal_entity)
        door = MailboxDoor(settings, intake, positions, clock=now, count=figures.count)
        thread = threading.Thread(target=door.run, args=(halt,), name=f"mailbox-{box.name}", daemon=True)
        thread.start()
        threads.append(thread)
    return threads


def _start_fax_lines(
    config: Config, instance: Instance, intake: Intake[Any], figures: Figures, halt: threading.Event
) -> list[threading.Thread]:
    """One thread a line, on one worker of a host; another host that reads the same queue is harmless."""
    threads = []
    for line in config.doors.fax:
        taker = FaxTaker(fax_intake_settings(line), intake, clock=now, count=figures.count)
        door: FaxFolder | FaxQueue
        if line.hylafax is not None:
            settings = fax_queue_settings(line, line.hylafax)
            door = FaxQueue(settings, taker, instance.ledger, monotonic=time.monotonic)
        elif line.folder is not None:
            door = FaxFolder(fax_folder_settings(line, line.folder), taker, monotonic=time.monotonic, new_id=new_id)
        else:
            raise AssertionError("a fax line without a place where its faxes lie")
        thread = threading.Thread(target=door.run, args=(halt,), name=f"fax-{line.name}", daemon=True)
        thread.start()
        threads.append(thread)
    return threads


class _QuietServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the worker decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def _web_server(config: Config, instance: Instance, intake: Intake[Any], figures: Figures) -> uvicorn.Server:
    door = config.doors.http
    if door is None:
        raise AssertionError("a bound HTTP socket without an HTTP door")
    settings = forms_settings(door, config.instance.time_zone)
    authenticate = callers(config, door).authenticate
    routers = [make(settings, intake, authenticate, clock=now, count=figures.count) for make in (forms_router, documents_router)]
    routers += record_routes(instance, figures.count)
    # Last of all under /fhir: it refuses what is no address there.
    routers += _import_routers(config, instance, figures)
    app = build_app(routers, health=partial(_health, instance), metrics=figures.text, version=__version__)
    tls = instance.lines.door("doors.http.tls") if door.tls is not None else None
    sandbox = config.instance.sandbox
    served = Faults(app) if sandbox is not None and sandbox.faults else app
    server = uvicorn.Config(
        served, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=10, **http_tls(tls)
    )
    return _QuietServer(server)


def _import_routers(config: Config, instance: Instance, figures: Figures) -> list[APIRouter]:
    """The Import API, once somebody may call it."""
    clients = import_clients(config)
    if not clients or config.doors.http is None:
        return []
    settings = import_settings(config, config.doors.http)
    return [import_router(clients, instance.ledger, instance.directory, settings, clock=now, count=figures.count)]


def _health(instance: Instance) -> Health:
    try:
        instance.ledger.ping()
    except Exception as error:
        return Health(False, {"ledger": type(error).__name__})
    return Health(True, {"ledger": "ok", "directory": instance.directory.problem or "ok"})
