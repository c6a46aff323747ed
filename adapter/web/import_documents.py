"""DocumentReference of the Import API: search (ITI-67), sync in commit order, read.

The sync cursor says where each practice's feed was left: sealed for one client, in commit order, so that what a worker commits
late comes after it. Presenting it again is the proof that what came before was received: what brings no content (a cancellation,
a masking) is thereby delivered. A `_lastUpdated` search has neither property: it is for people who look, not for who syncs.
"""

from __future__ import annotations

import hashlib
import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import Response

from adapter.errors import InputError
from adapter.fhir.search import Kind, Parameter, Query, SearchRules, parameters, span_of
from adapter.ledger.import_records import Sought
from adapter.model.publication import Readers
from adapter.web.fhir_http import Found, is_known, not_modified, refusal, resource_answer, searchset
from adapter.web.import_access import Ask, ImportDoor
from adapter.web.import_search import (
    DEFAULT_COUNT,
    MOST_COUNT,
    ImportSearch,
    Says,
    Searched,
    codes_of,
    patients_of,
    says_changed,
    says_code,
    says_codings,
    says_id,
    says_identifiers,
    says_patient,
    window_of,
)
from adapter.web.import_standing import Shown, one_shown, shown_of

Resource = dict[str, Any]

CURSOR, COUNT = "cursor", "_count"
DOCUMENT_PARAMETERS = parameters(
    Parameter("_id", Kind.TOKEN),
    Parameter("_lastUpdated", Kind.DATE),
    Parameter("identifier", Kind.TOKEN),
    Parameter("status", Kind.TOKEN),
    Parameter("patient", Kind.TOKEN, frozenset({"identifier"})),
    Parameter("patient.identifier", Kind.TOKEN),
    Parameter("type", Kind.TOKEN),
    Parameter("category", Kind.TOKEN),
    Parameter("date", Kind.DATE),
)
_SAYS: dict[str, Says] = {
    "_id": says_id,
    "_lastUpdated": says_changed,
    "identifier": says_identifiers,
    "status": says_code("status", "http://hl7.org/fhir/document-reference-status"),
    "patient": says_patient,
    "patient.identifier": says_patient,
    "type": says_codings("type"),
    "category": says_codings("category"),
    "date": lambda _shown, part: [span for span in [span_of(part["date"])] if span is not None],
}


class ImportDocuments:
    """The handlers of DocumentReference."""

    def __init__(self, door: ImportDoor) -> None:
        self._door = door
        zone = door.settings.zone
        rules = SearchRules(DOCUMENT_PARAMETERS, default_count=DEFAULT_COUNT, most_count=MOST_COUNT, zone=zone)
        searched = Searched("DocumentReference", rules, _SAYS, lambda shown: [shown.reference], _narrow)
        self._search = ImportSearch(door, searched)

    def read(self, ask: Ask) -> Response:
        """One DocumentReference. Reading what brings no content is receiving it."""
        readers = ask.caller.client.readers
        shown = one_shown(self._door.ledger, readers, own_id(ask.id))
        standing = shown.standing
        if is_known(ask.request, standing.version):
            return not_modified(standing.version)
        self._door.audit(ask.caller, "import.read", "delivery", standing.head.id, "DocumentReference")
        if not standing.has_content:
            ids = standing.fetchable_ids()
            self._door.ledger.mark_fetched(ids, ask.caller.name, legal_entity=readers.legal_entity)
        return resource_answer(shown.reference, version=standing.version, changed=standing.changed)

    def search(self, ask: Ask) -> Response:
        """A page of documents."""
        return resource_answer(self._search.answer(ask))

    # ── sync ──────────────────────────────────────────────────────────────────────────────────────────────────

    def sync(self, ask: Ask) -> Response:
        """What was published since a cursor, in commit order; `next` while there is more, `sync` to begin with next time."""
        client, ledger = ask.caller.client, self._door.ledger
        cursor, count = _sync_parameters(ask.pairs)
        scope = f"import-sync/{client.name}"
        positions = self._positions(scope, cursor, client.readers)
        for practice, position in positions.items():
            ledger.mark_passed(client.readers, practice, position, ask.caller.name)
        keys, has_more = self._onward(client.readers, positions, count)
        # One document that changed twice is there once, as it stands now, where it changed last.
        last_first = list(dict.fromkeys(reversed(keys)))
        shown = shown_of(ledger, client.readers, last_first[::-1])
        self._door.audit(ask.caller, "import.synced", "client", client.name, str(len(shown)))
        token = self._door.tokens.issue(scope, {"roles": _roles_digest(client.readers), "at": positions})
        onward = self._url([(CURSOR, token), (COUNT, str(count))])
        entries = [self._entry(one) for one in shown]
        answer = searchset(entries, self_url=self._url(ask.pairs), next_url=onward if has_more else "")
        answer["link"].append({"relation": "sync", "url": onward})
        return resource_answer(answer)

    def _onward(self, readers: Readers, positions: dict[str, int], count: int) -> tuple[list[str], bool]:
        """The next documents of each practice's feed; `positions` moves on. And whether more wait."""
        keys: list[str] = []
        has_more = False
        for practice in readers.practices:
            room = count - len(keys)
            page = self._door.ledger.feed(readers, practice, positions[practice], room + 1)
            has_more = has_more or len(page) > room
            keys += [one.document_key for one in page[:room]]
            if page[:room]:
                positions[practice] = page[:room][-1].position
        return keys, has_more

    def _positions(self, scope: str, cursor: str, readers: Readers) -> dict[str, int]:
        """Where each practice's feed was left. Roles that changed since: what they missed before would stay missed."""
        if not cursor:
            return dict.fromkeys(readers.practices, 0)
        told = self._door.tokens.read(scope, cursor)
        if told["roles"] != _roles_digest(readers):
            text = "Les fonctions ouvertes à ce client ont changé : la synchronisation doit repartir du début."
            raise refusal(HTTPStatus.GONE, "expired", "sync.roles-changed", text, CURSOR, "Appeler $sync sans curseur.")
        positions = {practice: int(told["at"].get(practice, 0)) for practice in readers.practices}
        heads = {one: self._door.ledger.feed_head(one, legal_entity=readers.legal_entity) for one in readers.practices}
        if any(position > heads[practice] for practice, position in positions.items()):
            # A copy was put back: places are given anew, and what they are given to would stay unread.
            text = "Le service est reparti d’une sauvegarde : la synchronisation doit repartir du début."
            raise refusal(HTTPStatus.GONE, "expired", "sync.feed-restored", text, CURSOR, "Appeler $sync sans curseur.")
        return positions

    def _entry(self, shown: Shown) -> Found:
        return Found(self._door.url(f"DocumentReference/{shown.standing.key}"), shown.reference)

    def _url(self, pairs: list[tuple[str, str]]) -> str:
        return self._door.url("DocumentReference/$sync") + (f"?{urlencode(pairs)}" if pairs else "")


def own_id(text: str) -> str:
    """An id of ours is a UUID; anything else names nothing."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return ""


def _sync_parameters(pairs: list[tuple[str, str]]) -> tuple[str, int]:
    told = dict(pairs)
    unknown = {name for name, _ in pairs} - {CURSOR, COUNT, "_format", "_pretty"}
    if unknown or len(told) != len(pairs):
        text = "Paramètre inconnu ou répété."
        raise InputError("search.unknown-parameter", text, where="$sync", remedy=f"Paramètres reconnus : {CURSOR}, {COUNT}.")
    written = told.get(COUNT, str(DEFAULT_COUNT))
    if not (written.isascii() and written.isdigit() and len(written) <= 9 and int(written)):
        raise InputError("search.bad-count", "Le nombre de résultats par page n’est pas un entier positif.", where=COUNT)
    if CURSOR in told and not told[CURSOR]:
        raise InputError("search.empty-value", "Le curseur est vide.", where=CURSOR, remedy="Omettre cursor la première fois.")
    return told.get(CURSOR, ""), min(int(written), MOST_COUNT)


def _roles_digest(readers: Readers) -> str:
    roles = "*" if readers.roles is None else "\x1f".join(sorted(readers.roles))
    return hashlib.sha256(roles.encode()).hexdigest()[:16]


def _narrow(query: Query) -> Sought:
    since, until = window_of(query.named("_lastUpdated"))
    names = codes_of(query.named("identifier"))
    return Sought(
        document_keys=codes_of(query.named("_id")),
        # An entryUUID is no name that documents are published under: then nothing is narrowed.
        names=names if all(name.startswith("urn:oid:") for name in names) else (),
        type_codes=codes_of(query.named("type")),
        patients=patients_of(query),
        since=since,
        until=until,
    )
