"""A partner goes, the service dies, both come back: nothing lost, doubled, led elsewhere or told twice (complaints 4, 5, 26)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapter.demo.stage import HOSPITAL, StageSettings
from adapter.ledger.records import Conservation, WorkFilter
from tests.crash.play import Letter, documents_received
from tests.e2e.wired import BY_MAIL, PARTNERS, Wired, letter, wired
from tests.servers.mllp_peer import document_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WAITING = 1_001
BESIDE = 99


def send_all(house: Wired, letters: Sequence[Letter], connections: int = 8) -> None:
    """As several senders do at once."""
    threads = [threading.Thread(target=house.send, args=letters[place::connections]) for place in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.sent) >= len(letters), "a sender gave up"


@contextmanager
def counted_all_along(house: Wired) -> Iterator[list[tuple[int, Conservation]]]:
    """How many were acknowledged, and just after it what the ledger counts, again and again."""
    samples: list[tuple[int, Conservation]] = []
    halt = threading.Event()

    def watch() -> None:
        while not halt.wait(0.3):
            acknowledged = len(house.sent)
            samples.append((acknowledged, house.ledger.conservation(legal_entity=HOSPITAL)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        halt.set()
        thread.join()


@pytest.mark.timeout(400)
def test_a_thousand_and_one_wait_for_a_dead_partner_while_others_are_served_and_all_arrive(tmp_path: Path) -> None:
    """Complaint 4: the 1,001st was never sent nor marked, and one dead destination starved the others."""
    waiting = [letter(n) for n in range(1, WAITING + 1)]
    beside = [letter(n, to=(BY_MAIL,), tag="D") for n in range(1, BESIDE + 1)]
    mixed = sorted(waiting + beside, key=lambda one: int(one.control_id[1:]) % 911)
    settings = StageSettings(workers=2, lease_seconds=20, unclear_seconds=1.0)
    with wired(tmp_path, settings) as house, counted_all_along(house) as samples:
        house.software.stop()
        send_all(house, mixed)
        wanted = {one.document_id for one in beside}
        house.wait_until(lambda: wanted <= set(mails(house)), "mails leave beside the dead partner", 120)
        assert house.software.received == []
        house.software.start()
        documents = {one.document_id for one in waiting}
        house.wait_until(lambda: documents <= received(house), "all reach the software", 200)
        house.wait_until(lambda: house.ledger.conservation(legal_entity=HOSPITAL).open == 0, "all is settled", 60)
        counts = Counter(document_of(message) for message in house.software.received)
        assert set(counts.values()) == {1}, "a message was sent twice"
        assert set(mails(house).values()) == {1}
        last = house.ledger.conservation(legal_entity=HOSPITAL)
        seconds = [traced(house, reference) for reference in (waiting[-1].control_id, waiting[500].document_id)]
    assert (last.received, last.final, last.parked, last.lost) == (WAITING + BESIDE, WAITING + BESIDE, 0, ())
    assert all(count.holds and count.received >= acknowledged for acknowledged, count in samples)
    assert max(count.open for _, count in samples) > 900, "nothing waited"
    assert max(seconds) < 10


def mails(house: Wired) -> Counter[str]:
    return documents_received(house.stage.operator.received)


def received(house: Wired) -> set[str]:
    return {document_of(message) for message in list(house.software.received)}


def traced(house: Wired, reference: str) -> float:
    """How long a person waits for one document among them all (complaint 23)."""
    began = time.monotonic()
    command = [sys.executable, "-m", "adapter", "trace", reference, "--config", str(house.stage.config_file)]
    done = subprocess.run([*command, "--entity", HOSPITAL], capture_output=True, text=True, timeout=60, check=True)
    assert "integrated" in done.stdout
    return time.monotonic() - began


@pytest.mark.timeout(180)
def test_after_a_power_cut_what_was_planned_leaves_as_planned_and_in_its_order(tmp_path: Path) -> None:
    """Complaint 5. Meanwhile the partners file says that the reader has a fax and no software: later letters go there."""
    letters = [letter(n) for n in range(1, 13)]
    with wired(tmp_path) as house:
        house.software.stop()
        house.send(*letters)
        house.wait_until(lambda: house.states(*letters) == ["queued"] * 12 and tried(house, letters), "all were tried once")
        house.stage.kill_service()
        local = house.stage.folder / "local.toml"
        changed = PARTNERS.replace('channels = [{ channel = "hl7_push", address = "ris", since = 2026-01-05 }]', FAX)
        assert changed != PARTNERS
        local.write_text(changed, encoding="utf-8")
        time.sleep(13)  # past every pause of a first try: all are due when the service is back, so their order can be seen
        house.software.start()
        house.stage.start_service()
        house.wait_until(lambda: house.states(*letters) == ["integrated"] * 12, "all are taken")
        arrived = [document_of(message) for message in house.software.received]
        later = letter(13)
        house.send(later)
        house.wait_until(lambda: [d.channel.value for d in house.deliveries(later)] == ["fax"], "a later letter goes elsewhere")
    assert arrived == [one.document_id for one in letters]


FAX = 'fax = "01 99 00 99 98"'


def tried(house: Wired, letters: Sequence[Letter]) -> bool:
    return all(delivery.attempts for one in letters for delivery in house.deliveries(one))


@pytest.mark.timeout(180)
def test_a_partner_that_goes_is_told_once_and_so_is_its_return(tmp_path: Path) -> None:
    """Complaint 26, for software and for the mail operator, with many letters tried again and again."""
    by_software = [letter(n) for n in range(1, 9)]
    by_mail = [letter(n, to=(BY_MAIL,), tag="D") for n in range(1, 9)]
    with wired(tmp_path) as house:
        house.software.stop()
        house.stage.operator.stop()
        house.send(*by_software, *by_mail)
        house.wait_until(lambda: {i.about_id for i in house.items()} == {"ris", "mssante"}, "both absences are told", 90)
        assert [item.reason for item in house.items()] == ["partner-down"] * 2
        assert house.logged("hl7_push.partner-down") == 1
        house.software.start()
        house.stage.operator.start()
        house.wait_until(lambda: house.items() == [], "both returns close their question", 90)
        everything = house.ledger.list_work_items(legal_entity=HOSPITAL, which=WorkFilter(open_only=False))
        house.wait_until(lambda: len(house.software.received) == 8 and len(house.stage.operator.received) == 8, "all leave", 90)
        assert house.logged("hl7_push.partner-back") == 1
    assert len(everything) == 2, "a question for each letter"
