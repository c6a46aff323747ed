"""Reads IHE_XDM.zip (ITI-32) as the field writes it: several subsets, odd names, wrong hashes, no METADATA.XML at all.

    archive = read_archive(content)
    for document in archive.documents:
        document.entry      # what METADATA.XML says, or None when nothing describes the file
        document.content    # the very bytes; document.findings says `hash-mismatch` when they are not those described

Hostile archives are refused whole with ArchiveError. Everything else is a Finding: quarantine is the caller's choice.
To compare whom METADATA.XML, the CDA, the subject and X-MSS-INS name is the caller's too: each is readable here or in `incoming`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from mssante.entries import Action, DocumentEntry, SubmissionSet
from mssante.findings import Finding
from mssante.metadata import DescribedDocument, read_metadata
from mssante.safe_xml import parse_xml, root_name
from mssante.unzip import DEFAULT_LIMITS, ArchiveLimits, ZippedFile, unzip

__all__ = ["Archive", "ArchiveLimits", "ArchivedDocument", "Subset", "ZippedFile", "read_archive"]

_METADATA = "metadata.xml"


@dataclass(frozen=True, repr=False)
class ArchivedDocument:
    """A document of the archive. `entry` is None when no METADATA.XML describes it: its own header is then all there is.

    `content` is None when METADATA.XML describes a file that is not there (a deletion may be sent so).
    """

    path: str
    content: bytes | None
    entry: DocumentEntry | None
    findings: tuple[Finding, ...] = ()

    @property
    def action(self) -> Action | None:
        """Replace, delete, or None for a new document: the French `action`, else an RPLC association."""
        return self.entry.wanted_action if self.entry else None

    @property
    def is_doubtful(self) -> bool:
        """True when a grave finding concerns this document."""
        return any(finding.grave for finding in self.findings)


@dataclass(frozen=True, repr=False)
class Subset:
    """One sub-directory: a submission set and its documents. `metadata` is METADATA.XML as it came, None when absent."""

    folder: str
    submission_set: SubmissionSet | None
    documents: tuple[ArchivedDocument, ...]
    metadata: bytes | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, repr=False)
class Archive:
    """The whole archive: subsets by path, and the files that no METADATA.XML describes and that are no CDA (README, PDF…)."""

    subsets: tuple[Subset, ...]
    others: tuple[ZippedFile, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def documents(self) -> tuple[ArchivedDocument, ...]:
        """The documents of every subset."""
        return tuple(document for subset in self.subsets for document in subset.documents)

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """What was noticed of the archive, of its subsets and of their documents."""
        below = (finding for subset in self.subsets for finding in subset.findings)
        return (*self.findings, *below, *(finding for document in self.documents for finding in document.findings))


def read_archive(content: bytes, limits: ArchiveLimits = DEFAULT_LIMITS) -> Archive:
    """The archive; ArchiveError when it is hostile, broken, beyond the limits, or its METADATA.XML is an attack."""
    files = unzip(content, limits)
    described = [file for file in files if file.name.casefold() == _METADATA and file.path.count("/") <= limits.depth]
    subsets: list[Subset] = []
    left = [file for file in files if not any(file is metadata for metadata in described)]
    for metadata in sorted(described, key=lambda file: file.path):
        subset, taken = _subset(metadata, left, limits)
        subsets.append(subset)
        left = [file for file in left if file.path not in taken]
    bare, others = _without_metadata(left)
    if bare:
        subsets += [Subset(folder, None, documents, None) for folder, documents in bare.items()]
    findings = () if described else (Finding("metadata-missing"),)
    return Archive(tuple(subsets), tuple(others), findings if subsets else (*findings, Finding("no-document", grave=True)))


def _subset(file: ZippedFile, candidates: list[ZippedFile], limits: ArchiveLimits) -> tuple[Subset, set[str]]:
    parsed = parse_xml(file.content, file.path, limits.metadata_bytes)
    if parsed is None:
        return Subset(file.folder, None, (), file.content, (Finding("metadata-unreadable", file.path, grave=True),)), set()
    metadata = read_metadata(parsed.root)
    noted = [Finding("charset-wrong", file.path)] if parsed.charset_repaired else []
    if not metadata.documents:
        noted.append(Finding("subset-empty", file.path))
    neighbours = {other.name.casefold(): other for other in reversed(candidates) if other.folder == file.folder}
    documents: list[ArchivedDocument] = []
    taken: set[str] = set()
    for number, described in enumerate(metadata.documents, start=1):
        document = _find(described, neighbours, file.folder, f"document {number}")
        if document.content is not None and document.path in taken:
            document = replace(document, findings=(*document.findings, Finding("file-described-twice", document.path)))
        taken.add(document.path)
        documents.append(document)
    return Subset(file.folder, metadata.submission_set, tuple(documents), file.content, (*noted, *metadata.findings)), taken


def _find(described: DescribedDocument, neighbours: dict[str, ZippedFile], folder: str, where: str) -> ArchivedDocument:
    # Only the file's own name counts: writers put `./DOC1.XML`, `SUBSET01\\DOC1.XML` or another case in URI.
    name = described.uri.replace("\\", "/").rpartition("/")[2]
    found = neighbours.get(name.casefold()) if name else None
    if found is None:
        path = f"{folder}/{name}" if name else ""
        return ArchivedDocument(path, None, described.entry, (Finding("document-missing", where, grave=True),))
    return ArchivedDocument(found.path, found.content, described.entry, _differences(described, found))


def _differences(described: DescribedDocument, file: ZippedFile) -> tuple[Finding, ...]:
    noted: list[Finding] = []
    # A missing hash or size is told by the reader of METADATA.XML.
    digest = hashlib.sha1(file.content, usedforsecurity=False).hexdigest()
    if described.hash and described.hash != digest:
        noted.append(Finding("hash-mismatch", file.path, grave=True))
    if described.size is not None and described.size != len(file.content):
        noted.append(Finding("size-mismatch", file.path, grave=True))
    return tuple(noted)


def _without_metadata(files: list[ZippedFile]) -> tuple[dict[str, tuple[ArchivedDocument, ...]], list[ZippedFile]]:
    """The CDAs that nothing describes, by folder, and the other files."""
    bare: dict[str, tuple[ArchivedDocument, ...]] = {}
    others: list[ZippedFile] = []
    for file in files:
        if root_name(file.content) == "ClinicalDocument":
            document = ArchivedDocument(file.path, file.content, None, (Finding("document-undescribed", file.path),))
            bare[file.folder] = (*bare.get(file.folder, ()), document)
        else:
            others.append(file)
    return bare, others
