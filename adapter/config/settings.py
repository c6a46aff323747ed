"""What can be set: one frozen dataclass per table of the configuration file, named as its keys are.

`config.example.toml` documents every key; a test compares it with these classes. Bounds stand in the field's metadata.
A path is relative to the configuration file. A secret is never a value here: it is a file or an environment variable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from adapter.config.bounds import bounded
from adapter.config.fax_in import FaxDoor
from adapter.config.mail_fax_account import MailFax as MailFax
from adapter.config.night import Night, Retention
from adapter.config.secret import Secret as Secret
from adapter.config.tls_files import MailSecurity as MailSecurity
from adapter.config.tls_files import TlsClient as TlsClient
from adapter.config.tls_files import TlsServer as TlsServer


class Mode(StrEnum):
    """An instance is one of them, never a mixture (seam 12)."""

    TEST = "test"
    PRODUCTION = "production"


class ValidationLevel(StrEnum):
    """How much of what leaves is proven at run time; the default is the safe one."""

    FULL = "full"
    SHAPE = "shape"
    RULES = "rules"


class LogFormat(StrEnum):
    """How log lines look: for people or for a collector."""

    CONSOLE = "console"
    JSON = "json"


class DecisionPolicy(StrEnum):
    """How combinations of HL7 flags are judged: by sense, or by the rows of the published matrix only."""

    SEMANTIC = "semantic"
    MATRIX_STRICT = "matrix-strict"


@dataclass(frozen=True)
class AccessToken:
    """Where a mailbox's access token (Pro Santé Connect) comes from, one of the three. It is never kept on disk.

    `file`: another program renews it. `command`: told on its standard output. `refresh_token_file`: asked from `endpoint`.
    """

    file: Path | None = None
    command: tuple[str, ...] = ()
    refresh_token_file: Path | None = None
    endpoint: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    ca: Path | None = None


@dataclass(frozen=True)
class Sandbox:
    """Where everything goes in a test instance, whoever it was for. `faults`: callers of the Import API may ask for faults."""

    mail: str = ""
    fax: str = ""
    record: str = ""
    hl7: str = ""
    inbox: str = ""
    faults: bool = False


@dataclass(frozen=True)
class Instance:
    """This installation."""

    mode: Mode
    name: str
    workers: int = bounded(0, 0, 256)
    data_dir: Path = Path("data")
    time_zone: str = "Europe/Paris"
    validation: ValidationLevel = ValidationLevel.FULL
    sandbox: Sandbox | None = None


@dataclass(frozen=True)
class SenderIdentity:
    """How a legal entity presents itself to partners."""

    mailbox: str = ""
    mail_label: str = ""
    product_reference: str = ""
    phone: str = ""
    fax_number: str = ""
    reply_to: str = ""


@dataclass(frozen=True)
class LegalEntity:
    """One FINESS EJ served by this instance; nothing crosses from one to another (seam 13)."""

    finess_ej: str
    name: str
    source_oid: str
    sender: SenderIdentity = field(default_factory=SenderIdentity)


@dataclass(frozen=True)
class LedgerStore:
    """Where the durable truth is. An empty `url` is SQLite in the data folder."""

    url: str = ""
    password: Secret | None = None
    key_file: Path = Path("payload.key")
    repeat_window_days: int = bounded(7, 1, 365)
    lease_seconds: int = bounded(60, 5, 3600)


@dataclass(frozen=True)
class NationalDirectory:
    """The national directory (Annuaire Santé), asked by `tdu directory refresh`. `key_file` holds the API key.

    `key_expires`: the last day of that key (2027-06-30), as its portal shows it; empty: not known.
    """

    key_file: Path
    base_url: str = "https://gateway.api.esante.gouv.fr/fhir/v2"
    copy_file: Path = Path("annuaire.json")
    key_expires: str = ""
    max_age_days: int = bounded(7, 0, 365)
    timeout_seconds: float = bounded(30.0, 0.1, 600)


@dataclass(frozen=True)
class DirectoryFiles:
    """The partners files: organisations, units, roles, endpoints, equipment dates, agreements.

    `trusted_domains` is a CSV of the trust space, as operators publish it: it adds to the domains of the partners files.
    """

    files: tuple[Path, ...] = ()
    trusted_domains: Path | None = None
    annuaire: NationalDirectory | None = None

    @property
    def everything(self) -> tuple[Path, ...]:
        """All files that the directory is made of. The national directory's copy may not be there yet."""
        copy = (self.annuaire.copy_file,) if self.annuaire else ()
        return (*self.files, *((self.trusted_domains,) if self.trusted_domains else ()), *copy)

    def read(self) -> dict[str, bytes]:
        """The content of each, by name; OSError when one that must be there is not."""
        late = self.annuaire.copy_file if self.annuaire else None
        return {str(path): path.read_bytes() for path in self.everything if path != late or path.exists()}


@dataclass(frozen=True)
class MllpPeer:
    """A sender known at the MLLP door, by its certificate or by MSH-3 and MSH-4."""

    name: str
    application: str = ""
    facility: str = ""
    certificate_cn: str = ""
    legal_entity: str = ""
    zone: str = ""
    acks_to: str = ""


@dataclass(frozen=True)
class MllpDoor:
    """HL7 v2 over MLLP, on one port."""

    host: str = "127.0.0.1"
    port: int = bounded(2575, 0, 65535)
    max_message_bytes: int = bounded(67_108_864, 1024, 1_073_741_824)
    idle_timeout_seconds: float = bounded(300.0, 0.1, 86_400)
    message_timeout_seconds: float = bounded(60.0, 0.1, 3600)
    max_connections: int = bounded(256, 1, 10_000)
    decision_policy: DecisionPolicy = DecisionPolicy.SEMANTIC
    tls: TlsServer | None = None
    peers: tuple[MllpPeer, ...] = ()


@dataclass(frozen=True)
class HttpToken:
    """A bearer token and whom it stands for."""

    name: str
    token: Secret
    legal_entity: str = ""


@dataclass(frozen=True)
class HttpDoor:
    """Forms and health over HTTP. Without a token only on loopback (seam 11)."""

    host: str = "127.0.0.1"
    port: int = bounded(8080, 0, 65535)
    max_body_bytes: int = bounded(20_971_520, 1024, 1_073_741_824)
    legal_entity: str = ""
    zone: str = ""
    tls: TlsServer | None = None
    tokens: tuple[HttpToken, ...] = ()


@dataclass(frozen=True)
class FolderDoor:
    """A drop folder."""

    path: Path
    name: str
    legal_entity: str = ""
    zone: str = ""
    poll_seconds: float = bounded(2.0, 0.01, 3600)
    settle_seconds: float = bounded(2.0, 0, 3600)
    name_pattern: str = ""
    max_file_bytes: int = bounded(67_108_864, 1024, 1_073_741_824)


class DoubtfulMail(StrEnum):
    """What becomes of a document that a mailbox may not let through by itself."""

    PARK = "park"
    DELIVER = "deliver"


class ReceiptForm(StrEnum):
    """How a refusal is written in an MDN: as volet 1.1.3 has it, or as the older software of volet 1.1 knows it."""

    CURRENT = "current"
    LEGACY = "legacy"


@dataclass(frozen=True)
class MailWard:
    """One row of a mailbox's recipient table: what was written to `address`, or names `unit`, goes to `deliver_to`."""

    deliver_to: str
    address: str = ""
    unit: str = ""
    finess: str = ""


@dataclass(frozen=True)
class MailboxDoor:
    """A secure mailbox that is read for documents and receipts.

    Without `host`, DNS tells it (SRV records of the domain of `address`), as for sending.
    `deliver_to`: `role:…` (a role's id in plans) or `software:…` (an HL7 partner); empty: the role that holds `address`.
    """

    name: str
    address: str
    host: str = ""
    port: int = bounded(143, 1, 65535)
    security: MailSecurity = MailSecurity.STARTTLS
    trusted_hosts: tuple[str, ...] = ()
    server_name: str = ""
    tls: TlsClient = field(default_factory=TlsClient)
    user: str = ""
    password: Secret | None = None
    token: AccessToken | None = None
    folders: tuple[str, ...] = ("INBOX",)
    keyword: str = "$TduKept"
    move_to: str = ""
    skip_existing: bool = False
    legal_entity: str = ""
    zone: str = ""
    deliver_to: str = ""
    poll_seconds: float = bounded(60.0, 0.05, 3600)
    max_message_bytes: int = bounded(41_943_040, 65_536, 268_435_456)
    error_mailbox: str = ""
    receipts: ReceiptForm = ReceiptForm.CURRENT
    unqualified: DoubtfulMail = DoubtfulMail.PARK
    masked: DoubtfulMail = DoubtfulMail.PARK
    wants_return_path: bool = True
    patient_domains: tuple[str, ...] = ("patient.mssante.fr", "patient.formation.mssante.fr")
    wards: tuple[MailWard, ...] = ()


@dataclass(frozen=True)
class Doors:
    """What comes in. An absent door is closed."""

    mllp: MllpDoor | None = None
    http: HttpDoor | None = None
    folders: tuple[FolderDoor, ...] = ()
    mailboxes: tuple[MailboxDoor, ...] = ()
    fax: tuple[FaxDoor, ...] = ()


@dataclass(frozen=True)
class SecureMailOperator:
    """Our MSSanté operator's SMTP service. Without `host`, DNS tells it (SRV records of the sender's mail domain).

    DNS names hosts of that domain only; an operator that serves many domains is named in `trusted_hosts`.
    """

    host: str = ""
    port: int = bounded(587, 1, 65535)
    security: MailSecurity = MailSecurity.STARTTLS
    trusted_hosts: tuple[str, ...] = ()
    server_name: str = ""
    tls: TlsClient = field(default_factory=TlsClient)
    sasl_external: bool = False
    user: str = ""
    password: Secret | None = None
    token: AccessToken | None = None
    timeout_seconds: float = bounded(60.0, 0.1, 600)
    max_message_bytes: int = bounded(26_214_400, 65_536, 1_073_741_824)


@dataclass(frozen=True)
class SmartAccess:
    """Our access to a FHIR partner by SMART Backend Services. `key_file` is a PEM private key, RSA or EC P-384, read each time.

    Without `token_endpoint`, the partner's `.well-known/smart-configuration` tells it.
    """

    client_id: str
    key_file: Path
    kid: str
    scope: str = "system/*.cruds"
    token_endpoint: str = ""


@dataclass(frozen=True)
class SharedRecord:
    """The territory's FHIR record (MHD ITI-65). At most one of `token` and `smart`."""

    base_url: str
    token: Secret | None = None
    smart: SmartAccess | None = None
    tls: TlsClient = field(default_factory=TlsClient)
    timeout_seconds: float = bounded(60.0, 0.1, 600)


@dataclass(frozen=True)
class HylaFaxServer:
    """A HylaFAX server, here or elsewhere. Ordinary faxes leave between `open_from` and `open_until` (HH:MM, civil time).

    `for_tests`: it reaches no telephone line. A test instance uses no other, a production instance none.
    """

    host: str
    port: int = bounded(4559, 1, 65535)
    user: str = "traitdunion"
    password: Secret | None = None
    modem: str = "any"
    open_from: str = ""
    open_until: str = ""
    max_dials: int = bounded(3, 1, 12)
    max_tries: int = bounded(3, 1, 12)
    timeout_seconds: float = bounded(30.0, 0.1, 600)
    for_tests: bool = False


class FirstFax(StrEnum):
    """What happens before the first document to a number that nobody confirmed: a person is asked (with `test-page`, a page
    without any patient leaves at once, bearing a code to be told by telephone), or nothing.
    """

    ASK = "ask"
    TEST_PAGE = "test-page"
    SEND = "send"


@dataclass(frozen=True)
class Fax:
    """How pages leave: through a HylaFAX server, a folder from which another engine takes them, or a provider's mails; one way.

    `annex_key`: the site's Ed25519 private key (PEM), which signs the machine-readable annex; without it there is none.
    `first_fax`: not said, a production instance asks; a test instance, which reaches its sandbox only, sends.
    `cost_per_minute` and `cost_per_page`: what a fax that leaves costs, in euros, for `tdu report --fax`.
    """

    spool_directory: Path | None = None
    max_waiting: int = bounded(1000, 1, 1_000_000)
    hylafax: HylaFaxServer | None = None
    mail: MailFax | None = None
    annex_key: Path | None = None
    first_fax: FirstFax | None = None
    cost_per_minute: float = bounded(0.0, 0, 1000)
    cost_per_page: float = bounded(0.0, 0, 1000)


class Hl7Charset(StrEnum):
    """The character sets of the CI-SIS volets (MSH-18)."""

    UTF8 = "UNICODE UTF-8"
    LATIN9 = "8859/15"


@dataclass(frozen=True)
class Hl7Partner:
    """Software that we write to over MLLP: for documents (local software) or for the acknowledgements owed to a sender."""

    name: str
    host: str
    port: int = bounded(2575, 1, 65535)
    application: str = ""
    facility: str = ""
    legal_entity: str = ""
    charset: Hl7Charset = Hl7Charset.UTF8
    server_name: str = ""
    connect_timeout_seconds: float = bounded(10.0, 0.1, 600)
    answer_timeout_seconds: float = bounded(30.0, 0.1, 600)
    tls: TlsClient | None = None


@dataclass(frozen=True)
class Hl7Push:
    """HL7 v2 to partners' software. `application` and `facility` are ours (MSH-3, MSH-4)."""

    application: str = "TRAITDUNION"
    facility: str = ""
    partners: tuple[Hl7Partner, ...] = ()


class PracticeFormat(StrEnum):
    """What a practice's program reads in its folder."""

    FHIR = "fhir"
    XDM = "xdm"
    CDA_AND_PDF = "cda+pdf"
    HPRIM = "hprim"


class PracticeCharset(StrEnum):
    """How texts are encoded in a practice's folder."""

    CP1252 = "cp1252"
    LATIN9 = "iso-8859-15"


@dataclass(frozen=True)
class PracticeDropFolder:
    """A practice's folder, for software that can do nothing else. `names_patient`: file names end with the patient's name."""

    path: Path
    format: PracticeFormat
    charset: PracticeCharset = PracticeCharset.CP1252
    names_patient: bool = False
    poll_seconds: float = bounded(5.0, 0.01, 3600)
    settle_seconds: float = bounded(5.0, 0, 3600)
    vanish_seconds: float = bounded(60.0, 0, 86_400)
    keep_days: int = bounded(30, 1, 3650)


@dataclass(frozen=True)
class ImportingPractice:
    """A practice whose software imports what is published for it: by the API, a folder, or both. What lies for longer than its
    hours alarms.
    """

    name: str
    legal_entity: str = ""
    urgent_hours: float = bounded(4.0, 0, 8760)
    semi_urgent_hours: float = bounded(24.0, 0, 8760)
    routine_hours: float = bounded(72.0, 0, 8760)
    folder: PracticeDropFolder | None = None


@dataclass(frozen=True)
class ImportClient:
    """Software that calls the Import API for some practices. `name` is its client_id, `keys` a JWKS file of its public keys.

    `roles`: role ids of plans (`role:org:ivry`); empty: every role of its practices. `scopes`: SMART v2, `system/…`.
    """

    name: str
    practices: tuple[str, ...]
    keys: Path
    scopes: tuple[str, ...]
    roles: tuple[str, ...] = ()
    legal_entity: str = ""
    calls_per_minute: int = bounded(600, 1, 1_000_000)


@dataclass(frozen=True)
class Inbox:
    """What practices import. `public_url` is the address of `/fhir` as clients see it, with which their assertions are made."""

    public_url: str = ""
    practices: tuple[ImportingPractice, ...] = ()
    clients: tuple[ImportClient, ...] = ()


@dataclass(frozen=True)
class Channels:
    """What goes out. An absent channel is closed: its legs are refused with the reason."""

    mssante: SecureMailOperator | None = None
    shared_record: SharedRecord | None = None
    fax: Fax | None = None
    hl7_push: Hl7Push | None = None
    inbox: Inbox | None = None


@dataclass(frozen=True)
class UnclearWaits:
    """How long to wait for a proof before an unclear send is tried once more (seam 5)."""

    mssante_seconds: float = bounded(900.0, 0, 86_400)
    shared_record_seconds: float = bounded(30.0, 0, 86_400)
    fax_seconds: float = bounded(60.0, 0, 86_400)
    hl7_push_seconds: float = bounded(30.0, 0, 86_400)
    inbox_seconds: float = bounded(5.0, 0, 86_400)


class RecordClientKind(StrEnum):
    """What a client of the built-in record is, and so what it may do and see."""

    FEEDER = "feeder"
    PROFESSIONAL = "professional"
    PATIENT = "patient"
    ADMINISTRATOR = "administrator"


class Confidentiality(StrEnum):
    """The most confidential documents that a professional's client reads: normal, restricted, very restricted."""

    NORMAL = "N"
    RESTRICTED = "R"
    VERY_RESTRICTED = "V"


@dataclass(frozen=True)
class RecordClient:
    """A program that calls the built-in record, with a token or by SMART (`keys`: its public keys, JWKS). `organisation`: the
    FINESS that it speaks for.
    """

    name: str
    kind: RecordClientKind
    token: Secret | None = None
    keys: Path | None = None
    legal_entity: str = ""
    organisation: str = ""
    reads: Confidentiality = Confidentiality.NORMAL


@dataclass(frozen=True)
class Record:
    """The built-in shared record, at `/record/fhir` of the HTTP door, for territories without a platform.

    `needs_consent`: nothing is fed before an administrator noted the patient's agreement.
    """

    enabled: bool = False
    public_url: str = ""
    needs_consent: bool = False
    calls_per_minute: int = bounded(600, 1, 1_000_000)
    max_body_bytes: int = bounded(67_108_864, 1024, 1_073_741_824)
    clients: tuple[RecordClient, ...] = ()


@dataclass(frozen=True)
class Logging:
    """Events and ids, never content."""

    format: LogFormat = LogFormat.CONSOLE
    level: str = "info"


@dataclass(frozen=True)
class Config:
    """The whole configuration file."""

    instance: Instance
    legal_entities: tuple[LegalEntity, ...]
    ledger: LedgerStore = field(default_factory=LedgerStore)
    directory: DirectoryFiles = field(default_factory=DirectoryFiles)
    doors: Doors = field(default_factory=Doors)
    channels: Channels = field(default_factory=Channels)
    unclear: UnclearWaits = field(default_factory=UnclearWaits)
    record: Record = field(default_factory=Record)
    night: Night = field(default_factory=Night)
    retention: Retention = field(default_factory=Retention)
    log: Logging = field(default_factory=Logging)
