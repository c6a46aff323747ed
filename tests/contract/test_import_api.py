"""The Import API for documents: search, sync, contents, outcomes; what one may not see is not there."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapter.audit.trail import seal_audit
from adapter.fhir.search import PageTokens
from tests.builders.adt import build_adt
from tests.builders.cda import PATIENT, build_ldl_ses
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import build_mdm
from tests.builders.import_client import ImportApi, issue_of
from tests.builders.instance import SENDER
from tests.builders.practices import Town, rpps_of
from tests.unit.pipeline.test_acks import ASKED, HL7, messages, push, said
from tests.unit.pipeline.test_patients import decide

pytestmark = pytest.mark.contract
FHIR = "application/fhir+json"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path, ("cab-1", "cab-2"))


@pytest.fixture
def api(town: Town, tmp_path: Path) -> ImportApi:
    return ImportApi(town.house, tmp_path)


def state(town: Town, receipt: str) -> str:
    return town.house.states(receipt)["inbox"]


def test_a_whole_import_delivers_then_integrates(town: Town, api: ImportApi) -> None:
    receipt = town.write(1)
    (reference,), onward = api.sync()
    assert state(town, receipt) == "accepted"
    attachment = reference["content"][0]["attachment"]
    content = api.get(attachment["url"])
    assert content.status_code == 200 and content.headers["content-type"].startswith("application/xml")
    assert len(content.content) == attachment["size"]
    assert base64.b64encode(hashlib.sha1(content.content, usedforsecurity=False).digest()).decode() == attachment["hash"]
    assert state(town, receipt) == "delivered"
    answer = api.acknowledge(reference["id"], "integrated")
    assert answer.status_code == 200 and answer.json()["issue"][0]["details"]["coding"][0]["code"] == "import.integrated"
    assert state(town, receipt) == "integrated"
    assert api.sync(onward)[0] == []


def test_every_form_of_a_document_is_one_document(town: Town, api: ImportApi) -> None:
    town.write(1)
    (reference,), _ = api.sync()
    related = [one["reference"] for one in reference["context"]["related"]]
    pdf = next(one for one in related if one.endswith(".pdf"))
    assert api.get(pdf).content.startswith(b"%PDF")
    as_resource = api.get(pdf, headers={"Accept": FHIR}).json()
    assert as_resource["resourceType"] == "Binary" and base64.b64decode(as_resource["data"]).startswith(b"%PDF")
    assert as_resource["securityContext"] == {"reference": f"DocumentReference/{reference['id']}"}
    bundles = [api.get(one).json() for one in related if one.startswith("Bundle/")]
    assert [(one["type"], one["id"]) for one in bundles] == [
        ("document", bundles[0]["id"]), ("transaction", bundles[1]["id"])
    ]  # fmt: skip
    assert [f"Bundle/{one['id']}" for one in bundles] == [one for one in related if one.startswith("Bundle/")]


def test_a_letters_transaction_creates_each_once_and_matches_a_patient_by_ins_alone(town: Town, api: ImportApi) -> None:
    town.write(1)
    (reference,), _ = api.sync()
    bundle_id = [one["reference"] for one in reference["context"]["related"] if one["reference"].startswith("Bundle/")][1]
    transaction = api.get(bundle_id).json()
    kinds = [entry["resource"]["resourceType"] for entry in transaction["entry"]]
    assert "Composition" not in kinds and kinds[-1] == "DocumentReference"
    patient = next(entry for entry in transaction["entry"] if entry["resource"]["resourceType"] == "Patient")
    has_ins = any(one["system"].startswith("urn:oid:1.2.250.1.213.1.4.") for one in patient["resource"].get("identifier", ()))
    assert ("ifNoneExist" in patient["request"]) == has_ins
    last = transaction["entry"][-1]
    assert last["request"]["ifNoneExist"] == f"identifier=urn:ietf:rfc:3986|{reference['masterIdentifier']['value']}"
    assert last["resource"]["content"][0]["attachment"]["url"].startswith("http://testserver/fhir/Binary/")


def test_replacement_and_cancellation_come_through_the_cursor_and_stale_content_is_gone(town: Town, api: ImportApi) -> None:
    town.write(1)
    (first,), onward = api.sync()
    town.write(2)
    (second,), onward = api.sync(onward)
    assert second["relatesTo"][0]["code"] == "replaces"
    assert second["relatesTo"][0]["target"]["identifier"]["value"] == first["masterIdentifier"]["value"]
    assert api.get(f"DocumentReference/{first['id']}").json()["status"] == "superseded"
    assert issue_of(api.get(first["content"][0]["attachment"]["url"]))[:2] == (410, "deleted")
    receipt = town.write(2, cancels=True)
    (cancelled,), onward = api.sync(onward)
    assert cancelled["id"] == second["id"] and cancelled["masterIdentifier"] == second["masterIdentifier"]
    assert cancelled["status"] == "entered-in-error" and cancelled["meta"]["tag"][0]["code"] == "cancel"
    assert "url" not in cancelled["content"][0]["attachment"]
    assert int(cancelled["meta"]["versionId"]) > int(second["meta"]["versionId"])
    assert issue_of(api.get(second["content"][0]["attachment"]["url"]))[0] == 410
    assert state(town, receipt) == "accepted"
    assert api.sync(onward)[0] == []
    assert state(town, receipt) == "delivered", "going on from its cursor is having received it"


def test_a_version_that_was_never_fetched_is_never_current_once_a_newer_one_is_known(town: Town, api: ImportApi) -> None:
    town.write(1)
    town.write(2)
    found, _ = api.sync()
    assert [one["status"] for one in found] == ["superseded", "current"]
    assert [("url" in one["content"][0]["attachment"]) for one in found] == [False, True]
    search = api.get("DocumentReference", params={"status": "current"}).json()
    assert [entry["resource"]["id"] for entry in search["entry"]] == [found[1]["id"]]


def test_a_document_that_changed_twice_in_one_page_is_there_once(town: Town, api: ImportApi) -> None:
    town.write(1)
    town.write(1, number=2)
    town.write(1, cancels=True)
    found, _ = api.sync()
    assert len({one["id"] for one in found}) == len(found) == 2
    assert [one["status"] for one in found] == ["current", "entered-in-error"]


def test_pages_of_a_sync_go_on_and_an_empty_one_keeps_its_place(town: Town, api: ImportApi) -> None:
    for number in range(5):
        town.write(1, number=number + 1)
    page = api.get("DocumentReference/$sync", params={"_count": "2"}).json()
    assert len(page["entry"]) == 2 and {one["relation"] for one in page["link"]} == {"self", "next", "sync"}
    found, onward = api.sync("DocumentReference/$sync?_count=2")
    assert len(found) == 5
    again, same = api.sync(onward)
    assert again == []
    town.write(1, number=9)
    assert len(api.sync(same)[0]) == 1


# ── searches ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_documents_are_found_by_patient_identifier_type_category_and_dates(town: Town, api: ImportApi) -> None:
    town.write(1)
    (reference,), _ = api.sync()
    patient = next(one for one in reference["contained"] if one["resourceType"] == "Patient")
    identifier = patient["identifier"][0]
    master = reference["masterIdentifier"]

    def found(**parameters: str) -> int:
        answer = api.get("DocumentReference", params=parameters)
        assert answer.status_code == 200, answer.text
        return len(answer.json().get("entry", ()))

    token = f"{identifier['system']}|{identifier['value']}"
    assert found(**{"patient.identifier": token}) == found(**{"patient:identifier": token}) == 1
    assert found(**{"patient.identifier": identifier["value"]}) == 1
    assert found(**{"patient.identifier": f"urn:oid:1.9.9|{identifier['value']}"}) == 0
    assert found(identifier=f"{master['system']}|{master['value']}") == found(identifier=master["value"]) == 1
    assert found(identifier=reference["identifier"][0]["value"]) == 1
    assert found(identifier="urn:oid:1.2.3") == 0
    coding = reference["type"]["coding"][0]
    assert found(type=f"{coding['system']}|{coding['code']}") == found(type=coding["code"]) == 1
    assert found(type="11488-4") == 0
    assert found(category=reference["category"][0]["coding"][0]["code"]) == 1
    assert found(status="current,superseded") == 1 and found(status="superseded") == 0
    assert found(date=f"eq{reference['date'][:10]}") == 1 and found(date="lt2001-01-01") == 0
    assert found(_lastUpdated="ge2026-11-21") == 1 and found(_lastUpdated="gt2027") == 0
    assert found(_id=reference["id"]) == 1 and found(_id="00000000-0000-0000-0000-000000000000") == 0


def test_pages_of_a_search_hold_every_document_once(town: Town, api: ImportApi) -> None:
    for number in range(5):
        town.write(1, number=number + 1)
    link, seen, pages = "DocumentReference?_count=2&status=current", [], 0
    while link:
        page = api.get(link).json()
        seen += [entry["resource"]["id"] for entry in page.get("entry", ())]
        link = next((one["url"] for one in page["link"] if one["relation"] == "next"), "")
        pages += 1
    assert len(seen) == len(set(seen)) == 5 and pages == 3


def test_the_number_alone_is_told_without_a_document(town: Town, api: ImportApi) -> None:
    town.write(1)
    page = api.get("DocumentReference", params={"_summary": "count"}).json()
    assert page["total"] == 1 and "entry" not in page


def test_a_search_by_form_is_the_same_search(town: Town, api: ImportApi) -> None:
    town.write(1)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = api.call("POST", "DocumentReference/_search", content="status=current", headers=form)
    assert answer.status_code == 200 and len(answer.json()["entry"]) == 1


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("DocumentReference?nonsense=1", (400, "not-supported", "search.unknown-parameter")),
        ("DocumentReference?status:not=current", (400, "not-supported", "search.bad-modifier")),
        ("DocumentReference?_lastUpdated=2026-13-40", (400, "value", "search.bad-date")),
        ("DocumentReference?date=0000", (400, "value", "search.bad-date")),
        ("DocumentReference?date=999999999-01-01", (400, "value", "search.bad-date")),
        ("DocumentReference?_count=-1", (400, "value", "search.bad-count")),
        ("DocumentReference?_count=many", (400, "value", "search.bad-count")),
        ("DocumentReference?_sort=date", (400, "not-supported", "search.bad-sort")),
        ("DocumentReference?_page=forged", (400, "value", "search.page-forged")),
        ("DocumentReference?status=", (400, "invalid", "search.empty-value")),
        ("DocumentReference/$sync?cursor=forged", (400, "value", "search.page-forged")),
        ("DocumentReference/$sync?cursor=", (400, "invalid", "search.empty-value")),
        ("DocumentReference/$sync?_count=0", (400, "value", "search.bad-count")),
        ("DocumentReference/$sync?since=1", (400, "not-supported", "search.unknown-parameter")),
        ("DocumentReference/not-an-id", (404, "not-found", "fhir.not-found")),
        ("Binary/not-an-id", (404, "not-found", "fhir.not-found")),
        ("Binary/00000000-0000-0000-0000-000000000000.cda", (404, "not-found", "fhir.not-found")),
        ("Bundle/00000000-0000-0000-0000-000000000000", (404, "not-found", "fhir.not-found")),
        ("Patient/1", (404, "not-found", "fhir.not-found")),
        ("ServiceRequest?_include=x", (400, "not-supported", "search.unknown-parameter")),
        ("Task/00000000-0000-0000-0000-000000000000", (404, "not-found", "fhir.not-found")),
    ],
)
def test_what_is_not_understood_or_not_there_is_refused_clearly(api: ImportApi, path: str, refused: tuple[int, str, str]) -> None:
    assert issue_of(api.get(path)) == refused


def test_a_cursor_or_page_of_another_client_or_search_is_forged(town: Town, tmp_path: Path) -> None:
    api = ImportApi(town.house, tmp_path, "one", "two")
    for number in range(3):
        town.write(1, number=number + 1)
    _, onward = api.sync(by="one")
    assert issue_of(api.get(onward, by="two"))[2] == "search.page-forged"
    page = api.get("DocumentReference?_count=1", by="one").json()
    link = next(one["url"] for one in page["link"] if one["relation"] == "next")
    assert issue_of(api.get(link, by="two"))[2] == "search.page-forged"
    assert issue_of(api.get(link.replace("_count=1", "_count=2"), by="one"))[2] == "search.page-forged"
    cursor = onward.partition("cursor=")[2].partition("&")[0]
    assert issue_of(api.get(f"DocumentReference?_page={cursor}", by="one"))[2] == "search.page-forged"


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "DocumentReference/x"), ("POST", "DocumentReference"), ("PATCH", "Task/x")]
)
def test_what_is_not_offered_says_what_is(api: ImportApi, method: str, path: str) -> None:
    answer = api.call(method, path)
    assert issue_of(answer)[:2] == (405, "not-supported") and answer.headers["allow"]


# ── who sees what ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_practice_sees_nothing_of_another(town: Town, tmp_path: Path) -> None:
    town.write(1, to=("cab-2",))
    api = ImportApi(town.house, tmp_path / "..", practices=("cab-1",))
    other = ImportApi(town.house, tmp_path, "other", practices=("cab-2",))
    (reference,), _ = other.sync(by="other")
    assert api.sync()[0] == []
    assert api.get("DocumentReference").json().get("entry") is None
    for path in (f"DocumentReference/{reference['id']}", reference["content"][0]["attachment"]["url"],
                 *(one["reference"] for one in reference["context"]["related"])):  # fmt: skip
        assert api.get(path).status_code == 404
    assert issue_of(api.acknowledge(reference["id"], "integrated"))[0] == 404


def test_a_shared_time_doctors_two_roles_stay_apart(town: Town, tmp_path: Path) -> None:
    roles = {"here": frozenset({"role:medecin-cab-1"}), "there": frozenset({"role:medecin-cab-2"})}
    api = ImportApi(town.house, tmp_path, "here", "there", practices=("cab-1", "cab-2"), roles=roles)
    town.write(1, to=("cab-1",))
    town.write(1, to=("cab-2",), number=2)
    (mine,), _ = api.sync(by="here")
    (theirs,), _ = api.sync(by="there")
    assert mine["id"] != theirs["id"]
    assert api.get(f"DocumentReference/{theirs['id']}", by="here").status_code == 404


def test_a_client_whose_roles_changed_begins_again(town: Town, tmp_path: Path) -> None:
    town.write(1)
    before = ImportApi(town.house, tmp_path, roles={"soft": frozenset({"role:other"})})
    found, onward = before.sync()
    assert found == []
    after = ImportApi(town.house, tmp_path, roles={"soft": frozenset({"role:other", "role:medecin-cab-1"})})
    assert issue_of(after.get(onward)) == (410, "expired", "sync.roles-changed")
    assert len(after.sync()[0]) == 1


def test_a_token_does_only_what_its_scopes_say(town: Town, api: ImportApi) -> None:
    town.write(1)
    (reference,), _ = api.sync()
    narrow = api.token(scope="system/DocumentReference.s")
    assert api.get("DocumentReference", token=narrow).status_code == 200
    for path in (f"DocumentReference/{reference['id']}", reference["content"][0]["attachment"]["url"], "Task"):
        assert issue_of(api.get(path, token=narrow))[:2] == (403, "forbidden")
    assert issue_of(api.acknowledge(reference["id"], "integrated", token=narrow))[0] == 403


def test_every_read_and_every_word_is_audited(town: Town, api: ImportApi) -> None:
    town.write(1)
    (reference,), _ = api.sync()
    api.get(reference["content"][0]["attachment"]["url"])
    api.acknowledge(reference["id"], "integrated", "Rangé")
    seal_audit(town.house.ledger)
    rows = [row.entry for row in town.house.ledger.read_audit(0, 1000, legal_entity="750712184")]
    mine = [(one.action, one.detail) for one in rows if one.actor == "client:soft"]
    assert [action for action, _ in mine] == ["import.synced", "import.read", "import.fetched", "import.outcome"]
    assert all("Rangé" not in detail for _, detail in mine)


# ── outcomes ──────────────────────────────────────────────────────────────────────────────────────────────────


def outcome_of(answer: Any) -> tuple[str, str]:
    issue = answer.json()["issue"][0]
    return issue["code"], issue["details"]["text"]


def test_an_outcome_said_again_changes_nothing_and_another_is_a_conflict(town: Town, api: ImportApi) -> None:
    receipt = town.write(1)
    (reference,), _ = api.sync()
    assert outcome_of(api.acknowledge(reference["id"], "waiting-for-matching"))[0] == "incomplete"
    assert state(town, receipt) == "delivered"
    assert outcome_of(api.acknowledge(reference["id"], "integrated"))[0] == "informational"
    again = api.acknowledge(reference["id"], "integrated")
    assert again.status_code == 200 and "déjà dit" in outcome_of(again)[1]
    assert issue_of(api.acknowledge(reference["id"], "unreadable")) == (409, "conflict", "import.other-outcome")
    assert state(town, receipt) == "integrated"


@pytest.mark.parametrize(
    ("outcome", "issue", "reason"),
    [
        ("not-our-patient", "not-found", ["identity-902"]),
        ("stale-version", "conflict", ["identity-900"]),
        ("unreadable", "structure", []),
    ],
)
def test_a_no_is_a_persons_or_goes_on(town: Town, api: ImportApi, outcome: str, issue: str, reason: list[str]) -> None:
    receipt = town.write(1)
    (reference,), _ = api.sync()
    assert outcome_of(api.acknowledge(reference["id"], outcome))[0] == issue
    assert state(town, receipt) == "refused"
    if reason:
        assert town.house.reasons() == reason


@pytest.mark.parametrize(
    "parameters",
    [
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueCode": "eaten"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueInteger": 1}]},
        {"resourceType": "Parameters", "parameter": [{"name": "other", "valueCode": "integrated"}]},
        {"resourceType": "Parameters", "parameter": ["outcome"]},
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "outcome", "valueCode": "integrated"}, {"name": "note", "valueString": "x" * 2001}],
        },
    ],
)
def test_a_word_that_is_not_in_the_list_is_refused_with_the_list(town: Town, api: ImportApi, parameters: dict[str, Any]) -> None:
    receipt = town.write(1)
    (reference,), _ = api.sync()
    answer = api.post(f"DocumentReference/{reference['id']}/$acknowledge", parameters)
    assert issue_of(answer)[0] == 422 and "waiting-for-matching" in answer.json()["issue"][0]["diagnostics"]
    assert state(town, receipt) == "accepted"


def test_an_outcome_on_another_version_than_was_read_is_refused(town: Town, api: ImportApi) -> None:
    town.write(1)
    (reference,), _ = api.sync()
    held = {"If-Match": f'W/"{reference["meta"]["versionId"]}"'}
    town.write(1, cancels=True)
    assert issue_of(api.acknowledge(reference["id"], "integrated", headers=held))[:2] == (412, "conflict")


def test_not_fetched_in_time_alarms_and_a_late_import_still_counts(town: Town, api: ImportApi) -> None:
    receipt = town.write(1)
    town.house.clock.advance(hours=73)
    town.house.pipeline.settle_some()
    assert state(town, receipt) == "refused" and "not-fetched" in town.house.reasons()
    (reference,), _ = api.sync()
    api.get(reference["content"][0]["attachment"]["url"])
    api.acknowledge(reference["id"], "integrated")
    assert state(town, receipt) == "integrated" and town.house.reasons() == []


def test_a_cursor_from_before_a_restored_copy_begins_again(town: Town, api: ImportApi) -> None:
    town.write(1)
    _, onward = api.sync()
    tokens = PageTokens(town.house.ledger.seal_token, town.house.ledger.open_token)
    told = tokens.read("import-sync/soft", httpx.URL(onward).params["cursor"])
    assert told["at"] == {"cab-1": 1}
    ahead = tokens.issue("import-sync/soft", told | {"at": {"cab-1": 2}})
    answer = api.get("DocumentReference/$sync", params={"cursor": ahead})
    assert issue_of(answer) == (410, "expired", "sync.feed-restored")
    town.write(1, number=2)
    assert len(api.sync(onward)[0]) == 1


# ── masking and identity, through the same cursor ─────────────────────────────────────────────────────────────


def test_masking_comes_through_the_cursor_under_the_same_number_and_the_content_stays(town: Town, api: ImportApi) -> None:
    town.write(1)
    (before,), onward = api.sync()
    api.acknowledge(before["id"], "integrated")
    town.show_to("patient")
    (after,), onward = api.sync(onward)
    assert (after["id"], after["masterIdentifier"]) == (before["id"], before["masterIdentifier"])
    assert after["meta"]["tag"][0]["code"] == "metadata" and after["status"] == "current"
    labels = [coding["code"] for label in after["securityLabel"] for coding in label["coding"]]
    assert "INVISIBLE_PATIENT" in labels
    attachment, former = after["content"][0]["attachment"], before["content"][0]["attachment"]
    assert (attachment["hash"], attachment["size"]) == (former["hash"], former["size"])
    assert api.get(attachment["url"]).content == api.get(attachment["url"]).content
    assert issue_of(api.get(former["url"]))[0] == 410, "one address at a time: that of the publication that stands"
    assert api.sync(onward)[0] == []


def test_what_was_hidden_before_it_was_published_is_never_shown_otherwise(town: Town, api: ImportApi) -> None:
    """Nobody held it yet, so nobody is told of a change: the document itself must say it."""
    root = "1.2.250.1.999.94.60.1"
    cda = build_ldl_ses(document_id=f"{root}.1", set_id=root)
    town.house.letter(build_mdm(cda, control_id="N1", recipients=town.to("cab-1")))
    town.show_to("patient")
    (reference,), _ = api.sync()
    labels = [coding["code"] for label in reference["securityLabel"] for coding in label["coding"]]
    assert "INVISIBLE_PATIENT" in labels


def test_a_corrected_identity_comes_through_the_cursor_under_the_same_number(town: Town, api: ImportApi) -> None:
    old = replace(PATIENT, ipp="OLD")
    town.write(1, patient=old)
    (before,), onward = api.sync()
    api.get(before["content"][0]["attachment"]["url"])
    town.house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    decide(town.house, "correct")
    town.publish()
    (after,), _ = api.sync(onward)
    assert (after["id"], after["masterIdentifier"]) == (before["id"], before["masterIdentifier"])
    assert after["meta"]["tag"][0]["code"] == "identity" and "relatesTo" not in after
    numbers = [
        one["value"] for resource in after["contained"] if resource["resourceType"] == "Patient" for one in resource["identifier"]
    ]
    assert "NEW" in numbers and "OLD" not in numbers
    search = api.get("DocumentReference", params={"patient.identifier": "NEW"}).json()
    assert [entry["resource"]["id"] for entry in search["entry"]] == [after["id"]]
    assert "entry" not in api.get("DocumentReference", params={"patient.identifier": "OLD"}).json()


# ── what the sender is told ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("outcome", "told"), [("integrated", ["Z02 Y", "Z03 Y"]), ("not-our-patient", ["Z02 Y", "Z03 N 902"])])
def test_an_outcome_becomes_the_senders_z02_and_z03(town: Town, api: ImportApi, outcome: str, told: list[str]) -> None:
    house = town.house
    house.pipeline._senders = {APHP_EJ: replace(SENDER, legal_entity=APHP_EJ, finess=APHP_EJ, hl7=HL7)}
    content = build_mdm(build_ldl_ses(), recipients=town.to("cab-1"), flags=ASKED)
    house.letter(content)
    town.publish()
    (reference,), _ = api.sync()
    api.get(reference["content"][0]["attachment"]["url"])
    house.pipeline.settle_some()
    push(house)
    assert [said(message) for message in messages(house)] == told[:1]
    api.acknowledge(reference["id"], outcome)
    house.pipeline.settle_some()
    push(house)
    first, second = messages(house)
    assert said(second) == told[1]
    assert [message.segments("OBX")[1].value(4) for message in (first, second)] == [f"8{rpps_of(1)}"] * 2
