"""Gives back what was read of the participations and served nothing, so that the report lists it.

Law: every value is mapped, carried or listed. Rules read all that a participation may say; an envelope keeps what it can use: a
number that is no RPPS, a structure beside a person, somebody whom no flag asks for would else be lost in silence.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapter.mapping.engine import Values
from adapter.mapping.hl7.source import Hl7Source
from adapter.mapping.transforms import finess_of, rpps_of
from adapter.model.parties import Party, Recipient, RecipientKind

# Where each extracted value of a PRT stands: field, component. What only tells how to read the others is left out.
_PLACES = {
    "person_id": (5, 1),
    "person_family": (5, 2),
    "person_given": (5, 3),
    "organisation_name": (8, 1),
    "organisation_id": (8, 10),
    "device_id": (10, 1),
    "device_name": (10, 2),
    "address": (15, 4),
}


def give_back_recipients(
    source: Hl7Source, rows: Sequence[tuple[Values, Recipient]], kept: Sequence[Recipient], matricule: str
) -> None:
    """What no kept recipient holds; the patient's own number and names are the document's."""
    for node, (row, recipient) in zip(source.root.select("PRT[4=RCT]"), rows, strict=True):
        used = _held_by(recipient) if recipient in kept else set()
        if recipient.kind is RecipientKind.PATIENT and any(one.kind is RecipientKind.PATIENT for one in kept):
            used = {matricule, *(one.address for one in kept)} | _names(row)
        for key, place in _PLACES.items():
            if row[key] and not ({row[key], rpps_of(row[key]), finess_of(row[key])} - {""}) & used:
                source.give_back(node.segment, *place)


def give_back_sender(source: Hl7Source, row: Values, sender: Party | None) -> None:
    """What the sender's party does not hold, of the first PRT SB."""
    for node in source.root.select("PRT[4=SB]")[:1]:
        used = _held_by_party(sender)
        for key, place in _PLACES.items():
            if row[key] and not ({row[key], rpps_of(row[key]), finess_of(row[key])} - {""}) & used:
                source.give_back(node.segment, *place)


def give_back_marks(source: Hl7Source) -> None:
    """NTE-4 says FIN or nothing that is known."""
    for node in source.root.select("OBX[3=DESTMSSANTEPAT]/NTE-4"):
        if node.segment.value(4, 1, node.repetition).strip() != "FIN":
            source.give_back(node.segment, 4, repetition=node.repetition)


def _names(row: Values) -> set[str]:
    return {row["person_family"], row["person_given"]}


def _held_by(recipient: Recipient) -> set[str]:
    return {recipient.address, recipient.rpps, recipient.finess, recipient.unit, recipient.name, *recipient.name.split()} - {""}


def _held_by_party(party: Party | None) -> set[str]:
    if party is None:
        return set()
    held: set[str] = set()
    if party.professional is not None:
        held |= {party.professional.family, party.professional.given, party.professional.rpps, party.professional.national_id}
    if party.organisation is not None:
        held |= {party.organisation.name, party.organisation.finess, party.organisation.national_id, party.organisation.unit}
    if party.device is not None:
        held |= {party.device.identifier, party.device.software}
    return held - {""}
