"""Loads a configuration file: read, complete, check; one error that lists everything that is wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from adapter.config.coherence import check_coherence
from adapter.config.completion import complete
from adapter.config.reading import Problem, TableReader
from adapter.config.settings import Config
from adapter.data import mappings_root
from adapter.errors import ConfigurationError


class WrongConfigurationError(ConfigurationError):
    """The file is wrong; `problems` lists every wrong place."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        count = f"{len(problems)} settings are" if len(problems) > 1 else "one setting is"
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__("config.wrong", f"{count} wrong:{lines}", where=str(path))
        self.problems = problems


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration, complete and coherent; ConfigurationError otherwise. Secrets stay where they are."""
    path = path.absolute()
    reader = TableReader(path.parent)
    config = complete(reader.read(Config, _tables(path)), path.parent)
    noted = {problem.place for problem in reader.problems}
    problems = [*reader.problems, *(p for p in check_coherence(config, environ) if p.place not in noted)]
    if problems:
        raise WrongConfigurationError(path, tuple(problems))
    return config


def _tables(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            "config.no-file", "there is no such file.", where=str(path), remedy="`tdu init DIR` writes one."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "config.unreadable", f"the file cannot be read ({type(error).__name__}).", where=str(path)
        ) from error
    except tomllib.TOMLDecodeError as error:
        # The decoder's text holds a line and a column, never the value.
        raise ConfigurationError("config.not-toml", f"the file is not TOML: {error}.", where=str(path)) from error
    except RecursionError:
        raise ConfigurationError("config.not-toml", "the file is nested too deep.", where=str(path)) from None


def example_text() -> str:
    """The documented example, as shipped: what `tdu init` starts from."""
    packaged = mappings_root() / "config.example.toml"
    path = packaged if packaged.is_file() else mappings_root().parent / "config.example.toml"
    return path.read_text(encoding="utf-8")
