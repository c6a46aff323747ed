"""Whatever is sent to the record, it is read or refused with our errors, and a document's bytes are cut out as they came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InputError
from adapter.formats.fhir import FhirLimits
from adapter.record.amendment import amended_by_json_patch, amended_by_parameters
from adapter.record.entries import resource_spans
from adapter.record.parameters import indexes_of
from adapter.record.refusals import RecordRefusal
from adapter.record.submission import read_submission
from tests.builders import record as r

pytestmark = pytest.mark.properties

LIMITS = FhirLimits()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3),
    max_leaves=12,
)
INDENTS = st.sampled_from([None, 0, 1, 4])


def paths(node: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document."""
    steps = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [before, *(path for key, value in steps for path in paths(value, (*before, key)))]


PATHS = [path for path in paths(r.transaction(1)) if path]


def spoilt(path: tuple[Any, ...], value: Any) -> bytes:
    """A right transaction with one place replaced."""
    bundle = json.loads(r.written(r.transaction(1)))
    node = bundle
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return json.dumps(bundle).encode()


@given(st.sampled_from(PATHS), JSON)
def test_a_transaction_spoilt_anywhere_is_read_or_refused_with_our_errors(path: tuple[Any, ...], value: Any) -> None:
    try:
        read_submission(spoilt(path, value), LIMITS)
    except (InputError, RecordRefusal):
        return


@given(st.binary(max_size=200))
def test_bytes_that_are_no_bundle_are_refused(body: bytes) -> None:
    with pytest.raises((InputError, RecordRefusal)):
        read_submission(body, LIMITS)


@given(st.lists(JSON, max_size=4), INDENTS, st.booleans())
def test_each_resource_is_cut_out_as_it_was_written(values: list[Any], indent: int | None, ascii_only: bool) -> None:
    bundle = {
        "a": [{"resource": 1}],
        "entry": [{"x": value, "resource": value, "y": {}} for value in values],
        "z": {"entry": [1]},
    }
    text = json.dumps(bundle, indent=indent, ensure_ascii=ascii_only)
    cut = [text[start:end] for start, end in resource_spans(text)]
    assert [json.loads(one) for one in cut] == values


@given(JSON)
def test_a_patch_is_made_or_refused_and_never_changes_what_it_was_given(patch: Any) -> None:
    document = {**r.document(r.unique_of(1), b"x", url="Binary/1", subject="Patient/1"), "id": "1"}
    before = json.dumps(document)
    for amend, given_patch in (
        (amended_by_json_patch, patch),
        (amended_by_parameters, {"resourceType": "Parameters", "parameter": patch}),
    ):
        try:
            amend(document, given_patch)
        except RecordRefusal:
            pass
        assert json.dumps(document) == before


@given(st.sampled_from(PATHS), JSON)
def test_what_passed_can_be_indexed(path: tuple[Any, ...], value: Any) -> None:
    try:
        submission = read_submission(spoilt(path, value), LIMITS)
    except (InputError, RecordRefusal):
        return
    for document in submission.documents:
        indexes_of(document.metadata)
    for entry in submission.lists:
        indexes_of(entry.resource)
