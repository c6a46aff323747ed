"""Channels by name: ours are there, an outsider's is found by its entry point, an unknown one is told with what is known."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from adapter.channels import registry
from adapter.channels.shared_record import SharedRecordChannel
from adapter.errors import ConfigurationError
from adapter.model.plan import ChannelName


def installed(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = EntryPoints(EntryPoint(name, value, registry.GROUP) for name, value in points)
    monkeypatch.setattr(registry, "entry_points", lambda group: found.select(group=group))


@pytest.mark.parametrize("name", [*(channel.value for channel in ChannelName), "hylafax"])
def test_every_channel_of_the_model_has_a_class(name: str) -> None:
    made = registry.channel_class(name)
    assert {"send", "find", "collect", "check", "capabilities"} <= set(dir(made))


def test_an_outsiders_channel_is_found_but_never_replaces_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ("pigeon", "collections:OrderedDict"), ("shared_record", "collections:OrderedDict"))
    assert registry.known_channels() == ("mssante", "shared_record", "fax", "hylafax", "mail-fax", "hl7_push", "inbox", "pigeon")
    assert registry.channel_class("pigeon").__name__ == "OrderedDict"  # type: ignore[attr-defined]
    assert registry.channel_class("shared_record") is SharedRecordChannel


def test_an_unknown_or_broken_channel_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ("broken", "no_such_module:Thing"))
    with pytest.raises(ConfigurationError, match="ModuleNotFoundError"):
        registry.channel_class("broken")
    with pytest.raises(
        ConfigurationError, match="Known channels: mssante, shared_record, fax, hylafax, mail-fax, hl7_push, inbox, broken"
    ):
        registry.channel_class("telex")
