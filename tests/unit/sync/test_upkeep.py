"""Figures, retention and backup as the night does them, on a real SQLite ledger."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from adapter.errors import LedgerError
from adapter.ledger.backup import backups_in, prove_backup
from adapter.ledger.importers import ImporterFigures, Waiting
from adapter.ledger.records import PayloadKind
from adapter.ledger.statistics import FigureKey, delay_percentile
from adapter.ledger.vault import Vault
from adapter.model.delivery import DeliveryState
from adapter.model.plan import ChannelName
from adapter.sync.upkeep import BackUp, KeepFigures, LetGo, ListSilent, RetentionDays
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import DOCTOR, FAX_DOCTOR, build_mdm
from tests.builders.instance import Instance
from tests.builders.ledger import KEY
from tests.builders.night import PARIS, shift

FAX, MAIL = ChannelName.FAX, ChannelName.SECURE_MAIL
S = DeliveryState
ENTITIES = (APHP_EJ,)
YEARS = RetentionDays(content=366, refused=31, events=366, fax_images=366)


def letter(number: int, recipient: object = DOCTOR) -> bytes:
    document = build_ldl_ses(document_id=f"1.2.250.1.213.9.{number}.1", set_id=f"1.2.250.1.213.9.{number}")
    return build_mdm(document, control_id=f"U{number}", recipients=(recipient,))  # type: ignore[arg-type]


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def served(house: Instance, number: int) -> str:
    """A letter by mail, proved read by its software."""
    receipt = house.letter(letter(number))
    house.dispatch(MAIL)
    house.prove(house.mail, S.INTEGRATED)
    return receipt


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def figures(house: Instance, days: int = 35) -> KeepFigures:
    return KeepFigures(house.ledger.night, ENTITIES, days, lambda role: role.partition(":")[0])


def test_days_are_kept_up_to_yesterday_and_proofs_that_come_late_are_counted(house: Instance) -> None:
    house.letter(letter(1))
    house.dispatch(MAIL)
    came = house.clock.now.astimezone(PARIS).date()
    assert figures(house).run(shift(house)).counts == {"days": 0}, "today is not over"
    house.clock.advance(days=1)
    assert figures(house).run(shift(house)).counts == {"days": 1}
    key = FigureKey("role", "mssante", "11490-0")
    assert dict(house.ledger.night.kept_figures(came, came, legal_entity=APHP_EJ))[came.isoformat()][key].counts["accepted"] == 1
    house.prove(house.mail, S.DELIVERED)
    house.clock.advance(days=1)
    figures(house).run(shift(house))
    kept = dict(house.ledger.night.kept_figures(came, came, legal_entity=APHP_EJ))[came.isoformat()]
    assert (kept[key].counts["delivered"], kept[key].counts["accepted"]) == (1, 0)
    assert kept[FigureKey("", "", "11490-0")].counts["documents"] == 1


def test_nights_that_did_not_run_are_made_up_for_and_old_days_are_left(house: Instance) -> None:
    house.letter(letter(1))
    house.clock.advance(days=50)
    assert figures(house).run(shift(house)).counts == {"days": 50}, "never kept: all of them"
    house.clock.advance(days=3)
    assert figures(house, days=2).run(shift(house)).counts == {"days": 3}, "three nights missed, more than the days counted again"
    assert figures(house, days=2).run(shift(house)).counts == {"days": 2}
    yesterday = house.clock.now.astimezone(PARIS).date() - timedelta(days=1)
    assert house.ledger.night.figures_until(legal_entity=APHP_EJ) == yesterday


def test_a_dry_run_keeps_no_figure(house: Instance) -> None:
    house.letter(letter(1))
    house.clock.advance(days=1)
    assert figures(house).run(shift(house, dry_run=True)).counts == {"days": 1}
    assert house.ledger.night.figures_until(legal_entity=APHP_EJ) is None


def test_a_delay_is_from_the_receipt_to_the_first_proof(house: Instance) -> None:
    house.letter(letter(1))
    house.clock.advance(minutes=10)
    house.dispatch(MAIL)
    house.clock.advance(days=1)
    today = house.clock.now.astimezone(PARIS).date()
    counted = house.ledger.night.count_day(today - timedelta(days=1), PARIS, lambda role: role, legal_entity=APHP_EJ)
    delays = next(one.delays for key, one in counted.items() if key.channel == "mssante")
    assert sum(delays) == 1 and delay_percentile(delays, 0.5) == 900


def test_the_long_day_of_october_counts_its_first_and_its_25th_hour(house: Instance) -> None:
    house.clock.now = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)
    house.letter(letter(1))
    house.clock.now = datetime(2026, 10, 25, 22, 30, tzinfo=UTC)
    house.letter(letter(2))
    house.clock.now = datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    figures(house).run(shift(house))
    day = date(2026, 10, 25)
    kept = dict(house.ledger.night.kept_figures(day, day, legal_entity=APHP_EJ))[day.isoformat()]
    assert kept[FigureKey("", "", "11490-0")].counts["documents"] == 2


# ── silent importers ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_practices_that_let_documents_lie_are_named_and_the_others_are_not(house: Instance) -> None:
    late = Waiting(False, under_one_day=1, under_three_days=2, older=0, overdue=2, oldest=house.clock())
    found = [ImporterFigures("ivry", (late,)), ImporterFigures("gentilly"), ImporterFigures("malakoff", gone=1)]
    report = ListSilent(lambda _entity, _since: found, ENTITIES).run(shift(house))
    assert report.counts == {"silent": 2}
    assert [("ivry" in one, "malakoff" in one) for one in report.to_do] == [(True, False), (False, True)]
    assert "2 document(s)" in report.to_do[0]


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────


def let_go(house: Instance, kept: RetentionDays = YEARS) -> LetGo:
    return LetGo(house.ledger.night, ENTITIES, kept)


def test_content_goes_when_its_time_is_over_and_state_and_audit_stay(house: Instance) -> None:
    receipt = served(house, 1)
    house.clock.advance(days=365)
    assert let_go(house).run(shift(house)).counts["receipts"] == 0
    house.clock.advance(days=3)
    assert let_go(house).run(shift(house, dry_run=True)).counts == {"receipts": 1, "events": 0, "fax_images": 0}
    assert let_go(house).run(shift(house)).counts["receipts"] == 1
    timeline = house.timeline(receipt)
    assert timeline.submissions[0].deliveries[0].state is S.INTEGRATED
    assert timeline.submissions[0].submission.document.patient.birth_name == ""
    assert "content-purged" in [event.kind for event in timeline.events]
    assert house.conservation().holds
    assert let_go(house).run(shift(house)).counts["receipts"] == 0
    with pytest.raises(LedgerError):
        house.ledger.read_payload(PayloadKind.CONTENT, receipt, legal_entity=APHP_EJ)


def test_what_is_open_parked_or_asked_about_keeps_its_content(house: Instance) -> None:
    waiting = house.letter(letter(1, FAX_DOCTOR))
    house.clock.advance(days=4000)
    assert let_go(house).run(shift(house)).counts["receipts"] == 0
    assert house.states(waiting)["fax"] == "queued"
    house.dispatch(FAX)
    assert house.states(waiting)["fax"] == "accepted"
    assert let_go(house).run(shift(house)).counts["receipts"] == 1


def test_a_refused_message_goes_sooner_than_what_was_taken(house: Instance) -> None:
    served(house, 1)
    refused = house.accept(build_mdm(build_ldl_ses(), control_id="BAD", event="T99"))
    house.clock.advance(days=40)
    assert let_go(house).run(shift(house)).counts["receipts"] == 1
    with pytest.raises(LedgerError):
        house.ledger.read_payload(PayloadKind.CONTENT, refused.receipt_id, legal_entity=APHP_EJ)


def test_the_same_message_after_the_purge_is_taken_as_a_new_one(house: Instance) -> None:
    served(house, 1)
    house.clock.advance(days=400)
    let_go(house).run(shift(house))
    again = house.accept(letter(1))
    house.prepare()
    assert again.verdict.value == "accepted"
    assert house.conservation().holds


def test_the_log_of_what_is_over_goes_after_its_content(house: Instance) -> None:
    receipt = served(house, 1)
    house.clock.advance(days=400)
    counts = let_go(house).run(shift(house)).counts
    assert counts["receipts"] == 1 and counts["events"] > 3
    assert [event.kind for event in house.timeline(receipt).events] == ["content-purged"]
    assert house.conservation().holds


# ── backup ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def back_up(house: Instance, folder: Path, generations: int = 3) -> BackUp:
    return BackUp(house.ledger.night, folder, generations)


def test_a_backup_is_a_proved_copy_that_opens_with_the_same_key(house: Instance, tmp_path: Path) -> None:
    receipt = served(house, 1)
    report = back_up(house, tmp_path / "copies").run(shift(house))
    (copy,) = backups_in(tmp_path / "copies")
    assert report.counts["copies"] == 1 and not report.to_do
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert prove_backup(copy, Vault([KEY]))["receipt"] == 1
    with closing(sqlite3.connect(copy)) as restored:
        assert restored.execute("SELECT id FROM receipt").fetchall() == [(receipt,)]
    assert list((tmp_path / "copies").iterdir()) == [copy], "nothing is left beside"


def test_only_the_last_generations_are_kept(house: Instance, tmp_path: Path) -> None:
    for _ in range(5):
        back_up(house, tmp_path / "copies").run(shift(house))
        house.clock.advance(days=1)
    assert [path.name[7:15] for path in backups_in(tmp_path / "copies")] == ["20261123", "20261124", "20261125"]


def test_the_copy_just_made_stays_when_the_clock_went_back(house: Instance, tmp_path: Path) -> None:
    """Copies named by a clock that ran ahead were made before it, whatever their names say."""
    house.clock.advance(days=100)
    for _ in range(3):
        back_up(house, tmp_path / "copies").run(shift(house))
        house.clock.advance(days=1)
    house.clock.advance(days=-103)
    back_up(house, tmp_path / "copies").run(shift(house))
    assert [path.name[7:15] for path in backups_in(tmp_path / "copies")] == ["20261121", "20270302", "20270303"]


def test_another_s_key_or_a_damaged_copy_is_told(house: Instance, tmp_path: Path) -> None:
    served(house, 1)
    back_up(house, tmp_path / "copies").run(shift(house))
    (copy,) = backups_in(tmp_path / "copies")
    with pytest.raises(LedgerError, match="other-key"):
        prove_backup(copy, Vault([bytes(32)]))
    content = bytearray(copy.read_bytes())
    content[4096 * 3 : 4096 * 5] = bytes(4096 * 2)
    copy.write_bytes(content)
    with pytest.raises((LedgerError, sqlite3.DatabaseError)):
        prove_backup(copy, Vault([KEY]))


def test_a_backup_that_cannot_be_made_is_a_person_s_and_leaves_nothing_half_done(house: Instance, tmp_path: Path) -> None:
    served(house, 1)
    folder = tmp_path / "copies"
    folder.write_text("no folder", encoding="utf-8")
    report = back_up(house, folder).run(shift(house))
    assert report.failed and "sauvegarde" in report.to_do[0]


def test_the_copy_is_of_one_moment_while_others_write(house: Instance, tmp_path: Path) -> None:
    """A writer commits between the pages: the copy has the rows of its beginning, and is proved by them."""
    served(house, 1)
    job, written = back_up(house, tmp_path / "copies"), []

    class Writes:
        def expect(self, total: int) -> None:
            """Nothing."""

        def step(self, count: int = 1) -> None:
            if not written:
                written.append(house.accept(letter(2)).receipt_id)

    report = job.run(replace(shift(house), pace=Writes()))
    (copy,) = backups_in(tmp_path / "copies")
    assert report.counts["copies"] == 1 and written
    assert prove_backup(copy, Vault([KEY]))["receipt"] == 1


def test_a_dry_run_copies_nothing(house: Instance, tmp_path: Path) -> None:
    assert back_up(house, tmp_path / "copies").run(shift(house, dry_run=True)).counts == {"copies": 1}
    assert not (tmp_path / "copies").exists()
