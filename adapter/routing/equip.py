"""Writes an equipment date into the text of a partners file, and changes nothing else of it: comments and order are people's.

Law: blueprint seam 17 (a channel opens at the later of both ends' dates). The edit is proved: what the new text says must be what
the old one said, with this one change; a file written in a way that this module does not know is left alone.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date
from typing import Any

from adapter.errors import InputError
from adapter.model.plan import ChannelName

_HEADERS = ("[[organisation]]", "[[department]]", "[[practitioner.role]]")
_SINCE = re.compile(r"since\s*=\s*\d{4}-\d{2}-\d{2}")
Span = tuple[int, int]


@dataclass(frozen=True)
class Equipped:
    """The file's new text, and since when it was open before (None: not at all, or always)."""

    text: str
    before: date | None


def holds(text: str, key: str) -> bool:
    """Whether a partners file has a structure, a department or a role of this key."""
    return _block_of(text, key) is not None


def equip(text: str, key: str, channel: ChannelName, since: date) -> Equipped:
    """Open a channel at a day for what has this key. An entry that ended stays; the open one takes the new day."""
    block = _block_of(text, key)
    if block is None:
        raise InputError("equip.unknown-key", "no structure, department or role of this file has this key", where=key)
    found = re.search(r"(?m)^channels\s*=\s*", text[block[0] : block[1]])
    if found is None:
        line_end = text.index("\n", _key_line(text, key, block))
        edited = f"{text[:line_end]}\nchannels = [{_entry(channel, since)}]{text[line_end:]}"
        before = None
    else:
        start = block[0] + found.end()
        array = (start, _end_of_array(text, start))
        edited, before = _with_entry(text, array, channel, since)
    _prove(text, edited, key, channel, since)
    return Equipped(edited, before)


def _block_of(text: str, key: str) -> Span | None:
    """From a table's header to the next one."""
    headers = [match.start() for match in re.finditer(r"(?m)^\[", text)]
    for start, end in zip(headers, [*headers[1:], len(text)], strict=True):
        if text[start:end].startswith(_HEADERS) and re.search(_line_of(key), text[start:end]):
            return start, end
    return None


def _line_of(key: str) -> str:
    return rf'(?m)^key\s*=\s*"{re.escape(key)}"\s*(#.*)?$'


def _key_line(text: str, key: str, block: Span) -> int:
    found = re.search(_line_of(key), text[block[0] : block[1]])
    return block[0] + (found.start() if found else 0)


def _end_of_array(text: str, start: int) -> int:
    """Behind the bracket that closes the array; strings and comments hold brackets of their own."""
    depth, place = 0, start
    pattern = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|#[^\n]*|[\[\]]')
    while found := pattern.search(text, place):
        place = found.end()
        depth += {"[": 1, "]": -1}.get(found.group(), 0)
        if depth == 0 and found.group() == "]":
            return place
    raise InputError("equip.not-edited", "the list of channels has no end", remedy="Edit the file by hand.")


def _with_entry(text: str, array: Span, channel: ChannelName, since: date) -> tuple[str, date | None]:
    inner = text[array[0] : array[1]]
    for found in re.finditer(r"\{[^{}]*\}", inner):
        entry = tomllib.loads(f"entry = {found.group()}")["entry"]
        if entry.get("channel") != channel.value or "until" in entry:
            continue
        changed = _SINCE.sub(f"since = {since.isoformat()}", found.group())
        if changed == found.group() and "since" not in entry:
            changed = f"{found.group()[:-1].rstrip()}, since = {since.isoformat()} }}"
        place = array[0] + found.start()
        return text[:place] + changed + text[place + len(found.group()) :], entry.get("since")
    return _appended(text, array, _entry(channel, since)), None


def _appended(text: str, array: Span, entry: str) -> str:
    closing = array[1] - 1
    head = text[array[0] : closing].rstrip()
    comma = "" if head.endswith((",", "[")) else ","
    if "\n" in text[array[0] : closing]:
        return f"{text[: array[0]]}{head}{comma}\n  {entry},\n{text[closing:]}"
    space = " " if comma or head.endswith(",") else ""
    return f"{text[: array[0]]}{head}{comma}{space}{entry}{text[closing:]}"


def _entry(channel: ChannelName, since: date) -> str:
    return f'{{ channel = "{channel.value}", since = {since.isoformat()} }}'


# ── proof ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _prove(before: str, after: str, key: str, channel: ChannelName, since: date) -> None:
    wanted = tomllib.loads(before)
    target = _table_of(wanted, key)
    entries: list[dict[str, Any]] = target.setdefault("channels", [])
    still_open = [one for one in entries if one.get("channel") == channel.value and "until" not in one]
    if still_open:
        still_open[0]["since"] = since
    else:
        entries.append({"channel": channel.value, "since": since})
    try:
        is_so = tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        is_so = False
    if not is_so:
        text, remedy = "this file is written in a way that is not edited safely", "Edit it by hand: docs/how-to/directory.md."
        raise InputError("equip.not-edited", text, where=key, remedy=remedy)


def _table_of(tables: dict[str, Any], key: str) -> dict[str, Any]:
    """The parsed table of a key; an empty one when there is none, which no edit equals."""
    roles = [role for person in tables.get("practitioner", []) for role in person.get("role", [])]
    candidates = [*tables.get("organisation", []), *tables.get("department", []), *roles]
    found: dict[str, Any] = next((one for one in candidates if one.get("key") == key), {})
    return found
