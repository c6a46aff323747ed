"""`tdu`: parse, call one function, print. Exit 0 ok, 1 refused or failed, 2 wrong usage or configuration."""

from __future__ import annotations

from adapter.cli.app import main

__all__ = ["main"]
