"""What received files hold, read with the forms of this instance: codes of documents, drafts of forms. Nothing is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from adapter.errors import InputError
from adapter.formats.sheet_draft import PrintedForm
from adapter.formats.sheet_ink import printed_mask
from adapter.formats.sheet_marks import DOTS_PER_MM
from adapter.formats.sheet_pages import pages_of
from adapter.formats.sheet_reading import Received, ReceivedPage, read_received
from adapter.mapping.forms.questionnaire import form_slugs, questionnaire_resource
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from adapter.packaging.sheet.geometry import empty_pages, sheet_of


@dataclass(frozen=True, repr=False)
class Source(Confidential):
    """One received file. `name`: what its pages are called after (a file's name, a receipt's id)."""

    name: str
    content: bytes


@dataclass(frozen=True, repr=False)
class ReadSources(Confidential):
    """What several files hold together. `unreadable`: files that could not be read, or not to their end."""

    received: Received
    unreadable: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is to be said of files and pages; what is said of a draft stands in it."""
        return *self.unreadable, *self.received.findings


def read_sources(sources: Sequence[Source]) -> ReadSources:
    """Read them one after the other: a file that cannot be read on is told, and the others are read."""
    unreadable: list[Finding] = []
    received = read_received(_pages(sources, unreadable), printed_form)
    return ReadSources(received, tuple(unreadable))


@lru_cache(maxsize=16)
def printed_form(slug: str) -> PrintedForm | None:
    """A form as it is printed today; None when this instance has no such form."""
    if slug not in form_slugs():
        return None
    form = questionnaire_resource(slug)
    return PrintedForm(sheet_of(form), tuple(printed_mask(page) for page in empty_pages(form, DOTS_PER_MM)))


def _pages(sources: Sequence[Source], unreadable: list[Finding]) -> Iterator[ReceivedPage]:
    for source in sources:
        try:
            for rank, image in enumerate(pages_of(source.content), start=1):
                yield ReceivedPage(source.name, rank, image)
        except InputError as error:
            where = " ".join(part for part in (source.name, error.where) if part)
            unreadable.append(Finding(Severity.ERROR, error.code, error.message, where, error.remedy))
