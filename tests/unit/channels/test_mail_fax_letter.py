"""The mail that asks a provider to dial: as OVHcloud's guide wants it, the same bytes again, nothing of a patient around it."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from adapter.channels.mail_fax_letter import (
    OUR_NAME,
    LetterFacts,
    LetterTemplates,
    dialled,
    message_id,
    our_name,
    write_letter,
)
from tests.builders.cda import tiny_pdf

REFERENCE = "3f2c9a54-6a27-5d0b-9d55-0d8a3b1f7c10"
ECOFAX = LetterTemplates("{national}@ecofax.fr", "{line}", "p:{password}\nqualite:{quality}")
FACTS = LetterFacts(
    sender="fax@hopital.fr",
    number="+33199001234",
    name=our_name(REFERENCE, 3),
    password="motdepassefax",
    line="0987654321",
    quality="best",
    sent_at=datetime(2026, 11, 22, 8, 0, tzinfo=UTC),
    pdf=tiny_pdf("EXEMPLE Camille"),
)


def _read(message: bytes) -> EmailMessage:
    read = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def test_an_ecofax_mail_is_what_the_guide_describes() -> None:
    letter = write_letter(ECOFAX, FACTS)
    mail = _read(letter.message)
    assert letter.recipient == mail["To"] == "0199001234@ecofax.fr"
    assert mail["Subject"] == "0987654321"
    body = mail.get_body(("plain",))
    assert body is not None and body.get_content().splitlines() == ["p:motdepassefax", "qualite:best"]
    assert b"\r\np:motdepassefax\r\nqualite:best\r\n" in letter.message, "found in the raw body too"
    (attached,) = mail.iter_attachments()
    assert (attached.get_content_type(), attached.get_content()) == ("application/pdf", FACTS.pdf)


def test_our_reference_and_the_try_come_back_by_the_message_id_or_the_file_name() -> None:
    mail = _read(write_letter(ECOFAX, FACTS).message)
    (attached,) = mail.iter_attachments()
    for text in (mail["Message-ID"], attached.get_filename(), f"Télécopie de '{REFERENCE.upper()}.3.pdf' : envoyée"):
        found = OUR_NAME.search(text)
        assert found is not None and (found[1].lower(), found[2]) == (REFERENCE, "3")
    assert mail["Message-ID"] == message_id(FACTS.name, FACTS.sender) == f"<{REFERENCE}.3@hopital.fr>"


def test_the_same_facts_give_the_same_bytes() -> None:
    assert write_letter(ECOFAX, FACTS).message == write_letter(ECOFAX, FACTS).message


@pytest.mark.parametrize(
    ("number", "national", "digits"),
    [
        ("+33199001234", "0199001234", "33199001234"),
        ("+41446681800", "0041446681800", "41446681800"),
        ("+262262201234", "0262201234", "262262201234"),
    ],
)
def test_a_number_is_spelt_as_the_provider_asks(number: str, national: str, digits: str) -> None:
    assert dialled(number) == {"number": number, "national": national, "digits": digits}


def test_what_is_filled_in_is_never_filled_in_again() -> None:
    changed = LetterFacts(**{**vars(FACTS), "password": "{line}{number}"})
    body = _read(write_letter(ECOFAX, changed).message).get_body(("plain",))
    assert body is not None and body.get_content().splitlines()[0] == "p:{line}{number}"


def test_a_password_beyond_ascii_arrives_whole() -> None:
    changed = LetterFacts(**{**vars(FACTS), "password": "clé é secrète"})
    body = _read(write_letter(ECOFAX, changed).message).get_body(("plain",))
    assert body is not None and body.get_content().splitlines()[0] == "p:clé é secrète"


def test_neither_facts_nor_letter_show_what_they_hold() -> None:
    assert "motdepasse" not in repr(FACTS) + repr(write_letter(ECOFAX, FACTS))
