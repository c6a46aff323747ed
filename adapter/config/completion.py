"""Fills in what the file may leave out because there is only one answer: the sole legal entity, the instance's zone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapter.config.settings import Config, Doors, Hl7Push, HttpDoor, Inbox, MllpDoor


def complete(config: Config, base: Path) -> Config:
    """The same configuration, each door with its legal entity and zone, the ledger with its address."""
    sole = config.legal_entities[0].finess_ej if len(config.legal_entities) == 1 else ""
    zone = config.instance.time_zone
    doors = Doors(
        mllp=_complete_mllp(config.doors.mllp, sole, zone),
        http=_complete_http(config.doors.http, sole, zone),
        folders=tuple(replace(f, legal_entity=f.legal_entity or sole, zone=f.zone or zone) for f in config.doors.folders),
        mailboxes=tuple(replace(b, legal_entity=b.legal_entity or sole, zone=b.zone or zone) for b in config.doors.mailboxes),
        fax=tuple(replace(f, legal_entity=f.legal_entity or sole, zone=f.zone or zone) for f in config.doors.fax),
    )
    url = config.ledger.url or f"sqlite:///{config.instance.data_dir / 'ledger.sqlite'}"
    channels = replace(
        config.channels,
        hl7_push=_complete_partners(config.channels.hl7_push, sole),
        inbox=_complete_inbox(config.channels.inbox, sole),
    )
    readers = tuple(replace(c, legal_entity=c.legal_entity or sole) for c in config.record.clients)
    record = replace(config.record, clients=readers)
    # A table left out has paths that no loader saw: they too are relative to the configuration file.
    ledger = replace(config.ledger, url=_full_url(url, base), key_file=base / config.ledger.key_file)
    night = replace(config.night, backup_directory=base / config.night.backup_directory)
    return replace(config, doors=doors, channels=channels, record=record, ledger=ledger, night=night)


def _full_url(url: str, base: Path) -> str:
    """SQLite's path is made absolute; PostgreSQL is spoken to by psycopg 3, which need not be said."""
    plain, sqlite = "postgresql://", "sqlite:///"
    if url.startswith(plain):
        return "postgresql+psycopg://" + url.removeprefix(plain)
    if not url.startswith(sqlite) or url.startswith(sqlite + "/"):
        return url
    return sqlite + str(base / url.removeprefix(sqlite))


def _complete_mllp(door: MllpDoor | None, sole: str, zone: str) -> MllpDoor | None:
    if door is None:
        return None
    peers = tuple(replace(p, legal_entity=p.legal_entity or sole, zone=p.zone or zone) for p in door.peers)
    return replace(door, peers=peers)


def _complete_partners(push: Hl7Push | None, sole: str) -> Hl7Push | None:
    if push is None:
        return None
    return replace(push, partners=tuple(replace(p, legal_entity=p.legal_entity or sole) for p in push.partners))


def _complete_inbox(inbox: Inbox | None, sole: str) -> Inbox | None:
    if inbox is None:
        return None
    practices = tuple(replace(p, legal_entity=p.legal_entity or sole) for p in inbox.practices)
    clients = tuple(replace(c, legal_entity=c.legal_entity or sole) for c in inbox.clients)
    return replace(inbox, practices=practices, clients=clients)


def _complete_http(door: HttpDoor | None, sole: str, zone: str) -> HttpDoor | None:
    if door is None:
        return None
    tokens = tuple(replace(t, legal_entity=t.legal_entity or sole) for t in door.tokens)
    return replace(door, legal_entity=door.legal_entity or sole, zone=door.zone or zone, tokens=tokens)
