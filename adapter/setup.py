"""`tdu init`: a folder that starts as it is. Never touches a file that exists, never makes a second key."""

from __future__ import annotations

from pathlib import Path

from adapter.config import example_text
from adapter.data import partners_root
from adapter.errors import ConfigurationError
from adapter.ledger.vault import create_key_file

CONFIG_NAME = "tdu.toml"
KEY_NAME = "payload.key"
PARTNERS = ("reference-territory.toml", "units.csv")


def write_instance(directory: Path) -> list[str]:
    """Write configuration, key and partners file into a new or empty folder; returns what was written, a line each."""
    directory.mkdir(parents=True, exist_ok=True)
    taken = [name for name in (CONFIG_NAME, KEY_NAME, *PARTNERS) if (directory / name).exists()]
    if taken:
        raise ConfigurationError(
            "init.not-empty", f"these files exist already: {', '.join(taken)}.", where=str(directory), remedy="Name a new folder."
        )
    create_key_file(directory / KEY_NAME)
    text = example_text().replace("files = []", f"files = {list(PARTNERS)!r}".replace("'", '"'))
    (directory / CONFIG_NAME).write_text(text, encoding="utf-8")
    for name in PARTNERS:
        (directory / name).write_bytes((partners_root() / name).read_bytes())
    for folder in ("drop", "data/fax"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    return [
        f"{directory / CONFIG_NAME}: the configuration of a test instance, to be changed",
        f"{directory / KEY_NAME}: the payload key (0600). Back it up apart from the data: without it nothing can be read",
        f"{directory / PARTNERS[0]}, {PARTNERS[1]}: an example territory, to be replaced by yours",
        f"next: tdu check --config {directory / CONFIG_NAME}, then tdu serve --config {directory / CONFIG_NAME}",
    ]
