"""What a later call completes closes a question only when nothing else of the earlier call is left to a person."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import segno
from PIL import Image

from adapter.audit.trail import seal_audit
from adapter.fhir.bundle import write_json
from adapter.model.receipt import Principal
from tests.builders.directory import APHP_EJ
from tests.builders.instance import Instance
from tests.builders.sent_fax import DOOR, SentFax, case_bundle, doors, fax_of, side_car, tiff, written_on
from tests.builders.waiting_fax import form_pages

LINE = Principal("accueil", "fax", APHP_EJ)


@pytest.fixture(scope="module")
def letter() -> SentFax:
    return fax_of(case_bundle("cda-ldl-ses"))


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, fax_doors=doors())


def came(house: Instance, sheets: list[Image.Image], reference: str) -> str:
    values: dict[str, Any] = {"door": DOOR, "principal": LINE, "reference": reference, "side_car": side_car()}
    return house.letter(tiff(sheets), **values)


def cut(fax: SentFax) -> list[Image.Image]:
    """The pages, and the upper half of the codes."""
    annex = fax.sheets[-1].convert("L")
    annex.paste(255, (0, 264 + (annex.height - 284) // 2, annex.width, annex.height))
    return [*fax.sheets[:-1], annex.convert("1")]


def asked_about(house: Instance, *faxes: str) -> set[str]:
    """Those of the faxes that a person is asked about."""
    return {item.about_id for item in house.items()} & set(faxes)


def foreign() -> Image.Image:
    """A page of somebody else's letter."""
    return fax_of(case_bundle("fhir-discharge-letter")).sheets[1]


@pytest.mark.parametrize("answered", [True, False])
def test_who_closed_the_question_of_an_incomplete_call_is_who_is_said_to_have(
    house: Instance, letter: SentFax, answered: bool
) -> None:
    first = came(house, cut(letter), "call-1")
    if answered:
        house.resolve("close")
    came(house, letter.sheets, "call-2")
    assert house.timeline(first).receipt.reason == "fax-joined"
    seal_audit(house.ledger)
    entries = [one.entry for one in house.ledger.read_audit(0, 1000, legal_entity=APHP_EJ)]
    closed_by = [one.actor for one in entries if (one.action, one.about_id) == ("work-item.close", first)]
    assert closed_by == (["operator"] if answered else ["w1"])


@pytest.mark.parametrize("beside", ["form", "another letter", "written on"])
def test_what_else_an_incomplete_call_brought_is_asked_about_still_once_its_document_is_whole(
    house: Instance, letter: SentFax, beside: str
) -> None:
    pages = cut(letter)
    if beside == "form":
        pages = [pages[-1], *form_pages()]
    elif beside == "another letter":
        pages.insert(2, foreign())
    else:
        pages[1] = written_on(pages[1])
    first = came(house, pages, "call-1")
    later = came(house, letter.sheets, "call-2")
    assert len(house.timeline(later).submissions) == 1
    assert asked_about(house, first, later) == {first}


def test_a_document_that_waits_itself_closes_no_other_question(house: Instance, letter: SentFax) -> None:
    first = came(house, cut(letter), "call-1")
    later = came(house, [letter.sheets[0], written_on(letter.sheets[1]), *letter.sheets[2:]], "call-2")
    assert asked_about(house, first, later) == {first, later}


def test_pages_in_excess_of_another_call_are_told_with_their_call(house: Instance, letter: SentFax) -> None:
    first = came(house, [*cut(letter), foreign()], "call-1")
    came(house, letter.sheets[-1:], "call-2")
    told = next(item for item in house.items() if item.reason == "fax-page-differs")
    assert f"de l'appel {first[:8]}" in told.advice


def test_a_document_at_odds_with_another_copy_is_told_whatever_else_of_its_fax_waits(house: Instance) -> None:
    letter, other = fax_of(case_bundle("fhir-discharge-letter")), fax_of(case_bundle("cda-ldl-ses"))
    held = json.loads(json.dumps(letter.bundle))
    held["entry"][0]["resource"]["title"] = "Une autre lettre"
    house.letter(write_json(held), door="documents", reference="copy")
    fax = came(house, [*letter.sheets, cut(other)[-1]], "call-1")
    (item,) = (one for one in house.items() if one.about_id == fax)
    assert item.reason == "fax-other-content" and "Codes manquants" in item.advice


def test_a_fax_of_codes_of_countless_documents_is_looked_at_up_to_a_limit(house: Instance) -> None:
    chance, page = random.Random(3), Image.new("1", (1728, 2292), 255)
    for at in range(60):
        head = b"TDUF\x01" + chance.randbytes(16) + bytes([0, 2]) + struct.pack(">I", 20)
        symbol = segno.make_qr(head + chance.randbytes(12), error="M", mode="byte")
        rows = [list(row) for row in symbol.matrix_iter(border=4)]
        code = Image.new("1", (len(rows), len(rows)), 255)
        code.putdata([0 if dark else 255 for row in rows for dark in row])
        page.paste(code.resize((code.width * 4, code.height * 4)), (40 + 200 * (at % 8), 40 + 200 * (at // 8)))
    fax = came(house, [page], "call-1")
    (item,) = house.items()
    assert item.reason == "fax-too-long" and "documents" in item.advice
    assert len(item.advice) < 1500 and item.about_id == fax
