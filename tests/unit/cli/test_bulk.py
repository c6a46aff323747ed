"""`tdu export` and `tdu import`, as typed: what comes in comes in once, what leaves is told by its manifest."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import assemble
from adapter.audit.trail import seal_audit
from adapter.cli.options import read_config
from adapter.ledger.ledger import Ledger
from adapter.model.receipt import ReceiptState
from adapter.opening import open_ledger
from tests.builders.many_letters import document_id, letters, write_letters
from tests.unit.cli.conftest import Terminal

ENTITY = "750712184"
CASES = Path(__file__).parents[3] / "fixtures" / "cases"
MIDNIGHT = "2026-01-01"


@pytest.fixture
def ledger(instance: Path) -> Ledger:
    return open_ledger(read_config(instance / "tdu.toml"))


@pytest.fixture
def archive(instance: Path) -> Path:
    """Twelve letters in a file."""
    write_letters(instance / "archive.ndjson", 12)
    return instance / "archive.ndjson"


def prepare(instance: Path) -> None:
    """What the running service does."""
    pipeline = assemble(read_config(instance / "tdu.toml")).pipeline
    while pipeline.prepare_some("w", 50):
        pass


@pytest.fixture
def kept(instance: Path, tdu: Terminal, archive: Path) -> Path:
    """A house that holds the archive."""
    assert tdu("import", "--keep-only", "--workers", "1", archive).exit_code == 0
    prepare(instance)
    return instance


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_bytes())


# ── import ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_archive_is_kept_and_goes_nowhere_and_nobody_is_asked(kept: Path, ledger: Ledger) -> None:
    found = ledger.timeline(document_id(3), legal_entity=ENTITY)
    assert found is not None
    assert found.receipt.door == "archive"
    assert found.receipt.principal == "import:bulk"
    assert found.receipt.state is ReceiptState.PREPARED
    assert [trace.deliveries for trace in found.submissions] == [()]
    assert ledger.list_work_items(legal_entity=ENTITY) == []
    counted = ledger.conservation(legal_entity=ENTITY)
    assert counted.final == 12
    assert counted.holds


def test_without_keep_only_a_document_that_names_nobody_waits_for_a_person(tdu: Terminal, archive: Path, ledger: Ledger) -> None:
    assert tdu("import", "--workers", "1", archive).exit_code == 0
    prepare(archive.parent)
    assert {item.reason for item in ledger.list_work_items(legal_entity=ENTITY)} == {"no-recipient"}


def test_an_archived_version_leaves_alone_what_was_sent_before_it(tdu: Terminal, instance: Path, ledger: Ledger) -> None:
    first, newer = (json.loads(letter) for letter in letters(2))
    (instance / "first.json").write_text(json.dumps(first))
    side_car = {"recipients": [{"rpps": "99900000060"}]}
    (instance / "first.json.json").write_text(json.dumps(side_car))
    assert tdu("submit", "first.json").exit_code == 0
    prepare(instance)
    newer["entry"][0]["resource"]["relatesTo"] = [{"code": "replaces", "targetIdentifier": first["identifier"]}]
    (instance / "newer.ndjson").write_text(json.dumps(newer) + "\n")
    assert tdu("import", "--keep-only", "--workers", "1", "newer.ndjson").exit_code == 0
    before = ledger.timeline(document_id(0), legal_entity=ENTITY)
    prepare(instance)
    assert ledger.timeline(document_id(0), legal_entity=ENTITY) == before
    assert before is not None
    assert any(trace.deliveries for trace in before.submissions)


def test_a_second_run_reads_nothing_and_a_third_from_the_start_doubles_nothing(
    told: Callable[..., Any], archive: Path, ledger: Ledger
) -> None:
    for words, accepted, repeated, resumed in (((), 12, 0, 0), ((), 12, 0, 12), (("--anew",), 0, 12, 0)):
        (one,) = told("import", "--keep-only", "--workers", "2", *words, archive)
        done = one["progress"]
        assert (done["accepted"], done["repeated"], done["refused"], one["resumed_at"]) == (accepted, repeated, 0, resumed)
    assert ledger.conservation(legal_entity=ENTITY).received == 12


def test_the_same_document_under_another_file_name_is_kept_once(told: Callable[..., Any], archive: Path) -> None:
    told("import", "--keep-only", "--workers", "1", archive)
    other = archive.with_name("copy.ndjson.gz")
    other.write_bytes(gzip.compress(archive.read_bytes()))
    (one,) = told("import", "--keep-only", "--workers", "1", other)
    assert (one["progress"]["accepted"], one["progress"]["repeated"]) == (0, 12)


def test_broken_lines_in_the_middle_are_told_and_stop_nothing(tdu: Terminal, archive: Path, ledger: Ledger) -> None:
    good = archive.read_bytes().splitlines()
    other = json.loads(good[0])
    other["entry"][0]["resource"]["title"] = "Un autre contenu"
    secret = b'{"resourceType": "Bundle", "type": "document", "name": "SECRETIUS"'
    lines = [*good[:4], secret, b'{"resourceType":"Patient"}', b"x" * 40_000, *good[4:], json.dumps(other).encode()]
    lines.append(b'{"resourceType":"Bundle","type":"document"}')
    lines.append(b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Task"}}]}')
    archive.write_bytes(b"\n".join(lines))
    result = tdu("import", "--keep-only", "--workers", "2", "--max-line-bytes", "30000", "--errors", "refused.ndjson", archive)
    assert result.exit_code == 1, result.output
    assert "12 accepted, 0 known already, 6 refused" in result.stdout
    refused = [json.loads(line) for line in Path("refused.ndjson").read_text().splitlines()]
    assert [(one["line"], one["code"]) for one in refused] == [
        (5, "import.not-json"),
        (6, "import.not-a-bundle"),
        (7, "import.line-too-long"),
        (16, "repeat.conflict"),
        (17, refused[4]["code"]),
        (18, "import.not-an-order"),
    ]
    assert all(one["outcome"]["resourceType"] == "OperationOutcome" for one in refused)
    assert "SECRETIUS" not in Path("refused.ndjson").read_text() + result.output
    assert Path("refused.ndjson").stat().st_mode & 0o077 == 0
    assert ledger.conservation(legal_entity=ENTITY).received == 12


def test_a_trial_judges_every_line_and_keeps_nothing(tdu: Terminal, archive: Path, ledger: Ledger) -> None:
    result = tdu("import", "--dry-run", "--workers", "1", archive)
    assert result.exit_code == 0
    assert "12 accepted" in result.stdout
    assert ledger.conservation(legal_entity=ENTITY).received == 0


def test_a_gzip_file_cut_off_keeps_what_stood_before_and_ends_with_one(tdu: Terminal, archive: Path, ledger: Ledger) -> None:
    packed = gzip.compress(archive.read_bytes())
    cut = archive.with_name("cut.ndjson.gz")
    cut.write_bytes(packed[:-400])
    result = tdu("import", "--keep-only", "--workers", "1", cut)
    assert result.exit_code == 1
    assert "import.damaged-file" in result.stdout
    assert 0 < ledger.conservation(legal_entity=ENTITY).received < 12


def test_an_order_in_its_transaction_form_comes_in_as_the_form_that_it_was_asked_with(
    tdu: Terminal, instance: Path, ledger: Ledger
) -> None:
    source = next(CASES.glob("imagerie-scanner-diabete/source*.json"))
    assert tdu("submit", "--form", "demande-imagerie", source).exit_code == 0
    prepare(instance)
    assert tdu("export", "--out", "asked", "--workers", "1").exit_code == 0
    document = json.loads((instance / "asked" / "document-000001.ndjson").read_text())
    entries = [{"resource": entry["resource"], "request": {"method": "POST", "url": "x"}} for entry in document["entry"][1:]]
    order = {"resourceType": "Bundle", "id": "order-1", "type": "transaction", "entry": entries}
    (instance / "orders.ndjson").write_text(json.dumps(order) + "\n")
    result = tdu("import", "--workers", "1", "orders.ndjson")
    assert result.exit_code == 0, Path("import-errors.ndjson").read_text()
    prepare(instance)
    assert tdu("export", "--type", "ServiceRequest", "--out", "all", "--workers", "1").exit_code == 0
    assert manifest(instance / "all")["extension"]["documents"] == 2
    assert {one["type"] for one in manifest(instance / "all")["output"]} == {"ServiceRequest"}


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_export_holds_every_document_as_it_was_kept(kept: Path, tdu: Terminal, ledger: Ledger) -> None:
    assert tdu("export", "--out", "out", "--documents", "5", "--workers", "2").exit_code == 0
    told = manifest(kept / "out")
    assert [one["count"] for one in told["output"]] == [5, 5, 2]
    found = []
    for one in told["output"]:
        content = (kept / "out" / one["url"]).read_bytes()
        assert one["type"] == "Bundle"
        assert one["extension"] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        found += content.splitlines()
    keys = ledger.document_keys(None, 100, until=ledger.settled_until(), legal_entity=ENTITY)
    assert found == list(ledger.document_bundles([key.submission_id for key in keys], legal_entity=ENTITY))
    assert {json.loads(line)["identifier"]["value"] for line in found} == {f"urn:oid:{document_id(n)}" for n in range(12)}
    assert sorted(path.name for path in (kept / "out").iterdir()) == [*(one["url"] for one in told["output"]), "manifest.json"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in [kept / "out", *(kept / "out").iterdir()])


@pytest.mark.parametrize("words", [(), ("--gzip",), ("--type", "Patient", "--type", "document")])
def test_the_manifest_is_the_same_with_any_number_of_workers(
    kept: Path, tdu: Terminal, ledger: Ledger, words: tuple[str]
) -> None:
    until = ledger.settled_until().isoformat()
    for workers in ("1", "3"):
        out = kept / f"out-{workers}"
        assert tdu("export", "--out", out, "--until", until, "--documents", "2", "--workers", workers, *words).exit_code == 0
    assert (kept / "out-1" / "manifest.json").read_bytes() == (kept / "out-3" / "manifest.json").read_bytes()
    for one in manifest(kept / "out-1")["output"]:
        assert (kept / "out-1" / one["url"]).read_bytes() == (kept / "out-3" / one["url"]).read_bytes()


def test_an_export_goes_on_from_whatever_a_kill_left(kept: Path, tdu: Terminal, ledger: Ledger) -> None:
    words = ("--until", ledger.settled_until().isoformat(), "--documents", "3", "--workers", "1")
    assert tdu("export", "--out", "clean", *words).exit_code == 0
    whole = (kept / "clean" / "manifest.json").read_bytes()
    left = kept / "left"
    assert tdu("export", "--out", left, *words).exit_code == 0
    (left / "manifest.json").unlink()
    (left / ".export").mkdir(mode=0o700)  # the folder as before anything was planned, its files half written
    (left / "document-000002.ndjson").write_bytes(b"half")
    (left / "document-000003.ndjson.tmp").write_bytes(b"aside")
    (left / "manifest.json.tmp").write_bytes(b"{")
    assert tdu("export", "--out", left, *words).exit_code == 0
    assert (left / "manifest.json").read_bytes() == whole
    assert names(left) == names(kept / "clean")
    (left / ".export").mkdir()  # killed between the manifest and the tidying
    assert tdu("export", "--out", left, *words).exit_code == 0
    assert not (left / ".export").exists()


def test_a_folder_of_something_else_is_left_alone(kept: Path, tdu: Terminal) -> None:
    assert tdu("export", "--out", "out", "--workers", "1").exit_code == 0
    result = tdu("export", "--out", "out", "--workers", "1", "--documents", "7")
    assert result.exit_code == 2
    assert "export.other" in result.stderr
    (kept / "full").mkdir()
    (kept / "full" / "document-000001.ndjson").write_text("mine")
    result = tdu("export", "--out", "full", "--workers", "1")
    assert result.exit_code == 2
    assert (kept / "full" / "document-000001.ndjson").read_text() == "mine"


def test_since_and_until_cut_where_they_say(kept: Path, tdu: Terminal, ledger: Ledger) -> None:
    keys = ledger.document_keys(None, 100, until=ledger.settled_until(), legal_entity=ENTITY)
    since, until = keys[4].kept_at.isoformat(), keys[9].kept_at.isoformat()
    assert tdu("export", "--out", "out", "--since", since, "--until", until, "--workers", "1").exit_code == 0
    assert manifest(kept / "out")["extension"]["documents"] == 5
    assert tdu("export", "--out", "none", "--until", MIDNIGHT, "--workers", "1").exit_code == 0
    assert manifest(kept / "none")["output"] == []
    assert tdu("export", "--out", "x", "--until", "2999-01-01").exit_code == 2
    assert tdu("export", "--out", "x", "--type", "Letter").exit_code == 2


def test_who_exported_and_imported_what_is_audited(kept: Path, tdu: Terminal, ledger: Ledger) -> None:
    assert tdu("export", "--out", "out", "--workers", "1").exit_code == 0
    seal_audit(ledger)
    rows = [row.entry for row in ledger.read_audit(0, 1000, legal_entity=ENTITY)]
    told = [(row.action, row.detail) for row in rows if row.action.startswith("documents.")]
    assert told == [
        ("documents.import", "begun"),
        ("documents.import", "done"),
        ("documents.export", "begun"),
        ("documents.export", "done"),
    ]
    job = manifest(kept / "out")["extension"]["job"]
    assert {row.about_id for row in rows if row.action == "documents.export"} == {job}


def test_an_export_comes_in_again_elsewhere_document_by_document(kept: Path, tdu: Terminal, tmp_path: Path) -> None:
    assert tdu("export", "--out", "out", "--gzip", "--documents", "5", "--workers", "1").exit_code == 0
    assert tdu("init", tmp_path / "other").exit_code == 0
    files = sorted((kept / "out").glob("*.gz"))
    result = tdu("import", "--keep-only", "--workers", "2", "--config", tmp_path / "other" / "tdu.toml", *files)
    assert result.exit_code == 0, result.output
    assert open_ledger(read_config(tmp_path / "other" / "tdu.toml")).conservation(legal_entity=ENTITY).received == 12
