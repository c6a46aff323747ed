"""What Prometheus reads of fax calls: how many, how they ended, pages and seconds; no number, no name."""

from __future__ import annotations

from datetime import UTC, datetime

from adapter.model.fax_call import CallDirection, FaxCall
from adapter.service.figures import Figures

NUMBER = "+33199001122"


def call(direction: CallDirection, cause: str = "", pages: int = 0, seconds: float | None = None) -> FaxCall:
    began = datetime(2026, 11, 22, tzinfo=UTC)
    return FaxCall("ref", direction, began, "7", NUMBER, "cms-ivry", seconds, pages, cause)


def test_calls_pages_and_seconds_are_counted_by_direction_and_outcome() -> None:
    figures = Figures()
    figures.count_calls([call(CallDirection.OUT, "line-busy"), call(CallDirection.OUT, pages=3, seconds=61.5)])
    figures.count_calls([call(CallDirection.OUT, "line-busy"), call(CallDirection.IN, pages=2)])
    told = figures.text().decode()
    wanted = (
        'tdu_fax_calls_total{cause="line-busy",direction="out"} 2.0',
        'tdu_fax_calls_total{cause="complete",direction="out"} 1.0',
        'tdu_fax_calls_total{cause="complete",direction="in"} 1.0',
        'tdu_fax_pages_total{direction="out"} 3.0',
        'tdu_fax_pages_total{direction="in"} 2.0',
        'tdu_fax_seconds_total{direction="out"} 61.5',
        'tdu_fax_seconds_total{direction="in"} 0.0',
    )
    assert [line for line in wanted if line not in told] == []


def test_neither_number_nor_partner_is_told() -> None:
    figures = Figures()
    figures.count_calls([call(CallDirection.OUT, pages=1)])
    told = figures.text().decode()
    assert NUMBER not in told
    assert "ivry" not in told
