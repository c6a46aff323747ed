"""Whatever order messages come in, however spoilt they are: one record, one account, one kind of error."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.errors import InputError
from adapter.fhir.validate import Level, validate_bundle
from adapter.formats.hl7v2 import read_message
from adapter.mapping.from_adt import inspect_adt, translate_adt, understand_adt
from adapter.mapping.hl7.adt_message import AdtMessage
from adapter.mapping.hl7.adt_profile import adt_events, adt_words
from adapter.model.identity import LocalIdentifier
from adapter.model.patient import IdentityUpdate, PatientRecord, with_update
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.adt import DOCTOR, build_adt, consent, guardian

RECEIVED = datetime(2026, 11, 21, tzinfo=UTC)
NUMBER = LocalIdentifier("900000123", "1.2.3")
WHOLE = build_adt("A01", add=(DOCTOR, consent(), guardian(), "ZFD|||Y"))
INSTANTS = st.integers(min_value=1, max_value=28).map(lambda day: f"202611{day:02d}090000")
FIELDS = (
    "PID-3",
    "PID-5",
    "PID-7",
    "PID-8",
    "PID-11",
    "PID-13",
    "PID-29",
    "PID-30",
    "PID-32",
    "PV1-2",
    "PV1-19",
    "ZBE-2",
    "EVN-2",
)
TWO_NUMBERS = "1^^^X&1.2.3&ISO^PI~2^^^Y&9&ISO^INS"
VALUES = st.sampled_from(["", '""', "Y", "N", "20261115", "A^B^C^^^^L", TWO_NUMBERS, "~~", "^&^&", "\\T\\x", "é"])


def arrival(message: bytes) -> Arrival:
    return Arrival(message, "mllp", Principal("gam", "certificate", "750712184"), RECEIVED)


@st.composite
def told(draw: st.DrawFn) -> IdentityUpdate:
    """A word on the usual patient, of any day, with anything said or erased."""
    change = draw(st.dictionaries(st.sampled_from(FIELDS[1:]), VALUES, max_size=3))
    event = draw(st.sampled_from(["A01", "A02", "A08", "A28", "A31"]))
    status = draw(st.sampled_from(["VALI", "PROV", "RECUP", "QUAL", "DOUB"]))
    ins = draw(st.sampled_from([None, ""]))
    add = draw(st.sampled_from([(), (consent("IO"),), (consent("INO"),), (guardian(),)]))
    number = draw(st.integers(min_value=0, max_value=999))
    message = build_adt(event, control_id=f"{number}", at=draw(INSTANTS), status=status, ins=ins, add=add, change=change)
    (found,) = understand_adt(arrival(message), "receipt")
    assert isinstance(found, IdentityUpdate)
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(told(), min_size=2, max_size=6, unique_by=lambda one: one.stamp), st.randoms(use_true_random=False))
def test_any_order_of_words_makes_the_same_record(words: list[IdentityUpdate], random: Any) -> None:
    doubtful = adt_words().doubtful

    def fold(order: list[IdentityUpdate]) -> PatientRecord:
        record = PatientRecord(NUMBER)
        for word in order:
            record = with_update(record, word, doubtful)
        return record

    shuffled = list(words)
    random.shuffle(shuffled)
    assert fold(words) == fold(shuffled)
    assert fold(words) == fold([*shuffled, *words])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6), st.sampled_from(sorted(adt_events())))
def test_a_message_that_is_taken_has_a_valid_collection_and_a_whole_account(change: dict[str, str], event: str) -> None:
    message = build_adt(
        event, change=change, add=(DOCTOR, consent(), guardian()), merged=("OLD",) if event in ("A40", "A47") else ()
    )
    if inspect_adt(arrival(message)).verdict is not Verdict.ACCEPTED or adt_events()[event].act is None:
        return
    made = translate_adt(arrival(message))
    assert validate_bundle(made.bundle, Level.SHAPE) == ()
    total = AdtMessage(read_message(message)).value_count
    assert made.account.read_count + sum(made.account.ignored.values()) + len(made.unread) == total


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0, max_value=len(WHOLE) - 1), st.binary(max_size=4), st.integers(min_value=0, max_value=40))
def test_a_spoilt_message_is_understood_or_refused_and_nothing_else(at: int, put: bytes, cut: int) -> None:
    spoilt = WHOLE[:at] + put + WHOLE[at + cut :]
    inspect_adt(arrival(spoilt))
    for use in (lambda: understand_adt(arrival(spoilt), "receipt"), lambda: translate_adt(arrival(spoilt))):
        with suppress(InputError):
            use()
