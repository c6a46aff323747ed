"""References inside a submission: where they lead, and what they become once the resources have ids of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from adapter.record.entries import Entry

Resource = dict[str, Any]


def names_of(entry: Entry) -> tuple[str, ...]:
    """What an entry may be called by: its fullUrl, and `Type/id` as the fullUrl ends or the resource says."""
    tail = "/".join(entry.full_url.split("/")[-2:]) if entry.full_url.startswith("http") else ""
    own = f"{entry.kind}/{entry.resource['id']}" if entry.resource.get("id") else ""
    return tuple(dict.fromkeys(name for name in (entry.full_url, tail, own) if name))


def entries_by_name(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Entries by all their names; the first of a name wins."""
    found: dict[str, Entry] = {}
    for entry in entries:
        for name in names_of(entry):
            found.setdefault(name, entry)
    return found


def references_in(resource: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every literal reference below a resource with its place, contained ones' too; `#…` are left out."""
    yield from _walk(resource, "")


def _walk(node: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for rank, one in enumerate(node):
            yield from _walk(one, f"{place}[{rank}]")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "reference" and isinstance(value, str):
                if not value.startswith("#"):
                    yield place, value
            else:
                yield from _walk(value, f"{place}.{key}" if place else key)


def rewritten(node: Any, target: Callable[[str], str]) -> Any:
    """The same with each literal reference and attachment address replaced by what it leads to here."""
    if isinstance(node, list):
        return [rewritten(one, target) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: rewritten(value, target) for key, value in node.items()}
    for key in ("reference", "url"):
        value = made.get(key)
        # `url` is an attachment's only: an extension's is the name of a definition.
        if isinstance(value, str) and (key == "reference" or "contentType" in made):
            made[key] = target(value)
    return made


def local_reference(reference: str, base: str) -> tuple[str, str] | None:
    """`Type/id` of a reference into this record, relative or under its base; None for any other."""
    path = reference.removeprefix(base).lstrip("/") if base and reference.startswith(base) else reference
    parts = path.split("/_history/", maxsplit=1)[0].split("/")
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) and ":" not in path else None
