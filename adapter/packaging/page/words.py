"""How a document Bundle is put in French words: dates, names, addresses, parties. Nothing of one document in particular.

Law: print what is there. A code without words is printed as the code, except where a reader would take it for noise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter.formats.phone_number import national
from adapter.model.confidential import Confidential

Resource = Mapping[str, Any]

_TITLES = {"DR": "Dr", "PR": "Pr", "M": "M.", "MME": "Mme", "MLLE": "Mlle", "MC": "Médecin chef", "MG": "Médecin général"}
_TELECOMS = {"phone": "Tél.", "fax": "Fax", "email": "", "url": "", "pager": "Bip", "sms": "SMS", "other": ""}
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d))?")


@dataclass(frozen=True, repr=False)
class Fact(Confidential):
    """One line of a block: a label (may be empty) and its words; `strong` for what the eye looks for first."""

    label: str
    words: str
    strong: bool = False


@dataclass(frozen=True, repr=False)
class Document(Confidential):
    """A Bundle with its references resolved."""

    bundle: Resource
    composition: Resource
    known: dict[str, Resource] = field(default_factory=dict)

    def at(self, reference: Any) -> Resource:
        """The resource behind a Reference; empty when it is elsewhere."""
        if not isinstance(reference, Mapping):
            return {}
        return self.known.get(str(reference.get("reference", "")), {})


def french_date(value: str) -> str:
    """`2026-11-21T09:30:00+01:00` → `21/11/2026 à 09:30`, with the precision of the source; other forms as they are."""
    match = _DATE.match(value)
    if match is None:
        return value
    year, month, day, hour, minute = match.groups()
    date = "/".join(part for part in (day, month, year) if part)
    return f"{date} à {hour}:{minute}" if hour else date


def french_period(period: Resource, *, lasting: bool = False) -> str:
    """`du … au …`, `le …` (`depuis le …` for what lasts), `jusqu'au …`."""
    start, end = french_date(str(period.get("start", ""))), french_date(str(period.get("end", "")))
    if start and end:
        day, _, hour = start.partition(" à ")
        last_day, _, last_hour = end.partition(" à ")
        if day == last_day and hour != last_hour and hour and last_hour:
            return f"le {day} de {hour} à {last_hour}"
        return f"le {start}" if start == end else f"du {start} au {end}"
    if start:
        return f"{'depuis ' if lasting else ''}le {start}"
    return f"jusqu'au {end}" if end else ""


def plain(words: str) -> str:
    """Words to compare: one case, one apostrophe, single spaces."""
    return " ".join(words.replace("’", "'").casefold().split())


def words_of(concept: Any) -> str:
    """A CodeableConcept or Coding in words, else its code."""
    if not isinstance(concept, Mapping):
        return ""
    codings = [c for c in concept.get("coding", ()) if isinstance(c, Mapping)] or [concept]
    words = concept.get("text") or next((c["display"] for c in codings if c.get("display")), "")
    return str(words or next((c["code"] for c in codings if c.get("code")), ""))


def extensions(resource: Resource, url: str) -> Iterator[Resource]:
    """The extensions of one URL."""
    for extension in resource.get("extension", ()):
        if extension.get("url") == url:
            yield extension


def value_of(extension: Resource) -> Any:
    """The value of an extension, whatever its type."""
    return next((value for key, value in extension.items() if key.startswith("value")), None)


def extension_value(resource: Resource, url: str) -> str:
    """The value of the first extension of a URL, as text."""
    return next((str(value_of(extension)) for extension in extensions(resource, url)), "")


def joined(*parts: str, by: str = ", ") -> str:
    """What is not empty, joined."""
    return by.join(part for part in parts if part)


def person_name(person: Resource) -> str:
    """Title, given names, FAMILY NAME."""
    name: Any = next(iter(person.get("name", ())), {})
    if not isinstance(name, Mapping):
        return str(person.get("name", ""))
    titles = [str(t) for t in (*name.get("suffix", ()), *name.get("prefix", ()))]
    title = _TITLES.get(titles[0].upper(), titles[0]) if titles else ""
    given = " ".join(str(g) for g in name.get("given", ()))
    return joined(title, given, str(name.get("family", "")).upper(), by=" ") or str(name.get("text", ""))


def device_name(device: Resource) -> str:
    """The name of a software or device."""
    names = [str(n.get("name", "")) for n in device.get("deviceName", ())]
    return joined(*names) or str(device.get("type", {}).get("text", "Logiciel"))


def reach_facts(resource: Resource) -> Iterator[Fact]:
    """Addresses, then telecoms on one line."""
    found = resource.get("address", ())
    for address in [found] if isinstance(found, Mapping) else found:
        words = _address(address)
        if words:
            yield Fact("", words)
    ways = [
        joined(_TELECOMS.get(str(t.get("system")), ""), phone_words(str(t.get("value", ""))), by="\u00a0")
        for t in resource.get("telecom", ())
    ]
    if ways:
        yield Fact("", joined(*ways, by=" · "))


def phone_words(value: str) -> str:
    """French numbers in pairs that no line end parts, others of the world in their own groups, anything else as it is."""
    digits = re.sub(r"[ .\-]", "", value)
    match = re.fullmatch(r"(0|\+33)(\d)(\d{2})(\d{2})(\d{2})(\d{2})", digits)
    if match is None:
        words = national(digits)
        return value if words == digits else words.replace(" ", "\u00a0")
    lead = f"+33 {match[2]}" if match[1] == "+33" else f"0{match[2]}"
    return "\u00a0".join((lead, *match.groups()[2:])).replace(" ", "\u00a0")


def _address(address: Resource) -> str:
    town = joined(str(address.get("postalCode", "")), str(address.get("city", "")), by=" ")
    lines = [str(line) for line in address.get("line", ())]
    return joined(*lines, town, str(address.get("country", ""))) or str(address.get("text", ""))


def number_in(resource: Resource, system: str) -> str:
    """The identifier of one system."""
    return next((str(i.get("value", "")) for i in resource.get("identifier", ()) if i.get("system") == system), "")


def party_words(document: Document, reference: Any, *, reached: bool = True) -> str:
    """Who, in what capacity, where, and how to reach them there: on one line."""
    resource = document.at(reference)
    ways = [fact.words for fact in reach_facts(resource)] if reached else []
    match resource.get("resourceType"):
        case "PractitionerRole":
            person = person_name(document.at(resource.get("practitioner")))
            place = str(document.at(resource.get("organization")).get("name", ""))
            return joined(person, roles_of(resource), place, *ways)
        case "Practitioner" | "RelatedPerson" | "Patient":
            return joined(person_name(resource), *ways)
        case "Organization" | "Location" | "HealthcareService":
            return str(resource.get("name", ""))
        case "Device":
            return device_name(resource)
        case _:
            return str(reference.get("display", "")) if isinstance(reference, Mapping) else ""


def roles_of(role: Resource) -> str:
    """Functions and specialties in words; bare codes say nothing to a reader."""
    words = [words_of(concept) for concept in (*role.get("code", ()), *role.get("specialty", ()))]
    spoken = [word for word in dict.fromkeys(words) if not re.fullmatch(r"[A-Z]*\d[\w/.-]*", word)]
    return joined(*spoken)
