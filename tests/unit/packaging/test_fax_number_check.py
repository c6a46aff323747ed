"""What lies open in a tray: the cover and the test page say who, to whom, whom to ring, and nothing of a patient."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from PIL import Image

from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName, Leg, RecipientPlan
from adapter.packaging.build import Document, build_number_check_parcel, fax_cover
from adapter.packaging.fax_number_check import NOTICE as CHECK_NOTICE
from adapter.packaging.fax_number_check import NumberCheck, check_blocks, request_words
from adapter.packaging.fax_page import NOTICE, FaxCover, cover_blocks
from adapter.packaging.parcel import FaxContent, FaxForm, FaxPdfContent, SenderProfile
from tests.builders.directory import qualified_patient, submission, to_person

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SENDER = SenderProfile(
    "750000001", "Hôpital d'essai", "750000001", "tdu@h.example", "Hôpital", "1.2.3", "TDU", phone="+33199001000",
    fax_number="+33199001001",
)  # fmt: skip
LEG = Leg(ChannelName.FAX, "+33199004641", 1, "test")
RECIPIENT = RecipientPlan("role:fictif-fontenay", RecipientKind.PROFESSIONAL, "Dr Sacha FICTIF, CMS Fontenay", (LEG,))
PAGE = Delivery(
    id="d-1", submission_id="s-1", legal_entity="750000001", document_id="test-page:d-1", version=1, intent="new",
    role_id=RECIPIENT.role_id, channel=ChannelName.FAX, leg=1, state=DeliveryState.CLAIMED, reference="test-page-d-1",
    purpose=Purpose.NOTICE, fence=3,
)  # fmt: skip


def words_of(cover: FaxCover) -> str:
    """All that a cover says: title words apart, its blocks and its notice."""
    blocks = [line for _, lines in cover_blocks(cover) for line, _ in lines]
    return " ".join((*blocks, cover.urgency, cover.follow_up, NOTICE)).replace("\u00a0", " ")


def cover_of_a_letter(sent_at: datetime = AT) -> FaxCover:
    letter = submission(to_person("99900000029"))
    return fax_cover(Document(letter, {}, b"", "text/xml"), RECIPIENT, LEG, SENDER, PAGE, sent_at)


def test_the_cover_names_sender_recipient_and_call_back_number_with_the_notice() -> None:
    words = words_of(cover_of_a_letter())
    for said in ("Hôpital d'essai", "Dr Sacha FICTIF", "Fax +33 1 99 00 46 41", "+33 1 99 00 10 00", "CONFIDENTIEL", "erreur"):
        assert said in words


def test_the_cover_says_nothing_of_the_patient_nor_of_the_document() -> None:
    patient = qualified_patient()
    assert patient.ins is not None
    letter = submission(to_person("99900000029")).document
    secrets = (
        patient.birth_name, patient.first_given, patient.birth_given_names, patient.birth_date, patient.ins.value,
        letter.title, letter.type.label, letter.unique_id,
    )  # fmt: skip
    words = words_of(cover_of_a_letter()).upper()
    assert all(secrets) and not any(secret.upper() in words for secret in secrets)


def test_the_test_page_says_who_we_are_what_comes_whom_to_ring_and_its_code() -> None:
    cover = FaxCover("Hôpital d'essai", "Dr Sacha FICTIF", "+33199004641", "+33199001000")
    blocks = [line for _, lines in check_blocks(NumberCheck(cover, "4711")) for line, _ in lines]
    words = " ".join((request_words(cover), *blocks, CHECK_NOTICE)).replace("\u00a0", " ")
    for said in (
        "Hôpital d'essai va envoyer", "documents médicaux destinés à Dr Sacha FICTIF", "4711",
        "appelez le +33 1 99 00 10 00 et donnez ce code", "Si vous n'êtes pas Dr Sacha FICTIF, appelez le", "aucun patient",
    ):  # fmt: skip
        assert said in words


def test_without_a_number_to_ring_the_test_page_says_that_we_call() -> None:
    cover = FaxCover("Hôpital d'essai", "Dr Sacha FICTIF", "+33199004641", "")
    words = " ".join(line for _, lines in check_blocks(NumberCheck(cover, "4711")) for line, _ in lines)
    assert "nous vous appellerons" in words and "appelez le " not in words


@pytest.mark.parametrize(("form", "kind"), [(FaxForm.TIFF, FaxContent), (FaxForm.PDF, FaxPdfContent)])
def test_the_test_page_is_one_page_in_the_form_that_the_way_out_takes(form: FaxForm, kind: type) -> None:
    from dataclasses import replace

    parcel = build_number_check_parcel(PAGE, RECIPIENT, replace(SENDER, fax_form=form), AT, "4711", urgent=True)
    assert isinstance(parcel.content, kind) and parcel.content.pages == 1  # type: ignore[attr-defined]
    assert (parcel.address, parcel.urgent, parcel.reference) == (LEG.address, True, "test-page-d-1")


def test_two_codes_make_two_pages_and_one_code_the_same_bytes() -> None:
    def tiff(code: str) -> bytes:
        content = build_number_check_parcel(PAGE, RECIPIENT, SENDER, AT, code, urgent=False).content
        assert isinstance(content, FaxContent)
        return content.tiff

    assert tiff("4711") == tiff("4711") != tiff("4712")
    assert Image.open(io.BytesIO(tiff("4711"))).size == (1728, 2292)


def test_a_cover_bears_the_civil_day_also_just_after_midnight() -> None:
    assert cover_of_a_letter(datetime(2026, 11, 21, 23, 30, tzinfo=UTC)).date == "22/11/2026"
