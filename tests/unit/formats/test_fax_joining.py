"""Codes of several calls: shuffled, doubled, dropped, one forged among them."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.formats.fax_annex import Annex, Code, drawn, put_together, read_code, write_codes
from adapter.formats.fax_joining import join_codes


def codes_of(size: int, seed: int) -> list[Code]:
    content = random.Random(seed).randbytes(size)
    return [code for raw in write_codes(Annex(b"signed", content)) if (code := read_code(raw)) is not None]


def whole(codes: list[Code], of: list[Code]) -> bool:
    document_id = of[0].name.document_id
    annex = put_together(document_id, join_codes(codes)[document_id])
    return annex is not None


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9000), st.integers(0, 99), st.randoms(use_true_random=False))
def test_any_order_doubles_and_one_loss_are_the_same_document(size: int, seed: int, chance: random.Random) -> None:
    codes = codes_of(size, seed)
    lost = chance.choice(codes)
    kept = [code for code in codes if code is not lost] * 2
    chance.shuffle(kept)
    assert whole(kept or codes, codes)


@settings(max_examples=40, deadline=None)
@given(st.integers(1000, 9000), st.integers(0, 99), st.randoms(use_true_random=False))
def test_a_forged_part_is_neither_believed_nor_in_the_way(size: int, seed: int, chance: random.Random) -> None:
    codes = codes_of(size, seed)
    forged = [replace(code, part=chance.randbytes(len(code.part))) for code in chance.sample(codes, min(3, len(codes)))]
    mixed = [*forged, *codes]
    chance.shuffle(mixed)
    assert whole(mixed, codes)


def test_a_page_full_of_forgeries_ends_and_proves_nothing() -> None:
    codes, chance = codes_of(9000, 1), random.Random(1)
    forged = [replace(code, part=chance.randbytes(len(code.part))) for code in codes for _ in range(20)]
    document_id = codes[0].name.document_id
    gathered = join_codes(forged)[document_id]
    assert put_together(document_id, gathered) is None
    assert gathered.missing  # no place is agreed on


def test_a_code_of_another_shape_does_not_spoil_the_others() -> None:
    codes = codes_of(5000, 2)
    odd = replace(codes[0], name=replace(codes[0].name, count=3, length=2 * len(codes[0].part) + 1))
    assert whole([odd, *codes], codes)


def test_a_code_is_kept_as_it_was_drawn() -> None:
    for raw in write_codes(Annex(b"", b"content" * 300)):
        code = read_code(raw)
        assert code is not None and drawn(code) == raw
