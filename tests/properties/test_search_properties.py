"""Whatever is asked, a search is read or refused with our error; what is written is read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InputError
from adapter.fhir.search import (
    DateValue,
    Kind,
    PageTokens,
    Parameter,
    Prefix,
    SearchRules,
    Span,
    Token,
    date_holds,
    escaped,
    parameters,
    read_query,
    read_token,
    span_of,
)
from adapter.ledger.vault import Vault

pytestmark = pytest.mark.properties

RULES = SearchRules(
    parameters(
        Parameter("t", Kind.TOKEN), Parameter("d", Kind.DATE), Parameter("r", Kind.REFERENCE), Parameter("s", Kind.STRING)
    ),
    sorts=("d",),
)
VAULT = Vault([b"k" * 32])
TOKENS = PageTokens(
    lambda scope, content: VAULT.seal(scope, "token", content)[0],
    lambda scope, sealed: VAULT.open_payload(scope, "token", [sealed]),
)
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda d: d.replace(tzinfo=UTC))  # noqa: DTZ001
NAMES = st.sampled_from(["t", "d", "r", "s", "_count", "_sort", "_page", "_summary", "_elements", "t:not", "x", ""])


@given(st.lists(st.tuples(NAMES, st.text()), max_size=6), st.booleans())
def test_garbage_is_read_or_refused_with_our_error(pairs: list[tuple[str, str]], strict: bool) -> None:
    try:
        query = read_query(pairs, RULES, strict=strict)
    except InputError:
        return
    asked = [name for name, _ in pairs if name in RULES.parameters]
    assert [criterion.name for criterion in query.criteria] == asked


@given(st.text(min_size=1), st.text(min_size=1))
def test_an_escaped_token_is_read_back_as_it_was(system: str, code: str) -> None:
    assert read_token(f"{escaped(system)}|{escaped(code)}") == Token(system, code)


@given(INSTANTS)
def test_an_instant_lies_in_the_stretch_of_each_of_its_precisions(moment: datetime) -> None:
    for length in (4, 7, 10):
        span = span_of(moment.isoformat()[:length])
        assert span is not None
        assert span.start <= moment < span.end


@given(INSTANTS, st.integers(1, 10_000), INSTANTS, st.integers(1, 10_000))
def test_prefixes_agree_with_each_other(a: datetime, long: int, b: datetime, wide: int) -> None:
    target, sought = Span(a, a + timedelta(minutes=long)), Span(b, b + timedelta(minutes=wide))

    def holds(prefix: Prefix) -> bool:
        return date_holds(DateValue(prefix, sought), target)

    assert holds(Prefix.EQUAL) is not holds(Prefix.NOT_EQUAL)
    assert holds(Prefix.FROM) is (holds(Prefix.AFTER) or holds(Prefix.EQUAL))
    assert holds(Prefix.UNTIL) is (holds(Prefix.BEFORE) or holds(Prefix.EQUAL))
    assert not holds(Prefix.STARTS_AFTER) or holds(Prefix.AFTER)
    assert not holds(Prefix.ENDS_BEFORE) or holds(Prefix.BEFORE)
    assert holds(Prefix.ABOUT) is not (holds(Prefix.STARTS_AFTER) or holds(Prefix.ENDS_BEFORE))


@given(st.text(max_size=400))
def test_no_text_that_we_did_not_issue_is_a_page(text: str) -> None:
    with pytest.raises(InputError):
        TOKENS.read("scope", text)


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_a_page_token_is_read_back_as_it_was(content: dict[str, str | int]) -> None:
    assert TOKENS.read("scope", TOKENS.issue("scope", content)) == content
