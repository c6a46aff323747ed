"""The team around a patient: the treating doctor, who wrote of them, whom it was sent to, as the directory names them.

A CareTeam tells who *is known to us* to care for somebody, each with the part they play; it is no list of rights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from adapter.coordination.held import HeldDocument
from adapter.fhir.bundle import Ids, resources_of
from adapter.fhir.narrative import generated
from adapter.fhir.parties import Parties, party_label
from adapter.fhir.standing_alone import patient_reference, standing_alone
from adapter.model.parties import Organisation, Party, Professional, RecipientKind
from adapter.routing.directory import Directory

Resource = dict[str, Any]

TREATING, AUTHOR, RECIPIENT = "Médecin traitant", "Auteur de documents", "Destinataire de documents"
_TREATING_FUNCTION = "PCP"
_TEAM_KINDS = frozenset({RecipientKind.PROFESSIONAL, RecipientKind.ORGANISATION})


@dataclass(frozen=True)
class Member:
    """One member: who and where, and the parts they play, each once."""

    party: Party
    parts: tuple[str, ...]


def care_team_of(documents: Sequence[HeldDocument], doctor: Professional | None, directory: Directory) -> Resource | None:
    """The CareTeam of the patient of these documents; None without a document. `doctor`: the treating one that ADT declared."""
    if not documents:
        return None
    oldest = min(documents, key=lambda one: (one.submission.document.created, one.submission.id))
    patient = resources_of(oldest.bundle, "Patient")[0]
    ids = Ids(f"care-team/{oldest.submission.document.unique_id}")
    made = Parties(ids)
    members = [(member, made.role(member.party)) for member in members_of(documents, doctor, directory)]
    team: Resource = {
        "resourceType": "CareTeam",
        "id": ids.mint("CareTeam"),
        "text": generated("Équipe connue autour du patient"),
        "status": "active",
        "name": "Équipe de coordination",
        "subject": patient_reference(patient),
        "participant": [
            {
                "role": [{"text": part} for part in member.parts],
                "member": {"reference": f"urn:uuid:{role['id']}", "display": party_label(member.party)},
            }
            for member, role in members
        ],
    }
    context = {
        "identifier": oldest.bundle["identifier"],
        "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in made.resources],
    }
    whole = standing_alone(team, context)
    del whole["meta"]  # of several documents, not of one
    return whole


def members_of(documents: Sequence[HeldDocument], doctor: Professional | None, directory: Directory) -> list[Member]:
    """Everybody once, the treating doctor first, then in the order in which documents name them."""
    found: dict[object, Member] = {}
    for party, part in _named(documents, doctor, directory):
        key = _key_of(party)
        if key is None:
            continue
        known = found.get(key)
        parts = tuple(dict.fromkeys((*(known.parts if known else ()), part)))
        found[key] = Member(known.party if known else party, parts)
    return list(found.values())


def _named(documents: Sequence[HeldDocument], doctor: Professional | None, directory: Directory) -> Iterable[tuple[Party, str]]:
    ordered = sorted(documents, key=lambda one: (one.submission.document.created, one.submission.id))
    if doctor is not None:
        yield Party(professional=doctor), TREATING
    else:
        yield from ((party, TREATING) for held in ordered for party in _treating(held))
    for held in ordered:
        yield from ((_bare(author), AUTHOR) for author in held.submission.document.authors if author.professional)
    for held in ordered:
        for recipient in held.recipients:
            party = _of_role(recipient.role_id, directory) if recipient.kind in _TEAM_KINDS else None
            if party is not None:
                yield party, RECIPIENT


def _treating(held: HeldDocument) -> list[Party]:
    people = held.submission.document.participants
    return [_bare(one.party) for one in people if one.function_code == _TREATING_FUNCTION and one.party.professional]


def _bare(party: Party) -> Party:
    """Without when and why of one document: the same person is one member."""
    return Party(professional=party.professional, organisation=party.organisation)


def _of_role(role_id: str, directory: Directory) -> Party | None:
    """Who holds a role of the directory; None for a bare address or a role that the files no longer hold."""
    role = directory.role(role_id)
    place = directory.organisation(role.organisation) if role is not None else None
    if role is None or place is None:
        return None
    if role.kind is RecipientKind.PROFESSIONAL:
        person = Professional(family=role.display.removesuffix(f", {place.short}"), rpps=role.rpps)
        return Party(professional=person, organisation=Organisation(name=place.name, finess=place.finess))
    name = place.name if not role.department else role.display
    return Party(organisation=Organisation(name=name, finess=place.finess, unit=role.department))


def _key_of(party: Party) -> object | None:
    """What makes two mentions one member: a person's number in a place, or the place itself; a nameless one is nobody."""
    person, place = party.professional, party.organisation
    where = (place.finess or place.name, place.unit) if place is not None else None
    if person is not None and (person.rpps or person.family):
        return "person", person.rpps or (person.family, person.given), where
    return ("place", where) if where and any(where) else None
