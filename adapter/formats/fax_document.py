"""One document found in the codes of received pages: whole or not, signed by whom, and its canonical JSON. No I/O.

Specification: docs/reference/fax-annex.md. What nobody known has signed is a document all the same, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from adapter.errors import InputError
from adapter.formats.detached_jws import TrustedKey, verify
from adapter.formats.fax_annex import Gathered, inflate_all, put_together
from adapter.model.confidential import Confidential


@dataclass(frozen=True, repr=False)
class CarriedDocument(Confidential):
    """`id`: the annex document id in hexadecimal; `missing`: indexes of the data codes that were not read, of `codes`.

    `content` is empty until it is complete, or when it is `refused` (a code). `signed_by`: the name of the trusted key, or empty.
    `prints`: what its sheets looked like when they were sent, in order, where its sender tells it. `is_signed`: by whomever.
    """

    id: str
    codes: int
    missing: tuple[int, ...]
    is_complete: bool
    signed_by: str = ""
    content: bytes = b""
    refused: str = ""
    prints: tuple[bytes, ...] = ()
    is_signed: bool = False

    @property
    def is_verified(self) -> bool:
        """True when a known key signed it; an incomplete one never is."""
        return self.signed_by != ""

    @property
    def is_sound(self) -> bool:
        """True when it is whole, can be read, and is signed by a known key."""
        return self.is_verified and self.refused == ""


def carried_document(document_id: bytes, gathered: Gathered, keys: Mapping[str, TrustedKey]) -> CarriedDocument:
    """Put together, verified, inflated. `keys`: those trusted, by their id (`detached_jws.key_id_of`)."""
    annex = put_together(document_id, gathered)
    told = CarriedDocument(document_id.hex(), gathered.count, gathered.missing, annex is not None)
    if annex is None:
        return told
    signed = verify(annex.signature, annex.deflated, keys)
    name, is_signed = signed.name if signed else "", bool(annex.signature)
    try:
        carried = inflate_all(annex.deflated)
    except InputError as error:
        return replace(told, signed_by=name, refused=error.code, is_signed=is_signed)
    return replace(told, signed_by=name, content=carried.document, prints=carried.prints, is_signed=is_signed)
