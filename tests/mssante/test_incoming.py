"""Any mail read: every real-world shape gives its documents, every broken one a finding or a clear refusal."""

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mssante.archive import read_archive
from mssante.errors import MailError, MssanteError
from mssante.findings import Finding
from mssante.headers import decode_words
from mssante.incoming import IncomingMail, MailKind, MailLimits, PartRole, read_document_subject, read_mail
from mssante.message import Attachment, DocumentMail, Mailbox, write_message
from mssante.xdm import build_archive
from tests.builders.xdm import CDA, ENTRY, SET, zipped

ARCHIVE = build_archive(SET, [(ENTRY, CDA)])
PDF = b"%PDF-1.4\n%fin"
SENT = write_message(
    DocumentMail(
        sender=Mailbox("labo.app@test.mssante.fr", "Laboratoire d'essai"),
        recipient=Mailbox("sacha.modele@test.mssante.fr", "Dr Sacha MODÈLE"),
        subject="XDM/1.0/DDM+Compte rendu opératoire EXEMPLE-BERTHIER CAMILLE 18/09/1974",
        sent_at=datetime(2026, 11, 20, 23, 30, tzinfo=UTC),
        message_id="<d1@test.mssante.fr>",
        text="Bonjour,\n\nVoici l'été.",
        attachments=(
            Attachment("IHE_XDM.zip", "application/zip", ARCHIVE),
            Attachment("20210104_Compte rendu opératoire.pdf", "application/pdf", PDF),
        ),
        product_reference="NIL-TDU-1",
        document_codes=("34112-3", "PRESC-BIO"),
        holds_qualified_ins=True,
        reply_to="secretariat@test.mssante.fr",
        receipt_to="labo.app@test.mssante.fr",
        in_reply_to="<question@test.mssante.fr>",
    )
)
HEAD = (
    "From: labo.app@test.mssante.fr\r\nTo: a@test.mssante.fr\r\nSubject: Essai\r\nMessage-ID: <m1@x.fr>\r\nMIME-Version: 1.0\r\n"
)


def mail(headers: str = "", body: str | bytes = "", head: str = HEAD) -> bytes:
    return (head + headers).encode() + b"\r\n" + (body if isinstance(body, bytes) else body.encode())


def multipart(*parts: str | bytes, headers: str = "", kind: str = "mixed", closing: bool = True, head: str = HEAD) -> bytes:
    pieces = [part if isinstance(part, bytes) else part.encode() for part in parts]
    body = b"".join(b"--frontiere\r\n" + piece + b"\r\n" for piece in pieces) + (b"--frontiere--\r\n" if closing else b"")
    return mail(f'{headers}Content-Type: multipart/{kind}; boundary="frontiere"\r\n', body, head)


def part(content: bytes, headers: str) -> bytes:
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return headers.encode() + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded


def codes(read: IncomingMail) -> list[str]:
    return [finding.code for finding in read.findings]


def holds_the_document(read: IncomingMail) -> bool:
    return any(document.content == CDA for one in read.archives for document in read_archive(one.content).documents)


# ── our own mail ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_our_own_mail_reads_back_with_all_that_it_says() -> None:
    read = read_mail(SENT)
    headers = read.headers
    assert read.kind is MailKind.DOCUMENT
    assert read.findings == ()
    assert headers.message_id == "<d1@test.mssante.fr>"
    assert headers.in_reply_to == headers.references == ("<question@test.mssante.fr>",)
    assert headers.sender is not None
    assert (headers.sender.address, headers.sender.label) == ("labo.app@test.mssante.fr", "Laboratoire d'essai")
    assert [(one.address, one.label) for one in headers.recipients] == [("sacha.modele@test.mssante.fr", "Dr Sacha MODÈLE")]
    assert [one.address for one in headers.reply_to] == ["secretariat@test.mssante.fr"]
    assert [one.address for one in headers.receipt_to] == ["labo.app@test.mssante.fr"]
    assert headers.sent_at == datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert headers.holds_qualified_ins is True
    assert headers.document_codes == ("34112-3", "PRESC-BIO")
    assert headers.product_reference == "NIL-TDU-1"
    assert not headers.ends_exchange
    assert headers.return_path is None
    assert headers.subject == "XDM/1.0/DDM+Compte rendu opératoire EXEMPLE-BERTHIER CAMILLE 18/09/1974"
    assert read.subject.title == "Compte rendu opératoire EXEMPLE-BERTHIER CAMILLE 18/09/1974"
    assert read.text == "Bonjour,\n\nVoici l'été."
    assert [one.name for one in read.attachments] == ["IHE_XDM.zip", "20210104_Compte rendu opératoire.pdf"]
    assert read.archives[0].content == ARCHIVE
    assert read.pdfs[0].content == PDF
    assert not read.forbids_answers


def test_a_mail_shows_nothing_of_its_patient() -> None:
    read = read_mail(SENT)
    assert "BERTHIER" not in repr(read) + repr(read.headers) + repr(read.parts) + repr(read.subject) + repr(read.headers.fields)


# ── names and places of the archive ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "headers",
    [
        'Content-Type: application/zip; name="IHE_XDM.zip"',
        'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="ihe-xdm.ZIP"',
        'Content-Type: application/x-zip-compressed\r\nContent-Disposition: inline; filename="IHEXDM (2).zip"',
        "Content-Type: application/zip\r\nContent-Disposition: attachment; filename*=utf-8''IHE%5FXDM%20%C3%A9.zip",
        'Content-Type: application/zip\r\nContent-Disposition: attachment;\r\n filename*0="IHE_";\r\n filename*1="XDM.zip"',
        "Content-Type: application/zip\r\nContent-Disposition: attachment; filename==?utf-8?B?SUhFX1hETS56aXA=?=",
        'Content-Type: application/zip; name="=?iso-8859-1?Q?IHE=5FXDM=2Ezip?="',
        'Content-Type: application/octet-stream; name="C:\\\\envoi\\\\IHE_XDM.zip"',
        "Content-Type: text/plain",
        "Content-Type: application/octet-stream",
        "Content-ID: <x@y>",
        "Content-Type: application/zip; name=",
        "Content-Type:;;;",
    ],
)
def test_the_archive_is_found_whatever_its_name_type_and_disposition(headers: str) -> None:
    read = read_mail(multipart("\r\nBonjour", part(ARCHIVE, headers)))
    assert read.kind is MailKind.DOCUMENT
    assert holds_the_document(read)


def test_a_name_of_an_archive_counts_even_when_the_file_is_none() -> None:
    read = read_mail(multipart(part(b"pas un zip", 'Content-Type: application/zip; name="IHE_XDM.zip"')))
    assert read.kind is MailKind.DOCUMENT
    with pytest.raises(MssanteError, match=r"archive\.broken"):
        read_archive(read.archives[0].content)


def test_an_office_file_is_no_archive() -> None:
    office = zipped([("word/document.xml", b"<x/>")])
    read = read_mail(multipart(part(office, 'Content-Type: application/octet-stream; name="lettre.docx"')))
    assert read.kind is MailKind.ORDINARY
    assert [one.name for one in read.attachments] == ["lettre.docx"]


def test_both_forms_of_a_name_are_kept_the_extended_first() -> None:
    disposition = "Content-Disposition: attachment; filename=a.pdf; filename*=utf-8''%C3%A9.pdf"
    headers = f'Content-Type: application/pdf; name="b.pdf"\r\n{disposition}'
    (one,) = read_mail(multipart(part(PDF, headers))).pdfs
    assert one.names == ("é.pdf", "b.pdf")


@pytest.mark.parametrize(
    ("written", "name"),
    [("../../etc/passwd", "passwd"), ("C:\\x\\y.pdf", "y.pdf"), ("a\x00b.pdf", "a b.pdf"), ("..", ""), ("x" * 400, "x" * 200)],
)
def test_a_name_never_leaves_its_folder(written: str, name: str) -> None:
    read = read_mail(multipart(part(b"x", f'Content-Type: a/b; name="{written}"'.replace("\\", "\\\\"))))
    assert read.parts[0].name == name


def test_several_archives_are_all_there() -> None:
    zips = [part(ARCHIVE, f'Content-Type: application/zip; name="IHE_XDM_{n}.zip"') for n in range(3)]
    assert len(read_mail(multipart(*zips)).archives) == 3


def test_the_whole_mail_may_be_the_archive() -> None:
    read = read_mail(mail("Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n", base64.encodebytes(ARCHIVE)))
    assert holds_the_document(read)


@pytest.mark.parametrize("headers", ["Content-Type: text/xml", 'Content-Type: application/octet-stream; name="cda.xml"', "X: y"])
def test_a_cda_without_archive_is_a_document(headers: str) -> None:
    read = read_mail(multipart("\r\nBonjour", part(b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->" + CDA, headers)))
    assert read.kind is MailKind.DOCUMENT
    assert len(read.loose_documents) == 1


def test_a_pdf_alone_is_an_ordinary_mail_with_a_pdf() -> None:
    read = read_mail(multipart("\r\nBonjour", part(PDF, 'Content-Type: application/octet-stream; name="20210104_CR.pdf"')))
    assert (read.kind, [one.name for one in read.pdfs]) == (MailKind.ORDINARY, ["20210104_CR.pdf"])


def test_what_stays_closed_is_kept_and_told() -> None:
    read = read_mail(multipart(part(b"x", 'Content-Type: application/ms-tnef; name="winmail.dat"')))
    assert [one.name for one in read.attachments] == ["winmail.dat"]
    assert codes(read) == ["tnef-kept-closed"]


# ── mails within mails ──────────────────────────────────────────────────────────────────────────────────────────────


def forwarded(inner: bytes) -> bytes:
    raw = multipart("\r\nPour information", b"Content-Type: message/rfc822\r\n\r\n" + inner, head=HEAD.replace("m1@", "f@"))
    return raw.replace(b"frontiere", b"frontiere%d" % len(inner))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_forwarded_document_is_found_and_its_level_told(levels: int) -> None:
    raw = SENT
    for _ in range(levels):
        raw = forwarded(raw)
    read = read_mail(raw)
    assert read.kind is MailKind.DOCUMENT
    assert holds_the_document(read)
    assert read.archives[0].level == levels
    assert [one.level for one in read.enclosed] == list(range(1, levels + 1))
    assert read.enclosed[-1].content == SENT
    assert read.enclosed[read.archives[0].message - 1].headers.message_id == "<d1@test.mssante.fr>"
    assert read.headers.receipt_to == ()  # what the inner mail asked is not asked of us
    assert read.text == "Pour information"


def test_a_mail_four_levels_down_stays_a_closed_attachment() -> None:
    raw = SENT
    for _ in range(4):
        raw = forwarded(raw)
    read = read_mail(raw)
    assert codes(read) == ["nested-too-deep"]
    assert read.archives == ()
    assert read.attachments[-1].media_type == "message/rfc822"
    assert holds_the_document(read_mail(read.attachments[-1].content))


def test_a_forwarded_mail_may_be_encoded_or_only_named_as_a_mail() -> None:
    encoded = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(SENT)
    assert holds_the_document(read_mail(multipart(encoded)))
    assert holds_the_document(read_mail(multipart(part(SENT, 'Content-Type: application/octet-stream; name="courrier.EML"'))))


# ── classes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ("", MailKind.ORDINARY),
        ("Auto-Submitted: auto-replied (vacation)\r\n", MailKind.AUTO_REPLY),
        ("Auto-Submitted: auto-generated\r\n", MailKind.ORDINARY),
        ("Auto-Submitted: no\r\n", MailKind.ORDINARY),
        ("X-Autoreply: yes\r\n", MailKind.AUTO_REPLY),
        ("Precedence: auto_reply\r\n", MailKind.AUTO_REPLY),
        ("Precedence: bulk\r\n", MailKind.ORDINARY),
        ("Return-Path: <>\r\n", MailKind.AUTO_REPLY),
        ("Return-Path: <a@b.fr>\r\n", MailKind.ORDINARY),
    ],
)
def test_automata_are_known_by_their_headers(headers: str, kind: MailKind) -> None:
    assert read_mail(mail(headers, "Bonjour")).kind is kind


@pytest.mark.parametrize(
    ("headers", "forbidden"),
    [
        ("", False),
        ("Auto-Submitted: no\r\n", False),
        ("Auto-Submitted: auto-generated\r\n", True),
        ("Precedence: list\r\n", True),
        ("List-Id: <l.x.fr>\r\n", True),
        ("X-Auto-Response-Suppress: DR, RN, OOF\r\n", True),
        ("X-Auto-Response-Suppress: None\r\n", False),
        ("Return-Path: <>\r\n", True),
    ],
)
def test_what_must_never_be_answered_is_told(headers: str, forbidden: bool) -> None:
    assert read_mail(mail(headers, "Bonjour")).forbids_answers is forbidden


def subject(text: str) -> str:
    return HEAD.replace("Essai", text)


@pytest.mark.parametrize(
    ("text", "body", "left"),
    [
        ("Réponse automatique : essai", "Le Dr Modèle a quitté l'établissement.", True),
        ("A quitté le CHU", "Merci d'écrire à une autre adresse.", True),
        ("Réponse automatique : essai", "Je suis en congé.", False),
        ("Nouvelles de votre patiente", "Elle a quitté l'hôpital hier.", False),
    ],
)
def test_only_an_automatic_answer_tells_that_somebody_left_for_good(text: str, body: str, left: bool) -> None:
    assert read_mail(mail("", body, subject(text))).sender_has_left is left


@pytest.mark.parametrize(
    "text",
    [
        "[KO Intégration système !][902] XDM/1.0/DDM+CR X",
        "[KO Integration systeme!] XDM",
        "[Erreur d'intégration !] XDM",
        "[Erreur d’intégration !] XDM",
        "Re: [KO Intégration système !][902] x",
        "=?utf-8?B?W0tPIEludMOpZ3JhdGlvbiBzeXN0w6htZSAhXVs5MDJd?= XDM",
    ],
)
def test_an_integration_failure_is_known_by_its_subject(text: str) -> None:
    assert read_mail(mail("", "902", subject(text))).kind is MailKind.FAILURE_NOTICE


@pytest.mark.parametrize("text", ["Message non distribué", "Undelivered Mail Returned to Sender", "Message non distribué : x"])
def test_a_bounce_in_plain_words_is_a_delivery_report(text: str) -> None:
    assert read_mail(mail("", "…", subject(text))).kind is MailKind.DELIVERY_REPORT


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("message/delivery-status", MailKind.DELIVERY_REPORT),
        ("message/disposition-notification", MailKind.READ_REPORT),
    ],
)
def test_a_report_that_returns_the_document_is_a_report(media_type: str, kind: MailKind) -> None:
    report = media_type.partition("/")[2]
    raw = multipart(
        "\r\nVoir", f"Content-Type: {media_type}\r\n\r\nX: y", b"Content-Type: message/rfc822\r\n\r\n" + SENT, kind="report"
    ).replace(b"multipart/report;", f"multipart/report; report-type={report};".encode())
    assert read_mail(raw).kind is kind
    assert read_mail(raw.replace(b"multipart/report", b"multipart/mixed")).kind is kind


def test_a_citizen_is_known_by_the_domain_that_the_caller_trusts() -> None:
    head = HEAD.replace("labo.app@test.mssante.fr", "279035121518989@patient.mssante.fr")
    assert read_mail(mail("", "Bonjour docteur", head)).kind is MailKind.CITIZEN
    assert read_mail(mail("", "x", head), patient_domains=("patient.formation.mssante.fr",)).kind is MailKind.ORDINARY
    with_archive = multipart(part(ARCHIVE, "Content-Type: application/zip"), head=head)
    assert (read_mail(with_archive).kind, len(read_mail(with_archive).archives)) == (MailKind.CITIZEN, 1)


@pytest.mark.parametrize(("text", "ends"), [("[FIN]", True), ("[FIN] merci", False), ("Essai", False)])
def test_an_exchange_ends_by_its_subject_alone(text: str, ends: bool) -> None:
    assert read_mail(mail("", "", subject(text))).headers.ends_exchange is ends
    assert read_mail(mail("X-MSS-MES: fin\r\n", "", subject(text))).headers.ends_exchange


@pytest.mark.parametrize(
    ("text", "title", "is_xdm", "replaces"),
    [
        ("XDM/1.0/DDM+CR VIAL Paul", "CR VIAL Paul", True, False),
        ("XDM/1.0/DDM CR", "CR", True, False),
        ("xdm/1.0/ddm+CR", "CR", True, False),
        ("[Annule et remplace] XDM/1.0/DDM+CR", "CR", True, True),
        ("Re: XDM/1.0/DDM+CR", "Re: CR", True, False),
        ("TR : Re: [Annule et remplace] XDM/1.0/DDM+CR", "TR : Re: CR", True, True),
        ("[Annule et remplace] Courrier", "Courrier", False, True),
        ("Le XDM/1.0/DDM+CR", "Le XDM/1.0/DDM+CR", False, False),
        ("", "", False, False),
    ],
)
def test_a_reader_sees_the_subject_without_what_machines_put_in_it(text: str, title: str, is_xdm: bool, replaces: bool) -> None:
    read = read_document_subject(text)
    assert (read.title, read.is_xdm, read.replaces) == (title, is_xdm, replaces)


# ── headers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_headers_of_the_way_are_read() -> None:
    read = read_mail(
        mail(
            "Return-Path: <retour@x.fr>\r\nOriginal-Recipient: rfc822;dr@y.fr\r\nX-Original-To: boite@y.fr\r\n"
            "References: <a@x>\r\n <b@x>\r\nX-MSS-INS: N\r\nDisposition-Notification-To: A <a@x.fr>, b@x.fr\r\n"
        )
    ).headers
    assert (read.return_path, read.original_recipient, read.delivered_to) == ("retour@x.fr", "dr@y.fr", ("boite@y.fr",))
    assert read.references == ("<a@x>", "<b@x>")
    assert read.holds_qualified_ins is False
    assert [one.address for one in read.receipt_to] == ["a@x.fr", "b@x.fr"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?utf-8?Q?Compte_rendu_op=C3=A9ratoire?=", "Compte rendu opératoire"),
        ("=?utf-8?B?w6k=?= =?utf-8?B?w6g=?=", "éè"),
        ("=?utf-8?B?ww==?= =?utf-8?B?qQ==?=", "é"),
        ("a =?iso-8859-15?Q?=A4?= b", "a € b"),
        ("=?utf-8*fr?Q?=C3=A9?=", "é"),
        ("=?inconnu?Q?=E9t=E9?=", "été"),
        ("=?utf-8?Q?=E9t=E9?=", "été"),
        ("=?punycode?Q?abc?=", "abc"),
        ("=?utf-8?B?%%%?=", ""),
        ("sans mot", "sans mot"),
    ],
)
def test_encoded_words_are_read_as_meant(value: str, text: str) -> None:
    assert decode_words(value) == text


def test_headers_in_raw_bytes_of_either_charset_are_read() -> None:
    for encoding in ("utf-8", "latin-1"):
        assert read_mail("From: a@b.fr\nSubject: été\n\nx".encode(encoding)).headers.subject == "été"


def test_the_text_is_read_whatever_its_charset_and_html_becomes_words() -> None:
    assert read_mail(mail("Content-Type: text/plain; charset=iso-8859-1\r\n", "été".encode("latin-1"))).text == "été"
    quoted = read_mail(
        mail("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n", "=C3=A9=\r\nt")
    )
    assert quoted.text == "ét"
    wrong = read_mail(mail("Content-Type: text/plain; charset=utf-8\r\n", "été".encode("latin-1")))
    assert (wrong.text, codes(wrong)) == ("été", ["charset-wrong"])
    unknown = read_mail(mail("Content-Type: text/plain; charset=martien\r\n", "été"))
    assert (unknown.text, codes(unknown)) == ("été", ["charset-unknown"])
    page = "<html><head><style>x</style></head><body><p>Un&eacute;</p><script>y</script>deux<br>trois</body></html>"
    assert read_mail(mail("Content-Type: text/html\r\n", page)).text == "Uné\ndeux\ntrois"


def test_alternative_bodies_give_the_plain_one() -> None:
    raw = multipart("Content-Type: text/plain\r\n\r\nclair", "Content-Type: text/html\r\n\r\n<b>riche</b>", kind="alternative")
    assert read_mail(raw).text == "clair"


def test_line_ends_of_any_system_and_an_mbox_line_are_accepted() -> None:
    assert holds_the_document(read_mail(SENT.replace(b"\r\n", b"\n")))
    assert holds_the_document(read_mail(b"From labo Fri Nov 20 23:30:00 2026\r\n" + SENT))


# ── broken ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mail_cut_short_still_gives_what_came() -> None:
    read = read_mail(multipart(part(ARCHIVE, "Content-Type: application/zip"), closing=False))
    assert holds_the_document(read)
    assert codes(read) == ["boundary-unclosed"]


def test_a_forgotten_boundary_is_found_in_the_body() -> None:
    raw = multipart(part(ARCHIVE, "Content-Type: application/zip")).replace(b'; boundary="frontiere"', b"")
    read = read_mail(raw)
    assert holds_the_document(read)
    assert codes(read) == ["boundary-guessed"]


def test_a_multipart_without_its_boundary_is_kept_whole_and_told() -> None:
    read = read_mail(mail('Content-Type: multipart/mixed; boundary="absente"\r\n', "rien"))
    assert codes(read) == ["boundary-absent"]
    assert read.parts[0].content == b"rien"
    assert codes(read_mail(mail("Content-Type: multipart/mixed\r\n", "rien"))) == ["boundary-missing"]


def test_a_boundary_that_starts_another_is_not_taken_for_it() -> None:
    inner = "Content-Type: multipart/alternative; boundary=frontiere2\r\n\r\n--frontiere2\r\n\r\nun\r\n--frontiere2--\r\n"
    read = read_mail(multipart(inner, "\r\ndeux"))
    assert [one.content for one in read.parts] == [b"un", b"deux"]
    assert read.findings == ()


def test_base64_in_disorder_gives_what_can_be_read_and_a_grave_finding() -> None:
    damaged = base64.encodebytes(ARCHIVE).replace(b"\n", b"!\n")
    read = read_mail(multipart(b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + damaged))
    assert holds_the_document(read)
    assert read.findings == (Finding("base64-damaged", "part 2", grave=True),)
    cut = base64.encodebytes(PDF)[:-6]
    read = read_mail(multipart(b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + cut))
    assert codes(read) == ["base64-damaged"]
    assert read.parts[0].content.startswith(b"%PDF-")


def test_an_unknown_transfer_encoding_is_kept_as_it_came() -> None:
    read = read_mail(mail("Content-Transfer-Encoding: x-yenc\r\n", "brut"))
    assert (read.parts[0].content, codes(read)) == (b"brut", ["transfer-encoding-unknown"])


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: SENT + b"x" * 40_000_000, "mail.too-large"),
        (lambda: b"", "mail.no-header"),
        (lambda: b"\r\n\r\nbonjour", "mail.no-header"),
        (lambda: b"\x00\xff" * 100, "mail.no-header"),
        (lambda: mail("X: y\r\n" * 2_000), "mail.headers"),
        (lambda: mail("X: " + "y" * 300_000 + "\r\n"), "mail.headers"),
        (lambda: b"A: " + b"b" * 1_000_000, "mail.headers"),
        (lambda: multipart(*["\r\nx"] * 501), "mail.parts"),
        (lambda: tower(13), "mail.depth"),
        (lambda: tower(5_000), "mail.depth"),
    ],
)
def test_a_mail_beyond_the_limits_is_refused_with_its_code(make: object, code: str) -> None:
    with pytest.raises(MailError) as raised:
        read_mail(make())  # type: ignore[operator]
    assert raised.value.code == code


def tower(levels: int) -> bytes:
    """Multiparts within multiparts."""
    opening = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(levels))
    return mail(opening + "\r\nfond")


def test_the_limits_are_the_callers() -> None:
    with pytest.raises(MailError, match="too-large"):
        read_mail(SENT, MailLimits(total_bytes=1_000))


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: multipart/mixed;" + " a=b;" * 3_000 + "\r\n",
        "Content-Type: text/plain;" + "".join(f" name*{n}=a;" for n in range(1_500)) + "\r\n",
        "Content-Type: text/plain; name*=utf-8'%%%'\r\n",
        "Content-Type: text/plain; name*0*=x''%E9; name*0=b; name*=c\r\n",
        "To: " + "(" * 10_000 + "\r\n",
        "To: " + "<" * 10_000 + "\r\n",
        "To: " + "a@b.fr," * 10_000 + "\r\n",
        "Reply-To: " + '"' * 9_999 + "\r\n",
        "Disposition-Notification-To: " + "=?utf-8?Q?" * 5_000 + "\r\n",
        "References: " + "<" * 20_000 + "\r\n",
        "Date: " + "9" * 5_000 + "\r\n",
        "Date: Fri, 20 Nov 99999 23:30:00 +9999\r\n",
        "Subject: " + "=?utf-8?B?" * 5_000 + "\r\n",
        "Content-Disposition: attachment; filename=" + "=?a?b?" * 500 + "\r\n",
    ],
)
def test_a_field_made_to_cost_is_read_quickly_or_refused(headers: str) -> None:
    started = time.perf_counter()
    try:
        read_mail(HEAD.replace("To: a@test.mssante.fr\r\n", "").encode() + headers.encode() + b"\r\nx")
    except MssanteError:
        pass
    assert time.perf_counter() - started < 2.0


def test_a_body_made_of_boundaries_costs_what_it_weighs() -> None:
    body = b"--frontiere x\r\n" * 400_000
    started = time.perf_counter()
    read = read_mail(mail('Content-Type: multipart/mixed; boundary="frontiere"\r\n', body))
    assert time.perf_counter() - started < 3.0
    assert codes(read) == ["boundary-absent"]


# ── anything ────────────────────────────────────────────────────────────────────────────────────────────────────────


def touch(read: IncomingMail) -> None:
    """Everything that is computed late."""
    assert isinstance(read.attachments, tuple)
    assert isinstance(read.pdfs + read.loose_documents + read.having(PartRole.OTHER), tuple)
    for one in read.archives:
        try:
            read_archive(one.content)
        except MssanteError:
            continue


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2_000))
@example(b"A:\n\n")
def test_any_bytes_are_read_or_refused_never_a_crash(raw: bytes) -> None:
    try:
        touch(read_mail(raw))
    except MssanteError:
        return


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_mail_is_read_or_refused_never_a_crash(data: st.DataObject) -> None:
    damaged = bytearray(forwarded(SENT))
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(damaged)))
        damaged[start : start + data.draw(st.integers(0, 60))] = data.draw(
            st.binary(max_size=20) | st.sampled_from([b"\r\n", b"\r\n\r\n", b"--", b'"', b"=?", b"\xff", b";", b"*0*="])
        )
    try:
        touch(read_mail(bytes(damaged)))
    except MssanteError:
        return


_TOKENS = [
    "multipart/mixed",
    "message/rfc822",
    "text/plain",
    ";",
    " ",
    "boundary=",
    "b",
    '"',
    "*0*=",
    "charset=",
    "utf-8''",
    "%E9",
    "=?x?q?=?=",
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(_TOKENS) | st.text(max_size=5), max_size=12).map("".join),
    st.lists(st.sampled_from(["--b\r\n", "--b--", "\r\n", "A: b\r\n", "x"]), max_size=8).map("".join),
)
def test_any_content_type_over_any_body_is_read_or_refused(content_type: str, body: str) -> None:
    line = re.sub(r"[\r\n]", " ", content_type)
    raw = f"A: b\r\nContent-Type: {line}\r\nContent-Disposition: {line}\r\nSubject: {line}\r\nTo: {line}\r\n\r\n{body}"
    try:
        touch(read_mail(raw.encode("utf-8", "replace")))
    except MssanteError:
        return


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=60).map(str.strip),
    st.lists(st.binary(max_size=400), max_size=4),
)
def test_what_the_standard_library_writes_is_read(subject_text: str, contents: list[bytes]) -> None:
    message = EmailMessage(policy=SMTP)
    message["From"], message["Subject"] = "a@b.fr", subject_text
    message.set_content("texte\n")
    for number, content in enumerate(contents):
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=f"é{number}.bin")
    read = read_mail(message.as_bytes())
    assert " ".join(read.headers.subject.split()) == " ".join(subject_text.split())
    assert [one.content for one in read.parts[1:]] == contents
    assert [one.name for one in read.parts[1:]] == [f"é{number}.bin" for number in range(len(contents))]
