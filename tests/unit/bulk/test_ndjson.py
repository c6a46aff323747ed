"""Lines of a file, whatever is wrong with it: numbered, bounded, and the same ones after a stop."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from adapter.bulk.ndjson import Line, NdjsonFile, Position
from adapter.errors import InputError


def lines_of(path: Path, content: bytes, longest: int = 100, start: Position = Position()) -> list[Line]:  # noqa: B008 - frozen
    path.write_bytes(content)
    return list(NdjsonFile(path).lines(longest, start))


def test_blank_lines_are_counted_and_say_nothing(tmp_path: Path) -> None:
    found = lines_of(tmp_path / "f", b'\xef\xbb\xbf{"a":1}\r\n\n   \n{"b":2}')
    assert [(line.number, line.content) for line in found] == [(1, b'{"a":1}\r\n'), (4, b'{"b":2}')]


def test_a_line_that_is_too_long_is_passed_over_and_told(tmp_path: Path) -> None:
    found = lines_of(tmp_path / "f", b"1\n" + b"x" * 200_000 + b"\n3\n", longest=10)
    assert [(line.number, line.content) for line in found] == [(1, b"1\n"), (2, None), (3, b"3\n")]


def test_a_line_of_just_the_longest_length_is_taken(tmp_path: Path) -> None:
    found = lines_of(tmp_path / "f", b"x" * 10 + b"\n" + b"y" * 11 + b"\n", longest=10)
    assert [line.content is None for line in found] == [False, True]


@pytest.mark.parametrize("packed", [False, True])
def test_reading_goes_on_behind_any_line_as_if_it_had_never_stopped(tmp_path: Path, packed: bool) -> None:
    text = b"".join(b"%d %s\n" % (n, b"x" * (n * 7 % 150)) for n in range(50))
    content = gzip.compress(text[:2000]) + gzip.compress(text[2000:]) if packed else text
    whole = lines_of(tmp_path / "f", content)
    assert [line.number for line in whole] == list(range(1, 51))
    for stop in (1, 17, 49):
        rest = lines_of(tmp_path / "f", content, start=Position(whole[stop - 1].number, whole[stop - 1].end))
        assert rest == whole[stop:]


def test_a_gzip_file_that_is_cut_off_gives_what_stood_before_and_says_so(tmp_path: Path) -> None:
    content = gzip.compress(b"".join(b"%06d\n" % n for n in range(50_000)))
    path = tmp_path / "f.gz"
    path.write_bytes(content[: len(content) // 2])
    found = []
    with pytest.raises(InputError) as error:
        found += [line.number for line in NdjsonFile(path).lines(100, Position())] or [0]
    assert error.value.code == "import.damaged-file"
    assert error.value.where == "f.gz"


def test_how_far_a_file_is_read_is_told_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1\n" * 100)
    file = NdjsonFile(path)
    assert file.read_bytes == 0
    list(file.lines(10, Position()))
    assert file.read_bytes == file.size == 200


def test_what_a_file_is_called_says_nothing_of_what_it_is(tmp_path: Path) -> None:
    packed = gzip.compress(b"1\n2\n")
    assert len(lines_of(tmp_path / "plain.ndjson", packed)) == 2
    (tmp_path / "other").write_bytes(packed)
    assert NdjsonFile(tmp_path / "other").digest() == NdjsonFile(tmp_path / "plain.ndjson").digest()
