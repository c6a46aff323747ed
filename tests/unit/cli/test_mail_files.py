"""A mail saved to a file, at the keyboard: translated, validated, submitted."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from adapter.errors import InputError
from adapter.model.finding import Severity, errors_of
from adapter.offline import Target, arrival_of, render, translate
from adapter.packaging.parcel import SenderProfile
from adapter.validation import kind_in_words, validate_file
from tests.builders.cda import build_ldl_ses
from tests.builders.inbound_mail import MESSAGE_ID, hospital, letter_mail, plain_mail, read_report

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
LETTER = build_ldl_ses()
SENDER: SenderProfile = hospital()


def test_a_mail_is_translated_to_what_its_document_can_be() -> None:
    (translation,) = translate(arrival_of(letter_mail(LETTER), b"", NOW, "", "Europe/Paris"))
    (fhir,) = render(translation, Target.FHIR, SENDER, NOW)
    assert json.loads(fhir.content)["type"] == "document"
    (cda,) = render(translation, Target.CDA, SENDER, NOW)
    assert cda.content == LETTER
    (xdm,) = render(translation, Target.XDM, SENDER, NOW)
    assert xdm.content.startswith(b"PK")
    (mdm,) = render(translation, Target.MDM, SENDER, NOW)
    assert b"MDM^T02" in mdm.content and MESSAGE_ID.encode() in mdm.content


def test_a_mail_without_document_says_why_it_has_none() -> None:
    with pytest.raises(InputError) as said:
        translate(arrival_of(plain_mail("Bonjour", "x"), b"", NOW, "", "Europe/Paris"))
    assert said.value.code == "ordinary-mail"
    with pytest.raises(InputError) as said:
        translate(arrival_of(read_report(MESSAGE_ID, "displayed"), b"", NOW, "", "Europe/Paris"))
    assert said.value.code == "mail.no-document"


def test_validation_says_what_would_wait_and_why() -> None:
    good = validate_file(letter_mail(LETTER), "", "Europe/Paris", NOW)
    assert not errors_of(good)
    bad = letter_mail(LETTER, change_archive=lambda _: b"PK\x03\x04 x")
    assert [finding.code for finding in errors_of(validate_file(bad, "", "Europe/Paris", NOW))] == ["archive.broken"]
    (told,) = validate_file(read_report(MESSAGE_ID, "displayed"), "", "Europe/Paris", NOW)
    assert (told.severity, told.code) == (Severity.INFORMATION, "mail.no-document")
    assert kind_in_words(letter_mail(LETTER), "") == "mail"
