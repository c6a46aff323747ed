"""What a fax engine says of a call that failed → the cause of the causes table; the words are data (`mappings/fax/said.csv`).

The first row whose words it holds decides, so the particular stands before the general ("busy signal detected; too many attempts
to dial" is a busy line). What no row knows is a broken transmission, which is tried again: no unknown word refuses for good.
"""

from __future__ import annotations

from functools import lru_cache

from adapter.data import mappings_root, read_table
from adapter.errors import MappingError

UNKNOWN_WORDS = "transmission-broken"


@lru_cache(maxsize=1)
def rows_said() -> tuple[tuple[str, str], ...]:
    """Words in lower case and their cause, in the order in which they are looked for; MappingError when the table is wrong."""
    try:
        return tuple((row["words"], row["cause"]) for row in read_table(mappings_root() / "fax" / "said.csv").rows)
    except (OSError, KeyError, ValueError) as error:
        raise MappingError("fax-words.unreadable", f"{type(error).__name__} in the table", where="fax/said.csv") from error


def cause_said(status: str) -> str:
    """The cause for an engine's words."""
    said = status.lower()
    return next((cause for words, cause in rows_said() if words in said), UNKNOWN_WORDS)


def cause_reported(word: str) -> str:
    """The cause for what a report gives: a code that a fax may end with, or an engine's own words."""
    return word if any(word == cause for _, cause in rows_said()) else cause_said(word)
