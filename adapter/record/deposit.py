"""Takes a submission into the record: whole, once, in one transaction.

Law: FHIR R4 `http.html#transaction` (all or nothing; conditional creates), MHD 4.2.3 ITI-65, PDSm 3.1.1 (replacement). Everything
that is looked for is locked first: of sixteen clients who send the same thing at once, one creates and fifteen find.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from adapter.audit.audit_event import Telling
from adapter.errors import InputError
from adapter.fhir.search import read_query
from adapter.ledger.record_rows import AnyToken, NewResource, Row
from adapter.ledger.record_store import RecordChanges
from adapter.record import profile_rules as rules
from adapter.record.amending import amend, amended_by_entry, check_version, document_of
from adapter.record.consent import check_feeding, wishes_of
from adapter.record.entries import Entry, parse_condition
from adapter.record.holding import declare_as_held, drop_unnamed, named, related_ids, written
from adapter.record.parameters import indexes_of, stretch_of, token_texts
from adapter.record.patients import check_same_patient, lock_name, settle_patient
from adapter.record.references import local_reference, names_of, references_in, rewritten
from adapter.record.refusals import refused
from adapter.record.rights import Client, openness_of
from adapter.record.searching import RULES, plan_of
from adapter.record.submission import Document, Submission, official_ins, unique_id

Resource = dict[str, Any]

_HELD_TYPES = frozenset({"Patient", "DocumentReference", "List", "Binary", "Bundle"})


@dataclass(frozen=True)
class Policy:
    """What this instance takes. `base` is the record's own address, for references that name it."""

    is_production: bool
    needs_consent: bool
    base: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one entry."""

    status: int
    row: Row

    @property
    def location(self) -> str:
        """Where it is."""
        return f"{self.row.kind}/{self.row.id}/_history/{self.row.version}"


def deposit(changes: RecordChanges, client: Client, submission: Submission, policy: Policy) -> dict[int, Outcome]:
    """Keep a submission; what became of each entry, by rank. RecordRefusal: nothing was kept."""
    return _Deposit(changes, client, submission, policy).made()


class _Deposit:
    """One submission in one transaction: `places` says where each name of an entry leads here."""

    def __init__(self, changes: RecordChanges, client: Client, submission: Submission, policy: Policy) -> None:
        self._changes = changes
        self._client = client
        self._submission = submission
        self._policy = policy
        self._outcomes: dict[int, Outcome] = {}
        self._places: dict[str, str] = {}
        self._patient_id = ""
        self._content_ids: dict[int, str] = {}

    def made(self) -> dict[int, Outcome]:
        """All of it."""
        self._changes.lock(*self._names())
        if self._submission.subject is not None:
            self._take_patient()
        fresh = [document for document in self._submission.documents if not self._is_known(document)]
        for document in fresh:
            self._add_content(document)
        new_ids = {document.rank: self._reserve(document.rank) for document in fresh}
        lists = [entry for entry in self._submission.lists if not self._is_listed(entry)]
        # Folders and sets may name each other: ids come first.
        list_ids = {entry.rank: self._reserve(entry.rank) for entry in lists}
        for document in fresh:
            self._add_document(document, new_ids[document.rank])
        for entry in lists:
            self._add_list(entry, list_ids[entry.rank])
        for entry in self._submission.amendments:
            self._amend(entry)
        for outcome in self._outcomes.values():
            if outcome.status == 201:
                self._tell("record.create", outcome.row)
        return self._outcomes

    def _names(self) -> list[str]:
        """All that is looked for."""
        names = [f"unique:{unique_id(document.metadata)}" for document in self._submission.documents]
        names += [f"unique:{rules.unique_id_of(entry.resource)}" for entry in self._submission.lists]
        names += [f"condition:{e.kind}:{parse_condition(e.condition)}" for e in self._submission.entries if e.condition]
        for document in self._submission.documents:
            names += [f"unique:{value}" for value in related_ids(document.metadata)]
        subject = self._submission.subject
        if subject is not None:
            matricule = official_ins(subject.traits)[1] if subject.traits is not None else subject.matricule
            names.append(lock_name(matricule) if matricule else f"id:{subject.held_id}")
        return list(dict.fromkeys(names))

    # ── whom ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_patient(self) -> None:
        subject = self._submission.subject
        if subject is None:
            return
        row, is_new = settle_patient(self._changes, subject, self._client.name, is_production=self._policy.is_production)
        self._patient_id = row.id
        place = f"{subject.place}.subject"
        check_feeding(wishes_of(self._changes, row.id), place, needs_consent=self._policy.needs_consent)
        if not is_new:
            check_same_patient(json.loads(self._changes.content(row.id)), self._submission.told)
        elif subject.traits is not None:
            check_same_patient(subject.traits, self._submission.told)
        entry = self._submission.patient_entry
        if entry is not None:
            self._settle(entry, Outcome(201 if is_new else 200, row))

    # ── documents ─────────────────────────────────────────────────────────────────────────────────────────────

    def _is_known(self, document: Document) -> bool:
        """Whether a conditional create finds what is there; its bytes are then those that are held."""
        row = self._conditional("DocumentReference", document.condition)
        unique = self._changes.find_unique("DocumentReference", unique_id(document.metadata))
        if row is None and unique is not None:
            raise refused("record.duplicate", f"{document.place}.masterIdentifier")
        if row is None:
            return False
        if row.patient_id != self._patient_id:
            raise refused("record.other-patient", f"{document.place}.subject")
        self._settle(self._entry(document.rank), Outcome(200, row))
        for content_id in self._changes.linked_from(row.id):
            held = self._changes.get("Binary", content_id) or self._changes.get("Bundle", content_id)
            if held is not None and document.content_rank >= 0:
                self._settle(self._entry(document.content_rank), Outcome(200, held))
        return True

    def _conditional(self, kind: str, condition: str) -> Row | None:
        if not condition:
            return None
        pairs = parse_qsl(condition.partition("?")[2] or condition, keep_blank_values=True)
        try:
            plan = plan_of(kind, read_query(pairs, RULES[kind]), self._policy.base, lambda c: self._changes.find("Patient", c))
        except InputError:
            raise refused("record.condition", "ifNoneExist") from None
        if not plan.conditions:  # it would find everything
            raise refused("record.condition", "ifNoneExist")
        # What another structure fed is not there for this one: neither its metadata nor that it exists.
        own = self._client.speaks_for
        found = [row for row in self._changes.find(kind, plan.conditions) if row.organisation == own]
        if len(found) > 1:
            raise refused("record.several", "ifNoneExist")
        return found[0] if found else None

    def _add_content(self, document: Document) -> None:
        content = document.content
        new_id = self._changes.new_id()
        row = self._changes.add(
            NewResource(
                new_id,
                content.kind,
                content.data,
                "",
                patient_id=self._patient_id,
                feeder=self._client.name,
                organisation=self._client.speaks_for,
                media_type=content.media_type,
            )
        )
        self._content_ids[document.rank] = f"{content.kind}/{new_id}"
        if document.content_rank >= 0:
            self._settle(self._entry(document.content_rank), Outcome(201, row))

    def _add_document(self, document: Document, new_id: str) -> None:
        metadata = self._linked(document.metadata, document.place)
        replaced = self._relate(document, metadata)
        content_id = self._content_ids[document.rank]
        attachment = metadata["content"][0]["attachment"]
        attachment.pop("data", None)
        attachment |= {"url": content_id, "size": len(document.content.data), "hash": document.content.sha1}
        metadata["subject"] = named(metadata["subject"], f"Patient/{self._patient_id}")
        drop_unnamed(metadata)
        declare_as_held(metadata)
        stretch = stretch_of(metadata.get("date"))
        row = self._add(
            "DocumentReference", new_id, metadata, metadata["status"], unique_id(document.metadata),
            dated_at=stretch.start if stretch else None, links=(content_id.partition("/")[2],),
        )  # fmt: skip
        self._outcomes[document.rank] = Outcome(201, row)
        if replaced is not None:
            self._supersede(replaced)

    def _relate(self, document: Document, metadata: Resource) -> Row | None:
        """Resolve what a document relates to; the row that it replaces, if any."""
        replaced = None
        for rank, (relation, told) in enumerate(
            zip(metadata.get("relatesTo") or (), document.metadata.get("relatesTo") or (), strict=True)
        ):
            place = f"{document.place}.relatesTo[{rank}].target"
            # As it was told, or, of a document of this very submission, as it is placed by now.
            row = self._related(told.get("target") or {}) or self._related(relation.get("target") or {})
            if relation.get("code") == "replaces":
                self._check_replaceable(row, place)
                replaced = row
            if row is None:
                raise refused("record.reference", place)
            relation["target"] = named(relation["target"], f"DocumentReference/{row.id}")
        return replaced

    def _related(self, target: Mapping[str, Any]) -> Row | None:
        local = local_reference(str(target.get("reference", "")), self._policy.base)
        if local is not None and local[0] == "DocumentReference":
            return self._changes.get("DocumentReference", local[1])
        identifier = target.get("identifier") or {}
        if not identifier.get("value"):
            return None
        texts = (token_texts(str(identifier.get("system", "")), str(identifier["value"]))[1 if identifier.get("system") else 0],)
        found = self._changes.find("DocumentReference", [AnyToken("identifier", texts)])
        return found[0] if len(found) == 1 else None

    def _check_replaceable(self, row: Row | None, place: str) -> None:
        if row is None:
            raise refused("record.replaced-unknown", place)
        if row.patient_id != self._patient_id or row.organisation != self._client.speaks_for:
            raise refused("record.replaced-other", place)
        if row.state != "current":
            raise refused("record.replaced-superseded", place)

    def _supersede(self, row: Row) -> None:
        held = json.loads(self._changes.content(row.id)) | {"status": "superseded"}
        changed = self._changes.change(row, written(held), "superseded", row.openness, indexes_of(held))
        self._tell("record.supersede", changed)

    # ── sets and folders ──────────────────────────────────────────────────────────────────────────────────────

    def _is_listed(self, entry: Entry) -> bool:
        row = self._conditional("List", entry.condition)
        unique = rules.unique_id_of(entry.resource)
        if row is None and unique and self._changes.find_unique("List", unique) is not None:
            raise refused("record.duplicate", f"{entry.place}.resource.identifier")
        if row is not None:
            self._settle(entry, Outcome(200, row))
        return row is not None

    def _add_list(self, entry: Entry, new_id: str) -> None:
        place = f"{entry.place}.resource"
        listed = self._linked(entry.resource, place)
        listed["subject"] = named(listed.get("subject") or {}, f"Patient/{self._patient_id}")
        items = [str(item.get("item", {}).get("reference", "")) for item in listed.get("entry") or ()]
        stretch = stretch_of(listed.get("date"))
        row = self._add(
            "List", new_id, listed, str(listed["status"]), rules.unique_id_of(listed),
            dated_at=stretch.start if stretch else None, links=tuple(item.rpartition("/")[2] for item in items if item),
        )  # fmt: skip
        self._outcomes[entry.rank] = Outcome(201, row)

    # ── amendments ────────────────────────────────────────────────────────────────────────────────────────────

    def _amend(self, entry: Entry) -> None:
        row = self._conditional("DocumentReference", entry.url.partition("?")[2]) if "?" in entry.url else self._named_row(entry)
        if row is None or row.organisation != self._client.speaks_for:
            raise refused("record.not-found", f"{entry.place}.request.url")
        if self._submission.subject is not None and row.patient_id != self._patient_id:
            raise refused("record.other-patient", f"{entry.place}.request.url")
        check_version(row, entry.if_match)
        before = document_of(self._changes, row)
        made = amended_by_entry(before, entry)
        amended = amend(self._changes, row, made)
        self._outcomes[entry.rank] = Outcome(200, amended)
        self._tell("record.update", amended)

    def _named_row(self, entry: Entry) -> Row | None:
        return self._changes.get("DocumentReference", entry.url.rpartition("/")[2])

    # ── in common ─────────────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, rank: int) -> Entry:
        return next(entry for entry in self._submission.entries if entry.rank == rank)

    def _settle(self, entry: Entry, outcome: Outcome) -> None:
        self._outcomes[entry.rank] = outcome
        self._place(entry, f"{outcome.row.kind}/{outcome.row.id}")

    def _place(self, entry: Entry, place: str) -> None:
        for name in names_of(entry):
            self._places.setdefault(name, place)

    def _reserve(self, rank: int) -> str:
        """An id for what is not held yet, so that others may name it."""
        new_id = self._changes.new_id()
        entry = self._entry(rank)
        self._place(entry, f"{entry.kind}/{new_id}")
        return new_id

    def _linked(self, resource: Resource, place: str) -> Resource:
        """The resource with our references; RecordRefusal for one that leads nowhere here."""
        made: Resource = rewritten(resource, lambda name: self._places.get(name, name))
        for where, target in references_in(made):
            local = local_reference(target, self._policy.base)
            # What a document relates to has its own refusals (`_relate`).
            if local is None or target in self._places.values() or where.startswith("relatesTo"):
                continue
            if local[0] not in _HELD_TYPES or self._changes.get(*local) is None:
                raise refused("record.reference", f"{place}.{where}")
        return made

    def _add(
        self,
        kind: str,
        new_id: str,
        resource: Resource,
        state: str,
        unique: str,
        dated_at: datetime | None,
        links: tuple[str, ...],
    ) -> Row:
        kept = {"resourceType": kind, "id": new_id} | {k: v for k, v in resource.items() if k not in ("resourceType", "id")}
        return self._changes.add(
            NewResource(
                new_id,
                kind,
                written(kept),
                state,
                patient_id=self._patient_id,
                unique=unique,
                feeder=self._client.name,
                organisation=self._client.speaks_for,
                openness=openness_of(kept),
                dated_at=dated_at,
                indexes=indexes_of(kept),
                links=links,
            )
        )

    def _tell(self, action: str, row: Row) -> None:
        detail = Telling(self._submission.transaction, patient_id=row.patient_id).written()
        self._changes.audit(self._client.name, action, row.kind, row.id, detail)
