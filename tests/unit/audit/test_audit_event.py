"""An audit row as an event: who, what, of whom, with what end; unknown actions are told, never hidden."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapter.audit.audit_event import Telling, audit_event, read_telling
from adapter.model.audit import AuditEntry, AuditRow

AT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def row(
    action: str = "record.read", about: str = "DocumentReference", about_id: str = "d1", detail: str = "ITI-67 0 p1"
) -> AuditRow:
    return AuditRow(7, AuditEntry("750000001", AT, "cabinet", action, about, about_id, detail))


@pytest.mark.parametrize(
    "telling", [Telling(), Telling("ITI-65", "0", "p"), Telling("", "4", "", "record.role"), Telling("x", "8", "p", "a b")]
)
def test_what_a_row_tells_is_read_back(telling: Telling) -> None:
    assert read_telling(telling.written()) == telling


def test_an_event_names_client_patient_and_resource() -> None:
    event = audit_event(row(), observer="essai")
    assert (event["id"], event["action"], event["outcome"], event["recorded"]) == ("7", "R", "0", "2026-11-21T08:00:00.000+00:00")
    assert [agent["who"]["display"] for agent in event["agent"]] == ["cabinet", "essai"]
    assert [agent["requestor"] for agent in event["agent"]] == [True, False]
    assert [entity["what"]["reference"] for entity in event["entity"]] == ["Patient/p1", "DocumentReference/d1"]


def test_a_row_about_the_patient_names_them_once() -> None:
    assert len(audit_event(row(about="Patient", about_id="p1"), observer="x")["entity"]) == 1


def test_an_action_of_another_part_is_told_as_an_operation() -> None:
    event = audit_event(row("identity.decide", "patient", "7", "old words"), observer="x")
    assert (event["action"], event["subtype"][1]["code"], event["outcome"]) == ("E", "identity.decide", "0")
