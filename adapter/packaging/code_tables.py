"""The code tables that renditions need: document class, format, kind of activity… Data of `mappings/terminology`.

Columns: `code` (looked up), `target` (code written), `label`. Sources: ASS_X04 (type → class), ASS_A11 (model → format),
TRE_R209 (activity), TRE_R02 (facility), TRE_A01 (practice setting).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from adapter.data import Table, mappings_root, read_table
from adapter.errors import MappingError
from adapter.model.document import Code

_OIDS = {
    "document-classes": "1.2.250.1.213.1.1.4.1",
    "content-types": "1.2.250.1.213.2.2",
    "facility-types": "1.2.250.1.71.4.2.4",
    "practice-settings": "1.2.250.1.213.1.1.4.9",
}
ANS_FORMATS = "1.2.250.1.213.1.1.4.2.282"
IHE_FORMATS = "1.3.6.1.4.1.19376.1.2.3"
LOINC = "2.16.840.1.113883.6.1"
ANS_DOCUMENT_TYPES = "1.2.250.1.213.1.1.4.12"


@lru_cache(maxsize=16)
def load_codes(table: str) -> Mapping[str, Code]:
    """A table by code looked up; MappingError when its file is missing or wrong."""
    try:
        return {row["code"]: Code(row["target"], _OIDS.get(table, ""), row["label"]) for row in _read(table).rows}
    except KeyError as error:
        raise _unreadable(table, error) from error


def _read(table: str) -> Table:
    try:
        return read_table(mappings_root() / "terminology" / f"{table}.csv")
    except (OSError, ValueError) as error:
        raise _unreadable(table, error) from error


def _unreadable(table: str, error: Exception) -> MappingError:
    return MappingError("mapping.table-unreadable", f"{type(error).__name__} while reading a code table", where=table)


def class_of(type_code: str) -> Code:
    """The class of a document type; an unlisted type is a report, the widest class."""
    classes = load_codes("document-classes")
    return classes.get(type_code) or Code("10", _OIDS["document-classes"], "Compte rendu")


def format_of(template_ids: tuple[str, ...]) -> Code:
    """The format of a structured CDA by its model's templateId; an unlisted model has a code of its own."""
    formats = load_codes("document-formats")
    for template in reversed(template_ids):
        known = formats.get(template.partition("^")[0].partition("|")[0])
        if known is not None:
            return Code(known.code, IHE_FORMATS if known.code.startswith("urn:ihe:") else ANS_FORMATS, known.label)
    return Code("urn:asipSante:modelesHorsProfils:2011", ANS_FORMATS, "Document non référencé IHE ou CI-SIS")


PDF_FORMAT = Code("urn:ihe:iti:xds-sd:pdf:2008", IHE_FORMATS, "Document à corps non structuré en Pdf/A-1")


def activity_of(*candidates: str) -> Code:
    """The kind of activity by the first code known: PV1-2, the encounter's, the practice setting's; else undifferentiated."""
    activities = load_codes("content-types")
    return next((activities[code] for code in candidates if code in activities), activities["N"])


def oid_of(system: str) -> str:
    """The OID of a code system, whatever way its holder names it; empty when only a URI is known."""
    name = system.removeprefix("urn:oid:")
    return name if name[:2] in ("0.", "1.", "2.") else _oids_by_uri().get(name, "")


@lru_cache(maxsize=1)
def _oids_by_uri() -> Mapping[str, str]:
    return {row["uri"]: row["oid"] for row in _read("oid-uri").rows}


def type_scheme(code: Code) -> str:
    """The OID of a type code's system; where the holder does not say, the code's own form tells LOINC from TRE_A05."""
    known = oid_of(code.system)
    if known:
        return known
    number, dash, check = code.code.partition("-")
    return LOINC if dash and number.isdigit() and check.isdigit() else ANS_DOCUMENT_TYPES
