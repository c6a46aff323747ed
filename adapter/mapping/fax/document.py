"""A document that came by fax, understood like one of any other door, and compared with a copy that came otherwise. Pure.

Law: blueprint seams 2, 3, 5, 14, 15. Its source is the canonical JSON of the annex, to the byte. Its recipients are local: who
sent it reached the others by themselves, and a fax is no relay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pybase64

from adapter.fhir import profiles as p
from adapter.fhir.canonical import canonical_json
from adapter.mapping.from_fhir import understand_fhir
from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.effects import Translation
from adapter.model.fax_in import FaxDoor
from adapter.model.identity import INS_TEST_OIDS
from adapter.model.inbox import LOCAL_SOFTWARE
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.receipt import Arrival
from adapter.model.submission import Submission, Urgency, Visibility

CONTENT_KIND = "fax"
_URGENT = ("urgent", "asap", "stat")


@dataclass(frozen=True, repr=False)
class HeldCopy(Confidential):
    """The same document and version as it came before: what is compared."""

    header: DocumentHeader
    content_kind: str
    media_type: str
    source: bytes


def translate_faxed(content: bytes, arrival: Arrival, receipt_id: str, door: FaxDoor) -> Translation:
    """The document of a verified annex. Raises InputError as for a FHIR document at any door."""
    made = understand_fhir(replace(arrival, content=content, side_car=b""), receipt_id)[0]
    submission = replace(
        made.submission,
        recipients=(_recipient(door),),
        urgency=_urgency(made.bundle),
        content_kind=CONTENT_KIND,
    )
    return replace(made, submission=submission)


def reasons_to_wait(translation: Translation, door: FaxDoor) -> Iterator[str]:
    """Why a document that is whole and verified is a person's all the same."""
    ins = translation.submission.document.patient.ins
    if ins is not None and ins.oid in INS_TEST_OIDS and not door.takes_test_identities:
        yield "instance.test-identity"
    if _is_restricted(translation.submission) and not door.takes_masked:
        yield "fax-masked"


def is_same_content(faxed: bytes, header: DocumentHeader, other: HeldCopy) -> bool:
    """Whether a faxed document's canonical JSON tells the same as a copy under the same id and version.

    A copy that the fax carries the hash of, or of which it is the canonical form, is known to the byte. A CDA that the sender
    made of the same data can only be compared by what both headers say.
    """
    if other.content_kind == CONTENT_KIND:
        return faxed == other.source
    files = dict(_files(json.loads(faxed)))
    if hashlib.sha256(other.source).hexdigest() in files:
        return True
    if other.content_kind == "fhir":
        try:
            return canonical_json(json.loads(other.source)) == faxed
        except (ValueError, TypeError, KeyError):
            return False
    if other.content_kind == "cda" and any("xml" in media_type for media_type in files.values()):
        return False  # the fax is of a CDA that came to its sender, and it is not this one
    return _says(header) == _says(other.header)


def _recipient(door: FaxDoor) -> Recipient:
    """Local software, or the role that the line is read for; nobody leaves it to a person."""
    kind = RecipientKind.APPLICATION if door.deliver_to.startswith(LOCAL_SOFTWARE) else RecipientKind.ORGANISATION
    return Recipient(kind, role_hint=door.deliver_to or "fax")


def _urgency(bundle: Mapping[str, Any]) -> Urgency:
    """Of a request, by what its sender's word became in FHIR. Semi-urgent is `urgent` there, and waits as urgent here: nothing in
    the document tells it from a stranger's `urgent`, and too early is better than too late.
    """
    orders = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "ServiceRequest")
    return Urgency.URGENT if any(order.get("priority") in _URGENT for order in orders) else Urgency.NONE


def _is_restricted(submission: Submission) -> bool:
    return submission.document.confidentiality in ("R", "V") or submission.visibility != Visibility()


def _says(header: DocumentHeader) -> tuple[str, ...]:
    patient = header.patient
    ins = patient.ins.value[:13] if patient.ins is not None else ""
    return ins, patient.birth_name.casefold(), patient.birth_date, header.type.code, header.created[:10]


def _files(value: Any) -> Iterator[tuple[str, str]]:
    """SHA-256 and media type of every file of a canonical document, left out or not."""
    match value:
        case {"_data": {"extension": [{"url": p.EXT_FILE_LEFT_OUT, "valueString": str(digest)}, *_]}}:
            yield digest, str(value.get("contentType", ""))
        case {"data": str(data)} if "dimensions" not in value:  # SampledData: measures, no file
            yield hashlib.sha256(pybase64.b64decode(data)).hexdigest(), str(value.get("contentType", ""))
        case dict():
            for one in value.values():
                yield from _files(one)
        case list():
            for one in value:
                yield from _files(one)
        case _:
            return
