"""A FHIR document that a partner sends: inspected as strictly as what we emit, its header understood, its bytes kept.

The Bundle itself is the translation: nothing is rewritten. Added to it: the received bytes as a Binary, which the Composition
names. Recipients come as for a bare CDA: side-car or query, else médecin traitant and who referred, else a person decides.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter import __version__
from adapter.errors import InputError
from adapter.fhir import profiles as p
from adapter.fhir.account import Maker, with_account
from adapter.fhir.bundle import Ids, entry_of, reference_to
from adapter.fhir.document import binary_resource
from adapter.fhir.reading import Entries, extension, extensions, identity_of, organisation_of, party_of, time_of, unique_id
from adapter.fhir.validate import Level, validate_bundle
from adapter.formats.fhir import FHIR_JSON, read_resource
from adapter.mapping.account import Account
from adapter.mapping.legal import check_letter
from adapter.mapping.recipients import recipients_of
from adapter.mapping.side_car import SideCar, read_side_car, side_car_account
from adapter.mapping.terminology import terminology_revision, unknown_code
from adapter.model.confidential import Confidential
from adapter.model.document import BodyKind, Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.effects import LegalItem, Translation, UnreadNode
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.parties import Organisation, Party
from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict
from adapter.model.submission import Destinations, Intent, Submission

Fhir = dict[str, Any]

REVISION = "fhir-document-1"
_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "https://traitdunion.example/fhir/documents")
_MOST_FINDINGS = 200
_PARTICIPANTS = (p.EXT_PARTICIPANT, p.EXT_INFORMANT)
_SOURCE = p.OURS + "source-document"


@dataclass(frozen=True, repr=False)
class _Reading(Confidential):
    """A document read: its data, its header, what is wrong with it."""

    bundle: Fhir
    header: DocumentHeader
    findings: tuple[Finding, ...]
    legal: tuple[LegalItem, ...] = ()


def inspect_fhir(arrival: Arrival) -> Inspection:
    """What is known at once: a document Bundle, whole and valid, about one patient, by somebody."""
    fingerprint = hashlib.sha256(arrival.content).hexdigest()
    try:
        reading = _read(arrival.content, Level.FULL)
        side_car = read_side_car(arrival.side_car)
    except InputError as error:
        refusal = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy)
        return Inspection(ContentKind.FHIR, Verdict.REFUSED, fingerprint=fingerprint, findings=(refusal,))
    control = MessageControl(event="fhir", control_id=reading.header.unique_id)
    verdict = Verdict.REFUSED if errors_of(reading.findings) else Verdict.ACCEPTED
    return Inspection(
        ContentKind.FHIR, verdict, control, fingerprint, reading.findings[:_MOST_FINDINGS],
        envelope=lambda receipt_id: (_submission(arrival, receipt_id, reading.header, side_car),),
    )  # fmt: skip


def understand_fhir(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
    """The one document, with its recipients. Raises InputError with the first error of one that cannot be taken."""
    reading = _taken(arrival.content)
    header = reading.header
    submission = _submission(arrival, receipt_id, header, read_side_car(arrival.side_car))
    ids = Ids(f"{header.unique_id}|{hashlib.sha256(arrival.content).hexdigest()}")
    source = ids.mint("Binary", "source")
    bundle = _with_source(reading.bundle, binary_resource(arrival.content, FHIR_JSON, source))
    document, beside = _account_of(arrival.content, bundle), side_car_account(arrival.side_car)
    revision = f"{REVISION}.{terminology_revision()}"
    translation = Translation(
        submission=submission,
        bundle=with_account(bundle, source, ids.mint("Provenance"), Maker(__version__, revision), document.unread),
        source_document=arrival.content,
        source_media_type=FHIR_JSON,
        unread=document.unread + beside.unread,
        findings=reading.findings,
        mapping_revision=revision,
        read_count=document.read_count + beside.read_count,
        legal=reading.legal,
        source_map=_places(reading.bundle),
    )
    return (translation,)


def header_in(content: bytes) -> DocumentHeader:
    """The header of a document that can be taken. Raises InputError as `understand_fhir`."""
    return _taken(content).header


def _taken(content: bytes) -> _Reading:
    # The models judged these very bytes at the door, and judge them again in what leaves: not a third time here.
    reading = _read(content, Level.SHAPE)
    for error in errors_of(reading.findings):
        raise InputError(error.code, error.text, where=error.location, remedy=error.remedy)
    return reading


def _submission(arrival: Arrival, receipt_id: str, header: DocumentHeader, side_car: SideCar) -> Submission:
    return Submission(
        id=str(uuid.uuid5(_ROOT, f"{receipt_id}:{header.unique_id}")),
        receipt_id=receipt_id,
        legal_entity=arrival.principal.legal_entity,
        document=header,
        intent=Intent.REPLACE if header.replaces else Intent.NEW,
        recipients=recipients_of(side_car, header),
        sender=header.authors[0],
        destinations=Destinations(professionals=True),
        urgency=side_car.urgency,
        control_id=header.unique_id,
        content_kind="fhir",
    )


def _read(content: bytes, level: Level) -> _Reading:
    bundle = read_resource(content, p.EXT_ORIGINAL_LITERAL)
    if bundle["resourceType"] != "Bundle" or bundle.get("type") != "document":
        raise InputError(
            "fhir.not-a-document", "Seul un document FHIR (Bundle de type document) est accepté ici.", where="Bundle.type",
            remedy="Envoyer un Bundle de type document, dont la première entrée est une Composition.",
        )  # fmt: skip
    found = validate_bundle(bundle, level)
    if errors_of(found):
        return _Reading(bundle, _EMPTY, found)
    header = header_of(bundle)
    lacking = tuple(_lacks(header))
    legal, told = check_letter(header, bundle) if not lacking else ((), ())
    unknown = unknown_code("document-classes", header.type.code, "Composition.type")
    return _Reading(bundle, header, (*found, *lacking, *unknown, *told), legal)


_EMPTY = DocumentHeader("", Code(), "", "", identity_of({}), (), Organisation(), BodyKind.FHIR)


def _lacks(header: DocumentHeader) -> Iterator[Finding]:
    """What no rendition can do without: a type, a person who answers for it, a patient's name."""
    people = [party for party in (*header.authors, header.legal_authenticator) if party and party.professional]
    if not header.type.code:
        yield _error("fhir.no-type", "Le type du document n’est pas codé.", "Composition.type")
    if not any(party.professional and party.professional.family for party in people):
        yield _error("fhir.no-author", "Aucun auteur ni signataire n’est un professionnel nommé.", "Composition.author")
    if not (header.patient.birth_name or header.patient.used_name):
        yield _error("fhir.no-patient-name", "Le patient n’a pas de nom.", "Patient.name")


def _error(code: str, text: str, place: str) -> Finding:
    return Finding(Severity.ERROR, code, text, place, "Compléter le document et le renvoyer.")


def _with_source(bundle: Fhir, binary: Fhir) -> Fhir:
    """The Bundle, and its received bytes beside: what travels can always be compared with what came."""
    first, *others = bundle["entry"]
    composition = first["resource"]
    link = {"url": _SOURCE, "valueReference": reference_to(binary)}
    named = {**composition, "extension": [*composition.get("extension", ()), link]}
    return {**bundle, "entry": [{**first, "resource": named}, *others, entry_of(binary)]}


# -- account ---------------------------------------------------------------------------------------------------------------------


def _account_of(content: bytes, bundle: Fhir) -> Account:
    """Each value received, looked for at its place in the Bundle that leaves: it is kept there, or told as left."""
    left: list[UnreadNode] = []
    kept = 0
    for path, value, found in _beside(json.loads(content.decode("utf-8-sig")), bundle, "Bundle"):
        if value == found and isinstance(value, bool) is isinstance(found, bool):
            kept += 1
        else:
            left.append(UnreadNode(path, str(value)[:80], reason="it is not in the document that leaves"))
    return Account(tuple(left), kept)


def _beside(received: object, made: object, path: str) -> Iterator[tuple[str, object, object]]:
    """Every value received, with what stands at its place."""
    if isinstance(received, dict):
        for key, value in received.items():
            yield from _beside(value, made.get(key) if isinstance(made, dict) else None, f"{path}.{key}")
    elif isinstance(received, list):
        others = made if isinstance(made, list) else []
        for index, value in enumerate(received):
            yield from _beside(value, others[index] if index < len(others) else None, f"{path}[{index}]")
    elif received not in (None, ""):
        yield path, received, made


def _places(bundle: Fhir) -> dict[str, str]:
    """Where each resource stood in the document as it was received."""
    resources = enumerate(entry["resource"] for entry in bundle["entry"])
    return {made["id"]: f"Bundle.entry[{index}] ({made['resourceType']})" for index, made in resources if made.get("id")}


# -- header ----------------------------------------------------------------------------------------------------------------------


def header_of(bundle: Mapping[str, Any]) -> DocumentHeader:
    """The header of a document Bundle that validates."""
    entries = Entries(bundle)
    composition: Fhir = bundle["entry"][0]["resource"]
    patient = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    authors = tuple(party for reference in composition.get("author", ()) if (party := party_of(reference, entries)))
    legal: Fhir = next((a for a in composition.get("attester", ()) if a.get("mode") == "legal"), {})
    custodian = entries.at(composition.get("custodian"))
    replaced: Fhir = next((r for r in composition.get("relatesTo", ()) if r.get("code") == "replaces"), {})
    number = document_id(bundle.get("identifier", {}))
    return DocumentHeader(
        unique_id=number,
        set_id=document_id(composition.get("identifier", {})) or number,
        version=_version(composition),
        replaces=document_id(replaced.get("targetIdentifier", {})),
        type=_best_code(composition.get("type", {})),
        title=str(composition.get("title", "")),
        created=str(composition.get("date", "")),
        patient=identity_of(patient),
        authors=authors,
        custodian=organisation_of(custodian) if custodian else _organisation(authors),
        body=BodyKind.FHIR,
        confidentiality=_confidentiality(composition),
        confidentiality_label="",
        language=str(composition.get("language") or "fr-FR"),
        legal_authenticator=_timed(party_of(legal.get("party"), entries), str(legal.get("time", ""))),
        participants=tuple(_participants(composition, entries)),
        service_events=tuple(_event(event, entries) for event in composition.get("event", ()) if _says(event)),
        stay=_stay(entries.at(composition.get("encounter")), entries),
        template_ids=tuple(str(t.get("valueString", "")) for t in extensions(composition, p.EXT_TEMPLATE_ID)),
        model="fhir",
    )


def document_id(identifier: Mapping[str, Any]) -> str:
    """An Identifier as an XDS unique id; one that is no OID nor UUID gets an OID of ours, always the same."""
    if not identifier.get("value"):
        return ""
    known = unique_id(identifier)
    told = f"{identifier.get('system', '')}|{identifier['value']}"
    return known or f"2.25.{uuid.uuid5(_ROOT, told).int}"


def _version(composition: Fhir) -> int:
    text = str(extension(composition, p.EXT_COMPOSITION_VERSION).get("valueString", ""))
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 9 else 1


def _confidentiality(composition: Fhir) -> str:
    """U, L and M are the usual level for what leaves; a word unknown is refused by validation."""
    level = str(composition.get("confidentiality", "N"))
    return level if level in ("R", "V") else "N"


def _best_code(concept: Mapping[str, Any]) -> Code:
    """The LOINC coding of a type when there is one: the norm's types are LOINC."""
    codings = [coding for coding in concept.get("coding", ()) if coding.get("code")]
    best = next((coding for coding in codings if coding.get("system") == p.LOINC), codings[0] if codings else {})
    return _code(best) if best else Code()


def _code(coding: Mapping[str, Any]) -> Code:
    return Code(str(coding.get("code", "")), str(coding.get("system", "")), str(coding.get("display", "")))


def _organisation(authors: tuple[Party, ...]) -> Organisation:
    return next((author.organisation for author in authors if author.organisation), Organisation())


def _timed(party: Party | None, time: str) -> Party | None:
    return Party(party.professional, party.organisation, party.device, time=time) if party else None


def _participants(composition: Fhir, entries: Entries) -> Iterator[ReferringParty]:
    """Those who took part, under the type that the French header gives them (INF + PCP: médecin traitant)."""
    for url in _PARTICIPANTS:
        for found in extensions(composition, url):
            kind = _first(extension(found, "type").get("valueCodeableConcept"))
            function = _first(extension(found, "function").get("valueCodeableConcept"))
            party = party_of(extension(found, "party").get("valueReference"), entries)
            code = str(kind.get("code") or ("INF" if url == p.EXT_INFORMANT else ""))
            if party is None or party.professional is None or not code or (code == "INF" and not function):
                continue
            label, time = str(function.get("display", "")), time_of(extension(found, "time"))
            party = Party(party.professional, party.organisation, None, str(function.get("code", "")), label, time)
            yield ReferringParty(code, party.function_code, party)


def _first(concept: object) -> Mapping[str, Any]:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return codings[0] if codings else {}


def _says(event: Fhir) -> bool:
    return bool(event.get("code") or (event.get("period") or {}).get("start"))


def _event(event: Fhir, entries: Entries) -> ServiceEvent:
    period = event.get("period") or {}
    performer = party_of(extension(event, p.EXT_EVENT_PERFORMER).get("valueReference"), entries)
    return ServiceEvent(
        code=_best_code(next(iter(event.get("code", ())), {})),
        start=str(period.get("start", "")),
        end=str(period.get("end", "")),
        performer=performer if performer and performer.professional else None,
        identifier=unique_id(extension(event, p.EXT_EVENT_IDENTIFIER).get("valueIdentifier", {})),
    )


def _stay(encounter: Mapping[str, Any], entries: Entries) -> Stay | None:
    if not encounter:
        return None
    kind, period = encounter.get("class", {}), encounter.get("period") or {}
    place = entries.at(next((found.get("location") for found in encounter.get("location", ())), None))
    provider = entries.at(encounter.get("serviceProvider"))
    known = str(kind.get("system", "")) != p.V3_NULL_FLAVOR
    return Stay(
        class_code=str(kind.get("code", "")) if known else "",
        class_system=str(kind.get("system", "")) if known else "",
        class_label=str(kind.get("display", "")) if known else "",
        start=str(period.get("start", "")),
        end=str(period.get("end", "")),
        facility_type=_code(_first(next(iter(place.get("type", ())), None))),
        identifiers=tuple(_visit_numbers(encounter)),
        organisation=organisation_of(provider) if provider else None,
    )


def _visit_numbers(encounter: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for identifier in encounter.get("identifier", ()):
        root, _, value = unique_id(identifier).partition("^")
        if root and value:
            yield root, value
