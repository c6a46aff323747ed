"""What users of other engines complain about, played against the running service; docs/reference/complaints.md has every row.

Judged from outside: by what a partner's side received and what the door answered. The ledger says what waits for a person.
"""

from __future__ import annotations

import base64
import itertools
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from adapter.demo.messages import send_mllp
from adapter.demo.stage import HOSPITAL
from adapter.formats.hl7v2 import read_message
from tests.builders.cda import tiny_pdf
from tests.crash.play import Letter, documents_received
from tests.e2e.house import House
from tests.e2e.wired import BY_MAIL, Wired, letter, timed, wired
from tests.servers.mllp_peer import Step, answer_for, document_of, hang_up, late_answer, refuse, silence, take

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

SOFTWARE_PATIENCE_SECONDS = 1.0
MESSAGE_SECONDS = 4
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    """One service for the quick rows: impatient with its partners, and with senders who trickle."""
    edits = {"[doors.mllp]": f"[doors.mllp]\nmessage_timeout_seconds = {MESSAGE_SECONDS}"}
    folder = tmp_path_factory.mktemp("complaints")
    with wired(folder, patience_seconds=SOFTWARE_PATIENCE_SECONDS, edits=edits) as opened:
        yield opened


def new_letter(**changes: object) -> Letter:
    return letter(next(numbers), **changes)  # type: ignore[arg-type]


def came(house: Wired, wanted: Letter) -> list[bytes]:
    """Every copy of a letter that the local software received, found by its document, not by our numbers."""
    return [message for message in list(house.software.received) if document_of(message) == wanted.document_id]


def order_of(house: Wired, *letters: Letter) -> list[str]:
    """The documents in their order of arrival, copies left out."""
    mine = {one.document_id for one in letters}
    arrived = [document_of(message) for message in list(house.software.received)]
    return list(dict.fromkeys(document for document in arrived if document in mine))


# ── the partner's answers: rows 1 to 3 ────────────────────────────────────────────────────────────────────────────


def test_a_late_acknowledgement_never_settles_the_next_message(house: Wired) -> None:
    """Row 1. Were it taken for the second message's, that one would read as taken; it was refused."""
    first, second = new_letter(), new_letter()
    house.software.script(late_answer(SOFTWARE_PATIENCE_SECONDS + 0.4), refuse("902"))
    house.send(first, second)
    house.wait_until(lambda: house.states(second) == ["parked"], "the second letter is refused")
    house.wait_until(lambda: house.states(first) == ["integrated"], "the first is sent again")
    assert len(came(house, second)) == 1


@pytest.mark.parametrize("fault", [silence(), hang_up(), answer_for("T0000")], ids=["silence", "hangs up", "answers another"])
def test_without_its_answer_a_message_goes_again_under_its_own_number_and_once_only(house: Wired, fault: Step) -> None:
    """Row 2: it may have been taken, so it is not lost; the receiver can tell the copy by its number, so it is not doubled."""
    unanswered, next_one = new_letter(), new_letter()
    house.software.script(fault)
    house.send(unanswered, next_one)
    house.wait_until(lambda: house.states(unanswered, next_one) == ["integrated"] * 2, "both are taken")
    copies = came(house, unanswered)
    assert len(copies) == 2 and len(set(copies)) == 1
    assert len(came(house, next_one)) == 1


def test_an_acknowledgement_that_nobody_takes_goes_again_with_growing_pauses(house: Wired) -> None:
    """Row 2, the flood: three answers do not come; three tries are made in all that time, not thousands."""
    instants: list[float] = []
    asking = new_letter(to=(BY_MAIL,), flags=("DESTDMP", "ACK_RECEPTION"))
    house.hospital.script(timed(instants, silence()), timed(instants, silence()), timed(instants, take()))
    house.send(asking)
    house.wait_until(lambda: len(instants) == 3, "the third try", 90)
    first, second = (after - before for before, after in itertools.pairwise(instants))
    assert second > first * 1.2 > 4
    about = [message for message in house.hospital.received if asking.control_id.encode() in message]
    assert len(about) == 3 and len(set(about)) == 1


def test_a_sender_that_repeats_itself_gets_the_same_answer_and_its_document_leaves_once(house: Wired) -> None:
    """Row 2, the other end: its acknowledgement was lost on the way, so it says it again, thirty times and at once."""
    repeated = new_letter(to=(BY_MAIL,))
    answers: list[bytes] = []

    def say_it() -> None:
        answers.extend(send_mllp(house.stage.mllp_port, repeated.message) for _ in range(5))

    threads = [threading.Thread(target=say_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 30 and len(set(answers)) == 1
    assert f"MSA|AA|{repeated.control_id}".encode() in answers[0]
    house.wait_until(lambda: documents(house)[repeated.document_id], "the document leaves")
    barrier = new_letter(to=(BY_MAIL,))
    house.send(barrier)
    house.wait_until(lambda: documents(house)[barrier.document_id], "a later one too")
    assert documents(house)[repeated.document_id] == 1


def documents(house: Wired) -> dict[str, int]:
    return documents_received(house.stage.operator.received)


def test_a_refused_message_is_parked_with_its_reason_and_holds_up_nobody(house: Wired) -> None:
    """Row 3: of one patient's letters, one is refused by the person's record, another by the software itself."""
    letters = [new_letter() for _ in range(6)]
    house.software.script(take(), refuse("904"), take(), refuse(condition="101"), take(), take())
    house.send(*letters)
    house.wait_until(lambda: order_of(house, *letters) == [one.document_id for one in letters], "all are tried, in their order")
    house.wait_until(lambda: house.states(*letters).count("integrated") == 4, "the others are taken")
    assert house.deliveries(letters[1])[0].state.value == "parked"
    causes = {item.reason for one in letters for item in house.timeline(one).work_items}
    assert causes == {"identity-904", "content-refused"}
    assert all(len(came(house, one)) == 1 for one in letters), "a refusal is tried again and again"


# ── the door: rows 7, 8 and 10 ────────────────────────────────────────────────────────────────────────────────────

# Table 0155: whether an answer is wanted to what is taken, and to what is not.
WANTED = {"AL": (True, True), "NE": (False, False), "ER": (False, True), "SU": (True, False)}


@pytest.mark.parametrize("is_good", [True, False], ids=["taken", "refused"])
def test_msh_15_and_16_decide_on_the_answer_and_ca_is_never_aa(house: Wired, is_good: bool) -> None:
    """Row 7, each pair over one connection: after each message comes one that wants its answer, so silence shows too."""
    with socket.create_connection(("127.0.0.1", house.stage.mllp_port), timeout=20) as link:
        for accept, application in itertools.product(("", *WANTED), repeat=2):
            asked = new_letter(to=(BY_MAIL,))
            always = new_letter(to=(BY_MAIL,))
            message = with_conditions(asked.message, accept, application)
            link.sendall(framed(message if is_good else message.replace(b"|2.6|", b"|2.3|", 1)) + framed(always.message))
            answers = read_answers(link, until=always.control_id)
            expected = expected_answer(accept, application, is_good)
            assert answers == [*([(expected, asked.control_id)] if expected else []), ("AA", always.control_id)], (
                accept,
                application,
            )


def with_conditions(message: bytes, accept: str, application: str) -> bytes:
    msh, _, rest = message.partition(b"\r")
    fields = msh.split(b"|")
    fields[14], fields[15] = accept.encode(), application.encode()
    return b"|".join(fields) + b"\r" + rest


def expected_answer(accept: str, application: str, is_good: bool) -> str:
    """Original mode without any condition; the application's answer goes before the commit's, and one is enough."""
    letter_of = "A" if is_good else "E"
    if not application or WANTED[application][not is_good]:
        return f"A{letter_of}"
    return f"C{letter_of}" if accept and WANTED[accept][not is_good] else ""


def framed(message: bytes) -> bytes:
    return b"\x0b" + message + b"\x1c\r"


def read_answers(link: socket.socket, until: str) -> list[tuple[str, str]]:
    """MSA-1 and MSA-2 of each answer, until one names this message."""
    received = b""
    while f"|{until}".encode() not in received or not received.endswith(b"\x1c\r"):
        data = link.recv(65_536)
        assert data, "the door closed"
        received += data
    return [(code.decode(), named.decode()) for code, named in re.findall(rb"\rMSA\|(\w\w)\|([^|\r]*)", received)]


@pytest.mark.parametrize("seed", range(3))
def test_messages_cut_and_grouped_anyhow_are_each_answered_in_their_order(house: Wired, seed: int) -> None:
    """Row 8: of several messages in one read, none is dropped; of one message in many reads, nothing is."""
    chance = random.Random(seed)
    letters = [new_letter(to=(BY_MAIL,)) for _ in range(25)]
    stream = b"".join(framed(one.message) + chance.choice((b"", b"\r\n", b"\n")) for one in letters)
    cuts = sorted(chance.sample(range(1, len(stream)), 60 if seed else 2))
    with socket.create_connection(("127.0.0.1", house.stage.mllp_port), timeout=30) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in itertools.pairwise([0, *cuts, len(stream)]):
            link.sendall(stream[begin:end])
            if seed == 1:
                time.sleep(0.01)
        answers = read_answers(link, until=letters[-1].control_id)
    assert answers == [("AA", one.control_id) for one in letters]
    for one in letters:
        assert house.timeline(one).receipt.control_id == one.control_id


def test_senders_that_trickle_are_hung_up_on_and_others_are_served_meanwhile(house: Wired) -> None:
    """Row 10: forty connections that are never silent and never finish; the time of a message runs from its first byte."""
    unfinished = framed(new_letter(to=(BY_MAIL,)).message)[:-2]
    began = time.monotonic()
    with ExitStack() as open_links:
        links = [
            open_links.enter_context(socket.create_connection(("127.0.0.1", house.stage.mllp_port), timeout=5)) for _ in range(40)
        ]
        for place in itertools.count():
            if not (links := [link for link in links if goes_on(link, unfinished[place : place + 1])]):
                break
            assert time.monotonic() - began < MESSAGE_SECONDS + 10, f"{len(links)} still trickle"
            if place == 5:
                served = time.monotonic()
                house.send(new_letter(to=(BY_MAIL,)))
                assert time.monotonic() - served < 3
            time.sleep(0.1)
    assert time.monotonic() - began > MESSAGE_SECONDS - 0.5, "nobody was slow"


def goes_on(link: socket.socket, byte: bytes) -> bool:
    """One more byte; False once the door hung up."""
    try:
        link.sendall(byte)
        link.setblocking(False)
        return bool(link.recv(1))
    except BlockingIOError:
        link.settimeout(5)
        return True
    except OSError:
        return False


# ── large documents: row 19 ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("pdf_bytes", "seconds"), [(900_000, 15), (15_000_000, 60)], ids=["1.6 MB", "27 MB"])
def test_a_large_document_reaches_software_whole_in_seconds(house: Wired, pdf_bytes: int, seconds: float) -> None:
    """Row 19: a quarter of an hour for 1.6 MB elsewhere, and out of memory at 27 MB."""
    large = new_letter(pdf=large_pdf(pdf_bytes))
    with House(house.stage, house.ledger).memory() as resident:
        began = time.monotonic()
        house.send(large)
        acknowledged = time.monotonic() - began
        house.wait_until(lambda: house.states(large) == ["integrated"], "the software takes it", seconds)
    [message] = came(house, large)
    content = base64.b64decode(read_message(message).segments("OBX")[0].value(5, 5))
    assert content == base64.b64decode(read_message(large.message).segments("OBX")[0].value(5, 5))
    assert acknowledged < seconds / 3
    assert max(resident) - resident[0] < 25 * len(large.message) + 60_000_000


def large_pdf(size: int) -> bytes:
    """A valid page whose content is mostly a comment that nothing can compress."""
    noise = base64.b64encode(random.Random(size).randbytes(size * 3 // 4))
    small = tiny_pdf("Grand document")
    return small.replace(b"stream\nBT", b"stream\n%" + noise + b"\nBT").replace(b"/Length ", b"/Length %d" % (len(noise) + 2), 1)


# ── in the end ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_that_was_acknowledged_is_accounted_for(house: Wired) -> None:
    counted = house.ledger.conservation(legal_entity=HOSPITAL)
    assert counted.holds and counted.received >= len(house.sent)
