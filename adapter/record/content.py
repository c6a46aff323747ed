"""The documents themselves: their bytes, whether size and SHA-1 are true, and whose they say they are.

Law: PDSm 3.1.1 (attachment.size, attachment.hash: base64 of SHA-1, of the bytes that ITI-68 gives back). A document that names
its patient by a matricule must name the patient of its metadata: CDA recordTarget, or the Patient of a FHIR document.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter.errors import InputError
from adapter.formats.cda import open_cda
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding
from adapter.model.identity import INS_OIDS
from adapter.record.refusals import finding

_XML_TYPES = frozenset({"text/xml", "application/xml", "application/hl7-sda+xml", "application/hl7-cda+xml"})
_FHIR_TYPES = frozenset({"application/fhir+json", "application/json"})
_V3 = "{urn:hl7-org:v3}"


@dataclass(frozen=True, repr=False)
class Content(Confidential):
    """A document's bytes, and the resource type under which they are given back: Binary or Bundle."""

    kind: str
    media_type: str
    data: bytes

    @property
    def sha1(self) -> str:
        """Base64 of SHA-1: what the norm asks for; it finds accidents, it is no seal."""
        return base64.b64encode(hashlib.sha1(self.data, usedforsecurity=False).digest()).decode()


def binary_content(binary: Mapping[str, Any]) -> Content | None:
    """The bytes of a Binary; None when there are none, or what is there is not base64."""
    try:
        data = base64.b64decode("".join(str(binary["data"]).split()), validate=True)
        return Content("Binary", str(binary["contentType"]), data)
    except (KeyError, ValueError, binascii.Error):
        return None


def attachment_faults(attachment: Mapping[str, Any], content: Content, place: str) -> Iterator[Finding]:
    """Where the metadata do not tell the truth of the bytes. What they leave out is not judged here."""
    if "size" in attachment and attachment["size"] != len(content.data):
        yield finding("record.size", f"{place}.size")
    if "hash" in attachment and "".join(str(attachment["hash"]).split()) != content.sha1:
        yield finding("record.hash", f"{place}.hash")
    told = _bare_type(str(attachment.get("contentType", "")))
    if told and told != _bare_type(content.media_type):
        yield finding("record.content-type", f"{place}.contentType")


def _bare_type(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def matricules_in(content: Content) -> frozenset[str]:
    """The INS matricules by which a document names its patient; empty when it names none, or cannot be read."""
    media_type = _bare_type(content.media_type)
    if media_type in _XML_TYPES:
        return frozenset(_cda_matricules(content.data))
    if content.kind == "Bundle" or media_type in _FHIR_TYPES:
        return frozenset(_fhir_matricules(content.data))
    return frozenset()


def _cda_matricules(data: bytes) -> Iterator[str]:
    try:
        root = open_cda(data).root
    except InputError:
        return  # no CDA: a record keeps any document
    for identifier in root.iterfind(f"{_V3}recordTarget/{_V3}patientRole/{_V3}id"):
        if identifier.get("root") in INS_OIDS and identifier.get("extension"):
            yield str(identifier.get("extension"))


def _fhir_matricules(data: bytes) -> Iterator[str]:
    try:
        bundle = json.loads(data)
        entries = bundle.get("entry", []) if bundle.get("type") == "document" else []
        patients = [one["resource"] for one in entries if one["resource"].get("resourceType") == "Patient"]
    except (ValueError, AttributeError, LookupError, TypeError, RecursionError):
        return
    for patient in patients:
        yield from matricules_of(patient)


def matricules_of(patient: Mapping[str, Any]) -> tuple[str, ...]:
    """The matricules of a Patient resource."""
    held = patient.get("identifier")
    return tuple(
        str(one["value"])
        for one in (held if isinstance(held, list) else ())
        if isinstance(one, dict) and is_ins_system(str(one.get("system", ""))) and one.get("value")
    )


def is_ins_system(system: str) -> bool:
    """Whether an identifier's system is one of the INS."""
    return system.removeprefix("urn:oid:") in INS_OIDS
