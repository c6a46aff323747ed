"""What METADATA.XML says, as values: the submission set, the document entries, people, places, codes. Written and read alike.

Sources: IHE ITI TF-3 §4.2 (attributes, schemes, associations); CI-SIS volets Échange and Partage of health documents (French
extra metadata `action`). An attribute that French rules do not name is not lost: it stands in `Extras` or in `Author.further`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"

# Classification schemes and identification schemes of IHE ITI TF-3 §4.2.
SET_AUTHOR = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
SET_CONTENT_TYPE = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
SET_NODE = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
SET_PATIENT_ID = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
SET_SOURCE_ID = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
SET_UNIQUE_ID = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"
DOCUMENT_OBJECT = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
DOCUMENT_AUTHOR = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
DOCUMENT_CLASS = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
DOCUMENT_CONFIDENTIALITY = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f"
DOCUMENT_EVENT = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
DOCUMENT_FORMAT = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d"
DOCUMENT_FACILITY = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"
DOCUMENT_PRACTICE = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead"
DOCUMENT_TYPE = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"
DOCUMENT_PATIENT_ID = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
DOCUMENT_UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
RELATIONSHIP = "urn:ihe:iti:2007:AssociationType:"
ACTION_SLOT = "urn:action:extraMetadataSlot"
REFERENCES_SLOT = "urn:ihe:iti:xds:2013:referenceIdList"

PROFESSIONAL_AUTHORITY = "1.2.250.1.71.4.2.1"
STRUCTURE_AUTHORITY = "1.2.250.1.71.4.2.2"


class Action(StrEnum):
    """What the archive asks of the receiver (French extra metadata `action`); absent for a new document."""

    REPLACE = "C"
    DELETE = "D"


@dataclass(frozen=True)
class Coded:
    """A code, the OID of its scheme, and its label. All empty: the archive that was read does not say."""

    code: str
    scheme: str
    label: str


NO_CODE = Coded("", "", "")


@dataclass(frozen=True)
class Person:
    """A professional (XCN). `identifier` is an IDNPS (`8` + RPPS, `0` + ADELI) or an internal `structure/number`.

    A hand-filled form may name somebody without a number: then `identifier` is empty. `kind` is XCN-13, empty when it follows
    from the identifier (`EI` with a slash, else `IDNPS`).
    """

    identifier: str
    family: str
    given: str = ""
    authority: str = PROFESSIONAL_AUTHORITY
    further_given: str = ""
    suffix: str = ""
    prefix: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Software:
    """A device that authored a document (XCN of a machine). `authority` is the OID that numbered it."""

    identifier: str
    software: str
    model: str = ""
    authority: str = STRUCTURE_AUTHORITY


@dataclass(frozen=True)
class Institution:
    """A structure (XON). `identifier` is a Struct_IdNat (`1` + FINESS, `3` + SIRET…) or empty; `kind` XON-7, IDNST if empty."""

    name: str = ""
    identifier: str = ""
    authority: str = STRUCTURE_AUTHORITY
    kind: str = ""


@dataclass(frozen=True, repr=False)
class Slot:
    """A named list of values, as ebRIM has it: for what this library has no field."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Author:
    """Who made the document or the submission, where, in which role and with which speciality.

    `further` holds the second and next values of a slot, and slots that French rules do not name (authorTelecommunication).
    """

    person: Person | Software | None = None
    institution: Institution | None = None
    role: str = ""
    specialty: Coded | None = None
    further: tuple[Slot, ...] = ()


@dataclass(frozen=True, repr=False)
class PatientNumber:
    """A patient's number (CX): `kind` is NH for an INS, PI for a number given by a structure."""

    value: str
    authority: str
    kind: str = "PI"


@dataclass(frozen=True, repr=False)
class Patient:
    """Whom the documents are about. `number` identifies (INS first), `source_number` is the sender's own.

    `birth_date` is ISO, as precise as known; `birth_place_insee` the commune's (or country's) INSEE code. `further` holds the
    lines of sourcePatientInfo that have no field here, as they are written (`PID-11|…`).
    """

    number: PatientNumber | None
    source_number: PatientNumber | None
    birth_name: str
    first_given: str = ""
    birth_given_names: str = ""
    used_name: str = ""
    used_given: str = ""
    birth_date: str = ""
    sex: str = ""
    birth_place_insee: str = ""
    further: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Reference:
    """An identifier that the document refers to (CXi of referenceIdList): `kind` is a `urn:ihe:iti:xds:2013:…` type."""

    value: str
    authority: str
    kind: str


@dataclass(frozen=True)
class Relation:
    """A link to another document: `kind` is RPLC, APND, XFRM… or a whole URN, `target` the other's entryUUID or symbol."""

    kind: str
    target: str


@dataclass(frozen=True)
class ClassifiedAs:
    """A classification that has no field of its own: its scheme and the code."""

    scheme: str
    code: Coded


@dataclass(frozen=True, repr=False)
class Extras:
    """What ebRIM may add to an object and French rules do not name; read and written back as it is."""

    slots: tuple[Slot, ...] = ()
    codes: tuple[ClassifiedAs, ...] = ()
    identifiers: tuple[tuple[str, str], ...] = ()
    logical_id: str = ""
    home: str = ""
    status: str = ""
    version: str = ""

    def __bool__(self) -> bool:
        """True when something is there."""
        return self != Extras()


@dataclass(frozen=True, repr=False)
class DocumentEntry:
    """Metadata of one document. Times are ISO 8601 with zone, or dates; they are written in UTC.

    `unique_id` is `root` or `root^extension`. `confidentiality` holds N, R or V first, then the visibility codes. `entry_uuid`
    is a `urn:uuid:…`; without one the archive uses a symbol.
    """

    unique_id: str
    title: str
    created: str
    patient: Patient
    authors: tuple[Author, ...]
    class_code: Coded
    type_code: Coded
    format_code: Coded
    facility_type: Coded
    practice_setting: Coded
    confidentiality: tuple[Coded, ...]
    events: tuple[Coded, ...] = ()
    legal_authenticator: Person | Software | None = None
    service_start: str = ""
    service_stop: str = ""
    language: str = "fr-FR"
    mime_type: str = "text/xml"
    action: Action | None = None
    comments: str = ""
    references: tuple[Reference, ...] = ()
    relations: tuple[Relation, ...] = ()
    entry_uuid: str = ""
    extras: Extras = Extras()

    @property
    def wanted_action(self) -> Action | None:
        """The French `action`, or what an RPLC association says for senders that know only IHE's way."""
        if self.action is None and any(relation.kind in ("RPLC", "XFRM_RPLC") for relation in self.relations):
            return Action.REPLACE
        return self.action


@dataclass(frozen=True, repr=False)
class SubmissionSet:
    """Metadata of the whole submission. `unique_id` is an OID (`2.25.…`), `source_id` the OID of the sending system.

    METADATA.XML names only the patient's number here. When it is the documents' own, a set that was read bears their `patient`
    whole; another number stands alone, so that a set of somebody else is seen. `intended_recipients` are XON|XCN|XTN as written.
    """

    unique_id: str
    source_id: str
    submitted: datetime | None
    title: str
    author: Author
    content_type: Coded
    patient: Patient
    further_authors: tuple[Author, ...] = ()
    intended_recipients: tuple[str, ...] = ()
    comments: str = ""
    entry_uuid: str = ""
    extras: Extras = Extras()


def submission_unique_id(number: int) -> str:
    """An OID made from a 128-bit number (a UUID's integer): ITU-T X.667."""
    return f"2.25.{number}"
