"""Reads a shared record: finds documents (ITI-67), fetches one (ITI-68), its size and SHA-1 checked against what was announced.

Sources: IHE MHD 4.2.3 ITI-67, ITI-68; PDSm 3.1.1. Tolerant where servers differ (a Binary as JSON or as itself, a hash in base64
or in hexadecimal), strict where a patient is at stake: no other host is followed, and what was not announced is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

from adapter.channels.fhir_wire import FHIR_JSON, Answer, AnswerLostError, FhirWire, SharedRecordSettings, origin_of
from adapter.channels.record_answers import is_named, issue_codes, json_of, resources_in
from adapter.errors import InputError, UnavailableError
from adapter.model.confidential import Confidential

Resource = dict[str, Any]
_RFC_3986 = "urn:ietf:rfc:3986"
_URN = "urn:uuid:"
_MOST_PAGES = 50
_INS_OIDS = "1.2.250.1.213.1.4."


@dataclass(frozen=True, repr=False)
class FoundDocument(Confidential):
    """One DocumentReference as the record tells it. `ins` are the matricules that it names, `hidden` the codes of its masking,
    `subject` its patient's place in the record.
    """

    reference: str
    master_identifier: str
    status: str
    type_code: str
    date: str
    media_type: str
    size: int | None
    sha1: str
    url: str
    hidden: tuple[str, ...]
    replaces: tuple[str, ...]
    ins: frozenset[str]
    subject: str = ""


@dataclass(frozen=True, repr=False)
class FetchedDocument(Confidential):
    """The bytes of a document, as announced. `checked` names what could be verified: `size`, `sha1`."""

    content: bytes
    media_type: str
    checked: tuple[str, ...]


class RecordReader:
    """Questions to one record. InputError: it says no, or lies; UnavailableError: it does not say, ask later."""

    def __init__(
        self,
        settings: SharedRecordSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._base = settings.base_url.rstrip("/")
        self._max_bytes = settings.max_document_bytes
        self._wire = FhirWire(settings, clock, new_id)

    def find_by_patient(self, system: str, ins: str, *, also_superseded: bool = False) -> list[FoundDocument]:
        """A patient's documents, current ones only by default. `system` is the URI of the matricule's authority."""
        statuses = "current,superseded" if also_superseded else "current"
        subjects: dict[str, frozenset[str]] = {}
        found = self._search({"patient.identifier": f"{system}|{ins}", "status": statuses})
        # A server that does not know the parameter would answer with other people's documents.
        return [one for one in (self._with_subject(each, subjects) for each in found) if ins in one.ins]

    def find_by_identifier(self, identifier: str) -> list[FoundDocument]:
        """The documents of one master identifier (`urn:oid:…`, `urn:uuid:…`)."""
        return self._search({"identifier": f"{_RFC_3986}|{identifier}"}, named=identifier)

    def read(self, reference: str) -> FoundDocument:
        """One document by its place in the record (`DocumentReference/7`)."""
        kind, _, identity = reference.partition("/_history")[0].strip("/").rpartition("/")
        if kind.rpartition("/")[2] != "DocumentReference" or not identity.replace("-", "").replace(".", "").isalnum():
            text = "a document of the record is named DocumentReference/<id>, or by its master identifier"
            raise InputError("record.reference", text, where=reference)
        answer = self._get(f"{self._base}/DocumentReference/{identity}", FHIR_JSON)
        resource = json_of(answer.body)
        if resource.get("resourceType") != "DocumentReference":
            raise InputError("record.not-a-document", "the record gives something else under this reference", where=reference)
        return self._with_subject(_found(resource), {})

    def fetch(self, document: FoundDocument) -> FetchedDocument:
        """The document itself; InputError when it is not what its DocumentReference announces."""
        if not document.url:
            raise InputError("record.no-content", "the record announces no content", where=document.reference)
        # Some records leave the transaction's own name where they should write the Binary's place; it bears that very id.
        place = f"Binary/{document.url.removeprefix(_URN)}" if document.url.startswith(_URN) else document.url
        url = urljoin(f"{self._base}/", place)
        if origin_of(url) != origin_of(self._base):
            raise InputError(
                "record.other-host", "the document lies on another host: it is not followed", where=document.reference
            )
        answer = self._get(url, f"{document.media_type or '*/*'}, {FHIR_JSON};q=0.5", self._max_bytes * 4 // 3 + 65_536)
        content = _content_of(answer, document)
        checked = []
        if document.size is not None:
            if document.size != len(content):
                text = f"the document has {len(content)} bytes, {document.size} were announced"
                raise InputError("record.wrong-size", text, where=document.reference)
            checked.append("size")
        if document.sha1:
            if not _is_sha1_of(document.sha1, content):
                raise InputError("record.wrong-hash", "the document is not the one announced (SHA-1)", where=document.reference)
            checked.append("sha1")
        return FetchedDocument(content, document.media_type, tuple(checked))

    # ── questions ──────────────────────────────────────────────────────────────────────────────────────────────

    def _search(self, query: Mapping[str, str], named: str = "") -> list[FoundDocument]:
        found: list[FoundDocument] = []
        url, asked = f"{self._base}/DocumentReference", dict(query)
        for _ in range(_MOST_PAGES):
            bundle = json_of(self._get(url, FHIR_JSON, query=asked).body)
            if bundle.get("type") != "searchset":
                raise UnavailableError("record.no-searchset", "the record does not answer with a searchset", where="ITI-67")
            documents = (one for one in resources_in(bundle) if one.get("resourceType") == "DocumentReference")
            found += [_found(one) for one in documents if not named or is_named(one, named)]
            url, asked = _next_page(bundle, url), {}
            if not url:
                return found
            if origin_of(url) != origin_of(self._base):
                raise InputError("record.other-host", "the next page lies on another host: it is not followed", where="ITI-67")
        raise UnavailableError("record.too-many", "the record has too many pages: narrow the search", where="ITI-67")

    def _with_subject(self, document: FoundDocument, known: dict[str, frozenset[str]]) -> FoundDocument:
        """The matricules of the patient, read from the record when the document does not contain them; each subject once."""
        subject = document.subject
        if document.ins or subject.partition("/")[0] != "Patient":
            return document
        if subject not in known:
            patient = json_of(self._get(f"{self._base}/{subject}", FHIR_JSON).body)
            known[subject] = frozenset(_matricules([patient]))
        return replace(document, ins=known[subject])

    def _get(self, url: str, accept: str, max_bytes: int = 0, query: Mapping[str, str] | None = None) -> Answer:
        try:
            answer = self._wire.ask("GET", url, query=query, headers={"Accept": accept}, max_bytes=max_bytes)
        except (OSError, AnswerLostError) as error:
            text = f"the record cannot be asked ({type(error).__name__})"
            raise UnavailableError("record.unreachable", text, remedy="Try again; `tdu check` says more.") from None
        if answer.status in (404, 410):
            raise InputError("record.unknown", "the record has nothing there", where=f"HTTP {answer.status}")
        if answer.status == 429 or answer.status >= 500:
            raise UnavailableError("record.busy", "the record cannot answer now", where=f"HTTP {answer.status}")
        if answer.status != 200:
            codes = " ".join(issue_codes(answer.body))
            raise InputError("record.refused", "the record refuses to answer", where=f"HTTP {answer.status} {codes}".strip())
        return answer


def _next_page(bundle: Mapping[str, Any], url: str) -> str:
    links = bundle.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(urljoin(url, link["url"]))
    return ""


# ── what a DocumentReference tells ─────────────────────────────────────────────────────────────────────────────────


def _found(resource: Resource) -> FoundDocument:
    attachment = _first(_first(resource.get("content")).get("attachment"))
    size = attachment.get("size")
    labels = [coding for concept in _dicts(resource.get("securityLabel")) for coding in _dicts(concept.get("coding"))]
    relations = [one for one in _dicts(resource.get("relatesTo")) if one.get("code") == "replaces"]
    targets = (_first(_first(one.get("target")).get("identifier")).get("value", "") for one in relations)
    return FoundDocument(
        reference=f"DocumentReference/{resource.get('id', '')}",
        master_identifier=str(_first(resource.get("masterIdentifier")).get("value", "")),
        status=str(resource.get("status", "")),
        type_code=str(_first(_first(resource.get("type")).get("coding")).get("code", "")),
        date=str(resource.get("date", "")),
        media_type=str(attachment.get("contentType", "")),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        sha1=str(attachment.get("hash", "")),
        url=str(attachment.get("url", "")),
        hidden=tuple(str(one["code"]) for one in labels if str(one.get("code", "")).startswith(("MASQUE", "INVISIBLE"))),
        replaces=tuple(str(value) for value in targets if value),
        ins=frozenset(_matricules(_dicts(resource.get("contained")))),
        subject=str(_first(resource.get("subject")).get("reference", "")),
    )


def _matricules(resources: Iterable[Resource]) -> Iterable[str]:
    for resource in resources:
        if resource.get("resourceType") == "Patient":
            for identifier in _dicts(resource.get("identifier")):
                if str(identifier.get("system", "")).startswith(f"urn:oid:{_INS_OIDS}"):
                    yield str(identifier.get("value", ""))


def _first(value: Any) -> Resource:
    """The object itself, or the first of a list; empty for anything else: a record may answer anything."""
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, dict) else {}


def _dicts(value: Any) -> list[Resource]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _content_of(answer: Answer, document: FoundDocument) -> bytes:
    """The bytes, whether the record gives the Binary as a resource or as itself. A FHIR document is JSON too: it is no Binary."""
    resource = json_of(answer.body)
    if resource.get("resourceType") != "Binary" or not isinstance(resource.get("data"), str):
        return answer.body
    try:
        return base64.b64decode(resource["data"], validate=True)
    except binascii.Error as error:
        raise InputError("record.broken-binary", "the record's Binary is not base64", where=document.reference) from error


def _is_sha1_of(announced: str, content: bytes) -> bool:
    """The norm writes the hash in base64; XDS wrote it in hexadecimal, and some records kept it so."""
    made = hashlib.sha1(content, usedforsecurity=False)
    return announced in (base64.b64encode(made.digest()).decode(), base64.b64encode(made.hexdigest().encode()).decode()) or (
        announced.lower() == made.hexdigest()
    )
