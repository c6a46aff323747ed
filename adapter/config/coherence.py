"""What no single setting can tell: files that exist, names used once, entities that are known, and never test with production.

Sources: blueprint seams 10, 11, 12, 13, 18. Each check yields problems; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from adapter.config.fax import check_fax, fax_secrets
from adapter.config.fax_doors import check_fax_doors, fax_door_secrets
from adapter.config.inbox import check_inbox, inbox_entities
from adapter.config.mailboxes import check_mailboxes, mailbox_secrets
from adapter.config.reading import Problem
from adapter.config.record import check_record, record_entities
from adapter.config.record_access import check_record_access
from adapter.config.secure_lines import check_file, check_mail_operator, check_tls, is_loopback, tls_settings
from adapter.config.settings import Config, Hl7Partner, Mode, Secret

FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}")
OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
MAILBOX = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

# Where ledger.password goes in ledger.url.
PLACEHOLDER = "{password}"

# Names that no production partner carries: RFC 2606, and the training space of MSSanté.
TRAINING_NAME = re.compile(
    r"(^|[.@])(formation\.mssante\.fr|example(\.(org|com|net|fr))?|test|invalid|localhost|localdomain)\.?$", re.IGNORECASE
)
PRODUCTION_MAIL = re.compile(r"(?<!\.formation)\.mssante\.fr$", re.IGNORECASE)


def check_coherence(config: Config, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Every problem that the whole file shows."""
    for check in CHECKS:
        yield from check(config)
    yield from _check_secrets(config, environ)


def _check_legal_entities(config: Config) -> Iterator[Problem]:
    if not config.legal_entities:
        yield Problem("legal_entities", "there is none.", "Write one [[legal_entities]] block per FINESS EJ served.")
    for n, entity in enumerate(config.legal_entities, start=1):
        place = f"legal_entities[{n}]"
        if not FINESS.fullmatch(entity.finess_ej):
            yield Problem(f"{place}.finess_ej", "must be the 9 characters of a FINESS EJ.")
        if not OID.fullmatch(entity.source_oid):
            yield Problem(f"{place}.source_oid", "must be an OID, digits and dots.")
        if entity.sender.mailbox and not MAILBOX.fullmatch(entity.sender.mailbox):
            yield Problem(f"{place}.sender.mailbox", "must be a mail address.")
    yield from _check_used_once("legal_entities", "finess_ej", (e.finess_ej for e in config.legal_entities))


def _check_entities_are_known(config: Config) -> Iterator[Problem]:
    known = {entity.finess_ej for entity in config.legal_entities}
    for place, finess in _named_entities(config):
        if finess in known:
            continue
        text = (
            "names an entity that is not in [[legal_entities]]." if finess else "missing: this instance serves several entities."
        )
        yield Problem(place, text, "Write the FINESS EJ that this sender belongs to.")


def _named_entities(config: Config) -> Iterator[tuple[str, str]]:
    doors = config.doors
    for n, peer in enumerate(doors.mllp.peers if doors.mllp else (), start=1):
        yield f"doors.mllp.peers[{n}].legal_entity", peer.legal_entity
    for n, token in enumerate(doors.http.tokens if doors.http else (), start=1):
        yield f"doors.http.tokens[{n}].legal_entity", token.legal_entity
    if doors.http and not doors.http.tokens:
        yield "doors.http.legal_entity", doors.http.legal_entity
    for n, folder in enumerate(doors.folders, start=1):
        yield f"doors.folders[{n}].legal_entity", folder.legal_entity
    for n, box in enumerate(doors.mailboxes, start=1):
        yield f"doors.mailboxes[{n}].legal_entity", box.legal_entity
    for n, line in enumerate(doors.fax, start=1):
        yield f"doors.fax[{n}].legal_entity", line.legal_entity
    for n, partner in enumerate(_partners(config), start=1):
        yield f"channels.hl7_push.partners[{n}].legal_entity", partner.legal_entity
    yield from inbox_entities(config)
    yield from record_entities(config)


def _partners(config: Config) -> tuple[Hl7Partner, ...]:
    return config.channels.hl7_push.partners if config.channels.hl7_push else ()


def _check_partners(config: Config) -> Iterator[Problem]:
    """Who gets acknowledgements and sandboxed documents must be there, and of the same entity: nothing crosses (seam 13)."""
    partners = {partner.name: partner for partner in _partners(config)}
    known = f"Known partners: {', '.join(partners)}." if partners else "Add [[channels.hl7_push.partners]]."
    peers = config.doors.mllp.peers if config.doors.mllp else ()
    for n, peer in enumerate(peers, start=1):
        place = f"doors.mllp.peers[{n}].acks_to"
        if peer.acks_to and peer.acks_to not in partners:
            yield Problem(place, "names no HL7 partner.", known)
        elif peer.acks_to and partners[peer.acks_to].legal_entity != peer.legal_entity:
            yield Problem(place, "names a partner of another legal entity.", "Nothing crosses from one entity to another.")
    sandbox = config.instance.sandbox
    if sandbox and sandbox.hl7 and sandbox.hl7 not in partners:
        yield Problem("instance.sandbox.hl7", "names no HL7 partner.", known)
    for n, partner in enumerate(_partners(config), start=1):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", partner.name):
            yield Problem(f"channels.hl7_push.partners[{n}].name", "must be a short name: letters, digits, - _ .")


def _check_names(config: Config) -> Iterator[Problem]:
    doors = config.doors
    yield from _check_used_once("doors.mllp.peers", "name", (p.name for p in (doors.mllp.peers if doors.mllp else ())))
    yield from _check_used_once("doors.http.tokens", "name", (t.name for t in (doors.http.tokens if doors.http else ())))
    yield from _check_used_once("doors.folders", "name", (f.name for f in doors.folders))
    yield from _check_used_once("doors.folders", "path", (str(f.path) for f in doors.folders))
    yield from _check_used_once("channels.hl7_push.partners", "name", (p.name for p in _partners(config)))


def _check_used_once(place: str, key: str, names: Iterable[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for n, name in enumerate(names, start=1):
        if name in seen:
            yield Problem(f"{place}[{n}].{key}", "is used twice.", "Each must be unique.")
        seen.add(name)


def _check_zones(config: Config) -> Iterator[Problem]:
    zones = [("instance.time_zone", config.instance.time_zone)]
    doors = config.doors
    zones += [(f"doors.mllp.peers[{n}].zone", p.zone) for n, p in enumerate(doors.mllp.peers if doors.mllp else (), start=1)]
    zones += [("doors.http.zone", doors.http.zone)] if doors.http else []
    zones += [(f"doors.folders[{n}].zone", f.zone) for n, f in enumerate(doors.folders, start=1)]
    zones += [(f"doors.mailboxes[{n}].zone", box.zone) for n, box in enumerate(doors.mailboxes, start=1)]
    zones += [(f"doors.fax[{n}].zone", line.zone) for n, line in enumerate(doors.fax, start=1)]
    known = available_timezones()
    told: set[str] = set()  # a door that takes the instance's wrong zone is not wrong itself
    for place, zone in zones:
        if zone not in known and zone not in told:
            told.add(zone)
            yield Problem(place, "is not an IANA time zone.", "Write a name such as Europe/Paris.")


def _check_doors(config: Config) -> Iterator[Problem]:
    http, mllp = config.doors.http, config.doors.mllp
    if http and not http.tokens and not is_loopback(http.host):
        yield Problem(
            "doors.http.tokens", "none, and the door is not on loopback.", "Add [[doors.http.tokens]] or listen on 127.0.0.1."
        )
    for n, peer in enumerate(mllp.peers if mllp else (), start=1):
        place = f"doors.mllp.peers[{n}]"
        if not (peer.application or peer.certificate_cn):
            yield Problem(place, "can never be recognised.", "Give application (MSH-3) or certificate_cn.")
        if peer.certificate_cn and not (mllp and mllp.tls and mllp.tls.client_ca):
            yield Problem(f"{place}.certificate_cn", "no client certificate is asked for.", "Set doors.mllp.tls.client_ca.")
    if mllp and not mllp.peers:
        yield Problem(
            "doors.mllp.peers", "there is none: every message would be refused.", "Add one [[doors.mllp.peers]] per sender."
        )


def _check_files(config: Config) -> Iterator[Problem]:
    for n, path in enumerate(config.directory.files, start=1):
        yield from check_file(f"directory.files[{n}]", path)
    if config.directory.trusted_domains is not None:
        yield from check_file("directory.trusted_domains", config.directory.trusted_domains)
    if config.directory.annuaire is not None:
        yield from check_file("directory.annuaire.key_file", config.directory.annuaire.key_file)
        if config.directory.annuaire.copy_file.suffix != ".json":
            yield Problem("directory.annuaire.copy_file", "must end in .json.")
        if not _is_day(config.directory.annuaire.key_expires):
            yield Problem("directory.annuaire.key_expires", "must be a day.", 'Write "2027-06-30", or leave it out.')
    for place, tls in tls_settings(config):
        yield from check_tls(place, tls)


def _check_secrets(config: Config, environ: Mapping[str, str]) -> Iterator[Problem]:
    for place, secret in _secrets(config):
        if secret.file is not None:
            yield from check_file(f"{place}.file", secret.file)
        elif secret.variable and not environ.get(secret.variable):
            yield Problem(f"{place}.variable", f"the environment variable {secret.variable} is not set.")


def _secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    for n, token in enumerate(config.doors.http.tokens if config.doors.http else (), start=1):
        yield f"doors.http.tokens[{n}].token", token.token
    yield from mailbox_secrets(config)
    yield from fax_secrets(config)
    yield from fax_door_secrets(config)
    for n, client in enumerate(config.record.clients, start=1):
        if client.token:
            yield f"record.clients[{n}].token", client.token
    if config.ledger.password:
        yield "ledger.password", config.ledger.password
    if config.channels.mssante and config.channels.mssante.password:
        yield "channels.mssante.password", config.channels.mssante.password
    if config.channels.mssante and config.channels.mssante.token and config.channels.mssante.token.client_secret:
        yield "channels.mssante.token.client_secret", config.channels.mssante.token.client_secret
    if config.channels.shared_record and config.channels.shared_record.token:
        yield "channels.shared_record.token", config.channels.shared_record.token


def _is_day(text: str) -> bool:
    """True for an ISO day, and for nothing at all."""
    try:
        return not text or bool(date.fromisoformat(text))
    except ValueError:
        return False


def _check_ledger(config: Config) -> Iterator[Problem]:
    url = config.ledger.url
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        yield Problem("ledger.url", "must start with sqlite:/// or postgresql://.")
        return
    written = urlsplit(url).password
    if written and written != PLACEHOLDER:
        remedy = f"Write {PLACEHOLDER} in its place, and ledger.password = {{ file = … }}."
        yield Problem("ledger.url", "a secret never stands in the configuration.", remedy)
    if bool(written) != bool(config.ledger.password):
        yield Problem("ledger.password", f"goes with {PLACEHOLDER} in ledger.url: one is there without the other.")


def _check_mode(config: Config) -> Iterator[Problem]:
    if config.instance.mode is Mode.TEST:
        yield from _check_test_instance(config)
    else:
        yield from _check_production_instance(config)


def _check_test_instance(config: Config) -> Iterator[Problem]:
    sandbox = config.instance.sandbox
    if sandbox is None:
        yield Problem("instance.sandbox", "missing: a test instance sends to sandbox addresses only.", "Add [instance.sandbox].")
        return
    for key in ("mail", "fax", "record"):
        if not getattr(sandbox, key):
            yield Problem(f"instance.sandbox.{key}", "missing.", "Name the address that receives everything of this kind.")
    if PRODUCTION_MAIL.search(sandbox.mail):
        yield Problem("instance.sandbox.mail", "is a production mailbox.", "Use a training box (….formation.mssante.fr).")
    yield from _check_partners_of_a_test(config, sandbox.hl7)
    for place, name in _own_names(config):
        if PRODUCTION_MAIL.search(name):
            yield Problem(place, "is a production mailbox in a test instance.", "Use a training box (….formation.mssante.fr).")


def _check_partners_of_a_test(config: Config, sandbox: str) -> Iterator[Problem]:
    """Acknowledgements leave a test instance too: for the sandbox, this machine, or a host that says it is for tests."""
    partners = {partner.name: partner for partner in _partners(config)}
    for n, peer in enumerate(config.doors.mllp.peers if config.doors.mllp else (), start=1):
        partner = partners.get(peer.acks_to)
        if partner is None or partner.name == sandbox or is_loopback(partner.host) or TRAINING_NAME.search(partner.host):
            continue
        remedy = "Name it in instance.sandbox.hl7 if it is a test partner, or leave acks_to out."
        yield Problem(f"doors.mllp.peers[{n}].acks_to", "may be a production partner in a test instance.", remedy)


def _check_production_instance(config: Config) -> Iterator[Problem]:
    if config.instance.sandbox is not None:
        yield Problem("instance.sandbox", "is set in a production instance.", 'Remove it, or set mode = "test".')
    for place, name in _own_names(config):
        if TRAINING_NAME.search(name):
            yield Problem(
                place, "is a test or training name in a production instance.", 'Use the production one, or set mode = "test".'
            )
    record = config.channels.shared_record
    if record and urlsplit(record.base_url).scheme != "https":
        yield Problem("channels.shared_record.base_url", "must be https in production.")


def _own_names(config: Config) -> Iterator[tuple[str, str]]:
    """Host names and mailboxes that tell production from training."""
    for n, entity in enumerate(config.legal_entities, start=1):
        yield f"legal_entities[{n}].sender.mailbox", entity.sender.mailbox
        yield f"legal_entities[{n}].sender.reply_to", entity.sender.reply_to
    for n, box in enumerate(config.doors.mailboxes, start=1):
        yield f"doors.mailboxes[{n}].address", box.address
        yield f"doors.mailboxes[{n}].error_mailbox", box.error_mailbox
    if config.channels.mssante:
        yield "channels.mssante.host", config.channels.mssante.host
    if config.channels.shared_record:
        yield "channels.shared_record.base_url", urlsplit(config.channels.shared_record.base_url).hostname or ""
    for n, partner in enumerate(_partners(config), start=1):
        if not is_loopback(partner.host):
            yield f"channels.hl7_push.partners[{n}].host", partner.host


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _check_mode,
    _check_legal_entities,
    _check_entities_are_known,
    _check_names,
    _check_zones,
    _check_doors,
    _check_partners,
    check_mailboxes,
    check_fax_doors,
    check_inbox,
    check_record,
    _check_files,
    check_mail_operator,
    check_fax,
    check_record_access,
    _check_ledger,
)
