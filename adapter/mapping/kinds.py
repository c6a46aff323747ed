"""Who inspects, reads and tells the envelope of each kind of content: the one registry. A new source is one line in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapter.formats.detect import detect_content
from adapter.mapping.from_adt import envelope_adt, inspect_adt, is_adt, understand_adt
from adapter.mapping.from_cda import inspect_cda, understand_cda
from adapter.mapping.from_fax import inspect_fax
from adapter.mapping.from_fhir import inspect_fhir, understand_fhir
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.mapping.from_hl7v2 import envelope_hl7v2, inspect_hl7v2, understand_hl7v2
from adapter.mapping.from_mail import inspect_mail, understand_mail
from adapter.mapping.from_pdf import inspect_pdf_file, understand_pdf
from adapter.model.effects import Effect
from adapter.model.fax_in import is_fax_door
from adapter.model.inbox import DOOR
from adapter.model.patient import SamePerson
from adapter.model.receipt import Arrival, ContentKind, Inspection
from adapter.model.submission import Submission

Inspect = Callable[[Arrival], Inspection]
Understand = Callable[[Arrival, str], tuple[Effect, ...]]
Envelope = Callable[[Arrival, str], tuple[Submission, ...]]


def kind_of(arrival: Arrival) -> ContentKind:
    """What an arrival is: a named form, a mail because a mailbox held it, a fax because a line brought it, else what its bytes
    say.
    """
    if arrival.door.startswith(DOOR):
        return ContentKind.MAIL
    if is_fax_door(arrival.door) and not arrival.form:
        return ContentKind.FAX
    return ContentKind.FORM if arrival.form else detect_content(arrival.content)


def inspect_hl7(arrival: Arrival, *, same_person: SamePerson | None = None) -> Inspection:
    """Any HL7 v2 message; `same_person` is what the patient index knows of two numbers that differ."""
    return inspect_adt(arrival) if is_adt(arrival.content) else inspect_hl7v2(arrival, same_person=same_person)


def understand_hl7(arrival: Arrival, receipt_id: str) -> tuple[Effect, ...]:
    """Any HL7 v2 message: documents, or words on a patient's identity."""
    return understand_adt(arrival, receipt_id) if is_adt(arrival.content) else understand_hl7v2(arrival, receipt_id)


def _envelope_hl7(arrival: Arrival, receipt_id: str) -> tuple[Submission, ...]:
    return envelope_adt(arrival, receipt_id) if is_adt(arrival.content) else envelope_hl7v2(arrival, receipt_id)


INSPECTORS: Mapping[ContentKind, Inspect] = {
    ContentKind.HL7V2: inspect_hl7,
    ContentKind.CDA: inspect_cda,
    ContentKind.FORM: inspect_form,
    ContentKind.FHIR: inspect_fhir,
    ContentKind.PDF: inspect_pdf_file,
    ContentKind.MAIL: inspect_mail,
    ContentKind.FAX: inspect_fax,
}
READERS: Mapping[ContentKind, Understand] = {
    ContentKind.HL7V2: understand_hl7,
    ContentKind.CDA: understand_cda,
    ContentKind.FORM: understand_form,
    ContentKind.FHIR: understand_fhir,
    ContentKind.PDF: understand_pdf,
    ContentKind.MAIL: understand_mail,
}
# Of what an inspection does not tell itself (`Inspection.envelope`).
ENVELOPES: Mapping[ContentKind, Envelope] = {
    ContentKind.HL7V2: _envelope_hl7,
}
