"""The people, places and software that one MHD resource contains: each once, under a short id.

PDSm wants author, authenticator, custodian and sourcePatientInfo *contained* (aggregation inherited from MHD).
"""

from __future__ import annotations

from typing import Any

from adapter.fhir.parties import device_resource, organization_resource, practitioner_resource, practitioner_role_resource
from adapter.model.parties import Organisation, Party

Resource = dict[str, Any]
_CONTAINED_DROPS = ("text", "meta")


class ContainedActors:
    """The resources that one resource contains; each distinct actor once, under a short id."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self._known: dict[object, Resource] = {}

    def patient(self, patient: Resource) -> Resource:
        """A copy of the patient as the source knows it."""
        return self._add(("patient",), {"resourceType": "Patient", "id": "patient", **patient})

    def organisation(self, organisation: Organisation) -> Resource:
        """A structure."""
        return self._add(organisation, organization_resource(organisation, self._next("org")))

    def actor(self, party: Party) -> Resource:
        """Software alone is a Device; else a PractitionerRole, of a person or of a structure."""
        if party.device is not None and party.professional is None:
            return self._add(party.device, device_resource(party.device, self._next("device")))
        person = None
        if party.professional is not None:
            person = self._add(party.professional, practitioner_resource(party.professional, self._next("ps")))
        place = self.organisation(party.organisation) if party.organisation is not None else None
        role = practitioner_role_resource(party, self._next("role"))
        if person is not None:
            role["practitioner"] = person
        if place is not None:
            role["organization"] = place
        return self._add((party.professional, party.organisation), role)

    def _next(self, prefix: str) -> str:
        return f"{prefix}{len(self.resources) + 1}"

    def _add(self, key: object, resource: Resource) -> Resource:
        if key not in self._known:
            self.resources.append({k: v for k, v in resource.items() if k not in _CONTAINED_DROPS})
            self._known[key] = {"reference": f"#{resource['id']}"}
        return dict(self._known[key])
