"""`tdu submit`, `tdu trace`, `tdu queue`, `tdu resolve`: what a person at the desk sees and decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import assemble
from adapter.cli.options import read_config
from adapter.ledger.records import Settlement
from adapter.model.delivery import DeliveryState
from adapter.model.plan import ChannelName
from tests.unit.cli.conftest import WITH_MAIL, WITHOUT_ADDRESS, Terminal, message

NO_SUCH_ID = "00000000-0000-4000-8000-000000000000"


def work(instance: Path, *channels: ChannelName) -> None:
    """What the running service would do at once: prepare, then send by these channels."""
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
        for channel in channels:
            house.pipeline.dispatch_some("test", channel)
    finally:
        house.ledger.close()


def lose_the_answer_twice(instance: Path) -> None:
    """The first leg left, and its answer was never read; then once more."""
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
        past = datetime.now(UTC) - timedelta(seconds=1)
        for _ in range(2):
            (claim,) = house.ledger.claim_deliveries("test", ChannelName.SECURE_MAIL, 1, timedelta(seconds=60))
            house.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, datetime.now(UTC))
            settlement = Settlement(DeliveryState.UNCLEAR, cause="no-answer", unclear=True, not_before=past)
            house.ledger.settle_send(claim.delivery.id, claim.delivery.fence, settlement)
            house.ledger.reap({})
    finally:
        house.ledger.close()


@pytest.fixture
def half_known(tmp_path: Path) -> Path:
    """A letter to two doctors, of whom the directory knows one."""
    path = tmp_path / "deux.hl7"
    path.write_bytes(message("CLI-2", WITH_MAIL, WITHOUT_ADDRESS))
    return path


# ── submit ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_given_by_hand_is_accepted_once(instance: Path, letter: Path, told: Callable[..., Any]) -> None:
    (first,) = told("submit", letter)
    (again,) = told("submit", letter)
    assert (first["verdict"], first["kept"], again["kept"]) == ("accepted", "stored", "repeat")
    assert first["receipt"] == again["receipt"]


def test_a_refused_file_says_why_and_is_kept_for_the_record(instance: Path, wrong_letter: Path, tdu: Terminal) -> None:
    result = tdu("submit", wrong_letter)
    assert result.exit_code == 1
    assert "fausse.hl7: refused" in result.stdout
    assert "  error ins.wrong-key [PID-3]" in result.stdout
    assert tdu("trace", "CLI-1").exit_code == 0


# ── trace ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_document_is_found_by_every_number_it_bears(
    instance: Path, letter: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    tdu("submit", letter)
    work(instance, ChannelName.SECURE_MAIL, ChannelName.FAX)
    (by_control_id,) = told("trace", "CLI-1")
    (submission,) = by_control_id["submissions"]
    references = [by_control_id["receipt"]["id"], submission["id"], submission["document"]]
    references += [each[key] for each in submission["deliveries"] for key in ("id", "reference")]
    assert any(reference.startswith("<") for reference in references), "no Message-ID among them"
    for reference in references:
        (found,) = told("trace", reference)
        assert found["receipt"]["id"] == by_control_id["receipt"]["id"], reference


def test_a_timeline_tells_channels_states_and_ids_to_copy(instance: Path, letter: Path, tdu: Terminal) -> None:
    config = instance / "tdu.toml"
    config.write_text(config.read_text().replace('first_fax = "ask"', 'first_fax = "send"'))
    tdu("submit", letter)
    work(instance, ChannelName.SECURE_MAIL, ChannelName.FAX)
    text = tdu("trace", "CLI-1").stdout
    assert "mssante → role:archetype-villejuif: refused channel-closed, <" in text
    assert "fax → role:archetype-villejuif: accepted" in text
    assert "events (Europe/Paris)" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_timeline_tells_a_replacement_and_a_cancellation_from_a_new_document(
    instance: Path, letter: Path, tmp_path: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    taken_back = tmp_path / "annulation.hl7"
    asked = ((b"MDM^T02^", b"MDM^T04^"), (b"ORC|NW", b"ORC|CA"), (b"||||||F\rPRT", b"||||||D\rPRT"), (b"|CLI-1|", b"|CLI-9|"))
    content = letter.read_bytes()
    for old, new in asked:
        assert content.count(old) == 1, old
        content = content.replace(old, new)
    taken_back.write_bytes(content)
    for file in (letter, taken_back):
        tdu("submit", file)
        work(instance, ChannelName.FAX)
    assert ", cancel): " in tdu("trace", "CLI-9").stdout
    assert ", new" not in tdu("trace", "CLI-1").stdout
    assert [s["intent"] for s in told("trace", "CLI-9")[0]["submissions"]] == ["cancel"]


def test_nothing_of_the_patient_is_in_a_timeline(instance: Path, letter: Path, tdu: Terminal) -> None:
    tdu("submit", letter)
    work(instance, ChannelName.SECURE_MAIL)
    for text in (tdu("trace", "CLI-1").stdout, tdu("trace", "CLI-1", "--json").stdout):
        assert "EXEMPLE" not in text.upper()
        assert "274099404321736" not in text


def test_an_unknown_reference_is_told_with_status_one(instance: Path, letter: Path, tdu: Terminal) -> None:
    tdu("submit", letter)
    result = tdu("trace", "NOBODY-1")
    assert result.exit_code == 1
    assert "nothing is known" in result.stderr


def test_before_the_first_check_the_desk_is_told_how_to_make_the_tables(instance: Path, tdu: Terminal) -> None:
    result = tdu("queue")
    assert result.exit_code == 1
    assert "tdu check" in result.stderr


# ── queue and resolve ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_queue_says_so(instance: Path, tdu: Terminal) -> None:
    tdu("check")
    assert tdu("queue").stdout == "Nothing waits for a person.\n"


def test_an_empty_answer_to_a_narrow_question_does_not_say_that_nothing_waits(instance: Path, tdu: Terminal) -> None:
    tdu("check")
    for words in (["--urgent"], ["--reason", "trust-ends"]):
        assert tdu("queue", *words).stdout == "Nothing of that kind waits for a person.\n"


def test_a_recipient_nobody_knows_is_parked_while_the_other_is_served(
    instance: Path, half_known: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    tdu("submit", half_known)
    work(instance)
    (item,) = told("queue", "--parked")
    assert item["about"] == "submission"
    assert told("queue", "--unclear") == []
    assert told("queue", "--urgent") == []
    assert told("queue", "--reason", "something-else") == []
    assert item["id"] in tdu("queue").stdout.splitlines()


def test_a_send_that_may_have_arrived_is_listed_as_unclear(
    instance: Path, letter: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    tdu("submit", letter)
    lose_the_answer_twice(instance)
    (item,) = told("queue", "--unclear")
    assert (item["reason"], item["about"]) == ("unclear-twice", "delivery")
    assert told("queue", "--unclear", "--parked") == [item]


@pytest.mark.parametrize(
    ("decision", "state"), [("retry", "queued"), ("hand-over", "cancelled"), ("cancel", "cancelled"), ("close", "cancelled")]
)
def test_each_decision_on_an_unclear_send_is_carried_out_and_signed(
    decision: str, state: str, instance: Path, letter: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    tdu("submit", letter)
    lose_the_answer_twice(instance)
    (item,) = told("queue")
    decided = told("resolve", item["id"], decision, "--by", "Noé Essai")
    assert (decided["decision"], decided["decided_by"]) == (decision, "Noé Essai")
    assert told("queue") == []
    (timeline,) = told("trace", "CLI-1")
    (mail,) = [d for d in timeline["submissions"][0]["deliveries"] if d["channel"] == "mssante"]
    assert mail["state"] == state
    assert f"decided-{decision}" in [event["kind"] for event in timeline["events"]]


def test_a_question_is_decided_once(instance: Path, half_known: Path, tdu: Terminal, told: Callable[..., Any]) -> None:
    tdu("submit", half_known)
    work(instance)
    (item,) = told("queue")
    assert tdu("resolve", item["id"], "close").exit_code == 0
    again = tdu("resolve", item["id"], "retry")
    assert again.exit_code == 1
    assert "already decided: close" in again.stderr


def test_an_id_nobody_asked_about_is_told(instance: Path, tdu: Terminal) -> None:
    tdu("check")
    result = tdu("resolve", NO_SUCH_ID, "close")
    assert result.exit_code == 1
    assert "tdu queue" in result.stderr
