"""What becomes of a received fax: the document that its codes carry, the draft of a form, or pages for a person.

Part of *prepare*. Law: issue 6; docs/reference/fax-annex.md (what a receiver may believe); blueprint seams 2, 3, 13 to 15. Codes
are joined with those of earlier faxes; a document passes by itself when it is whole, signed by a key that this line trusts, and
its pages are those that its sender signed. Everything else waits for a person, with its reason; nothing of it is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from adapter.errors import InputError, TduError
from adapter.formats.detached_jws import TrustedKey
from adapter.formats.fax_annex import Code, drawn, read_code
from adapter.formats.fax_document import CarriedDocument, carried_document
from adapter.formats.fax_joining import join_codes
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import ClaimedReceipt
from adapter.mapping.fax.advice import ADVICE, ORDER, advice_on
from adapter.mapping.fax.compare import CalledPages, FoundPage, PagesCompared, compare_pages
from adapter.mapping.fax.document import reasons_to_wait, translate_faxed
from adapter.mapping.fax_pages import FaxReading, read_fax
from adapter.mapping.forms.paper import drafts_in_words, may_be_urgent
from adapter.mapping.from_fax import FaxOrigin, origin_of
from adapter.model.confidential import Confidential
from adapter.model.effects import Effect, Parked, Translation
from adapter.model.fax_call import FaxCall
from adapter.model.fax_in import FAX_DESK_DOOR, FAX_DOOR, FaxDoor, FaxDoors, PageCompare, Withheld
from adapter.model.fax_news import FaxNews
from adapter.model.submission import Urgency
from adapter.pipeline.fax_calls import received_call
from adapter.pipeline.paper import printed_form
from adapter.routing.directory import Directory

# A document has a code at least, a fax few documents: of more, those with the most codes are looked at. Each costs the ledger.
_MOST_ANNEXES = 40
# How long pages without any code may wait for the codes of their document, and how many such faxes are looked at.
_PAGES_WAIT = timedelta(hours=24)
_MOST_OTHERS = 4
# How many other calls of one document are looked at again: the last ones.
_MOST_CALLS = 12
# Of several things that stop one fax, how many are told beside the first: a page may be full of codes from nowhere.
_MOST_TOLD = 4


@dataclass(frozen=True, repr=False)
class UnderstoodFax(Confidential):
    """What one fax leaves, what the ledger is told beside, and the call that brought it."""

    effects: tuple[Effect, ...]
    news: FaxNews
    calls: tuple[FaxCall, ...] = ()


@dataclass(frozen=True)
class _Obstacle:
    """Why something of a fax is a person's. `words`: told beside, without patient content."""

    reason: str
    words: str = ""
    is_urgent: bool = False


@dataclass(repr=False)
class _Desk(Confidential):
    """What was found so far."""

    translations: list[Translation] = field(default_factory=list)
    obstacles: list[_Obstacle] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    seen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    complete: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)


def trusted_keys(door: FaxDoor) -> dict[str, TrustedKey]:
    """The keys of a line as their verifier wants them."""
    return {key_id: TrustedKey(sender.name, sender.public) for key_id, sender in door.trusted.items()}


def understand_fax(ledger: Ledger, claim: ClaimedReceipt, doors: FaxDoors, directory: Directory, on: date) -> UnderstoodFax:
    """All that a fax leaves; run again, the same. What a person confirmed of one is that document alone."""
    door = doors.of(claim.receipt.door)
    reader = _Reader(ledger, claim, door, directory, on)
    return reader.confirmed() if claim.receipt.door.startswith(FAX_DESK_DOOR) else reader.received()


class _Reader:
    """One fax on its way to effects."""

    def __init__(self, ledger: Ledger, claim: ClaimedReceipt, door: FaxDoor, directory: Directory, on: date) -> None:
        self._ledger = ledger
        self._claim = claim
        self._door = door
        self._id = claim.receipt.id
        self._entity = claim.receipt.legal_entity
        self._origin: FaxOrigin = origin_of(claim.side_car)
        self._roles = directory.partners_with_number(self._origin.number, on)
        self._keys = trusted_keys(door)
        self._desk = _Desk()

    # -- a fax ----------------------------------------------------------------------------------------------------------

    def received(self) -> UnderstoodFax:
        """What its pages carry."""
        desk = self._desk
        if self._origin.withheld:
            desk.obstacles.append(_Obstacle("fax-withheld", f"({self._origin.withheld})"))
            if not self._claim.content or self._origin.withheld == Withheld.TOO_MANY_DOTS:
                return self._told({})
        reading = read_fax(self._claim.content, self._id, printed_form)
        brought: dict[str, list[Code]] = {}
        for code in reading.codes:
            brought.setdefault(code.name.document_id.hex(), []).append(code)
        if len(brought) > _MOST_ANNEXES:
            desk.obstacles.append(_Obstacle("fax-too-long", f"(codes de {len(brought)} documents)"))
            brought = dict(sorted(brought.items(), key=lambda one: -len(one[1]))[:_MOST_ANNEXES])
        for annex_id, codes in brought.items():
            self._document(annex_id, codes, reading)
        self._pages(reading, has_codes=bool(brought))
        return self._told({one: tuple(dict.fromkeys(map(drawn, codes))) for one, codes in brought.items()})

    def _document(self, annex_id: str, codes: Sequence[Code], reading: FaxReading) -> None:
        """One annex: joined with what came before, proven, compared."""
        desk = self._desk
        kept = self._ledger.kept_fax_codes(annex_id, self._id, legal_entity=self._entity)
        desk.seen[annex_id] = kept.receipts
        document = self._joined(annex_id, codes)
        others: tuple[str, ...] = kept.incomplete
        if not document.is_complete and kept.codes:
            document, others = self._joined(annex_id, [*codes, *_read(kept.codes)]), kept.receipts
        if not document.is_complete:
            desk.obstacles.append(_Obstacle("fax-incomplete", _lacking(document)))
            return
        desk.complete.append(annex_id)
        if not document.is_verified:
            desk.obstacles.append(_Obstacle("fax-unverified"))
        elif document.refused:
            desk.obstacles.append(_Obstacle("fax-annex-unreadable", f"({document.refused})"))
        else:
            self._verified(document, others, reading, kept.incomplete)

    def _verified(self, document: CarriedDocument, others: Sequence[str], reading: FaxReading, incomplete: Sequence[str]) -> None:
        desk = self._desk
        desk.before.clear()
        made = self._translated(document)
        if made is None:
            return
        is_urgent = made.submission.urgency is Urgency.URGENT
        desk.events.append(("fax-signed", document.signed_by))
        if self._comes_from_elsewhere(document.signed_by):
            desk.events.append(("fax-number-differs", document.signed_by))
        waits = [_Obstacle(reason, is_urgent=is_urgent) for reason in reasons_to_wait(made, self._door)]
        if (differs := self._compared(document, others, reading, is_urgent)) is not None:
            waits.append(differs)
        if not waits and (twin := self._twin_of(made)) is not None:
            # One call is one submission of a document: what says something else under its id is a person's, as in another call.
            waits = [] if twin.source_document == made.source_document else [_Obstacle("fax-other-content", is_urgent=is_urgent)]
        elif not waits:
            came = f"{reading.pages} pages, {', '.join(self._names()) or 'unknown number'}, signed by {document.signed_by}"
            desk.events.append(("fax-document", came))
            desk.translations.append(made)
            desk.joined += [*desk.before, *self._answered(incomplete, document)]
        desk.obstacles += waits

    def _twin_of(self, made: Translation) -> Translation | None:
        """The document of the same id that an annex before this one brought in this very fax."""
        return next((one for one in self._desk.translations if one.submission.id == made.submission.id), None)

    def _answered(self, incomplete: Sequence[str], document: CarriedDocument) -> Iterator[str]:
        """Earlier calls that this document leaves nothing of: each page is one of its sheets, as it was sent. A person goes on
        being asked about the others: something was written there, or another letter came with it.
        """
        for call in self._calls(incomplete[-_MOST_CALLS:]):
            found = compare_pages([call], document.prints) if document.prints else None
            if found is None or (found.is_whole and not (found.unknown or found.differing)):
                yield call.source

    def _translated(self, document: CarriedDocument) -> Translation | None:
        try:
            return translate_faxed(document.content, self._claim.arrival(), self._id, self._door)
        except InputError as error:
            self._desk.obstacles.append(_Obstacle("fax-document-refused", f"({error.code})"))
            return None

    def _joined(self, annex_id: str, codes: Sequence[Code]) -> CarriedDocument:
        document_id = bytes.fromhex(annex_id)
        return carried_document(document_id, join_codes(codes)[document_id], self._keys)

    def _comes_from_elsewhere(self, signed_by: str) -> bool:
        """The key decides who made it; a number that is none of theirs is told, since a fax may be passed on."""
        numbers = [number for sender in self._door.trusted.values() if sender.name == signed_by for number in sender.numbers]
        return bool(numbers and self._origin.number) and self._origin.number not in numbers

    # -- its pages --------------------------------------------------------------------------------------------------------

    def _compared(
        self, document: CarriedDocument, others: Sequence[str], reading: FaxReading, is_urgent: bool
    ) -> _Obstacle | None:
        """Why the pages do not let the document pass; None when they do."""
        if not document.prints:
            is_wanted = self._door.compare is not PageCompare.WHEN_POSSIBLE
            return _Obstacle("fax-not-compared", is_urgent=is_urgent) if is_wanted else None
        calls = [CalledPages(self._id, self._claim.content, _ranks(reading))]
        found = compare_pages(calls, document.prints)
        if found.missing and others:
            calls = [*self._calls(others[-_MOST_CALLS:]), *calls]
            found = compare_pages(calls, document.prints)
        if found.missing:
            found = self._with_pages_before(calls, found, document.prints)
        if not found.is_alike:
            return _Obstacle("fax-page-differs", _differences(found, self._id), is_urgent)
        if found.over_paper and self._door.compare is PageCompare.STRICT:
            return _Obstacle("fax-over-paper", is_urgent=is_urgent)
        return None

    def _with_pages_before(self, calls: Sequence[CalledPages], found: PagesCompared, prints: Sequence[bytes]) -> PagesCompared:
        """Pages that came alone in a call that broke before any code: looked for among those that wait at this line."""
        receipt = self._claim.receipt
        since = receipt.received_at - _PAGES_WAIT
        waiting = self._ledger.faxes_without_code(receipt.door, since, _MOST_OTHERS, legal_entity=self._entity)
        for call in self._calls(one for one in waiting if one != self._id):
            alone = compare_pages([call], prints)
            if alone.unknown or not any(page.sheet in found.missing for page in alone.pages):
                continue  # of another document, or nothing that is wanted
            calls = [call, *calls]
            found = PagesCompared(found.sheets, (*alone.pages, *found.pages), found.is_whole and alone.is_whole)
            self._desk.before.append(call.source)
        return found

    def _calls(self, receipts: Sequence[str] | Iterator[str]) -> list[CalledPages]:
        """Other faxes' files with the pages that bear no code; what is no longer kept is left out, and its pages are missing."""
        calls = []
        for receipt_id in receipts:
            try:
                kept = self._ledger.kept_faxes([receipt_id], legal_entity=self._entity)[0]
            except TduError:
                continue
            calls.append(CalledPages(receipt_id, kept.content, _ranks(read_fax(kept.content, receipt_id, printed_form))))
        return calls

    def _pages(self, reading: FaxReading, *, has_codes: bool) -> None:
        """What is for people: forms filled by hand, pages that nothing could be read on."""
        desk, received = self._desk, reading.received
        if received.drafts:
            words = f"{drafts_in_words(received.drafts)}."
            desk.obstacles.append(_Obstacle("fax-paper-form", words, may_be_urgent(received.drafts)))
        if any(finding.code == "fax-annex.unknown-format" for finding in received.findings):
            desk.obstacles.append(_Obstacle("fax-other-format"))
        if reading.problem:
            desk.obstacles.append(_Obstacle(reading.problem))
        elif not (has_codes or desk.obstacles) or (received.drafts and received.unknown):
            desk.obstacles.append(_Obstacle("fax-unread"))

    # -- what a person confirmed -----------------------------------------------------------------------------------------

    def confirmed(self) -> UnderstoodFax:
        """A document whose pages a person compared: taken when it is, to the byte, what a trusted key signed."""
        desk, annex_id = self._desk, _confirmed_annex(self._claim.side_car)
        kept = self._ledger.kept_fax_codes(annex_id, self._id, legal_entity=self._entity)
        codes = _read(kept.codes)
        document = self._joined(annex_id, codes) if codes else None
        if document is None or not document.is_verified or document.content != self._claim.content:
            desk.obstacles.append(_Obstacle("fax-unverified"))
        elif (made := self._translated(document)) is not None:
            waits = [_Obstacle(reason) for reason in reasons_to_wait(made, self._door) if reason != "fax-masked"]
            desk.obstacles += waits
            desk.translations += [] if waits else [made]
            desk.events.append(("fax-signed", document.signed_by))
        return self._told({})

    # -- telling ----------------------------------------------------------------------------------------------------------

    def _told(self, brought: Mapping[str, tuple[bytes, ...]]) -> UnderstoodFax:
        desk = self._desk
        news = FaxNews(
            self._entity, brought, desk.seen, tuple(desk.complete), tuple(dict.fromkeys(desk.joined)), tuple(desk.events)
        )
        effects: list[Effect] = [*desk.translations]
        if desk.obstacles:
            effects.append(self._parked(desk.obstacles))
        return UnderstoodFax(tuple(effects), news, self._calls_told())

    def _calls_told(self) -> tuple[FaxCall, ...]:
        """The call, once; a file that a person brought, or what they confirmed, came by none."""
        receipt = self._claim.receipt
        if not receipt.door.startswith(FAX_DOOR):
            return ()
        # A role, of which a report names the structure: a display may be a person's name. Else how the operator called a sender.
        partner = next((role.id for role in self._roles), "") or next(iter(self._trusted_names()), "")
        return received_call(receipt, self._claim.side_car, partner)

    def _parked(self, obstacles: Sequence[_Obstacle]) -> Parked:
        first, *rest = sorted(obstacles, key=lambda one: ORDER.index(one.reason))
        beside = [f"{ADVICE[one.reason]} {one.words}".strip() for one in rest[:_MOST_TOLD] if one != first]
        advice = advice_on(first.reason, ", ".join(self._names()), *([first.words] if first.words else []), *beside)
        is_urgent = any(one.is_urgent for one in obstacles)
        phone = next((role.phone_line for role in self._roles if role.phone_line), "")
        return Parked(first.reason, advice, is_urgent, phone)

    def _names(self) -> list[str]:
        """Whose number it is: of the directory, else a trusted sender who faxes from it."""
        return list(dict.fromkeys(role.display for role in self._roles)) or self._trusted_names()

    def _trusted_names(self) -> list[str]:
        return [sender.name for sender in self._door.trusted.values() if self._origin.number in sender.numbers]


def _ranks(reading: FaxReading) -> tuple[int, ...]:
    return tuple(rank for _, rank in reading.received.others)


def _read(codes: Sequence[bytes]) -> list[Code]:
    """Kept codes; every one was read before."""
    return [code for content in codes if (code := read_code(content)) is not None]


def _lacking(document: CarriedDocument) -> str:
    """Which codes, of how many, counted from 1 as on the sheet."""
    places = ", ".join(str(index + 1) for index in document.missing)
    return f"Codes manquants : {places} sur {document.codes} (document {document.id[:8]})."


def _differences(found: PagesCompared, own: str) -> str:
    """Where to look, in numbers of pages."""
    told = []
    for page in found.differing:
        spots = page.compared.spots if page.compared is not None else ()
        told.append(f"page {_place(page, own)} ({len(spots)} endroits)")
    if found.unknown:
        told.append("pages en trop : " + ", ".join(_place(page, own) for page in found.unknown))
    if found.missing:
        told.append("feuilles manquantes : " + ", ".join(str(sheet + 1) for sheet in found.missing))
    if not found.is_whole:
        told.append("toutes les pages n'ont pas pu être comparées")
    return f"À regarder : {' ; '.join(told)}."


def _place(page: FoundPage, own: str) -> str:
    return str(page.rank) if page.source == own else f"{page.rank} de l'appel {page.source[:8]}"


def _confirmed_annex(side_car: bytes) -> str:
    """The annex that a person confirmed, in hexadecimal; of zeros when the side-car names none."""
    try:
        told = str(json.loads(side_car)["annex"])
        return told if len(bytes.fromhex(told)) == 16 else "0" * 32
    except (ValueError, KeyError, TypeError):
        return "0" * 32
