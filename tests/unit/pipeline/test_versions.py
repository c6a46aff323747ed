"""Versions of a document on a real ledger: whatever the older one's state, each recipient gets the right thing once.

What partners received is read from the parcels themselves (seam 6).
"""

from __future__ import annotations

import email
import email.policy
import io
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from adapter.model.delivery import DeliveryState
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import FaxContent, MailContent, Parcel
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import (
    CANCELS,
    DOCTOR,
    FAX_DOCTOR,
    ORU_CANCELS,
    ORU_REPLACES,
    REPLACES,
    Recipient,
    build_mdm,
    build_oru,
    to_application,
)
from tests.builders.instance import UNCLEAR_WAIT, Instance, refused, unclear

ROOT = "1.2.250.1.213.1.1.9.501"
FAX, RECORD = ChannelName.FAX, ChannelName.SHARED_RECORD
OTHER_BOX = to_application("1.2.250.1.999.9", "accueil@cms-ivry.formation.mssante.fr")
S = DeliveryState


def _cda(version: int) -> bytes:
    replaces = f"{ROOT}.{version - 1}" if version > 1 else ""
    return build_ldl_ses(document_id=f"{ROOT}.{version}", version=version, replaces=replaces)


def _new(version: int = 1, recipients: tuple[Recipient, ...] = (DOCTOR,), **flags: str) -> bytes:
    return build_mdm(_cda(version), control_id=f"NEW{version}", recipients=recipients, flags=flags)


def _replacing(version: int = 2, recipients: tuple[Recipient, ...] = (DOCTOR,), **flags: str) -> bytes:
    return build_mdm(_cda(version), control_id=f"RPL{version}", recipients=recipients, flags=flags, **REPLACES)


def _cancelling(version: int = 1, recipients: tuple[Recipient, ...] = (DOCTOR,), **flags: str) -> bytes:
    return build_mdm(_cda(version), control_id=f"DEL{version}", recipients=recipients, flags=flags, **CANCELS)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def _mail(parcel: Parcel) -> EmailMessage:
    assert isinstance(parcel.content, MailContent)
    message = email.message_from_bytes(parcel.content.message, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _action(parcel: Parcel) -> str:
    """The `action` of METADATA.XML; empty for a new document."""
    archive = zipfile.ZipFile(io.BytesIO(next(_mail(parcel).iter_attachments()).get_content()))
    metadata = archive.read("IHE_XDM/SUBSET01/METADATA.XML").decode()
    _, found, after = metadata.partition('name="urn:action:extraMetadataSlot"')
    return after.partition("<Value>")[2][:1] if found else ""


def _body(parcel: Parcel) -> str:
    part = _mail(parcel).get_body(("plain",))
    assert part is not None
    return str(part.get_content())


# ── the older version's state ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_replacement_of_a_version_that_waits_stops_it_and_leaves_alone(instance: Instance) -> None:
    first, second = instance.letter(_new()), instance.letter(_replacing())
    assert instance.states(first) == {"mssante": "superseded", "fax": "superseded"}
    instance.dispatch()
    assert [_action(p) for p in instance.mail.parcels] == ["C"]
    assert instance.states(second)["mssante"] == "accepted"
    assert _mail(instance.mail.parcels[0])["In-Reply-To"] is None


def test_a_replacement_of_a_version_sent_says_of_which_day_and_continues_its_thread(instance: Instance) -> None:
    instance.letter(_new())
    instance.dispatch()
    instance.letter(_replacing())
    instance.dispatch()
    first, second = (_mail(parcel) for parcel in instance.mail.parcels)
    assert second["Subject"] == f"[Annule et remplace] {first['Subject']}"
    assert (second["In-Reply-To"], second["References"]) == (first["Message-ID"], first["Message-ID"])
    assert second["To"] == first["To"]
    assert "annule et remplace celui transmis le 21/11/2026" in _body(instance.mail.parcels[1])
    assert _action(instance.mail.parcels[1]) == "C"


def test_a_third_version_refers_to_the_whole_thread(instance: Instance) -> None:
    for message in (_new(), _replacing(2), _replacing(3)):
        instance.letter(message)
        instance.dispatch()
    one, two, three = (_mail(parcel) for parcel in instance.mail.parcels)
    assert three["References"].split() == [one["Message-ID"], two["Message-ID"]]
    assert three["In-Reply-To"] == two["Message-ID"]


def test_a_version_arriving_while_the_older_is_unclear_leaves_as_its_replacement_and_the_older_goes_no_more(
    instance: Instance,
) -> None:
    first = instance.letter(_new())
    instance.mail.script(unclear())
    instance.dispatch()
    assert instance.states(first)["mssante"] == "unclear"
    instance.letter(_replacing())
    instance.dispatch()
    assert [_action(p) for p in instance.mail.parcels] == ["", "C"]
    assert "celui transmis le 21/11/2026" in _body(instance.mail.parcels[1])
    instance.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    instance.pipeline.settle_some()
    instance.dispatch()
    assert len(instance.mail.parcels) == 2
    assert instance.states(first)["mssante"] == "superseded"


def test_a_resend_of_a_replacement_is_byte_identical(instance: Instance) -> None:
    instance.letter(_new())
    instance.dispatch()
    instance.letter(_replacing())
    instance.mail.script(unclear())
    instance.dispatch()
    instance.clock.advance(seconds=UNCLEAR_WAIT.total_seconds() + 1)
    instance.pipeline.settle_some()
    instance.dispatch()
    assert len(instance.mail.parcels) == 3
    assert instance.mail.parcels[1].content == instance.mail.parcels[2].content


def test_a_replacement_of_a_version_that_every_channel_refused_is_sent(instance: Instance) -> None:
    first = instance.letter(_new())
    instance.mail.script(refused("content-refused"))
    instance.fax.script(refused("content-refused"))
    instance.dispatch()
    instance.dispatch(FAX)
    assert set(instance.states(first).values()) == {"refused"}
    second = instance.letter(_replacing())
    instance.dispatch()
    assert instance.states(second)["mssante"] == "accepted"
    assert "la version précédente" in _body(instance.mail.parcels[-1])


def test_a_cancellation_of_what_was_never_sent_stops_it_and_sends_nothing(instance: Instance) -> None:
    first, cancelled = instance.letter(_new()), instance.letter(_cancelling())
    assert instance.dispatch() == instance.dispatch(FAX) == 0
    assert set(instance.states(first).values()) == {"superseded"}
    assert set(instance.states(cancelled).values()) == {"cancelled"}
    assert instance.reasons() == []
    assert instance.conservation().holds


def test_a_cancellation_of_what_was_sent_follows_it(instance: Instance) -> None:
    instance.letter(_new())
    instance.dispatch()
    instance.letter(_cancelling())
    instance.dispatch()
    first, second = (_mail(parcel) for parcel in instance.mail.parcels)
    assert second["Subject"] == f"[Annulation] {first['Subject']}"
    assert second["In-Reply-To"] == first["Message-ID"]
    assert _action(instance.mail.parcels[1]) == "D"
    body = _body(instance.mail.parcels[1])
    assert "Le document transmis le 21/11/2026 est annulé" in body
    assert "Vous trouverez ci-joint un document" not in body


def test_the_sender_s_own_words_stand_after_what_is_cancelled(instance: Instance) -> None:
    instance.letter(_new())
    instance.dispatch()
    instance.letter(build_mdm(_cda(1), control_id="D", bodies={"CORPSMAIL_PS": "Erreur de patient."}, **CANCELS))
    instance.dispatch()
    body = _body(instance.mail.parcels[1])
    assert body.index("annulé") < body.index("Erreur de patient.")


def test_an_older_version_that_arrives_late_is_never_sent(instance: Instance) -> None:
    newer, late = instance.letter(_replacing()), instance.letter(_new())
    instance.dispatch()
    assert [_action(p) for p in instance.mail.parcels] == ["C"]
    assert instance.states(newer)["mssante"] == "accepted"
    assert set(instance.states(late).values()) == {"superseded"}


def test_a_version_that_arrives_after_its_cancellation_is_never_sent(instance: Instance) -> None:
    instance.letter(_cancelling())
    instance.dispatch()
    late = instance.letter(_new())
    instance.dispatch()
    assert [_action(p) for p in instance.mail.parcels] == ["D"]
    assert set(instance.states(late).values()) == {"superseded"}


@pytest.mark.parametrize("message", [_replacing(), _cancelling(2)])
def test_what_follows_an_unknown_original_is_sent_and_flagged(instance: Instance, message: bytes) -> None:
    receipt = instance.letter(message)
    instance.dispatch()
    assert len(instance.mail.parcels) == 1
    assert "replaces-unknown" in [event.kind for event in instance.timeline(receipt).events]


# ── other channels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_replacement_by_fax_names_what_it_replaces_on_its_cover(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    covers = []
    monkeypatch.setattr("adapter.packaging.build.build_fax", lambda _, cover, *__: covers.append(cover) or FaxContent(b"tiff", 2))
    first = instance.letter(_new(recipients=(FAX_DOCTOR,)))
    instance.dispatch(FAX)
    instance.prove(instance.fax, S.DELIVERED)
    instance.letter(_replacing(recipients=(FAX_DOCTOR,)))
    instance.dispatch(FAX)
    sent = instance.timeline(first).submissions[0].deliveries[-1]
    assert covers[0].follow_up == ""
    assert covers[1].follow_up.startswith(
        f"Ce document annule et remplace celui télécopié le 21/11/2026 (référence {sent.id[:8]})."
    )
    assert "détruire" in covers[1].follow_up


def test_a_cancellation_by_fax_is_one_page_without_the_document(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = []
    monkeypatch.setattr(
        "adapter.packaging.build.build_cancellation", lambda _, what, *__: cancelled.append(what) or FaxContent(b"tiff", 1)
    )
    first = instance.letter(_new(recipients=(FAX_DOCTOR,)))
    instance.dispatch(FAX)
    instance.prove(instance.fax, S.DELIVERED)
    monkeypatch.setattr("adapter.packaging.build.build_fax", lambda *_: pytest.fail("the document went again"))
    instance.letter(_cancelling(2, recipients=(FAX_DOCTOR,)))
    instance.dispatch(FAX)
    sent = instance.timeline(first).submissions[0].deliveries[-1]
    (what,) = cancelled
    assert (what.reference, what.faxed_on, what.kind) == (sent.id[:8], "21/11/2026", "Compte rendu")
    assert what.document_id and what.document_date


def test_a_record_is_told_what_is_replaced_and_a_person_deletes_there_what_is_cancelled(instance: Instance) -> None:
    to_record = {"DESTMSSANTEPS": "N", "DESTDMP": "Y"}
    instance.letter(_new(recipients=(), **to_record))
    instance.dispatch(RECORD)
    instance.letter(_replacing(recipients=(), **to_record))
    instance.dispatch(RECORD)
    content = instance.record.parcels[1].content
    assert b'"code":"replaces"' in content.transaction  # type: ignore[union-attr]
    cancelled = instance.letter(_cancelling(2, recipients=(), **to_record))
    instance.dispatch(RECORD)
    assert len(instance.record.parcels) == 2
    assert instance.reasons() == ["record-cancel"]
    assert instance.states(cancelled) == {"shared_record": "parked"}


# ── recipients ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("follow", [_replacing(), _cancelling(1)])
def test_somebody_who_got_the_older_version_and_is_named_no_more_is_a_person_s_question(
    instance: Instance, follow: bytes
) -> None:
    instance.letter(_new(recipients=(DOCTOR, OTHER_BOX)))
    instance.dispatch()
    instance.letter(follow)
    assert instance.reasons() == ["older-version-elsewhere"]
    assert "accueil@cms-ivry.formation.mssante.fr" in instance.items()[0].advice


def test_somebody_new_is_sent_the_replacement_and_the_others_too(instance: Instance) -> None:
    instance.letter(_new())
    instance.dispatch()
    instance.letter(_replacing(recipients=(DOCTOR, OTHER_BOX)))
    instance.dispatch()
    assert len(instance.mail.parcels) == 3
    assert instance.reasons() == []


# ── two documents of one message ────────────────────────────────────────────────────────────────────────────────────────────


def _pair(version: int) -> tuple[bytes, bytes]:
    replaces = "1.2.250.1.213.1.1.9.500.1" if version > 1 else ""
    return build_n1(document_id=f"1.2.250.1.213.1.1.9.500.{version}", version=version, replaces=replaces), _cda(version)


def test_a_pair_is_replaced_and_deleted_together(instance: Instance) -> None:
    for control_id, version, options in (("O1", 1, {}), ("O2", 2, ORU_REPLACES), ("O3", 2, ORU_CANCELS)):
        instance.letter(build_oru(*_pair(version), control_id=control_id, **options))
        instance.dispatch()
    # Each time one mail for both; `test_bundles` opens them.
    assert [_action(p) for p in instance.mail.parcels] == ["", "C", "D"]
    assert instance.conservation().holds
