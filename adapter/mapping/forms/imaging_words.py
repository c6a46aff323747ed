"""The words of an imaging request's sections, as a doctor reads them. They show answers and conclude nothing."""

from __future__ import annotations

from decimal import Decimal

from adapter.fhir import request_narrative as say
from adapter.fhir.request import Order, RequestedExam
from adapter.fhir.supporting import decimal_text
from adapter.mapping.forms.answers import answer_rows, answer_tables
from adapter.mapping.forms.facts import FormFacts
from adapter.mapping.forms.safety import MetforminAlert

# What the reader must not miss in the checklist.
_STRONG = frozenset({"Oui", "Ne sait pas"})


class ImagingWords:
    """The narrative of one request."""

    def __init__(self, facts: FormFacts, alert: MetforminAlert | None) -> None:
        self._facts = facts
        self._alert = alert
        self._checked = facts.checked
        self._request = facts.request
        self._patient = facts.patient
        self._checklist = facts.found.one("checklist")
        self._wording = facts.wording

    def premedication(self) -> str:
        """The yes, no or nothing of the form: a yes reminds of the prescription and is none."""
        answers = {"true": "reminder", "false": "no_premedication"}
        return self._wording[answers.get(self._request["premedication"], "unstated_premedication")]

    def alert_note(self) -> tuple[str, ...]:
        """The alert on the order itself, for software that shows nothing else; nothing when none is raised."""
        return (f"{self._alert.title}. {self._alert.sentence}",) if self._alert and self._alert.is_raised else ()

    def _alert_blocks(self) -> list[str]:
        """The alert as it stands in the history: framed when raised, one sentence that concludes nothing otherwise."""
        if self._alert is None:
            return []
        if not self._alert.is_raised:
            return [say.paragraph(sentence) for sentence in self._alert.sentences]
        return [say.framed(self._alert.title, self._alert.sentences)]

    def divs(self, exams: list[RequestedExam], order: Order) -> dict[str, str]:
        """The narrative of each section that has something to say."""
        informed = {"true": "oui", "false": "non"}.get(self._request["informed"], "")
        tables = answer_tables(self._checked.questionnaire.items, self._checked.values, self._facts.withheld)
        results = (say.paragraph(self._request["earlier"]), say.answers_table(self._measures()))
        divs = {
            "clinical": say.request_div(
                say.strong_paragraph(f"Degré d’urgence : {self._request['urgency'].upper()}"),
                *(say.strong_paragraph(note) for note in self.alert_note()),
                *(say.paragraph(exam.wording) for exam in exams),
            ),
            "aim": say.request_div(say.paragraph(self._request["aim"])),
            "history": say.request_div(*self._history_blocks()),
            "acts": say.request_div(*self._act_blocks(exams, order)),
            "form": say.request_div(*(say.answers_table(rows, caption) for caption, rows in tables)),
        }
        if informed:
            divs["informed"] = say.request_div(say.paragraph(f"Patient informé des risques de l’examen : {informed}."))
        if any(results):
            divs["results"] = say.request_div(*results)
        return divs

    def _act_blocks(self, exams: list[RequestedExam], order: Order) -> list[str]:
        site = self._facts.display("site")
        rows = [(str(n), exam.wording, exam.detail) for n, exam in enumerate(exams, start=1)]
        facts = [("Numéro de la demande", self._request["number"])] if self._request["number"] else []
        facts += [("Site demandé", f"{self._request['target']} – {site}"), ("Date de la demande", say.french_date(order.start))]
        if order.end:
            facts.append(("Examen attendu au plus tard le", say.french_date(order.end)))
        facts.append(("Prise en charge", self._facts.display("demande.prise-en-charge")))
        return [
            say.strong_paragraph(f"Degré d’urgence : {self._request['urgency'].upper()}"),
            say.columns_table(("N°", "Examen demandé", "Précision"), rows),
            say.answers_table(facts),
            say.strong_paragraph(self.premedication())
            if self._request["premedication"] == "true"
            else say.paragraph(self.premedication()),
        ]

    def _history_blocks(self) -> list[str]:
        group = next(item for item in self._checked.questionnaire.items if item.link_id == "contre-indications")
        answers = self._checked.values.get(group.key, {})
        rows = answer_rows(group.items, answers, frozenset())
        child = [("Terme de naissance", self._patient["term"])] if self._patient["term"] else []
        if self._patient["premature"] and not child:
            child = [("Né prématuré", "Oui" if self._patient["premature"] == "true" else "Non")]
        if not rows:
            return [*self._alert_blocks(), say.answers_table(child), say.paragraph(self._wording["not_asked"])]
        return [
            *self._alert_blocks(),
            say.answers_table(rows, group.text, _STRONG),
            say.answers_table(child),
            say.paragraph(self._wording["answers_only"]),
        ]

    def _measures(self) -> list[say.Row]:
        rows = []
        if self._checklist["creatinine"]:
            unit = {"umol/L": "µmol/L"}.get(self._checklist["creatinine_unit"], self._checklist["creatinine_unit"])
            on = self._checklist["creatinine_date"]
            told = f"{decimal_text(Decimal(self._checklist['creatinine']))} {unit or '(' + self._wording['no_unit'] + ')'}"
            rows.append(("Créatinine", f"{told}, {'le ' + say.french_date(on) if on else self._wording['no_date']}"))
        if self._patient["weight"]:
            rows.append(("Poids", f"{decimal_text(Decimal(self._patient['weight']))} kg"))
        return rows
