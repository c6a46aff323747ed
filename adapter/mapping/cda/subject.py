"""The subject of a section when it is somebody else than the patient, as a RelatedPerson.

Source: CDA R2 relatedSubject; the mother in the CI-SIS child health certificates. The French profile wants exactly one
identifier: a document that gives none gets ours, marked as temporary.
"""

from __future__ import annotations

from adapter.fhir import profiles as p
from adapter.fhir.identity import addresses, telecoms
from adapter.fhir.narrative import generated
from adapter.mapping.cda.context import EntryContext, Fhir
from adapter.mapping.cda.header import template_of
from adapter.mapping.cda.people import read_addresses, read_name, read_telecoms
from adapter.mapping.xml_source import XmlNode

_GENDERS = {"F": "female", "M": "male", "UN": "unknown"}


def read_subject(node: XmlNode, at: EntryContext) -> Fhir | None:
    """The person that a `subject` names; None when it names none."""
    for template in node.children("templateId"):
        template_of(template)
    related = node.first("relatedSubject")
    if related is None:
        return None
    made = at.mint("RelatedPerson", "subject")
    found: Fhir = {
        "resourceType": "RelatedPerson",
        "id": made,
        "text": generated("Personne dont parle cette partie du document"),
        "identifier": [{"use": "temp", "system": p.URI_SYSTEM, "value": f"urn:uuid:{made}"}],  # unless the source gives one
        "patient": {"reference": at.subject},
    }
    relation = at.values.concept(related.first("code"))
    if relation:
        found["relationship"] = [relation]
    person = related.first("subject")
    if person is not None:
        found |= _person(person, at)
    for key, value in (("telecom", telecoms(read_telecoms(related))), ("address", addresses(read_addresses(related)))):
        if value:
            found[key] = value
    return found


def _person(person: XmlNode, at: EntryContext) -> Fhir:
    found: Fhir = {}
    first = person.first("sdtc:id")  # a second one stays unread, hence told
    identifiers = [i for i in (at.values.identifier(first),) if i]
    family, given, civility, title = read_name(person.first("name"))
    name = {key: value for key, value in (("family", family), ("given", [given] if given else []),
            ("prefix", [civility] if civility else []), ("suffix", [title] if title else [])) if value}  # fmt: skip
    if identifiers:
        found["identifier"] = identifiers[:1]
    if name:
        found["name"] = [name]
    gender = _GENDERS.get(person.value_at("administrativeGenderCode/@code"), "")
    if gender:
        found["gender"] = gender
    return found | at.values.day(person.first("birthTime"), "birthDate")
