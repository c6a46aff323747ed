"""What preparing leaves: once, whole, to roles not yet served; versions of a document form a line per recipient."""

from __future__ import annotations

import pytest

from adapter.errors import LedgerError, StaleClaimError
from adapter.ledger.records import Decision, PayloadKind, StoredEffects
from adapter.model.delivery import DeliveryState as S
from adapter.model.effects import Ignored, Parked
from adapter.model.receipt import ReceiptState
from adapter.model.submission import Intent
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, INS_VALUE, LEASE, MAIL, OTHER_ENTITY, RECORD, World, stored_submission, work_item

pytestmark = pytest.mark.contract


def test_a_prepared_receipt_leaves_its_submission_and_deliveries(world: World) -> None:
    submission = world.send("doc-1", roles=("role:a", "role:b"))
    assert world.states(submission) == {
        "role:a/mssante": "queued",
        "role:a/fax": "waiting",
        "role:b/mssante": "queued",
        "role:b/fax": "waiting",
    }
    timeline = world.ledger.timeline(submission.id, legal_entity=ENTITY)
    assert timeline is not None
    assert timeline.receipt.state is ReceiptState.PREPARED
    assert timeline.submissions[0].submission == submission


def test_a_claim_gives_back_everything_its_parcel_is_made_of(world: World) -> None:
    receipt_id = world.receive()
    bundle: dict[str, object] = {"resourceType": "Bundle", "entry": [{"n": 1.5, "text": "é", "deep": [True, None]}]}
    stored = stored_submission("doc-1", receipt_id, bundle=bundle)
    world.prepare(stored, receipt_id=receipt_id)
    (claim,) = world.claim()
    assert claim.submission == stored.translation.submission
    assert claim.plan == stored.plan
    assert claim.bundle == bundle and list(claim.bundle) == list(bundle)
    assert (claim.source_document, claim.source_media_type) == (stored.translation.source_document, "text/xml")


def test_running_the_commit_twice_leaves_the_same_rows(world: World) -> None:
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    effects = StoredEffects((stored_submission("doc-1", receipt_id),), (work_item(world, WorkAbout.RECEIPT, receipt_id),))
    first = world.ledger.commit_effects(receipt_id, claim.fence, effects)
    before = world.ledger.timeline(receipt_id, legal_entity=ENTITY)
    again = world.ledger.commit_effects(receipt_id, claim.fence, effects)
    assert again.already_committed and not first.already_committed
    assert again.submission_ids == first.submission_ids
    assert world.ledger.timeline(receipt_id, legal_entity=ENTITY) == before


def test_a_worker_that_lost_its_lease_writes_nothing(world: World) -> None:
    receipt_id = world.receive()
    (slow,) = world.ledger.claim_receipts("w1", 1, LEASE)
    world.clock.advance(seconds=61)
    world.ledger.claim_receipts("w2", 1, LEASE)
    with pytest.raises(StaleClaimError):
        world.ledger.commit_effects(receipt_id, slow.fence, StoredEffects((stored_submission("doc-1", receipt_id),)))
    timeline = world.ledger.timeline(receipt_id, legal_entity=ENTITY)
    assert timeline is not None and timeline.submissions == ()


def test_effects_of_an_unknown_receipt_are_an_error(world: World) -> None:
    with pytest.raises(LedgerError, match=r"receipt\.unknown"):
        world.ledger.commit_effects("nobody", 1, StoredEffects())


def test_a_parked_receipt_is_always_listed(world: World) -> None:
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    parked = Parked("closed-unit", "Unité fermée.", urgent=True, phone_line="+33100000000")
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=parked))
    (item,) = world.items()
    assert (item.about_id, item.reason, item.urgent, item.phone_line) == (receipt_id, "closed-unit", True, "+33100000000")
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.parked, count.holds) == (1, True)


def test_an_ignored_receipt_is_final_with_its_reason(world: World) -> None:
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=Ignored("nothing-to-send")))
    assert world.events(receipt_id)[-1] == "ignored"
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.final, count.holds) == (1, True)


def test_a_document_is_found_by_everything_it_names(world: World) -> None:
    submission = world.send("1.2.3^doc", set_id="set-9")
    delivery = world.deliveries(submission.id)[0]
    spaced = f"{INS_VALUE[0]} {INS_VALUE[1:3]} {INS_VALUE[3:5]} {INS_VALUE[5:]}"
    references = (
        submission.receipt_id, submission.id, delivery.id, delivery.reference, delivery.reference.strip("<>"), "1.2.3^doc",
        "urn:oid:1.2.3^DOC", "set-9", INS_VALUE, INS_VALUE[:13], spaced, "ipp-4711", "10003456789", "810003456789", "750000001",
        "zébulonne|1979-03-28", "MSG-SOURCE",
    )  # fmt: skip
    for reference in references:
        assert world.ledger.find(reference, legal_entity=ENTITY) == [submission.receipt_id], reference


def test_nothing_is_found_from_another_legal_entity(world: World) -> None:
    submission = world.send("doc-1")
    delivery = world.deliveries(submission.id)[0]
    for reference in (submission.receipt_id, submission.id, delivery.id, delivery.reference, "doc-1", INS_VALUE, "MSG-SOURCE"):
        assert world.ledger.find(reference, legal_entity=OTHER_ENTITY) == []
    assert world.ledger.timeline(submission.id, legal_entity=OTHER_ENTITY) is None
    for kind, row in ((PayloadKind.CONTENT, submission.receipt_id), (PayloadKind.BUNDLE, submission.id)):
        with pytest.raises(LedgerError, match=r"no-payload"):
            world.ledger.read_payload(kind, row, legal_entity=OTHER_ENTITY)
    with pytest.raises(LedgerError):
        world.ledger.status_of(submission.id, legal_entity=OTHER_ENTITY)
    assert world.ledger.conservation(legal_entity=OTHER_ENTITY).received == 0


def test_an_empty_reference_finds_nothing(world: World) -> None:
    world.send("doc-1")
    assert world.ledger.find("  ", legal_entity=ENTITY) == []


# ── a known document under another control id ─────────────────────────────────────────────────────────────────


def test_a_known_document_goes_only_to_roles_not_yet_served(world: World) -> None:
    world.send("doc-1", roles=("role:a",))
    again = world.send("doc-1", roles=("role:a", "role:b"))
    assert world.states(again) == {"role:b/mssante": "queued", "role:b/fax": "waiting"}
    assert "already-served" in world.events(again.id)


def test_a_role_being_served_by_mail_is_not_sent_a_fax_because_the_plan_changed(world: World) -> None:
    world.send("doc-1", channels=(MAIL,))
    world.accepted()
    again = world.send("doc-1", channels=(FAX, MAIL))
    assert world.states(again) == {}
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.final, count.holds) == (2, True)


def test_a_role_that_refused_on_one_channel_is_tried_on_the_others_when_the_document_comes_again(world: World) -> None:
    world.send("doc-1", channels=(MAIL,))
    world.settle(world.on_wire(), S.REFUSED, cause="mailbox-unknown", open_next_leg=True)
    again = world.send("doc-1", channels=(MAIL, FAX))
    assert world.states(again) == {"role:a/fax": "queued"}


def test_another_version_is_another_document(world: World) -> None:
    world.send("doc-1", version=1)
    world.accepted()
    second = world.send("doc-1", version=2, intent=Intent.REPLACE)
    assert world.states(second)["role:a/mssante"] == "queued"


def test_the_same_document_in_two_legal_entities_is_two(world: World) -> None:
    world.send("doc-1")
    other = world.send("doc-1", entity=OTHER_ENTITY)
    timeline = world.ledger.timeline(other.id, legal_entity=OTHER_ENTITY)
    assert timeline is not None and len(timeline.submissions[0].deliveries) == 2


# ── version lines (seam 6) ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("link", ["set", "replaces"])
def test_a_newer_version_supersedes_the_older_one_not_yet_sent(world: World, link: str) -> None:
    older = world.send("doc-1", set_id="set" if link == "set" else "")
    newer = world.send(
        "doc-2",
        version=2 if link == "set" else 1,
        set_id="set" if link == "set" else "",
        replaces="doc-1" if link == "replaces" else "",
        intent=Intent.REPLACE,
    )
    assert set(world.states(older).values()) == {"superseded"}
    assert world.states(newer)["role:a/mssante"] == "queued"
    assert world.deliveries(newer.id)[0].replaces_sent_on == ""
    assert world.ledger.status_of(older.id, legal_entity=ENTITY).phase.value == "final"


def test_a_version_claimed_but_not_on_the_wire_is_taken_from_its_worker(world: World) -> None:
    older = world.send("doc-1", set_id="set")
    held = world.claim_one()
    world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    assert world.states(older)["role:a/mssante"] == "superseded"
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(held.id, held.fence, world.clock())


def test_a_newer_version_to_other_recipients_leaves_the_older_alone(world: World) -> None:
    older = world.send("doc-1", set_id="set", roles=("role:a", "role:b"))
    world.send("doc-2", version=2, set_id="set", roles=("role:b",), intent=Intent.REPLACE)
    states = world.states(older)
    assert (states["role:a/mssante"], states["role:b/mssante"]) == ("queued", "superseded")


@pytest.mark.parametrize("state", ["on_wire", "unclear", "accepted", "delivered"])
def test_if_the_older_left_or_may_have_left_the_newer_says_so(world: World, state: str) -> None:
    world.send("doc-1", set_id="set")
    sent = world.on_wire()
    wire_time = world.clock()
    world.clock.advance(seconds=5)
    if state == "unclear":
        world.settle(sent, S.UNCLEAR, cause="no-answer")
    elif state != "on_wire":
        world.settle(sent, S(state))
    newer = world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    assert {d.replaces_sent_on for d in world.deliveries(newer.id)} == {wire_time.isoformat()}


def test_if_the_older_was_refused_the_newer_replaces_nothing(world: World) -> None:
    world.send("doc-1", set_id="set")
    world.settle(world.on_wire(), S.REFUSED, cause="mailbox-unknown")
    newer = world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    assert world.deliveries(newer.id)[0].replaces_sent_on == ""


def test_an_older_version_on_the_wire_is_not_sent_again_after_the_newer(world: World) -> None:
    older = world.send("doc-1", set_id="set")
    sent = world.on_wire()
    world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    world.settle(sent, S.QUEUED, cause="partner-busy")
    assert world.states(older)["role:a/mssante"] == "superseded"


def test_an_unclear_older_version_is_not_sent_again_after_the_newer(world: World) -> None:
    older = world.send("doc-1", set_id="set")
    world.settle(world.on_wire(), S.UNCLEAR, cause="no-answer", not_before=world.clock())
    world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    world.ledger.reap({})
    assert world.states(older)["role:a/mssante"] == "superseded"


def test_a_refused_older_version_opens_no_fallback_after_the_newer(world: World) -> None:
    older = world.send("doc-1", set_id="set")
    sent = world.on_wire()
    world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    world.settle(sent, S.REFUSED, cause="mailbox-unknown", open_next_leg=True)
    assert world.states(older) == {"role:a/mssante": "refused", "role:a/fax": "superseded"}
    assert world.items() == []


def test_an_older_version_that_comes_late_is_never_sent(world: World) -> None:
    world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    late = world.send("doc-1", version=1, set_id="set")
    assert set(world.states(late).values()) == {"superseded"}
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.open, count.final, count.holds) == (1, 1, True)


def test_an_original_that_comes_after_its_replacement_is_never_sent(world: World) -> None:
    """Neither set id nor version number: only the replacement names the original."""
    newer = world.send("doc-2", replaces="doc-1", intent=Intent.REPLACE)
    late = world.send("doc-1")
    assert set(world.states(late).values()) == {"superseded"}
    assert "replaces-unknown" in world.events(newer.id)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2), (1, 3, 2), (2, 1, 3)])
def test_only_the_last_of_a_chain_of_replacements_leaves_whatever_came_first(world: World, order: tuple[int, ...]) -> None:
    sent = {n: world.send(f"doc-{n}", replaces=f"doc-{n - 1}" if n > 1 else "", version=n) for n in order}
    states = {n: world.states(submission)["role:a/mssante"] for n, submission in sent.items()}
    assert states == {1: "superseded", 2: "superseded", 3: "queued"}


def test_a_replacement_of_an_unknown_original_is_sent_and_flagged(world: World) -> None:
    submission = world.send("doc-2", replaces="doc-of-before", intent=Intent.REPLACE)
    assert world.states(submission)["role:a/mssante"] == "queued"
    assert "replaces-unknown" in world.events(submission.id)


def test_a_cancellation_stops_what_has_not_left_for_every_role(world: World) -> None:
    older = world.send("doc-1", roles=("role:a", "role:b"))
    world.send("doc-1", intent=Intent.CANCEL, roles=("role:a",))
    assert set(world.states(older).values()) == {"superseded"}


def test_a_cancellation_of_what_never_left_tells_nobody(world: World) -> None:
    world.send("doc-1")
    cancel = world.send("doc-1", intent=Intent.CANCEL)
    assert set(world.states(cancel).values()) == {"cancelled"}
    assert world.ledger.conservation(legal_entity=ENTITY).final == 2


def test_a_cancellation_follows_the_document_where_it_went(world: World) -> None:
    world.send("doc-1")
    sent = world.accepted()
    cancel = world.send("doc-1", intent=Intent.CANCEL)
    delivery = world.deliveries(cancel.id)[0]
    assert delivery.state is S.QUEUED
    assert delivery.replaces_sent_on == world.clock().isoformat()
    assert world.deliveries(sent.id)[0].state is S.ACCEPTED


def test_a_document_that_comes_after_its_cancellation_is_never_sent(world: World) -> None:
    world.send("doc-1", intent=Intent.CANCEL, roles=("role:z",))
    late = world.send("doc-1", roles=("role:a",))
    assert set(world.states(late).values()) == {"superseded"}


def test_unrelated_documents_never_touch_each_other(world: World) -> None:
    first = world.send("doc-1", set_id="set-1")
    world.send("doc-2", set_id="set-2", version=2)
    world.send("doc-3")
    assert world.states(first)["role:a/mssante"] == "queued"


def test_lines_do_not_cross_legal_entities(world: World) -> None:
    first = world.send("doc-1", set_id="set")
    world.send("doc-2", set_id="set", version=2, entity=OTHER_ENTITY)
    assert world.states(first)["role:a/mssante"] == "queued"


def test_parallel_legs_to_a_record_are_a_role_of_their_own(world: World) -> None:
    older = world.send("doc-1", set_id="set", roles=("record:dmp",), channels=(RECORD,))
    world.send("doc-2", set_id="set", version=2, roles=("role:a",), intent=Intent.REPLACE)
    assert world.states(older) == {"record:dmp/shared_record": "queued"}


def test_two_versions_prepared_at_once_leave_one_to_send(world: World) -> None:
    import threading

    pairs = []
    for n in range(6):
        ids = [world.receive(), world.receive()]
        stored = [stored_submission(f"d{n}-{v}", ids[v - 1], version=v, set_id=f"set-{n}") for v in (1, 2)]
        pairs.append((ids, stored))
    fences = {claim.receipt.id: claim.fence for claim in world.ledger.claim_receipts("w", 50, LEASE)}
    errors: list[Exception] = []
    for ids, stored in pairs:
        start = threading.Barrier(2)

        def commit(index: int, ids: list[str] = ids, stored: list = stored, start: threading.Barrier = start) -> None:  # type: ignore[type-arg]
            start.wait()
            try:
                world.ledger.commit_effects(ids[index], fences[ids[index]], StoredEffects((stored[index],)))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=commit, args=(index,)) for index in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    for _, (old, new) in pairs:
        assert world.states(old.translation.submission)["role:a/mssante"] == "superseded"
        assert world.states(new.translation.submission)["role:a/mssante"] == "queued"


def test_a_missing_link_that_comes_late_tells_the_last_what_it_replaces(world: World) -> None:
    first = world.send("doc-1")
    world.accepted()
    last = world.send("doc-3", replaces="doc-2", version=3, intent=Intent.REPLACE)
    world.send("doc-2", replaces="doc-1", version=2, roles=("role:z",), intent=Intent.REPLACE)
    assert world.deliveries(last.id)[0].replaces_sent_on == world.clock().isoformat()
    assert world.states(first)["role:a/mssante"] == "accepted"


def test_an_older_version_queued_again_after_an_unclear_send_may_have_left(world: World) -> None:
    older = world.send("doc-1", set_id="set")
    world.settle(world.on_wire(), S.UNCLEAR, cause="no-answer", not_before=world.clock())
    world.ledger.reap({})
    newer = world.send("doc-2", version=2, set_id="set", intent=Intent.REPLACE)
    assert world.states(older)["role:a/mssante"] == "superseded"
    assert world.deliveries(newer.id)[0].replaces_sent_on == world.clock().isoformat()


def test_a_role_that_has_its_legs_keeps_them_when_it_is_prepared_again(world: World) -> None:
    receipt_id = world.receive()
    first = stored_submission("doc-1", receipt_id, channels=(MAIL,))
    submission = first.translation.submission
    item = work_item(world, WorkAbout.SUBMISSION, submission.id)
    world.prepare(first, items=(item,), receipt_id=receipt_id)
    world.accepted()
    world.ledger.resolve(item.id, Decision.RETRY, "x", legal_entity=ENTITY)
    world.prepare(stored_submission("doc-1", receipt_id, channels=(MAIL, FAX)), receipt_id=receipt_id)
    assert world.states(submission) == {"role:a/mssante": "accepted"}
