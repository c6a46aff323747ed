"""Every search parameter of the record, in one table: how it is asked, and what of a resource is indexed under it.

Law: FHIR R4 DocumentReference, List, Patient and Consent searches; MHD 4.2.3 ITI-66, ITI-67; PDSm 3.1.1 (period-start,
period-end, isArchived). The capability statement and the contract's page are made from this table. Texts that go to the index are
forms of values, one per way of asking; the store keeps them as keyed HMACs only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adapter.fhir.reading import extension
from adapter.fhir.search import Kind, Parameter, Span, span_of
from adapter.ledger.lookup import normalise_name
from adapter.ledger.record_rows import AUTHOR_ORGANISATION, Indexes
from adapter.record import profile_rules as rules

Resource = Mapping[str, Any]
Extract = Callable[[Resource], Iterable[Any]]

LONGEST_NAME = 60
_FOREVER = datetime(2201, 1, 1, tzinfo=UTC)
_EVER = datetime(1800, 1, 1, tzinfo=UTC)
_EXACT = frozenset({"exact"})
_BY_IDENTIFIER = frozenset({"identifier"})


@dataclass(frozen=True)
class Searchable:
    """One parameter of a resource type. Without `extract` it is a column of the store; `text` is for people."""

    parameter: Parameter
    text: str
    extract: Extract | None = None

    @property
    def name(self) -> str:
        """As it is asked."""
        return self.parameter.name


def _of(name: str, kind: Kind, text: str, extract: Extract | None = None, modifiers: frozenset[str] = frozenset()) -> Searchable:
    return Searchable(Parameter(name, kind, modifiers), text, extract)


# ── what is found in a resource ────────────────────────────────────────────────────────────────────────────────────


def _path(*steps: str) -> Extract:
    def found(resource: Resource) -> Iterator[Any]:
        yield from _along(resource, steps)

    return found


def _along(node: Any, steps: Sequence[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for one in node:
            yield from _along(one, steps)
    elif not steps:
        if node is not None:
            yield node
    elif isinstance(node, Mapping):
        yield from _along(node.get(steps[0]), steps[1:])


def _all_of(*extracts: Extract) -> Extract:
    return lambda resource: [found for extract in extracts for found in extract(resource)]


def _actors(resource: Resource, path: tuple[str, ...]) -> Iterator[Resource]:
    """The contained resources that an element leads to, and those which these lead to."""
    contained = {f"#{one.get('id')}": one for one in resource.get("contained") or ()}
    for reference in _along(resource, path):
        actor = contained.get(str(reference.get("reference")))
        if actor is None:
            continue
        yield actor
        for key in ("practitioner", "organization"):
            linked = contained.get(str((actor.get(key) or {}).get("reference")))
            if linked is not None:
                yield linked


def _person_names(path: tuple[str, ...], part: str) -> Extract:
    def found(resource: Resource) -> Iterator[Any]:
        for actor in _actors(resource, path):
            if actor.get("resourceType") in ("Practitioner", "Patient", "RelatedPerson"):
                yield from _along(actor, ("name", part))

    return found


def _organisation_identifiers(path: tuple[str, ...]) -> Extract:
    def found(resource: Resource) -> Iterator[Any]:
        for actor in _actors(resource, path):
            if actor.get("resourceType") == "Organization":
                yield from _along(actor, ("identifier",))

    return found


def _author_org(resource: Resource) -> Iterator[Any]:
    """The organisation behind a set's source: MHD's extension, else the source's own organisation."""
    contained = {f"#{one.get('id')}": one for one in resource.get("contained") or ()}
    told = extension(resource.get("source") or {}, rules.AUTHOR_ORG).get("valueReference") or {}
    yield from _along(contained.get(str(told.get("reference")), {}), ("identifier",))
    yield from _organisation_identifiers(("source",))(resource)


def _extended(url: str, key: str) -> Extract:
    def found(resource: Resource) -> Iterator[Any]:
        value = extension(resource, url).get(key)
        if value is not None:
            yield value

    return found


# ── the tables ─────────────────────────────────────────────────────────────────────────────────────────────────────

_ABOUT_PATIENT = (
    _of("patient", Kind.REFERENCE, "Le patient, par son id ici."),
    _of("patient.identifier", Kind.TOKEN, "Le patient, par son matricule INS."),
)
_ALWAYS = (
    _of("_id", Kind.TOKEN, "L’id ici."),
    _of("_lastUpdated", Kind.DATE, "La dernière modification."),
)
_TAG = _of("_tag", Kind.TOKEN, "Un marqueur de l’émetteur.", _path("meta", "tag"))

DOCUMENTS = (
    *_ALWAYS, _TAG, *_ABOUT_PATIENT,
    _of("status", Kind.TOKEN, "current ou superseded."),
    _of("identifier", Kind.TOKEN, "L’identifiant unique ou un autre.", _all_of(_path("masterIdentifier"), _path("identifier"))),
    _of("type", Kind.TOKEN, "Le type de document.", _path("type", "coding")),
    _of("category", Kind.TOKEN, "La classe de document.", _path("category", "coding")),
    _of("facility", Kind.TOKEN, "Le secteur d’activité.", _path("context", "facilityType", "coding")),
    _of("setting", Kind.TOKEN, "Le cadre d’exercice.", _path("context", "practiceSetting", "coding")),
    _of("event", Kind.TOKEN, "Un acte ou un diagnostic.", _path("context", "event", "coding")),
    _of("security-label", Kind.TOKEN, "La confidentialité ou la visibilité.", _path("securityLabel", "coding")),
    _of("format", Kind.TOKEN, "Le format.", _path("content", "format")),
    _of("contenttype", Kind.TOKEN, "Le type de contenu.", _path("content", "attachment", "contentType")),
    _of("isArchived", Kind.TOKEN, "Archivé ou non.", _extended(rules.IS_ARCHIVED, "valueBoolean")),
    _of("date", Kind.DATE, "La création de la fiche.", _path("date")),
    _of("creation", Kind.DATE, "La création du document.", _path("content", "attachment", "creation")),
    _of("period", Kind.DATE, "La durée de l’acte.", _path("context", "period")),
    _of("period-start", Kind.DATE, "Le début de l’acte.", _path("context", "period", "start")),
    _of("period-end", Kind.DATE, "La fin de l’acte.", _path("context", "period", "end")),
    _of("author.family", Kind.STRING, "Le nom d’un auteur.", _person_names(("author",), "family"), _EXACT),
    _of("author.given", Kind.STRING, "Le prénom d’un auteur.", _person_names(("author",), "given"), _EXACT),
    _of("related", Kind.REFERENCE, "Ce que la fiche nomme (examen, demande).", _path("context", "related"), _BY_IDENTIFIER),
    _of("relatesto", Kind.REFERENCE, "Le document auquel elle se rapporte.", _path("relatesTo", "target"), _BY_IDENTIFIER),
    _of("relation", Kind.TOKEN, "Comment elle s’y rapporte.", _path("relatesTo", "code")),
)  # fmt: skip

LISTS = (
    *_ALWAYS, _TAG, *_ABOUT_PATIENT,
    _of("status", Kind.TOKEN, "current."),
    _of("code", Kind.TOKEN, "submissionset ou folder.", _path("code", "coding")),
    _of("identifier", Kind.TOKEN, "Un identifiant.", _path("identifier")),
    _of("date", Kind.DATE, "L’envoi.", _path("date")),
    _of("designationType", Kind.TOKEN, "L’activité.", lambda r: _path("coding")(extension(r, rules.DESIGNATION_TYPE).get(
        "valueCodeableConcept") or {})),
    _of("sourceId", Kind.TOKEN, "Le système émetteur.", _extended(rules.SOURCE_ID, "valueIdentifier")),
    _of("authorOrg", Kind.TOKEN, "La structure émettrice, par son identifiant.", _author_org),
    _of("title", Kind.STRING, "Le titre.", _path("title"), _EXACT),
    _of("source.family", Kind.STRING, "Le nom de l’émetteur.", _person_names(("source",), "family"), _EXACT),
    _of("source.given", Kind.STRING, "Le prénom de l’émetteur.", _person_names(("source",), "given"), _EXACT),
)  # fmt: skip

PATIENTS = (
    *_ALWAYS,
    _of("identifier", Kind.TOKEN, "Le matricule INS.", _path("identifier")),
)

CONSENTS = (
    *_ALWAYS,
    *_ABOUT_PATIENT,
    _of("status", Kind.TOKEN, "active ou inactive."),
)

TABLES: Mapping[str, tuple[Searchable, ...]] = {
    "DocumentReference": DOCUMENTS,
    "List": LISTS,
    "Patient": PATIENTS,
    "Consent": CONSENTS,
}
SORTS = ("date", "_lastUpdated")


# ── from a resource to its index ───────────────────────────────────────────────────────────────────────────────────


def indexes_of(resource: Resource) -> Indexes:
    """All that a resource is found by."""
    tokens: list[tuple[str, str]] = []
    spans: list[tuple[str, datetime, datetime]] = []
    for searchable in TABLES.get(str(resource.get("resourceType")), ()):
        if searchable.extract is None:
            continue
        for value in searchable.extract(resource):
            if searchable.parameter.kind is Kind.DATE:
                span = stretch_of(value)
                spans += [(searchable.name, span.start, span.end)] if span else []
            else:
                tokens += [(searchable.name, text) for text in _texts(searchable.parameter.kind, value)]
    if resource.get("resourceType") == "DocumentReference":
        tokens += [(AUTHOR_ORGANISATION, number) for number in author_organisations(resource)]
    return Indexes(tuple(dict.fromkeys(tokens)), tuple(dict.fromkeys(spans)))


def author_organisations(document: Resource) -> tuple[str, ...]:
    """The numbers (FINESS…) of the structures that a document's authors belong to; of the custodian when they say none."""
    found = [one.get("value") for one in _organisation_identifiers(("author",))(document)]
    if not found:
        found = [one.get("value") for one in _organisation_identifiers(("custodian",))(document)]
    return tuple(dict.fromkeys(str(value) for value in found if value))


def stretch_of(value: Any) -> Span | None:
    """The time that a date or a Period stands for; an open end is far away."""
    if isinstance(value, str):
        return span_of(value)
    if not isinstance(value, Mapping):
        return None
    start, end = span_of(str(value.get("start", ""))), span_of(str(value.get("end", "")))
    if start is None and end is None:
        return None
    return Span(start.start if start else _EVER, end.end if end else _FOREVER)


def _texts(kind: Kind, value: Any) -> Iterator[str]:
    if kind is Kind.STRING:
        name = normalise_name(str(value))[:LONGEST_NAME]
        yield from (prefix_text(name[: n + 1]) for n in range(len(name)))
        yield exact_text(str(value))
    elif isinstance(value, bool):
        yield from token_texts("", "true" if value else "false")
    elif isinstance(value, Mapping) and "reference" in value:
        kept = str(value["reference"])
        yield from (reference_text(kept), reference_text(kept.rpartition("/")[2]))
        if isinstance(value.get("identifier"), Mapping):
            yield from _texts(Kind.TOKEN, value["identifier"])
    elif isinstance(value, Mapping):
        told = value["identifier"] if isinstance(value.get("identifier"), Mapping) else value
        yield from token_texts(str(told.get("system", "")), str(told.get("code") or told.get("value") or ""))
    else:
        yield from token_texts("", str(value))


def token_texts(system: str, code: str) -> tuple[str, ...]:
    """The three ways of asking for a token."""
    return (f"code:{code}", f"both:{system}|{code}", f"system:{system}") if code else ()


def prefix_text(name: str) -> str:
    """A normalised name's beginning."""
    return f"begins:{name}"


def exact_text(name: str) -> str:
    """A name as written."""
    return f"exact:{name}"


def reference_text(reference: str) -> str:
    """`Type/id`, or an id alone."""
    return f"to:{reference}"
