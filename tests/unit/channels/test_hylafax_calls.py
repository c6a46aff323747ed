"""Every call of a job is found from the last one back; what no log tells is told as unknown, never as a success."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from adapter.channels.fnp import FaxServer, Job, JobState, SessionLog
from adapter.channels.hylafax_calls import calls_of

LOGS = Path(__file__).with_name("hylafax_logs")
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
ENDED = datetime(2026, 11, 22, 5, 16, tzinfo=UTC)


class _Logs:
    """A server's logs, by call."""

    def __init__(self, **names: str) -> None:
        self._texts = {call[1:]: (LOGS / f"{name}.log").read_text() if name else "" for call, name in names.items()}
        self.asked: list[str] = []

    def session_log(self, call: str) -> SessionLog | None:
        self.asked.append(call)
        return SessionLog(self._texts[call], ENDED) if call in self._texts else None


def _job(dials: int, call: str, *, number: int = 4, state: JobState = JobState.DONE, status: str = "") -> Job:
    done = state is JobState.DONE
    return Job(number, state, "ref", 3 if done else 0, 3, status, dials, call)


def test_the_calls_of_a_job_are_found_between_those_of_others_and_told_oldest_first() -> None:
    logs = _Logs(c007="cut-on-page-2", c008="busy", c010="two-jobs-in-one-call")
    calls = calls_of(cast(FaxServer, logs), _job(2, "010"), NOW)
    assert [(call.call, call.cause, call.pages) for call in calls] == [("007", "transmission-broken", 1), ("010", "", 2)]
    assert logs.asked == ["010", "009", "008", "007"]
    assert b"JOB 5" not in calls[-1].log


def test_a_job_that_only_rode_along_has_that_one_call() -> None:
    logs = _Logs(c010="two-jobs-in-one-call")
    (call,) = calls_of(cast(FaxServer, logs), _job(0, "010", number=5), NOW)
    assert (call.call, [proof.page for proof in call.proofs]) == ("010", [1, 2])


def test_logs_that_may_not_be_read_are_not_asked_for_one_by_one() -> None:
    logs = _Logs(c007="", c006="")
    calls = calls_of(cast(FaxServer, logs), _job(2, "007"), NOW)
    assert logs.asked == ["007"]
    assert [(call.cause, call.pages, call.seconds) for call in calls] == [("unknown", 0, None), ("", 3, None)]
    assert calls[0].began_at < calls[1].began_at


def test_a_failed_job_without_log_ends_with_its_own_cause() -> None:
    job = _job(3, "007", state=JobState.FAILED, status="Busy signal detected; too many attempts to dial")
    calls = calls_of(cast(FaxServer, _Logs()), job, NOW)
    assert [call.cause for call in calls] == ["unknown", "unknown", "line-busy"]
    assert len({call.call for call in calls}) == 3


def test_a_job_that_was_never_dialled_has_no_call() -> None:
    job = _job(0, "", state=JobState.FAILED, status="Job aborted by request")
    assert calls_of(cast(FaxServer, _Logs()), job, NOW) == ()
