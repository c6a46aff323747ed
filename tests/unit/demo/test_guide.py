"""The demo's page names each artefact and shows acknowledgements that a person can read."""

from __future__ import annotations

from adapter.demo.guide import kind_of, write_guide

ACK = b"MSH|^~\\&|TRAITDUNION|PFI|DPI|BICETRE\rMSA|AE|DEMO-5\rERR||PID^1^3|207\r"


def test_each_segment_of_an_acknowledgement_stands_on_its_line() -> None:
    lines = write_guide([("DEMO-5", "Message à refuser", "comme attendu")], {"DEMO-5.ack.hl7": ACK}).splitlines()
    assert {"MSA|AE|DEMO-5", "ERR||PID^1^3|207"} <= set(lines)
    assert "- **DEMO-5** Message à refuser – comme attendu" in lines


def test_each_artefact_is_told_by_the_end_of_its_name() -> None:
    assert kind_of("DEMO-1.repeat.ack.hl7") != kind_of("DEMO-1.ack.hl7")
    assert "FHIR" in kind_of("DEMO-1.bundle.json")
    assert kind_of("notes.txt") == ""
