"""A search is understood whole or refused: nothing that would widen a result is ignored."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from adapter.errors import InputError, VaultError
from adapter.fhir.search import (
    DateValue,
    Kind,
    PageTokens,
    Parameter,
    Prefix,
    Query,
    Reference,
    SearchRules,
    Span,
    Token,
    date_holds,
    parameters,
    read_date,
    read_query,
    read_reference,
    read_token,
    span_of,
    token_holds,
)
from adapter.ledger.vault import Vault

RULES = SearchRules(
    parameters(
        Parameter("status", Kind.TOKEN),
        Parameter("date", Kind.DATE),
        Parameter("author.family", Kind.STRING, frozenset({"exact"})),
        Parameter("related", Kind.REFERENCE, frozenset({"identifier"})),
    ),
    sorts=("date",),
)


def asked(*pairs: tuple[str, str], strict: bool = False) -> Query:
    return read_query(pairs, RULES, strict=strict)


def refused(*pairs: tuple[str, str], strict: bool = False) -> str:
    with pytest.raises(InputError) as error:
        asked(*pairs, strict=strict)
    return error.value.code


def test_repeated_parameters_are_conditions_and_commas_are_alternatives() -> None:
    query = asked(("status", "current,superseded"), ("status", "http://s|current"))
    assert [len(one.values) for one in query.named("status")] == [2, 1]


def test_an_unknown_filter_is_refused_whatever_the_caller_prefers() -> None:
    assert refused(("colour", "red")) == "search.unknown-parameter"
    assert refused(("colour", "red"), strict=True) == "search.unknown-parameter"


def test_what_cannot_widen_a_result_is_ignored_and_named_unless_the_caller_is_strict() -> None:
    assert asked(("_elements", "id")).ignored == ("_elements",)
    assert refused(("_elements", "id"), strict=True) == "search.unknown-parameter"
    assert asked(("_format", "json"), ("_pretty", "true"), strict=True).ignored == ()


def test_an_unknown_modifier_and_an_empty_value_are_refused() -> None:
    assert refused(("status:not", "current")) == "search.bad-modifier"
    assert refused(("status", "")) == "search.empty-value"
    assert refused(("status", "current,")) == "search.empty-value"


def test_the_refusal_never_repeats_what_the_caller_wrote() -> None:
    with pytest.raises(InputError) as error:
        asked(("DUPONT Jean né le 1", "x"))
    assert "DUPONT" not in str(error.value)


def test_a_count_is_capped_zero_means_only_the_number_and_nonsense_is_refused() -> None:
    assert asked(("_count", "5000")).count == RULES.most_count
    assert asked(("_count", "0")).count == 0
    assert asked(("_summary", "count")).count == 0
    assert asked().count == RULES.default_count
    for text in ("-1", "dix", "1.5", "²"):
        assert refused(("_count", text)) == "search.bad-count"
    assert refused(("_count", "1"), ("_count", "2")) == "search.repeated"


def test_only_a_known_order_is_taken() -> None:
    assert asked(("_sort", "-date")).sort == "-date"
    assert refused(("_sort", "patient")) == "search.bad-sort"


def test_too_many_parameters_or_values_are_refused() -> None:
    assert refused(*[("status", "a")] * 41) == "search.too-many"
    assert refused(("status", ",".join("a" * 51))) == "search.too-many"
    assert refused(("status", "a" * 1001)) == "search.too-long"


def test_a_modifier_of_identifier_reads_a_reference_as_a_token() -> None:
    (criterion,) = asked(("related:identifier", "urn:x|7")).criteria
    assert (criterion.kind, criterion.values[0]) == (Kind.TOKEN, Token("urn:x", "7"))


@pytest.mark.parametrize(
    ("text", "system", "code"),
    [("a", None, "a"), ("s|a", "s", "a"), ("|a", "", "a"), ("s|", "s", ""), (r"s|a\|b", "s", "a|b"), (r"a\,b", None, "a,b")],
)
def test_a_token_is_a_code_with_or_without_its_system(text: str, system: str | None, code: str) -> None:
    assert read_token(text) == Token(system, code)


def test_a_token_of_nothing_or_of_three_parts_is_refused() -> None:
    for text in ("|", "a|b|c"):
        with pytest.raises(InputError):
            read_token(text)


def test_a_token_matches_by_what_it_names_only() -> None:
    assert token_holds(Token(None, "a"), "any", "a")
    assert token_holds(Token("s", ""), "s", "b")
    assert not token_holds(Token("", "a"), "s", "a")
    assert not token_holds(Token("s", "a"), "s", "b")


def test_references_are_relative_absolute_or_bare() -> None:
    assert read_reference("Patient/7") == Reference("", "Patient", "7")
    assert read_reference("7") == Reference("", "", "7")
    assert read_reference("https://h.example/fhir/Patient/7") == Reference("https://h.example/fhir", "Patient", "7")
    for text in ("Patient/7/8", "../7", "a b", "javascript:alert(1)"):
        with pytest.raises(InputError):
            read_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "hier", "2026-13", "2026-02-30", "0000", "0001", "9999", "20260101", "2026-01-01T25:00", "2026-01-01T10:00:61Z", "ge",
        "xx2026", "2026-01-01T10:00+99:00", "2026-1-1", "", "gege2026", "2026-01-01T10", "²026",
    ],
)  # fmt: skip
def test_an_absurd_date_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read_date(text)


def test_a_date_stands_for_all_that_its_precision_covers() -> None:
    def utc(*parts: int) -> datetime:
        return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]

    assert span_of("2026") == Span(utc(2026, 1, 1), utc(2027, 1, 1))
    assert span_of("2026-12") == Span(utc(2026, 12, 1), utc(2027, 1, 1))
    assert span_of("2026-12-31T23:59") == Span(utc(2026, 12, 31, 23, 59), utc(2027, 1, 1))
    assert span_of("2026-01-01T10:00:00.25+02:00") == Span(utc(2026, 1, 1, 8, 0, 0, 250000), utc(2026, 1, 1, 8, 0, 0, 260000))


def test_a_civil_day_of_the_clock_change_has_its_true_length() -> None:
    spans = [span_of(day, ZoneInfo("Europe/Paris")) for day in ("2026-03-29", "2026-10-25")]
    assert [(s.end - s.start).total_seconds() / 3600 for s in spans if s] == [23, 25]


def test_a_plus_that_became_a_space_in_an_address_is_a_plus() -> None:
    assert span_of("2026-01-01T10:00:00 02:00") == span_of("2026-01-01T10:00:00+02:00")


@pytest.mark.parametrize(
    ("sought", "target", "holds"),
    [
        ("2026-05", "2026-05-10", True),
        ("2026-05-10", "2026-05", False),
        ("ne2026-05", "2026-05-10", False),
        ("gt2026-05-10", "2026-05", True),
        ("lt2026-05-10", "2026-05", True),
        ("ge2026-05-10", "2026-05-10", True),
        ("le2026-05-09", "2026-05-10", False),
        ("sa2026-05-10", "2026-05", False),
        ("sa2026-04", "2026-05", True),
        ("eb2026-06", "2026-05", True),
        ("ap2026-05-10", "2026-05", True),
    ],
)
def test_prefixes_compare_stretches_of_time(sought: str, target: str, holds: bool) -> None:
    span = span_of(target)
    assert span is not None
    assert date_holds(read_date(sought), span) is holds


def test_a_date_without_prefix_means_equal() -> None:
    span = span_of("2026")
    assert span is not None
    assert read_date("2026") == DateValue(Prefix.EQUAL, span)


# ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tokens() -> PageTokens:
    vault = Vault([b"k" * 32])
    return PageTokens(
        lambda scope, content: vault.seal(scope, "token", content)[0],
        lambda scope, sealed: vault.open_payload(scope, "token", [sealed]),
    )


def test_a_page_token_comes_back_to_who_it_was_given_to() -> None:
    tokens = _tokens()
    assert tokens.read("record:a", tokens.issue("record:a", {"after": "x", "n": 3})) == {"after": "x", "n": 3}


def test_a_page_token_shows_nothing_of_the_search() -> None:
    assert "1790112345678" not in _tokens().issue("a", {"ins": "1790112345678"})


@pytest.mark.parametrize("forged", ["", "abc", "é", "AAAA", "A" * 200, "..", "%00"])
def test_a_forged_page_token_is_refused(forged: str) -> None:
    with pytest.raises(InputError) as error:
        _tokens().read("a", forged)
    assert error.value.code == "search.page-forged"


def test_a_page_token_of_another_caller_or_changed_by_one_sign_is_refused() -> None:
    tokens = _tokens()
    token = tokens.issue("a", {"n": 1})
    changed = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    for scope, text in (("b", token), ("a", changed)):
        with pytest.raises(InputError):
            tokens.read(scope, text)


def test_only_our_own_errors_mean_a_forgery() -> None:
    def broken(_scope: str, _sealed: bytes) -> bytes:
        raise VaultError("vault.damaged", "no")

    with pytest.raises(InputError):
        PageTokens(lambda _s, c: c, broken).read("a", "AAAA")
