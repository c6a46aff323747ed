"""A mailbox that is read for documents and receipts: whose it is, to whom its documents go, what is not let through by itself.

Sources: blueprint seams 3, 8, 11 to 16; CI-SIS volet "Transmission au LPS d'un document CDA provenant d'un courriel MSSanté".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# How a recipient of ours is named in `Recipient.role_hint`: `local-` and a role's id in plans (`role:org:cms-ivry`), or
# `local-software:` and a partner's name.
LOCAL = "local-"
LOCAL_ROLE = f"{LOCAL}role:"
LOCAL_SOFTWARE = f"{LOCAL}software:"
# How the door of a mailbox is named on its receipts.
DOOR = "mailbox:"


@dataclass(frozen=True)
class Ward:
    """Who takes what was written to one address of a mailbox, or what names one unit: a row of its recipient table."""

    address: str = ""
    unit: str = ""
    finess: str = ""
    deliver_to: str = ""


@dataclass(frozen=True)
class Inbox:
    """One mailbox, as the operator set it up.

    `deliver_to` is a `Recipient.role_hint` (`local-role:…`, `local-software:…`); empty: whoever holds `address` in
    the directory.
    `own_addresses`: mailboxes that are ours, never answered. `error_box`: where a KO mail goes when no receipt was asked.
    `takes_unqualified`, `takes_masked`: documents without a qualified INS, or masked to professionals, go on by themselves.
    `wants_return_path`: an MDN is sent only to whom Return-Path names too (RFC 8098); false where the operator writes none.
    """

    name: str
    address: str
    legal_entity: str
    deliver_to: str = ""
    wards: tuple[Ward, ...] = ()
    own_addresses: frozenset[str] = frozenset()
    patient_domains: frozenset[str] = frozenset({"patient.mssante.fr"})
    error_box: str = ""
    takes_unqualified: bool = False
    takes_masked: bool = False
    takes_test_identities: bool = False
    wants_return_path: bool = True


@dataclass(frozen=True)
class Inboxes:
    """The mailboxes of an instance, by the door that receipts name; `otherwise`: for a mail that came as a file."""

    by_door: Mapping[str, Inbox] = field(default_factory=dict)
    otherwise: Inbox = Inbox("", "", "")

    def of(self, door: str) -> Inbox:
        """The mailbox behind a door."""
        return self.by_door.get(door, self.otherwise)


NO_INBOXES = Inboxes()
