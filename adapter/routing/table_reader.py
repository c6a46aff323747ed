"""Reads one table of a partners file field by field; each wrong or unknown field is noted, none stops the reading."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import combinations
from typing import Any

from adapter.formats.phone_number import REFUSED_FOR_FAX, NumberKind, e164, kind_of
from adapter.model.plan import ChannelName
from adapter.routing.entries import NAMED_CHANNELS, Equipment, Period
from adapter.routing.identifiers import finess_is_valid, international_number, is_international_number, is_mail_address


class Reader:
    """One table of a file; each wrong or unknown field is noted, none stops the reading.

    `text` is the file that it was read from: where a value stands in it, the line is told.
    """

    def __init__(self, table: Mapping[str, Any], place: str, problems: list[str], text: str = "") -> None:
        self._table = table
        self._place = place
        self._problems = problems
        self._left = set(table)
        self._text = text

    def text(self, key: str, *, required: bool = False) -> str:
        """A text, empty when absent."""
        value = self._take(key)
        if value is None or value == "":
            if required:
                self.complain(key, "is missing")
            return ""
        if not isinstance(value, str):
            self.complain(key, "must be a text")
            return ""
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.complain(key, "must be a list of texts")
            return ()
        return tuple(value)

    def flag(self, key: str) -> bool:
        """True or false; absent is false."""
        value = self._take(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.complain(key, "must be true or false")
        return value is True

    def number(self, key: str, default: int) -> int:
        """A positive whole number."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            self.complain(key, "must be a positive whole number")
            return default
        return value

    def period(self, since_key: str = "valid_from", until_key: str = "valid_to") -> Period:
        """A validity; the last day belongs to it."""
        period = Period(self._date(since_key), self._date(until_key))
        if period.since and period.until and period.until < period.since:
            self.complain(until_key, "is before the first day")
        return period

    def choice(self, key: str, allowed: Sequence[str], default: str = "") -> str:
        """One of a few words."""
        value = self.text(key, required=not default) or default
        if value and value not in allowed:
            self.complain(key, f"must be one of: {', '.join(allowed)}")
            return allowed[0]
        return value

    def checked(self, key: str, test: Callable[[str], bool], wish: str, *, required: bool = False) -> str:
        """A text that a test accepts."""
        value = self.text(key, required=required)
        if value and not test(value):
            self.complain(key, wish)
        return value

    def finess(self) -> str:
        """A FINESS number with its right key."""
        return self.checked("finess", finess_is_valid, "is not a FINESS number (9 characters, key included)", required=True)

    def mailbox(self) -> str:
        """A mail address, in lower case."""
        return self.checked("mailbox", is_mail_address, "is not a mail address").lower()

    def phone(self, key: str) -> str:
        """A number in international form, for a person to ring: a range that numbering tables do not know is let pass."""
        written = self.text(key)
        value = e164(written) or international_number(written)
        if value and not is_international_number(value):
            self.complain(key, "is not a telephone number")
        return value

    def fax(self, key: str = "fax") -> str:
        """A number in E.164 that a fax may dial: software calls it, and whoever is behind it reads about patients."""
        written = self.text(key)
        kind = kind_of(written) if written else NumberKind.FIXED
        if kind not in REFUSED_FOR_FAX:
            return e164(written)
        what = "is no number that exists" if kind is NumberKind.NONE else "is a short or charged number, which no fax may dial"
        remedy = "write the practice's own line, as 01 99 00 12 34 or +33199001234"
        self.complain(key, f"{what}{self._line_of(key, written)}: {remedy}")
        return ""

    def equipment(self) -> tuple[Equipment, ...]:
        """The dated channels of this end."""
        found = tuple(self._one_equipment(reader) for reader in self.tables("channels"))
        for one, other in combinations(found, 2):
            if one.channel is other.channel and one.period.overlaps(other.period):
                self.complain("channels", f"has two overlapping periods for {one.channel.value}")
        return found

    @staticmethod
    def _one_equipment(reader: Reader) -> Equipment:
        channel = ChannelName(reader.choice("channel", [c.value for c in ChannelName]))
        address = reader.text("address", required=channel in NAMED_CHANNELS)
        if address and channel not in NAMED_CHANNELS:
            reader.complain("address", "is for hl7_push and inbox only: mailboxes and numbers have their own keys")
        equipment = Equipment(channel, reader.period("since", "until"), address)
        reader.close()
        return equipment

    def tables(self, key: str) -> list[Reader]:
        """The tables of a list inside this one."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.complain(key, "must be a list of tables")
            return []
        return [Reader(item, f"{self._place}.{key}[{n}]", self._problems, self._text) for n, item in enumerate(value, 1)]

    def close(self) -> None:
        """Note every key that nothing asked for: a misspelt key must not be silence."""
        for key in sorted(self._left):
            self.complain(key, "is not a known key here")

    def complain(self, key: str, what: str) -> None:
        """Note one problem."""
        self._problems.append(f"{self._place}.{key} {what}")

    def _line_of(self, key: str, written: str) -> str:
        """` (line 12)` for a value of a TOML file; nothing for a CSV, whose place is a line already."""
        stands = re.compile(rf"""\s*{re.escape(key)}\s*=\s*["']{re.escape(written)}["']""")
        lines = [str(number) for number, line in enumerate(self._text.splitlines(), 1) if stands.match(line)]
        return f" (line {', '.join(lines)})" if lines else ""

    def _take(self, key: str) -> Any:
        self._left.discard(key)
        return self._table.get(key)

    def _date(self, key: str) -> date | None:
        value = self._take(key)
        if value is None or value == "":
            return None
        if type(value) is date:
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.complain(key, "is not a date (YYYY-MM-DD)")
            return None
