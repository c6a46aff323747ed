"""The ledger's one face: each public verb is one transaction of the module named beside it. SQLite or PostgreSQL by URL.

Law: blueprint seams 1, 2, 5, 6, 9, 10, 13, 20. Write durably, then acknowledge. A row held by a worker has a lease and a
fence: a write with an old fence raises `StaleClaimError` and changes nothing. No read crosses legal entities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from adapter.ledger import (
    acks,
    bulk_jobs,
    callers,
    deliveries,
    documents,
    effects,
    evidence,
    fax_abilities,
    fax_codes_kept,
    fax_desk,
    folder_sets,
    importers,
    kept,
    patient_reading,
    patient_wishes,
    publications,
    reading,
    receipts,
    requests,
    suspensions,
    urgent_faxes,
    visibility,
    withdrawals,
    work_items,
)
from adapter.ledger.acks import OweAcks
from adapter.ledger.bulk_jobs import BulkJob, BulkPart, NewPart
from adapter.ledger.database import Database
from adapter.ledger.deliveries import Hold
from adapter.ledger.documents import DocumentKey
from adapter.ledger.fax_desk import Confirmation, KeptFax
from adapter.ledger.fax_numbers import FaxNumbers
from adapter.ledger.import_records import Carried, Kept, Said, SilentPractice, Sought
from adapter.ledger.importers import ImporterFigures
from adapter.ledger.kept import KeptReceipt
from adapter.ledger.night import NightLedger
from adapter.ledger.record_store import RecordStore
from adapter.ledger.records import (
    Claimed,
    ClaimedReceipt,
    CommittedReceipt,
    Conservation,
    Decision,
    EffectsResult,
    NewReceipt,
    PartnerChoice,
    PayloadKind,
    Settlement,
    StoredEffects,
    StoredSubmission,
    SubmissionStatus,
    Timeline,
    WorkFilter,
)
from adapter.ledger.relayed_faxes import RelayedFaxLedger
from adapter.ledger.suspensions import Suspension
from adapter.ledger.vault import Vault
from adapter.ledger.visibility import KeptChange
from adapter.model.audit import AuditEntry, AuditRow, SealRows
from adapter.model.evidence import Evidence
from adapter.model.folder import FolderSet, Standing
from adapter.model.identity import PatientIdentity
from adapter.model.patient import PatientEntry, PatientKeys, PatientView
from adapter.model.plan import ChannelName
from adapter.model.publication import Practice, Publication, Readers
from adapter.model.receipt import Receipt
from adapter.model.request import KnownRequest, RequestStep
from adapter.model.wish import PatientWord
from adapter.model.withdrawal import Withdrawal, Withdrawn
from adapter.model.work_item import WorkAbout, WorkItem

# For proofs of our own making: nothing is tried again, a refusal goes on to the next leg.
_NO_REACTION = evidence.Reactions(lambda _cause: True, lambda _cause, _attempts: None)


class Ledger:
    """Safe to share between threads, and to carry over a fork: connections are opened again in the child."""

    def __init__(self, url: str, vault: Vault, *, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        """`url` is an SQLAlchemy URL (`sqlite:////var/lib/tdu/ledger.db`, `postgresql+psycopg://…`). Opens nothing yet."""
        self._database = Database(url, vault, clock=clock, new_id=new_id)

    # ── keeping ───────────────────────────────────────────────────────────────────────────────────────────────

    def migrate(self) -> None:
        """Bring the schema to this version (several processes may call it at once), then check the key."""
        self._database.migrate()

    def ping(self) -> None:
        """Prove that the ledger answers, has this version's schema and our key; LedgerError or VaultError if not."""
        self._database.ping()

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        self._database.close()

    @property
    def record(self) -> RecordStore:
        """The built-in shared record's rows."""
        return RecordStore(self._database)

    def seal_token(self, scope: str, content: bytes) -> bytes:
        """Seal something small that a caller carries for us (a page token); only `open_token` with the same scope reads it."""
        return self._database.vault.seal(f"token:{scope}", "token", content)[0]

    def open_token(self, scope: str, sealed: bytes) -> bytes:
        """What was sealed for this scope; VaultError for anything else."""
        return self._database.vault.open_payload(f"token:{scope}", "token", [sealed])

    # ── accept ────────────────────────────────────────────────────────────────────────────────────────────────

    def commit_receipts(self, batch: Sequence[NewReceipt]) -> list[CommittedReceipt]:
        """Keep a batch in ONE transaction (group commit); answers may leave once this returns. Same order as `batch`.

        A known key within its window: same fingerprint → the first answer's very bytes and an event on the first receipt;
        other fingerprint → `conflict_answer`, the row kept as refused, `conflict_item` opened once.
        """
        return receipts.commit_receipts(self._database, batch)

    # ── prepare ───────────────────────────────────────────────────────────────────────────────────────────────

    def claim_receipts(self, worker: str, limit: int, lease: timedelta) -> list[ClaimedReceipt]:
        """Take the oldest received receipts that nobody holds (or whose holder's lease ran out), one fax among them at most."""
        return receipts.claim_receipts(self._database, worker, limit, lease)

    def release_receipt(self, receipt_id: str, fence: int) -> None:
        """Give back a receipt untouched (orderly stop): its claim does not count as an attempt."""
        receipts.release_receipt(self._database, receipt_id, fence)

    def extend_claim(self, receipt_id: str, fence: int, lease: timedelta) -> None:
        """Heartbeat of a long reading. StaleClaimError when somebody else holds the receipt, or it is prepared."""
        receipts.extend_claim(self._database, receipt_id, fence, lease)

    def commit_effects(
        self,
        receipt_id: str,
        fence: int,
        stored: StoredEffects,
        *,
        opens_next_leg: Callable[[str], bool] = lambda _cause: True,
        retry_after: Callable[[str, int], timedelta | None] = lambda _cause, _attempts: None,
        suspends: Callable[[str], bool] = lambda _cause: False,
        doubtful_statuses: frozenset[str] = frozenset(),
    ) -> EffectsResult:
        """Write all that a receipt leaves, in one transaction; the receipt becomes prepared or parked.

        Safe to run again after a crash: the same rows are left. Deliveries already planned are not planned twice, and
        version lines are kept (seam 6). Proofs that a receipt brings are applied as those of a queue; words on an identity go to
        the patient index, where `doubtful_statuses` (PID-32) make one unfit for a matricule.
        """
        reactions = evidence.Reactions(opens_next_leg, retry_after, suspends)
        return effects.commit_effects(self._database, receipt_id, fence, stored, reactions, doubtful_statuses)

    # ── dispatch ──────────────────────────────────────────────────────────────────────────────────────────────

    def claim_deliveries(
        self,
        worker: str,
        channel: ChannelName,
        limit: int,
        lease: timedelta,
        partners: PartnerChoice = PartnerChoice(),  # noqa: B008
    ) -> list[Claimed]:
        """Take queued deliveries of a channel that are due, smallest priority number first, then oldest; none that must wait for
        another of its sequence. `partners` narrows to some HL7 partners'.
        """
        return deliveries.claim_deliveries(self._database, worker, channel, limit, lease, partners)

    def release_delivery(self, delivery_id: str, fence: int) -> None:
        """Give back a claimed delivery untouched (orderly stop)."""
        deliveries.release_delivery(self._database, delivery_id, fence)

    def mark_on_wire(self, delivery_id: str, fence: int, sent_at: datetime, *companions: Hold) -> None:
        """Commit `on_wire` before the wire is touched; extends the lease. `sent_at` is kept from the first time on. With
        `companions`, which leave in the same mail: all of them, or none (StaleClaimError).
        """
        deliveries.mark_on_wire(self._database, [(delivery_id, fence), *companions], sent_at)

    def extend_lease(self, delivery_id: str, fence: int, lease: timedelta, *companions: Hold) -> None:
        """Heartbeat of a long send."""
        deliveries.extend_lease(self._database, [(delivery_id, fence), *companions], lease)

    def separate(self, holds: Sequence[Hold], cause: str) -> None:
        """Put back claimed deliveries that were to leave in one mail and cannot: from now on, each leaves alone."""
        deliveries.separate(self._database, holds, cause)

    def settle_send(self, delivery_id: str, fence: int, settlement: Settlement) -> None:
        """Write what a send led to; opens the next leg or the work item. A proof that came first is never undone."""
        deliveries.settle_send(self._database, delivery_id, fence, settlement)

    def settle_together(self, settlements: Sequence[tuple[Hold, Settlement]]) -> None:
        """What the send of one mail led to for each document in it, in one transaction."""
        deliveries.settle_together(self._database, settlements)

    # ── settle ────────────────────────────────────────────────────────────────────────────────────────────────

    def record_evidence(
        self,
        evidences: Sequence[Evidence],
        cursor_name: str,
        cursor: str,
        *,
        legal_entity: str = "",
        opens_next_leg: Callable[[str], bool] = lambda _cause: True,
        retry_after: Callable[[str, int], timedelta | None] = lambda _cause, _attempts: None,
        suspends: Callable[[str], bool] = lambda _cause: False,
    ) -> int:
        """Apply proofs and commit the cursor with them; returns how many deliveries moved.

        Matched by our reference, within `legal_entity` when one is named (a mailbox belongs to one; a spool to the
        instance). Never regresses; a late refusal is sent again after `retry_after` (cause, sends so far), else opens the next
        leg if its cause allows, else is a person's.
        """
        reactions = evidence.Reactions(opens_next_leg, retry_after, suspends)
        return evidence.record_evidence(self._database, evidences, cursor_name, cursor, legal_entity, reactions)

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        """Where collecting stopped; empty at first."""
        return evidence.read_cursor(self._database, cursor_name, legal_entity)

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        """Where reading stopped, for what brings receipts instead of proofs (a mailbox's folder)."""
        evidence.keep_cursor(self._database, cursor_name, cursor, legal_entity)

    def settle_acks(self, owe: OweAcks) -> int:
        """Make deliveries of the acknowledgements that senders are owed; returns how many news were looked at.

        `owe` decides what is told of each submission. Safe to run again, and by several at once.
        """
        return acks.settle_acks(self._database, owe)

    def is_standard_only(self, number: str) -> bool:
        """Whether the machine behind a fax number said, in the last half year, that it takes no fine pages."""
        return fax_abilities.is_standard_only(self._database, number)

    def alarm_urgent_faxes(self) -> int:
        """Tell somebody, once, of each fax that an engine took and of which nothing is known since: of an urgent one after ten
        minutes, of another after a day. Returns how many.
        """
        return urgent_faxes.alarm_urgent_faxes(self._database)

    def withdrawals(self, channel: ChannelName) -> tuple[Withdrawal, ...]:
        """What this channel was handed and must not let leave any more, oldest first: asked of it until it has answered."""
        return withdrawals.pending(self._database, channel)

    def settle_withdrawal(self, delivery_id: str, found: Withdrawn) -> bool:
        """Write what a channel answered; True when that ends the question. What nobody has, nothing replaces or cancels."""
        return withdrawals.settle(self._database, delivery_id, found)

    def tell_held_by_withdrawals(self) -> int:
        """Tell somebody, once while nobody answered, of what is held because a partner's queue does not say what became of what
        came before: of an urgent document at once, of another after two hours. Returns how many.
        """
        return withdrawals.tell_held(self._database)

    def reap(self, unclear_wait: Mapping[ChannelName, timedelta]) -> int:
        """Give back lost leases and wake what was unclear long enough; returns how many deliveries moved."""
        return deliveries.reap(self._database, unclear_wait)

    # ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────

    def suspended_among(self, addresses: Iterable[str], *, legal_entity: str) -> frozenset[str]:
        """Which of these mail addresses nobody is to write to, in lower case."""
        return suspensions.suspended_among(self._database, addresses, legal_entity)

    def list_suspended(self, *, legal_entity: str) -> tuple[Suspension, ...]:
        """Every suspended address that an operator of this entity may see, oldest first."""
        return suspensions.list_suspended(self._database, legal_entity)

    def lift_suspension(self, address: str, actor: str, *, legal_entity: str) -> bool:
        """Write to an address again, on a person's word; False when it is not suspended. Nothing else ever lifts it."""
        return suspensions.lift(self._database, address, legal_entity, actor)

    @property
    def fax_numbers(self) -> FaxNumbers:
        """Which fax numbers may be dialled, and who vouched for them."""
        return FaxNumbers(self._database)

    # ── a person decides ──────────────────────────────────────────────────────────────────────────────────────

    def open_work_item(self, item: WorkItem) -> bool:
        """Open an item; False when the same reason is already open on the same row."""
        return work_items.open_work_item(self._database, item)

    def close_work_items(self, about: WorkAbout, about_id: str, legal_entity: str, by: str) -> int:
        """Close what is open on a thing that settled itself; returns how many items were."""
        return work_items.close_questions(self._database, about, about_id, legal_entity, by)

    def list_work_items(self, which: WorkFilter = WorkFilter(), *, legal_entity: str) -> list[WorkItem]:  # noqa: B008
        """Items of one entity, urgent first, then oldest."""
        return work_items.list_work_items(self._database, which, legal_entity)

    def resolve(self, item_id: str, decision: Decision, by: str, *, legal_entity: str) -> WorkItem:
        """Apply a person's decision to what the item is on, audited; LedgerError when it is unknown or already decided."""
        return work_items.resolve(self._database, item_id, decision, by, legal_entity)

    # ── read ──────────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, reference: str, *, legal_entity: str) -> list[str]:
        """Receipt ids, newest first, for any reference: an id of ours, a control id, unique id, INS, RPPS, Message-ID…"""
        return reading.find(self._database, reference, legal_entity)

    def timeline(self, reference: str, *, legal_entity: str) -> Timeline | None:
        """The timeline of the newest receipt that a reference finds."""
        return reading.timeline(self._database, reference, legal_entity)

    def status_of(self, submission_id: str, *, legal_entity: str) -> SubmissionStatus:
        """The status of a submission, computed now."""
        return reading.submission_status(self._database, submission_id, legal_entity)

    def conservation(self, *, legal_entity: str) -> Conservation:
        """Count: received = final + open + parked, and name what fell through."""
        return reading.conservation(self._database, legal_entity)

    def read_payload(self, kind: PayloadKind, row_id: str, *, legal_entity: str) -> bytes:
        """Sealed bytes of a row, opened; LedgerError when there are none for this entity."""
        return reading.read_payload(self._database, kind, row_id, legal_entity)

    def kept_receipts(self, receipt_ids: Sequence[str], limit: int, *, legal_entity: str) -> Iterator[KeptReceipt]:
        """Prepared receipts with what they gave, newest first: those named, or all up to `limit`."""
        return kept.kept_receipts(self._database, legal_entity, receipt_ids, limit)

    def kept_submission(self, submission_id: str, *, legal_entity: str) -> StoredSubmission:
        """A submission with all that was kept of it: what a correction or a cancellation starts from."""
        return kept.kept_submission(self._database, submission_id, legal_entity)

    def is_cancelled(self, submission_id: str, *, legal_entity: str) -> bool:
        """True when its sender cancelled this document after it."""
        return kept.is_cancelled(self._database, submission_id, legal_entity)

    def settled_until(self) -> datetime:
        """An instant before which everything kept is committed: what bears an earlier one can no longer appear."""
        return documents.settled_until(self._database)

    def document_keys(
        self, after: DocumentKey | None, limit: int, *, until: datetime, since: datetime | None = None, legal_entity: str
    ) -> list[DocumentKey]:
        """Documents kept in [since, until), in the order of keeping, those behind `after`: a page of at most `limit`."""
        return documents.document_keys(self._database, legal_entity, since, until, after, limit)

    def document_bundles(self, submission_ids: Sequence[str], *, legal_entity: str) -> Iterator[bytes]:
        """The FHIR document Bundles of submissions as they were kept, in their order; LedgerError when one is not there.

        At most a few hundred ids; a few MB are held at once, whatever the documents' sizes.
        """
        return documents.document_bundles(self._database, legal_entity, submission_ids)

    # ── patients ──────────────────────────────────────────────────────────────────────────────────────────────────

    def patient_view(self, identity: PatientIdentity, *, legal_entity: str) -> PatientView | None:
        """What the index knows now of a document's patient; None when it knows nobody by these numbers."""
        return patient_reading.view_of(self._database, identity, legal_entity)

    def same_person(self, legal_entity: str, one: PatientKeys, other: PatientKeys) -> bool:
        """True when the index knows that two sources' numbers are of one person (a merge, a link, a former matricule)."""
        return patient_reading.same_person(self._database, legal_entity, one, other)

    def find_patients(self, reference: str, *, legal_entity: str) -> list[PatientEntry]:
        """Entries under an INS, an IPP or their own id, with their history."""
        return patient_reading.find_entries(self._database, reference, legal_entity)

    def ask_bulk_job(self, job: BulkJob, most: int) -> str:
        """Keep an export to be made, under the id returned; empty when its client has `most` that are not made yet."""
        return bulk_jobs.ask_job(self._database, job, most)

    def bulk_job(self, job_id: str, client: str, *, legal_entity: str) -> BulkJob | None:
        """A client's export; None when it has no such one, or no more."""
        return bulk_jobs.find_job(self._database, job_id, legal_entity, client)

    def bulk_parts(self, job_id: str) -> list[BulkPart]:
        """The files of an export, in order."""
        return bulk_jobs.parts_of(self._database, job_id)

    def drop_bulk_job(self, job: BulkJob) -> None:
        """Throw an export away with its files."""
        bulk_jobs.drop_job(self._database, job)

    def drop_ended_bulk_jobs(self, limit: int) -> int:
        """Throw away what has had its time; returns how many exports."""
        return bulk_jobs.drop_ended(self._database, limit)

    def claim_bulk_job(self, lease: timedelta) -> BulkJob | None:
        """Take the oldest export that waits to be made."""
        return bulk_jobs.claim_job(self._database, lease)

    def keep_bulk_parts(self, job: BulkJob, at: Mapping[str, int], parts: Sequence[NewPart], lease: timedelta) -> None:
        """Keep files and how far the making is (a position a practice), together; StaleClaimError when it is no longer ours."""
        bulk_jobs.keep_parts(self._database, job, at, parts, lease)

    def end_bulk_job(self, job: BulkJob, problem: str = "") -> None:
        """It is ready, or failed with a code."""
        bulk_jobs.end_job(self._database, job, problem)

    # ── what practices import ─────────────────────────────────────────────────────────────────────────────────────

    def publish(
        self, delivery_id: str, practice: Practice, carried: Sequence[Carried], names: Sequence[str] = ()
    ) -> Publication | None:
        """Put a delivery's document at a practice's disposal, once: again, the first publication stands.

        `names`: URIs and ids under which it, or a part of it, is asked for. None when the delivery is of another legal entity
        than the practice.
        """
        return publications.publish(self._database, delivery_id, practice, carried, names)

    def feed(self, readers: Readers, practice: str, after: int, limit: int) -> tuple[Publication, ...]:
        """A practice's publications after a position, in commit order: whoever goes on from the last one misses nothing."""
        return publications.feed(self._database, readers, practice, after, limit)

    def feed_head(self, practice: str, *, legal_entity: str) -> int:
        """The last position of a feed: what is committed now lies at or before it."""
        return publications.feed_head(self._database, legal_entity, practice)

    def publications_of(self, readers: Readers, document_keys: Sequence[str]) -> tuple[Publication, ...]:
        """All publications of some documents, oldest first; several a document (versions of metadata, several roles)."""
        return publications.publications_of(self._database, readers, document_keys)

    def document_key_of(self, publication_id: str, *, legal_entity: str) -> str:
        """Of which document a publication is; empty when there is no such publication."""
        return publications.document_key_of(self._database, publication_id, legal_entity)

    def named_publications(self, readers: Readers, name: str) -> tuple[Publication, ...]:
        """Publications that bear a name, oldest first."""
        return publications.named_publications(self._database, readers, name)

    def find_published(self, readers: Readers, sought: Sought, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
        """Documents by what is sought: (instant of the last change, document key), in that order, after such a pair."""
        return publications.find_keys(self._database, readers, sought, after, limit)

    def published_content(self, one: Publication, form: str) -> bytes:
        """A publication's content as `cda`, `pdf`, `fhir` (the document Bundle) or `source` (what came in)."""
        return publications.published_content(self._database, one, form)

    def mark_fetched(self, ids: Sequence[str], by: str, *, legal_entity: str) -> int:
        """The practice took these publications' content: *delivered*, the first time. Returns how many were first times."""
        return publications.mark_fetched(self._database, ids, by, legal_entity, _NO_REACTION)

    def mark_passed(self, readers: Readers, practice: str, position: int, by: str) -> int:
        """The practice went on from a position: what brought no content before it (cancellations, masking) is received."""
        return publications.mark_passed(self._database, readers, practice, position, by, _NO_REACTION)

    def keep_import_outcome(
        self,
        ids: Sequence[str],
        said: Said,
        *,
        legal_entity: str,
        opens_next_leg: Callable[[str], bool] = lambda _cause: True,
    ) -> Kept:
        """What the practice says of one document's publications, once: the same again changes nothing, another is a conflict."""
        reactions = evidence.Reactions(opens_next_leg, lambda _cause, _attempts: None)
        return publications.keep_import_outcome(self._database, ids, said, legal_entity, reactions)

    def alarm_unfetched(self) -> int:
        """Publications that nobody fetched within their delay: a work item each, and the next leg opens. A late fetch counts."""
        return publications.alarm_unfetched(self._database, _NO_REACTION)

    def spend_assertion(self, client: str, assertion_id: str, ends_at: datetime) -> bool:
        """Note that a client presented this assertion (`jti`); False when it did before, to any process."""
        return callers.spend_assertion(self._database, client, assertion_id, ends_at)

    def take_calls(self, client: str, wanted: int, per_minute: int) -> tuple[int, datetime]:
        """Up to `wanted` of the calls that a client may still make this minute, and when the next minute begins."""
        return callers.take_calls(self._database, client, wanted, per_minute)

    def silent_practices(self, *, legal_entity: str) -> tuple[SilentPractice, ...]:
        """Practices that let documents lie beyond their delay: who is listed each morning."""
        return publications.silent_practices(self._database, legal_entity)

    def importer_figures(self, practices: Iterable[str], since: datetime, *, legal_entity: str) -> list[ImporterFigures]:
        """How these practices import: what waits, what they said since an instant, when each last came; by name."""
        return importers.importer_figures(self._database, practices, since, legal_entity)

    def last_calls(self, clients: Iterable[str]) -> dict[str, datetime]:
        """When each client last called the Import API, to the minute; one that never did is left out."""
        return importers.last_calls(self._database, clients)

    # ── practices' folders ────────────────────────────────────────────────────────────────────────────────────────

    def keep_folder_sets(self, sets: Sequence[FolderSet]) -> None:
        """Remember sets before they can be seen, in one transaction; a publication's earlier row gives way to the new one."""
        folder_sets.keep_folder_sets(self._database, sets)

    def stand_folder_sets(self, publication_ids: Iterable[str], standing: Standing, *, legal_entity: str) -> int:
        """Where these stand from now on; returns how many stood elsewhere."""
        return folder_sets.stand_folder_sets(self._database, publication_ids, standing, legal_entity)

    def folder_sets(self, practice: str, standings: Iterable[Standing], *, legal_entity: str) -> tuple[FolderSet, ...]:
        """A practice's sets that stand so, in the order of its feed."""
        return folder_sets.folder_sets(self._database, practice, standings, legal_entity)

    def folder_sets_of_line(self, practice: str, line_id: str, *, legal_entity: str) -> tuple[FolderSet, ...]:
        """All sets of one document's versions in a practice's folder, in the order of its feed."""
        return folder_sets.folder_sets_of_line(self._database, practice, line_id, legal_entity)

    def folder_position(self, practice: str, *, legal_entity: str) -> int:
        """How far a practice's folder followed its feed; 0 for a folder that never got anything."""
        return folder_sets.folder_position(self._database, practice, legal_entity)

    def patient_words(self, identity: PatientIdentity, view: PatientView | None, *, legal_entity: str) -> tuple[PatientWord, ...]:
        """What was said of a patient's record and mailbox at the desk or by a record, oldest first; see `routing.consent`."""
        return patient_wishes.words_on(self._database, identity, view, legal_entity)

    def keep_patient_word(self, names: Iterable[tuple[str, str]], word: PatientWord, *, legal_entity: str) -> None:
        """Keep one word, audited, under every number that names the patient (`patient_wishes.names_of_…`)."""
        patient_wishes.keep_word(self._database, names, word, legal_entity)

    # ── visibility ────────────────────────────────────────────────────────────────────────────────────────────────

    def submissions_of(self, document_id: str, *, legal_entity: str) -> tuple[str, ...]:
        """Submissions that bring this document (not those that take it back or change who sees it), oldest first."""
        return visibility.submissions_of(self._database, document_id, legal_entity)

    def visibility_change(self, document_id: str, *, legal_entity: str) -> KeptChange | None:
        """The newest change of who may see a document; None when nobody changed it since it was sent."""
        return visibility.newest_change(self._database, document_id, legal_entity)

    def order_visibility(self, document_id: str, hidden: frozenset[str], by: str, *, legal_entity: str) -> str:
        """Hide a document from exactly these audiences, audited; the receipt's id, or nothing when it is so already."""
        return visibility.order_change(self._database, document_id, hidden, by, legal_entity)

    # ── faxes that wait for a person ──────────────────────────────────────────────────────────────────────────────

    def kept_faxes(self, receipt_ids: Sequence[str], *, legal_entity: str) -> list[KeptFax]:
        """These received faxes, oldest first; LedgerError when one is not this entity's, or not read by the service yet."""
        return fax_desk.kept_faxes(self._database, receipt_ids, legal_entity)

    def kept_fax_codes(self, annex_id: str, but: str, *, legal_entity: str) -> fax_codes_kept.KeptCodes:
        """Codes that other faxes (all `but` this receipt) brought of an annex; its id is in hexadecimal."""
        return fax_codes_kept.kept_codes(self._database, annex_id, but, legal_entity)

    def faxes_without_code(self, door: str, since: datetime, limit: int, *, legal_entity: str) -> list[str]:
        """Faxes that wait because no page of theirs bears a code, newest first: they may belong to what comes next."""
        return fax_codes_kept.waiting_pages(self._database, door, since, limit, legal_entity)

    def confirmed_as(self, names: Iterable[str], *, legal_entity: str) -> dict[str, Receipt]:
        """Of the pages and documents with these names, those that a person confirmed, with the receipt that came of each."""
        return fax_desk.confirmed_as(self._database, names, legal_entity)

    def keep_confirmation(self, confirmed: Confirmation, by: str, *, legal_entity: str) -> None:
        """Tell the faxes and what came of them of each other, audited, and close what is answered. Safe to run again."""
        fax_desk.keep_confirmation(self._database, confirmed, by, legal_entity)

    # ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────

    def requests_numbered(self, number: str, *, legal_entity: str) -> list[KnownRequest]:
        """Requests of one entity that bear a number (blanks and case apart) or document id, newest first."""
        return requests.requests_numbered(self._database, number, legal_entity)

    def append_request_step(self, submission_id: str, step: RequestStep, known_steps: int, *, legal_entity: str) -> bool:
        """One step more, said by software that holds the request; False when others came since it knew `known_steps`.

        A person is asked to tell the requester: no document of an answer does.
        """
        return requests.append_step(self._database, submission_id, step, known_steps, legal_entity)

    def request_steps(self, request_id: str, *, legal_entity: str) -> list[RequestStep]:
        """All that happened to a request, oldest first: what `requests.steps.project_task` makes a Task of."""
        return requests.request_steps(self._database, request_id, legal_entity)

    # ── faxes that a provider dials ───────────────────────────────────────────────────────────────────────────────

    @property
    def relayed_faxes(self) -> RelayedFaxLedger:
        """The same ledger as the mail-to-fax connector works on it."""
        return RelayedFaxLedger(self._database)

    # ── night ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def night(self) -> NightLedger:
        """The same ledger as the nightly round works on it."""
        return NightLedger(self._database)

    # ── audit ─────────────────────────────────────────────────────────────────────────────────────────────────

    def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Keep what a person or a client read or did outside the other verbs."""
        self._database.write_audit(entries)

    def read_audit(self, after_position: int, limit: int, *, legal_entity: str) -> list[AuditRow]:
        """Sealed rows of one entity's chain, in order, to be proved or exported."""
        return self._database.read_audit(legal_entity, after_position, limit)

    def seal_audit_rows(self, seal: SealRows, limit: int) -> int:
        """Give unsealed rows to `seal` and keep its seals, one holder at a time; see `audit.trail.seal_audit`."""
        return self._database.seal_audit_rows(seal, limit)
