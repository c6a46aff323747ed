"""What a mark of visibility means, and for whom."""

from __future__ import annotations

from datetime import date

import pytest

from adapter.fhir import profiles as p
from adapter.ledger.record_rows import Openness
from adapter.record.refusals import REASONS, RecordRefusal
from adapter.record.rights import Client, ClientKind, Deed, check_may, is_minor, must_name_patient, openness_of, sight_of
from tests.builders.record import label

TODAY = date(2026, 11, 21)


def client(kind: ClientKind, level: str = "N") -> Client:
    return Client("x", kind, "750000001", "750100001", level)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("N",), Openness()),
        ((), Openness()),
        (("N", "V"), Openness("V")),
        (("R", "N", "MASQUE_PS"), Openness("R", masked=True)),
        (("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"), Openness("N", False, True, True)),
    ],
)
def test_the_gravest_level_counts_and_every_mark_adds(codes: tuple[str, ...], expected: Openness) -> None:
    assert openness_of({"securityLabel": [label(code) for code in codes]}) == expected


def test_a_level_of_another_code_system_is_no_level() -> None:
    labels = [{"coding": [{"system": "urn:other", "code": "V"}]}, {"coding": [{"system": p.V3_CONFIDENTIALITY, "code": "R"}]}]
    assert openness_of({"securityLabel": labels}).confidentiality == "R"


def test_a_professional_reads_up_to_its_level() -> None:
    assert sight_of(client(ClientKind.PROFESSIONAL, "R"), is_minor=False).levels == {"U", "L", "M", "N", "R"}
    assert not sight_of(client(ClientKind.PROFESSIONAL), is_minor=False).sees_masked


def test_an_administrator_sees_no_document_at_all() -> None:
    assert sight_of(client(ClientKind.ADMINISTRATOR), is_minor=False).levels == frozenset()


def test_only_who_sees_its_own_may_ask_without_naming_the_patient() -> None:
    assert [kind for kind in ClientKind if not must_name_patient(client(kind))] == [ClientKind.FEEDER]


@pytest.mark.parametrize("kind", list(ClientKind))
def test_only_a_feeder_feeds_and_only_an_administrator_administers(kind: ClientKind) -> None:
    for deed, allowed in ((Deed.FEED, ClientKind.FEEDER), (Deed.ADMINISTER, ClientKind.ADMINISTRATOR)):
        if kind is allowed:
            check_may(client(kind), deed)
            continue
        with pytest.raises(RecordRefusal):
            check_may(client(kind), deed)


@pytest.mark.parametrize(
    ("born", "minor"),
    [
        ("2008-11-21", False),
        ("2008-11-22", True),
        ("2008-12", True),
        ("2008-10", False),
        ("2007", False),
        ("2008", True),
        ("", True),
        ("x", True),
        ("2008-99-99", True),
        ("2008-11-", True),
    ],
)
def test_who_may_be_a_minor_counts_as_one(born: str, minor: bool) -> None:
    assert is_minor({"birthDate": born}, TODAY) is minor


def test_each_reason_has_a_status_a_fhir_code_and_a_sentence() -> None:
    for code, reason in REASONS.items():
        assert code.startswith("record.")
        assert reason.status in (400, 403, 404, 405, 409, 412, 422)
        assert reason.text.endswith(".")
