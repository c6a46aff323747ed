"""HylaFAX's own protocol (FNP: FTP with verbs for jobs), as far as sending needs it: submit, find, look, cancel, read a log.

Sources: hfaxd(8), HylaFAX 6; what the server was seen to answer. One connection a task: it is a second's work, and a connection
kept open would die with every restart of the server. `JOBINFO` holds our reference: it is how a job is known again.
"""

from __future__ import annotations

import ftplib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Self

from adapter.model.confidential import Confidential

# Number, state, our reference, pages confirmed and in all, dials, last call, status. A status may hold any sign: it stands last.
_JOB_FORMAT = "%j|%a|%J|%P|%d|%W|%s"
_DOCUMENT = re.compile(r"FILE:\s*([^\s)]+)")
_JOB_ID = re.compile(r"jobid:\s*(\d+)")
_QUEUES = ("sendq", "doneq")


class JobState(StrEnum):
    """What HylaFAX calls a job's state, and the letter that its lists give."""

    SUSPENDED = "T"
    PENDING = "P"
    SLEEPING = "S"
    BLOCKED = "B"
    READY = "W"
    ACTIVE = "R"
    DONE = "D"
    FAILED = "F"
    UNDEFINED = "?"

    @classmethod
    def _missing_(cls, value: object) -> JobState:  # noqa: ARG003 - whatever the letter
        """A state that only the server understands, of whoever's job: nothing is concluded from it, and no other job waits."""
        return cls.UNDEFINED

    @property
    def is_over(self) -> bool:
        """True when nothing more will happen to it."""
        return self in (JobState.DONE, JobState.FAILED)

    @property
    def waits(self) -> bool:
        """True while it may be taken back: it is not over, and not on the line."""
        return not self.is_over and self not in (JobState.ACTIVE, JobState.UNDEFINED)


@dataclass(frozen=True)
class Job:
    """One job as the server tells it: `pages` were confirmed by the other end, of `total`; `status` says what went wrong.

    `dials`: how often its number was dialled; `call`: the server's name of its last call, empty before the first.
    """

    id: int
    state: JobState
    reference: str
    pages: int
    total: int
    status: str
    dials: int = 0
    call: str = ""

    @property
    def is_whole(self) -> bool:
        """True when it is done and every page was confirmed, at least one."""
        return self.state is JobState.DONE and self.pages >= max(self.total, 1)

    @property
    def has_failed(self) -> bool:
        """True when it is over without every page."""
        return self.state.is_over and not self.is_whole


@dataclass(frozen=True)
class SessionLog:
    """The server's account of one call, and the instant of its last line. Empty: it is there, and cannot be read."""

    text: str
    ended_at: datetime


@dataclass(frozen=True, repr=False)
class JobOrder(Confidential):
    """What is asked of the server. `priority`: smaller goes first. `fine`: 196 rows an inch, else 98."""

    reference: str
    number: str
    tiff: bytes
    sender: str
    priority: int = 127
    fine: bool = True
    max_tries: int = 3
    max_dials: int = 6
    give_up_after_hours: int = 3
    modem: str = "any"


class FnpError(Exception):
    """The server could not be asked, or refused. `may_have_it`: the job may exist all the same."""

    def __init__(self, code: str, detail: str, *, may_have_it: bool = False) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.may_have_it = may_have_it


class FaxServer:
    """One conversation with hfaxd. Use it as a context."""

    def __init__(self, host: str, port: int, user: str, password: str = "", timeout_seconds: float = 30.0) -> None:
        self._place = (host, port, user, password, timeout_seconds)
        self._ftp = _open(*self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._ftp.quit()
        except (OSError, EOFError, ftplib.Error):
            self._ftp.close()

    def jobs(self) -> list[Job]:
        """Every job that waits, is being sent, or is over and not yet cleaned away by the server."""
        found = []
        self._say(f'JOBFMT "{_JOB_FORMAT}"')
        for queue in _QUEUES:
            found += [job for job in map(_job, self._lines_of(queue)) if job is not None]
        return found

    def _lines_of(self, queue: str) -> list[str]:
        lines: list[str] = []
        self._tried(lambda: self._ftp.retrlines(f"LIST {queue}", lines.append))
        return lines

    def find(self, reference: str) -> Job | None:
        """The newest job that bears our reference."""
        mine = [job for job in self.jobs() if job.reference == reference]
        return max(mine, key=lambda job: job.id, default=None)

    def submit(self, order: JobOrder) -> int:
        """Hand pages over and start the job; its number. After `JSUBM` left, a lost answer says `may_have_it`."""
        self._say("FORM TIFF")
        document = self._store(order.tiff)
        answer = self._say("JNEW")
        created = _JOB_ID.search(answer)
        if created is None:
            raise FnpError("fnp.no-job", "the server gave no job number")
        for name, value in _parameters(order, document):
            self._say(f"JPARM {name} {value}")
        try:
            self._ftp.voidcmd("JSUBM")
        except ftplib.Error as error:
            raise _refused(error) from error
        except (OSError, EOFError) as error:
            raise FnpError("fnp.answer-lost", type(error).__name__, may_have_it=True) from error
        return int(created[1])

    def forget(self, job_id: int) -> None:
        """Take a job that is over out of the server's memory."""
        self._say(f"JOB {job_id}")
        self._say("JDELE")

    def kill(self, job_id: int) -> None:
        """End a job that waits; it goes to those that are over, as a failure. On the line, it would answer when the call ends."""
        self._say(f"JOB {job_id}")
        self._say("JKILL")

    def session_log(self, call: str) -> SessionLog | None:
        """The log of a call; None when the server has it no more.

        Asked about first: a `RETR` that is refused spoils the connection for what is fetched next, which is then opened anew. So
        does one that is never answered, as that of an empty file: no log holds up the proofs of every fax.
        """
        try:
            changed = self._say(f"MDTM log/c{call}")[4:].strip()
            ended_at = datetime.strptime(changed, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except (FnpError, ValueError) as error:
            if isinstance(error, FnpError) and error.code != "fnp.refused":
                raise
            return None
        content = io.BytesIO()
        try:
            self._tried(lambda: self._ftp.retrbinary(f"RETR log/c{call}", content.write))
        except FnpError:
            content = io.BytesIO()  # half a log would tell of half a call
            self._ftp.close()
            self._ftp = _open(*self._place)
        return SessionLog(content.getvalue().decode("utf-8", "replace"), ended_at)

    def _store(self, tiff: bytes) -> str:
        def upload() -> str:
            # A listing left the connection in text mode (`ftplib.retrlines`), in which the server takes CR out of CR LF: a page's
            # picture would break at the first such pair, and what is left of it be confirmed as a page.
            self._ftp.voidcmd("TYPE I")
            with self._ftp.transfercmd("STOT") as connection:
                connection.sendall(tiff)
            return self._ftp.voidresp()

        stored = _DOCUMENT.search(self._tried(upload))
        if stored is None:
            raise FnpError("fnp.no-document", "the server gave no name to the pages")
        return stored[1]

    def _say(self, command: str) -> str:
        return self._tried(lambda: self._ftp.sendcmd(command))

    @staticmethod
    def _tried(act: Callable[[], str]) -> str:
        try:
            return act()
        except ftplib.Error as error:
            raise _refused(error) from error
        except (OSError, EOFError) as error:
            raise FnpError("fnp.connection-lost", type(error).__name__) from error


def _open(host: str, port: int, user: str, password: str, timeout_seconds: float) -> ftplib.FTP:
    ftp = ftplib.FTP(timeout=timeout_seconds)  # noqa: S321 - hfaxd speaks nothing else; a remote one stands behind a VPN
    try:
        ftp.connect(host, port)
        ftp.login(user, password)
        ftp.voidcmd("TYPE I")
        ftp.voidcmd("TZONE GMT")
        # Of another's job, what its list says may be any bytes: they stop neither our proofs nor our jobs.
        ftp.encoding = "latin-1"
    except ftplib.error_perm as error:
        ftp.close()
        raise FnpError("fnp.login-refused", str(error)[:3]) from error
    except (OSError, EOFError, ftplib.Error) as error:
        ftp.close()
        raise FnpError("fnp.unreachable", type(error).__name__) from error
    return ftp


def _parameters(order: JobOrder, document: str) -> list[tuple[str, object]]:
    return [
        ("FROMUSER", _quoted(order.sender)),
        ("DIALSTRING", _quoted(order.number)),
        ("LASTTIME", f"{order.give_up_after_hours // 24:02}{order.give_up_after_hours % 24:02}00"),
        ("MAXTRIES", order.max_tries),
        ("MAXDIALS", order.max_dials),
        ("SCHEDPRI", order.priority),
        ("VRES", 196 if order.fine else 98),
        ("PAGEWIDTH", 209),
        ("PAGELENGTH", 296),
        ("PAGECHOP", _quoted("none")),
        ("NOTIFY", _quoted("none")),
        ("NOTIFYADDR", _quoted(order.sender)),
        ("USEECM", "YES"),
        ("MODEM", _quoted(order.modem)),
        ("JOBINFO", _quoted(order.reference)),
        ("DOCUMENT", document),
    ]


def _quoted(text: str) -> str:
    """A quoted word: neither quotes nor lines of ours may end it early."""
    sayable = text.encode("latin-1", "replace").decode("latin-1")
    return '"' + "".join(c for c in sayable if c.isprintable() and c not in '"\\') + '"'


def _refused(error: ftplib.Error) -> FnpError:
    """Only the code travels on: the text may quote what we said."""
    return FnpError("fnp.refused", str(error)[:3])


def _job(line: str) -> Job | None:
    fields = line.split("|", 6)
    if len(fields) != 7 or not fields[0].strip().isdigit():
        return None
    number, state, reference, pages, dials, call, status = (one.strip() for one in fields)
    sent, _, total = pages.partition(":")
    return Job(int(number), JobState(state), reference, _count(sent), _count(total), status, _count(dials), call)


def _count(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0
