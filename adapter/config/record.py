"""What must hold of the built-in record: a door to be reached by, clients that are told apart, an address that is safe.

Sources: blueprint seams 11, 12, 13. Each check yields problems; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from adapter.config.reading import Problem
from adapter.config.secure_lines import check_file, is_loopback
from adapter.config.settings import Config, RecordClient, RecordClientKind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}")
_PATH = "/record/fhir"


def check_record(config: Config) -> Iterator[Problem]:
    """Nothing when it is off: what is prepared may be incomplete."""
    record = config.record
    if not record.enabled:
        return
    if config.doors.http is None:
        yield Problem("record.enabled", "the record is served by the HTTP door, which is closed.", "Add [doors.http].")
    if not record.clients:
        yield Problem("record.clients", "there is none: nobody could call.", "Add one [[record.clients]] per program.")
    names = [client.name for client in record.clients]
    for n, client in enumerate(record.clients, start=1):
        place = f"record.clients[{n}]"
        if client.name in names[: n - 1]:
            yield Problem(f"{place}.name", "is used twice.", "Each must be unique.")
        yield from _check_client(place, client)
        yield from _check_access(place, client, record.public_url)
    yield from _check_address(record.public_url)


def _check_client(place: str, client: RecordClient) -> Iterator[Problem]:
    if not _NAME.fullmatch(client.name):
        yield Problem(f"{place}.name", "must be a short name: letters, digits, - _ .")
    if client.organisation and not _FINESS.fullmatch(client.organisation):
        yield Problem(f"{place}.organisation", "must be the 9 characters of a FINESS.")
    elif not client.organisation and client.kind in (RecordClientKind.FEEDER, RecordClientKind.PROFESSIONAL):
        yield Problem(f"{place}.organisation", "missing: its own masked documents are known by it.", "Write its FINESS.")


def _check_access(place: str, client: RecordClient, public_url: str) -> Iterator[Problem]:
    if bool(client.token) == bool(client.keys):
        yield Problem(f"{place}.token", "give token or keys, one of the two.", "A token's file, or the file of its public keys.")
    if client.keys is not None:
        yield from check_file(f"{place}.keys", client.keys)
        if not public_url:
            yield Problem("record.public_url", "missing: SMART clients make their assertions for it.", "Write it.")


def record_entities(config: Config) -> Iterator[tuple[str, str]]:
    """Where legal entities are named."""
    if config.record.enabled:
        for n, client in enumerate(config.record.clients, start=1):
            yield f"record.clients[{n}].legal_entity", client.legal_entity


def _check_address(public_url: str) -> Iterator[Problem]:
    place, parts = "record.public_url", urlsplit(public_url)
    if not public_url:
        return
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.rstrip("/") != _PATH:
        yield Problem(place, "must be the address at which clients find the record.", f"Such as https://tdu.example.fr{_PATH}.")
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        yield Problem(place, "must be https: tokens travel by it.")
