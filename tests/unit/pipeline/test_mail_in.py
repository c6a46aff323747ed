"""A mail comes in, and all that it leads to: software, its answer, the sender's receipt; and receipts about our own mails."""

from __future__ import annotations

import email
import io
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from adapter.cli.desk import timeline_data, timeline_lines
from adapter.ledger.records import Decision, PayloadKind
from adapter.model.delivery import DeliveryState as S
from adapter.model.delivery import Purpose
from adapter.model.finding import Finding, Severity
from adapter.model.inbox import Inbox, Inboxes
from adapter.model.plan import ChannelName
from adapter.model.receipt import Kept, Principal
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.packaging.parcel import Hl7Partner, Hl7Sender, MailContent
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import load_directory
from mssante.incoming import MailKind, read_mail
from mssante.receipts import ReadReport, read_receipt
from tests.builders.cda import PATIENT, build_ldl_ses, build_n1, matricule
from tests.builders.directory import APHP_EJ, SANDBOX, rehearsal, territory_files
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.builders.inbound_mail import (
    MAILBOX,
    MESSAGE_ID,
    SENDER_BOX,
    delivery_report,
    failure_notice,
    letter_mail,
    plain_mail,
    read_report,
    rewritten,
)
from tests.builders.instance import Instance, accepted, deferred, refused

HL7 = Hl7Sender(processing="T", partners=(Hl7Partner("logiciel", "LOG", "CMS"),))
ROUTES: RouteSettings = rehearsal(sandbox={**SANDBOX, ChannelName.HL7_PUSH: "logiciel"})
INBOX = Inbox("cms", MAILBOX, APHP_EJ, deliver_to="local-software:logiciel", takes_test_identities=True)
DOOR = {"door": "mailbox:cms", "principal": Principal("cms", "mailbox", APHP_EJ)}
LETTER = build_ldl_ses()
TAKEN = accepted(S.INTEGRATED)


def instance(folder: Path, inbox: Inbox = INBOX, legacy: frozenset[str] = frozenset()) -> Instance:
    return Instance(folder, routes=ROUTES, hl7=HL7, inboxes=Inboxes({"mailbox:cms": inbox}), legacy_receipts=legacy)


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return instance(tmp_path)


def receive(house: Instance, mail: bytes) -> str:
    return house.letter(mail, **DOOR)


def push(house: Instance) -> int:
    return house.dispatch(ChannelName.HL7_PUSH)


def answers(house: Instance) -> list[MailContent]:
    """What is mailed back, after software answered."""
    house.pipeline.settle_some()
    while house.dispatch():
        pass
    return [parcel.content for parcel in house.mail.parcels if isinstance(parcel.content, MailContent)]


def report_in(content: MailContent) -> ReadReport:
    receipt = read_receipt(read_mail(content.message))
    assert isinstance(receipt, ReadReport)
    return receipt


# ── documents and their answers ───────────────────────────────────────────────────────────────────────────────


def test_a_letter_taken_by_software_is_answered_once_with_the_original_whole(house: Instance) -> None:
    mail = letter_mail(LETTER)
    receipt = receive(house, mail)
    house.software.script(TAKEN)
    assert push(house) == 1 and house.states(receipt)["hl7_push"] == "integrated"
    (answer,) = answers(house)
    assert (answer.envelope_from, answer.wants_dsn) == ("", False)
    assert answer.envelope_to == SANDBOX[ChannelName.SECURE_MAIL]  # a test instance answers nobody else
    report = report_in(answer)
    assert (report.message_ids[0], report.is_refusal, report.final_recipient) == (MESSAGE_ID, False, MAILBOX)
    assert mail in answer.message
    parsed = email.message_from_bytes(answer.message, policy=SMTP)
    assert parsed["To"] == SENDER_BOX and parsed["From"].endswith(f"<{MAILBOX}>")
    assert answers(house) == [answer]
    assert house.conservation().holds


def test_software_that_refuses_is_told_to_the_sender_with_its_code(house: Instance) -> None:
    receive(house, letter_mail(LETTER))
    house.software.script(refused("identity-902"))
    push(house)
    (answer,) = answers(house)
    report = report_in(answer)
    assert report.is_refusal and [error.code for error in report.errors] == ["902"]
    assert b"processed/error" in answer.message and b"\r\nError: 902^" in answer.message
    assert house.reasons() == ["identity-902"]


def test_the_older_form_is_a_switch_of_the_mailbox(tmp_path: Path) -> None:
    house = instance(tmp_path, legacy=frozenset({MAILBOX}))
    receive(house, letter_mail(LETTER))
    house.software.script(refused("identity-902"))
    push(house)
    (answer,) = answers(house)
    assert b"processed/Error: 902^" in answer.message
    assert [error.code for error in report_in(answer).errors] == ["902"]


def test_without_a_receipt_asked_a_refusal_goes_to_the_error_box_and_success_to_nobody(tmp_path: Path) -> None:
    house = instance(tmp_path, replace(INBOX, error_box="erreurs@cms.formation.mssante.fr"))
    mail = letter_mail(LETTER, receipt=False)
    receive(house, mail)
    house.software.script(refused("identity-902"), TAKEN)
    push(house)
    receive(house, letter_mail(build_n1(), receipt=False, message_id="<m2@chu.formation.mssante.fr>"))
    push(house)
    (answer,) = answers(house)
    notice = read_mail(answer.message)
    assert notice.kind is MailKind.FAILURE_NOTICE and "[902]" in notice.headers.subject
    assert answer.envelope_from == MAILBOX and mail in answer.message


def test_a_refusal_then_a_success_by_hand_is_told_again(house: Instance) -> None:
    receive(house, letter_mail(LETTER))
    house.software.script(refused("identity-902"))
    push(house)
    answers(house)
    house.resolve("retry")
    house.software.script(TAKEN)
    push(house)
    assert [report_in(one).is_refusal for one in answers(house)] == [True, False]


def _with_another(message: EmailMessage) -> None:
    message.add_attachment(build_n1(), maintype="text", subtype="xml", filename="autre.xml")


def test_a_mail_of_two_documents_is_taken_when_both_are(house: Instance) -> None:
    receive(house, letter_mail(LETTER, change=_with_another))
    house.software.script(TAKEN)
    house.pipeline.dispatch_some("w1", ChannelName.HL7_PUSH, 1)
    assert answers(house) == []
    house.software.script(TAKEN)
    push(house)
    assert [report_in(one).is_refusal for one in answers(house)] == [False]


def test_a_mail_of_two_documents_of_which_one_is_refused_is_refused_once(house: Instance) -> None:
    receive(house, letter_mail(LETTER, change=_with_another))
    house.software.script(TAKEN, refused("identity-902"))
    push(house)
    assert [report_in(one).is_refusal for one in answers(house)] == [True]


def test_a_mail_of_which_a_person_stopped_one_document_is_never_said_to_be_taken(house: Instance) -> None:
    """The no for the one that was stopped is the last word: the other's yes would read as "all was taken"."""
    receive(house, letter_mail(LETTER, change=_with_another))
    house.software.script(refused("identity-902"))
    house.pipeline.dispatch_some("w1", ChannelName.HL7_PUSH, 1)
    house.resolve("cancel")
    assert [report_in(one).is_refusal for one in answers(house)] == [True]
    house.software.script(TAKEN)
    push(house)
    assert [report_in(one).is_refusal for one in answers(house)] == [True]


# ── repeats and versions ──────────────────────────────────────────────────────────────────────────────────────


def test_the_same_mail_again_is_known(house: Instance) -> None:
    receive(house, letter_mail(LETTER))
    again = house.accept(letter_mail(LETTER, way=("Received: from autre.test by b.test; x",)), **DOOR)
    assert again.kept is Kept.REPEAT
    house.prepare()
    house.software.script(TAKEN)
    assert push(house) == 1


def test_another_content_under_the_same_message_id_is_kept_and_asked_about(house: Instance) -> None:
    receive(house, letter_mail(LETTER))
    other = house.accept(letter_mail(build_n1()), **DOOR)
    assert other.kept is Kept.CONFLICT and house.reasons() == ["repeat.conflict"]
    assert house.ledger.read_payload(PayloadKind.CONTENT, other.receipt_id, legal_entity=APHP_EJ)


def test_the_same_document_by_another_mail_is_answered_and_not_delivered_twice(house: Instance) -> None:
    receive(house, letter_mail(LETTER))
    house.software.script(TAKEN)
    push(house)
    receive(house, letter_mail(LETTER, message_id="<autre@chu.formation.mssante.fr>"))
    assert push(house) == 0
    told = sorted(report_in(one).message_ids[0] for one in answers(house))
    assert told == sorted([MESSAGE_ID, "<autre@chu.formation.mssante.fr>"])


def test_a_second_mail_with_a_document_that_still_waits_is_answered_with_the_first(house: Instance) -> None:
    receive(house, letter_mail(LETTER))
    receive(house, letter_mail(LETTER, message_id="<second@chu.formation.mssante.fr>"))
    assert answers(house) == []
    house.software.script(TAKEN)
    assert push(house) == 1
    told = [report_in(answer) for answer in answers(house)]
    assert sorted(report.message_ids[0] for report in told) == sorted([MESSAGE_ID, "<second@chu.formation.mssante.fr>"])
    assert not any(report.is_refusal for report in told) and house.conservation().holds


def test_a_second_mail_is_taken_once_what_the_first_brought_is_too(house: Instance) -> None:
    """One of its two documents waits under the first mail: no yes before."""
    receive(house, letter_mail(LETTER))
    house.software.script(deferred("connect-failed"))
    push(house)
    second = "<second@chu.formation.mssante.fr>"
    receive(house, letter_mail(LETTER, change=_with_another, message_id=second))
    house.software.script(TAKEN)
    assert push(house) == 1 and answers(house) == []
    house.clock.advance(hours=1)
    house.software.script(TAKEN)
    assert push(house) == 1
    assert second in [report_in(answer).message_ids[0] for answer in answers(house)]


def test_an_older_version_that_comes_late_is_refused_with_900(house: Instance) -> None:
    newer = build_ldl_ses(document_id="1.2.250.1.213.1.1.9.501.2", version=2, replaces="1.2.250.1.213.1.1.9.501.1")
    receive(house, letter_mail(newer, message_id="<v2@chu.formation.mssante.fr>"))
    house.software.script(TAKEN)
    push(house)
    receive(house, letter_mail(LETTER, message_id="<v1@chu.formation.mssante.fr>"))
    assert push(house) == 0
    told = {report.message_ids[0]: [error.code for error in report.errors] for report in map(report_in, answers(house))}
    assert told == {"<v2@chu.formation.mssante.fr>": [], "<v1@chu.formation.mssante.fr>": ["900"]}


# ── bad mails ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        (letter_mail(LETTER, change_archive=lambda _: b"PK\x03\x04 x"), "archive.broken"),
        (plain_mail("Bonjour", "Je voudrais un rendez-vous"), "ordinary-mail"),
        (b"\x00 pas un courriel", "mail.no-header"),
    ],
)
def test_what_cannot_go_on_is_kept_listed_and_never_tried_by_itself(house: Instance, mail: bytes, reason: str) -> None:
    receipt = receive(house, mail)
    assert house.reasons() == [reason]
    assert house.prepare() == 0 and push(house) == 0
    assert house.ledger.read_payload(PayloadKind.CONTENT, receipt, legal_entity=APHP_EJ) == mail
    assert house.conservation().holds
    house.ledger.resolve(house.items()[0].id, Decision.HAND_OVER, "operator", legal_entity=APHP_EJ)
    assert house.reasons() == [] and house.conservation().holds


# ── mails that wait for a person are answered ─────────────────────────────────────────────────────────────────


def _hostile(name: str, content: bytes = b"x") -> Callable[[bytes], bytes]:
    def change(_: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        return buffer.getvalue()

    return change


def _doubled(archive: bytes) -> bytes:
    buffer = io.BytesIO(archive)
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as added:
        warnings.simplefilter("ignore")
        added.writestr("IHE_XDM/SUBSET01/METADATA.XML", b"<autre/>")
    return buffer.getvalue()


def _encrypted(archive: bytes) -> bytes:
    """The bit that says so, in every header of the archive."""
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = archive.find(mark)
        while start >= 0:
            archive = archive[: start + place] + b"\x01" + archive[start + place + 1 :]
            start = archive.find(mark, start + 4)
    return archive


def _in(name_ends: str, before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    return lambda archive: rewritten(archive, name_ends, lambda content: content.replace(before, after))


def _bomb_of_entities(content: bytes) -> bytes:
    return content.replace(b"<ClinicalDocument", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ClinicalDocument', 1)


def _other_patient(message: EmailMessage) -> None:
    other = replace(PATIENT, birth_name="EXEMPLE-AUTRE", ins=matricule("2850175123456"), birth_date="19850101", ipp="900000124")
    message.add_attachment(build_n1(patient=other), maintype="text", subtype="xml", filename="autre.xml")


def _with_no_ins(message: EmailMessage) -> None:
    del message["X-MSS-INS"]
    message.add_attachment(NO_INS, maintype="text", subtype="xml", filename="autre.xml")


NO_INS = build_n1(patient=replace(PATIENT, ins=""))
WAITING = [
    (letter_mail(LETTER, change_archive=_hostile("../../evil.xml")), "archive.", "906"),
    (letter_mail(LETTER, change_archive=_hostile("BOMB.XML", b"0" * 60_000_000)), "archive.", "906"),
    (letter_mail(LETTER, change_archive=_doubled), "archive.", "906"),
    (letter_mail(LETTER, change_archive=_encrypted), "archive.", "906"),
    (letter_mail(LETTER, change_archive=lambda _: b"PK\x03\x04 x"), "archive.broken", "906"),
    (letter_mail(LETTER, change_archive=_in("METADATA.XML", b"EXEMPLE-BERTHIER", b"EXEMPLE-AUTRE")), "mail.other-patient", "904"),
    (letter_mail(LETTER, change_archive=_in("DOC00001.XML", b"EXEMPLE", b"EXEMPLA")), "mail.hash-mismatch", "906"),
    (letter_mail(LETTER, change=_other_patient), "mail.several-patients", "904"),
    (letter_mail(NO_INS), "mail.identity-unqualified", "903"),
    (letter_mail(LETTER, change=lambda m: m.replace_header("X-MSS-INS", "N")), "mail.ins-disclaimed", "903"),
    (letter_mail(NO_INS, change=lambda m: m.replace_header("X-MSS-INS", "O")), "mail.ins-claimed-not-proved", "905"),
]


def codes(mails: list[MailContent]) -> list[str]:
    """What the sender was told, in order: a code, or that it was taken."""
    return ["".join(error.code for error in report.errors) or "taken" for report in map(report_in, mails)]


@pytest.mark.parametrize(("mail", "reason", "code"), WAITING, ids=[f"{reason}{n}" for n, (_, reason, _) in enumerate(WAITING)])
def test_the_sender_of_a_mail_that_waits_is_told_once_with_the_norms_code(
    house: Instance, mail: bytes, reason: str, code: str
) -> None:
    receipt = receive(house, mail)
    (found,) = house.reasons()
    assert found.startswith(reason)
    (answer,) = answers(house)
    assert codes([answer]) == [code] and mail in answer.message
    assert email.message_from_bytes(answer.message, policy=SMTP)["To"] == SENDER_BOX
    for _ in range(3):  # read again under the same settings, it says nothing new
        house.resolve("retry")
        house.prepare()
    assert answers(house) == [answer]
    assert house.reasons() == [found] and push(house) == 0 and house.conservation().holds
    (told,) = house.timeline(receipt).answers
    assert (told.purpose, told.role_id, told.state) == (Purpose.ACK, "MDN N 1 mail", S.ACCEPTED)
    assert house.timeline(told.id).receipt.id == house.timeline(told.reference).receipt.id == receipt
    assert f"    mssante → MDN N 1 mail: accepted, {told.reference}" in timeline_lines(house.timeline(receipt), "Europe/Paris")
    assert [one["id"] for one in timeline_data(house.timeline(receipt))["answers"]] == [told.id]


def test_an_attack_by_xml_is_told_as_any_unreadable_document(house: Instance) -> None:
    def bare(message: EmailMessage) -> None:
        for part in [part for part in message.iter_attachments() if part.get_filename() == "IHE_XDM.zip"]:
            part.set_content(_bomb_of_entities(LETTER), "text", "xml", filename="lettre.xml")

    receive(house, letter_mail(LETTER, change=bare))
    assert codes(answers(house)) == ["906"] and len(house.items()) == 1


@pytest.mark.parametrize(
    "mail",
    [
        letter_mail(NO_INS, receipt=False),
        letter_mail(NO_INS, return_path=""),
        letter_mail(NO_INS, return_path="autre@chu.formation.mssante.fr"),
        letter_mail(NO_INS, change=lambda m: m.__setitem__("Auto-Submitted", "auto-generated")),
        plain_mail("Bonjour", "Un rendez-vous ?", disposition_notification_to="alix.dutest@cms.formation.mssante.fr"),
        b"\x00 pas un courriel",
    ],
)
def test_automatons_loops_and_who_asked_for_nothing_are_told_nothing(house: Instance, mail: bytes) -> None:
    receive(house, mail)
    assert answers(house) == [] and len(house.items()) == 1


def _head(mail: bytes) -> bytes:
    return mail.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


TOO_LARGE = b'{"withheld": "mail.too-large"}'


def test_the_sender_of_a_mail_too_large_for_the_door_is_told_with_its_head_alone(house: Instance) -> None:
    head = _head(letter_mail(LETTER))
    house.letter(head, side_car=TOO_LARGE, **DOOR)
    (answer,) = answers(house)
    assert codes([answer]) == ["906"] and house.reasons() == ["mail.too-large"]
    assert b"Content-Type: text/rfc822-headers" in answer.message and head.strip() in answer.message


@pytest.mark.parametrize(
    "mail",
    [
        letter_mail(LETTER, receipt=False),
        letter_mail(LETTER, return_path=""),
        letter_mail(LETTER, change=lambda m: m.__setitem__("Auto-Submitted", "auto-generated")),
        plain_mail("Les photos", "60 Mo", disposition_notification_to="alix.dutest@cms.formation.mssante.fr"),
        delivery_report(MESSAGE_ID, "delivered"),
        read_report(MESSAGE_ID, "automatic-action/MDN-sent-automatically; processed"),
        b"",
    ],
)
def test_no_automaton_and_no_person_is_told_of_a_mail_too_large(house: Instance, mail: bytes) -> None:
    house.letter(_head(mail) if mail else mail, side_car=TOO_LARGE, **DOOR)
    assert answers(house) == [] and house.reasons() == ["mail.too-large"]


@pytest.mark.parametrize("place", ["reading", "planning"])
def test_a_defect_of_ours_is_told_and_so_is_what_becomes_of_the_mail_once_it_is_mended(
    house: Instance, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        if place == "reading":
            patched.setattr("adapter.mapping.from_mail.open_mail", fails)
        else:
            patched.setattr(house.pipeline, "_route", fails)
        receive(house, letter_mail(LETTER))
        assert house.reasons() == ["prepare-failed"] and codes(answers(house)) == ["906"]
    house.resolve("retry")
    house.prepare()
    house.software.script(TAKEN)
    assert push(house) == 1
    assert codes(answers(house)) == ["906", "taken"] and house.conservation().holds


def test_a_mail_in_circles_is_answered_by_nobody(house: Instance) -> None:
    way = [f"Received: from relais{n}.test by boites.test; Sat, 21 Nov 2026 10:00:01 +0000" for n in range(60)]
    receive(house, letter_mail(LETTER, way=way))
    assert answers(house) == [] and house.reasons() == ["mail.in-circles"]


def test_without_a_receipt_asked_the_error_box_is_told_of_a_mail_that_waits(tmp_path: Path) -> None:
    house = instance(tmp_path, replace(INBOX, error_box="erreurs@cms.formation.mssante.fr"))
    mail = letter_mail(NO_INS, receipt=False)
    receive(house, mail)
    (answer,) = answers(house)
    notice = read_mail(answer.message)
    assert notice.kind is MailKind.FAILURE_NOTICE and "[903]" in notice.headers.subject and mail in answer.message


def test_a_mail_that_goes_through_after_a_change_of_settings_is_said_to_be_taken_once(tmp_path: Path) -> None:
    strict = instance(tmp_path)
    receipt = receive(strict, letter_mail(NO_INS))
    assert codes(answers(strict)) == ["903"]
    house = instance(tmp_path, replace(INBOX, takes_unqualified=True))
    house.resolve("retry")
    house.prepare()
    assert answers(house) == []  # not taken yet
    house.software.script(TAKEN)
    assert push(house) == 1
    assert codes(answers(house)) == ["taken"]
    assert house.timeline(receipt).submissions[0].status.summary == "integrated" and house.conservation().holds


def test_what_was_taken_while_the_rest_waited_is_said_once_all_of_it_is(tmp_path: Path) -> None:
    strict = instance(tmp_path)
    receive(strict, letter_mail(LETTER, change=_with_no_ins))
    strict.software.script(TAKEN)
    assert push(strict) == 1
    assert codes(answers(strict)) == ["903"]  # half of it is no yes
    house = instance(tmp_path, replace(INBOX, takes_unqualified=True))
    house.resolve("retry")
    house.prepare()
    house.software.script(TAKEN)
    assert push(house) == 1
    assert codes(answers(house)) == ["taken"]


def test_what_was_taken_is_said_even_if_reading_again_brings_nothing_new(house: Instance) -> None:
    """Taken while the mail was being read again: the yes came too early then, and nothing else would ever bring it."""
    (trace,) = house.timeline(receive(house, letter_mail(LETTER))).submissions
    about = WorkAbout.SUBMISSION
    house.ledger.open_work_item(WorkItem("i", APHP_EJ, about, trace.submission.id, "look", "Regarder.", house.clock()))
    house.resolve("retry")
    house.software.script(TAKEN)
    assert push(house) == 1
    assert answers(house) == []
    house.prepare()
    assert codes(answers(house)) == ["taken"]


def test_a_document_that_gives_no_valid_fhir_is_told(house: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (Finding(Severity.ERROR, "fhir.wrong", "x", "Bundle", ""),)
    with monkeypatch.context() as patched:
        patched.setattr("adapter.pipeline.verbs.validate_bundle", lambda *_: wrong)
        receive(house, letter_mail(LETTER))
    assert house.reasons() == ["invalid-output"]
    assert codes(answers(house)) == ["906"]
    house.resolve("retry")
    house.prepare()
    house.software.script(TAKEN)
    push(house)
    assert codes(answers(house)) == ["906", "taken"]


def test_two_documents_refused_are_one_no_and_two_taken_later_are_one_yes(house: Instance) -> None:
    receive(house, letter_mail(LETTER, change=_with_another))
    house.software.script(refused("identity-902"), refused("identity-904"))
    push(house)
    assert codes(answers(house)) == ["902"]
    house.resolve("retry")
    house.resolve("retry")
    house.software.script(TAKEN, TAKEN)
    push(house)
    assert codes(answers(house)) == ["902", "taken"]


def test_a_yes_never_leaves_before_the_no_that_it_takes_back(house: Instance) -> None:
    house.mail.script(deferred("partner-busy"))
    receive(house, letter_mail(LETTER))
    house.software.script(refused("identity-902"))
    push(house)
    answers(house)
    house.resolve("retry")
    house.software.script(TAKEN)
    push(house)
    house.mail.parcels.clear()
    assert answers(house) == []
    house.clock.advance(hours=1)
    assert codes(answers(house)) == ["902", "taken"]


def test_a_mail_for_which_no_software_is_known_is_told(tmp_path: Path) -> None:
    house = instance(tmp_path, replace(INBOX, deliver_to=""))
    receive(house, letter_mail(LETTER))
    assert len(house.items()) == 1 and push(house) == 0
    assert codes(answers(house)) == ["906"]


# ── receipts about our own mails ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sent(house: Instance) -> str:
    """A letter of ours, accepted by the operator; its receipt's id."""
    receipt = house.letter(build_mdm(LETTER, recipients=(DOCTOR,)))
    house.dispatch()
    assert house.states(receipt)["mssante"] == "accepted"
    return receipt


def reference(house: Instance) -> str:
    return house.mail.parcels[0].reference


def intended(house: Instance) -> str:
    return house.mail.parcels[0].address


@pytest.mark.parametrize(
    ("mails", "state"),
    [
        ((lambda ref: delivery_report(ref, "relayed"),), "accepted"),
        ((lambda ref: delivery_report(ref, "delivered"),), "delivered"),
        ((lambda ref: read_report(ref, "displayed"), lambda ref: delivery_report(ref, "delivered")), "read"),
        ((lambda ref: read_report(ref, "processed"), lambda ref: read_report(ref, "displayed", name="<m2@x>")), "integrated"),
        ((lambda ref: read_report(ref, "displayed"), lambda ref: read_report(ref, "deleted", name="<m2@x>")), "read"),
        ((lambda ref: failure_notice(ref, "902"),), "refused"),
    ],
)
def test_receipts_settle_the_delivery_and_never_regress(
    house: Instance, sent: str, mails: tuple[Callable[[str], bytes], ...], state: str
) -> None:
    for mail in mails:
        receive(house, _about_us(mail(reference(house)), house))
    assert house.states(sent)["mssante"] == state


def _about_us(mail: bytes, house: Instance) -> bytes:
    return mail.replace(b"sacha@cms.formation.mssante.fr", intended(house).encode())


def test_a_notification_with_the_envelope_id_alone_is_matched(house: Instance, sent: str) -> None:
    report = delivery_report("", "delivered", envelope_id=house.mail.parcels[0].delivery_id)
    receive(house, _about_us(report, house))
    assert house.states(sent)["mssante"] == "delivered"


def test_a_receipt_that_speaks_for_somebody_else_is_kept_and_settles_nothing(house: Instance, sent: str) -> None:
    receive(house, delivery_report(reference(house), "failed", status="5.1.1", recipient="autre@faux.mssante.fr"))
    assert house.states(sent)["mssante"] == "accepted"
    assert house.reasons() == ["unmatched-evidence"]


def test_a_receipt_for_an_unknown_mail_is_kept_and_listed(house: Instance, sent: str) -> None:
    receive(house, read_report("<inconnu@ailleurs.mssante.fr>", "processed"))
    assert house.states(sent)["mssante"] == "accepted"
    assert house.reasons() == ["unmatched-evidence"]


def test_a_persons_answer_is_seen_on_the_letters_own_timeline(house: Instance, sent: str) -> None:
    answer = receive(house, plain_mail("Re: lettre", "Merci, mais le patient est suivi ailleurs.", in_reply_to=reference(house)))
    assert house.reasons() == ["human-answer"]
    events = [(event.kind, event.detail) for event in house.timeline(sent).events]
    assert ("human-answer", answer) in events


def test_somebody_gone_for_good_is_written_to_no_more(house: Instance, sent: str) -> None:
    address = intended(house)
    gone = plain_mail("Réponse automatique", "Le Dr a quitté l'établissement", in_reply_to=reference(house), **{"from": address})
    receive(house, gone)
    assert house.states(sent)["mssante"] == "refused"


def test_an_answer_that_no_mailbox_takes_is_a_persons_and_goes_again_when_told(house: Instance) -> None:
    receive(house, letter_mail(LETTER))
    house.software.script(TAKEN)
    push(house)
    house.mail.script(refused("mailbox-unknown"))
    answers(house)
    (item,) = house.items()
    assert (item.about.value, item.reason) == ("delivery", "mailbox-unknown")
    house.resolve(Decision.RETRY.value)
    first, again = answers(house)
    assert first.message == again.message
    assert house.items() == [] and house.conservation().holds


def test_mails_keep_the_house_in_balance(house: Instance, sent: str) -> None:
    house.clock.advance(seconds=5)
    receive(house, _about_us(delivery_report(reference(house), "delivered"), house))
    receive(house, letter_mail(build_n1()))
    house.software.script(TAKEN)
    push(house)
    answers(house)
    assert house.conservation().holds


def test_a_saved_mail_goes_to_whoever_holds_the_address_that_it_was_written_to(tmp_path: Path) -> None:
    files = territory_files()
    name, role = "reference-territory.toml", b'key = "modele-ivry"\n'
    files[name] = files[name].replace(role, role + b'channels = [{ channel = "hl7_push", address = "logiciel" }]\n')
    otherwise = Inboxes(otherwise=Inbox("", "", "", takes_test_identities=True))
    house = Instance(tmp_path, directory=load_directory(files), routes=ROUTES, hl7=HL7, inboxes=otherwise)
    receipt = house.letter(letter_mail(LETTER, to=DOCTOR.address), door="cli")
    house.software.script(TAKEN)
    assert push(house) == 1 and house.states(receipt)["hl7_push"] == "integrated"


def test_a_saved_mail_to_nobody_known_is_asked_about(tmp_path: Path) -> None:
    house = Instance(tmp_path, routes=ROUTES, hl7=HL7, inboxes=Inboxes(otherwise=Inbox("", "", "", takes_test_identities=True)))
    house.letter(letter_mail(LETTER, to="personne@cms-ivry.formation.mssante.fr"), door="cli")
    assert push(house) == 0 and len(house.items()) == 1
