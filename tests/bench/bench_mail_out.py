"""Mails a second and memory on the way out, beside the floor: the same mail built and sent by the standard library alone.

    python tests/bench/bench_mail_out.py [COUNT]     default 1000 mails of each size

Ours is what `dispatch` does between two words with the ledger: CDA, readable PDF, IHE_XDM.zip with its METADATA.XML, MIME, one
connection a mail with STARTTLS and our certificate. The floor makes the same files into the same zip and the same MIME and sends
them over the same kind of connection, but it is given METADATA.XML and PDF ready made. Each side runs in a process of its own
(the floor's loads nothing of ours), the operator in a third; processor time is the sender's. `kept` is the floor with one
connection for all, in clear.
"""

from __future__ import annotations

import base64
import email.policy
import hashlib
import io
import json
import logging
import multiprocessing
import random
import resource
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from adapter.packaging.parcel import Parcel
    from mssante.testing import TestPki

COUNT = 1_000
# An N1 of 255 kB is the mean of the official examples; 12 kB is the least.
SIZES = {"255 kB": 185_000, "12 kB": 500}
SERVER_NAME = "operateur.test"
MAILBOX, DOMAIN, READER = "tdu@aphp.formation.mssante.fr", "aphp.formation.mssante.fr", "a@b.formation.mssante.fr"


class _Taken:
    """The operator: takes everything, keeps nothing."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 2.0.0 Ok: queued as 1"


def _operate(pki: TestPki, secure_port: int, plain_port: int) -> None:
    from aiosmtpd.controller import Controller

    from mssante.testing import server_context

    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # it would warn at each connection
    secure = {"tls_context": server_context(pki, True), "require_starttls": True}
    for port, how in ((secure_port, secure), (plain_port, {})):
        Controller(_Taken(), hostname="127.0.0.1", port=port, data_size_limit=64 << 20, **how).start()
    time.sleep(3600)


@contextmanager
def operator(folder: Path) -> Iterator[tuple[int, int]]:
    """The ports of an operator in its own process: with STARTTLS and a certificate, and in clear."""
    from mssante.testing import make_test_pki

    pki = make_test_pki(folder / "pki", server_name=SERVER_NAME)
    ports = (free_port(), free_port())
    process = multiprocessing.get_context("spawn").Process(target=_operate, args=(pki, *ports), daemon=True)
    process.start()
    try:
        for port in ports:
            _wait_for(port)
        yield ports
    finally:
        process.terminate()
        process.join()


# ── ours ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def our_side(folder: Path, size: int, port: int) -> tuple[Callable[[int], Parcel], Callable[[Parcel], None]]:
    """How we build the n-th mail, and how we send it."""
    from adapter.channels.mssante import SecureMailChannel, SecureMailSettings
    from adapter.model.delivery import OutcomeKind
    from adapter.model.plan import ChannelName
    from adapter.packaging.build import Document, build_parcel
    from adapter.secure_line import SecureLine
    from mssante.autoconfig import Endpoint
    from mssante.tls import TlsSettings
    from tests.builders.cda import build_n1, tiny_pdf
    from tests.builders.hl7 import DOCTOR, build_mdm
    from tests.builders.instance import NOON, SENDER, Instance

    noise = base64.b64encode(random.Random(7).randbytes(size * 3 // 4))
    page = tiny_pdf("Lettre").replace(b"stream\nBT", b"stream\n%" + noise + b"\nBT")
    page = page.replace(b"/Length ", b"/Length %d" % (len(noise) + 2), 1)
    house = Instance(folder)
    house.letter(build_mdm(build_n1(pdf=page), recipients=(DOCTOR,)))
    [claim] = house.ledger.claim_deliveries("bench", ChannelName.SECURE_MAIL, 1, timedelta(minutes=5))
    document = Document(claim.submission, claim.bundle, claim.source_document, claim.source_media_type)
    [recipient] = [one for one in claim.plan.recipients if one.role_id == claim.delivery.role_id]
    server = Endpoint("127.0.0.1", port)
    pki = folder.parent / "pki"
    line = SecureLine("bench", TlsSettings(pki / "ca.pem", pki / "client.pem", pki / "client.key", SERVER_NAME))
    channel = SecureMailChannel(SecureMailSettings(servers=lambda _: (server,), tls=line))

    def build(number: int) -> Parcel:
        row_id = str(uuid.UUID(int=number))
        delivery = replace(claim.delivery, id=row_id, reference=f"<{row_id}@{DOMAIN}>")
        return build_parcel(delivery, document, recipient, SENDER, NOON)

    def send(parcel: Parcel) -> None:
        assert channel.send(parcel).kind is OutcomeKind.ACCEPTED

    return build, send


# ── the floor ─────────────────────────────────────────────────────────────────────────────────────────────────────


def floor_side(example: bytes, folder: Path, ports: tuple[int, int]) -> tuple[Callable[[int], bytes], Callable[[bytes], None]]:
    """The same mail, taken apart once and put together again each time by the standard library alone."""
    mail = message_from_bytes(example, policy=email.policy.SMTP)
    assert isinstance(mail, EmailMessage)
    skipped = {"mime-version", "content-type", "message-id", "content-transfer-encoding"}
    headers = [(name, value) for name, value in mail.items() if name.lower() not in skipped]
    body = mail.get_body()
    assert body is not None
    text = body.get_content()
    archive, pdf = list(mail.iter_attachments())
    pdf_bytes, pdf_name = pdf.get_payload(decode=True), pdf.get_filename()
    with zipfile.ZipFile(io.BytesIO(archive.get_payload(decode=True))) as opened:  # type: ignore[arg-type]
        members = [(info.filename, opened.read(info)) for info in opened.infolist()]
    context = ssl.create_default_context(cafile=str(folder.parent / "pki/ca.pem"))
    context.load_cert_chain(str(folder.parent / "pki/client.pem"), str(folder.parent / "pki/client.key"))
    context.check_hostname = False

    def build(number: int) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as written:
            for name, content in members:
                hashlib.sha1(content, usedforsecurity=False).hexdigest()
                written.writestr(name, content)
        message = EmailMessage(policy=email.policy.SMTP)
        for name, value in headers:
            message[name] = value
        message["Message-ID"] = f"<{number:036d}@{DOMAIN}>"
        message.set_content(text)
        message.add_attachment(buffer.getvalue(), maintype="application", subtype="zip", filename="IHE_XDM.zip")
        message.add_attachment(pdf_bytes, maintype="application", subtype="pdf", filename=pdf_name)
        return message.as_bytes()

    def send(content: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", ports[0], local_hostname=DOMAIN) as line:
            line.starttls(context=context)
            line.sendmail(MAILBOX, [READER], content)

    return build, send


# ── one side, one process ─────────────────────────────────────────────────────────────────────────────────────────


def run_side(side: str, folder: Path, size: int, count: int, ports: tuple[int, int]) -> dict[str, float]:
    """Build and send; the first mails are not counted."""
    own = folder / f"{side}-{size}"
    own.mkdir()
    example = folder / f"example-{size}.eml"
    if side == "ours":
        build, send = our_side(own, size, ports[0])
        example.write_bytes(build(0).content.message)  # type: ignore[union-attr]
    else:
        build, send = floor_side(example.read_bytes(), own, ports)  # type: ignore[assignment]
        assert abs(len(build(0)) - example.stat().st_size) < example.stat().st_size / 50  # type: ignore[arg-type]
    if side == "kept":
        send = kept_line(ports[1])  # type: ignore[assignment]
    for number in range(5):
        send(build(number))
    resting = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu, building = time.perf_counter(), time.process_time(), 0.0
    for number in range(count):
        before = time.process_time()
        content = build(number)
        building += time.process_time() - before
        send(content)
    spent, elapsed = time.process_time() - cpu, time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "mail kB": round(example.stat().st_size / 1e3, 1),
        "mails/s of a core": round(count / spent, 1),
        "built/s": round(count / building, 1),
        "sent/s": round(count / (spent - building), 1),
        "mails/s by the clock": round(count / elapsed, 1),
        "peak MB": round(peak / 1e3, 1),
        "grown MB": round((peak - resting) / 1e3, 1),
    }


def kept_line(port: int) -> Callable[[bytes], object]:
    """One connection for all, in clear."""
    line = smtplib.SMTP("127.0.0.1", port, local_hostname=DOMAIN)
    return lambda content: line.sendmail(MAILBOX, [READER], content)


def measure(count: int, size: int) -> dict[str, dict[str, float]]:
    """Every side with mails of one size, each in a fresh process, one after the other against one operator."""
    with tempfile.TemporaryDirectory(prefix="tdu-bench-") as name, operator(Path(name)) as ports:
        found = {}
        for side in ("ours", "floor", "kept"):
            given = [side, name, str(size), str(count), *map(str, ports)]
            done = subprocess.run([sys.executable, __file__, "--side", *given], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            found[side] = json.loads(done.stdout.splitlines()[-1])
        return found


def test_mails_leave_at_no_less_than_half_the_floors_rate() -> None:
    figures = measure(COUNT, SIZES["255 kB"])
    print(json.dumps(figures))
    assert figures["ours"]["mails/s of a core"] >= figures["floor"]["mails/s of a core"] / 2
    assert figures["ours"]["grown MB"] < 20


def _wait_for(port: int, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def main() -> None:
    """One side when told so, else all sides and sizes."""
    if sys.argv[1:2] == ["--side"]:
        side, folder, size, count, secure, plain = sys.argv[2:]
        print(json.dumps(run_side(side, Path(folder), int(size), int(count), (int(secure), int(plain)))))
        return
    count = int(sys.argv[1]) if sys.argv[1:] else COUNT
    for label, size in SIZES.items():
        print(label, json.dumps(measure(count, size), indent=2))


if __name__ == "__main__":
    main()
