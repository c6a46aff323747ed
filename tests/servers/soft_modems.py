"""Two fax modems without hardware: libspandsp's T.31 (Class 1) engines on two ptys, their sound passed from one to the other.

Run as a process (`python soft_modems.py PATH_A PATH_B CONTROL SPEED`): whatever dials on one, the other rings. The line is as
many times faster than real time as SPEED says, at most, and **it waits for the fax programs**: while one owes its modem a
command or page data, or has not yet taken what its modem heard, no sound passes. So a program that a busy machine keeps from
running neither misses the other end's training nor lets its modem run dry, which is what breaks calls otherwise. A program that
stays silent for PATIENCE_SECONDS is waited for no longer.

CONTROL is a JSON file read every tenth of a second; its `turn` goes up, and into CONTROL.seen once read. The faults:
`{"busy": true}`, `{"no_answer": true}`, `{"voice": true}` (somebody answers, no fax does), `{"cut_after": 12.0}` (seconds of line
time), `{"clicks": 0.005}` (share of 20 ms frames with an impulse), `{"dead": true}` (nothing gets through), and in place of the
other modem a fax machine with the abilities of `spandsp.Ability`: `{"machine": {"into": "/a/file.tif", "takes_fine": false}}`.
"""

from __future__ import annotations

import json
import os
import pwd
import random
import re
import select
import sys
import time
import tty
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script

from tests.servers.spandsp import CONTROL, FRAME_SAMPLES, FRAME_SECONDS, TRANSMIT, Ability, FaxMachine, Sound, load_spandsp
from tests.servers.t30_pair import add_click

RING_EVERY_SECONDS = 1.0
NO_ANSWER_AFTER_SECONDS, UNATTENDED_SECONDS = 5.0, 30.0
PATIENCE_SECONDS = 3.0
# A modem that was reset and then left in peace so long has a program that takes calls; a ring before would spoil its setting up.
SETTLED_SECONDS = 0.7
LOOK_EVERY_SECONDS = 0.1

# at_call_state events and modem control operations, in spandsp's order.
ALERTING, CONNECTED, ANSWERED, BUSY, _NO_DIALTONE, NO_ANSWER, HANGUP = range(1, 8)
_CALL, _ANSWER, _HANGUP, _OFF_HOOK, _ON_HOOK, _DTR, _RTS, _CTS = range(8)

# T.31: after these a program gives the next command; after CONNECT to one of those it gives data, up to <DLE><ETX>.
_VERDICTS = {b"OK", b"ERROR", b"NO CARRIER", b"+FCERROR", b"BUSY", b"NO ANSWER"}
_SENDING = re.compile(rb"AT(\+FT[MH]|A$)", re.IGNORECASE)
_ESCAPED = re.compile(rb"\x10(.)", re.DOTALL)
_ETX = b"\x03"
_SILENCE = Sound()
_BITE = 256


class Owed:
    """What a program owes its modem, read from what both say (T.31): a command, data, or nothing."""

    def __init__(self) -> None:
        self.command = self.data = False
        self._line = b""
        self._tail = b""

    def modem_says(self, chunk: bytes) -> None:
        """One chunk that the modem wrote; a result code is always a chunk of its own."""
        if chunk in _VERDICTS:
            self.command, self.data, self._line = True, False, b""
        elif chunk == b"CONNECT":
            self.command, self.data, self._tail = False, bool(_SENDING.match(self._line.strip())), b""

    def program_says(self, content: bytes) -> None:
        """What the program wrote."""
        if self.data:
            text = self._tail + content
            self.data = _ETX not in _ESCAPED.findall(text)
            self._tail = b"\x10" if _ESCAPED.sub(b"", text).endswith(b"\x10") else b""
        elif self.command or not self._line.endswith(b"\r"):
            self.command = False
            self._line += content


class SoftModem:
    """One modem on a pty whose name is a symbolic link. What the engine asks for is noted, and acted upon outside its calls."""

    def __init__(self, library: Any, path: Path) -> None:
        self.library = library
        self.state = "idle"
        self.asked: list[int] = []
        self._ready = True
        self._was_reset = False
        self._owed = Owed()
        self._heard_from_at = 0.0
        self._backlog = b""
        self.file, theirs = os.openpty()
        for end in (self.file, theirs):
            tty.setraw(end)
        os.set_blocking(self.file, False)
        name = os.ttyname(theirs)
        owner = pwd.getpwnam("uucp")
        os.chown(name, owner.pw_uid, owner.pw_gid)
        Path(name).chmod(0o660)
        path.unlink(missing_ok=True)
        path.symlink_to(name)
        self._callbacks = TRANSMIT(self._to_program), CONTROL(self._note)
        self._engine = library.t31_init(None, self._callbacks[0], None, self._callbacks[1], None, None, None)
        library.t31_set_transmit_on_idle(self._engine, 1)
        self.sound = Sound()

    def _to_program(self, _engine: Any, _user: Any, buffer: Any, length: int) -> int:
        chunk = bytes(buffer[:length])
        self._owed.modem_says(chunk)
        self._heard_from_at = time.monotonic()
        self._backlog += chunk
        self._hand_over()
        return length

    def _hand_over(self) -> None:
        try:
            while self._backlog:
                self._backlog = self._backlog[os.write(self.file, self._backlog) :]
        except BlockingIOError:
            pass

    def _note(self, _engine: Any, _user: Any, operation: int, value: Any) -> int:
        if operation == _CTS:
            self._ready = bool(value)
        elif operation <= _ON_HOOK:
            self.asked.append(operation)
        if operation in (_HANGUP, _ON_HOOK):
            self._was_reset = False
        return 0

    def is_waiting(self, now: float) -> bool:
        """True while the line must stand still for the program on this pty."""
        waits = bool(self._backlog) or self._owed.command or (self._owed.data and self._ready)
        return waits and now - self._heard_from_at < PATIENCE_SECONDS

    def is_attended(self, now: float) -> bool:
        """True when a program has set the modem up, and takes calls."""
        return self._was_reset and now - self._heard_from_at > SETTLED_SECONDS

    def tell(self, event: int) -> None:
        """What happens on the line."""
        self.library.t31_call_event(self._engine, event)

    def serve_program(self, now: float) -> None:
        """Take commands and pages from the fax program as far as the engine has room, and give it what it did not take yet."""
        self._hand_over()
        while self._ready:
            try:
                content = os.read(self.file, _BITE)
            except (BlockingIOError, OSError):
                return
            if not content:
                return
            self._heard_from_at = now
            self._owed.program_says(content)
            self.library.t31_at_rx(self._engine, content, len(content))
            self._was_reset = self._was_reset or b"ATZ" in content  # it hangs up, too

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
        self._machine: FaxMachine | None = None
        self._chance = random.Random(1)

    def serve(self, now: float) -> bool:
        """What the programs want; False while the line must wait for one of them."""
        if now - self._looked_at > LOOK_EVERY_SECONDS:
            self._looked_at = now
            self._read_faults()
        for modem in self._ends:
            modem.serve_program(now)
            while modem.asked:
                self._act(modem, modem.asked.pop(0), now)
            self._ring(modem, now)
        return not any(modem.state == "up" and modem.is_waiting(now) for modem in self._ends)

    def frame(self) -> None:
        """Twenty milliseconds of line time."""
        for modem in self._ends:
            modem.speak()
        talking = [modem for modem in self._ends if modem.state == "up"]
        if talking:
            self._talk(talking)

    def wait_for_programs(self) -> None:
        """Until one writes, a moment at most."""
        select.select([modem.file for modem in self._ends], [], [], 0.002)

    def _read_faults(self) -> None:
        faults = json.loads(self._control.read_text())
        if faults != self._faults:
            self._faults = faults
            self._control.with_name(f"{self._control.name}.seen").write_text(str(faults["turn"]))

    def _act(self, modem: SoftModem, operation: int, now: float) -> None:
        other = self._ends[modem]
        if operation == _CALL:
            self._call(modem, other, now)
        elif operation in (_ANSWER, _OFF_HOOK) and modem.state == "ringing":
            modem.state = other.state = "up"
            self._talked_seconds = 0.0
            other.tell(CONNECTED)
            modem.tell(ANSWERED)
        elif operation in (_HANGUP, _ON_HOOK) and modem.state != "idle":
            if other.state == "up":
                other.tell(HANGUP)
            modem.state = other.state = "idle"
            self._send_machine_away()

    def _call(self, modem: SoftModem, other: SoftModem, now: float) -> None:
        machine = self._faults.get("machine")
        if self._faults.get("busy") or other.state != "idle":
            modem.tell(BUSY)
        elif machine or self._faults.get("voice"):
            if machine:
                abilities = {name: value for name, value in machine.items() if name != "into"}
                self._machine = FaxMachine("0199000009", Ability(**abilities), receives=Path(machine["into"]))
            modem.state, self._talked_seconds = "up", 0.0
            modem.tell(CONNECTED)
        else:
            modem.state, other.state = "calling", "ringing"
            self._called_at, self._rung_at = now, 0.0

    def _send_machine_away(self) -> None:
        if self._machine is not None:
            self._machine.hang_up()
            self._machine.close()
            self._machine = None

    def _ring(self, modem: SoftModem, now: float) -> None:
        is_silent = bool(self._faults.get("no_answer"))
        due = now - self._rung_at > RING_EVERY_SECONDS and (self._rung_at or modem.is_attended(now))
        if modem.state == "ringing" and not is_silent and due:
            self._rung_at = now
            modem.tell(ALERTING)
        patience = NO_ANSWER_AFTER_SECONDS if is_silent else UNATTENDED_SECONDS
        if modem.state == "calling" and now - self._called_at > patience:
            modem.state = self._ends[modem].state = "idle"
            modem.tell(NO_ANSWER)

    def _talk(self, talking: list[SoftModem]) -> None:
        self._talked_seconds += FRAME_SECONDS
        for modem in talking:
            if self._chance.random() < self._faults.get("clicks", 0):
                add_click(modem.sound, self._chance)
        if not self._faults.get("dead"):
            self._pass_sound(talking)
        if self._talked_seconds > self._faults.get("cut_after", float("inf")):
            for modem in talking:
                modem.tell(HANGUP)
                modem.state = "idle"
            self._send_machine_away()

    def _pass_sound(self, talking: list[SoftModem]) -> None:
        if len(talking) > 1:
            for modem in talking:
                self._ends[modem].hear(modem.sound)
            return
        (modem,) = talking
        if self._machine is None:
            modem.hear(_SILENCE)
        else:
            self._machine.hear(modem.sound)
            modem.hear(self._machine.speak())


def main(first: str, second: str, control: str, speed: str) -> None:
    """Keep the line going until killed."""
    library = load_spandsp()
    line = Line(SoftModem(library, Path(first)), SoftModem(library, Path(second)), Path(control))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    step, due = FRAME_SECONDS / float(speed), time.monotonic()
    while True:
        now = time.monotonic()
        if not line.serve(now):
            line.wait_for_programs()
        elif due > now:
            time.sleep(due - now)
        else:
            due = now + step  # what was waited for is not made up in a hurry
            line.frame()


if __name__ == "__main__":
    main(*sys.argv[1:])
