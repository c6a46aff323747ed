"""Every search parameter finds what it names and nothing else; pages neither lose nor double; on both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapter.errors import InputError
from adapter.fhir.search import DateValue, Prefix, Span, date_holds
from adapter.ledger.record_rows import AnySpan, Comparison, Indexes, NewResource
from adapter.record.parameters import TABLES
from adapter.record.shelf import Shelf
from tests.builders import record as r
from tests.builders.ledger import ENTITY, START, World

pytestmark = pytest.mark.contract

PATIENT = ("patient.identifier", f"{r.INS_TEST_SYSTEM}|{r.INS_ONE}")
ARCHIVED = [{"op": "add", "path": "/extension", "value": [{"url": r.PDSM + "pdsm-ext-is-archived", "valueBoolean": True}]}]


@pytest.fixture
def shelf(world: World) -> Shelf:
    """Two documents: the first ordinary, the second with everything different, related to the first."""
    shelf = r.shelf_of(world.ledger)
    shelf.provide(r.FEEDER, r.written(r.transaction(1, b"1")))
    world.clock.advance(hours=1)
    other = r.changed(
        r.transaction(
            2, b"<x/>", labels=("R", "MASQUE_PS"), media_type="text/xml", author="ŒILLET-DÜRR", date="2026-10-01T08:00:00Z"
        ),
        type=r.coded("urn:t", "T"),
        category=[r.coded("urn:c", "C")],
        relatesTo=[{"code": "appends", "target": {"identifier": {"system": r.URI, "value": r.unique_of(1)}}}],
        content__0__format={"system": "urn:f", "code": "F"},
        context__facilityType=r.coded("urn:fac", "FAC"),
        context__practiceSetting=r.coded("urn:set", "SET"),
        context__event=[r.coded("urn:ev", "EV")],
        context__period={"start": "2026-09-01", "end": "2026-09-03"},
        context__related=[{"identifier": {"system": "urn:order", "value": "O-7"}}],
    )
    r.resource_in(other, "List")["title"] = "Dépôt du mois"
    r.resource_in(other, "List")["meta"]["tag"] = [{"system": "urn:tag", "code": "tag-2"}]
    r.resource_in(other, "DocumentReference")["meta"]["tag"] = [{"system": "urn:tag", "code": "tag-2"}]
    shelf.provide(r.FEEDER, r.written(other))
    shelf.amend_where(r.FEEDER, [("identifier", f"{r.URI}|{r.unique_of(2)}")], ARCHIVED, "")
    return shelf


def numbers(shelf: Shelf, *pairs: tuple[str, str], kind: str = "DocumentReference") -> list[str]:
    """The last number of the unique ids found, as they come."""
    page = shelf.search(r.FEEDER, kind, pairs, strict=False)
    assert page.total == len(page.found)
    made = [held.resource() for held in page.found]
    ids = [one["masterIdentifier"]["value"] if kind == "DocumentReference" else one["identifier"][0]["value"] for one in made]
    return [value.rpartition(".")[2] for value in ids]


FINDS_SECOND = [
    ("identifier", r.unique_of(2)),
    ("identifier", f"{r.URI}|{r.unique_of(2)}"),
    ("type", "T"),
    ("type", "urn:t|T"),
    ("type", "urn:t|"),
    ("type", "urn:none|X,urn:t|T"),
    ("category", "urn:c|C"),
    ("facility", "FAC"),
    ("setting", "urn:set|SET"),
    ("event", "EV"),
    ("security-label", "MASQUE_PS"),
    ("format", "urn:f|F"),
    ("contenttype", "text/xml"),
    ("isArchived", "true"),
    ("date", "2026-10-01"),
    ("date", "lt2026-11"),
    ("date", "eb2026-11-01"),
    ("creation", "2026-10"),
    ("period", "2026-09"),
    ("period-start", "2026-09-01"),
    ("period-end", "le2026-09-03"),
    ("author.family", "œil"),
    ("author.family", "OEILLET DURR"),
    ("author.family:exact", "ŒILLET-DÜRR"),
    ("related:identifier", "urn:order|O-7"),
    ("relatesto:identifier", f"{r.URI}|{r.unique_of(1)}"),
    ("relation", "appends"),
    ("_lastUpdated", "gt2026-11-21T08:30:00Z"),
    ("_tag", "urn:tag|tag-2"),
]
FINDS_FIRST = [
    ("type", f"{r.LOINC}|11490-0"),
    ("date", "ge2026-11"),
    ("author.family", "MAQ"),
    ("contenttype", "application/pdf"),
    ("period", "sa2026-09-30"),
    ("_lastUpdated", "le2026-11-21T08:30:00Z"),
]
FINDS_NOTHING = [
    ("type", "urn:other|T"),
    ("type", "|T"),
    ("date", "2026-10-02"),
    ("date", "2025"),
    ("author.family:exact", "œillet-dürr"),
    ("author.family", "AQ"),
    ("status", "superseded"),
    ("identifier", "urn:oid:9.9.9"),
    ("_id", "unknown"),
    ("patient", "Patient/unknown"),
    ("patient", "https://elsewhere.example/fhir/Patient/1"),
    ("patient.identifier", f"{r.INS_TEST_SYSTEM}|{r.INS_TWO}"),
    ("relatesto", "DocumentReference/unknown"),
]


@pytest.mark.parametrize("asked", FINDS_SECOND, ids=str)
def test_a_parameter_finds_what_it_names(shelf: Shelf, asked: tuple[str, str]) -> None:
    assert numbers(shelf, asked) == ["2"]


@pytest.mark.parametrize("asked", FINDS_FIRST, ids=str)
def test_a_parameter_leaves_out_what_it_does_not_name(shelf: Shelf, asked: tuple[str, str]) -> None:
    assert numbers(shelf, asked) == ["1"]


@pytest.mark.parametrize("asked", FINDS_NOTHING, ids=str)
def test_a_parameter_that_nothing_meets_finds_nothing(shelf: Shelf, asked: tuple[str, str]) -> None:
    assert numbers(shelf, asked) == []


def test_all_parameters_of_the_table_are_tried_here() -> None:
    tried = {name.partition(":")[0] for name, _ in (*FINDS_SECOND, *FINDS_FIRST, *FINDS_NOTHING)} | {"author.given"}
    assert {one.name for one in TABLES["DocumentReference"]} <= tried
    assert {one.name for one in TABLES["List"]} <= {name for name, _ in LISTS} | {"patient", "_id", "status"}


def test_several_parameters_must_all_hold(shelf: Shelf) -> None:
    assert numbers(shelf, PATIENT, ("status", "current"), ("type", "T")) == ["2"]
    assert numbers(shelf, PATIENT, ("type", "T"), ("type", "11490-0")) == []
    assert numbers(shelf, ("author.given", "ali"), ("type", "T")) == ["2"]


LISTS = [
    ("identifier", f"{r.URI}|urn:oid:1.2.250.1.999.95.2"),
    ("title", "depot"),
    ("_tag", "urn:tag|tag-2"),
    ("_lastUpdated", "gt2026-11-21T08:30:00Z"),
    PATIENT,
    ("code", "submissionset"),
    ("date", "2026-11-20"),
    ("designationType", "10"),
    ("sourceId", f"{r.URI}|urn:oid:1.2.250.1.999.1"),
    ("source.family", "x"),
    ("source.given", "x"),
    ("authorOrg", "x"),
]


@pytest.mark.parametrize("asked", LISTS[:4], ids=str)
def test_a_submission_set_is_found_by_what_is_its_own(shelf: Shelf, asked: tuple[str, str]) -> None:
    assert numbers(shelf, asked, kind="List") == ["2"]


@pytest.mark.parametrize("asked", LISTS[4:9], ids=str)
def test_submission_sets_are_found_by_what_they_share(shelf: Shelf, asked: tuple[str, str]) -> None:
    assert sorted(numbers(shelf, asked, kind="List")) == ["1", "2"]


def test_a_set_is_found_by_who_sent_it(world: World) -> None:
    bundle = r.transaction(1)
    made = r.resource_in(bundle, "List")
    made["contained"] = r.resource_in(bundle, "DocumentReference")["contained"][1:]
    made["source"] = {"reference": "#role"}
    shelf = r.shelf_of(world.ledger)
    shelf.provide(r.FEEDER, r.written(bundle))
    for asked in (
        ("source.family", "maq"),
        ("source.given", "Alix"),
        ("authorOrg", f"https://finess.esante.gouv.fr|{r.HOSPITAL}"),
    ):
        assert numbers(shelf, asked, kind="List") == ["1"]
    assert numbers(shelf, ("source.family", "dupont"), kind="List") == []


# ── order and pages ────────────────────────────────────────────────────────────────────────────────────────────────


def fill(world: World, count: int) -> Shelf:
    shelf = r.shelf_of(world.ledger)
    for number in range(1, count + 1):
        # Two of each date: ids decide between equals.
        date = f"2026-11-{1 + number // 2:02d}T10:00:00Z"
        shelf.provide(r.FEEDER, r.written(r.transaction(number, b"%d" % number, date=date)))
        world.clock.advance(minutes=1)
    return shelf


@pytest.mark.parametrize("order", ["date", "-date", "_lastUpdated", "-_lastUpdated"])
def test_pages_show_each_document_once_in_order(world: World, order: str) -> None:
    shelf = fill(world, 7)
    pairs = [PATIENT, ("_count", "3"), ("_sort", order)]
    page = shelf.search(r.FEEDER, "DocumentReference", pairs, strict=False)
    seen, totals = [held.row for held in page.found], [page.total]
    while page.next_token:
        page = shelf.search(r.FEEDER, "DocumentReference", [("_page", page.next_token)], strict=False)
        seen += [held.row for held in page.found]
        totals.append(page.total)
    assert totals == [7, 7, 7]
    keys = [row.dated_at if "date" in order else row.changed_at for row in seen]
    assert keys == sorted(keys, reverse=order.startswith("-"))
    assert len({row.id for row in seen}) == 7


def test_a_document_that_arrives_between_two_pages_neither_moves_nor_doubles_others(world: World) -> None:
    shelf = fill(world, 5)
    pairs = [PATIENT, ("_count", "3"), ("_sort", "-_lastUpdated")]
    first = shelf.search(r.FEEDER, "DocumentReference", pairs, strict=False)
    shelf.provide(r.FEEDER, r.written(r.transaction(99, b"99")))
    second = shelf.search(r.FEEDER, "DocumentReference", [("_page", first.next_token)], strict=False)
    assert len({held.row.id for held in (*first.found, *second.found)}) == 5


def test_a_page_of_another_client_or_forged_is_refused(world: World) -> None:
    shelf = fill(world, 2)
    token = shelf.search(r.FEEDER, "DocumentReference", [PATIENT, ("_count", "1")], strict=False).next_token
    for client, kind, text in (
        (r.WARD, "DocumentReference", token),
        (r.FEEDER, "List", token),
        (r.FEEDER, "DocumentReference", token[:-2] + "AA"),
        (r.FEEDER, "DocumentReference", "forged"),
    ):
        with pytest.raises(InputError) as error:
            shelf.search(client, kind, [("_page", text)], strict=False)
        assert error.value.code == "search.page-forged"


def test_a_count_of_zero_tells_only_how_many(world: World) -> None:
    page = fill(world, 3).search(r.FEEDER, "DocumentReference", [PATIENT, ("_count", "0")], strict=False)
    assert (page.total, page.found, page.next_token) == (3, (), "")


# ── the store compares as the norm's table does ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", list(Prefix))
def test_dates_compare_in_the_database_as_in_the_table(world: World, prefix: Prefix) -> None:
    hours = [(a, b) for a in range(5) for b in range(a + 1, 6)]
    spans = [Span(START + timedelta(hours=a), START + timedelta(hours=b)) for a, b in hours]

    def add(changes: object) -> None:
        for number, span in enumerate(spans):
            indexes = Indexes((), (("date", span.start, span.end),))
            changes.add(NewResource(f"s{number}", "List", b"{}", "current", indexes=indexes))  # type: ignore[attr-defined]

    world.ledger.record.write(ENTITY, add)
    for sought in spans:
        comparison = Comparison(prefix.value, sought.start, sought.end)
        found = world.ledger.record.read(ENTITY, lambda rows, c=comparison: rows.find("List", [AnySpan("date", (c,))]))  # type: ignore[misc]
        expected = {f"s{n}" for n, span in enumerate(spans) if date_holds(DateValue(prefix, sought), span)}
        assert {row.id for row in found} == expected
