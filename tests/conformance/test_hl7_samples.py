"""Every official HL7 sample: written back byte for byte, accepted or refused for a known reason, nothing lost in silence."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest

from adapter.formats.hl7v2 import read_message
from adapter.formats.hl7v2_ack import write_ack
from adapter.formats.hl7v2_structure import check_structure
from adapter.mapping.from_hl7v2 import inspect_hl7v2, understand_hl7v2
from adapter.mapping.hl7.source import Hl7Source
from adapter.model.finding import Severity
from adapter.model.identity import Reliability
from adapter.model.receipt import Arrival, Inspection, Principal, Verdict

pytestmark = pytest.mark.conformance

NOW = datetime(2026, 11, 20, tzinfo=UTC)
MDM = "cda-hl7v2-2.1-segur__MDM__new-MDM__message-MDM-CR-Radio-INIT-N1-Base64.er7"
ORU = "cda-hl7v2-2.1-segur__ORU__new-ORU__message-ORU-CR-Bio-INIT-N3-SEGUR.hl7"
MDM_REPLACES = "cda-hl7v2-2.1-segur__MDM__replace-MDM__message-MDM-CR-Radio-RPLC-N1.er7"
ORU_REPLACES = "cda-hl7v2-2.1-segur__ORU__replace-ORU__message-ORU-CR-Bio-RPLC-N3-SEGUR.hl7"
PAIR_REPLACES = "cda-hl7v2-2.0__ORU__replace-ORU__message-ORU-CR-Bio-RPLC-N1-Base64-N3-Base64.er7"
TILDE = "cda-hl7v2-2.0__ORU__new-ORU__message-ORU-CR-Bio-INIT-N1-N3.hl7"


@pytest.fixture(scope="session")
def samples(shared_dir: Path) -> dict[str, bytes]:
    """All official messages by file name."""
    files = [path for path in sorted((shared_dir / "samples" / "hl7v2").iterdir()) if path.suffix in (".er7", ".hl7")]
    assert len(files) >= 30
    return {path.name: path.read_bytes() for path in files}


def _arrival(content: bytes) -> Arrival:
    return Arrival(content, "mllp", Principal("samples", "application", "940000001"), NOW)


def _inspect(content: bytes) -> Inspection:
    return inspect_hl7v2(_arrival(content))


def test_every_sample_is_written_back_byte_for_byte(samples: dict[str, bytes]) -> None:
    for name, content in samples.items():
        for variant in (content, content.replace(b"\n", b"\r"), content.replace(b"\n", b"\r\n")):
            assert read_message(variant).encode() == variant, name


def test_every_value_of_every_sample_is_the_one_that_another_reader_finds(samples: dict[str, bytes]) -> None:
    for name, content in samples.items():
        text = "\r".join(line for line in content.decode().splitlines() if line.strip()) + "\r"
        message, oracle = read_message(text.encode()), hl7.parse(text)
        for segment, theirs in zip(message.segments(), oracle, strict=True):
            if segment.name == "MSH":
                continue
            for field, repetition, component, subcomponent in segment.leaves():
                expected = theirs[field][repetition - 1]
                for number in (component, subcomponent):
                    expected = expected[number - 1] if isinstance(expected, hl7.Container) else expected
                assert segment.text(field) == str(theirs[field]), name
                assert segment.data(field, component, repetition, subcomponent).decode() == str(expected), name


def test_every_segment_of_every_sample_is_seen_even_those_that_libraries_drop(samples: dict[str, bytes]) -> None:
    for name, content in samples.items():
        seen = [segment.name for segment in read_message(content).segments()]
        assert seen == [line[:3].decode() for line in content.splitlines() if line.strip()], name
    assert any(b"\nZFA" in content and b"\nZBE" in content for content in samples.values())


def test_every_leaf_of_every_sample_is_listed_when_nothing_reads_it(samples: dict[str, bytes]) -> None:
    for name, content in samples.items():
        source = Hl7Source(read_message(content))
        leaves = sum(
            1
            for segment in source.message.segments()
            for leaf in segment.leaves()
            if not (segment.name == "MSH" and leaf[0] <= 2) and segment.data(leaf[0], leaf[2], leaf[1], leaf[3]).strip()
        )
        assert len(source.unread()) == leaves, name


def test_the_official_transmissions_and_replacements_with_a_document_are_accepted(samples: dict[str, bytes]) -> None:
    for name in (MDM, ORU, MDM_REPLACES, ORU_REPLACES, PAIR_REPLACES):
        found = _inspect(samples[name])
        assert found.verdict is Verdict.ACCEPTED, (name, found.findings)
        assert found.control.control_id == "015"


def test_what_the_samples_get_wrong_is_told_and_not_used(samples: dict[str, bytes]) -> None:
    codes = {finding.code for finding in _inspect(samples[ORU]).findings}
    assert {"hl7.patient-address", "hl7.mail-body"} <= codes


@pytest.mark.parametrize(
    ("part", "code", "hl7_code"),
    [
        ("lps-1.0__replace-MDM__message", "hl7.other-way", "199"),
        ("2.0__MDM__cancel-MDM__message", "cda.not-xml", "207"),
        ("DEL-N1-Base64", "hl7.other-patient", "207"),
        ("LPS-MSS-CR-Radio-INIT", "hl7.other-way", "199"),
        ("Message-metier", "hl7.unknown-type", "200"),
        ("__ack.", "hl7.unknown-type", "200"),
        ("consent__", "hl7.unknown-type", "200"),
        ("admission", "hl7.unknown-type", "200"),
        ("1.2__MDM__message", "ins.wrong-key", "207"),
        ("INIT-N1.er7", "", ""),
    ],
)
def test_each_family_is_refused_for_its_own_reason(samples: dict[str, bytes], part: str, code: str, hl7_code: str) -> None:
    chosen = {name: content for name, content in samples.items() if part in name}
    assert chosen
    for name, content in chosen.items():
        found = _inspect(content)
        assert found.verdict is Verdict.REFUSED, name
        if code:
            assert (code, hl7_code) in [(f.code, f.hl7_code) for f in found.findings], name


def test_the_document_of_a_sample_comes_out_byte_identical(samples: dict[str, bytes]) -> None:
    (translation,) = understand_hl7v2(_arrival(samples[MDM]), "r")
    line = next(line for line in samples[MDM].decode().splitlines() if line.startswith("OBX|1|"))
    assert translation.source_document == base64.b64decode(line.split("|")[5].split("^")[4] + "==")


def test_no_field_of_an_accepted_sample_is_lost_in_silence(samples: dict[str, bytes]) -> None:
    for name in (MDM, ORU, MDM_REPLACES, ORU_REPLACES):
        (translation,) = understand_hl7v2(_arrival(samples[name]), "r")
        own = [node.path for node in translation.unread if node.path[:3].isupper()]
        # One sample gives the patient a number of 20 signs: it is used nowhere, and listed.
        assert own == (["PRT[3]-5.1", "PRT[3]-15.4"] if name == ORU else []), name


def test_the_envelope_of_the_official_mdm_is_what_its_segments_say(samples: dict[str, bytes]) -> None:
    (translation,) = understand_hl7v2(_arrival(samples[MDM]), "r")
    sent = translation.submission
    assert [(r.kind.value, r.address, r.rpps) for r in sent.recipients] == [
        ("professional", "adam.hoda@test-ci-sis.mssante.fr", "01234567897"),
        ("record", "", ""),
    ]
    assert (sent.visibility.hidden_from_patient, sent.visibility.secret_connection) == (True, True)
    assert sent.document.patient.reliability is Reliability.QUALIFIED
    assert sent.unit_codes == (("location", "UFNEPH"),)
    assert sent.bodies.professionals.startswith("Cher confrère")


def test_a_sample_whose_repetition_sign_is_no_ascii_is_cut_by_its_own_sign(samples: dict[str, bytes]) -> None:
    message = read_message(samples[TILDE])
    assert message.separators.repetition == "˜"
    pid = message.first("PID")
    assert pid is not None
    assert (pid.repetitions(11), pid.value(11, 9, repetition=2)) == (2, "63220")


def test_every_sample_is_answered_in_a_form_that_other_readers_take(samples: dict[str, bytes]) -> None:
    for name, content in samples.items():
        found = _inspect(content)
        answer = write_ack(found.control, found.verdict, found.findings, now=NOW, control_id="A1")
        parsed = hl7.parse(answer.decode())
        assert str(parsed["MSA.F1"]) == ("AA" if found.verdict is Verdict.ACCEPTED else "AE"), name
        assert str(parsed["MSA.F2"]) == read_message(content).value("MSH", 10), name
        assert [f for f in check_structure(read_message(answer)) if f.severity is Severity.ERROR] == [], name


def test_no_finding_about_a_sample_holds_a_name_or_a_number_of_its_patient(samples: dict[str, bytes]) -> None:
    for name, content in samples.items():
        told = repr(_inspect(content).findings)
        for secret in ("PAT-TROIS", "DOMINIQUE", "279035121518989", "NESSI", "277076322082910"):
            assert secret not in told, name
