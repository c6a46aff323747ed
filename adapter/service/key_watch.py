"""When keys end that are no certificates of a TLS line: API keys whose end their owner told us, clients' keys (JWKS).

Sources: RFC 7517 §4.7 (`x5c`); `exp` of a JWK, which OpenID Federation 1.0 §8 and many issuers write (seconds since 1970).
A key that tells no end is not guessed at. Judged by the same steps as certificates: 60, 30 and 7 days.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from cryptography import x509

from adapter.config import Config
from adapter.config.settings import Inbox


@dataclass(frozen=True)
class KeyEnd:
    """One key that ends: its place in the configuration, the legal entities it serves, what names it, when."""

    place: str
    entities: tuple[str, ...]
    name: str
    ends_at: datetime


@dataclass(frozen=True)
class KeyFileUnreadable:
    """A file of clients' keys that cannot be read: nothing is known of its keys, and their owner cannot enter."""

    place: str
    entities: tuple[str, ...]


def key_ends(config: Config) -> Iterator[KeyEnd | KeyFileUnreadable]:
    """Every key of the configuration whose end is known."""
    everyone = tuple(entity.finess_ej for entity in config.legal_entities)
    annuaire, zone = config.directory.annuaire, ZoneInfo(config.instance.time_zone)
    if annuaire is not None and annuaire.key_expires:
        last = date.fromisoformat(annuaire.key_expires)
        place, ends_at = "directory.annuaire.key_file", datetime(last.year, last.month, last.day, 23, 59, 59, tzinfo=zone)
        yield KeyEnd(place, everyone, annuaire.key_file.name, ends_at)
    for n, client in enumerate((config.channels.inbox or Inbox()).clients, start=1):
        yield from _of_client(f"channels.inbox.clients[{n}].keys", client.legal_entity, client.keys)


def _of_client(place: str, entity: str, path: Path) -> Iterator[KeyEnd | KeyFileUnreadable]:
    """Of several keys of one client, the last to end counts: rotation leaves the old one there for a while."""
    try:
        keys = json.loads(path.read_bytes())["keys"]
        ends = [(str(key.get("kid", "")), _end_of(key)) for key in keys]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        yield KeyFileUnreadable(place, (entity,))
        return
    known = [(name, moment) for name, moment in ends if moment is not None]
    if known and len(known) == len(ends):
        name, moment = max(known, key=lambda one: one[1])
        yield KeyEnd(place, (entity,), name or path.name, moment)


def _end_of(key: dict[str, object]) -> datetime | None:
    told = key.get("exp")
    if isinstance(told, int | float):
        return datetime.fromtimestamp(told, UTC)
    chain = key.get("x5c")
    if isinstance(chain, list) and chain:
        return x509.load_der_x509_certificate(base64.b64decode(str(chain[0]))).not_valid_after_utc
    return None
