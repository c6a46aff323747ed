"""What must hold of the practices that import, and of the software that calls for them.

Sources: blueprint seams 11, 12, 13. Each check yields problems; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from adapter.config.reading import Problem
from adapter.config.secure_lines import check_file, is_loopback
from adapter.config.settings import Config, ImportClient, Inbox

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
# SMART App Launch 2: system scopes, with any of create, read, update, delete, search, in this order.
_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]+)\.(?=[cruds])c?r?u?d?s?")


def check_inbox(config: Config) -> Iterator[Problem]:
    """Names used once, practices that are known and of the same entity, keys that are there, scopes that can be read."""
    inbox = config.channels.inbox or Inbox()
    sandbox = config.instance.sandbox
    practices = {practice.name: practice.legal_entity for practice in inbox.practices}
    known = f"Known practices: {', '.join(practices)}." if practices else "Add [[channels.inbox.practices]]."
    if sandbox and sandbox.inbox and sandbox.inbox not in practices:
        yield Problem("instance.sandbox.inbox", "names no practice.", known)
    yield from _check_names("practices", [practice.name for practice in inbox.practices])
    yield from _check_names("clients", [client.name for client in inbox.clients])
    for n, client in enumerate(inbox.clients, start=1):
        yield from _check_client(f"channels.inbox.clients[{n}]", client, practices, known)
    yield from _check_folders(config, inbox)
    if inbox.clients:
        yield from _check_address(inbox.public_url)


def inbox_entities(config: Config) -> Iterator[tuple[str, str]]:
    """Where legal entities are named."""
    inbox = config.channels.inbox or Inbox()
    for n, practice in enumerate(inbox.practices, start=1):
        yield f"channels.inbox.practices[{n}].legal_entity", practice.legal_entity
    for n, client in enumerate(inbox.clients, start=1):
        yield f"channels.inbox.clients[{n}].legal_entity", client.legal_entity


def _check_names(key: str, names: list[str]) -> Iterator[Problem]:
    for n, name in enumerate(names, start=1):
        place = f"channels.inbox.{key}[{n}].name"
        if not _NAME.fullmatch(name):
            yield Problem(place, "must be a short name: letters, digits, - _ .")
        if name in names[: n - 1]:
            yield Problem(place, "is used twice.", "Each must be unique.")


def _check_client(place: str, client: ImportClient, practices: dict[str, str], known: str) -> Iterator[Problem]:
    if not client.practices:
        yield Problem(f"{place}.practices", "there is none.", known)
    for name in client.practices:
        if name not in practices:
            yield Problem(f"{place}.practices", f"names no practice: {name}.", known)
        elif practices[name] != client.legal_entity:
            yield Problem(f"{place}.practices", f"{name} is of another legal entity.", "Nothing crosses from one to another.")
    yield from check_file(f"{place}.keys", client.keys)
    if not client.scopes:
        yield Problem(f"{place}.scopes", "there is none.", 'Write such as ["system/DocumentReference.rs", "system/Binary.r"].')
    for scope in client.scopes:
        if not _SCOPE.fullmatch(scope):
            yield Problem(f"{place}.scopes", f"is not a SMART v2 system scope: {scope}.", "Such as system/DocumentReference.rs.")


def _check_folders(config: Config, inbox: Inbox) -> Iterator[Problem]:
    """One folder, one practice: what lies in another's would be seen by its people, and swept by its keeper."""
    taken = [(f"doors.folders[{n}].path", door.path.resolve()) for n, door in enumerate(config.doors.folders, start=1)]
    for n, practice in enumerate(inbox.practices, start=1):
        if practice.folder is None:
            continue
        place, path = f"channels.inbox.practices[{n}].folder.path", practice.folder.path.resolve()
        for other, theirs in taken:
            if path.is_relative_to(theirs) or theirs.is_relative_to(path):
                yield Problem(place, f"is that of {other}, or lies in it.", "Each practice has a folder of its own.")
        taken.append((place, path))


def _check_address(public_url: str) -> Iterator[Problem]:
    place, parts = "channels.inbox.public_url", urlsplit(public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.rstrip("/") != "/fhir":
        yield Problem(place, "must be the address at which clients find the API.", "Such as https://tdu.example.fr/fhir.")
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        yield Problem(place, "must be https: tokens travel by it.")
