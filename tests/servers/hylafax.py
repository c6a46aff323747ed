"""A private HylaFAX on two soft modems, loopback only, own spool: what one modem sends, the other receives.

Needs root (hfaxd changes its root) and the Debian packages hylafax-server, hylafax-client, libspandsp2, ghostscript,
libtiff-tools. Nothing of the machine's own fax set-up is read or changed, no system service is started. Traps met: hfaxd wants
`-l` before `-i`, else it listens everywhere; a modem's id is its path below /dev with `/` as `_`, so its name holds no `_`; one
call a number at a time; default retry waits are minutes; the spool's folders must be crossed by the user uucp.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("/usr/sbin/faxq", "/usr/sbin/hfaxd", "/usr/sbin/faxgetty", "/usr/bin/faxstat")
PACKAGED_SPOOL, PACKAGED_SETTINGS = Path("/var/spool/hylafax"), Path("/etc/hylafax")
SPEED = 8

_RETRIES = "\n".join(f"JobReq{why}: 3" for why in ("Busy", "NoCarrier", "NoAnswer", "DataConn", "Proto", "Other"))
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
Class1TMConnectDelay: 400
PagerTTYParity: none
{retries}
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

    @property
    def spool(self) -> Path:
        """HylaFAX's own folder."""
        return self.home / "spool"

    @property
    def received(self) -> Path:
        """The receive queue."""
        return self.spool / "recvq"

    def fault(self, **faults: Any) -> None:
        """What the line does from now on (see `soft_modems`); nothing: a sound line."""
        control = self.home / "line.json"
        control.write_text(json.dumps(faults))
        time.sleep(0.7)  # it is read every half second

    def stop_server(self) -> None:
        """HylaFAX itself down, the modems stay."""
        for name in [name for name in self.processes if name != "modems"]:
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
        for process in reversed(self.processes.values()):
            _end(process)
        shutil.rmtree(Path(self.modems[0]).parent, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def _is_idle(self) -> bool:
        asked = subprocess.run(["/usr/bin/faxstat", "-h", f"127.0.0.1:{self.port}"], capture_output=True, text=True, check=False)
        return asked.stdout.count("Running and idle") == len(self.modems)

    def _run(self, name: str, *command: str) -> None:
        log = (self.home / f"{Path(name).name}.log").open("ab")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def start_hylafax() -> HylaFax:
    """A server of one's own; call `why_not` first."""
    home = Path(tempfile.mkdtemp(prefix="tdufax"))
    home.chmod(0o755)
    name = home.name.replace("_", "x")
    devices = Path("/dev/shm") / name
    devices.mkdir()
    paths = (str(devices / f"tty{name}A"), str(devices / f"tty{name}B"))  # locks bear the last name alone: no two servers' alike
    fax = HylaFax(home, _free_port(), paths)
    _make_spool(fax)
    fax.fault()
    script = str(Path(__file__).with_name("soft_modems.py"))
    fax._run("modems", sys.executable, script, *paths, str(home / "line.json"), str(SPEED))
    _until(lambda: "ready" in (home / "modems.log").read_text(), "the soft modems")
    fax.start_server()
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
        general.write(f"\n{_RETRIES}\n")
    for number, modem in enumerate(fax.modems):
        name = modem.removeprefix("/dev/").replace("/", "_")
        (settings / f"config.{name}").write_text(_MODEM.format(number=number, retries=_RETRIES))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
