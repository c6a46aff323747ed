"""The running service over TLS: who is let in, what it measures of its certificates, and files replaced under all its workers."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import HTTPSHandler, build_opener

import pytest

from tests.builders.cda import build_n1
from tests.builders.hl7 import build_mdm
from tests.builders.trust import CLIENT, SERVER, Pair, TrustFiles
from tests.servers.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TLS = """
[doors.{door}.tls]
certificate = "{own[0]}"
key = "{own[1]}"
client_ca = "{authorities}"
revocation_lists = "{lists}"
"""


class Served:
    """`tdu serve` with two workers, made by `tdu init`, its two doors behind TLS."""

    def __init__(self, folder: Path) -> None:
        self.files = TrustFiles(folder / "tls", CLIENT, SERVER)
        self.home = folder / "site"
        self.tdu("init", str(self.home))
        self.config = self.home / "tdu.toml"
        self.mllp_port, self.http_port = free_port(), free_port()
        text = self.config.read_text()
        text = text.replace("port = 2575", f"port = {self.mllp_port}", 1).replace("port = 8080", f"port = {self.http_port}", 1)
        text = re.sub(r"^workers = 0", "workers = 2", text, flags=re.MULTILINE)
        text = re.sub(r'^format = "console"', 'format = "json"', text, flags=re.MULTILINE)
        values = {"own": self.files.own, "authorities": self.files.authorities, "lists": self.files.lists}
        self.config.write_text(text + "".join(TLS.format(door=door, **values) for door in ("mllp", "http")))
        self.log = folder / "serve.log"
        with self.log.open("wb") as output:
            command = [sys.executable, "-m", "adapter", "serve", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        wait_until(lambda: self.log.read_bytes().count(b"worker.ready") >= 2)

    def tdu(self, *words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "adapter", *words], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0

    def send(self, pair: Pair | None, message: bytes) -> bytes:
        """The answer; empty when the door would not have us."""
        context = ssl.create_default_context(cafile=str(self.files.pki.authority))
        if pair is not None:
            context.load_cert_chain(*map(str, pair))
        try:
            raw = socket.create_connection(("127.0.0.1", self.mllp_port), timeout=20)
            with context.wrap_socket(raw, server_hostname="localhost") as line:
                line.sendall(b"\x0b" + message + b"\x1c\r")
                received = b""
                while b"\x1c\r" not in received and (more := line.recv(65_536)):
                    received += more
                return received
        except OSError:
            return b""

    def metrics(self) -> str:
        context = ssl.create_default_context(cafile=str(self.files.pki.authority))
        context.load_cert_chain(*map(str, self.files.good))
        url = f"https://localhost:{self.http_port}/metrics"
        try:
            with build_opener(HTTPSHandler(context=context)).open(url, timeout=10) as found:
                return str(found.read().decode())
        except (URLError, OSError):
            return ""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "tls").mkdir()
    running = Served(tmp_path)
    yield running
    running.stop()


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.1)


def message(number: int) -> bytes:
    return build_mdm(build_n1(), control_id=f"TLS{number}")


@pytest.mark.timeout(240)
def test_doors_measure_and_follow_their_files_in_every_worker(served: Served) -> None:
    files = served.files
    assert b"MSA|" in served.send(files.good, message(1))
    for bad in (files.revoked, files.expired, files.rogue, None):
        assert served.send(bad, message(2)) == b""
    wait_until(lambda: 'tdu_trust_days_left{kind="revocation-list",place="doors.mllp.tls"}' in served.metrics())
    found = re.search(r'tdu_trust_days_left\{kind="certificate",place="doors.http.tls"\} (\S+)', served.metrics())
    assert found is not None
    assert 29 < float(found[1]) < 30

    files.revoke(files.revoked, files.good)
    for number in range(8):  # whichever worker takes the connection
        assert served.send(files.good, message(10 + number)) == b""
    files.trust(files.pki, files.stranger)
    files.revoke(files.revoked, by=[files.stranger])
    wait_until(lambda: b"MSA|" in served.send(files.rogue, message(20)))
    assert all(b"MSA|" in served.send(pair, message(30 + n)) for n, pair in enumerate((files.good, files.rogue) * 4))

    shutil.copy(files.good[1], files.own[1])  # not the certificate's key
    assert all(b"MSA|" in served.send(files.good, message(40 + n)) for n in range(8))
    assert b"trust.key-mismatch" in served.log.read_bytes()

    listed = served.tdu("check", "--config", str(served.config))
    assert "trust.key-mismatch" in listed
    again = served.tdu("serve", "--config", str(served.config))
    assert "doors.mllp.tls" in again, "a start with these files says which door cannot open"
    assert "trust.key-mismatch" in again
