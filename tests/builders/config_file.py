"""A configuration file to try settings on: an instance with its sandbox, its legal entities, and what the test is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from adapter.config import Config, load_config
from adapter.config.load import WrongConfigurationError

HOSPITAL, TOWN = "750712184", "949990220"
SANDBOX = '[instance.sandbox]\nmail = "b@h.formation.mssante.fr"\nfax = "+33199000000"\nrecord = "http://127.0.0.1:1/fhir"\n'
_ENTITIES = {HOSPITAL: ("Hôpital", "1.2.250.1.999.94.1"), TOWN: ("Commune", "1.2.250.1.999.94.2")}


def load_settings(
    folder: Path,
    settings: str,
    *,
    mode: str = "test",
    sandbox: str | None = None,
    entities: tuple[str, ...] = (HOSPITAL, TOWN),
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Write `tdu.toml` with these tables in it, and read it. `sandbox`: another than a test instance's own."""
    own = SANDBOX if mode == "test" else ""
    head = f'[instance]\nmode = "{mode}"\nname = "essai"\n{own if sandbox is None else sandbox}\n'
    file = folder / "tdu.toml"
    file.write_text(head + "".join(map(_entity, entities)) + settings, encoding="utf-8")
    return load_config(file, dict(environ or {}))


def _entity(number: str) -> str:
    name, oid = _ENTITIES[number]
    return f'[[legal_entities]]\nfiness_ej = "{number}"\nname = "{name}"\nsource_oid = "{oid}"\n'


def problem_places(load: Callable[[], Config]) -> set[str]:
    """Which settings are wrong; some must be."""
    with pytest.raises(WrongConfigurationError) as caught:
        load()
    return {problem.place for problem in caught.value.problems}
