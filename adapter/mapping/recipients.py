"""To whom a bare document goes: its side-car, else the médecin traitant that it names and who referred, else nobody.

Source: CSP R.1112-1-2, a discharge letter goes to both. Never `informationRecipient`, which tells who was told (seam 3).
Nobody leaves the decision to a person.
"""

from __future__ import annotations

from adapter.fhir.parties import professional_label
from adapter.mapping.side_car import SideCar
from adapter.model.document import DocumentHeader
from adapter.model.parties import Organisation, Party, Professional, Recipient, RecipientKind


def recipients_of(side_car: SideCar, header: DocumentHeader) -> tuple[Recipient, ...]:
    """The side-car's, else the médecin traitant and who referred; who is both is told once, as the former."""
    if side_car.recipients:
        return side_car.recipients
    pcp = [_recipient(r.party, "PCP") for r in header.participants if r.function_code == "PCP"]
    referrers = [_recipient(r.party, "REF") for r in header.participants if r.type_code in ("REF", "REFB")]
    found: dict[str, Recipient] = {}
    for recipient in (*pcp, *referrers):
        if recipient is not None:
            found.setdefault(recipient.rpps or recipient.finess, recipient)
    return tuple(found.values())


def _recipient(party: Party, hint: str) -> Recipient | None:
    professional, organisation = party.professional or Professional(), party.organisation or Organisation()
    if not professional.rpps and not organisation.finess:
        return None
    kind = RecipientKind.PROFESSIONAL if professional.rpps else RecipientKind.ORGANISATION
    name = professional_label(professional) if party.professional else organisation.name
    return Recipient(kind, rpps=professional.rpps, finess=organisation.finess, name=name, role_hint=hint)
