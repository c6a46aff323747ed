"""A letter goes from one running instance to another through Postfix and Dovecot, into software, and its proofs come back.

The hospital holds an application's mailbox (client certificate), the practice a person's (token). What is judged is what partners
received: the bytes at the practice's software, the mails in the boxes, the acknowledgements at the hospital's own software.
"""

from __future__ import annotations

import base64
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from adapter.assembly import open_ledger
from adapter.checkup import check_instance
from adapter.config import load_config
from adapter.data import partners_root
from adapter.demo.messages import send_mllp
from adapter.formats.hl7v2 import Message, read_message
from adapter.ledger.vault import create_key_file
from mssante.incoming import MailKind, read_mail
from mssante.smtp import TlsSettings
from mssante.smtp import send as send_mail
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.builders.inbound_mail import hospital, letter_mail, plain_mail
from tests.loudly import skip_loudly
from tests.servers.mail_operator import MailOperator, is_installed
from tests.servers.mllp_peer import MllpPeer, refuse, take

DOMAIN = "essai.formation.mssante.fr"
HOSPITAL_BOX, PRACTICE_BOX = f"hopital.app@{DOMAIN}", f"cabinet@{DOMAIN}"
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


def _entry(table: str, operator: MailOperator, token: Path | None) -> str:
    pki = operator.pki
    if token is None:
        return f'[{table}.tls]\ncertificate = "{pki.client_certificate}"\nkey = "{pki.client_key}"\nca = "{pki.authority}"\n'
    return f'user = "{PRACTICE_BOX}"\n[{table}.tls]\nca = "{pki.authority}"\n[{table}.token]\nfile = "{token}"\n'


@dataclass
class House:
    """One instance of the service in its own process."""

    folder: Path
    entity: str
    mllp_port: int
    http_port: int
    software: MllpPeer
    process: subprocess.Popen[bytes] | None = None

    def start(self, *launcher: str) -> None:
        command = [*(launcher or (sys.executable, "-m", "adapter")), "serve", "--config", str(self.folder / "tdu.toml")]
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
        return (self.folder / "service.log").read_text(errors="replace")

    def messages(self, kind: str) -> list[Message]:
        """What its software received, of one kind (MDM, ZAM)."""
        read = [read_message(content) for content in list(self.software.received)]
        return [message for message in read if message.value("MSH", 9) == kind]

    def reasons(self) -> list[str]:
        ledger = open_ledger(load_config(self.folder / "tdu.toml", {}))
        try:
            return sorted(item.reason for item in ledger.list_work_items(legal_entity=self.entity))
        finally:
            ledger.close()

    def conserves(self) -> bool:
        ledger = open_ledger(load_config(self.folder / "tdu.toml", {}))
        try:
            return ledger.conservation(legal_entity=self.entity).holds
        finally:
            ledger.close()


@dataclass
class World:
    """Both houses and the operator between them."""

    operator: MailOperator
    hospital: House
    practice: House


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _house(folder: Path, name: str, operator: MailOperator, software: MllpPeer, token: Path | None) -> House:
    folder.mkdir()
    entity, mailbox, other = (PRACTICE, PRACTICE_BOX, HOSPITAL_BOX) if token else (HOSPITAL, HOSPITAL_BOX, PRACTICE_BOX)
    create_key_file(folder / "payload.key")
    for file in ("reference-territory.toml", "units.csv"):
        (folder / file).write_bytes((partners_root() / file).read_bytes())
    (folder / "essai.toml").write_text(_DOMAINS)
    house = House(folder, entity, _free_port(), _free_port(), software)
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
        software=software.port,
    )
    (folder / "tdu.toml").write_text(text, encoding="utf-8")
    return house


@pytest.fixture
def world(tmp_path: Path, require_root_servers: None) -> Iterator[World]:
    if not is_installed():
        skip_loudly("Postfix and Dovecot are not installed")
    with ExitStack() as undo:
        operator = MailOperator(mailboxes=(HOSPITAL_BOX, PRACTICE_BOX), domain=DOMAIN, owner=HOSPITAL_BOX, size_limit=10_000_000)
        undo.callback(operator.stop)
        operator.start()
        token = tmp_path / "token"
        token.write_text(operator.wallet.token(PRACTICE_BOX, lives_seconds=3600))
        hospital_software = undo.enter_context(MllpPeer())
        practice_software = undo.enter_context(MllpPeer())
        hospital = _house(tmp_path / "hospital", "hopital", operator, hospital_software, None)
        practice = _house(tmp_path / "practice", "cabinet", operator, practice_software, token)
        for house in (hospital, practice):
            undo.callback(house.stop)
        practice.start()
        yield World(operator, hospital, practice)


ASKS = {"ACK_RECEPTION": "Y", "ACK_LECTURE_MSS": "Y"}


def send(house: House, cda: bytes, control_id: str) -> None:
    message = build_mdm(cda, control_id=control_id, recipients=(DOCTOR,), flags=ASKS, change={"MSH-11": "T"})
    answer = send_mllp(house.mllp_port, message)
    assert b"MSA|AA" in answer, answer


def test_a_letter_refused_once_and_taken_once_comes_back_as_proofs(world: World) -> None:
    chu, practice = world.hospital, world.practice
    chu.start()
    practice.software.script(refuse("902"), take())
    send(chu, build_n1(), "ALLER-1")
    practice.wait(lambda: len(practice.messages("MDM")) == 1, "the first letter in the software")
    send(chu, build_ldl_ses(), "ALLER-2")
    practice.wait(lambda: len(practice.messages("MDM")) == 2, "the second letter in the software")
    assert build_ldl_ses() in _carried(practice)
    chu.wait(lambda: len(chu.messages("ZAM")) >= 4, "Z02 and Z03 of both")
    acks = [(zam.value("MSH", 9, 2), zam.encode()) for zam in chu.messages("ZAM")]
    assert sorted(event for event, _ in acks) == ["Z02", "Z02", "Z03", "Z03"]
    refusal = [content for event, content in acks if event == "Z03" and b"902" in content]
    assert len(refusal) == 1 and b"ALLER-1" in refusal[0]
    chu.wait(lambda: chu.reasons() == ["identity-902"], "the question about the refusal")
    assert practice.reasons() == ["identity-902"]
    assert chu.conserves() and practice.conserves()
    said = chu.log() + practice.log()
    assert "BERTHIER" not in said and "Traceback" not in said


def _carried(house: House) -> list[bytes]:
    found = []
    for message in house.messages("MDM"):
        text = message.encode().decode()
        line = next(line for line in text.split("\r") if line.startswith("OBX|1|"))
        found.append(base64.b64decode(line.split("|")[5].split("^")[4]))
    return found


def test_bad_mails_are_listed_once_and_good_ones_pass(world: World) -> None:
    practice = world.practice
    boxes = world.operator
    checks = check_instance(load_config(practice.folder / "tdu.toml", {}), datetime.now(UTC))
    assert [check.detail for check in checks if check.subject == "mailbox boite" and check.ok] == ["open, 1 folders"]
    sent = [
        letter_mail(build_n1(), to=PRACTICE_BOX, message_id="<m1@x.mssante.fr>", change_archive=lambda _: b"PK\x03\x04 x"),
        plain_mail("Bonjour", "Un rendez-vous ?", to=PRACTICE_BOX),
        plain_mail("Réponse automatique", "En congé", to=PRACTICE_BOX, message_id="<auto@x>"),
        letter_mail(build_ldl_ses(), to=PRACTICE_BOX, message_id="<m2@x.formation.mssante.fr>"),
    ]
    for mail in sent:
        _post(boxes, mail)
    practice.wait(lambda: len(practice.messages("MDM")) == 1, "the good letter")
    practice.wait(lambda: practice.reasons() == ["archive.broken", "ordinary-mail"], "the questions")
    time.sleep(1.5)  # several rounds of the door
    assert practice.log().count('"mailbox.kept"') == len(sent)
    assert practice.reasons() == ["archive.broken", "ordinary-mail"]
    assert practice.conserves()


def _post(operator: MailOperator, mail: bytes) -> None:
    """As the hospital's application box would."""
    pki = operator.pki
    tls = TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "operateur.test")
    body = mail.split(b"\r\n", 2)[2] if mail.startswith(b"Return-Path") else mail
    result = send_mail(body, HOSPITAL_BOX, PRACTICE_BOX, host="127.0.0.1", port=operator.smtp_port, tls=tls, local_name="x.test")
    assert result.verdict.value == "accepted", result


STEPS = [f"{moment}:{name}" for name in ("commit_receipts", "commit_effects", "settle_send") for moment in ("before", "after")]


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(world: World, step: str, tmp_path: Path) -> None:
    practice = world.practice
    practice.stop()
    launcher = Path(__file__).parents[1] / "crash" / "launcher.py"
    mark = tmp_path / "mark"
    practice.start(sys.executable, str(launcher), step, "1", str(mark))
    _post(world.operator, letter_mail(build_ldl_ses(), to=PRACTICE_BOX, sender=hospital(mailbox=HOSPITAL_BOX)))
    deadline = time.monotonic() + 30
    while practice.process is not None and practice.process.poll() is None:
        assert time.monotonic() < deadline, "the wire was not tripped"
        time.sleep(0.05)
    assert mark.exists()
    practice.start()
    practice.wait(lambda: practice.messages("MDM"), "the letter after the restart")
    practice.wait(lambda: _read_reports(world.operator), "the receipt")
    time.sleep(1.5)  # what would be doubled has its chance
    assert len({message.value("MSH", 10) for message in practice.messages("MDM")}) == 1
    # Killed before it knew the answer, it says the same message again: the software knows it by its MSH-10.
    assert len(practice.messages("MDM")) == (2 if step == "before:settle_send" else 1)
    assert _read_reports(world.operator) == 1
    assert practice.conserves()


def _read_reports(operator: MailOperator) -> int:
    return sum(read_mail(mail.as_bytes()).kind is MailKind.READ_REPORT for mail in operator.mails(HOSPITAL_BOX))
