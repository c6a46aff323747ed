"""What becomes of a received fax: a document, once; or a person's, with its reason; never nothing, never twice."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from adapter.fhir.bundle import write_json
from adapter.model.effects import Parked
from adapter.model.fax_in import FaxDoors, PageCompare, desk_door
from adapter.model.receipt import Principal, ReceiptState
from adapter.packaging.fax_codes import Room, place_codes
from tests.builders.directory import APHP_EJ
from tests.builders.instance import Instance
from tests.builders.paper_forms import fill, printed
from tests.builders.sent_fax import (
    COVER,
    DOOR,
    SENDER_NAME,
    STRANGER,
    SentFax,
    case_bundle,
    doors,
    fax_of,
    noisy,
    side_car,
    struck,
    tagged,
    tiff,
    written_on,
)
from tests.builders.waiting_fax import document_pages, form_pages

LINE = Principal("accueil", "fax", APHP_EJ)
OTHER = "940110018"


@pytest.fixture(scope="module")
def letter() -> SentFax:
    return fax_of(case_bundle("fhir-discharge-letter"))


@pytest.fixture(scope="module")
def long_letter() -> SentFax:
    """One whose codes take more room."""
    return fax_of(case_bundle("cda-ldl-ses"))


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, fax_doors=doors(), entities=(APHP_EJ, OTHER))


def came(house: Instance, sheets: list[Image.Image] | bytes, reference: str = "call-1", **changes: Any) -> str:
    """A fax that the line brought, prepared; its receipt."""
    content = sheets if isinstance(sheets, bytes) else tiff(sheets)
    values = {"door": DOOR, "principal": LINE, "reference": reference, "side_car": side_car(), **changes}
    return house.letter(content, **values)


def documents(house: Instance, *receipts: str) -> list[str]:
    """Document ids of all submissions of these faxes."""
    return [trace.submission.document.unique_id for one in receipts for trace in house.timeline(one).submissions]


def told(house: Instance, receipt: str) -> dict[str, str]:
    return {event.kind: event.detail for event in house.timeline(receipt).events}


def half_codes(fax: SentFax, first: bool) -> list[Image.Image]:
    """The pages, and the annex of which only a half was readable."""
    annex = fax.sheets[-1].convert("L")
    middle = 264 + (annex.height - 284) // 2
    box = (0, middle, annex.width, annex.height) if first else (0, 200, annex.width, middle)
    annex.paste(255, box)
    return [*fax.sheets[:-1], annex.convert("1")]


# -- a document ----------------------------------------------------------------------------------------------------------


def test_a_whole_verified_fax_is_its_document_to_the_byte(house: Instance, letter: SentFax) -> None:
    receipt = came(house, letter.sheets)
    timeline = house.timeline(receipt)
    assert timeline.receipt.state is ReceiptState.PREPARED
    (trace,) = timeline.submissions
    held = house.ledger.kept_submission(trace.submission.id, legal_entity=APHP_EJ)
    assert held.translation.source_document == letter.document
    assert trace.submission.content_kind == "fax"
    assert told(house, receipt)["fax-signed"] == SENDER_NAME
    assert "signed by CHU fictif" in told(house, receipt)["fax-document"]


def test_pages_that_a_bad_line_brought_upside_down_and_in_another_order_are_the_same_document(
    tmp_path: Path, letter: SentFax
) -> None:
    house = Instance(tmp_path, fax_doors=doors(compare=PageCompare.REQUIRED))
    pages = [noisy(sheet, seed).rotate(180) for seed, sheet in enumerate(letter.sheets)]
    receipt = came(house, [*reversed(pages), pages[1]])
    (trace,) = house.timeline(receipt).submissions
    held = house.ledger.kept_submission(trace.submission.id, legal_entity=APHP_EJ)
    assert held.translation.source_document == letter.document


def test_the_same_fax_dialled_again_is_one_document_and_says_which(house: Instance, letter: SentFax) -> None:
    first = came(house, letter.sheets)
    again = came(house, letter.sheets, "call-2")
    assert len(documents(house, first, again)) == 1
    assert house.timeline(again).receipt.reason == "fax-already-held"
    assert told(house, again)["fax-already-held"] == house.timeline(first).submissions[0].submission.id


@pytest.mark.parametrize("says_the_same", [True, False])
def test_two_annexes_of_one_document_in_one_call_are_one_document_and_other_words_are_a_person_s(
    tmp_path: Path, says_the_same: bool
) -> None:
    house = Instance(tmp_path, fax_doors=doors(compare=PageCompare.WHEN_POSSIBLE))
    bundle = case_bundle("fhir-discharge-letter")
    other = json.loads(json.dumps(bundle))
    other["entry"][0]["resource"]["title"] = "Une autre lettre"
    first = fax_of(bundle, with_prints=False)
    second = document_pages(first.document, prints=False) if says_the_same else fax_of(other, with_prints=False).sheets
    receipt = came(house, [*first.sheets, *second])
    (trace,) = house.timeline(receipt).submissions
    held = house.ledger.kept_submission(trace.submission.id, legal_entity=APHP_EJ)
    assert held.translation.source_document == first.document
    assert ("fax-other-content" in house.reasons()) is not says_the_same
    assert house.conservation().holds


def test_an_urgent_request_stays_urgent(house: Instance) -> None:
    receipt = came(house, fax_of(case_bundle("demande-hospitalisation-continue-urgente")).sheets)
    assert house.timeline(receipt).submissions[0].submission.urgency.value == "urgent"


def test_a_document_goes_to_whom_the_line_is_read_for_and_to_nobody_else(house: Instance, letter: SentFax) -> None:
    (trace,) = house.timeline(came(house, letter.sheets)).submissions
    assert [one.role_hint for one in trace.submission.recipients] == ["local-software:logiciel-accueil"]


# -- several calls -------------------------------------------------------------------------------------------------------


def test_a_missing_page_completes_the_document_and_answers_the_question(house: Instance, long_letter: SentFax) -> None:
    first = came(house, half_codes(long_letter, first=True))
    (item,) = house.items()
    assert item.reason == "fax-incomplete" and "sur 11" in item.advice
    assert documents(house, first) == []
    later = came(house, half_codes(long_letter, first=False), "call-2")
    assert len(documents(house, first, later)) == 1
    assert "fax-incomplete" not in house.reasons()
    assert told(house, first)["fax-joined"] == later and told(house, later)["fax-joined-from"] == first
    assert house.timeline(first).receipt.reason == "fax-joined"
    assert house.conservation().holds


def test_pages_of_a_call_that_broke_before_the_codes_are_found_when_these_come(house: Instance, letter: SentFax) -> None:
    first = came(house, letter.sheets[:-1])
    assert house.reasons() == ["fax-unread"]
    later = came(house, letter.sheets[-1:], "call-2")
    assert len(documents(house, later)) == 1
    assert "fax-unread" not in house.reasons() and told(house, first)["fax-joined"] == later


def test_a_call_that_completes_a_document_which_may_not_leave_answers_nothing_until_it_may(
    house: Instance, letter: SentFax, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = came(house, letter.sheets[:-1])
    with monkeypatch.context() as patched:
        patched.setattr(house.pipeline, "_unfit", lambda *_: Parked("invalid-output", "Non valide."))
        later = came(house, letter.sheets[-1:], "call-2")
    assert sorted(house.reasons()) == ["fax-unread", "invalid-output"]
    house.resolve("retry", [item.reason for item in house.items()].index("invalid-output"))
    house.prepare()
    assert len(documents(house, later)) == 1
    assert told(house, first)["fax-joined"] == later and "fax-page-differs" not in house.reasons()


def test_codes_of_another_legal_entity_never_join(tmp_path: Path, long_letter: SentFax) -> None:
    mine = doors().by_door[DOOR]
    theirs = replace(mine, name="ailleurs", legal_entity=OTHER)
    lines = FaxDoors({DOOR: mine, "fax:ailleurs": theirs})
    house = Instance(tmp_path, fax_doors=lines, entities=(APHP_EJ, OTHER))
    came(house, half_codes(long_letter, first=True))
    elsewhere = Principal("ailleurs", "fax", OTHER)
    came(house, half_codes(long_letter, first=False), "call-2", door="fax:ailleurs", principal=elsewhere)
    assert house.reasons() == ["fax-incomplete"]
    (item,) = house.ledger.list_work_items(legal_entity=OTHER)
    assert item.reason == "fax-incomplete"


# -- what is not believed --------------------------------------------------------------------------------------------------


def test_a_document_signed_by_a_stranger_is_never_imported(house: Instance) -> None:
    receipt = came(house, fax_of(case_bundle("fhir-discharge-letter"), key=STRANGER).sheets)
    assert documents(house, receipt) == [] and house.reasons() == ["fax-unverified"]
    assert "NON VÉRIFIÉ" in house.items()[0].advice


def test_a_known_key_from_another_number_is_believed_and_told(house: Instance, letter: SentFax) -> None:
    receipt = came(house, letter.sheets, side_car=side_car("+33199009999"))
    assert len(documents(house, receipt)) == 1
    assert told(house, receipt)["fax-number-differs"] == SENDER_NAME


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"[" * 10_000,
        b'{"resourceType": "Bundle", "resourceType": "Bundle", "type": "document"}',
        b'{"resourceType": "Bundle", "type": "collection", "entry": []}',
        b'{"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Patient"}}]}',
    ],
)
def test_what_a_trusted_key_signed_and_is_no_document_is_one_question_with_a_clear_word(house: Instance, content: bytes) -> None:
    receipt = came(house, document_pages(content))
    assert documents(house, receipt) == [] and house.reasons() == ["fax-document-refused"]
    assert "ne peut pas être repris" in house.items()[0].advice and "(fhir." in house.items()[0].advice
    assert house.conservation().holds


@pytest.mark.parametrize("compare", list(PageCompare))
def test_an_annex_that_does_not_tell_its_pages_passes_only_where_the_line_allows_it(tmp_path: Path, compare: PageCompare) -> None:
    house = Instance(tmp_path, fax_doors=doors(compare=compare))
    receipt = came(house, fax_of(case_bundle("fhir-discharge-letter"), with_prints=False).sheets)
    assert len(documents(house, receipt)) == (compare is PageCompare.WHEN_POSSIBLE)
    assert ("fax-not-compared" in house.reasons()) is (compare is not PageCompare.WHEN_POSSIBLE)


def test_a_production_instance_takes_no_test_identity(tmp_path: Path, letter: SentFax) -> None:
    house = Instance(tmp_path, fax_doors=doors(takes_test_identities=False))
    assert documents(house, came(house, letter.sheets)) == []
    assert house.reasons() == ["instance.test-identity"]


# -- pages that differ -----------------------------------------------------------------------------------------------------


def test_a_page_that_somebody_wrote_on_is_a_person_s_even_when_the_signature_is_valid(house: Instance, letter: SentFax) -> None:
    pages = [letter.sheets[0], written_on(letter.sheets[1]), *letter.sheets[2:]]
    receipt = came(house, pages)
    assert documents(house, receipt) == [] and house.reasons() == ["fax-page-differs"]
    assert "page 2" in house.items()[0].advice


def test_one_stroke_through_a_word_of_a_page_that_came_straight_is_a_person_s(house: Instance, letter: SentFax) -> None:
    receipt = came(house, [letter.sheets[0], tagged(struck(letter.sheets[1])), *letter.sheets[2:]])
    assert documents(house, receipt) == [] and house.reasons() == ["fax-page-differs"]
    assert "page 2 (1 endroits)" in house.items()[0].advice


def test_another_patient_s_pages_before_the_codes_of_a_letter_are_a_person_s(house: Instance, letter: SentFax) -> None:
    other = json.loads(json.dumps(letter.bundle))
    for entry in other["entry"]:
        if entry["resource"]["resourceType"] == "Patient":
            entry["resource"]["name"] = [{"family": "AUTREMENT", "given": ["Camille"]}]
            entry["resource"]["birthDate"] = "1951-03-02"
    theirs = fax_of(other)
    assert len(theirs.sheets) == len(letter.sheets)
    receipt = came(house, [*theirs.sheets[: -letter.annexes], *letter.sheets[-letter.annexes :]])
    assert documents(house, receipt) == []
    assert house.timeline(receipt).receipt.reason == "fax-page-differs"


@pytest.mark.parametrize("compare", list(PageCompare))
def test_pages_that_were_on_paper_pass_only_where_the_line_allows_it(
    tmp_path: Path, letter: SentFax, compare: PageCompare
) -> None:
    house = Instance(tmp_path, fax_doors=doors(compare=compare))
    receipt = came(house, [letter.sheets[0], noisy(letter.sheets[1]), *letter.sheets[2:]])
    if compare is not PageCompare.STRICT:
        assert len(documents(house, receipt)) == 1
        return
    assert documents(house, receipt) == [] and house.reasons() == ["fax-over-paper"]
    assert "tdu fax show" in house.items()[0].advice
    told_by = json.dumps({"annex": letter.codes[0][5:21].hex(), "fax": receipt}).encode()
    confirmed = came(house, letter.document, "confirm-1", door=desk_door(DOOR), side_car=told_by)
    assert len(documents(house, confirmed)) == 1


def test_a_page_in_excess_and_a_page_that_never_came_are_told(house: Instance, letter: SentFax, long_letter: SentFax) -> None:
    came(house, [*letter.sheets, long_letter.sheets[1]])
    assert house.reasons() == ["fax-page-differs"] and "en trop : 4" in house.items()[0].advice
    house.resolve("close")
    came(house, [letter.sheets[0], letter.sheets[-1]], "call-2")
    assert house.reasons() == ["fax-page-differs"] and "manquantes : 2" in house.items()[0].advice


def test_a_torn_off_cover_and_a_blank_sheet_stop_nothing(house: Instance, letter: SentFax) -> None:
    blank = Image.new("1", letter.sheets[0].size, 255)
    assert len(documents(house, came(house, [*letter.sheets[1:], blank]))) == 1


def test_what_a_person_confirms_of_a_differing_fax_is_taken_only_when_a_trusted_key_signed_it(
    house: Instance, letter: SentFax
) -> None:
    first = came(house, [letter.sheets[0], written_on(letter.sheets[1]), *letter.sheets[2:]])
    told_by = json.dumps({"annex": letter.codes[0][5:21].hex(), "fax": first}).encode()
    forged = letter.document.replace(b"document", b"Document", 1)
    values = {"door": desk_door(DOOR), "side_car": told_by}
    assert documents(house, came(house, forged, "confirm-1", **values)) == []
    assert len(documents(house, came(house, letter.document, "confirm-2", **values))) == 1


# -- the electronic copy ---------------------------------------------------------------------------------------------------


def test_the_electronic_copy_that_comes_after_is_neither_refused_nor_asked_about(house: Instance, letter: SentFax) -> None:
    came(house, letter.sheets)
    house.letter(write_json(letter.bundle), door="documents", reference="copy")
    assert "same-id-other-content" not in house.reasons()


def test_a_fax_of_what_came_otherwise_with_other_words_is_a_person_s(house: Instance, letter: SentFax) -> None:
    other = json.loads(json.dumps(letter.bundle))
    other["entry"][0]["resource"]["title"] = "Une autre lettre"
    house.letter(write_json(other), door="documents", reference="copy")
    receipt = came(house, letter.sheets)
    assert documents(house, receipt) == []
    assert "fax-other-content" in house.reasons()


# -- pages for people ------------------------------------------------------------------------------------------------------


def test_pages_without_codes_are_a_person_s_and_name_who_sent_them(house: Instance, letter: SentFax) -> None:
    receipt = came(house, letter.sheets[:1])
    assert house.timeline(receipt).receipt.state is ReceiptState.PARKED
    assert house.reasons() == ["fax-unread"]
    (item,) = house.ledger.list_work_items(legal_entity=APHP_EJ)
    assert item.advice.startswith(f"De : {SENDER_NAME}. "), "its number is that of a sender whom the line trusts"


def test_an_unknown_number_is_told_as_such_and_not_given_away(house: Instance, letter: SentFax) -> None:
    receipt = came(house, letter.sheets, side_car=side_car("+33199009999"))
    assert ", unknown number, " in told(house, receipt)["fax-document"]
    known = came(house, letter.sheets, reference="call-2")
    assert f", {SENDER_NAME}, signed by {SENDER_NAME}" in told(house, known)["fax-document"]


def test_a_form_on_paper_whose_box_for_urgent_is_ticked_waits_among_what_is_urgent(house: Instance) -> None:
    seeds = {_is_meant_urgent(seed): seed for seed in map(str, range(12))}
    for is_urgent in (True, False):
        receipt = came(house, form_pages(seed=seeds[is_urgent]), reference=f"call-{is_urgent}")
        (item,) = (one for one in house.ledger.list_work_items(legal_entity=APHP_EJ) if one.about_id == receipt)
        assert (item.reason, item.urgent) == ("fax-paper-form", is_urgent)


def _is_meant_urgent(seed: str) -> bool:
    places = printed("demande-imagerie")[0].pages
    meant = fill("demande-imagerie", seed, light=0.0).meant
    ticked = [places[page - 1][index] for (page, index), is_meant in meant.items() if is_meant]
    return any((place.link_id, place.value) == ("demande.urgence", "urgent") for place in ticked)


@pytest.mark.parametrize(
    ("content", "withheld", "reason"),
    [
        (b"", "", "fax-unreadable"),
        (b"II*\0broken", "", "fax-unreadable"),
        (b"", "fax.too-large", "fax-withheld"),
        (b'{"resourceType": "Bundle"}', "", "fax-unreadable"),
    ],
)
def test_what_cannot_be_read_is_kept_and_told(house: Instance, content: bytes, withheld: str, reason: str) -> None:
    came(house, content, side_car=side_car(withheld=withheld))
    assert house.reasons() == [reason]
    assert house.conservation().holds


def test_the_cover_names_no_patient_and_so_does_no_question(house: Instance, letter: SentFax) -> None:
    came(house, [written_on(letter.sheets[0]), *letter.sheets[1:]])
    patient = next(e["resource"] for e in letter.bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    family = patient["name"][0]["family"]
    assert all(family not in item.advice for item in house.items())
    assert family not in str(COVER.recipient)


def test_a_page_full_of_codes_from_nowhere_is_one_question_of_a_few_sentences(house: Instance) -> None:
    chance, page = random.Random(3), Image.new("1", (1728, 2292), 255)
    heads = [b"TDUF\x01" + chance.randbytes(16) + bytes([index, 20]) + struct.pack(">I", 19_000) for index in range(9)]
    for image, place in place_codes([head + chance.randbytes(950) for head in heads], Room(1728, 264, 2272))[0]:
        page.paste(image, place)
    came(house, [page])
    (item,) = house.items()
    assert item.reason == "fax-incomplete" and len(item.advice) < 1500
    assert house.conservation().holds
