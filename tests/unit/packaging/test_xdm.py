"""The mail of a delivery: what the envelope, header and wishes become in the archive and around it."""

from __future__ import annotations

import email
import email.policy
import hashlib
import io
import uuid
import zipfile
from dataclasses import replace
from email.message import EmailMessage

import pytest
from lxml import etree

from adapter.errors import RenditionError
from adapter.model.delivery import Delivery
from adapter.model.document import BodyKind, Code, DocumentHeader, ServiceEvent
from adapter.model.identity import PatientIdentity, Reliability
from adapter.model.parties import Device, Organisation, Party, Professional
from adapter.model.submission import AcksWanted, Destinations, Intent, MailBodies, Submission, Urgency, Visibility
from adapter.packaging.cda import wrap_as_n1
from adapter.packaging.code_tables import activity_of, class_of, format_of, load_codes, type_scheme
from adapter.packaging.mail import Enclosed, build_mail
from adapter.packaging.parcel import MailContent, SenderProfile
from adapter.packaging.xdm import Entered, build_xdm_zip
from tests.builders.cda import build_n1, tiny_pdf
from tests.builders.secure_mail import AUTHOR, DOCTOR, HEADER, PATIENT, SENDER, SENT_AT, SUBMISSION, delivery

CDA = build_n1()
PDF = tiny_pdf("essai")
NS = {"r": "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"}


def mail_of(
    submission: Submission = SUBMISSION, sender: SenderProfile = SENDER, the_delivery: Delivery | None = None
) -> tuple[MailContent, EmailMessage]:
    content = build_mail([Enclosed(the_delivery or delivery(), submission, CDA, PDF)], sender, DOCTOR, SENT_AT)
    parsed = email.message_from_bytes(content.message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return content, parsed


def with_header(**changes: object) -> Submission:
    header: DocumentHeader = replace(HEADER, **changes)  # type: ignore[arg-type]
    return replace(SUBMISSION, document=header)


def body_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text


def metadata(submission: Submission, the_delivery: Delivery | None = None) -> etree._Element:
    archive = build_xdm_zip([Entered(the_delivery or delivery(), submission, CDA)], SENDER, SENT_AT)
    return etree.fromstring(zipfile.ZipFile(io.BytesIO(archive)).read("IHE_XDM/SUBSET01/METADATA.XML"))


def values(tree: etree._Element, slot: str) -> list[str]:
    return tree.xpath(".//r:Slot[@name=$n]//r:Value/text()", namespaces=NS, n=slot)


def codes(tree: etree._Element, scheme: str) -> list[str]:
    return tree.xpath(".//r:Classification[@classificationScheme=$s]/@nodeRepresentation", namespaces=NS, s=f"urn:uuid:{scheme}")


CLASS, FORMAT = "41a5887f-8865-4c09-adf7-e362475b143a", "a09d5840-386c-46f2-b5ad-9c3699a4309d"
CONFIDENTIALITY, EVENT = "f4f85eac-e6cb-4883-b524-f2705394840f", "2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
FACILITY, PRACTICE = "f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1", "cccf5598-8b07-4b77-a05e-ae952c785ead"
CONTENT_TYPE = "aa543740-bdda-424e-8c96-df4873be8500"


def test_the_mail_carries_the_archive_and_the_pdf_unchanged() -> None:
    content, message = mail_of()
    archive, pdf = message.iter_attachments()
    assert archive.get_filename() == "IHE_XDM.zip"
    assert pdf.get_filename() == "20261116_CR hospitalier (séjour)_EXEMPLE-BERTHIER_CAMILLE.pdf"
    assert pdf.get_content() == PDF
    stored = zipfile.ZipFile(io.BytesIO(archive.get_content())).read("IHE_XDM/SUBSET01/DOC00001.XML")
    assert stored == CDA
    assert values(metadata(SUBMISSION), "hash") == [hashlib.sha1(CDA).hexdigest()]
    assert (content.envelope_from, content.envelope_to) == (SENDER.mailbox, DOCTOR)
    assert content.envelope_id == delivery().id
    assert content.wants_dsn


def test_a_resend_is_byte_identical() -> None:
    assert mail_of()[0].message == mail_of()[0].message


def test_two_deliveries_of_a_document_are_two_submission_sets() -> None:
    def number(the_delivery: Delivery) -> str:
        found: list[str] = metadata(SUBMISSION, the_delivery).xpath(
            ".//r:ExternalIdentifier[.//@value='XDSSubmissionSet.uniqueId']/@value", namespaces=NS
        )
        return found[0]

    assert number(delivery()).startswith("2.25.")
    assert number(delivery()) != number(delivery(id="another"))
    assert number(delivery()) == number(delivery(attempts=3, fence=9))


def test_the_headers_follow_the_norm() -> None:
    _, message = mail_of()
    assert message["Subject"] == "XDM/1.0/DDM+CR hospitalier (séjour) EXEMPLE-BERTHIER CAMILLE 18/09/1974"
    assert message["Message-ID"] == "<0f4a3b1c@test.mssante.fr>"
    assert message["X-MSS-CODECDA"] == "34112-3"
    assert message["X-MSS-INS"] == "O"
    assert message["X-MSS-NIL"] == "NIL-TDU-1"
    assert message["Date"].datetime == SENT_AT
    assert message["Disposition-Notification-To"] is None
    assert message["Reply-To"] is None


@pytest.mark.parametrize("reliability", [Reliability.VALIDATED, Reliability.PROVISIONAL])
def test_an_unqualified_identity_is_never_announced_as_qualified(reliability: Reliability) -> None:
    _, message = mail_of(with_header(patient=replace(PATIENT, reliability=reliability)))
    assert message["X-MSS-INS"] == "N"


def test_a_reading_receipt_is_asked_for_only_on_demand_and_at_the_envelope_sender() -> None:
    content, message = mail_of(replace(SUBMISSION, acks=AcksWanted(reading=True)))
    assert message["Disposition-Notification-To"] == content.envelope_from


def test_replies_go_where_the_sender_said_else_where_the_entity_says() -> None:
    entity = replace(SENDER, reply_to="secretariat@test.mssante.fr")
    assert mail_of(sender=entity)[1]["Reply-To"] == "secretariat@test.mssante.fr"
    asked = replace(SUBMISSION, reply_to_address="dr@test.mssante.fr")
    assert mail_of(asked, entity)[1]["Reply-To"] == "dr@test.mssante.fr"


def test_a_patient_who_may_not_reply_is_told_so_and_a_doctor_never() -> None:
    closed = replace(SUBMISSION, destinations=Destinations(patient=True, patient_may_reply=False))
    assert mail_of(closed, the_delivery=delivery(role_id="patient"))[1]["X-MSS-MES"] == "FIN"
    assert mail_of(closed)[1]["X-MSS-MES"] is None
    assert mail_of(the_delivery=delivery(role_id="patient"))[1]["X-MSS-MES"] is None


def test_each_reader_gets_the_body_written_for_them() -> None:
    told = replace(SUBMISSION, bodies=MailBodies("Cher confrère,", "Madame, Monsieur,"))
    assert body_of(mail_of(told)[1]).startswith("Cher confrère,")
    assert body_of(mail_of(told, the_delivery=delivery(role_id="patient"))[1]).startswith("Madame, Monsieur,")
    assert "Vous trouverez ci-joint" in body_of(mail_of()[1])


def test_a_test_instance_stamps_the_body_and_an_urgent_request_keeps_its_word() -> None:
    stamped = body_of(
        mail_of(replace(SUBMISSION, urgency=Urgency.SEMI_URGENT), replace(SENDER, stamp="TEST – NE PAS UTILISER"))[1]
    )
    assert stamped.startswith("TEST – NE PAS UTILISER")
    assert "Urgence indiquée par le demandeur : semi-urgent." in stamped


def test_a_version_that_replaces_one_already_sent_says_so_everywhere() -> None:
    newer = delivery(version=2, replaces_sent_on="2026-11-19")
    _, message = mail_of(replace(SUBMISSION, intent=Intent.REPLACE), the_delivery=newer)
    assert message["Subject"].startswith("[Annule et remplace] XDM/1.0/DDM+")
    assert "annule et remplace celui transmis le 19/11/2026" in body_of(message)
    assert values(metadata(SUBMISSION, newer), "urn:action:extraMetadataSlot") == ["C"]


@pytest.mark.parametrize(("intent", "action"), [(Intent.NEW, []), (Intent.REPLACE, ["C"]), (Intent.CANCEL, ["D"])])
def test_the_intent_is_the_action_of_the_metadata(intent: Intent, action: list[str]) -> None:
    assert values(metadata(replace(SUBMISSION, intent=intent)), "urn:action:extraMetadataSlot") == action


def test_a_cancellation_tells_the_reader() -> None:
    assert "annulé par son auteur" in body_of(mail_of(replace(SUBMISSION, intent=Intent.CANCEL))[1])


def test_masking_wishes_become_confidentiality_codes_beside_the_level() -> None:
    hidden = Visibility(hidden_from_professionals=True, hidden_from_patient=True, hidden_from_representatives=True)
    tree = metadata(replace(with_header(confidentiality="R", confidentiality_label=""), visibility=hidden))
    assert codes(tree, CONFIDENTIALITY) == ["R", "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"]
    assert codes(metadata(SUBMISSION), CONFIDENTIALITY) == ["N"]


@pytest.mark.parametrize(
    ("encounter", "stay", "written"),
    [
        ("I", "AMB", "03"),
        ("O", "IMP", "07"),
        ("E", "", "07"),
        ("R", "", "19"),
        ("N", "", "97"),
        ("", "IMP", "03"),
        ("", "AMB", "07"),
        ("", "", "97"),
    ],
)
def test_the_kind_of_activity_comes_from_the_visit_else_from_the_encounter(encounter: str, stay: str, written: str) -> None:
    assert HEADER.stay is not None
    submission = replace(with_header(stay=replace(HEADER.stay, class_code=stay)), encounter_class=encounter)
    assert codes(metadata(submission), CONTENT_TYPE) == [written]


def test_without_any_encounter_an_ambulatory_setting_is_a_consultation() -> None:
    town = Organisation("CMS d'essai", "940999902", setting_code="AMBULATOIRE")
    told = replace(with_header(stay=None, service_events=(), custodian=town), encounter_class="")
    assert codes(metadata(told), CONTENT_TYPE) == ["07"]


@pytest.mark.parametrize(
    ("body", "templates", "written"),
    [
        (BodyKind.PDF_IN_CDA, HEADER.template_ids, "urn:ihe:iti:xds-sd:pdf:2008"),
        (BodyKind.FORM, (), "urn:ihe:iti:xds-sd:pdf:2008"),
        (BodyKind.STRUCTURED_CDA, ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.29"), "urn:asip:ci-sis:ldl-ses:2017"),
        (BodyKind.STRUCTURED_CDA, ("1.2.250.1.213.1.1.1.29^2022.01",), "urn:asip:ci-sis:ldl-ses:2017"),
        (BodyKind.STRUCTURED_CDA, ("1.2.250.1.213.1.1.1.45",), "urn:ihe:rad:CDA:ImagingReportStructuredHeadings:2013"),
        (BodyKind.STRUCTURED_CDA, ("1.2.250.1.213.1.1.1.1",), "urn:asipSante:modelesHorsProfils:2011"),
    ],
)
def test_the_format_follows_the_body_and_its_model(body: BodyKind, templates: tuple[str, ...], written: str) -> None:
    assert codes(metadata(with_header(body=body, template_ids=templates)), FORMAT) == [written]


@pytest.mark.parametrize(
    ("type_code", "class_code"),
    [
        ("34112-3", "10"),
        ("11490-0", "10"),
        ("18761-7", "11"),
        ("18748-4", "31"),
        ("55115-0", "42"),
        ("18776-5", "44"),
        ("0-0", "10"),
    ],
)
def test_the_class_follows_the_type(type_code: str, class_code: str) -> None:
    assert codes(metadata(with_header(type=Code(type_code, "2.16.840.1.113883.6.1", "x"))), CLASS) == [class_code]


@pytest.mark.parametrize(
    ("code", "scheme"),
    [
        (Code("34112-3", "http://loinc.org"), "2.16.840.1.113883.6.1"),
        (Code("SYNTH", "urn:oid:1.2.250.1.213.1.1.4.12"), "1.2.250.1.213.1.1.4.12"),
        (Code("PRESC-BIO", "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire"), "1.2.250.1.213.1.1.4.12"),
    ],
)
def test_the_type_is_written_under_an_oid_however_its_holder_names_the_system(code: Code, scheme: str) -> None:
    assert type_scheme(code) == scheme


def test_places_have_a_type_and_a_setting_even_where_the_source_is_silent() -> None:
    assert HEADER.stay is not None
    tree = metadata(SUBMISSION)
    assert (codes(tree, FACILITY), codes(tree, PRACTICE)) == (["SA01"], ["ETABLISSEMENT"])
    silent = with_header(stay=None, service_events=(), custodian=Organisation("CMS d'essai", "940999902"), body=BodyKind.FORM)
    tree = metadata(silent)
    assert (codes(tree, FACILITY), codes(tree, PRACTICE)) == (["SA05"], ["AMBULATOIRE"])


def test_acts_under_a_uri_that_has_no_oid_stay_in_the_document() -> None:
    events = (
        ServiceEvent(Code("IMP", "2.16.840.1.113883.5.4", "Hospitalisation"), "2026-11-16"),
        ServiceEvent(Code("X", "https://exemple.fr/systeme", "Acte")),
        ServiceEvent(Code("24627-2", "http://loinc.org", "TDM thorax")),
    )
    assert codes(metadata(with_header(service_events=events)), EVENT) == ["IMP", "24627-2"]


def test_the_patient_is_known_by_ins_then_by_the_permanent_number_then_by_traits_alone() -> None:
    def number(submission: Submission) -> list[str]:
        found: list[str] = metadata(submission).xpath(
            ".//r:ExternalIdentifier[.//@value='XDSDocumentEntry.patientId']/@value", namespaces=NS
        )
        return found

    assert number(SUBMISSION)[0].endswith("&1.2.250.1.213.1.4.10&ISO^NH")
    assert values(metadata(SUBMISSION), "sourcePatientId") == ["900000123^^^&1.2.250.1.999.94.1&ISO^PI"]
    without_ins = with_header(patient=replace(PATIENT, ins=None))
    assert number(without_ins) == ["900000123^^^&1.2.250.1.999.94.1&ISO^PI"]
    assert number(with_header(patient=replace(PATIENT, ins=None, local_ids=()))) == []


def test_an_ins_that_nobody_qualified_appears_nowhere_around_the_document() -> None:
    assert PATIENT.ins is not None
    tree = metadata(with_header(patient=replace(PATIENT, reliability=Reliability.PROVISIONAL)))
    assert PATIENT.ins.value not in etree.tostring(tree, encoding="unicode")
    assert len(tree.xpath(".//r:ExternalIdentifier[starts-with(@value, '900000123^^^')]", namespaces=NS)) == 2


@pytest.mark.parametrize(
    "patient",
    [
        PATIENT,
        replace(PATIENT, reliability=Reliability.PROVISIONAL),
        replace(PATIENT, ins=None),
        replace(PATIENT, ins=None, local_ids=()),
    ],
)
def test_a_wrapped_form_bears_the_same_patient_number_inside_and_around(patient: PatientIdentity) -> None:
    form = replace(with_header(patient=patient, body=BodyKind.FORM), content_kind="form")
    cda = etree.fromstring(wrap_as_n1(form, PDF))
    root, extension = (
        cda.xpath(f"string(//*[local-name()='patientRole']/*[local-name()='id'][1]/@{a})") for a in ("root", "extension")
    )
    oid = f"2.25.{uuid.UUID(root).int}" if "-" in root else root
    declared = metadata(form).xpath(
        "string(.//r:ExternalIdentifier[.//@value='XDSDocumentEntry.patientId']/@value)", namespaces=NS
    )
    assert declared.startswith(f"{extension}^^^&{oid}&ISO^")


def test_people_are_numbered_as_the_directory_does() -> None:
    tree = metadata(SUBMISSION)
    assert set(values(tree, "authorPerson")) == {"810009990001^DUTEST^Alix^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS"}
    assert set(values(tree, "authorInstitution")) == {"Hôpital d'essai du Kremlin^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1940999901"}
    assert set(values(tree, "authorSpecialty")) == {"G15_10/SM27^Médecin - Médecine interne (SM)^1.2.250.1.213.1.1.4.5"}
    assert set(values(tree, "authorRole")) == {"Médecin responsable"}


def test_a_machine_and_an_unnumbered_prescriber_can_be_authors() -> None:
    authors = (
        Party(device=Device("1.2.250.1.999.5^AUTO-7", "Labo 3", "M9"), organisation=Organisation(national_id="318751275100020")),
        Party(professional=Professional("SANSNUMERO", "Lou")),
    )
    tree = metadata(replace(with_header(authors=authors, legal_authenticator=None), sender=None))
    assert values(tree, "authorPerson") == ["AUTO-7^Labo 3^M9^^^^^^&1.2.250.1.999.5&ISO^U^^^RI", "^SANSNUMERO^Lou"]
    assert values(tree, "authorInstitution") == [
        "Groupement d'essai^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1940999900",
        "^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^318751275100020",
    ]
    assert values(tree, "legalAuthenticator") == ["AUTO-7^Labo 3^M9^^^^^^&1.2.250.1.999.5&ISO^U^^^RI"]


def test_a_sender_without_structure_speaks_for_the_legal_entity() -> None:
    tree = metadata(replace(SUBMISSION, sender=replace(AUTHOR, organisation=None)))
    package = tree.find(".//r:RegistryPackage", NS)
    assert values(package, "authorInstitution") == ["Groupement d'essai^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1940999900"]


@pytest.mark.parametrize(
    ("created", "written"),
    [
        ("2026-11-20T00:15:00+01:00", "20261119231500"),
        ("2026-07-01T00:15:00", "20260630221500"),
        ("2026-11-20T10:15", "20261120091500"),
        ("2026-11-20", "20261120"),
    ],
)
def test_a_time_without_zone_is_french_civil_time(created: str, written: str) -> None:
    assert values(metadata(with_header(created=created)), "creationTime") == [written]


@pytest.mark.parametrize(
    ("submission", "place"),
    [
        (with_header(authors=()), "DocumentEntry.author"),
        (with_header(created="avant-hier"), "DocumentEntry.creationTime"),
        (with_header(patient=replace(PATIENT, birth_name="")), "DocumentEntry.sourcePatientInfo"),
    ],
)
def test_a_header_that_cannot_be_described_parks_the_leg_with_its_place_and_no_content(
    submission: Submission, place: str
) -> None:
    with pytest.raises(RenditionError) as raised:
        mail_of(submission)
    assert raised.value.where == place
    assert "BERTHIER" not in str(raised.value)


def test_a_wrong_sender_profile_is_told_by_its_header() -> None:
    with pytest.raises(RenditionError) as raised:
        mail_of(sender=replace(SENDER, product_reference=""))
    assert raised.value.where == "X-MSS-NIL"


def test_subject_and_file_names_never_name_a_unit() -> None:
    unit = Organisation("Centre d'addictologie", "940999901", unit="ADDICTO")
    content, message = mail_of(with_header(custodian=unit, title="Sevrage", authors=(replace(AUTHOR, organisation=unit),)))
    names = [str(part.get_filename()) for part in message.iter_attachments()]
    assert "ddicto" not in message["Subject"] + "".join(names)
    assert "Sevrage" not in message["Subject"] + "".join(names)
    assert "BERTHIER" not in repr(content)


@pytest.mark.parametrize(
    "table", ["document-classes", "document-formats", "content-types", "facility-types", "practice-settings"]
)
def test_every_row_of_a_table_has_code_target_and_label(table: str) -> None:
    rows = load_codes(table)
    assert rows
    assert all(code and row.code and row.label for code, row in rows.items())


def test_unlisted_codes_fall_back_to_what_the_norm_foresees() -> None:
    assert class_of("99999-9").code == "10"
    assert format_of(()).code == "urn:asipSante:modelesHorsProfils:2011"
    assert activity_of("?", "").code == "97"


def test_a_recipient_who_wants_the_pdf_alone_gets_no_archive_and_none_of_its_marks() -> None:
    content = build_mail([Enclosed(delivery(), SUBMISSION, b"", tiny_pdf())], SENDER, DOCTOR, SENT_AT)
    message = email.message_from_bytes(content.message, policy=email.policy.default)
    assert [part.get_content_type() for part in message.iter_attachments()] == ["application/pdf"]  # type: ignore[attr-defined]
    assert message["Subject"] == "CR hospitalier (séjour) EXEMPLE-BERTHIER CAMILLE 18/09/1974"
    assert (message["X-MSS-CODECDA"], message["X-MSS-INS"]) == (None, None)
    assert message["X-MSS-NIL"] == SENDER.product_reference
    assert "IHE_XDM.zip" not in content.message.decode()
