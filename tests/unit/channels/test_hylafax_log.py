"""HylaFAX's session logs: instants in UTC whatever the server's clock says, each job's part of a call, each page's answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapter.channels.hylafax_log import LoggedCall, read_logged_call

LOGS = Path(__file__).with_name("hylafax_logs")


def read(name: str, job: int, ended_at: datetime, change: tuple[str, str] = ("", "")) -> LoggedCall:
    text = (LOGS / f"{name}.log").read_text()
    found = read_logged_call(text.replace(*change) if change[0] else text, job, ended_at)
    assert found is not None
    return found


def test_a_busy_line_is_a_call_without_length() -> None:
    call = read("busy", 2, datetime(2026, 11, 22, 5, 5, 19, tzinfo=UTC))
    assert (call.cause, call.seconds, call.pages, call.proofs, call.with_ecm) == ("line-busy", 0.0, 0, (), None)
    assert call.began_at == datetime(2026, 11, 22, 5, 5, 18, 920000, tzinfo=UTC)
    assert (call.number, call.device) == ("+33199000001", "/dev/ttyIAX0")


def test_a_call_that_breaks_on_page_two_confirmed_page_one_only() -> None:
    call = read("cut-on-page-2", 4, datetime(2026, 11, 22, 5, 16, 5, tzinfo=UTC))
    assert [(one.page, one.pages, one.answer, one.is_confirmed) for one in call.proofs] == [
        (1, 3, "MCF", True),
        (2, 3, "", False),
    ]
    assert (call.cause, call.pages, call.resolution) == ("transmission-broken", 1, 196)
    assert call.proofs[0].at == datetime(2026, 11, 22, 5, 15, 3, 660000, tzinfo=UTC)
    assert call.seconds == pytest.approx(64, abs=1)


def test_each_job_of_one_call_has_its_own_pages_length_and_text() -> None:
    ended_at = datetime(2026, 11, 22, 5, 20, 16, tzinfo=UTC)
    dialled, rode = (read("two-jobs-in-one-call", job, ended_at) for job in (4, 5))
    assert [(one.page, one.with_ecm) for one in dialled.proofs] == [(2, True), (3, True)]
    assert [(one.page, one.with_ecm) for one in rode.proofs] == [(1, False), (2, False)]
    assert (dialled.rode_along, rode.rode_along) == (False, True)
    assert dialled.began_at + timedelta(seconds=dialled.seconds) <= rode.began_at
    assert (dialled.cause, rode.cause, dialled.with_ecm, rode.with_ecm) == ("", "", True, False)
    assert "JOB 5" in rode.text
    assert "JOB 4" not in rode.text
    assert "SESSION BEGIN" in rode.text


@pytest.mark.parametrize("hours", [-5, 0, 1, 2, 5.5])
def test_the_instants_are_utc_wherever_the_server_stands(hours: float) -> None:
    ended_at = datetime(2026, 11, 22, 5, 5, 21, tzinfo=UTC) - timedelta(hours=hours)
    call = read("busy", 2, ended_at)
    assert call.began_at == datetime(2026, 11, 22, 5, 5, 18, 920000, tzinfo=UTC) - timedelta(hours=hours)


def test_a_call_of_the_last_evening_of_a_year_keeps_its_year() -> None:
    call = read("busy", 2, datetime(2027, 1, 1, 0, 5, 19, tzinfo=UTC), ("Nov 22 05:05", "Jan  1 01:05"))
    assert call.began_at == datetime(2027, 1, 1, 0, 5, 18, 920000, tzinfo=UTC)
    call = read("busy", 2, datetime(2026, 12, 31, 23, 5, 19, tzinfo=UTC), ("Nov 22 05:05", "Jan  1 00:05"))
    assert call.began_at == datetime(2026, 12, 31, 23, 5, 18, 920000, tzinfo=UTC)


def test_a_leap_day_is_read() -> None:
    call = read("busy", 2, datetime(2028, 2, 29, 5, 5, 19, tzinfo=UTC), ("Nov 22", "Feb 29"))
    assert call.began_at.date().isoformat() == "2028-02-29"


def test_a_page_refused_by_the_other_end_is_not_confirmed() -> None:
    text = (LOGS / "cut-on-page-2.log").read_text()
    begun = text.rindex("SEND begin page")
    refused = text[: begun + 16] + "Nov 22 05:15:09.66: [21399]: SEND recv RTN (retrain negative)\n" + text[begun + 16 :]
    call = read_logged_call(refused, 4, datetime(2026, 11, 22, 5, 16, 5, tzinfo=UTC))
    assert call is not None
    assert (call.proofs[-1].page, call.proofs[-1].answer, call.proofs[-1].is_confirmed) == (2, "RTN", False)


@pytest.mark.parametrize("text", ["", "garbage\n", "Nov 22 05:05:18.92: [ 9967]: SESSION BEGIN 000000002 3310\n"])
def test_a_log_that_says_nothing_of_the_job_is_no_call(text: str) -> None:
    assert read_logged_call(text, 2, datetime(2026, 11, 22, tzinfo=UTC)) is None


def test_another_jobs_log_is_no_call_of_this_one() -> None:
    assert read_logged_call((LOGS / "busy.log").read_text(), 3, datetime(2026, 11, 22, 5, 5, tzinfo=UTC)) is None
