"""The machine-readable annex of a fax: a document as a few self-describing codes, and back. No I/O, no image.

Specification: docs/reference/fax-annex.md. A document's canonical JSON is deflated with a shared dictionary, put behind the
sender's detached signature, and cut into codes of one size; one code more is their XOR, so that any one may be lost. Every code
names its document, its place and the format: codes may come in any order, twice, and over several calls. Behind the JSON may
stand what the pages looked like (`page_print`), under the same signature.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from adapter.data import mappings_root
from adapter.errors import InputError
from adapter.formats.page_cells import PRINT_BYTES
from adapter.model.confidential import Confidential

MAGIC = b"TDUF"
FORMAT = 1
# Magic, format, document id (the first 16 bytes of the envelope's SHA-256), index, data codes, envelope length.
_HEAD = struct.Struct(">4sB16sBBI")
_SIGNATURE = struct.Struct(">H")
# A QR code of version 25 at level M holds 997 bytes.
CODE_BYTES = 997
PART_BYTES = CODE_BYTES - _HEAD.size
# 24 data codes and their parity: three pages. More is left out: the call would last longer than a second one is worth.
MAX_CODES = 24
# Between the JSON, which cannot hold it, and what the pages looked like.
_END = b"\0"
# What an annex may become once inflated: a code from nowhere must not fill the memory.
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class CodeName:
    """What a code says of itself. `index` counts from 0; the parity code's is `count`."""

    document_id: bytes
    index: int
    count: int
    length: int


@dataclass(frozen=True, repr=False)
class Code(Confidential):
    """One code as read: its name, and its share of the envelope."""

    name: CodeName
    part: bytes


@dataclass(frozen=True, repr=False)
class Annex(Confidential):
    """A whole annex: the sender's detached signature (empty when unsigned), and the deflated document that it is over."""

    signature: bytes
    deflated: bytes


@dataclass(frozen=True, repr=False)
class Carried(Confidential):
    """What an annex holds: the document's canonical JSON, and the print of each sheet before the codes (none: not told)."""

    document: bytes
    prints: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Gathered:
    """The codes of one document seen so far. `missing` holds the indexes that are wanted still, parity counted in."""

    count: int
    length: int
    parts: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    @property
    def missing(self) -> tuple[int, ...]:
        """Data codes that were not seen."""
        return tuple(index for index in range(self.count) if index not in self.parts)

    @property
    def is_complete(self) -> bool:
        """True when the document can be put together, with the parity code if need be."""
        return len(self.missing) <= (1 if self.count in self.parts else 0)


# -- writing ------------------------------------------------------------------------------------------------------------


def deflate(document: bytes, prints: Sequence[bytes] = ()) -> bytes:
    """A document's canonical JSON (`fhir.canonical`) and the prints of its sheets, deflated: the bytes that are signed. The same
    in, the same out.
    """
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, _dictionary(FORMAT))
    told = _END + bytes([len(prints)]) + b"".join(prints) if 0 < len(prints) < 256 else b""
    return squeezer.compress(document + told) + squeezer.flush()


def write_codes(annex: Annex) -> tuple[bytes, ...]:
    """The bytes of each code, the parity code last; none when it takes more than `MAX_CODES`."""
    envelope = _SIGNATURE.pack(len(annex.signature)) + annex.signature + annex.deflated
    count = -(-len(envelope) // PART_BYTES)
    if count > MAX_CODES:
        return ()
    size = -(-len(envelope) // count)
    parts = [envelope[start : start + size].ljust(size, b"\0") for start in range(0, len(envelope), size)]
    parts.append(_xor(parts))
    document_id = hashlib.sha256(envelope).digest()[:16]
    heads = (_HEAD.pack(MAGIC, FORMAT, document_id, index, count, len(envelope)) for index in range(count + 1))
    return tuple(head + part for head, part in zip(heads, parts, strict=True))


# -- reading ------------------------------------------------------------------------------------------------------------


def read_code(content: bytes) -> Code | None:
    """A code of ours, or None: any page may bear codes of others. InputError for a format that we do not know."""
    if content[: len(MAGIC)] != MAGIC or len(content) <= _HEAD.size:
        return None
    _, version, document_id, index, count, length = _HEAD.unpack_from(content)
    if version != FORMAT:
        raise InputError(
            "fax-annex.unknown-format",
            f"the annex is of format {version}; this program reads {FORMAT}",
            remedy="Read the page, and ask for a newer version of this program.",
        )
    part = content[_HEAD.size :]
    if not 0 < count <= MAX_CODES or index > count or length > count * len(part) or length <= (count - 1) * len(part):
        return None
    return Code(CodeName(document_id, index, count, length), part)


def drawn(code: Code) -> bytes:
    """A code's bytes as they were drawn: what is kept of it until the others come."""
    name = code.name
    return _HEAD.pack(MAGIC, FORMAT, name.document_id, name.index, name.count, name.length) + code.part


def gather(codes: Iterable[Code]) -> dict[bytes, Gathered]:
    """Codes by document, each place once; a code at odds with the first of its document is left out."""
    found: dict[bytes, Gathered] = {}
    for code in codes:
        name = code.name
        known = found.get(name.document_id) or Gathered(name.count, name.length)
        sizes = {len(part) for part in known.parts.values()}
        if (known.count, known.length) == (name.count, name.length) and sizes <= {len(code.part)}:
            found[name.document_id] = Gathered(known.count, known.length, {name.index: code.part, **known.parts})
    return found


def put_together(document_id: bytes, gathered: Gathered) -> Annex | None:
    """The annex of a complete set, proven against its id; None when codes are missing or do not belong together."""
    if not gathered.is_complete:
        return None
    parts = dict(gathered.parts)
    for index in gathered.missing:
        parts[index] = _xor([parts[other] for other in range(gathered.count + 1) if other != index])
    envelope = b"".join(parts[index] for index in range(gathered.count))[: gathered.length]
    if hashlib.sha256(envelope).digest()[:16] != document_id or len(envelope) < _SIGNATURE.size:
        return None
    (signed,) = _SIGNATURE.unpack_from(envelope)
    rest = envelope[_SIGNATURE.size :]
    return Annex(rest[:signed], rest[signed:]) if signed <= len(rest) else None


def inflate(deflated: bytes) -> bytes:
    """The document's canonical JSON. InputError when it is damaged, or would be larger than any document of ours."""
    return inflate_all(deflated).document


def inflate_all(deflated: bytes) -> Carried:
    """The document and what its pages looked like. InputError as `inflate`."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS, _dictionary(FORMAT))
    try:
        document = stream.decompress(deflated, MAX_DOCUMENT_BYTES)
    except zlib.error as error:
        raise InputError("fax-annex.damaged", "the annex cannot be inflated", remedy="Read the page.") from error
    if not stream.eof:
        said = f"the annex holds more than {MAX_DOCUMENT_BYTES} bytes, or is cut"
        raise InputError("fax-annex.too-large", said, remedy="Read the page.")
    document, _, told = document.partition(_END)
    return Carried(document, _prints(told))


def _prints(told: bytes) -> tuple[bytes, ...]:
    """One for each sheet; none where what stands there is no such thing."""
    if not told or len(told) != 1 + told[0] * PRINT_BYTES:
        return ()
    return tuple(told[1 + start * PRINT_BYTES : 1 + (start + 1) * PRINT_BYTES] for start in range(told[0]))


def _xor(parts: Sequence[bytes]) -> bytes:
    total = 0
    for part in parts:
        total ^= int.from_bytes(part, "big")
    return total.to_bytes(len(parts[0]), "big")


@lru_cache(maxsize=1)
def _dictionary(version: int) -> bytes:
    """What FHIR documents have in common. A part of the format: another dictionary is another format."""
    return (mappings_root() / "fax" / f"annex-dictionary-{version}.txt").read_bytes()
