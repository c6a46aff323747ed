"""On a real HylaFAX: a machine that takes no fine pages never gets ours drawn anew, but our own standard ones.

HylaFAX's notes on a machine (`info/`), locked, stand for a receiver at standard resolution only.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageSequence

from adapter.channels.fnp import FaxServer
from adapter.channels.hylafax import HylaFaxChannel, HylaFaxSettings
from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey
from adapter.formats.fax_annex import gather, inflate, put_together, read_code
from adapter.formats.fax_codes import locate_codes
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from adapter.packaging.fax_annex import annex_of
from adapter.packaging.fax_page import HEIGHT, FaxCover, RowsPerDot, build_fax
from adapter.packaging.parcel import FaxContent, Parcel
from adapter.packaging.pdf import render_pdf
from tests.builders.directory import submission
from tests.loudly import skip_loudly
from tests.servers.hylafax import HylaFax, start_hylafax, why_not

pytestmark = [pytest.mark.contract, pytest.mark.fax, pytest.mark.timeout(600)]

CASE = Path(__file__).resolve().parents[2] / "fixtures" / "cases" / "fhir-discharge-letter" / "fhir.json"
HOOK = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "hylafax-FaxModify.sh"
NUMBER = "+33199000001"
PATIENCE_SECONDS = 240


@pytest.fixture
def hylafax() -> Iterator[HylaFax]:
    reason = why_not()
    if reason:
        skip_loudly(reason)
    server = start_hylafax()
    yield server
    server.stop()


def _fax(rows: RowsPerDot) -> FaxContent:
    bundle = json.loads(CASE.read_bytes())
    codes = annex_of(submission(), bundle, SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))).codes
    cover = FaxCover("Hôpital fictif", "Dr Modèle", NUMBER, "+33199000000")
    return build_fax(render_pdf(bundle, stamp="", urgency=""), cover, codes=codes, rows=rows)


def _parcel(reference: str, content: FaxContent) -> Parcel:
    return Parcel(f"delivery-{reference}", reference, NUMBER, urgent=False, content=content)


def _channel(hylafax: HylaFax) -> HylaFaxChannel:
    return HylaFaxChannel(HylaFaxSettings("127.0.0.1", port=hylafax.port, max_dials=4, max_tries=4))


def _takes_standard_only(hylafax: HylaFax) -> None:
    note = hylafax.spool / "info" / NUMBER.strip("+")
    note.write_text("&supportsVRes:0\n")
    shutil.chown(note, "uucp", "uucp")


def _told(channel: HylaFaxChannel, reference: str, cursor: str = "") -> tuple[Evidence, str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        evidence, cursor = channel.collect(cursor)
        for one in evidence:
            if one.reference == reference:
                return one, cursor
        time.sleep(0.3)
    raise AssertionError(f"nothing was said of {reference}")


def _arrives_whole_at_standard_resolution(hylafax: HylaFax, channel: HylaFaxChannel, reference: str, cursor: str) -> None:
    content = _fax(RowsPerDot.STANDARD)
    for _ in range(3):  # a busy machine's soft line may break
        channel.send(_parcel(reference, content))
        evidence, cursor = _told(channel, reference, cursor)
        if evidence.proves is DeliveryState.DELIVERED:
            break
    assert evidence.proves is DeliveryState.DELIVERED
    time.sleep(1)
    files = sorted(hylafax.received.glob("fax*.tif"))
    pages = [page.convert("1") for path in files for page in ImageSequence.Iterator(Image.open(io.BytesIO(path.read_bytes())))]
    assert {page.height for page in pages} == {HEIGHT // 2}
    found = {code for page in pages for code in locate_codes(page.resize((page.width, page.height * 2)))}
    ((document_id, gathered),) = gather(code for code in map(read_code, found) if code is not None).items()
    whole = put_together(document_id, gathered)
    assert whole is not None and inflate(whole.deflated) == canonical_json(json.loads(CASE.read_bytes()))


def test_a_call_that_finds_no_fine_pages_taken_ends_the_job_before_it_is_drawn_anew(hylafax: HylaFax) -> None:
    channel = _channel(hylafax)
    hylafax.fault(busy=True)  # the job is prepared, at fine resolution, and dialled in vain
    channel.send(_parcel("fine", _fax(RowsPerDot.FINE)))
    _until_dialled(hylafax)
    _takes_standard_only(hylafax)
    hylafax.fault()
    evidence, cursor = _told(channel, "fine")
    assert (evidence.proves, evidence.cause) == (DeliveryState.REFUSED, "fine-not-taken")
    assert not list(hylafax.received.glob("fax*.tif"))
    _arrives_whole_at_standard_resolution(hylafax, channel, "fine", cursor)


def test_a_server_that_knows_the_machine_refuses_to_draw_our_pages_anew(hylafax: HylaFax) -> None:
    shutil.copy(HOOK, hylafax.spool / "etc" / "FaxModify")
    _takes_standard_only(hylafax)
    channel = _channel(hylafax)
    channel.send(_parcel("known", _fax(RowsPerDot.FINE)))
    evidence, cursor = _told(channel, "known")
    assert (evidence.proves, evidence.cause) == (DeliveryState.REFUSED, "fine-not-taken")
    _arrives_whole_at_standard_resolution(hylafax, channel, "known", cursor)


def _until_dialled(hylafax: HylaFax) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with FaxServer("127.0.0.1", hylafax.port, "tdu") as server:
        while time.monotonic() < deadline:
            if any(job.dials for job in server.jobs() if job.reference == "fine"):
                return
            time.sleep(0.3)
    raise AssertionError("never dialled")
