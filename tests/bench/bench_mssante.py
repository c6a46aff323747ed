"""Speed of the secure mail library: writing and reading whole mails, beside the plain floor of the same work, in one run.

    python tests/bench/bench_mssante.py [FILE.xml …]     default: CDAs of 450 KB (an N1 with a PDF) and 12 KB, made here

The floor does no more than one must: zip, SHA-1, MIME by the standard library; and back: MIME, unzip, SHA-1, an XML tree. Ours
also writes METADATA.XML, checks everything, and reads back every attribute. Both parse the CDA. Processor time of the best pass.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import io
import json
import random
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from lxml import etree

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mssante.archive import read_archive  # noqa: E402 - run as a file, the project is not on the path yet
from mssante.incoming import read_mail  # noqa: E402
from mssante.message import Attachment, DocumentMail, Mailbox, write_message  # noqa: E402
from mssante.xdm import build_archive  # noqa: E402
from tests.builders.xdm import ENTRY, SET  # noqa: E402

SECONDS = 2.0


def made_here() -> list[bytes]:
    """CDAs of two sizes, incompressible as Base64 of a PDF is."""
    noise = random.Random(7)
    opening, closing = b'<ClinicalDocument xmlns="urn:hl7-org:v3"><text>', b"</text></ClinicalDocument>"
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return [opening + bytes(noise.choices(letters, k=size)) + closing for size in (12_000, 450_000)]


def floor_write(cda: bytes) -> bytes:
    """A zip and a MIME message, nothing more."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr("IHE_XDM/SUBSET01/DOC00001.XML", cda)
        archive.writestr("IHE_XDM/SUBSET01/METADATA.XML", f"<a>{hashlib.sha1(cda, usedforsecurity=False).hexdigest()}</a>")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@test.mssante.fr", "b@test.mssante.fr", "XDM/1.0/DDM+CR"
    message.set_content("Document")
    message.add_attachment(buffer.getvalue(), maintype="application", subtype="zip", filename="IHE_XDM.zip")
    return message.as_bytes(policy=email.policy.SMTP)


def floor_read(raw: bytes) -> object:
    """MIME by the standard library, the zip, the hash, the tree."""
    message = email.message_from_bytes(raw, policy=email.policy.SMTP)
    for attachment in message.iter_attachments():
        with zipfile.ZipFile(io.BytesIO(attachment.get_content())) as archive:
            content = archive.read("IHE_XDM/SUBSET01/DOC00001.XML")
            hashlib.sha1(content, usedforsecurity=False).hexdigest()
            return _tree(content)
    return None


def ours_write(cda: bytes) -> bytes:
    """The whole conforming mail."""
    archive = build_archive(SET, [(ENTRY, cda)])
    mail = DocumentMail(
        sender=Mailbox("a@test.mssante.fr", "Laboratoire d'essai"),
        recipient=Mailbox("b@test.mssante.fr"),
        subject="XDM/1.0/DDM+CR d'examens biologiques EXEMPLE CAMILLE 18/09/1974",
        sent_at=datetime(2026, 11, 20, tzinfo=UTC),
        message_id="<1@test.mssante.fr>",
        text="Document",
        attachments=(Attachment("IHE_XDM.zip", "application/zip", archive),),
        product_reference="NIL-1",
        document_codes=("11502-2",),
    )
    return write_message(mail)


def ours_read(raw: bytes) -> object:
    """Every attribute of METADATA.XML, every header, hash and size compared, and the tree."""
    mail = read_mail(raw)
    (document,) = read_archive(mail.archives[0].content).documents
    assert document.entry is not None and document.content is not None and not document.findings
    return _tree(document.content)


def _tree(content: bytes) -> object:
    return etree.fromstring(content, etree.XMLParser(huge_tree=True, resolve_entities=False))


def rate(run: Callable[[bytes], object], inputs: Sequence[bytes]) -> float:
    """Inputs a second of processor time, best pass."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        started = time.process_time()
        for one in inputs:
            run(one)
        best = min(best, time.process_time() - started)
    return round(len(inputs) / best, 1)


def measure(documents: Sequence[bytes]) -> dict[str, Any]:
    """All four, on the same documents."""
    sent, plain = [ours_write(one) for one in documents], [floor_write(one) for one in documents]
    figures = {
        "documents": len(documents),
        "mean_kB": round(sum(map(len, documents)) / len(documents) / 1e3, 1),
        "floor writes/s": rate(floor_write, documents),
        "ours writes/s": rate(ours_write, documents),
        "floor reads/s": rate(floor_read, plain),
        "ours reads/s": rate(ours_read, sent),
    }
    figures["writes: ours over floor"] = round(figures["ours writes/s"] / figures["floor writes/s"], 2)
    figures["reads: ours over floor"] = round(figures["ours reads/s"] / figures["floor reads/s"], 2)
    return figures


def test_mails_are_written_and_read_at_no_less_than_half_the_floors_rate() -> None:
    for document in made_here():
        figures = measure([document])
        print(json.dumps(figures))
        # A small document is mostly METADATA.XML, which the floor does not write or read: only large ones are compared.
        if figures["mean_kB"] > 100:
            assert figures["writes: ours over floor"] >= 0.5
            assert figures["reads: ours over floor"] >= 0.5


if __name__ == "__main__":
    given = [Path(name).read_bytes() for name in sys.argv[1:]]
    for documents in [given] if given else [[one] for one in made_here()]:
        print(json.dumps(measure(documents)))
