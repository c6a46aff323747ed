"""The life of a request as a Task asks for it: the table of what may follow, and garbage that raises our error only."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InputError
from adapter.model.request import StepKind
from adapter.requests.transitions import MAY_FOLLOW, AskedOutcome, AskedStep, check_follows, read_asked

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def test_the_table_knows_every_step_and_nothing_goes_back_to_the_request() -> None:
    assert set(MAY_FOLLOW) == set(StepKind)
    assert StepKind.REQUESTED not in {after for afters in MAY_FOLLOW.values() for after in afters}
    assert MAY_FOLLOW[StepKind.REJECTED] == frozenset()


@pytest.mark.parametrize("before", list(StepKind))
@pytest.mark.parametrize("after", [kind for kind in StepKind if kind is not StepKind.REQUESTED])
def test_what_may_not_follow_is_refused_with_what_may(before: StepKind, after: StepKind) -> None:
    if after in MAY_FOLLOW[before]:
        check_follows(before, AskedStep(after))
        return
    with pytest.raises(InputError) as caught:
        check_follows(before, AskedStep(after))
    assert caught.value.code == "task.illegal-transition"
    assert all(kind.value in caught.value.remedy for kind in MAY_FOLLOW[before])


@given(
    status=st.sampled_from(["accepted", "rejected", "on-hold", "in-progress", "received", "failed"]) | JSON,
    reason=JSON | st.fixed_dictionaries({"text": JSON, "coding": JSON}),
    output=JSON | st.lists(st.fixed_dictionaries({"type": JSON, "valuePeriod": JSON}), max_size=2),
)
def test_garbage_raises_our_error_only(status: Any, reason: Any, output: Any) -> None:
    try:
        asked: Any = read_asked({"status": status, "statusReason": reason, "output": output}, {})
    except InputError as error:
        asked = error
    assert isinstance(asked, AskedStep | AskedOutcome | InputError)
