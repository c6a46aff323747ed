"""What the record takes and what it refuses, on both engines: whole, once, true, about one patient."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from sqlalchemy import func, select

from adapter.ledger import record_tables, tables
from adapter.record.refusals import RecordRefusal
from adapter.record.rights import Client
from adapter.record.shelf import Shelf
from tests.builders import record as r
from tests.builders.cda import build_n1
from tests.builders.ledger import World

pytestmark = pytest.mark.contract


@pytest.fixture
def shelf(world: World) -> Shelf:
    return r.shelf_of(world.ledger)


def provided(shelf: Shelf, bundle: r.Resource, client: Client = r.FEEDER) -> list[str]:
    """The status of each entry."""
    return [entry["response"]["status"] for entry in shelf.provide(client, r.written(bundle))["entry"]]


def refusal(shelf: Shelf, bundle: r.Resource, client: Client = r.FEEDER) -> list[tuple[str, str]]:
    """Codes and places of what is refused."""
    with pytest.raises(RecordRefusal) as error:
        shelf.provide(client, r.written(bundle))
    return [(one.code, one.location) for one in error.value.findings]


def found(shelf: Shelf, client: Client = r.FEEDER, **said: str) -> list[r.Resource]:
    """Documents found, with names as they are asked (`patient__identifier` for `patient.identifier`)."""
    pairs = [(name.replace("__", "."), value) for name, value in said.items()]
    page = shelf.search(client, "DocumentReference", pairs, strict=False)
    return [held.resource() for held in page.found]


def rows_in(world: World, table: Any) -> int:
    with world.ledger._database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def everything(world: World) -> tuple[int, ...]:
    """How many rows the record's tables and the chunks hold."""
    held = (record_tables.record_resource, record_tables.record_token, record_tables.record_span, record_tables.record_link)
    return tuple(rows_in(world, table) for table in (*held, tables.payload_chunk))


def test_a_submission_is_taken_whole_and_its_documents_are_given_back_byte_for_byte(shelf: Shelf) -> None:
    data = b"%PDF-1.7 \x00\xff"
    assert provided(shelf, r.transaction(1, data)) == ["201 Created"] * 4
    (document,) = found(shelf, identifier=f"{r.URI}|{r.unique_of(1)}")
    attachment = document["content"][0]["attachment"]
    kind, _, binary_id = attachment["url"].partition("/")
    assert shelf.read(r.FEEDER, kind, binary_id).data == data
    assert document["subject"]["reference"].startswith("Patient/")
    assert "urn:uuid:" not in json.dumps([document["subject"], document["content"]])


def test_the_same_transaction_again_finds_all_and_adds_nothing(shelf: Shelf, world: World) -> None:
    provided(shelf, r.transaction(1))
    before = everything(world)
    assert provided(shelf, r.transaction(1)) == ["200 OK"] * 4
    assert everything(world) == before


def test_without_conditions_a_known_document_is_refused_as_a_duplicate(shelf: Shelf) -> None:
    provided(shelf, r.transaction(1))
    again = r.transaction(1, conditional=False)
    assert refusal(shelf, again)[0][0] == "record.duplicate"


def test_a_fhir_document_is_kept_as_its_sender_wrote_it(shelf: Shelf) -> None:
    composition = {"resourceType": "Composition", "status": "final", "title": "été"}
    spaced = json.dumps(
        {"resourceType": "Bundle", "type": "document", "entry": [{"fullUrl": "urn:x", "resource": composition}]},
        indent=1, ensure_ascii=False,
    )  # fmt: skip
    bundle = r.transaction(1, spaced.encode(), media_type="application/fhir+json")
    text = json.dumps(bundle, ensure_ascii=False)
    binary = json.dumps(r.resource_in(bundle, "Binary"), ensure_ascii=False)
    body = text.replace(binary, spaced).replace('"url": "Binary"', '"url": "Bundle"').encode()
    answer = shelf.provide(r.FEEDER, body)
    location = answer["entry"][2]["response"]["location"]
    kind, held_id, *_ = location.split("/")
    assert (kind, shelf.read(r.FEEDER, kind, held_id).data) == ("Bundle", spaced.encode())


# ── refused, with nothing left ─────────────────────────────────────────────────────────────────────────────────────

WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a size that is not true": ({"content__0__attachment__size": 3}, "record.size", "attachment.size"),
    "a hash that is not true": ({"content__0__attachment__hash": "AAAA"}, "record.hash", "attachment.hash"),
    "another content type": ({"content__0__attachment__contentType": "text/xml"}, "record.content-type", "contentType"),
    "a document that is not there": ({"content__0__attachment__url": "urn:uuid:none"}, "record.attachment-missing", "url"),
    "no hash": ({"content__0__attachment__hash": None}, "record.required", "attachment.hash"),
    "no size": ({"content__0__attachment__size": None}, "record.required", "attachment.size"),
    "no title": ({"content__0__attachment__title": None}, "record.required", "attachment.title"),
    "no type": ({"type": None}, "record.required", "type"),
    "no category": ({"category": None}, "record.required", "category"),
    "no custodian": ({"custodian": None}, "record.required", "custodian"),
    "no visibility": ({"securityLabel": None}, "record.required", "securityLabel"),
    "no unique id": ({"masterIdentifier": None}, "record.required", "masterIdentifier.value"),
    "a unique id that is no URI": ({"masterIdentifier__value": "1.2.3"}, "record.value", "masterIdentifier"),
    "no setting": ({"context__practiceSetting": None}, "record.required", "context.practiceSetting"),
    "no source patient": ({"context__sourcePatientInfo": None}, "record.required", "context.sourcePatientInfo"),
    "an author outside": ({"author__0__reference": "Practitioner/1"}, "record.reference", "author[0]"),
    "a status of the past": ({"status": "superseded"}, "record.value", "status"),
    "an unknown element": ({"colour": "red"}, "record.shape", "DocumentReference"),
    "an absurd date": ({"date": "2026-02-31T10:00:00Z"}, "record.shape", "date"),
    "a patient elsewhere": ({"subject__reference": "Patient/unknown"}, "record.other-patient", "subject"),
    "a reference to nowhere": ({"context__related": [{"reference": "urn:uuid:nowhere"}]}, "record.reference", "related"),
    "a reference to what is not held": ({"context__related": [{"reference": "Encounter/7"}]}, "record.reference", "related"),
    "a replaced document that nobody knows": (
        {"relatesTo": [{"code": "replaces", "target": {"identifier": {"system": r.URI, "value": "urn:oid:1.2.3"}}}]},
        "record.replaced-unknown",
        "relatesTo[0].target",
    ),
    "a replaced document by an unknown id": (
        {"relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/unknown"}}]},
        "record.replaced-unknown",
        "relatesTo[0].target",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_and_leaves_nothing(shelf: Shelf, world: World, case: str) -> None:
    change, code, place = WRONG[case]
    before = everything(world)
    told = refusal(shelf, r.changed(r.transaction(1), **change))
    assert code in [one for one, _ in told], told
    assert any(place in where for _, where in told), told
    assert everything(world) == before


def test_every_fault_is_told_at_once(shelf: Shelf) -> None:
    told = refusal(shelf, r.changed(r.transaction(1), type=None, category=None, content__0__attachment__size=1))
    assert {code for code, _ in told} == {"record.required", "record.size"}
    assert len(told) == 3


def without(bundle: r.Resource, kind: str) -> r.Resource:
    return {**bundle, "entry": [one for one in bundle["entry"] if one["resource"]["resourceType"] != kind]}


def with_entry(bundle: r.Resource, *more: r.Resource) -> r.Resource:
    return {**bundle, "entry": [*bundle["entry"], *more]}


def test_a_transaction_without_its_profile_set_or_documents_is_refused(shelf: Shelf) -> None:
    right = r.transaction(1)
    assert refusal(shelf, {**right, "meta": {"profile": ["https://elsewhere.example/x"]}})[0][0] == "record.profile-missing"
    assert refusal(shelf, {key: value for key, value in right.items() if key != "meta"})[0][0] == "record.profile-missing"
    assert ("record.set", "Bundle.entry") in refusal(shelf, without(right, "List"))
    assert "record.attachment-missing" in [code for code, _ in refusal(shelf, without(right, "Binary"))]
    assert refusal(shelf, {**right, "type": "batch"})[0][0] == "record.structure"
    assert refusal(shelf, {**right, "entry": []})[0][0] == "record.structure"


def test_a_set_that_forgets_a_document_and_a_content_of_nobody_are_refused(shelf: Shelf) -> None:
    two, one = r.transaction(2), r.transaction(1)
    forgotten = with_entry(one, *[e for e in two["entry"] if e["resource"]["resourceType"] in ("DocumentReference", "Binary")])
    assert "record.set" in [code for code, _ in refusal(shelf, forgotten)]
    orphan = with_entry(one, r.entry("urn:uuid:orphan", r.binary(b"x")))
    assert refusal(shelf, orphan)[0][0] == "record.attachment-unused"


def test_other_resources_and_methods_have_no_place_in_a_submission(shelf: Shelf) -> None:
    observation = r.entry("urn:uuid:o", {"resourceType": "Observation", "status": "final"})
    assert refusal(shelf, with_entry(r.transaction(1), observation))[0][0] == "record.resource-kind"
    deleting = copy.deepcopy(r.transaction(1))
    deleting["entry"][1]["request"]["method"] = "DELETE"
    assert refusal(shelf, deleting)[0][0] == "record.method"


def test_a_condition_that_is_no_search_or_finds_everything_is_refused(shelf: Shelf) -> None:
    for condition in ("colour=red", "identifier=", "_format=json"):
        bundle = copy.deepcopy(r.transaction(1))
        bundle["entry"][1]["request"]["ifNoneExist"] = condition
        assert refusal(shelf, bundle)[0][0] == "record.condition"


def test_a_condition_with_several_matches_creates_nothing(shelf: Shelf, world: World) -> None:
    for number in (1, 2):
        provided(shelf, r.transaction(number))
    before = everything(world)
    bundle = copy.deepcopy(r.transaction(3))
    bundle["entry"][1]["request"]["ifNoneExist"] = f"type={r.LOINC}|11490-0"
    assert refusal(shelf, bundle)[0][0] == "record.several"
    assert everything(world) == before


# ── one patient ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_part_that_names_another_patient_refuses_the_whole(shelf: Shelf) -> None:
    right = r.transaction(1)
    other_source = r.changed(right, contained__0__identifier__0__value=r.INS_TWO)
    assert refusal(shelf, other_source) == [("record.other-patient", "Bundle.entry[1].resource.context.sourcePatientInfo")]
    two_patients = with_entry(right, r.entry("urn:uuid:p2", r.patient(r.INS_TWO)))
    assert "record.other-patient" in [code for code, _ in refusal(shelf, two_patients)]


def test_a_cda_of_another_patient_is_refused_and_of_the_same_is_taken(shelf: Shelf) -> None:
    cda = build_n1()
    matricule = cda.split(b'root="1.2.250.1.213.1.4.10" extension="')[1].split(b'"')[0].decode()
    assert provided(shelf, r.transaction(1, cda, ins=matricule, media_type="text/xml"))[0] == "201 Created"
    other = r.INS_ONE if matricule != r.INS_ONE else r.INS_TWO
    assert refusal(shelf, r.transaction(2, cda, ins=other, media_type="text/xml")) == [
        ("record.other-patient", "Bundle.entry[1].resource.content[0].attachment")
    ]


@pytest.mark.parametrize(
    ("ins", "system", "code"),
    [
        ("279035121518900", r.INS_TEST_SYSTEM, "record.ins-key"),
        (r.INS_ONE, "urn:oid:1.2.250.1.213.1.4.8", "record.ins-domain"),
        ("27903512", r.INS_TEST_SYSTEM, "record.ins-key"),
        ("279035121518989", "urn:oid:1.2.3.4", "record.patient-missing"),
    ],
)
def test_a_matricule_that_this_instance_does_not_take_is_refused(shelf: Shelf, ins: str, system: str, code: str) -> None:
    bundle = copy.deepcopy(r.transaction(1, ins=ins))
    r.resource_in(bundle, "Patient")["identifier"][0]["system"] = system
    assert code in [one for one, _ in refusal(shelf, bundle)]


def test_a_production_record_takes_no_test_matricule(world: World) -> None:
    assert refusal(r.shelf_of(world.ledger, production=True), r.transaction(1))[0][0] == "record.ins-domain"


def test_two_documents_of_one_patient_leave_one_patient(shelf: Shelf, world: World) -> None:
    for number in (1, 2):
        provided(shelf, r.transaction(number))
    page = shelf.search(r.DOCTOR, "Patient", [("identifier", f"{r.INS_TEST_SYSTEM}|{r.INS_ONE}")], strict=False)
    assert page.total == 1


def test_a_patient_held_here_may_be_named_by_its_id(shelf: Shelf) -> None:
    answer = shelf.provide(r.FEEDER, r.written(r.transaction(1)))
    place = "/".join(answer["entry"][3]["response"]["location"].split("/")[:2])
    text = json.dumps(without(r.transaction(2), "Patient")).replace(r.urn("patient", r.INS_ONE), place)
    assert provided(shelf, json.loads(text)) == ["201 Created"] * 3


# ── replacement ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_replacement_supersedes_the_document_that_it_names(shelf: Shelf) -> None:
    provided(shelf, r.transaction(1))
    provided(shelf, r.transaction(2, b"second", replaces=r.unique_of(1)))
    states = {one["masterIdentifier"]["value"]: one["status"] for one in found(shelf)}
    assert states == {r.unique_of(1): "superseded", r.unique_of(2): "current"}
    (new,) = found(shelf, status="current")
    (old,) = found(shelf, status="superseded")
    assert new["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{old['id']}"
    assert old["meta"]["versionId"] == "2"


def test_a_replacement_sent_again_is_found_again(shelf: Shelf, world: World) -> None:
    provided(shelf, r.transaction(1))
    provided(shelf, r.transaction(2, b"second", replaces=r.unique_of(1)))
    before = everything(world)
    assert provided(shelf, r.transaction(2, b"second", replaces=r.unique_of(1))) == ["200 OK"] * 4
    assert everything(world) == before


def test_a_document_is_replaced_once_by_its_own_structure_and_for_the_same_patient(shelf: Shelf) -> None:
    provided(shelf, r.transaction(1))
    assert refusal(shelf, r.transaction(5, ins=r.INS_TWO, replaces=r.unique_of(1)))[0][0] == "record.replaced-other"
    assert refusal(shelf, r.transaction(6, replaces=r.unique_of(1)), r.OTHER_FEEDER)[0][0] == "record.replaced-other"
    provided(shelf, r.transaction(2, replaces=r.unique_of(1)))
    assert refusal(shelf, r.transaction(3, replaces=r.unique_of(1)))[0][0] == "record.replaced-superseded"


# ── metadata changes ───────────────────────────────────────────────────────────────────────────────────────────────


def by_unique(number: int) -> list[tuple[str, str]]:
    return [("identifier", f"{r.URI}|{r.unique_of(number)}")]


def operation(kind: str, path: str, **value: Any) -> r.Resource:
    parts = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    named = value.pop("name", None)
    parts += [{"name": "name", "valueString": named}] if named else []
    parts += [{"name": "value", **value}] if value else []
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def _parts(extension: r.Resource) -> list[r.Resource]:
    """An extension as FHIRPath Patch writes it: R4's Parameters hold no Extension as a value."""
    return [{"name": "url", "valueUri": extension["url"]}, {"name": "value", "valueBoolean": extension["valueBoolean"]}]


def test_visibility_status_and_archiving_change_by_either_kind_of_patch(shelf: Shelf) -> None:
    provided(shelf, r.transaction(1))
    held = shelf.amend_where(r.FEEDER, by_unique(1), r.patch_labels("N", "MASQUE_PS"), "")
    assert (held.row.version, held.row.openness.masked) == (2, True)
    shelf.amend_where(
        r.FEEDER, by_unique(1), operation("delete", "DocumentReference.securityLabel.where(coding.code='MASQUE_PS')"), ""
    )
    shelf.amend_where(
        r.FEEDER, by_unique(1),
        operation("add", "DocumentReference", name="securityLabel", valueCodeableConcept=r.label("INVISIBLE_PATIENT")), "",
    )  # fmt: skip
    archived = {"url": r.PDSM + "pdsm-ext-is-archived", "valueBoolean": True}
    shelf.amend_where(r.FEEDER, by_unique(1), operation("add", "DocumentReference", name="extension", part=_parts(archived)), "")
    held = shelf.amend_where(
        r.FEEDER, by_unique(1), operation("replace", "DocumentReference.status", valueCode="superseded"), 'W/"5"'
    )
    made = held.resource()
    assert (made["status"], made["extension"]) == ("superseded", [archived])
    assert [label["coding"][0]["code"] for label in made["securityLabel"]] == ["N", "INVISIBLE_PATIENT"]
    assert len(found(shelf, isArchived="true")) == 1


NOT_AMENDABLE: list[Any] = [
    [{"op": "replace", "path": "/type", "value": {}}],
    [{"op": "replace", "path": "/content/0/attachment/title", "value": "x"}],
    [{"op": "remove", "path": "/subject"}],
    [{"op": "add", "path": "/extension/-", "value": {"url": "https://elsewhere.example", "valueBoolean": True}}],
    operation("replace", "DocumentReference.type", valueString="x"),
    operation("add", "DocumentReference", name="author", valueReference={"reference": "#x"}),
    operation("delete", "DocumentReference.content[0]"),
]
WRONG_AMENDMENTS: list[Any] = [
    [{"op": "replace", "path": "/status", "value": "entered-in-error"}],
    [{"op": "remove", "path": "/securityLabel"}],
    [{"op": "move", "from": "/status", "path": "/securityLabel"}],
    [{"op": "test", "path": "/status", "value": "superseded"}],
    [{"op": "replace", "path": "/securityLabel/9", "value": {}}],
    [],
    {},
    operation("replace", "DocumentReference.status", valueCode="banana"),
    operation("delete", "DocumentReference.securityLabel"),
    operation("delete", "DocumentReference.securityLabel[7]"),
    {"resourceType": "Parameters", "parameter": [{"name": "other"}]},
]


@pytest.mark.parametrize("patch", NOT_AMENDABLE)
def test_nothing_else_of_a_document_changes(shelf: Shelf, patch: Any) -> None:
    provided(shelf, r.transaction(1))
    with pytest.raises(RecordRefusal) as error:
        shelf.amend_where(r.FEEDER, by_unique(1), patch, "")
    assert (error.value.reason.status, str(error.value)) == (405, "record.not-amendable")


@pytest.mark.parametrize("patch", WRONG_AMENDMENTS)
def test_a_change_that_the_profile_does_not_know_is_refused(shelf: Shelf, patch: Any) -> None:
    provided(shelf, r.transaction(1))
    with pytest.raises(RecordRefusal) as error:
        shelf.amend_where(r.FEEDER, by_unique(1), patch, "")
    assert error.value.reason.status in (422, 405)
    assert found(shelf)[0]["meta"]["versionId"] == "1"


def test_a_change_needs_one_document_of_ones_own_and_the_version_that_was_read(shelf: Shelf) -> None:
    for number in (1, 2):
        provided(shelf, r.transaction(number))
    asked: list[tuple[Client, list[tuple[str, str]], str, int]] = [
        (r.FEEDER, by_unique(9), "", 404),
        (r.OTHER_FEEDER, by_unique(1), "", 404),
        (r.FEEDER, [("type", "11490-0")], "", 412),
        (r.FEEDER, [], "", 400),
        (r.FEEDER, by_unique(1), 'W/"7"', 412),
        (r.DOCTOR, by_unique(1), "", 403),
    ]
    for client, pairs, if_match, status in asked:
        with pytest.raises(RecordRefusal) as error:
            shelf.amend_where(client, pairs, r.patch_labels("N"), if_match)
        assert error.value.reason.status == status


def test_a_document_that_was_replaced_does_not_become_current_again(shelf: Shelf) -> None:
    provided(shelf, r.transaction(1))
    provided(shelf, r.transaction(2, replaces=r.unique_of(1)))
    with pytest.raises(RecordRefusal) as error:
        shelf.amend_where(r.FEEDER, by_unique(1), [{"op": "replace", "path": "/status", "value": "current"}], "")
    assert (error.value.reason.status, str(error.value)) == (422, "record.replaced-superseded")


def test_a_patch_entry_changes_metadata_inside_a_transaction(shelf: Shelf) -> None:
    provided(shelf, r.transaction(1))
    patch = {
        "fullUrl": "urn:uuid:patch",
        "resource": operation("add", "DocumentReference", name="securityLabel", valueCodeableConcept=r.label("MASQUE_PS")),
        "request": {"method": "PATCH", "url": f"DocumentReference?identifier={r.URI}|{r.unique_of(1)}"},
    }
    bundle = {**r.transaction(1), "entry": [patch]}
    assert provided(shelf, bundle) == ["200 OK"]
    assert found(shelf)[0]["securityLabel"][1] == r.label("MASQUE_PS")


def test_a_json_patch_travels_in_a_binary_of_a_plain_transaction(shelf: Shelf) -> None:
    provided(shelf, r.transaction(1))
    change = r.binary(json.dumps(r.patch_labels("R")).encode(), "application/json-patch+json")
    address = f"DocumentReference?identifier={r.URI}|{r.unique_of(1)}"
    entry = {"resource": change, "request": {"method": "PATCH", "url": address, "ifMatch": 'W/"1"'}}
    plain = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert provided(shelf, plain) == ["200 OK"]
    assert found(shelf)[0]["securityLabel"] == [r.label("R")]
    assert refusal(shelf, plain)[0][0] == "record.stale"
    spoilt = {**plain, "entry": [{**entry, "resource": r.binary(b"[", "application/json-patch+json")}]}
    assert refusal(shelf, spoilt)[0][0] in ("record.amendment", "record.stale")


# ── simplified publish ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_document_published_simply_is_held_as_any_other(shelf: Shelf) -> None:
    held, is_new = shelf.publish(r.FEEDER, r.simple(1), "")
    made = held.resource()
    attachment = made["content"][0]["attachment"]
    assert is_new
    assert "data" not in attachment
    assert made["meta"]["profile"] == [r.PDSM + "pdsm-comprehensive-document-reference"]
    assert shelf.read(r.FEEDER, *attachment["url"].split("/")).data == b"simple"
    again, is_new = shelf.publish(r.FEEDER, r.simple(1), f"identifier={r.URI}|{r.unique_of(1)}")
    assert (is_new, again.row.id) == (False, held.row.id)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"meta": {}}, "record.profile-missing"),
        ({"type": None}, "record.required"),
        ({"subject": {"display": "?"}}, "record.patient-missing"),
        ({"subject": {"reference": "Patient/unknown"}}, "record.reference"),
        ({"subject": {"identifier": {"system": r.INS_TEST_SYSTEM, "value": r.INS_TWO}}}, "record.patient-unknown"),
    ],
)
def test_a_wrong_simple_publication_is_refused(shelf: Shelf, change: r.Resource, code: str) -> None:
    wrong = {key: value for key, value in {**r.simple(1), **change}.items() if value is not None}
    with pytest.raises(RecordRefusal) as error:
        shelf.publish(r.FEEDER, wrong, "")
    assert code in [one.code for one in error.value.findings]


def test_a_simple_publication_whose_bytes_are_not_what_it_says_is_refused(shelf: Shelf) -> None:
    wrong = r.simple(1)
    wrong["content"][0]["attachment"] |= {"size": 1, "hash": "AAAA"}
    with pytest.raises(RecordRefusal) as error:
        shelf.publish(r.FEEDER, wrong, "")
    assert [one.code for one in error.value.findings] == ["record.size", "record.hash"]
