"""The stage: one folder with configuration, keys and certificates, built-in partners on loopback, and the real service.

The service is the same `tdu serve` that runs elsewhere, in its own process; the partners live in ours, so that what they
received is what we look at.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from adapter.data import partners_root
from adapter.demo.fax_partner import FaxSink
from adapter.demo.ports import free_port
from adapter.demo.record_partner import RecordPartner
from adapter.errors import TduError
from adapter.ledger.vault import create_key_file
from mssante.testing import OperatorDouble, make_test_pki

HOSPITAL = "750712184"
CENTRE = "949990220"
SANDBOX_MAILBOX = "bac-a-sable@aphp.formation.mssante.fr"
READY_PATIENCE_SECONDS = 40.0

_CONFIG = """\
[instance]
mode = "test"
name = "{name}"
workers = {workers}
data_dir = "data"

[instance.sandbox]
mail = "{mailbox}"
fax = "+33199000000"
record = "{record}"

[[legal_entities]]
finess_ej = "{hospital}"
name = "Assistance publique – Hôpitaux de Paris"
source_oid = "1.2.250.1.999.94.1"
[legal_entities.sender]
mailbox = "traitdunion@aphp.formation.mssante.fr"
mail_label = "AP-HP Paris-Sud"
product_reference = "TDU-DEMO"
phone = "+33199002000"
fax_number = "+33199002001"

[[legal_entities]]
finess_ej = "{centre}"
name = "Commune d'Ivry-sur-Seine"
source_oid = "1.2.250.1.999.94.2"
[legal_entities.sender]
mailbox = "traitdunion@cms-ivry.formation.mssante.fr"
mail_label = "CMS d'Ivry-sur-Seine"
product_reference = "TDU-DEMO"
phone = "+33199004000"
fax_number = "+33199004001"

[ledger]
url = "{ledger}"
key_file = "payload.key"
lease_seconds = {lease}

[directory]
files = ["reference-territory.toml", "units.csv"]

[doors.mllp]
port = {mllp}

[[doors.mllp.peers]]
name = "dpi-bicetre"
application = "DPI"
facility = "BICETRE"
legal_entity = "{hospital}"
{acks_to}
{peers}
[doors.http]
port = {http}
legal_entity = "{centre}"

[[doors.folders]]
path = "drop"
name = "depot"
legal_entity = "{hospital}"
poll_seconds = 0.2
settle_seconds = 0.2

[channels.mssante]
host = "127.0.0.1"
port = {smtp}
timeout_seconds = 20
[channels.mssante.tls]
certificate = "pki/client.pem"
key = "pki/client.key"
ca = "pki/ca.pem"

[channels.shared_record]
base_url = "{record}"
timeout_seconds = 20

[channels.fax]
spool_directory = "data/fax"
first_fax = "send"
{hl7}
[unclear]
mssante_seconds = {unclear}
shared_record_seconds = {unclear}
fax_seconds = {unclear}
hl7_push_seconds = {unclear}

[log]
format = "json"
"""


_PEER = """
[[doors.mllp.peers]]
name = "{application}"
application = "{application}"
facility = "{facility}"
legal_entity = "{hospital}"
"""


_HL7 = """
[[channels.hl7_push.partners]]
name = "dpi-bicetre"
host = "127.0.0.1"
port = {port}
application = "DPI"
facility = "BICETRE"
legal_entity = "{hospital}"
answer_timeout_seconds = 5
"""


@dataclass(frozen=True)
class StageSettings:
    """What a play may change. Durations in seconds; `ledger` is a database address, SQLite in the folder by default.

    `more_peers` are further senders at the MLLP door, as (MSH-3, MSH-4). `acks_port`: where the hospital's software listens for
    acknowledgements; 0: nowhere.
    """

    workers: int = 1
    lease_seconds: int = 60
    unclear_seconds: float = 900.0
    ledger: str = ""
    more_peers: tuple[tuple[str, str], ...] = ()
    acks_port: int = 0


class Stage:
    """`with Stage(folder) as stage: …` sets partners up and starts the service; leaving stops all."""

    def __init__(self, folder: Path, settings: StageSettings | None = None, launcher: tuple[str, ...] = ()) -> None:
        self._launcher = launcher
        self.folder = folder.resolve()
        self.settings = settings or StageSettings()
        self.config_file = self.folder / "tdu.toml"
        self.log_file = self.folder / "service.log"
        self.mllp_port, self.http_port = free_port(), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        pki = make_test_pki(self.folder / "pki")
        self.operator = OperatorDouble(pki, directory=self.folder / "received" / "mail")
        self.record = RecordPartner(self.folder / "received" / "record")
        self.fax = FaxSink(self.folder / "data" / "fax", self.folder / "received" / "fax")
        self._service: subprocess.Popen[bytes] | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.operator.start()
            undo.callback(self.operator.stop)
            undo.enter_context(self.record)
            self.fax.start()
            undo.callback(self.fax.stop)
            self._write_files()
            undo.callback(self.stop_service)  # before the start: one that fails leaves no process behind
            self.start_service(*self._launcher)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._undo.close()

    def _write_files(self) -> None:
        if not (self.folder / "payload.key").exists():
            create_key_file(self.folder / "payload.key")
        for name in ("reference-territory.toml", "units.csv"):
            shutil.copyfile(partners_root() / name, self.folder / name)
        peers = "".join(_PEER.format(application=a, facility=f, hospital=HOSPITAL) for a, f in self.settings.more_peers)
        acks_port = self.settings.acks_port
        self.config_file.write_text(
            _CONFIG.format(
                peers=peers,
                acks_to='acks_to = "dpi-bicetre"' if acks_port else "",
                hl7=_HL7.format(port=acks_port, hospital=HOSPITAL) if acks_port else "",
                name=self.folder.name,
                workers=self.settings.workers,
                mailbox=SANDBOX_MAILBOX,
                record=self.record.base_url,
                hospital=HOSPITAL,
                centre=CENTRE,
                ledger=self.settings.ledger,
                lease=self.settings.lease_seconds,
                mllp=self.mllp_port,
                http=self.http_port,
                smtp=self.operator.port,
                unclear=self.settings.unclear_seconds,
            ),
            encoding="utf-8",
        )

    def start_service(self, *launcher: str) -> None:
        """Start `tdu serve` (or a `launcher` that ends in it) and wait until it is ready to keep what it is given."""
        command = [*(launcher or (sys.executable, "-m", "adapter")), "serve", "--config", str(self.config_file)]
        with self.log_file.open("ab") as log:
            self._service = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Block until `/health/ready` says yes; TduError when the service ended or is too slow."""
        deadline = time.monotonic() + READY_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self._service is not None and self._service.poll() is not None:
                break
            try:
                if requests.get(f"http://127.0.0.1:{self.http_port}/health/ready", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        raise TduError("demo.service-not-ready", "the service did not get ready.", where=str(self.log_file))

    @property
    def service_is_dead(self) -> bool:
        """True when the service was started and its process has ended."""
        return self._service is not None and self._service.poll() is not None

    def kill_service(self) -> None:
        """kill -9, as a power cut would."""
        if self._service is not None:
            self._service.kill()
            self._service.wait()

    def stop_service(self) -> int:
        """Orderly stop; the exit code of the service."""
        if self._service is None or self._service.poll() is not None:
            return 0 if self._service is None else self._service.returncode
        self._service.send_signal(signal.SIGTERM)
        try:
            return self._service.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._service.kill()
            return self._service.wait()
