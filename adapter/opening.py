"""Opens what an instance owns: its clock and ids, ledger, directory and mailboxes. What a command needs that sends nothing.

Apart from `assembly`, which knows every class: `tdu queue` and `tdu replay` need neither channels nor pages.
"""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import structlog

from adapter.config import Config, Mode
from adapter.config.settings import DirectoryFiles, DoubtfulMail, MailboxDoor
from adapter.errors import TduError
from adapter.ledger.ledger import Ledger
from adapter.ledger.vault import Vault
from adapter.model.inbox import DOOR, LOCAL, Inbox, Inboxes, Ward
from adapter.routing.directory import Directory, load_directory

log = structlog.get_logger()


def now() -> datetime:
    """The clock of the service: aware, UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh random id for rows that no content names (receipts, work items)."""
    return str(uuid.uuid4())


def open_ledger(config: Config) -> Ledger:
    """The ledger with its vault; VaultError when the key is absent or another one."""
    return Ledger(ledger_url(config), Vault.open(config.ledger.key_file), clock=now, new_id=new_id)


def migrate_ledger(config: Config) -> None:
    """Bring the schema up to date, then let go of the database (before workers fork)."""
    config.instance.data_dir.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(config)
    try:
        ledger.migrate()
    finally:
        ledger.close()


def ledger_url(config: Config) -> str:
    """The database's address, with its password when the configuration keeps it apart."""
    url = config.ledger.url
    if config.ledger.password is None:
        return url
    return url.replace("{password}", quote(config.ledger.password.read(os.environ), safe=""))


class LiveDirectory:
    """The partners files, read again when one changes on disk; a wrong new version leaves the last good one in force.

    `problem` is then its code, shown by the health page, and the log says it once a version: an operator who corrected an
    address must not believe that it is in use.
    """

    def __init__(self, files: DirectoryFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen: tuple[tuple[str, int, int, int], ...] = ()
        self._directory: Directory | None = None
        self.problem = ""

    def __call__(self) -> Directory:
        """The directory in force now."""
        with self._lock:
            seen = tuple(_stamp(path) for path in self._files.everything)
            if self._directory is None or seen != self._seen:
                self._directory = self._load()
                self._seen = seen
            return self._directory

    def _load(self) -> Directory:
        try:
            directory = load_directory(self._files.read())
        except (OSError, ValueError, TduError) as error:
            if self._directory is None:
                raise
            self.problem = error.code if isinstance(error, TduError) else type(error).__name__
            log.error("directory.not-reloaded", code=self.problem, in_force=self._directory.revision)
            return self._directory
        if self._directory is not None:
            log.info("directory.reloaded", revision=directory.revision)
        self.problem = ""
        return directory


def _stamp(path: Path) -> tuple[str, int, int, int]:
    """What changes when a file does; the inode's own time tells of rights and renames that keep the file's date."""
    try:
        stat = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


def inboxes(config: Config) -> Inboxes:
    """The mailboxes as their reader must know them."""
    boxes = config.doors.mailboxes
    own = frozenset(box.address.lower() for box in boxes) | {e.sender.mailbox.lower() for e in config.legal_entities}
    is_test = config.instance.mode is Mode.TEST
    of_files = Inbox("", "", "", own_addresses=own - {""}, takes_test_identities=is_test)
    return Inboxes({f"{DOOR}{box.name}": _inbox(box, own - {""}, is_test) for box in boxes}, of_files)


def _inbox(box: MailboxDoor, own: frozenset[str], is_test: bool) -> Inbox:
    return Inbox(
        name=box.name,
        address=box.address,
        legal_entity=box.legal_entity,
        deliver_to=_local(box.deliver_to),
        wards=tuple(Ward(ward.address, ward.unit, ward.finess, _local(ward.deliver_to)) for ward in box.wards),
        own_addresses=own,
        patient_domains=frozenset(box.patient_domains),
        error_box=box.error_mailbox,
        takes_unqualified=box.unqualified is DoubtfulMail.DELIVER,
        takes_masked=box.masked is DoubtfulMail.DELIVER,
        takes_test_identities=is_test,
        wants_return_path=box.wants_return_path,
    )


def _local(target: str) -> str:
    return f"{LOCAL}{target}" if target else ""
