"""Faxes that wait, as a person at the desk looks at them: pages read again, the documents and forms that they hold together.

Law: issue 6; blueprint seams 13, 20. Nothing is kept of a look but that there was one: drafts are read again from the kept pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapter.errors import InputError
from adapter.formats.fax_annex import read_code
from adapter.formats.fax_document import CarriedDocument, carried_document
from adapter.formats.fax_joining import join_codes
from adapter.formats.page_print import difference_picture
from adapter.formats.sheet_reading import Received, ReceivedPage
from adapter.ledger.fax_desk import KeptFax
from adapter.ledger.ledger import Ledger
from adapter.mapping.fax.compare import CalledPages, compare_pages, page_at
from adapter.model.audit import AuditEntry
from adapter.model.confidential import Confidential
from adapter.model.fax_in import FaxDoors
from adapter.model.paper_draft import FormDraft
from adapter.model.work_item import WorkAbout
from adapter.pipeline.faxes import trusted_keys
from adapter.pipeline.paper import ReadSources, Source, read_sources

# What is named of an annex document's id must leave no doubt.
_SHORTEST_ID = 8


@dataclass(frozen=True, repr=False)
class DeskDocument(Confidential):
    """A document in codes, and which of the faxes on the desk brought them."""

    carried: CarriedDocument
    faxes: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class SheetThatCame(Confidential):
    """A page that is a sheet of a document: in how many places it is not as it was signed, and, if any, a picture (PNG) with a
    frame around each.
    """

    document: str
    fax: str
    rank: int
    places: int
    png: bytes

    @property
    def where(self) -> str:
        """Its place, as reading names it."""
        return ReceivedPage.named(self.fax, self.rank)


@dataclass(frozen=True, repr=False)
class FaxesOnDesk(Confidential):
    """Faxes of one legal entity as a person asked to see them, oldest first, and what their pages hold together."""

    legal_entity: str
    faxes: tuple[KeptFax, ...]
    read: ReadSources
    documents: tuple[DeskDocument, ...]

    @property
    def drafts(self) -> tuple[FormDraft, ...]:
        """The forms, numbered from 1 in this order."""
        return self.read.received.drafts

    def fax(self, receipt_id: str) -> KeptFax:
        """One of them."""
        return next(fax for fax in self.faxes if fax.receipt.id == receipt_id)

    def draft(self, numbers: Sequence[int]) -> FormDraft:
        """One form by its number, the only one when none is named; several numbers: their pages as one form, which a person
        saw to be one patient's. Raises InputError.
        """
        wanted = tuple(dict.fromkeys(numbers)) or ((1,) if len(self.drafts) == 1 else ())
        if not wanted:
            said = f"there are {len(self.drafts) or 'no'} forms filled by hand in these faxes"
            raise InputError("fax.which-draft", said, where="--draft", remedy="`tdu fax show` numbers them: name one.")
        if not all(1 <= number <= len(self.drafts) for number in wanted):
            said = f"forms are numbered 1 to {len(self.drafts)}"
            raise InputError("fax.which-draft", said, where="--draft", remedy="`tdu fax show` numbers them.")
        return joined([self.drafts[number - 1] for number in wanted])

    def document(self, named: str) -> DeskDocument:
        """The document whose id begins so. Raises InputError when none does, or several."""
        found = [one for one in self.documents if len(named) >= _SHORTEST_ID and one.carried.id.startswith(named.lower())]
        if len(found) != 1:
            said = "the codes of these faxes hold no such document"
            raise InputError("fax.which-document", said, where="--document", remedy="`tdu fax show` names them by their id.")
        return found[0]


def take_to_desk(
    ledger: Ledger, receipt_ids: Sequence[str], doors: FaxDoors, *, by: str, at: datetime, legal_entity: str
) -> FaxesOnDesk:
    """Read faxes again for a person to look at; who looked is audited first. Raises LedgerError for another entity's."""
    faxes = ledger.kept_faxes(receipt_ids, legal_entity=legal_entity)
    about = WorkAbout.RECEIPT.value
    ledger.write_audit([AuditEntry(legal_entity, at, by, "fax.read", about, fax.receipt.id) for fax in faxes])
    read = read_sources([Source(fax.receipt.id, fax.content) for fax in faxes])
    documents = tuple(_documents(ledger, read.received, faxes, doors, legal_entity))
    return FaxesOnDesk(legal_entity, tuple(faxes), read, documents)


def _documents(
    ledger: Ledger, received: Received, faxes: Sequence[KeptFax], doors: FaxDoors, entity: str
) -> Iterator[DeskDocument]:
    """Each with the codes that other faxes brought of it too, verified by the keys of the lines that brought it."""
    for document_id in received.documents:
        kept = ledger.kept_fax_codes(document_id.hex(), "", legal_entity=entity)
        others = [code for content in kept.codes if (code := read_code(content)) is not None]
        codes = [code for code in (*received.codes, *others) if code.name.document_id == document_id]
        brought = [fax for fax in faxes if fax.receipt.id in kept.receipts] or list(faxes)
        keys = {key_id: key for fax in brought for key_id, key in trusted_keys(doors.of(fax.receipt.door)).items()}
        carried = carried_document(document_id, join_codes(codes)[document_id], keys)
        yield DeskDocument(carried, tuple(fax.receipt.id for fax in brought))


def sheets_that_came(desk: FaxesOnDesk) -> Iterator[SheetThatCame]:
    """The pages that are sheets of a document whose codes tell how its sender drew them."""
    for one in desk.documents:
        if not one.carried.prints:
            continue
        calls = {fax_id: _called(desk, fax_id) for fax_id in (fax.receipt.id for fax in desk.faxes)}
        for page in compare_pages(list(calls.values()), one.carried.prints).pages:
            if page.sheet is not None and page.compared is not None:
                image = page_at(calls[page.source], page.rank) if page.compared.spots else None
                picture = difference_picture(image, page.compared) if image is not None else b""
                yield SheetThatCame(one.carried.id, page.source, page.rank, len(page.compared.spots), picture)


def _called(desk: FaxesOnDesk, fax_id: str) -> CalledPages:
    ranks = tuple(rank for source, rank in desk.read.received.others if source == fax_id)
    return CalledPages(fax_id, desk.fax(fax_id).content, ranks)


def joined(drafts: Sequence[FormDraft]) -> FormDraft:
    """Pages that no machine may put together, put together by a person. Raises InputError when they are no one form's."""
    first = drafts[0]
    if len(drafts) == 1:
        return first
    pages = sorted((page for draft in drafts for page in draft.pages), key=lambda page: page.number)
    same = {(draft.slug, draft.version) for draft in drafts} == {(first.slug, first.version)}
    if not same or len({page.number for page in pages}) < len(pages):
        said = "these are pages of different forms, or twice the same page"
        raise InputError("fax.not-one-form", said, where="--draft", remedy="Name one draft for each page of the form.")
    said_of_pages = tuple(finding for page in pages for finding in page.findings)
    answers = tuple(answer for draft in drafts for answer in draft.answers)
    return replace(first, pages=tuple(pages), answers=answers, findings=said_of_pages)
