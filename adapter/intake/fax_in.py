"""The door by which faxes come in: each file that a fax server or a scanner left becomes one arrival, whatever it holds.

Law: blueprint seams 1, 2, 11. Its sender has hung up: nothing is refused. What cannot be brought in whole is kept as far as it is
known, with the reason (`withheld`), for a person to look at; it is never tried for ever and never holds up the others. The same
file shown again (a crash before it was put away, a second host) is the same arrival: what is written beside it comes from the
file, never from our clock. A number may be a person's, and a file's name may hold it: neither is logged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from adapter.errors import InputError
from adapter.formats.pdf_form import is_pdf
from adapter.formats.phone_number import e164
from adapter.formats.sheet_pages import MAX_DOTS, MAX_PAGES
from adapter.formats.tiff_size import is_tiff, measure_tiff
from adapter.intake.committer import Count, Intake, NotKeptError, TryLaterError, count_nothing
from adapter.model.confidential import Confidential
from adapter.model.fax_in import FAX_DOOR, Withheld
from adapter.model.receipt import Answer, Arrival, Principal

log = structlog.get_logger()

# A long fax is a hundred pages of four million dots; a file of some kilobytes may say that it is many thousands.
MAX_DOTS_IN_ALL = 1_000_000_000


# Its content lies at the source alone: it stays there.
CONTENT_ELSEWHERE = frozenset({Withheld.TOO_LARGE, Withheld.NOT_A_FILE, Withheld.UNREADABLE, Withheld.NOT_KEPT})


@dataclass(frozen=True, repr=False)
class ReceivedFax(Confidential):
    """One file and what is known of its call. `name` names it at the source, or nothing where names may be anybody's.

    `sender`: as the source writes it (caller's number, else what the other machine says of itself). `called`: the line or
    extension that was called. `received_at`: as the source tells it, aware. `mark` tells a file without content from another.
    `seconds`: how long the call took, where the source says so.
    """

    content: bytes
    received_at: datetime
    name: str = ""
    sender: str = ""
    called: str = ""
    withheld: str = ""
    mark: str = ""
    seconds: int | None = None


@dataclass(frozen=True)
class FaxIntakeSettings:
    """Whose line it is. Its name is the principal's."""

    name: str
    legal_entity: str
    zone: str = "Europe/Paris"


class FaxTaker:
    """Makes received files durable, one at a time."""

    def __init__(
        self,
        settings: FaxIntakeSettings,
        intake: Intake[Any],
        *,
        clock: Callable[[], datetime],
        count: Count = count_nothing,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._count = count

    def take(self, fax: ReceivedFax) -> tuple[Answer, str]:
        """The answer once durable, and why it was not brought in whole, if so.

        TryLaterError: nothing was kept, the file comes again. NotKeptError: not even its name can be kept.
        """
        pages, problem = weigh(fax.content)
        withheld = fax.withheld or problem
        try:
            answer = self._accept(fax, fax.content, _side_car(fax, pages, withheld))
        except TryLaterError:
            raise
        except NotKeptError as error:  # it would fail again: what is known of it is kept, and a person is told
            log.error("fax.not-kept", door=self._settings.name, code=error.code)
            withheld = Withheld.NOT_KEPT
            answer = self._accept(fax, b"", _side_car(fax, pages, withheld))
        told = {"door": self._settings.name, "receipt": answer.receipt_id, "verdict": answer.verdict.value}
        log.info("fax.kept", **told, kept=answer.kept.value, withheld=withheld)
        self._count(f"fax.{answer.kept.value}")
        if withheld:
            self._count("fax.withheld")
        return answer, withheld

    def _accept(self, fax: ReceivedFax, content: bytes, side_car: bytes) -> Answer:
        settings = self._settings
        arrival = Arrival(
            content=content,
            door=f"{FAX_DOOR}{settings.name}",
            principal=Principal(settings.name, "fax", settings.legal_entity),
            received_at=self._clock(),
            reference=reference_of(fax),
            side_car=side_car,
            zone=settings.zone,
        )
        return self._intake.take(arrival).result()


def reference_of(fax: ReceivedFax) -> str:
    """What names a fax: its content, and its name where the server gave it. A name that is given again is another fax."""
    digest = hashlib.sha256(fax.content or fax.mark.encode()).hexdigest()[:32]
    return f"{fax.name}#{digest}" if fax.name else f"sha256:{digest}"


def weigh(content: bytes) -> tuple[int, str]:
    """How many pages a TIFF has (0: not counted), and why pages may not be looked at, if so. Nothing is unpacked to know it."""
    if not content:
        return 0, Withheld.EMPTY
    if is_pdf(content):
        return 0, ""  # its reader bounds it
    if not is_tiff(content):
        return 0, Withheld.NOT_PAGES
    try:
        sizes = [page.dots for page in measure_tiff(content)]
    except InputError:
        return 0, Withheld.DAMAGED
    is_bomb = len(sizes) > MAX_PAGES or max(sizes) > MAX_DOTS or sum(sizes) > MAX_DOTS_IN_ALL
    return len(sizes), Withheld.TOO_MANY_DOTS if is_bomb else ""


def _side_car(fax: ReceivedFax, pages: int, withheld: str) -> bytes:
    told = {
        "from": e164(fax.sender),
        "called_id": e164(fax.called) or fax.called,
        "pages": pages,
        "received_at": fax.received_at.isoformat(),
        "withheld": str(withheld),
    } | ({"seconds": fax.seconds} if fax.seconds is not None else {})
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")  # a name of bytes that are no UTF-8 keeps no fax out
