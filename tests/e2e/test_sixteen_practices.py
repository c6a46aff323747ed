"""Sixteen practices import, by the API and by folders, while letters are replaced and cancelled: one copy each, none stale."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from adapter.model.folder import FolderFormat
from tests.builders.import_client import ImportApi
from tests.builders.practices import Town

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]
NAMES = tuple(f"cab-{n}" for n in range(1, 17))
LETTERS = 4
ROOT = "1.2.250.1.999.94.60."


class Shelf:
    """What a practice holds: by letter, its version. It never steps back, and a letter is there once."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.faults: list[str] = []

    def put(self, document_id: str) -> None:
        """A version came."""
        letter, version = split(document_id)
        before = max(self.held.get(letter, 0), self.gone.get(letter, 0))
        if version < before:
            self.faults.append(f"version {version} of {letter} after {before}")
        if self.held.get(letter) == version:
            self.faults.append(f"{document_id} twice")
        self.held[letter] = version

    def drop(self, document_id: str) -> None:
        """It was cancelled."""
        letter, version = split(document_id)
        self.gone[letter] = version
        self.held.pop(letter, None)


def split(document_id: str) -> tuple[str, int]:
    """`urn:oid:….7.2` as ("7", 2)."""
    letter, version = document_id.removeprefix("urn:oid:").removeprefix(ROOT).split(".")
    return letter, int(version)


class ByApi:
    """Software that calls the API."""

    def __init__(self, town: Town, name: str, folder: Path) -> None:
        folder.mkdir()
        self._api = ImportApi(town.house, folder, name, practices=(name,))
        self._name = name
        self._link = "DocumentReference/$sync"
        self._seen: dict[str, tuple[str, str]] = {}
        self.shelf = Shelf()

    def pull(self) -> int:
        """What is new; how much it was."""
        found, self._link = self._api.sync(self._link, by=self._name)
        for one in found:
            self._take(one)
        return len(found)

    def _take(self, one: dict[str, Any]) -> None:
        document_id = one["masterIdentifier"]["value"]
        if one["status"] == "entered-in-error":
            self.shelf.drop(document_id)
        elif one["status"] == "current":
            content = self._api.get(one["content"][0]["attachment"]["url"], by=self._name)
            if content.status_code == 410:
                return  # replaced or cancelled in the meantime: that comes next
            assert content.status_code == 200 and split(document_id)[0].encode() in content.content
            if self._seen.get(document_id) != (one["status"], one["meta"]["versionId"]):
                self.shelf.put(document_id)
        self._seen[document_id] = (one["status"], one["meta"]["versionId"])
        assert self._api.acknowledge(one["id"], "integrated", by=self._name).status_code in (200, 404)


class ByFolder:
    """Software that reads a folder, kept by the real lane."""

    def __init__(self, town: Town, name: str) -> None:
        self._town = town
        self._name = name
        self.shelf = Shelf()

    def pull(self) -> int:
        """One round of the lane, then what the program sees, in the order of names."""
        moved = self._town.keeper(self._name).keep()
        folder = self._town.path(self._name)
        for path in sorted(folder.glob("TDU-*.json")):
            bundle = json.loads(path.read_bytes())
            document_id = bundle["identifier"]["value"]
            if bundle["entry"][0]["resource"]["status"] == "entered-in-error":
                self.shelf.drop(document_id)
            else:
                self.shelf.put(document_id)
            path.rename(folder / "done" / path.name)
            moved += 1
        return moved


def hospital(town: Town) -> tuple[dict[str, int], set[str]]:
    """Letters to all, some replaced once or twice, some cancelled in the end; what then stands, and what was cancelled."""
    stands: dict[str, int] = {}
    for number in range(1, LETTERS + 1):
        town.write(1, to=NAMES, number=number)
        stands[str(number)] = 1
    for number in range(1, LETTERS + 1):
        for version in range(2, 2 + number % 3):
            town.write(version, to=NAMES, number=number)
            stands[str(number)] = version
    cancelled = {str(number) for number in range(1, LETTERS + 1) if number % 3 == 0}
    for number in sorted(cancelled):
        town.write(stands[number], to=NAMES, number=int(number), cancels=True)
    return {number: version for number, version in stands.items() if number not in cancelled}, cancelled


def test_sixteen_practices_hold_one_copy_of_each_letter_and_never_a_stale_one(tmp_path: Path) -> None:
    town = Town(tmp_path, NAMES, FolderFormat.FHIR)
    practices: list[ByApi | ByFolder] = [
        ByApi(town, name, tmp_path / f"keys-{name}") if n % 2 else ByFolder(town, name) for n, name in enumerate(NAMES)
    ]
    over = threading.Event()
    broken: list[BaseException] = []

    def live(practice: ByApi | ByFolder) -> None:
        try:
            while not over.is_set():
                practice.pull()
                over.wait(0.5)
            for _ in range(3):
                practice.pull()
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=live, args=(practice,)) for practice in practices]
    for thread in threads:
        thread.start()
    try:
        stands, cancelled = hospital(town)
    finally:
        over.set()
        for thread in threads:
            thread.join(100)
    assert broken == []
    for _ in range(3):
        town.ticks += 10
        for practice in practices:
            practice.pull()
    for name, practice in zip(NAMES, practices, strict=True):
        assert practice.shelf.faults == [], name
        assert practice.shelf.held == stands, name
        assert not set(practice.shelf.held) & cancelled
    assert town.house.conservation().holds
    assert town.house.reasons() == []
