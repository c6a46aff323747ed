"""`tdu sync` and `tdu report` as an operator runs them: what they print, what they exit with, what they refuse."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapter.assembly import assemble
from adapter.cli.options import read_config
from adapter.ledger.backup import backups_in
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall
from adapter.model.plan import ChannelName
from adapter.opening import now, open_ledger
from adapter.service.night_round import JOBS
from tests.builders.night import PARIS
from tests.unit.cli.conftest import Terminal


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """The command sets logs up for its process; here it is everybody's."""
    before, hooks, handlers = structlog.get_config(), (sys.excepthook, threading.excepthook), logging.getLogger().handlers[:]
    yield
    structlog.configure(**before)
    sys.excepthook, threading.excepthook = hooks
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)


@pytest.fixture
def ready(instance: Path, tdu: Terminal, letter: Path) -> Path:
    """An instance that took a letter and has a fax spool."""
    (instance / "data" / "fax").mkdir(parents=True, exist_ok=True)
    assert tdu("submit", letter).exit_code == 0
    return instance


def test_a_round_of_a_quiet_house_exits_0_and_says_that_nothing_is_to_do(ready: Path, tdu: Terminal) -> None:
    result = tdu("sync")
    assert result.exit_code == 0, result.output
    assert "Rien à faire." in result.stdout and "backup: 1 copies" in result.stdout
    assert len(backups_in(ready / "backups")) == 1
    assert "night.job-done" in result.stderr, "structured lines where there is no terminal"


def test_the_account_is_json_for_programs(ready: Path, told: Callable[..., Any]) -> None:
    account = told("sync")
    assert list(account["jobs"]) == [name for name in JOBS if name not in ("directory", "importers")]
    assert not account["needs_person"] and not account["resumed"]


def test_a_dry_run_writes_nothing_at_all(ready: Path, tdu: Terminal) -> None:
    before = {path: path.read_bytes() for path in (ready / "data").rglob("*") if path.is_file() and path.suffix == ".sqlite"}
    result = tdu("sync", "--dry-run")
    assert result.exit_code == 0 and "dry run: nothing was written" in result.stdout
    assert {path: path.read_bytes() for path in before} == before
    assert not (ready / "backups").exists()


def test_one_job_is_run_alone(ready: Path, told: Callable[..., Any]) -> None:
    assert list(told("sync", "--job", "figures")["jobs"]) == ["figures"]
    assert not (ready / "backups").exists()


def test_a_job_that_does_not_exist_or_is_not_configured_is_wrong_usage(ready: Path, tdu: Terminal) -> None:
    assert tdu("sync", "--job", "dishes").exit_code == 2
    missing = tdu("sync", "--job", "directory")
    assert missing.exit_code == 2 and "nightly-round.md" in missing.stderr


def test_a_round_while_another_runs_exits_75_and_touches_nothing(ready: Path, tdu: Terminal) -> None:
    ledger = open_ledger(read_config(ready / "tdu.toml"))
    with ledger.night.hold_alone() as ours:
        assert ours
        result = tdu("sync")
    ledger.close()
    assert result.exit_code == 75 and "night.another-round" in result.stderr
    assert not (ready / "backups").exists()
    assert tdu("sync").exit_code == 0, "the lock died with its holder"


def test_what_a_person_must_do_is_told_in_french_and_exits_1(ready: Path, tdu: Terminal) -> None:
    (ready / "data" / "fax" / "who.json").write_text(json.dumps({"reference": "who"}), encoding="utf-8")
    result = tdu("sync")
    assert result.exit_code == 1
    assert "À faire :" in result.stdout and "1 envoi(s) inconnu(s) dans la file de télécopie" in result.stdout
    assert [item for item in json.loads(tdu("queue", "--json").stdout) if item["reason"] == "fax-unknown"]
    (ready / "data" / "fax" / "who.json").unlink()
    assert tdu("sync").exit_code == 0
    assert not [item for item in json.loads(tdu("queue", "--json").stdout) if item["reason"] == "fax-unknown"]


def test_a_failing_backup_fails_its_job_only(ready: Path, tdu: Terminal) -> None:
    (ready / "backups").write_text("a file", encoding="utf-8")
    result = tdu("sync")
    assert result.exit_code == 1 and "FAILED" in result.stdout and "sauvegarde du registre" in result.stdout
    assert "figures" in result.stdout


# ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def prepared(ready: Path) -> Path:
    """The letter is planned."""
    house = assemble(read_config(ready / "tdu.toml"))
    house.pipeline.prepare_some("test")
    house.ledger.close()
    return ready


def test_today_s_figures_are_counted_when_asked(prepared: Path, told: Callable[..., Any]) -> None:
    today = now().astimezone(PARIS).date().isoformat()
    found = told("report", "--from", today)
    assert found["summary"]["documents"] == 1
    assert {(row["partner"], row["channel"], row["open"]) for row in found["rows"] if row["channel"]} == {
        ("villejuif", "mssante", 1),
        ("villejuif", "fax", 1),
    }


def test_the_figures_are_a_table_for_people_and_rows_for_a_spreadsheet(prepared: Path, tdu: Terminal) -> None:
    today = now().astimezone(PARIS).date()
    said = tdu("report", "--from", (today - timedelta(days=3)).isoformat(), "--to", today.isoformat())
    assert said.exit_code == 0 and "1 document(s) reçu(s)" in said.stdout
    rows = list(csv.DictReader(io.StringIO(tdu("report", "--from", today.isoformat(), "--csv").stdout), delimiter=";"))
    assert sum(int(row["documents"]) for row in rows) == 1
    assert not any("ARCHETYPE" in str(row) for row in rows), "a partner is a structure, never a person"


def test_what_faxing_costs_is_told_by_partner_at_the_operators_prices(
    prepared: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    settings = prepared / "tdu.toml"
    spool = 'spool_directory = "data/fax"'
    written = settings.read_text(encoding="utf-8")
    assert spool in written
    settings.write_text(written.replace(spool, f"{spool}\ncost_per_minute = 0.1\ncost_per_page = 0.02"), encoding="utf-8")
    ledger = open_ledger(read_config(settings))
    entity = read_config(settings).legal_entities[0].finess_ej
    (receipt,) = ledger.kept_receipts([], 1, legal_entity=entity)
    timeline = ledger.timeline(receipt.receipt_id, legal_entity=entity)
    assert timeline is not None
    (fax,) = [one for sent in timeline.submissions for one in sent.deliveries if one.channel is ChannelName.FAX]
    call = FaxCall(fax.reference, CallDirection.OUT, now(), "000000001", number="+33199000001", seconds=90.0, pages=3)
    ledger.record_evidence([Evidence(fax.reference, DeliveryState.DELIVERED, now(), "fax", calls=(call,))], "evidence:fax", "")
    ledger.close()
    today = now().astimezone(PARIS).date().isoformat()
    found = told("report", "--fax", "--from", today)
    (row,) = [row for row in found["rows"] if row["partner"] == "villejuif"]
    assert (row["calls"], row["minutes"], row["pages"], row["cost_eur"]) == (1, 1.5, 3, "0.21")
    said = tdu("report", "--fax", "--from", today)
    assert "coût estimé : 0,21 €" in said.stdout
    assert "+33199000001" not in said.stdout


def test_a_period_that_ends_before_it_begins_is_wrong_usage(instance: Path, tdu: Terminal) -> None:
    assert tdu("report", "--from", "2026-11-20", "--to", "2026-11-19").exit_code == 2
    assert tdu("report", "--from", "20/11/2026").exit_code == 2
    assert tdu("report", "--from", "1900-01-01", "--to", "2026-11-19").exit_code == 2
