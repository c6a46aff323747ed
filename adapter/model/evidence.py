"""A proof about a delivery, from a partner: DSN, MDN, fax log, record's answer, import acknowledgement.

Proofs may come in any order and more than once; they are matched by our own reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from adapter.model.delivery import DeliveryState
from adapter.model.fax_call import FaxCall

# Sources that speak for who opened the mail, not for who carried it; and how the causes begin that only a reader gives.
READERS = frozenset({"mdn", "ko-mail"})
READERS_NO = "identity-"


@dataclass(frozen=True)
class Evidence:
    """One proof. `reference` is ours; `proves` is the state it shows; `cause` is set when it refuses.

    `also`: what else may name the delivery, surest first (other Message-IDs that a receipt quotes, its envelope id, which is the
    delivery's own id). `recipient`: whom the receipt says that it speaks for; another than ours and it proves nothing.
    `calls`: the telephone calls that led to it, for a fax.
    """

    reference: str
    proves: DeliveryState
    at: datetime
    source: str
    cause: str = ""
    detail: str = ""
    also: tuple[str, ...] = field(default=(), repr=False)
    recipient: str = field(default="", repr=False)
    calls: tuple[FaxCall, ...] = field(default=(), repr=False)
