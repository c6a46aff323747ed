"""Which structured model a document's content can meet: the volets that we write, as data, and the choice N3 or N1.

Law: a model is chosen by the document's type, and only when every section and entry that its volet makes mandatory is there:
what is missing is never made up to pass a rule. Then the document leaves as N1, whole, with its PDF.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adapter.data import mappings_root
from adapter.errors import MappingError
from adapter.fhir.reading import Entries
from adapter.model.document import Code
from adapter.model.submission import Submission
from adapter.packaging.cda_out.absent import tells_absence
from adapter.packaging.cda_out.acts import modality_of
from adapter.packaging.code_tables import oid_of

Fhir = Mapping[str, Any]


@dataclass(frozen=True)
class SectionModel:
    """One section of a volet."""

    code: str
    label: str
    title: str
    templates: tuple[str, ...]
    required: bool = False
    words: bool = False
    needs: tuple[str, ...] = ()
    kind: str = ""
    inside: str = ""
    accepts: tuple[str, ...] = ()
    entries_in: str = ""
    absent: str = ""


@dataclass(frozen=True)
class DocumentModel:
    """One volet. `page`: the readable page travels among its attached documents."""

    name: str
    type: str
    templates: tuple[str, ...]
    sections: tuple[SectionModel, ...]
    principal_act: Code
    page: bool = False

    def section(self, code: str) -> SectionModel | None:
        """The section of a LOINC code."""
        return next((section for section in self.sections if section.code == code), None)


@lru_cache(maxsize=1)
def models() -> tuple[DocumentModel, ...]:
    """All volets that we write. MappingError when their file is wrong."""
    try:
        data = tomllib.loads((mappings_root() / "documents" / "cda-out.toml").read_text(encoding="utf-8"))
        return tuple(_model(found) for found in data["models"])
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        text = f"{type(error).__name__} while reading the models that we write"
        raise MappingError("mapping.rules-unreadable", text, where="documents/cda-out") from error


def _model(data: Mapping[str, Any]) -> DocumentModel:
    sections = tuple(_section_model(found) for found in data["sections"])
    act = Code(**data["principal_act"])
    return DocumentModel(data["name"], data["type"], tuple(data["templates"]), sections, act, data.get("page", False))


def _section_model(data: Mapping[str, Any]) -> SectionModel:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return SectionModel(**values)


def model_for(submission: Submission, bundle: Fhir) -> DocumentModel | None:
    """The model that this document's content meets; None: it leaves as N1."""
    model = next((found for found in models() if found.type == submission.document.type.code), None)
    composition = composition_of(bundle)
    if model is None or not composition or not submission.document.patient.birth_date:
        return None
    entries = Entries(bundle)
    found = {code_of(section.get("code")): section for section in all_sections(composition.get("section"))}
    return model if all(_meets(section, found, entries) for section in model.sections) else None


def _meets(model: SectionModel, found: Mapping[str, Fhir], entries: Entries) -> bool:
    section = found.get(model.code)
    if section is None:
        return not model.required or model.words
    names = {name for resource in _resources(section, entries) for name in _names_of(resource)}
    if model.kind == "imaging" and not all(map(_is_imaging, _resources(section, entries))):
        return False
    return set(model.needs) <= names or tells_absence(model.absent, section)


def _names_of(resource: Fhir) -> Iterator[str]:
    yield str(resource.get("resourceType"))
    yield from (str(coding.get("code")) for coding in (resource.get("code") or {}).get("coding") or ())


def _is_imaging(resource: Fhir) -> bool:
    """An imaging request needs a modality that has an OID, a site; scintigraphies ask for what we do not have (MED-1133)."""
    if resource.get("resourceType") != "ServiceRequest":
        return True
    coding: Fhir = next(iter(modality_of(resource).get("coding") or ()), {})
    known = bool(oid_of(str(coding.get("system", "")))) and coding.get("code") not in ("PT", "NM")
    return known and bool(resource.get("bodySite"))


def _resources(section: Fhir, entries: Entries) -> list[Fhir]:
    own = [entries.at(reference) for reference in section.get("entry") or ()]
    return own + [resource for below in section.get("section") or () for resource in _resources(below, entries)]


def composition_of(bundle: Fhir) -> Fhir:
    """The Composition of a document Bundle; empty when there is none."""
    first: Fhir = next(iter(bundle.get("entry") or ()), {})
    resource = first.get("resource")
    return resource if isinstance(resource, dict) and resource.get("resourceType") == "Composition" else {}


def all_sections(sections: object) -> Iterator[Fhir]:
    """Sections and sub-sections, outer ones first."""
    for section in sections if isinstance(sections, list) else ():
        if isinstance(section, dict):
            yield section
            yield from all_sections(section.get("section"))


def code_of(concept: object) -> str:
    """The first code of a concept."""
    coding: Fhir = next(iter(concept.get("coding") or ()), {}) if isinstance(concept, dict) else {}
    return str(coding.get("code", ""))
