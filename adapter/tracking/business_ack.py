"""What a sender is owed: from what happened to each recipient, and what was told before, the acknowledgements to send. Pure.

Law: CI-SIS volet 2.1, flows 3 to 5; blueprint seam 7; complaint 27. Z01 tells the record's answer, Z02 that a mail reached its
mailbox (DSN, or anything its reader says), Z03 what its reader did (MDN). What local software did with what came by mail is told
by mail, as is what our own door could not take. `docs/reference/acknowledgements.md` is made from this module: every order of
proofs, and what is told.

An answer is told once, and again only when the truth changes (a late refusal after Y: N, once). A mail is answered as a whole.
News that come together are told as they stand in the end. A reader who deletes what they had opened has still opened it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from adapter.data import mappings_root, read_table
from adapter.errors import MappingError
from adapter.model.ack import DECIDED, AckKind, AckReason, Proof, Told, told_about
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import READERS
from adapter.model.plan import ChannelName
from adapter.model.submission import AcksWanted

S = DeliveryState

# A sender is not told more often than this of one recipient: proofs that contradict each other for ever are a person's.
MOST_TIMES = 4
_ANY_SMTP, _ANY_APPLICATION = "554", "906"
# Who speaks for a practice, and the cause of what it left lying, as the ledger writes them (`ledger.publications`).
_PRACTICE, _NOT_FETCHED = "import", "not-fetched"
_SMTP_CODE = re.compile(r"(?<![\d.])([1245]\d\d)(?![\d.])")
_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3}\.\d{1,3})(?![\d.])")


@dataclass(frozen=True)
class Answer:
    """One answer about one recipient, with its reason when it is no."""

    kind: AckKind
    role_id: str
    positive: bool
    happened_at: datetime
    reason: AckReason | None = None


@dataclass(frozen=True)
class _CauseCodes:
    """One row of `mappings/acks.csv`. `tells_when_parked`: the partner said no, whatever a person makes of it later."""

    smtp: str
    application: str
    tells_when_parked: bool
    label: str


@dataclass(frozen=True)
class _Tables:
    """The codes that answers are given in."""

    causes: Mapping[str, _CauseCodes]
    smtp: Mapping[str, str]
    enhanced: Mapping[str, str]


def owed_answers(wanted: AcksWanted, proofs: Sequence[Proof], told: Sequence[Told]) -> tuple[Answer, ...]:
    """What is to be told now. `proofs` are oldest first; `told` holds the last word on each recipient."""
    before = {told_about(one.kind, one.role_id): one for one in told}
    truth: dict[tuple[AckKind, str], Answer] = {}
    for proof in proofs:
        for answer in _meant_by(proof, wanted):
            key = told_about(answer.kind, answer.role_id)
            known = truth[key].positive if key in truth else (before[key].positive if key in before else None)
            if known == answer.positive or (known is True and _is_deletion(proof)):
                continue
            truth[key] = answer
    return tuple(answer for key, answer in truth.items() if _is_news(answer, before.get(key)))


def _is_news(answer: Answer, told: Told | None) -> bool:
    if told is None:
        return True
    return told.positive is not answer.positive and told.times < MOST_TIMES


def _meant_by(proof: Proof, wanted: AcksWanted) -> Iterable[Answer]:
    """Everything that one proof says, of what was asked."""
    match proof.channel:
        case ChannelName.SECURE_MAIL.value:
            yield from _meant_by_mail(proof, wanted)
        case ChannelName.SHARED_RECORD.value if wanted.reception:
            yield from _final_word(proof, AckKind.RECORD)
        case ChannelName.INBOX.value if proof.cause == _NOT_FETCHED or not _came_by_mail(wanted):
            yield from _meant_by_practice(proof, wanted)
        case ChannelName.HL7_PUSH.value | ChannelName.INBOX.value | "" if wanted.notify_address:
            yield from _final_word(proof, AckKind.MAIL)
        case ChannelName.HL7_PUSH.value | ChannelName.INBOX.value | "" if wanted.failure_address:
            yield from (answer for answer in _final_word(proof, AckKind.MAIL) if not answer.positive)


def _meant_by_mail(proof: Proof, wanted: AcksWanted) -> Iterable[Answer]:
    state = S(proof.state)
    by_reader = proof.source in READERS
    # Whoever answers for having read it, or for having refused it, had it.
    arrived = state in (S.DELIVERED, S.READ, S.INTEGRATED) or by_reader
    if wanted.reception and arrived:
        yield _yes(proof, AckKind.DELIVERY)
    elif wanted.reception and _is_no(proof):
        yield _no(proof, AckKind.DELIVERY)
    if wanted.reading and state in (S.READ, S.INTEGRATED):
        yield _yes(proof, AckKind.READING)
    elif wanted.reading and by_reader and _is_no(proof):
        yield _no(proof, AckKind.READING)


def _came_by_mail(wanted: AcksWanted) -> bool:
    """What came by mail is answered by mail, once local software said what it did with it."""
    return bool(wanted.notify_address or wanted.failure_address)


def _meant_by_practice(proof: Proof, wanted: AcksWanted) -> Iterable[Answer]:
    """A practice that imports: fetched is what a delivery to a mailbox is, what it says is what its reader does.

    What nobody fetched is told as not delivered; fetched late, it is told once more.
    """
    state = S(proof.state)
    by_practice = proof.source == _PRACTICE
    if wanted.reception and (state in (S.DELIVERED, S.READ, S.INTEGRATED) or (by_practice and proof.cause != _NOT_FETCHED)):
        yield _yes(proof, AckKind.DELIVERY)
    elif wanted.reception and _is_no(proof):
        yield _no(proof, AckKind.DELIVERY)
    if wanted.reading and state is S.INTEGRATED:
        yield _yes(proof, AckKind.READING)
    elif wanted.reading and by_practice and _is_no(proof) and proof.cause != _NOT_FETCHED:
        yield _no(proof, AckKind.READING)


def _final_word(proof: Proof, kind: AckKind) -> Iterable[Answer]:
    """A record, or software: it took it, or it did not."""
    if S(proof.state) is S.INTEGRATED:
        yield _yes(proof, kind)
    elif _is_no(proof):
        yield _no(proof, kind)


def _is_no(proof: Proof) -> bool:
    """Refused; or parked after a plain no; or stopped by a person for good."""
    match S(proof.state):
        case S.REFUSED:
            return True
        case S.PARKED:
            codes = _tables().causes.get(proof.cause)
            return codes is not None and codes.tells_when_parked
        case S.CANCELLED:
            return proof.cause in DECIDED
        case _:
            return False


def _is_deletion(proof: Proof) -> bool:
    """`deleted` of an MDN: after the mail was read, it says nothing new."""
    return proof.source in READERS and "deleted" in proof.detail.split()


def _yes(proof: Proof, kind: AckKind) -> Answer:
    return Answer(kind, proof.role_id, True, proof.happened_at)


def _no(proof: Proof, kind: AckKind) -> Answer:
    return Answer(kind, proof.role_id, False, proof.happened_at, reason_of(proof, kind))


# ── reasons ───────────────────────────────────────────────────────────────────────────────────────────────────


def reason_of(proof: Proof, kind: AckKind) -> AckReason:
    """The code that says why not, in the kind's own table."""
    tables = _tables()
    codes = tables.causes.get(proof.cause, _CauseCodes(_ANY_SMTP, _ANY_APPLICATION, False, "Échec de l'envoi"))
    match kind:
        case AckKind.DELIVERY:
            code = _smtp_code(proof.detail, tables) or codes.smtp
            return AckReason(code, tables.smtp[code])
        case AckKind.RECORD:
            # The norm lists no DMP_ERROR_CODE: our stable cause is the code, its French label says it.
            return AckReason(proof.cause or "refused", codes.label)
        case AckKind.READING | AckKind.MAIL:
            return AckReason(codes.application, _application_label(codes.application, tables))


def _smtp_code(detail: str, tables: _Tables) -> str:
    """What the relay itself said: a code of the table, or the enhanced status that leads to one."""
    for found in _SMTP_CODE.findall(detail):
        if found in tables.smtp:
            return str(found)
    enhanced = _ENHANCED.search(detail)
    return tables.enhanced.get(enhanced[2], "") if enhanced else ""


def _application_label(code: str, tables: _Tables) -> str:
    return tables.causes[f"identity-{code}"].label


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    root = mappings_root()
    try:
        causes = read_table(root / "acks.csv")
        smtp = read_table(root / "terminology" / "smtp-error-codes.csv")
        enhanced = read_table(root / "terminology" / "enhanced-status.csv")
        return _Tables(
            {
                row["cause"]: _CauseCodes(row["smtp"], row["application"], row["when_parked"] == "tell", row["label_fr"])
                for row in causes.rows
            },
            {row["code"]: row["label"] for row in smtp.rows},
            {row["code"]: row["target"] for row in enhanced.rows},
        )
    except (OSError, KeyError, ValueError) as error:
        raise MappingError("acks.unreadable", f"{type(error).__name__} in the tables of acknowledgements") from error
