"""The command tree and how errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from adapter import __version__
from adapter.cli import desk, offline, running
from adapter.errors import ConfigurationError, TduError

app = typer.Typer(
    name="tdu",
    help="Trait d'union: takes what hospitals and town send each other to its reader, and brings back every proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
running.register(app)
offline.register(app)
desk.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tdu {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options common to all commands."""


def main() -> None:
    """Entry point: our errors are a sentence on standard error, never a trace."""
    try:
        app()
    except ConfigurationError as error:
        typer.echo(f"tdu: {error}", err=True)
        sys.exit(2)
    except TduError as error:
        typer.echo(f"tdu: {error}", err=True)
        sys.exit(1)
