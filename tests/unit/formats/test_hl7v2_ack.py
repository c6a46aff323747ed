"""Acknowledgements in the form of the norm, whatever was received."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from adapter.formats.hl7v2 import read_message
from adapter.formats.hl7v2_ack import error_location, write_ack
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import MessageControl, Verdict

NOW = datetime(2026, 11, 20, 16, 35, 1, tzinfo=timezone(timedelta(hours=1)))
CONTROL = MessageControl(
    application="DPI",
    facility="HOPITAL^1.2.3^ISO",
    to_application="PFI",
    to_facility="ICI",
    event="MDM^T02^MDM_T02",
    control_id="M|1",
    version="2.6",
    processing="T",
    charset="UNICODE UTF-8",
)
OTHER_PATIENT = Finding(Severity.ERROR, "hl7.other-patient", "Other patient.", "PID-3", hl7_code="207", app_code="904")
PADDING = Finding(Severity.WARNING, "hl7.base64-padding", "Padding.", "OBX[2]-5.5", hl7_code="102")


def _ack(control: MessageControl = CONTROL, verdict: Verdict = Verdict.ACCEPTED, *findings: Finding) -> list[str]:
    return write_ack(control, verdict, findings, now=NOW, control_id="A1").decode().split("\r")


def test_an_acceptance_mirrors_the_parties_and_names_the_message() -> None:
    assert _ack() == [
        "MSH|^~\\&|PFI|ICI|DPI|HOPITAL^1.2.3^ISO|20261120163501+0100||ACK^T02^ACK|A1|T|2.6|||||FRA|UNICODE UTF-8",
        "MSA|AA|M\\F\\1",
        "",
    ]


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.ACCEPTED, "AA"), (Verdict.REFUSED, "AE"), (Verdict.TRY_LATER, "AR")])
def test_each_verdict_has_its_code(verdict: Verdict, code: str) -> None:
    assert _ack(CONTROL, verdict)[1] == f"MSA|{code}|M\\F\\1"


def test_an_oru_is_answered_in_its_own_version() -> None:
    control = MessageControl(event="ORU^R01^ORU_R01", control_id="7", version="2.5", processing="P")
    assert _ack(control)[0].split("|")[8:12] == ["ACK^R01^ACK", "A1", "P", "2.5"]


def test_each_error_has_its_place_its_codes_and_a_french_sentence() -> None:
    lines = _ack(CONTROL, Verdict.REFUSED, OTHER_PATIENT)
    assert lines[2] == (
        "ERR||PID^1^3|207^Application error^messageErrorCondition|E|904^INS ou traits différents^applicationErrorCondition||"
        "hl7.other-patient: Other patient.|L'identité du document ne correspond pas à celle du message."
    )


def test_a_warning_is_told_on_an_acceptance_and_is_no_error() -> None:
    lines = _ack(CONTROL, Verdict.ACCEPTED, PADDING)
    assert lines[1].startswith("MSA|AA|")
    assert lines[2].split("|")[2:5] == ["OBX^2^5^1^5", "102^Data type error^messageErrorCondition", "W"]


def test_an_acceptance_never_shows_an_error() -> None:
    assert not any(line.startswith("ERR") for line in _ack(CONTROL, Verdict.ACCEPTED, OTHER_PATIENT))


def test_a_refusal_always_says_why() -> None:
    assert _ack(CONTROL, Verdict.TRY_LATER)[2].startswith("ERR|||207^Application error^messageErrorCondition|E|")


def test_what_is_no_message_is_still_answered() -> None:
    finding = Finding(Severity.ERROR, "content.unknown", "Not HL7.", "MSH", hl7_code="100")
    lines = _ack(MessageControl(), Verdict.REFUSED, finding)
    assert lines[0].startswith("MSH|^~\\&|||||20261120163501+0100||ACK|A1|P|2.6|")
    assert lines[1] == "MSA|AE"
    assert lines[2].startswith("ERR||MSH^1|100^")


@pytest.mark.parametrize(("label", "codec"), [("8859/15", "iso8859-15"), ("8859/1", "iso8859-1"), ("UNICODE UTF-8", "utf-8")])
def test_the_answer_is_in_the_character_set_of_the_message(label: str, codec: str) -> None:
    control = MessageControl(event="MDM^T02^MDM_T02", control_id="é", charset=label)
    answer = write_ack(control, Verdict.REFUSED, (OTHER_PATIENT,), now=NOW, control_id="A1")
    assert "L'identité".encode(codec) in answer
    assert read_message(answer).value("MSA", 2) == "é"
    assert read_message(answer).findings == ()


def test_a_set_without_accents_loses_the_accent_not_the_letter() -> None:
    answer = write_ack(MessageControl(charset="ASCII"), Verdict.REFUSED, (OTHER_PATIENT,), now=NOW, control_id="A1")
    assert b"L'identite" in answer
    assert b"?" not in answer


def test_an_unknown_set_is_answered_in_utf_8_and_says_so() -> None:
    answer = write_ack(MessageControl(charset="KLINGON"), Verdict.ACCEPTED, (), now=NOW, control_id="A1")
    assert read_message(answer).value("MSH", 18) == "UNICODE UTF-8"


def test_hostile_control_values_cannot_add_a_segment() -> None:
    control = MessageControl(
        application="A\rZZZ|1", facility="B|C", event="MDM^T\r02", control_id="1\rMSA|AA|2", processing="P\r"
    )
    answer = write_ack(control, Verdict.REFUSED, (OTHER_PATIENT,), now=NOW, control_id="A\r1")
    assert [segment.name for segment in read_message(answer).segments()] == ["MSH", "MSA", "ERR"]


def test_thousands_of_findings_make_no_huge_answer() -> None:
    lines = _ack(CONTROL, Verdict.REFUSED, *([OTHER_PATIENT] * 10_000))
    assert len(lines) == 53


@pytest.mark.parametrize(
    ("location", "erl"),
    [
        ("PID-3", "PID^1^3"),
        ("PID-3(2).4.2", "PID^1^3^2^4^2"),
        ("OBX[12]-5", "OBX^12^5"),
        ("EVN", "EVN^1"),
        ("item[tdm]", ""),
        ("", ""),
    ],
)
def test_places_are_told_as_the_norm_counts_them(location: str, erl: str) -> None:
    assert error_location(location) == erl


def test_the_same_refusal_gives_the_same_bytes() -> None:
    first, second = (write_ack(CONTROL, Verdict.REFUSED, (PADDING,), now=NOW.astimezone(UTC), control_id="A") for _ in "ab")
    assert first == second


# -- MSH-15 and MSH-16: the whole table ---------------------------------------------------------------------------------------

_CONDITIONS = ("", "AL", "NE", "ER", "SU")
_IS_WANTED = {"": None, "AL": (True, True), "NE": (False, False), "ER": (False, True), "SU": (True, False)}


def _expected(accept: str, application: str, verdict: Verdict) -> str:
    """The table by the words of the norm: (wanted on success, wanted on error)."""
    refused = verdict is not Verdict.ACCEPTED
    letter = {Verdict.ACCEPTED: "A", Verdict.REFUSED: "E", Verdict.TRY_LATER: "R"}[verdict]
    by_application, by_accept = _IS_WANTED[application], _IS_WANTED[accept]
    if by_application is None or by_application[refused]:
        return f"A{letter}"
    return f"C{letter}" if by_accept is not None and by_accept[refused] else ""


@pytest.mark.parametrize("accept", _CONDITIONS)
@pytest.mark.parametrize("application", _CONDITIONS)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_when_an_answer_is_wanted_is_honoured_and_one_answer_at_most_is_given(
    accept: str, application: str, verdict: Verdict
) -> None:
    control = MessageControl(event="MDM^T02^MDM_T02", control_id="M1", accept_ack=accept, application_ack=application)
    answer = write_ack(control, verdict, (OTHER_PATIENT,), now=NOW, control_id="A1")
    if expected := _expected(accept, application, verdict):
        message = read_message(answer)
        assert (message.value("MSA", 1), message.value("MSA", 2)) == (expected, "M1")
        assert len(message.segments("MSA")) == 1
    else:
        assert answer == b""


def test_an_unknown_condition_is_answered() -> None:
    control = MessageControl(control_id="M1", accept_ack="XX", application_ack="YY")
    assert b"MSA|AA|M1" in write_ack(control, Verdict.ACCEPTED, (), now=NOW, control_id="A1")
