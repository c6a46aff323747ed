"""Whom a mail's sender wants told what becomes of it, and whether they may be told by a machine.

Sources: RFC 8098 §2.1 and §3 (who may be sent an MDN), RFC 3834 §2 and RFC 5321 §6.3 (never an automaton, never in a circle);
`docs/reference/acknowledgements.md` says case by case who is told, and why silence is right.
"""

from __future__ import annotations

import re
from dataclasses import replace

from adapter.model.inbox import NO_INBOXES, Inbox, Inboxes
from adapter.model.receipt import Arrival
from adapter.model.submission import AcksWanted
from mssante.answers import receipt_refusal
from mssante.errors import MailError
from mssante.headers import DEFAULT_LIMITS
from mssante.incoming import IncomingMail, MailKind, read_mail

# As large as the operator lets anything be: what a door lets in is the door's own limit.
MAIL_LIMITS = replace(DEFAULT_LIMITS, total_bytes=268_435_456)
_PRINTABLE = re.compile(r"[!-~]+")
# What only mails of documents bear (Référentiel socle #2), for those of which the head alone was brought in.
_DOCUMENT_MARK = "X-MSS-CODECDA"


def asked_of(mail: IncomingMail, inbox: Inbox) -> AcksWanted:
    """An MDN when one was asked and may be sent, else the box that is told of refusals; never to an automaton."""
    if mail.forbids_answers or not _PRINTABLE.fullmatch(mail.headers.message_id):
        return AcksWanted()
    lacks_path = not inbox.wants_return_path
    may_answer = receipt_refusal(mail, inbox.own_addresses, without_return_path=lacks_path) is None
    return AcksWanted(
        notify_address=mail.headers.receipt_to[0].address if may_answer else "",
        message_id=mail.headers.message_id,
        final_recipient=address_of(mail, inbox),
        failure_address="" if may_answer else inbox.error_box,
    )


def asked_by_arrival(arrival: Arrival, *, inboxes: Inboxes = NO_INBOXES) -> AcksWanted:
    """The same for a mail that stops before it is understood, of which maybe only the head is there. Nobody, for what is no mail
    of documents: a person who writes to a person is not answered by a machine.
    """
    inbox = inboxes.of(arrival.door)
    try:
        mail = read_mail(arrival.content, MAIL_LIMITS, patient_domains=inbox.patient_domains)
    except MailError:
        return AcksWanted()
    by_its_head = mail.kind is MailKind.ORDINARY and (mail.subject.is_xdm or mail.headers.fields.has(_DOCUMENT_MARK))
    return asked_of(mail, inbox) if mail.kind is MailKind.DOCUMENT or by_its_head else AcksWanted()


def address_of(mail: IncomingMail, inbox: Inbox) -> str:
    """The mailbox that took it: ours, else whom the mail was written to."""
    headers = mail.headers
    written = (headers.original_recipient, *headers.delivered_to, *(one.address for one in headers.recipients))
    return inbox.address or next((one for one in written if "@" in one), "")
