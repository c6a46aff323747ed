"""Codes of several calls put together: any order, twice, one forged among them. Pure, and bounded.

A code that says of its place something else than another one is not believed, nor is the other: what fits is what the document's
own SHA-256 proves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product

from adapter.formats.fax_annex import Code, Gathered, put_together

# Sets of conflicting codes that are tried for one document; a page full of forgeries is a person's.
MOST_TRIES = 256
# Different codes of one place that are looked at.
_MOST_VARIANTS = 8

_Shape = tuple[int, int, int]  # codes, envelope length, bytes a part


def join_codes(codes: Iterable[Code]) -> dict[bytes, Gathered]:
    """By document, the codes that prove it whole; else as many as agree with each other."""
    by_document: dict[bytes, dict[_Shape, dict[int, list[bytes]]]] = {}
    for code in codes:
        name = code.name
        shapes = by_document.setdefault(name.document_id, {})
        parts = shapes.setdefault((name.count, name.length, len(code.part)), {}).setdefault(name.index, [])
        if code.part not in parts and len(parts) < _MOST_VARIANTS:
            parts.append(code.part)
    return {document_id: _best(document_id, shapes) for document_id, shapes in by_document.items()}


def _best(document_id: bytes, shapes: dict[_Shape, dict[int, list[bytes]]]) -> Gathered:
    tried = [gathered for shape, parts in shapes.items() for gathered in _ways(shape, parts)]
    proven = (gathered for gathered in tried if put_together(document_id, gathered) is not None)
    # Not proven: the places that nobody contradicts, of the shape that most codes have.
    (count, length, _), parts = max(shapes.items(), key=lambda one: len(one[1]))
    agreed = Gathered(count, length, {index: found[0] for index, found in parts.items() if len(found) == 1})
    return next(proven, agreed)


def _ways(shape: _Shape, parts: dict[int, list[bytes]]) -> Iterator[Gathered]:
    """One part a place, and each disputed place also left to the parity code."""
    count, length, _ = shape
    places = sorted(parts)
    choices = [[*parts[index], None] if len(parts[index]) > 1 else [*parts[index]] for index in places]
    for chosen in islice(product(*choices), MOST_TRIES):
        yield Gathered(count, length, {index: part for index, part in zip(places, chosen, strict=True) if part is not None})
