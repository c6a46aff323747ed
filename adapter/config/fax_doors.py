"""What a fax line's settings must agree on with the rest of the file: where its faxes lie, whose it is, who takes its documents.

Sources: blueprint seams 11, 12, 13. Each check yields problems; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapter.config.fax_in import FaxDoor, ReceiveQueueServer
from adapter.config.mailboxes import NAME, check_target
from adapter.config.reading import Problem
from adapter.config.secret import Secret
from adapter.config.secure_lines import check_file
from adapter.config.settings import Config, Mode

_NUMBER = re.compile(r"\+?[0-9][0-9 .()/-]{4,30}")


def check_fax_doors(config: Config) -> Iterator[Problem]:
    """Every problem of every line."""
    for n, door in enumerate(config.doors.fax, start=1):
        place = f"doors.fax[{n}]"
        yield from _check_words(door, place)
        yield from _check_source(door, place)
        yield from _check_trusted(door, place)
        if door.deliver_to:
            yield from check_target(f"{place}.deliver_to", door.deliver_to, door.legal_entity, config)
        if door.hylafax is not None:
            yield from _check_server(door.hylafax, f"{place}.hylafax", config.instance.mode)
    yield from _check_taken_once(config)


def fax_door_secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """The secrets that fax lines name, with their places."""
    for n, door in enumerate(config.doors.fax, start=1):
        for key in ("password", "administrator_password"):
            secret: Secret | None = getattr(door.hylafax, key, None)
            if secret is not None:
                yield f"doors.fax[{n}].hylafax.{key}", secret


def _check_words(door: FaxDoor, place: str) -> Iterator[Problem]:
    if not NAME.fullmatch(door.name):
        yield Problem(f"{place}.name", "must be a short name: letters, digits, - _ .")
    if door.number and not _NUMBER.fullmatch(door.number):
        yield Problem(f"{place}.number", "must be a telephone number.", 'Write "+33145210001".')


def _check_source(door: FaxDoor, place: str) -> Iterator[Problem]:
    if (door.folder is None) is (door.hylafax is None):
        yield Problem(place, "needs one place where its faxes lie, and one only.", "Give folder, or [doors.fax.hylafax].")
    if door.hylafax is not None and door.name_pattern:
        yield Problem(f"{place}.name_pattern", "is for folders: HylaFAX tells the number itself.", "Remove it.")


def _check_trusted(door: FaxDoor, place: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for n, sender in enumerate(door.trusted, start=1):
        where = f"{place}.trusted[{n}]"
        yield from check_file(f"{where}.key", sender.key)
        for k, number in enumerate(sender.numbers, start=1):
            if not _NUMBER.fullmatch(number):
                yield Problem(f"{where}.numbers[{k}]", "must be a telephone number.", 'Write "+33145210001".')
        if sender.name in seen:
            yield Problem(f"{where}.name", "is used twice.", "Each must be unique.")
        seen.add(sender.name)


def _check_server(server: ReceiveQueueServer, place: str, mode: Mode) -> Iterator[Problem]:
    if mode is Mode.TEST and not server.for_tests:
        remedy = "Set for_tests = true if no real fax comes to this server, or use folder."
        yield Problem(place, "a test instance reads no real line.", remedy)
    if mode is Mode.PRODUCTION and server.for_tests:
        yield Problem(f"{place}.for_tests", "is set in a production instance.", "Name the real server, or set for_tests = false.")


def _check_taken_once(config: Config) -> Iterator[Problem]:
    """A queue that two lines read, or a folder that two doors watch, would give each fax to whoever comes first."""
    seen = {str(folder.path) for folder in config.doors.folders}
    for n, door in enumerate(config.doors.fax, start=1):
        place = f"doors.fax[{n}]"
        keys = [("name", f"name {door.name}")]
        keys += [("folder", str(door.folder))] if door.folder is not None else []
        keys += [("hylafax.host", f"{door.hylafax.host}:{door.hylafax.port}")] if door.hylafax is not None else []
        for key, value in keys:
            if value in seen:
                yield Problem(f"{place}.{key}", "is used twice.", "Each must be unique.")
            seen.add(value)
