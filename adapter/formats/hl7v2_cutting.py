"""Cuts the bytes of an HL7 v2 message: lines, and spans between signs. A file inside is jumped over, never copied nor counted.

Law: linear time and bounded memory whatever the bytes hold; nothing here knows what a segment or a field is.
"""

from __future__ import annotations

from adapter.errors import InputError

# Lines up to this are cut as text by one split; longer ones hold a file and are cut where they are asked, without a copy.
SHORT_LINE = 4096
_SMALL = 20_000
# Real messages have some thirty lines. Above this they are not even cut: a list of millions of lines takes gigabytes.
MOST_LINES = 100_000


def cut_lines(body: bytes) -> tuple[list[bytes], bool]:
    """Lines with their ends, and whether some LF stands where CR should. Where MSH ends with CR, a lone LF is content; where it
    ends with LF, each line end counts. Raises InputError hl7.too-many-parts.
    """
    if b"\n" not in body:
        return _of_one_end(body, b"\r"), False
    if b"\r" not in body:
        return _of_one_end(body, b"\n"), True
    if len(body) > 2 * MOST_LINES and count_sign(body, b"\r") + count_sign(body, b"\n") > 2 * MOST_LINES:
        raise _too_many_lines()
    lines = body.splitlines(keepends=True)
    if b"\r" not in lines[0]:
        return lines, True
    joined: list[bytes] = []
    pending: list[bytes] = []
    for line in lines:
        pending.append(line)
        if line.endswith((b"\r", b"\r\n")):
            joined.append(pending[0] if len(pending) == 1 else b"".join(pending))
            pending = []
    if pending:
        joined.append(b"".join(pending))
    return joined, True


def _of_one_end(body: bytes, end: bytes) -> list[bytes]:
    """Lines with their ends, all of one kind. `splitlines` looks at every byte; a search jumps over a file."""
    if len(body) < _SMALL:
        return body.splitlines(keepends=True)
    lines, start = [], 0
    while (at := body.find(end, start)) >= 0:
        lines.append(body[start : at + 1])
        start = at + 1
        if len(lines) > 2 * MOST_LINES:
            raise _too_many_lines()
    if start < len(body):
        lines.append(body[start:])
    return lines


def _too_many_lines() -> InputError:
    return InputError("hl7.too-many-parts", "The message has more lines than any real one.", where="MSH")


def spans_between(line: bytes, sign: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Spans between signs: nothing is copied, whatever the size."""
    spans = []
    at = find_sign(line, sign, start, end)
    while at >= 0:
        spans.append((start, at))
        start = at + len(sign)
        at = find_sign(line, sign, start, end)
    spans.append((start, end))
    return spans


def nth_span(line: bytes, sign: bytes, number: int, start: int, end: int) -> tuple[int, int]:
    """The span of the number-th part, counted from 1; an empty one when there are fewer parts."""
    for _ in range(number - 1):
        at = find_sign(line, sign, start, end)
        if at < 0:
            return 0, 0
        start = at + len(sign)
    at = find_sign(line, sign, start, end)
    return start, end if at < 0 else at


def find_sign(line: bytes, sign: bytes, start: int, end: int) -> int:
    """A search of one byte goes eighty times faster than of two, and a file has neither: samples exist that repeat by U+02DC."""
    if len(sign) > 1:
        start = line.find(sign[:1], start, end)
        if start < 0:
            return start
    return line.find(sign, start, end)


def count_sign(text: bytes, sign: bytes) -> int:
    """How often a sign stands in a text. A search jumps over the file that a long text is made of; a count does not."""
    if len(text) <= SHORT_LINE:
        return text.count(sign)
    start = 0
    for found in range(64):
        at = find_sign(text, sign, start, len(text))
        if at < 0:
            return found
        start = at + len(sign)
    return text.count(sign, start) + 64
