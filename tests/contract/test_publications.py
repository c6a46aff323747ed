"""A practice's feed: in commit order whoever commits late, one key a document, no stale version as current, one outcome."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from adapter.ledger import publications
from adapter.ledger.database import Transaction
from adapter.ledger.import_records import Carried, Kept, Said, Sought
from adapter.model.delivery import DeliveryState as S
from adapter.model.plan import ChannelName
from adapter.model.publication import Practice, Publication, Readers, Rendition
from adapter.model.submission import Intent, Submission
from tests.builders.ledger import ENTITY, FAX, INS_VALUE, OTHER_ENTITY, World

pytestmark = pytest.mark.contract
INBOX = ChannelName.INBOX
HOURS = timedelta(hours=1)
PRACTICE = Practice("ivry", ENTITY, 4 * HOURS, 24 * HOURS, 72 * HOURS)
READERS = Readers(ENTITY, ("ivry",))
PDF = Carried(Rendition("pdf", "application/pdf", 4, "00"), b"%PDF")
FINAL = frozenset({"integrated", "not-our-patient"})


def published(
    world: World, document: str = "doc-1", *, channels: Sequence[ChannelName] = (INBOX,), **kwargs: object
) -> tuple[Submission, Publication]:
    """Receive, plan, dispatch: one document in the practice's feed."""
    submission = world.send(document, channels=tuple(channels), **kwargs)
    return submission, dispatch(world)


def dispatch(world: World) -> Publication:
    world.clock.advance(seconds=1)
    delivery = world.on_wire(INBOX)
    found = world.ledger.publish(delivery.id, PRACTICE, [PDF], [f"urn:oid:{delivery.document_id}"])
    world.settle(delivery, S.ACCEPTED)
    assert found is not None
    return found


def feed(world: World, after: int = 0, limit: int = 50, readers: Readers = READERS) -> list[Publication]:
    return list(world.ledger.feed(readers, "ivry", after, limit))


def outcome(word: str = "integrated", proves: S = S.INTEGRATED, cause: str = "", note: str = "") -> Said:
    return Said(word, proves, cause, "client:ivry", FINAL, note)


def test_what_is_published_is_read_in_order_with_its_positions(world: World) -> None:
    ids = [published(world, f"doc-{n}")[1].id for n in range(3)]
    assert [(one.id, one.position) for one in feed(world)] == [(ids[0], 1), (ids[1], 2), (ids[2], 3)]
    assert [one.id for one in feed(world, after=1, limit=1)] == [ids[1]]
    assert world.ledger.feed_head("ivry", legal_entity=ENTITY) == 3


def test_a_transaction_held_open_across_two_pulls_loses_nothing(world: World) -> None:
    """PostgreSQL: what began first and commits last comes after the cursor. SQLite has one writer: the pull waits for it."""
    world.send("late", channels=(INBOX,))
    late = world.on_wire(INBOX)
    begun, may_commit = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        publications._publish(tx, late.id, PRACTICE, [PDF], ())
        begun.set()
        assert may_commit.wait(30)

    slow = threading.Thread(target=lambda: world.second_ledger()._database.write(hold))
    slow.start()
    assert begun.wait(30)
    seen: list[str] = []
    if world.url.startswith("postgresql"):
        early = published(world, "early")[1]
        first = feed(world)
        assert [one.id for one in first] == [early.id]
        again = feed(world, after=first[-1].position)
        assert again == []
        seen, after = [early.id], first[-1].position
    else:
        assert feed(world) == [], "a reader beside a writer sees what is committed"
        after = 0
    may_commit.set()
    slow.join(30)
    rest = feed(world, after=after)
    assert [one.id for one in rest] == [late.id]
    assert len({*seen, late.id}) == len(seen) + 1


def test_publishers_and_readers_at_once_miss_and_double_nothing(world: World) -> None:
    deliveries = []
    for n in range(24):
        world.send(f"doc-{n}", channels=(INBOX,))
        deliveries.append(world.on_wire(INBOX))
    read: list[list[str]] = [[], []]
    done = threading.Event()

    def publish(part: Sequence[object]) -> None:
        ledger = world.second_ledger()
        for delivery in part:
            ledger.publish(delivery.id, PRACTICE, [])  # type: ignore[attr-defined]

    def pull(into: list[str]) -> None:
        ledger, after, last_round = world.second_ledger(), 0, False
        while True:
            batch = ledger.feed(READERS, "ivry", after, 5)
            into += [one.id for one in batch]
            after = batch[-1].position if batch else after
            if not batch and last_round:
                return
            last_round = not batch and done.is_set()

    writers = [threading.Thread(target=publish, args=(deliveries[n::3],)) for n in range(3)]
    readers = [threading.Thread(target=pull, args=(into,)) for into in read]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join(60)
    done.set()
    for thread in readers:
        thread.join(60)
    wanted = sorted(delivery.id for delivery in deliveries)
    assert sorted(read[0]) == wanted
    assert read[0] == read[1]


def test_publishing_again_changes_nothing(world: World) -> None:
    _, first = published(world)
    again = world.ledger.publish(first.id, PRACTICE, [])
    assert again is not None and again.renditions == (PDF.rendition,)
    assert len(feed(world)) == 1


def test_a_practice_of_another_entity_gets_nothing(world: World) -> None:
    world.send(channels=(INBOX,))
    delivery = world.on_wire(INBOX)
    stranger = Practice("ivry", OTHER_ENTITY, HOURS, HOURS, HOURS)
    assert world.ledger.publish(delivery.id, stranger, [PDF]) is None
    assert world.ledger.feed(Readers(OTHER_ENTITY, ("ivry",)), "ivry", 0, 10) == ()
    assert world.ledger.publications_of(READERS, [delivery.id]) == ()


def test_two_roles_of_one_doctor_stay_apart(world: World) -> None:
    world.send(channels=(INBOX,), roles=("role:a", "role:b"))
    for delivery in (claim.delivery for claim in world.claim(INBOX)):
        world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
        world.ledger.publish(delivery.id, PRACTICE, [PDF])
        world.settle(delivery, S.ACCEPTED)
    both = feed(world)
    assert sorted(one.role_id for one in both) == ["role:a", "role:b"] and both[0].document_key == both[1].document_key
    narrow = Readers(ENTITY, ("ivry",), frozenset({"role:b"}))
    assert [one.role_id for one in feed(world, readers=narrow)] == ["role:b"]
    assert feed(world, readers=Readers(ENTITY, ("ivry",), frozenset())) == []


def test_a_superseded_version_not_yet_fetched_is_told_stale_before_and_after_the_new_one_is_published(world: World) -> None:
    _, first = published(world, "doc-1", set_id="set")
    world.send("doc-2", channels=(INBOX,), set_id="set", version=2, intent=Intent.REPLACE, replaces="doc-1")
    (old,) = feed(world)
    assert old.id == first.id and old.is_stale
    new = dispatch(world)
    assert [(one.id, one.is_stale) for one in feed(world)] == [(first.id, True), (new.id, False)]


def test_cancellation_and_correction_come_under_the_documents_own_key(world: World) -> None:
    _, first = published(world)
    _, corrected = published(world, version=2, intent=Intent.REPLACE)
    _, cancelled = published(world, version=2, intent=Intent.CANCEL)
    assert {one.document_key for one in (first, corrected, cancelled)} == {first.document_key}
    assert [(one.kind.value, one.is_stale) for one in feed(world)] == [("new", True), ("replace", True), ("cancel", False)]


def test_an_older_version_published_late_is_stale_wherever_it_stands(world: World) -> None:
    """Two lanes: the newer one wins the race."""
    world.send("doc-1", channels=(INBOX,), set_id="set")
    slow = world.on_wire(INBOX)
    _, newer = published(world, "doc-2", set_id="set", version=2, intent=Intent.REPLACE, replaces="doc-1")
    world.clock.advance(seconds=1)
    world.ledger.publish(slow.id, PRACTICE, [PDF])
    assert [(one.id, one.is_stale) for one in feed(world)] == [(newer.id, False), (slow.id, True)]


def test_fetching_delivers_once_and_is_audited(world: World) -> None:
    submission, one = published(world)
    assert world.ledger.mark_fetched([one.id], "client:ivry", legal_entity=ENTITY) == 1
    assert world.states(submission) == {"role:a/inbox": "delivered"}
    assert world.ledger.mark_fetched([one.id], "client:ivry", legal_entity=ENTITY) == 0
    assert world.ledger.mark_fetched([one.id], "client:ivry", legal_entity=OTHER_ENTITY) == 0
    (seen,) = feed(world)
    assert seen.fetched_at == world.clock() and seen.state is S.DELIVERED


def test_not_fetched_in_time_alarms_once_and_opens_the_next_leg(world: World) -> None:
    submission, one = published(world, channels=(INBOX, FAX))
    world.clock.advance(hours=71)
    assert world.ledger.alarm_unfetched() == 0
    world.clock.advance(hours=1)
    assert world.ledger.alarm_unfetched() == 1
    assert world.ledger.alarm_unfetched() == 0
    assert world.states(submission) == {"role:a/inbox": "refused", "role:a/fax": "queued"}
    assert [item.reason for item in world.items()] == ["not-fetched"]
    assert [(s.practice, s.waiting) for s in world.ledger.silent_practices(legal_entity=ENTITY)] == [("ivry", 1)]
    assert world.ledger.silent_practices(legal_entity=OTHER_ENTITY) == ()
    assert one.fetch_due <= world.clock()


def test_a_late_fetch_counts_closes_the_question_and_stops_the_fax(world: World) -> None:
    submission, one = published(world, channels=(INBOX, FAX))
    world.clock.advance(hours=80)
    world.ledger.alarm_unfetched()
    world.ledger.mark_fetched([one.id], "client:ivry", legal_entity=ENTITY)
    assert world.states(submission) == {"role:a/inbox": "delivered", "role:a/fax": "cancelled"}
    assert world.items() == []
    assert world.ledger.silent_practices(legal_entity=ENTITY) == ()


@pytest.mark.parametrize(("priority", "hours"), [(10, 4), (50, 24), (100, 72)])
def test_the_delay_is_that_of_the_urgency(world: World, priority: int, hours: int) -> None:
    _, one = published(world, priority=priority)
    assert one.fetch_due - one.published_at == timedelta(hours=hours)


def test_a_superseded_publication_alarms_nobody(world: World) -> None:
    published(world, "doc-1", set_id="set")
    published(world, "doc-2", set_id="set", version=2, intent=Intent.REPLACE, replaces="doc-1")
    world.clock.advance(hours=80)
    assert world.ledger.alarm_unfetched() == 1


def test_an_outcome_settles_once_and_another_is_a_conflict(world: World) -> None:
    submission, one = published(world)
    keep = world.ledger.keep_import_outcome
    assert keep([one.id], outcome("waiting-for-matching", S.DELIVERED), legal_entity=ENTITY) is Kept.KEPT
    assert world.states(submission) == {"role:a/inbox": "delivered"}
    assert keep([one.id], outcome(note="Rangé sous Zebulonne"), legal_entity=ENTITY) is Kept.KEPT
    assert keep([one.id], outcome(), legal_entity=ENTITY) is Kept.REPEATED
    refused = outcome("not-our-patient", S.REFUSED, "identity-902")
    assert keep([one.id], refused, legal_entity=ENTITY) is Kept.CONFLICT
    assert world.states(submission) == {"role:a/inbox": "integrated"}
    (seen,) = feed(world)
    assert (seen.outcome, seen.outcome_at, seen.fetched_at) == ("integrated", world.clock(), world.clock())


def test_a_practices_no_is_a_persons_and_never_another_channel(world: World) -> None:
    submission, one = published(world, channels=(INBOX, FAX))
    world.ledger.mark_fetched([one.id], "client:ivry", legal_entity=ENTITY)
    said = outcome("not-our-patient", S.REFUSED, "identity-902")
    world.ledger.keep_import_outcome([one.id], said, legal_entity=ENTITY, opens_next_leg=lambda cause: cause != "identity-902")
    assert world.states(submission) == {"role:a/inbox": "refused", "role:a/fax": "waiting"}
    assert [item.reason for item in world.items()] == ["identity-902"]


def test_documents_are_found_by_what_is_sought_and_paged(world: World) -> None:
    keys = []
    for n in range(5):
        keys.append(published(world, f"doc-{n}")[1].document_key)
        world.clock.advance(minutes=1)
    find = world.ledger.find_published
    first = find(READERS, Sought(patients=(("ins", INS_VALUE),)), ("", ""), 3)
    rest = find(READERS, Sought(patients=(("ins", INS_VALUE),)), first[-1], 3)
    assert [key for _, key in (*first, *rest)] == keys
    assert [key for _, key in find(READERS, Sought(names=("urn:oid:doc-3",)), ("", ""), 9)] == [keys[3]]
    assert find(READERS, Sought(patients=(("ins", "1234567890123"),)), ("", ""), 9) == []
    assert find(READERS, Sought(patients=(("ins", ""),)), ("", ""), 9) == []
    assert find(READERS, Sought(type_codes=("11488-4",)), ("", ""), 9) == []
    since = Sought(since=world.clock() - timedelta(seconds=125))
    assert [key for _, key in find(READERS, since, ("", ""), 9)] == keys[3:]
    assert find(Readers(ENTITY, ("bagneux",)), Sought(), ("", ""), 9) == []


def test_contents_are_kept_sealed_or_are_the_submissions_own(world: World) -> None:
    world.send("doc-1", channels=(INBOX,))
    delivery = world.on_wire(INBOX)
    cda = Carried(Rendition("cda", "application/xml", 9, "11"), b"<ClinicalDocument doc-1/>", stored=False)
    one = world.ledger.publish(delivery.id, PRACTICE, [cda, PDF])
    assert one is not None
    read = world.ledger.published_content
    assert read(one, "cda") == b"<ClinicalDocument doc-1/>"
    assert read(one, "pdf") == b"%PDF"
    assert read(one, "fhir").startswith(b'{"resourceType":"Bundle"')


def test_a_cancellation_is_received_once_the_reader_went_past_it(world: World) -> None:
    published(world)
    submission, _ = published(world, intent=Intent.CANCEL)
    assert len(feed(world)) == 2
    assert world.ledger.mark_passed(READERS, "ivry", 1, "client:ivry") == 0
    assert world.ledger.mark_passed(READERS, "ivry", 2, "client:ivry") == 1
    assert world.states(submission) == {"role:a/inbox": "delivered"}


def test_an_assertion_is_taken_once_by_all_processes_together(world: World) -> None:
    ends = world.clock() + timedelta(minutes=5)
    taken: list[bool] = []
    ledgers = [world.second_ledger() for _ in range(4)]
    threads = [threading.Thread(target=lambda one=one: taken.append(one.spend_assertion("a", "jti", ends))) for one in ledgers]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(taken) == [False, False, False, True]
    assert world.ledger.spend_assertion("b", "jti", ends)
    world.clock.advance(minutes=6)
    assert world.ledger.spend_assertion("c", "other", ends + timedelta(minutes=6))


def test_calls_are_counted_for_all_processes_and_begin_anew_each_minute(world: World) -> None:
    granted, until = world.ledger.take_calls("a", 3, 5)
    assert (granted, until) == (3, world.clock() + timedelta(minutes=1))
    assert world.second_ledger().take_calls("a", 3, 5)[0] == 2
    assert world.ledger.take_calls("a", 1, 5)[0] == 0
    assert world.ledger.take_calls("b", 1, 5)[0] == 1
    world.clock.advance(seconds=60)
    assert world.ledger.take_calls("a", 1, 5)[0] == 1
    world.clock.advance(hours=-3)
    assert world.ledger.take_calls("a", 5, 5)[0] == 5, "a clock put back does not close the door"
