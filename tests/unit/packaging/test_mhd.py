"""The ITI-65 transaction: PDSm rules, true sizes and hashes, one copy whatever is resent."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from adapter.channels.record_changes import differing, patch_transaction, wanted_of
from adapter.errors import RenditionError
from adapter.mapping.from_cda import understand_cda
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.identity import Reliability
from adapter.model.parties import Device, Organisation, Party
from adapter.model.plan import ChannelName
from adapter.model.receipt import Arrival, Principal
from adapter.model.submission import Intent, Submission, Visibility
from adapter.packaging.code_tables import PDF_FORMAT
from adapter.packaging.mhd import Rendition, build_iti65, master_identifier
from adapter.packaging.mhd_change import BY_TRANSACTION, build_change
from adapter.packaging.mhd_values import ANY_FORMAT, all_identifiers
from adapter.packaging.parcel import RecordContent, SenderProfile
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.directory import APHP_EJ, letter_header, qualified_patient, submission

SENT = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
SENDER = SenderProfile(
    APHP_EJ, "AP-HP", APHP_EJ, "traitdunion@aphp.formation.mssante.fr", "AP-HP", "1.2.250.1.999.1", "TDU-0.1"
)  # fmt: skip
SOURCE = b"<ClinicalDocument/>"
DELIVERY = Delivery(
    id="0d6cbb7e-6a1a-5d1a-8a3e-000000000003",
    submission_id="s",
    legal_entity=APHP_EJ,
    document_id="1.2.250.1.999.94.7.501",
    version=1,
    intent="new",
    role_id="record:terr-esante",
    channel=ChannelName.SHARED_RECORD,
    leg=1,
    state=DeliveryState.CLAIMED,
    reference="0d6cbb7e-6a1a-5d1a-8a3e-000000000003",
)
DOCUMENT_BUNDLE: dict[str, Any] = {"resourceType": "Bundle", "type": "document", "entry": []}


def built(sent: Submission | None = None, source: bytes = SOURCE, media_type: str = "text/xml") -> RecordContent:
    return build_iti65(DELIVERY, sent or submission(), DOCUMENT_BUNDLE, source, media_type, SENDER, SENT)


def transaction(**header: Any) -> dict[str, Any]:
    return json.loads(built(submission(header=letter_header(**header))).transaction)


def resource(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


def case_named(name: str) -> Submission:
    """Headers that stress the profile: many shapes of author, date, identifier and body."""
    place = Organisation("Centre d'essai", "940000003", setting_code="AMBULATOIRE", setting_label="Ambulatoire")
    device = Party(device=Device("1.2.250.1.999.5^RIS", "RIS d'essai", "3.1"), organisation=place)
    shapes: dict[str, DocumentHeader] = {
        "letter": letter_header(),
        "written-by-software": letter_header(authors=(device,), legal_authenticator=None),
        "structure-only": letter_header(authors=(Party(organisation=place),)),
        "no-author": letter_header(authors=(), legal_authenticator=None),
        "day-only": letter_header(created="2026-11-20", service_events=(), stay=None),
        "no-zone": letter_header(created="2026-11-20T10:30", service_events=(), stay=None),
        "uuid": letter_header(unique_id="8f6d2a52-4e0b-4c1a-9f51-6a1f0c9d1e00"),
        "odd-extension": letter_header(unique_id="1.2.250.1.999.94.7^CR/2026-17"),
        "replacement": letter_header(replaces="1.2.250.1.999.94.7.500", version=2),
        "restricted": letter_header(confidentiality="R"),
        "structured": letter_header(body=BodyKind.STRUCTURED_CDA, template_ids=("1.2.250.1.213.1.1.1.29",)),
        "french-type": letter_header(type=Code("SYNTH", "1.2.250.1.213.1.1.4.12", "Synthèse")),
        "form": letter_header(body=BodyKind.FORM, type=Code("55115-0", "http://loinc.org", "Demande d'imagerie")),
    }
    return submission(header=shapes[name], visibility=Visibility(True, True, True))


CASES = (
    "letter", "written-by-software", "structure-only", "no-author", "day-only", "no-zone", "uuid", "odd-extension",
    "replacement", "restricted", "structured", "french-type", "form",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_shape_is_valid_for_the_r4b_models(name: str) -> None:
    assert Bundle.model_validate_json(built(case_named(name)).transaction).type == "transaction"


def from_cda(source: bytes) -> bytes:
    """The transaction of a whole CDA, read as the product reads it."""
    arrival = Arrival(source, "folder", Principal("depot", "folder", APHP_EJ), SENT)
    (read,) = understand_cda(arrival, "receipt-1")
    made = build_iti65(DELIVERY, read.submission, read.bundle, read.source_document, read.source_media_type, SENDER, SENT)
    return made.transaction


FORMS = (
    Rendition("pdf", b"%PDF-1.7", "application/pdf", ANY_FORMAT),
    Rendition("cda", SOURCE, "text/xml", PDF_FORMAT),
    Rendition("fhir", b"{}", "application/fhir+json", ANY_FORMAT),
)


def in_forms(sent: Submission) -> RecordContent:
    return build_iti65(DELIVERY, sent, DOCUMENT_BUNDLE, SOURCE, "text/xml", SENDER, SENT, FORMS)


def changed(intent: Intent, way: str = BY_TRANSACTION) -> bytes:
    """The transaction of a change, against what a record holds: its own answer to the first feeding."""
    change = build_change(DELIVERY, submission(intent=intent, visibility=Visibility(hidden_from_patient=True)), way, SENDER, SENT)
    fed = json.loads(built().transaction)
    held = resource(fed, "DocumentReference") | {"id": "7", "meta": {"versionId": "1"}, "subject": {"reference": "Patient/3"}}
    return patch_transaction(change, [(held, differing(held, wanted_of(change)))], held["subject"])


def test_each_form_is_a_document_of_its_own_that_transforms_the_first() -> None:
    bundle = json.loads(in_forms(submission()).transaction)
    documents = [e for e in bundle["entry"] if e["resource"]["resourceType"] == "DocumentReference"]
    masters = [e["resource"]["masterIdentifier"]["value"] for e in documents]
    assert masters[0] == master_identifier(DELIVERY.document_id)
    assert len(set(masters)) == 3
    assert set(masters) <= set(all_identifiers(DELIVERY.document_id))
    assert [e["request"]["ifNoneExist"] for e in documents] == [f"identifier=urn:ietf:rfc:3986|{one}" for one in masters]
    assert "relatesTo" not in documents[0]["resource"]
    for one in documents[1:]:
        assert one["resource"]["relatesTo"] == [{"code": "transforms", "target": {"reference": documents[0]["fullUrl"]}}]
    listed = [item["item"]["reference"] for item in resource(bundle, "List")["entry"]]
    assert listed == [e["fullUrl"] for e in documents]


def test_a_replacement_in_several_forms_has_exactly_one_relation_each() -> None:
    bundle = json.loads(in_forms(case_named("replacement")).transaction)
    documents = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "DocumentReference"]
    assert [[one["code"] for one in document["relatesTo"]] for document in documents] == [["replaces"]] * 3
    replaced = [document["relatesTo"][0]["target"]["identifier"]["value"] for document in documents]
    assert replaced == [all_identifiers("1.2.250.1.999.94.7.500")[n] for n in (0, 1, 2)]


def test_each_form_has_its_own_bytes_size_and_format() -> None:
    bundle = json.loads(in_forms(submission()).transaction)
    documents = [e["resource"]["content"][0] for e in bundle["entry"] if e["resource"]["resourceType"] == "DocumentReference"]
    binaries = {e["fullUrl"]: e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Binary"}
    for form, content in zip(FORMS, documents, strict=True):
        held = base64.b64decode(binaries[content["attachment"]["url"]]["data"])
        assert (held, content["attachment"]["size"]) == (form.content, len(form.content))
        assert (content["attachment"]["contentType"], content["format"]["code"]) == (form.media_type, form.format.code)


def test_a_status_alone_is_what_mhd_writes_and_a_masking_is_a_json_patch() -> None:
    cancel, metadata = (json.loads(changed(intent)) for intent in (Intent.CANCEL, Intent.METADATA))
    (parameters,) = [e["resource"] for e in cancel["entry"] if e["request"]["method"] == "PATCH"]
    assert parameters["meta"]["profile"][0].endswith("IHE.MHD.Patch.Parameters")
    (binary,) = [e["resource"] for e in metadata["entry"] if e["request"]["method"] == "PATCH"]
    (operation,) = json.loads(base64.b64decode(binary["data"]))
    assert (operation["path"], len(operation["value"])) == ("/securityLabel", 2)


def test_a_record_that_takes_no_change_gets_none() -> None:
    for intent, code in ((Intent.CANCEL, "mhd.cancel-unsupported"), (Intent.METADATA, "mhd.change-unsupported")):
        with pytest.raises(RenditionError) as raised:
            build_change(DELIVERY, submission(intent=intent), "", SENDER, SENT)
        assert raised.value.code == code


def test_a_cda_is_deposited_byte_for_byte() -> None:
    for source in (build_n1(), build_ldl_ses()):
        bundle = json.loads(from_cda(source))
        assert base64.b64decode(resource(bundle, "Binary")["data"]) == source


@pytest.mark.conformance
def test_every_shape_passes_the_independent_checker(shared_dir: Path, tmp_path: Path) -> None:
    shapes = {name: built(case_named(name)).transaction for name in CASES}
    replacement = build_ldl_ses(version=2, replaces="1.2.250.1.213.1.1.9.501.1")
    shapes |= {"cda-n1": from_cda(build_n1()), "ldl-ses": from_cda(replacement)}
    shapes |= {f"forms-{name}": in_forms(case_named(name)).transaction for name in ("letter", "replacement", "form")}
    shapes |= {"cancel": changed(Intent.CANCEL), "metadata": changed(Intent.METADATA)}
    for name, content in shapes.items():
        (tmp_path / f"{name}.json").write_bytes(content)
    checker = [sys.executable, str(shared_dir / "tools" / "fhir_check.py"), "--require-fhirpath", "--fr", str(tmp_path)]
    done = subprocess.run(checker, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(shapes)} passed, 0 failed" in done.stdout


def test_the_same_delivery_gives_the_same_bytes() -> None:
    assert built().transaction == built().transaction


def test_size_and_hash_are_those_of_the_bytes_deposited() -> None:
    bundle = json.loads(built(source=b"\x00\xffsource").transaction)
    attachment = resource(bundle, "DocumentReference")["content"][0]["attachment"]
    deposited = base64.b64decode(resource(bundle, "Binary")["data"])
    assert deposited == b"\x00\xffsource"
    assert attachment["size"] == len(deposited)
    assert base64.b64decode(attachment["hash"]) == hashlib.sha1(deposited).digest()
    assert attachment["contentType"] == "text/xml"


def test_the_attachment_points_to_the_binary_of_the_transaction() -> None:
    bundle = transaction()
    url = resource(bundle, "DocumentReference")["content"][0]["attachment"]["url"]
    assert [e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Binary"] == [url]


def test_the_submission_set_lists_the_document_and_names_its_source() -> None:
    bundle = transaction()
    lot = resource(bundle, "List")
    assert lot["entry"][0]["item"]["reference"] == bundle["entry"][1]["fullUrl"]
    assert lot["identifier"][0]["value"].startswith("urn:oid:2.25.")
    assert lot["extension"][1]["valueIdentifier"]["value"] == "urn:oid:1.2.250.1.999.1"
    assert lot["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "03"


def test_every_create_is_conditional_and_the_binary_is_put_so_that_nothing_doubles() -> None:
    requests = {e["resource"]["resourceType"]: e["request"] for e in transaction()["entry"]}
    assert requests["DocumentReference"]["ifNoneExist"] == "identifier=urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.94.7.501"
    assert requests["Patient"]["ifNoneExist"].startswith("identifier=urn:oid:1.2.250.1.213.1.4.10|")
    assert requests["List"]["ifNoneExist"].startswith("_tag=")
    assert requests["Binary"]["method"] == "PUT"


def test_visibility_wishes_are_security_labels_beside_confidentiality() -> None:
    bundle = json.loads(built(case_named("restricted")).transaction)
    codes = [label["coding"][0]["code"] for label in resource(bundle, "DocumentReference")["securityLabel"]]
    assert codes == ["R", "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"]


def test_a_replacement_names_the_original_by_its_identifier() -> None:
    related = resource(transaction(replaces="1.2.250.1.999.94.7.500"), "DocumentReference")["relatesTo"]
    assert related[0]["code"] == "replaces"
    assert related[0]["target"]["identifier"]["value"] == "urn:oid:1.2.250.1.999.94.7.500"


def test_a_forms_fhir_document_is_deposited_rather_than_its_private_answers() -> None:
    bundle = json.loads(built(case_named("form"), source=b'{"nom":"x"}', media_type="application/json").transaction)
    assert resource(bundle, "Binary")["contentType"] == "application/fhir+json"
    assert json.loads(base64.b64decode(resource(bundle, "Binary")["data"])) == DOCUMENT_BUNDLE


@pytest.mark.parametrize(
    ("unique_id", "expected"),
    [
        ("1.2.3", "urn:oid:1.2.3"),
        ("1.2.3^45", "urn:oid:1.2.3.45"),
        ("8F6D2A52-4E0B-4C1A-9F51-6A1F0C9D1E00", "urn:uuid:8f6d2a52-4e0b-4c1a-9f51-6a1f0c9d1e00"),
    ],
)
def test_a_document_id_becomes_the_uri_that_the_norm_wants(unique_id: str, expected: str) -> None:
    assert master_identifier(unique_id) == expected


def test_two_extensions_that_are_no_numbers_never_share_an_identifier() -> None:
    assert master_identifier("1.2.3^A") != master_identifier("1.2.3^B")
    assert master_identifier("1.2.3^A") == master_identifier("1.2.3^A")
    assert master_identifier("1.2.3^007") != master_identifier("1.2.3^7")


def test_a_provisional_identity_never_feeds_a_record() -> None:
    patient = qualified_patient(reliability=Reliability.PROVISIONAL)
    with pytest.raises(RenditionError, match="qualified INS") as raised:
        built(submission(header=letter_header(patient=patient)))
    assert "EXEMPLE" not in str(raised.value)


def test_a_cancellation_is_not_sent_as_a_new_document() -> None:
    with pytest.raises(RenditionError, match="cancellation"):
        built(submission(intent=Intent.CANCEL))
