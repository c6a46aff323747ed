"""Replacements and cancellations at the HL7 door: what must agree, what is told, what the translation keeps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapter.mapping.from_hl7v2 import envelope_hl7v2, inspect_hl7v2, understand_hl7v2
from adapter.model.finding import Severity
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.model.submission import Intent
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import CANCELS, ORU_CANCELS, ORU_REPLACES, REPLACES, build_mdm, build_oru

ROOT = "1.2.250.1.213.1.1.9.501"
FIRST = build_ldl_ses()
SECOND = build_ldl_ses(document_id=f"{ROOT}.2", version=2, replaces=f"{ROOT}.1")
ORPHAN = build_ldl_ses(document_id=f"{ROOT}.2", version=2)
N1 = build_n1(document_id="1.2.250.1.213.1.1.9.500.2", version=2, replaces="1.2.250.1.213.1.1.9.500.1")


def _arrival(content: bytes) -> Arrival:
    return Arrival(content, "mllp", Principal("hospital", "application", "940000001"), datetime(2026, 11, 20, tzinfo=UTC))


def _told(content: bytes) -> list[tuple[str, str, str]]:
    found = inspect_hl7v2(_arrival(content))
    said = [f for f in found.findings if f.severity is not Severity.INFORMATION]
    assert (found.verdict is Verdict.REFUSED) == any(f.severity is Severity.ERROR for f in said)
    return [(f.code, f.location, f.severity.value[0]) for f in said]


@pytest.mark.parametrize(
    ("content", "intent"),
    [
        (build_mdm(SECOND, **REPLACES), Intent.REPLACE),
        (build_mdm(SECOND, **CANCELS), Intent.CANCEL),
        (build_oru(SECOND, **ORU_REPLACES), Intent.REPLACE),
        (build_oru(SECOND, **ORU_CANCELS), Intent.CANCEL),
        (build_oru(N1, SECOND, **ORU_REPLACES), Intent.REPLACE),
        (build_oru(N1, SECOND, **ORU_CANCELS), Intent.CANCEL),
    ],
)
def test_a_right_replacement_or_cancellation_is_accepted_without_a_word_for_each_document(content: bytes, intent: Intent) -> None:
    assert _told(content) == []
    translations = understand_hl7v2(_arrival(content), "r")
    assert {t.submission.intent for t in translations} == {intent}
    assert {t.submission.document.replaces for t in translations} <= {f"{ROOT}.1", "1.2.250.1.213.1.1.9.500.1"}


@pytest.mark.parametrize("event", ["T02", "T10", "T04"])
@pytest.mark.parametrize("order", ["NW", "RO", "CA", "XX", ""])
@pytest.mark.parametrize("status", ["F", "C", "D", "P", ""])
def test_event_order_and_status_must_ask_for_the_same_thing(event: str, order: str, status: str) -> None:
    coherent = (event, order, status) in {("T02", "NW", "F"), ("T10", "RO", "C"), ("T04", "CA", "D")}
    told = _told(build_mdm(SECOND, event=event, order=order, status=status))
    assert (("hl7.action-incoherent", "OBX[1]-11", "e") in told) is not coherent


def test_two_documents_of_one_message_are_replaced_or_deleted_together() -> None:
    mixed = build_oru(N1, SECOND, change={"OBX[2]-11": "C"})
    assert ("hl7.action-incoherent", "OBX[2]-11", "e") in _told(mixed)
    older = {"MSH-21": "2.0^CISIS_CDA_HL7_V2", "ORC-1": "SC"}
    assert ("hl7.action-incoherent", "OBX[2]-11", "e") in _told(build_oru(N1, SECOND, change=older | {"OBX[2]-11": "C"}))
    both = build_oru(N1, SECOND, change=older | {"OBX[1]-11": "C", "OBX[2]-11": "C"})
    assert [code for code, *_ in _told(both)] == ["hl7.older-profile"]


def test_an_mdm_replacement_names_the_version_in_txa_13() -> None:
    assert _told(build_mdm(SECOND, **REPLACES, change={"TXA-13": ""})) == [("hl7.required-field", "TXA-13", "e")]
    older = {"TXA-13": "", "MSH-21": "2.0^CISIS_CDA_HL7_V2"}
    assert ("hl7.required-field", "TXA-13", "w") in _told(build_mdm(SECOND, **REPLACES, change=older))


def test_txa_13_and_the_document_must_replace_the_same_version() -> None:
    assert _told(build_mdm(SECOND, **REPLACES, change={"TXA-13": "1.2.3"})) == [("hl7.other-parent", "TXA-13", "e")]
    older = {"TXA-13": "1.2.3", "MSH-21": "2.0^CISIS_CDA_HL7_V2"}
    assert ("hl7.other-parent", "TXA-13", "w") in _told(build_mdm(SECOND, **REPLACES, change=older))


@pytest.mark.parametrize("written", [f"{ROOT}.1", f"{ROOT}.1^Organisation-Y"])
def test_txa_13_may_bear_the_name_of_an_authority(written: str) -> None:
    assert _told(build_mdm(SECOND, **REPLACES, change={"TXA-13": written})) == []


def test_txa_13_with_a_root_is_an_extension_under_it() -> None:
    orphan = build_mdm(ORPHAN, **REPLACES, change={"TXA-13": "42^^1.2.250.9^ISO"})
    (submission,) = envelope_hl7v2(_arrival(orphan), "r")
    assert submission.document.replaces == "1.2.250.9^42"


def test_a_document_that_forgot_its_parent_is_told_and_txa_13_stands_for_it() -> None:
    content = build_mdm(ORPHAN, **REPLACES, change={"TXA-13": f"{ROOT}.1"})
    assert _told(content) == [("hl7.no-parent", "OBX[1]-5", "w")]
    (submission,) = envelope_hl7v2(_arrival(content), "r")
    assert submission.document.replaces == f"{ROOT}.1"
    assert understand_hl7v2(_arrival(content), "r")[0].submission == submission


def test_a_replacement_that_names_no_version_at_all_is_sent_and_told() -> None:
    assert _told(build_oru(ORPHAN, **ORU_REPLACES)) == [("hl7.no-parent", "OBX[1]-5", "w")]


def test_a_new_document_that_says_it_replaces_another_is_told() -> None:
    assert _told(build_mdm(SECOND)) == [("hl7.new-replaces", "OBX[1]-5", "w")]
    assert envelope_hl7v2(_arrival(build_mdm(SECOND)), "r")[0].intent is Intent.NEW


def test_a_cancellation_carries_the_version_to_delete_and_needs_no_parent() -> None:
    assert _told(build_mdm(FIRST, **CANCELS)) == []


def test_a_change_of_visibility_is_a_replacement_and_means_nothing_for_a_new_document() -> None:
    changed = {"MODIF_CONF_CODE": "Y"}
    assert _told(build_mdm(SECOND, **REPLACES, flags=changed)) == []
    assert _told(build_mdm(FIRST, flags=changed)) == [("hl7.change-of-new", "OBX", "w")]


def test_somebody_else_s_replacement_is_told_and_taken() -> None:
    stranger = (
        "PRT||UC||SB^Send by^participation|810009990019^AUTRE^Un^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS|||"
        "Ailleurs^^^^^ASIP-SANTE-ST&1.2.250.1.71.4.2.2&ISO^FINEG^^^929990117"
    )
    assert _told(build_mdm(SECOND, **REPLACES, sender=stranger)) == [("hl7.other-requester", "PRT", "w")]
    assert _told(build_mdm(FIRST, sender=stranger)) == []


def test_older_profiles_need_no_order_segment() -> None:
    content = build_mdm(SECOND, **REPLACES, drop=("ORC", "OBR"), change={"MSH-21": "2.0^CISIS_CDA_HL7_V2"})
    assert {severity for *_, severity in _told(content)} == {"w"}
    assert envelope_hl7v2(_arrival(content), "r")[0].intent is Intent.REPLACE


def test_numbers_of_txa_that_serve_nothing_are_listed() -> None:
    def unread(**change: str) -> list[str]:
        content = build_mdm(FIRST, change={place.replace("_", "-"): value for place, value in change.items()})
        return [node.path for node in understand_hl7v2(_arrival(content), "r")[0].unread if node.path.startswith("TXA")]

    assert unread() == []
    assert unread(TXA_12="1.2.3.999") == ["TXA-12.1"]
    assert unread(TXA_12=f"{ROOT}.1^Organisation-Y^somebody") == ["TXA-12.3"]
    assert unread(TXA_13=f"{ROOT}.0^^1.2.3") == ["TXA-13.1", "TXA-13.3"]
