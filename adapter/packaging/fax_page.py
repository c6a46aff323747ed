"""A PDF as fax pages: a cover without a patient's name, each page at 1728 × 2292 dots, black or white, then the codes of the
document for machines; as TIFF-F (G4). A line that takes standard resolution only gets half of the rows.

Sources: ITU-T T.4 (1728 dots over 215 mm, 204 × 196 an inch), RFC 2306 and 3949 (TIFF-F), CNIL advice on faxing health data
(a cover that names no patient, a confidentiality notice). What is read is what a 20-year-old machine prints: no grey, no colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, ImageDraw

from adapter.errors import RenditionError
from adapter.formats.page_print import print_of
from adapter.formats.pdf import ONE_AT_A_TIME
from adapter.model.confidential import Confidential
from adapter.packaging.fax_codes import Room, place_codes
from adapter.packaging.fax_drawing import (
    Block,
    draw_band,
    draw_blocks,
    draw_notice,
    draw_stamp,
    draw_strip,
    draw_title,
    draw_warning,
    font,
    wrapped,
)
from adapter.packaging.page.faces import visible
from adapter.packaging.page.words import phone_words
from adapter.packaging.parcel import FaxContent
from adapter.packaging.tiff_f import write_tiff_f

WIDTH, HEIGHT = 1728, 2292
DPI = (204, 196)
# A sheet of 210 mm is narrower than the 215 mm of the line; a strip above holds our page number, as fax machines do.
SHEET_WIDTH = round(210 / 25.4 * DPI[0])
HEADER = 54
MAX_PAGES = 200

_THRESHOLD = 184  # thin strokes of 8-point letters are pale once smoothed: they must stay


class RowsPerDot(IntEnum):
    """The resolution of a page: how many fine rows one row stands for (196 or 98 an inch)."""

    FINE = 1
    STANDARD = 2


ANNEX_TITLE = "Annexe lisible par machine"
_ANNEX_WORDS = (
    "Ces codes contiennent le document des pages précédentes, sous forme de données signées par l'expéditeur. Un logiciel "
    "équipé les lit à la réception et évite la ressaisie. Rien à faire à la main : les pages précédentes se lisent comme d'usage."
)
_ANNEX_TOP = 264

NOTICE = (
    "CONFIDENTIEL – SECRET MÉDICAL. Cette télécopie est destinée exclusivement à la personne ou au service désigné "
    "ci-dessus. Elle contient des données de santé couvertes par le secret professionnel (article L. 1110-4 du code de la "
    "santé publique). Si vous la recevez par erreur, merci de prévenir aussitôt l'expéditeur au numéro de rappel, de ne pas "
    "la copier ni la divulguer, et de la détruire."
)


@dataclass(frozen=True, repr=False)
class FaxCover(Confidential):
    """What the cover says. No patient, no title of a document: a cover lies open in a tray.

    `urgency` is the sender's own word; `reference` is ours, for a call; `date` is shown as given.
    `follow_up` says which earlier fax this one replaces or cancels.
    """

    sender: str
    recipient: str
    fax_number: str
    callback_number: str
    sender_fax: str = ""
    recipient_place: str = ""
    urgency: str = ""
    reference: str = ""
    date: str = ""
    follow_up: str = ""


def sheet_prints(
    pdf: bytes, cover: FaxCover, annexes: int, stamp: str = "", rows: RowsPerDot = RowsPerDot.FINE
) -> tuple[bytes, ...]:
    """What the sheets before the annex look like as they leave, when the annex takes so many: told under its signature."""
    sheets = _sheets(pdf, cover, 1 + _page_count(pdf) + annexes, stamp)
    return tuple(print_of(_at(sheet, rows).resize(sheet.size, Image.Resampling.NEAREST)) for sheet in sheets)


def annex_sheets(codes: Sequence[bytes], rows: RowsPerDot) -> int:
    """How many sheets these codes take."""
    return len(_placed(codes, rows))


def _placed(codes: Sequence[bytes], rows: RowsPerDot) -> list[list[tuple[Image.Image, tuple[int, int]]]]:
    return place_codes(codes, Room(WIDTH, _ANNEX_TOP // rows, (HEIGHT - 20) // rows, rows)) if codes else []


def _sheets(pdf: bytes, cover: FaxCover, total: int, stamp: str) -> list[Image.Image]:
    """The cover and the document's pages."""
    rasters = enumerate(_rasters(pdf, _page_count(pdf)), start=2)
    sheets = [_cover_page(cover, total), *(_content_page(image, cover, number, total) for number, image in rasters)]
    for sheet in sheets if stamp else ():
        draw_stamp(sheet, visible(stamp))
    return sheets


def build_fax(
    pdf: bytes, cover: FaxCover, stamp: str = "", codes: Sequence[bytes] = (), rows: RowsPerDot = RowsPerDot.FINE
) -> FaxContent:
    """Cover, pages and annex as one TIFF-F; `stamp` goes across each but the annex, whose codes must stay whole."""
    count, annexes = _page_count(pdf), _placed(codes, rows)
    total = 1 + count + len(annexes)
    sheets = _sheets(pdf, cover, total, stamp)
    sheets += [_annex_page(cover, number, total, stamp) for number in range(count + 2, total + 1)]
    sheets = [_at(sheet, rows) for sheet in sheets]
    for sheet, placed in zip(sheets[count + 1 :], annexes, strict=True):
        for image, place in placed:
            sheet.paste(image, place)
    return _content(sheets, rows)


def tiff_of(sheets: Sequence[Image.Image], rows: RowsPerDot) -> FaxContent:
    """Drawn sheets as they leave, at the rows of the line."""
    return _content([_at(sheet, rows) for sheet in sheets], rows)


def _content(sheets: Sequence[Image.Image], rows: RowsPerDot) -> FaxContent:
    return FaxContent(write_tiff_f(sheets, (DPI[0], DPI[1] // rows)), len(sheets), fine=rows is RowsPerDot.FINE)


@dataclass(frozen=True, repr=False)
class Furniture(Confidential):
    """What stands around a document's own pages, for a form of the fax that draws those itself: the cover, the strip of `HEADER`
    rows above each page, and the annex's sheets without their codes.
    """

    cover: Image.Image
    strips: tuple[Image.Image, ...]
    annexes: tuple[Image.Image, ...]


def furniture(cover: FaxCover, pages: int, annexes: int, stamp: str = "") -> Furniture:
    """The same as `build_fax` draws, for so many pages of the document and so many sheets of codes."""
    total = 1 + pages + annexes
    first = _cover_page(cover, total)
    if stamp:
        draw_stamp(first, visible(stamp))
    strips = []
    for number in range(2, pages + 2):
        strip = Image.new("1", (WIDTH, HEADER), 255)
        _header(strip, cover, number, total)
        strips.append(strip)
    sheets = (_annex_page(cover, number, total, stamp) for number in range(pages + 2, total + 1))
    return Furniture(first, tuple(strips), tuple(sheets))


def _at(sheet: Image.Image, rows: RowsPerDot) -> Image.Image:
    """The sheet with this many fine rows in one: black when any of them is, so that no thin line is lost."""
    if rows is RowsPerDot.FINE:
        return sheet
    halves = sheet.convert("L").resize((sheet.width, sheet.height // rows), Image.Resampling.BOX)
    return halves.point(lambda tone: 255 if tone > 192 else 0, mode="1")


# -- pages of the document ----------------------------------------------------------------------------------------------


def _page_count(pdf: bytes) -> int:
    with ONE_AT_A_TIME:
        document = _opened(pdf)
        try:
            count = len(document)
        finally:
            document.close()
    if not 0 < count <= MAX_PAGES:
        raise RenditionError("fax.too-many-pages", f"{count} pages cannot be faxed", remedy=f"At most {MAX_PAGES} pages.")
    return count


def _opened(pdf: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(pdf)
    except pypdfium2.PdfiumError as error:
        raise RenditionError(
            "fax.unreadable-pdf", "the PDF cannot be opened", remedy="Ask the sender for a sound PDF."
        ) from error


def _rasters(pdf: bytes, count: int) -> Iterator[Image.Image]:
    """Each page in grey, at the dots of a fax; a page lying on its side is turned."""
    for number in range(count):
        with ONE_AT_A_TIME:
            document = _opened(pdf)
            try:
                raster = _raster(document, number)
            finally:
                document.close()
        yield raster


def _raster(document: pypdfium2.PdfDocument, number: int) -> Image.Image:
    try:
        page = document[number]
    except pypdfium2.PdfiumError as error:
        raise RenditionError("fax.unreadable-page", "a page cannot be read", where=f"page {number + 1}") from error
    wide, high = page.get_size()
    turned = wide > high
    if turned:
        wide, high = high, wide
    room_width, room_height = SHEET_WIDTH, HEIGHT - HEADER
    # Points to dots, on both axes, never larger than the sheet.
    scale = min(room_width / (wide * DPI[0] / 72), room_height / (high * DPI[1] / 72), 1.0)
    dots = max(1, round(wide * DPI[0] / 72 * scale)), max(1, round(high * DPI[1] / 72 * scale))
    bitmap = pypdfium2.PdfBitmap.new_native(*dots, pdfium.FPDFBitmap_Gray)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, *dots)
    flags = pdfium.FPDF_ANNOT | pdfium.FPDF_PRINTING | pdfium.FPDF_GRAYSCALE
    pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, *dots, 1 if turned else 0, flags)
    image: Image.Image = bitmap.to_pil().copy()
    bitmap.close()
    page.close()
    return image


def _content_page(raster: Image.Image, cover: FaxCover, number: int, total: int) -> Image.Image:
    sheet = blank_sheet()
    sheet.paste(_black_or_white(raster), ((WIDTH - raster.width) // 2, HEADER))
    _header(sheet, cover, number, total)
    return sheet


def _black_or_white(raster: Image.Image) -> Image.Image:
    """Threshold; a page that would turn mostly black (a dark scan) gets the threshold of its own two tones."""
    black = _dark_share(raster, _THRESHOLD)
    threshold = _THRESHOLD if black < 0.35 else _own_threshold(raster)
    return raster.point(lambda tone: 255 if tone >= threshold else 0, mode="1")


def _dark_share(raster: Image.Image, threshold: int) -> float:
    histogram = raster.histogram()
    return sum(histogram[:threshold]) / max(sum(histogram), 1)


def _own_threshold(raster: Image.Image) -> int:
    """Otsu's threshold: the tone that best parts the two heaps of the histogram."""
    histogram = raster.histogram()
    total, weighted = sum(histogram), sum(tone * count for tone, count in enumerate(histogram))
    best, best_tone = -1.0, _THRESHOLD
    below = below_weighted = 0
    for tone, count in enumerate(histogram):
        below += count
        below_weighted += tone * count
        above = total - below
        if not below or not above:
            continue
        apart = below * above * (below_weighted / below - (weighted - below_weighted) / above) ** 2
        if apart > best:
            best, best_tone = apart, tone + 1
    return best_tone


# -- drawing ------------------------------------------------------------------------------------------------------------


def _header(sheet: Image.Image, cover: FaxCover, number: int, total: int) -> None:
    left = "  ".join(words for words in (cover.sender, phone_words(cover.callback_number)) if words)
    draw_strip(sheet, left, cover.urgency, cover.reference, f"Page {number}/{total}")


def _annex_page(cover: FaxCover, number: int, total: int, stamp: str) -> Image.Image:
    """What the codes are, for whoever holds the sheet; the codes are pasted once the sheet has its last size."""
    sheet = blank_sheet()
    draw = ImageDraw.Draw(sheet)
    _header(sheet, cover, number, total)
    draw.text((110, 58), ANNEX_TITLE, fill=0, font=font(48, "B"))
    if stamp:
        draw.text((WIDTH - 110, 104), visible(stamp), fill=0, font=font(38, "B"), anchor="rs")
    for index, line in enumerate(wrapped(_ANNEX_WORDS, WIDTH - 220, font(31))):
        draw.text((110, 124 + index * 42), line, fill=0, font=font(31))
    return sheet


def _cover_page(cover: FaxCover, total: int) -> Image.Image:
    sheet = blank_sheet()
    pages = f"{total} page{'s' if total > 1 else ''}"
    y = draw_title(sheet, "TÉLÉCOPIE", f"Page 1/{total}", (pages, "y compris celle-ci"))
    if cover.urgency.strip():
        y = draw_band(sheet, visible(cover.urgency.strip().upper()), y)
    if cover.follow_up:
        y = draw_warning(sheet, "ANNULE ET REMPLACE", cover.follow_up, y)
    draw_blocks(sheet, cover_blocks(cover), y, draw_notice(sheet, NOTICE))
    return sheet


def cover_blocks(cover: FaxCover) -> Iterator[Block]:
    """Who sends to whom, when, whom to ring: each with its label, then lines with their style."""
    yield "DESTINATAIRE", [(cover.recipient, "B"), (cover.recipient_place, ""), (_labelled("Fax", cover.fax_number), "B")]
    yield "EXPÉDITEUR", [(cover.sender, "B"), (_labelled("Fax", cover.sender_fax), "")]
    if cover.callback_number:
        why = "En cas d'erreur de destinataire ou de page illisible"
        yield "RAPPEL", [(phone_words(cover.callback_number), "B"), (why, "")]
    yield "DATE", [(cover.date, "")]
    yield "RÉFÉRENCE", [(cover.reference, "")]


def _labelled(label: str, words: str) -> str:
    return f"{label} {phone_words(words)}" if words else ""


def blank_sheet() -> Image.Image:
    """A white sheet at the dots of a fine fax."""
    return Image.new("1", (WIDTH, HEIGHT), 255)
