"""`tdu sandbox`: the Import API for integrators, with invented cases and faults on demand."""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from adapter.cli.options import JsonOption
from adapter.errors import ConfigurationError
from adapter.sandbox.house import Sandbox
from adapter.sandbox.scene import CASES
from adapter.web.faults import CONTROL, FAULTS

FORMATS = ("fhir", "xdm", "cda+pdf", "hprim")


def register(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command("sandbox")(sandbox)


def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on loopback; 0: a free one.")] = 0,
    directory: Annotated[Path | None, typer.Option("--dir", help="A new folder, which stays; else a temporary one.")] = None,
    folder: Annotated[str, typer.Option("--folder", help=f"Fill a drop folder too: {', '.join(FORMATS)}.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Serve the Import API to a program under test: real service, invented patients, keys made for the occasion.

    Return plays the second act (replacement, cancellation, masking); end of input or Ctrl-C stops.

    Example: tdu sandbox --port 8099
    """
    if folder and folder not in FORMATS:
        raise typer.BadParameter(f"one of {', '.join(FORMATS)}", param_hint="--folder")
    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise ConfigurationError("sandbox.folder-not-empty", "the folder holds other things.", where=str(directory))
    place = directory or Path(tempfile.mkdtemp(prefix="tdu-sandbox-"))
    try:
        with Sandbox(place, port, folder) as house:
            _tell(house, as_json)
            _wait(house, as_json)
    except KeyboardInterrupt:
        pass
    finally:
        if directory is None:
            shutil.rmtree(place, ignore_errors=True)


def _wait(house: Sandbox, as_json: bool) -> None:
    """Return: the second act. End of input: over."""
    for number, _ in enumerate(_returns(sys.stdin.fileno())):
        if number == 0:
            house.play_second_act()
            typer.echo(json.dumps({"act": 2}) if as_json else "Deuxième acte joué : remplacement, annulation, masquage.")


def _returns(descriptor: int) -> Iterator[None]:
    """Each end of a line, as it is typed.

    Awake twice a second: a Ctrl-C that comes just before a read without end is not seen until something is typed.
    """
    while True:
        if not select.select([descriptor], [], [], 0.5)[0]:
            continue
        typed = os.read(descriptor, 4096)
        if not typed:
            return
        yield from (None for _ in range(typed.count(b"\n")))


def _tell(house: Sandbox, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "act": 1,
        "base_url": house.base_url,
        "token_url": f"{house.base_url}/auth/token",
        "clients": [{"client_id": c.id, "key_file": str(c.key_file), "roles": list(c.roles)} for c in house.clients],
        "folder": str(house.drop_folder) if house.drop_folder else "",
        "faults": {"header": "X-Sandbox-Fault", "control": f"http://127.0.0.1:{house.port}{CONTROL}", "known": list(FAULTS)},
    }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    typer.echo(f"API d'import : {facts['base_url']}   jetons : {facts['token_url']}")
    for client in facts["clients"]:
        typer.echo(f"  client {client['client_id']} · clé privée (ES384) {client['key_file']} · {', '.join(client['roles'])}")
    if facts["folder"]:
        typer.echo(f"Dossier d'échange : {facts['folder']}")
    typer.echo(f"Fautes : en-tête X-Sandbox-Fault ({', '.join(FAULTS)}), ou POST {facts['faults']['control']}")
    typer.echo("Cas inventés :")
    for case in CASES:
        typer.echo(f"  - {case.title}")
    typer.echo("Entrée : deuxième acte (remplacement, annulation, masquage). Ctrl-C : fin.")
