"""The schema: migrations make what the tables say; a ledger starts only with its own schema and key, and survives processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, delete, event, inspect, text

from adapter.audit.trail import seal_audit
from adapter.errors import LedgerError, VaultError
from adapter.ledger import tables
from adapter.ledger.migrations import configuration
from adapter.ledger.records import Decision
from adapter.ledger.vault import Vault
from adapter.model.delivery import DeliveryState
from tests.builders.ledger import ENTITY, FAX, KEY, World

pytestmark = pytest.mark.contract
NewUrl = Callable[[], str]


def test_the_migrations_make_what_the_tables_say(new_url: NewUrl) -> None:
    url = new_url()
    World(url).ledger.migrate()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [d for d in compare_metadata(context, tables.metadata) if "alembic_version" not in str(d)]
    engine.dispose()
    assert differences == []


def test_the_revision_named_in_the_tables_is_the_head() -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == tables.REVISION


def test_a_ledger_from_before_the_fax_lines_is_brought_up_with_its_faxes_on_their_way(world: World, new_url: NewUrl) -> None:
    world.send("doc-1", channels=(FAX,), set_id="set")
    sent = world.accepted(FAX)
    world.send("doc-2", channels=(FAX,))
    engine, before_fax = create_engine(world.url), create_engine(new_url())
    with before_fax.begin() as connection:
        command.upgrade(configuration(connection), "0011")
        known = set(inspect(connection).get_table_names())
    with engine.begin() as connection:
        for table in set(inspect(connection).get_table_names()) - known:
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("DROP INDEX ix_delivery_fax"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0011'"))
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) != []
    world.ledger.migrate()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()
    before_fax.dispose()
    assert [one.delivery.document_id for one in world.claim(FAX)] == ["doc-2"]
    world.send("doc-1b", channels=(FAX,), set_id="set", version=2)
    assert [asked.delivery_id for asked in world.ledger.withdrawals(FAX)] == [sent.id]
    world.prove(sent, DeliveryState.DELIVERED)
    assert world.deliveries("doc-1")[0].state is DeliveryState.DELIVERED


def test_migrating_again_changes_nothing(world: World) -> None:
    receipt_id = world.receive()
    world.ledger.migrate()
    assert world.ledger.find(receipt_id, legal_entity=ENTITY) == [receipt_id]


def test_four_processes_may_migrate_at_once(new_url: NewUrl) -> None:
    url, errors = new_url(), []
    start = threading.Barrier(4)

    def migrate() -> None:
        ledger = World(url).ledger
        start.wait()
        try:
            ledger.migrate()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    World(url).ledger.ping()


def test_many_may_open_a_new_sqlite_file_at_the_same_instant(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def open_it(url: str, start: threading.Barrier) -> None:
        ledger = World(url).ledger
        start.wait()
        try:
            ledger.ping()
        except LedgerError as error:
            if error.code != "ledger.not-migrated":
                errors.append(error)

    for number in range(60):  # one in ten of these meets another maker of the file, on a quiet machine
        start = threading.Barrier(4)
        threads = [threading.Thread(target=open_it, args=(f"sqlite:///{tmp_path}/{number}.db", start)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def test_a_database_without_a_ledger_does_not_start(new_url: NewUrl) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.not-migrated"):
        World(new_url()).receive()


def test_another_schema_does_not_start(world: World) -> None:
    engine = create_engine(world.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(LedgerError, match=r"ledger\.other-schema"):
        world.ledger.ping()


def test_a_ledger_does_not_start_with_another_key(world: World) -> None:
    world.receive()
    stranger = World(world.url, Vault([b"\x07" * 32]))
    with pytest.raises(VaultError, match=r"vault\.wrong-key"):
        stranger.ledger.ping()
    with pytest.raises(VaultError):
        stranger.receive()
    assert world.ledger.conservation(legal_entity=ENTITY).received == 1


def test_a_ledger_whose_key_check_is_gone_does_not_start(world: World) -> None:
    world.receive()
    world.ledger._database.write(lambda tx: tx.execute(delete(tables.ledger_meta)))
    with pytest.raises(VaultError, match=r"vault\.no-key-check"):
        world.second_ledger().ping()


def test_a_new_key_put_first_writes_and_the_old_one_still_reads(world: World) -> None:
    receipt_id = world.receive("k", lookups=(("ipp", "4711"),))
    rotated = World(world.url, Vault([b"\x07" * 32, KEY]))
    rotated._numbers = iter(range(500, 600))  # type: ignore[assignment]
    assert rotated.receive("k") == receipt_id
    assert rotated.ledger.find("4711", legal_entity=ENTITY) == [receipt_id]
    rotated.receive("k2")
    rotated.ledger.close()
    with pytest.raises(VaultError, match=r"vault\.wrong-key"):
        world.second_ledger().ping()


def test_an_unreachable_database_is_a_ledger_error_without_its_password() -> None:
    world = World("postgresql+psycopg://tdu:s3cret@127.0.0.1:1/none")
    with pytest.raises(LedgerError) as caught:
        world.ledger.ping()
    assert "s3cret" not in str(caught.value)


def test_sqlite_is_durable_and_its_writers_wait_at_their_start(tmp_path: Path) -> None:
    world = World(f"sqlite:///{tmp_path}/ledger.db")
    world.ledger.migrate()
    with world.ledger._database.read() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys")
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_ledger_may_be_carried_over_a_fork(world: World) -> None:
    world.receive()
    pid = os.fork()
    if pid == 0:
        try:
            world._numbers = iter(range(900, 999))  # type: ignore[assignment]
            world.receive()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    world.receive()
    assert world.ledger.conservation(legal_entity=ENTITY).received == 3


def test_no_query_of_the_lanes_reads_a_whole_table(tmp_path: Path) -> None:
    """A partial index is of no use to SQLite when its condition is a bound parameter; a forgotten index shows here too."""
    world = World(f"sqlite:///{tmp_path}/ledger.db")
    world.ledger.migrate()
    seen: dict[str, object] = {}
    engine = world.ledger._database._open()
    event.listen(engine, "before_cursor_execute", lambda _c, _k, sql, values, _x, _m: seen.setdefault(sql, values))
    world.receive("k")
    world.receive("k", content=b"other")
    world.send("doc-1", set_id="set")
    world.send("doc-2", set_id="set", version=2, replaces="doc-1")
    delivery = world.accepted()
    world.prove(delivery, DeliveryState.REFUSED)
    world.ledger.reap({})
    world.ledger.timeline("MSG-SOURCE", legal_entity=ENTITY)
    world.ledger.resolve(world.items()[0].id, Decision.CLOSE, "x", legal_entity=ENTITY)
    seal_audit(world.ledger)
    scans = []
    with engine.connect() as connection:
        for sql, values in list(seen.items()):
            if sql.startswith(("SELECT", "UPDATE", "DELETE")) and "ledger_meta" not in sql and "alembic_version" not in sql:
                first = values[0] if isinstance(values, list) else values
                plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", first)]
                scans += [(line, sql) for line in plan if line.startswith("SCAN") and "INDEX" not in line]
    assert len(seen) > 30
    assert scans == []


def test_importing_the_ledger_does_not_load_alembic() -> None:
    """Alembic costs a third of a second: only a migration pays it."""
    code = "import sys, adapter.ledger.ledger; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
