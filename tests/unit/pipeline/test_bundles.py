"""The documents of one message leave for one mailbox in one mail, one archive, one submission set; and what may part them."""

from __future__ import annotations

import email
import email.policy
import io
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from lxml import etree

from adapter.channels.base import Capabilities
from adapter.errors import RenditionError
from adapter.formats.hl7v2 import read_message
from adapter.ledger.records import Decision
from adapter.model.delivery import Delivery
from adapter.model.delivery import DeliveryState as S
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import Hl7Content, Hl7Partner, Hl7Sender, MailContent, Parcel
from adapter.pipeline import bundles
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import DOCTOR, FAX_DOCTOR, ORU_CANCELS, ORU_REPLACES, build_mdm, build_oru, to_professional
from tests.builders.instance import HOSPITAL, LEASE, UNCLEAR_WAIT, Instance, deferred, refused, unclear

OTHER = to_professional("camille.exemple@cms-ivry.formation.mssante.fr")
HL7 = Hl7Sender(processing="T", partners=(Hl7Partner("dpi", "EAI", "CENTRAL"),), acks_to=((HOSPITAL.name, "dpi"),))
TYPE_CODE = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"
NS = {"r": "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"}
ASKED = {"ACK_RECEPTION": "Y", "ACK_LECTURE_MSS": "Y"}
FIRST, SECOND = "1.2.250.1.213.1.1.9.500.{}", "1.2.250.1.213.1.1.9.501.{}"


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, hl7=HL7)


def pair(version: int = 1) -> tuple[bytes, bytes]:
    older = version - 1
    return (
        build_n1(document_id=FIRST.format(version), version=version, replaces=FIRST.format(older) if older else ""),
        build_ldl_ses(document_id=SECOND.format(version), version=version, replaces=SECOND.format(older) if older else ""),
    )


def two(house: Instance, control_id: str = "ORU0001", **options: object) -> str:
    return house.letter(build_oru(*pair(), control_id=control_id, **options))  # type: ignore[arg-type]


def content_of(parcel: Parcel) -> MailContent:
    assert isinstance(parcel.content, MailContent)
    return parcel.content


def opened(parcel: Parcel) -> tuple[EmailMessage, etree._Element, list[str]]:
    """A mail, its METADATA.XML, and the names of its attachments."""
    message = email.message_from_bytes(content_of(parcel).message, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    parts = list(message.iter_attachments())
    archive = zipfile.ZipFile(io.BytesIO(parts[0].get_content()))
    metadata = etree.fromstring(archive.read("IHE_XDM/SUBSET01/METADATA.XML"))
    return message, metadata, [str(part.get_filename()) for part in parts]


def unique_ids(metadata: etree._Element) -> list[str]:
    path = ".//r:ExternalIdentifier[@identificationScheme='urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab']/@value"
    return sorted(str(one) for one in metadata.xpath(path, namespaces=NS))


def deliveries(house: Instance, receipt: str) -> list[Delivery]:
    return [d for trace in house.timeline(receipt).submissions for d in trace.deliveries if d.channel is ChannelName.SECURE_MAIL]


def states(house: Instance, receipt: str) -> list[str]:
    return [d.state.value for d in deliveries(house, receipt) if d.purpose.value == "document"]


def prove(house: Instance, proves: S, source: str = "dsn", cause: str = "", reference: str = "") -> None:
    named = reference or house.mail.parcels[-1].reference
    house.mail.reports.append(Evidence(named, proves, house.clock(), source, cause))
    house.pipeline.settle_some()


def said(house: Instance) -> list[str]:
    """What the sender's software received."""
    while house.dispatch(ChannelName.HL7_PUSH):
        pass
    messages = [read_message(p.content.message) for p in house.software.parcels if isinstance(p.content, Hl7Content)]
    return [f"{m.value('MSH', 9, 2)} {m.segments('OBX')[0].value(5)} {m.segments('OBX')[0].value(4)}" for m in messages]


# ── together ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_documents_for_one_mailbox_are_one_mail_with_one_submission_set(house: Instance) -> None:
    receipt = two(house)
    assert house.dispatch() == 1 and len(house.mail.parcels) == 1
    message, metadata, names = opened(house.mail.parcels[0])
    assert unique_ids(metadata) == [FIRST.format(1), SECOND.format(1)]
    assert len(metadata.findall(".//r:RegistryPackage", NS)) == 1
    assert len(metadata.xpath(".//r:Association[contains(@associationType, 'HasMember')]", namespaces=NS)) == 2
    assert names[0] == "IHE_XDM.zip" and len(set(names)) == 3
    assert message["Subject"].startswith("XDM/1.0/DDM+2 documents ")
    codes = metadata.xpath(".//r:Classification[@classificationScheme=$s]/@nodeRepresentation", namespaces=NS, s=TYPE_CODE)
    assert str(message["X-MSS-CODECDA"]).split(",") == codes and len(codes) == 2
    assert states(house, receipt) == ["accepted", "accepted"] and house.conservation().holds


def test_each_recipient_gets_one_mail(house: Instance) -> None:
    two(house, recipients=(DOCTOR, OTHER))
    house.dispatch()
    assert len(house.mail.parcels) == 2
    assert len({parcel.address for parcel in house.mail.parcels} | {parcel.reference for parcel in house.mail.parcels}) >= 3
    assert all(len(unique_ids(opened(parcel)[1])) == 2 for parcel in house.mail.parcels)


def test_documents_of_two_messages_never_share_a_mail(house: Instance) -> None:
    first, second = pair()
    house.letter(build_mdm(first, control_id="M1"))
    house.letter(build_mdm(second, control_id="M2"))
    house.dispatch()
    assert len(house.mail.parcels) == 2


def test_one_proof_settles_both(house: Instance) -> None:
    receipt = two(house)
    house.dispatch()
    prove(house, S.DELIVERED)
    assert states(house, receipt) == ["delivered", "delivered"]
    prove(house, S.INTEGRATED, "mdn")
    assert states(house, receipt) == ["integrated", "integrated"] and house.conservation().holds


def test_a_proof_that_names_the_envelope_settles_both(house: Instance) -> None:
    """RFC 3464 Original-Envelope-Id: the id of the one delivery that led."""
    receipt = two(house)
    house.dispatch()
    prove(house, S.DELIVERED, reference=content_of(house.mail.parcels[0]).envelope_id)
    assert states(house, receipt) == ["delivered", "delivered"]


def test_one_dsn_is_one_z02_and_one_mdn_one_z03(house: Instance) -> None:
    """Volet 2.1, flows 4 and 5: one Z02 a DSN, one Z03 a mail, under the request's MSH-10."""
    two(house, flags=ASKED)
    house.dispatch()
    prove(house, S.DELIVERED)
    prove(house, S.READ, "mdn")
    assert said(house) == ["Z02 Y ORU0001", "Z03 Y ORU0001"]


def test_a_refusal_after_a_yes_is_told_once_for_both(house: Instance) -> None:
    two(house, flags=ASKED)
    house.dispatch()
    prove(house, S.DELIVERED)
    prove(house, S.REFUSED, "mdn", "identity-902")
    assert said(house) == ["Z02 Y ORU0001", "Z03 N ORU0001"]
    assert house.reasons() == ["identity-902", "identity-902"]


def test_the_same_mail_goes_again_byte_for_byte_after_an_unclear_send(house: Instance) -> None:
    two(house)
    house.mail.script(unclear())
    house.dispatch()
    assert house.dispatch() == 0
    house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    house.pipeline.settle_some()
    house.dispatch()
    first, again = house.mail.parcels
    assert content_of(first).message == content_of(again).message


def test_a_try_later_keeps_them_together_and_the_bytes_too(house: Instance) -> None:
    receipt = two(house)
    house.mail.script(deferred("partner-busy"))
    house.dispatch()
    house.clock.advance(minutes=30)
    house.dispatch()
    first, again = house.mail.parcels
    assert content_of(first).message == content_of(again).message and states(house, receipt) == ["accepted"] * 2


def test_a_notice_that_asks_for_another_try_keeps_them_together(house: Instance) -> None:
    receipt = two(house)
    house.dispatch()
    prove(house, S.REFUSED, cause="mailbox-full")
    assert states(house, receipt) == ["queued", "queued"]
    house.clock.advance(hours=13)
    house.dispatch()
    assert len(house.mail.parcels) == 2 and states(house, receipt) == ["accepted", "accepted"]


def test_a_claim_that_dies_leaves_one_mail_to_send(house: Instance) -> None:
    receipt = two(house)
    (claim,) = house.ledger.claim_deliveries("dead", ChannelName.SECURE_MAIL, 10, LEASE)
    assert len(claim.companions) == 1  # type: ignore[union-attr]
    house.clock.advance(seconds=LEASE.total_seconds() + 1)
    house.pipeline.settle_some()
    house.dispatch()
    assert len(house.mail.parcels) == 1 and states(house, receipt) == ["accepted", "accepted"]


def test_a_death_on_the_wire_sends_the_same_mail_again(house: Instance) -> None:
    receipt = two(house)
    (claim,) = house.ledger.claim_deliveries("dead", ChannelName.SECURE_MAIL, 10, LEASE)
    held = [(one.delivery.id, one.delivery.fence) for one in bundles.of_one_mail(claim)]
    house.ledger.mark_on_wire(*held[0], house.clock(), *held[1:])
    house.clock.advance(seconds=LEASE.total_seconds() + 1)
    house.pipeline.settle_some()
    assert states(house, receipt) == ["unclear", "unclear"]
    house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    house.pipeline.settle_some()
    house.dispatch()
    (parcel,) = house.mail.parcels
    assert parcel.reference == claim.delivery.reference and len(unique_ids(opened(parcel)[1])) == 2


def test_told_to_stop_both_are_given_back(house: Instance) -> None:
    receipt = two(house)
    house.pipeline.dispatch_some("w1", ChannelName.SECURE_MAIL, goes_on=lambda: False)
    assert states(house, receipt) == ["queued", "queued"] and {d.attempts for d in deliveries(house, receipt)} == {0}


def test_replaced_and_cancelled_together_they_leave_together(house: Instance) -> None:
    two(house)
    house.dispatch()
    house.letter(build_oru(*pair(2), control_id="O2", **ORU_REPLACES))  # type: ignore[arg-type]
    house.dispatch()
    house.letter(build_oru(*pair(2), control_id="O3", **ORU_CANCELS))  # type: ignore[arg-type]
    house.dispatch()
    first, second, third = house.mail.parcels
    replaced, metadata, _ = opened(second)
    assert replaced["Subject"].startswith("[Annule et remplace] ") and replaced["In-Reply-To"] == first.reference
    assert metadata.xpath(".//r:Slot[@name='urn:action:extraMetadataSlot']//r:Value/text()", namespaces=NS) == ["C", "C"]
    assert opened(third)[1].xpath(".//r:Slot[@name='urn:action:extraMetadataSlot']//r:Value/text()", namespaces=NS) == ["D", "D"]
    assert house.conservation().holds


# ── apart ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_replacement_of_one_goes_alone_and_answers_the_mail_of_both(house: Instance) -> None:
    two(house)
    house.dispatch()
    newer = build_ldl_ses(document_id=SECOND.format(2), version=2, replaces=SECOND.format(1))
    house.letter(build_oru(newer, control_id="O2", **ORU_REPLACES))  # type: ignore[arg-type]
    house.dispatch()
    both, alone = house.mail.parcels
    message, metadata, _ = opened(alone)
    assert unique_ids(metadata) == [SECOND.format(2)] and message["In-Reply-To"] == both.reference
    assert alone.reference != both.reference


def test_what_was_replaced_before_it_left_leaves_the_other_alone(house: Instance) -> None:
    receipt = two(house)
    newer = build_ldl_ses(document_id=SECOND.format(2), version=2, replaces=SECOND.format(1))
    house.letter(build_oru(newer, control_id="O2", **ORU_REPLACES))  # type: ignore[arg-type]
    house.dispatch()
    assert sorted(unique_ids(opened(parcel)[1]) for parcel in house.mail.parcels) == [[FIRST.format(1)], [SECOND.format(2)]]
    assert sorted(states(house, receipt)) == ["accepted", "superseded"]


def test_a_document_whose_form_cannot_be_made_is_asked_about_and_the_other_leaves(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = two(house)
    forbid_rendition(monkeypatch, SECOND.format(1))
    house.dispatch()
    (parcel,) = house.mail.parcels
    assert unique_ids(opened(parcel)[1]) == [FIRST.format(1)]
    assert sorted(states(house, receipt)) == ["accepted", "parked"] and house.reasons() == ["rendition-impossible"]
    prove(house, S.DELIVERED)
    assert sorted(states(house, receipt)) == ["delivered", "parked"]


def test_what_stayed_behind_goes_later_alone_under_a_message_id_of_its_own(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = two(house)
    with monkeypatch.context() as patched:
        forbid_rendition(patched, SECOND.format(1))
        house.dispatch()
    house.resolve(Decision.RETRY.value)
    house.dispatch()
    first, second = house.mail.parcels
    assert first.reference != second.reference and unique_ids(opened(second)[1]) == [SECOND.format(1)]
    assert states(house, receipt) == ["accepted", "accepted"]


def test_a_mail_too_large_for_both_becomes_two(house: Instance) -> None:
    receipt = two(house)
    house.mail.script(refused("too-large"))
    house.dispatch()
    assert states(house, receipt) == ["queued", "queued"]
    house.dispatch()
    _together, *alone = house.mail.parcels
    assert [len(unique_ids(opened(parcel)[1])) for parcel in alone] == [1, 1]
    assert len({parcel.reference for parcel in house.mail.parcels}) == 3
    assert states(house, receipt) == ["accepted", "accepted"] and house.reasons() == []


def test_a_mail_above_our_own_limit_is_never_tried_whole(house: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = two(house)
    small = Capabilities(ChannelName.SECURE_MAIL, (), (), S.ACCEPTED, 10_000, resend_is_safe=True)
    monkeypatch.setattr(type(house.mail), "capabilities", property(lambda _self: small))
    house.dispatch()
    assert house.mail.parcels == [] and states(house, receipt) == ["queued", "queued"]
    house.dispatch()
    assert [len(unique_ids(opened(parcel)[1])) for parcel in house.mail.parcels] == [1, 1]


def test_one_person_s_word_sends_the_whole_mail_again(house: Instance) -> None:
    receipt = two(house)
    house.mail.script(unclear(), unclear())
    for _ in range(2):
        house.dispatch()
        house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
        house.pipeline.settle_some()
    assert house.reasons() == ["no-answer", "no-answer"]
    house.resolve(Decision.RETRY.value)
    assert house.reasons() == []
    house.dispatch()
    assert len({parcel.reference for parcel in house.mail.parcels}) == 1 and states(house, receipt) == ["accepted"] * 2
    assert house.conservation().holds


def test_one_that_a_person_stops_leaves_the_other_the_message_id_that_it_had(house: Instance) -> None:
    """Who has the first mail drops the second one by its Message-ID: the document that stays is not doubled."""
    receipt = two(house)
    house.mail.script(unclear(), unclear())
    for _ in range(2):
        house.dispatch()
        house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
        house.pipeline.settle_some()
    house.resolve(Decision.CANCEL.value)
    house.resolve(Decision.RETRY.value)
    house.dispatch()
    *_, last = house.mail.parcels
    assert len(unique_ids(opened(last)[1])) == 1 and last.reference == house.mail.parcels[0].reference
    assert sorted(states(house, receipt)) == ["accepted", "cancelled"]


def unclear_then_one_parked(house: Instance, monkeypatch: pytest.MonkeyPatch) -> str:
    """A mail of two that may have arrived; then one of them can no longer be made, and the other goes again."""
    receipt = two(house)
    house.mail.script(unclear())
    house.dispatch()
    house.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    house.pipeline.settle_some()
    with monkeypatch.context() as patched:
        forbid_rendition(patched, SECOND.format(1))
        house.dispatch()
    return receipt


def test_what_goes_again_without_one_that_waits_for_a_person_keeps_the_message_id_that_it_had(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has the first mail drops the second one: nothing is there twice."""
    receipt = unclear_then_one_parked(house, monkeypatch)
    first, again = house.mail.parcels
    assert unique_ids(opened(again)[1]) == [FIRST.format(1)] and again.reference == first.reference
    assert sorted(states(house, receipt)) == ["accepted", "parked"]


def test_what_stayed_behind_is_proved_by_no_mail_that_left_without_it(house: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it told delivered and the first mail lost, nobody would ever send it."""
    receipt = unclear_then_one_parked(house, monkeypatch)
    prove(house, S.DELIVERED)
    assert sorted(states(house, receipt)) == ["delivered", "parked"]


def test_what_stayed_behind_goes_by_a_person_s_word_under_a_name_that_no_receiver_knows(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the name of the mail that left without it, a receiver could drop the one document that it never had."""
    receipt = unclear_then_one_parked(house, monkeypatch)
    house.resolve(Decision.RETRY.value)
    house.dispatch()
    *before, last = house.mail.parcels
    assert unique_ids(opened(last)[1]) == [SECOND.format(1)] and last.reference not in {one.reference for one in before}
    assert states(house, receipt) == ["accepted", "accepted"] and house.conservation().holds


def test_a_fallback_by_another_channel_is_one_each(house: Instance) -> None:
    two(house, recipients=(DOCTOR, FAX_DOCTOR))
    house.dispatch()
    house.dispatch(ChannelName.FAX)
    assert (len(house.mail.parcels), len(house.fax.parcels)) == (1, 2)


def test_a_person_who_stops_one_between_claim_and_wire_stops_no_other(house: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = two(house)
    real: Callable[..., Parcel | None] = bundles.joined

    def stopped_meanwhile(claims: list, *rest: object) -> Parcel | None:  # type: ignore[type-arg]
        found = house.timeline(receipt).submissions
        one = next(t for t in found if any(d.id == claims[1].delivery.id for d in t.deliveries))
        stop(house, one.submission.id)
        return real(claims, *rest)

    monkeypatch.setattr("adapter.pipeline.verbs.joined", stopped_meanwhile)
    house.dispatch()
    assert house.mail.parcels == [] and sorted(states(house, receipt)) == ["cancelled", "queued"]
    house.dispatch()
    assert len(house.mail.parcels) == 1 and sorted(states(house, receipt)) == ["accepted", "cancelled"]


def forbid_rendition(monkeypatch: pytest.MonkeyPatch, document_id: str) -> None:
    """One document cannot be made a mail of."""
    import adapter.pipeline.verbs as verbs

    real = verbs.build_parcel

    def build(delivery: Delivery, *rest: object) -> Parcel:
        if delivery.document_id == document_id:
            raise RenditionError("xdm.required", "a required metadata is empty")
        return real(delivery, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(verbs, "build_parcel", build)


def stop(house: Instance, submission_id: str) -> None:
    from adapter.model.work_item import WorkAbout, WorkItem

    item = WorkItem(f"item-{submission_id[:8]}", APHP_EJ, WorkAbout.SUBMISSION, submission_id, "sent-again", "?", house.clock())
    house.ledger.open_work_item(item)
    house.ledger.resolve(item.id, Decision.CANCEL, "operator", legal_entity=APHP_EJ)
