"""What faulty lines, machines and senders make of a received fax: two real T.30 terminals, our pages, our understanding."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from adapter.formats.detached_jws import SigningKey, sign
from adapter.formats.fax_annex import MAX_DOCUMENT_BYTES, Annex, write_codes
from adapter.packaging.fax_codes import Room, place_codes
from adapter.packaging.fax_page import RowsPerDot
from tests.builders.instance import Instance
from tests.builders.sent_fax import KEY, STRANGER, SentFax, case_bundle, doors, fax_of, sheets_of, tiff
from tests.loudly import skip_loudly
from tests.servers.spandsp import Ability, load_spandsp
from tests.servers.t30_pair import CallReport, LineFaults, call
from tests.unit.pipeline.test_faxes import came, documents

Caller = Callable[..., tuple[CallReport, list[Image.Image]]]


@pytest.fixture(scope="module")
def letter() -> SentFax:
    return fax_of(case_bundle("fhir-discharge-letter"))


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, fax_doors=doors())


@pytest.fixture
def dial(tmp_path: Path) -> Caller:
    """A call with these sheets; what was reported, and what arrived."""
    try:
        load_spandsp()
    except OSError:
        skip_loudly("libspandsp is not installed")

    def dialled(
        sheets: list[Image.Image], line: LineFaults | None = None, **abilities: Ability
    ) -> tuple[CallReport, list[Image.Image]]:
        pages, into = tmp_path / "sent.tif", tmp_path / "received.tif"
        pages.write_bytes(tiff(sheets))
        report = call(pages, into, line=line, **abilities)
        return report, sheets_of(into.read_bytes()) if report.received else []

    return dialled


def test_clicks_on_a_line_with_error_correction_leave_every_page_as_it_was_sent(
    house: Instance, letter: SentFax, dial: Caller
) -> None:
    report, pages = dial(letter.sheets, LineFaults(clicks=0.005))
    assert report.is_whole and sum(page.ecm_retries for page in report.received) > 0
    assert [page.tobytes() for page in pages] == [sheet.tobytes() for sheet in letter.sheets]
    assert len(documents(house, came(house, pages))) == 1


def test_clicks_without_error_correction_spoil_rows_of_confirmed_pages_and_the_document_is_whole_or_a_person_s(
    house: Instance, letter: SentFax, dial: Caller
) -> None:
    plain = Ability(with_ecm=False)
    calls = [dial(letter.sheets, LineFaults(clicks=0.002, seed=seed), receiver=plain) for seed in range(4)]
    whole = [pages for report, pages in calls if report.is_whole]
    assert len(whole) >= 3 and any(pages[1].tobytes() != letter.sheets[1].tobytes() for pages in whole)
    receipts = [came(house, pages, f"call-{number}") for number, pages in enumerate(whole)]
    assert set(house.reasons()) <= {"fax-incomplete", "fax-page-differs", "no-sandbox"}
    assert len(documents(house, *receipts)) <= 1 and house.conservation().holds


def test_a_call_cut_on_its_last_page_waits_and_the_next_call_makes_the_document(
    house: Instance, letter: SentFax, dial: Caller
) -> None:
    report, first = dial(letter.sheets, LineFaults(cut_on_page=3))
    assert not report.is_whole and [page.verdict for page in report.sent] == ["MCF", "MCF"]
    came(house, first[:2])
    assert house.reasons() == ["fax-unread"]
    _, rest = dial(letter.sheets[2:])
    later = came(house, rest, "call-2")
    assert len(documents(house, later)) == 1 and "fax-unread" not in house.reasons()


def test_a_machine_for_standard_resolution_takes_no_fine_page_and_our_standard_ones_make_the_document(
    house: Instance, letter: SentFax, dial: Caller
) -> None:
    coarse = Ability(takes_fine=False)
    report, nothing = dial(letter.sheets, receiver=coarse)
    assert report.sender_said == "Far end cannot receive at the resolution of the image" and nothing == []
    standard = fax_of(case_bundle("fhir-discharge-letter"), rows=RowsPerDot.STANDARD)
    # `tiff` writes fine pages: what a standard call brings is half as high.
    report, pages = dial([sheet.resize((sheet.width, sheet.height * 2)) for sheet in standard.sheets])
    assert report.is_whole
    assert len(documents(house, came(house, [page.resize((page.width, page.height // 2)) for page in pages]))) == 1


def test_a_machine_without_paper_confirms_no_page(letter: SentFax, dial: Caller) -> None:
    report, _ = dial(letter.sheets, receiver=Ability(has_paper=False))
    assert not report.is_whole and report.sender_said.startswith("Timed out waiting for receiver ready")
    assert not report.sent


def test_a_cropped_page_is_a_person_s(house: Instance, letter: SentFax) -> None:
    page = letter.sheets[1]
    cropped = page.crop((0, 0, page.width, page.height * 2 // 5))
    receipt = came(house, [letter.sheets[0], cropped, *letter.sheets[2:]])
    assert documents(house, receipt) == [] and house.reasons() == ["fax-page-differs"]


def test_codes_cropped_off_make_no_document(house: Instance, letter: SentFax) -> None:
    annex = letter.sheets[-1]
    receipt = came(house, [*letter.sheets[:-1], annex.crop((0, 0, annex.width, annex.height // 2))])
    assert documents(house, receipt) == [] and house.reasons() == ["fax-incomplete"]


def test_a_fax_that_came_twice_in_one_call_is_one_document(house: Instance, letter: SentFax) -> None:
    assert len(documents(house, came(house, [*letter.sheets, *letter.sheets]))) <= 1
    assert house.conservation().holds


@pytest.mark.parametrize(("key", "reason"), [(STRANGER, "fax-unverified"), (KEY, "fax-annex-unreadable")])
def test_codes_that_would_fill_the_memory_are_a_person_s_whoever_signed_them(
    house: Instance, key: SigningKey, reason: str
) -> None:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = squeezer.compress(b"0" * (MAX_DOCUMENT_BYTES + 1)) + squeezer.flush()
    page = Image.new("1", (1728, 2292), 255)
    for image, place in place_codes(write_codes(Annex(sign(bomb, key), bomb)), Room(1728, 264, 2272))[0]:
        page.paste(image, place)
    receipt = came(house, [page])
    assert documents(house, receipt) == [] and house.reasons() == [reason]
