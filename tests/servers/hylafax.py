"""A private HylaFAX on two soft modems, loopback only, own spool: what one modem sends, the other receives.

Needs root (hfaxd changes its root) and the Debian packages hylafax-server, hylafax-client, libspandsp2, ghostscript,
libtiff-tools. Nothing of the machine's own fax set-up is read or changed, no system service is started, and nothing is left, not
even when the tests are killed (`keeper`). Traps met: hfaxd wants `-l` before `-i`, else it listens everywhere; a modem's id is
its path below /dev with `/` as `_`, so its name holds no `_`; one call a number at a time; default retry waits are minutes, a
modem's resets seconds; the spool's folders must be crossed by the user uucp.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("/usr/sbin/faxq", "/usr/sbin/hfaxd", "/usr/sbin/faxgetty", "/usr/bin/faxstat")
PACKAGED_SPOOL, PACKAGED_SETTINGS = Path("/var/spool/hylafax"), Path("/etc/hylafax")
# Times faster than a telephone line, at most: the line waits for the programs (`soft_modems`).
SPEED = 40
# Outside the ports that a system gives to outgoing connections: free when looked at is free a moment later.
_PORTS = range(20000, 30000)
# Where the tests may (root), fax programs come before the rest of the tests: a loaded machine then slows the line down less.
_NICE = -10

# Minutes by default: when a job is tried again, and when a modem that was in use is looked at again.
_RETRIES = "\n".join(f"JobReq{why}: 2" for why in ("Busy", "NoCarrier", "NoAnswer", "DataConn", "Other"))
# After a call without agreement: long enough for our channel to see, on a loaded machine, that fine pages are not taken.
_WAITS = f"{_RETRIES}\nJobReqProto: 15\nPollLockWait: 1\nPollModemWait: 1\n"
_MODEM = """\
CountryCode: 33
AreaCode: 1
FAXNumber: +33.1.99.00.00.0{number}
LongDistancePrefix: 0
InternationalPrefix: 00
DialStringRules: etc/dialrules
ServerTracing: 0xFFF
SessionTracing: 0xFFF
RecvFileMode: 0644
LogFileMode: 0644
DeviceMode: 0660
RingsBeforeAnswer: 1
SpeakerVolume: off
LocalIdentifier: "FAX{number}"
TagLineFont: etc/lutRS18.pcf
TagLineFormat: "De %%l|%c|Page %%P/%%T"
ModemType: Class1
Class1TMConnectDelay: 0
ModemResetDelay: 0
ModemSoftResetCmdDelay: 0
ModemDTRDropDelay: 0
PagerTTYParity: none
{waits}
"""


def why_not() -> str:
    """What is missing to run one here; empty when nothing is."""
    missing = [program for program in PROGRAMS if not Path(program).exists()]
    if missing or not PACKAGED_SPOOL.is_dir():
        return f"HylaFAX is not installed ({', '.join(missing) or PACKAGED_SPOOL})"
    return "" if os.geteuid() == 0 else "HylaFAX needs root"


@dataclass
class HylaFax:
    """The running server: `port` speaks FNP, `received` is where calls arrive, `fault` breaks the line."""

    home: Path
    port: int
    modems: tuple[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _turn: int = 0

    @property
    def spool(self) -> Path:
        """HylaFAX's own folder."""
        return self.home / "spool"

    @property
    def received(self) -> Path:
        """The receive queue."""
        return self.spool / "recvq"

    def fault(self, **faults: Any) -> None:
        """What the line does from now on (see `soft_modems`); nothing: a sound line. Returns when the line knows."""
        self._turn += 1
        new = self.home / "line.json.new"
        new.write_text(json.dumps({**faults, "turn": self._turn}))
        new.replace(self.home / "line.json")
        if "modems" in self.processes:
            _until(lambda: _read(self.home / "line.json.seen") == str(self._turn), "an answer of the line")

    def sessions(self) -> str:
        """Every session log of the server: who said what in which call."""
        return "\n".join(_read(path) for path in sorted((self.spool / "log").glob("c*")))

    def stop_server(self) -> None:
        """HylaFAX itself down, the modems stay."""
        for name in [name for name in self.processes if name not in {"modems", "keeper"}]:
            _end(self.processes.pop(name))

    def start_server(self) -> None:
        """HylaFAX up (again), both modems ready."""
        spool = str(self.spool)
        self._run("faxq", "/usr/sbin/faxq", "-D", "-q", spool)
        _until(lambda: (self.spool / "FIFO").exists(), "faxq")
        self._run("hfaxd", "/usr/sbin/hfaxd", "-d", "-q", spool, "-l", "127.0.0.1", "-i", str(self.port))
        for modem in self.modems:
            self._run(modem, "/usr/sbin/faxgetty", "-q", spool, modem)
        _until(self._is_idle, "two idle modems")

    def stop(self) -> None:
        """Everything down and gone."""
        keeper = self.processes.pop("keeper")
        for process in reversed(self.processes.values()):
            _end(process)
        (self.home / "groups").unlink()  # their numbers may belong to others soon
        keeper.communicate(timeout=60)  # it is told by the end of its input, and removes what is left on disk

    def _is_idle(self) -> bool:
        asked = subprocess.run(["/usr/bin/faxstat", "-h", f"127.0.0.1:{self.port}"], capture_output=True, text=True, check=False)
        return asked.stdout.count("Running and idle") == len(self.modems)

    def _run(self, name: str, *command: str) -> None:
        log = (self.home / f"{Path(name).name}.log").open("ab")
        with log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        self.processes[name] = process
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        with (self.home / "groups").open("a") as groups:
            groups.write(f"{process.pid}\n")


def start_hylafax() -> HylaFax:
    """A server of one's own; call `why_not` first."""
    home = Path(tempfile.mkdtemp(prefix="tdufax"))
    home.chmod(0o755)
    name = home.name.replace("_", "x")
    devices = Path("/dev/shm") / name
    devices.mkdir()
    paths = (str(devices / f"tty{name}A"), str(devices / f"tty{name}B"))  # locks bear the last name alone: no two servers' alike
    fax = HylaFax(home, _free_port(), paths)
    here = Path(__file__).parent
    fax._run("keeper", sys.executable, str(here / "keeper.py"), str(home), str(devices))
    try:
        _make_spool(fax)
        fax.fault()
        fax._run("modems", sys.executable, str(here / "soft_modems.py"), *paths, str(home / "line.json"), str(SPEED))
        _until(lambda: "ready" in _read(home / "modems.log"), "soft modems")
        fax.start_server()
    except BaseException:
        fax.stop()
        raise
    return fax


def _make_spool(fax: HylaFax) -> None:
    subprocess.run(["cp", "-a", str(PACKAGED_SPOOL), str(fax.spool)], check=True)
    settings = fax.spool / "etc"
    settings.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", f"{PACKAGED_SETTINGS}/.", str(settings)], check=True)
    shutil.chown(settings, "uucp", "uucp")
    for old in settings.glob("config.*"):
        old.unlink()
    with (settings / "config").open("a") as general:
        general.write(f"\n{_WAITS}")
    for number, modem in enumerate(fax.modems):
        name = modem.removeprefix("/dev/").replace("/", "_")
        (settings / f"config.{name}").write_text(_MODEM.format(number=number, waits=_WAITS))


def _free_port() -> int:
    for port in random.Random().sample(_PORTS, 50):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port")


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _until(is_so: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} after a minute")
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
