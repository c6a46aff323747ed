"""What a receipt that came by mail proves of a delivery: DSN, MDN, KO mail, a reply that says that somebody left. Pure.

Law: blueprint seams 4, 7, 8. A receipt proves nothing by itself: it is matched by our own Message-ID, or the envelope id, and a
recipient that it names must be the one we wrote to. `relayed` is accepted, not delivered: the next operator promised no more.
An MDN that says `deleted` was never read: for its sender that is a refusal (906), unless it was read before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from mssante.incoming import IncomingMail
from mssante.receipts import DeliveryReport, FailureNotice, Proof, ReadReport, Receipt, evidence_of
from mssante.receipts import Evidence as Told

S = DeliveryState

_STATES = {
    Proof.SENT: S.ACCEPTED,
    Proof.DELAYED: S.ACCEPTED,
    Proof.RELAYED: S.ACCEPTED,
    Proof.EXPANDED: S.ACCEPTED,
    Proof.DELIVERED: S.DELIVERED,
    Proof.DISPLAYED: S.READ,
    Proof.DISPATCHED: S.READ,
    Proof.INTEGRATED: S.INTEGRATED,
    Proof.DELETED: S.REFUSED,
    Proof.REJECTED: S.REFUSED,
    Proof.FAILED: S.REFUSED,
    Proof.EXPIRED: S.REFUSED,
    Proof.REFUSED: S.REFUSED,
}
# Enhanced status (RFC 3463) of a failure → cause of the table; a subject alone where its details do not matter.
_CAUSES = {
    "5.1.2": "domain-refused",
    "5.1.7": "undeliverable",
    "5.1.8": "undeliverable",
    "5.1.10": "domain-refused",
    "5.1": "mailbox-unknown",
    "5.2.1": "mailbox-unknown",
    "5.2.2": "mailbox-full",
    "4.2.2": "mailbox-full",
    "5.2.3": "too-large",
    "5.3.4": "too-large",
    "5.4.4": "domain-refused",
    "5.6": "content-refused",
    "5.7.1": "domain-refused",
}
_INTEGRATION = re.compile(r"90[0-6]")
# Our Message-IDs are a delivery's id, a UUID, at our domain.
_OURS = re.compile(r"<[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}@[^<>\s@]+>", re.IGNORECASE)


def proofs_of(receipt: Receipt, mail: IncomingMail, received_at: datetime) -> tuple[Evidence, ...]:
    """Every proof of a receipt; none when it says nothing usable."""
    at = _told_at(mail, received_at)
    return tuple(_proof(told, recipient, _source(receipt), at) for told, recipient in _with_recipients(receipt))


def departure_of(mail: IncomingMail, received_at: datetime) -> tuple[Evidence, ...]:
    """An automatic reply that says that the person is gone for good, when it answers a mail of ours."""
    ours = answered_by(mail)
    sender = mail.headers.sender.address if mail.headers.sender else ""
    if not mail.sender_has_left or not ours:
        return ()
    at = _told_at(mail, received_at)
    return (Evidence(ours[0], S.REFUSED, at, "auto-reply", "recipient-left", also=ours[1:], recipient=sender),)


def answered_by(mail: IncomingMail) -> tuple[str, ...]:
    """The mails of ours that a mail answers, the one it replies to first."""
    ids = (*mail.headers.in_reply_to, *reversed(mail.headers.references))
    return tuple(dict.fromkeys(one for one in ids if _OURS.fullmatch(one)))


def _with_recipients(receipt: Receipt) -> Iterator[tuple[Told, str]]:
    """Each proof with the recipient as first addressed, where the receipt says it: a final one may be an alias."""
    told = evidence_of(receipt)
    if isinstance(receipt, DeliveryReport) and not receipt.is_plain_words:
        originals = [one.original_recipient for one in receipt.recipients if one.action is not None]
        yield from zip(told, originals, strict=True)
        return
    original = receipt.original_recipient if isinstance(receipt, ReadReport) else ""
    yield from ((one, original) for one in told)


def _proof(told: Told, recipient: str, source: str, at: datetime) -> Evidence:
    names = (*told.message_ids, *((told.envelope_id,) if told.envelope_id else ()))
    return Evidence(
        reference=names[0] if names else "",
        proves=_STATES[told.proof],
        at=at,
        source=source,
        cause=_cause(told),
        detail=_detail(told),
        also=names[1:],
        recipient=recipient,
    )


def _cause(told: Told) -> str:
    match told.proof:
        case Proof.REFUSED | Proof.DELETED:
            return f"identity-{told.code}" if _INTEGRATION.fullmatch(told.code) else "identity-906"
        case Proof.FAILED | Proof.REJECTED | Proof.EXPIRED:
            return _CAUSES.get(told.code) or _CAUSES.get(told.code.rpartition(".")[0], "undeliverable")
        case _:
            return ""


def _detail(told: Told) -> str:
    """Words of ours and codes: a label is a stranger's text."""
    code = told.code if re.fullmatch(r"[0-9.]{1,12}", told.code) else ""
    return " ".join(filter(None, (told.proof.value, code)))


def _source(receipt: Receipt) -> str:
    match receipt:
        case ReadReport():
            return "mdn"
        case FailureNotice():
            return "ko-mail"
        case DeliveryReport():
            return "dsn"


def _told_at(mail: IncomingMail, received_at: datetime) -> datetime:
    """When the receipt says it was written; never later than it came, and never without its zone."""
    written = mail.headers.sent_at
    if written is None or written.tzinfo is None:
        return received_at
    return min(written, received_at)
