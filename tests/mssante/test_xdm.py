"""IHE_XDM.zip: what is in it, in which order, and that the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from mssante.errors import MetadataError
from mssante.xdm import (
    RIM,
    Action,
    Author,
    Coded,
    DocumentEntry,
    Institution,
    Patient,
    PatientNumber,
    Person,
    Presentation,
    Software,
    SubmissionSet,
    build_archive,
    submission_unique_id,
    utc_time,
)
from tests.builders.ebrim import metadata_grammar

NS = {"r": RIM}
INS = PatientNumber("279035121518989", "1.2.250.1.213.1.4.10", "NH")
PATIENT = Patient(
    INS,
    PatientNumber("900000123", "1.2.250.1.999.94.1"),
    "EXEMPLE-BERTHIER",
    "CAMILLE",
    "CAMILLE JEANNE",
    "EXEMPLE-MOREL",
    "CAMILLE",
    "1974-09-18",
    "F",
    "94043",
)
LAB = Institution("Laboratoire d'essai & Cie", "1940999901")
AUTHOR = Author(
    Person("810009990001", "DUTEST", "Alix"),
    LAB,
    "Médecin",
    Coded("G15_10/SM03", "1.2.250.1.213.1.1.4.5", "Médecin - Biologie médicale (SM)"),
)
ENTRY = DocumentEntry(
    unique_id="1.2.250.1.213.1.1.9.500.1",
    title="Compte rendu d'examens biologiques",
    created="2021-04-01T00:47:45+01:00",
    patient=PATIENT,
    authors=(AUTHOR,),
    class_code=Coded("10", "1.2.250.1.213.1.1.4.1", "Compte rendu"),
    type_code=Coded("11502-2", "2.16.840.1.113883.6.1", "CR d'examens biologiques"),
    format_code=Coded("urn:ihe:iti:xds-sd:pdf:2008", "1.3.6.1.4.1.19376.1.2.3", "Pdf/A-1"),
    facility_type=Coded("SA25", "1.2.250.1.71.4.2.4", "Laboratoire de biologie médicale"),
    practice_setting=Coded("AMBULATOIRE", "1.2.250.1.213.1.1.4.9", "Ambulatoire"),
    confidentiality=(
        Coded("N", "2.16.840.1.113883.5.25", "Normal"),
        Coded("INVISIBLE_PATIENT", "1.2.250.1.213.1.1.4.13", "Non visible par le patient"),
    ),
    events=(Coded("IMP", "2.16.840.1.113883.5.4", "Hospitalisation"),),
    legal_authenticator=Person("810009990001", "DUTEST", "Alix"),
    service_start="2021-01-04T13:47+01:00",
    service_stop="2021-01-05",
)
SET = SubmissionSet(
    unique_id=submission_unique_id(329800735698586629295641978511506172918),
    source_id="1.2.250.1.999.1.1.7898",
    submitted=datetime(2021, 4, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))),
    title="Compte rendu d'examens biologiques",
    author=AUTHOR,
    content_type=Coded("07", "1.2.250.1.213.2.2", "Consultation Soins Externes"),
    patient=PATIENT,
)
CDA = "<ClinicalDocument xmlns='urn:hl7-org:v3'>é</ClinicalDocument>".encode()


def open_archive(content: bytes) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    return archive


def metadata_of(content: bytes) -> etree._Element:
    return etree.fromstring(open_archive(content).read("IHE_XDM/SUBSET01/METADATA.XML"))


def slot(parent: etree._Element, name: str) -> list[str]:
    return parent.xpath("r:Slot[@name=$n]/r:ValueList/r:Value/text()", namespaces=NS, n=name)


def classified(parent: etree._Element, scheme: str) -> list[tuple[str, str, str]]:
    found = parent.xpath("r:Classification[@classificationScheme=$s]", namespaces=NS, s=scheme)
    return [
        (c.get("nodeRepresentation"), slot(c, "codingScheme")[0], c.find("r:Name/r:LocalizedString", NS).get("value"))
        for c in found
    ]


def document(content: bytes, number: int = 1) -> etree._Element:
    return metadata_of(content).findall(".//r:ExtrinsicObject", NS)[number - 1]


def test_the_archive_holds_the_files_of_iti_32_with_short_names() -> None:
    names = open_archive(build_archive(SET, [(ENTRY, CDA)])).namelist()
    assert names == ["README.TXT", "INDEX.HTM", "IHE_XDM/SUBSET01/METADATA.XML", "IHE_XDM/SUBSET01/DOC00001.XML"]
    assert all(re.fullmatch(r"[A-Z0-9_]{1,8}(\.[A-Z0-9]{1,3})?", part) for name in names for part in name.split("/"))


def test_the_document_is_stored_byte_for_byte_with_its_hash_and_size() -> None:
    content = build_archive(SET, [(ENTRY, CDA)])
    stored = open_archive(content).read("IHE_XDM/SUBSET01/DOC00001.XML")
    assert stored == CDA
    assert slot(document(content), "hash") == [hashlib.sha1(CDA).hexdigest()]
    assert slot(document(content), "size") == [str(len(CDA))]


def test_the_same_input_gives_the_same_bytes_and_no_entry_tells_when_it_was_made() -> None:
    first = build_archive(SET, [(ENTRY, CDA)], Presentation("Hôpital d'essai"))
    assert first == build_archive(SET, [(ENTRY, CDA)], Presentation("Hôpital d'essai"))
    assert {entry.date_time for entry in open_archive(first).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert all(entry.flag_bits == 0 and entry.create_system == 0 for entry in open_archive(first).infolist())


@pytest.mark.parametrize("documents", [1, 2, 12])
def test_metadata_follow_the_order_of_the_ebrim_schema(documents: int) -> None:
    entries = [(replace(ENTRY, unique_id=f"1.2.3.{n}"), CDA + b"<!-- %d -->" % n) for n in range(1, documents + 1)]
    tree = metadata_of(build_archive(SET, entries))
    metadata_grammar().assertValid(tree)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_the_grammar_would_see_a_slot_after_a_name() -> None:
    tree = metadata_of(build_archive(SET, [(ENTRY, CDA)]))
    extrinsic = tree.find(".//r:ExtrinsicObject", NS)
    extrinsic.append(extrinsic.find("r:Slot", NS))
    assert not metadata_grammar().validate(tree)


def test_every_document_entry_attribute_is_written_as_the_norm_names_it() -> None:
    entry = document(build_archive(SET, [(ENTRY, CDA)]))
    assert entry.get("mimeType") == "text/xml"
    assert entry.get("objectType") == "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
    assert [s.get("name") for s in entry.findall("r:Slot", NS)] == [
        "URI",
        "hash",
        "size",
        "creationTime",
        "languageCode",
        "legalAuthenticator",
        "serviceStartTime",
        "serviceStopTime",
        "sourcePatientId",
        "sourcePatientInfo",
    ]
    assert slot(entry, "URI") == ["DOC00001.XML"]
    assert slot(entry, "languageCode") == ["fr-FR"]
    assert slot(entry, "legalAuthenticator") == ["810009990001^DUTEST^Alix^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS"]
    assert slot(entry, "sourcePatientId") == ["900000123^^^&1.2.250.1.999.94.1&ISO^PI"]
    assert slot(entry, "sourcePatientInfo") == [
        "PID-5|EXEMPLE-BERTHIER^CAMILLE^CAMILLE JEANNE^^^^L",
        "PID-5|EXEMPLE-MOREL^CAMILLE^^^^^D",
        "PID-7|19740918",
        "PID-8|F",
        "PID-11|^^^^^^BDL^^94043",
    ]
    assert entry.find("r:Name/r:LocalizedString", NS).get("value") == "Compte rendu d'examens biologiques"
    assert classified(entry, "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a") == [("10", "1.2.250.1.213.1.1.4.1", "Compte rendu")]
    assert classified(entry, "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f") == [
        ("N", "2.16.840.1.113883.5.25", "Normal"),
        ("INVISIBLE_PATIENT", "1.2.250.1.213.1.1.4.13", "Non visible par le patient"),
    ]
    assert classified(entry, "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4") == [
        ("IMP", "2.16.840.1.113883.5.4", "Hospitalisation")
    ]
    assert classified(entry, "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d") == [
        ("urn:ihe:iti:xds-sd:pdf:2008", "1.3.6.1.4.1.19376.1.2.3", "Pdf/A-1")
    ]
    assert classified(entry, "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1")[0][:2] == ("SA25", "1.2.250.1.71.4.2.4")
    assert classified(entry, "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead")[0][:2] == ("AMBULATOIRE", "1.2.250.1.213.1.1.4.9")
    assert classified(entry, "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983")[0][:2] == ("11502-2", "2.16.840.1.113883.6.1")
    identifiers = {e.get("identificationScheme"): e.get("value") for e in entry.findall("r:ExternalIdentifier", NS)}
    assert identifiers == {
        "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427": "279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH",
        "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab": "1.2.250.1.213.1.1.9.500.1",
    }


def test_an_author_has_institution_person_role_and_speciality() -> None:
    entry = document(build_archive(SET, [(ENTRY, CDA)]))
    (author,) = entry.xpath(
        "r:Classification[@classificationScheme='urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d']", namespaces=NS
    )
    assert slot(author, "authorInstitution") == ["Laboratoire d'essai \\T\\ Cie^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1940999901"]
    assert slot(author, "authorPerson") == ["810009990001^DUTEST^Alix^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS"]
    assert slot(author, "authorRole") == ["Médecin"]
    assert slot(author, "authorSpecialty") == ["G15_10/SM03^Médecin - Biologie médicale (SM)^1.2.250.1.213.1.1.4.5"]


def test_the_submission_set_is_written_as_the_norm_names_it() -> None:
    package = metadata_of(build_archive(SET, [(ENTRY, CDA)])).find(".//r:RegistryPackage", NS)
    assert slot(package, "submissionTime") == ["20210331233000"]
    assert classified(package, "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500")[0][:2] == ("07", "1.2.250.1.213.2.2")
    assert package.xpath(
        "r:Classification[@classificationNode='urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd']/@classifiedObject", namespaces=NS
    ) == ["S1"]
    identifiers = {e.get("identificationScheme"): e.get("value") for e in package.findall("r:ExternalIdentifier", NS)}
    assert identifiers == {
        "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446": "279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH",
        "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832": "1.2.250.1.999.1.1.7898",
        "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8": "2.25.329800735698586629295641978511506172918",
    }


def test_each_document_is_a_member_under_its_own_name() -> None:
    content = build_archive(SET, [(replace(ENTRY, unique_id=f"1.2.3.{n}"), CDA) for n in range(1, 11)])
    assert open_archive(content).namelist()[-1] == "IHE_XDM/SUBSET01/DOC00010.XML"
    members = metadata_of(content).findall(".//r:Association", NS)
    assert [(m.get("sourceObject"), m.get("targetObject")) for m in members] == [("S1", f"D{n}") for n in range(1, 11)]
    assert slot(document(content, 10), "URI") == ["DOC00010.XML"]


@pytest.mark.parametrize(("action", "written"), [(None, []), (Action.REPLACE, ["C"]), (Action.DELETE, ["D"])])
def test_replace_and_delete_are_an_action_slot_and_no_association(action: Action | None, written: list[str]) -> None:
    content = build_archive(SET, [(replace(ENTRY, action=action), CDA)])
    assert slot(document(content), "urn:action:extraMetadataSlot") == written
    assert b"RPLC" not in open_archive(content).read("IHE_XDM/SUBSET01/METADATA.XML")


@pytest.mark.parametrize(
    ("iso", "written"),
    [
        ("2021-04-01T13:47:45+01:00", "20210401124745"),
        ("2021-04-01T00:30:00+02:00", "20210331223000"),
        ("2021-01-01T00:00:00+01:00", "20201231230000"),
        ("2020-02-28T23:30:00-05:00", "20200229043000"),
        ("2021-04-01T13:47+0100", "20210401124700"),
        ("2021-04-01T13+01:00", "20210401120000"),
        ("2021-04-01T13:47:45.250Z", "20210401134745"),
        ("2021-04-01", "20210401"),
        ("2021-04", "202104"),
        ("2021", "2021"),
    ],
)
def test_times_are_written_in_utc_with_the_day_carried(iso: str, written: str) -> None:
    assert utc_time(iso, "x") == written


@given(
    st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is added below
    st.integers(min_value=-12 * 60, max_value=14 * 60),
)
def test_any_instant_reads_back_as_itself(naive: datetime, minutes: int) -> None:
    instant = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    written = utc_time(instant.isoformat(), "x")
    assert datetime.strptime(written, "%Y%m%d%H%M%S").replace(tzinfo=UTC) == instant


@pytest.mark.parametrize("iso", ["2021-04-01T13:47:45", "hier", "2021-13-01T10:00:00Z", "20210401", "2021-02-30T10:00:00Z", ""])
def test_a_time_without_zone_or_sense_is_refused_with_its_place(iso: str) -> None:
    with pytest.raises(MetadataError, match=r"DocumentEntry\.creationTime"):
        build_archive(SET, [(replace(ENTRY, created=iso), CDA)])


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"title": " "}, r"DocumentEntry\.title"),
        ({"authors": ()}, r"DocumentEntry\.author"),
        ({"confidentiality": ()}, r"DocumentEntry\.confidentialityCode"),
        ({"language": ""}, r"DocumentEntry\.languageCode"),
        ({"unique_id": "pas un OID"}, r"DocumentEntry\.uniqueId"),
        ({"type_code": Coded("", "1.2", "x")}, r"DocumentEntry\.typeCode"),
        ({"class_code": Coded("10", "", "x")}, r"DocumentEntry\.classCode"),
        ({"patient": replace(PATIENT, birth_name="")}, r"sourcePatientInfo"),
        ({"mime_type": "image/png"}, r"DocumentEntry\.mimeType"),
    ],
)
def test_a_missing_required_metadata_is_refused_with_its_place(changes: dict[str, object], place: str) -> None:
    with pytest.raises(MetadataError, match=place):
        build_archive(SET, [(replace(ENTRY, **changes), CDA)])


def test_a_submission_wants_an_oid_for_its_source_and_at_least_one_document() -> None:
    with pytest.raises(MetadataError, match=r"SubmissionSet\.sourceId"):
        build_archive(replace(SET, source_id="urn:oid:1.2"), [(ENTRY, CDA)])
    with pytest.raises(MetadataError, match="no-document"):
        build_archive(SET, [])


def test_a_control_character_is_refused_without_repeating_the_value() -> None:
    with pytest.raises(MetadataError) as raised:
        build_archive(SET, [(replace(ENTRY, patient=replace(PATIENT, birth_name="SECRET\x00")), CDA)])
    assert "SECRET" not in str(raised.value)


def test_separators_of_hl7_inside_names_are_escaped() -> None:
    patient = replace(PATIENT, birth_name="A^B&C|D~E\\F")
    info = slot(document(build_archive(SET, [(replace(ENTRY, patient=patient), CDA)])), "sourcePatientInfo")
    assert info[0] == "PID-5|A\\S\\B\\T\\C\\F\\D\\R\\E\\E\\F^CAMILLE^CAMILLE JEANNE^^^^L"


def test_people_machines_and_places_have_their_own_forms() -> None:
    authors = (
        Author(Person("ETAB/4521", "DUTEST", "Alix")),
        Author(Person("", "SANSNUMERO", "Lou")),
        Author(Software("AUTOMATE-7", "Labo 3", "Modèle 9", "1.2.250.1.999.5"), Institution("", "1940999901")),
        Author(institution=Institution("Cabinet sans numéro")),
    )
    entry = document(build_archive(SET, [(replace(ENTRY, authors=authors), CDA)]))
    found = entry.xpath("r:Classification[@classificationScheme='urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d']", namespaces=NS)
    assert [slot(author, "authorPerson") for author in found] == [
        ["ETAB/4521^DUTEST^Alix^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^EI"],
        ["^SANSNUMERO^Lou"],
        ["AUTOMATE-7^Labo 3^Modèle 9^^^^^^&1.2.250.1.999.5&ISO^U^^^RI"],
        [],
    ]
    assert slot(found[2], "authorInstitution") == ["^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1940999901"]
    assert slot(found[3], "authorInstitution") == ["Cabinet sans numéro"]


def test_a_patient_without_any_number_has_no_patient_id_rather_than_an_invented_one() -> None:
    patient = replace(PATIENT, number=None, source_number=None)
    content = build_archive(replace(SET, patient=patient), [(replace(ENTRY, patient=patient), CDA)])
    assert b"patientId" not in open_archive(content).read("IHE_XDM/SUBSET01/METADATA.XML")
    assert slot(document(content), "sourcePatientId") == []
    assert slot(document(content), "sourcePatientInfo")[0].startswith("PID-5|EXEMPLE-BERTHIER")


def test_a_uuid_becomes_the_one_oid_that_it_has() -> None:
    content = build_archive(SET, [(replace(ENTRY, unique_id="F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"), CDA)])
    values = [e.get("value") for e in document(content).findall("r:ExternalIdentifier", NS)]
    assert "2.25.329800735698586629295641978511506172918" in values


def test_the_cover_files_name_the_sender_and_link_each_document_without_naming_the_patient() -> None:
    archive = open_archive(
        build_archive(SET, [(ENTRY, CDA)] * 2, Presentation("Hôpital <d'essai> & fils", "secretariat@x.fr", "T 1"))
    )
    index, readme = archive.read("INDEX.HTM"), archive.read("README.TXT").decode("utf-8")
    page = etree.fromstring(index)
    assert page.xpath("//h:a/@href", namespaces={"h": "http://www.w3.org/1999/xhtml"}) == [
        "IHE_XDM/SUBSET01/DOC00001.XML",
        "IHE_XDM/SUBSET01/DOC00002.XML",
        "README.TXT",
    ]
    assert b"<script" not in index
    assert "Hôpital <d'essai> & fils" in readme
    assert "secretariat@x.fr" in readme
    assert "T 1" in readme
    assert "BERTHIER" not in readme and b"BERTHIER" not in index


def test_patient_values_stay_out_of_repr() -> None:
    assert "BERTHIER" not in repr(ENTRY) + repr(SET) + repr(PATIENT) + repr([PATIENT]) + repr(INS)
    assert "279035121518989" not in repr(ENTRY) + repr(INS)
