"""The composition root: the only file that knows every class. From a configuration to a working pipeline.

Rooms receive values, never the configuration: each function here turns one part of it into what one room wants.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import structlog

from adapter import __version__
from adapter.channels.base import Channel
from adapter.channels.fax import FaxSpoolSettings
from adapter.channels.hl7_push import Hl7PushSettings
from adapter.channels.hylafax import HylaFaxSettings, OpenHours
from adapter.channels.inbox import InboxSettings, Publish
from adapter.channels.mail_fax import EmptyBook, FaxBook, MailFaxSettings, Relay
from adapter.channels.mail_fax_answers import AnswerRules, News
from adapter.channels.mail_fax_letter import LetterTemplates
from adapter.channels.mllp_client import MllpPartner, MllpTls
from adapter.channels.mssante import SecureMailSettings
from adapter.channels.registry import channel_class
from adapter.channels.shared_record import SharedRecordSettings
from adapter.channels.smart_client import SmartSettings
from adapter.config import Config, LegalEntity, Mode
from adapter.config.fax import hours_of
from adapter.config.mail_fax import filled
from adapter.config.settings import (
    Hl7Partner,
    Hl7Push,
    HylaFaxServer,
    MailFax,
    ReceiptForm,
)
from adapter.errors import ConfigurationError, InputError
from adapter.fax_lines import fax_doors
from adapter.fhir.validate import Level
from adapter.formats.detached_jws import SigningKey, read_signing_key
from adapter.ledger.ledger import Ledger
from adapter.mapping.kinds import ENVELOPES
from adapter.mapping.mail.asked import asked_by_arrival
from adapter.model.fax_number import FirstFax
from adapter.model.plan import ChannelName
from adapter.model.publication import Practice
from adapter.opening import LiveDirectory, inboxes, new_id, now, open_ledger
from adapter.packaging.parcel import FaxForm, Hl7Sender, SenderProfile
from adapter.packaging.parcel import Hl7Partner as Hl7Addressee
from adapter.pipeline.fax_calls import TellCalls, nobody_counts
from adapter.pipeline.judge import InstanceRules, Judge
from adapter.pipeline.readers import inspectors_with, readers_with
from adapter.pipeline.verbs import Pipeline, PipelineSettings
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import Directory
from adapter.secure_line import MailServers, SecureLines, configured_server
from mssante.autoconfig import Service
from mssante.mailbox import MailboxSettings

log = structlog.get_logger()


TEST_STAMP = "TEST – NE PAS UTILISER"


@dataclass(frozen=True)
class Instance:
    """Everything that one process needs."""

    config: Config
    ledger: Ledger
    pipeline: Pipeline
    directory: LiveDirectory
    channels: Mapping[ChannelName, Channel]
    lines: SecureLines


def assemble(config: Config, *, tell_calls: TellCalls = nobody_counts) -> Instance:
    """Wire one process; opens the ledger, so call it after any fork. `tell_calls` counts fax calls as they become known."""
    ledger = open_ledger(config)
    directory = LiveDirectory(config.directory)
    directory()  # a partners file that cannot be read stops the start, not the first letter
    lines = SecureLines(config)
    channels = build_channels(config, lines, directory, ledger.publish, ledger.relayed_faxes)
    judge = Judge(
        inspectors_with(ledger.same_person, directory), ENVELOPES, directory, instance_rules(config), clock=now, new_id=new_id
    )
    pipeline = Pipeline(
        ledger,
        judge,
        readers_with(directory, inboxes(config)),
        directory,
        channels,
        {entity.finess_ej: sender_profile(config, entity) for entity in config.legal_entities},
        pipeline_settings(config),
        clock=now,
        jitter=random.random,
        new_id=new_id,
        asked_by=partial(asked_by_arrival, inboxes=inboxes(config)),
        fax_doors=fax_doors(config),
        tell_calls=tell_calls,
    )
    return Instance(config, ledger, pipeline, directory, channels, lines)


def build_channels(
    config: Config,
    lines: SecureLines | None = None,
    directory: Callable[[], Directory] | None = None,
    publish: Publish | None = None,
    relayed: FaxBook | None = None,
) -> dict[ChannelName, Channel]:
    """The channels that the configuration opens. Without a directory, mail is not held to the trust space of the day; without a
    ledger that publishes, there is no inbox, and without its relayed faxes a provider's mails tell of none.
    """
    lines = lines or SecureLines(config)
    settings: dict[ChannelName, object | None] = {
        ChannelName.SECURE_MAIL: _secure_mail(config, lines, directory),
        ChannelName.SHARED_RECORD: record_settings(config, lines),
        ChannelName.FAX: _fax(config, lines, relayed or EmptyBook()),
        ChannelName.HL7_PUSH: _hl7_push(config, lines),
        ChannelName.INBOX: _inbox(config, publish),
    }
    return {name: channel_class(_way_out(name, values))(values) for name, values in settings.items() if values is not None}


def _way_out(name: ChannelName, settings: object) -> str:
    """Which class is meant: the fax has three ways out."""
    if isinstance(settings, MailFaxSettings):
        return "mail-fax"
    return "hylafax" if isinstance(settings, HylaFaxSettings) else name.value


def _secure_mail(config: Config, lines: SecureLines, directory: Callable[[], Directory] | None) -> SecureMailSettings | None:
    operator = config.channels.mssante
    if operator is None:
        return None
    written = configured_server(operator.host, operator.port, operator.security)
    mailboxes = (entity.sender.mailbox for entity in config.legal_entities if entity.sender.mailbox)
    return SecureMailSettings(
        servers=MailServers(Service.SUBMISSION, written, operator.trusted_hosts),
        tls=lines.at("channels.mssante.tls"),
        auth=lines.auth(operator.user, operator.password, operator.token, external=operator.sasl_external),
        domains=tuple(dict.fromkeys(mailbox.rpartition("@")[2].lower() for mailbox in mailboxes)),
        is_trusted=partial(_is_trusted, config, directory) if directory is not None else lambda _: True,
        timeout_seconds=operator.timeout_seconds,
        final_timeout_seconds=2 * operator.timeout_seconds,
        max_message_bytes=operator.max_message_bytes,
    )


def _is_trusted(config: Config, directory: Callable[[], Directory], address: str) -> bool:
    """Whether mail may go there today; a test instance's sandbox always may."""
    sandbox = config.instance.sandbox
    if sandbox is not None and address.lower() == sandbox.mail.lower():
        return True
    today = now().astimezone(ZoneInfo(config.instance.time_zone)).date()
    return directory().domain_of(address, today) is not None


def record_settings(config: Config, lines: SecureLines) -> SharedRecordSettings | None:
    """How the shared record is reached. A test instance feeds its sandbox, whatever the channel's own address (seam 12)."""
    record = config.channels.shared_record
    if record is None:
        return None
    sandbox = config.instance.sandbox
    is_test = config.instance.mode is Mode.TEST and sandbox is not None
    base_url = sandbox.record if is_test and sandbox is not None and sandbox.record else record.base_url
    # A token is for the record it was given for: a sandbox elsewhere never sees it.
    is_theirs = _origin(base_url) == _origin(record.base_url)
    token, smart = (record.token, record.smart) if is_theirs else (None, None)
    return SharedRecordSettings(
        base_url=base_url,
        connect_timeout_seconds=min(10.0, record.timeout_seconds),
        send_timeout_seconds=record.timeout_seconds,
        token=token.read(os.environ) if token is not None and token.file is None else "",
        token_file=token.file if token is not None else None,
        smart=SmartSettings(smart.client_id, smart.key_file, smart.kid, smart.scope, smart.token_endpoint) if smart else None,
        tls=lines.at("channels.shared_record.tls").plain_contexts,
    )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _fax(config: Config, lines: SecureLines, relayed: FaxBook) -> FaxSpoolSettings | HylaFaxSettings | MailFaxSettings | None:
    fax = config.channels.fax
    if fax is None:
        return None
    if fax.spool_directory is not None:
        dials = config.instance.mode is Mode.PRODUCTION
        return FaxSpoolSettings(directory=fax.spool_directory, max_waiting=fax.max_waiting, dials=dials)
    if fax.mail is not None:
        return _mail_fax(filled(fax.mail), lines, relayed)
    return _hylafax(fax.hylafax, config.instance.time_zone) if fax.hylafax is not None else None


def _mail_fax(mail: MailFax, lines: SecureLines, relayed: FaxBook) -> MailFaxSettings:
    """A provider's account, its templates filled; mails leave and come by the same account and the same authorities."""
    tls, box, answers = lines.at("channels.fax.mail.tls"), mail.mailbox, mail.answers
    patterns: dict[News, str] = {news: getattr(answers, news.value) for news in News}
    words = {news: re.compile(pattern, re.IGNORECASE) for news, pattern in patterns.items() if pattern}
    (server,) = configured_server(mail.host, mail.port, mail.security)
    (mailbox,) = configured_server(box.host, box.port, box.security)
    entrance = lines.auth(mail.user, mail.password, None, external=True)
    return MailFaxSettings(
        relay=Relay(server, lines.auth(mail.user, mail.password, None, external=False), tls, mail.timeout_seconds),
        mailbox=MailboxSettings(mailbox.host, mailbox.port, tls, entrance, immediate=mailbox.immediate),
        book=relayed,
        sender=mail.sender,
        templates=LetterTemplates(mail.address, mail.subject, mail.body),
        rules=AnswerRules(answers.senders, words, answers.authserv_id),
        password=partial(mail.fax_password.read, os.environ) if mail.fax_password is not None else str,
        line=mail.line,
        quality=mail.quality,
        folder=box.folder,
        poll_seconds=box.poll_seconds,
        patience=timedelta(minutes=answers.minutes),
        urgent_patience=timedelta(minutes=answers.urgent_minutes),
        size_limit_bytes=mail.max_message_bytes,
    )


def _hylafax(server: HylaFaxServer, zone: str) -> HylaFaxSettings:
    hours, password = hours_of(server), server.password
    return HylaFaxSettings(
        host=server.host,
        port=server.port,
        user=server.user,
        password=partial(password.read, os.environ) if password is not None else str,
        modem=server.modem,
        hours=OpenHours(*hours, ZoneInfo(zone)) if hours is not None else None,
        timeout_seconds=server.timeout_seconds,
        max_dials=server.max_dials,
        max_tries=server.max_tries,
    )


def _hl7_push(config: Config, lines: SecureLines) -> Hl7PushSettings | None:
    push = config.channels.hl7_push
    if push is None or not push.partners:
        return None
    places = (f"channels.hl7_push.partners[{n}].tls" for n in range(1, len(push.partners) + 1))
    return Hl7PushSettings(tuple(_mllp_partner(partner, lines, at) for partner, at in zip(push.partners, places, strict=True)))


def _inbox(config: Config, publish: Publish | None) -> InboxSettings | None:
    if config.channels.inbox is None or publish is None:
        return None
    return InboxSettings(practices_of(config), publish)


def practices_of(config: Config) -> tuple[Practice, ...]:
    """Who imports, and how long what is published for them may lie."""
    practices = config.channels.inbox.practices if config.channels.inbox else ()
    return tuple(
        Practice(
            p.name,
            p.legal_entity,
            timedelta(hours=p.urgent_hours),
            timedelta(hours=p.semi_urgent_hours),
            timedelta(hours=p.routine_hours),
        )
        for p in practices
    )


def foldered_practices(config: Config) -> frozenset[str]:
    """Practices that no client serves: a folder is all that they have."""
    inbox = config.channels.inbox
    if inbox is None:
        return frozenset()
    served = {name for client in inbox.clients for name in client.practices}
    return frozenset(practice.name for practice in inbox.practices if practice.folder is not None and practice.name not in served)


def _mllp_partner(partner: Hl7Partner, lines: SecureLines, place: str) -> MllpPartner:
    return MllpPartner(
        name=partner.name,
        host=partner.host,
        port=partner.port,
        tls=MllpTls(lines.at(place).plain_contexts, partner.server_name) if partner.tls is not None else None,
        connect_timeout_seconds=partner.connect_timeout_seconds,
        answer_timeout_seconds=partner.answer_timeout_seconds,
    )


def instance_rules(config: Config) -> InstanceRules:
    """What this instance may take."""
    return InstanceRules(
        production=config.instance.mode is Mode.PRODUCTION,
        repeat_window=timedelta(days=config.ledger.repeat_window_days),
        time_zone=config.instance.time_zone,
        answered=frozenset(peer.name for peer in (config.doors.mllp.peers if config.doors.mllp else ()) if peer.acks_to),
    )


def route_settings(config: Config) -> RouteSettings:
    """What the plan must know of the instance."""
    sandbox = config.instance.sandbox
    addresses = {}
    if config.instance.mode is Mode.TEST and sandbox is not None:
        addresses = {
            ChannelName.SECURE_MAIL: sandbox.mail,
            ChannelName.FAX: sandbox.fax,
            ChannelName.SHARED_RECORD: sandbox.record,
            ChannelName.HL7_PUSH: sandbox.hl7,
            ChannelName.INBOX: sandbox.inbox,
        }
    production = config.instance.mode is Mode.PRODUCTION
    return RouteSettings(production=production, sandbox=addresses, foldered=foldered_practices(config))


def pipeline_settings(config: Config) -> PipelineSettings:
    """Leases, waits and checks of the four verbs."""
    return PipelineSettings(
        lease=timedelta(seconds=config.ledger.lease_seconds),
        unclear_wait={
            ChannelName.SECURE_MAIL: timedelta(seconds=config.unclear.mssante_seconds),
            ChannelName.SHARED_RECORD: timedelta(seconds=config.unclear.shared_record_seconds),
            ChannelName.FAX: _fax_unclear_wait(config),
            ChannelName.HL7_PUSH: timedelta(seconds=config.unclear.hl7_push_seconds),
            ChannelName.INBOX: timedelta(seconds=config.unclear.inbox_seconds),
        },
        routes=route_settings(config),
        validation=Level[config.instance.validation.name],
        first_fax=_first_fax(config),
        time_zone=config.instance.time_zone,
    )


def _first_fax(config: Config) -> FirstFax:
    """What the operator says; else the safe choice, which a test instance, reaching nobody's line, does not need."""
    said = config.channels.fax.first_fax if config.channels.fax is not None else None
    if said is not None:
        return FirstFax(said.value)
    return FirstFax.ASK if config.instance.mode is Mode.PRODUCTION else FirstFax.SEND


def _fax_unclear_wait(config: Config) -> timedelta:
    """A provider that cannot be asked says by its mails, in its own time, whether it has what was sent."""
    fax = config.channels.fax
    by_mail = fax.mail if fax is not None else None
    return timedelta(minutes=by_mail.answers.minutes) if by_mail else timedelta(seconds=config.unclear.fax_seconds)


def sender_profile(config: Config, entity: LegalEntity) -> SenderProfile:
    """How one legal entity signs what it sends."""
    sender = entity.sender
    return SenderProfile(
        legal_entity=entity.finess_ej,
        name=entity.name,
        finess=entity.finess_ej,
        mailbox=sender.mailbox,
        mail_label=sender.mail_label or entity.name,
        source_oid=entity.source_oid,
        product_reference=sender.product_reference or f"traitdunion-{__version__}",
        phone=sender.phone,
        fax_number=sender.fax_number,
        reply_to=sender.reply_to,
        stamp="" if config.instance.mode is Mode.PRODUCTION else TEST_STAMP,
        legacy_receipts=frozenset(b.address.lower() for b in config.doors.mailboxes if b.receipts is ReceiptForm.LEGACY),
        hl7=hl7_sender(config, entity),
        fax_key=_fax_key(config),
        fax_form=FaxForm.PDF if config.channels.fax and config.channels.fax.mail else FaxForm.TIFF,
    )


def _fax_key(config: Config) -> SigningKey | None:
    """The key of the annexes; ConfigurationError when the file holds no usable one: a start, not a fax, must fail."""
    place = config.channels.fax.annex_key if config.channels.fax is not None else None
    if place is None:
        return None
    try:
        return read_signing_key(place.read_bytes())
    except (OSError, InputError) as error:
        said = "the annex's key cannot be used."
        remedy = "Make one with: openssl genpkey -algorithm ed25519"
        raise ConfigurationError("config.fax-key", said, where=str(place), remedy=remedy) from error


def hl7_sender(config: Config, entity: LegalEntity) -> Hl7Sender:
    """How one legal entity speaks HL7, to its own partners only (seam 13)."""
    push = config.channels.hl7_push or Hl7Push()
    mine = [partner for partner in push.partners if partner.legal_entity == entity.finess_ej]
    peers = config.doors.mllp.peers if config.doors.mllp else ()
    return Hl7Sender(
        application=push.application,
        facility=push.facility,
        processing="P" if config.instance.mode is Mode.PRODUCTION else "T",
        partners=tuple(Hl7Addressee(p.name, p.application, p.facility, p.charset.value) for p in mine),
        acks_to=tuple((p.name, p.acks_to) for p in peers if p.acks_to and p.legal_entity == entity.finess_ej),
    )
