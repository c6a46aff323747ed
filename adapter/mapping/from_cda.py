"""CDA in, understood: header for the doors, document Bundle for the rest, recipients of a bare document."""

from __future__ import annotations

from adapter.formats.cda import read_cda
from adapter.mapping.cda_header import read_header
from adapter.mapping.cda_values import CdaValues
from adapter.mapping.sources import XmlSource
from adapter.model.document import DocumentHeader

CIVIL_ZONE = "Europe/Paris"


def read_cda_header(content: bytes, zone: str = CIVIL_ZONE) -> DocumentHeader:
    """The header alone, for a door that must answer at once. Raises InputError as `read_cda`, or cda.header-incomplete."""
    root = read_cda(content).root
    return read_header(XmlSource(root), CdaValues(root, zone))
