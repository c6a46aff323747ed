"""`tdu check`: keys, ledger, partners file, certificates and their expiry, reachability of partners. Sends nothing."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from adapter.assembly import build_channels, migrate_ledger, open_ledger
from adapter.config import Config
from adapter.errors import TduError
from adapter.routing.directory import load_directory

WARNING_DAYS = 60


@dataclass(frozen=True)
class Check:
    """One thing looked at. `detail` says what is wrong and what to do, or what was found."""

    subject: str
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def check_instance(config: Config, now: datetime) -> list[Check]:
    """Everything that can be checked without sending."""
    return [
        Check("configuration", True, f"{config.instance.mode.value} instance {config.instance.name}"),
        _check_key_mode(config.ledger.key_file),
        _check_ledger(config),
        _check_directory(config),
        *[_check_certificate(path, now) for path in certificates_of(config)],
        *_check_channels(config),
        *_check_acks(config),
    ]


def _check_key_mode(path: Path) -> Check:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return Check("payload key", False, f"{path} cannot be read: make one with tdu init, or restore it")
    if mode & 0o077:
        return Check("payload key", False, f"{path} is readable by others ({mode:04o}): chmod 600")
    return Check("payload key", True, str(path))


def _check_ledger(config: Config) -> Check:
    try:
        migrate_ledger(config)
        ledger = open_ledger(config)
        try:
            ledger.ping()
        finally:
            ledger.close()
    except TduError as error:
        return Check("ledger", False, str(error))
    except Exception as error:
        return Check("ledger", False, f"cannot be opened ({type(error).__name__}): check its address and rights")
    return Check("ledger", True, "open, schema up to date")


def _check_directory(config: Config) -> Check:
    try:
        directory = load_directory(config.directory.read())
    except OSError as error:
        return Check("partners file", False, f"{error.filename} cannot be read ({type(error).__name__})")
    except TduError as error:
        return Check("partners file", False, str(error))
    return Check("partners file", True, f"revision {directory.revision}")


def certificates_of(config: Config) -> Iterator[Path]:
    """Every certificate file that the configuration names."""
    for door in (config.doors.mllp, config.doors.http):
        if door is not None and door.tls is not None:
            yield door.tls.certificate
    for channel in (config.channels.mssante, config.channels.shared_record):
        if channel is not None and channel.tls.certificate is not None:
            yield channel.tls.certificate
    for partner in config.channels.hl7_push.partners if config.channels.hl7_push else ():
        if partner.tls is not None and partner.tls.certificate is not None:
            yield partner.tls.certificate


def _check_acks(config: Config) -> Iterator[Check]:
    """Senders whose acknowledgements nobody would receive: allowed, since some ask for none, but told each time."""
    for peer in config.doors.mllp.peers if config.doors.mllp else ():
        told = f"go to {peer.acks_to}" if peer.acks_to else "go nowhere: set acks_to if this sender asks for any"
        yield Check(f"acknowledgements of {peer.name}", True, told)


def _check_certificate(path: Path, now: datetime) -> Check:
    subject = f"certificate {path.name}"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        return Check(subject, False, f"{path} cannot be read ({type(error).__name__})")
    days = (certificate.not_valid_after_utc - now).days
    if days < 0:
        return Check(subject, False, f"expired {-days} days ago: renew it")
    warning = ": renew it soon" if days < WARNING_DAYS else ""
    return Check(subject, True, f"valid {days} more days{warning}")


def _check_channels(config: Config) -> Iterator[Check]:
    for name, channel in build_channels(config).items():
        problem = channel.check()
        yield Check(f"channel {name.value}", not problem, problem or "reachable")
