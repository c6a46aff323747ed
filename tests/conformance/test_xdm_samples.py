"""Every official CDA leaves as a mail whose archive says what the CDA says."""

from __future__ import annotations

import email
import email.policy
import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from adapter.mapping.from_cda import read_cda_header
from adapter.model.identity import ins_is_valid
from adapter.packaging.mail import Enclosed, build_mail
from tests.builders.cda import tiny_pdf
from tests.builders.ebrim import metadata_grammar
from tests.builders.secure_mail import DOCTOR, SENDER, SENT_AT, SUBMISSION, delivery

pytestmark = pytest.mark.conformance

NS = {"r": "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0", "h": "urn:hl7-org:v3"}
N1 = "DOC_NON_STRUCTURE_CDA-R2-N1.xml"


def cdas(shared_dir: Path) -> list[Path]:
    found = [*(shared_dir / "samples/cda").iterdir(), *(shared_dir / "samples/hl7v2").iterdir()]
    return sorted(path for path in found if path.suffix.lower() == ".xml")


def mail_of(cda: bytes) -> tuple[email.message.EmailMessage, dict[str, bytes]]:
    submission = replace(SUBMISSION, document=read_cda_header(cda), sender=None, encounter_class="")
    content = build_mail([Enclosed(delivery(), submission, cda, tiny_pdf())], SENDER, DOCTOR, SENT_AT)
    message = email.message_from_bytes(content.message, policy=email.policy.default)
    archive = zipfile.ZipFile(io.BytesIO(next(message.iter_attachments()).get_content()))  # type: ignore[attr-defined]
    return message, {name: archive.read(name) for name in archive.namelist()}  # type: ignore[return-value]


def test_every_official_cda_becomes_a_mail_that_describes_it(shared_dir: Path) -> None:
    documents = cdas(shared_dir)
    assert len(documents) > 30
    for path in documents:
        cda = path.read_bytes()
        message, files = mail_of(cda)
        assert files["IHE_XDM/SUBSET01/DOC00001.XML"] == cda, path.name
        metadata = etree.fromstring(files["IHE_XDM/SUBSET01/METADATA.XML"])
        metadata_grammar().assertValid(metadata)
        source = etree.fromstring(cda)
        number = source.xpath(
            "string(h:recordTarget/h:patientRole/h:id[starts-with(@root, '1.2.250.1.213.1.4.')]/@extension)", namespaces=NS
        )
        declared = metadata.xpath("string(//r:ExternalIdentifier[.//@value='XDSDocumentEntry.patientId']/@value)", namespaces=NS)
        # One sample bears a number whose key is wrong: it names nobody, so the hospital's own number stands there.
        assert declared.startswith(f"{number}^^^&") is ins_is_valid(number), path.name
        assert declared, path.name
        code = source.xpath("string(h:code/@code)", namespaces=NS)
        assert message["X-MSS-CODECDA"] == code, path.name
        assert metadata.xpath("//r:Classification[@nodeRepresentation=$c]", namespaces=NS, c=code), path.name
        assert str(message["Subject"]).startswith("XDM/1.0/DDM+"), path.name


def test_the_official_n1_gives_the_values_of_the_norms_own_example(shared_dir: Path) -> None:
    cda = (shared_dir / "samples/cda" / N1).read_bytes()
    message, files = mail_of(cda)
    assert message["Subject"] == "XDM/1.0/DDM+CR d'examens biologiques PAT-TROIS DOMINIQUE 28/03/1979"
    assert [part.get_filename() for part in message.iter_attachments()] == [
        "IHE_XDM.zip",
        "20210104_CR d'examens biologiques_PAT-TROIS_DOMINIQUE.pdf",
    ]
    metadata = etree.fromstring(files["IHE_XDM/SUBSET01/METADATA.XML"])
    (entry,) = metadata.findall(".//r:ExtrinsicObject", NS)
    slots = {slot.get("name"): slot.xpath(".//r:Value/text()", namespaces=NS) for slot in entry.findall("r:Slot", NS)}
    assert slots["hash"] == [hashlib.sha1(cda).hexdigest()]
    assert slots["size"] == [str(len(cda))]
    assert slots["creationTime"] == ["20210401124745"]
    assert slots["serviceStartTime"] == ["20210104124700"]
    assert slots["legalAuthenticator"] == ["807505123456^Camparini^Marcel^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS"]
    assert slots["sourcePatientId"] == ["1234567890121^^^&1.2.3.4.567.8.9.10&ISO^PI"]
    assert slots["sourcePatientInfo"][0] == "PID-5|PAT-TROIS^DOMINIQUE^DOMINIQUE MARIE-LOUISE^^^^L"
    author = entry.find("r:Classification", NS)
    assert author.xpath(".//r:Value/text()", namespaces=NS) == [
        "Laboratoire des charmes^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1120459876",
        "801234534765^CAMPARINI^Marcel^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS",
        "G15_10/SM03^Médecin - Biologie médicale (SM)^1.2.250.1.213.1.1.4.5",
    ]
    coded = [c.get("nodeRepresentation") for c in entry.findall("r:Classification", NS)]
    assert coded[1:3] == ["10", "N"]
    assert coded[-4:] == ["urn:ihe:iti:xds-sd:pdf:2008", "SA07", "AMBULATOIRE", "11502-2"]
    assert [e.get("value") for e in entry.findall("r:ExternalIdentifier", NS)] == [
        "279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH",
        "1.3.6.1.4.1.19376.1.2.20.12345.1.1",
    ]
