"""What a provider's mails say of the faxes that we asked it to dial, and of which: a wrong proof is worse than none. Pure.

A mail counts when its sender is the provider's. It is about the fax whose name it bears (in reply to, subject, words, files);
without one, about the fax to the number that it names, if only one went there in the days before. More than one kind of news in
one mail, more than one fax that it may be about: no proof, a person is asked. Sources: OVHcloud's guide of mail-to-fax, RFC 8601.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from adapter.channels.mail_fax_letter import OUR_NAME
from adapter.formats.phone_number import e164
from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState
from adapter.model.relayed_fax import RelayedFax
from mssante.headers import MailHeaders
from mssante.incoming import IncomingMail, MailKind
from mssante.receipts import Proof, evidence_of, read_receipt

S = DeliveryState


class News(StrEnum):
    """What a provider tells of a fax."""

    TAKEN = "taken"
    TRANSMITTED = "transmitted"
    FAILED = "failed"
    REFUSED = "refused"


class Silence(StrEnum):
    """Why a mail proves nothing."""

    FOREIGN = "foreign-sender"
    OTHER_WORDS = "other-words"
    CONTRADICTORY = "contradictory"
    NO_FAX = "no-fax"
    SEVERAL_FAXES = "several-faxes"
    EARLIER_TRY = "earlier-try"


@dataclass(frozen=True)
class AnswerRules:
    """Whose mails count, and by which words. `senders`: addresses, or domains (`ovh.net`, subdomains too).

    `authserv_id`: how our own mail server signs its `Authentication-Results`; given, a mail without its `dkim=pass` or
    `dmarc=pass` for the sender's domain is a stranger's. `words`: patterns, sought in the subject, then in the text.
    """

    senders: tuple[str, ...]
    words: Mapping[News, re.Pattern[str]] = field(default_factory=dict)
    authserv_id: str = ""


@dataclass(frozen=True, repr=False)
class ProviderMail(Confidential):
    """One mail of the mailbox. `arrived_at` is the server's own instant."""

    mail: IncomingMail
    arrived_at: datetime


@dataclass(frozen=True)
class Told:
    """A mail's news of one fax. `by_number`: it named no fax of ours, only a number."""

    reference: str
    news: News
    by_number: bool = False


@dataclass(frozen=True)
class Untold:
    """A mail that proves nothing; `about`: the faxes that it may be about, of which a person should know."""

    why: Silence
    about: tuple[str, ...] = ()


# The server's clock and ours.
_CLOCKS = timedelta(minutes=5)
_LONGEST_TEXT = 20_000
_NUMBER = re.compile(r"(?<![\w.-])\+?[0-9][0-9 .()\u00a0\u202f-]{7,20}[0-9](?![\w-])")


def understand(letter: ProviderMail, rules: AnswerRules, faxes: Sequence[RelayedFax]) -> Told | Untold:
    """What one mail says, of which fax."""
    bounced = _bounce(letter.mail, faxes)
    if bounced is not None:
        return bounced
    if not is_from_provider(letter.mail.headers, rules):
        return Untold(Silence.FOREIGN)
    news = _news(letter.mail, rules)
    if isinstance(news, Silence):
        return Untold(news, tuple(fax.reference for fax in _named(letter, faxes)[0]))
    meant, by_number = _named(letter, faxes)
    if len(meant) != 1:
        return Untold(Silence.SEVERAL_FAXES if meant else Silence.NO_FAX, tuple(fax.reference for fax in meant))
    (fax,) = meant
    if news in (News.FAILED, News.REFUSED) and not by_number and _is_earlier_try(letter.mail, fax):
        return Untold(Silence.EARLIER_TRY)
    return Told(fax.reference, news, by_number)


def is_from_provider(headers: MailHeaders, rules: AnswerRules) -> bool:
    """Whether a mail says that the provider wrote it, and our own mail server found so where it tells."""
    if headers.sender is None or len(headers.fields.all("From")) != 1:
        return False
    address = headers.sender.address.lower()
    domain = address.rpartition("@")[2]
    known = any(address == one or _is_within(domain, one) for one in (name.lower().lstrip("@") for name in rules.senders))
    return known and (not rules.authserv_id or domain in _authenticated(headers, rules.authserv_id))


def _is_within(domain: str, parent: str) -> bool:
    return "@" not in parent and (domain == parent or domain.endswith(f".{parent}"))


def _authenticated(headers: MailHeaders, authserv_id: str) -> frozenset[str]:
    """Domains that our mail server proved, by the topmost field that it signed: one below may be the sender's own making."""
    for value in headers.fields.all("Authentication-Results"):
        name, _, results = value.partition(";")
        if name.split()[:1] == [authserv_id]:
            passed = [one for one in results.split(";") if re.match(r"\s*(dkim|dmarc)\s*=\s*pass\b", one, re.IGNORECASE)]
            found = (re.search(r"header\.(?:d|from|i)\s*=\s*[^\s;]*?@?([A-Za-z0-9.-]+)", one, re.IGNORECASE) for one in passed)
            return frozenset(match[1].lower() for match in found if match)
    return frozenset()


# -- what it says ---------------------------------------------------------------------------------------------------------


def _news(mail: IncomingMail, rules: AnswerRules) -> News | Silence:
    for text in (mail.headers.subject, mail.text[:_LONGEST_TEXT]):
        found = {news for news, pattern in rules.words.items() if pattern.search(_plain(text))}
        if len(found) == 1:
            return found.pop()
        if found:
            return Silence.CONTRADICTORY
    return Silence.OTHER_WORDS


def _plain(text: str) -> str:
    """One spelling of blanks and apostrophes, letters composed: what patterns are written against."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("\u2019", "'").split())


def _bounce(mail: IncomingMail, faxes: Sequence[RelayedFax]) -> Told | Untold | None:
    """A mail server that could not pass our mail on: only by the Message-ID of that very try, which nobody else knows."""
    if mail.kind is not MailKind.DELIVERY_REPORT:
        return None
    receipt = read_receipt(mail)
    for proof in evidence_of(receipt) if receipt is not None else ():
        ids = " ".join(proof.message_ids)
        meant = _by_name(ids, faxes)
        if proof.proof is Proof.FAILED and len(meant) == 1:
            (fax,) = meant.values()
            is_ours = fax.attempt in _tries(ids, fax) or _waits_for_person(fax)
            return Told(fax.reference, News.REFUSED) if is_ours else Untold(Silence.EARLIER_TRY)
    return Untold(Silence.OTHER_WORDS)


# -- which fax ------------------------------------------------------------------------------------------------------------


def _named(letter: ProviderMail, faxes: Sequence[RelayedFax]) -> tuple[tuple[RelayedFax, ...], bool]:
    """The faxes that a mail may be about, and whether only a number says so. In reply to ours is the surest."""
    mail = letter.mail
    for text in (_threads(mail.headers), _texts(mail)):
        meant = {fax.reference: fax for fax in _by_name(text, faxes).values()}
        if meant:
            return tuple(meant.values()), False
    numbers = {e164(found[0]) for found in _NUMBER.finditer(_texts(mail))} - {""}
    before = letter.arrived_at + _CLOCKS
    return tuple(fax for fax in faxes if e164(fax.number) in numbers and fax.sent_at <= before), True


def _threads(headers: MailHeaders) -> str:
    return " ".join((*headers.in_reply_to, *headers.references))


def _texts(mail: IncomingMail) -> str:
    names = (name for part in mail.parts for name in part.names)
    return "\n".join((mail.headers.subject, mail.text[:_LONGEST_TEXT], *names))


def _by_name(text: str, faxes: Sequence[RelayedFax]) -> dict[str, RelayedFax]:
    """Faxes named in a text, by the name of the try."""
    known = {fax.reference.lower(): fax for fax in faxes}
    return {found[0].lower(): known[found[1].lower()] for found in OUR_NAME.finditer(text) if found[1].lower() in known}


def _is_earlier_try(mail: IncomingMail, fax: RelayedFax) -> bool:
    """A no to an earlier try than the one under way. A yes counts whichever it was."""
    texts = (_threads(mail.headers), _texts(mail))
    tries = {try_ for text in texts for try_ in _tries(text, fax)}
    return bool(tries) and fax.attempt not in tries and not _waits_for_person(fax)


def _tries(text: str, fax: RelayedFax) -> Iterator[int]:
    found = (name for name in OUR_NAME.finditer(text) if name[1].lower() == fax.reference.lower())
    return (int(name[2]) for name in found if name[2])


def _waits_for_person(fax: RelayedFax) -> bool:
    """Claimed since, perhaps, but not sent again."""
    return fax.state in (S.PARKED, S.UNCLEAR)
