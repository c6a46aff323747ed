"""Canonical URLs, identifier systems and code systems that our resources name: one place, so a new release is one edit.

Sources: FR Core 2.2.0 (final-text, 2026-03-25), FR Document Core 0.1.0 (draft), HL7 UV clinical-document 1.1.0,
HL7 cross-version extensions R5 → R4.
"""

from __future__ import annotations

from adapter.model.identity import INS_DEMO, INS_NIA, INS_NIR, INS_TEST

_FRC = "https://hl7.fr/ig/fhir/core/StructureDefinition/"
_DOC = "https://interop.esante.gouv.fr/ig/fhir/document-core/StructureDefinition/"
_UV_DOC = "http://hl7.org/fhir/uv/fhir-clinical-document/StructureDefinition/"
_R5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"
# Ours: for what a source says and FHIR has no element for (the way back to CDA needs it).
OURS = "https://traitdunion.example/fhir/StructureDefinition/"
OUR_CODES = "https://traitdunion.example/fhir/CodeSystem/"

# Profiles
PATIENT = _FRC + "fr-core-patient"
PATIENT_INS = _FRC + "fr-core-patient-ins"
PRACTITIONER = _FRC + "fr-core-practitioner"
PRACTITIONER_ROLE = _FRC + "fr-core-practitioner-role"
ORGANIZATION = _FRC + "fr-core-organization"
ENCOUNTER = _FRC + "fr-core-encounter"
LOCATION = _FRC + "fr-core-location"
BUNDLE_DOCUMENT = _DOC + "fr-bundle-document"
COMPOSITION_DOCUMENT = _DOC + "fr-composition-document"
SERVICE_REQUEST_DOCUMENT = _DOC + "fr-service-request-document"
SERVICE_REQUEST_IMAGING = _DOC + "fr-service-request-imaging-document"
BODY_WEIGHT = "http://hl7.org/fhir/StructureDefinition/bodyweight"

# Extensions
EXT_IDENTITY_RELIABILITY = _FRC + "fr-core-identity-reliability"
EXT_BIRTH_GIVEN_NAMES = _FRC + "fr-core-patient-birth-list-given-name"
EXT_INSEE_CODE = _FRC + "fr-core-address-insee-code"
EXT_CONTACT_CATEGORY = _FRC + "fr-core-patient-contact-relationship-category"
EXT_BIRTH_PLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
EXT_DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
EXT_DATA_ENTERER = _UV_DOC + "data-enterer-extension"
EXT_INFORMANT = _UV_DOC + "informant-extension"
EXT_INFORMATION_RECIPIENT = _UV_DOC + "information-recipient-extension"
EXT_PARTICIPANT = _UV_DOC + "ParticipantExtension"
EXT_CONSENT = _UV_DOC + "consent-extension"
EXT_BASED_ON = "http://hl7.org/fhir/StructureDefinition/event-basedOn"
EXT_COMPOSITION_VERSION = _R5 + "Composition.version"
EXT_REQUEST_REASON = _R5 + "ServiceRequest.reason"
EXT_ORIGINAL_LITERAL = OURS + "original-literal"  # the text of a date, unit or number as the source wrote it
EXT_TEMPLATE_ID = OURS + "cda-template-id"  # a CDA templateId, kept for the way back
EXT_AUTHOR_TIME = OURS + "author-time"  # author/time: R4 has no place for when an author took part
EXT_EVENT_PERFORMER = OURS + "event-performer"  # documentationOf/performer
EXT_QUALIFIER = OURS + "coding-qualifier"
EXT_SOURCE_CODE = OURS + "source-code"  # the coding of the source, beside a FHIR code that it was translated to
EXT_CONTACT_IDENTIFIER = OURS + "contact-identifier"  # guardian/id: a Patient.contact has none
EXT_PARENT_SET = OURS + "parent-set"  # relatedDocument/parentDocument/setId
EXT_PARENT_VERSION = OURS + "parent-version"  # relatedDocument/parentDocument/versionNumber
EXT_REALM = OURS + "cda-realm"  # realmCode: whose rules the document follows
EXT_TELECOM_USE = OURS + "telecom-use"  # HL7 v3 uses of a telecom (HP HV DIR PUB EC MC PG), more than FHIR tells apart
EXT_TELECOM_URI = "http://hl7.org/fhir/StructureDefinition/iso21090-TEL-address"  # the address as a URI: tel:, fax:, mailto:
EXT_ADDRESS_USE = OURS + "address-use"  # HL7 v3 uses of an address (HL7 allows fewer in its own extension)
EXT_PRIORITY = OURS + "act-priority"
EXT_PRACTICE_SETTING = OURS + "practice-setting"
EXT_FUNCTION = OURS + "function"  # what an author or performer was there for
EXT_EVENT_IDENTIFIER = OURS + "event-identifier"  # documentationOf/serviceEvent/id
EXT_SECTION_IDENTIFIER = OURS + "section-identifier"
EXT_ADDRESS = OURS + "address"
EXT_MOOD = OURS + "cda-mood"
EXT_PRODUCT_NAME = OURS + "product-name"
EXT_RELATION = OURS + "act-relation"  # the HL7 v3 relation that a reference stands for: typeCode, inversionInd, rank
EXT_RELATED = OURS + "related-act"  # an act inside an act, where FHIR has no element for the link
EXT_CONCERN = OURS + "concern"  # the act that follows a problem or an allergy over time
EXT_CODING_TEXT = OURS + "coding-original-text"  # the words of a translation or of a qualifier
EXT_ACT_IDENTIFIER = OURS + "act-identifier"
EXT_PROBLEM_KIND = OURS + "problem-kind"
EXT_ONSET = OURS + "onset"
EXT_LOT = OURS + "lot-number"
EXT_ACT_CODE = OURS + "act-code"
EXT_MEDIA_NAME = OURS + "media-name"  # what the narrative calls an embedded file
EXT_WRITTEN_QUANTITY = OURS + "written-quantity"  # a quantity in the unit of the source
EXT_FOCUS = OURS + "focus"  # of whom an act or a treatment is told, when it is not the patient
EXT_ENTRY_TEMPLATE = OURS + "cda-entry-template-id"
EXT_NEGATED = OURS + "negated-fact"  # what a source says is not so: never coded as if it were
EXT_ACT_CLASS = OURS + "cda-class"  # CLUSTER or BATTERY, which FHIR does not tell apart
EXT_NULL_FLAVOR = "http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor"
EXT_FILE_LEFT_OUT = OURS + "file-left-out"  # SHA-256 (hex) of a file that stays where the document came from
EXT_PATHWAY = OURS + "pathway"  # how a service takes a request: simple or complex
EXT_NARRATIVE_LINK = "http://hl7.org/fhir/StructureDefinition/narrativeLink"

# Identifier systems
RPPS_SYSTEM = "https://rpps.esante.gouv.fr"
IDNPS_SYSTEM = "urn:oid:1.2.250.1.71.4.2.1"
FINESS_SYSTEM = "https://finess.esante.gouv.fr"
IDNST_SYSTEM = "urn:oid:1.2.250.1.71.4.2.2"
URI_SYSTEM = "urn:ietf:rfc:3986"

# The INS slice of each OID: the type code of the identifier.
INS_TYPE_CODES = {INS_NIR: "INS-NIR", INS_NIA: "INS-NIA", INS_TEST: "INS-NIR-TEST", INS_DEMO: "INS-NIR-DEMO"}

# Code systems
FRC_IDENTIFIER_TYPES = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
FRC_IDENTITY_STATUS = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445"  # 2.2.0; later fr-core-cs-identity-status
V2_IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
V3 = "http://terminology.hl7.org/CodeSystem/v3-"
V3_ACT_CODE = V3 + "ActCode"
V3_PARTICIPATION_TYPE = V3 + "ParticipationType"
V3_PARTICIPATION_FUNCTION = V3 + "ParticipationFunction"
V3_ROLE_CODE = V3 + "RoleCode"
V3_CONFIDENTIALITY = V3 + "Confidentiality"
V3_NULL_FLAVOR = V3 + "NullFlavor"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
ATC = "http://www.whocc.no/atc"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
CISIS = "https://smt.esante.gouv.fr/fhir/CodeSystem/terminologie-cisis"
CIM10 = "https://smt.esante.gouv.fr/terminologie-cim-10"
CCAM = "https://smt.esante.gouv.fr/terminologie-ccam"
TRE_COMMUNE = "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM"
TRE_SPECIALTY = "https://mos.esante.gouv.fr/NOS/TRE_R38-SpecialiteOrdinale/FHIR/TRE-R38-SpecialiteOrdinale"
TRE_FACILITY = "https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite"
TRE_SETTING = "https://mos.esante.gouv.fr/NOS/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice"
TRE_DOCUMENT_CLASS = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
TRE_DOCUMENT_TYPE = "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
TRE_CONTACT_ROLE = "https://mos.esante.gouv.fr/NOS/TRE_R260-HL7RoleClass/FHIR/TRE-R260-HL7RoleClass"
TRE_PROFESSION = "https://mos.esante.gouv.fr/NOS/TRE_A02-ProfessionSavFaire-CISIS/FHIR/TRE-A02-ProfessionSavFaire-CISIS"
TRE_FUNCTION = "urn:oid:1.2.250.1.213.1.1.4.2.280"
TRE_ENCOUNTER_TYPE = "https://mos.esante.gouv.fr/NOS/TRE_R305-TypeRencontre/FHIR/TRE-R305-TypeRencontre"

# OID → URI of the systems that a document's header names. The whole list, for entries, is `mappings/terminology/oid-uri.csv`;
# a test keeps the two in step.
_HEADER_SYSTEMS = {
    "2.16.840.1.113883.6.1": LOINC,
    "2.16.840.1.113883.6.96": SNOMED,
    "2.16.840.1.113883.5.4": V3_ACT_CODE,
    "2.16.840.1.113883.5.25": V3_CONFIDENTIALITY,
    "2.16.840.1.113883.5.88": V3_PARTICIPATION_FUNCTION,
    "2.16.840.1.113883.5.90": V3_PARTICIPATION_TYPE,
    "2.16.840.1.113883.5.111": V3_ROLE_CODE,
    "1.2.250.1.213.1.1.4.5": TRE_PROFESSION,
    "1.2.250.1.213.1.1.4.9": TRE_SETTING,
    "1.2.250.1.213.1.1.4.12": TRE_DOCUMENT_TYPE,
    "1.2.250.1.213.1.1.4.322": CISIS,
    "1.2.250.1.213.1.1.4.2.280": TRE_FUNCTION,
    "1.2.250.1.213.1.1.4.2.291": TRE_ENCOUNTER_TYPE,
    "1.2.250.1.71.4.2.4": TRE_FACILITY,
    "1.2.250.1.215.300.1": CCAM,
}


def system_uri(system: str) -> str:
    """The FHIR system of a model's `Code.system`, which holds an OID or a URI."""
    if not system or not system[0].isdigit():
        return system
    return _HEADER_SYSTEMS.get(system, f"urn:oid:{system}")
