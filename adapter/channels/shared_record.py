"""Shared record as a channel: a document by one ITI-65 POST, a change by PATCH; the record's answer becomes an outcome.

Sources: FHIR R4 §3.1.0 (transactions, conditional patch), IHE MHD ITI-65, ITI-67, PDSm 3.1.1 flow 3, blueprint seams 4, 5, 7.
A whole success proves *integrated*. Once the request has left, any silence is `unclear`: the record may hold the document, and is
then asked by masterIdentifier. A change is read, compared, and only what differs is written: sent twice, it does nothing more.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from adapter.channels.base import Capabilities
from adapter.channels.fhir_wire import FHIR_JSON, Answer, AnswerLostError, FhirWire, SharedRecordSettings
from adapter.channels.record_answers import ORIGINAL_ABSENT, is_named, json_of, outcome_of_transaction, refusal_of, resources_in
from adapter.channels.record_changes import differing, json_patch, patch_transaction, wanted_of, without_replacements
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import Parcel, RecordChange, RecordContent

__all__ = ["SharedRecordChannel", "SharedRecordSettings"]

Resource = dict[str, Any]
_RFC_3986 = "urn:ietf:rfc:3986"
_JSON_PATCH = "application/json-patch+json"


class SharedRecordChannel:
    """The record channel. Each thread keeps one session (a connection) to the partner."""

    def __init__(
        self,
        settings: SharedRecordSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wire = FhirWire(settings, clock, new_id)

    @property
    def capabilities(self) -> Capabilities:
        """What the record carries and can prove."""
        return Capabilities(
            name=ChannelName.SHARED_RECORD,
            renditions=("mhd",),
            proves=(DeliveryState.INTEGRATED,),
            final_state=DeliveryState.INTEGRATED,
            size_limit_bytes=self._settings.max_transaction_bytes,
            resend_is_safe=True,
        )

    def send(self, parcel: Parcel) -> SendOutcome:
        """Post the transaction, or make the record say what the change wants."""
        content = parcel.content
        match content:
            case RecordContent():
                return self._deposit(self._base(parcel.address), content.transaction)
            case RecordChange():
                return self._change(self._base(parcel.address), content)
        return SendOutcome(OutcomeKind.REFUSED, "rendition-impossible", detail="not a record transaction")

    def find(self, parcel: Parcel) -> SendOutcome | None:
        """Does the record hold our document? None: it does not, a conditional create may go. Not able to say: wait.

        A change is never looked for: sending it again reads first.
        """
        content = parcel.content
        if not isinstance(content, RecordContent):
            return None
        found = self._held(self._base(parcel.address), (content.master_identifier,))
        if isinstance(found, SendOutcome):
            return found
        if not found:
            return None
        reference = f"DocumentReference/{found[0].get('id', '')}"
        return SendOutcome(OutcomeKind.ACCEPTED, proves=DeliveryState.INTEGRATED, partner_reference=reference)

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Nothing to poll: the record answers at once."""
        return (), cursor

    def check(self) -> str:
        """Read the record's CapabilityStatement."""
        try:
            answer = self._wire.ask("GET", f"{self._base('')}/metadata")
        except OSError as error:
            return f"the record cannot be reached ({before_the_wire(error).cause}): check base_url, network and certificates."
        except AnswerLostError as error:
            return f"the record does not answer ({error}): check the partner."
        if answer.status != 200:
            return f"the record answers {answer.status} to GET metadata: check base_url and the token."
        if json_of(answer.body).get("resourceType") != "CapabilityStatement":
            return "what answers at base_url is not a FHIR server: check base_url."
        return ""

    def _base(self, address: str) -> str:
        """The record's base: the parcel's address when it is a URL (a test instance's sandbox), else the setting."""
        chosen = address if address.startswith(("http://", "https://")) else self._settings.base_url
        return chosen.rstrip("/")

    # ── a document ─────────────────────────────────────────────────────────────────────────────────────────────

    def _deposit(self, base: str, transaction: bytes) -> SendOutcome:
        """Post it; a replacement whose original the record never had goes in as a new document, and says so (seam 6)."""
        outcome = self._post(base, transaction)
        if outcome.cause != ORIGINAL_ABSENT:
            return outcome
        alone = self._post(base, without_replacements(transaction))
        return replace(alone, detail=" ".join(filter(None, (alone.detail, "the record never had what it replaces"))))

    def _post(self, base: str, transaction: bytes) -> SendOutcome:
        if len(transaction) > self._settings.max_transaction_bytes:
            return SendOutcome(OutcomeKind.REFUSED, "too-large", detail="above our own limit")
        answer = self._said("POST", base, transaction, FHIR_JSON + "; charset=utf-8")
        if isinstance(answer, SendOutcome):
            return answer
        kinds = [_kind_in(entry) for entry in json.loads(transaction)["entry"]]
        return outcome_of_transaction(answer, kinds, self._clock())

    def _said(
        self, method: str, url: str, body: bytes, media_type: str, query: Mapping[str, str] | None = None
    ) -> Answer | SendOutcome:
        """The answer to something that writes, or what its absence means."""
        try:
            return self._wire.ask(method, url, body, query=query, headers={"Content-Type": media_type})
        except OSError as error:
            return before_the_wire(error)
        except AnswerLostError as error:
            return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=str(error))

    # ── a change of metadata ───────────────────────────────────────────────────────────────────────────────────

    def _change(self, base: str, change: RecordChange) -> SendOutcome:
        found = self._held(base, change.master_identifiers)
        if isinstance(found, SendOutcome):
            return found
        if not found:
            return SendOutcome(OutcomeKind.REFUSED, "record-document-absent", detail="no such document")
        if doubled := _doubled(found, change.master_identifiers):
            return SendOutcome(OutcomeKind.REFUSED, "conflict", detail=f"{doubled} documents under one identifier")
        wanted = wanted_of(change)
        targets = [(held, changes) for held in found if (changes := differing(held, wanted))]
        if not targets:
            return _integrated(found, "already so")
        if change.way == "transaction":
            return self._by_transaction(base, change, targets)
        return self._by_patch(base, change, targets) or _integrated(found, "")

    def _by_transaction(self, base: str, change: RecordChange, targets: list[tuple[Resource, dict[str, Any]]]) -> SendOutcome:
        subject = targets[0][0].get("subject")
        transaction = patch_transaction(change, targets, subject if isinstance(subject, dict) else {})
        return self._post(base, transaction)

    def _by_patch(self, base: str, change: RecordChange, targets: list[tuple[Resource, dict[str, Any]]]) -> SendOutcome | None:
        """One conditional PATCH a form; the first that fails says why, and the next try goes on where this one stopped."""
        for held, changes in targets:
            named = next(one for one in change.master_identifiers if is_named(held, one))
            body = json.dumps(json_patch(held, changes), ensure_ascii=False).encode()
            query = {"identifier": f"{_RFC_3986}|{named}"}
            answer = self._said("PATCH", f"{base}/DocumentReference", body, _JSON_PATCH, query)
            if isinstance(answer, SendOutcome):
                return answer
            if answer.status in (404, 410):
                return SendOutcome(OutcomeKind.REFUSED, "record-document-absent", detail=f"HTTP {answer.status}")
            if answer.status in (405, 415, 501):
                return SendOutcome(OutcomeKind.REFUSED, "record-change", detail=f"HTTP {answer.status}")
            if not 200 <= answer.status < 300:
                return refusal_of(answer, self._clock())
        return None

    def _held(self, base: str, identifiers: tuple[str, ...]) -> list[Resource] | SendOutcome:
        """The record's DocumentReferences under these identifiers; an outcome when it is not able to say: wait."""
        query = {"identifier": ",".join(f"{_RFC_3986}|{one}" for one in identifiers)}
        try:
            answer = self._wire.ask("GET", f"{base}/DocumentReference", query=query)
        except OSError as error:
            return before_the_wire(error)
        except AnswerLostError as error:
            return SendOutcome(OutcomeKind.DEFERRED, "connect-timeout", detail=str(error))
        found = json_of(answer.body)
        if answer.status != 200 or found.get("type") != "searchset":
            return replace(refusal_of(answer, self._clock()), kind=OutcomeKind.DEFERRED)
        # A server that ignores a search parameter answers with every document it has.
        return [one for one in resources_in(found) if any(is_named(one, identifier) for identifier in identifiers)]


def _integrated(found: list[Resource], detail: str) -> SendOutcome:
    reference = f"DocumentReference/{found[0].get('id', '')}"
    return SendOutcome(OutcomeKind.ACCEPTED, proves=DeliveryState.INTEGRATED, partner_reference=reference, detail=detail)


def _doubled(found: list[Resource], identifiers: tuple[str, ...]) -> int:
    """How many documents share an identifier that only one may have; 0 when all is well."""
    counts = [sum(is_named(one, identifier) for one in found) for identifier in identifiers]
    return max((count for count in counts if count > 1), default=0)


def _kind_in(entry: Mapping[str, Any]) -> str:
    """What an entry's answer will be about: a PATCH answers with what it patched."""
    request = entry.get("request") or {}
    resource = entry.get("resource") or {}
    return str(request.get("url", "")).partition("/")[0].partition("?")[0] or str(resource.get("resourceType", ""))


def before_the_wire(error: OSError) -> SendOutcome:
    """Nothing left: try again later, whatever the cause."""
    if isinstance(error, ssl.SSLError):
        cause = "tls-failed"
    elif isinstance(error, TimeoutError):
        cause = "connect-timeout"
    elif isinstance(error, ConnectionError):
        cause = "connect-failed"
    else:
        cause = "auth-refused"  # a certificate, key or token that cannot be had
    return SendOutcome(OutcomeKind.DEFERRED, cause, detail=type(error).__name__)
