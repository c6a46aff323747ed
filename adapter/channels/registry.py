"""Which class is which channel: our own by one line here, an outsider's by the entry point group `traitdunion.channels`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from adapter.channels.base import Channel
from adapter.errors import ConfigurationError
from adapter.model.plan import ChannelName

GROUP = "traitdunion.channels"
_OURS = {
    ChannelName.SECURE_MAIL.value: "adapter.channels.mssante:SecureMailChannel",
    ChannelName.SHARED_RECORD.value: "adapter.channels.shared_record:SharedRecordChannel",
    ChannelName.FAX.value: "adapter.channels.fax:FaxSpoolChannel",
    "hylafax": "adapter.channels.hylafax:HylaFaxChannel",  # the fax again, by another way out
    "mail-fax": "adapter.channels.mail_fax:MailFaxChannel",  # and by a third
    ChannelName.HL7_PUSH.value: "adapter.channels.hl7_push:Hl7PushChannel",
    ChannelName.INBOX.value: "adapter.channels.inbox:InboxChannel",
}


def known_channels() -> tuple[str, ...]:
    """The names that can be asked for."""
    return (*_OURS, *sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in _OURS))


def channel_class(name: str) -> Callable[[Any], Channel]:
    """The class of a channel, which takes its settings; an outsider never replaces one of ours."""
    if name in _OURS:
        return _loaded(EntryPoint(name, _OURS[name], GROUP))
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return _loaded(entry)
    raise ConfigurationError(
        "channel.unknown", "no such channel.", where=name, remedy=f"Known channels: {', '.join(known_channels())}."
    )


def _loaded(entry: EntryPoint) -> Callable[[Any], Channel]:
    try:
        found: Callable[[Any], Channel] = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            "channel.unloadable", f"the channel cannot be loaded ({type(error).__name__}).", where=f"{entry.name} = {entry.value}"
        ) from error
    return found
