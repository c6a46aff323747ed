"""What the directory says of a request on its day: the pathway of the service, the delays of the agreement in force.

Law: domain §3 (an agreement is dated; the version in force on the day of the request rules) and §5 (pathways). Without
an agreement nothing is told, and the form's own delays hold.
"""

from __future__ import annotations

from adapter.model.parties import Recipient, RecipientKind
from adapter.model.request import Asked, Terms
from adapter.routing.directory import Directory


def terms_of(directory: Directory, asked: Asked) -> Terms:
    """The terms of one request; empty when the directory knows neither its target nor an agreement."""
    hint = f"form-target:{asked.form}"
    target = directory.form_target(asked.form, asked.target)
    pathway, off = (target.pathway, frozenset(target.switched_off)) if target else ("", frozenset[str]())
    recipient = Recipient(RecipientKind.ORGANISATION, name=asked.target, role_hint=hint)
    found = directory.resolve(recipient, sender_finess=asked.requester_finess, on=asked.on, legal_entity=asked.legal_entity)
    if found.role is None:
        return Terms(pathway, switched_off=off)
    sender = directory.sender_end(asked.requester_finess, asked.legal_entity)
    agreement = directory.agreement_between(sender, found.role, asked.on)
    return Terms(pathway, agreement.delays if agreement else {}, off)
