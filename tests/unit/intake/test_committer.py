"""The shared commit: grouped, in order, bounded, and honest when the ledger is down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapter.intake.committer import Intake, IntakeSettings, NotKeptError, TryLaterError
from adapter.model.receipt import Arrival, Principal
from tests.unit.intake.fakes import NOW, FakeAcceptor

PRINCIPAL = Principal("essai", "application", "750712184")


def arrival(content: bytes) -> Arrival:
    return Arrival(content, "mllp", PRINCIPAL, NOW)


@pytest.fixture
def acceptor() -> FakeAcceptor:
    return FakeAcceptor()


@pytest.fixture
def intake(acceptor: FakeAcceptor) -> Iterator[Intake[Arrival]]:
    intake = Intake(acceptor, IntakeSettings(batch_size=8, waiting_limit=16, patience_seconds=0.1))
    intake.start()
    yield intake
    intake.stop()


def test_arrivals_that_come_during_a_commit_share_the_next_one(acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    acceptor.commit_seconds = 0.02
    futures = [intake.take(arrival(b"%d" % n)) for n in range(40)]
    answers = [future.result(timeout=5) for future in futures]
    assert [answer.body for answer in answers] == [b"answer to %d" % n for n in range(40)]
    assert len(acceptor.batches) < 20
    assert max(acceptor.batches) <= 8


def test_when_the_ledger_is_down_nothing_is_kept_and_the_sender_is_told_to_try_later(
    acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    acceptor.down = True
    with pytest.raises(TryLaterError):
        intake.take(arrival(b"a")).result(timeout=5)
    assert acceptor.kept == []
    acceptor.down = False
    assert intake.take(arrival(b"a")).result(timeout=5).receipt_id


def test_one_arrival_that_cannot_be_written_does_not_refuse_its_neighbours(
    acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    acceptor.commit_seconds = 0.02
    futures = [intake.take(arrival(content)) for content in (b"a", b"b", b"POISON", b"c")]
    with pytest.raises(TryLaterError):
        futures[2].result(timeout=5)
    assert {futures[n].result(timeout=5).body for n in (0, 1, 3)} == {b"answer to a", b"answer to b", b"answer to c"}


def test_a_value_that_can_never_be_written_is_refused_for_good_and_alone(acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    acceptor.commit_seconds = 0.02
    futures = [intake.take(arrival(content)) for content in (b"a", b"b", b"NUL", b"c")]
    refusal = futures[2].exception(timeout=5)
    assert isinstance(refusal, NotKeptError)
    assert not isinstance(refusal, TryLaterError)
    assert {futures[n].result(timeout=5).body for n in (0, 1, 3)} == {b"answer to a", b"answer to b", b"answer to c"}


def test_a_defect_of_the_judge_is_not_told_as_try_later_and_quotes_nothing(intake: Intake[Arrival]) -> None:
    with pytest.raises(NotKeptError) as caught:
        intake.take(arrival(b"JUDGE-BREAKS MARTIN")).result(timeout=5)
    assert not isinstance(caught.value, TryLaterError)
    assert "MARTIN" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_when_too_many_wait_the_sender_is_told_to_try_later(acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    acceptor.commit_seconds = 0.3
    futures = [intake.take(arrival(b"%d" % n)) for n in range(40)]
    refused = [future for future in futures if isinstance(future.exception(timeout=20), TryLaterError)]
    assert refused
    assert len(acceptor.kept) == 40 - len(refused)


def test_stop_finishes_what_was_handed_over() -> None:
    acceptor = FakeAcceptor(commit_seconds=0.05)
    intake = Intake(acceptor)
    intake.start()
    futures = [intake.take(arrival(b"%d" % n)) for n in range(10)]
    intake.stop()
    assert all(future.done() and future.result().receipt_id for future in futures)
    with pytest.raises(TryLaterError):
        intake.take(arrival(b"late")).result(timeout=1)
