"""What a fax engine's report in the spool folder proves, and the calls that it tells of. Pure.

Law of a report (`<name>.done.json`, `<name>.failed.json`; all but one of the first two may be left out):
- `pages`: confirmed in all; `cause`: a code of the causes table, or the engine's own words;
- `at`: when it was over (ISO 8601 with its offset); `reference`: the job's;
- `seconds`: how long the line was held, in all;
- `calls`: one object a call, oldest first, each with any of `began_at`, `seconds`, `pages`, `cause` (empty or absent: complete),
  `device`, `with_ecm` (true or false), `resolution` (rows an inch), and `page_proofs`: one object a page with `page`, `at`,
  `answer` (T.30's word, `MCF`) and `with_ecm`.
Without `calls` a report is one call. What is not of its kind is left out: a report never fails for a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from adapter.channels.fax_words import cause_reported
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall, PageProof

Report = Mapping[str, Any]
# No job is dialled more often; a longer list is no report of ours.
_MOST_CALLS = 100
_MOST_PAGES = 500
_LONGEST_SECONDS = 86_400
_YEARS = range(2020, 2200)


def proof_of(report: Report, job: Report, changed_at: datetime, *, failed: bool) -> Evidence | None:
    """What a report proves; fewer pages than the job's are a broken transmission. None when it proves nothing.

    `changed_at`: when the report was written, for one without its own instant.
    """
    reference = _word(report.get("reference") or job.get("reference") or "")
    confirmed, expected = report.get("pages"), job.get("pages", 1)
    if not reference or not report or (not failed and not isinstance(confirmed, int)):
        return None
    at = _instant(report.get("at")) or changed_at
    detail = f"{confirmed}/{expected} pages" if confirmed is not None else ""
    cause = cause_reported(str(report.get("cause", ""))) if failed or is_broken_off(report, job) else ""
    calls = _calls(report, reference, str(job.get("number", "")), at, cause)
    proves = DeliveryState.REFUSED if cause else DeliveryState.DELIVERED
    return Evidence(reference, proves, at, "fax", cause, detail, calls=calls)


def is_broken_off(report: Report, job: Report) -> bool:
    """Whether a report of pages confirmed has fewer of them than the job."""
    confirmed = report.get("pages")
    return isinstance(confirmed, int) and confirmed < job.get("pages", 1)


def _calls(report: Report, reference: str, number: str, at: datetime, cause: str) -> tuple[FaxCall, ...]:
    told = report.get("calls")
    listed = [one for one in told if isinstance(one, dict)][:_MOST_CALLS] if isinstance(told, list) else []
    if listed:
        return tuple(_call(one, reference, number, at, str(n), _told_cause(one)) for n, one in enumerate(listed, 1))
    # The same file may come again for a new try: the instant of the report tells the tries apart.
    return (_call(report, reference, number, at, "", cause),)


def _told_cause(call: Report) -> str:
    said = str(call.get("cause", "") or "")
    return cause_reported(said) if said else ""


def _call(told: Report, reference: str, number: str, at: datetime, name: str, cause: str) -> FaxCall:
    with_ecm = told.get("with_ecm")
    return FaxCall(
        reference=reference,
        direction=CallDirection.OUT,
        began_at=_instant(told.get("began_at")) or at,
        call=" ".join(filter(None, (reference, at.isoformat(), name))),
        number=number,
        seconds=_seconds(told.get("seconds")),
        pages=_count(told.get("pages"), _MOST_PAGES),
        cause=cause,
        device=_word(told.get("device", ""))[:100],
        resolution=_count(told.get("resolution"), 400),
        with_ecm=with_ecm if isinstance(with_ecm, bool) else None,
        proofs=_page_proofs(told, at),
    )


def _page_proofs(told: Report, at: datetime) -> tuple[PageProof, ...]:
    listed = told.get("page_proofs")
    pages = [one for one in listed if isinstance(one, dict)][:_MOST_PAGES] if isinstance(listed, list) else []
    numbers = [_count(one.get("page"), _MOST_PAGES) or n for n, one in enumerate(pages, 1)]
    total = max((*numbers, len(pages), _count(told.get("pages"), _MOST_PAGES)))
    return tuple(
        PageProof(
            page=number,
            pages=total,
            at=_instant(one.get("at")) or at,
            answer=_word(one.get("answer", ""))[:3].upper(),
            with_ecm=one.get("with_ecm") is True,
        )
        for number, one in zip(numbers, pages, strict=True)
    )


def _seconds(told: Any) -> float | None:
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    return float(told) if is_number and 0 <= told <= _LONGEST_SECONDS else None


def _count(told: Any, most: int) -> int:
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= most else 0


def _word(told: Any) -> str:
    """What every database keeps: signs that JSON may hold and a ledger may not would stop the proofs of all."""
    return "".join(sign for sign in str(told) if sign.isprintable())


def _instant(told: Any) -> datetime | None:
    """None also for the date of a machine that lost its clock."""
    with suppress(ValueError, TypeError):
        at = datetime.fromisoformat(told)
        return at if at.tzinfo is not None and at.year in _YEARS else None
    return None
