"""Keeps patient content out of `repr`: a dataclass that inherits `Confidential` shows its class only.

Law: what identifies or describes a patient never reaches a log, a metric, an exception text or a `repr`.
Declare such classes with `@dataclass(frozen=True, repr=False)`.
"""

from __future__ import annotations


class Confidential:
    """Mixin whose `repr` and `str` never show a field."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} confidential>"

    __str__ = __repr__
