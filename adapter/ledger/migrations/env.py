"""Alembic's entry point: runs migrations on the connection that `Ledger.migrate()` opened.

To add a migration:
 1. change `adapter/ledger/tables.py`;
 2. copy the newest file of `versions/` to `NNNN_what_changes.py`, set `revision` and `down_revision`, write `upgrade()` with
    `op.*` calls. SQLite changes a column only by `with op.batch_alter_table("delivery") as table:`, which serves both engines.
    Write plain types (`sa.Text()`), never names of `tables.py`: a migration must go on saying what it said;
 3. set `REVISION` in `tables.py`;
 4. run `pytest tests/contract/test_ledger_schema.py`: it compares the migrated schema with the tables on both engines.
There is no way back down: a ledger is restored from its backup.
"""

from __future__ import annotations

from alembic import context

from adapter.ledger import (  # noqa: F401 - same schema
    bulk_tables,
    fax_ability_tables,
    fax_call_tables,
    fax_code_tables,
    fax_number_tables,
    folder_tables,
    import_tables,
    record_tables,
    statistics_tables,
    withdrawal_tables,
)
from adapter.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
