"""One line of an import, judged as any door's arrival; a block of lines made durable in one commit. Runs in worker processes.

A line is a FHIR document Bundle, or a transaction Bundle of an order of ours, whose QuestionnaireResponse is what was asked.
Refused lines are told and not kept: the file is there still, and nobody waits for an answer. Taken lines are kept under their
identifier for good, not for the days of a door's window: the same file may come again next year.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson

from adapter.bulk.ndjson import Line
from adapter.errors import InputError, LedgerError, UnavailableError
from adapter.ledger.database import UNWRITABLE
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.receipt import Answer, Arrival, Kept, Principal, Verdict

# As good as never: what an identifier stood for once, it stands for.
FOR_GOOD = timedelta(days=36_500)
_PAUSES = (0.5, 2.0, 5.0, 10.0)
_FORMS = "/Questionnaire/"


@dataclass(frozen=True)
class Acceptor:
    """The pipeline's accept, in two halves, and the ledger's end."""

    judge: Callable[[Arrival], Any]
    commit: Callable[[Sequence[Any]], list[Answer]]
    clock: Callable[[], datetime]
    forms: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Door:
    """As what the lines come in: the door's name, who speaks, the zone of times without one. `keeps`: not only a trial."""

    name: str
    principal: Principal
    zone: str
    keeps: bool


@dataclass(frozen=True, repr=False)
class Block(Confidential):
    """Lines that are judged and committed together; `end` is where the block ends."""

    lines: tuple[Line, ...]
    offset: int


@dataclass(frozen=True)
class Refused:
    """A line that was not taken, and why. Findings hold places and sentences, never content."""

    line: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Taken:
    """What became of a block: how many lines were new, how many were there already, which were refused; where it ended."""

    last_line: int
    offset: int
    accepted: int = 0
    repeated: int = 0
    refused: tuple[Refused, ...] = ()


def take_block(acceptor: Acceptor, block: Block, *, door: Door, longest: int) -> Taken:
    """Judge each line, commit what is good. LedgerError or UnavailableError when the house stays away: nothing more was taken."""
    refused: list[Refused] = []
    good: list[tuple[int, Any]] = []
    for line in block.lines:
        try:
            judged = _patiently(partial(_judged, acceptor, line, door, longest))
        except InputError as error:
            refused.append(Refused(line.number, (_finding(error),)))
            continue
        if judged.inspection.verdict is Verdict.ACCEPTED:
            receipt = replace(judged.new_receipt, repeat_window=FOR_GOOD)
            good.append((line.number, replace(judged, new_receipt=receipt)))
        else:
            refused.append(Refused(line.number, errors_of(judged.inspection.findings)))
    accepted = repeated = 0
    for number, answer in _committed(acceptor, good) if door.keeps else ():
        if answer is None or answer.kept is Kept.CONFLICT:
            refused.append(Refused(number, errors_of(answer.findings) if answer else (_UNWRITABLE,)))
        elif answer.kept is Kept.REPEAT:
            repeated += 1
        else:
            accepted += 1
    told = tuple(sorted(refused, key=lambda one: one.line))
    return Taken(block.lines[-1].number, block.offset, accepted if door.keeps else len(good), repeated, told)


_UNWRITABLE = Finding(
    Severity.ERROR, "import.unwritable", "The database cannot hold a value of this document.", remedy="Correct its source."
)


def _finding(error: InputError) -> Finding:
    return Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy)


def _judged(acceptor: Acceptor, line: Line, door: Door, longest: int) -> Any:
    return acceptor.judge(_arrival(acceptor, line, door, longest))


def _arrival(acceptor: Acceptor, line: Line, door: Door, longest: int) -> Arrival:
    if line.content is None:
        text, remedy = f"The line is longer than {longest} bytes.", "Raise --max-line-bytes, or send this document by itself."
        raise InputError("import.line-too-long", text, remedy=remedy)
    content, form, reference = _source(line.content, acceptor.forms)
    return Arrival(content, door.name, door.principal, acceptor.clock(), reference=reference, form=form, zone=door.zone)


def _source(content: bytes, forms: frozenset[str]) -> tuple[bytes, str, str]:
    """What is judged of a line: the document itself, or the form that an order was asked with (its slug, the order's id)."""
    try:
        data = orjson.loads(content)
    except ValueError:  # its text would quote the content
        text, remedy = "The line is no JSON in UTF-8.", "One whole Bundle a line."
        raise InputError("import.not-json", text, remedy=remedy) from None
    if not isinstance(data, dict) or data.get("resourceType") != "Bundle":
        raise InputError("import.not-a-bundle", "The line is no FHIR Bundle.", where="resourceType")
    if data.get("type") != "transaction":
        return content, "", ""  # a document, or refused by its reader
    response = _response(data)
    slug = str(response.get("questionnaire", "")).partition("|")[0].rpartition(_FORMS)[2]
    if slug not in forms:
        text = "A transaction is taken when it carries an order with the QuestionnaireResponse of a form of ours."
        raise InputError("import.not-an-order", text, where="Bundle.entry", remedy="Send the document Bundle of the order.")
    identifier = data.get("identifier")
    number = identifier.get("value", "") if isinstance(identifier, dict) else data.get("id", "")
    return orjson.dumps(response), slug, str(number)[:200]


def _response(bundle: dict[str, Any]) -> dict[str, Any]:
    entries = bundle.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "QuestionnaireResponse":
            return resource
    return {}


def _committed(acceptor: Acceptor, good: Sequence[tuple[int, Any]]) -> list[tuple[int, Answer | None]]:
    """One commit for all; when one value can never be written, one by one: it must not refuse its neighbours."""
    if not good:
        return []
    numbers, judged = [number for number, _ in good], [one for _, one in good]
    try:
        return list(zip(numbers, _patiently(partial(acceptor.commit, judged)), strict=True))
    except LedgerError as error:
        if error.code != UNWRITABLE:
            raise
    if len(good) == 1:
        return [(numbers[0], None)]
    return [answered for one in good for answered in _committed(acceptor, [one])]


def _patiently(act: Callable[[], Any]) -> Any:
    """A ledger or directory that is away for a moment does not end an import of an hour."""
    for pause in _PAUSES:
        try:
            return act()
        except (LedgerError, UnavailableError) as error:
            if error.code == UNWRITABLE:
                raise
            time.sleep(pause)
    return act()
