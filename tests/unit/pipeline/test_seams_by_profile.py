"""Sensitive content and patients who need protection (seams 15 and 16), under both decision profiles: no profile opens a leg."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapter.model.plan import ChannelName
from adapter.model.receipt import Verdict
from tests.builders.cda import PATIENT, build_n1, matricule
from tests.builders.hl7 import FAX_DOCTOR, Recipient, build_mdm, to_patient
from tests.builders.instance import Instance

CHILD = replace(PATIENT, birth_date="20150918", ins=matricule("2150994043217"))
BOX = "patient.formation.mssante.fr"
TO_PATIENT = {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}
# The matrix takes a mail to a professional alone only when the document is hidden from the patient.
TO_DOCTOR = {"INVISIBLE_PATIENT": "Y"}

policies = pytest.mark.parametrize("policy", ["semantic", "matrix-strict"])


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def _sent(instance: Instance, content: bytes, policy: str) -> int:
    """How many parcels leave, on any channel, of a message that is accepted."""
    answer = instance.accept(content, decision_policy=policy)
    assert answer.verdict is Verdict.ACCEPTED, answer.findings
    instance.prepare()
    return sum(instance.dispatch(channel) for channel in ChannelName)


def _to(patient_address: str) -> tuple[Recipient, ...]:
    return (to_patient(CHILD, address=patient_address),)


@policies
def test_what_legal_representatives_may_not_see_never_goes_to_a_child(instance: Instance, policy: str) -> None:
    flags = TO_PATIENT | {"INVISIBLE_REP_LEGAUX": "Y"}
    content = build_mdm(build_n1(patient=CHILD), patient=CHILD, recipients=_to(f"{CHILD.ins}@{BOX}"), flags=flags)
    assert _sent(instance, content, policy) == 0
    assert instance.reasons() == ["hidden-from-representatives"]


@policies
def test_a_child_is_written_to_at_the_child_s_own_address_when_nothing_is_hidden(instance: Instance, policy: str) -> None:
    content = build_mdm(build_n1(patient=CHILD), patient=CHILD, recipients=_to(f"{CHILD.ins}@{BOX}"), flags=TO_PATIENT)
    assert _sent(instance, content, policy) == 1


@policies
def test_an_adult_gets_what_representatives_may_not_see(instance: Instance, policy: str) -> None:
    flags = TO_PATIENT | {"INVISIBLE_REP_LEGAUX": "Y"}
    content = build_mdm(build_n1(), recipients=(to_patient(address=f"{PATIENT.ins}@{BOX}"),), flags=flags)
    assert _sent(instance, content, policy) == 1


@policies
@pytest.mark.parametrize(("confidentiality", "reason"), [("R", "restricted"), ("V", "very-restricted")])
def test_a_restricted_document_never_goes_by_fax(instance: Instance, policy: str, confidentiality: str, reason: str) -> None:
    content = build_mdm(build_n1(confidentiality=confidentiality), recipients=(FAX_DOCTOR,), flags=TO_DOCTOR)
    assert _sent(instance, content, policy) == 0
    assert instance.reasons() == [reason]


@policies
def test_a_patient_whose_identity_is_not_qualified_is_not_written_to(instance: Instance, policy: str) -> None:
    recipients = (to_patient(address=f"{PATIENT.ins}@{BOX}"),)
    content = build_mdm(build_n1(), recipients=recipients, flags=TO_PATIENT, change={"PID-32": "PROV"})
    assert _sent(instance, content, policy) == 0
    assert instance.reasons() == ["patient-identity-provisional"]


@policies
def test_a_subject_names_neither_unit_nor_service(instance: Instance, policy: str) -> None:
    content = build_mdm(build_n1(), flags=TO_DOCTOR, unit="221")
    assert _sent(instance, content, policy) == 1
    subject = next(line for line in instance.mail.parcels[0].content.message.decode().splitlines() if line.startswith("Subject:"))  # type: ignore[union-attr]
    assert "221" not in subject
