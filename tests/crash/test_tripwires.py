"""The service dies at each step of a document's way, starts again, and the document arrives: once, or twice and marked."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from adapter.config import load_config
from adapter.demo.stage import Stage, StageSettings
from adapter.opening import open_ledger
from tests.crash.play import (
    copies_are_identical,
    documents_in,
    documents_received,
    letters,
    result_with_two_documents,
    revived,
    send_until_acknowledged,
    wait_for_documents,
    wait_until_settled,
    was_unclear,
)

LAUNCHER = Path(__file__).with_name("launcher.py")
STEPS = (
    "before:commit_receipts",
    "after:commit_receipts",
    "after:claim_receipts",
    "before:commit_effects",
    "after:commit_effects",
    "after:claim_deliveries",
    "before:mark_on_wire",
    "after:mark_on_wire",
    "before:settle_send",
    "after:settle_send",
)
# The same way for one mail of two documents, which are settled by a step of their own.
STEPS_OF_TWO = (
    "after:commit_effects",
    "after:claim_deliveries",
    "before:mark_on_wire",
    "after:mark_on_wire",
    "before:settle_together",
    "after:settle_together",
)
# Only between "on the wire" and "settled" may the partner have it without our knowing.
MAY_DOUBLE = ("before:settle_send", "before:settle_together")


def await_death(mark: Path, step: str) -> None:
    """The reader may have the mail a moment before our side settles, and dies of it."""
    deadline = time.monotonic() + 20
    while not mark.exists():
        assert time.monotonic() < deadline, f"the wire {step} was never touched"
        time.sleep(0.05)


def _trip(folder: Path, step: str, ledger_url: str) -> None:
    """Start with the wire armed, send one letter through the death, start again until the reader has it."""
    mark = folder / "tripped"
    [letter] = letters(1, "T")
    settings = StageSettings(workers=1, lease_seconds=5, unclear_seconds=0.5, ledger=ledger_url)
    command = (sys.executable, str(LAUNCHER), step, "1", str(mark))
    with Stage(folder / "stage", settings, launcher=command) as stage, revived(stage, *command):
        send_until_acknowledged(stage, letter)
        seen = wait_for_documents(stage, {letter.document_id}, patience_seconds=40)
        await_death(mark, step)
        ledger = open_ledger(load_config(stage.config_file, {}))
        try:
            wait_until_settled(ledger, letter)
            unclear = was_unclear(ledger, letter)
        finally:
            ledger.close()
        copies = documents_received(stage.operator.received)[letter.document_id]
        assert seen[letter.document_id] >= 1
        assert copies == 1 or (copies == 2 and step in MAY_DOUBLE and unclear)
        assert copies_are_identical(stage.operator.received)


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_loses_nothing_on_sqlite(step: str, tmp_path: Path) -> None:
    _trip(tmp_path, step, "")


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_loses_nothing_on_postgresql(step: str, tmp_path: Path, postgres_url: str) -> None:
    _trip(tmp_path, step, postgres_url)


def _trip_two(folder: Path, step: str, ledger_url: str) -> None:
    """The same with one message of two documents: whatever happens, each mail that the reader has holds both."""
    mark = folder / "tripped"
    pair = result_with_two_documents("TWO00001")
    settings = StageSettings(workers=1, lease_seconds=5, unclear_seconds=0.5, ledger=ledger_url)
    command = (sys.executable, str(LAUNCHER), step, "1", str(mark))
    with Stage(folder / "stage", settings, launcher=command) as stage, revived(stage, *command):
        send_until_acknowledged(stage, pair[0])
        wait_for_documents(stage, {one.document_id for one in pair}, patience_seconds=40)
        await_death(mark, step)
        ledger = open_ledger(load_config(stage.config_file, {}))
        try:
            wait_until_settled(ledger, pair[0])
            unclear = was_unclear(ledger, pair[0])
        finally:
            ledger.close()
        mails = list(stage.operator.received)
    assert len(mails) == 1 or (len(mails) == 2 and step in MAY_DOUBLE and unclear)
    assert all(sorted(documents_in(mail)) == sorted(one.document_id for one in pair) for mail in mails)
    assert copies_are_identical(mails)
    assert len({mail.content for mail in mails}) == 1, "the same two documents under another Message-ID"


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS_OF_TWO)
def test_a_death_at_any_step_neither_loses_nor_parts_a_mail_of_two_documents_on_sqlite(step: str, tmp_path: Path) -> None:
    _trip_two(tmp_path, step, "")


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS_OF_TWO)
def test_a_death_at_any_step_neither_loses_nor_parts_a_mail_of_two_documents_on_postgresql(
    step: str, tmp_path: Path, postgres_url: str
) -> None:
    _trip_two(tmp_path, step, postgres_url)
