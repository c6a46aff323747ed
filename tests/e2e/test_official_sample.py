"""The official MDM of the volet, sent by a client that is not ours, arrives as a mail that is right in every part."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import io
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest
from hl7.client import MLLPClient
from lxml import etree

from adapter.demo.stage import SANDBOX_MAILBOX, Stage, StageSettings

SAMPLE = "cda-hl7v2-2.1-segur__MDM__new-MDM__message-MDM-CR-Radio-INIT-N1-Base64.er7"
RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"


@pytest.fixture(scope="module")
def sample(shared_dir: Path) -> bytes:
    """The sample as a sender writes it: CR between segments."""
    return (shared_dir / "samples" / "hl7v2" / SAMPLE).read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r")


@pytest.fixture(scope="module")
def carried_cda(sample: bytes) -> bytes:
    """The document of OBX-5, decoded by other means than ours."""
    field = next(line for line in sample.split(b"\r") if line.startswith(b"OBX|1|")).split(b"|")[5]
    data = field.split(b"^")[-1]
    return base64.b64decode(data + b"=" * (-len(data) % 4))


@pytest.fixture(scope="module")
def arrived(sample: bytes, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, EmailMessage]:
    """The acknowledgement, and the mail that the operator holds in the end."""
    settings = StageSettings(more_peers=(("RIS-Y", "Organisation-Y"),))
    with Stage(tmp_path_factory.mktemp("stage"), settings) as stage:
        with MLLPClient("127.0.0.1", stage.mllp_port) as client:
            acknowledgement = client.send_message(sample)
        [mail] = stage.operator.wait_for(1, timeout=30)
    return acknowledgement, email.message_from_bytes(mail.content, policy=email.policy.default)  # type: ignore[return-value]


def _attachment(mail: EmailMessage, content_type: str) -> tuple[str, bytes]:
    [part] = [part for part in mail.iter_attachments() if part.get_content_type() == content_type]
    return str(part.get_filename()), part.get_payload(decode=True)  # type: ignore[return-value]


def _archive(mail: EmailMessage) -> zipfile.ZipFile:
    name, content = _attachment(mail, "application/zip")
    assert name == "IHE_XDM.zip"
    return zipfile.ZipFile(io.BytesIO(content))


@pytest.mark.conformance
@pytest.mark.e2e
def test_the_sender_gets_an_aa_of_the_right_form(arrived: tuple[bytes, EmailMessage]) -> None:
    segments = arrived[0].strip(b"\x0b\x1c\r").split(b"\r")
    header = segments[0].split(b"|")
    assert header[2:6] == [b"PFI-Y", b"Organisation-Y", b"RIS-Y", b"Organisation-Y"]
    assert header[8] == b"ACK^T02^ACK"
    assert segments[1] == b"MSA|AA|015"


@pytest.mark.conformance
@pytest.mark.e2e
def test_the_document_is_the_very_bytes_of_obx_5(arrived: tuple[bytes, EmailMessage], carried_cda: bytes) -> None:
    with _archive(arrived[1]) as archive:
        assert archive.read("IHE_XDM/SUBSET01/DOC00001.XML") == carried_cda


@pytest.mark.conformance
@pytest.mark.e2e
def test_metadata_say_what_the_document_is(arrived: tuple[bytes, EmailMessage], carried_cda: bytes) -> None:
    with _archive(arrived[1]) as archive:
        assert {"README.TXT", "INDEX.HTM", "IHE_XDM/SUBSET01/METADATA.XML"} <= set(archive.namelist())
        root = etree.fromstring(archive.read("IHE_XDM/SUBSET01/METADATA.XML"))
    entry = root.find(f".//{RIM}ExtrinsicObject")
    assert entry is not None
    slots = {slot.get("name"): slot.findtext(f".//{RIM}Value") for slot in entry.findall(f"{RIM}Slot")}
    assert slots["hash"] == hashlib.sha1(carried_cda).hexdigest()
    assert slots["size"] == str(len(carried_cda))
    assert slots["creationTime"] == "20050411083328"
    identifiers = {e.get("identificationScheme"): e.get("value") for e in entry.findall(f"{RIM}ExternalIdentifier")}
    assert identifiers["urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"] == "279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH"
    assert identifiers["urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"] == "1.2.250.1.71.4.2.2.120456789.71024000081"
    codes = {c.get("classificationScheme"): c.get("nodeRepresentation") for c in entry.findall(f"{RIM}Classification")}
    assert codes["urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"] == "18748-4"
    assert codes["urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d"] == "urn:ihe:iti:xds-sd:pdf:2008"
    hidden = {c.get("nodeRepresentation") for c in entry.findall(f"{RIM}Classification")}
    assert {"N", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"} <= hidden


@pytest.mark.conformance
@pytest.mark.e2e
def test_the_mail_says_what_it_brings_and_goes_to_the_sandbox(arrived: tuple[bytes, EmailMessage]) -> None:
    mail = arrived[1]
    assert mail["To"] == SANDBOX_MAILBOX
    assert str(mail["Subject"]).startswith("XDM/1.0/DDM+CR d'imagerie médicale PAT-TROIS DOMINIQUE 28/03/1979")
    assert mail["X-MSS-CODECDA"] == "18748-4"
    assert mail["X-MSS-INS"] == "O"
    name, pdf = _attachment(mail, "application/pdf")
    assert name.endswith(".pdf")
    assert pdf.startswith(b"%PDF-")
