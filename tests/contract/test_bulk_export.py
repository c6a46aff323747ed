"""`$export` for practices: asked, made beside, fetched, resumed, thrown away; each client's own, and nothing stale."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.audit.trail import seal_audit
from adapter.errors import StaleClaimError
from adapter.model.publication import Readers
from adapter.web import bulk_making
from adapter.web.bulk_making import ExportMaker
from tests.builders.adt import build_adt
from tests.builders.cda import PATIENT
from tests.builders.directory import APHP_EJ
from tests.builders.import_client import ImportApi, issue_of, ward_house
from tests.builders.ledger import World
from tests.builders.practices import Town
from tests.unit.pipeline.test_patients import decide

pytestmark = pytest.mark.contract
ASYNC = {"Prefer": "respond-async"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path, ("cab-1", "cab-2"))


@pytest.fixture
def api(town: Town, tmp_path: Path) -> ImportApi:
    return ImportApi(town.house, tmp_path, "soft", "other")


def make(town: Town) -> None:
    """The service's lane."""
    while ExportMaker(town.house.ledger).make_one(lambda: True):
        pass


def ask(api: ImportApi, words: str = "", **kwargs: Any) -> str:
    """A kick-off; the address of its status."""
    answer = api.get(f"$export{words}", headers=ASYNC, **kwargs)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["content-location"])


def exported(town: Town, api: ImportApi, words: str = "", **kwargs: Any) -> dict[str, Any]:
    """A whole export's manifest."""
    status = ask(api, words, **kwargs)
    make(town)
    answer = api.get(status, **kwargs)
    assert answer.status_code == 200, answer.text
    manifest: dict[str, Any] = answer.json()
    return manifest


def lines(api: ImportApi, one: Mapping[str, Any], **kwargs: Any) -> list[dict[str, Any]]:
    """A file of a manifest, held against what is told of it."""
    answer = api.get(one["url"], headers=PLAIN, **kwargs)
    assert answer.status_code == 200, answer.text
    assert hashlib.sha256(answer.content).hexdigest() == one["extension"]["sha256"]
    found = [json.loads(line) for line in answer.content.splitlines()]
    assert (len(found), len(answer.content)) == (one["count"], one["extension"]["bytes"])
    return found


def test_an_export_is_asked_made_and_fetched(town: Town, api: ImportApi) -> None:
    receipts = [town.write(1, number=number) for number in (1, 2, 3)]
    town.write(1, number=9, to=("cab-2",))
    status = ask(api)
    waiting = api.get(status)
    assert (waiting.status_code, waiting.headers["x-progress"], waiting.headers["retry-after"]) == (202, "0 %", "10")
    make(town)
    manifest = api.get(status).json()
    assert manifest["request"].endswith("/fhir/$export")
    assert manifest["requiresAccessToken"] is True
    assert (manifest["deleted"], manifest["error"]) == ([], [])
    documents, references = (
        next(one for one in manifest["output"] if one["type"] == kind) for kind in ("Bundle", "DocumentReference")
    )
    synced = {reference["id"]: reference for reference in api.sync()[0]}
    assert {reference["id"]: reference for reference in lines(api, references)} == synced
    assert {town.house.states(one)["inbox"] for one in receipts} == {"accepted"}
    bundles = lines(api, documents)
    assert len(bundles) == 3 and all(bundle["type"] == "document" for bundle in bundles)
    assert {town.house.states(one)["inbox"] for one in receipts} == {"delivered"}


def test_a_download_cut_anywhere_goes_on_where_it_was(town: Town, api: ImportApi) -> None:
    town.write(1)
    (one,) = exported(town, api, "?_type=Bundle")["output"]
    for encoding in ("identity", "gzip"):
        headers = {"Accept-Encoding": encoding}
        with api.http.stream("GET", one["url"], headers=headers | {"Authorization": f"Bearer {api.token()}"}) as answer:
            whole, tag = b"".join(answer.iter_raw()), answer.headers["etag"]
        assert answer.headers["accept-ranges"] == "bytes"
        for cut in (1, len(whole) // 2, len(whole) - 1):
            wanted = headers | {"Range": f"bytes={cut}-", "If-Range": tag, "Authorization": f"Bearer {api.token()}"}
            with api.http.stream("GET", one["url"], headers=wanted) as rest:
                assert rest.status_code == 206
                assert rest.headers["content-range"] == f"bytes {cut}-{len(whole) - 1}/{len(whole)}"
                assert whole[:cut] + b"".join(rest.iter_raw()) == whole
        packed = encoding == "gzip"
        assert hashlib.sha256(gzip.decompress(whole) if packed else whole).hexdigest() == one["extension"]["sha256"]
    assert (
        api.get(one["url"], headers={**PLAIN, "Range": "bytes=-10"}).content == api.get(one["url"], headers=PLAIN).content[-10:]
    )
    beyond = api.get(one["url"], headers={**PLAIN, "Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{one['extension']['bytes']}")
    changed = api.get(one["url"], headers={**PLAIN, "Range": "bytes=5-", "If-Range": '"another"'})
    assert (changed.status_code, len(changed.content)) == (200, one["extension"]["bytes"])
    assert api.get(one["url"], headers={**PLAIN, "If-None-Match": f'"{one["extension"]["sha256"]}"'}).status_code == 304


def test_half_a_file_is_not_a_document_received(town: Town, api: ImportApi) -> None:
    receipt = town.write(1)
    (one,) = exported(town, api, "?_type=Bundle")["output"]
    assert api.get(one["url"], headers={**PLAIN, "Range": "bytes=0-99"}).status_code == 206
    assert town.house.states(receipt)["inbox"] == "accepted"
    assert api.get(one["url"], headers={**PLAIN, "Range": "bytes=100-"}).status_code == 206
    assert town.house.states(receipt)["inbox"] == "delivered"


def test_since_gives_what_changed_and_says_what_is_no_more(town: Town, api: ImportApi) -> None:
    town.write(1, number=1)
    town.write(1, number=2)
    town.house.clock.advance(minutes=1)
    since = town.house.clock().isoformat()
    town.house.clock.advance(minutes=1)
    town.write(2, number=1)
    town.write(1, number=2, cancels=True)
    town.write(1, number=3)
    manifest = exported(town, api, f"?_since={since.replace('+', '%2B')}&_type=Bundle")
    (bundles,) = manifest["output"]
    assert len(lines(api, bundles)) == 2
    (deleted,) = manifest["deleted"]
    gone = [line["entry"][0]["request"] for line in lines(api, deleted)]
    assert all(one["method"] == "DELETE" and one["url"].startswith("DocumentReference/") for one in gone)
    assert len(gone) == 1
    whole = exported(town, api, "?_type=Bundle")
    assert whole["deleted"] == []
    assert sum(one["count"] for one in whole["output"]) == 2


def test_what_is_stale_meanwhile_is_gone_and_asked_for_anew(town: Town, api: ImportApi) -> None:
    town.write(1)
    (one,) = exported(town, api, "?_type=Bundle")["output"]
    town.write(1, cancels=True)
    assert issue_of(api.get(one["url"]))[:2] == (410, "deleted")
    assert exported(town, api, "?_type=Bundle")["output"] == []


def test_a_file_made_before_an_identity_was_corrected_is_gone_and_receives_nothing(town: Town, api: ImportApi) -> None:
    town.write(1, patient=replace(PATIENT, ipp="OLD"))
    (one,) = exported(town, api, "?_type=Bundle")["output"]
    town.house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    decide(town.house, "correct")
    town.publish()
    assert issue_of(api.get(one["url"]))[:2] == (410, "deleted")
    fetched = [p.fetched_at for p in town.house.ledger.feed(Readers(APHP_EJ, ("cab-1",)), "cab-1", 0, 10)]
    assert fetched == [None, None], "the correction was never given, so it is not received"
    (anew,) = exported(town, api, "?_type=Bundle")["output"]
    assert len(lines(api, anew)) == 1


def test_a_file_made_before_a_masking_is_gone(town: Town, api: ImportApi) -> None:
    town.write(1)
    (one,) = exported(town, api, "?_type=DocumentReference")["output"]
    town.show_to("patient")
    assert issue_of(api.get(one["url"]))[:2] == (410, "deleted")


def test_a_client_sees_its_own_exports_of_its_own_practices(town: Town, api: ImportApi) -> None:
    town.write(1, to=("cab-2",))
    status = ask(api)
    make(town)
    assert api.get(status).json()["output"] == []
    for method, path in (("GET", status), ("DELETE", status), ("GET", f"{status}/1")):
        assert api.call(method, path, by="other").status_code == 404
    assert api.get(status).status_code == 200
    for path in ("$export/x", "$export/00000000-0000-0000-0000-000000000000", f"{status}/1", f"{status}/x"):
        assert api.get(path).status_code == 404
    assert api.http.get("/fhir/$export", headers=ASYNC).status_code == 401
    without = api.token(scope="system/DocumentReference.rs")
    assert api.get("$export", headers=ASYNC, token=without).status_code == 403


def test_what_is_asked_must_be_understood(town: Town, api: ImportApi) -> None:
    assert issue_of(api.get("$export")) == (400, "required", "export.not-async")
    for words in ("?_since=hier", "?_since=2027-02-30T08:00:00Z", "?_type=Binary", "?_outputFormat=csv", "?_elements=id"):
        answer = api.get(f"$export{words}", headers=ASYNC)
        assert issue_of(answer) == (400, "value", "export.bad-parameter"), words
    assert ask(api, "?_type=Bundle,ServiceRequest&_outputFormat=ndjson")
    lenient = api.get("$export?_elements=id&_type=Binary,Bundle", headers={"Prefer": "respond-async, handling=lenient"})
    assert lenient.status_code == 202
    refused = api.call("POST", "$export")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


def test_a_client_has_only_so_many_exports_under_way(town: Town, api: ImportApi) -> None:
    statuses = [ask(api) for _ in range(4)]
    answer = api.get("$export", headers=ASYNC)
    assert issue_of(answer) == (429, "throttled", "export.too-many")
    assert answer.headers["retry-after"]
    assert ask(api, by="other")
    assert api.call("DELETE", statuses[0]).status_code == 202
    assert ask(api)


def test_a_cancelled_export_is_no_more_and_neither_are_its_files(town: Town, api: ImportApi) -> None:
    town.write(1)
    manifest = exported(town, api)
    status = manifest["output"][0]["url"].rpartition("/")[0]
    assert api.call("DELETE", status).status_code == 202
    assert api.get(status).status_code == 404
    assert api.get(manifest["output"][0]["url"]).status_code == 404
    assert payloads(town) == 0


def test_an_export_ends_by_itself_with_its_files(town: Town, api: ImportApi) -> None:
    town.write(1)
    manifest = exported(town, api)
    assert payloads(town) > 0
    town.house.clock.advance(hours=25)
    api.forget_tokens()
    assert api.get(manifest["output"][0]["url"]).status_code == 404
    make(town)
    assert payloads(town) == 0


def payloads(town: Town) -> int:
    """Sealed files of exports."""
    with town.house.ledger._database.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM payload_chunk WHERE kind = 'export-part'").scalar() or 0)


def test_an_export_killed_while_it_is_made_goes_on_where_it_was(
    town: Town, api: ImportApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_making, "_PART_DOCUMENTS", 2)
    for number in range(1, 8):
        town.write(1, number=number)
    status = ask(api, "?_type=Bundle")
    maker, moments = ExportMaker(town.house.ledger), iter([True])

    def die_at_the_second_part() -> bool:
        if next(moments, False):
            return True
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        maker.make_one(die_at_the_second_part)
    assert api.get(status).headers["x-progress"] == "28 %"
    assert maker.make_one(lambda: True) == 0  # somebody may still be at it
    town.house.clock.advance(minutes=6)
    api.forget_tokens()
    assert maker.make_one(lambda: False) == 1  # told to stop: the rest is given back at once
    make(town)
    manifest = api.get(status).json()
    assert [one["count"] for one in manifest["output"]] == [2, 2, 2, 1]
    found = [line["identifier"]["value"] for one in manifest["output"] for line in lines(api, one)]
    assert len(set(found)) == len(found) == 7


def test_who_lost_an_export_writes_nothing_more_to_it(town: Town, api: ImportApi) -> None:
    town.write(1)
    status = ask(api)
    ledger = town.house.ledger
    job = ledger.claim_bulk_job(bulk_making.LEASE)
    assert job is not None
    assert api.call("DELETE", status).status_code == 202
    with pytest.raises(StaleClaimError):
        ledger.keep_bulk_parts(job, {"cab-1": 1}, [], bulk_making.LEASE)
    with pytest.raises(StaleClaimError):
        ledger.end_bulk_job(job)


def test_who_exported_what_is_audited(town: Town, api: ImportApi) -> None:
    town.write(1)
    manifest = exported(town, api, "?_type=Bundle")
    lines(api, manifest["output"][0])
    seal_audit(town.house.ledger)
    rows = [row.entry for row in town.house.ledger.read_audit(0, 1000, legal_entity=APHP_EJ)]
    told = [(row.actor, row.action, row.detail) for row in rows if row.about == "export"]
    assert told == [
        ("client:soft", "import.export", "asked"),
        ("client:soft", "import.export", "ready"),
        ("client:soft", "import.read", "part 1"),
    ]


def test_a_job_goes_through_both_engines(world: World, tmp_path: Path) -> None:
    house = ward_house(tmp_path, world)
    api = ImportApi(house, tmp_path, practices=("service",))
    answer = api.get("$export", headers=ASYNC)
    assert answer.status_code == 202
    assert ExportMaker(house.ledger).make_one(lambda: True) == 1
    assert api.get(answer.headers["content-location"]).json()["output"] == []
    assert api.call("DELETE", answer.headers["content-location"]).status_code == 202
