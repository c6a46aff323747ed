"""Who sees what of the record, who may write, what a patient's wishes stop; and that each deed leaves its trace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.audit.audit_event import audit_event
from adapter.record.refusals import RecordRefusal
from adapter.record.rights import Client
from adapter.record.shelf import Shelf
from tests.builders import record as r
from tests.builders.ledger import ENTITY, PATIENT_NAME, World

pytestmark = pytest.mark.contract

PATIENT = [("patient.identifier", f"{r.INS_TEST_SYSTEM}|{r.INS_ONE}")]


@pytest.fixture
def shelf(world: World) -> Shelf:
    return r.shelf_of(world.ledger)


def feed(shelf: Shelf, number: int, *labels: str, client: Client = r.FEEDER, **said: Any) -> r.Resource:
    return shelf.provide(client, r.written(r.transaction(number, b"%d" % number, labels=labels or ("N",), **said)))


def seen(shelf: Shelf, client: Client) -> set[str]:
    """The numbers of the documents that a client finds; each can be read, with its bytes."""
    page = shelf.search(client, "DocumentReference", PATIENT, strict=False)
    numbers = set()
    for held in page.found:
        made = held.resource()
        number = made["masterIdentifier"]["value"].rpartition(".")[2]
        shelf.read(client, "DocumentReference", made["id"])
        assert shelf.read(client, *made["content"][0]["attachment"]["url"].split("/")).data == number.encode()
        numbers.add(number)
    assert page.total == len(numbers)
    return numbers


def status_of(act: Any, *args: Any, **said: Any) -> tuple[int, str]:
    with pytest.raises(RecordRefusal) as error:
        act(*args, **said)
    return error.value.reason.status, str(error.value)


def test_each_kind_of_client_sees_its_own_part(shelf: Shelf) -> None:
    feed(shelf, 1)
    feed(shelf, 2, "N", "MASQUE_PS")
    feed(shelf, 3, "N", "INVISIBLE_PATIENT")
    feed(shelf, 4, "R")
    feed(shelf, 5, "V")
    feed(shelf, 6, client=r.OTHER_FEEDER, organisation=r.TOWN)
    feed(shelf, 7, "N", "MASQUE_PS", client=r.OTHER_FEEDER, organisation=r.TOWN)
    assert seen(shelf, r.DOCTOR) == {"1", "3", "6", "7"}  # its own structure wrote 7
    assert seen(shelf, r.WARD) == {"1", "2", "3", "4", "5", "6"}
    assert seen(shelf, r.PORTAL) == {"1", "2", "4", "5", "6", "7"}
    assert seen(shelf, r.FEEDER) == {"1", "2", "3", "4", "5"}
    assert seen(shelf, r.OTHER_FEEDER) == {"6", "7"}


def test_what_is_invisible_to_representatives_is_hidden_while_the_patient_is_a_minor(shelf: Shelf, world: World) -> None:
    child = r.transaction(1, b"1", labels=("N", "INVISIBLE_REPRESENTANTS_LEGAUX"))
    r.resource_in(child, "Patient")["birthDate"] = "2010-11-22"
    shelf.provide(r.FEEDER, r.written(child))
    assert seen(shelf, r.PORTAL) == set()
    assert seen(shelf, r.DOCTOR) == {"1"}
    world.clock.advance(days=366 * 3)
    assert seen(shelf, r.PORTAL) == {"1"}


def test_what_is_hidden_does_not_exist_for_the_caller(shelf: Shelf) -> None:
    answer = feed(shelf, 1, "N", "MASQUE_PS")
    places = [entry["response"]["location"].split("/")[:2] for entry in answer["entry"][:3]]
    for kind, held_id in places:
        assert status_of(shelf.read, r.DOCTOR, kind, held_id) == (404, "record.not-found")
        shelf.read(r.WARD, kind, held_id)
    assert shelf.search(r.DOCTOR, "List", PATIENT, strict=False).total == 0


def test_a_change_of_visibility_takes_effect_at_once(shelf: Shelf) -> None:
    feed(shelf, 1)
    chosen = [("identifier", f"{r.URI}|{r.unique_of(1)}")]
    shelf.amend_where(r.FEEDER, chosen, r.patch_labels("N", "MASQUE_PS"), "")
    assert seen(shelf, r.DOCTOR) == set()
    shelf.amend_where(r.FEEDER, chosen, r.patch_labels("N"), "")
    assert seen(shelf, r.DOCTOR) == {"1"}


def test_nothing_crosses_from_one_legal_entity_to_another(shelf: Shelf) -> None:
    answer = feed(shelf, 1)
    for entry in answer["entry"]:
        kind, held_id = entry["response"]["location"].split("/")[:2]
        assert status_of(shelf.read, r.STRANGER, kind, held_id)[0] == 404
    assert seen(shelf, r.STRANGER) == set()
    assert shelf.search(r.STRANGER, "Patient", [("identifier", f"{r.INS_TEST_SYSTEM}|{r.INS_ONE}")], strict=False).total == 0


def test_only_a_feeder_writes_and_only_an_administrator_administers(shelf: Shelf) -> None:
    for client in (r.DOCTOR, r.PORTAL, r.KEEPER):
        assert status_of(shelf.provide, client, r.written(r.transaction(1))) == (403, "record.role")
        assert status_of(shelf.publish, client, {}, "") == (403, "record.role")
    for client in (r.DOCTOR, r.PORTAL, r.FEEDER):
        assert status_of(shelf.set_consent, client, {}) == (403, "record.role")
        assert status_of(shelf.audited, client, {}, None, 0, 10) == (403, "record.role")
    assert status_of(shelf.search, r.KEEPER, "DocumentReference", PATIENT, strict=False) == (403, "record.role")


def test_readers_must_say_whose_documents_they_look_for(shelf: Shelf) -> None:
    feed(shelf, 1)
    for client in (r.DOCTOR, r.PORTAL):
        for kind in ("DocumentReference", "List"):
            assert status_of(shelf.search, client, kind, [("status", "current")], strict=False) == (400, "record.patient-wanted")
    assert status_of(shelf.search, r.DOCTOR, "Patient", [], strict=False)[0] == 400
    assert shelf.search(r.FEEDER, "DocumentReference", [("status", "current")], strict=False).total == 1


# ── wishes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("system", [r.INS_TEST_SYSTEM, r.URI])
def test_a_system_alone_names_nobody(shelf: Shelf, system: str) -> None:
    feed(shelf, 1)
    feed(shelf, 2, ins=r.INS_TWO)
    asked = [("DocumentReference", "patient.identifier"), ("DocumentReference", "identifier"), ("Patient", "identifier")]
    for client in (r.DOCTOR, r.PORTAL):
        for kind, name in (*asked, ("List", "patient.identifier"), ("List", "identifier")):
            wanted = (400, "record.patient-wanted")
            assert status_of(shelf.search, client, kind, [(name, f"{system}|")], strict=False) == wanted, (kind, name)


def hidden_from_the_other(shelf: Shelf, way: str, number: int) -> str:
    """What another feeder learns who makes a document under a condition that finds a masked one of the hospital's."""
    made = r.transaction(number, b"other", organisation=r.TOWN)
    condition = f"identifier={r.URI}|{r.unique_of(1)}"
    if way == "transaction":
        made["entry"][1]["request"]["ifNoneExist"] = condition
        answer = shelf.provide(r.OTHER_FEEDER, r.written(made))
        return str(answer["entry"][1]["response"]["location"].split("/")[1])
    single = r.resource_in(made, "DocumentReference")
    single["meta"] = {"profile": [r.PDSM + "pdsm-simplified-publish"]}
    single["subject"] = {"identifier": {"system": r.INS_TEST_SYSTEM, "value": r.INS_ONE}}
    attachment = single["content"][0]["attachment"]
    del attachment["url"]
    attachment["data"] = "b3RoZXI="
    held, _ = shelf.publish(r.OTHER_FEEDER, single, condition)
    return held.row.id


@pytest.mark.parametrize("way", ["transaction", "simple"])
def test_a_condition_finds_nothing_that_another_structure_fed(shelf: Shelf, way: str) -> None:
    answer = feed(shelf, 1, "N", "MASQUE_PS")
    theirs = answer["entry"][1]["response"]["location"].split("/")[1]
    assert hidden_from_the_other(shelf, way, 2) != theirs
    assert seen(shelf, r.FEEDER) == {"1"}
    assert {held.row.organisation for held in shelf.search(r.OTHER_FEEDER, "DocumentReference", PATIENT, strict=False).found} == {
        r.TOWN
    }


def consent(kind: str, *actions: str, patient: r.Resource | None = None) -> r.Resource:
    provision: r.Resource = {"type": kind}
    if actions:
        system = "http://terminology.hl7.org/CodeSystem/consentaction"
        provision["action"] = [r.coded(system, action) for action in actions]
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": r.coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [r.coded(r.LOINC, "59284-0")],
        "patient": patient or {"identifier": {"system": r.INS_TEST_SYSTEM, "value": r.INS_ONE}},
        "policy": [{"uri": "https://www.legifrance.gouv.fr/codes/article_lc/LEGIARTI000043496464"}],
        "provision": provision,
    }


def test_an_opposition_to_feeding_refuses_documents_until_it_is_lifted(shelf: Shelf) -> None:
    feed(shelf, 1)
    shelf.set_consent(r.KEEPER, consent("deny", "collect"))
    body = r.written(r.transaction(2))
    assert status_of(shelf.provide, r.FEEDER, body) == (422, "record.feeding-opposed")
    assert seen(shelf, r.DOCTOR) == {"1"}
    shelf.set_consent(r.KEEPER, consent("permit"))
    shelf.provide(r.FEEDER, r.written(r.transaction(2, b"2")))
    assert seen(shelf, r.DOCTOR) == {"1", "2"}


def test_an_opposition_to_reading_stops_professionals_but_neither_the_patient_nor_who_fed(shelf: Shelf) -> None:
    answer = feed(shelf, 1)
    shelf.set_consent(r.KEEPER, consent("deny", "access"))
    search = ("DocumentReference", PATIENT)
    assert status_of(shelf.search, r.DOCTOR, *search, strict=False) == (403, "record.reading-opposed")
    kind, held_id = answer["entry"][1]["response"]["location"].split("/")[:2]
    assert status_of(shelf.read, r.DOCTOR, kind, held_id) == (403, "record.reading-opposed")
    by_id = [("identifier", f"{r.URI}|{r.unique_of(1)}")]
    assert shelf.search(r.DOCTOR, "DocumentReference", by_id, strict=False).total == 0
    assert seen(shelf, r.PORTAL) == seen(shelf, r.FEEDER) == {"1"}


def test_a_closed_record_neither_takes_nor_shows(shelf: Shelf) -> None:
    feed(shelf, 1)
    shelf.set_consent(r.KEEPER, consent("deny"))
    assert status_of(shelf.provide, r.FEEDER, r.written(r.transaction(2))) == (422, "record.closed")
    for client in (r.DOCTOR, r.PORTAL):
        assert status_of(shelf.search, client, "DocumentReference", PATIENT, strict=False) == (403, "record.reading-closed")


def test_where_an_agreement_is_needed_nothing_is_fed_before_it(world: World) -> None:
    shelf = r.shelf_of(world.ledger, needs_consent=True)
    assert status_of(shelf.provide, r.FEEDER, r.written(r.transaction(1))) == (422, "record.not-open")
    assert status_of(shelf.set_consent, r.KEEPER, consent("permit")) == (422, "record.patient-unknown")
    held, is_new = shelf.open_patient(r.KEEPER, r.patient())
    assert is_new
    shelf.set_consent(r.KEEPER, consent("permit", patient={"reference": f"Patient/{held.row.id}"}))
    feed(shelf, 1)


def test_one_consent_is_in_force_and_the_ones_before_have_ended(shelf: Shelf) -> None:
    shelf.open_patient(r.KEEPER, r.patient())
    for kind in ("deny", "permit"):
        shelf.set_consent(r.KEEPER, consent(kind))
    states = {
        state: [
            h.resource()["provision"]["type"]
            for h in shelf.search(r.KEEPER, "Consent", [*PATIENT, ("status", state)], strict=False).found
        ]
        for state in ("active", "inactive")
    }
    assert states == {"active": ["permit"], "inactive": ["deny"]}


@pytest.mark.parametrize(
    "change",
    [
        {"status": "draft"},
        {"scope": r.coded("x", "research")},
        {"provision": {}},
        {"provision": {"type": "deny", "action": [r.coded("x", "collect")]}},
        {"provision": {"type": "deny", "period": {"start": "2026"}}},
        {"provision": {"type": "deny", "provision": [{"type": "permit"}]}},
    ],
)
def test_a_consent_that_would_be_half_obeyed_is_refused(shelf: Shelf, change: r.Resource) -> None:
    shelf.open_patient(r.KEEPER, r.patient())
    assert status_of(shelf.set_consent, r.KEEPER, {**consent("deny"), **change})[0] == 422


# ── traces ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_read_write_and_refusal_is_an_audit_event(shelf: Shelf) -> None:
    answer = feed(shelf, 1)
    kind, held_id = answer["entry"][1]["response"]["location"].split("/")[:2]
    patient = "/".join(answer["entry"][3]["response"]["location"].split("/")[:2])
    shelf.read(r.DOCTOR, kind, held_id)
    shelf.search(r.PORTAL, kind, PATIENT, strict=False)
    shelf.tell_refusal(r.DOCTOR, "record.role", "DocumentReference")
    rows = shelf.audited(r.KEEPER, {}, None, 0, 100)
    events = [audit_event(row, observer="essai") for row in rows]
    told = {(e["subtype"][0]["code"], e["action"], e["agent"][0]["altId"]) for e in events}
    assert told == {
        ("create", "C", "hopital"),
        ("read", "R", "cabinet"),
        ("search", "E", "portail"),
        ("operation", "E", "cabinet"),
    }
    (read,) = [e for e in events if e["subtype"][0]["code"] == "read"]
    assert [entity["what"]["reference"] for entity in read["entity"]] == [patient, f"{kind}/{held_id}"]
    assert read["subtype"][2] == {"system": "urn:ihe:event-type-code", "code": "ITI-67"}
    (refusal,) = [e for e in events if e["outcome"] == "4"]
    assert refusal["outcomeDesc"] == "record.role"
    assert PATIENT_NAME not in json.dumps(events)
    assert r.INS_ONE not in json.dumps(events)


def test_traces_are_found_by_client_resource_and_patient(shelf: Shelf) -> None:
    feed(shelf, 1)
    other = shelf.provide(r.FEEDER, r.written(r.transaction(2, b"2", ins=r.INS_TWO)))
    patient = "/".join(other["entry"][3]["response"]["location"].split("/")[:2])
    document = "/".join(other["entry"][1]["response"]["location"].split("/")[:2])
    shelf.search(r.DOCTOR, "DocumentReference", [("patient", patient)], strict=False)

    def count(**narrowed: str) -> int:
        return len(shelf.audited(r.KEEPER, narrowed, None, 0, 100))

    assert (count(agent="hopital"), count(agent="cabinet"), count(agent="personne")) == (8, 1, 0)
    assert (count(patient=patient), count(entity=document)) == (5, 1)


def test_what_failed_leaves_no_trace_of_a_write(shelf: Shelf, world: World) -> None:
    with pytest.raises(RecordRefusal):
        shelf.provide(r.FEEDER, r.written(r.transaction(1, replaces="urn:oid:1.2.3")))
    assert shelf.audited(r.KEEPER, {}, None, 0, 100) == []
    assert world.ledger.record.read(ENTITY, lambda rows: rows.count("Patient", [])) == 0
