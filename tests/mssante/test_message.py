"""The mail: subject, names, headers, parts, and the same bytes each time."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.errors import MessageError
from mssante.message import Attachment, DocumentMail, Mailbox, document_subject, encoded_size, pdf_name, unaccented, write_message

ARCHIVE = Attachment("IHE_XDM.zip", "application/zip", bytes(range(256)) * 40)
PDF = Attachment("20210104_CR d'imagerie médicale_VIAL_Paul.pdf", "application/pdf", b"%PDF-1.4\r\n.\r\n" * 30)
MAIL = DocumentMail(
    sender=Mailbox("app@test.mssante.fr", "Hôpital d'essai, Imagerie"),
    recipient=Mailbox("sacha.modele@test.mssante.fr"),
    subject="XDM/1.0/DDM+CR d'imagerie médicale VIAL Paul 26/11/1978",
    sent_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
    message_id="<d1@test.mssante.fr>",
    text="Bonjour,\n\nVoilà un document.\n.\nÀ bientôt",
    attachments=(ARCHIVE, PDF),
    product_reference="NIL-0001",
    document_codes=("34112-3", "PRESC-BIO"),
    holds_qualified_ins=True,
)


def parse(content: bytes) -> email.message.EmailMessage:
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, email.message.EmailMessage)
    assert not parsed.defects
    return parsed


def test_the_subject_of_one_document_follows_the_norm() -> None:
    subject = document_subject(["CR d'examens biologiques"], "Vial", "Paul", "1978-11-26")
    assert subject == "XDM/1.0/DDM+CR d'examens biologiques VIAL Paul 26/11/1978"


def test_a_long_label_is_cut_at_forty_characters() -> None:
    subject = document_subject(["Lettre de liaison à la sortie d'un établissement de soins"], "Vial", "Paul")
    assert subject == "XDM/1.0/DDM+Lettre de liaison à la sortie d'un établ VIAL Paul"


def test_several_documents_are_counted_not_named() -> None:
    assert document_subject(["Compte rendu", "Ordonnance"], "Vial", "Paul") == "XDM/1.0/DDM+2 documents VIAL Paul"


def test_names_are_without_accents_and_the_family_name_in_capitals() -> None:
    subject = document_subject(["CR"], "d'Àrtagnan-Œuvré", "Éloïse", "1978")
    assert subject == "XDM/1.0/DDM+CR D'ARTAGNAN-OEUVRE Eloise"


def test_a_replacement_is_announced_before_the_original_subject() -> None:
    assert document_subject(["CR"], "Vial", "Paul", replaces=True) == "[Annule et remplace] XDM/1.0/DDM+CR VIAL Paul"


@pytest.mark.parametrize("label", ["Évaluation gériatrique", "CR d'imagerie médicale", "Éééééé"])
def test_the_prefix_stays_readable_in_the_raw_header_whatever_the_label(label: str) -> None:
    raw = write_message(replace(MAIL, subject=document_subject([label], "Vial", "Paul", "1978-11-26")))
    assert b"\r\nSubject: XDM/1.0/DDM+" in raw
    assert "VIAL Paul 26/11/1978" in parse(raw)["Subject"]


LONG = document_subject(
    ["Dossier de liaison d'urgence à l'hôpital éloigné"], "Pat-Trois-De-La-Très-Longue-Lignée", "Dominique", "1979-03-28"
)


@given(st.lists(st.text(alphabet="éàœabcXYZ'-9", min_size=1, max_size=30), min_size=1, max_size=12))
def test_any_subject_reads_back_as_written_and_starts_on_the_first_line(words: list[str]) -> None:
    subject = "XDM/1.0/DDM+" + " ".join(["CR", *words])
    raw = write_message(replace(MAIL, subject=subject))
    assert b"\r\nSubject: XDM/1.0/DDM+CR" in raw
    assert parse(raw)["Subject"] == subject


def test_a_long_subject_is_folded_after_its_prefix() -> None:
    raw = write_message(replace(MAIL, subject=LONG))
    head = raw.split(b"\r\n\r\n")[0]
    assert parse(raw)["Subject"] == LONG
    assert b"\r\nSubject: XDM/1.0/DDM+Dossier de liaison" in head
    assert max(len(line) for line in head.split(b"\r\n")) <= 78


def test_a_long_message_id_stays_on_its_line() -> None:
    long_id = f"<{'a' * 90}@test.mssante.fr>"
    assert b"\r\nMessage-ID: " + long_id.encode() + b"\r\n" in write_message(replace(MAIL, message_id=long_id))


def test_a_line_break_in_a_label_never_makes_a_header() -> None:
    subject = document_subject(["CR\r\nBcc: x@y.fr"], "Vial\n", "Paul")
    assert subject == "XDM/1.0/DDM+CR Bcc: x@y.fr VIAL Paul"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (
            ("2021-01-04T13:47:00+01:00", "CR d'imagerie médicale", "Vial", "Paul"),
            "20210104_CR d'imagerie médicale_VIAL_Paul.pdf",
        ),
        (("2021-01-04", 'A/B\\C:D*E?"F<G>|', "Vial", "", "77"), "20210104_A B C D E F G_VIAL_77.pdf"),
        (("", "CR", "", ""), "CR.pdf"),
    ],
)
def test_the_pdf_is_named_by_date_type_and_patient(arguments: tuple[str, ...], name: str) -> None:
    assert pdf_name(*arguments) == name


@given(st.text(), st.text(), st.text())
def test_no_file_name_leaves_its_folder(label: str, family: str, given_name: str) -> None:
    name = pdf_name("2021-01-04", label, family, given_name)
    assert not set(name) & set('/\\:*?"<>|\r\n\0')
    assert not name.startswith(".")


def test_the_mail_reads_back_with_its_headers_and_parts() -> None:
    message = parse(write_message(replace(MAIL, reply_to="secretariat@test.mssante.fr", receipt_to="app@test.mssante.fr")))
    assert message["Subject"] == MAIL.subject
    assert message["From"].addresses[0].display_name == "Hôpital d'essai, Imagerie"
    assert message["From"].addresses[0].addr_spec == "app@test.mssante.fr"
    assert message["To"] == "sacha.modele@test.mssante.fr"
    assert message["Reply-To"] == "secretariat@test.mssante.fr"
    assert message["Disposition-Notification-To"] == "app@test.mssante.fr"
    assert message["Message-ID"] == "<d1@test.mssante.fr>"
    assert message["Date"].datetime == MAIL.sent_at
    assert message["X-MSS-CODECDA"] == "34112-3,PRESC-BIO"
    assert message["X-MSS-INS"] == "O"
    assert message["X-MSS-NIL"] == "NIL-0001"
    assert message["X-MSS-MES"] is None
    text, *files = message.iter_parts()
    assert text.get_content_type() == "text/plain" and text.get_content_charset() == "utf-8"
    assert text.get_content().replace("\r\n", "\n") == MAIL.text + "\n"
    assert [(f.get_filename(), f.get_content_type(), f.get_content()) for f in files] == [
        ("IHE_XDM.zip", "application/zip", ARCHIVE.content),
        (PDF.name, "application/pdf", PDF.content),
    ]


def test_an_attachment_is_named_both_ways() -> None:
    raw = write_message(MAIL)
    assert b'Content-Type: application/zip; name="IHE_XDM.zip"' in raw
    assert b'Content-Disposition: attachment; filename="IHE_XDM.zip"' in raw
    assert b"filename*=utf-8''20210104_CR%20d%27imagerie%20m%C3%A9dicale_VIAL_Paul.pdf" in raw


def test_the_wire_form_is_ascii_with_short_crlf_lines() -> None:
    raw = write_message(MAIL)
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.endswith(b"--\r\n")


def test_the_same_mail_is_the_same_bytes_and_another_id_another_boundary() -> None:
    assert write_message(MAIL) == write_message(replace(MAIL))
    other = parse(write_message(replace(MAIL, message_id="<d2@test.mssante.fr>")))
    assert other.get_boundary() != parse(write_message(MAIL)).get_boundary()


def test_a_mail_without_cda_says_nothing_of_codes_nor_ins_but_always_its_product() -> None:
    message = parse(write_message(replace(MAIL, document_codes=(), holds_qualified_ins=True)))
    assert message["X-MSS-CODECDA"] is None
    assert message["X-MSS-INS"] is None
    assert message["X-MSS-NIL"] == "NIL-0001"


def test_an_archive_without_qualified_ins_says_no() -> None:
    assert parse(write_message(replace(MAIL, holds_qualified_ins=False)))["X-MSS-INS"] == "N"


def test_an_exchange_can_be_closed_and_a_thread_followed() -> None:
    message = parse(write_message(replace(MAIL, ends_exchange=True, in_reply_to="<q@x.fr>")))
    assert message["X-MSS-MES"] == "FIN"
    assert message["In-Reply-To"] == message["References"] == "<q@x.fr>"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"sender": Mailbox("pas une adresse")}, "From"),
        ({"recipient": Mailbox("a@b.fr\r\nBcc: c@d.fr")}, "To"),
        ({"reply_to": "x"}, "Reply-To"),
        ({"receipt_to": "x"}, "Disposition-Notification-To"),
        ({"message_id": "sans-chevrons@x"}, "Message-ID"),
        ({"in_reply_to": "x"}, "In-Reply-To"),
        ({"sent_at": datetime(2026, 1, 1)}, "Date"),  # noqa: DTZ001 - the point of the case
        ({"product_reference": " "}, "X-MSS-NIL"),
        ({"subject": "a\r\nBcc: c@d.fr"}, "headers"),
        ({"document_codes": ("1\n2",)}, "headers"),
        ({"product_reference": "Référence"}, "headers"),
    ],
)
def test_what_would_make_a_wrong_mail_is_refused_with_its_place(changes: dict[str, object], place: str) -> None:
    with pytest.raises(MessageError) as raised:
        write_message(replace(MAIL, **changes))
    assert raised.value.where == place


@given(st.integers(min_value=0, max_value=20_000), st.text(max_size=400))
def test_the_size_is_never_estimated_below_the_truth(size: int, text: str) -> None:
    mail = replace(MAIL, attachments=(Attachment("IHE_XDM.zip", "application/zip", bytes(size)), PDF), text=text)
    written = len(write_message(mail))
    assert written <= encoded_size(text, mail.attachments) <= written * 1.1 + 8_000


def test_unaccented_text_is_ascii() -> None:
    assert unaccented("Çélestin Ñuñez-Bœuf ß Łukasz") == "Celestin Nunez-Boeuf ss Lukasz"


def test_mails_stay_out_of_repr() -> None:
    assert "VIAL" not in repr(MAIL) + repr(PDF)
