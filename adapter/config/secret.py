"""Where a secret is: never in the configuration itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapter.errors import ConfigurationError


@dataclass(frozen=True)
class Secret:
    """Where a secret is: `{ file = "…" }` or `{ variable = "…" }`. The value itself is read only when used."""

    file: Path | None = None
    variable: str = ""

    def read(self, environ: Mapping[str, str]) -> str:
        """The secret's value, without the end of line; ConfigurationError when it is absent or empty."""
        if self.file is not None:
            return self._read_file(self.file)
        value = environ.get(self.variable, "")
        if not value:
            raise ConfigurationError(
                "config.secret-missing", "the environment variable is not set.", where=self.variable, remedy="Set it."
            )
        return value

    @staticmethod
    def _read_file(path: Path) -> str:
        try:
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                "config.secret-missing", f"the secret's file cannot be read ({type(error).__name__}).", where=str(path)
            ) from error
        if not value:
            raise ConfigurationError("config.secret-missing", "the secret's file is empty.", where=str(path))
        return value
