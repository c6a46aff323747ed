"""Speed of HL7 reading and understanding: `python tests/bench/bench_hl7.py` (official samples are used when they are there).

`python tests/bench/bench_hl7.py fhir` tells of each message how fast it reaches FHIR, and no more: with the floor of the same
moment, which is what lxml and Base64 alone take for it, so that two moments can be compared.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lxml import etree

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from adapter.errors import InputError  # noqa: E402
from adapter.formats.hl7v2 import read_message  # noqa: E402
from adapter.formats.hl7v2_ack import write_ack  # noqa: E402
from adapter.formats.mllp_frames import FrameReader, frame_message  # noqa: E402
from adapter.mapping.from_adt import translate_adt, understand_adt  # noqa: E402
from adapter.mapping.from_cda import translate_cda  # noqa: E402
from adapter.mapping.from_hl7v2 import envelope_hl7v2, inspect_hl7v2, understand_hl7v2  # noqa: E402
from adapter.memory import settle_memory  # noqa: E402
from adapter.model.receipt import Arrival, Principal  # noqa: E402
from tests.builders.adt import DOCTOR, build_adt, consent, guardian  # noqa: E402
from tests.builders.cda import V3, build_ldl_ses, build_n1, tiny_pdf  # noqa: E402
from tests.builders.hl7 import build_mdm  # noqa: E402

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SHARED = Path(os.environ.get("TDU_SHARED", ROOT.parent / "shared")) / "samples" / "hl7v2"
ORU = "cda-hl7v2-2.1-segur__ORU__new-ORU__message-ORU-CR-Bio-INIT-N3-SEGUR.hl7"
BOTH = "cda-hl7v2-2.0__ORU__replace-ORU__message-ORU-CR-Bio-RPLC-N1-Base64-N3-Base64.er7"
SEGUR = "cda-hl7v2-2.1-segur__MDM__new-MDM__message-MDM-CR-Radio-INIT-N1"


ONE_LINE_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n%%EOF\n"


def smallest_n1() -> bytes:
    """What makes an N1 and no more: patient, author and signatory, structure, act, stay, a file of 102 bytes."""
    root = etree.fromstring(build_n1(pdf=ONE_LINE_PDF))
    for name in ("informant", "participant", "addr", "telecom", "performer", "realmCode"):
        for element in list(root.iter(f"{{{V3}}}{name}")):
            above = element.getparent()
            if above is not None and above.tag != f"{{{V3}}}place":  # the place of birth is a trait
                above.remove(element)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def messages() -> dict[str, bytes]:
    """What is measured, by name."""
    found = {
        "own N1, the smallest": build_mdm(smallest_n1()),
        "own N1, small PDF": build_mdm(build_n1(pdf=tiny_pdf())),
        "own discharge letter N3": build_mdm(build_ldl_ses()),
        "own N1, 450 kB message": build_mdm(build_n1(pdf=b"%PDF-1.4\n" + bytes(range(256)) * 940)),
        "own N1, 400 kB PDF": build_mdm(build_n1(pdf=b"%PDF-1.4\n" + bytes(range(256)) * 1600)),
    }
    files = {
        "official 2 kB": f"{SEGUR}.er7",
        "official N1, 330 kB": f"{SEGUR}-Base64.er7",
        "official N3": ORU,
        "official N1 and N3": BOTH,
    }
    for name, file in files.items():
        if (SHARED / file).is_file():
            found[name] = (SHARED / file).read_bytes()
    return found


def per_second(call: Callable[[], object], seconds: float = 0.3) -> float:
    """The best of three runs, by second of processor: neighbours take none of it away."""
    best = 0.0
    for _ in range(3):
        times, start = 0, time.process_time()
        while (elapsed := time.process_time() - start) < seconds:
            call()
            times += 1
        best = max(best, times / elapsed)
    return best


def _arrival(content: bytes) -> Arrival:
    return Arrival(content, "mllp", Principal("bench", "application", "940000001"), NOW)


def _frames(content: bytes) -> object:
    return FrameReader(10_000_000).feed(frame_message(content))


def _touched(content: bytes) -> object:
    return [segment.value(1) for segment in read_message(content).segments()]


def _answer(content: bytes) -> object:
    found = inspect_hl7v2(_arrival(content))
    return write_ack(found.control, found.verdict, found.findings, now=NOW, control_id="A")


def _floor(content: bytes) -> object:
    """What no translation goes without: Base64 out of the message, lxml, Base64 out of the document."""
    document = base64.b64decode(content[content.index(b"^Base64^") + 8 :].partition(b"|")[0].partition(b"\r")[0])
    text = etree.fromstring(document).find(f".//{{{V3}}}nonXMLBody/{{{V3}}}text")
    return base64.b64decode(text.text or "") if text is not None else b""


def _tell_floors() -> None:
    """One line a message: how many a second reach FHIR, before model validation, and what the floor alone does."""
    for name, content in messages().items():
        if not _holds_documents(content):
            continue
        ours = per_second(lambda c=content: understand_hl7v2(_arrival(c), "r"))
        floor = per_second(lambda c=content: _floor(c))
        size = f"{len(content) / 1000:.1f} kB"
        print(f"{name:26}{size:>10}{ours:>8,.0f}/s   floor {floor:>8,.0f}/s   {floor / ours:.1f} times")
    for name, content in adt_messages().items():
        size = f"{len(content) / 1000:.1f} kB"
        print(f"{name:26}{size:>10}{per_second(lambda c=content: translate_adt(_arrival(c))):>8,.0f}/s")


def _holds_documents(content: bytes) -> bool:
    try:
        return bool(understand_hl7v2(_arrival(content), "r"))
    except InputError:  # the official messages without Base64 hold no document
        return False


def adt_messages() -> dict[str, bytes]:
    """Identity and stays, without a document."""
    return {"ADT A31": build_adt("A31"), "ADT A01, full": build_adt("A01", add=(consent(), guardian(), DOCTOR))}


def main(arguments: list[str]) -> None:
    """Print one line a message and a step, in a process that tends its memory as `tdu` does."""
    settle_memory()
    if arguments == ["fhir"]:
        _tell_floors()
        return
    for name, content in messages().items():
        print(f"{name}: {len(content) / 1000:.1f} kB")
        line = f"  cut {per_second(lambda c=content: read_message(c)):,.0f}/s"
        line += f" · frame {per_second(lambda c=content: _frames(c)):,.0f}/s"
        line += f" · one value a segment {per_second(lambda c=content: _touched(c)):,.0f}/s"
        print(line)
        print(f"  inspect and answer {1000 / per_second(lambda c=content: _answer(c)):.2f} ms")
        _tell_fhir(content)
    for name, content in adt_messages().items():
        line = f"{name}: to FHIR {per_second(lambda c=content: translate_adt(_arrival(c))):,.0f}/s"
        print(line + f" · to the index {per_second(lambda c=content: understand_adt(_arrival(c), 'r')):,.0f}/s")


def _tell_fhir(content: bytes) -> None:
    """From the bytes to FHIR, and the share of the documents."""
    if not _holds_documents(content):
        return
    documents = [made.source_document for made in understand_hl7v2(_arrival(content), "r")]
    if inspect_hl7v2(_arrival(content)).verdict.value == "accepted":
        print(f"  envelope {1000 / per_second(lambda: envelope_hl7v2(_arrival(content), 'r')):.2f} ms")
    whole = per_second(lambda: understand_hl7v2(_arrival(content), "r"))
    inside = per_second(lambda: [translate_cda(document, "Europe/Paris") for document in documents])
    print(f"  to FHIR {whole:,.0f}/s before model validation ({1000 / whole:.2f} ms, of which documents {1000 / inside:.2f} ms)")


if __name__ == "__main__":
    main(sys.argv[1:])
