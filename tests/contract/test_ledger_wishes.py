"""Words on patients, changes of visibility, on both engines: found under every number, ordered, alone in their entity."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from adapter.errors import StaleClaimError
from adapter.ledger.patient_wishes import names_of_document
from adapter.model.identity import INS_TEST, Ins, LocalIdentifier, PatientIdentity
from adapter.model.patient import PATIENT_NUMBER
from adapter.model.receipt import ContentKind
from adapter.model.wish import PatientWord, WishFor, Word
from tests.builders.ledger import ENTITY, OTHER_ENTITY, RECORD, World

pytestmark = pytest.mark.contract

INS = Ins("183092B05001243", INS_TEST)
IPP = LocalIdentifier("1234", "1.2.250.1.999.1", PATIENT_NUMBER)
BY_INS, BY_IPP = PatientIdentity("", ins=INS), PatientIdentity("", local_ids=(IPP,))


def say(world: World, who: PatientIdentity, said: Word, *, minutes: int = 0, entity: str = ENTITY) -> None:
    word = PatientWord(WishFor.RECORD, said, "accueil", world.clock() + timedelta(minutes=minutes))
    world.ledger.keep_patient_word(names_of_document(who), word, legal_entity=entity)


def heard(world: World, who: PatientIdentity, entity: str = ENTITY) -> list[str]:
    return [word.said.value for word in world.ledger.patient_words(who, None, legal_entity=entity)]


def test_words_are_found_under_every_number_oldest_first(world: World) -> None:
    both = PatientIdentity("", ins=INS, local_ids=(IPP,))
    say(world, both, Word.REFUSED, minutes=2)
    say(world, both, Word.AGREED, minutes=1)
    for who in (both, BY_INS, BY_IPP):
        assert heard(world, who) == ["agreed", "refused"]


def test_another_number_another_authority_and_another_entity_hear_nothing(world: World) -> None:
    say(world, BY_IPP, Word.REFUSED)
    assert heard(world, BY_INS) == []
    assert heard(world, PatientIdentity("", local_ids=(LocalIdentifier("1234", "1.2.250.1.999.2", PATIENT_NUMBER),))) == []
    assert heard(world, BY_IPP, OTHER_ENTITY) == []


def test_no_number_lies_in_clear(world: World) -> None:
    from sqlalchemy import text

    say(world, PatientIdentity("", ins=INS, local_ids=(IPP,)), Word.REFUSED)
    with world.ledger._database.read() as connection:
        rows = [*connection.execute(text("SELECT * FROM patient_wish")), *connection.execute(text("SELECT * FROM lookup"))]
    assert len(rows) == 3
    assert not any(secret in str(row) for row in rows for secret in (INS.value, INS.value[:13], IPP.value + "'"))


def test_changes_of_visibility_are_numbered_and_the_newest_rules(world: World) -> None:
    ledger = world.ledger
    assert ledger.visibility_change("doc-1", legal_entity=ENTITY) is None
    first = ledger.order_visibility("doc-1", frozenset({"patient"}), "dr", legal_entity=ENTITY)
    assert ledger.order_visibility("doc-1", frozenset({"patient"}), "dr", legal_entity=ENTITY) == ""
    second = ledger.order_visibility("doc-1", frozenset(), "dr", legal_entity=ENTITY)
    kept = ledger.visibility_change("doc-1", legal_entity=ENTITY)
    assert kept is not None
    assert (first != second, kept.number, kept.hidden) == (True, 2, frozenset())
    assert ledger.visibility_change("doc-1", legal_entity=OTHER_ENTITY) is None
    assert ledger.visibility_change("doc-2", legal_entity=ENTITY) is None


def test_an_order_is_a_receipt_to_prepare(world: World) -> None:
    order = world.ledger.order_visibility("doc-1", frozenset({"patient"}), "dr", legal_entity=ENTITY)
    (claim,) = world.ledger.claim_receipts("w1", 10, timedelta(seconds=60))
    assert (claim.receipt.id, claim.receipt.kind, claim.receipt.principal) == (order, ContentKind.CORRECTION, "dr")


def test_what_a_worker_holds_goes_back_when_its_visibility_changes(world: World) -> None:
    """It was read as it might be seen before: put on the wire now, it would leave unmasked and nobody would be told."""
    submission = world.send("doc-1", channels=(RECORD,))
    delivery = world.claim_one(RECORD)
    world.ledger.order_visibility("doc-1", frozenset({"patient"}), "dr", legal_entity=ENTITY)
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    assert world.states(submission) == {"role:a/shared_record": "queued"}
    again = world.claim_one(RECORD)
    assert (again.id, again.attempts) == (delivery.id, 1)


def test_a_change_takes_nothing_else_from_the_hands_of_workers(world: World) -> None:
    world.send("doc-2", channels=(RECORD,))
    delivery = world.claim_one(RECORD)
    world.ledger.order_visibility("doc-1", frozenset({"patient"}), "dr", legal_entity=ENTITY)
    world.ledger.order_visibility("doc-2", frozenset({"patient"}), "dr", legal_entity=OTHER_ENTITY)
    world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())


def test_many_who_say_the_same_at_once_make_one_change(world: World) -> None:
    ledgers = [world.second_ledger() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        orders = list(
            pool.map(lambda ledger: ledger.order_visibility("doc-1", frozenset({"patient"}), "dr", legal_entity=ENTITY), ledgers)
        )
    for ledger in ledgers:
        ledger.close()
    assert len([order for order in orders if order]) == 1


def test_documents_are_found_by_their_id_in_their_entity(world: World) -> None:
    sent = world.send("doc-7")
    assert world.ledger.submissions_of("doc-7", legal_entity=ENTITY) == (sent.id,)
    assert world.ledger.submissions_of("doc-7", legal_entity=OTHER_ENTITY) == ()
