"""Partners' FHIR documents: what is refused and where, how the header is understood, to whom it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.errors import InputError
from adapter.fhir.document import document_bundle_from
from adapter.formats.fhir import FhirLimits, read_resource
from adapter.mapping.from_fhir import document_id, inspect_fhir, understand_fhir
from adapter.model.document import ReferringParty
from adapter.model.finding import errors_of
from adapter.model.identity import Reliability
from adapter.model.parties import Organisation, Party, Professional
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.model.submission import Intent
from tests.builders.fhir_document import ENTRY_LETTER, build_entry_letter, header_of, send

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
URL = "https://traitdunion.example/literal"
PCP = ReferringParty("INF", "PCP", Party(Professional("MODELE", "Sacha", "10009990002"), function_code="PCP"))
REFERRER = ReferringParty("REF", "", Party(Professional("FICTIF", "Lou", "10009990003"), Organisation("CMS", "940999902")))


def arrival(content: bytes, side_car: bytes = b"") -> Arrival:
    return Arrival(content, "test", Principal("essai", "token", "940999900"), AT, side_car=side_car)


def refusal(bundle: dict[str, Any]) -> set[str]:
    inspection = inspect_fhir(arrival(send(bundle)))
    assert inspection.verdict is Verdict.REFUSED
    return {finding.code for finding in errors_of(inspection.findings)}


def test_a_whole_document_is_taken_under_its_own_number() -> None:
    inspection = inspect_fhir(arrival(send(build_entry_letter())))
    assert inspection.verdict is Verdict.ACCEPTED
    assert inspection.control.control_id == "1.2.250.1.999.94.7.501"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "fhir.not-json"),
        (b'{"resourceType": "Bundle", "type": "document", "type": "batch"}', "fhir.duplicate-key"),
        (b'{"resourceType": "Bundle", "total": NaN}', "fhir.not-json"),
        (b'{"resourceType": "Bundle", "total": 1e999999999}', "fhir.not-json"),
        (b'{"resourceType": "Bundle", "id": "\\u0000"}', "fhir.bad-text"),
        (b'{"resourceType": "Bundle", "id": "\\ud800"}', "fhir.bad-text"),
        (b'{"resourceType": "Bundle", "x": ' + b"[" * 60 + b"]" * 60 + b"}", "fhir.too-deep"),
        (b"\xff\xfe{}", "fhir.not-json"),
        (b'{"resourceType": "Bundle", "type": "transaction"}', "fhir.not-a-document"),
        (b'{"resourceType": "Patient"}', "fhir.not-a-document"),
        (b'{"resourceType": 3}', "fhir.not-a-resource"),
    ],
)
def test_what_is_no_document_is_refused_with_its_reason(content: bytes, code: str) -> None:
    inspection = inspect_fhir(arrival(content))
    assert [finding.code for finding in inspection.findings] == [code]


def test_size_and_number_of_parts_are_bounded() -> None:
    content = send(build_entry_letter())
    for limits, code in ((FhirLimits(max_bytes=100), "fhir.too-large"), (FhirLimits(max_parts=10), "fhir.too-many-parts")):
        with pytest.raises(InputError) as refused:
            read_resource(content, URL, limits)
        assert refused.value.code == code


def _second_patient(bundle: dict[str, Any]) -> None:
    patient = next(e for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    other = "11111111-1111-4111-8111-111111111111"
    bundle["entry"].append({"fullUrl": f"urn:uuid:{other}", "resource": {**patient["resource"], "id": other}})


def _wrong_key(bundle: dict[str, Any]) -> None:
    patient = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    ins = next(i for i in patient["identifier"] if "1.2.250.1.213.1.4" in i["system"])
    ins["value"] = ins["value"][:13] + f"{(int(ins['value'][13:]) % 97) + 1:02d}"


def _script(bundle: dict[str, Any]) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>'
    bundle["entry"][0]["resource"]["section"][0]["text"]["div"] = div


def _nowhere(bundle: dict[str, Any]) -> None:
    bundle["entry"][0]["resource"]["section"][1]["entry"][0]["reference"] = "https://ailleurs.example/MedicationStatement/1"


def _no_author(bundle: dict[str, Any]) -> None:
    composition = bundle["entry"][0]["resource"]
    organisation = next(e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Organization")
    composition["author"] = [{"reference": organisation}]
    composition.pop("attester", None)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (_second_patient, "fhir.not-exactly-one"),
        (_wrong_key, "ins.wrong-key"),
        (_script, "fhir.unsafe-narrative"),
        (_nowhere, "fhir.reference-nowhere"),
        (_no_author, "fhir.no-author"),
        (lambda bundle: bundle["entry"].reverse(), "fhir.no-composition-first"),
        (lambda bundle: bundle.pop("identifier"), "fhir.no-document-identifier"),
        (lambda bundle: bundle["entry"][0]["resource"].update(type={"text": "Lettre"}), "fhir.no-type"),
    ],
)
def test_an_edited_document_is_refused_for_what_was_edited(edit: Callable[[dict[str, Any]], object], code: str) -> None:
    bundle = build_entry_letter()
    edit(bundle)
    assert code in refusal(bundle)


def test_no_value_of_a_refused_document_is_told() -> None:
    bundle = build_entry_letter()
    _wrong_key(bundle)
    told = repr(inspect_fhir(arrival(send(bundle))).findings)
    assert "EXEMPLE" not in told and "2740" not in told


def test_a_sender_s_qualified_identity_stays_qualified() -> None:
    (translation,) = understand_fhir(arrival(send(build_entry_letter())), "r")
    patient = translation.submission.document.patient
    assert patient.reliability is Reliability.QUALIFIED
    assert patient.ins is not None and patient.birth_name and patient.birth_given_names and patient.birth_place_insee


def _letter(**changes: Any) -> bytes:
    header = header_of(ENTRY_LETTER, **changes)
    return send(build_entry_letter(header=header))


def test_the_side_car_wins_else_the_treating_doctor_and_who_referred() -> None:
    content = _letter(participants=(REFERRER, PCP))
    side_car = b'{"recipients": [{"rpps": "10009990009"}], "urgency": "urgent"}'
    (told,) = understand_fhir(arrival(content, side_car), "r")
    assert [r.rpps for r in told.submission.recipients] == ["10009990009"]
    assert told.submission.urgency.value == "urgent"
    (named,) = understand_fhir(arrival(content), "r")
    assert [(r.rpps, r.role_hint) for r in named.submission.recipients] == [("10009990002", "PCP"), ("10009990003", "REF")]
    (referred,) = understand_fhir(arrival(_letter(participants=(REFERRER,))), "r")
    assert [(r.rpps, r.role_hint) for r in referred.submission.recipients] == [("10009990003", "REF")]
    (nobody,) = understand_fhir(arrival(_letter()), "r")
    assert nobody.submission.recipients == ()


def test_a_new_version_replaces_the_one_that_it_names() -> None:
    (translation,) = understand_fhir(arrival(_letter(version=2, replaces="1.2.250.1.999.94.7.500")), "r")
    submission = translation.submission
    assert (submission.intent, submission.document.version) == (Intent.REPLACE, 2)
    assert submission.document.replaces == "1.2.250.1.999.94.7.500"


def test_the_header_comes_back_as_it_was_written() -> None:
    header = header_of(ENTRY_LETTER, participants=(PCP,))
    (translation,) = understand_fhir(arrival(send(build_entry_letter(header=header))), "r")
    again = translation.submission.document
    for name in ("unique_id", "title", "created", "patient", "confidentiality", "language", "custodian"):
        assert getattr(again, name) == getattr(header, name), name
    assert [a.professional for a in again.authors] == [a.professional for a in header.authors]
    assert again.legal_authenticator is not None and header.legal_authenticator is not None
    assert again.legal_authenticator.professional == header.legal_authenticator.professional


@pytest.mark.parametrize(
    ("identifier", "number"),
    [
        ({"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"}, "1.2.3"),
        ({"system": "urn:oid:1.2.3", "value": "A7"}, "1.2.3^A7"),
        ({}, ""),
    ],
)
def test_a_document_number_is_an_xds_one(identifier: dict[str, str], number: str) -> None:
    assert document_id(identifier) == number


def test_a_number_under_a_url_gets_an_oid_of_ours_always_the_same() -> None:
    identifier = {"system": "https://labo.example/docs", "value": "12"}
    assert document_id(identifier).startswith("2.25.")
    assert document_id(identifier) == document_id(dict(identifier)) != document_id({**identifier, "value": "13"})


def test_a_decimal_keeps_its_literal_beside_it() -> None:
    found = read_resource(b'{"resourceType": "X", "value": 1.50, "other": 2.5}', URL)
    assert found["value"] == 1.5
    assert found["_value"] == {"extension": [{"url": URL, "valueString": "1.50"}]}
    assert "_other" not in found
    assert json.loads(json.dumps(found)) == found


def test_our_own_documents_are_taken_back() -> None:
    header = header_of(ENTRY_LETTER)
    from adapter.fhir.document import Section
    from adapter.fhir.narrative import div_of

    ours = document_bundle_from(header, [Section(header.type, "Lettre", div_of("Texte"))], [], b"x", "text/plain")
    assert inspect_fhir(arrival(send(ours))).verdict is Verdict.ACCEPTED
