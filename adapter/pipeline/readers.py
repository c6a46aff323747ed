"""Who inspects and reads each kind of content, told of the directory and of the patient index where a meaning depends on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from adapter.errors import LedgerError, UnavailableError
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.mapping.from_mail import understand_mail
from adapter.mapping.kinds import INSPECTORS, READERS, Inspect, Understand, inspect_hl7
from adapter.model.inbox import NO_INBOXES, Inboxes
from adapter.model.patient import PatientKeys, SamePerson
from adapter.model.receipt import ContentKind
from adapter.model.request import Asked, Terms, TermsOf
from adapter.routing.directory import Directory
from adapter.routing.terms import terms_of


def inspectors_with(same_person: SamePerson, directory: Callable[[], Directory]) -> dict[ContentKind, Inspect]:
    """The registry of inspectors, HL7 doors asking the patient index whether two numbers are one person.

    Raises UnavailableError when it cannot be read: later it may tell that they are.
    """

    def ask(legal_entity: str, one: PatientKeys, other: PatientKeys) -> bool:
        try:
            return same_person(legal_entity, one, other)
        except LedgerError as error:
            text = f"The patient index cannot be read now ({type(error).__name__}): nothing was kept."
            raise UnavailableError("patient-index.unreadable", text, remedy="Send it again later.") from error

    return {
        **INSPECTORS,
        ContentKind.HL7V2: partial(inspect_hl7, same_person=ask),
        ContentKind.FORM: partial(inspect_form, terms_of=_asking(directory)),
    }


def readers_with(directory: Callable[[], Directory], inboxes: Inboxes = NO_INBOXES) -> dict[ContentKind, Understand]:
    """The registry of readers: forms ask the directory in force, mails are told of the mailbox that they came by."""
    return {
        **READERS,
        ContentKind.FORM: partial(understand_form, terms_of=_asking(directory)),
        ContentKind.MAIL: partial(understand_mail, inboxes=inboxes),
    }


def _asking(directory: Callable[[], Directory]) -> TermsOf:
    def ask(asked: Asked) -> Terms:
        return terms_of(directory(), asked)

    return ask
