"""HylaFAX's session log of a call → when it began, how long the line was held, and how the other end answered each page. Pure.

Source: logs of HylaFAX 6.0.7. One log may carry several jobs (the server sends what waits for one number in one call), each in a
section of its own. Its times are the server's civil time without year: the file's own UTC instant, which is that of its last
line, tells the difference. A page counts as confirmed by its `page n of m` line; n counts within the job, over all its calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from adapter.channels.fax_words import cause_said
from adapter.model.fax_call import PageProof

_LINE = re.compile(r"([A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)?): \[ *\d+\]: (.*)")
_SECTION = re.compile(r"SEND FAX: JOB (\d+) DEST (\S+) COMMID (\S+) DEVICE '([^']*)'")
_CONNECTED = re.compile(r"--> \[\d+:CONNECT|REMOTE ")
_PAGE = re.compile(r"SEND FAX \(\S*\): FROM .* \(page (\d+) of (\d+)")
_WHOLE = re.compile(r"SEND FAX \(\S*\): FROM .* sent in [\d:]+\)$")
_ANSWER = re.compile(r"SEND recv ([A-Z]{3})\b")
_ROWS = re.compile(r"USE (3\.85|7\.7|15\.4) line/mm")
_ROWS_AN_INCH = {"3.85": 98, "7.7": 196, "15.4": 391}
# What only ECM does: numbered frames, and the end of a part of a page.
_CORRECTED = ("SEND send PPS", "SEND send frame number")
# How the lines of an orderly call begin; a call that broke says why in a line of its own.
_ORDERLY = re.compile(r"<--|-->|SEND |RECV |REMOTE |USE |NSF |TRAINING|MODEM |DELAY |STATE |DIAL |SESSION |HylaFAX ")
_FAILED = "SEND FAILED:"
_ZONE_STEP = timedelta(minutes=15)


@dataclass(frozen=True)
class LoggedCall:
    """One job's part in one call. `seconds` of the line, none when nobody answered. `cause` is empty when all pages went.

    `rode_along`: it went in a call that another job had dialled. `text`: the log without the other jobs' sections.
    """

    began_at: datetime
    seconds: float
    number: str
    device: str
    cause: str
    resolution: int
    with_ecm: bool | None
    proofs: tuple[PageProof, ...]
    text: str
    rode_along: bool = False

    @property
    def pages(self) -> int:
        """How many the other end confirmed."""
        return sum(proof.is_confirmed for proof in self.proofs)


@dataclass(frozen=True)
class _Line:
    at: datetime
    text: str
    raw: str


def read_logged_call(log: str, job: int, ended_at: datetime) -> LoggedCall | None:
    """What a log says of one job; None when it says nothing of it. `ended_at`: the instant of the log's last line (UTC)."""
    lines = _lines(log, ended_at)
    starts = [n for n, line in enumerate(lines) if _SECTION.search(line.text)]
    ends = [*starts[1:], len(lines)] if starts else []
    for start, end in zip(starts, ends, strict=True):
        found = _SECTION.search(lines[start].text)
        if found is not None and int(found[1]) == job:
            is_first = start == starts[0]
            until = lines[min(end, len(lines) - 1)].at
            return _call(lines[: starts[0]], lines[start:end], found, until, was_connected=not is_first, before=lines[:start])
    return None


def _call(
    head: list[_Line],
    section: list[_Line],
    found: re.Match[str],
    until: datetime,
    *,
    was_connected: bool,
    before: Iterable[_Line],
) -> LoggedCall:
    began = section[0].at
    connected = began if was_connected else next((line.at for line in _after_dial(section) if _connects(line)), None)
    proofs = _proofs(section)
    return LoggedCall(
        began_at=began,
        seconds=(until - connected).total_seconds() if connected is not None else 0.0,
        number=found[2],
        device=found[4],
        cause=_cause(section),
        resolution=_resolution([*before, *section]),
        with_ecm=all(proof.with_ecm for proof in proofs) if proofs else None,
        proofs=proofs,
        text="\n".join(line.raw for line in [*head, *section]),
        rode_along=was_connected,
    )


def _after_dial(section: list[_Line]) -> list[_Line]:
    """The modem says CONNECT to its own commands too: only what follows the dialling is the line's."""
    dialled = next((n for n, line in enumerate(section) if line.text.startswith("DIAL")), 0)
    return section[dialled:]


def _connects(line: _Line) -> bool:
    return _CONNECTED.match(line.text) is not None


def _proofs(section: list[_Line]) -> tuple[PageProof, ...]:
    """Pages in the order in which they went; the one that a broken call left without confirmation stands last."""
    proofs: list[PageProof] = []
    answer, with_ecm, is_open = "", False, False
    for line in section:
        if line.text.startswith("SEND begin page"):
            answer, with_ecm, is_open = "", False, True
        elif line.text.startswith(_CORRECTED):
            with_ecm = True
        elif said := _ANSWER.match(line.text):
            answer = said[1]
        elif page := _PAGE.match(line.text):
            proofs.append(PageProof(int(page[1]), int(page[2]), line.at, answer, with_ecm))
            is_open = False
    if is_open and proofs:
        last = proofs[-1]
        unconfirmed = "" if answer in ("MCF", "RTP", "PIP") else answer
        proofs.append(PageProof(last.page + 1, last.pages, section[-1].at, unconfirmed, with_ecm))
    return tuple(proofs)


def _cause(section: list[_Line]) -> str:
    failed = [line.text for line in section if line.text.startswith(_FAILED)]
    if failed:
        return cause_said(failed[-1])
    if any(_WHOLE.match(line.text) and not _PAGE.match(line.text) for line in section):
        return ""
    return cause_said("\n".join(line.text for line in section if not _ORDERLY.match(line.text)))


def _resolution(lines: list[_Line]) -> int:
    rows = [found[1] for line in lines if (found := _ROWS.match(line.text))]
    return _ROWS_AN_INCH[rows[-1]] if rows else 0


def _lines(log: str, ended_at: datetime) -> list[_Line]:
    """Lines with their instants in UTC."""
    read = [(found[1], found[2], line) for line in log.splitlines() if (found := _LINE.match(line))]
    if not read:
        return []
    last = _civil(read[-1][0], ended_at)
    shift = round((ended_at - last) / _ZONE_STEP) * _ZONE_STEP
    return [_Line(_civil(stamp, last) + shift, text.strip(), raw) for stamp, text, raw in read]


def _civil(stamp: str, near: datetime) -> datetime:
    """A stamp with the year that brings it nearest to an instant, as if it were UTC."""
    years = (near.year - 1, near.year, near.year + 1)
    form = "%Y %b %d %H:%M:%S.%f" if "." in stamp else "%Y %b %d %H:%M:%S"
    readings = [moment for year in years if (moment := _parsed(f"{year} {stamp}", form)) is not None]
    return min(readings, key=lambda moment: abs(moment - near), default=near)


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(" ".join(text.split()), form).replace(tzinfo=UTC)
    except ValueError:  # the 29th of February of another year
        return None
