"""A document as this program faxes it, and as a fax machine receives it: sheets as pictures, to be lost, doubled or written on.

sent = fax_of(bundle)                  # cover, pages, codes
sent.sheets[1] = written_on(sent.sheets[1])
tiff(sent.sheets)                      # what a line brings
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageDraw

from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey
from adapter.model.fax_in import FaxDoor, FaxDoors, FaxSender
from adapter.packaging.fax_annex import annex_of
from adapter.packaging.fax_page import FaxCover, RowsPerDot, annex_sheets, build_fax, sheet_prints
from adapter.packaging.pdf import render_pdf
from tests.builders.directory import APHP_EJ, submission

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
STRANGER = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
SENDER_NAME, SENDER_NUMBER = "CHU fictif", "+33199005678"
COVER = FaxCover("CHU fictif", "CMS fictif", "+33199000001", "+33199005670", reference="TDU-1", date="22/11/2026")
DOOR = "fax:accueil"


@dataclass
class SentFax:
    """The sheets of one fax as sent. `codes`: what the annex says; `document`: its canonical JSON; `prints`: its sheets' own."""

    sheets: list[Image.Image]
    codes: tuple[bytes, ...]
    document: bytes
    bundle: dict[str, Any] = field(repr=False)
    prints: tuple[bytes, ...] = ()

    @property
    def annexes(self) -> int:
        """How many sheets of codes are at the end."""
        return annex_sheets(self.codes, RowsPerDot.FINE)


def case_bundle(case: str) -> dict[str, Any]:
    """The FHIR document of a golden case."""
    bundle: dict[str, Any] = json.loads((CASES / case / "fhir.json").read_text(encoding="utf-8"))
    return bundle


def fax_of(
    bundle: dict[str, Any], *, key: SigningKey = KEY, with_prints: bool = True, rows: RowsPerDot = RowsPerDot.FINE
) -> SentFax:
    """Drawn as the fax channel draws it."""
    pdf = render_pdf(bundle, stamp="", urgency="")
    prints = (
        (lambda codes: sheet_prints(pdf, COVER, annex_sheets(codes, rows), rows=rows)) if with_prints else (lambda _codes: ())
    )
    annex = annex_of(submission(), bundle, key, prints)
    assert annex.codes and annex.is_printed is with_prints
    sheets = sheets_of(build_fax(pdf, COVER, "", annex.codes, rows).tiff)
    return SentFax(sheets, annex.codes, canonical_json(bundle), bundle, prints(annex.codes))


def sheets_of(content: bytes) -> list[Image.Image]:
    """The pages of a TIFF."""
    with Image.open(io.BytesIO(content)) as file:
        pages = []
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            pages.append(file.convert("1"))
        return pages


def tiff(sheets: Sequence[Image.Image]) -> bytes:
    """What a line brings."""
    out = io.BytesIO()
    first, *others = [sheet.convert("1") for sheet in sheets]
    first.save(out, "TIFF", compression="group4", save_all=True, append_images=others, dpi=(204, 196))
    return out.getvalue()


def written_on(sheet: Image.Image, seed: int = 1) -> Image.Image:
    """A line of handwriting across a page."""
    chance, page = random.Random(seed), sheet.convert("L")
    x, y = chance.randint(200, 700), chance.randint(700, 1700)
    points = [(x + step * 6, y + chance.uniform(-22, 22)) for step in range(90)]
    ImageDraw.Draw(page).line(points, fill=0, width=5, joint="curve")
    return page.convert("1")


def struck(sheet: Image.Image, pen: int = 4) -> Image.Image:
    """One pen line through one word of a page, the first that is neither short nor a rule."""
    page = sheet.convert("L")
    left, middle, right = _a_word(page)
    ImageDraw.Draw(page).line((left - 4, middle + 1, right + 4, middle - 1), fill=0, width=pen)
    return page.convert("1")


def _a_word(page: Image.Image) -> tuple[int, int, int]:
    """Left, middle and right of a word in a line of ordinary letters, below the middle of a page."""
    top = page.height // 3
    while top < page.height - 60:
        rows = [page.crop((0, y, page.width, y + 1)).getextrema()[0] == 0 for y in range(top, min(top + 60, page.height))]
        first = rows.index(True) if True in rows else len(rows)
        high = rows[first:].index(False) if False in rows[first:] else 0
        if first and 9 <= high <= 40:
            line = page.crop((0, top + first, page.width, top + first + high))
            columns = [line.crop((x, 0, x + 10, high)).getextrema()[0] == 0 for x in range(page.width - 10)]
            for left in (x for x in range(1, len(columns)) if columns[x] and not columns[x - 1]):
                wide = columns[left:].index(False)
                if 70 <= wide <= 220:
                    return left + 9, top + first + high // 2, left + wide
        top += first + max(high, 1)
    raise LookupError("no word on this page")


def tagged(sheet: Image.Image, rows: int = 28) -> Image.Image:
    """A page as a fax server forwards it: dot for dot below a tag line, with one row that came wrong."""
    page = Image.new("L", (sheet.width, sheet.height + rows), 255)
    page.paste(sheet.convert("L"), (0, rows))
    page.paste(page.crop((0, 1200, page.width, 1201)), (0, 1201))
    ImageDraw.Draw(page).text((40, 4), "22-NOV-2026 10:15  CHU FICTIF   P.2", fill=0)
    return page.convert("1")


def noisy(sheet: Image.Image, seed: int = 1, skew: float = 1.0) -> Image.Image:
    """A page that a bad line brought: skewed, stretched, speckled, with rows lost and a tag line above."""
    chance = random.Random(seed)
    page = sheet.convert("L").rotate(chance.uniform(-skew, skew), Image.Resampling.BICUBIC, fillcolor=255)
    high = round(page.height * chance.uniform(0.98, 1.02))
    page = page.resize((page.width, high), Image.Resampling.BICUBIC).point(lambda tone: 255 if tone > 128 else 0)
    dots = page.load()
    assert dots is not None
    for _ in range(page.width * page.height // 400):
        dots[chance.randrange(page.width), chance.randrange(page.height)] = chance.choice((0, 255))
    lost = chance.randint(400, high - 400)
    tagged = Image.new("L", (page.width, high + 28), 255)
    tagged.paste(page.crop((0, 0, page.width, lost)), (0, 28))
    tagged.paste(page.crop((0, lost + 2, page.width, high)), (0, 28 + lost))
    ImageDraw.Draw(tagged).text((40, 4), "22-NOV-2026 10:15  CHU FICTIF   P.2", fill=0)
    return tagged.convert("1")


def doors(**changes: Any) -> FaxDoors:
    """One line that trusts the sender above."""
    sender = FaxSender(SENDER_NAME, KEY.private.public_key(), (SENDER_NUMBER,))
    values: dict[str, Any] = {
        "name": "accueil",
        "legal_entity": APHP_EJ,
        "deliver_to": "local-software:logiciel-accueil",
        "trusted": {KEY.key_id: sender},
        "takes_test_identities": True,
    }
    door = FaxDoor(**{**values, **changes})
    return FaxDoors({DOOR: door, "fax:autre": door})


def side_car(number: str = SENDER_NUMBER, pages: int = 3, withheld: str = "") -> bytes:
    """What the door writes beside."""
    told = {"from": number, "called_id": "", "pages": pages, "received_at": "2026-11-22T10:00:00+01:00", "withheld": withheld}
    return json.dumps(told).encode()
