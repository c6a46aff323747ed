"""From the configuration to what the fax lines' doors and their reader are given: where faxes lie, whose signatures count."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from adapter.config import Config, Mode, Secret
from adapter.config.fax_in import DoubtfulFax, ReceiveQueueServer, TrustedFaxSender
from adapter.config.fax_in import FaxDoor as FaxLine
from adapter.errors import ConfigurationError, InputError
from adapter.formats.detached_jws import key_id_of, read_trusted_key
from adapter.formats.phone_number import e164
from adapter.intake.fax_folder import NAME_FACTS, FaxFolderSettings
from adapter.intake.fax_in import FaxIntakeSettings
from adapter.intake.fax_queue import FaxQueueSettings
from adapter.intake.name_pattern import pattern_problem
from adapter.model.fax_in import FAX_DOOR, FaxDoor, FaxDoors, FaxSender, PageCompare
from adapter.model.inbox import LOCAL


def fax_doors(config: Config) -> FaxDoors:
    """The fax lines as their reader must know them. ConfigurationError when a number is none, or a key is no Ed25519 one."""
    is_test = config.instance.mode is Mode.TEST
    lines = enumerate(config.doors.fax, start=1)
    otherwise = FaxDoor("", "", takes_test_identities=is_test)
    return FaxDoors({f"{FAX_DOOR}{line.name}": _fax_door(line, f"doors.fax[{n}]", is_test) for n, line in lines}, otherwise)


def fax_intake_settings(line: FaxLine) -> FaxIntakeSettings:
    """Whose line it is."""
    return FaxIntakeSettings(line.name, line.legal_entity, line.zone)


def fax_folder_settings(line: FaxLine, folder: Path) -> FaxFolderSettings:
    """A fax line's folder. ConfigurationError when its pattern of names cannot be used."""
    problem = pattern_problem(line.name_pattern, NAME_FACTS)
    if problem:
        raise ConfigurationError("config.name-pattern", f"name_pattern: {problem}", where=f"doors.fax {line.name}")
    return FaxFolderSettings(
        path=folder,
        name=line.name,
        poll_seconds=line.poll_seconds,
        settle_seconds=line.settle_seconds,
        max_file_bytes=line.max_file_bytes,
        name_pattern=line.name_pattern,
    )


def fax_queue_settings(line: FaxLine, server: ReceiveQueueServer) -> FaxQueueSettings:
    """A fax line's HylaFAX server. Passwords are read each time, so they may be changed while it runs."""
    return FaxQueueSettings(
        name=line.name,
        legal_entity=line.legal_entity,
        host=server.host,
        port=server.port,
        user=server.user,
        password=_password(server.password),
        administrator_password=_password(server.administrator_password),
        delete_after=server.delete_after,
        skip_existing=server.skip_existing,
        poll_seconds=line.poll_seconds,
        timeout_seconds=server.timeout_seconds,
        max_file_bytes=line.max_file_bytes,
    )


def _fax_door(line: FaxLine, place: str, is_test: bool) -> FaxDoor:
    senders = [_fax_sender(one, f"{place}.trusted[{n}]") for n, one in enumerate(line.trusted, start=1)]
    return FaxDoor(
        name=line.name,
        legal_entity=line.legal_entity,
        number=_number(line.number, f"{place}.number") if line.number else "",
        deliver_to=f"{LOCAL}{line.deliver_to}" if line.deliver_to else "",
        trusted={key_id_of(sender.public): sender for sender in senders},
        compare=PageCompare(line.compare.value),
        takes_masked=line.masked is DoubtfulFax.DELIVER,
        takes_test_identities=is_test,
        zone=line.zone,
    )


def _fax_sender(sender: TrustedFaxSender, place: str) -> FaxSender:
    try:
        key = read_trusted_key(sender.name, sender.key.read_bytes())
    except (OSError, InputError) as error:
        said = error.message if isinstance(error, InputError) else f"the file cannot be read ({type(error).__name__})"
        remedy = "Ask the partner for its public key (PEM)."
        raise ConfigurationError("config.fax-key", f"{said}.", where=f"{place}.key", remedy=remedy) from error
    numbers = tuple(_number(one, f"{place}.numbers[{n}]") for n, one in enumerate(sender.numbers, start=1))
    return FaxSender(sender.name, key.public, numbers)


def _number(written: str, place: str) -> str:
    number = e164(written)
    if not number:
        raise ConfigurationError("config.fax-number", "is no number that exists.", where=place, remedy='Write "+33145210001".')
    return number


def _password(secret: Secret | None) -> Callable[[], str]:
    return str if secret is None else lambda: secret.read(os.environ)
