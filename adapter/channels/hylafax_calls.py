"""The telephone calls that a HylaFAX job took, oldest first: the server names the last one only, the logs before it the others.

A job is dialled again when the line was busy or broke, each call under the next number that the server gives out; between two of
a job's lie those of other jobs. Without a log that we may read (`LogFileMode` of the server's modems) a call is told by what the
job itself says: that it was, and how the last one ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from adapter.channels.fax_words import cause_said
from adapter.channels.fnp import FaxServer, Job
from adapter.channels.hylafax_log import read_logged_call
from adapter.model.fax_call import UNKNOWN_CAUSE, CallDirection, FaxCall

# How many logs before the last call's are looked at for the earlier calls of one job.
_MOST_LOGS = 200


def calls_of(server: FaxServer, job: Job, at: datetime) -> tuple[FaxCall, ...]:
    """Every call of a job that is over. `at` stands for the instants that nothing tells. FnpError when the server is gone."""
    found: list[FaxCall] = []
    dialled = 0
    for call in _names_back_from(job.call):
        if found and dialled >= job.dials:
            break
        log = server.session_log(call)
        if log is not None and not log.text:
            break  # none can be read
        logged = read_logged_call(log.text, job.id, log.ended_at) if log is not None else None
        if log is None or logged is None:
            continue
        dialled += not logged.rode_along
        found.append(
            FaxCall(
                reference=job.reference,
                direction=CallDirection.OUT,
                began_at=logged.began_at,
                call=call,
                number=logged.number,
                seconds=logged.seconds,
                pages=logged.pages,
                cause=logged.cause,
                device=logged.device,
                resolution=logged.resolution,
                with_ecm=logged.with_ecm,
                proofs=logged.proofs,
                log=logged.text.encode(),
            )
        )
    return tuple(reversed(found)) or _unlogged(job, at)


def _names_back_from(last: str) -> list[str]:
    """The names of a call and of those before it: numbers of one width."""
    if not last.isdigit():
        return []
    number, width = int(last), len(last)
    return [f"{n:0{width}}" for n in range(number, max(0, number - _MOST_LOGS), -1)]


def _unlogged(job: Job, at: datetime) -> tuple[FaxCall, ...]:
    """One call a dial; all but the last one failed, nobody says why."""
    dials = max(job.dials, 1 if job.pages else 0)
    names = [*(f"{job.id}/{n}" for n in range(1, dials)), job.call or f"{job.id}/{dials}"] if dials else []
    last_cause = "" if job.is_whole else cause_said(job.status)
    return tuple(
        FaxCall(
            reference=job.reference,
            direction=CallDirection.OUT,
            began_at=at - timedelta(microseconds=dials - n),  # in their order
            call=name,
            pages=job.pages if n == dials else 0,
            cause=last_cause if n == dials else UNKNOWN_CAUSE,
        )
        for n, name in enumerate(names, 1)
    )
