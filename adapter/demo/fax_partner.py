"""The other side of the fax spool: takes jobs, keeps what a fax machine would have printed, reports pages or a cause."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image


class FaxSink:
    """A fax engine and the machine at the other end. `causes` gives numbers that fail, with their cause.

    `start`/`stop` run it in a thread; `run_once` does one round. Judged from outside: `received()` are the very bytes.
    """

    def __init__(
        self,
        spool: Path,
        received: Path,
        *,
        causes: dict[str, str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        poll_seconds: float = 0.05,
    ) -> None:
        self._spool = spool
        self._received = received
        self._causes = causes or {}
        self._now = now
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take jobs until stopped."""
        self._spool.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="fax-sink", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the round and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def received(self) -> list[bytes]:
        """The pages of each fax, in order of their reference."""
        return [path.read_bytes() for path in sorted(self._received.glob("*.tiff"))]

    def numbers(self) -> list[str]:
        """The numbers called with success, in order of their reference."""
        return [path.read_text() for path in sorted(self._received.glob("*.number"))]

    def run_once(self) -> int:
        """One round over the waiting jobs; returns how many were handled."""
        if not self._spool.is_dir():
            return 0
        jobs = [path for path in sorted(self._spool.glob("*.json")) if not self._is_report(path) and self._is_waiting(path)]
        for path in jobs:
            self._handle(path)
        return len(jobs)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress(FileNotFoundError):  # put away between our look and our hand
                self.run_once()
            self._stopping.wait(self._poll_seconds)

    def _handle(self, path: Path) -> None:
        job = json.loads(path.read_bytes())
        name = path.stem
        mark = self._spool / f"{name}.taken"
        with suppress(FileExistsError):
            mark.open("x").close()
        if mark.read_bytes():
            return  # taken back by who gave it
        cause = self._causes.get(job["number"], "")
        if cause:
            self._report(f"{name}.failed.json", {"reference": job["reference"], "cause": cause, "at": self._now().isoformat()})
            return
        tiff = (self._spool / job["file"]).read_bytes()
        if hashlib.sha256(tiff).hexdigest() != job["sha256"]:
            raise AssertionError("the spooled pages are not those of the job")
        with Image.open(io.BytesIO(tiff)) as image:
            pages = getattr(image, "n_frames", 1)
        self._received.mkdir(parents=True, exist_ok=True)
        (self._received / f"{name}.tiff").write_bytes(tiff)
        (self._received / f"{name}.number").write_text(job["number"])
        self._report(f"{name}.done.json", {"reference": job["reference"], "pages": pages, "at": self._now().isoformat()})

    def _report(self, name: str, report: dict[str, Any]) -> None:
        part = self._spool / f".{name}.part"
        part.write_text(json.dumps(report))
        part.replace(self._spool / name)

    def _is_waiting(self, path: Path) -> bool:
        return not any((self._spool / f"{path.stem}{end}").exists() for end in (".done.json", ".failed.json"))

    @staticmethod
    def _is_report(path: Path) -> bool:
        return path.name.startswith(".") or path.name.endswith((".done.json", ".failed.json"))
