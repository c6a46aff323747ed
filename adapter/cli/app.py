"""The command tree and how errors become exit codes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from adapter import __version__
from adapter.cli import desk, directory, forms, offline, replaying, running
from adapter.errors import ConfigurationError, TduError, VaultError


class _Tree(TyperGroup):
    """The commands; an error of ours, or of the files named, is a sentence on standard error and an exit code, never a trace."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigurationError, VaultError) as error:
            typer.echo(f"tdu: {error}", err=True)
            raise typer.Exit(2) from None
        except TduError as error:
            typer.echo(f"tdu: {error}", err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            if not error.filename:  # no file that the user named: a defect, whose trace is wanted
                raise
            typer.echo(f"tdu: {error.filename}: {error.strerror}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    name="tdu",
    cls=_Tree,
    help="Trait d'union: takes what hospitals and town send each other to its reader, and brings back every proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
running.register(app)
offline.register(app)
forms.register(app)
desk.register(app)
directory.register(app)
replaying.register(app)


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
    """Entry point of `tdu` and of `python -m adapter`."""
    app()
