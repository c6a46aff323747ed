"""A running service with its doors at hand: send to one, read its answer, find what was kept, see what partners received."""

from __future__ import annotations

import email
import email.policy
import io
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from adapter.config import load_config
from adapter.demo.messages import send_mllp
from adapter.demo.stage import CENTRE, HOSPITAL, Stage
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import PayloadKind, Timeline
from adapter.opening import open_ledger
from tests.builders.hl7 import build_mdm
from tests.builders.private import PATIENT, private_n1

PATIENCE_SECONDS = 20.0
FORM = "/forms/demande-imagerie"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Ack:
    """An acknowledgement, read without the project's own code."""

    content: bytes

    @property
    def code(self) -> str:
        return self._field("MSA", 1)

    @property
    def answers(self) -> str:
        return self._field("MSA", 2)

    @property
    def errors(self) -> list[tuple[str, str, str, str]]:
        """(place, condition, application condition, our code) of every ERR of severity E."""
        rows = [line.split("|") + [""] * 9 for line in self._lines() if line.startswith("ERR|")]
        return [(r[2], r[3].split("^")[0], r[5].split("^")[0], r[7].split(":")[0]) for r in rows if r[4] == "E"]

    @property
    def receipt_prefix(self) -> str:
        """Our MSH-10 is made of the receipt's id."""
        return self._field("MSH", 9)[1:]

    def _lines(self) -> list[str]:
        return self.content.decode("utf-8").split("\r")

    def _field(self, name: str, number: int) -> str:
        line = next(line for line in self._lines() if line.startswith(name))
        return (line.split("|") + [""] * 20)[number]


@dataclass
class House:
    """The service under test. `good` are the ids of good documents sent in between: each must arrive."""

    stage: Stage
    ledger: Ledger
    good: list[str] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # ── doors ─────────────────────────────────────────────────────────────────────────────────────────────────

    def mllp(self, message: bytes) -> Ack:
        answer = send_mllp(self.stage.mllp_port, message)
        self.answers.append(answer)
        return Ack(answer)

    def raw_mllp(self, data: bytes, *, answers: int, half_close: bool = False) -> list[Ack]:
        """Any bytes on one connection; as many frames as are expected back, or what came before the door closed."""
        with socket.create_connection(("127.0.0.1", self.stage.mllp_port), timeout=15) as link:
            with suppress(OSError):
                link.sendall(data)
                if half_close:
                    link.shutdown(socket.SHUT_WR)
            received = b""
            while not half_close and received.count(b"\x1c\r") < answers:
                received += _chunk(link)
            with suppress(ConnectionResetError):  # hung up on, with bytes of ours unread
                while half_close and (more := link.recv(65536)):
                    received += more
        self.answers.append(received)
        return [Ack(part) for part in re.findall(rb"\x0b(.*?)\x1c\r", received, re.DOTALL)]

    def http(self, content: bytes, path: str = FORM, **headers: str) -> requests.Response:
        response = requests.post(self.url(path), data=content, headers={**JSON, **headers}, timeout=30)
        self.answers.append(response.content + repr(dict(response.headers)).encode())
        return response

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.stage.http_port}{path}"

    def drop(self, name: str, content: bytes, side_car: bytes | None = None) -> Path:
        """Lay a file down as people do; its place once settled, in `done` or `error`."""
        folder = self.stage.folder / "drop"
        folder.mkdir(exist_ok=True)
        if side_car is not None:
            (folder / f"{name}.json").write_bytes(side_car)
        (folder / f".{name}").write_bytes(content)
        (folder / f".{name}").rename(folder / name)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for place in (folder / "done" / name, folder / "error" / name):
                if place.exists():
                    return place
            time.sleep(0.05)
        raise AssertionError("the file was left in the folder")

    def reason(self, place: Path) -> dict[str, Any]:
        """The reason that lies beside a refused file."""
        assert place.parent.name == "error", "the file was accepted"
        said = place.with_name(f"{place.name}.reason.json").read_bytes()
        self.answers.append(said + place.with_name(f"{place.name}.reason.txt").read_bytes())
        found: dict[str, Any] = json.loads(said)
        return found

    # ── what was kept, what went on ───────────────────────────────────────────────────────────────────────────

    def kept(self, receipt: str, entity: str = HOSPITAL) -> tuple[str, bytes]:
        """The state of a receipt (its whole id, or its beginning without hyphens) and the original that was kept."""
        timeline = self.timeline(receipt, entity)
        content = self.ledger.read_payload(PayloadKind.CONTENT, timeline.receipt.id, legal_entity=entity)
        return timeline.receipt.state.value, content

    def timeline(self, receipt: str, entity: str = HOSPITAL) -> Timeline:
        whole = receipt if "-" in receipt else self._whole_id(receipt)
        found = self.ledger.timeline(whole, legal_entity=entity)
        assert found is not None, "no such receipt"
        return found

    def _whole_id(self, prefix: str) -> str:
        with self.ledger._database.read() as connection:
            ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM receipt")]
        [found] = [one for one in ids if one.replace("-", "").startswith(prefix)]
        return str(found)

    def goes_on(self) -> None:
        """A good message is taken at once; that it arrived is asked in the end, of all of them."""
        number = next(self.numbers)
        document = f"1.2.250.1.999.94.77.{number}"
        ack = self.mllp(build_mdm(private_n1(document), control_id=f"GOOD{number}", patient=PATIENT))
        assert (ack.code, ack.answers) == ("AA", f"GOOD{number}")
        self.good.append(document)

    def documents_received(self) -> list[str]:
        """The ids of the documents that the mail partner holds."""
        found = []
        for mail in self.stage.operator.received:
            for part in email.message_from_bytes(mail.content, policy=email.policy.default).walk():
                if part.get_content_type() == "application/zip":
                    with zipfile.ZipFile(io.BytesIO(part.get_payload(decode=True))) as archive:  # type: ignore[arg-type]
                        cda = archive.read("IHE_XDM/SUBSET01/DOC00001.XML")
                    match = re.search(rb'<id root="([^"]+)"', cda)
                    assert match is not None
                    found.append(match[1].decode())
        return found

    # ── from outside ──────────────────────────────────────────────────────────────────────────────────────────

    def tdu(self, *arguments: str) -> bytes:
        """What a command prints, on both streams."""
        command = [sys.executable, "-m", "adapter", *arguments, "--config", str(self.stage.config_file)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        return done.stdout + done.stderr

    def processes(self) -> list[int]:
        """The supervisor and its workers."""
        service = self.stage._service
        assert service is not None
        children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
        return [service.pid, *map(int, children)]

    @contextmanager
    def memory(self) -> Iterator[list[int]]:
        """Samples of the resident bytes of the whole service, the first before anything happens in the block."""
        samples = [self._resident()]
        halt = threading.Event()

        def watch() -> None:
            while not halt.wait(0.02):
                samples.append(self._resident())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield samples
        finally:
            halt.set()
            thread.join()

    def _resident(self) -> int:
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.processes()]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def open_house(stage: Stage) -> Iterator[House]:
    """The house on a stage that was entered."""
    ledger = open_ledger(load_config(stage.config_file, {}))
    try:
        yield House(stage, ledger)
    finally:
        ledger.close()


def _chunk(link: socket.socket) -> bytes:
    chunk = link.recv(65536)
    if not chunk:
        raise ConnectionError("the door closed before it answered")
    return chunk


__all__ = ["CENTRE", "HOSPITAL", "Ack", "House", "open_house"]
