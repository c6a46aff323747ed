"""`tdu report --fax`: what faxing costs and how well it goes, by partner, as the committee reads it. No number, no patient."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import typer
from rich.table import Table

from adapter.cli.printed_table import print_table
from adapter.ledger.fax_figures import CallFigures, CallKey
from adapter.ledger.statistics import DayFigures
from adapter.model.fax_call import CallDirection
from adapter.model.plan import ChannelName

_CENT = Decimal("0.01")
_SERVED = ("accepted", "delivered", "read", "integrated")
# What a person reads above each column; the programs' names are the row's own.
_COLUMNS = {
    "partner": "partenaire",
    "documents": "documents",
    "calls": "appels",
    "minutes": "minutes",
    "pages": "pages",
    "at_first_call_percent": "au 1er appel (%)",
    "failures": "échecs",
    "cost_eur": "coût (€)",
    "still_faxed_percent": "encore faxé (%)",
    "received_calls": "appels reçus",
    "received_pages": "pages reçues",
}
_NOBODY = "numéro inconnu"


@dataclass(frozen=True)
class Tariff:
    """What the operator pays for what leaves, in euros: by minute of line (told by the second) and by page confirmed."""

    per_minute: Decimal = Decimal(0)
    per_page: Decimal = Decimal(0)

    def cost(self, figures: CallFigures) -> Decimal:
        """To the cent. Calls of unknown length count by their pages alone."""
        minutes = Decimal(str(figures.seconds)) / 60
        return (minutes * self.per_minute + figures.pages * self.per_page).quantize(_CENT, ROUND_HALF_UP)


def still_faxed(figures: DayFigures) -> dict[str, float | None]:
    """By partner, the percentage of the documents that reached it which went by fax; under the empty name, of all partners."""
    served: dict[str, int] = {}
    faxed: dict[str, int] = {}
    for key, one in figures.items():
        count = sum(one.counts[name] for name in _SERVED) if key.channel else 0
        for name in {key.partner, ""}:
            served[name] = served.get(name, 0) + count
            faxed[name] = faxed.get(name, 0) + (count if key.channel == ChannelName.FAX.value else 0)
    return {name: _percent(faxed[name], whole) for name, whole in served.items()}


def fax_rows(figures: Mapping[CallKey, CallFigures], shares: Mapping[str, float | None], tariff: Tariff) -> list[dict[str, Any]]:
    """One row a partner; calls from numbers that are nobody's stand under an empty name."""
    none = CallFigures()
    names = sorted({name for _, name in figures} | {name for name, share in shares.items() if name and share})
    return [
        {"partner": name}
        | _row(figures.get((CallDirection.OUT, name), none), figures.get((CallDirection.IN, name), none), tariff)
        | {"still_faxed_percent": shares.get(name) if name else None}
        for name in names
    ]


def fax_summary(
    first: str, last: str, figures: Mapping[CallKey, CallFigures], shares: Mapping[str, float | None], tariff: Tariff
) -> dict[str, Any]:
    """The period as a whole."""
    sent = _joined(one for (direction, _), one in figures.items() if direction is CallDirection.OUT)
    received = _joined(one for (direction, _), one in figures.items() if direction is CallDirection.IN)
    return {"from": first, "to": last} | _row(sent, received, tariff) | {"still_faxed_percent": shares.get("")}


def _row(sent: CallFigures, received: CallFigures, tariff: Tariff) -> dict[str, Any]:
    return {
        "documents": sent.documents,
        "calls": sent.calls,
        "minutes": _minutes(sent.seconds),
        "unknown_length_calls": sent.unknown_length,
        "pages": sent.pages,
        "at_first_call_percent": _percent(sent.at_once, sent.first_calls),
        "failures": dict(sorted(sent.failures.items())),
        "cost_eur": str(tariff.cost(sent)),
        "received_documents": received.documents,
        "received_calls": received.calls,
        "received_minutes": _minutes(received.seconds),
        "received_pages": received.pages,
    }


def _joined(many: Iterable[CallFigures]) -> CallFigures:
    total = CallFigures()
    for one in many:
        total.documents += one.documents
        total.calls += one.calls
        total.seconds += one.seconds
        total.unknown_length += one.unknown_length
        total.pages += one.pages
        total.first_calls += one.first_calls
        total.at_once += one.at_once
        for cause, count in one.failures.items():
            total.failures[cause] = total.failures.get(cause, 0) + count
    return total


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 1)


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


# ── what is printed ───────────────────────────────────────────────────────────────────────────────────────────


def print_fax_report(summary: dict[str, Any], rows: list[dict[str, Any]], *, as_json: bool, as_csv: bool) -> None:
    """For programs, for a spreadsheet, or for a person."""
    if as_json:
        typer.echo(json.dumps({"summary": summary, "rows": rows}, ensure_ascii=False, indent=2))
    elif as_csv:
        typer.echo(_csv(rows), nl=False)
    else:
        typer.echo("\n".join(fax_lines(summary)))
        _print_table(rows)


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    names = [name for name in _row(CallFigures(), CallFigures(), Tariff()) if name != "failures"]
    writer = csv.DictWriter(out, ["partner", *names, "failures", "still_faxed_percent"], delimiter=";", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"failures": _told_failures(row["failures"])} for row in rows)
    return out.getvalue()


def fax_lines(summary: dict[str, Any]) -> list[str]:
    """What a committee reads first, in French."""
    unknown = summary["unknown_length_calls"]
    sent = f"{summary['documents']} document(s) en {summary['calls']} appel(s), {_french(summary['minutes'])} min"
    received = f"{summary['received_documents']} télécopie(s), {_french(summary['received_minutes'])} min"
    lines = [
        f"Télécopie du {summary['from']} au {summary['to']} : {sent}, {summary['pages']} page(s)",
        f"  remis au premier appel : {_shown(summary['at_first_call_percent'])} ; coût estimé : {_french(summary['cost_eur'])} €",
        f"  échecs d'appel : {_told_failures(summary['failures']) or 'aucun'}",
        f"  reçu : {received}, {summary['received_pages']} page(s)",
        f"  part des documents encore faxée : {_shown(summary['still_faxed_percent'])}",
    ]
    if unknown:
        lines.append(f"  {unknown} appel(s) de durée inconnue : leurs minutes ne sont comptées ni ici ni dans le coût")
    return lines


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(*_COLUMNS.values(), box=None)
    for row in rows:
        told = row | {"partner": row["partner"] or _NOBODY, "failures": _told_failures(row["failures"])}
        table.add_row(*(_french(told[name]) for name in _COLUMNS))
    if rows:
        print_table(table)


def _told_failures(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in failures.items())


def _shown(percent: float | None) -> str:
    return "–" if percent is None else f"{_french(percent)} %"


def _french(value: object) -> str:
    """Figures with a decimal comma."""
    if value is None:
        return "–"
    text = str(value)
    return text.replace(".", ",") if text.replace(".", "", 1).replace("-", "", 1).isdigit() else text
