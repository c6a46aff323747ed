"""A partners file is read whole: every mistake is told at once, with its file and place."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from adapter.errors import ConfigurationError
from adapter.routing.directory import load_directory
from adapter.routing.identifiers import finess_is_valid, international_number, rpps_is_valid
from mssante.trusted_domains import read_domains
from tests.builders.directory import small_text, territory, territory_files

UNITS = "code,name,legal_entity,site,department,pole,mailbox,fax,senior_line,local_application,valid_from,valid_to\n"
RECORD = '[[record]]\nkey = "r"\nname = "R"\nbase_url_key = "r"\n'
WARD = '[[department]]\nkey = "ward"\nname = "Service"\norganisation = "site"\n'


def problems(units: str = "", **parts: str) -> str:
    files = {"small.toml": small_text(**parts).encode()}
    if units:
        files["units.csv"] = (UNITS + units).encode()
    with pytest.raises(ConfigurationError) as raised:
        load_directory(files)
    assert raised.value.code == "directory.invalid"
    return raised.value.message


def test_the_reference_territory_loads_with_the_places_of_the_domain() -> None:
    entries = territory().entries
    kinds = [o.kind for o in entries.organisations]
    assert kinds.count("hospital-site") == 3
    assert len({o.legal_entity for o in entries.organisations if o.kind == "health-centre"}) == 8
    assert len([o for o in entries.organisations if o.commune == "Malakoff"]) == 2
    assert len(entries.poles) == 9
    assert len([r for r in entries.roles if r.rpps == "99900000011"]) == 3


def test_the_reference_territory_uses_only_invented_numbers_and_training_mailboxes() -> None:
    entries = territory().entries
    numbers = [n for o in entries.organisations for n in (o.phone, o.fax)] + [n for r in entries.roles for n in (r.phone, r.fax)]
    numbers += [n for d in entries.departments for n in (d.fax, d.senior_line)] + [u.fax for u in entries.units]
    assert {n[:6] for n in numbers if n} == {"+33199"}
    boxes = [x.mailbox for x in (*entries.organisations, *entries.departments, *entries.roles, *entries.units) if x.mailbox]
    assert all(box.endswith(".formation.mssante.fr") for box in boxes)


def test_the_revision_is_of_the_content_and_of_nothing_else() -> None:
    files = territory_files()
    again = load_directory(dict(reversed(files.items())))
    changed = load_directory({**files, "units.csv": files["units.csv"] + b"\n"})
    assert again.revision == territory().revision
    assert changed.revision != territory().revision


def test_all_mistakes_are_told_at_once_with_their_place() -> None:
    said = problems(
        entity="checks_units = true",
        site='colour = "red"\nphone = "12"',
        centre='channels = [{ channel = "pigeon", since = 2020-01-01 }]',
        role='valid_from = "tomorrow"',
    )
    assert "small.toml: organisation[1] (site).colour is not a known key" in said
    assert "small.toml: organisation[1] (site).phone is not a telephone number" in said
    assert "small.toml: organisation[2] (centre).channels[1].channel must be one of" in said
    assert "small.toml: practitioner[1] (99900000029).role[1].valid_from is not a date" in said
    assert "legal_entity hospital checks units, but no unit table" in said


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('[[pole]]\nkey = "p"\nname = "P"\nlegal_entity = "nobody"\n', "pole p names nobody, which is not in the files"),
        ('[[pole]]\nkey = "p"\nname = "P"\nlegal_entity = "town"\n' * 2, "pole key p is given more than once"),
        ('[[form_target]]\nform = "f"\nsite = "site"\ndepartment = "x"\n', "form_target f at site names x"),
        ('[[domain]]\ndomain = "mssante.fr"\n', "domain mssante.fr is given more than once"),
        (WARD + 'mailbox = "x@gmail.example"\n', "department ward has the mailbox x@gmail.example, whose domain is in no"),
        (WARD + 'mailbox = "fictif@c.mssante.fr"\n', "have the same mailbox fictif@c.mssante.fr"),
        ('[[practitioner]]\nrpps = "99900000028"\nfamily = "X"\n', "(99900000028).rpps is not an RPPS number"),
        ('[[practitioner]]\nrpps = "99900000037"\nfamily = "X"\n', "(99900000037).role is missing"),
        (RECORD + "since = 2026-02-01\nuntil = 2026-01-01\n", "is before the first day"),
        ('[surprise]\nx = 1\n', "small.toml.surprise is not a known key"),
        ('[[form_target]]\nform = 3\nsite = "site"\ndepartment = "x"\n', "form must be a text"),
        ('= 3\n', "not readable as TOML"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(more: str, sentence: str) -> None:
    assert sentence in problems(more=more)


def agreement(key: str, since: str, until: str, order: str = '"mssante"') -> str:
    return (
        f'[[agreement]]\nkey = "{key}"\nframework = "f"\nhospital = "site"\ncentre = "centre"\n'
        f"since = {since}\nuntil = {until}\norder = [{order}]\n"
    )


def test_two_agreements_of_one_pair_may_follow_but_not_overlap() -> None:
    first = agreement("a", "2024-01-01", "2024-12-31")
    assert "agreement of site with centre has two overlapping periods" in problems(
        more=first + agreement("b", "2024-12-31", "2025-12-31")
    )
    load_directory({"x.toml": small_text(more=first + agreement("b", "2025-01-01", "2025-12-31")).encode()})


def test_an_order_of_channels_names_each_once() -> None:
    assert "order must list channels once each" in problems(more=agreement("a", "2024-01-01", "2024-12-31", '"fax", "fax"'))


@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ("1,U,hospital,site,nowhere,,,,,,,\n", "unit 1 names nowhere"),
        ("1,U,town,site,ward,,,,,,,\n", "its site site is of hospital"),
        ("1,U,hospital,centre,ward,,,,,,,\n", "its department ward is in site"),
        ("1,U,hospital,site,ward,,,,,,2020-01-01,\n1,V,hospital,site,ward,,,,,,2024-01-01,\n", "two overlapping"),
        ("1,U,hospital,site,ward,,,,,,2020-13-01,\n", "units.csv: line 2.valid_from is not a date"),
        (",U,hospital,site,ward,,,,,,,\n", "units.csv: line 2.code is missing"),
    ],
)  # fmt: skip
def test_each_mistake_of_a_unit_table_has_its_line(units: str, sentence: str) -> None:
    assert sentence in problems(units, more=WARD)


def test_unknown_columns_and_other_encodings_are_told() -> None:
    for content, sentence in ((b"code;colour\n1;red\n", "unknown columns: colour"), (b"\xff\xfe", "not readable as UTF-8")):
        with pytest.raises(ConfigurationError, match=sentence):
            load_directory({"x.toml": small_text().encode(), "units.csv": content})


def test_a_unit_table_may_use_semicolons_as_french_spreadsheets_do() -> None:
    units = UNITS.replace(",", ";") + "1;U;hospital;site;ward;;;;;;2020-01-01;\n"
    loaded = load_directory({"x.toml": small_text(more=WARD).encode(), "units.csv": ("\ufeff" + units).encode()})
    assert loaded.entries.units[0].code == "1"


@pytest.mark.parametrize(
    ("written", "kept"), [("01 99 00 12 34", "+33199001234"), ("+33 1 99.00.12.34", "+33199001234"), ("15", "15")]
)
def test_numbers_take_their_international_form(written: str, kept: str) -> None:
    assert international_number(written) == kept


def test_identifier_keys_are_checked() -> None:
    assert rpps_is_valid("99900000011")
    assert not rpps_is_valid("99900000012")
    assert not rpps_is_valid("9990000001")
    assert finess_is_valid("940000003")
    assert not finess_is_valid("940000004")
    assert finess_is_valid("2A0000001")


DOMAINS = "domain,kind,since,until,training\n"


def test_the_librarys_own_list_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    content = "domain;from;to\nhopital-x.mssante.example;2024-01-01;2026-12-31\n"
    (tmp_path / "domaines.csv").write_text(content, encoding="utf-8")
    library = read_domains(tmp_path / "domaines.csv")
    directory = load_directory({"x.toml": small_text().encode(), "domaines.csv": content.encode()})
    for day in (date(2023, 12, 31), date(2024, 1, 1), date(2026, 12, 31), date(2027, 1, 1)):
        trusted = library.trusts("a@hopital-x.mssante.example", day)
        assert (directory.domain_of("a@hopital-x.mssante.example", day) is not None) == trusted == (2024 <= day.year <= 2026)


def test_a_dated_list_of_trusted_domains_stands_beside_the_partners_files() -> None:
    listed = DOMAINS + "neuf.mssante.example,professional,2026-06-01,2026-11-30,\nMES.example,patient,,,true\n"
    loaded = load_directory({"x.toml": small_text().encode(), "domains.csv": listed.encode()})
    assert loaded.domain_of("a@neuf.mssante.example", date(2026, 5, 31)) is None
    assert loaded.domain_of("a@neuf.mssante.example", date(2026, 11, 30)) is not None
    assert loaded.domain_of("a@neuf.mssante.example", date(2026, 12, 1)) is None
    patients = loaded.domain_of("1@mes.example", date(2026, 12, 1))
    assert patients is not None and (patients.kind.value, patients.training) == ("patient", True)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (",professional,,,", "line 2.domain is missing"),
        ("a.fr,machine,,,", "line 2.kind must be one of"),
        ("a.fr,,2026-13-01,,", "line 2.since is not a date"),
        ("a.fr,,2026-02-01,2026-01-01,", "line 2.until is before the first day"),
        ("a.fr,,,,oui", "line 2.training must be one of"),
    ],
)
def test_each_mistake_of_a_list_of_domains_has_its_line(line: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        load_directory({"x.toml": small_text().encode(), "domains.csv": (DOMAINS + line + "\n").encode()})


def test_an_unknown_column_of_a_list_of_domains_is_told() -> None:
    with pytest.raises(ConfigurationError, match="unknown columns: colour"):
        load_directory({"x.toml": small_text().encode(), "domains.csv": b"domain,colour\na.fr,red\n"})


def with_fax(number: str) -> str:
    return small_text().replace("01 99 00 00 02", number)


@pytest.mark.parametrize(
    ("written", "kept"),
    [("01 99 00 00 02", "+33199000002"), ("+33 (0)2 61 91 00 02", "+33261910002"), ("0262 20 12 34", "+262262201234")],
)
def test_every_fax_of_the_directory_is_kept_as_e164(written: str, kept: str) -> None:
    loaded = load_directory({"x.toml": with_fax(written).encode()})
    assert kept in loaded.fax_numbers(date(2026, 11, 22))
    assert [role.id for role in loaded.holders_of_fax(kept, date(2026, 11, 22))] == ["role:fictif"]
    assert loaded.holders_of_fax("+33199009999", date(2026, 11, 22)) == ()


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("01 99 00", "is no number that exists"),
        ("+33 262 20 12", "is no number that exists"),
        ("0892 12 34 56", "is a short or charged number"),
        ("3646", "is a short or charged number"),
    ],
)
def test_a_fax_that_nobody_may_dial_is_told_with_file_line_and_remedy(written: str, sentence: str) -> None:
    text = with_fax(written)
    line = next(number for number, each in enumerate(text.splitlines(), 1) if each == f'fax = "{written}"')
    with pytest.raises(ConfigurationError) as told:
        load_directory({"x.toml": text.encode()})
    place = rf"x\.toml: practitioner\[1\] \(99900000029\)\.role\[1\]\.fax {sentence}"
    assert re.search(rf"{place}.*\(line {line}\): write the practice's own line", str(told.value))


def test_a_unit_table_tells_the_line_of_its_fax_once() -> None:
    said = problems("1,U,hospital,site,ward,,,0199,,,,\n", more=WARD)
    assert "units.csv: line 2.fax is no number that exists: write" in said


def test_a_line_to_ring_may_be_of_a_range_that_no_table_knows() -> None:
    loaded = load_directory({"x.toml": (small_text(more=WARD) + 'senior_line = "06 39 98 12 34"\n').encode()})
    assert loaded.entries.departments[0].senior_line == "+33639981234"
