"""The words that a field's appearance draws, when they can be read for sure. What a person sees may not be what a file stores.

Source: ISO 32000-1 §9.4, §9.10.2. Faces are read by ToUnicode or by a usual one-byte encoding; with any other face the answer is
None: no claim. Bounded: an appearance is one line or one paragraph.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pikepdf

MAX_APPEARANCE_BYTES = 200_000
_CODEPAGES = {"/WinAnsiEncoding": "cp1252", "/MacRomanEncoding": "mac_roman", "/PDFDocEncoding": "pdfdoc", "": "cp1252"}
_CHARS = re.compile(rb"beginbfchar(.*?)endbfchar", re.DOTALL)
_RANGES = re.compile(rb"beginbfrange(.*?)endbfrange", re.DOTALL)
_PAIR = re.compile(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>")
_TRIPLE = re.compile(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>")

Decoder = Callable[[bytes], str]


class _UnknownFaceError(Exception):
    """This appearance cannot be read for sure."""


def shown_text(widget: pikepdf.Object) -> str | None:
    """What a text field's widget shows; None when it has no appearance or one that cannot be read for sure."""
    stream = widget.get("/AP", pikepdf.Dictionary()).get("/N")
    if not isinstance(stream, pikepdf.Stream) or len(stream.read_raw_bytes()) > MAX_APPEARANCE_BYTES:
        return None
    try:
        return "".join(_words(stream)) if _is_small(stream) else None
    except (_UnknownFaceError, pikepdf.PdfError, ValueError, LookupError, TypeError):
        return None


def _is_small(stream: pikepdf.Stream) -> bool:
    """Unpacked within bounds: one Flate layer, or none."""
    filters = stream.get("/Filter")
    if filters is None:
        return True
    if isinstance(filters, pikepdf.Array) and len(filters) == 1:
        filters = filters[0]
    if filters != pikepdf.Name.FlateDecode:
        return False
    try:
        unpacked = zlib.decompressobj().decompress(stream.read_raw_bytes(), MAX_APPEARANCE_BYTES + 1)
    except zlib.error:
        return False
    return len(unpacked) <= MAX_APPEARANCE_BYTES


def _words(stream: pikepdf.Stream) -> Iterator[str]:
    faces = stream.get("/Resources", pikepdf.Dictionary()).get("/Font", pikepdf.Dictionary())
    decode: Decoder | None = None
    for instruction in pikepdf.parse_content_stream(stream):
        operands: Any = instruction.operands
        match str(instruction.operator):
            case "Tf":
                decode = _decoder(faces.get(str(operands[0])))
            case "Do":
                raise _UnknownFaceError
            case "Tj" | "'" | '"' | "TJ":
                strings = [s for s in _flat(operands) if isinstance(s, pikepdf.String)]
                if decode is None and strings:
                    raise _UnknownFaceError
                yield from (decode(bytes(s)) for s in strings if decode is not None)


def _flat(operands: Any) -> Iterator[Any]:
    for operand in operands:
        if isinstance(operand, pikepdf.Array):
            yield from operand
        else:
            yield operand


def _decoder(face: Any) -> Decoder:
    """How this face's codes read. Faces that a file does not describe are the standard ones, written in Windows-1252."""
    if not isinstance(face, pikepdf.Dictionary):
        raise _UnknownFaceError
    unicode_map = face.get("/ToUnicode")
    if isinstance(unicode_map, pikepdf.Stream) and _is_small(unicode_map):
        return _mapped(unicode_map.read_bytes(), 2 if str(face.get("/Subtype")) == "/Type0" else 1)
    if str(face.get("/Subtype")) == "/Type0":
        raise _UnknownFaceError
    encoding = face.get("/Encoding")
    if isinstance(encoding, pikepdf.Dictionary):
        if "/Differences" in encoding:
            raise _UnknownFaceError
        encoding = encoding.get("/BaseEncoding")
    codepage = _CODEPAGES.get(str(encoding) if encoding is not None else "")
    if codepage is None:
        raise _UnknownFaceError
    return lambda codes: codes.decode(codepage)


def _mapped(cmap: bytes, width: int) -> Decoder:
    table: dict[int, str] = {}
    for block in _CHARS.findall(cmap):
        table |= {int(code, 16): _utf16(word) for code, word in _PAIR.findall(block)}
    for block in _RANGES.findall(cmap):
        for first, last, word in _TRIPLE.findall(block):
            start, end, text = int(first, 16), int(last, 16), _utf16(word)
            if end - start > 0xFFFF or not text:
                raise _UnknownFaceError
            table |= {start + n: text[:-1] + chr(ord(text[-1]) + n) for n in range(end - start + 1)}

    def decode(codes: bytes) -> str:
        return "".join(table[int.from_bytes(codes[at : at + width], "big")] for at in range(0, len(codes), width))

    return decode


def _utf16(word: bytes) -> str:
    return bytes.fromhex(word.decode("ascii").zfill(4)).decode("utf-16-be")
