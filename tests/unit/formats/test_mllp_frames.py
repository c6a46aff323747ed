"""Frames cut from a byte stream."""

from __future__ import annotations

import pytest

from adapter.formats import mllp_frames
from adapter.formats.mllp_frames import KEPT_BYTES, Frame, FrameCondition, FrameReader, frame_message


def _read(*chunks: bytes, max_bytes: int = 1000) -> list[tuple[str, bytes, int]]:
    reader = FrameReader(max_bytes)
    frames: list[Frame] = []
    for chunk in chunks:
        frames += reader.feed(chunk)
    frames += reader.finish()
    return [(frame.condition.value, frame.content, frame.size) for frame in frames]


def test_a_message_comes_out_of_its_frame() -> None:
    assert _read(frame_message(b"MSH|a")) == [("complete", b"MSH|a", 5)]


def test_several_messages_in_one_read_are_all_given_in_order() -> None:
    assert _read(frame_message(b"one") + frame_message(b"two") + frame_message(b"three")) == [
        ("complete", b"one", 3),
        ("complete", b"two", 3),
        ("complete", b"three", 5),
    ]


def test_a_message_byte_by_byte_is_the_same_message() -> None:
    stream = frame_message(b"MSH|a\x1cb") + b"\n" + frame_message(b"x")
    assert _read(*(bytes([b]) for b in stream)) == _read(stream) == [("complete", b"MSH|a\x1cb", 7), ("complete", b"x", 1)]


def test_an_end_cut_between_fs_and_cr_waits_for_its_second_half() -> None:
    reader = FrameReader(1000)
    assert reader.feed(b"\x0bMSH|\x1c") == []
    assert [f.content for f in reader.feed(b"\r")] == [b"MSH|"]


def test_a_new_beginning_inside_a_frame_tells_the_truncated_one_and_reads_the_next() -> None:
    assert _read(b"\x0bMSH|half" + frame_message(b"whole")) == [("truncated", b"MSH|half", 8), ("complete", b"whole", 5)]


def test_a_connection_that_ends_inside_a_frame_leaves_a_truncated_one() -> None:
    reader = FrameReader(1000)
    reader.feed(b"\x0bMSH|half")
    assert reader.is_inside
    assert [(f.condition, f.content) for f in reader.finish()] == [(FrameCondition.TRUNCATED, b"MSH|half")]
    assert not reader.is_inside


def test_line_ends_between_frames_are_no_junk() -> None:
    assert _read(b"\r\n" + frame_message(b"a") + b"\r\n\n") == [("complete", b"a", 1)]


def test_junk_is_told_once_with_its_size_before_the_next_frame() -> None:
    assert _read(b"GET / HT", b"TP\r\n", frame_message(b"a")) == [("junk", b"", 10), ("complete", b"a", 1)]


def test_endless_junk_is_told_as_soon_as_there_is_too_much_of_it() -> None:
    reader = FrameReader(1000)
    told = [frame for _ in range(100) for frame in reader.feed(b"x" * 4096)]
    assert [(f.condition, f.size) for f in told] == [(FrameCondition.JUNK, KEPT_BYTES + 1)]
    assert reader.finish() == []


def test_an_oversized_frame_is_told_once_and_the_next_message_is_read() -> None:
    stream = frame_message(b"MSH|" + b"a" * 5000) + frame_message(b"next")
    assert _read(stream) == [("oversized", b"MSH|" + b"a" * 997, 1001), ("complete", b"next", 4)]


def test_of_an_oversized_frame_only_the_beginning_is_kept() -> None:
    reader = FrameReader(1_000_000)
    frames = reader.feed(b"\x0bMSH|" + b"a" * 2_000_000)
    assert [(f.condition, len(f.content)) for f in frames] == [(FrameCondition.OVERSIZED, KEPT_BYTES)]
    assert len(reader._buffer) == 0


def test_a_frame_of_exactly_the_limit_is_taken() -> None:
    assert _read(frame_message(b"a" * 1000)) == [("complete", b"a" * 1000, 1000)]


def test_a_new_beginning_ends_an_oversized_frame_without_telling_it_again() -> None:
    assert [c for c, _, _ in _read(b"\x0b" + b"a" * 2000 + frame_message(b"b"))] == ["oversized", "complete"]


def test_an_empty_frame_is_a_frame() -> None:
    assert _read(frame_message(b"")) == [("complete", b"", 0)]


class _Counted(bytes):
    """Bytes that count how many of them searches walked over and slices copied."""

    looked_at = 0

    def find(self, sign: bytes, at: int = 0) -> int:  # type: ignore[override]
        found = super().find(sign, at)
        _Counted.looked_at += (len(self) if found < 0 else found + 1) - at
        return found

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        piece = super().__getitem__(key)  # type: ignore[index]
        _Counted.looked_at += len(piece) if isinstance(piece, bytes) else 1
        return piece


HOSTILE = {
    "only half ends": b"\x0b" + b"\x1c" * 200_000,
    "only beginnings": b"\x0b" * 200_000,
    "half ends, then beginnings": b"\x0b" + b"\x1c" * 100_000 + b"\x0b" * 100_000,
    "both in turns": b"\x0b\x1c" * 100_000,
    "whole frames without content": b"\x0b\x1c\r" * 70_000,
    "junk": b"x" * 200_000,
    "junk and line ends": b"\r\nx" * 70_000,
}


@pytest.mark.parametrize("stream", HOSTILE.values(), ids=HOSTILE.keys())
def test_each_byte_is_looked_at_a_few_times_whatever_the_stream_holds(stream: bytes) -> None:
    """Once for a beginning, once for an end, once to see what follows half an end, once to copy it."""
    _Counted.looked_at = 0
    reader = FrameReader(10_000_000)
    for at in range(0, len(stream), 65536):
        reader.feed(_Counted(stream[at : at + 65536]))
    assert len(stream) < _Counted.looked_at <= 4 * len(stream)


def test_a_search_from_every_frame_again_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count above is one that can fail: without what a scan remembers it is a thousand times the stream."""
    monkeypatch.setattr(mllp_frames._Scan, "next_fs", lambda scan, at: scan.data.find(b"\x1c", at))
    _Counted.looked_at = 0
    stream = b"\x0b" * 5_000
    FrameReader(10_000_000).feed(_Counted(stream))
    assert _Counted.looked_at > 1000 * len(stream)
