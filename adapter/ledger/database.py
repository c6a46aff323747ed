"""Connections, transactions and the key check: everything that differs between SQLite and PostgreSQL is here.

SQLite: WAL, `synchronous=FULL` (the sender was told that it is safe), BEGIN IMMEDIATE for writes, so that a writer waits
at its start and never half-way. PostgreSQL: READ COMMITTED, `synchronous_commit=on`, row locks, advisory locks for what
has no row yet. A write is a function run in one transaction, and run again when the engine asks for it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, bindparam, create_engine, event, func, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from adapter.errors import LedgerError, VaultError
from adapter.ledger import tables
from adapter.ledger.records import PayloadKind
from adapter.ledger.vault import Vault
from adapter.model.audit import AuditEntry, AuditRow, ChainHead, SealRows
from adapter.model.work_item import WorkAbout

# Code of what is the value's fault (a NUL sign in PostgreSQL), not the database's.
UNWRITABLE = "ledger.unwritable"
BUSY_TIMEOUT_SECONDS = 30
_WAL_PAUSE_SECONDS = 0.01
_TRIES = 5
_MIGRATING, _KEY_CHECK, _SEALING = 7_402_001, 7_402_002, 7_402_003
_CHECK_PREFIX = "key-check:"
# PostgreSQL: serialization_failure, deadlock_detected; unique_violation comes as IntegrityError.
_RUN_AGAIN = {"40001", "40P01"}

T = TypeVar("T")


@dataclass
class Transaction:
    """One write transaction: statements go out at once, events, audit rows and sealed chunks together at its end."""

    connection: Connection
    now: datetime
    new_id: Callable[[], str]
    vault: Vault
    _events: list[dict[str, Any]] = field(default_factory=list)
    _audit: list[dict[str, Any]] = field(default_factory=list)
    _chunks: list[dict[str, Any]] = field(default_factory=list)

    def execute(self, statement: Executable, rows: Any = None) -> CursorResult[Any]:
        """Run a Core statement."""
        result: CursorResult[Any] = self.connection.execute(statement, rows)
        return result

    def event(self, entity: str, about: WorkAbout, about_id: str, kind: str, detail: str = "") -> None:
        """Append to the log."""
        self._events.append(
            {"legal_entity": entity, "about": about.value, "about_id": about_id, "kind": kind, "detail": detail, "at": self.now}
        )

    def audit(self, entity: str, actor: str, action: str, about: str, about_id: str, detail: str = "") -> None:
        """Write an audit row in this very transaction."""
        self._audit.append(_audit_row(AuditEntry(entity, self.now, actor, action, about, about_id, detail)))

    def keep(self, entity: str, row_id: str, kind: PayloadKind, content: bytes) -> None:
        """Seal a payload of a row."""
        for number, sealed in enumerate(self.vault.seal(row_id, kind.value, content)):
            self._chunks.append(
                {"row_id": row_id, "kind": kind.value, "number": number, "legal_entity": entity, "sealed": sealed}
            )

    def lock(self, *names: str) -> None:
        """Hold names until the transaction ends, against other transactions that name them. SQLite has one writer anyway."""
        if names and self.connection.dialect.name == "postgresql":
            keys = sorted({_lock_number(name) for name in names})
            self.connection.execute(select(*(func.pg_advisory_xact_lock(key) for key in keys)))

    def lock_shared(self, name: str) -> None:
        """Hold a name beside others who share it, against whoever wants it alone."""
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(select(func.pg_advisory_xact_lock_shared(_lock_number(name))))

    def flush(self) -> None:
        """Write what was gathered."""
        for table, rows in ((tables.payload_chunk, self._chunks), (tables.event, self._events), (tables.audit, self._audit)):
            if rows:
                self.connection.execute(insert(table), rows)


class Database:
    """One ledger's engine, opened again in each process, and the checks made before its first use."""

    def __init__(self, url: str, vault: Vault, *, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self.vault = vault
        self._url = url
        self._clock = clock
        self._new_id = new_id
        self._pid = 0
        self._engine: Engine | None = None
        self._ready = False
        self._guard = threading.Lock()
        self._writer = threading.RLock()
        self._abandoned: list[Engine] = []

    # ── transactions ──────────────────────────────────────────────────────────────────────────────────────────

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one durable transaction; again if the engine says that it met another writer."""
        self._make_ready()
        return self._write(work)

    def _write(self, work: Callable[[Transaction], T]) -> T:
        engine = self._open()
        for attempt in range(1, _TRIES + 1):
            try:
                with _naming_errors(), self._one_writer(engine), engine.begin() as connection:
                    transaction = Transaction(connection, self._clock(), self._new_id, self.vault)
                    result = work(transaction)
                    transaction.flush()
                return result
            except LedgerError as error:
                if attempt == _TRIES or not _worth_running_again(error.__cause__):
                    raise
        raise AssertionError("the last try returns or raises")

    def rehearse(self, work: Callable[[Transaction], T]) -> T:
        """What `work` would give, in a transaction that is taken back: nothing is written."""
        self._make_ready()
        engine = self._open()
        with _naming_errors(), self._one_writer(engine), engine.connect() as connection, connection.begin() as begun:
            result = work(Transaction(connection, self._clock(), self._new_id, self.vault))
            begun.rollback()
        return result

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read of one moment; nothing is written."""
        self._make_ready()
        with self._read() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with _naming_errors(), self._open().connect().execution_options(tdu_read=True) as connection, connection.begin():
            yield connection

    @property
    def file(self) -> Path | None:
        """Where an SQLite ledger lies; None for a server."""
        url = make_url(self._url)
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection that is held without a transaction: for a lock that lasts as long as its holder lives."""
        self._make_ready()
        with _naming_errors(), self._open().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def now(self) -> datetime:
        """The clock that was passed in."""
        return self._clock()

    @property
    def is_sqlite(self) -> bool:
        """True when one writer at a time is the engine's own law."""
        return self._open().dialect.name == "sqlite"

    def _one_writer(self, engine: Engine) -> Any:
        """Threads of one process queue here rather than in SQLite's sleeping busy handler: several times faster."""
        return self._writer if engine.dialect.name == "sqlite" else nullcontext()

    # ── opening ───────────────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> Engine:
        if self._engine is not None and self._pid == os.getpid():
            return self._engine
        with self._guard:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    # Connections of the parent: neither used nor closed here (an SQLite close would touch its locks).
                    self._abandoned.append(self._engine)
                    self._writer = threading.RLock()
                self._engine = _engine(self._url)
                self._pid = os.getpid()
            return self._engine

    def close(self) -> None:
        """Close the connections of this process."""
        with self._guard:
            if self._engine is not None and self._pid == os.getpid():
                self._engine.dispose()
            self._engine = None
            self._ready = False

    def ping(self) -> None:
        """A read, after the schema and the key were checked."""
        self._ready = False
        with self.read() as connection:
            connection.execute(select(1))

    def migrate(self) -> None:
        """Run the missing migrations in one transaction, one process at a time."""
        from alembic import command

        from adapter.ledger.migrations import configuration

        engine = self._open()
        with _naming_errors(), self._one_writer(engine), engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            command.upgrade(configuration(connection), "head")
        self.ping()

    def _make_ready(self) -> None:
        """Before the first use: this version's schema, and our key. Never makes a new key nor a new schema."""
        if self._ready and self._pid == os.getpid():
            return
        self._check_schema()
        self._check_key()
        self._ready = True

    def _check_schema(self) -> None:
        remedy = "Run `tdu check`: it makes the tables, or brings them up to date."
        try:
            with self._read() as connection:
                found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        except LedgerError as error:
            if not isinstance(error.__cause__, DBAPIError) or not _is_missing_table(error.__cause__):
                raise
            raise LedgerError("ledger.not-migrated", "this database holds no ledger yet", remedy=remedy) from None
        if found != tables.REVISION:
            raise LedgerError("ledger.other-schema", f"schema {found}, this version needs {tables.REVISION}", remedy=remedy)

    def _check_key(self) -> None:
        """Every key check must open; a ledger with rows and no check was tampered with."""
        key_id, check = self.vault.key_check()
        with self._read() as connection:
            if self._key_is_known(connection, key_id):
                return

        def add_check(tx: Transaction) -> None:
            tx.lock(f"key-check-{_KEY_CHECK}")
            if self._key_is_known(tx.connection, key_id):
                return
            tx.execute(insert(tables.ledger_meta).values(name=_CHECK_PREFIX + key_id, value=check))

        self._write(add_check)

    def _key_is_known(self, connection: Connection, key_id: str) -> bool:
        meta = tables.ledger_meta
        rows = connection.execute(select(meta.c.name, meta.c.value).where(meta.c.name.startswith(_CHECK_PREFIX))).all()
        for name, check in rows:
            if not self.vault.proves(bytes(check)):
                raise VaultError(
                    "vault.wrong-key",
                    f"this ledger holds payloads sealed with key {name.removeprefix(_CHECK_PREFIX)}, which is not ours",
                    remedy="Start with the key file of this ledger; a new key cannot read it.",
                )
        if not rows and connection.execute(select(tables.receipt.c.id).limit(1)).first() is not None:
            raise VaultError("vault.no-key-check", "this ledger has rows but its key check is gone", remedy="Restore its backup.")
        return any(name == _CHECK_PREFIX + key_id for name, _ in rows)

    # ── audit ─────────────────────────────────────────────────────────────────────────────────────────────────

    def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Audit rows of their own transaction: reads of a person or a client."""
        rows = [_audit_row(entry) for entry in entries]
        if rows:
            self.write(lambda tx: tx.execute(insert(tables.audit), rows))

    def read_audit(self, legal_entity: str, after_position: int, limit: int) -> list[AuditRow]:
        """Sealed rows of one chain, in order."""
        audit = tables.audit
        query = select(audit).where(audit.c.legal_entity == legal_entity, audit.c.position > after_position)
        with self.read() as connection:
            return [_audit_value(row) for row in connection.execute(query.order_by(audit.c.position).limit(limit)).mappings()]

    def seal_audit_rows(self, seal: SealRows, limit: int) -> int:
        """Read unsealed rows, have them sealed, write the seals: one transaction, one holder of the lock."""

        def work(tx: Transaction) -> int:
            if (
                tx.connection.dialect.name == "postgresql"
                and not tx.execute(select(func.pg_try_advisory_xact_lock(_SEALING))).scalar()
            ):
                return 0
            audit = tables.audit
            query = select(audit).where(audit.c.position.is_(None)).order_by(audit.c.number).limit(limit)
            rows = [_audit_value(row) for row in tx.execute(query).mappings()]
            heads = {entity: _head(tx.connection, entity) for entity in sorted({row.entry.legal_entity for row in rows})}
            sealed = seal(rows, heads, self.vault.audit_mac)
            if sealed:
                tx.execute(
                    update(audit)
                    .where(audit.c.number == bindparam("row"), audit.c.position.is_(None))
                    .values(position=bindparam("place"), previous=bindparam("before"), seal=bindparam("mac")),
                    [{"row": r.number, "place": r.position, "before": r.previous, "mac": r.seal} for r in sealed],
                )
            return len(sealed)

        return self.write(work)


def _head(connection: Connection, entity: str) -> ChainHead:
    audit = tables.audit
    query = select(audit.c.position, audit.c.seal).where(audit.c.legal_entity == entity, audit.c.position.is_not(None))
    row = connection.execute(query.order_by(audit.c.position.desc()).limit(1)).first()
    return ChainHead(row.position, row.seal) if row else ChainHead()


def _audit_row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "legal_entity": entry.legal_entity,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "about": entry.about,
        "about_id": entry.about_id,
        "detail": entry.detail,
    }


def _audit_value(row: Mapping[Any, Any]) -> AuditRow:
    entry = AuditEntry(row["legal_entity"], row["at"], row["actor"], row["action"], row["about"], row["about_id"], row["detail"])
    return AuditRow(row["number"], entry, row["position"] or 0, row["previous"], row["seal"])


def _engine(url: str) -> Engine:
    """An engine whose error texts never show parameters."""
    if not url.startswith("sqlite"):
        engine = create_engine(url, hide_parameters=True, pool_size=8, max_overflow=8, isolation_level="READ COMMITTED")
        event.listen(engine, "connect", _set_up_postgresql)
        return engine
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: `_begin_sqlite` does
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
    _write_ahead(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: Any) -> None:
    """Keep a write-ahead log. SQLite does not wait for others that make a new file so at this instant: it is asked again."""
    gives_up = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > gives_up:
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("tdu_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _set_up_postgresql(connection: Any, _record: object) -> None:
    before = connection.autocommit
    connection.autocommit = True
    for setting in ("synchronous_commit = on", "TimeZone = 'UTC'", f"lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'"):
        connection.execute(f"SET SESSION {setting}")
    connection.autocommit = before


@contextmanager
def _naming_errors() -> Iterator[None]:
    """Whatever the engine raises becomes a LedgerError: the lane stops and starts again."""
    try:
        yield
    except DataError as error:
        text, remedy = "a value cannot be written by this database", "Sending it again will not help."
        raise LedgerError(UNWRITABLE, text, remedy=remedy) from error
    except SQLAlchemyError as error:
        origin = getattr(error, "orig", None)
        raise LedgerError(
            "ledger.unavailable",
            f"the database refused ({type(origin or error).__name__})",
            remedy="See the database's own log; what was not answered was not taken.",
        ) from error


def _worth_running_again(cause: BaseException | None) -> bool:
    """Two writers met: unique key taken in between, deadlock, serialization."""
    if isinstance(cause, IntegrityError):
        return True
    return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", "") in _RUN_AGAIN


def _is_missing_table(cause: DBAPIError) -> bool:
    return getattr(cause.orig, "sqlstate", "") == "42P01" or "no such table" in str(cause.orig)


def _lock_number(name: str) -> int:
    """A signed 64-bit number for PostgreSQL's advisory locks."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
