"""What a hospital does during a crash: sends each message until an acknowledgement names it; and how the verdict is read."""

from __future__ import annotations

import email
import email.policy
import io
import re
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from adapter.demo.messages import Sender, To, mdm_t02, send_mllp, with_new_ids
from adapter.demo.stage import HOSPITAL, Stage
from adapter.errors import TduError
from adapter.ledger.ledger import Ledger
from adapter.model.delivery import OPEN_STATES, Delivery, DeliveryState
from mssante.testing import ReceivedMail
from tests.builders.cda import build_n1
from tests.builders.hl7 import build_oru, to_professional

HOSPITAL_IS = Sender("DPI", "BICETRE", "99900000086", "MAQUETTE", "Alix", "949990121", "Hôpital Bicêtre", "221")
READER = To("99900000060", "ARCHETYPE", "Camille")

# A fallback leg waits for ever once the leg before it arrived: it is at rest.
UNSETTLED = OPEN_STATES - {DeliveryState.WAITING}


@dataclass(frozen=True)
class Letter:
    """One letter: the reference of its message, the id of its document."""

    control_id: str
    document_id: str
    message: bytes


def letters(count: int, tag: str, flags: tuple[str, ...] = ("DESTMSSANTEPS",)) -> list[Letter]:
    """Different letters for a reader who has secure mail."""
    base = build_n1()
    made = []
    for number in range(1, count + 1):
        control_id, document_id = f"{tag}{number:05d}", f"1.2.250.1.999.94.8.{number}"
        cda = with_new_ids(base, document_id)
        made.append(Letter(control_id, document_id, mdm_t02(cda, control_id, HOSPITAL_IS, [READER], open_flags=flags)))
    return made


def result_with_two_documents(control_id: str) -> tuple[Letter, Letter]:
    """One ORU with two documents for one reader: two letters that one message carries."""
    ids = [f"1.2.250.1.999.94.8.{number}" for number in (71, 72)]
    reader = to_professional(rpps=READER.rpps, family=READER.family, given=READER.given)
    first, second = (with_new_ids(build_n1(), one) for one in ids)
    change = {"MSH-4": HOSPITAL_IS.facility}
    message = build_oru(first, second, control_id=control_id, recipients=(reader,), change=change)
    return Letter(control_id, ids[0], message), Letter(control_id, ids[1], message)


def send_until_acknowledged(stage: Stage, letter: Letter, patience_seconds: float = 60.0) -> None:
    """As senders do: the same message again until an AA names it. Any other answer fails the play."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            answer = send_mllp(stage.mllp_port, letter.message, timeout_seconds=15)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        assert f"MSA|AA|{letter.control_id}".encode() in answer, "an answer that is not our AA"
        return


@contextmanager
def revived(stage: Stage, *launcher: str) -> Iterator[None]:
    """While in the block, a service that died is started again, as its init system would."""
    halt = threading.Event()

    def watch() -> None:
        while not halt.wait(0.05):
            if stage.service_is_dead:
                with suppress(TduError):
                    stage.start_service(*launcher)

    thread = threading.Thread(target=watch, name="init-system")
    thread.start()
    try:
        yield
    finally:
        halt.set()
        thread.join()


def documents_received(mails: Iterable[ReceivedMail]) -> Counter[str]:
    """How often each document was received, read from the archives that the partner holds."""
    return Counter(document for mail in mails for document in documents_in(mail))


def documents_in(mail: ReceivedMail) -> list[str]:
    """The documents of one mail, read from its archive."""
    seen: list[str] = []
    for part in email.message_from_bytes(mail.content, policy=email.policy.default).walk():
        if part.get_content_type() != "application/zip":
            continue
        with zipfile.ZipFile(io.BytesIO(part.get_payload(decode=True))) as archive:  # type: ignore[arg-type]
            documents = [archive.read(name) for name in archive.namelist() if re.search(r"SUBSET01/DOC\d+\.XML$", name)]
        found = [re.search(rb'<id root="(1\.2\.250\.1\.999\.94\.8\.\d+)"', cda) for cda in documents]
        assert found and all(found), "a mail without one of our documents"
        seen += [one[1].decode() for one in found if one is not None]
    return seen


def copies_are_identical(mails: Iterable[ReceivedMail]) -> bool:
    """A document received twice came twice as the very same bytes: same Message-ID, same archive."""
    by_message_id: dict[str, set[bytes]] = {}
    for mail in mails:
        message_id = str(email.message_from_bytes(mail.content, policy=email.policy.default)["Message-ID"])
        by_message_id.setdefault(message_id, set()).add(mail.content)
    return all(len(contents) == 1 for contents in by_message_id.values())


def wait_for_documents(stage: Stage, wanted: set[str], patience_seconds: float) -> Counter[str]:
    """What was received once all wanted documents are there, or patience ends."""
    deadline = time.monotonic() + patience_seconds
    while True:
        seen = documents_received(stage.operator.received)
        if wanted <= set(seen) or time.monotonic() > deadline:
            return seen
        time.sleep(0.2)


def was_unclear(ledger: Ledger, letter: Letter) -> bool:
    """True when the ledger says of one of the letter's deliveries that it may have arrived before."""
    return any(delivery.unclear_count for delivery in _deliveries(ledger, letter))


def waits_for_a_person(ledger: Ledger, letter: Letter) -> bool:
    """True when an open work item stands on one of the letter's deliveries."""
    mine = {delivery.id for delivery in _deliveries(ledger, letter)}
    return any(item.about_id in mine for item in ledger.list_work_items(legal_entity=HOSPITAL))


def wait_until_settled(ledger: Ledger, letter: Letter, patience_seconds: float = 30.0) -> None:
    """Until no delivery of the letter is on its way any more."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        states = [delivery.state for delivery in _deliveries(ledger, letter)]
        if states and not UNSETTLED.intersection(states):
            return
        time.sleep(0.2)
    raise AssertionError("the letter's deliveries never came to rest")


def _deliveries(ledger: Ledger, letter: Letter) -> list[Delivery]:
    found = [ledger.timeline(row, legal_entity=HOSPITAL) for row in ledger.find(letter.control_id, legal_entity=HOSPITAL)]
    return [d for timeline in found if timeline is not None for s in timeline.submissions for d in s.deliveries]
