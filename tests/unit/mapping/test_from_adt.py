"""ADT messages of PAM-FR: the events as data, what a message says and does not say, what of it reaches FHIR."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.errors import InputError
from adapter.fhir.validate import Level, validate_bundle
from adapter.mapping.from_adt import inspect_adt, is_adt, translate_adt, understand_adt
from adapter.mapping.hl7.adt_profile import adt_events
from adapter.mapping.kinds import ENVELOPES
from adapter.model.effects import Ignored
from adapter.model.identity import Reliability
from adapter.model.patient import Consultation, Feeding, IdentityAct, IdentityUpdate, PatientRecord
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from tests.builders.adt import DOCTOR, build_adt, consent, guardian
from tests.builders.cda import PATIENT
from tests.builders.hl7 import build_mdm

RECEIVED = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
# Those that the brief of part 3 names: none may be unknown.
NAMED = (
    *(f"A{n:02d}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 21, 22, 24, 28, 31, 37, 38, 40, 44, 47, 52, 53, 54, 55)),
    *(f"Z{n}" for n in range(80, 90)),
    "Z99",
)


def arrival(message: bytes, zone: str = "Europe/Paris") -> Arrival:
    return Arrival(message, "mllp", Principal("gam", "certificate", "750712184"), RECEIVED, zone=zone)


def update(message: bytes) -> IdentityUpdate:
    (found,) = understand_adt(arrival(message), "receipt")
    assert isinstance(found, IdentityUpdate)
    return found


def codes(message: bytes) -> set[str]:
    return {finding.code for finding in inspect_adt(arrival(message)).findings}


def resources(message: bytes, kind: str) -> list[dict[str, Any]]:
    bundle: Any = translate_adt(arrival(message)).bundle
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


# -- events -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", NAMED)
def test_every_named_event_is_understood(event: str) -> None:
    assert adt_events()[event].act is not None


@pytest.mark.parametrize("event", sorted(code for code, event in adt_events().items() if event.act is None))
def test_an_event_left_aside_is_acknowledged_and_says_why(event: str) -> None:
    assert inspect_adt(arrival(build_adt(event))).verdict is Verdict.ACCEPTED
    (ignored,) = understand_adt(arrival(build_adt(event)), "receipt")
    assert isinstance(ignored, Ignored)
    assert len(ignored.reason) > len(f"adt-{event} ") + 10


def test_an_event_of_no_table_is_refused_as_such() -> None:
    found = inspect_adt(arrival(build_adt("A99")))
    assert found.verdict is Verdict.REFUSED
    assert [(f.code, f.hl7_code) for f in found.findings] == [("hl7.unknown-event", "201")]
    with pytest.raises(InputError):
        understand_adt(arrival(build_adt("A99")), "receipt")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (build_adt("A40"), "hl7.segment-missing"),
        (build_adt("A24"), "hl7.segment-missing"),
        (build_adt(drop=("EVN",)), "hl7.segment-missing"),
        (build_adt(drop=("PID",)), "hl7.segment-missing"),
        (build_adt(change={"PID-3": ""}), "hl7.required-field"),
        (build_adt(change={"PID-3": "123^^^X^VN"}), "hl7.required-field"),
        (build_adt("A40", merged=("OLD",), change={"MRG-1": ""}), "hl7.required-field"),
        (build_adt("A44", merged=("OLD",)), "hl7.required-field"),
        (build_adt(change={"MSH-12": "1.0"}), "hl7.version"),
        (build_adt(change={"MSH-11": "X"}), "hl7.processing-id"),
        (build_adt(change={"MSH-10": ""}), "hl7.required-field"),
        (build_adt(change={"MSH-10": "9" * 300}), "hl7.control-id-too-long"),
        (build_adt("A01", second="OTHER", merged=()), "hl7.segment-repeated"),
        (build_adt(add=("ZZZ|1",) * 3000), "hl7.too-many-parts"),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_with_the_place(message: bytes, code: str) -> None:
    assert inspect_adt(arrival(message)).verdict is Verdict.REFUSED
    assert code in codes(message)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"MSH-12": "2.4"}, "hl7.version"), ({"MSH-21": ""}, "hl7.unknown-profile"), ({"EVN-2": "hier"}, "adt.no-instant")],
)
def test_what_can_be_read_all_the_same_is_taken_with_a_warning(change: dict[str, str], code: str) -> None:
    message = build_adt(change=change)
    assert inspect_adt(arrival(message)).verdict is Verdict.ACCEPTED
    assert code in codes(message)


def test_a_wrong_ins_key_is_told_and_does_not_refuse_what_may_be_a_death() -> None:
    message = build_adt(ins=PATIENT.ins[:13] + "00", change={"PID-30": "Y"})
    assert inspect_adt(arrival(message)).verdict is Verdict.ACCEPTED
    assert "ins.wrong-key" in codes(message)


def test_a_message_that_is_no_adt_keeps_its_own_reader() -> None:
    assert is_adt(build_adt())
    assert not is_adt(build_mdm(b"<ClinicalDocument/>"))
    assert not is_adt(b"\x00\x01")
    assert ENVELOPES[ContentKind.HL7V2](arrival(build_adt()), "receipt") == ()


# -- what a message says --------------------------------------------------------------------------------------------------------


def test_a_whole_admission_says_who_the_patient_is_and_what_they_agreed_to() -> None:
    found = update(
        build_adt("A01", add=(DOCTOR, consent("INO", "INC"), guardian(), "ZFD|||Y|N|INSI|20260101"), change={"PID-30": "N"})
    )
    facts = found.facts
    assert (facts.birth_name, facts.first_given, facts.given_names) == ("EXEMPLE-BERTHIER", "CAMILLE", "CAMILLE JEANNE")
    assert (facts.used_name, facts.birth_date, facts.sex, facts.birth_insee) == ("EXEMPLE-MOREL", "1974-09-18", "F", "94043")
    assert facts.ins is not None
    assert (facts.ins.value, facts.statuses) == (PATIENT.ins, ("VALI",))
    assert (facts.feeding, facts.consultation, facts.agrees_to_sms) == (Feeding.NOT_OPPOSED, Consultation.REFUSED, True)
    assert facts.doctor is not None
    assert facts.doctor.rpps == "99700000013"
    assert facts.contacts[0].is_guardian
    assert facts.addresses[0].city == "PARIS"
    assert facts.is_deceased is False
    assert found.revives
    assert [number.value for number in found.numbers] == [PATIENT.ipp]


def test_what_a_message_does_not_say_is_not_among_what_it_says() -> None:
    said = update(build_adt("A02", change={"PID-5": "", "PID-11": "", "PID-13": "", "PID-32": ""})).said
    assert not {"birth_name", "addresses", "telecoms", "statuses", "is_deceased", "feeding", "doctor", "contacts"} & set(said)


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"PID-30": '""'}, "is_deceased", False),
        ({"PID-29": '""'}, "deceased_at", ""),
        ({"PID-32": '""'}, "statuses", ()),
        ({"PID-13": '""'}, "telecoms", ()),
        ({"PID-11": '""'}, "addresses", ()),
        ({"PID-7": '""'}, "birth_date", ""),
    ],
)
def test_a_null_is_said_and_empty(change: dict[str, str], name: str, value: object) -> None:
    found = update(build_adt("A31", change=change))
    assert name in found.said
    assert getattr(found.facts, name) == value


def test_a_date_of_death_alone_says_the_death() -> None:
    facts = update(build_adt("A31", change={"PID-29": "20261119"})).facts
    assert (facts.is_deceased, facts.deceased_at) == (True, "2026-11-19")


@pytest.mark.parametrize("event", ["A31", "A08", "A28"])
def test_an_identity_message_without_ins_says_that_there_is_none(event: str) -> None:
    found = update(build_adt(event, ins=""))
    assert "ins" in found.said
    assert found.facts.ins is None


def test_a_movement_without_ins_says_nothing_of_it() -> None:
    assert "ins" not in update(build_adt("A02", ins="")).said


@pytest.mark.parametrize(
    ("status", "reliability"),
    [
        ("QUAL", Reliability.QUALIFIED),
        ("VALI", Reliability.QUALIFIED),
        ("RECUP", Reliability.PROVISIONAL),
        ("PROV", Reliability.PROVISIONAL),
        ("VALI~DOUB", Reliability.PROVISIONAL),
        ("", Reliability.PROVISIONAL),
    ],
)
def test_an_ins_is_qualified_by_its_status_only(status: str, reliability: Reliability) -> None:
    bundle: Any = translate_adt(arrival(build_adt(status=status))).bundle
    profile = bundle["entry"][0]["resource"]["meta"]["profile"][0]
    assert ("patient-ins" in profile) is (reliability is Reliability.QUALIFIED)


@pytest.mark.parametrize("rol", ["ROL||DE|ODRP|99700000013^MODELE^Dominique", 'ROL||UC|ODRP|""'])
def test_a_stated_absence_of_a_treating_doctor_is_told(rol: str) -> None:
    found = update(build_adt("A31", add=(rol,)))
    assert "doctor" in found.said
    assert found.facts.doctor is None


def test_a_doctor_of_the_stay_is_not_the_treating_one() -> None:
    assert "doctor" not in update(build_adt("A01", add=("ROL||UC|AT|810009990001^DUTEST^Helene",))).said


def test_a_value_of_no_table_is_taken_as_not_said_and_told() -> None:
    message = build_adt(add=(consent("PEUT-ETRE"),))
    assert update(message).facts.feeding is Feeding.UNTOLD
    assert "adt.unknown-value" in codes(message)


def test_a_message_is_placed_by_evn_2_then_zbe_2_then_msh_7() -> None:
    by_event = update(build_adt(change={"EVN-2": "20261110080000", "ZBE-2": "20261111080000", "MSH-7": "20261112080000"}))
    by_movement = update(build_adt(change={"EVN-2": "", "ZBE-2": "20261111080000", "MSH-7": "20261112080000"}))
    by_sending = update(build_adt(change={"EVN-2": "", "ZBE-2": "", "MSH-7": "20261112080000"}))
    assert [one.told_at.day for one in (by_event, by_movement, by_sending)] == [10, 11, 12]
    assert by_event.stamp[0] == "2026-11-10T07:00:00.000000"


def test_a_time_without_zone_is_the_doors() -> None:
    (found,) = understand_adt(arrival(build_adt(at="20261120090000"), zone="Indian/Reunion"), "receipt")
    assert isinstance(found, IdentityUpdate)
    assert found.told_at == datetime(2026, 11, 20, 5, 0, tzinfo=UTC)


def test_a_merge_of_several_patients_is_a_word_on_each() -> None:
    first = build_adt("A40", ipp="NEW-1", merged=("OLD-1",))
    second = build_adt("A40", ipp="NEW-2", merged=("OLD-2",)).split(b"\r")
    both = first + b"\r".join(second[2:])
    found = understand_adt(arrival(both), "receipt")
    assert [(one.numbers[0].value, one.others[0].value) for one in found if isinstance(one, IdentityUpdate)] == [
        ("NEW-1", "OLD-1"),
        ("NEW-2", "OLD-2"),
    ]
    assert all(isinstance(one, IdentityUpdate) and one.act is IdentityAct.MERGE for one in found)


def test_no_value_of_a_patient_shows_in_a_repr() -> None:
    found = update(build_adt("A01", add=(DOCTOR, consent(), guardian())))
    record = PatientRecord(found.numbers[0], found.facts)
    assert PATIENT.birth_name not in repr(found) + repr(found.facts) + repr(record) + repr(found.facts.contacts)


# -- FHIR -------------------------------------------------------------------------------------------------------------------


FULL = build_adt("A01", add=(DOCTOR, consent(), guardian(), "ZFM|8|||", "ZFD|||Y|N|INSI|20260101"))


def test_a_collection_holds_the_patient_the_stay_those_around_and_the_choices() -> None:
    bundle: Any = translate_adt(arrival(FULL)).bundle
    kinds = sorted(entry["resource"]["resourceType"] for entry in bundle["entry"])
    assert (bundle["type"], kinds) == (
        "collection",
        [
            "Consent",
            "Consent",
            "Consent",
            "Encounter",
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "Provenance",
            "RelatedPerson",
        ],
    )
    assert validate_bundle(bundle, Level.FULL) == ()


@pytest.mark.parametrize(
    "message",
    [
        FULL,
        build_adt("A31", ins="", status="PROV", change={"PID-29": "20261119"}),
        build_adt("A40", ipp="NEW", merged=("OLD",), account="DOS-1"),
        build_adt("A24", second="OTHER"),
        build_adt("A03", change={"PID-24": "Y", "PID-25": "2", "PV1-44": "20261101", "PV1-45": "20261120"}),
        build_adt("A11", change={"PV1-2": "N", "PV1-14": "8", "PV1-36": "9"}),
    ],
)
def test_every_collection_is_valid(message: bytes) -> None:
    assert validate_bundle(translate_adt(arrival(message)).bundle, Level.FULL) == ()


def test_every_value_is_mapped_carried_left_aside_or_listed() -> None:
    made = translate_adt(arrival(build_adt(add=(DOCTOR, consent(), guardian(), "ZZZ|1|x~y&z", "PD1||U|W"))))
    values = [v for line in FULL.decode().split("\r") for v in re.split(r"[|~^&]", line[4:]) if v.strip()]
    assert len(values) > 60
    assert {node.path for node in made.unread} == {"ZZZ-1.1", "ZZZ-2(1).1", "ZZZ-2(2).1", "ZZZ-2(2).1.2"}
    assert '"PD1-3.1"' in json.dumps(made.bundle)


def test_a_matricule_that_is_not_qualified_is_listed_and_never_written() -> None:
    made = translate_adt(arrival(build_adt(status="PROV")))
    assert PATIENT.ins not in json.dumps(made.bundle)
    assert [(node.path, node.kind) for node in made.unread] == [("PID-3", "identifier")]


def test_a_merge_is_a_link_between_two_patients() -> None:
    survivor, former = resources(build_adt("A40", ipp="NEW", merged=("OLD",)), "Patient")
    assert (survivor["link"][0]["type"], former["link"][0]["type"], former["active"]) == ("replaces", "replaced-by", False)


def test_an_opposition_is_a_denial_and_what_was_not_asked_a_proposal() -> None:
    denied, asked = resources(build_adt(add=(consent("IO", "NA"),)), "Consent")
    assert (denied["status"], denied["provision"]["type"]) == ("active", "deny")
    assert (asked["status"], "provision" in asked) == ("proposed", False)


def test_the_same_message_gives_the_same_collection() -> None:
    assert translate_adt(arrival(FULL)).bundle == translate_adt(replace(arrival(FULL), received_at=datetime.now(UTC))).bundle


def test_an_event_about_no_patient_has_no_collection() -> None:
    with pytest.raises(InputError, match="no-patient"):
        translate_adt(arrival(build_adt("A20", drop=("PID",))))
