"""Which code makes the document of a form: the one registry. A form names its builder (`[document] builder = "imaging"`).

Adding a form is `mappings/forms/<slug>.*`; only a new kind of document needs a builder here (docs/how-to/add-a-form.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapter.errors import MappingError
from adapter.mapping.forms.entry_letter import entry_letter_document
from adapter.mapping.forms.facts import FormFacts
from adapter.mapping.forms.imaging import imaging_document
from adapter.mapping.forms.referral import advice_document, proposal_document, support_document
from adapter.mapping.forms.stay import stay_document
from adapter.mapping.forms.stay_answer import stay_answer_document

Builder = Callable[[FormFacts], dict[str, Any]]

BUILDERS: Mapping[str, Builder] = {
    "imaging": imaging_document,
    "advice": advice_document,
    "support": support_document,
    "gp-proposal": proposal_document,
    "entry-letter": entry_letter_document,
    "stay": stay_document,
    "stay-answer": stay_answer_document,
}


def builder_named(name: str, form: str) -> Builder:
    """The builder of that name; MappingError when a form names one that is not there."""
    try:
        return BUILDERS[name]
    except KeyError:
        raise MappingError(
            "mapping.unknown-builder", "no such document builder", where=f"forms/{form}:document.builder"
        ) from None
