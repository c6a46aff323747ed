"""Documents of a given size as codes on our own annex sheets, and what simulated lines make of those sheets.

Lines: `D2` = 1° of skew, 0.5 % of specks, one row lost; `D4` = D2, a page 1.5 to 4.5 % smaller and three runs of bad rows: the
distortions that the figures of docs/reference/figures.md have always been measured with. `ECM` and `NO_ECM`: a call between two
real T.30 terminals (`servers/t30_pair`) over a line with clicks, with error correction and without.
"""

from __future__ import annotations

import copy
import math
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from PIL import Image, ImageChops

from adapter.fhir.canonical import canonical_json
from adapter.formats.fax_annex import deflate, inflate, put_together, read_code
from adapter.formats.fax_codes import locate_codes
from adapter.formats.fax_joining import join_codes
from adapter.packaging.fax_annex import annex_of
from adapter.packaging.fax_page import RowsPerDot, annex_sheets, build_fax
from adapter.packaging.pdf import render_pdf
from tests.builders.directory import submission
from tests.builders.sent_fax import COVER, KEY, case_bundle, sheets_of, tiff
from tests.servers.spandsp import Ability
from tests.servers.t30_pair import LineFaults, call

SPECKS_OF_256 = 1.28
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-"


class Line(Enum):
    """What the sheets go through."""

    D2 = "D2"
    D4 = "D4"
    ECM = "ECM, clicks"
    NO_ECM = "no ECM, clicks"


@dataclass(frozen=True)
class FaxedDocument:
    """The annex sheets of one document, its canonical JSON, and how many bytes it is once deflated."""

    sheets: tuple[Image.Image, ...]
    document: bytes
    size: int


@cache
def _pages() -> bytes:
    return render_pdf(case_bundle("fhir-discharge-letter"), stamp="", urgency="")


def document_of(size: int, seed: int, rows: RowsPerDot = RowsPerDot.FINE) -> FaxedDocument:
    """A letter that deflates to about `size` bytes: ours, with a text that cannot be made shorter."""
    bundle, chance = copy.deepcopy(case_bundle("fhir-discharge-letter")), random.Random(seed)
    section = {"title": ""}
    bundle["entry"][0]["resource"]["section"] = [section]
    del bundle["entry"][2:]
    while (lacking := size - len(deflate(canonical_json(bundle)))) > 8:
        section["title"] += "".join(chance.choices(_LETTERS, k=max(8, lacking * 4 // 3)))
    codes = annex_of(submission(), bundle, KEY).codes
    sheets = sheets_of(build_fax(_pages(), COVER, "", codes, rows).tiff)
    document = canonical_json(bundle)
    return FaxedDocument(tuple(sheets[-annex_sheets(codes, rows) :]), document, len(deflate(document)))


def comes_through(sent: FaxedDocument, line: Line, seed: int) -> bool:
    """Whether the document is read back whole, byte for byte, from what arrives."""
    chance = random.Random(seed)
    received = _called(sent, line, seed) if line in {Line.ECM, Line.NO_ECM} else [_spoilt(s, line, chance) for s in sent.sheets]
    found = {code for page in received for code in locate_codes(page)}
    whole = [put_together(*one) for one in join_codes(code for code in map(read_code, found) if code is not None).items()]
    return [inflate(one.deflated) for one in whole if one is not None] == [sent.document]


def _called(sent: FaxedDocument, line: Line, seed: int) -> list[Image.Image]:
    """What a call brings; one that breaks is made again, as our channel does."""
    with tempfile.TemporaryDirectory() as folder:
        pages, into = Path(folder) / "sent.tif", Path(folder) / "received.tif"
        pages.write_bytes(tiff(sent.sheets))
        with_ecm = line is Line.ECM
        for attempt in range(3):
            faults = LineFaults(clicks=0.005 if with_ecm else 0.002, seed=seed * 10 + attempt)
            if call(pages, into, line=faults, receiver=Ability(with_ecm=with_ecm)).is_whole:
                return sheets_of(into.read_bytes())
    return []


def _spoilt(sheet: Image.Image, line: Line, chance: random.Random) -> Image.Image:
    page = sheet.convert("L")
    if line is Line.D4:
        page = _smaller(page, chance.uniform(0.955, 0.985))
    page = _skewed(page, math.radians(chance.choice((-1, 1)) * chance.uniform(0.8, 1.0)))
    page = _specked(page.point(lambda tone: 0 if tone < 128 else 255), chance)
    at = chance.randrange(100, page.height - 50)
    page.paste(page.crop((0, at + 1, page.width, page.height)), (0, at))
    for start, rows in _bad_rows(page, chance) if line is Line.D4 else ():
        page.paste(page.crop((0, start - 1, page.width, start)).resize((page.width, rows)), (0, start))
    return page.convert("1")


def _smaller(page: Image.Image, share: float) -> Image.Image:
    white = Image.new("L", page.size, 255)
    size = round(page.width * share), round(page.height * share)
    white.paste(page.resize(size, Image.Resampling.BILINEAR), ((page.width - size[0]) // 2, 10))
    return white


def _skewed(page: Image.Image, angle: float) -> Image.Image:
    """Turned as paper is: a dot is not square (204 by 196 an inch, or by 98)."""
    aspect = 204 / (196 if page.height > 1500 else 98)
    cos, sin, x, y = math.cos(angle), math.sin(angle), page.width / 2, page.height / 2
    across, down = sin * aspect, -sin / aspect
    matrix = (cos, across, x - cos * x - across * y, down, cos, y - down * x - cos * y)
    return page.transform(page.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=255)


def _specked(page: Image.Image, chance: random.Random) -> Image.Image:
    """0.5 % of the dots are black or white as it happens."""
    dice = Image.frombytes("L", page.size, chance.randbytes(page.width * page.height))
    colour = Image.frombytes("L", page.size, chance.randbytes(page.width * page.height)).point(lambda tone: 255 * (tone > 127))
    finer = Image.frombytes("L", page.size, chance.randbytes(page.width * page.height))
    surely = dice.point(lambda tone: 255 * (tone < int(SPECKS_OF_256)))
    perhaps = dice.point(lambda tone: 255 * (tone == int(SPECKS_OF_256)))
    also = finer.point(lambda tone: 255 * (tone < 256 * (SPECKS_OF_256 % 1)))
    return Image.composite(colour, page, ImageChops.lighter(surely, ImageChops.darker(perhaps, also)))


def _bad_rows(page: Image.Image, chance: random.Random) -> Iterator[tuple[int, int]]:
    for _ in range(3):
        yield chance.randrange(100, page.height - 50), chance.randint(2, 5)
