"""Writes fax pages as one TIFF-F file: one strip a page, G4, white is zero, page numbers. Same pages, same bytes.

Source: RFC 2306 (TIFF-F), TIFF 6.0. The G4 coding is libtiff's, through Pillow; the container is ours, because Pillow's own
would turn each dot in Python to make white zero, and cut pages into strips, which fax engines then convert again.
Bits go least significant first, as on the line: of a dense page (32 kB and more) whose bits are the other way round HylaFAX 6.0.7
sends its tag line and nothing else, and the receiver confirms it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

from PIL import Image

_SHORT, _LONG, _RATIONAL = 3, 4, 5
_STRIP_OFFSETS, _STRIP_BYTE_COUNTS = 273, 279
_ONE_STRIP = 1 << 24
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def write_tiff_f(pages: Sequence[Image.Image], dpi: tuple[int, int]) -> bytes:
    """The pages (mode 1, white is true) as one little-endian file."""
    out = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for number, page in enumerate(pages):
        data = _g4(page)
        data += b"\0" * (len(data) % 2)
        last = number == len(pages) - 1
        out += _directory(page, len(data), dpi, (number, len(pages)), len(out), last=last)
        out += data
    return bytes(out)


def _g4(page: Image.Image) -> bytes:
    """One page as a single G4 strip whose zero bits are white."""
    turned = page.point([255] + [0] * 255)
    buffer = io.BytesIO()
    turned.save(buffer, "TIFF", compression="group4", strip_size=_ONE_STRIP)
    with Image.open(io.BytesIO(buffer.getvalue())) as coded:
        offset, length = coded.tag_v2[_STRIP_OFFSETS][0], coded.tag_v2[_STRIP_BYTE_COUNTS][0]  # type: ignore[attr-defined]
    return buffer.getvalue()[offset : offset + length].translate(_REVERSED)


def _directory(page: Image.Image, size: int, dpi: tuple[int, int], place: tuple[int, int], start: int, *, last: bool) -> bytes:
    """The image file directory, its two resolutions behind it; the page's data follows at once."""
    entries = [
        (254, _LONG, 1, 2),  # NewSubfileType: a page of several
        (256, _LONG, 1, page.width),
        (257, _LONG, 1, page.height),
        (258, _SHORT, 1, 1),  # BitsPerSample
        (259, _SHORT, 1, 4),  # Compression: T.6
        (262, _SHORT, 1, 0),  # PhotometricInterpretation: WhiteIsZero
        (266, _SHORT, 1, 2),  # FillOrder: least significant bit first
        (273, _LONG, 1, 0),  # StripOffsets, below
        (277, _SHORT, 1, 1),  # SamplesPerPixel
        (278, _LONG, 1, page.height),  # RowsPerStrip: one strip
        (279, _LONG, 1, size),
        (282, _RATIONAL, 1, 0),  # XResolution, below
        (283, _RATIONAL, 1, 0),  # YResolution, below
        (293, _LONG, 1, 0),  # T6Options
        (296, _SHORT, 1, 2),  # ResolutionUnit: inch
        (297, _SHORT, 2, place[0] | place[1] << 16),  # PageNumber
    ]
    after = start + 2 + 12 * len(entries) + 4
    values = {273: after + 16, 282: after, 283: after + 8}
    next_page = 0 if last else after + 16 + size
    packed = [struct.pack("<H", len(entries))]
    packed += [struct.pack("<HHII", tag, kind, count, values.get(tag, value)) for tag, kind, count, value in entries]
    packed.append(struct.pack("<IIIII", next_page, dpi[0], 1, dpi[1], 1))
    return b"".join(packed)
