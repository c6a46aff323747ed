"""Documents in bulk, disturbed: import and export killed again and again, practices reading meanwhile.

    python -m tests.soak.bulk FOLDER

    --letters 100000   how many documents the archive holds
    --kills 20         SIGKILL of the whole process group, of the import and of the export each
    --addressed 2000   letters for 16 practices, imported, prepared, published and read while the export runs
    --url URL          a PostgreSQL ledger instead of SQLite
    --workers 2

What is judged is judged from outside: rows of the ledger, files on disk, what practices received. Prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapter.config import load_config
from adapter.ledger.ledger import Ledger
from adapter.ledger.vault import create_key_file
from adapter.model.publication import Readers
from adapter.opening import open_ledger
from tests.builders.many_letters import write_letters
from tests.builders.practices import rpps_of

ENTITY = "750712184"
PRACTICES = 16
TDU = (sys.executable, "-W", "ignore", "-m", "adapter")

_CONFIG = """
[instance]
mode = "production"
name = "bulk"
workers = {workers}

[[legal_entities]]
finess_ej = "{entity}"
name = "Hôpital d'essai"
source_oid = "1.2.250.1.999.94.1"

[ledger]
url = "{url}"
key_file = "payload.key"

[directory]
files = ["partners.toml"]

[channels.inbox]
"""
_PRACTICE = """
[[channels.inbox.practices]]
name = "cabinet-{number}"
"""
_PARTNERS = """
[[legal_entity]]
key = "hopital"
name = "Hôpital d'essai"
finess = "750712184"

[[legal_entity]]
key = "cabinets"
name = "Cabinets d'essai"
finess = "949990402"

[[organisation]]
key = "bct"
name = "Hôpital Bicêtre"
legal_entity = "hopital"
finess = "949990121"
kind = "hospital-site"
"""
_CABINET = """
[[organisation]]
key = "cabinet-{number}"
name = "Cabinet {number}"
legal_entity = "cabinets"
finess = "{finess}"
kind = "health-centre"

[[practitioner]]
rpps = "{rpps}"
family = "GENERALISTE"
[[practitioner.role]]
key = "generaliste-{number}"
organisation = "cabinet-{number}"
channels = [{{ channel = "inbox", address = "cabinet-{number}" }}]
"""


class House:
    """An instance in a folder: a production one, so that what is addressed goes to its practice; it dials nobody."""

    def __init__(self, folder: Path, url: str = "", workers: int = 2) -> None:
        self.folder = folder
        self.config = folder / "tdu.toml"
        folder.mkdir(parents=True)
        create_key_file(folder / "payload.key")
        practices = "".join(_PRACTICE.format(number=number) for number in range(PRACTICES))
        self.config.write_text(_CONFIG.format(workers=workers, entity=ENTITY, url=url) + practices)
        cabinets = (_CABINET.format(number=n, rpps=rpps_of(n + 1), finess=_finess(n)) for n in range(PRACTICES))
        (folder / "partners.toml").write_text(_PARTNERS + "".join(cabinets))

    def ledger(self) -> Ledger:
        """Its ledger, for questions."""
        return open_ledger(load_config(self.config, os.environ))

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """`tdu …` here, in a process group of its own."""
        command = [*TDU, *(str(word) for word in words), "--config", str(self.config)]
        with (self.folder / "said.txt").open("ab") as said:
            return subprocess.Popen(command, cwd=self.folder, stdout=said, stderr=said, start_new_session=True)

    def run(self, *words: str | Path) -> int:
        """To its end; the exit code."""
        return self.start(*words).wait()

    def disturb(self, kills: int, moments: random.Random, longest: float, *words: str | Path) -> int:
        """Killed `kills` times at random moments, each time begun again, then left alone. Returns how often the axe fell."""
        fell = 0
        while fell < kills:
            process = self.start(*words)
            try:
                process.wait(moments.uniform(0.5, longest))
                break  # it came to its end first
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                fell += 1
        code = self.run(*words)
        if code != 0:
            raise RuntimeError(f"tdu {words[0]} ended with {code}: see {self.folder / 'said.txt'}")
        return fell


def _finess(number: int) -> str:
    digits = f"9498{number:04d}"
    doubled = (int(digit) * (2 if n % 2 == 0 else 1) for n, digit in enumerate(reversed(digits)))
    return f"{digits}{-sum(d // 10 + d % 10 for d in doubled) % 10}"


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────


class Memory(threading.Thread):
    """The most that a process and all below it held at one time, in MB: shared pages counted once (PSS)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.peak = 0.0

    def run(self) -> None:
        """Until told."""
        while not self._over.wait(0.25):
            self.peak = max(self.peak, sum(map(_pss, family_of(self._pid))))

    def stop(self) -> float:
        """The peak."""
        self._over.set()
        self.join()
        return round(self.peak, 1)


def family_of(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for child in found:
        try:
            for task in Path(f"/proc/{child}/task").iterdir():
                found += [int(one) for one in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _pss(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        return 0.0
    return 0.0


def timed(house: House, *words: str | Path) -> dict[str, float]:
    """One undisturbed run: seconds and peak memory."""
    began = time.perf_counter()
    process = house.start(*words)
    memory = Memory(process.pid)
    memory.start()
    code = process.wait()
    if code != 0:
        raise RuntimeError(f"tdu {words[0]} ended with {code}: see {house.folder / 'said.txt'}")
    return {"seconds": round(time.perf_counter() - began, 1), "peak MB": memory.stop()}


# ── practices ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Practice:
    """A practice that reads its feed, over and over, and keeps count of what it was given."""

    name: str
    ledger: Ledger
    seen: Counter[str] = field(default_factory=Counter)
    size: int = 0
    position: int = 0

    def read(self) -> int:
        """What is new since the last time: each document taken, its reception told."""
        readers = Readers(ENTITY, (self.name,))
        page = self.ledger.feed(readers, self.name, self.position, 50)
        for one in page:
            self.seen[one.document_id] += 1
            self.size += len(self.ledger.published_content(one, "fhir"))
            self.position = one.position
        self.ledger.mark_fetched([one.id for one in page], f"client:{self.name}", legal_entity=ENTITY)
        return len(page)

    def keep_reading(self, over: threading.Event) -> None:
        """Until told, and until nothing is new."""
        while self.read() or not over.wait(0.2):
            pass


class Town:
    """The 16 practices, each in a thread of its own."""

    def __init__(self, house: House) -> None:
        ledger = house.ledger()
        self.practices = [Practice(f"cabinet-{number}", ledger) for number in range(PRACTICES)]
        self._over = threading.Event()
        self._threads = [threading.Thread(target=one.keep_reading, args=(self._over,)) for one in self.practices]

    def open(self) -> None:
        """They begin to read."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """They read what is left, and end."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.practices[0].ledger.close()

    @property
    def received(self) -> int:
        """Documents, each once a practice."""
        return sum(len(one.seen) for one in self.practices)

    @property
    def doubled(self) -> int:
        """What came twice to a practice, or to two of them."""
        everywhere: Counter[str] = Counter()
        for one in self.practices:
            everywhere.update(one.seen)
        return sum(count - 1 for count in everywhere.values())


# ── the campaign ──────────────────────────────────────────────────────────────────────────────────────────────


def wait_for(what: Callable[[], bool], patience_seconds: float, every_seconds: float = 0.5) -> bool:
    """True when it came."""
    until = time.monotonic() + patience_seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(every_seconds)
    return False


def receipts_of(house: House) -> int:
    """How many were accepted, each once."""
    ledger = house.ledger()
    try:
        return ledger.conservation(legal_entity=ENTITY).received
    finally:
        ledger.close()


def prepared_all(house: House) -> bool:
    """Nothing waits to be prepared nor to leave."""
    ledger = house.ledger()
    try:
        found = ledger.conservation(legal_entity=ENTITY)
        return found.open == 0 and found.holds
    finally:
        ledger.close()


def check_files(folder: Path) -> int:
    """Documents of an export, each file held against its manifest."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    count = 0
    for one in manifest["output"]:
        content = (folder / one["url"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != one["extension"]["sha256"] or content.count(b"\n") != one["count"]:
            raise RuntimeError(f"{one['url']} is not what the manifest says")
        count += one["count"]
    return count


def campaign(folder: Path, letters: int, kills: int, addressed: int, url: str = "", workers: int = 2) -> dict[str, Any]:
    """The whole of it; RuntimeError when something is lost, doubled or different."""
    moments, figures = random.Random(20261122), _Figures(folder / "figures.json", letters)
    house = House(folder / "house", url, workers)
    archive, mail, sample = (folder / f"{name}.ndjson" for name in ("archive", "addressed", "sample"))
    write_letters(archive, letters)
    few = max(letters // 20, 100)
    write_letters(sample, few)
    write_letters(mail, addressed, practices=PRACTICES, first=letters)
    count = f"--workers={workers}"

    figures["trial, nothing kept"] = timed(house, "import", count, "--dry-run", sample) | {"lines": few}
    began = time.perf_counter()
    longest = max(2.0, letters / 5000)
    fell = house.disturb(kills, moments, longest, "import", count, "--keep-only", archive)
    figures["import, killed"] = {"kills": fell, "seconds": round(time.perf_counter() - began, 1)}
    _claim(receipts_of(house) == letters, "the import lost or doubled lines")
    figures["import again, nothing new"] = timed(house, "import", count, "--keep-only", sample) | {"lines": few}
    _claim(receipts_of(house) == letters, "a second import doubled lines")

    began = time.perf_counter()
    service = house.start("serve")
    memory = Memory(service.pid)
    memory.start()
    _claim(wait_for(lambda: prepared_all(house), 60 + letters, letters / 10_000), "the service did not prepare everything")
    seconds = time.perf_counter() - began
    figures["prepare, by the service"] = {"seconds": round(seconds, 1), "peak MB": memory.stop()}
    until = datetime.now(UTC).isoformat()

    town = Town(house)
    town.open()
    importing = house.start("import", "--workers=1", mail)
    began = time.perf_counter()
    killed = folder / "killed"
    longest = max(2.0, letters / 20_000)
    asked = ("--until", until, "--documents", _part(letters))
    fell = house.disturb(kills, moments, longest, "export", count, "--out", killed, *asked)
    figures["export, killed, practices importing"] = {"kills": fell, "seconds": round(time.perf_counter() - began, 1)}
    _claim(importing.wait() == 0, "the addressed letters were refused")
    _claim(wait_for(lambda: town.received == addressed, 60 + addressed), f"practices received {town.received} of {addressed}")
    _claim(wait_for(lambda: prepared_all(house), 60), "something addressed is lost")
    service.send_signal(signal.SIGTERM)
    service.wait()
    town.close()
    figures["16 practices"] = {"received": town.received, "twice": town.doubled}
    _claim(town.doubled == 0, "a practice was given a document twice")

    clean = folder / "clean"
    figures["export"] = timed(house, "export", "--workers=1", "--out", clean, *asked)
    figures["export, workers"] = timed(house, "export", count, "--out", folder / "both", *asked)
    manifests = {(place / "manifest.json").read_bytes() for place in (killed, clean, folder / "both")}
    _claim(len(manifests) == 1, "the manifests differ")
    _claim(check_files(killed) == check_files(clean) == letters, "the export lost or doubled documents")
    figures["manifest"] = {"sha256": hashlib.sha256(manifests.pop()).hexdigest(), "documents": letters}
    shutil.rmtree(clean)
    shutil.rmtree(folder / "both")

    other = House(folder / "other", workers=workers)
    parts = sorted(killed.glob("*.ndjson"))[: max(1, letters // int(_part(letters)) // 5)]
    held = {"lines": len(parts) * int(_part(letters))}
    figures["import of a fifth of the export, another house"] = timed(other, "import", count, "--keep-only", *parts) | held
    _claim(receipts_of(other) == held["lines"], "the export did not come in whole")
    return {"letters": letters, "workers": workers, "engine": "postgresql" if url else "sqlite", **figures}


def _part(letters: int) -> str:
    return str(max(10, min(1000, letters // 25)))


class _Figures(dict[str, Any]):
    """What was measured so far, in a file too: hours may pass before the end."""

    def __init__(self, path: Path, letters: int) -> None:
        super().__init__()
        self._path = path
        self._letters = letters

    def __setitem__(self, name: str, one: dict[str, Any]) -> None:
        if "seconds" in one:
            one["a second"] = round(one.get("lines", self._letters) / max(one["seconds"], 0.1), 1)
        super().__setitem__(name, one)
        self._path.write_text(json.dumps(self, indent=1))


def _claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise RuntimeError(otherwise)


def main(words: Sequence[str] | None = None) -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--letters", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--addressed", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--url", default="")
    asked = parser.parse_args(words)
    found = campaign(asked.folder, asked.letters, asked.kills, asked.addressed, asked.url, asked.workers)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
