"""METADATA.XML of every official CDA, attribute by attribute, against a second and independent derivation from its header.

The derivation here is XPath over the CDA and the table of the CI-SIS volet; what is compared is what `mssante.archive` reads.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from adapter.model.identity import ins_is_valid
from mssante.archive import read_archive
from mssante.entries import Author, Coded, DocumentEntry, Person, Software
from mssante.incoming import read_mail
from tests.conformance.test_xdm_samples import cdas
from tests.conformance.test_xdm_samples import mail_of as parsed_mail_of

pytestmark = pytest.mark.conformance

NS = {"h": "urn:hl7-org:v3"}
INS_OIDS = "1.2.250.1.213.1.4."
PDF_FORMAT = "urn:ihe:iti:xds-sd:pdf:2008"


def text(node: etree._Element, path: str) -> str:
    return " ".join(str(node.xpath(f"string({path})", namespaces=NS)).split())


def nodes(node: etree._Element, path: str) -> list[etree._Element]:
    return list(node.xpath(path, namespaces=NS))  # type: ignore[arg-type]


def in_utc(written: str) -> str:
    """A CDA time in UTC; without zone it is a day, or Paris time that this check leaves alone."""
    zoned = re.fullmatch(r"(\d{12,14})(?:\.\d+)?([+-]\d{4})", written)
    if zoned:
        moment = datetime.strptime(zoned[1].ljust(14, "0") + zoned[2], "%Y%m%d%H%M%S%z").astimezone(UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    day = written[:8]
    return "-".join(part for part in (day[:4], day[4:6], day[6:8]) if part) if len(written) <= 8 else ""


def same_time(read: str, written: str) -> bool:
    expected = in_utc(written)
    return read == expected if expected else bool(read)


def identifier(node: etree._Element) -> str:
    root, extension = node.get("root", ""), node.get("extension", "")
    return f"{root}^{extension}" if extension else root


def expected_ids(author: etree._Element) -> set[str]:
    return {
        node.get("extension") or node.get("root", "") for node in nodes(author, "h:assignedAuthor/h:id | h:assignedEntity/h:id")
    }


def problems(entry: DocumentEntry, cda: etree._Element) -> dict[str, tuple[object, object]]:
    found: dict[str, tuple[object, object]] = {}

    def expect(name: str, read: object, wanted: object) -> None:
        if read != wanted:
            found[name] = (read, wanted)

    expect("uniqueId", entry.unique_id, identifier(nodes(cda, "h:id")[0]))
    expect("title", " ".join(entry.title.split()), text(cda, "h:title"))
    expect("creationTime", same_time(entry.created, text(cda, "h:effectiveTime/@value")), True)
    expect("languageCode", entry.language, text(cda, "h:languageCode/@code"))
    expect(
        "typeCode", (entry.type_code.code, entry.type_code.scheme), (text(cda, "h:code/@code"), text(cda, "h:code/@codeSystem"))
    )
    expect("confidentialityCode", entry.confidentiality[0].code, text(cda, "h:confidentialityCode/@code"))
    expect("mimeType", entry.mime_type, "text/xml")
    is_n1 = bool(nodes(cda, "h:component/h:nonXMLBody"))
    expect("formatCode", entry.format_code.code == PDF_FORMAT, is_n1)
    facility = text(cda, "//h:healthCareFacility/h:code/@code")
    if facility:
        expect("healthcareFacilityTypeCode", entry.facility_type.code, facility)
    settings = {str(value) for value in cda.xpath("//h:standardIndustryClassCode/@code", namespaces=NS)}  # type: ignore[union-attr]
    if settings:
        expect("practiceSettingCode", entry.practice_setting.code in settings, True)
    events = [node.get("code") for node in nodes(cda, "h:documentationOf/h:serviceEvent/h:code[@code and @codeSystem]")]
    expect("eventCodeList", [code.code for code in entry.events], events)
    low = text(cda, "h:documentationOf[1]/h:serviceEvent/h:effectiveTime/h:low/@value")
    if low:
        expect("serviceStartTime", same_time(entry.service_start, low), True)
    high = text(cda, "h:documentationOf[1]/h:serviceEvent/h:effectiveTime/h:high/@value")
    expect("serviceStopTime", same_time(entry.service_stop, high) if high else entry.service_stop == "", True)
    return found | patient_problems(entry, cda) | people_problems(entry, cda)


def patient_problems(entry: DocumentEntry, cda: etree._Element) -> dict[str, tuple[object, object]]:
    role = nodes(cda, "h:recordTarget/h:patientRole")[0]
    patient, read = nodes(role, "h:patient")[0], entry.patient
    numbers = {(node.get("root", ""), node.get("extension", "")) for node in nodes(role, "h:id")}
    wanted: list[tuple[str, object, object]] = []
    ins = next(((root, value) for root, value in numbers if root.startswith(INS_OIDS)), None)
    number = (read.number.authority, read.number.value) if read.number else None
    wanted.append(("patientId", number in numbers, True))
    if ins and ins_is_valid(ins[1]):
        wanted.append(("patientId is the INS", number, ins))
    local = [pair for pair in numbers if not pair[0].startswith(INS_OIDS) and pair[1]]
    if local and read.source_number:
        wanted.append(("sourcePatientId", (read.source_number.authority, read.source_number.value) in numbers, True))
    birth = text(patient, "h:name/h:family[@qualifier='BR']") or text(patient, "h:name/h:family")
    wanted.append(("PID-5", read.birth_name, birth))
    wanted.append(("PID-8", read.sex, {"UN": "U"}.get(code := text(patient, "h:administrativeGenderCode/@code"), code)))
    born = text(patient, "h:birthTime/@value")[:8]
    wanted.append(("PID-7", read.birth_date.replace("-", ""), born))
    return {name: (got, right) for name, got, right in wanted if got != right}


def people_problems(entry: DocumentEntry, cda: etree._Element) -> dict[str, tuple[object, object]]:
    authors = nodes(cda, "h:author")
    found: dict[str, tuple[object, object]] = {}
    if len(entry.authors) != len(authors):
        found["author"] = (len(entry.authors), len(authors))
    for number, (read, source) in enumerate(zip(entry.authors, authors, strict=False)):
        found |= author_problems(f"author[{number}]", read, source)
    legal = nodes(cda, "h:legalAuthenticator")
    if legal and isinstance(entry.legal_authenticator, Person | Software):
        if entry.legal_authenticator.identifier and entry.legal_authenticator.identifier not in expected_ids(legal[0]):
            found["legalAuthenticator"] = (entry.legal_authenticator, expected_ids(legal[0]))
    elif legal:
        found["legalAuthenticator"] = (entry.legal_authenticator, "somebody")
    return found


def author_problems(where: str, read: Author, source: etree._Element) -> dict[str, tuple[object, object]]:
    found: dict[str, tuple[object, object]] = {}
    if isinstance(read.person, Person):
        if read.person.identifier and read.person.identifier not in expected_ids(source):
            found[f"{where}.authorPerson"] = (read.person.identifier, expected_ids(source))
        family = text(source, "h:assignedAuthor/h:assignedPerson/h:name/h:family")
        if family != read.person.family:
            found[f"{where}.family"] = (read.person.family, family)
    elif isinstance(read.person, Software) and not nodes(source, "h:assignedAuthor/h:assignedAuthoringDevice"):
        found[f"{where}.authorPerson"] = (read.person, "no device there")
    organisation = text(source, "h:assignedAuthor/h:representedOrganization/h:name")
    if organisation and (read.institution is None or " ".join(read.institution.name.split()) != organisation):
        found[f"{where}.authorInstitution"] = (read.institution, organisation)
    function = text(source, "h:functionCode/@displayName")
    if function and read.role != function:
        found[f"{where}.authorRole"] = (read.role, function)
    specialty = text(source, "h:assignedAuthor/h:code/@code")
    if isinstance(read.person, Person) and (read.specialty.code if read.specialty else "") != specialty:
        found[f"{where}.authorSpecialty"] = (read.specialty, specialty)
    return found


def test_every_attribute_is_what_the_header_says(shared_dir: Path) -> None:
    documents = cdas(shared_dir)
    assert len(documents) > 30
    wrong: dict[str, dict[str, tuple[object, object]]] = {}
    for path in documents:
        content = path.read_bytes()
        message, _ = parsed_mail_of(content)
        mail = read_mail(message.as_bytes())
        (document,) = (one for archive in mail.archives for one in read_archive(archive.content).documents)
        assert document.entry is not None
        assert document.content == content
        assert not document.is_doubtful
        if found := problems(document.entry, etree.fromstring(content)):
            wrong[path.name] = found
    assert wrong == {}


def test_the_comparison_would_see_each_attribute_that_differs(shared_dir: Path) -> None:
    content = (shared_dir / "samples/cda" / "DOC_NON_STRUCTURE_CDA-R2-N1.xml").read_bytes()
    message, _ = parsed_mail_of(content)
    entry = read_archive(read_mail(message.as_bytes()).archives[0].content).documents[0].entry
    assert entry is not None
    header = etree.fromstring(content)
    other = Coded("autre", "1.2.3", "Autre")
    changes: dict[str, dict[str, object]] = {
        "uniqueId": {"unique_id": "1.2"},
        "title": {"title": "Autre"},
        "creationTime": {"created": "2000-01-01T00:00:00Z"},
        "languageCode": {"language": "en"},
        "typeCode": {"type_code": other},
        "confidentialityCode": {"confidentiality": (other,)},
        "formatCode": {"format_code": other},
        "healthcareFacilityTypeCode": {"facility_type": other},
        "practiceSettingCode": {"practice_setting": other},
        "eventCodeList": {"events": (other,)},
        "serviceStartTime": {"service_start": "2000-01-01T00:00:00Z"},
        "author": {"authors": ()},
        "author[0].family": {"authors": (Author(Person("1", "AUTRE")), *entry.authors[1:])},
        "legalAuthenticator": {"legal_authenticator": None},
        "PID-5": {"patient": replace(entry.patient, birth_name="AUTRE")},
        "PID-7": {"patient": replace(entry.patient, birth_date="2000-01-01")},
        "PID-8": {"patient": replace(entry.patient, sex="M")},
        "patientId": {"patient": replace(entry.patient, number=None)},
    }
    for name, change in changes.items():
        assert name in problems(replace(entry, **change), header), name  # type: ignore[arg-type]
