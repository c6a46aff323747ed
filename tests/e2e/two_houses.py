"""Two running instances, Postfix and Dovecot between them: a hospital with an application's mailbox, a practice with a person's.

with two_houses(tmp_path, hospital_software=port, practice_software=port) as (operator, hospital, practice):
    practice.start()                     # neither runs yet
    hospital.start()

The hospital enters with its certificate, the practice with a token. Each is the other's sandbox.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from adapter.assembly import open_ledger
from adapter.config import load_config
from adapter.data import partners_root
from adapter.ledger.ledger import Ledger
from adapter.ledger.vault import create_key_file
from tests.loudly import skip_loudly
from tests.servers.mail_operator import MailOperator, is_installed
from tests.servers.ports import free_port

DOMAIN = "essai.formation.mssante.fr"
HOSPITAL_BOX, PRACTICE_BOX, NEIGHBOUR_BOX = f"hopital.app@{DOMAIN}", f"cabinet@{DOMAIN}", f"voisin.app@{DOMAIN}"
HOSPITAL, PRACTICE = "750712184", "949990220"

_CONFIG = """\
[instance]
mode = "test"
name = "{name}"
workers = 1
[instance.sandbox]
mail = "{sandbox}"
fax = "+33199000000"
record = "http://127.0.0.1:9/fhir"
hl7 = "logiciel"
[[legal_entities]]
finess_ej = "{entity}"
name = "{name}"
source_oid = "1.2.250.1.999.94.1"
[legal_entities.sender]
mailbox = "{mailbox}"
product_reference = "TDU-ESSAI"
[ledger]
key_file = "payload.key"
lease_seconds = 5
[directory]
files = ["reference-territory.toml", "units.csv", "essai.toml"]
[doors.http]
port = {http}
[doors.mllp]
port = {mllp}
[[doors.mllp.peers]]
name = "dpi"
application = "DPI"
acks_to = "logiciel"
[[doors.mailboxes]]
name = "boite"
address = "{mailbox}"
host = "127.0.0.1"
port = {imap}
server_name = "operateur.test"
poll_seconds = 0.5
deliver_to = "software:logiciel"
{imap_entry}
[channels.mssante]
host = "127.0.0.1"
port = {smtp}
timeout_seconds = 20
server_name = "operateur.test"
{smtp_entry}
[[channels.hl7_push.partners]]
name = "logiciel"
host = "127.0.0.1"
port = {software}
application = "LOG"
answer_timeout_seconds = 5
[unclear]
hl7_push_seconds = 1
[log]
format = "json"
"""
_DOMAINS = f'[[domain]]\ndomain = "{DOMAIN}"\ntraining = true\n'


@dataclass
class House:
    """One instance of the service in its own process, and what can be asked of it."""

    folder: Path
    entity: str
    mllp_port: int
    http_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def config_file(self) -> Path:
        return self.folder / "tdu.toml"

    def start(self, *launcher: str) -> None:
        command = [*(launcher or (sys.executable, "-m", "adapter")), "serve", "--config", str(self.config_file)]
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.wait(self._is_ready, "ready")

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.http_port}/health/ready", timeout=2).ok
        except requests.RequestException:
            return False

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0, "no orderly stop"

    def wait(self, claim: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not claim():
            dead = self.process is not None and self.process.poll() is not None
            assert not dead and time.monotonic() < deadline, f"{what}: in vain\n{self.log()[-4000:]}"
            time.sleep(0.05)

    def log(self) -> str:
        file = self.folder / "service.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def reasons(self) -> list[str]:
        with self.ledger() as ledger:
            return sorted(item.reason for item in ledger.list_work_items(legal_entity=self.entity))

    def conserves(self) -> bool:
        with self.ledger() as ledger:
            return ledger.conservation(legal_entity=self.entity).holds

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = open_ledger(load_config(self.config_file, {}))
        try:
            yield ledger
        finally:
            ledger.close()

    def trace(self, reference: str) -> list[dict[str, Any]]:
        """What `tdu trace` tells, as a person's script would read it."""
        command = [sys.executable, "-m", "adapter", "trace", reference, "--json", "--config", str(self.config_file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


@contextmanager
def two_houses(
    folder: Path, *, hospital_software: int, practice_software: int, size_limit: int = 10_000_000
) -> Iterator[tuple[MailOperator, House, House]]:
    """The operator runs; the houses are configured, and stopped in the end."""
    if not is_installed():
        skip_loudly("Postfix and Dovecot are not installed")
    boxes = (HOSPITAL_BOX, PRACTICE_BOX, NEIGHBOUR_BOX)
    with ExitStack() as undo:
        operator = MailOperator(mailboxes=boxes, domain=DOMAIN, owner=HOSPITAL_BOX, size_limit=size_limit, says_delivered=True)
        undo.callback(operator.stop)
        operator.start()
        token = folder / "token"
        token.write_text(operator.wallet.token(PRACTICE_BOX, lives_seconds=3600))
        hospital = _house(folder / "hospital", "hopital", operator, hospital_software, None)
        practice = _house(folder / "practice", "cabinet", operator, practice_software, token)
        for house in (hospital, practice):
            undo.callback(house.stop)
        yield operator, hospital, practice


def _house(folder: Path, name: str, operator: MailOperator, software_port: int, token: Path | None) -> House:
    folder.mkdir()
    entity, mailbox, other = (PRACTICE, PRACTICE_BOX, HOSPITAL_BOX) if token else (HOSPITAL, HOSPITAL_BOX, PRACTICE_BOX)
    create_key_file(folder / "payload.key")
    for file in ("reference-territory.toml", "units.csv"):
        (folder / file).write_bytes((partners_root() / file).read_bytes())
    (folder / "essai.toml").write_text(_DOMAINS)
    house = House(folder, entity, free_port(), free_port())
    text = _CONFIG.format(
        name=name,
        sandbox=other,
        entity=entity,
        mailbox=mailbox,
        http=house.http_port,
        mllp=house.mllp_port,
        imap=operator.imap_port,
        smtp=operator.token_port if token else operator.smtp_port,
        imap_entry=_entry("doors.mailboxes", operator, token),
        smtp_entry=_entry("channels.mssante", operator, token),
        software=software_port,
    )
    house.config_file.write_text(text, encoding="utf-8")
    return house


def _entry(table: str, operator: MailOperator, token: Path | None) -> str:
    pki = operator.pki
    if token is None:
        return f'[{table}.tls]\ncertificate = "{pki.client_certificate}"\nkey = "{pki.client_key}"\nca = "{pki.authority}"\n'
    return f'user = "{PRACTICE_BOX}"\n[{table}.tls]\nca = "{pki.authority}"\n[{table}.token]\nfile = "{token}"\n'
