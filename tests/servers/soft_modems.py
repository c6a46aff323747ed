"""Two fax modems without hardware: libspandsp's T.31 (Class 1) engines on two ptys, their audio passed from one to the other.

Run as a process (`python soft_modems.py PATH_A PATH_B CONTROL SPEED`): whatever dials on one, the other rings. The line is as
many times faster than real time as SPEED says (8 is stable; beyond, HylaFAX trains down to slow rates and nothing is won).
CONTROL is a JSON file read every half second: `{"busy": true}`, `{"no_answer": true}`, `{"cut_after": 12.0}` (seconds of line
time), `{"clicks": 0.005}` (share of 20 ms frames with an impulse), `{"dead": true}` (nothing gets through).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import pwd
import random
import sys
import time
import tty
from pathlib import Path
from typing import Any

FRAME_SAMPLES = 160
FRAME_SECONDS = 0.02
RING_EVERY_SECONDS = 2.0
NO_ANSWER_AFTER_SECONDS = 10.0

# at_call_state events and modem control operations, in spandsp's order.
ALERTING, CONNECTED, ANSWERED, BUSY, _NO_DIALTONE, NO_ANSWER, HANGUP = range(1, 8)
_CALL, _ANSWER, _HANGUP, _OFF_HOOK, _ON_HOOK, _DTR, _RTS, _CTS = range(8)

_TRANSMIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)
_CONTROL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def load_spandsp() -> Any:
    """The library with the signatures that we use; OSError when it is not installed."""
    library = ctypes.CDLL(ctypes.util.find_library("spandsp") or "libspandsp.so.2")
    pointer = ctypes.c_void_p
    library.t31_init.restype = pointer
    library.t31_init.argtypes = [pointer, _TRANSMIT, pointer, _CONTROL, pointer, pointer, pointer]
    library.t31_at_rx.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int]
    library.t31_call_event.argtypes = [pointer, ctypes.c_int]
    library.t31_rx.argtypes = library.t31_tx.argtypes = [pointer, pointer, ctypes.c_int]
    library.t31_set_transmit_on_idle.argtypes = [pointer, ctypes.c_int]
    return library


class SoftModem:
    """One modem on a pty whose name is a symbolic link. What the engine asks for is noted, and acted upon outside its calls."""

    def __init__(self, library: Any, path: Path) -> None:
        self.library = library
        self.state = "idle"
        self.asked: list[int] = []
        self._ready = True
        self._ours, theirs = os.openpty()
        for end in (self._ours, theirs):
            tty.setraw(end)
        os.set_blocking(self._ours, False)
        name = os.ttyname(theirs)
        owner = pwd.getpwnam("uucp")
        os.chown(name, owner.pw_uid, owner.pw_gid)
        Path(name).chmod(0o660)
        path.unlink(missing_ok=True)
        path.symlink_to(name)
        self._callbacks = _TRANSMIT(self._to_computer), _CONTROL(self._note)
        self._engine = library.t31_init(None, self._callbacks[0], None, self._callbacks[1], None, None, None)
        library.t31_set_transmit_on_idle(self._engine, 1)
        self.sound = (ctypes.c_int16 * FRAME_SAMPLES)()

    def _to_computer(self, _engine: Any, _user: Any, buffer: Any, length: int) -> int:
        try:
            os.write(self._ours, bytes(buffer[:length]))
        except BlockingIOError:
            pass
        return length

    def _note(self, _engine: Any, _user: Any, operation: int, value: Any) -> int:
        if operation == _CTS:
            self._ready = bool(value)
        elif operation <= _ON_HOOK:
            self.asked.append(operation)
        return 0

    def tell(self, event: int) -> None:
        """What happens on the line."""
        self.library.t31_call_event(self._engine, event)

    def from_computer(self) -> None:
        """Commands and pages that the fax program wrote."""
        if not self._ready:
            return
        try:
            content = os.read(self._ours, 256)
        except (BlockingIOError, OSError):
            return
        if content:
            self.library.t31_at_rx(self._engine, content, len(content))

    def speak(self) -> None:
        """One frame of sound, silence where the engine says nothing; its timers run on it too."""
        said = self.library.t31_tx(self._engine, self.sound, FRAME_SAMPLES)
        for place in range(said, FRAME_SAMPLES):
            self.sound[place] = 0

    def hear(self, sound: Any) -> None:
        """The other end's frame."""
        self.library.t31_rx(self._engine, sound, FRAME_SAMPLES)


class Line:
    """The wire between the two, and its faults."""

    def __init__(self, first: SoftModem, second: SoftModem, control: Path) -> None:
        self._ends = {first: second, second: first}
        self._control = control
        self._faults: dict[str, Any] = {}
        self._looked_at = self._rung_at = self._called_at = 0.0
        self._talked_seconds = 0.0
        self._chance = random.Random(1)

    def frame(self, now: float) -> None:
        """Twenty milliseconds of line time."""
        if now - self._looked_at > 0.5:
            self._looked_at = now
            self._read_faults()
        for modem in self._ends:
            while modem.asked:
                self._act(modem, modem.asked.pop(0), now)
            self._ring(modem, now)
            modem.from_computer()
        for modem in self._ends:
            modem.speak()
        if all(modem.state == "up" for modem in self._ends):
            self._talk()

    def _read_faults(self) -> None:
        try:
            self._faults = json.loads(self._control.read_text())
        except (OSError, ValueError):
            self._faults = {}

    def _act(self, modem: SoftModem, operation: int, now: float) -> None:
        other = self._ends[modem]
        if operation == _CALL:
            if self._faults.get("busy") or other.state != "idle":
                modem.tell(BUSY)
            else:
                modem.state, other.state = "calling", "ringing"
                self._called_at, self._rung_at = now, 0.0
        elif operation in (_ANSWER, _OFF_HOOK) and modem.state == "ringing":
            modem.state = other.state = "up"
            self._talked_seconds = 0.0
            other.tell(CONNECTED)
            modem.tell(ANSWERED)
        elif operation in (_HANGUP, _ON_HOOK) and modem.state != "idle":
            if other.state == "up":
                other.tell(HANGUP)
            modem.state = other.state = "idle"

    def _ring(self, modem: SoftModem, now: float) -> None:
        if modem.state == "ringing" and not self._faults.get("no_answer") and now - self._rung_at > RING_EVERY_SECONDS:
            self._rung_at = now
            modem.tell(ALERTING)
        if modem.state == "calling" and now - self._called_at > NO_ANSWER_AFTER_SECONDS:
            modem.state = self._ends[modem].state = "idle"
            modem.tell(NO_ANSWER)

    def _talk(self) -> None:
        self._talked_seconds += FRAME_SECONDS
        for modem, other in self._ends.items():
            if self._chance.random() < self._faults.get("clicks", 0):
                self._click(modem)
            if not self._faults.get("dead"):
                other.hear(modem.sound)
        if self._talked_seconds > self._faults.get("cut_after", float("inf")):
            for modem in self._ends:
                modem.state = "idle"
                modem.tell(HANGUP)

    def _click(self, modem: SoftModem) -> None:
        start = self._chance.randrange(FRAME_SAMPLES - 16)
        for place in range(start, start + 16):
            modem.sound[place] = self._chance.randrange(-6000, 6000)


def main(first: str, second: str, control: str, speed: str) -> None:
    """Keep the line going until killed."""
    library = load_spandsp()
    line = Line(SoftModem(library, Path(first)), SoftModem(library, Path(second)), Path(control))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    step, due = FRAME_SECONDS / float(speed), time.monotonic()
    while True:
        now = time.monotonic()
        if due > now:
            time.sleep(due - now)
        due = max(due + step, now - 0.2)
        line.frame(now)


if __name__ == "__main__":
    main(*sys.argv[1:])
