"""The page that goes before the first document to a number: who we are, what will come, a code to tell us. No patient, ever.

Sources: CNIL on faxing health data (make sure of the number before a first document). That the page was printed proves that a
machine answered, not whose it is: only a person's word, best with the code that stands on the page, opens the number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from adapter.packaging.fax_drawing import Block, draw_blocks, draw_notice, draw_stamp, draw_title, draw_warning
from adapter.packaging.fax_page import FaxCover, RowsPerDot, blank_sheet, cover_blocks, tiff_of
from adapter.packaging.page.faces import visible
from adapter.packaging.page.words import phone_words
from adapter.packaging.parcel import FaxContent

_TITLE = "VÉRIFICATION DU NUMÉRO"
NOTICE = (
    "Cette page ne contient aucune donnée de santé et ne concerne aucun patient. Elle n'est envoyée qu'une fois, avant le "
    "premier document médical. Sans réponse, aucun document médical ne sera transmis à ce numéro."
)


@dataclass(frozen=True)
class NumberCheck:
    """What the page says: what every cover says, and the code that whoever holds the page tells us."""

    cover: FaxCover
    code: str


def build_number_check(page: NumberCheck, stamp: str = "", rows: RowsPerDot = RowsPerDot.FINE) -> FaxContent:
    """The page as TIFF-F."""
    return tiff_of([number_check_sheet(page, stamp)], rows)


def number_check_sheet(page: NumberCheck, stamp: str = "") -> Image.Image:
    """The page as a drawing on the dots of a fine fax."""
    sheet = blank_sheet()
    y = draw_title(sheet, "PAGE D'ESSAI", "Page 1/1", ("1 page", "sans donnée de santé"))
    y = draw_warning(sheet, _TITLE, request_words(page.cover), y)
    draw_blocks(sheet, [*check_blocks(page), *cover_blocks(page.cover)], y, draw_notice(sheet, NOTICE))
    if stamp:
        draw_stamp(sheet, visible(stamp))
    return sheet


def request_words(cover: FaxCover) -> str:
    """What will come, and what is asked."""
    return (
        f"{cover.sender} va envoyer à ce numéro des documents médicaux destinés à {cover.recipient}. Auparavant, merci de "
        "confirmer que ce télécopieur est bien le sien."
    )


def check_blocks(page: NumberCheck) -> Iterator[Block]:
    """The code, and what to do with it, or without."""
    cover = page.cover
    line = phone_words(cover.callback_number)
    call = f"appelez le {line} et donnez ce code" if line else "nous vous appellerons et vous demanderons ce code"
    yield "CODE", [(page.code, "B"), (f"Si vous êtes {cover.recipient}, {call}.", "")]
    stop = f"appelez le {line}" if line else "dites-le nous quand nous appellerons"
    yield "SINON", [(f"Si vous n'êtes pas {cover.recipient}, {stop} : rien d'autre ne vous parviendra.", "B")]
