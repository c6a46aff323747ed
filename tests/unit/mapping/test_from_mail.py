"""What a mail is worth: documents for local software, proofs, people's words, and every shape that must wait for a person."""

from __future__ import annotations

import email
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest

from adapter.mapping.from_mail import inspect_mail, understand_mail
from adapter.mapping.kinds import kind_of
from adapter.mapping.mail.advice import ADVICE, cause_of
from adapter.model.delivery import DeliveryState as S
from adapter.model.effects import Effect, Ignored, Parked, Translation
from adapter.model.evidence import Evidence
from adapter.model.inbox import Inbox, Inboxes, Ward
from adapter.model.parties import RecipientKind
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from adapter.model.submission import Intent, Submission, Visibility
from tests.builders.cda import PATIENT, build_ldl_ses, build_n1, matricule
from tests.builders.inbound_mail import (
    MAILBOX,
    MESSAGE_ID,
    SENDER_BOX,
    delivery_report,
    failure_notice,
    letter_mail,
    on_its_way,
    plain_mail,
    read_report,
    rewritten,
    with_field,
)

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
DOOR = "mailbox:cms"
INBOX = Inbox("cms", MAILBOX, "949990212", deliver_to="local-software:logiciel", takes_test_identities=True)
LETTER = build_ldl_ses()
OTHER_INS = matricule("2850175123456")
OTHER_PATIENT = replace(PATIENT, birth_name="EXEMPLE-AUTRE", ins=OTHER_INS, birth_date="19850101", ipp="900000124")


def arrival(content: bytes, **changes: Any) -> Arrival:
    plain: dict[str, Any] = {"door": DOOR, "principal": Principal("cms", "mailbox", "949990212"), "received_at": NOW}
    return Arrival(content, **{**plain, **changes})


def effects(content: bytes, inbox: Inbox = INBOX, **changes: Any) -> tuple[Effect, ...]:
    return understand_mail(arrival(content, **changes), "receipt-1", inboxes=Inboxes({DOOR: inbox}))


def submissions(content: bytes, inbox: Inbox = INBOX) -> list[Submission]:
    return [effect.submission for effect in effects(content, inbox) if isinstance(effect, Translation)]


def parked(content: bytes, inbox: Inbox = INBOX) -> Parked:
    (found,) = [effect for effect in effects(content, inbox) if isinstance(effect, Parked)]
    return found


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("build", [build_ldl_ses, build_n1])
def test_a_letter_becomes_a_document_for_local_software_byte_for_byte(build: Callable[[], bytes]) -> None:
    cda = build()
    (translation,) = effects(letter_mail(cda))
    assert isinstance(translation, Translation)
    assert translation.source_document == cda
    submission = translation.submission
    (recipient,) = submission.recipients
    assert (recipient.kind, recipient.role_hint, recipient.address) == (
        RecipientKind.APPLICATION,
        "local-software:logiciel",
        MAILBOX,
    )
    assert submission.mail is not None
    assert submission.mail.message_id == submission.control_id == MESSAGE_ID
    assert submission.mail.sender_address == SENDER_BOX
    assert submission.mail.received_at == "2026-11-21T12:00:00+01:00"
    assert not submission.mail.subject.startswith("XDM/1.0")
    assert (submission.acks.notify_address, submission.acks.final_recipient) == (SENDER_BOX, MAILBOX)


def test_the_same_receipt_gives_the_same_values() -> None:
    assert effects(letter_mail(LETTER)) == effects(letter_mail(LETTER))


@pytest.mark.parametrize(
    ("intent", "cda", "wanted"),
    [
        (Intent.NEW, LETTER, Intent.NEW),
        (Intent.REPLACE, build_ldl_ses(version=2, replaces="1.2.250.1.213.1.1.9.501.0"), Intent.REPLACE),
        (Intent.CANCEL, LETTER, Intent.CANCEL),
    ],
)
def test_the_archives_action_says_what_is_wanted(intent: Intent, cda: bytes, wanted: Intent) -> None:
    assert [one.intent for one in submissions(letter_mail(cda, intent=intent))] == [wanted]


def test_visibility_comes_from_the_confidentiality_codes() -> None:
    hidden = Visibility(hidden_from_patient=True, hidden_from_representatives=True)
    assert [one.visibility for one in submissions(letter_mail(LETTER, visibility=hidden))] == [hidden]


def test_a_document_masked_to_professionals_waits_unless_the_mailbox_takes_them() -> None:
    masked = letter_mail(LETTER, visibility=Visibility(hidden_from_professionals=True))
    assert parked(masked).reason == "mail.masked"
    assert [one.visibility.hidden_from_professionals for one in submissions(masked, replace(INBOX, takes_masked=True))] == [True]


def test_a_ward_is_found_by_the_address_that_the_mail_was_written_to() -> None:
    ward = Ward("cardio@cms.formation.mssante.fr", "4021", "940000003", "local-role:role:dep:cardio")
    box = replace(INBOX, wards=(ward,))
    (submission,) = submissions(letter_mail(LETTER, to="Cardio@CMS.formation.mssante.fr"), box)
    (recipient,) = submission.recipients
    assert (recipient.role_hint, recipient.unit, recipient.finess) == ("local-role:role:dep:cardio", "4021", "940000003")
    assert submissions(letter_mail(LETTER), box)[0].recipients[0].role_hint == INBOX.deliver_to


def test_a_reply_is_tied_to_what_it_answers() -> None:
    mail = with_field(letter_mail(LETTER), "In-Reply-To: <demande-7@cms.formation.mssante.fr>")
    assert submissions(mail)[0].in_reply_to == "<demande-7@cms.formation.mssante.fr>"


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────────────────


def _rename(message: EmailMessage) -> None:
    part = next(one for one in message.iter_attachments() if one.get_filename() == "IHE_XDM.zip")
    del part["Content-Disposition"], part["Content-Type"]
    part["Content-Type"] = "application/octet-stream"


def _bare_cda(message: EmailMessage) -> None:
    part = next(one for one in message.iter_attachments() if one.get_filename() == "IHE_XDM.zip")
    part.set_content(LETTER, "text", "xml", filename="lettre.xml")


def _twice(message: EmailMessage) -> None:
    zipped = next(one for one in message.iter_attachments() if one.get_filename() == "IHE_XDM.zip")
    message.add_attachment(zipped.get_content(), maintype="application", subtype="zip", filename="IHE_XDM-2.zip")
    message.add_attachment(LETTER, maintype="text", subtype="xml", filename="copie.xml")


@pytest.mark.parametrize("change", [_rename, _bare_cda, _twice])
def test_odd_shapes_give_the_one_document_once(change: Callable[[EmailMessage], None]) -> None:
    (submission,) = submissions(letter_mail(LETTER, change=change))
    assert submission.document.unique_id == "1.2.250.1.213.1.1.9.501.1"


def test_a_forwarded_letter_is_read_at_any_level() -> None:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "secretariat@cms.formation.mssante.fr", MAILBOX, "TR: lettre"
    message["Message-ID"] = "<tr1@cms.formation.mssante.fr>"
    message.set_content("Pour information")
    parsed = email.message_from_bytes(letter_mail(LETTER), policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    message.add_attachment(parsed)
    (submission,) = submissions(message.as_bytes())
    assert submission.mail is not None and submission.mail.sender_address == "secretariat@cms.formation.mssante.fr"


def test_an_archive_without_metadata_gives_its_document_and_says_so() -> None:
    def strip(archive: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
            for name in old.namelist():
                if not name.endswith("METADATA.XML"):
                    new.writestr(name, old.read(name))
        return buffer.getvalue()

    (translation,) = effects(letter_mail(LETTER, change_archive=strip))
    assert isinstance(translation, Translation)
    assert {"mail.metadata-missing", "mail.document-undescribed"} <= {finding.code for finding in translation.findings}


def test_two_archives_give_two_documents() -> None:
    def add(message: EmailMessage) -> None:
        other = email.message_from_bytes(letter_mail(build_n1()), policy=SMTP)
        assert isinstance(other, EmailMessage)
        zipped = next(one for one in other.iter_attachments() if one.get_filename() == "IHE_XDM.zip")
        message.add_attachment(zipped.get_content(), maintype="application", subtype="zip", filename="IHE_XDM.zip")

    assert len(submissions(letter_mail(LETTER, change=add))) == 2


# ── identity ──────────────────────────────────────────────────────────────────────────────────────────────────


def _in_metadata(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    def change(archive: bytes) -> bytes:
        return rewritten(archive, "METADATA.XML", lambda content: content.replace(before, after))

    return change


def test_metadata_about_another_patient_waits_for_a_person() -> None:
    for before, after in ((PATIENT.ins.encode(), OTHER_PATIENT.ins.encode()), (b"EXEMPLE-BERTHIER", b"EXEMPLE-AUTRE")):
        assert parked(letter_mail(LETTER, change_archive=_in_metadata(before, after))).reason == "mail.other-patient-in-metadata"


def test_a_birth_date_in_the_subject_that_is_another_waits_for_a_person() -> None:
    def change(message: EmailMessage) -> None:
        subject = str(message["Subject"]).replace("18/09/1974", "19/09/1974")
        message.replace_header("Subject", subject)

    assert parked(letter_mail(LETTER, change=change)).reason == "mail.other-patient-in-subject"


def test_an_identity_that_is_not_qualified_waits_unless_software_matches_it() -> None:
    unqualified = letter_mail(build_n1(patient=replace(PATIENT, ins="")))
    assert parked(unqualified).reason == "mail.identity-unqualified"
    assert len(submissions(unqualified, replace(INBOX, takes_unqualified=True))) == 1


@pytest.mark.parametrize(
    ("cda", "says", "reason"),
    [(LETTER, "N", "mail.ins-disclaimed"), (build_n1(patient=replace(PATIENT, ins="")), "O", "mail.ins-claimed-not-proved")],
)
def test_what_the_mail_says_of_the_ins_must_be_what_the_document_proves(cda: bytes, says: str, reason: str) -> None:
    def change(message: EmailMessage) -> None:
        message.replace_header("X-MSS-INS", says)

    assert parked(letter_mail(cda, change=change), replace(INBOX, takes_unqualified=True)).reason == reason


def test_documents_of_two_patients_in_one_mail_wait() -> None:
    def add(message: EmailMessage) -> None:
        message.add_attachment(build_n1(patient=OTHER_PATIENT), maintype="text", subtype="xml", filename="autre.xml")

    found = effects(letter_mail(LETTER, change=add))
    assert [type(effect) for effect in found] == [Parked]
    assert "mail.several-patients" in str([effect.advice for effect in found if isinstance(effect, Parked)])


def test_a_test_identity_does_not_enter_a_production_instance() -> None:
    assert parked(letter_mail(LETTER), replace(INBOX, takes_test_identities=False)).reason == "instance.test-identity"


# ── bad archives ──────────────────────────────────────────────────────────────────────────────────────────────


def _zip(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def _encrypted(archive: bytes) -> bytes:
    spoilt = bytearray(archive)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = spoilt.find(mark)
        while at >= 0:
            spoilt[at + offset] |= 1
            at = spoilt.find(mark, at + 4)
    return bytes(spoilt)


def _with_doctype(archive: bytes) -> bytes:
    bomb = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    return rewritten(archive, "METADATA.XML", lambda content: content.replace(b"?>", b"?>" + bomb, 1))


BAD = [
    (lambda _: _zip(("../../DOC.XML", LETTER)), "archive.unsafe-name"),
    (lambda _: _zip(("IHE_XDM/SUBSET01/METADATA.XML", bytes(60_000_000))), "archive.bomb"),
    (lambda _: b"PK\x03\x04 pas un zip", "archive.broken"),
    (_encrypted, "archive.encrypted"),
    (lambda archive: rewritten(archive, "DOC00001.XML", lambda content: content + b"\n"), "mail.hash-mismatch"),
    (_in_metadata(b"DOC00001.XML", b"DOC00009.XML"), "mail.document-missing"),
    (lambda archive: rewritten(archive, "METADATA.XML", lambda _: b"<oups"), "mail.metadata-unreadable"),
    (lambda _: _zip(("IHE_XDM/SUBSET01/DOC.PDF", b"%PDF-1.4 rien")), "mail.pdf-only"),
    (lambda _: _zip(("README.TXT", b"rien")), "mail.no-document"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_bad_archive_is_parked_with_its_reason_and_nothing_of_it_leaves(change: Callable[[bytes], bytes], reason: str) -> None:
    found = effects(letter_mail(LETTER, change_archive=change))
    assert [type(effect) for effect in found] == [Parked]
    assert parked(letter_mail(LETTER, change_archive=change)).reason == reason


def test_duplicate_names_in_an_archive_are_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = _zip(("IHE_XDM/SUBSET01/DOC.XML", LETTER), ("IHE_XDM/SUBSET01/DOC.XML", build_n1()))
    assert parked(letter_mail(LETTER, change_archive=lambda _: twice)).reason == "archive.duplicate-name"


def test_metadata_with_a_document_type_is_an_attack() -> None:
    found = parked(letter_mail(LETTER, change_archive=_with_doctype))
    assert found.reason == "xml.dtd"


def test_a_sound_document_leaves_beside_one_that_must_wait() -> None:
    def add(message: EmailMessage) -> None:
        message.add_attachment(b"PK\x03\x04 pas un zip", maintype="application", subtype="zip", filename="IHE_XDM2.zip")

    found = effects(letter_mail(LETTER, change=add))
    assert [type(effect) for effect in found] == [Translation, Parked]


def test_one_id_for_two_contents_waits() -> None:
    def add(message: EmailMessage) -> None:
        message.add_attachment(LETTER + b"\n", maintype="text", subtype="xml", filename="copie.xml")

    assert parked(letter_mail(LETTER, change=add)).reason == "mail.same-id-other-content"


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("field", ["Auto-Submitted: auto-generated", "Precedence: bulk", "List-Id: <x.y>"])
def test_an_automaton_is_never_answered(field: str) -> None:
    (submission,) = submissions(with_field(letter_mail(LETTER), field), replace(INBOX, error_box="erreurs@cms.mssante.fr"))
    assert not submission.acks.any


def test_a_receipt_goes_only_to_whom_the_return_path_names_too() -> None:
    elsewhere = letter_mail(LETTER, return_path="autre@chu.formation.mssante.fr")
    assert not submissions(elsewhere)[0].acks.any
    with_box = submissions(elsewhere, replace(INBOX, error_box="erreurs@cms.mssante.fr"))[0].acks
    assert (with_box.notify_address, with_box.failure_address) == ("", "erreurs@cms.mssante.fr")


def test_our_own_mailboxes_are_not_answered() -> None:
    assert not submissions(letter_mail(LETTER), replace(INBOX, own_addresses=frozenset({SENDER_BOX})))[0].acks.any


# ── receipts ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mail", "proves", "cause", "source"),
    [
        (delivery_report(MESSAGE_ID, "delivered"), S.DELIVERED, "", "dsn"),
        (delivery_report(MESSAGE_ID, "relayed"), S.ACCEPTED, "", "dsn"),
        (delivery_report(MESSAGE_ID, "delayed", status="4.4.1"), S.ACCEPTED, "", "dsn"),
        (delivery_report(MESSAGE_ID, "failed", status="5.1.1"), S.REFUSED, "mailbox-unknown", "dsn"),
        (delivery_report(MESSAGE_ID, "failed", status="5.1.8"), S.REFUSED, "undeliverable", "dsn"),
        (delivery_report(MESSAGE_ID, "failed", status="5.2.2"), S.REFUSED, "mailbox-full", "dsn"),
        (delivery_report(MESSAGE_ID, "failed", status="5.3.4"), S.REFUSED, "too-large", "dsn"),
        (delivery_report(MESSAGE_ID, "failed", status="4.4.7"), S.REFUSED, "undeliverable", "dsn"),
        (read_report(MESSAGE_ID, "displayed"), S.READ, "", "mdn"),
        (read_report(MESSAGE_ID, "processed"), S.INTEGRATED, "", "mdn"),
        (read_report(MESSAGE_ID, "deleted"), S.REFUSED, "identity-906", "mdn"),
        (read_report(MESSAGE_ID, "processed/error", error="902^Patient inconnu^x|E^Error^y"), S.REFUSED, "identity-902", "mdn"),
        (read_report(MESSAGE_ID, "processed/Error: 903^INS absent^x|E^Error^y"), S.REFUSED, "identity-903", "mdn"),
        (failure_notice(MESSAGE_ID, "902"), S.REFUSED, "identity-902", "ko-mail"),
        (failure_notice(MESSAGE_ID, "207"), S.REFUSED, "identity-906", "ko-mail"),
    ],
)
def test_each_receipt_proves_what_it_says(mail: bytes, proves: S, cause: str, source: str) -> None:
    (proof,) = effects(mail)
    assert isinstance(proof, Evidence)
    assert (proof.proves, proof.cause, proof.source) == (proves, cause, source)
    assert MESSAGE_ID in (proof.reference, *proof.also)
    assert proof.at <= NOW
    assert "@" not in proof.detail and "inconnu" not in proof.detail


def test_a_notification_is_known_by_its_envelope_id_alone() -> None:
    (proof,) = effects(delivery_report("", "delivered", envelope_id="0f4a3b1c-52de-4d0e-8f5e-7f9f2f1c9b77"))
    assert isinstance(proof, Evidence)
    assert "0f4a3b1c-52de-4d0e-8f5e-7f9f2f1c9b77" in (proof.reference, *proof.also)


def test_a_receipt_of_tomorrow_is_told_of_when_it_came() -> None:
    late = read_report(MESSAGE_ID, "displayed").replace(b"21 Nov 2026", b"25 Nov 2026")
    (proof,) = effects(late)
    assert isinstance(proof, Evidence) and proof.at == NOW


def test_a_person_gone_for_good_is_a_proof_only_in_answer_to_us() -> None:
    gone = plain_mail("Réponse automatique", "Le Dr X a quitté l'établissement.", in_reply_to=MESSAGE_ID)
    (proof,) = effects(gone)
    assert isinstance(proof, Evidence) and (proof.cause, proof.source) == ("recipient-left", "auto-reply")
    assert effects(plain_mail("Réponse automatique", "Le Dr X a quitté l'établissement.")) == (Ignored("auto-reply"),)
    assert effects(plain_mail("Réponse automatique", "En congé.", in_reply_to=MESSAGE_ID)) == (Ignored("auto-reply"),)


# ── people ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_people_are_heard_and_lists_are_not() -> None:
    patient = f"{PATIENT.ins}@patient.mssante.fr"
    assert parked(plain_mail("Bonjour", "x")).reason == "ordinary-mail"
    answer = parked(plain_mail("Re: lettre", "x", in_reply_to=MESSAGE_ID))
    assert (answer.reason, answer.answers) == ("human-answer", (MESSAGE_ID,))
    assert parked(plain_mail("Bonjour", "x", **{"from": patient})).reason == "citizen-mail"
    assert parked(plain_mail("Re: lettre", "x", in_reply_to=MESSAGE_ID, **{"from": patient})).reason == "citizen-answer"
    assert effects(plain_mail("Lettre", "x", list_id="<a.b>")) == (Ignored("bulk-mail"),)
    assert effects(plain_mail("Alerte", "x", auto_submitted="auto-generated")) == (Ignored("automatic-mail"),)


def test_a_pdf_alone_waits_for_an_identity() -> None:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "a@cms.formation.mssante.fr", MAILBOX, "CR"
    message.set_content("Ci-joint")
    message.add_attachment(b"%PDF-1.4 x", maintype="application", subtype="pdf", filename="cr.pdf")
    assert parked(message.as_bytes()).reason == "mail.pdf-only"


def test_a_mail_that_goes_in_circles_stops_here() -> None:
    way = [f"Received: from r{n}.test by r{n + 1}.test; Sat, 21 Nov 2026 10:00:01 +0000" for n in range(60)]
    assert parked(letter_mail(LETTER, way=way)).reason == "mail.in-circles"


# ── the door ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mailbox_takes_anything_and_another_door_refuses_what_is_no_mail() -> None:
    junk = arrival(b"\x00\x01\x02")
    assert inspect_mail(junk).verdict is Verdict.ACCEPTED
    assert parked(b"\x00\x01\x02").reason == "mail.no-header"
    assert inspect_mail(replace(junk, door="folder:drop")).verdict is Verdict.REFUSED


def test_the_same_mail_by_another_way_is_the_same_and_another_content_is_not() -> None:
    here, there = letter_mail(LETTER), letter_mail(LETTER, way=("Received: from autre.test by b.test; x",))
    assert here != there
    assert inspect_mail(arrival(here)).fingerprint == inspect_mail(arrival(there)).fingerprint
    other = letter_mail(build_ldl_ses(title="Autre"))
    assert inspect_mail(arrival(here)).control.control_id == inspect_mail(arrival(other)).control.control_id
    assert inspect_mail(arrival(here)).fingerprint != inspect_mail(arrival(other)).fingerprint


@pytest.mark.parametrize("reason", ["mail.too-large", "mail.unreadable", "mail.not-kept"])
def test_what_a_door_could_not_bring_in_whole_waits(reason: str) -> None:
    (found,) = effects(b"", side_car=f'{{"withheld": "{reason}"}}'.encode())
    assert isinstance(found, Parked) and found.reason == reason


def test_a_mail_is_known_for_one_by_any_door() -> None:
    assert kind_of(arrival(letter_mail(LETTER), door="folder:drop")) is ContentKind.MAIL
    assert kind_of(arrival(on_its_way(b"no mail at all"), door="folder:drop")) is ContentKind.UNKNOWN
    assert kind_of(arrival(b"no mail at all")) is ContentKind.MAIL


def test_nothing_of_a_mail_is_shown_by_its_effects() -> None:
    shown = repr(effects(letter_mail(LETTER))) + repr(effects(read_report(MESSAGE_ID, "displayed", recipient="x@patient.test")))
    assert "BERTHIER" not in shown and PATIENT.ins not in shown and "x@patient.test" not in shown


# ── what the sender is told ───────────────────────────────────────────────────────────────────────────────────


def test_the_sender_is_told_the_code_that_the_person_reads() -> None:
    for reason, words in ADVICE.items():
        found = re.findall(r"\((90[0-6])\)", words)
        assert found in ([], [cause_of(reason).removeprefix("identity-")]), reason
    assert cause_of("archive.bomb") == "identity-906"


def test_what_waits_says_whom_to_tell_and_what_nobody_asked_about_says_nothing() -> None:
    no_ins = build_n1(patient=replace(PATIENT, ins=""))
    refusal = parked(letter_mail(no_ins)).refusal
    assert refusal is not None and refusal.cause == "identity-903"
    assert (refusal.asked.notify_address, refusal.asked.message_id) == (SENDER_BOX, MESSAGE_ID)
    assert SENDER_BOX not in repr(refusal)
    assert parked(letter_mail(no_ins, receipt=False)).refusal is None
