"""`tdu check`: keys, ledger, partners file, certificates and their expiry, reachability of partners. Sends nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from adapter.assembly import build_channels
from adapter.channels.fnp import FnpError
from adapter.config import Config
from adapter.config.fax_in import FaxDoor, ReceiveQueueServer
from adapter.errors import TduError
from adapter.fax_lines import fax_doors, fax_folder_settings, fax_queue_settings
from adapter.formats.phone_number import NumberKind, kind_of
from adapter.intake.fax_queue import open_queue
from adapter.model.fax_in import FAX_DOOR
from adapter.model.fax_number import FaxNumber, NumberState
from adapter.opening import migrate_ledger, open_ledger
from adapter.routing.directory import load_directory
from adapter.secure_line import SecureLines, mailbox_server
from mssante.errors import MssanteError
from mssante.live_tls import TlsNews, TlsNotice
from mssante.mailbox import Mailbox
from mssante.trust import Expiry, Kind, Urgency


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
    notices: list[tuple[str, TlsNotice]] = []
    lines = SecureLines(config, tell=lambda place, notice: notices.append((place, notice)))
    return [
        Check("configuration", True, f"{config.instance.mode.value} instance {config.instance.name}"),
        _check_key_mode(config.ledger.key_file),
        _check_ledger(config),
        _check_directory(config),
        *_check_trust(lines, now),
        *_check_lists(lines, notices, now),
        *_check_channels(config, lines),
        *_check_mail_fax(config),
        *_check_mailboxes(config, lines),
        *_check_fax_lines(config),
        *_check_takers(config),
        *_check_fax_numbers(config, now),
        *_check_acks(config),
        *_check_proofs(config),
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


def _check_acks(config: Config) -> Iterator[Check]:
    """Senders whose acknowledgements nobody would receive: allowed, since some ask for none, but told each time."""
    for peer in config.doors.mllp.peers if config.doors.mllp else ():
        told = f"go to {peer.acks_to}" if peer.acks_to else "go nowhere: set acks_to if this sender asks for any"
        yield Check(f"acknowledgements of {peer.name}", True, told)


def _check_proofs(config: Config) -> Iterator[Check]:
    """Mailboxes that we send from and nobody reads: allowed, but no delivery is ever proven, and no sender told of one."""
    read = {box.address.lower() for box in config.doors.mailboxes}
    for entity in config.legal_entities if config.channels.mssante else ():
        mailbox = entity.sender.mailbox
        if mailbox and mailbox.lower() not in read:
            told = "come to nobody: add [[doors.mailboxes]] for this address, else no letter gets beyond 'accepted'"
            yield Check(f"proofs for {mailbox}", True, told)


def _check_fax_numbers(config: Config, now: datetime) -> Iterator[Check]:
    """What a person should know before a fax leaves: a cover without a number to call, numbers nobody vouched for, mobiles."""
    if config.channels.fax is None:
        return
    for entity in config.legal_entities:
        if not entity.sender.phone:
            told = "no call-back number: set phone in legal_entities.sender, else who gets a fax by mistake cannot tell you"
            yield Check(f"fax covers of {entity.name}", True, told)
    try:
        today = now.astimezone(ZoneInfo(config.instance.time_zone)).date()
        listed = load_directory(config.directory.read()).fax_numbers(today)
        ledger = open_ledger(config)
        try:
            for entity in config.legal_entities:
                known = ledger.fax_numbers.all(legal_entity=entity.finess_ej)
                yield Check(f"fax numbers of {entity.name}", True, _numbers_told(listed, known))
        finally:
            ledger.close()
    except (TduError, OSError):
        return  # the partners file or the ledger is told of above
    mobiles = [number for number in listed if kind_of(number) is NumberKind.MOBILE]
    if mobiles:
        yield Check("fax numbers of mobiles", True, f"{', '.join(mobiles)}: a mobile takes no fax unless its line is forwarded")


def _numbers_told(listed: Sequence[str], known: Sequence[FaxNumber]) -> str:
    """How far the numbers of the directory are confirmed."""
    states = {one.number: one.state for one in known}
    unconfirmed = sum(states.get(number) is not NumberState.CONFIRMED for number in listed)
    asked = sum(one.state is NumberState.ASKED for one in known)
    wrong = sum(one.state is NumberState.SUSPENDED for one in known)
    return f"{len(listed)} in the directory, {unconfirmed} never confirmed, {asked} wait for an answer, {wrong} said to be wrong"


def _check_trust(lines: SecureLines, now: datetime) -> Iterator[Check]:
    """Every TLS line: can its files be used together, and what of it ends when, soonest first."""
    for line, _ in lines.all():
        try:
            found = line.expiries(now)
        except MssanteError as error:
            yield Check(line.place, False, f"{error}. The file, its password or its key is not the right one")
            continue
        for expiry in found:
            subject = f"{line.place}: {expiry.kind.value.replace('-', ' ')} {expiry.name} ({expiry.file.name})"
            yield Check(subject, expiry.urgency is not Urgency.EXPIRED, _told(expiry))


def _check_lists(lines: SecureLines, notices: Sequence[tuple[str, TlsNotice]], now: datetime) -> Iterator[Check]:
    """Authorities without a list: nobody can know whom they revoked, so whoever they signed is refused."""
    for place, authority in dict.fromkeys((place, one.about) for place, one in notices if one.news is TlsNews.LIST_MISSING):
        lists = [one for one in lines.at(place).expiries(now) if one.kind is Kind.REVOCATION_LIST]
        # A root that signs other authorities only may stay without a list; a line without any list refuses everybody.
        some = any(one.urgency is not Urgency.EXPIRED for one in lists)
        told = f"none of {authority} is valid now: partners that it signed itself are refused. Fetch its newest list"
        yield Check(f"{place}: revocation list", some, told)


def _told(expiry: Expiry) -> str:
    day = f"{expiry.ends_at:%Y-%m-%d %H:%M} UTC"
    match expiry.urgency:
        case Urgency.EXPIRED:
            return f"ended {day}, {-expiry.days_left} days ago: renew it"
        case Urgency.NOT_YET:
            return f"not valid yet; until {day}"
        case Urgency.FAR:
            return f"{expiry.days_left} days left, until {day}"
        case Urgency.NOTICE | Urgency.WARNING | Urgency.URGENT:
            return f"{expiry.days_left} days left, until {day}: renew it soon"


def _check_channels(config: Config, lines: SecureLines) -> Iterator[Check]:
    for name, channel in build_channels(config, lines).items():
        problem = channel.check()
        yield Check(f"channel {name.value}", not problem, problem or "reachable")


def _check_mail_fax(config: Config) -> Iterator[Check]:
    """What no test shows: whom the operator trusts with patients' pages, and what their word is worth. Told each time."""
    mail = config.channels.fax.mail if config.channels.fax is not None else None
    if mail is None:
        return
    told = (
        f"clinical pages and the fax password leave by {mail.host} for a third party, to be certified for hosting health data "
        "(HDS); what it confirms proves no page, and its mails are believed by their sender"
    )
    proved = f" as {mail.answers.authserv_id} proved it" if mail.answers.authserv_id else " alone (no authserv_id)"
    yield Check("fax by mail", True, f"{told}{proved}")


def _check_mailboxes(config: Config, lines: SecureLines) -> Iterator[Check]:
    """Enter each mailbox and each of its folders; nothing is read nor marked."""
    for n, box in enumerate(config.doors.mailboxes, start=1):
        subject = f"mailbox {box.name}"
        try:
            auth = lines.auth(box.user, box.password, box.token, external=True)
            with Mailbox.open(mailbox_server(box, lines.at(f"doors.mailboxes[{n}].tls"), auth)) as mailbox:
                for folder in box.folders:
                    mailbox.select(folder)
        except (MssanteError, TduError) as error:
            yield Check(subject, False, f"{error}. Check its host, certificate and folders.")
        else:
            yield Check(subject, True, f"open, {len(box.folders)} folders")


def _check_fax_lines(config: Config) -> Iterator[Check]:
    """Each line's numbers and trusted keys; whether its faxes can be reached. Nothing is taken nor removed."""
    try:
        doors = fax_doors(config)
    except TduError as error:
        yield Check("fax lines", False, str(error))
        return
    for line in config.doors.fax:
        subject = f"fax line {line.name}"
        senders = len(doors.of(f"{FAX_DOOR}{line.name}").trusted)
        told = (
            f"senders trusted: {senders}" if senders else "no sender trusted: each document that a fax carries waits for a person"
        )
        problem = _why_no_folder(line, line.folder) if line.folder is not None else ""
        problem = _why_no_queue(line, line.hylafax) if line.hylafax is not None else problem
        yield Check(subject, not problem, problem or f"reachable, {told}")


def _check_takers(config: Config) -> Iterator[Check]:
    """Roles that documents of a line or a mailbox go to and nobody has: each document would wait for a person."""
    doors = config.doors
    named = [(f"fax line {line.name}", line.deliver_to) for line in doors.fax]
    named += [(f"mailbox {box.name}", box.deliver_to) for box in doors.mailboxes]
    named += [(f"mailbox {box.name}", ward.deliver_to) for box in doors.mailboxes for ward in box.wards]
    roles = [(subject, target) for subject, target in named if target.startswith("role:")]
    try:
        directory = load_directory(config.directory.read())
    except (TduError, OSError):
        return  # told of above
    for subject, target in roles:
        if directory.role(target) is None:
            told = f"{target} is nobody of the partners file. Write role:org:KEY, role:dep:KEY or role:KEY, with a key of it"
            yield Check(f"deliver_to of {subject}", False, told)


def _why_no_folder(line: FaxDoor, folder: Path) -> str:
    try:
        fax_folder_settings(line, folder)
    except TduError as error:
        return str(error)
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return f"{nearest} is no folder that this program may read and write: faxes are moved there to done/ and error/"
    return ""


def _why_no_queue(line: FaxDoor, server: ReceiveQueueServer) -> str:
    try:
        with open_queue(fax_queue_settings(line, server)) as queue:
            queue.received()
    except FnpError as error:
        where = f"{server.host}:{server.port}"
        return f"{where}: {error.code}. Check that hfaxd runs there, and what hosts.hfaxd says of this machine and its passwords."
    except TduError as error:
        return str(error)
    return ""
