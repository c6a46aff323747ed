"""Everything that a CI-SIS header may hold and our sample letter does not: each thing has its place in the document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.fhir import profiles as p
from adapter.fhir.bundle import resources_of
from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import translate_cda
from tests.builders.cda import build_n1

Bundle = dict[str, Any]

SOMEBODY = (
    '<assignedEntity><id root="1.2.250.1.71.4.2.1" extension="810009990055"/><assignedPerson><name><family>{0}</family></name>'
    "</assignedPerson></assignedEntity>"
)
ENTERER = '<dataEnterer><time value="20261120"/>' + SOMEBODY.format("SAISIE") + "</dataEnterer>"
INFORMANT = "<informant>" + SOMEBODY.format("INFORME") + "</informant>"
RECIPIENT = (
    '<informationRecipient typeCode="TRC"><intendedRecipient><informationRecipient><name><family>COPIE</family></name>'
    "</informationRecipient></intendedRecipient></informationRecipient>"
)
AUTHENTICATOR = (
    '<authenticator><templateId root="1.2.3"/><time value="20261120101500+0100"/><signatureCode code="S"/>'
    + SOMEBODY.format("VALIDE") + "</authenticator>"
)  # fmt: skip
ORDER = (
    '<inFulfillmentOf><order><id root="1.2.3" extension="DEM-1"/><ps3-20:accessionNumber xmlns:ps3-20="urn:dicom-org:ps3-20" '
    'root="1.2.4" extension="ACC-1"/><priorityCode code="UR" codeSystem="2.16.840.1.113883.5.7"/></order></inFulfillmentOf>'
)
CONSENT = (
    '<authorization><consent><id root="1.2.5"/><code code="C1" codeSystem="1.2.6" displayName="Consentement"/>'
    '<statusCode code="completed"/></consent></authorization>'
)
PEOPLE_OF_THE_STAY = (
    '<dischargeDispositionCode code="6" codeSystem="1.2.250.1.213.2.14" displayName="Mutation"/><responsibleParty>'
    + SOMEBODY.format("RESPONSABLE") + '</responsibleParty>'
    '<encounterParticipant typeCode="ATND"><time><low value="20261116"/></time>'
    + SOMEBODY.format("SUIVI") + "</encounterParticipant>"
)  # fmt: skip
CIVIL = (
    '<sdtc:deceasedInd xmlns:sdtc="urn:hl7-org:sdtc" value="true"/>'
    '<sdtc:deceasedTime xmlns:sdtc="urn:hl7-org:sdtc" value="20261119"/>'
    '<sdtc:multipleBirthOrderNumber xmlns:sdtc="urn:hl7-org:sdtc" value="2"/>'
    '<maritalStatusCode code="M" codeSystem="2.16.840.1.113883.5.2"/>'
)
GUARDIAN = (
    '<guardian><addr use="H"><streetAddressLine>2 rue Y</streetAddressLine><city>ICI</city></addr>'
    '<telecom value="fax:01" use="WP"/>'
    "<guardianPerson><name><prefix>M</prefix><family>TUTEUR</family></name></guardianPerson></guardian>"
)
LANGUAGE = '<languageCommunication><languageCode code="fr-FR"/></languageCommunication>'
DEVICE_AUTHOR = (
    '<author><functionCode code="330" codeSystem="1.2.250.1.213.1.1.4.2.280" displayName="Logiciel"/>'
    '<time value="20261120"/>'
    '<assignedAuthor><id root="1.2.9" extension="L1"/><assignedAuthoringDevice><manufacturerModelName>M1</manufacturerModelName>'
    "<softwareName>S1</softwareName></assignedAuthoringDevice></assignedAuthor></author>"
)


@pytest.fixture(scope="module")
def translated() -> Bundle:
    text = build_n1().decode()
    for before, added in (
        ("<informant>", ENTERER + INFORMANT),
        ("<legalAuthenticator>", RECIPIENT),
        ('<participant typeCode="INF">', AUTHENTICATOR),
        ("<documentationOf>", ORDER),
        ("<componentOf>", CONSENT),
        ("<location>", PEOPLE_OF_THE_STAY),
        ("<birthplace>", CIVIL + GUARDIAN),
        ("<custodian>", DEVICE_AUTHOR),
    ):
        assert text.count(before) >= 1
        text = text.replace(before, added + before, 1)
    text = text.replace("</birthplace>", "</birthplace>" + LANGUAGE, 1)
    found = translate_cda(text.encode())
    assert validate_bundle(found.bundle) == ()
    assert [node.path for node in found.unread] == []
    return found.bundle


def _one(bundle: Bundle, kind: str) -> Bundle:
    (found,) = resources_of(bundle, kind)
    return found


def _named(bundle: Bundle, reference: Bundle) -> str:
    """The family name of whom a reference leads to."""
    by_url = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
    role = by_url[reference["reference"]]
    person: str = by_url[role["practitioner"]["reference"]]["name"][0]["family"]
    return person


def test_each_participation_has_its_own_extension(translated: Bundle) -> None:
    found: dict[str, list[str]] = {}
    for extension in _one(translated, "Composition")["extension"]:
        for part in extension.get("extension", ()):
            if part["url"] == "party":
                found.setdefault(extension["url"], []).append(_named(translated, part["valueReference"]))
    assert found[p.EXT_DATA_ENTERER] == ["SAISIE"]
    assert found[p.EXT_INFORMANT] == ["INFORME", "MODELE"]
    assert found[p.EXT_INFORMATION_RECIPIENT] == ["COPIE"]
    assert found[p.EXT_PARTICIPANT] == ["FICTIF"]


def test_a_professional_signature_is_an_attester_with_its_time(translated: Bundle) -> None:
    legal, professional = _one(translated, "Composition")["attester"]
    assert (legal["mode"], professional["mode"], professional["time"]) == ("legal", "professional", "2026-11-20T10:15:00+01:00")
    assert _named(translated, professional["party"]) == "VALIDE"


def test_the_order_that_is_answered_keeps_its_numbers(translated: Bundle) -> None:
    order = _one(translated, "ServiceRequest")
    numbers = {i["type"]["coding"][0]["code"]: (i["system"], i["value"]) for i in order["identifier"]}
    assert numbers == {"PLAC": ("urn:oid:1.2.3", "DEM-1"), "ACSN": ("urn:oid:1.2.4", "ACC-1")}
    assert order["priority"] == "urgent"
    assert p.EXT_BASED_ON in {e["url"] for e in _one(translated, "Composition")["extension"]}


def test_a_consent_is_a_consent(translated: Bundle) -> None:
    consent = _one(translated, "Consent")
    assert (consent["status"], consent["category"][0]["coding"][0]["code"]) == ("active", "C1")
    assert consent["identifier"][0]["value"] == "urn:oid:1.2.5"


def test_the_stay_has_its_people_and_its_end(translated: Bundle) -> None:
    encounter = _one(translated, "Encounter")
    people = {x["type"][0]["coding"][0]["code"]: _named(translated, x["individual"]) for x in encounter["participant"]}
    assert people == {"ATND": "SUIVI", "RESP": "RESPONSABLE"}
    assert encounter["hospitalization"]["dischargeDisposition"]["coding"][0]["code"] == "6"


def test_the_patient_has_a_civil_status_contacts_and_a_language(translated: Bundle) -> None:
    patient = _one(translated, "Patient")
    assert (patient["deceasedDateTime"], patient["multipleBirthInteger"]) == ("2026-11-19", 2)
    assert patient["maritalStatus"]["coding"][0]["code"] == "M"
    assert patient["communication"][0]["language"]["coding"][0]["code"] == "fr-FR"
    guardian, emergency = patient["contact"]
    assert guardian["relationship"][0]["coding"][0]["code"] == "GUARD"
    assert (guardian["address"]["line"], guardian["telecom"][0]["system"]) == (["2 rue Y"], "fax")
    assert [r["coding"][0]["code"] for r in emergency["relationship"]] == ["ECON", "SIS"]


def test_software_that_authored_is_a_device_with_its_function(translated: Bundle) -> None:
    device = _one(translated, "Device")
    assert [n["name"] for n in device["deviceName"]] == ["S1", "M1"]
    author = _one(translated, "Composition")["author"][1]
    assert author["reference"] == f"urn:uuid:{device['id']}"
    assert {"url": p.EXT_FUNCTION, "valueCoding": {"system": p.TRE_FUNCTION, "code": "330", "display": "Logiciel"}} in author[
        "extension"
    ]


def test_an_act_keeps_its_translations_qualifiers_and_words() -> None:
    code = (
        '<code code="18748-4" codeSystem="2.16.840.1.113883.6.1"><originalText>scanner</originalText><translation code="MR" '
        'codeSystem="1.2.840.10008.2.16.4"><qualifier><name code="121139" codeSystem="1.2.840.10008.2.16.4"/></qualifier>'
        "</translation></code><effectiveTime"
    )
    text = build_n1().decode()
    start = text.index('<code code="IMP"')
    end = text.index("<effectiveTime", start) + len("<effectiveTime")
    found = translate_cda((text[:start] + code + text[end:]).encode())
    assert [node.path for node in found.unread] == []
    event = json.dumps(_one(found.bundle, "Composition")["event"])
    assert all(word in event for word in ("scanner", "121139", '"MR"', p.DCM))
