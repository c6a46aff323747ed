"""What we write as HL7 is shaped as the official examples are: the same segments, fields filled, codes and systems."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.formats.hl7v2 import Message, Segment, read_message
from adapter.mapping.from_cda import translate_cda
from adapter.model.ack import AckKind, AckReason, BusinessAck
from adapter.model.submission import Intent, MailOrigin
from adapter.packaging.hl7.er7 import Header
from adapter.packaging.hl7.mdm import LocalDocument, build_mdm
from adapter.packaging.hl7.zam import build_zam
from tests.builders.directory import submission

pytestmark = pytest.mark.conformance
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
HEADER = Header("PFI-X", "Organisation-X", "SIL-Y", "labo", NOW, "017")
ADDRESS, PERSON = "adam.hoda@test-ci-sis.mssante.fr", "801234567897"
SAMPLES = {
    "reception-DMP": BusinessAck(AckKind.RECORD, "r", False, NOW, AckReason("DMPClosed", "DMP fermé"), "015"),
    "reception-MSS": BusinessAck(AckKind.DELIVERY, "r", True, NOW, None, "015", ADDRESS, PERSON),
    "lecture-MSS": BusinessAck(AckKind.READING, "r", True, NOW, None, "015", ADDRESS, PERSON),
}


def filled(segment: Segment) -> list[int]:
    return [number for number in range(1, segment.field_count + 1) if segment.field(number)]


@pytest.mark.parametrize("name", SAMPLES)
def test_an_acknowledgement_is_the_official_one_value_by_value(name: str, shared_dir: Path) -> None:
    """Apart from times, MSH-10, and the two spellings on which the norm's tables and its examples disagree."""
    (sample,) = (shared_dir / "samples" / "hl7v2").glob(f"cda-hl7v2-2.1__ORU__new*Message-metier-{name}.*")
    official, ours = read_message(sample.read_bytes()), read_message(build_zam(SAMPLES[name], HEADER))
    assert [s.name for s in ours.segments()] == [s.name for s in official.segments()]
    for mine, theirs in zip(ours.segments(), official.segments(), strict=True):
        if mine.name == "EVN":
            assert set(filled(mine)) == {2, 6}  # EVN-6 is in the norm's table, not in its examples
        elif mine.name == "ERR":
            assert (mine.text(4), mine.value(5), mine.value(5, 2)) == (theirs.text(4), theirs.value(5), theirs.value(5, 2))
        else:
            skipped = {7, 10, 21} if mine.name == "MSH" else set()
            assert [mine.text(n) for n in filled(mine) if n not in skipped] == [
                theirs.text(n) for n in filled(theirs) if n not in skipped
            ]


# There is no example of a replacement in version 1.1; those of 1.0 have neither ORC nor OBR.
EVENTS = {"new": Intent.NEW, "cancel": Intent.CANCEL}


@pytest.mark.parametrize("action", EVENTS)
def test_flow_6_has_every_field_that_the_official_example_fills(action: str, shared_dir: Path) -> None:
    folder = shared_dir / "samples" / "hl7v2"
    *_, sample = sorted(folder.glob(f"lps-1.1__{action}-MDM__message*"), key=lambda path: path.stat().st_size)
    official = read_message(sample.read_bytes())
    cda = _payload(official)
    header = translate_cda(cda, "Europe/Paris").header
    mail = MailOrigin("1", official.segments("OBX")[1].value(3, 2), "Corps du courriel", "thomas.eric@medecin.mssante.fr",
                      "dpi@hopitalA.mssante.fr", "2021-10-05T15:29:08+02:00")  # fmt: skip
    sent = submission(header=header, intent=EVENTS[action], mail=mail, reply_to_address=ADDRESS)
    ours = read_message(build_mdm(LocalDocument(sent, cda, "b@h.fr"), HEADER))
    assert ours.header.text(9) == official.header.text(9)
    assert [s.name for s in ours.segments()] == [s.name for s in official.segments()]
    assert _payload(ours) == cda
    for name, not_ours in _NOT_OURS.items():
        lacking = set(filled(official.segments(name)[0])) - set(filled(ours.segments(name)[0])) - not_ours
        assert not lacking, f"{name}: {sorted(lacking)}"
    for mine, theirs in zip(ours.segments("OBX")[2:], official.segments("OBX")[2:], strict=True):
        assert (mine.value(1), mine.value(3), mine.value(3, 3), mine.value(11)) == (
            theirs.value(1), theirs.value(3), theirs.value(3, 3), theirs.value(11))  # fmt: skip


# What the examples fill and a mail does not tell: who recorded the movement, the case, the authenticator of the record.
_NOT_OURS = {
    "MSH": set(), "EVN": {5}, "PID": {18, 31}, "PV1": set(), "ORC": set(), "OBR": set(), "TXA": {22}, "OBX": set(),
}  # fmt: skip


def _payload(message: Message) -> bytes:
    import base64

    data = message.segments("OBX")[0].data(5, 5)
    return base64.b64decode(data + b"=" * (-len(data) % 4))
