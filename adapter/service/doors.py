"""From the configuration to the doors' own settings: who may speak, how much, and over which TLS."""

from __future__ import annotations

import os
from typing import Any
from zoneinfo import ZoneInfo

from adapter.config import Config, FolderDoor, HttpDoor, MllpDoor
from adapter.config.settings import MailboxDoor
from adapter.data import mappings_root
from adapter.errors import ConfigurationError
from adapter.intake.folder import FolderSettings
from adapter.intake.http_forms import FormsSettings, HttpRefusalError
from adapter.intake.mailbox import MailboxDoorSettings
from adapter.intake.mllp import MllpSettings
from adapter.intake.name_pattern import pattern_problem
from adapter.intake.peers import Peer
from adapter.model.publication import Readers
from adapter.secure_line import DoorContext, mailbox_server
from adapter.web.auth import Callers, Token
from adapter.web.fhir_http import BodyLimits
from adapter.web.import_access import ImportSettings
from adapter.web.smart import ApiClient, read_scopes
from mssante.auth import Auth
from mssante.mailbox_reader import ReaderSettings
from mssante.tls import TlsSource


def mllp_settings(door: MllpDoor, default_zone: str, tls: DoorContext | None = None) -> MllpSettings:
    """The MLLP door's limits, peers and TLS."""
    return MllpSettings(
        peers=tuple(
            Peer(p.name, p.application, p.facility, p.certificate_cn, p.legal_entity, p.zone or default_zone) for p in door.peers
        ),
        max_message_bytes=door.max_message_bytes,
        idle_timeout_seconds=door.idle_timeout_seconds,
        message_timeout_seconds=door.message_timeout_seconds,
        max_connections=door.max_connections,
        tls=tls,
        still_trusts=tls.still_trusts if tls is not None else lambda _: True,
        decision_policy=door.decision_policy.value,
    )


def folder_settings(door: FolderDoor, default_zone: str) -> FolderSettings:
    """One drop folder. ConfigurationError when its pattern of names cannot be used."""
    problem = pattern_problem(door.name_pattern)
    if problem:
        raise ConfigurationError("config.name-pattern", f"name_pattern: {problem}", where=f"doors.folders {door.name}")
    return FolderSettings(
        path=door.path,
        name=door.name,
        legal_entity=door.legal_entity,
        zone=door.zone or default_zone,
        poll_seconds=door.poll_seconds,
        settle_seconds=door.settle_seconds,
        max_file_bytes=door.max_file_bytes,
        name_pattern=door.name_pattern,
    )


def mailbox_settings(box: MailboxDoor, tls: TlsSource, auth: Auth) -> MailboxDoorSettings:
    """One mailbox: who we are there, how often it is looked at, what is too large for it."""
    return MailboxDoorSettings(
        name=box.name,
        legal_entity=box.legal_entity,
        mailbox=mailbox_server(box, tls, auth),
        reader=ReaderSettings(
            folders=box.folders,
            keyword=box.keyword,
            move_to=box.move_to,
            max_bytes=box.max_message_bytes,
            skip_existing=box.skip_existing,
            poll_seconds=box.poll_seconds,
            idle_seconds=min(ReaderSettings.idle_seconds, box.poll_seconds),
        ),
        zone=box.zone,
    )


def forms_settings(door: HttpDoor, default_zone: str) -> FormsSettings:
    """The HTTP door takes every form that has a mapping."""
    slugs = frozenset(path.name.removesuffix(".toml") for path in (mappings_root() / "forms").glob("*.toml"))
    return FormsSettings(slugs, door.zone or default_zone, door.max_body_bytes)


def callers(config: Config, door: HttpDoor) -> Callers:
    """Bearer tokens, or loopback without one."""
    only = config.legal_entities[0].finess_ej if len(config.legal_entities) == 1 else ""
    tokens = [Token(t.name, t.token.read(os.environ), t.legal_entity or only) for t in door.tokens]
    return Callers(tokens, door.legal_entity or only, HttpRefusalError)


def import_clients(config: Config) -> tuple[ApiClient, ...]:
    """Who may call the Import API, and for whose documents."""
    inbox = config.channels.inbox
    return tuple(
        ApiClient(
            client.name,
            Readers(client.legal_entity, client.practices, frozenset(client.roles) if client.roles else None),
            read_scopes(client.scopes),
            client.keys,
            client.calls_per_minute,
        )
        for client in (inbox.clients if inbox is not None else ())
    )


def import_settings(config: Config, door: HttpDoor) -> ImportSettings:
    """The Import API's address, zone and limits."""
    public_url = config.channels.inbox.public_url if config.channels.inbox is not None else ""
    zone = ZoneInfo(door.zone or config.instance.time_zone)
    return ImportSettings(public_url.rstrip("/"), zone, BodyLimits(door.max_body_bytes))


def http_tls(tls: DoorContext | None) -> dict[str, Any]:
    """What uvicorn wants for TLS; empty without it."""
    return {} if tls is None else {"ssl_context_factory": lambda *_: tls}
