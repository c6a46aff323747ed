"""What a mailbox's settings must agree on with the rest of the file: whose it is, who takes its documents, how we enter.

Sources: blueprint seams 11, 12, 13. Each check yields problems; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapter.config.reading import Problem
from adapter.config.secure_lines import check_token
from adapter.config.settings import Config, MailboxDoor, Secret

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_KEYWORD = re.compile(r"\$?[A-Za-z][A-Za-z0-9_.-]{0,63}")


def check_mailboxes(config: Config) -> Iterator[Problem]:
    """Every problem of every mailbox."""
    for n, box in enumerate(config.doors.mailboxes, start=1):
        place = f"doors.mailboxes[{n}]"
        yield from _check_words(box, place)
        yield from _check_entrance(box, place)
        yield from _check_targets(box, place, config)
    for key in ("name", "address"):
        yield from _check_used_once(config, key)


def mailbox_secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """The secrets that mailboxes name, with their places."""
    for n, box in enumerate(config.doors.mailboxes, start=1):
        place = f"doors.mailboxes[{n}]"
        if box.password is not None:
            yield f"{place}.password", box.password
        if box.token is not None and box.token.client_secret is not None:
            yield f"{place}.token.client_secret", box.token.client_secret


def _check_words(box: MailboxDoor, place: str) -> Iterator[Problem]:
    if not NAME.fullmatch(box.name):
        yield Problem(f"{place}.name", "must be a short name: letters, digits, - _ .")
    for key in ("address", "error_mailbox"):
        value: str = getattr(box, key)
        if (value or key == "address") and not _ADDRESS.fullmatch(value):
            yield Problem(f"{place}.{key}", "must be a mail address.")
    if not box.folders:
        yield Problem(f"{place}.folders", "there is none.", 'Write folders = ["INBOX"].')
    if box.keyword and not _KEYWORD.fullmatch(box.keyword):
        yield Problem(f"{place}.keyword", "must be letters, digits, - _ . after an optional $.")
    if box.move_to and box.move_to in box.folders:
        yield Problem(f"{place}.move_to", "is a folder that is read: what is moved there would come again.")


def _check_entrance(box: MailboxDoor, place: str) -> Iterator[Problem]:
    if box.password is not None and box.token is not None:
        yield Problem(place, "password and token are two ways to enter: give one.")
    if (box.password is not None or box.token is not None) and not box.user:
        yield Problem(f"{place}.user", "missing: a password or token is somebody's.")
    if box.token is not None:
        yield from check_token(f"{place}.token", box.token)
    if box.token is not None and box.tls.certificate is not None:
        yield Problem(f"{place}.tls.certificate", "opens its own mailbox, whatever user the token names.", "Remove it.")
    if box.token is None and box.password is None and box.tls.certificate is None:
        yield Problem(f"{place}.tls.certificate", "missing: an application's mailbox is opened by its certificate.")


def _check_targets(box: MailboxDoor, place: str, config: Config) -> Iterator[Problem]:
    targets = [(f"{place}.deliver_to", box.deliver_to)] if box.deliver_to else []
    targets += [(f"{place}.wards[{n}].deliver_to", ward.deliver_to) for n, ward in enumerate(box.wards, start=1)]
    for where, target in targets:
        yield from check_target(where, target, box.legal_entity, config)
    for n, ward in enumerate(box.wards, start=1):
        if not (ward.address or ward.unit):
            yield Problem(f"{place}.wards[{n}]", "can never be recognised.", "Give address or unit.")


def check_target(where: str, target: str, legal_entity: str, config: Config) -> Iterator[Problem]:
    """Who takes a door's documents. Software must be a partner of the door's own entity: nothing crosses (seam 13). Roles are
    in the directory.
    """
    partners = {one.name: one for one in (config.channels.hl7_push.partners if config.channels.hl7_push else ())}
    kind, _, name = target.partition(":")
    if kind not in ("role", "software") or not name:
        yield Problem(where, "must begin with role: or software:.", 'Write "role:org:…" or "software:<partner>".')
    elif kind == "software" and name not in partners:
        yield Problem(where, "names no HL7 partner.", "Add [[channels.hl7_push.partners]].")
    elif kind == "software" and partners[name].legal_entity != legal_entity:
        yield Problem(where, "names a partner of another legal entity.", "Nothing crosses from one entity to another.")


def _check_used_once(config: Config, key: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for n, box in enumerate(config.doors.mailboxes, start=1):
        value = str(getattr(box, key)).lower()
        if value in seen:
            yield Problem(f"doors.mailboxes[{n}].{key}", "is used twice.", "Each must be unique.")
        seen.add(value)
