"""A letter goes from one running instance to another through Postfix and Dovecot, into software, and its proofs come back.

The hospital holds an application's mailbox (client certificate), the practice a person's (token). What is judged is what partners
received: the bytes at the practice's software, the mails in the boxes, the acknowledgements at the hospital's own software.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.checkup import check_instance
from adapter.config import load_config
from adapter.demo.messages import send_mllp
from adapter.formats.hl7v2 import Message, read_message
from mssante.incoming import MailKind, read_mail
from mssante.smtp import TlsSettings
from mssante.smtp import send as send_mail
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.builders.inbound_mail import hospital, letter_mail, plain_mail
from tests.e2e.two_houses import HOSPITAL_BOX, PRACTICE_BOX, House, two_houses
from tests.servers.mail_operator import MailOperator
from tests.servers.mllp_peer import MllpPeer, refuse, take

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@dataclass
class World:
    """Both houses and the operator between them, and the software of each."""

    operator: MailOperator
    hospital: House
    practice: House
    hospital_is: MllpPeer
    software: MllpPeer


@pytest.fixture
def world(tmp_path: Path, require_root_servers: None) -> Iterator[World]:
    with (
        MllpPeer() as hospital_is,
        MllpPeer() as software,
        two_houses(tmp_path, hospital_software=hospital_is.port, practice_software=software.port) as (operator, chu, practice),
    ):
        practice.start()
        yield World(operator, chu, practice, hospital_is, software)


def messages(peer: MllpPeer, kind: str) -> list[Message]:
    """What software received, of one kind (MDM, ZAM)."""
    read = [read_message(content) for content in list(peer.received)]
    return [message for message in read if message.value("MSH", 9) == kind]


ASKS = {"ACK_RECEPTION": "Y", "ACK_LECTURE_MSS": "Y"}


def send(house: House, cda: bytes, control_id: str) -> None:
    message = build_mdm(cda, control_id=control_id, recipients=(DOCTOR,), flags=ASKS, change={"MSH-11": "T"})
    answer = send_mllp(house.mllp_port, message)
    assert b"MSA|AA" in answer, answer


def test_a_letter_refused_once_and_taken_once_comes_back_as_proofs(world: World) -> None:
    chu, practice = world.hospital, world.practice
    chu.start()
    world.software.script(refuse("902"), take())
    send(chu, build_n1(), "ALLER-1")
    practice.wait(lambda: len(messages(world.software, "MDM")) == 1, "the first letter in the software")
    send(chu, build_ldl_ses(), "ALLER-2")
    practice.wait(lambda: len(messages(world.software, "MDM")) == 2, "the second letter in the software")
    assert build_ldl_ses() in _carried(world.software)
    chu.wait(lambda: len(messages(world.hospital_is, "ZAM")) >= 4, "Z02 and Z03 of both")
    acks = [(zam.value("MSH", 9, 2), zam.encode()) for zam in messages(world.hospital_is, "ZAM")]
    assert sorted(event for event, _ in acks) == ["Z02", "Z02", "Z03", "Z03"]
    refusal = [content for event, content in acks if event == "Z03" and b"902" in content]
    assert len(refusal) == 1 and b"ALLER-1" in refusal[0]
    chu.wait(lambda: chu.reasons() == ["identity-902"], "the question about the refusal")
    assert practice.reasons() == ["identity-902"]
    assert chu.conserves() and practice.conserves()
    said = chu.log() + practice.log()
    assert "BERTHIER" not in said and "Traceback" not in said


def _carried(peer: MllpPeer) -> list[bytes]:
    found = []
    for message in messages(peer, "MDM"):
        text = message.encode().decode()
        line = next(line for line in text.split("\r") if line.startswith("OBX|1|"))
        found.append(base64.b64decode(line.split("|")[5].split("^")[4]))
    return found


def test_bad_mails_are_listed_once_and_good_ones_pass(world: World) -> None:
    practice = world.practice
    boxes = world.operator
    checks = check_instance(load_config(practice.config_file, {}), datetime.now(UTC))
    assert [check.detail for check in checks if check.subject == "mailbox boite" and check.ok] == ["open, 1 folders"]
    sent = [
        letter_mail(build_n1(), to=PRACTICE_BOX, message_id="<m1@x.mssante.fr>", change_archive=lambda _: b"PK\x03\x04 x"),
        plain_mail("Bonjour", "Un rendez-vous ?", to=PRACTICE_BOX),
        plain_mail("Réponse automatique", "En congé", to=PRACTICE_BOX, message_id="<auto@x>"),
        letter_mail(build_ldl_ses(), to=PRACTICE_BOX, message_id="<m2@x.formation.mssante.fr>"),
    ]
    for mail in sent:
        _post(boxes, mail)
    practice.wait(lambda: len(messages(world.software, "MDM")) == 1, "the good letter")
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
    practice.wait(lambda: messages(world.software, "MDM"), "the letter after the restart")
    practice.wait(lambda: _read_reports(world.operator), "the receipt")
    time.sleep(1.5)  # what would be doubled has its chance
    assert len({message.value("MSH", 10) for message in messages(world.software, "MDM")}) == 1
    # Killed before it knew the answer, it says the same message again: the software knows it by its MSH-10.
    assert len(messages(world.software, "MDM")) == (2 if step == "before:settle_send" else 1)
    assert _read_reports(world.operator) == 1
    assert practice.conserves()


def _read_reports(operator: MailOperator) -> int:
    return sum(read_mail(mail.as_bytes()).kind is MailKind.READ_REPORT for mail in operator.mails(HOSPITAL_BOX))
