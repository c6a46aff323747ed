"""Envelope, header and delivery of an invented document, ready to be mailed: what packaging and channel tests share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.document import BodyKind, Code, DocumentHeader, ServiceEvent, Stay
from adapter.model.identity import Ins, LocalIdentifier, PatientIdentity, Reliability, ins_key
from adapter.model.parties import Organisation, Party, Professional
from adapter.model.plan import ChannelName
from adapter.model.submission import Submission
from adapter.packaging.parcel import SenderProfile

SENT_AT = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
MATRICULE = f"2740994043217{ins_key('2740994043217'):02d}"

HOSPITAL = Organisation(
    "Hôpital d'essai du Kremlin", "940999901", setting_code="ETABLISSEMENT", setting_label="Etablissement de santé"
)
AUTHOR = Party(
    Professional(
        "DUTEST",
        "Alix",
        "10009990001",
        specialty_code="G15_10/SM27",
        specialty_system="1.2.250.1.213.1.1.4.5",
        specialty_label="Médecin - Médecine interne (SM)",
    ),
    HOSPITAL,
    function_label="Médecin responsable",
)
PATIENT = PatientIdentity(
    birth_name="EXEMPLE-BERTHIER",
    first_given="CAMILLE",
    birth_given_names="CAMILLE JEANNE",
    used_name="EXEMPLE-MOREL",
    used_given="CAMILLE",
    birth_date="1974-09-18",
    sex="F",
    birth_place_insee="94043",
    ins=Ins(MATRICULE, "1.2.250.1.213.1.4.10"),
    local_ids=(LocalIdentifier("26900456", "1.2.250.1.999.94.2", "VN"), LocalIdentifier("900000123", "1.2.250.1.999.94.1")),
    reliability=Reliability.QUALIFIED,
)
HEADER = DocumentHeader(
    unique_id="1.2.250.1.213.1.1.9.500.1",
    type=Code("34112-3", "2.16.840.1.113883.6.1", "CR hospitalier (séjour)"),
    title="Compte rendu d'hospitalisation",
    created="2026-11-20T10:15:00+01:00",
    patient=PATIENT,
    authors=(AUTHOR,),
    custodian=HOSPITAL,
    body=BodyKind.PDF_IN_CDA,
    set_id="1.2.250.1.213.1.1.9.500",
    legal_authenticator=AUTHOR,
    service_events=(
        ServiceEvent(
            Code("IMP", "2.16.840.1.113883.5.4", "Hospitalisation"),
            "2026-11-16T09:00:00+01:00",
            "2026-11-20T14:30:00+01:00",
            Party(organisation=HOSPITAL),
        ),
    ),
    stay=Stay(
        "IMP",
        start="2026-11-16T09:00:00+01:00",
        facility_type=Code("SA01", "1.2.250.1.71.4.2.4", "Etablissement public de santé"),
    ),
    template_ids=("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1", "1.3.6.1.4.1.19376.1.2.20"),
)
SUBMISSION = Submission(
    "5b6f0a58-6a1b-5c3e-9a35-0c6f7f1d2a01", "receipt-1", "940999900", HEADER, encounter_class="I", sender=AUTHOR
)
SENDER = SenderProfile(
    legal_entity="940999900",
    name="Groupement d'essai",
    finess="940999900",
    mailbox="labo.app@test.mssante.fr",
    mail_label="Groupement d'essai",
    source_oid="1.2.250.1.999.94.9",
    product_reference="NIL-TDU-1",
    phone="0100000000",
)
DOCTOR = "sacha.modele@test.mssante.fr"


def delivery(**changes: object) -> Delivery:
    """A delivery on the wire, its reference already stored."""
    plain = Delivery(
        id="0f4a3b1c-52de-4d0e-8f5e-7f9f2f1c9b77",
        submission_id=SUBMISSION.id,
        legal_entity="940999900",
        document_id=HEADER.unique_id,
        version=1,
        intent="new",
        role_id="role:modele-cms",
        channel=ChannelName.SECURE_MAIL,
        leg=1,
        state=DeliveryState.ON_WIRE,
        reference="<0f4a3b1c@test.mssante.fr>",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]
