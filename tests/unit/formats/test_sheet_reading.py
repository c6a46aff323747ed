"""Forms that come back by fax: found however the page lies, boxes read or doubted, never guessed; pages joined only when sure."""

from __future__ import annotations

import io
import random
from dataclasses import replace

import pytest
from PIL import Image, ImageChops, ImageDraw

from adapter.formats.fax_codes import locate_codes
from adapter.formats.sheet_draft import PrintedForm, picture_of
from adapter.formats.sheet_marks import page_codes, straighten
from adapter.formats.sheet_reading import Received, ReceivedPage, read_received
from adapter.model.paper_draft import BoxState, Doubt, SheetPage
from adapter.model.sheet import CORNERS, Place, PlaceKind
from tests.builders.paper_forms import DRAWN, Hand, Line, Pen, faxed, fill, printed
from tests.builders.paper_reading import printed_form, received

SLUG = "demande-imagerie"
CLEAN = Line(skew=0.0, specks=0, lost_rows=0, bad_runs=0)
ROUGH = Line(skew=2.0)
PLACES = printed(SLUG)[0].pages[0]
SITES = [place for place in PLACES if place.link_id == "site"]
BLACK_PEN, LIGHT_PEN, PALE_PEN = Pen(0.5, 1.0), Pen(0.3, 0.45), Pen(0.25, 0.35)


def _forms(slug: str) -> PrintedForm | None:
    return printed_form(slug) if slug == SLUG else None


def _sheet(page: int = 1) -> tuple[Image.Image, Hand]:
    paper = printed(SLUG)[1][page - 1]
    return paper, Hand(paper.size, BLACK_PEN, random.Random(7))


def _drawn(*marks: tuple[Place, str], pen: Pen = BLACK_PEN) -> Image.Image:
    """The first page with these marks."""
    paper, _ = _sheet()
    hand = Hand(paper.size, pen, random.Random(3))
    for place, style in marks:
        if style == "strike":
            hand.mark(place, "check")
            hand.strike(place)
        else:
            hand.mark(place, style)
    return ImageChops.darker(paper, hand.paper())


def _read(paper: Image.Image, line: Line = ROUGH) -> SheetPage:
    page = received(faxed(paper, random.Random(1), line), SLUG)
    assert page is not None
    return page


def _states(page: SheetPage, link_id: str = "site") -> list[BoxState]:
    return [box.state for box in page.boxes if box.place.link_id == link_id]


def _doubts(page: SheetPage, link_id: str = "site") -> set[Doubt]:
    return {doubt for box in page.boxes if box.place.link_id == link_id for doubt in box.doubts}


def _all(*pages: Image.Image, source: str = "call") -> Received:
    return read_received((ReceivedPage(f"{source}-{n}.tif", 1, page) for n, page in enumerate(pages)), _forms)


# -- how the page lies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "size"), [(0, None), (180, None), (90, None), (271, None), (2.5, None), (0, (1728, 1146)), (178, (1640, 2240))]
)
def test_a_page_is_read_however_it_lies(turn: float, size: tuple[int, int] | None) -> None:
    image = faxed(_drawn((SITES[1], "cross")), random.Random(1), CLEAN).convert("L")
    image = image.rotate(turn, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    page = received(image.resize(size) if size else image, SLUG)
    assert page is not None
    assert _states(page) == [BoxState.EMPTY, BoxState.TICKED, BoxState.EMPTY]
    assert all(box.state is BoxState.EMPTY for box in page.boxes if box.place.link_id != "site")
    assert page.snippets == () and page.findings == ()


def _without(*corners: int) -> Image.Image:
    """The first page, its first site ticked, these corner marks gone."""
    paper = _drawn((SITES[0], "check"))
    for number in corners:
        x, y = (round(value * DRAWN) for value in CORNERS[number])
        ImageDraw.Draw(paper).rectangle((x - 50, y - 50, x + 50, y + 50), fill=255)
    return faxed(paper, random.Random(2), CLEAN)


@pytest.mark.parametrize("corner", range(4))
def test_one_corner_mark_may_be_missing_and_it_is_said(corner: int) -> None:
    page = received(_without(corner), SLUG)
    assert page is not None
    assert [finding.code for finding in page.findings] == ["sheet.mark-missing"]
    assert _states(page) == [BoxState.TICKED, BoxState.EMPTY, BoxState.EMPTY]


def test_a_cropped_page_is_not_read_and_told_where_it_is_cropped() -> None:
    told = _all(_without(2, 3))
    (finding,) = told.findings
    assert finding.code == "sheet.cropped" and "bottom-right" in finding.location
    assert told.drafts == () and told.unknown == ("call-0.tif page 1",)


def test_a_page_of_anything_else_is_nobodys_form() -> None:
    told = _all(Image.new("L", (1728, 2292), 255))
    assert (told.drafts, told.findings, told.unknown) == ((), (), ("call-0.tif page 1",))


def test_a_form_printed_from_another_version_or_drawing_is_never_read_by_todays_places() -> None:
    image = faxed(_drawn((SITES[0], "check")), random.Random(2), CLEAN)
    today = printed_form(SLUG)
    for changes in ({"version": "2.0.0"}, {"layout": "AAAA"}, {"pages": today.sheet.pages[:1]}):
        other = PrintedForm(replace(today.sheet, **changes), today.printed)  # type: ignore[arg-type]
        told = read_received([ReceivedPage("a.tif", 1, image)], lambda _, other=other: other)  # type: ignore[misc]
        assert [finding.code for finding in told.findings] == ["sheet.other-version"] and not told.drafts
    told = read_received([ReceivedPage("a.tif", 1, image)], lambda _: None)
    assert [finding.code for finding in told.findings] == ["sheet.unknown-form"] and told.unknown


def test_a_code_that_lies_elsewhere_than_the_corners_say_is_not_believed() -> None:
    image = faxed(_drawn(), random.Random(2), CLEAN)
    ((code, corners),) = page_codes(locate_codes(image))
    moved = tuple((x - 60, y + 60) for x, y in corners)
    straight = straighten(image, code, moved)
    assert straight.image is None and straight.findings[0].code in ("sheet.distorted", "sheet.cropped")
    mirrored = straighten(image, code, corners[::-1])
    assert mirrored.image is None and mirrored.findings[0].code == "sheet.distorted"


# -- boxes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["cross", "check", "slash", "scribble", "dot"])
def test_a_mark_made_with_a_pen_is_read(style: str) -> None:
    page = _read(_drawn((SITES[2], style)))
    assert _states(page) == [BoxState.EMPTY, BoxState.EMPTY, BoxState.TICKED]
    (ticked,) = [box for box in page.boxes if box.state is BoxState.TICKED]
    assert 0.0 < ticked.confidence <= 1.0 and ticked.place.value == SITES[2].value


def test_the_empty_form_has_no_answer_no_picture_and_nothing_to_say() -> None:
    for number in (1, 2):
        paper, _ = _sheet(number)
        page = _read(paper)
        assert {box.state for box in page.boxes} == {BoxState.EMPTY}
        assert page.snippets == () and page.findings == ()


@pytest.mark.parametrize(
    ("style", "doubt"),
    [("blackened", Doubt.BLACKENED), ("circle", Doubt.BESIDE), ("beside", Doubt.BESIDE)],
)
def test_what_may_mean_either_is_doubtful(style: str, doubt: Doubt) -> None:
    page = _read(_drawn((SITES[1], style)))
    assert _states(page)[1] is BoxState.DOUBTFUL
    assert doubt in _doubts(page)
    (answer,) = _all(faxed(_drawn((SITES[1], style)), random.Random(1), ROUGH)).drafts[0].answers
    assert answer.values == () and SITES[1].value in answer.candidates


def test_a_single_choice_with_two_marks_has_no_answer() -> None:
    told = _all(faxed(_drawn((SITES[0], "cross"), (SITES[2], "check")), random.Random(1), ROUGH))
    (answer,) = told.drafts[0].answers
    assert (answer.values, answer.confidence) == ((), 0.0)
    assert answer.candidates == (SITES[0].value, SITES[2].value)
    assert answer.doubts == (Doubt.SEVERAL_MARKS,)


def test_a_mark_struck_out_is_never_told_as_ticked() -> None:
    for seed in range(6):
        paper, _ = _sheet()
        hand = Hand(paper.size, BLACK_PEN, random.Random(seed))
        hand.mark(SITES[1], "check")
        hand.strike(SITES[1])
        page = _read(ImageChops.darker(paper, hand.paper()))
        assert _states(page)[1] is BoxState.DOUBTFUL, seed


def test_a_light_pen_is_read_or_doubted_but_not_lost() -> None:
    for style in ("cross", "check", "slash"):
        page = _read(_drawn((SITES[0], style), pen=LIGHT_PEN))
        assert _states(page)[0] is not BoxState.EMPTY


def test_a_box_whose_frame_is_gone_is_doubtful() -> None:
    paper = printed(SLUG)[1][0].copy()
    x, y, side = (round(value * DRAWN) for value in (SITES[0].x, SITES[0].y, SITES[0].width))
    ImageDraw.Draw(paper).rectangle((x - 6, y - 6, x + side + 6, y + side + 6), fill=255)
    page = _read(paper)
    assert _states(page) == [BoxState.DOUBTFUL, BoxState.EMPTY, BoxState.EMPTY]
    assert _doubts(page) == {Doubt.NO_FRAME}


# -- writing ------------------------------------------------------------------------------------------------------------


def test_handwriting_is_kept_as_a_picture_beside_its_field() -> None:
    paper, hand = _sheet()
    name = next(place for place in PLACES if place.link_id == "patient.nom")
    hand.write(name)
    page = _read(ImageChops.darker(paper, hand.paper()))
    (snippet,) = page.snippets
    assert (snippet.place, snippet.page) == (name, 1)
    picture = Image.open(io.BytesIO(snippet.png))
    with_its_question = (round((name.width + 4) * 8), round((name.height + 4 + 3) * 8))
    assert picture.size == with_its_question and picture.mode == "1"
    assert Image.open(io.BytesIO(page.png)).size == (1680, 2376)


def test_doubtful_boxes_are_shown_with_their_question_from_edge_to_edge() -> None:
    page = _read(_drawn((SITES[0], "cross"), (SITES[1], "cross")))
    shown = Image.open(io.BytesIO(picture_of(page, [box for box in page.boxes if box.place.link_id == "site"])))
    assert shown.width == (210 - 12) * 8 and SITES[0].height * 8 < shown.height < 40 * 8
    left, top = round((SITES[0].x - 6) * 8), 6 * 8
    inside = shown.convert("L").crop((left, top, left + 30, top + 30))
    assert inside.getextrema()[0] == 0, "the crossed box is in it"


def test_a_note_outside_the_fields_is_said_with_its_place() -> None:
    paper, hand = _sheet(2)
    hand.write(Place(PlaceKind.WRITING, "margin", 0, 60.0, 262.0, 60.0, 8.0, ""))
    page = _read(ImageChops.darker(paper, hand.paper()))
    (finding,) = page.findings
    assert finding.code == "sheet.written-outside" and "page 2" in finding.location


@pytest.mark.parametrize(("pen", "standard", "told"), [
    (PALE_PEN, True, ["sheet.pale"]), (PALE_PEN, False, []), (BLACK_PEN, True, []),
])  # fmt: skip
def test_a_light_pen_on_a_coarse_page_is_said(pen: Pen, standard: bool, told: list[str]) -> None:
    paper, _ = _sheet()
    hand = Hand(paper.size, pen, random.Random(5))
    for place in PLACES:
        if place.kind is PlaceKind.WRITING:
            hand.write(place)
    page = received(faxed(ImageChops.darker(paper, hand.paper()), random.Random(5), replace(ROUGH, standard=standard)), SLUG)
    assert page is not None and [finding.code for finding in page.findings] == told


# -- pages --------------------------------------------------------------------------------------------------------------


def test_pages_of_several_calls_in_any_order_make_one_draft() -> None:
    filled = fill(SLUG, "joined", light=0.0)
    first, second = (faxed(page, random.Random(4), ROUGH) for page in filled.pages)
    draft = _all(second, first).drafts[0]
    assert [page.number for page in draft.pages] == [1, 2] and draft.missing == ()
    assert not [finding for finding in draft.findings if finding.code == "sheet.page-missing"]
    assert {box.place.link_id for page in draft.pages for box in page.boxes} > {"site", "premedication"}


def test_a_missing_page_is_said() -> None:
    (draft,) = _all(faxed(_drawn((SITES[0], "cross")), random.Random(1), ROUGH)).drafts
    assert draft.missing == (2,)
    assert [finding.code for finding in draft.findings] == ["sheet.page-missing"]
    assert [(answer.link_id, answer.values) for answer in draft.answers] == [("site", (SITES[0].value,))]


def test_two_copies_of_a_page_are_never_joined_with_others() -> None:
    one, other = (faxed(_drawn((site, "cross")), random.Random(1), ROUGH) for site in SITES[:2])
    drafts = _all(one, other).drafts
    assert [answer.values for draft in drafts for answer in draft.answers] == [(SITES[0].value,), (SITES[1].value,)]
    assert all("sheet.pages-not-joined" in {finding.code for finding in draft.findings} for draft in drafts)


def test_the_very_same_page_twice_is_read_once() -> None:
    image = faxed(_drawn((SITES[0], "cross")), random.Random(1), ROUGH)
    told = _all(image, image)
    assert len(told.drafts) == 1 and [finding.code for finding in told.findings] == ["sheet.page-doubled"]


def test_nothing_of_a_draft_shows_in_its_repr() -> None:
    told = _all(faxed(_drawn((SITES[0], "cross")), random.Random(1), ROUGH))
    for value in (told, told.drafts[0], told.drafts[0].answers[0], told.drafts[0].pages[0], told.drafts[0].pages[0].boxes[0]):
        assert repr(value).endswith("confidential>")
