"""Equipment day, on a real ledger with the reference territory: a doctor whose centre opens secure mail on 1 March 2027.

What partners received is read from the parcels themselves.
"""

from __future__ import annotations

import email
import email.policy
import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapter.model.delivery import DeliveryState
from adapter.model.plan import ChannelName
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.packaging.parcel import FaxContent, MailContent, Parcel
from adapter.routing.directory import Directory, load_directory
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ, SOON_EQUIPPED, territory_files
from tests.builders.hl7 import CANCELS, REPLACES, build_mdm, to_professional
from tests.builders.instance import Instance, deferred, refused, unclear
from tests.builders.night import shift, upgrade

FAX, MAIL = ChannelName.FAX, ChannelName.SECURE_MAIL
S = DeliveryState
ROOT = "1.2.250.1.213.1.1.9.77"
DOCTOR = to_professional(rpps=SOON_EQUIPPED)
THE_DAY_BEFORE = datetime(2027, 2, 28, 15, tzinfo=UTC)
THE_NIGHT = datetime(2027, 3, 1, 1, 30, tzinfo=UTC)


def letter(number: int, version: int = 1, **options: object) -> bytes:
    replaced = f"{ROOT}.{number}.{version - 1}" if version > 1 else ""
    document = build_ldl_ses(
        document_id=f"{ROOT}.{number}.{version}", set_id=f"{ROOT}.{number}", version=version, replaces=replaced
    )
    return build_mdm(document, control_id=f"L{number}V{version}{options.get('event', '')}", recipients=(DOCTOR,), **options)


def faxed(house: Instance, number: int) -> str:
    """A letter whose pages were confirmed; its receipt."""
    receipt = house.letter(letter(number))
    house.dispatch(FAX)
    house.prove(house.fax, S.DELIVERED)
    return receipt


def mail_of(parcel: Parcel) -> email.message.EmailMessage:
    assert isinstance(parcel.content, MailContent)
    found = email.message_from_bytes(parcel.content.message, policy=email.policy.default)
    assert isinstance(found, email.message.EmailMessage)
    return found


def words_of(parcel: Parcel) -> str:
    body = mail_of(parcel).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    made = Instance(tmp_path)
    made.clock.now = THE_DAY_BEFORE
    return made


# ── faxes that have not left ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_night_before_nothing_changes(house: Instance) -> None:
    receipt = house.letter(letter(1))
    report = upgrade(house, backfill_days=30).run(shift(house))
    assert house.states(receipt) == {"fax": "queued"}
    assert not any(report.counts.values())


def test_an_unsent_fax_gives_way_to_secure_mail_and_stays_behind_it(house: Instance) -> None:
    receipt = house.letter(letter(1))
    house.clock.now = THE_NIGHT
    report = upgrade(house).run(shift(house))
    assert report.counts["replanned"] == 1
    assert house.states(receipt) == {"mssante": "queued", "fax": "waiting"}
    house.dispatch(FAX)
    house.dispatch(MAIL)
    assert not house.fax.parcels and len(house.mail.parcels) == 1
    assert house.states(receipt)["mssante"] == "accepted"
    assert house.conservation().holds
    assert "(copie)" not in str(mail_of(house.mail.parcels[0])["Subject"])


def test_a_mailbox_that_refuses_on_the_first_day_leaves_the_fax(house: Instance) -> None:
    receipt = house.letter(letter(1))
    house.clock.now = THE_NIGHT
    upgrade(house).run(shift(house))
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch(MAIL)
    house.dispatch(FAX)
    assert house.states(receipt) == {"mssante": "refused", "fax": "accepted"}
    assert isinstance(house.fax.parcels[0].content, FaxContent)
    assert house.conservation().holds


def test_a_busy_line_s_fax_gives_way_too(house: Instance) -> None:
    house.fax.script(deferred("line-busy"))
    receipt = house.letter(letter(1))
    house.dispatch(FAX)
    assert house.states(receipt) == {"fax": "queued"}
    house.clock.now = THE_NIGHT
    assert upgrade(house).run(shift(house)).counts["replanned"] == 1
    assert house.states(receipt) == {"mssante": "queued", "fax": "waiting"}


def test_a_fax_that_is_handed_over_or_in_doubt_is_left_alone(house: Instance) -> None:
    on_its_way = house.letter(letter(1))
    house.dispatch(FAX)
    house.fax.script(unclear())
    in_doubt = house.letter(letter(2))
    house.dispatch(FAX)
    house.clock.now = THE_NIGHT
    assert not any(upgrade(house).run(shift(house)).counts.values())
    assert house.states(on_its_way) == {"fax": "accepted"}
    assert house.states(in_doubt) == {"fax": "unclear"}


def test_a_second_round_changes_nothing_more(house: Instance) -> None:
    receipt = house.letter(letter(1))
    house.clock.now = THE_NIGHT
    upgrade(house).run(shift(house))
    before = house.timeline(receipt).events
    assert not any(upgrade(house).run(shift(house)).counts.values())
    assert house.timeline(receipt).events == before


def test_a_dry_run_says_what_it_would_move_and_moves_nothing(house: Instance) -> None:
    receipt = house.letter(letter(1))
    house.clock.now = THE_NIGHT
    before = house.timeline(receipt)
    report = upgrade(house).run(shift(house, dry_run=True))
    assert report.counts["replanned"] == 1 and "mssante" in report.notes[0]
    assert house.timeline(receipt) == before


def test_a_document_whose_patient_is_in_question_is_nobody_s_to_send(house: Instance) -> None:
    waiting, sent = house.letter(letter(1)), faxed(house, 2)
    for receipt in (waiting, sent):
        submission = house.timeline(receipt).submissions[0].submission
        about = WorkAbout.SUBMISSION
        house.ledger.open_work_item(
            WorkItem(submission.id, APHP_EJ, about, submission.id, "identity-merged", "Qui est-ce ?", house.clock())
        )
    house.clock.now = THE_NIGHT
    assert not any(upgrade(house, backfill_days=30).run(shift(house)).counts.values())


def test_what_waited_for_a_channel_is_planned_again_the_day_it_opens(tmp_path: Path) -> None:
    house = Instance(tmp_path, directory=_without_fax())
    house.clock.now = THE_DAY_BEFORE
    receipt = house.letter(letter(1))
    assert house.states(receipt) == {} and house.reasons() == ["no-channel"]
    assert not any(upgrade(house).run(shift(house)).counts.values())
    house.clock.now = THE_NIGHT
    dry = upgrade(house).run(shift(house, dry_run=True))
    assert dry.counts["planned_again"] == 1 and house.reasons() == ["no-channel"]
    assert upgrade(house).run(shift(house)).counts["planned_again"] == 1
    assert upgrade(house).run(shift(house)).counts["planned_again"] == 0
    house.prepare()
    house.dispatch(MAIL)
    assert house.states(receipt) == {"mssante": "accepted"}
    assert house.reasons() == [] and house.conservation().holds


def _without_fax() -> Directory:
    """The territory, where the doctor's centre has no fax at all."""
    files = territory_files()
    name = next(name for name in files if name.endswith(".toml") and b"specimen-gentilly" in files[name])
    text = files[name].decode()
    for line in ('fax = "01 99 00 42 41"\n', 'fax = "01 99 00 42 01"\n'):
        assert line in text
        text = text.replace(line, "")
    return load_directory(files | {name: text.encode()})


# ── copies ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ten_letters_by_fax_the_next_by_mail_and_the_ten_again_as_copies(house: Instance) -> None:
    receipts = [faxed(house, number) for number in range(10)]
    assert len(house.fax.parcels) == 10 and not house.mail.parcels
    house.clock.now = THE_NIGHT
    report = upgrade(house, backfill_days=30).run(shift(house))
    assert report.counts == {"replanned": 0, "planned_again": 0, "copies": 10}
    later = house.letter(letter(99))
    for _ in range(4):
        house.dispatch(MAIL)
    assert len(house.fax.parcels) == 10, "nothing more by fax"
    copies = [one for one in house.mail.parcels if str(mail_of(one)["Subject"]).endswith(" (copie)")]
    assert len(house.mail.parcels) == 11 and len(copies) == 10
    assert all("déjà été transmis par télécopie le 28/02/2027" in words_of(copy) for copy in copies)
    assert all(str(mail_of(copy)["Subject"]).startswith("XDM/1.0/DDM+") for copy in copies)
    assert house.states(later)["mssante"] == "accepted"
    story = [(event.kind, event.detail) for event in house.timeline(receipts[0]).events]
    assert ("copied", "fax → mssante, equipped since 2027-03-01") in story
    assert house.states(receipts[0]) == {"fax": "delivered", "mssante": "accepted"}
    assert house.conservation().holds


def test_a_copy_is_made_once_whatever_the_nights(house: Instance) -> None:
    faxed(house, 1)
    house.clock.now = THE_NIGHT
    assert upgrade(house, backfill_days=30).run(shift(house)).counts["copies"] == 1
    assert upgrade(house, backfill_days=30).run(shift(house)).counts["copies"] == 0
    house.dispatch(MAIL)
    house.clock.now += timedelta(days=1)
    assert upgrade(house, backfill_days=30).run(shift(house)).counts["copies"] == 0
    assert len(house.mail.parcels) == 1


def test_a_fax_of_after_the_opening_is_the_fallback_and_no_copy_is_made(house: Instance) -> None:
    house.clock.now = THE_NIGHT + timedelta(days=3)
    house.mail.script(refused("mailbox-unknown"))
    receipt = house.letter(letter(1))
    house.dispatch(MAIL)
    house.dispatch(FAX)
    house.prove(house.fax, S.DELIVERED)
    assert house.states(receipt) == {"mssante": "refused", "fax": "delivered"}
    assert upgrade(house, backfill_days=30).run(shift(house)).counts["copies"] == 0


def test_faxes_older_than_the_days_wanted_are_history(house: Instance) -> None:
    house.clock.now = THE_DAY_BEFORE - timedelta(days=10)
    faxed(house, 1)
    house.clock.now = THE_NIGHT
    assert upgrade(house, backfill_days=5).run(shift(house)).counts["copies"] == 0
    assert upgrade(house, backfill_days=12).run(shift(house)).counts["copies"] == 1


def test_only_the_newest_version_is_copied(house: Instance) -> None:
    faxed(house, 1)
    house.letter(letter(1, 2, **REPLACES))
    house.dispatch(FAX)
    house.prove(house.fax, S.DELIVERED)
    house.clock.now = THE_NIGHT
    assert upgrade(house, backfill_days=30).run(shift(house)).counts["copies"] == 1
    house.dispatch(MAIL)
    assert b"77.1.2" in _archive(house.mail.parcels[0])


def test_what_its_author_cancelled_is_not_copied(house: Instance) -> None:
    faxed(house, 1)
    house.letter(letter(1, **CANCELS))
    house.dispatch(FAX)
    house.clock.now = THE_NIGHT
    assert upgrade(house, backfill_days=30).run(shift(house)).counts["copies"] == 0


def test_the_page_that_cancels_a_fax_stays_a_page(house: Instance) -> None:
    faxed(house, 1)
    cancelled = house.letter(letter(1, **CANCELS))
    house.clock.now = THE_NIGHT
    assert not any(upgrade(house, backfill_days=30).run(shift(house)).counts.values())
    assert house.states(cancelled) == {"fax": "queued"}


def test_a_refused_copy_is_a_question_and_the_fax_stays_proved(house: Instance) -> None:
    receipt = faxed(house, 1)
    house.clock.now = THE_NIGHT
    upgrade(house, backfill_days=30).run(shift(house))
    house.mail.script(refused("mailbox-unknown"))
    house.dispatch(MAIL)
    assert house.states(receipt) == {"fax": "delivered", "mssante": "refused"}
    assert house.reasons() == ["mailbox-unknown"]
    assert house.conservation().holds


def _archive(parcel: Parcel) -> bytes:
    found = next(part for part in mail_of(parcel).iter_attachments() if part.get_content_type() == "application/zip")
    content = found.get_payload(decode=True)
    assert isinstance(content, bytes)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".XML"))
