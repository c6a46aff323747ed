"""What a person confirms of waiting faxes becomes a receipt like any other: a form's completed answers, a document looked at.

Law: issue 6 (a draft waits for a person, never guessed into a request); blueprint seams 1, 13, 20. It goes through the same
accept as what comes by a door. What it was made of is committed with it, so that the same pages are never two requests; closing
the question comes after, and running again finishes what a crash left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from adapter.errors import InputError
from adapter.formats.sheet_marks import DOTS_PER_MM
from adapter.formats.sheet_pages import pages_pdf
from adapter.ledger.fax_desk import Confirmation
from adapter.ledger.ledger import Ledger
from adapter.mapping.forms.paper_origin import DESK_DOOR, PaperOrigin, write_origin
from adapter.mapping.from_fhir import header_in
from adapter.model.fax_in import desk_door
from adapter.model.paper_draft import FormDraft, SheetPage
from adapter.model.receipt import Answer, Arrival, Kept, Principal, Receipt, Verdict
from adapter.pipeline.fax_desk import DeskDocument, FaxesOnDesk
from adapter.pipeline.judge import Judged
from adapter.pipeline.verbs import Pipeline

# Why a fax waits that a person's confirmation answers. What is not verified or not whole is none of these.
ANSWERED = ("fax-paper-form", "fax-page-differs", "fax-over-paper", "fax-not-compared", "fax-masked")
# What pages were confirmed as, they stay: as good as for ever.
_FOR_GOOD = timedelta(days=36_500)
_DOTS_PER_INCH = DOTS_PER_MM * 25.4


@dataclass(frozen=True)
class Said:
    """Who confirms, when, and the civil time of answers without one."""

    by: str
    at: datetime
    zone: str

    def principal(self, legal_entity: str) -> Principal:
        """The same as who speaks at a door."""
        return Principal(f"operator:{self.by}", "operator", legal_entity)


@dataclass(frozen=True)
class _Matter:
    """What is confirmed: a word for it, its own reference, the names of what it is made of, the faxes that brought that."""

    word: str
    reference: str
    names: tuple[str, ...]
    faxes: tuple[str, ...]


def confirm_form(ledger: Ledger, pipeline: Pipeline, desk: FaxesOnDesk, draft: FormDraft, answers: bytes, said: Said) -> Answer:
    """Take a draft's completed answers as the form door would; what is refused is told and not kept.

    The same answers again give the same receipt. Raises InputError `fax.already-confirmed` when one of the pages was confirmed
    with other answers, or as another form.
    """
    matter = _matter_of(draft)
    receipts = [desk.fax(fax_id).receipt for fax_id in matter.faxes]
    pages = pages_pdf([page.png for page in draft.pages], _DOTS_PER_INCH)
    origin = PaperOrigin(matter.faxes, min(receipt.received_at for receipt in receipts), said.by, pages)
    arrival = Arrival(
        content=answers,
        door=DESK_DOOR,
        principal=said.principal(desk.legal_entity),
        received_at=said.at,
        reference=matter.reference,
        side_car=write_origin(origin),
        form=draft.slug,
        zone=said.zone,
    )
    return _confirm(ledger, pipeline, desk, matter, arrival, said)


def confirm_document(ledger: Ledger, pipeline: Pipeline, desk: FaxesOnDesk, document: DeskDocument, said: Said) -> Answer:
    """Let a document through that waits because its pages differ, or could not be compared: a person saw them.

    Raises InputError for one that no trusted key signed, is not whole, or needs no confirmation.
    """
    carried = document.carried
    if not carried.is_complete:
        text, remedy = "codes of this document are missing", "Name the other call too, or ask for the fax again."
        raise InputError("fax.incomplete", text, where=carried.id, remedy=remedy)
    if not carried.is_verified:
        text = "no key that this line trusts has signed it: what its codes hold may be anybody's, whatever the pages show"
        remedy = "Read the pages and ask the sender; `[[doors.fax.trusted]]` says whose signatures count."
        raise InputError("fax.unverified", text, where=carried.id, remedy=remedy)
    if carried.refused:
        raise InputError(carried.refused, "its codes hold no document of ours", where=carried.id, remedy="Read the pages.")
    if not _unique_id(document):
        text, remedy = (
            "a key that this line trusts signed it, but it cannot be taken as a document",
            "Read the pages; tell its sender.",
        )
        raise InputError("fax.document-refused", text, where=carried.id, remedy=remedy)
    matter = _Matter("document", _document_name(document), (_document_name(document),), document.faxes)
    if not ledger.confirmed_as(matter.names, legal_entity=desk.legal_entity) and _passed(ledger, desk, document):
        text, remedy = (
            "the document of this fax was taken by itself: there is nothing to confirm",
            "`tdu trace` tells where it went.",
        )
        raise InputError("fax.nothing-to-confirm", text, where=document.faxes[0], remedy=remedy)
    arrival = Arrival(
        content=carried.content,
        door=desk_door(desk.fax(document.faxes[0]).receipt.door),
        principal=said.principal(desk.legal_entity),
        received_at=said.at,
        reference=matter.reference,
        side_car=json.dumps({"annex": carried.id, "faxes": list(document.faxes)}).encode(),
        zone=said.zone,
    )
    return _confirm(ledger, pipeline, desk, matter, arrival, said)


def confirmed_before(ledger: Ledger, desk: FaxesOnDesk, draft: FormDraft) -> Receipt | None:
    """The receipt that came of this draft, or of a page of it; None while nobody confirmed any."""
    known = ledger.confirmed_as(_matter_of(draft).names, legal_entity=desk.legal_entity)
    return next(iter(known.values()), None)


# -- names --------------------------------------------------------------------------------------------------------------


def _matter_of(draft: FormDraft) -> _Matter:
    """One draft is its pages, whichever receipts were named beside and whatever number it had among others."""
    names = tuple(sorted(_page_names(draft.pages)))
    digest = hashlib.sha256("\x1f".join((draft.slug, *names)).encode()).hexdigest()[:32]
    faxes = tuple(dict.fromkeys(page.source for page in draft.pages))
    return _Matter(f"draft {draft.slug}", f"fax-draft:{digest}", names, faxes)


def _page_names(pages: Iterable[SheetPage]) -> list[str]:
    return [f"fax-page:{page.source}#{page.rank}" for page in pages]


def _document_name(document: DeskDocument) -> str:
    return f"fax-document:{document.carried.id}"


# -- accept, then close -------------------------------------------------------------------------------------------------


def _confirm(ledger: Ledger, pipeline: Pipeline, desk: FaxesOnDesk, matter: _Matter, arrival: Arrival, said: Said) -> Answer:
    judged = pipeline.judge(arrival)
    if judged.inspection.verdict is not Verdict.ACCEPTED:
        return Answer("", judged.inspection.verdict, b"", Kept.STORED, judged.inspection.findings)
    judged = _named(judged, matter)
    _refuse_other(ledger, desk, matter, judged, said)
    answer = pipeline.commit([judged])[0]
    if answer.kept is Kept.CONFLICT:  # somebody else confirmed it at this very instant
        raise _already(answer.receipt_id)
    _tell(ledger, desk, matter, answer.receipt_id, said)
    return answer


def _named(judged: Judged, matter: _Matter) -> Judged:
    """Repeats are told by what it is made of, for good, whoever confirms; and each page leads to what came of it."""
    new = judged.new_receipt
    lookups = (*new.lookups, *(("reference", name) for name in matter.names))
    return replace(
        judged,
        new_receipt=replace(new, receipt=replace(new.receipt, key=matter.reference), lookups=lookups, repeat_window=_FOR_GOOD),
    )


def _refuse_other(ledger: Ledger, desk: FaxesOnDesk, matter: _Matter, judged: Judged, said: Said) -> None:
    """What was confirmed stays what it was confirmed as; what a crash left open of that is finished first."""
    mine = judged.new_receipt.receipt
    for receipt in ledger.confirmed_as(matter.names, legal_entity=desk.legal_entity).values():
        if receipt.reference == mine.reference and receipt.fingerprint == mine.fingerprint:
            continue
        if receipt.reference == mine.reference:
            _tell(ledger, desk, matter, receipt.id, said)
        raise _already(receipt.id)


def _already(receipt_id: str) -> InputError:
    text = "a page of this form was confirmed before, with other answers or other pages; nothing was changed"
    remedy = "`tdu trace` shows what it became; a correction is sent as a new form (`tdu submit`)."
    return InputError("fax.already-confirmed", text, where=receipt_id, remedy=remedy)


def _tell(ledger: Ledger, desk: FaxesOnDesk, matter: _Matter, made: str, said: Said) -> None:
    """Close the question of each fax of which nothing is left to confirm."""
    settled = tuple(fax_id for fax_id in matter.faxes if _is_settled(ledger, desk, fax_id))
    ledger.keep_confirmation(
        Confirmation(made, matter.word, matter.faxes, settled, ANSWERED), said.by, legal_entity=desk.legal_entity
    )


def _is_settled(ledger: Ledger, desk: FaxesOnDesk, fax_id: str) -> bool:
    """A document that nobody can confirm (codes missing, no known signature) keeps the question open: no other answers it."""
    if any(fax_id in one.faxes and not one.carried.is_sound for one in desk.documents):
        return False
    pages = _page_names(page for draft in desk.drafts for page in draft.pages if page.source == fax_id)
    mine = [one for one in desk.documents if fax_id in one.faxes and one.carried.is_sound and not _passed(ledger, desk, one)]
    return _all_confirmed(ledger, desk, [*pages, *map(_document_name, mine)])


def _all_confirmed(ledger: Ledger, desk: FaxesOnDesk, names: Sequence[str]) -> bool:
    return len(ledger.confirmed_as(names, legal_entity=desk.legal_entity)) == len(names)


def _passed(ledger: Ledger, desk: FaxesOnDesk, document: DeskDocument) -> bool:
    """A fax that brought it gave it of its own accord."""
    timelines = (ledger.timeline(fax_id, legal_entity=desk.legal_entity) for fax_id in document.faxes)
    given = {sent.submission.document.unique_id for timeline in timelines if timeline for sent in timeline.submissions}
    return _unique_id(document) in given


def _unique_id(document: DeskDocument) -> str:
    """The id that its submission has; empty for what a trusted key signed and is no document that can be taken."""
    try:
        return header_in(document.carried.content).unique_id
    except InputError:
        return ""
