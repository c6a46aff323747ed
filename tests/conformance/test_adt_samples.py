"""The official ADT samples (consent to the shared record, admission): all taken, all read, each answer where it belongs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from adapter.fhir.validate import Level, validate_bundle
from adapter.mapping.from_adt import translate_adt, understand_adt
from adapter.model.identity import INS_TEST, Ins, LocalIdentifier, PatientIdentity
from adapter.model.patient import Consultation, Feeding, IdentityUpdate, InsStanding
from adapter.model.receipt import Arrival, Verdict
from tests.builders.directory import APHP_EJ
from tests.builders.instance import HOSPITAL, NOON, Instance

pytestmark = pytest.mark.conformance

INS = Ins("279035121518989", INS_TEST)
# ZFA-9 and ZFA-11 of each file, as the digest's table says.
ANSWERS = {
    "consent__ConsentementConsultation-NonOppositionAlimentation.er7": (Feeding.NOT_OPPOSED, Consultation.AGREED),
    "consent__NonConsentementConsultation-NonOppositionAlimentation.er7": (Feeding.NOT_OPPOSED, Consultation.REFUSED),
    "consent__NonRecueillieConsentementConsultation-NonRecueillieOppositionAlimentation.er7": (
        Feeding.NOT_ASKED,
        Consultation.NOT_ASKED,
    ),
    "sgl__admission.er7": (Feeding.NOT_OPPOSED, Consultation.AGREED),
}


@pytest.fixture(scope="module")
def samples(shared_dir: Path) -> dict[str, bytes]:
    """Every ADT sample by name, MSH-10 renumbered: two bear the same."""
    folder = shared_dir / "samples" / "hl7v2"
    found = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if b"|ADT^" in p.read_bytes()[:200]}
    return {name: _renumbered(body, 9000 + number) for number, (name, body) in enumerate(found.items())}


def _renumbered(message: bytes, number: int) -> bytes:
    return re.sub(rb"(ADT_A01\|)\d+", rb"\g<1>" + str(number).encode(), message, count=1)


def _arrival(content: bytes) -> Arrival:
    return Arrival(content, "mllp", HOSPITAL, NOON)


def test_every_sample_is_known_to_this_test(samples: dict[str, bytes]) -> None:
    assert set(samples) == set(ANSWERS)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_what_the_patient_answered_is_read(samples: dict[str, bytes], name: str) -> None:
    (told,) = understand_adt(_arrival(samples[name]), "receipt")
    assert isinstance(told, IdentityUpdate)
    assert (told.facts.feeding, told.facts.consultation) == ANSWERS[name]
    assert told.facts.ins == INS


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_every_value_of_a_sample_is_accounted_for(samples: dict[str, bytes], name: str) -> None:
    made = translate_adt(_arrival(samples[name]))
    text = samples[name].decode().replace("\n", "\r")
    lines = [line for line in text.split("\r") if line.strip()]
    values = [v for line in lines for v in re.split(r"[|~^&]", line[9:] if line.startswith("MSH") else line[4:]) if v.strip()]
    assert made.unread == ()
    assert made.account.read_count + sum(made.account.ignored.values()) == len(values)
    bundle: Any = made.bundle
    assert validate_bundle(bundle, Level.FULL) == ()


def test_the_samples_feed_one_entry_in_the_order_in_which_they_were_told(samples: dict[str, bytes], tmp_path: Path) -> None:
    house = Instance(tmp_path)
    for content in reversed(list(samples.values())):
        answer = house.accept(content)
        assert answer.verdict is Verdict.ACCEPTED
        assert b"|2.5^FRA^2.11|" in answer.body
    house.prepare()
    (entry,) = house.ledger.find_patients(INS.value, legal_entity=APHP_EJ)
    assert len(entry.history) == len(samples)
    identity = PatientIdentity("", ins=INS, local_ids=(LocalIdentifier("000003", "CHU-X"),))
    view = house.ledger.patient_view(identity, legal_entity=APHP_EJ)
    assert view is not None
    assert view.facts.feeding is Feeding.NOT_ASKED  # told on 11 March, the newest
    assert view.standing_of(INS) is InsStanding.STANDS
    assert house.items() == []
