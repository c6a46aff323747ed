"""HylaFAX's receive queue over its own protocol: what lies there, the pages of one fax, and taking it out of the queue.

Sources: hfaxd(8), HylaFAX 6; what the server was seen to answer. Traps: after a refused `RETR` the next transfer breaks the
conversation; `RETR` of an empty file never answers; `%q` in a format does so too. `LIST` shows whole TIFF files alone;
`NLST` shows every file that one may read, a fax being received to administrators too. `DELE` is for administrators, and for who
has the uid of the files' group in hosts.hfaxd.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from adapter.channels.fnp import FaxServer, FnpError
from adapter.model.confidential import Confidential

# Size, `*` while it is being received, when, name, subaddress, caller's number, how long it took (H:MM:SS), what the other
# machine says of itself (any sign: last).
_RECEIVED_FORMAT = "%n|%z|%Y|%f|%a|%j|%h|%s"
_COLUMNS = _RECEIVED_FORMAT.count("|")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FAX_NAME = re.compile(r"fax[0-9]+\.[a-z]{3,4}", re.IGNORECASE)
_LENGTH = re.compile(r"(\d{1,3}):(\d\d):(\d\d)")
_STATUS = re.compile(r"213 (\d+)")


@dataclass(frozen=True, repr=False)
class QueuedFax(Confidential):
    """One file of the queue. `caller` and `station` are as the line told them; a file that is no TIFF is not `is_listed`.

    `seconds`: how long its call took; None where the server does not say.
    """

    name: str
    size: int
    received_at: datetime
    caller: str = ""
    station: str = ""
    subaddress: str = ""
    is_listed: bool = True
    seconds: int | None = None


class ReceiveQueue(FaxServer):
    """One conversation about the receive queue. Use it as a context.

    `is_spent`: the server refused to give a file, and nothing more can be transferred.
    """

    def __init__(self, host: str, port: int, user: str, password: str = "", timeout_seconds: float = 30.0) -> None:
        super().__init__(host, port, user, password, timeout_seconds)
        self.is_spent = False

    def become_administrator(self, password: str) -> None:
        """Ask for the right to delete. FnpError `fnp.refused` when the password is not the one of hosts.hfaxd."""
        self._say(f"ADMIN {password}")

    def received(self) -> list[QueuedFax]:
        """What was received whole, oldest first; then files that are no fax, or not yet one, with what is known of them."""
        self._say("TZONE GMT")
        self._say(f'RCVFMT "{_RECEIVED_FORMAT}"')
        lines = self._lines_of("recvq")
        listed = [fax for fax in map(_queued, lines) if fax is not None]
        in_progress = {
            fields[3] for line in lines if len(fields := line.split("|", _COLUMNS)) > _COLUMNS and fields[1].strip() == "*"
        }
        known = in_progress | {fax.name for fax in listed}
        strays = [self._stray(name) for name in self._names() if name not in known and _FAX_NAME.fullmatch(name)]
        return sorted(listed, key=lambda fax: (fax.received_at, fax.name)) + [fax for fax in strays if fax is not None]

    def retrieve(self, fax: QueuedFax) -> bytes | None:
        """Its very bytes; None when it is gone or may not be read. FnpError `fnp.grew` when it is not what was listed."""
        if not self.holds(fax):
            return None
        if not fax.size:
            return b""
        content = bytearray()

        def add(block: bytes) -> None:
            content.extend(block)
            if len(content) > fax.size:
                raise FnpError("fnp.grew", "longer than listed")

        try:
            self._tried(lambda: self._ftp.retrbinary(f"RETR recvq/{fax.name}", add))
        except FnpError as error:
            if error.code != "fnp.refused":
                raise
            self.is_spent = True
            return None
        if len(content) < fax.size:
            raise FnpError("fnp.cut-off", "shorter than listed")
        return bytes(content)

    def remove(self, fax: QueuedFax) -> bool:
        """Take it out of the queue, unless its name is another fax's by now. False when the server does not let us."""
        try:
            if self._size_of(fax.name) != fax.size or self._time_of(fax.name) != fax.received_at:
                return True
            self._say(f"DELE recvq/{fax.name}")
        except FnpError as error:
            if error.code != "fnp.refused":
                raise
            return not self.holds(fax)
        return True

    def holds(self, fax: QueuedFax) -> bool:
        """Whether a file of this name is (still) there."""
        try:
            self._size_of(fax.name)
        except FnpError as error:
            if error.code != "fnp.refused":
                raise
            return False
        return True

    def _stray(self, name: str) -> QueuedFax | None:
        try:
            return QueuedFax(name, self._size_of(name), self._time_of(name), is_listed=False)
        except FnpError as error:
            if error.code != "fnp.refused":
                raise
            return None

    def _size_of(self, name: str) -> int:
        return int(_status(self._say(f"SIZE recvq/{name}")))

    def _time_of(self, name: str) -> datetime:
        return datetime.strptime(_status(self._say(f"MDTM recvq/{name}")), "%Y%m%d%H%M%S").replace(tzinfo=UTC)

    def _names(self) -> list[str]:
        names: list[str] = []
        self._tried(lambda: self._ftp.retrlines("NLST recvq", names.append))
        return names


def _status(answer: str) -> str:
    found = _STATUS.match(answer)
    if found is None:
        raise FnpError("fnp.not-understood", answer[:3])
    return found[1]


def _queued(line: str) -> QueuedFax | None:
    """A row of the list; None for a fax that is still coming in, and for what is no row of ours."""
    fields = [field.strip() for field in line.split("|", _COLUMNS)]
    if len(fields) <= _COLUMNS or fields[1] or not fields[0].isdigit() or not _NAME.fullmatch(fields[3]):
        return None
    size, _, when, name, subaddress, caller, took, station = fields
    with suppress(ValueError):
        received_at = datetime.strptime(when, "%Y/%m/%d %H.%M.%S").replace(tzinfo=UTC)
        return QueuedFax(name, int(size), received_at, caller, station, subaddress, seconds=_seconds(took))
    return None


def _seconds(took: str) -> int | None:
    found = _LENGTH.fullmatch(took)
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3]) if found else None
