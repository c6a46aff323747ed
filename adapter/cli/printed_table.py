"""Prints a table: as wide as the terminal, and whole into a pipe or a file, where nobody can widen it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

# Wider than any row: rich takes 80 columns for what is no terminal, and cuts.
_WHOLE = 10_000


def print_table(table: Table) -> None:
    """To the standard output."""
    console = Console()
    (console if console.is_terminal else Console(width=_WHOLE)).print(table)
