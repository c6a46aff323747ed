"""Run kept receipts again with today's mappings and say what would change. Stores nothing, sends nothing (seam 19).

The same mapping revision is nothing to say. Otherwise the two FHIR documents are compared entry by entry; paths are told, values
only on demand: they are patient content.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from adapter.errors import TduError
from adapter.fhir.bundle import write_json
from adapter.ledger.kept import KeptReceipt
from adapter.mapping.kinds import Understand
from adapter.model.confidential import Confidential
from adapter.model.effects import Translation
from adapter.model.receipt import ContentKind


@dataclass(frozen=True, repr=False)
class Change(Confidential):
    """One difference: where (`Patient.name[0].family`), what kind, and the two values as JSON."""

    path: str
    kind: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Replayed:
    """One document run again. `problem` is set when today's mappings refuse it; `changes` is empty when nothing differs."""

    receipt_id: str
    submission_id: str
    document_id: str
    revision_before: str
    revision_after: str = ""
    changes: tuple[Change, ...] = ()
    problem: str = ""


def replay_all(receipts: Iterable[KeptReceipt], readers: Mapping[ContentKind, Understand]) -> Iterator[Replayed]:
    """Replay many receipts over all cores, in order. Workers are forked: they read the mapping files as they are now."""
    held = list(receipts)
    workers = min(os.cpu_count() or 1, max(1, len(held) // 50))
    if workers == 1:
        for receipt in held:
            yield from replay_one(receipt, readers)
        return
    # A fork shares what is held: only ranks go to the workers, and what differs comes back.
    with multiprocessing.get_context("fork").Pool(workers, _Worker.begin, (held, readers)) as pool:
        for replayed in pool.imap(_Worker.replay, range(len(held)), chunksize=16):
            yield from replayed


class _Worker:
    """What a forked worker was given."""

    receipts: Sequence[KeptReceipt] = ()
    readers: Mapping[ContentKind, Understand] = {}

    @classmethod
    def begin(cls, receipts: Sequence[KeptReceipt], readers: Mapping[ContentKind, Understand]) -> None:
        """Remember it, and spare the garbage collector what came with the fork: none of it will go."""
        cls.receipts, cls.readers = receipts, readers
        gc.freeze()

    @classmethod
    def replay(cls, rank: int) -> list[Replayed]:
        """One receipt."""
        return list(replay_one(cls.receipts[rank], cls.readers))


def replay_one(receipt: KeptReceipt, readers: Mapping[ContentKind, Understand]) -> Iterator[Replayed]:
    """The documents of one receipt, run again."""
    reader = readers.get(receipt.kind)
    if reader is None:
        return
    try:
        made = reader(receipt.arrival, receipt.receipt_id)
        fresh = {one.submission.id: one for one in made if isinstance(one, Translation)}
    except TduError as error:
        for kept in receipt.documents:
            yield Replayed(receipt.receipt_id, kept.submission_id, kept.document_id, kept.mapping_revision, problem=error.code)
        return
    for kept in receipt.documents:
        translation = fresh.get(kept.submission_id)
        if translation is None:
            problem = "replay.no-such-document"
            yield Replayed(receipt.receipt_id, kept.submission_id, kept.document_id, kept.mapping_revision, problem=problem)
            continue
        changes: tuple[Change, ...] = ()
        written = write_json(translation.bundle)
        if written != kept.bundle:
            changes = tuple(_differences(orjson.loads(kept.bundle), orjson.loads(written)))
        yield Replayed(
            receipt.receipt_id,
            kept.submission_id,
            kept.document_id,
            kept.mapping_revision,
            translation.mapping_revision,
            changes,
        )


def _differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """What differs between two Bundles, resources named by what they are: one more does not shift all others.

    Where both name the same resources under the same ids, those that are equal need no closer look.
    """
    first, second = _names(before), _names(after)
    spared = _equal_entries(before, after) if first == second else frozenset()
    yield from compare(_by_entry(before, first, spared), _by_entry(after, second, spared))


def _equal_entries(before: dict[str, Any], after: dict[str, Any]) -> frozenset[str]:
    pairs = zip(before.get("entry", []), after.get("entry", []), strict=False)
    return frozenset(one.get("fullUrl", "") for one, other in pairs if one == other)


def _names(bundle: dict[str, Any]) -> dict[str, str]:
    """The name of each entry, by its fullUrl: `Observation[2]`."""
    seen: dict[str, int] = {}
    known = {}
    for entry in bundle.get("entry", []):
        kind = entry["resource"]["resourceType"]
        seen[kind] = seen.get(kind, 0) + 1
        known[entry.get("fullUrl", "")] = f"{kind}[{seen[kind]}]"
    return known


def _by_entry(bundle: dict[str, Any], known: Mapping[str, str], spared: Collection[str]) -> dict[str, Any]:
    """The Bundle with its entries by name, but for those spared.

    The Provenance names the mapping revision: it differs with every edit and says nothing of the patient's document.
    """
    named: dict[str, Any] = {key: value for key, value in bundle.items() if key != "entry"}
    for entry in bundle.get("entry", []):
        url = entry.get("fullUrl", "")
        if entry["resource"]["resourceType"] == "Provenance" or url in spared:
            continue
        resource = {key: value for key, value in entry["resource"].items() if key != "id"}
        named[known[url]] = _with_names(resource, known)
    return named


def _with_names(value: Any, known: Mapping[str, str]) -> Any:
    """References by name: an id that moved is no difference of content."""
    if isinstance(value, dict):
        return {key: _with_names(held, known) for key, held in value.items()}
    if isinstance(value, list):
        return [_with_names(held, known) for held in value]
    return known.get(value, value) if isinstance(value, str) else value


def compare(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Every difference between two JSON values, the smallest place first."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            place = f"{path}.{key}" if path else key
            if key not in after:
                yield Change(place, "removed", _text(before[key]))
            elif key not in before:
                yield Change(place, "added", "", _text(after[key]))
            else:
                yield from compare(before[key], after[key], place)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            place = f"{path}[{index}]"
            if index >= len(after):
                yield Change(place, "removed", _text(before[index]))
            elif index >= len(before):
                yield Change(place, "added", "", _text(after[index]))
            else:
                yield from compare(before[index], after[index], place)
    elif before != after:
        yield Change(path, "changed", _text(before), _text(after))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
