"""All that a document builder is given of one accepted form: the answers, what the rules found in them, the ready header."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapter.mapping.engine import Extraction, Values
from adapter.mapping.forms.conditions import CheckedForm
from adapter.mapping.forms.paper_origin import PaperOrigin
from adapter.mapping.forms.safety import MetforminAlert
from adapter.mapping.rules import RuleFile
from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.request import Terms


@dataclass(frozen=True, repr=False)
class FormFacts(Confidential):
    """One accepted form. `number` is its own number, else its document's id; `assembled` the instant it was received.

    `terms`: what the directory says of such a request, when there is one. `alert`: what a search for drugs came to. `paper`: the
    received pages that a person typed it from.
    """

    checked: CheckedForm
    found: Extraction
    rules: RuleFile
    header: DocumentHeader
    number: str
    source: bytes
    media_type: str
    assembled: str
    terms: Terms = field(default_factory=Terms)
    alert: MetforminAlert | None = None
    paper: PaperOrigin | None = None

    @property
    def patient(self) -> Values:
        """The group `patient` of the rules."""
        return self.found.one("patient")

    @property
    def author(self) -> Values:
        """The group `author`: who fills the form and is called back."""
        return self.found.one("author")

    @property
    def request(self) -> Values:
        """The group `request`: number, target, date, urgency, and what else the form asks of the request itself."""
        return self.found.one("request")

    @property
    def wording(self) -> dict[str, str]:
        """The form's own French sentences (`[wording]`)."""
        words: dict[str, str] = self.rules.data.get("wording", {})
        return words

    @property
    def withheld(self) -> frozenset[str]:
        """Questions whose answers stay with us."""
        return frozenset(self.rules.data.get("withheld", {}).get("questions", ()))

    def display(self, link_id: str) -> str:
        """The French words of a choice that was answered, or empty."""
        codes: list[Any] = self.checked.values_of(link_id)
        option = self.checked.questionnaire.question(link_id).option(codes[0]) if codes else None
        return option.display if option else ""
