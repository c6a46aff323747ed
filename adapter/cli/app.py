"""The command tree, and errors as exit codes. A command's room is imported when it is asked for: `tdu queue` draws no page."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from adapter import __version__
from adapter.errors import ConfigurationError, TduError, VaultError
from adapter.memory import settle_memory

# Which module of this package holds each command, in the order of the help.
ROOMS = {
    "init": "running",
    "demo": "running",
    "serve": "running",
    "check": "running",
    "submit": "running",
    "translate": "offline",
    "validate": "offline",
    "coverage": "offline",
    "explain": "offline",
    "form": "forms",
    "fax": "fax",
    "trace": "desk",
    "queue": "desk",
    "resolve": "desk",
    "directory": "directory",
    "importers": "importers",
    "sandbox": "sandbox",
    "replay": "replaying",
    "sync": "sync",
    "report": "report",
    "visibility": "visibility",
    "patient": "patients",
    "record": "record",
    "export": "bulk",
    "import": "bulk",
}


class _Tree(TyperGroup):
    """The commands; an error of ours, or of the files named, is a sentence on standard error and an exit code, never a trace."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class names it so
        """Every command, without importing any."""
        return list(ROOMS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the base class names it so
        """One command, its room imported now; None when there is no such command."""
        return command_named(cmd_name) if cmd_name in ROOMS else None

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


def command_named(name: str) -> Any:
    """The command that a room registers under this name."""
    tree = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    tree.callback()(lambda: None)  # a room with one command is a group all the same
    import_module(f"adapter.cli.{ROOMS[name]}").register(tree)
    group: Any = typer.main.get_command(tree)
    return group.commands[name]


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
    settle_memory()
    app()
