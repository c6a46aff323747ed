"""`tdu report --fax`: cost to the cent, shares by partner, French for the committee, no number anywhere."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import typer

from adapter.cli.fax_report import Tariff, fax_lines, fax_rows, fax_summary, print_fax_report, still_faxed
from adapter.cli.report import _period
from adapter.ledger.fax_figures import CallFigures, CallKey
from adapter.ledger.statistics import DayFigures, FigureKey, Figures
from adapter.model.fax_call import CallDirection

OUT, IN = CallDirection.OUT, CallDirection.IN
TARIFF = Tariff(Decimal("0.045"), Decimal("0.1"))
SENT = CallFigures(9, 12, 851.0, 1, 31, {"line-busy": 2, "transmission-broken": 1}, 9, 8)
FIGURES: dict[CallKey, CallFigures] = {
    (OUT, "cms-ivry"): SENT,
    (OUT, "cms-gentilly"): CallFigures(1, 1, 20.0, 0, 2, {}, 1, 1),
    (IN, "cms-ivry"): CallFigures(4, 4, 366.0, 0, 12, {}, 4, 4),
    (IN, ""): CallFigures(1, 1, 30.0, 0, 1, {}, 1, 1),
}


def day_figures(**by_partner: tuple[int, int]) -> DayFigures:
    found: DayFigures = {FigureKey("", "", "CRH"): Figures()}
    for partner, (faxed, mailed) in by_partner.items():
        for channel, count in (("fax", faxed), ("mssante", mailed)):
            found[FigureKey(partner, channel, "CRH")] = figures = Figures()
            figures.add("delivered", count)
    return found


def test_the_cost_is_the_seconds_and_the_pages_to_the_cent() -> None:
    assert TARIFF.cost(SENT) == Decimal("3.74")
    assert TARIFF.cost(CallFigures(pages=1)) == Decimal("0.10")
    assert Tariff().cost(SENT) == Decimal("0.00")


def test_the_share_still_faxed_is_told_by_partner_and_in_all() -> None:
    shares = still_faxed(day_figures(ivry=(3, 1), gentilly=(0, 4), bagneux=(0, 0)))
    assert shares == {"ivry": 75.0, "gentilly": 0.0, "bagneux": None, "": 37.5}


def test_a_row_a_partner_and_one_for_unknown_numbers() -> None:
    rows = fax_rows(FIGURES, {"cms-ivry": 75.0, "cms-gentilly": 0.0, "cms-bagneux": 12.5, "": 40.0}, TARIFF)
    assert [row["partner"] for row in rows] == ["", "cms-bagneux", "cms-gentilly", "cms-ivry"]
    unknown, bagneux, _, ivry = rows
    assert (unknown["received_pages"], unknown["calls"], unknown["still_faxed_percent"]) == (1, 0, None)
    assert (bagneux["calls"], bagneux["still_faxed_percent"]) == (0, 12.5)
    assert (ivry["minutes"], ivry["at_first_call_percent"], ivry["received_minutes"]) == (14.2, 88.9, 6.1)


def test_the_committee_reads_the_whole_in_french() -> None:
    summary = fax_summary("2026-11-01", "2026-11-30", FIGURES, {"": 40.0}, TARIFF)
    assert fax_lines(summary) == [
        "Télécopie du 2026-11-01 au 2026-11-30 : 10 document(s) en 13 appel(s), 14,5 min, 33 page(s)",
        "  remis au premier appel : 90,0 % ; coût estimé : 3,95 €",
        "  échecs d'appel : line-busy 2, transmission-broken 1",
        "  reçu : 5 télécopie(s), 6,6 min, 13 page(s)",
        "  part des documents encore faxée : 40,0 %",
        "  1 appel(s) de durée inconnue : leurs minutes ne sont comptées ni ici ni dans le coût",
    ]


def test_a_period_without_any_call_is_told_too() -> None:
    lines = fax_lines(fax_summary("2026-11-01", "2026-11-30", {}, {}, TARIFF))
    assert lines[1:3] == ["  remis au premier appel : – ; coût estimé : 0,00 €", "  échecs d'appel : aucun"]


def test_programs_read_the_cost_as_a_decimal(capsys: pytest.CaptureFixture[str]) -> None:
    summary, rows = fax_summary("a", "b", FIGURES, {}, TARIFF), fax_rows(FIGURES, {}, TARIFF)
    print_fax_report(summary, rows, as_json=True, as_csv=False)
    told = json.loads(capsys.readouterr().out)
    assert Decimal(told["summary"]["cost_eur"]) == Decimal("3.95")
    print_fax_report(summary, rows, as_json=False, as_csv=True)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split(";")[:4] == ["partner", "documents", "calls", "minutes"]
    assert any(line.startswith("cms-ivry;9;12;14.2;") and "line-busy 2, transmission-broken 1" in line for line in lines)


def test_a_person_sees_the_unknown_numbers_named_so(capsys: pytest.CaptureFixture[str]) -> None:
    summary, rows = fax_summary("a", "b", FIGURES, {}, TARIFF), fax_rows(FIGURES, {}, TARIFF)
    print_fax_report(summary, rows, as_json=False, as_csv=False)
    assert "inconnu" in capsys.readouterr().out


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    summary = fax_summary("2026-11-01", "2026-11-30", FIGURES, {"": 40.0}, TARIFF)
    failures = {f"cause-number-{n}-with-a-long-name": n for n in range(1, 9)}
    rows = fax_rows({(OUT, "cms-ivry"): CallFigures(failures=failures)}, {}, TARIFF)
    print_fax_report(summary, rows, as_json=False, as_csv=False)
    head, line = capsys.readouterr().out.splitlines()[-2:]
    assert all(words in head for words in ("encore faxé (%)", "pages reçues"))
    assert "cms-ivry" in line and all(f"{cause} {count}" in line for cause, count in failures.items())


def test_without_a_first_day_the_report_is_of_the_thirty_days_that_end_with_the_last() -> None:
    period = _period("", "2026-11-30", "Europe/Paris")
    assert (period.first.isoformat(), period.last.isoformat()) == ("2026-11-01", "2026-11-30")
    with pytest.raises(typer.BadParameter) as refused:
        _period("hier", "", "Europe/Paris")
    assert refused.value.param_hint == "--from"
