"""Whatever a message holds, every value is mapped, carried, listed or left aside for a written reason; none is lost in silence.

`python -m tests.soak.hl7_messages 100000` does the same for as many messages as wanted.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from adapter.formats.hl7v2 import Segment, read_message
from adapter.formats.mllp_frames import FrameReader, frame_message
from tests.builders.hl7_variety import MARK, SIGNS, vary
from tests.properties.hl7_account import fate_of

COUNT = 400


def test_no_value_of_a_varied_message_is_unaccounted_for() -> None:
    counts: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    for number in range(COUNT):
        message = vary(random.Random(number))
        fate = fate_of(message)
        assert fate.unaccounted == [], f"message {number}"
        assert sum(fate.counts.values()) == len(message.leaves)
        counts += fate.counts
        verdicts[fate.verdict] += 1
    assert counts["listed"] > COUNT
    assert counts["mapped"] > 10 * COUNT
    assert verdicts["accepted"] > COUNT / 2


@pytest.mark.parametrize("number", range(40))
def test_a_varied_message_is_written_back_byte_for_byte(number: int) -> None:
    content = vary(random.Random(number)).content
    assert read_message(content).encode() == content


def test_the_values_that_were_put_in_are_those_that_are_read() -> None:
    """By its own signs: what the generator wrote with a mark is found at its place by the reader."""
    for number in range(COUNT // 4):
        message = vary(random.Random(number))
        read = read_message(message.content)
        found = {mark for segment in read.segments() for leaf in segment.leaves() for mark in _marks(segment, leaf)}
        assert found == set(message.marks), f"message {number}"


def _marks(segment: Segment, leaf: tuple[int, int, int, int]) -> list[str]:
    field, repetition, component, subcomponent = leaf
    return MARK.findall(segment.value(field, component, repetition, subcomponent))


@pytest.mark.parametrize("number", range(30))
def test_any_split_and_grouping_over_tcp_gives_the_same_messages(number: int) -> None:
    dice = random.Random(number)
    messages = [vary(dice).content for _ in range(dice.randint(1, 6))]
    stream = b"".join(map(frame_message, messages))
    reader, found, at = FrameReader(1 << 20), [], 0
    while at < len(stream):
        step = dice.choice((1, 2, 7, 100, 1460, 65_536))
        found += [frame.content for frame in reader.feed(stream[at : at + step])]
        at += step
    assert found == messages


def test_every_kind_of_oddity_is_among_the_messages() -> None:
    contents = [vary(random.Random(number)).content for number in range(COUNT)]
    assert any("˜".encode() in content for content in contents)
    assert all(any(content.startswith(f"MSH{a}{b}".encode()) for content in contents) for a, b in SIGNS)
    for sought in (b"MARTIEN", b"\rZZZ", b"\nQQQ", b"\\F\\", b"\\.br\\", b"\xe9"):
        assert any(sought in content for content in contents), sought
