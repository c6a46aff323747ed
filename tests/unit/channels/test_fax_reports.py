"""A report of the spool folder tells of its calls and of its pages; whatever else stands there, it proves what it proves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapter.channels.fax_reports import proof_of
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
JOB = {"reference": "R", "pages": 2, "number": "+33199000001"}


def proof(report: dict[str, object], *, failed: bool = False) -> Evidence:
    found = proof_of({"at": AT.isoformat(), **report}, JOB, AT, failed=failed)
    assert found is not None
    return found


def test_a_report_without_calls_is_one_call_of_unknown_length() -> None:
    (call,) = proof({"pages": 2}).calls
    assert (call.pages, call.seconds, call.cause, call.began_at, call.number) == (2, None, "", AT, "+33199000001")


def test_the_length_of_a_single_call_is_the_reports() -> None:
    (call,) = proof({"cause": "line-busy", "seconds": 3}, failed=True).calls
    assert (call.seconds, call.cause, call.pages) == (3.0, "line-busy", 0)


def test_each_call_is_told_with_its_pages() -> None:
    page = {"page": 2, "at": "2026-11-22T09:59:00+01:00", "answer": "mcf", "with_ecm": True}
    broken = {"began_at": "2026-11-22T09:50:00+01:00", "seconds": 41, "pages": 1, "cause": "No carrier detected"}
    whole = {"began_at": "2026-11-22T09:58:00+01:00", "seconds": 33.5, "pages": 1, "with_ecm": True, "page_proofs": [page]}
    evidence = proof({"pages": 2, "calls": [broken, whole]})
    first, second = evidence.calls
    assert evidence.proves is DeliveryState.DELIVERED
    assert (first.cause, first.pages, first.began_at.hour) == ("no-fax-answer", 1, 9)
    assert (second.cause, second.seconds, second.with_ecm) == ("", 33.5, True)
    (told,) = second.proofs
    assert (told.page, told.answer, told.at, told.is_confirmed) == (2, "MCF", datetime(2026, 11, 22, 8, 59, tzinfo=UTC), True)
    assert first.call != second.call


def test_a_page_is_told_of_all_that_its_call_confirmed() -> None:
    (call,) = proof({"pages": 5, "page_proofs": [{"answer": "MCF"}]}).calls
    assert [(one.page, one.pages) for one in call.proofs] == [(1, 5)]


def test_the_same_report_gives_the_same_names_and_a_later_one_others() -> None:
    once, again = proof({"pages": 2}).calls[0], proof({"pages": 2}).calls[0]
    later = proof({"pages": 2, "at": "2026-11-22T11:00:00+00:00"}).calls[0]
    assert once.call == again.call != later.call


@pytest.mark.parametrize(
    "odd",
    [
        {"calls": "two"},
        {"calls": [1, None]},
        {"seconds": -4},
        {"seconds": True},
        {"seconds": 1e12},
        {"calls": [{"pages": "x", "seconds": "y", "began_at": 12, "with_ecm": "yes", "page_proofs": [3], "resolution": -1}]},
    ],
)
def test_a_figure_that_is_none_is_left_out_and_the_proof_counts(odd: dict[str, object]) -> None:
    evidence = proof({"pages": 2, **odd})
    assert (evidence.proves, evidence.calls[0].seconds, evidence.calls[0].with_ecm) == (DeliveryState.DELIVERED, None, None)


def test_a_machine_that_lost_its_clock_is_told_by_when_its_report_was_written() -> None:
    evidence = proof({"pages": 2, "at": "1970-01-01T00:12:00+00:00", "calls": [{"began_at": "0001-01-01T00:00:00+14:00"}]})
    assert (evidence.at, evidence.calls[0].began_at) == (AT, AT)


def test_signs_that_no_ledger_keeps_are_left_out() -> None:
    page = {"answer": "M\x00CF"}
    evidence = proof({"pages": 2, "reference": "R\x00", "device": "mo\ud800dem\x00", "page_proofs": [page]})
    assert (evidence.reference, evidence.calls[0].device, evidence.calls[0].proofs[0].answer) == ("R", "modem", "MCF")


def test_a_report_without_pages_proves_nothing() -> None:
    assert proof_of({"at": AT.isoformat()}, JOB, AT, failed=False) is None
