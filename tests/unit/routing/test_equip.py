"""An equipment date written into a partners file: that one change, or none."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest

from adapter.errors import InputError
from adapter.model.plan import ChannelName
from adapter.routing.directory import load_directory
from adapter.routing.equip import equip, holds
from tests.builders.directory import small_text, territory_files

MAIL, RECORD = ChannelName.SECURE_MAIL, ChannelName.SHARED_RECORD
DAY = date(2027, 3, 1)
BY_NAME = {name: content.decode() for name, content in territory_files().items() if name.endswith(".toml")}
TERRITORY = next(text for text in BY_NAME.values() if holds(text, "gentilly"))


def channels(text: str, key: str) -> list[dict[str, object]]:
    tables = tomllib.loads(text)
    roles = [role for person in tables["practitioner"] for role in person.get("role", [])]
    return next(one.get("channels", []) for one in [*tables["organisation"], *roles] if one["key"] == key)


def test_the_open_entry_takes_the_new_day_and_every_other_line_stays() -> None:
    done = equip(TERRITORY, "gentilly", MAIL, date(2027, 1, 15))
    assert done.before == DAY and {"channel": "mssante", "since": date(2027, 1, 15)} in channels(done.text, "gentilly")
    changed = [(a, b) for a, b in zip(TERRITORY.splitlines(), done.text.splitlines(), strict=True) if a != b]
    assert len(changed) == 1


@pytest.mark.parametrize(
    "written",
    [
        "",
        'channels = [{ channel = "fax", since = 2020-01-01 }]',
        'channels = [\n  { channel = "fax", since = 2020-01-01 },  # [the old machine]\n]',
        'channels = [\n  { channel = "fax" }\n]',
        "channels = []",
        'channels = [{ channel = "mssante" }]',
        'channels = [{ channel = "mssante", since = 2020-01-01, until = 2021-01-01 }]',
    ],
)
def test_a_channel_is_opened_however_the_list_is_written(written: str) -> None:
    before = small_text(centre=written)
    done = equip(before, "centre", MAIL, DAY)
    assert {"channel": "mssante", "since": DAY} in channels(done.text, "centre")
    assert len(channels(done.text, "centre")) in (len(channels(before, "centre")), len(channels(before, "centre")) + 1)
    load_directory({"small.toml": done.text.encode()})


def test_a_role_has_its_own_date() -> None:
    done = equip(small_text(), "fictif", RECORD, DAY)
    assert channels(done.text, "fictif") == [{"channel": "shared_record", "since": DAY}]
    assert channels(done.text, "centre") == []


def test_a_key_that_nothing_has_is_told() -> None:
    assert not holds(TERRITORY, "nowhere")
    with pytest.raises(InputError, match="unknown-key"):
        equip(TERRITORY, "nowhere", MAIL, DAY)


def test_what_is_not_written_as_this_module_knows_is_left_alone() -> None:
    with pytest.raises(InputError, match="not-edited"):
        equip(small_text(centre='"channels" = [{ channel = "mssante", since = 2020-01-01 }]'), "centre", MAIL, DAY)
