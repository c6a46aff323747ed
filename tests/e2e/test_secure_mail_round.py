"""A letter goes from one running instance to another through Postfix and Dovecot, into software, and its proofs come back.

The hospital holds an application's mailbox (client certificate), the practice a person's (token). What is judged is what partners
received: the bytes at the practice's software, the mails in the boxes, the acknowledgements at the hospital's own software.
"""

from __future__ import annotations

import base64
import io
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.checkup import check_instance
from adapter.config import load_config
from adapter.demo.messages import send_mllp
from adapter.formats.hl7v2 import Message, read_message
from mssante.incoming import MailKind, read_mail
from mssante.receipts import ReadReport, read_receipt
from mssante.smtp import TlsSettings
from mssante.smtp import send as send_mail
from tests.builders.cda import PATIENT, build_ldl_ses, build_n1
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.builders.inbound_mail import hospital, letter_mail, plain_mail, rewritten
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


def _bad(message_id: str, cda: bytes, change_archive: Callable[[bytes], bytes] = lambda archive: archive) -> bytes:
    """From the hospital's own box, which asks for a receipt."""
    sender = hospital(mailbox=HOSPITAL_BOX)
    return letter_mail(cda, to=PRACTICE_BOX, message_id=message_id, sender=sender, change_archive=change_archive)


def _leaving_its_folder(_: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.xml", "x")
    return buffer.getvalue()


def _about_another(archive: bytes) -> bytes:
    return rewritten(archive, "METADATA.XML", lambda content: content.replace(b"EXEMPLE-BERTHIER", b"EXEMPLE-AUTRE"))


def _told(operator: MailOperator) -> dict[str, list[str]]:
    """What the hospital's box received: by original mail, the codes of each receipt; none for a yes."""
    found: dict[str, list[str]] = {}
    for mail in operator.mails(HOSPITAL_BOX):
        receipt = read_receipt(read_mail(mail.as_bytes()))
        if isinstance(receipt, ReadReport):  # the relay's own notices come there too
            found.setdefault(receipt.message_ids[0], []).append(" ".join(error.code for error in receipt.errors))
    return found


def test_bad_mails_are_listed_once_told_once_and_good_ones_pass(world: World) -> None:
    practice = world.practice
    boxes = world.operator
    checks = check_instance(load_config(practice.config_file, {}), datetime.now(UTC))
    assert [check.detail for check in checks if check.subject == "mailbox boite" and check.ok] == ["open, 1 folders"]
    sent = [
        _bad("<m1@x.mssante.fr>", build_n1(), lambda _: b"PK\x03\x04 x"),
        _bad("<m3@x.mssante.fr>", build_n1(), _leaving_its_folder),
        _bad("<m4@x.mssante.fr>", build_n1(), _about_another),
        _bad("<m5@x.mssante.fr>", build_n1(patient=replace(PATIENT, ins=""))),
        plain_mail("Bonjour", "Un rendez-vous ?", to=PRACTICE_BOX),
        plain_mail("Réponse automatique", "En congé", to=PRACTICE_BOX, message_id="<auto@x>"),
        _bad("<m2@x.formation.mssante.fr>", build_ldl_ses()),
    ]
    questions = sorted(
        ["archive.broken", "archive.unsafe-name", "mail.other-patient-in-metadata", "mail.identity-unqualified", "ordinary-mail"]
    )
    for mail in sent:
        _post(boxes, mail)
    practice.wait(lambda: len(messages(world.software, "MDM")) == 1, "the good letter")
    practice.wait(lambda: practice.reasons() == questions, "the questions")
    practice.wait(lambda: len(_told(boxes)) == 5, "the answers")
    time.sleep(1.5)  # several rounds of the door
    assert practice.log().count('"mailbox.kept"') == len(sent)
    assert practice.reasons() == questions
    assert _told(boxes) == {
        "<m1@x.mssante.fr>": ["906"],
        "<m3@x.mssante.fr>": ["906"],
        "<m4@x.mssante.fr>": ["904"],
        "<m5@x.mssante.fr>": ["903"],
        "<m2@x.formation.mssante.fr>": [""],
    }
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
    _killed_at(world, step, tmp_path, letter_mail(build_ldl_ses(), to=PRACTICE_BOX, sender=hospital(mailbox=HOSPITAL_BOX)))
    practice.wait(lambda: messages(world.software, "MDM"), "the letter after the restart")
    practice.wait(lambda: _read_reports(world.operator), "the receipt")
    time.sleep(1.5)  # what would be doubled has its chance
    assert len({message.value("MSH", 10) for message in messages(world.software, "MDM")}) == 1
    # Killed before it knew the answer, it says the same message again: the software knows it by its MSH-10.
    assert len(messages(world.software, "MDM")) == (2 if step == "before:settle_send" else 1)
    assert _read_reports(world.operator) == 1
    assert practice.conserves()


ANSWERING = ["before:commit_effects", "after:commit_effects", "after:settle_acks", "before:mark_on_wire"]


@pytest.mark.parametrize("step", ANSWERING)
def test_a_kill_at_any_step_of_a_refusal_tells_it_once(world: World, step: str, tmp_path: Path) -> None:
    practice = world.practice
    _killed_at(world, step, tmp_path, _bad("<m1@x.mssante.fr>", build_n1(), _leaving_its_folder))
    practice.wait(lambda: _told(world.operator), "the refusal")
    time.sleep(1.5)  # what would be doubled has its chance
    assert _told(world.operator) == {"<m1@x.mssante.fr>": ["906"]}
    assert practice.reasons() == ["archive.unsafe-name"] and practice.conserves()


def _killed_at(world: World, step: str, folder: Path, mail: bytes) -> None:
    """The practice takes a mail, dies at a step, and starts again."""
    practice = world.practice
    practice.stop()
    launcher = Path(__file__).parents[1] / "crash" / "launcher.py"
    mark = folder / "mark"
    practice.start(sys.executable, str(launcher), step, "1", str(mark))
    _post(world.operator, mail)
    deadline = time.monotonic() + 30
    while practice.process is not None and practice.process.poll() is None:
        assert time.monotonic() < deadline, "the wire was not tripped"
        time.sleep(0.05)
    assert mark.exists()
    practice.start()


def _read_reports(operator: MailOperator) -> int:
    return sum(read_mail(mail.as_bytes()).kind is MailKind.READ_REPORT for mail in operator.mails(HOSPITAL_BOX))
