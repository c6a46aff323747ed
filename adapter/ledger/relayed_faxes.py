"""Faxes that a provider dials: which were handed over, whether one may go again, and which stayed without the provider's word.

Law: blueprint seam 5. A provider cannot be asked what it has, and does not know a second copy: after doubt only a person sends
again. Accepted by a mail server is not dialled: without a confirmation in its delay, a person is asked. No number is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select

from adapter.errors import LedgerError, VaultError
from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import Decision, PayloadKind
from adapter.ledger.rows import Sealed, read_plan
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.plan import ChannelName
from adapter.model.relayed_fax import RelayedFax
from adapter.model.work_item import WorkAbout

S = DeliveryState
Row = Mapping[Any, Any]
UNCONFIRMED = "fax-unconfirmed"
_ACTOR = "mail-fax"
_DECIDED_RETRY = f"decided-{Decision.RETRY.value}"
_AT_ONCE = 100


class RelayedFaxLedger:
    """The same ledger as the mail-to-fax connector sees it, of every legal entity: a provider's account is the instance's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def handed_over(self, since: datetime) -> tuple[RelayedFax, ...]:
        """Documents and test pages put on the wire since then, whatever became of them; what is damaged is left out.

        Test pages too: an answer to one, which names a number only, is not to pass for one about the document behind it.
        """
        d = tables.delivery
        mine = (tables.IS_FAX, d.c.state.in_([state.value for state in S]), d.c.on_wire_at >= since)
        with self._database.read() as connection:
            rows = [dict(row) for row in connection.execute(select(d).where(*mine).order_by(d.c.on_wire_at)).mappings()]
            sealed = Sealed(connection, [row["submission_id"] for row in rows], (PayloadKind.PLAN,))
        return tuple(fax for row in rows if (fax := self._fax(row, sealed)) is not None)

    def _fax(self, row: Row, sealed: Sealed) -> RelayedFax | None:
        try:
            plan = read_plan(sealed.open(self._database.vault, row["submission_id"], PayloadKind.PLAN))
        except (VaultError, LedgerError):
            return None
        legs = (leg for one in plan.recipients if one.role_id == row["role_id"] for leg in one.legs)
        address = next((leg.address for leg in legs if leg.channel is ChannelName.FAX and leg.order == row["leg"]), "")
        return RelayedFax(row["reference"], address, row["fence"], S(row["state"]), row["on_wire_at"])

    def may_go_again(self, delivery_id: str) -> bool:
        """True when a person said so after the last doubt about this fax."""
        e = tables.event
        mine = (e.c.about == WorkAbout.DELIVERY.value, e.c.about_id == delivery_id)
        said = select(func.max(e.c.number)).where(*mine, e.c.kind == _DECIDED_RETRY)
        doubt = select(func.max(e.c.number)).where(*mine, e.c.kind.in_((S.UNCLEAR.value, S.PARKED.value)))
        with self._database.read() as connection:
            last_word, last_doubt = connection.execute(said).scalar(), connection.execute(doubt).scalar()
        return last_word is not None and last_word > (last_doubt or 0)

    def ask_about(self, reference: str, reason: str, advice: str) -> None:
        """Ask a person about one fax; asked once while nobody answered."""
        self._database.write(lambda tx: _ask(tx, reference, reason, advice))

    def park_unconfirmed(self, sent_before: datetime, urgent_before: datetime, advice: str) -> int:
        """Faxes handed over before then, of which the provider said nothing that ends them: a person's. How many they were."""
        return self._database.write(lambda tx: _park(tx, sent_before, urgent_before, advice))


def _is_fax() -> tuple[Any, ...]:
    """Documents: what is asked about a test page is asked about its number."""
    return (tables.IS_FAX, tables.delivery.c.purpose == Purpose.DOCUMENT.value)


def _ask(tx: Transaction, reference: str, reason: str, advice: str) -> None:
    d = tables.delivery
    row = tx.execute(moves.locked(*_is_fax(), d.c.reference == reference)).mappings().first()
    if row is not None:
        add_delivery_item(tx, row, reason, advice)
        moves.refresh_status(tx, [row["submission_id"]])


def _park(tx: Transaction, sent_before: datetime, urgent_before: datetime, advice: str) -> int:
    d = tables.delivery
    sent = (d.c.state == S.ACCEPTED.value, d.c.on_wire_at <= max(sent_before, urgent_before))
    is_late = or_(d.c.on_wire_at <= sent_before, and_(d.c.priority < URGENT_BELOW, d.c.on_wire_at <= urgent_before))
    late = moves.locked(*_is_fax(), *sent, is_late).limit(_AT_ONCE)
    rows = tx.execute(late).mappings().all()
    for row in rows:
        parked = moves.move_delivery(tx, row, S.PARKED, actor=_ACTOR, cause=UNCONFIRMED)
        add_delivery_item(tx, parked, UNCONFIRMED, advice)
    moves.refresh_status(tx, {row["submission_id"] for row in rows})
    return len(rows)
