"""`tdu fax show`, `tdu fax confirm`: a form filled by hand becomes a request when a person says so, once, and only theirs."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from PIL import Image

from adapter.assembly import assemble
from adapter.cli.options import read_config
from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import PayloadKind
from adapter.opening import migrate_ledger, open_ledger
from adapter.packaging.fax_codes import Room, place_codes
from tests.builders.fhir_document import build_discharge_letter
from tests.builders.form import build_imaging_request
from tests.builders.waiting_fax import (
    CARRIED,
    FAX_KEY,
    annex_pages,
    document_codes,
    document_id,
    document_pages,
    form_pages,
    keep_fax,
    letter_pages,
)
from tests.unit.cli.conftest import Terminal

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
def pages() -> list[Image.Image]:
    return form_pages()


@pytest.fixture
def ledger(instance: Path) -> Iterator[Ledger]:
    settings = read_config(instance / "tdu.toml")
    migrate_ledger(settings)
    opened = open_ledger(settings)
    yield opened
    opened.close()


@pytest.fixture
def entity(instance: Path) -> str:
    return read_config(instance / "tdu.toml").legal_entities[0].finess_ej


@pytest.fixture
def fax(ledger: Ledger, entity: str, pages: list[Image.Image]) -> str:
    return keep_fax(ledger, pages, entity, YESTERDAY)


def completed(folder: Path, name: str = "answers-1.json", **changes: Any) -> Path:
    """What a person typed from the pictures: a whole form, under the name that `show` gave it."""
    path = folder / name
    path.write_text(json.dumps({"formulaire": "demande-imagerie"} | build_imaging_request(**changes)))
    return path


def events(ledger: Ledger, entity: str, receipt: str) -> list[str]:
    timeline = ledger.timeline(receipt, legal_entity=entity)
    assert timeline is not None
    return [f"{event.kind} {event.detail}".strip() for event in timeline.events]


# ── show ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_fax_holds_is_written_for_its_reader_alone(instance: Path, fax: str, told: Callable[..., Any]) -> None:
    shown = told("fax", "show", fax, "--out", "look")
    (draft,) = shown["drafts"]
    assert (draft["form"], draft["pages"]["missing"], draft["became"]) == ("demande-imagerie", [], "")
    named = [*shown["faxes"][0]["pages"], draft["file"], draft["answers_file"]]
    named += [one["picture"] for one in (*draft["doubtful"], *draft["writing"])]
    assert draft["doubtful"] and draft["writing"], "the hand of this seed leaves doubts"
    for name in named:
        assert stat.S_IMODE((instance / "look" / name).stat().st_mode) == 0o600, name
    assert all(
        stat.S_IMODE(p.stat().st_mode) == 0o700 for p in [instance / "look", *(instance / "look").rglob("*")] if p.is_dir()
    )


def test_who_reads_a_fax_is_told_the_number_that_it_came_from(fax: str, tdu: Terminal, told: Callable[..., Any]) -> None:
    (shown,) = told("fax", "show", fax, "--out", "look")["faxes"]
    assert (shown["from"], shown["called_id"]) == ("+33199005678", "+33199000001")
    assert "  from +33199005678, " in tdu("fax", "show", fax, "--out", "again").stdout


def test_what_was_typed_or_shown_of_another_fax_is_never_written_over(
    instance: Path, fax: str, ledger: Ledger, entity: str, tdu: Terminal, told: Callable[..., Any]
) -> None:
    told("fax", "show", fax, "--out", "look")
    typed = completed(instance / "look").read_bytes()
    other = keep_fax(ledger, letter_pages(), entity, YESTERDAY)
    for receipt in (fax, other):
        done = tdu("fax", "show", receipt, "--out", "look")
        assert (done.exit_code, "fax.folder-in-use" in done.stderr) == (1, True)
    assert (instance / "look" / "answers-1.json").read_bytes() == typed
    assert [path.name for path in (instance / "look").glob("fax-*")] == ["fax-1"]


def test_the_answers_hold_what_is_surely_ticked_and_nothing_that_is_doubtful(
    instance: Path, fax: str, told: Callable[..., Any]
) -> None:
    (draft,) = told("fax", "show", fax, "--out", "look")["drafts"]
    answers = json.loads((instance / "look" / draft["answers_file"]).read_bytes())
    for answer in draft["answers"]:
        if answer["row"] == 0 and not answer["doubts"]:
            value: Any = answers
            for key in answer["linkId"].split("."):
                value = value[key]
            assert {True: "oui", False: "non"}.get(value, value) == answer["values"][0], answer["linkId"]
    for choice in draft["doubtful"]:
        group, _, key = choice["where"].rpartition(".")
        assert "[" in group or (answers[group] if group else answers)[key] == "", choice["where"]
        assert choice["candidates"]


def test_that_somebody_looked_is_audited(fax: str, entity: str, ledger: Ledger, tdu: Terminal) -> None:
    assert tdu("fax", "show", fax, "--out", "look", "--by", "Mme Martin").exit_code == 0
    rows = ledger_audit(ledger, entity)
    assert ("Mme Martin", "fax.read", fax) in rows


def ledger_audit(ledger: Ledger, entity: str) -> set[tuple[str, str, str]]:
    from adapter.audit.trail import seal_audit

    seal_audit(ledger)
    return {(row.entry.actor, row.entry.action, row.entry.about_id) for row in ledger.read_audit(0, 500, legal_entity=entity)}


def test_a_form_that_came_in_two_calls_is_one_draft(
    entity: str, ledger: Ledger, pages: list[Image.Image], told: Callable[..., Any]
) -> None:
    first = keep_fax(ledger, pages[:1], entity, YESTERDAY)
    second = keep_fax(ledger, [page.rotate(180) for page in pages[1:]], entity, YESTERDAY + timedelta(minutes=5))
    alone = told("fax", "show", second, "--out", "alone")["drafts"]
    assert alone[0]["pages"]["missing"] == [1]
    (draft,) = told("fax", "show", second, first, "--out", "both")["drafts"]
    assert draft["pages"]["missing"] == []


def test_pages_are_shown_upright_even_those_without_a_code(
    instance: Path, entity: str, ledger: Ledger, pages: list[Image.Image], told: Callable[..., Any]
) -> None:
    note = Image.new("1", (1728, 2292), 255)
    note.paste(0, (0, 0, 1728, 300))  # black above
    turned = [page.rotate(180) for page in (*pages, note)]
    shown = told("fax", "show", keep_fax(ledger, turned, entity, YESTERDAY), "--out", "look")
    last = Image.open(instance / "look" / shown["faxes"][0]["pages"][-1]).convert("L")
    assert last.getpixel((800, 100)) == 0 and last.getpixel((800, 2200)) == 255


def test_a_fax_of_another_legal_entity_and_what_is_no_fax_are_unknown(
    ledger: Ledger, pages: list[Image.Image], letter: Path, tdu: Terminal, told: Callable[..., Any], entity: str
) -> None:
    theirs = keep_fax(ledger, pages[:1], "990000000", YESTERDAY)
    (submitted,) = told("submit", letter)
    for receipt in (theirs, submitted["receipt"]):
        done = tdu("fax", "show", receipt, "--out", "look")
        assert (done.exit_code, "no such fax for this legal entity" in done.stderr) == (1, True)
        assert not Path("look").exists()


def test_a_fax_that_the_service_did_not_read_yet_waits(
    ledger: Ledger, pages: list[Image.Image], entity: str, tdu: Terminal
) -> None:
    fresh = keep_fax(ledger, pages[:1], entity, YESTERDAY, reads=False)
    assert "has not read it yet" in tdu("fax", "show", fresh, "--out", "look").stderr


def test_a_document_in_codes_is_verified_by_the_keys_of_the_line_that_it_came_by(
    instance: Path, entity: str, ledger: Ledger, told: Callable[..., Any]
) -> None:
    fax = keep_fax(ledger, annex_pages(), entity, YESTERDAY, "fax-page-differs")
    (unknown,) = told("fax", "show", fax, "--out", "before")["documents"]
    assert not unknown["verified"] and "unverified" in unknown["file"]
    trust_on_the_line(instance)
    (known,) = told("fax", "show", fax, "--out", "after")["documents"]
    assert (known["verified"], known["signed_by"]) == (True, "Hôpital fictif")
    assert (instance / "after" / known["file"]).read_bytes() == CARRIED


def trust_on_the_line(instance: Path) -> None:
    """The line `accueil`, and whose signature is believed on it."""
    public = FAX_KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (instance / "hopital.pem").write_bytes(public)
    (instance / "recvq").mkdir()
    with (instance / "tdu.toml").open("a") as file:
        file.write(
            '\n[[doors.fax]]\nname = "accueil"\nfolder = "recvq"\n'
            '[[doors.fax.trusted]]\nname = "Hôpital fictif"\nkey = "hopital.pem"\n'
        )


# ── confirm ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_confirmed_form_is_a_request_that_names_its_fax_and_the_question_is_closed(
    instance: Path, fax: str, entity: str, ledger: Ledger, told: Callable[..., Any]
) -> None:
    done = told("fax", "confirm", fax, "--answers", completed(instance), "--by", "Mme Martin")
    assert (done["verdict"], done["kept"]) == ("accepted", "stored")
    assert ledger.list_work_items(legal_entity=entity) == []
    assert f"fax-confirmed draft demande-imagerie {done['receipt']}" in events(ledger, entity, fax)
    assert f"from-fax {fax}" in events(ledger, entity, done["receipt"])
    audited = ledger_audit(ledger, entity)
    assert {("Mme Martin", "fax-confirmed", fax), ("Mme Martin", "work-item.close", fax)} <= audited
    shown = told("fax", "show", fax, "--out", "look")
    assert shown["drafts"][0]["became"] == done["receipt"]


def test_the_request_carries_the_received_pages_and_its_promise_runs_from_the_fax(
    instance: Path, fax: str, entity: str, ledger: Ledger, told: Callable[..., Any]
) -> None:
    made = told("fax", "confirm", fax, "--answers", completed(instance), "--by", "Mme Martin")["receipt"]
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
    finally:
        house.ledger.close()
    timeline = ledger.timeline(made, legal_entity=entity)
    assert timeline is not None and len(timeline.submissions) == 1
    submission = timeline.submissions[0].submission
    bundle = json.loads(ledger.read_payload(PayloadKind.BUNDLE, submission.id, legal_entity=entity))
    resources = [entry["resource"] for entry in bundle["entry"]]
    (reference,) = [r for r in resources if r["resourceType"] == "DocumentReference"]
    (pdf,) = [r for r in resources if r.get("contentType") == "application/pdf"]
    assert reference["content"][0]["attachment"]["url"] == f"urn:uuid:{pdf['id']}"
    assert base64.b64decode(pdf["data"]).startswith(b"%PDF-")
    section = next(s for s in resources[0]["section"] if "papier" in s["title"])
    assert "saisi et confirmé par Mme Martin" in section["text"]["div"]
    (step,) = ledger.request_steps(submission.document.unique_id, legal_entity=entity)
    assert step.at == YESTERDAY and step.answer_due == YESTERDAY + timedelta(hours=48)


def test_the_same_answers_again_are_the_same_request_and_others_are_refused(
    instance: Path, fax: str, entity: str, ledger: Ledger, tdu: Terminal, told: Callable[..., Any]
) -> None:
    first = told("fax", "confirm", fax, "--answers", completed(instance), "--by", "Mme Martin")
    again = told("fax", "confirm", fax, "--answers", completed(instance), "--by", "M. Durand")
    assert (again["kept"], again["receipt"]) == ("repeat", first["receipt"])
    other = tdu("fax", "confirm", fax, "--answers", completed(instance, **{"patient.nom": "AUTRE", "numero": "CMS-2"}))
    assert other.exit_code == 1
    assert "fax.already-confirmed" in other.stderr and first["receipt"] in other.stderr
    assert ledger.list_work_items(legal_entity=entity) == [], "a person who errs at the desk makes no question of it"
    assert ledger.conservation(legal_entity=entity).received == 2


def test_what_the_form_door_refuses_is_told_in_its_words_and_nothing_is_kept(
    instance: Path, fax: str, entity: str, ledger: Ledger, told: Callable[..., Any], tdu: Terminal
) -> None:
    shown = told("fax", "show", fax, "--out", "look")
    done = tdu("fax", "confirm", fax, "--answers", instance / "look" / shown["drafts"][0]["answers_file"])
    assert done.exit_code == 1
    assert "Réponse obligatoire : « Nom du patient »." in done.stdout and "patient.nom" in done.stdout
    assert [item.about_id for item in ledger.list_work_items(legal_entity=entity)] == [fax]
    assert ledger.conservation(legal_entity=entity).received == 1


def test_of_several_forms_one_must_be_named(instance: Path, entity: str, ledger: Ledger, tdu: Terminal) -> None:
    pages = [form_pages()[0], form_pages("demande-hospitalisation")[0]]
    done = tdu("fax", "confirm", keep_fax(ledger, pages, entity, YESTERDAY), "--answers", completed(instance))
    assert "fax.which-draft" in done.stderr


def test_the_answers_of_another_form_are_refused(instance: Path, fax: str, tdu: Terminal) -> None:
    path = instance / "autre.json"
    path.write_text(json.dumps({"formulaire": "demande-avis"}))
    done = tdu("fax", "confirm", fax, "--answers", path)
    assert (done.exit_code, "form.wrong-form" in done.stdout) == (1, True)


def test_a_crash_before_the_question_is_closed_is_finished_by_confirming_again(
    instance: Path, fax: str, entity: str, ledger: Ledger, told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As a process that is killed."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "keep_confirmation", killed)
        with pytest.raises(Killed):
            confirm_directly(instance, fax)
    assert len(ledger.list_work_items(legal_entity=entity)) == 1
    done = told("fax", "confirm", fax, "--answers", completed(instance))
    assert done["kept"] == "repeat"
    assert ledger.list_work_items(legal_entity=entity) == []
    assert events(ledger, entity, fax).count(f"fax-confirmed draft demande-imagerie {done['receipt']}") == 1


def confirm_directly(instance: Path, fax: str) -> None:
    """The command's work without its terminal, which would turn a death into an exit code."""
    from adapter.cli.fax_desk import confirm_fax

    confirm_fax([fax], completed(instance), config=Path("tdu.toml"))


def test_a_fax_of_two_forms_waits_until_both_are_confirmed(
    instance: Path, entity: str, ledger: Ledger, pages: list[Image.Image], tdu: Terminal, told: Callable[..., Any]
) -> None:
    other = form_pages(seed="another")
    both = keep_fax(ledger, [*pages, *other], entity, YESTERDAY)
    shown = told("fax", "show", both, "--out", "look")["drafts"]
    assert {draft["findings"][0]["code"] for draft in shown} == {"sheet.pages-not-joined"}, "no machine tells whose page is whose"
    mine = [draft["number"] for draft in shown][::2]
    theirs = [draft["number"] for draft in shown][1::2]
    assert (
        "fax.not-one-form" in tdu("fax", "confirm", both, "--answers", completed(instance), "--draft", "1", "--draft", "2").stderr
    )
    first = told("fax", "confirm", both, "--answers", completed(instance), *joined(mine))
    assert len(ledger.list_work_items(legal_entity=entity)) == 1
    second = told(
        "fax", "confirm", both, "--answers", completed(instance, **{"patient.nom": "AUTRE", "numero": "CMS-2"}), *joined(theirs)
    )
    assert first["receipt"] != second["receipt"]
    assert ledger.list_work_items(legal_entity=entity) == []


def test_a_form_that_came_with_another_page_leaves_that_page_in_the_queue(
    instance: Path, entity: str, ledger: Ledger, pages: list[Image.Image], told: Callable[..., Any]
) -> None:
    fax = keep_fax(ledger, [*pages, letter_pages()[0]], entity, YESTERDAY, reads=False)
    prepare(instance)
    (item,) = ledger.list_work_items(legal_entity=entity)
    assert "cases douteuses" in item.advice or "case douteuse" in item.advice
    assert "tdu fax show" in item.advice and "tdu fax confirm" in item.advice
    done = told("fax", "confirm", fax, "--answers", completed(instance))
    assert done["still_open"] == [{"item": item.id, "reason": item.reason, "receipt": fax}]


def test_a_form_that_came_with_half_a_document_leaves_that_document_in_the_queue(
    instance: Path, entity: str, ledger: Ledger, pages: list[Image.Image], letter_as_data: bytes, told: Callable[..., Any]
) -> None:
    sheet = Image.new("1", (1728, 2292), 255)
    ((half, place),) = place_codes(document_codes(letter_as_data)[:1], Room(1728, 100, 2280))[0]
    sheet.paste(half, place)
    fax = keep_fax(ledger, [*pages, sheet], entity, YESTERDAY)
    done = told("fax", "confirm", fax, "--answers", completed(instance))
    assert [item["receipt"] for item in done["still_open"]] == [fax]


def test_the_queue_says_how_many_boxes_are_doubtful_and_the_form_is_confirmed_from_there(
    instance: Path, entity: str, ledger: Ledger, pages: list[Image.Image], told: Callable[..., Any]
) -> None:
    keep_fax(ledger, pages, entity, YESTERDAY, reads=False)
    prepare(instance)
    (item,) = told("queue")
    assert item["reason"] == "fax-paper-form" and "douteuse" in item["advice"] and "à saisir" in item["advice"]
    done = told("fax", "confirm", item["about_id"], "--answers", completed(instance))
    assert (done["verdict"], done["still_open"], told("queue")) == ("accepted", [], [])


def test_pages_that_a_person_joins_are_shown_as_one_form(
    instance: Path, entity: str, ledger: Ledger, pages: list[Image.Image], told: Callable[..., Any]
) -> None:
    both = keep_fax(ledger, [*pages, *form_pages(seed="another")], entity, YESTERDAY)
    (draft,) = told("fax", "show", both, "--out", "look", *joined(["1", "3", "5"][: len(pages)]))["drafts"]
    assert draft["pages"]["missing"] == []
    assert (instance / "look" / draft["answers_file"]).is_file()


def joined(numbers: list[str]) -> list[str]:
    return [word for number in numbers for word in ("--draft", number)]


# ── a document whose pages differ ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def letter_as_data() -> bytes:
    return canonical_json(build_discharge_letter())


@pytest.fixture
def differing(instance: Path, ledger: Ledger, entity: str, letter_as_data: bytes) -> str:
    """A verified letter on whose second sheet somebody wrote, read by the service."""
    trust_on_the_line(instance)
    fax = keep_fax(ledger, document_pages(letter_as_data, written_on=True), entity, YESTERDAY, reads=False)
    prepare(instance)
    return fax


def prepare(instance: Path) -> None:
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        while house.pipeline.prepare_some("test"):
            pass
    finally:
        house.ledger.close()


def test_a_page_that_was_written_on_is_shown_with_a_frame_around_it(
    instance: Path, differing: str, entity: str, ledger: Ledger, letter_as_data: bytes, told: Callable[..., Any]
) -> None:
    assert [item.reason for item in ledger.list_work_items(legal_entity=entity)] == ["fax-page-differs"]
    shown = told("fax", "show", differing, "--out", "look")
    (difference,) = shown["differences"]
    assert shown["unknown_pages"] == [], "a page that is a sheet of the document is known"
    assert (difference["page"], difference["document"]) == (2, document_id(letter_as_data))
    picture = Image.open(instance / "look" / difference["picture"]).convert("RGB")
    assert (200, 0, 0) in {color for _, color in picture.getcolors(1 << 24) or ()}


def test_a_document_looked_at_is_let_through_as_it_was_signed(
    instance: Path, differing: str, entity: str, ledger: Ledger, told: Callable[..., Any], letter_as_data: bytes
) -> None:
    done = told("fax", "confirm", differing, "--document", document_id(letter_as_data)[:12], "--by", "Dr Martin")
    assert (done["verdict"], done["kept"]) == ("accepted", "stored")
    prepare(instance)
    timeline = ledger.timeline(done["receipt"], legal_entity=entity)
    assert timeline is not None and len(timeline.submissions) == 1
    source = ledger.read_payload(PayloadKind.SOURCE, timeline.submissions[0].submission.id, legal_entity=entity)
    assert source == letter_as_data
    assert f"fax-confirmed document {done['receipt']}" in events(ledger, entity, differing)
    assert differing not in [item.about_id for item in ledger.list_work_items(legal_entity=entity)]
    assert ("Dr Martin", "fax-confirmed", differing) in ledger_audit(ledger, entity)
    again = told("fax", "confirm", differing, "--document", document_id(letter_as_data), "--by", "Dr Martin")
    assert (again["kept"], again["receipt"]) == ("repeat", done["receipt"])


def test_a_document_that_no_trusted_key_signed_is_never_let_through(
    instance: Path, ledger: Ledger, entity: str, letter_as_data: bytes, tdu: Terminal
) -> None:
    trust_on_the_line(instance)
    stranger = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    fax = keep_fax(ledger, document_pages(letter_as_data, key=stranger), entity, YESTERDAY, reads=False)
    prepare(instance)
    done = tdu("fax", "confirm", fax, "--document", document_id(letter_as_data, stranger))
    assert done.exit_code == 1
    assert "fax.unverified" in done.stderr and "may be anybody's" in done.stderr
    assert [item.reason for item in ledger.list_work_items(legal_entity=entity)] == ["fax-unverified"]


def test_a_document_that_came_as_it_was_sent_needs_no_confirmation(
    instance: Path, ledger: Ledger, entity: str, letter_as_data: bytes, tdu: Terminal
) -> None:
    trust_on_the_line(instance)
    fax = keep_fax(ledger, document_pages(letter_as_data), entity, YESTERDAY, reads=False)
    prepare(instance)
    assert "fax.nothing-to-confirm" in tdu("fax", "confirm", fax, "--document", document_id(letter_as_data)).stderr


@pytest.mark.parametrize("content", [b"[]", b'{"resourceType": "Bundle", "type": "collection", "entry": []}'])
def test_what_a_trusted_key_signed_and_is_no_document_is_refused_in_words_and_keeps_its_question(
    instance: Path,
    ledger: Ledger,
    entity: str,
    pages: list[Image.Image],
    content: bytes,
    tdu: Terminal,
    told: Callable[..., Any],
) -> None:
    trust_on_the_line(instance)
    fax = keep_fax(ledger, [*pages, *document_pages(content)], entity, YESTERDAY, reads=False)
    prepare(instance)
    asked = [(item.about_id, item.reason) for item in ledger.list_work_items(legal_entity=entity)]
    done = tdu("fax", "confirm", fax, "--document", document_id(content))
    assert (done.exit_code, "fax.document-refused" in done.stderr) == (1, True)
    assert told("fax", "confirm", fax, "--answers", completed(instance))["verdict"] == "accepted"
    assert [(item.about_id, item.reason) for item in ledger.list_work_items(legal_entity=entity)] == asked


def test_a_document_whose_identifier_is_a_number_of_an_authority_is_known_to_have_passed(
    instance: Path, ledger: Ledger, entity: str, tdu: Terminal
) -> None:
    trust_on_the_line(instance)
    bundle = build_discharge_letter()
    bundle["identifier"] = {"system": "urn:oid:1.2.250.1.999", "value": "CR-2026-7"}
    content = canonical_json(bundle)
    fax = keep_fax(ledger, document_pages(content), entity, YESTERDAY, reads=False)
    prepare(instance)
    assert "fax.nothing-to-confirm" in tdu("fax", "confirm", fax, "--document", document_id(content)).stderr


def test_either_answers_or_a_document_is_confirmed(instance: Path, fax: str, tdu: Terminal) -> None:
    assert tdu("fax", "confirm", fax).exit_code == 2
    assert tdu("fax", "confirm", fax, "--answers", completed(instance), "--document", "0123456789ab").exit_code == 2
    assert "fax.which-document" in tdu("fax", "confirm", fax, "--document", "0123456789ab").stderr
