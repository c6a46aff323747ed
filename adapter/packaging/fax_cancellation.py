"""The one page that cancels a fax: which document, when it was faxed, how many pages, what to do with them. No clinical content.

Sources: blueprint seams 6 and 15 (a fax gets a follow-up page; a sheet in a tray names no patient and no sensitive service): the
document is named by its class, its date and its id, never by its title.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from adapter.model.confidential import Confidential
from adapter.packaging.fax_drawing import Block, draw_band, draw_blocks, draw_notice, draw_stamp, draw_title, draw_warning
from adapter.packaging.fax_page import FaxCover, RowsPerDot, blank_sheet, cover_blocks, tiff_of
from adapter.packaging.page.faces import visible
from adapter.packaging.parcel import FaxContent

_TO_DO = (
    "Le document désigné ci-dessous, déjà télécopié, est annulé par son auteur. Merci d'en détruire toutes les pages ou, si "
    "elles sont classées, de les barrer et d'y porter «\u00a0ANNULÉ\u00a0», et de ne plus en tenir compte."
)
_NOTICE = (
    "CONFIDENTIEL – SECRET MÉDICAL. Cette page ne contient aucune donnée de santé. Si vous n'êtes pas le destinataire, merci de "
    "prévenir aussitôt l'expéditeur au numéro de rappel."
)


@dataclass(frozen=True, repr=False)
class CancelledFax(Confidential):
    """What is cancelled. `kind` is the class of the document, `reference` the one on the cover that came with it.

    `faxed_on` is a civil day, empty when nobody knows it; `pages` 0 when the engine did not tell how many went.
    """

    kind: str
    document_date: str
    document_id: str
    faxed_on: str = ""
    reference: str = ""
    pages: int = 0


def build_cancellation(cover: FaxCover, what: CancelledFax, stamp: str = "", rows: RowsPerDot = RowsPerDot.FINE) -> FaxContent:
    """The page as TIFF-F."""
    return tiff_of([cancellation_sheet(cover, what, stamp)], rows)


def cancellation_sheet(cover: FaxCover, what: CancelledFax, stamp: str = "") -> Image.Image:
    """The page as a drawing on the dots of a fine fax."""
    sheet = blank_sheet()
    y = draw_title(sheet, "ANNULATION", "Page 1/1", ("1 page", "annule une télécopie précédente"))
    if cover.urgency.strip():
        y = draw_band(sheet, visible(cover.urgency.strip().upper()), y)
    y = draw_warning(sheet, "DOCUMENT ANNULÉ", _TO_DO, y)
    draw_blocks(sheet, [*_blocks(what), *cover_blocks(cover)], y, draw_notice(sheet, _NOTICE))
    if stamp:
        draw_stamp(sheet, visible(stamp))
    return sheet


def _blocks(what: CancelledFax) -> Iterator[Block]:
    yield "DOCUMENT", [(_document(what), "B")]
    yield "IDENTIFIANT", [(what.document_id, "")]
    yield "TÉLÉCOPIÉ", [(_sending(what), "B")]


def _document(what: CancelledFax) -> str:
    return " ".join(filter(None, (what.kind, f"du {what.document_date}" if what.document_date else "")))


def _sending(what: CancelledFax) -> str:
    pages = f"{what.pages} page{'s' if what.pages > 1 else ''}" if what.pages else ""
    day = f"le {what.faxed_on}" if what.faxed_on else ""
    return ", ".join(filter(None, (day, pages, f"référence {what.reference}" if what.reference else "")))
