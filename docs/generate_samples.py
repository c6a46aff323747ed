"""Writes docs/reference/samples: one file for each thing that a practice's program meets, about invented people.

python docs/generate_samples.py            writes
python docs/generate_samples.py --check    exit 1 when a sample is not what would be written
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from adapter.fhir.bundle import write_json
from adapter.ledger.import_records import Kept
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.effects import Translation
from adapter.model.folder import FolderFormat, FolderSet, KnownSet, stem_of
from adapter.model.folder import Standing as Place
from adapter.model.plan import ChannelName
from adapter.model.publication import Publication, PublicationKind, Rendition
from adapter.model.submission import Visibility
from adapter.offline import arrival_of, translate
from adapter.packaging.folder_files import Shelf, Shelved, build_file_set
from adapter.packaging.letter_transaction import letter_transaction
from adapter.packaging.parcel import SenderProfile
from adapter.packaging.published import Standing, document_reference
from adapter.pipeline.plan import stable_id
from adapter.sandbox.letters import Letter, message_of
from adapter.sandbox.scene import CASES
from adapter.tracking.import_outcomes import import_outcomes
from adapter.web.fhir_http import Found, refusal, refusal_answer, searchset
from adapter.web.import_acknowledge import outcome_answer
from adapter.web.import_surface import capability_statement

SAMPLES = Path(__file__).resolve().parent / "reference" / "samples"
BASE = "https://tdu.example.fr/fhir"
NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
ENTITY, PRACTICE = "750712184", "cabinet"
SENDER = SenderProfile(ENTITY, "Hôpital du bac à sable", "949990121", "", "", "1.2.250.1.999.94.1", "TDU-BAC")
Resource = dict[str, Any]
README = """# Exemples

Patients inventés, matricules de test. Écrits par `python docs/generate_samples.py`, comparés par un test.

| fichier | ce que c'est |
|---|---|
{rows}
"""


def main(arguments: list[str]) -> int:
    """Write, or compare."""
    made = samples()
    if "--check" in arguments:
        stale = [name for name, content in made.items() if _kept(name) != content]
        stale += [path.name for path in SAMPLES.iterdir() if path.name not in made]
        for name in stale:
            print(f"docs/reference/samples/{name} is stale")
        return 1 if stale else 0
    SAMPLES.mkdir(parents=True, exist_ok=True)
    for path in SAMPLES.iterdir():
        path.unlink()
    for name, content in made.items():
        (SAMPLES / name).write_bytes(content)
    return 0


def _kept(name: str) -> bytes:
    path = SAMPLES / name
    return path.read_bytes() if path.exists() else b""


def samples() -> dict[str, bytes]:
    """Every sample by its file name."""
    told: dict[str, tuple[str, bytes]] = {}

    def keep(name: str, words: str, content: Resource | bytes) -> None:
        written = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"
        told[name] = (words, written)

    new, replaced, cancelled, masked = (CASES[n].first[0] for n in range(4))
    homonyms, minor = CASES[4].first, CASES[5].first[0]
    newer = CASES[1].then[0]
    document = _translated(new)
    fresh = _shown(new)
    keep("nouveau.json", "`DocumentReference` d'une lettre nouvelle", fresh)
    keep("remplace.json", "`DocumentReference` d'une version remplacée", _shown(replaced, superseded_by="newer"))
    keep("remplacant.json", "`DocumentReference` de celle qui la remplace", _shown(newer, PublicationKind.REPLACE))
    keep("annule.json", "`DocumentReference` d'un document annulé", _shown(cancelled, PublicationKind.CANCEL))
    keep("masque.json", "`DocumentReference` d'un document masqué après coup", _shown(masked, PublicationKind.METADATA))
    keep("mineure.json", "`DocumentReference` invisible des représentants légaux", _shown(minor))
    keep("homonyme-1.json", "Deux homonymes nés en 1965 : l'un", _shown(homonyms[0]))
    keep("homonyme-2.json", "l'autre", _shown(homonyms[1]))
    keep("document.json", "le même document, `Bundle` FHIR", write_json(document.bundle))
    keep("transaction.json", "sa forme transaction", letter_transaction(dict(document.bundle), fresh))
    keep("page.json", "une page de `$sync`", _page([fresh, _shown(newer, PublicationKind.REPLACE)]))
    keep("reponse.json", "ce que le cabinet envoie à `$acknowledge`", _word("not-our-patient", "Patiente inconnue ici."))
    for code, outcome in import_outcomes().items():
        keep(f"issue-{code}.json", f"la réponse à `{code}`", outcome_answer(outcome, Kept.KEPT))
    keep("trop-d-appels.json", "un refus : 429", _refused(HTTPStatus.TOO_MANY_REQUESTS, "throttled", "http.too-many"))
    keep("curseur-refuse.json", "un refus : 410 sur `$sync`", _refused(HTTPStatus.GONE, "expired", "sync.roles-changed"))
    keep("capacites.json", "`CapabilityStatement`", capability_statement(BASE, f"{BASE}/auth/token", NOON.isoformat()))
    for name, words, content in _folder_files(new, newer):
        keep(name, words, content)
    rows = "\n".join(f"| [{name}]({name}) | {words} |" for name, (words, _) in told.items())
    return {"LISEZ-MOI.md": README.format(rows=rows).encode(), **{name: content for name, (_, content) in told.items()}}


def _translated(letter: Letter) -> Translation:
    (translation,) = translate(arrival_of(message_of(letter), b"", NOON, "", "Europe/Paris"))
    return translation


def _shown(letter: Letter, kind: PublicationKind = PublicationKind.NEW, superseded_by: str = "") -> Resource:
    """How the API shows a letter whose last publication is of this kind."""
    translation = _translated(letter)
    submission = translation.submission
    if kind is PublicationKind.METADATA:
        submission = replace(submission, visibility=Visibility(hidden_from_professionals=True, changes_confidentiality=True))
    first = _published(letter, PublicationKind.NEW if kind is not PublicationKind.REPLACE else kind, superseded_by)
    more = kind in (PublicationKind.CANCEL, PublicationKind.METADATA)
    head = (replace(first, superseded_by="cancel" if kind is PublicationKind.CANCEL else ""), _published(letter, kind))
    return document_reference(Standing(head if more else (first,)), submission, dict(translation.bundle))


def _published(letter: Letter, kind: PublicationKind, superseded_by: str = "") -> Publication:
    position = 2 * letter.number + letter.version - 1
    sha1 = hashlib.sha1(letter.document_id.encode(), usedforsecurity=False).hexdigest()
    forms = () if kind is PublicationKind.CANCEL else (Rendition("cda", "application/xml", 48_213, sha1),)
    return Publication(
        id=stable_id("sample", letter.document_id, kind.value),
        legal_entity=ENTITY,
        practice=PRACTICE,
        role_id="role:partage-ivry",
        submission_id=stable_id("sample", "submission", letter.document_id, kind.value),
        document_id=letter.document_id,
        document_key=stable_id("sample", PRACTICE, letter.document_id),
        line_id=f"{letter.number}",
        version=letter.version,
        kind=kind,
        type_code="11490-0",
        urgent=False,
        position=position,
        published_at=NOON + timedelta(minutes=position),
        fetch_due=NOON + timedelta(days=3),
        state=DeliveryState.ACCEPTED,
        renditions=forms,
        superseded_by=superseded_by,
    )


def _page(resources: list[Resource]) -> Resource:
    found = [Found(f"{BASE}/DocumentReference/{one['id']}", one) for one in resources]
    page = searchset(found, self_url=f"{BASE}/DocumentReference/$sync")
    page["link"].append({"relation": "sync", "url": f"{BASE}/DocumentReference/$sync?cursor=AfYKmjdM…&_count=50"})
    return page


def _word(code: str, note: str) -> Resource:
    said = [{"name": "outcome", "valueCode": code}, {"name": "note", "valueString": note}]
    return {"resourceType": "Parameters", "parameter": said}


def _refused(status: HTTPStatus, issue: str, code: str) -> Resource:
    texts = {
        "http.too-many": "Trop d’appels en une minute.",
        "sync.roles-changed": "Les fonctions ouvertes à ce client ont changé.",
    }
    answer: Resource = json.loads(bytes(refusal_answer(refusal(status, issue, code, texts[code])).body))
    return answer


def _folder_files(first: Letter, newer: Letter) -> list[tuple[str, str, bytes]]:
    """The texts of a folder in the HPRIM format: of a new letter, of one that replaces another."""
    shelf = Shelf(FolderFormat.HPRIM)
    made = []
    for letter, kind in ((first, PublicationKind.NEW), (newer, PublicationKind.REPLACE)):
        published = _published(letter, kind)
        earlier = (_earlier(published),) if kind is PublicationKind.REPLACE else ()
        translation = _translated(letter)
        shelved = Shelved(
            stem=stem_of(published.position, published.id),
            kind=kind,
            delivery=_delivery(published),
            submission=translation.submission,
            line_id=published.line_id,
            recipient_name="Dr Claude PARTAGE",
            published_at=published.published_at,
            earlier=earlier,
        )
        files = build_file_set(shelved, shelf, SENDER).files
        made += [(name, _folder_words(name), content) for name, content in files if not name.endswith(".pdf")]
    return made


def _folder_words(name: str) -> str:
    return (
        "dossier d'échange : ce qui est remplacé, en mots" if name.endswith(".txt") else "dossier d'échange : texte HPRIM Médecin"
    )


def _earlier(published: Publication) -> FolderSet:
    before = published.position - 1
    known, kind = KnownSet(stem_of(before, "sample-earlier")), PublicationKind.NEW
    return FolderSet("sample-earlier", ENTITY, PRACTICE, before, "", known, Place.DONE, kind, NOON, has_content=True)


def _delivery(published: Publication) -> Delivery:
    return Delivery(
        id=published.id,
        submission_id=published.submission_id,
        legal_entity=ENTITY,
        document_id=published.document_id,
        version=published.version,
        intent=published.kind.value,
        role_id=published.role_id,
        channel=ChannelName.INBOX,
        leg=1,
        state=DeliveryState.ACCEPTED,
        reference=published.id,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
