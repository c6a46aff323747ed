"""A fax at its door: always kept, known by its door, named by its line."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from PIL import Image

from adapter.formats.page_cells import PRINT_BYTES
from adapter.mapping import fax_pages
from adapter.mapping.fax import compare
from adapter.mapping.fax_pages import read_fax
from adapter.mapping.from_fax import FaxOrigin, inspect_fax, origin_of
from adapter.mapping.kinds import kind_of
from adapter.model.fax_in import FaxDoor, FaxDoors, desk_door, line_of
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from tests.builders.cda import tiny_pdf


def _arrival(content: bytes, door: str = "fax:accueil", form: str = "") -> Arrival:
    principal = Principal("accueil", "fax", "940000001")
    return Arrival(content, door, principal, datetime(2026, 11, 22, tzinfo=UTC), reference="rec-1", form=form)


def _tiff(pages: int, size: tuple[int, int] = (200, 300)) -> bytes:
    out, sheets = io.BytesIO(), [Image.new("1", size, 255) for _ in range(pages)]
    sheets[0].save(out, "TIFF", save_all=True, append_images=sheets[1:])
    return out.getvalue()


@pytest.mark.parametrize("content", [tiny_pdf(), b"%PDF-broken", b"", b"\0\1\2", b'{"resourceType": "Bundle"}'])
def test_whatever_a_line_brings_is_a_fax_and_is_kept(content: bytes) -> None:
    assert kind_of(_arrival(content)) is ContentKind.FAX
    assert inspect_fax(_arrival(content)).verdict is Verdict.ACCEPTED


def test_a_pdf_elsewhere_is_no_fax_and_a_tiff_is_one_everywhere() -> None:
    assert kind_of(_arrival(tiny_pdf(), door="folder:a")) is ContentKind.PDF
    assert kind_of(_arrival(_tiff(1), door="cli")) is ContentKind.FAX


def test_two_calls_with_the_same_pages_have_one_fingerprint() -> None:
    assert inspect_fax(_arrival(_tiff(1))).fingerprint == inspect_fax(_arrival(_tiff(1), "fax:autre")).fingerprint
    assert inspect_fax(_arrival(_tiff(1))).fingerprint != inspect_fax(_arrival(_tiff(2))).fingerprint


@pytest.mark.parametrize("side_car", [b"", b"[]", b"{", b'{"from": 4, "pages": "x"}', b'{"pages": true}', b"\xff"])
def test_a_side_car_that_is_not_ours_says_nothing(side_car: bytes) -> None:
    assert origin_of(side_car) == FaxOrigin()


def test_what_the_line_said_is_read() -> None:
    told = origin_of(b'{"from": "+33145000001", "called_id": "0145", "pages": 3, "received_at": "2026", "withheld": ""}')
    assert told == FaxOrigin("+33145000001", "0145", 3, "2026")


def test_what_a_person_confirms_comes_by_the_line_s_own_rules() -> None:
    door = FaxDoor("accueil", "940000001")
    doors = FaxDoors({"fax:accueil": door})
    assert doors.of("fax:accueil") is doors.of(desk_door("fax:accueil")) is door
    assert doors.of("cli") is doors.otherwise and line_of("cli") == "cli"


@pytest.mark.parametrize("content", [b"", b"II*\0", b"%PDF-1.4", b"nothing", _tiff(1)[:-40]])
def test_pages_that_cannot_be_read_are_said_to_be_and_raise_nothing(content: bytes) -> None:
    assert read_fax(content, "r", lambda _slug: None).problem == "fax-unreadable"


def test_a_fax_of_too_many_pages_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fax_pages, "MOST_PAGES", 3)
    reading = read_fax(_tiff(5), "r", lambda _slug: None)
    assert (reading.pages, reading.problem) == (3, "fax-too-long")


def test_dots_are_counted_over_all_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fax_pages, "MOST_DOTS", 2 * 200 * 300)
    assert read_fax(_tiff(4), "r", lambda _slug: None).pages == 2


@pytest.mark.parametrize("size", [(3, 60_000), (60_000, 3)])
def test_a_page_that_is_all_length_is_no_sheet_of_a_document_and_fills_no_memory(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "compare_page", lambda *_args, **_kwargs: pytest.fail("laid over a sheet"))
    page = Image.new("1", size, 0)
    out = io.BytesIO()
    page.save(out, "TIFF", compression="group4")
    found = compare.compare_pages([compare.CalledPages("r", out.getvalue(), (1,))], [bytes(PRINT_BYTES)] * 2)
    assert [one.rank for one in found.unknown] == [1] and not found.is_alike
