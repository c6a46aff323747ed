"""A partner's FHIR document and a bare PDF go all the way: accepted, planned, sent as what they are; what lacks is asked."""

from __future__ import annotations

import email
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from adapter.formats.cda import embedded_pdf, read_cda
from adapter.mapping.kinds import READERS
from adapter.model.receipt import Arrival, ContentKind, Kept, Principal, Verdict
from adapter.packaging.build import Document, readable_pdf
from tests.builders.cda import tiny_pdf
from tests.builders.directory import APHP_EJ
from tests.builders.fhir_document import build_discharge_letter, build_entry_letter, send
from tests.builders.instance import NOON, Instance
from tests.unit.mapping.test_from_pdf import ALL

DROPPED: dict[str, Any] = {"door": "folder:depot", "principal": Principal("depot", "folder", APHP_EJ)}
DOCTOR = {"recipients": [{"rpps": "99700000013"}]}


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def sent_cda(house: Instance) -> bytes:
    """The CDA inside the archive of the one mail that left."""
    (parcel,) = house.mail.parcels
    message = email.message_from_bytes(parcel.content.message)  # type: ignore[union-attr]
    archive = next(part for part in message.walk() if part.get_filename() == "IHE_XDM.zip")
    with zipfile.ZipFile(io.BytesIO(archive.get_payload(decode=True))) as files:  # type: ignore[arg-type]
        (name,) = [name for name in files.namelist() if name.upper().startswith("IHE_XDM/") and name.upper().endswith(".XML")
                   and not name.upper().endswith("METADATA.XML")]  # fmt: skip
        return files.read(name)


def test_a_partner_s_letter_leaves_by_mail_as_a_structured_cda(house: Instance) -> None:
    receipt = house.letter(send(build_discharge_letter()), side_car=json.dumps(DOCTOR).encode(), **DROPPED)
    assert "mssante" in house.states(receipt)
    assert house.dispatch() == 1
    root = read_cda(sent_cda(house)).root
    assert "1.2.250.1.213.1.1.1.29" in {found.get("root") for found in root.findall("{*}templateId")}


def test_a_described_pdf_leaves_by_mail_inside_a_cda_unchanged(house: Instance) -> None:
    receipt = house.letter(tiny_pdf(), side_car=json.dumps(ALL | DOCTOR).encode(), **DROPPED)
    assert "mssante" in house.states(receipt)
    assert house.dispatch() == 1
    assert embedded_pdf(read_cda(sent_cda(house))) == tiny_pdf()


def test_a_pdf_of_which_too_little_is_said_waits_and_the_question_lists_it(house: Instance) -> None:
    answer = house.accept(tiny_pdf(), **DROPPED)
    assert answer.verdict is Verdict.ACCEPTED
    house.prepare()
    (item,) = house.items()
    assert item.reason == "pdf.missing"
    assert "nom de naissance du patient" in item.advice and "side-car" in item.advice
    again = house.accept(tiny_pdf(), side_car=json.dumps(ALL | DOCTOR).encode(), **DROPPED)
    assert again.kept is Kept.STORED
    house.prepare()
    assert house.states(again.receipt_id)


def test_a_document_for_nobody_waits_for_a_person(house: Instance) -> None:
    house.letter(send(build_entry_letter()), **DROPPED)
    assert house.reasons() == ["no-recipient"]
    assert house.dispatch() == 0


def test_a_partner_s_document_is_deposited_as_its_very_bytes(house: Instance) -> None:
    from adapter.packaging.mhd import build_iti65
    from tests.builders.instance import SENDER

    content = send(build_entry_letter())
    (translation,) = READERS[ContentKind.FHIR](Arrival(content, "x", Principal("x", "token", APHP_EJ), NOON), "r")
    from adapter.offline import _unsent

    made = build_iti65(
        _unsent(translation), translation.submission, translation.bundle, translation.source_document,
        translation.source_media_type, SENDER, NOON,
    )  # fmt: skip
    transaction = json.loads(made.transaction)
    (binary,) = [e["resource"] for e in transaction["entry"] if e["resource"]["resourceType"] == "Binary"]
    import base64

    assert (binary["contentType"], base64.b64decode(binary["data"])) == ("application/fhir+json", content)


@pytest.mark.parametrize("build", [build_entry_letter, build_discharge_letter])
def test_the_page_of_a_partner_s_document_is_pdf_a(build: Any) -> None:
    (translation,) = READERS[ContentKind.FHIR](Arrival(send(build()), "x", Principal("x", "token", APHP_EJ), NOON), "r")
    made = Document(translation.submission, translation.bundle, translation.source_document, translation.source_media_type)
    with pikepdf.open(io.BytesIO(readable_pdf(made, ""))) as pdf:
        assert [str(intent.S) for intent in pdf.Root.OutputIntents] == ["/GTS_PDFA1"]
        with pdf.open_metadata() as meta:
            assert (meta["pdfaid:part"], meta["pdfaid:conformance"]) == ("1", "B")
        assert not pdf.is_encrypted and "/AA" not in pdf.Root
