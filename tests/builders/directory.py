"""The reference territory, small territories of a few lines, and submissions about invented people, for routing and records.

territory()                                  # fixtures/partners, loaded once
small_territory(centre={"channels": "…"})    # two structures whose every date a test can choose
submission(to_person("99700000013"), record=True)
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from adapter.model.document import BodyKind, Code, DocumentHeader, ServiceEvent, Stay
from adapter.model.identity import INS_TEST, Ins, LocalIdentifier, PatientIdentity, Reliability, ins_key
from adapter.model.parties import Organisation, Party, Professional, Recipient, RecipientKind
from adapter.model.plan import ChannelName
from adapter.model.submission import Destinations, Submission, Visibility
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import Directory, load_directory

PARTNERS = Path(__file__).resolve().parents[2] / "fixtures" / "partners"
APHP_EJ = "750712184"
ABC, BCT, PBR = "929990117", "949990121", "949990139"
IVRY, BAGNEUX, MALAKOFF = "940000003", "929990331", "929990315"
SHARED_TIME = "99900000011"
EQUIPPED = "99700000013"
FAX_ONLY = "99900000029"
SOON_EQUIPPED = "99900000037"
SANDBOX = {
    ChannelName.SECURE_MAIL: "bac-a-sable@aphp.formation.mssante.fr",
    ChannelName.SHARED_RECORD: "http://127.0.0.1:8090/fhir",
    ChannelName.FAX: "+33199009999",
}


def territory_files() -> dict[str, bytes]:
    """The files of the reference territory, by name."""
    return {path.name: path.read_bytes() for path in sorted(PARTNERS.iterdir()) if path.suffix in {".toml", ".csv"}}


@lru_cache(maxsize=1)
def territory() -> Directory:
    """The reference territory."""
    return load_directory(territory_files())


def production() -> RouteSettings:
    """A production instance; the reference territory's training boxes are refused by it, so most tests use `rehearsal`."""
    return RouteSettings(production=True)


def rehearsal(**changes: Any) -> RouteSettings:
    """A test instance with a sandbox for every channel."""
    return RouteSettings(**{"production": False, "sandbox": SANDBOX, **changes})


SMALL = """
[[domain]]
domain = "mssante.fr"
[[domain]]
domain = "patient.mssante.fr"
kind = "patient"
[[legal_entity]]
key = "hospital"
name = "Hôpital"
finess = "759990013"
{entity}
[[legal_entity]]
key = "town"
name = "Commune"
finess = "949990212"
[[organisation]]
key = "site"
name = "Site"
legal_entity = "hospital"
finess = "949990121"
kind = "hospital-site"
mailbox = "site@h.mssante.fr"
{site}
[[organisation]]
key = "centre"
name = "Centre"
legal_entity = "town"
finess = "949990311"
kind = "health-centre"
mailbox = "centre@c.mssante.fr"
fax = "01 99 00 00 01"
{centre}
[[practitioner]]
rpps = "99900000029"
family = "FICTIF"
[[practitioner.role]]
key = "fictif"
organisation = "centre"
mailbox = "fictif@c.mssante.fr"
fax = "01 99 00 00 02"
{role}
{more}
"""


def small_text(*, entity: str = "", site: str = "", centre: str = "", role: str = "", more: str = "") -> str:
    """A territory of one site, one centre and one doctor; each part takes further lines."""
    return SMALL.format(entity=entity, site=site, centre=centre, role=role, more=more)


def small_territory(*, units: str = "", **parts: str) -> Directory:
    """The same, loaded; `units` is the text of a unit table."""
    files = {"small.toml": small_text(**parts).encode()}
    if units:
        files["units.csv"] = units.encode()
    return load_directory(files)


def equipped(since: str, channel: str = "mssante") -> str:
    """A `channels` line."""
    return f'channels = [{{ channel = "{channel}", since = {since} }}]'


# ── submissions ────────────────────────────────────────────────────────────────────────────────────────────────────


def qualified_patient(**changes: Any) -> PatientIdentity:
    """An invented patient with a qualified test INS and all traits."""
    thirteen = "2610494043217"
    values: dict[str, Any] = {
        "birth_name": "EXEMPLE",
        "first_given": "CAMILLE",
        "birth_given_names": "CAMILLE JEANNE",
        "birth_date": "1961-04-12",
        "sex": "F",
        "birth_place_insee": "94043",
        "ins": Ins(f"{thirteen}{ins_key(thirteen):02d}", INS_TEST),
        "local_ids": (LocalIdentifier("900000123", "1.2.250.1.999.94.1"),),
        "reliability": Reliability.QUALIFIED,
    }
    return PatientIdentity(**{**values, **changes})


def letter_header(**changes: Any) -> DocumentHeader:
    """The header of a discharge letter written at Bicêtre."""
    place = Organisation("Hôpital Bicêtre", BCT)
    author = Party(Professional("MAQUETTE", "Alix", "99900000086", title="PR"), place)
    values: dict[str, Any] = {
        "unique_id": "1.2.250.1.999.94.7.501",
        "type": Code("11490-0", "http://loinc.org", "Lettre de liaison à la sortie"),
        "title": "Lettre de liaison à la sortie",
        "created": "2026-11-20T10:30:00+01:00",
        "patient": qualified_patient(),
        "authors": (author,),
        "custodian": place,
        "body": BodyKind.PDF_IN_CDA,
        "legal_authenticator": author,
        "service_events": (ServiceEvent(Code(), "2026-11-16T09:00:00+01:00", "2026-11-20T10:00:00+01:00"),),
        "stay": Stay(class_code="IMP", facility_type=Code("SA01", "1.2.250.1.71.4.2.4", "Etablissement public de santé")),
    }
    return DocumentHeader(**{**values, **changes})


def to_person(rpps: str, **changes: Any) -> Recipient:
    """A professional named by RPPS."""
    return Recipient(RecipientKind.PROFESSIONAL, rpps=rpps, **changes)


def to_address(address: str, **changes: Any) -> Recipient:
    """A professional named by mail address."""
    return Recipient(RecipientKind.PROFESSIONAL, address=address, **changes)


TO_PATIENT = Recipient(RecipientKind.PATIENT)
TO_RECORD = Recipient(RecipientKind.RECORD, role_hint="DESTDMP")


def submission(
    *recipients: Recipient,
    header: DocumentHeader | None = None,
    visibility: Visibility | None = None,
    record: bool = False,
    sender_finess: str = BCT,
    legal_entity: str = APHP_EJ,
    **changes: Any,
) -> Submission:
    """A letter from Bicêtre to the given recipients."""
    document = header or letter_header()
    values: dict[str, Any] = {
        "id": "6d1f0f7e-0d7e-5e0a-9d53-000000000001",
        "receipt_id": "6d1f0f7e-0d7e-5e0a-9d53-000000000002",
        "legal_entity": legal_entity,
        "document": document,
        "recipients": recipients,
        "sender": Party(document.authors[0].professional if document.authors else None, Organisation("", sender_finess)),
        "visibility": visibility or Visibility(),
        "destinations": Destinations(record=record, professionals=True),
        "encounter_class": "I",
    }
    return Submission(**{**values, **changes})
