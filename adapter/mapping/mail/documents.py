"""The documents of a mail: every CDA of every archive and every bare CDA, once each; what hinders the others. Pure.

Sources: Référentiel socle MSSanté #2, CI-SIS volet LPS, digest §5. A hostile archive is refused whole; a file that is not the one
that METADATA.XML announces is in quarantine. Places are numbers: names in a mail are the sender's, and may hold a patient's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from mssante.archive import Archive, ArchivedDocument, Subset, read_archive
from mssante.entries import Action, DocumentEntry, SubmissionSet
from mssante.errors import ArchiveError
from mssante.findings import Finding as Noticed
from mssante.incoming import IncomingMail
from mssante.safe_xml import root_name


@dataclass(frozen=True, repr=False)
class MailedDocument(Confidential):
    """One CDA of a mail, with what METADATA.XML says of it (None: nothing does)."""

    content: bytes
    place: str
    entry: DocumentEntry | None = None
    submission_set: SubmissionSet | None = None

    @property
    def action(self) -> Action | None:
        """Replace, delete, or None."""
        return self.entry.wanted_action if self.entry is not None else None


@dataclass(frozen=True)
class Obstacle:
    """Why something of a mail does not go on by itself: a stable code and a place."""

    code: str
    place: str

    def __str__(self) -> str:
        return f"{self.code} [{self.place}]" if self.place else self.code


@dataclass(frozen=True, repr=False)
class Contents(Confidential):
    """What a mail holds for us."""

    documents: tuple[MailedDocument, ...]
    obstacles: tuple[Obstacle, ...]
    findings: tuple[Finding, ...]


def open_mail(mail: IncomingMail) -> Contents:
    """Every document, whatever the shape of the mail."""
    opening = _Opening()
    for finding in mail.findings:
        opening.notice(finding, "courriel")
    for number, part in enumerate(mail.archives, start=1):
        opening.archive(part.content, f"archive {number}")
    for number, part in enumerate(mail.loose_documents, start=1):
        opening.document(MailedDocument(part.content, f"document {number}"))
        opening.note("mail.document-without-archive", f"document {number}")
    carried = len(mail.archives) + len(mail.loose_documents) + len(mail.pdfs)
    if len(mail.attachments) > carried:
        opening.note("mail.attachment-not-carried", f"{len(mail.attachments) - carried}")
    return opening.contents()


class _Opening:
    """Collects on the way."""

    def __init__(self) -> None:
        self._documents: dict[str, MailedDocument] = {}
        self._obstacles: list[Obstacle] = []
        self._findings: list[Finding] = []

    def contents(self) -> Contents:
        return Contents(tuple(self._documents.values()), tuple(self._obstacles), tuple(self._findings))

    def note(self, code: str, place: str) -> None:
        self._findings.append(Finding(Severity.WARNING, code, _WORDS.get(code, "Particularité relevée dans le courriel."), place))

    def notice(self, finding: Noticed, place: str) -> None:
        """What the library noticed; where it says is a number or a file of the archive, which may be named after a patient."""
        self.note(f"mail.{finding.code}", place)

    def hinder(self, code: str, place: str) -> None:
        self._obstacles.append(Obstacle(code, place))

    def document(self, document: MailedDocument) -> None:
        """The same file twice (an archive and its copy beside, two archives alike) is one document; the described one stays."""
        key = hashlib.sha256(document.content).hexdigest()
        known = self._documents.get(key)
        if known is None or (known.entry is None and document.entry is not None):
            self._documents[key] = document

    def archive(self, content: bytes, place: str) -> None:
        try:
            archive = read_archive(content)
        except ArchiveError as error:
            self.hinder(error.code, place)
            return
        for finding in archive.findings:
            self.notice(finding, place)
        before = len(self._obstacles)
        found: list[MailedDocument] = []
        for number, subset in enumerate(archive.subsets, start=1):
            found += self._subset(subset, place if len(archive.subsets) == 1 else f"{place}, lot {number}")
        is_sound = len(self._obstacles) == before
        for document in found:
            # A file that nothing describes may be the one that METADATA.XML fails to: it waits with what is wrong beside it.
            if is_sound or document.entry is not None:
                self.document(document)
        if not found and is_sound:
            self.hinder("mail.no-document" if not _holds_pdf(archive) else "mail.pdf-only", place)

    def _subset(self, subset: Subset, place: str) -> list[MailedDocument]:
        for finding in subset.findings:
            self.notice(finding, place)
            if finding.grave:
                self.hinder(f"mail.{finding.code}", place)
        found = (self._archived(one, subset, f"{place}, document {n}") for n, one in enumerate(subset.documents, start=1))
        return [document for document in found if document is not None]

    def _archived(self, document: ArchivedDocument, subset: Subset, place: str) -> MailedDocument | None:
        for finding in document.findings:
            self.notice(finding, place)
        if document.is_doubtful or document.content is None:
            self.hinder(next(_grave(document), "mail.document-missing"), place)
            return None
        if root_name(document.content) != "ClinicalDocument":
            return None  # the readable PDF that some writers put in the archive
        return MailedDocument(document.content, place, document.entry, subset.submission_set)


def _grave(document: ArchivedDocument) -> Iterator[str]:
    return (f"mail.{finding.code}" for finding in document.findings if finding.grave)


def _holds_pdf(archive: Archive) -> bool:
    contents = [one.content or b"" for one in archive.documents] + [one.content for one in archive.others]
    return any(content.lstrip()[:5] == b"%PDF-" for content in contents)


_WORDS = {
    "mail.document-without-archive": "Document joint sans archive : son en-tête seul le décrit.",
    "mail.attachment-not-carried": "Pièces jointes qui ne sont ni archive, ni document, ni PDF : gardées avec le courriel.",
    "mail.metadata-missing": "Archive sans METADATA.XML : l'en-tête des documents seul les décrit.",
    "mail.document-undescribed": "Document que METADATA.XML ne décrit pas.",
    "mail.hash-missing": "METADATA.XML ne donne pas d'empreinte : rien ne prouve que le document est celui annoncé.",
    "mail.size-missing": "METADATA.XML ne donne pas la taille du document.",
}
