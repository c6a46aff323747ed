"""A person looks at faxes that wait, and confirms what they hold: a form's completed answers become a receipt like any other.

Law: issue 6 (a draft waits for a person, never guessed into a request); blueprint seams 1, 13, 20. What is confirmed goes through
the same accept as what comes by a door. Which pages it was typed from is committed with it, so that the same pages are never two
requests; closing the question comes after, and running again finishes what a crash left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from adapter.errors import InputError
from adapter.formats.sheet_marks import DOTS_PER_MM
from adapter.formats.sheet_pages import pages_pdf
from adapter.ledger.fax_desk import Confirmation, KeptFax
from adapter.ledger.ledger import Ledger
from adapter.mapping.forms.paper_origin import DESK_DOOR, PaperOrigin, write_origin
from adapter.model.audit import AuditEntry
from adapter.model.confidential import Confidential
from adapter.model.paper_draft import FormDraft
from adapter.model.receipt import Answer, Arrival, Kept, Principal, Receipt, Verdict
from adapter.model.work_item import WorkAbout
from adapter.pipeline.judge import Judged
from adapter.pipeline.paper import ReadSources, Source, read_sources
from adapter.pipeline.verbs import Pipeline

# Why a fax waits when it holds a form filled by hand: what confirming its drafts answers.
PAPER_FORM = "fax-paper-form"
# What pages were confirmed as, they stay: as good as for ever.
FOR_GOOD = timedelta(days=36_500)
_DOTS_PER_INCH = DOTS_PER_MM * 25.4


@dataclass(frozen=True, repr=False)
class FaxesOnDesk(Confidential):
    """Faxes of one legal entity as a person asked to see them, oldest first, and what their pages hold together."""

    legal_entity: str
    faxes: tuple[KeptFax, ...]
    read: ReadSources

    @property
    def drafts(self) -> tuple[FormDraft, ...]:
        """The forms, numbered from 1 in this order."""
        return self.read.received.drafts

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


@dataclass(frozen=True)
class Said:
    """Who confirms, when, and the civil time of answers without one."""

    by: str
    at: datetime
    zone: str


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


def take_to_desk(ledger: Ledger, receipt_ids: Sequence[str], by: str, at: datetime, legal_entity: str) -> FaxesOnDesk:
    """Read faxes again for a person to look at; who looked is audited first. Raises LedgerError for another entity's."""
    faxes = ledger.kept_faxes(receipt_ids, legal_entity=legal_entity)
    about = WorkAbout.RECEIPT.value
    ledger.write_audit([AuditEntry(legal_entity, at, by, "fax.read", about, fax.receipt.id) for fax in faxes])
    read = read_sources([Source(fax.receipt.id, fax.content) for fax in faxes])
    return FaxesOnDesk(legal_entity, tuple(faxes), read)


def confirm_form(ledger: Ledger, pipeline: Pipeline, desk: FaxesOnDesk, draft: FormDraft, answers: bytes, said: Said) -> Answer:
    """Take a draft's completed answers as the form door would; what is refused is told and not kept.

    The same answers again give the same receipt. Raises InputError `fax.already-confirmed` when one of the pages was confirmed
    with other answers, or as another form.
    """
    judged = pipeline.judge(_arrival(desk, draft, answers, said))
    if judged.inspection.verdict is not Verdict.ACCEPTED:
        return Answer("", judged.inspection.verdict, b"", Kept.STORED, judged.inspection.findings)
    judged = _named_by_pages(judged, draft)
    _refuse_other(ledger, desk, draft, judged, said)
    answer = pipeline.commit([judged])[0]
    if answer.kept is Kept.CONFLICT:  # somebody else confirmed it at this very instant
        raise _already(answer.receipt_id)
    _tell(ledger, desk, draft, answer.receipt_id, said)
    return answer


def _arrival(desk: FaxesOnDesk, draft: FormDraft, answers: bytes, said: Said) -> Arrival:
    faxes = _faxes_of(desk, draft)
    pages = pages_pdf([page.png for page in draft.pages], _DOTS_PER_INCH)
    origin = PaperOrigin(tuple(fax.receipt.id for fax in faxes), min(fax.receipt.received_at for fax in faxes), said.by, pages)
    return Arrival(
        content=answers,
        door=DESK_DOOR,
        principal=Principal(f"operator:{said.by}", "operator", desk.legal_entity),
        received_at=said.at,
        reference=f"fax-draft:{_digest(draft)}",
        side_car=write_origin(origin),
        form=draft.slug,
        zone=said.zone,
    )


def _faxes_of(desk: FaxesOnDesk, draft: FormDraft) -> list[KeptFax]:
    sources = {page.source for page in draft.pages}
    return [fax for fax in desk.faxes if fax.receipt.id in sources]


def _page_names(draft: FormDraft) -> list[str]:
    return [f"fax-page:{page.source}#{page.rank}" for page in draft.pages]


def _digest(draft: FormDraft) -> str:
    """One draft is its pages, whichever receipts were named beside and whatever number it had among others."""
    return hashlib.sha256("\x1f".join((draft.slug, *sorted(_page_names(draft)))).encode()).hexdigest()[:32]


def _named_by_pages(judged: Judged, draft: FormDraft) -> Judged:
    """Repeats are told by the pages, for good, whoever confirms; and each page leads to what came of it."""
    new = judged.new_receipt
    names = tuple(("reference", name) for name in _page_names(draft))
    receipt = replace(new.receipt, key=new.receipt.reference)
    return replace(judged, new_receipt=replace(new, receipt=receipt, lookups=(*new.lookups, *names), repeat_window=FOR_GOOD))


def _refuse_other(ledger: Ledger, desk: FaxesOnDesk, draft: FormDraft, judged: Judged, said: Said) -> None:
    """Pages that were confirmed stay what they were confirmed as; what a crash left open of that is finished first."""
    mine = judged.new_receipt.receipt
    known = ledger.confirmed_as(_page_names(draft), legal_entity=desk.legal_entity)
    for receipt in known.values():
        if receipt.reference == mine.reference and receipt.fingerprint == mine.fingerprint:
            continue
        if receipt.reference == mine.reference:
            _tell(ledger, desk, draft, receipt.id, said)
        raise _already(receipt.id)


def _already(receipt_id: str) -> InputError:
    said = "a page of this form was confirmed before, with other answers or other pages; nothing was changed"
    remedy = "`tdu trace` shows what it became; a correction is sent as a new form (`tdu submit`)."
    return InputError("fax.already-confirmed", said, where=receipt_id, remedy=remedy)


def _tell(ledger: Ledger, desk: FaxesOnDesk, draft: FormDraft, made: str, said: Said) -> None:
    """Close the question of each fax whose forms are all confirmed."""
    faxes = tuple(fax.receipt.id for fax in _faxes_of(desk, draft))
    settled = tuple(fax_id for fax_id in faxes if _is_settled(ledger, desk, fax_id))
    confirmed = Confirmation(made, f"draft {draft.slug}", faxes, settled, (PAPER_FORM,))
    ledger.keep_confirmation(confirmed, said.by, legal_entity=desk.legal_entity)


def _is_settled(ledger: Ledger, desk: FaxesOnDesk, fax_id: str) -> bool:
    names = [f"fax-page:{page.source}#{page.rank}" for draft in desk.drafts for page in draft.pages if page.source == fax_id]
    return len(ledger.confirmed_as(names, legal_entity=desk.legal_entity)) == len(names)


def confirmed_before(ledger: Ledger, desk: FaxesOnDesk, draft: FormDraft) -> Receipt | None:
    """The receipt that came of this draft, or of a page of it; None while nobody confirmed any."""
    known = ledger.confirmed_as(_page_names(draft), legal_entity=desk.legal_entity)
    return next(iter(known.values()), None)
