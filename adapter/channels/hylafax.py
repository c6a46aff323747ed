"""Fax by a HylaFAX server, here or elsewhere: accepted = the server queued it, delivered = the other end confirmed every page.

Laws: our reference stands in the job (`JOBINFO`) and is looked for before anything is handed over again; HylaFAX dials again by
itself a few times, and what it gave up on is ours to retry; a job that failed is forgotten by the server before its pages go
again, so that an old failure is never told of a new call. Pages confirmed without error correction may miss lines: it says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from adapter.channels.base import Capabilities
from adapter.channels.fax_line import OutgoingFax, checked_call, fax_capabilities
from adapter.channels.fax_words import cause_said
from adapter.channels.fnp import FaxServer, FnpError, Job, JobOrder, JobState
from adapter.channels.hylafax_calls import calls_of
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.fax_call import FaxCall
from adapter.model.withdrawal import Withdrawn
from adapter.packaging.parcel import Parcel

_FINE_NOT_TAKEN = "fine-not-taken"
# What a job that was ended for that reason says of itself: killed, or out of tries because its next one was to be redrawn.
_ENDED_BY_US = frozenset({"fax-removed", "transmission-broken"})
_URGENT_PRIORITY, _ORDINARY_PRIORITY = 63, 127


@dataclass(frozen=True)
class OpenHours:
    """When ordinary faxes may leave, in the partner's civil time. An urgent one leaves at any hour."""

    start: time
    end: time
    zone: ZoneInfo

    def seconds_until_open(self, now: datetime) -> float:
        """0 while it is open."""
        local = now.astimezone(self.zone)
        opening = local.replace(hour=self.start.hour, minute=self.start.minute, second=0, microsecond=0)
        closing = local.replace(hour=self.end.hour, minute=self.end.minute, second=0, microsecond=0)
        if opening <= local < closing:
            return 0.0
        following = opening if local < opening else opening + timedelta(days=1)
        return (following.astimezone(UTC) - now).total_seconds()


@dataclass(frozen=True)
class HylaFaxSettings:
    """Where the server is and how it is spoken to. `sender` names us in its queue. `hours`: None is always open."""

    host: str
    port: int = 4559
    user: str = "traitdunion"
    password: Callable[[], str] = field(default=str, repr=False)
    sender: str = "traitdunion"
    modem: str = "any"
    hours: OpenHours | None = None
    timeout_seconds: float = 30.0
    max_dials: int = 3
    max_tries: int = 3
    size_limit_bytes: int = 32 * 1024 * 1024


class HylaFaxChannel:
    """The fax as a way out, through HylaFAX."""

    def __init__(self, settings: HylaFaxSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """What fax can do: no reading receipt exists. A second hand-over is safe: the first is looked for."""
        return fax_capabilities(self._settings.size_limit_bytes)

    def send(self, parcel: Parcel) -> SendOutcome:
        """Queue the pages, unless the server has them already."""
        call = checked_call(parcel, self._settings.size_limit_bytes)
        if isinstance(call, SendOutcome):
            return call
        if not parcel.urgent and (wait := self._wait()):
            return SendOutcome(OutcomeKind.DEFERRED, "outside-hours", retry_after_seconds=wait)
        try:
            with self._server() as server:
                known = _standing(server, parcel.reference)
                return known or self._submit(server, parcel, call)
        except FnpError as error:
            return _failed(error)

    def find(self, parcel: Parcel) -> SendOutcome | None:
        """Whether the server has this reference, waiting, on the line or whole; None when a new hand-over cannot be a second fax.

        So it is after a failure, which `collect` tells: said again here, nothing would be dialled while the server remembers it.
        """
        try:
            with self._server() as server:
                job = server.find(parcel.reference)
        except FnpError as error:
            return SendOutcome(OutcomeKind.DEFERRED, _unreachable(error), detail=error.code)
        return _accepted(job) if job is not None and not job.has_failed else None

    def withdraw(self, reference: str) -> Withdrawn:
        """Kill the job. It stays in the server's list of what is over, so that asked again the answer is the same.

        A call under way is not broken: hfaxd would not answer before its end, and its pages are gone anyway.
        """
        try:
            with self._server() as server:
                job = server.find(reference)
                if job is not None and job.state.waits:
                    server.kill(job.id)
                    job = server.find(reference)
        except FnpError:
            return Withdrawn.NOT_YET
        return _withdrawn(job)

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Jobs that are over and were not told yet. The cursor holds those told which the server still remembers.

        A job whose other end takes no fine pages is ended first: HylaFAX would draw them anew, and spoil the codes.
        """
        told = frozenset(json.loads(cursor) if cursor else ())
        with self._server() as server:
            jobs, ended = _without_redrawn(server)
            over = [job for job in jobs if job.state.is_over]
            fresh = [job for job in over if job.id not in told and job.reference]
            at = self._clock()
            evidence = tuple(_evidence(job, calls_of(server, job, at), at, too_fine=job.id in ended) for job in fresh)
        return evidence, json.dumps(sorted(job.id for job in over))

    def check(self) -> str:
        """Whether the server answers, without sending."""
        try:
            with self._server() as server:
                server.jobs()
        except FnpError as error:
            where = f"{self._settings.host}:{self._settings.port}"
            return f"{where}: {error.code}. Check that hfaxd runs there, and that hosts.hfaxd lets this machine in."
        return ""

    def _server(self) -> FaxServer:
        its = self._settings
        return FaxServer(its.host, its.port, its.user, its.password(), its.timeout_seconds)

    def _wait(self) -> float:
        hours = self._settings.hours
        return hours.seconds_until_open(self._clock()) if hours is not None else 0.0

    def _submit(self, server: FaxServer, parcel: Parcel, call: OutgoingFax) -> SendOutcome:
        order = JobOrder(
            reference=parcel.reference,
            number=call.number,
            tiff=call.content.tiff,
            fine=call.content.fine,
            sender=self._settings.sender,
            priority=_URGENT_PRIORITY if parcel.urgent else _ORDINARY_PRIORITY,
            # What keeps an urgent fax from leaving is told at once: it is dialled again by us, not by a server that says nothing.
            max_tries=1 if parcel.urgent else self._settings.max_tries,
            max_dials=1 if parcel.urgent else self._settings.max_dials,
            modem=self._settings.modem,
        )
        return SendOutcome(OutcomeKind.ACCEPTED, partner_reference=str(server.submit(order)), detail=call.content.note)


def _standing(server: FaxServer, reference: str) -> SendOutcome | None:
    """The outcome for a reference that the server has, waiting, on the line or whole. A failure is forgotten: it goes anew."""
    job = server.find(reference)
    if job is None:
        return None
    if job.has_failed:
        server.forget(job.id)
        return None
    return _accepted(job)


def _accepted(job: Job) -> SendOutcome:
    proves = DeliveryState.DELIVERED if job.is_whole else DeliveryState.ACCEPTED
    return SendOutcome(OutcomeKind.ACCEPTED, proves=proves, partner_reference=str(job.id))


def _withdrawn(job: Job | None) -> Withdrawn:
    """What a job that should not leave came to."""
    if job is None:
        return Withdrawn.FORGOTTEN  # its faxqclean removes what is over, delivered or not
    if not job.state.is_over:
        return Withdrawn.NOT_YET
    if job.state is JobState.DONE:
        return Withdrawn.TOO_LATE
    return Withdrawn.PARTLY if job.pages else Withdrawn.GONE


def _evidence(job: Job, calls: tuple[FaxCall, ...], at: datetime, *, too_fine: bool) -> Evidence:
    """What a job that is over proves: every page confirmed, or why not; with every call that it took."""
    if job.is_whole:
        return Evidence(job.reference, DeliveryState.DELIVERED, at, "fax", detail=_proof(job, calls), calls=calls)
    return Evidence(job.reference, DeliveryState.REFUSED, at, "fax", _why(job, calls, too_fine), _pages_of(job), calls=calls)


def _why(job: Job, calls: tuple[FaxCall, ...], too_fine: bool) -> str:
    """The cause. A job that we ended, or that its server gave up, because no fine page was taken does not say so itself: its last
    call does where logs may be read, and who has just ended it knows (`too_fine`).
    """
    cause = cause_said(job.status)
    said = too_fine or (calls and calls[-1].cause == _FINE_NOT_TAKEN)
    return _FINE_NOT_TAKEN if said and cause in _ENDED_BY_US else cause


def _without_redrawn(server: FaxServer) -> tuple[list[Job], frozenset[int]]:
    """All jobs, once those that wait to go at another resolution are ended, and which these are. The server waits a minute before
    it draws anew.
    """
    jobs, ended = server.jobs(), set()
    refused_fine = [job for job in jobs if job.state.waits and cause_said(job.status) == _FINE_NOT_TAKEN and job.reference]
    for job in refused_fine:
        try:
            server.kill(job.id)
            ended.add(job.id)
        except FnpError as error:
            if error.code != "fnp.refused":  # another user's job, which is theirs
                raise
    return server.jobs() if refused_fine else jobs, frozenset(ended)


def _proof(job: Job, calls: tuple[FaxCall, ...]) -> str:
    """Which pages were confirmed, in how many calls, and when without error correction."""
    proofs = [proof for call in calls for proof in call.proofs if proof.is_confirmed]
    told = [_pages_of(job)]
    if proofs:
        told.append(f"confirmed {', '.join(str(proof.page) for proof in proofs)}")
    if len(calls) > 1:
        told.append(f"in {len(calls)} calls")
    if any(not proof.with_ecm for proof in proofs):
        told.append("without error correction")
    return ", ".join(told)


def _pages_of(job: Job) -> str:
    return f"{job.pages}/{job.total} pages"


def _failed(error: FnpError) -> SendOutcome:
    if error.may_have_it:
        return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=error.code)
    return SendOutcome(OutcomeKind.DEFERRED, _unreachable(error), detail=error.code)


def _unreachable(error: FnpError) -> str:
    match error.code:
        case "fnp.login-refused":
            return "auth-refused"
        case "fnp.unreachable" | "fnp.connection-lost":
            return "connect-failed"
        case _:
            return "partner-error"
