"""What a record's answer means: an HTTP status, an OperationOutcome, a transaction-response, each turned into an honest outcome.

Sources: FHIR R4 §3.1.0 (status codes), §3.1.0.11.2 (transaction-response: one entry per request entry, in order); IHE MHD ITI-65;
blueprint seam 4. What the record says may quote the patient: only status and codes are kept. The codes that say something of the
patient's record (none, closed, opposed) are data: `mappings/record-answers.csv`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from adapter.channels.fhir_wire import Answer
from adapter.data import mappings_root, read_table
from adapter.errors import MappingError
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome

Resource = dict[str, Any]
_GRAVE = frozenset({"fatal", "error"})
# The record refuses a replacement, because it does not hold what is replaced.
ORIGINAL_ABSENT = "record-original-absent"


@lru_cache(maxsize=1)
def patient_answers() -> Mapping[str, str]:
    """Codes of partners that say something of the patient's record → cause of the causes table."""
    try:
        return {row["code"].casefold(): row["cause"] for row in read_table(mappings_root() / "record-answers.csv").rows}
    except (OSError, KeyError, ValueError) as error:
        raise MappingError(
            "record-answers.unreadable", f"{type(error).__name__} in the table", where="record-answers.csv"
        ) from error


def outcome_of_transaction(answer: Answer, kinds: Sequence[str], now: datetime) -> SendOutcome:
    """What became of a transaction whose entries held `kinds`, in that order."""
    if not 200 <= answer.status < 300:
        return refusal_of(answer, now)
    bundle = json_of(answer.body)
    entries = entries_of(bundle)
    if bundle.get("type") != "transaction-response" or len(entries) != len(kinds):
        # A success that says nothing of our entries: a proxy's page, a truncated list. The record may have them.
        return _unclear("not a whole transaction-response")
    refused = [entry for entry in entries if not 200 <= _entry_status(entry) < 300]
    if refused:
        return _refused_entries(refused, len(entries), now)
    if any(_grave_outcome(entry) for entry in entries):
        return _unclear("an entry succeeds and tells an error")
    located = [kind for entry in entries if (kind := _located_kind(entry))]
    expected = [kind for kind, entry in zip(kinds, entries, strict=True) if _located_kind(entry)]
    if sorted(located) != sorted(expected):
        return _unclear("the answer speaks of other entries")
    detail = "" if located == expected else "entries out of order"
    reference = _location(entries, "DocumentReference")
    return SendOutcome(OutcomeKind.ACCEPTED, proves=DeliveryState.INTEGRATED, partner_reference=reference, detail=detail)


def _refused_entries(refused: Sequence[Resource], count: int, now: datetime) -> SendOutcome:
    """A server that is not all or nothing may have kept the others: what is worth a retry goes again (conditional creates double
    nothing), the rest is a person's.
    """
    entry = refused[0]
    outcome = entry.get("response", {}).get("outcome", {}) if isinstance(entry.get("response"), dict) else {}
    said = refusal_of(Answer(_entry_status(entry), {}, json.dumps(outcome).encode()), now)
    if len(refused) == count or said.kind is not OutcomeKind.REFUSED or said.cause in patient_answers().values():
        return said
    kept = f"{count - len(refused)} of {count} entries kept"
    return replace(said, cause="record-partial", detail=f"{said.detail}, {kept}")


def refusal_of(answer: Answer, now: datetime) -> SendOutcome:
    """What an answer that is no success means."""
    codes = issue_codes(answer.body)
    detail = " ".join(part for part in (f"HTTP {answer.status}", *codes) if part)
    told = _patient_cause(answer.body)
    if told and 400 <= answer.status < 500:
        return SendOutcome(OutcomeKind.REFUSED, told, detail=detail)
    if _is_page(answer) and 400 <= answer.status < 500 and answer.status not in (401, 403, 407, 413, 429):
        # Somebody in between speaks, not the record: it may be another story in a minute.
        return SendOutcome(OutcomeKind.DEFERRED, "partner-error", detail=f"{detail} page")
    return _by_status(answer, codes, detail, now)


# What a status alone says: the kind of outcome and its cause. 504: a gateway gave up, the record may still do the work.
_STATUSES: Mapping[int, tuple[OutcomeKind, str]] = {
    401: (OutcomeKind.DEFERRED, "auth-refused"),
    403: (OutcomeKind.DEFERRED, "auth-refused"),
    407: (OutcomeKind.DEFERRED, "auth-refused"),
    408: (OutcomeKind.DEFERRED, "partner-busy"),
    409: (OutcomeKind.REFUSED, "conflict"),
    412: (OutcomeKind.REFUSED, "conflict"),
    413: (OutcomeKind.REFUSED, "too-large"),
    425: (OutcomeKind.DEFERRED, "partner-busy"),
    429: (OutcomeKind.DEFERRED, "partner-busy"),
    503: (OutcomeKind.DEFERRED, "partner-busy"),
    504: (OutcomeKind.UNCLEAR, "no-answer"),
}
_CONTENTION = (OutcomeKind.DEFERRED, "record-contention")


def _by_status(answer: Answer, codes: Sequence[str], detail: str, now: datetime) -> SendOutcome:
    status = answer.status
    other = (OutcomeKind.REFUSED, "content-refused") if 400 <= status < 500 else (OutcomeKind.DEFERRED, "partner-error")
    kind, cause = _STATUSES.get(status, other)
    if status == 409 and {"conflict", "lock-error", "transient"} & set(codes):
        # Two writers met, here or there: a conditional create that goes again doubles nothing.
        kind, cause = _CONTENTION
    wait = _retry_after(_header(answer, "Retry-After"), now) if status in (429, 503) else None
    return SendOutcome(kind, cause, detail=detail, retry_after_seconds=wait)


def _unclear(detail: str) -> SendOutcome:
    return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=detail)


def json_of(body: bytes) -> Resource:
    """An object of JSON; empty for anything else."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def entries_of(bundle: Mapping[str, Any]) -> list[Resource]:
    """The entries of a Bundle, those that are objects."""
    entries = bundle.get("entry")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def resources_in(bundle: Mapping[str, Any]) -> Iterator[Resource]:
    """The resources of a Bundle."""
    for entry in entries_of(bundle):
        resource = entry.get("resource")
        if isinstance(resource, dict):
            yield resource


def is_named(resource: Mapping[str, Any], master_identifier: str) -> bool:
    """True for a document that has this master identifier."""
    held = [resource.get("masterIdentifier"), *_list(resource.get("identifier"))]
    is_document = resource.get("resourceType") == "DocumentReference"
    return is_document and any(isinstance(one, dict) and one.get("value") == master_identifier for one in held)


def issue_codes(body: bytes) -> list[str]:
    """The issue codes of an OperationOutcome: never its texts, which may quote the patient."""
    codes = (str(issue.get("code", "")) for issue in _issues(json_of(body)))
    return [code for code in codes if code.isascii() and code.replace("-", "").isalpha() and len(code) <= 40]


def _issues(outcome: Mapping[str, Any]) -> list[Resource]:
    return [issue for issue in _list(outcome.get("issue"))[:5] if isinstance(issue, dict)]


def _patient_cause(body: bytes) -> str:
    """The cause of the first code, of ours or of the norms, that says something of the patient's record."""
    known = patient_answers()
    for issue in _issues(json_of(body)):
        details = issue.get("details")
        codings = _list(details.get("coding")) if isinstance(details, dict) else []
        for coding in codings:
            cause = known.get(str(coding.get("code", "")).casefold()) if isinstance(coding, dict) else None
            if cause:
                return cause
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _entry_status(entry: Mapping[str, Any]) -> int:
    """`201 Created` → 201; 0 when the entry tells nothing."""
    response = entry.get("response")
    word = str(response.get("status", "")).split(" ", 1)[0] if isinstance(response, dict) else ""
    return int(word) if word.isascii() and word.isdigit() else 0


def _grave_outcome(entry: Mapping[str, Any]) -> bool:
    outcome = entry["response"].get("outcome")
    return isinstance(outcome, dict) and any(issue.get("severity") in _GRAVE for issue in _issues(outcome))


def _located_kind(entry: Mapping[str, Any]) -> str:
    """`…/DocumentReference/7/_history/1` → DocumentReference; empty when the entry gives no place."""
    location = str(entry["response"].get("location", "")).partition("/_history")[0].rstrip("/")
    parts = location.split("/")
    return parts[-2] if len(parts) >= 2 else ""


def _location(entries: Sequence[Resource], kind: str) -> str:
    for entry in entries:
        location = str(entry["response"].get("location", ""))
        if f"{kind}/" in location:
            return location[location.index(f"{kind}/") :]
    return ""


def _header(answer: Answer, name: str) -> str:
    return next((value for key, value in answer.headers.items() if key.lower() == name.lower()), "")


def _is_page(answer: Answer) -> bool:
    return "html" in _header(answer, "Content-Type").lower() or answer.body.lstrip()[:1] == b"<"


def _retry_after(value: str, now: datetime) -> float | None:
    """Seconds, or an HTTP date; anything else is no wish."""
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip())
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None
