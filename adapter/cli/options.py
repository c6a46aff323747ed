"""Options that several commands take, declared once."""

from __future__ import annotations

import getpass
import os
from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from adapter.config import Config, load_config
from adapter.model.finding import Finding

ConfigOption = Annotated[Path, typer.Option("--config", "-c", envvar="TDU_CONFIG", help="Configuration file.", show_default=True)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
EntityOption = Annotated[str, typer.Option("--entity", help="Legal entity (FINESS EJ); needed when the instance has several.")]
FormOption = Annotated[str, typer.Option("--form", help="The form's slug when a file is a form.", show_default=False)]
DEFAULT_CONFIG = Path("tdu.toml")


def read_config(path: Path) -> Config:
    """The configuration, or ConfigurationError (exit 2) with every problem in it."""
    return load_config(path, os.environ)


def chosen_entity(config: Config, entity: str) -> str:
    """The legal entity to act for: the one named, or the only one."""
    known = [e.finess_ej for e in config.legal_entities]
    if entity:
        if entity not in known:
            raise typer.BadParameter(f"unknown legal entity; known: {', '.join(known)}", param_hint="--entity")
        return entity
    if len(known) != 1:
        raise typer.BadParameter(f"several legal entities: name one of {', '.join(known)}", param_hint="--entity")
    return known[0]


def chosen_day(text: str, zone: str, option: str = "--on") -> date:
    """`--on 2027-01-15`, or today in the instance's civil time. `option`: how the command names it."""
    if not text:
        return datetime.now(ZoneInfo(zone)).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("a date is written 2027-01-15", param_hint=option) from error


def known_zone(name: str) -> str:
    """A civil time zone that this machine knows."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise typer.BadParameter("a zone is written Europe/Paris", param_hint="--zone") from error


def operator_name() -> str:
    """The system user, for the ledger's audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def finding_line(finding: Finding) -> str:
    """One finding as a person reads it: how bad, the stable code, where, what, and what to do."""
    where = " ← ".join(filter(None, (finding.location, finding.source)))
    place = f"[{where}]" if where else ""
    words = (finding.severity.value, finding.code, place, finding.text, finding.remedy)
    return "  " + " ".join(word for word in words if word)
