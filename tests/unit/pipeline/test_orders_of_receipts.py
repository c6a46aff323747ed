"""Every order of receipts has one end and tells the sender what the published page says, from mails to HL7 (complaint 27)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter.formats.hl7v2 import read_message
from adapter.model.delivery import Purpose
from adapter.model.inbox import Inbox, Inboxes
from adapter.model.plan import ChannelName
from adapter.model.receipt import Principal
from adapter.packaging.parcel import Hl7Content, Hl7Partner, Hl7Sender
from tests.builders.cda import build_n1
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.builders.inbound_mail import MAILBOX, delivery_report, failure_notice, read_report
from tests.builders.instance import HOSPITAL, Instance

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "acknowledgements.md"
INBOX = Inbox("box", MAILBOX, APHP_EJ, deliver_to="", takes_test_identities=True)
DOOR = {"door": "mailbox:box", "principal": Principal("box", "mailbox", APHP_EJ)}
HL7 = Hl7Sender(processing="T", partners=(Hl7Partner("dpi", "EAI", "CENTRAL"),), acks_to=((HOSPITAL.name, "dpi"),))
ASKED = {"ACK_RECEPTION": "Y", "ACK_LECTURE_MSS": "Y"}

# What the page calls each proof, as a mail about ours: (reference, whose mailbox, Message-ID of the receipt).
MAILS: dict[str, Callable[[str, str, str], bytes]] = {
    "DSN delivered": lambda about, box, name: delivery_report(about, "delivered", recipient=box, name=name),
    "DSN failed 5.1.1": lambda about, box, name: delivery_report(about, "failed", status="5.1.1", recipient=box, name=name),
    "MDN displayed": lambda about, box, name: read_report(about, "displayed", recipient=box, name=name),
    "MDN processed": lambda about, box, name: read_report(about, "processed", recipient=box, name=name),
    "MDN error 902": lambda about, box, name: read_report(
        about, "processed/error", error="902^Identifiant patient inconnu", recipient=box, name=name
    ),
    "MDN deleted": lambda about, box, name: read_report(about, "deleted", recipient=box, name=name),
}


def published() -> list[tuple[str, str, str, str, str]]:
    """The rows of the page: first, told, then, told, in the end."""
    rows = re.findall(r"^\| ([DM][^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return [(a, b, c, d, e) for a, b, c, d, e in rows]


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, hl7=HL7, inboxes=Inboxes({"mailbox:box": INBOX}))


def sent(house: Instance) -> str:
    """A letter that our operator took, of a sender who wants to know everything."""
    receipt = house.letter(build_mdm(build_n1(), recipients=(DOCTOR,), flags=ASKED))
    house.dispatch()
    return receipt


def told_after(house: Instance, name: str, number: int) -> str:
    """What the sender's software hears once this receipt is in the mailbox."""
    house.clock.advance(minutes=1)
    parcel = house.mail.parcels[0]
    before = len(house.software.parcels)
    house.letter(MAILS[name](parcel.reference, parcel.address, f"<receipt-{number}@relais.test>"), **DOOR)
    house.pipeline.settle_some()
    while house.dispatch(ChannelName.HL7_PUSH):
        pass
    return ", ".join(_said(parcel.content) for parcel in house.software.parcels[before:]) or "–"


def state_of(house: Instance, receipt: str) -> str:
    """Where the letter stands on its way by mail."""
    legs = [d for trace in house.timeline(receipt).submissions for d in trace.deliveries if d.purpose is Purpose.DOCUMENT]
    return next(leg.state.value for leg in legs if leg.channel is ChannelName.SECURE_MAIL)


def _said(content: object) -> str:
    assert isinstance(content, Hl7Content)
    message = read_message(content.message)
    answer = message.segments("OBX")[0]
    assert answer.value(4) == "MDM0001"
    return f"{message.value('MSH', 9, 2)} {answer.value(5)} {message.value('ERR', 5)}".strip()


def test_the_page_holds_every_pair() -> None:
    assert {(row[0], row[2]) for row in published()} == set(itertools.product(MAILS, repeat=2))


@pytest.mark.parametrize("row", published(), ids=lambda row: f"{row[0]}, {row[2]}")
def test_a_pair_of_receipts_tells_and_ends_as_published(house: Instance, row: tuple[str, str, str, str, str]) -> None:
    first, told_first, second, told_second, end = row
    receipt = sent(house)
    assert (told_after(house, first, 1), told_after(house, second, 2)) == (told_first, told_second)
    assert state_of(house, receipt) == end
    assert house.conservation().holds


@pytest.mark.parametrize("order", list(itertools.permutations(["DSN delivered", "MDN displayed", "MDN processed"])))
def test_receipts_that_agree_end_alike_in_any_order_and_tell_each_thing_once(house: Instance, order: tuple[str, ...]) -> None:
    receipt = sent(house)
    told = [said for number, name in enumerate(order) for said in told_after(house, name, number).split(", ") if said != "–"]
    assert told == ["Z02 Y", "Z03 Y"]
    assert state_of(house, receipt) == "integrated"
    assert "unmatched-evidence" not in house.reasons()


def test_a_refusal_by_an_ordinary_mail_counts_as_one_by_receipt(house: Instance) -> None:
    receipt = sent(house)
    parcel = house.mail.parcels[0]
    house.letter(failure_notice(parcel.reference, "902", sender=parcel.address), **DOOR)
    assert state_of(house, receipt) == "refused"
