"""Cuts a byte stream into MLLP frames, without I/O: any grouping of the bytes gives the same frames, in linear time.

Law (HL7 Transport Specification: MLLP release 1): `VT content FS CR`. Neither VT (0x0B) nor FS can occur in HL7 text of the
character sets that we read, so a VT inside a frame means that the sender gave up and began again: what was there is
reported as truncated, never mixed into the next message. A lone FS without CR is kept as content: the content's own
reader refuses it, the stream stays in step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapter.model.confidential import Confidential

_VT, _FS, _CR = b"\x0b", b"\x1c", b"\r"
_END = b"\x1c\r"
# What is kept of a frame that cannot be taken: enough to read its MSH and answer it.
KEPT_BYTES = 64 * 1024
# Between frames some senders add a line end: it is no junk.
_QUIET = b"\r\n"


class FrameCondition(StrEnum):
    """What was seen on the stream."""

    COMPLETE = "complete"
    OVERSIZED = "oversized"
    TRUNCATED = "truncated"
    JUNK = "junk"


@dataclass(frozen=True, repr=False)
class Frame(Confidential):
    """One frame, or one condition of the stream.

    `content`: the whole message when complete, its first 64 KiB when oversized or truncated, empty for junk.
    `size`: the bytes counted (for an oversized frame, those counted when it was reported).
    """

    content: bytes
    condition: FrameCondition = FrameCondition.COMPLETE
    size: int = 0


def frame_message(content: bytes) -> bytes:
    """A message in its frame."""
    return _VT + content + _END


class FrameReader:
    """Feed it bytes as they come; it gives frames and conditions in the order of the stream.

    An oversized frame is reported once, as soon as it is known to be, then discarded up to its end.
    Junk is reported when the next frame begins, or when there are more than 64 KiB of it: a door may then hang up.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._inside = False
        self._discarding = False
        self._saw_fs = False
        self._junk = 0
        self._junk_told = False

    @property
    def is_inside(self) -> bool:
        """True when a frame has begun and not ended: a peer that goes silent now left it unfinished."""
        return self._inside

    @property
    def held_bytes(self) -> int:
        """How much of an unfinished frame is in memory."""
        return len(self._buffer)

    def give_up(self) -> Frame:
        """The door cannot hold more of this frame: its beginning, to answer it; the rest is discarded up to its end."""
        frame = Frame(bytes(self._buffer[:KEPT_BYTES]), FrameCondition.OVERSIZED, len(self._buffer))
        self._buffer = bytearray()
        self._discarding = True
        return frame

    def feed(self, data: bytes) -> list[Frame]:
        """Take some bytes; return what they complete."""
        frames: list[Frame] = []
        at = 0
        scan = _Scan(data)
        while at < len(data):
            at = self._inside_step(scan, at, frames) if self._inside else self._outside_step(scan, at, frames)
        return frames

    def finish(self) -> list[Frame]:
        """The stream ended: an open frame is truncated."""
        frames: list[Frame] = []
        self._tell_junk(frames)
        if self._inside and not self._discarding:
            self._tell_truncated(frames)
        self._close_frame()
        return frames

    def _outside_step(self, scan: _Scan, at: int, frames: list[Frame]) -> int:
        start = scan.next_vt(at)
        end = len(scan.data) if start < 0 else start
        if end > at:
            self._count_junk(len(scan.data[at:end].translate(None, _QUIET)), frames)
        if start < 0:
            return end
        self._tell_junk(frames)
        self._inside = True
        return start + 1

    def _inside_step(self, scan: _Scan, at: int, frames: list[Frame]) -> int:
        if self._saw_fs:
            self._saw_fs = False
            if scan.data[at] == _CR[0]:
                self._end_frame(frames)
                return at + 1
            self._keep(_FS, frames)
        vt, fs = scan.next_vt(at), scan.next_fs(at)
        stops = [stop for stop in (vt, fs) if stop >= 0]
        stop = min(stops) if stops else len(scan.data)
        self._keep(scan.data[at:stop], frames)
        if not stops:
            return stop
        if stop == fs:
            self._saw_fs = True
            return stop + 1
        if not self._discarding:
            self._tell_truncated(frames)
        self._close_frame()
        self._inside = True
        return stop + 1

    def _keep(self, data: bytes, frames: list[Frame]) -> None:
        if self._discarding or not data:
            return
        room = self._max_bytes - len(self._buffer)
        if len(data) <= room:
            self._buffer += data
            return
        self._buffer += data[: max(room, 0) + 1]
        frames.append(Frame(bytes(self._buffer[:KEPT_BYTES]), FrameCondition.OVERSIZED, len(self._buffer)))
        self._buffer = bytearray()
        self._discarding = True

    def _end_frame(self, frames: list[Frame]) -> None:
        if not self._discarding:
            frames.append(Frame(bytes(self._buffer), size=len(self._buffer)))
        self._close_frame()

    def _tell_truncated(self, frames: list[Frame]) -> None:
        frames.append(Frame(bytes(self._buffer[:KEPT_BYTES]), FrameCondition.TRUNCATED, len(self._buffer)))

    def _close_frame(self) -> None:
        self._buffer = bytearray()
        self._inside = self._discarding = self._saw_fs = False

    def _count_junk(self, size: int, frames: list[Frame]) -> None:
        self._junk += size
        if self._junk > KEPT_BYTES and not self._junk_told:
            frames.append(Frame(b"", FrameCondition.JUNK, KEPT_BYTES + 1))
            self._junk_told = True

    def _tell_junk(self, frames: list[Frame]) -> None:
        if self._junk and not self._junk_told:
            frames.append(Frame(b"", FrameCondition.JUNK, self._junk))
        self._junk, self._junk_told = 0, False


class _Scan:
    """Positions of VT and FS in one chunk, each byte looked at once: a search goes on from where the last one stopped."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._vt = -2
        self._fs = -2

    def next_vt(self, at: int) -> int:
        """The next VT at or after a position, or -1."""
        if self._vt == -2 or -1 < self._vt < at:
            self._vt = self.data.find(_VT, at)
        return self._vt

    def next_fs(self, at: int) -> int:
        """The next FS at or after a position, or -1."""
        if self._fs == -2 or -1 < self._fs < at:
            self._fs = self.data.find(_FS, at)
        return self._fs
