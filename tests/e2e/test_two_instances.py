"""A hospital's letter through Postfix and Dovecot into a practice's software, and what comes back; the ends are foreign software.

python-hl7's server is the practice's software and the hospital's own; swaks is a sender whom we did not write. What is judged is
what they received.
"""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hl7
import pytest

from adapter.demo.messages import send_mllp
from mssante.incoming import MailKind, read_mail
from mssante.receipts import ReadReport, read_receipt
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import DOCTOR, REPLACES, build_mdm
from tests.builders.inbound_mail import letter_mail
from tests.e2e.two_houses import HOSPITAL_BOX, NEIGHBOUR_BOX, PRACTICE_BOX, House, two_houses
from tests.loudly import skip_loudly
from tests.servers.foreign_hl7 import Listening, python_hl7
from tests.servers.mail_operator import CLIENT_NAME, MailOperator

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

UNKNOWN_PATIENT = "902^Identifiant patient inconnu^applicationErrorCode"
ASKS = {"ACK_RECEPTION": "Y", "ACK_LECTURE_MSS": "Y"}
FIRST = build_n1(document_id="1.2.250.1.999.94.6.1", set_id="1.2.250.1.999.94.60.1")
SECOND = build_ldl_ses(document_id="1.2.250.1.999.94.6.2", set_id="1.2.250.1.999.94.60.2")
NEW_FIRST = build_n1(
    document_id="1.2.250.1.999.94.6.3", set_id="1.2.250.1.999.94.60.1", version=2, replaces="1.2.250.1.999.94.6.1"
)


@dataclass
class World:
    """Both houses, the operator between them, the foreign software at both ends."""

    operator: MailOperator
    hospital: House
    practice: House
    hospital_is: Listening
    software: Listening

    def send(self, cda: bytes, control_id: str, **changes: object) -> None:
        message = build_mdm(cda, control_id=control_id, recipients=(DOCTOR,), flags=ASKS, change={"MSH-11": "T"}, **changes)  # type: ignore[arg-type]
        answer = send_mllp(self.hospital.mllp_port, message)
        assert f"MSA|AA|{control_id}".encode() in answer, answer

    def wait(self, claim: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not claim():
            logs = (self.hospital.log(), self.practice.log(), self.operator.log())
            assert time.monotonic() < deadline, "\n".join((f"{what}: in vain", *(log[-3000:] for log in logs)))
            time.sleep(0.05)


@pytest.fixture
def world(tmp_path: Path, require_root_servers: None) -> Iterator[World]:
    with (
        python_hl7() as hospital_is,
        python_hl7() as software,
        two_houses(tmp_path, hospital_software=hospital_is.port, practice_software=software.port) as (
            operator,
            hospital,
            practice,
        ),
    ):
        yield World(operator, hospital, practice, hospital_is, software)


def told(world: World) -> list[tuple[str, str, str, str]]:
    """What the hospital's software heard: (event, first MSH-10, Y or N, ERR-5)."""
    heard = []
    for message in list(world.hospital_is.messages):
        answer = next(segment for segment in message.segments("OBX") if str(segment[1]) == "1")
        errors = [str(segment[5]) for segment in message if str(segment[0]) == "ERR"]
        heard.append((str(message["MSH.F9.R1.C2"]), str(answer[4]), str(answer[5]).partition("^")[0], *(errors or [""])))
    return heard  # type: ignore[return-value]


def cda_of(message: hl7.Message) -> bytes:
    return base64.b64decode(str(message["OBX1.F5.R1.C5"]))


def state_of_mail(house: House, control_id: str) -> str:
    [found] = house.trace(control_id)
    [mail] = [d for s in found["submissions"] for d in s["deliveries"] if (d["channel"], d["purpose"]) == ("mssante", "document")]
    return str(mail["state"])


def test_a_letter_is_refused_then_taken_and_the_hospital_hears_it_in_its_own_numbers(world: World) -> None:
    hospital, practice = world.hospital, world.practice
    world.software.judge = refusing_first(UNKNOWN_PATIENT)
    practice.start()
    hospital.start()
    world.send(FIRST, "ALLER-1")
    world.wait(lambda: len(world.software.messages) == 1, "the first letter in the software")
    world.send(SECOND, "ALLER-2")
    world.wait(lambda: len(world.software.messages) == 2, "the second letter in the software")
    world.send(NEW_FIRST, "ALLER-3", **REPLACES)
    world.wait(lambda: len(world.software.messages) == 3, "the replacement in the software")
    world.wait(lambda: len(told(world)) >= 6, "six acknowledgements")
    time.sleep(2)  # what would be told twice has its chance

    assert [cda_of(message) for message in world.software.messages] == [FIRST, SECOND, NEW_FIRST]
    assert world.software.events == ["T02", "T02", "T10"]
    for control_id, reading in (("ALLER-1", ("N", "902")), ("ALLER-2", ("Y", "")), ("ALLER-3", ("Y", ""))):
        heard = [(event, verdict, error.partition("^")[0]) for event, about, verdict, error in told(world) if about == control_id]
        assert heard == [("Z02", "Y", ""), ("Z03", *reading)], control_id
    assert len(told(world)) == 6 and len(set(world.hospital_is.control_ids)) == 6

    assert [state_of_mail(hospital, one) for one in ("ALLER-1", "ALLER-2", "ALLER-3")] == ["refused", "integrated", "integrated"]
    kinds = [event["kind"] for event in hospital.trace("ALLER-2")[0]["events"]]
    assert kinds.index("accepted") < kinds.index("delivered") < kinds.index("integrated")
    assert hospital.reasons() == practice.reasons() == ["identity-902"]
    assert hospital.conserves() and practice.conserves()


def refusing_first(error: str) -> Callable[[hl7.Message], str]:
    """Refuses one message, then takes all."""
    answers = iter([error])
    return lambda _: next(answers, "")


# ── a sender whom we did not write ────────────────────────────────────────────────────────────────────────────────


def test_a_mail_of_a_foreign_client_enters_the_practice_and_is_answered(world: World, tmp_path: Path) -> None:
    if shutil.which("swaks") is None:
        skip_loudly("swaks is not installed: no mail of a foreign client is tried")
    world.practice.start()
    post_with_swaks(world.operator, archive_of(SECOND), tmp_path, "<swaks-1@voisin.test>")
    world.wait(lambda: world.software.messages, "the letter in the software")
    [message] = world.software.messages
    assert cda_of(message) == SECOND
    assert str(message["MSH.F9.R1.C2"]) == "T02"
    mails = world.operator.wait_for_mail(HOSPITAL_BOX)  # a test instance answers nobody but its sandbox
    receipt = read_receipt(read_mail(mails[0].as_bytes()))
    assert isinstance(receipt, ReadReport) and read_mail(mails[0].as_bytes()).kind is MailKind.READ_REPORT
    assert receipt.message_ids[0] == "<swaks-1@voisin.test>" and not receipt.is_refusal
    assert NEIGHBOUR_BOX in str(mails[0]["To"])
    assert world.practice.reasons() == [] and world.practice.conserves()


def archive_of(cda: bytes) -> bytes:
    """The files of an IHE_XDM.zip, zipped by another hand: folders listed, nothing compressed, another order."""
    ours = next(a.content for a in read_mail(letter_mail(cda)).archives)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ours)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
        for folder in ("IHE_XDM/", "IHE_XDM/SUBSET01/"):
            new.writestr(folder, b"")
        for name in sorted(old.namelist(), reverse=True):
            if not name.endswith("/"):
                new.writestr(name, old.read(name))
    return buffer.getvalue()


def post_with_swaks(operator: MailOperator, archive: bytes, folder: Path, message_id: str) -> None:
    """A mail composed and sent by swaks, with the hospital's certificate, as a neighbour's software would."""
    (folder / "IHE_XDM.zip").write_bytes(archive)
    pki = operator.pki
    command = [
        "swaks", "--server", f"127.0.0.1:{operator.smtp_port}", "--tls", "--tls-cert", str(pki.client_certificate),
        "--tls-key", str(pki.client_key), "--from", NEIGHBOUR_BOX, "--to", PRACTICE_BOX, "--helo", CLIENT_NAME,
        "--header", "Subject: XDM/1.0/DDM+Lettre de liaison EXEMPLE-BERTHIER CAMILLE 18/09/1974",
        "--add-header", f"Disposition-Notification-To: {NEIGHBOUR_BOX}", "--header", f"Message-Id: {message_id}",
        "--body", "Bonjour, une lettre.", "--attach-type", "application/zip", "--attach-name", "IHE_XDM.zip",
        "--attach", f"@{folder / 'IHE_XDM.zip'}", "--hide-all",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
