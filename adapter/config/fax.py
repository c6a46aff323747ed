"""What no single setting tells of the fax: one way out, hours that are hours, and no telephone line for a test instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time

from adapter.config.mail_fax import check_mail_fax, mail_fax_secrets
from adapter.config.reading import Problem
from adapter.config.secure_lines import check_file
from adapter.config.settings import Config, HylaFaxServer, Mode, Secret


def check_fax(config: Config) -> Iterator[Problem]:
    """Every problem of `[channels.fax]`."""
    fax = config.channels.fax
    if fax is None:
        return
    if sum(way_out is not None for way_out in (fax.spool_directory, fax.hylafax, fax.mail)) != 1:
        remedy = "Give spool_directory, [channels.fax.hylafax] or [channels.fax.mail]."
        yield Problem("channels.fax", "needs one way out, and one only.", remedy)
    if fax.annex_key is not None:
        yield from check_file("channels.fax.annex_key", fax.annex_key)
    if fax.hylafax is not None:
        yield from _check_server(fax.hylafax, config.instance.mode)
    if fax.mail is not None:
        yield from check_mail_fax(fax.mail, config.instance.mode)


def fax_secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """Where secrets of the fax stand."""
    server = config.channels.fax.hylafax if config.channels.fax else None
    if server is not None and server.password is not None:
        yield "channels.fax.hylafax.password", server.password
    if config.channels.fax is not None and config.channels.fax.mail is not None:
        yield from mail_fax_secrets(config.channels.fax.mail)


def hours_of(server: HylaFaxServer) -> tuple[time, time] | None:
    """When ordinary faxes may leave; None: at any hour. ValueError when a setting is no time of day."""
    if not server.open_from and not server.open_until:
        return None
    start, end = time.fromisoformat(server.open_from), time.fromisoformat(server.open_until)
    if start >= end:
        raise ValueError("the end comes before the start")
    return start, end


def _check_server(server: HylaFaxServer, mode: Mode) -> Iterator[Problem]:
    try:
        hours_of(server)
    except ValueError:
        remedy = 'Write open_from = "08:00" and open_until = "20:00", or leave both out.'
        yield Problem("channels.fax.hylafax.open_from", "the hours are no hours of one day.", remedy)
    if mode is Mode.TEST and not server.for_tests:
        remedy = "Set for_tests = true if this server reaches no telephone line, or use spool_directory."
        yield Problem("channels.fax.hylafax", "a test instance never dials.", remedy)
    if mode is Mode.PRODUCTION and server.for_tests:
        remedy = "Name the server that dials, or set for_tests = false."
        yield Problem("channels.fax.hylafax.for_tests", "is set in a production instance.", remedy)
