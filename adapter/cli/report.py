"""`tdu report`: the committee's figures over a period, from what the nightly round kept and today's rows. No patient content."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from adapter.cli.fax_report import Tariff, fax_rows, fax_summary, print_fax_report, still_faxed
from adapter.cli.options import DEFAULT_CONFIG, ConfigOption, EntityOption, JsonOption, chosen_day, chosen_entity, read_config
from adapter.cli.printed_table import print_table
from adapter.config import Config
from adapter.ledger.night import NightLedger
from adapter.ledger.statistics import DayFigures, FigureKey, Figures, PartnerOf, day_bounds, delay_percentile
from adapter.ledger.statistics_tables import COUNTS
from adapter.model.plan import ChannelName
from adapter.opening import now, open_ledger
from adapter.routing.directory import load_directory
from adapter.service.night_round import partner_of_role

_LONGEST_DAYS = 3660
_USUAL_DAYS = 30
_COLUMNS = ("deliveries", "sent", "accepted", "delivered", "read", "integrated", "refused", "parked", "open")
_SERVED = ("accepted", "delivered", "read", "integrated")


def register(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command("report")(report)


def report(
    first: Annotated[
        str, typer.Option("--from", help="First civil day: 2026-11-01 (default: the 30 days that end with --to).")
    ] = "",
    last: Annotated[str, typer.Option("--to", help="Last civil day (default: today).")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row a partner, channel and document type.")] = False,
    fax: Annotated[bool, typer.Option("--fax", help="Fax calls instead, by partner: minutes, pages, failures, cost.")] = False,
) -> None:
    """Volumes by partner, channel and document, delays, answers in time, share still faxed; with --fax, what faxing costs.

    Example: tdu report --from 2026-11-01 --to 2026-11-30 --csv
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    zone = ZoneInfo(settings.instance.time_zone)
    period = _period(first, last, settings.instance.time_zone)
    partner_of = partial(partner_of_role, load_directory(settings.directory.read()))
    ledger = open_ledger(settings)
    try:
        figures = figures_of(ledger.night, legal_entity, period, zone, partner_of)
        start, end = day_bounds(period.first, zone)[0], day_bounds(period.last, zone)[1]
        calls = ledger.night.call_figures(start, end, partner_of, legal_entity=legal_entity) if fax else {}
    finally:
        ledger.close()
    if fax:
        shares, tariff = still_faxed(figures), _tariff(settings)
        summary = fax_summary(period.first.isoformat(), period.last.isoformat(), calls, shares, tariff)
        print_fax_report(summary, fax_rows(calls, shares, tariff), as_json=as_json, as_csv=as_csv)
        return
    summary = summary_of(period, figures)
    if as_json:
        typer.echo(json.dumps({"summary": summary, "rows": list(rows_of(figures))}, ensure_ascii=False, indent=2))
    elif as_csv:
        typer.echo(_csv(figures), nl=False)
    else:
        _print(summary, figures)


def _tariff(settings: Config) -> Tariff:
    """As it was written: a price of 0.1 is a tenth, not the nearest binary fraction."""
    fax = settings.channels.fax
    return Tariff(Decimal(str(fax.cost_per_minute)), Decimal(str(fax.cost_per_page))) if fax is not None else Tariff()


@dataclass(frozen=True)
class Period:
    """Civil days, both included."""

    first: date
    last: date


def _period(first: str, last: str, zone: str) -> Period:
    until = chosen_day(last, zone, "--to")
    period = Period(chosen_day(first, zone, "--from") if first else until - timedelta(days=_USUAL_DAYS - 1), until)
    if period.last < period.first:
        raise typer.BadParameter("the last day is before the first", param_hint="--to")
    if (period.last - period.first).days > _LONGEST_DAYS:
        raise typer.BadParameter("ten years at most", param_hint="--from")
    return period


def figures_of(ledger: NightLedger, entity: str, period: Period, zone: ZoneInfo, partner_of: PartnerOf) -> DayFigures:
    """The period's sum: kept days as they were kept, later ones (today, and nights that did not run) counted now."""
    total: DayFigures = {}
    until = ledger.figures_until(legal_entity=entity)
    for _, figures in ledger.kept_figures(period.first, period.last, legal_entity=entity):
        _join(total, figures)
    day = max(period.first, until + timedelta(days=1)) if until is not None else period.first
    oldest = ledger.first_day(zone, legal_entity=entity)
    day = max(day, oldest) if oldest is not None else period.last
    last = min(period.last, now().astimezone(zone).date())
    while day <= last:
        _join(total, ledger.count_day(day, zone, partner_of, legal_entity=entity))
        day += timedelta(days=1)
    return total


def _join(total: DayFigures, figures: DayFigures) -> None:
    for key, one in figures.items():
        total.setdefault(key, Figures()).join(one)


def summary_of(period: Period, figures: DayFigures) -> dict[str, Any]:
    """The period on a few lines; shares are percentages, delays upper bounds in seconds."""
    whole = Figures()
    for one in figures.values():
        whole.join(one)
    served = {channel: _served(figures, channel) for channel in sorted({key.channel for key in figures} - {""})}
    all_served, counts = sum(served.values()), whole.counts
    return {
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "documents": counts["documents"],
        "served": served,
        "faxed_percent": _percent(served.get(ChannelName.FAX.value, 0), all_served),
        "delay_p50_seconds": delay_percentile(whole.delays, 0.5),
        "delay_p90_seconds": delay_percentile(whole.delays, 0.9),
        "asked": counts["asked"],
        "answered": counts["answered"],
        "answered_in_time_percent": _percent(counts["answered_in_time"], counts["asked"]),
    }


def _served(figures: DayFigures, channel: str) -> int:
    return sum(one.counts[name] for key, one in figures.items() if key.channel == channel for name in _SERVED)


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def rows_of(figures: DayFigures) -> Iterator[dict[str, Any]]:
    """One row a partner, channel and document type; an empty channel counts what came in and what was asked."""
    for key, one in sorted(figures.items(), key=lambda item: (item[0].partner, item[0].channel, item[0].type_code)):
        yield {
            **_names(key),
            **one.counts,
            "delay_p50_seconds": delay_percentile(one.delays, 0.5),
            "delay_p90_seconds": delay_percentile(one.delays, 0.9),
        }


def _names(key: FigureKey) -> dict[str, str]:
    return {"partner": key.partner, "channel": key.channel, "type": key.type_code}


def _csv(figures: DayFigures) -> str:
    out = io.StringIO()
    names = ["partner", "channel", "type", *COUNTS, "delay_p50_seconds", "delay_p90_seconds"]
    writer = csv.DictWriter(out, names, delimiter=";", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows_of(figures))
    return out.getvalue()


def _print(summary: dict[str, Any], figures: DayFigures) -> None:
    typer.echo("\n".join(report_lines(summary)))
    table = Table("partner", "channel", "type", *_COLUMNS, box=None)
    for row in rows_of(figures):
        if row["channel"]:
            table.add_row(row["partner"], row["channel"], row["type"], *(str(row[name]) for name in _COLUMNS))
    if table.row_count:
        print_table(table)


def report_lines(summary: dict[str, Any]) -> list[str]:
    """What a committee reads first, in French."""
    served = ", ".join(f"{channel} {count}" for channel, count in summary["served"].items()) or "aucun"
    half, most = _shown(summary["delay_p50_seconds"], " s"), _shown(summary["delay_p90_seconds"], " s")
    in_time = _shown(summary["answered_in_time_percent"], " %")
    return [
        f"Du {summary['from']} au {summary['to']} : {summary['documents']} document(s) reçu(s)",
        f"  envois aboutis : {served} ; part encore faxée : {_shown(summary['faxed_percent'], ' %')}",
        f"  délai jusqu'à la première preuve : moitié en {half} au plus, neuf sur dix en {most} au plus",
        f"  demandes : {summary['asked']}, répondues {summary['answered']}, dans le délai {in_time}",
    ]


def _shown(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value}{unit}"
