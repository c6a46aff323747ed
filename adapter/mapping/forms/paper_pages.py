"""The received pages of a form that was paper, enclosed with its document: handwriting that a person typed can be read again."""

from __future__ import annotations

import base64
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir import request_narrative as say
from adapter.fhir.bundle import Ids, full_url, reference_to
from adapter.fhir.document import Section, patient_url
from adapter.fhir.parties import Parties
from adapter.fhir.stay import enclosed_letter
from adapter.mapping.forms.facts import FormFacts
from adapter.mapping.forms.paper_origin import PaperOrigin
from adapter.model.document import Code

Resource = dict[str, Any]

_SECTION = Code("77599-9", p.LOINC, "Additional documentation")
_TITLE = "Formulaire papier reçu par télécopie"


def enclosed_pages(facts: FormFacts, ids: Ids, parties: Parties) -> list[Resource]:
    """The pages' DocumentReference and Binary; nothing for a form that was never paper."""
    if facts.paper is None:
        return []
    return list(
        enclosed_letter(
            base64.b64encode(facts.paper.pages).decode("ascii"),
            "application/pdf",
            _TITLE,
            ids=(ids.mint("DocumentReference", "paper"), ids.mint("Binary", "paper")),
            subject={"reference": patient_url(ids)},
            author=reference_to(parties.role(facts.header.authors[0])),
            on=facts.request["date"],
        )
    )


def pages_sections(paper: PaperOrigin | None, pages: list[Resource]) -> tuple[Section, ...]:
    """The section that shows them and says by whom they were typed."""
    if paper is None:
        return ()
    received = say.french_date(paper.received_at.isoformat(timespec="minutes"))
    words = (
        f"Formulaire rempli à la main, reçu par télécopie le {received}, saisi et confirmé par {paper.confirmed_by}. "
        "Les pages reçues sont jointes : en cas de doute, elles font foi."
    )
    entries = tuple(full_url(page) for page in pages)
    return (Section(_SECTION, _TITLE, say.request_div(say.paragraph(words)), entries, narrative_status="additional"),)
