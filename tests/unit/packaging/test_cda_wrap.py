"""The CDA N1 around our PDF: the header's rules, nothing invented, the INS only when it may travel."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from adapter.errors import RenditionError
from adapter.formats.cda import embedded_pdf, read_cda
from adapter.model.document import BodyKind, Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.identity import Address, LocalIdentifier, PatientIdentity, Reliability, Telecom
from adapter.model.parties import Device, Organisation, Party, Professional
from adapter.model.submission import Submission
from adapter.packaging.cda import wrap_as_n1
from adapter.packaging.cda_out.xml import cda_time, system_oid
from tests.builders.cda import tiny_pdf
from tests.builders.directory import letter_header, qualified_patient, submission

NS = {"c": "urn:hl7-org:v3"}
PDF = tiny_pdf()
THIN = PatientIdentity(birth_name="EXEMPLE", first_given="Camille", birth_date="1961-04-12")


def _form_header(**changes: Any) -> DocumentHeader:
    """What a form gives: thin patient, prescriber with a name and a phone."""
    author = Party(Professional("MODELE", telecoms=(Telecom("phone", "01 99 00 00 01", "work"),)), Organisation("Pédiatrie"))
    values: dict[str, Any] = {
        "unique_id": "2.25.12345",
        "type": Code("55115-0", "2.16.840.1.113883.6.1", "Demande d'examen d'imagerie"),
        "title": "Demande d'examen d'imagerie",
        "created": "2026-11-20",
        "patient": THIN,
        "authors": (author,),
        "legal_authenticator": None,
        "custodian": Organisation("Pédiatrie"),
        "body": BodyKind.FORM,
        "service_events": (),
        "stay": None,
    }
    return letter_header(**{**values, **changes})


def _wrapped(header: DocumentHeader | None = None, **changes: Any) -> etree._Element:
    return etree.fromstring(wrap_as_n1(_submission(header, **changes), PDF))


def _submission(header: DocumentHeader | None = None, **changes: Any) -> Submission:
    return submission(header=header or letter_header(**changes))


def _all(root: etree._Element, path: str) -> list[Any]:
    found = root.xpath(path, namespaces=NS)
    assert isinstance(found, list)
    return found


def test_the_pdf_is_inside_byte_for_byte_and_our_own_reader_finds_it() -> None:
    content = wrap_as_n1(_submission(), PDF)
    assert embedded_pdf(read_cda(content)) == PDF
    body = _all(etree.fromstring(content), "/c:ClinicalDocument/c:component/c:nonXMLBody/c:text")[0]
    assert (body.get("mediaType"), body.get("representation")) == ("application/pdf", "B64")
    assert base64.b64decode(body.text) == PDF


def test_an_n1_bears_exactly_its_three_templates() -> None:
    assert _all(_wrapped(), "c:templateId/@root") == [
        "2.16.840.1.113883.2.8.2.1",
        "1.2.250.1.213.1.1.1.1",
        "1.3.6.1.4.1.19376.1.2.20",
    ]


def test_the_same_submission_gives_the_same_bytes() -> None:
    assert wrap_as_n1(_submission(), PDF) == wrap_as_n1(_submission(), PDF)


def test_the_header_says_what_the_document_is() -> None:
    root = _wrapped(version=3, set_id="1.2.3.4", replaces="1.2.3.5^x", confidentiality="R", confidentiality_label="Restreint")
    assert _all(root, "c:id/@root") == ["1.2.250.1.999.94.7.501"]
    assert _all(root, "c:code/@code | c:code/@codeSystem") == ["11490-0", "2.16.840.1.113883.6.1"]
    assert _all(root, "c:effectiveTime/@value") == ["20261120103000+0100"]
    assert _all(root, "c:confidentialityCode/@code") == ["R"]
    assert _all(root, "c:setId/@root | c:versionNumber/@value") == ["1.2.3.4", "3"]
    parent = _all(root, "c:relatedDocument[@typeCode='RPLC']/c:parentDocument/c:id")[0]
    assert (parent.get("root"), parent.get("extension")) == ("1.2.3.5", "x")


def test_a_qualified_identity_travels_with_its_ins_and_all_traits() -> None:
    patient = qualified_patient(used_name="MOREL", birth_place_city="LE KREMLIN")
    root = _wrapped(patient=patient)
    role = _all(root, "c:recordTarget/c:patientRole")[0]
    assert patient.ins is not None
    assert (role[0].get("root"), role[0].get("extension")) == ("1.2.250.1.213.1.4.10", patient.ins.value)
    assert _all(role, "c:patient/c:name/c:family[@qualifier='BR']/text()") == ["EXEMPLE"]
    assert _all(role, "c:patient/c:name/c:given[@qualifier='BR']/text()") == ["CAMILLE"]
    assert _all(role, "c:patient/c:name/c:given[not(@qualifier)]/text()") == ["CAMILLE JEANNE"]
    assert _all(role, "c:patient/c:name/c:family[@qualifier='CL']/text()") == ["MOREL"]
    assert _all(role, "c:patient/c:birthTime/@value") == ["19610412"]
    assert _all(role, "c:patient/c:birthplace/c:place/c:addr/c:county/text()") == ["94043"]


@pytest.mark.parametrize(
    "changes", [{"reliability": Reliability.PROVISIONAL}, {"birth_place_insee": ""}, {"birth_given_names": ""}]
)
def test_an_ins_that_is_not_qualified_or_not_complete_never_travels(changes: dict[str, Any]) -> None:
    patient = qualified_patient(**changes)
    assert patient.ins is not None
    content = wrap_as_n1(_submission(patient=patient), PDF)
    assert patient.ins.value.encode() not in content and b"1.2.250.1.213.1.4." not in content


def test_a_patient_without_number_gets_one_that_is_only_this_document_s() -> None:
    one, other = _wrapped(_form_header()), _wrapped(_form_header(unique_id="2.25.999"))
    numbers = [_all(root, "c:recordTarget/c:patientRole/c:id") for root in (one, other)]
    assert all(len(ids) == 1 for ids in numbers)
    assert numbers[0][0].get("root") == numbers[1][0].get("root")
    assert re.fullmatch(r"[0-9a-f-]{36}", numbers[0][0].get("root"))
    assert numbers[0][0].get("extension") == "2.25.12345" != numbers[1][0].get("extension")


def test_a_local_number_stands_when_its_authority_is_an_oid() -> None:
    ids = (LocalIdentifier("77", "1.2.250.1.999.1"), LocalIdentifier("88", "CMS par son nom"))
    root = _wrapped(patient=replace(THIN, local_ids=ids))
    assert _all(root, "c:recordTarget/c:patientRole/c:id/@extension") == ["77"]


def test_what_is_not_told_is_null_or_unknown_never_invented() -> None:
    root = _wrapped(_form_header(patient=replace(THIN, birth_date="")))
    role = _all(root, "c:recordTarget/c:patientRole")[0]
    assert _all(role, "c:addr/@nullFlavor | c:telecom/@nullFlavor") == ["NASK", "NASK"]
    assert _all(role, "c:patient/c:birthTime/@nullFlavor") == ["UNK"]
    assert _all(role, "c:patient/c:administrativeGenderCode/@code") == ["UN"]
    assert not _all(role, "c:patient/c:birthplace")


def test_an_author_without_rpps_gets_a_number_of_ours_that_is_always_the_same() -> None:
    first, second = _wrapped(_form_header()), _wrapped(_form_header(unique_id="2.25.999"))
    numbers = [_all(root, "c:author/c:assignedAuthor/c:id")[0].attrib for root in (first, second)]
    assert numbers[0] == numbers[1]
    assert numbers[0]["root"] != "1.2.250.1.71.4.2.1"
    named = _wrapped(_form_header(authors=(Party(Professional("MODELE", rpps="99900000086")),)))
    author = _all(named, "c:author/c:assignedAuthor/c:id")[0]
    assert (author.get("root"), author.get("extension")) == ("1.2.250.1.71.4.2.1", "899900000086")


def test_a_day_without_time_becomes_its_first_minute_in_french_time() -> None:
    assert _all(_wrapped(_form_header()), "c:effectiveTime/@value") == ["20261120000000+0100"]
    assert _all(_wrapped(_form_header(created="2026-07-20")), "c:effectiveTime/@value") == ["20260720000000+0200"]


def test_a_custodian_without_number_bears_the_legal_entity_s() -> None:
    root = _wrapped(_form_header())
    keeper = _all(root, "c:custodian//c:representedCustodianOrganization")[0]
    assert _all(keeper, "c:id/@extension") == ["1" + _submission().legal_entity]
    assert _all(keeper, "c:name/text()") == ["Pédiatrie"]
    known = _all(_wrapped(), "c:custodian//c:representedCustodianOrganization/c:id/@extension")
    assert known == ["1" + letter_header().custodian.finess]


def test_a_request_s_act_is_the_request_in_its_practice_setting() -> None:
    root = _wrapped(_form_header())
    event = _all(root, "c:documentationOf/c:serviceEvent")[0]
    assert _all(event, "c:code/@code") == ["55115-0"]
    assert _all(event, "c:effectiveTime/c:low/@value") == ["20261120"]
    assert _all(event, ".//c:standardIndustryClassCode/@code") == ["AMBULATOIRE"]
    assert _all(root, "c:componentOf//c:healthCareFacility/c:code/@code") == ["SA05"]


def test_the_stay_is_told_as_the_source_tells_it() -> None:
    stay = Stay(
        "IMP", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "Hospitalisation", "2026-11-16T09:00:00+01:00", "2026-11-20",
        Code("SA01", "1.2.250.1.71.4.2.4", "Etablissement public de santé"), (("1.2.250.1.999.2", "V1"), ("nom", "V2")),
        Organisation("Hôpital", "940000001"),
    )  # fmt: skip
    encounter = _all(_wrapped(stay=stay), "c:componentOf/c:encompassingEncounter")[0]
    assert _all(encounter, "c:id/@extension") == ["V1"]
    assert _all(encounter, "c:code/@code | c:code/@codeSystem") == ["IMP", "2.16.840.1.113883.5.4"]
    assert _all(encounter, "c:effectiveTime/c:low/@value") == ["20261116090000+0100"]
    assert _all(encounter, "c:effectiveTime/c:high/@value") == ["20261120"]
    assert _all(encounter, ".//c:healthCareFacility/c:id/@extension") == ["1940000001"]


def test_the_referring_doctor_is_an_inf_participant_with_function_pcp() -> None:
    doctor = Party(
        Professional("MODELE", "Sacha", "99900000086", title="DR"), Organisation("CMS", "940000002"), time="2026-11-01/"
    )
    root = _wrapped(participants=(ReferringParty("INF", "PCP", doctor), ReferringParty("REF", "", doctor)))
    first, second = _all(root, "c:participant")
    assert (first.get("typeCode"), second.get("typeCode")) == ("INF", "REF")
    assert _all(first, "c:functionCode/@code | c:functionCode/@codeSystem") == ["PCP", "2.16.840.1.113883.5.88"]
    assert _all(first, "c:time/c:low/@value") == ["20261101"]
    assert _all(first, ".//c:associatedPerson/c:name/c:suffix/text()") == ["DR"]
    assert not _all(second, "c:functionCode")


def test_software_can_be_the_author_but_a_person_answers() -> None:
    robot = Party(device=Device("1.2.3^r", "Automate", "Modèle 1"), organisation=Organisation("Labo", "940000003"))
    root = _wrapped(authors=(robot,), legal_authenticator=letter_header().authors[0])
    assert _all(root, "c:author//c:assignedAuthoringDevice/c:softwareName/text()") == ["Automate"]
    with pytest.raises(RenditionError) as refused:
        _wrapped(authors=(robot,), legal_authenticator=None)
    assert refused.value.code == "cda.header-incomplete"


@pytest.mark.parametrize(
    ("changes", "place"),
    [({"unique_id": ""}, "document.id"), ({"type": Code()}, "document.type"), ({"authors": ()}, "document.author"),
     ({"created": ""}, "document.created"), ({"patient": PatientIdentity("")}, "patient.name")],
)  # fmt: skip
def test_a_header_that_nothing_can_stand_for_is_refused_by_its_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(RenditionError) as refused:
        _wrapped(**changes)
    assert refused.value.where == place and "EXEMPLE" not in str(refused.value)


def test_events_keep_their_order_and_only_the_first_needs_a_performer() -> None:
    events = (ServiceEvent(Code("A", "1.2.3", "a"), "2026-11-01"), ServiceEvent(Code("B", "1.2.3", "b"), identifier="1.2.9^7"))
    first, second = _all(_wrapped(service_events=events), "c:documentationOf/c:serviceEvent")
    assert len(_all(first, "c:performer")) == 1 and not _all(second, "c:performer")
    assert _all(second, "c:id/@extension") == ["7"] and not _all(second, "c:effectiveTime")


def test_addresses_and_telecoms_keep_their_kind() -> None:
    patient = qualified_patient(
        addresses=(Address(("1 rue X", "Bât. B"), "94270", "LE KREMLIN", "FRANCE", use="home"),),
        telecoms=(
            Telecom("phone", "01 99 00 00 01", "home"),
            Telecom("email", "a@b.fr"),
            Telecom("fax", "0199000002"),
            Telecom("other", "?"),
        ),
    )
    role = _all(_wrapped(patient=patient), "c:recordTarget/c:patientRole")[0]
    assert _all(role, "c:addr/c:streetAddressLine/text()") == ["1 rue X", "Bât. B", "94270 LE KREMLIN", "FRANCE"]
    assert _all(role, "c:telecom/@value") == ["tel:0199000001", "mailto:a@b.fr", "fax:0199000002"]


def test_characters_that_xml_forbids_are_left_out() -> None:
    root = _wrapped(title="Avant\x0b\ufffe après \ud800fin")
    assert _all(root, "c:title/text()") == ["Avant après fin"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2026-11-20T10:30:05.250+01:00", "20261120103005+0100"),
        ("2026-11-20T10:30:00Z", "20261120103000+0000"),
        ("2026-11", "202611"),
        ("1979", "1979"),
        ("", ""),
        ("hier", ""),
    ],
)
def test_times_keep_their_precision(value: str, written: str) -> None:
    assert cda_time(value) == written


@pytest.mark.parametrize(
    ("system", "oid"),
    [
        ("http://loinc.org", "2.16.840.1.113883.6.1"),
        ("urn:oid:1.2.3", "1.2.3"),
        ("1.2.3", "1.2.3"),
        ("http://ailleurs", ""),
        ("", ""),
    ],
)
def test_systems_are_named_by_oid(system: str, oid: str) -> None:
    assert system_oid(system) == oid
