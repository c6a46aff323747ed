"""The page that cancels a fax: one page, all that names the earlier sheets, nothing of what they said."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image

from adapter.packaging.fax_cancellation import CancelledFax, build_cancellation, cancellation_sheet
from adapter.packaging.fax_page import HEIGHT, WIDTH, FaxCover, RowsPerDot

COVER = FaxCover("Hôpital d'essai", "Dr Sacha MODELE", "+33199000001", "+33199000002", urgency="urgent", reference="ab12cd34")
WHAT = CancelledFax("Compte rendu", "20/11/2026", "1.2.250.1.999.1^7", "21/11/2026", "deadbeef", 3)


def _words(monkeypatch: pytest.MonkeyPatch, cover: FaxCover = COVER, what: CancelledFax = WHAT) -> str:
    """Everything that is put on the sheet, as one text."""
    said: list[str] = []
    from adapter.packaging import fax_drawing

    real = fax_drawing.ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        fax_drawing.ImageDraw.ImageDraw, "text", lambda self, at, words, **k: (said.append(words), real(self, at, words, **k))
    )
    cancellation_sheet(cover, what)
    return " ".join(said)


def test_a_cancellation_names_what_it_cancels_and_what_to_do_with_the_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    words = _words(monkeypatch)
    for expected in ("ANNULATION", "URGENT", "Page 1/1", "Compte rendu du 20/11/2026", "1.2.250.1.999.1^7", "détruire"):
        assert expected in words
    assert "le 21/11/2026, 3 pages, référence deadbeef" in words


def test_it_says_that_another_fax_is_cancelled_and_not_how_many_pages_of_it_these_are(monkeypatch: pytest.MonkeyPatch) -> None:
    words = _words(monkeypatch)
    assert "1 page annule une télécopie précédente" in words and "d'une télécopie" not in words
    assert "désigné ci-dessous" in words


def test_what_nobody_knows_of_the_earlier_fax_leaves_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    words = _words(monkeypatch, what=CancelledFax("Compte rendu", "", "x"))
    assert "TÉLÉCOPIÉ" not in words and " du " not in words.split("Compte rendu", 1)[1][:5]


@pytest.mark.parametrize("rows", list(RowsPerDot))
def test_it_is_one_page_at_either_resolution(rows: RowsPerDot) -> None:
    fax = build_cancellation(COVER, WHAT, rows=rows)
    with Image.open(io.BytesIO(fax.tiff)) as tiff:
        assert (fax.pages, tiff.n_frames, tiff.size) == (1, 1, (WIDTH, HEIGHT // rows))  # type: ignore[attr-defined]


def test_words_too_long_for_the_page_leave_its_foot_alone() -> None:
    long = replace(COVER, recipient="Établissement " * 40, recipient_place="rue " * 200)
    plain, crowded = cancellation_sheet(COVER, WHAT), cancellation_sheet(long, WHAT)
    foot = (0, HEIGHT - 360, WIDTH, HEIGHT)
    assert plain.crop(foot).tobytes() == crowded.crop(foot).tobytes()
