"""Laws of HL7 v2 that hold for every input, not for chosen ones."""

from __future__ import annotations

from datetime import UTC, datetime

import hl7
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapter.errors import InputError
from adapter.formats.detect import detect_content
from adapter.formats.hl7v2 import encode_escapes, read_message
from adapter.formats.hl7v2_ack import write_ack
from adapter.formats.mllp_frames import FrameReader, frame_message
from adapter.mapping.from_hl7v2 import inspect_hl7v2, understand_hl7v2
from adapter.mapping.hl7.source import Hl7Source
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.cda import build_n1
from tests.builders.hl7 import build_mdm

NOW = datetime(2026, 11, 20, tzinfo=UTC)
MESSAGE = build_mdm(build_n1())

_plain = st.text(
    st.characters(codec="utf-8", exclude_characters="|^~\\&\r\n\x0b\x1c\x85\u2028\u2029", exclude_categories=["Cc"]), max_size=8
)
_component = st.lists(_plain, min_size=1, max_size=3).map("&".join)
_repetition = st.lists(_component, min_size=1, max_size=3).map("^".join)
_field = st.lists(_repetition, min_size=1, max_size=2).map("~".join)
_segment = st.tuples(st.sampled_from(["PID", "OBX", "ZZZ", "NTE"]), st.lists(_field, max_size=5)).map(
    lambda s: "|".join((s[0], *s[1]))
)
_er7 = st.lists(_segment, max_size=6).map(
    lambda s: "\r".join(("MSH|^~\\&|A|B|C|D|2026||MDM^T02|1|P|2.6|||||FRA|UNICODE UTF-8", *s)) + "\r"
)
_junk = st.binary(max_size=200)


def _arrival(content: bytes) -> Arrival:
    return Arrival(content, "mllp", Principal("p", "application", "940000001"), NOW)


@given(
    st.lists(st.one_of(_junk, st.binary(max_size=30).map(frame_message)), max_size=6), st.lists(st.integers(1, 40), max_size=20)
)
def test_any_split_of_the_bytes_gives_the_same_frames(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    whole = FrameReader(50)
    expected = whole.feed(stream) + whole.finish()
    reader, found, at = FrameReader(50), [], 0
    for cut in (*cuts, len(stream)):
        found += reader.feed(stream[at : at + cut])
        at += cut
    found += reader.feed(stream[at:]) + reader.finish()
    assert found == expected


@given(st.lists(st.binary(max_size=60).filter(lambda b: b"\x0b" not in b and b"\x1c" not in b), max_size=5))
def test_what_is_framed_comes_out_as_it_was(messages: list[bytes]) -> None:
    reader = FrameReader(1000)
    assert [frame.content for frame in reader.feed(b"".join(frame_message(m) for m in messages))] == messages


@given(_er7, st.sampled_from(["\r", "\n", "\r\n"]), st.sampled_from(["", "\n", "\r\r", "\ufeff"]))
def test_what_is_read_is_written_back_byte_for_byte(text: str, end: str, edge: str) -> None:
    content = (edge + text.replace("\r", end) + edge).encode()
    assert read_message(content).encode() == content


@given(st.binary(max_size=300))
def test_any_bytes_after_msh_are_written_back_or_refused_with_our_error(rest: bytes) -> None:
    content = b"MSH" + rest
    try:
        message = read_message(content)
    except InputError:
        return
    assert message.encode() == content
    for segment in message.segments():
        for field, repetition, component, subcomponent in segment.leaves():
            segment.value(field, component, repetition, subcomponent)
    Hl7Source(message).unread()


# The oracle strips a message first: spaces that end the last segment are not its to judge.
@given(_er7.filter(lambda text: text == text.strip() + "\r"))
def test_values_are_those_that_another_reader_finds(text: str) -> None:
    message, oracle = read_message(text.encode()), hl7.parse(text)
    for segment, theirs in zip(message.segments(), oracle, strict=True):
        assert segment.name == str(theirs[0])
        if segment.name == "MSH":
            continue
        for field, repetition, component, subcomponent in segment.leaves():
            expected = theirs[field][repetition - 1]
            for number in (component, subcomponent):
                expected = expected[number - 1] if isinstance(expected, hl7.Container) else expected
            assert segment.data(field, component, repetition, subcomponent).decode() == str(expected)


@given(_er7)
def test_every_leaf_is_either_read_or_listed(text: str) -> None:
    source = Hl7Source(read_message(text.encode()))
    leaves = [
        (segment.index, *leaf)
        for segment in source.message.segments()
        for leaf in segment.leaves()
        if not (segment.name == "MSH" and leaf[0] <= 2)
        and segment.data(leaf[0], leaf[2], leaf[1], leaf[3]).strip() not in (b"", b'""')
    ]
    assert len(source.unread()) == len(leaves)
    for name in ("MSH", "PID", "OBX", "ZZZ", "NTE"):
        source.ignore(name)
    assert source.unread() == ()


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_what_is_escaped_reads_back(text: str) -> None:
    assume("\r\n" not in text)  # one line break, written `\.br\`, reads back as LF
    message = read_message(f"MSH|^~\\&|A|||||||||||||||UNICODE UTF-8\rNTE|1||{encode_escapes(text)}\r".encode())
    assert message.value("NTE", 3) == text


@given(st.binary(max_size=400))
def test_garbage_is_refused_never_a_crash(content: bytes) -> None:
    detect_content(content)
    assert inspect_hl7v2(_arrival(content)).verdict is Verdict.REFUSED
    with pytest.raises(InputError):
        understand_hl7v2(_arrival(content), "r")


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_message_is_answered_whatever_the_damage(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(MESSAGE)))
    width = data.draw(st.integers(0, 40))
    content = MESSAGE[:at] + data.draw(st.binary(max_size=20)) + MESSAGE[at + width :]
    found = inspect_hl7v2(_arrival(content))
    answer = write_ack(found.control, found.verdict, found.findings, now=NOW, control_id="A")
    names = [segment.name for segment in read_message(answer).segments()]
    assert names[:2] == ["MSH", "MSA"]
    assert set(names[2:]) <= {"ERR"}
    if found.verdict is not Verdict.ACCEPTED:
        assert "ERR" in names


@settings(max_examples=100)
@given(_er7)
def test_well_formed_nonsense_is_refused_with_codes_of_the_norm(text: str) -> None:
    found = inspect_hl7v2(_arrival(text.encode()))
    assert found.verdict is Verdict.REFUSED
    assert all(
        f.hl7_code in {"", "100", "101", "102", "103", "198", "199", "200", "201", "202", "203", "207"} for f in found.findings
    )
    assert all(f.hl7_code for f in found.findings if f.severity.value == "error")
