"""What the ledger remembers of practices' folders, and how it counts what practices do, on both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapter.ledger.import_records import Said
from adapter.model.delivery import DeliveryState as S
from adapter.model.folder import WATCHED, FolderSet, KnownSet, Standing, stem_of
from adapter.model.publication import Publication
from tests.builders.ledger import ENTITY, OTHER_ENTITY, World
from tests.contract.test_publications import INBOX, dispatch, feed, published

pytestmark = pytest.mark.contract


def row(one: Publication, standing: Standing = Standing.STAGED, stem: str = "", **changes: object) -> FolderSet:
    known = KnownSet(stem or stem_of(one.position, one.id), 4, "ab" * 32)
    values: dict[str, object] = {"has_content": True, **changes}
    return FolderSet(
        one.id, one.legal_entity, one.practice, one.position, one.submission_id, known, standing, one.kind, one.published_at,
        **values,  # type: ignore[arg-type]
    )  # fmt: skip


def sets(world: World, *standings: Standing, entity: str = ENTITY) -> list[tuple[str, str]]:
    found = world.ledger.folder_sets("ivry", standings or list(Standing), legal_entity=entity)
    return [(one.publication_id, one.standing.value) for one in found]


def test_rows_tell_how_far_the_feed_was_followed(world: World) -> None:
    ids = [published(world, f"doc-{n}")[1].id for n in range(3)]
    assert world.ledger.folder_position("ivry", legal_entity=ENTITY) == 0
    world.ledger.keep_folder_sets([row(one) for one in feed(world)])
    assert world.ledger.folder_position("ivry", legal_entity=ENTITY) == 3
    assert sets(world) == [(one, "staged") for one in ids]
    assert world.ledger.folder_position("ivry", legal_entity=OTHER_ENTITY) == 0
    assert sets(world, entity=OTHER_ENTITY) == []


def test_a_set_stands_where_it_was_put_and_the_trace_tells_it(world: World) -> None:
    submission, one = published(world)
    (placed,) = feed(world)
    world.ledger.keep_folder_sets([row(placed)])
    assert world.ledger.stand_folder_sets([one.id], Standing.LYING, legal_entity=ENTITY) == 1
    assert world.ledger.stand_folder_sets([one.id], Standing.LYING, legal_entity=ENTITY) == 0
    assert world.ledger.stand_folder_sets([one.id], Standing.DONE, legal_entity=OTHER_ENTITY) == 0
    assert sets(world, *WATCHED) == [(one.id, "lying")] and sets(world, Standing.STAGED) == []
    kinds = [kind for kind in world.events(submission.id) if kind.startswith("folder-")]
    assert kinds == ["folder-staged", "folder-lying"]


def test_a_set_knows_its_line_its_versions_and_what_was_said_of_it(world: World) -> None:
    first, one = published(world, "doc-1", set_id="set")
    world.ledger.keep_folder_sets([row(each) for each in feed(world)])
    world.send("doc-2", channels=(INBOX,), set_id="set", version=2, replaces="doc-1")
    (before,) = world.ledger.folder_sets("ivry", list(Standing), legal_entity=ENTITY)
    assert before.is_stale and before.line_id
    newer = dispatch(world)
    world.ledger.keep_folder_sets([row(each) for each in feed(world, after=1)])
    line = world.ledger.folder_sets_of_line("ivry", before.line_id, legal_entity=ENTITY)
    assert [each.publication_id for each in line] == [one.id, newer.id]
    assert [each.kind.value for each in line] == ["new", "new"] and [each.is_stale for each in line] == [True, False]
    world.ledger.keep_import_outcome([newer.id], said("integrated", S.INTEGRATED), legal_entity=ENTITY)
    assert [each.outcome for each in world.ledger.folder_sets_of_line("ivry", before.line_id, legal_entity=ENTITY)][
        1
    ] == "integrated"
    assert world.ledger.folder_sets_of_line("ivry", "another", legal_entity=ENTITY) == ()
    assert first.id != newer.submission_id


def test_a_document_given_anew_is_spoken_for_by_the_set_that_brings_it(world: World) -> None:
    published(world)
    (placed,) = feed(world)
    world.ledger.keep_folder_sets([row(placed, Standing.WITHDRAWN)])
    world.ledger.keep_folder_sets([row(placed, stem="TDU-00000009-AAAAAAAA")])
    (found,) = world.ledger.folder_sets("ivry", list(Standing), legal_entity=ENTITY)
    assert (found.known.stem, found.standing) == ("TDU-00000009-AAAAAAAA", Standing.STAGED)


def said(word: str, proves: S, cause: str = "") -> Said:
    return Said(word, proves, cause, "client:ivry", frozenset({"integrated"}))


def test_what_waits_is_counted_by_age_and_urgency(world: World) -> None:
    published(world, "old")
    world.clock.advance(days=2)
    published(world, "middle", priority=10)
    world.clock.advance(days=2)
    published(world, "young")
    taken = published(world, "taken")[1]
    world.ledger.mark_fetched([taken.id], "client:ivry", legal_entity=ENTITY)
    done = published(world, "done")[1]
    world.ledger.keep_import_outcome([done.id], said("integrated", S.INTEGRATED), legal_entity=ENTITY)
    (figures,) = world.ledger.importer_figures(["ivry"], world.clock() - timedelta(days=7), legal_entity=ENTITY)
    urgent, routine = figures.waiting
    assert (urgent.urgent, urgent.count, urgent.under_three_days, urgent.overdue) == (True, 1, 1, 1)
    assert (routine.urgent, routine.under_one_day, routine.older, routine.overdue) == (False, 1, 1, 1)
    assert (figures.unanswered, dict(figures.outcomes), figures.overdue) == (1, {"integrated": 1}, 2)
    assert figures.last_fetched is not None and figures.last_said == world.clock()


def test_outcomes_of_another_time_and_practices_without_anything_count_nothing(world: World) -> None:
    done = published(world)[1]
    world.ledger.keep_import_outcome([done.id], said("integrated", S.INTEGRATED), legal_entity=ENTITY)
    world.clock.advance(days=8)
    since = world.clock() - timedelta(days=7)
    empty, known = world.ledger.importer_figures(["ivry", "autre"], since, legal_entity=ENTITY)
    assert (empty.practice, empty.waiting, empty.last_fetched) == ("autre", (), None)
    assert (known.practice, dict(known.outcomes)) == ("ivry", {}) and known.last_said is not None


def test_a_newer_version_takes_the_older_one_out_of_what_waits(world: World) -> None:
    published(world, "doc-1", set_id="set")
    world.send("doc-2", channels=(INBOX,), set_id="set", version=2, replaces="doc-1")
    dispatch(world)
    (figures,) = world.ledger.importer_figures(["ivry"], world.clock(), legal_entity=ENTITY)
    assert [one.count for one in figures.waiting] == [1]


def test_what_a_folder_lost_or_may_not_carry_is_counted(world: World) -> None:
    for n in range(3):
        published(world, f"doc-{n}")
    placed = feed(world)
    standings = (Standing.GONE, Standing.WITHHELD, Standing.DONE)
    world.ledger.keep_folder_sets([row(one, standing) for one, standing in zip(placed, standings, strict=True)])
    (figures,) = world.ledger.importer_figures(["ivry"], world.clock(), legal_entity=ENTITY)
    assert (figures.gone, figures.withheld) == (1, 1)


def test_the_last_call_of_each_client_is_known(world: World) -> None:
    assert world.ledger.last_calls(["logiciel"]) == {}
    world.ledger.take_calls("logiciel", 5, 100)
    assert world.ledger.last_calls(["logiciel", "autre"]) == {"logiciel": world.clock()}
