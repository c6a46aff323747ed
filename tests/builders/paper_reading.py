"""Reads filled and faxed forms back and counts what came of each box, beside what was meant."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image

from adapter.formats.fax_codes import locate_codes
from adapter.formats.sheet_draft import PrintedForm, read_page
from adapter.formats.sheet_ink import printed_mask
from adapter.formats.sheet_marks import DOTS_PER_MM, page_codes, straighten
from adapter.mapping.forms.questionnaire import questionnaire_resource
from adapter.model.paper_draft import BoxState, SheetPage
from adapter.model.sheet import PlaceKind
from adapter.packaging.sheet.geometry import empty_pages, sheet_of
from tests.builders.paper_forms import Filled, Line, faxed, fill


@dataclass
class Tally:
    """What came of the boxes."""

    pages: int = 0
    unread: int = 0
    fields: int = 0
    fields_missed: int = 0
    phantoms: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    by_style: dict[str, Counter[str]] = field(default_factory=dict)
    doubts: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Both together."""
        self.pages, self.unread = self.pages + other.pages, self.unread + other.unread
        self.fields, self.fields_missed = self.fields + other.fields, self.fields_missed + other.fields_missed
        self.phantoms += other.phantoms
        self.outcomes += other.outcomes
        self.doubts += other.doubts
        self.findings += other.findings
        for style, counts in other.by_style.items():
            self.by_style[style] = self.by_style.get(style, Counter()) + counts


@lru_cache(maxsize=8)
def printed_form(slug: str) -> PrintedForm:
    """A form as it is printed today."""
    form = questionnaire_resource(slug)
    return PrintedForm(sheet_of(form), tuple(printed_mask(page) for page in empty_pages(form, DOTS_PER_MM)))


def received(image: Image.Image, slug: str) -> SheetPage | None:
    """A received page of this form, read; None without its code."""
    codes = page_codes(locate_codes(image, lambda found: any(content.startswith(b"TDU:") for content in found)))
    if not codes or codes[0][0].slug != slug:
        return None
    return read_page(straighten(image, *codes[0]), printed_form(slug))


def read_back(slug: str, seed: str, dice: random.Random, line: Line, light: float = 0.25, out: Path | None = None) -> Tally:
    """Fill, fax, read, compare."""
    filled = fill(slug, seed, light=light)
    tally = Tally()
    for number, page in enumerate(filled.pages, start=1):
        image = faxed(page, dice, line)
        if dice.random() < 0.2:
            image = image.rotate(180)
        read = received(image, slug)
        tally.pages += 1
        if read is None or not read.png:
            tally.unread += 1
            tally.findings.update(["no code"] if read is None else [finding.code for finding in read.findings])
            if out:
                image.save(out / f"unread-{slug}-{seed}-{number}.png")
            continue
        tally.findings.update(finding.code for finding in read.findings)
        wrong = _compare(tally, slug, filled, read)
        if wrong and out:
            (out / f"wrong-{slug}-{seed}-{number}.png").write_bytes(read.png)
            print(slug, seed, number, wrong)  # noqa: T201 - who asks for the pictures wants their places
    return tally


def _compare(tally: Tally, slug: str, filled: Filled, page: SheetPage) -> list[str]:
    places = printed_form(slug).sheet.pages[page.number - 1]
    rank = {place: index for index, place in enumerate(places)}
    wrong = []
    is_warned = any(finding.code == "sheet.pale" for finding in page.findings)
    wrong_as = "wrong, page warned" if is_warned else "confident error"
    for box in page.boxes:
        key = (page.number, rank[box.place])
        meant = filled.meant[key]
        if box.state is BoxState.DOUBTFUL:
            outcome = "doubtful"
        else:
            outcome = "right" if meant is (box.state is BoxState.TICKED) else wrong_as
        tally.outcomes[outcome] += 1
        style = filled.styles.get(key, "none")
        tally.by_style.setdefault(style, Counter())[outcome] += 1
        tally.doubts.update(f"{doubt} ({style})" for doubt in box.doubts)
        if outcome == wrong_as:
            wrong.append(f"{style} told {box.state} ink {box.ink} at {box.place.x:.1f} {box.place.y:.1f}")
    kept = {snippet.place for snippet in page.snippets}
    for place, index in rank.items():
        if place.kind is PlaceKind.WRITING:
            tally.fields += (page.number, index) in filled.written
            tally.fields_missed += (page.number, index) in filled.written and place not in kept
            tally.phantoms += (page.number, index) not in filled.written and place in kept
    return wrong
