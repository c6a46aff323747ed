"""Whatever the values, a message that we write is cut by our own reader where we meant, and holds them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.formats.hl7v2 import read_message
from adapter.model.ack import AckKind, AckReason, BusinessAck
from adapter.model.submission import MailOrigin
from adapter.packaging.hl7.er7 import LATIN9, UTF8, Header
from adapter.packaging.hl7.mdm import LocalDocument, build_mdm
from adapter.packaging.hl7.zam import build_zam
from tests.builders.directory import letter_header, qualified_patient, submission

pytestmark = pytest.mark.properties
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
# Control signs are escaped as `\Xnn\`, line ends as one: those of the last group are looked at by unit tests.
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30)
# Signs that separators are made of, in any number and order.
NASTY = st.text("|^~\\&éA", max_size=12)


def header(charset: str) -> Header:
    return Header("TRAITDUNION", "750712184", "DPI", "BICETRE", NOW, "T0000000000000000001", "T", charset)


@given(TEXTS | NASTY, TEXTS | NASTY, NASTY)
def test_an_acknowledgement_gives_back_its_values(control_id: str, address: str, label: str) -> None:
    ack = BusinessAck(AckKind.DELIVERY, "r", False, NOW, AckReason("550", label), control_id, address, "8999")
    message = read_message(build_zam(ack, header(UTF8)))
    answer, recipient = message.segments("OBX")
    assert [s.name for s in message.segments()] == ["MSH", "EVN", "OBX", "OBX", "ERR"]
    assert (answer.value(4), recipient.value(5, 4), message.value("ERR", 5, 2)) == (control_id, address, label)


@given(TEXTS | NASTY, TEXTS | NASTY, TEXTS | NASTY, st.sampled_from([UTF8, LATIN9]))
def test_flow_6_keeps_its_shape_whatever_it_holds(name: str, subject: str, given_names: str, charset: str) -> None:
    patient = qualified_patient(birth_name=name, birth_given_names=given_names)
    mail = MailOrigin("<1@a.fr>", subject, "corps", "a@b.fr", "c@d.fr")
    sent = submission(header=letter_header(patient=patient), mail=mail)
    message = read_message(build_mdm(LocalDocument(sent, b"<a/>", "t@d.fr"), header(charset)))
    assert [s.name for s in message.segments()][:8] == ["MSH", "EVN", "PID", "PV1", "ORC", "OBR", "TXA", "OBX"]
    assert len(message.segments("OBX")) == 6 and message.segments("OBX")[1].value(5, 4) == "Base64"
    if charset == UTF8:
        pid = message.segments("PID")[0]
        assert (pid.value(5, 1), pid.value(5, 3)) == (name, given_names)
        assert message.segments("OBX")[1].value(3, 2) == subject
