"""The fax channel on a real HylaFAX with two soft modems: what leaves one end arrives at the other, each fault has its cause."""

from __future__ import annotations

import io
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageSequence

from adapter.channels.fnp import FaxServer
from adapter.channels.hylafax import HylaFaxChannel, HylaFaxSettings
from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey
from adapter.formats.fax_annex import gather, inflate, put_together, read_code
from adapter.formats.fax_codes import locate_codes
from adapter.model.delivery import DeliveryState, OutcomeKind
from adapter.model.evidence import Evidence
from adapter.model.withdrawal import Withdrawn
from adapter.packaging.fax_annex import annex_of
from adapter.packaging.fax_page import HEIGHT, FaxCover, RowsPerDot, build_fax
from adapter.packaging.parcel import FaxContent, Parcel
from adapter.packaging.pdf import render_pdf
from tests.builders.directory import submission
from tests.loudly import skip_loudly
from tests.servers.hylafax import HylaFax, start_hylafax, why_not

pytestmark = [pytest.mark.contract, pytest.mark.fax, pytest.mark.timeout(600)]  # a call on a crowded machine takes its time

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
COVER = FaxCover("Hôpital fictif", "Dr Modèle", "+33199000001", "+33199000000", reference="ab12cd34", date="22/11/2026")
NUMBER = "+33199000001"
PATIENCE_SECONDS = 240


@pytest.fixture(scope="module")
def hylafax() -> Iterator[HylaFax]:
    reason = why_not()
    if reason:
        skip_loudly(reason)
    server = start_hylafax()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _sound_line(hylafax: HylaFax) -> None:
    hylafax.fault()


def _channel(hylafax: HylaFax, **changes: Any) -> HylaFaxChannel:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": hylafax.port, "max_dials": 2, "max_tries": 2} | changes
    return HylaFaxChannel(HylaFaxSettings(**values))


def _letter(case: str = "fhir-discharge-letter", rows: RowsPerDot = RowsPerDot.FINE) -> tuple[FaxContent, dict[str, Any]]:
    bundle = json.loads((CASES / case / "fhir.json").read_bytes())
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    codes = annex_of(submission(), bundle, key).codes
    return build_fax(render_pdf(bundle, stamp="", urgency=""), COVER, codes=codes, rows=rows), bundle


def _parcel(reference: str, content: FaxContent, *, urgent: bool = False) -> Parcel:
    return Parcel(f"delivery-{reference}", reference, NUMBER, urgent=urgent, content=content)


def _told(channel: HylaFaxChannel, reference: str, cursor: str = "") -> tuple[Evidence, str]:
    """What the channel says at last of a reference, and the cursor behind it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        evidence, cursor = channel.collect(cursor)
        found = [one for one in evidence if one.reference == reference]
        if found:
            return found[0], cursor
        time.sleep(0.5)
    raise AssertionError(f"nothing was said of {reference}")


def _delivered(channel: HylaFaxChannel, reference: str, content: FaxContent, cursor: str) -> Evidence:
    """Sent, and sent again as our own retries do: on a busy machine the soft line may break a call."""
    for _ in range(3):
        channel.send(_parcel(reference, content))
        evidence, cursor = _told(channel, reference, cursor)
        if evidence.proves is DeliveryState.DELIVERED:
            break
    return evidence


def _cursor_now(channel: HylaFaxChannel) -> str:
    return channel.collect("")[1]


def _received(hylafax: HylaFax, since: float, wanted: int) -> list[Image.Image]:
    """The pages received since then, once so many are whole: a file is closed a moment after its last page was confirmed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        files = [path for path in sorted(hylafax.received.glob("fax*.tif")) if path.stat().st_mtime >= since - 1]
        pages = [page for path in files for page in _pages(path)]
        # The receiver cuts white ends off; what a broken call left of a page is less than this.
        if sum(page.height > HEIGHT // 3 for page in pages) >= wanted:
            return pages
        time.sleep(0.3)
    raise AssertionError(f"{wanted} pages were not received")


def _pages(file: Path) -> list[Image.Image]:
    try:
        return [page.convert("1") for page in ImageSequence.Iterator(Image.open(io.BytesIO(file.read_bytes())))]
    except OSError:  # it is being written
        return []


def _document(pages: list[Image.Image]) -> bytes:
    """The document that the codes of some pages give back."""
    found = {code for page in pages for code in locate_codes(page)}
    ((document_id, gathered),) = gather(code for code in map(read_code, found) if code is not None).items()
    whole = put_together(document_id, gathered)
    assert whole is not None
    return inflate(whole.deflated)


def test_every_page_arrives_is_confirmed_and_the_annex_gives_the_document_back(hylafax: HylaFax) -> None:
    channel, (content, bundle), since = _channel(hylafax), _letter(), time.time()
    outcome = channel.send(_parcel("whole", content))
    assert (outcome.kind, outcome.proves) == (OutcomeKind.ACCEPTED, DeliveryState.ACCEPTED)
    evidence = _delivered(channel, "whole", content, "")
    assert (evidence.proves, evidence.cause) == (DeliveryState.DELIVERED, "")
    assert evidence.detail.startswith(f"{content.pages}/{content.pages} pages, confirmed ")
    pages = _received(hylafax, since, content.pages)
    assert _document(pages) == canonical_json(bundle)


def test_a_reference_that_the_server_knows_is_not_handed_over_again(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax), _letter()
    first = channel.send(_parcel("twice", content))
    assert channel.send(_parcel("twice", content)).partner_reference == first.partner_reference
    assert _delivered(channel, "twice", content, _cursor_now(channel)).proves is DeliveryState.DELIVERED
    again = channel.send(_parcel("twice", content))
    found = channel.find(_parcel("twice", content))
    assert found is not None and found.proves is DeliveryState.DELIVERED
    assert (again.partner_reference, again.proves) == (found.partner_reference, DeliveryState.DELIVERED)


def test_the_server_has_our_pages_to_the_byte_also_where_they_hold_a_line_end(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax), _letter()
    hylafax.fault(busy=True)
    tricky = replace(content, tiff=content.tiff + b"\r\n\n\r\r\n" * 50)
    job = channel.send(_parcel("bytes", tricky)).partner_reference
    (stored,) = hylafax.spool.glob(f"docq/doc*.tif.{job}")
    assert stored.read_bytes() == tricky.tiff


def test_what_was_told_once_is_not_told_again(hylafax: HylaFax) -> None:
    channel = _channel(hylafax)
    assert channel.collect(_cursor_now(channel))[0] == ()


def test_a_busy_line_is_told_then_the_same_reference_goes_anew_and_the_old_failure_is_not_told_of_it(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax), _letter()
    hylafax.fault(busy=True)
    channel.send(_parcel("busy", content))
    evidence, cursor = _told(channel, "busy", _cursor_now(channel))
    assert (evidence.proves, evidence.cause) == (DeliveryState.REFUSED, "line-busy")
    hylafax.fault()
    evidence = _delivered(channel, "busy", content, cursor)
    assert (evidence.proves, evidence.cause) == (DeliveryState.DELIVERED, "")


def test_nobody_answers(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax, max_dials=1), _letter()
    hylafax.fault(no_answer=True)
    channel.send(_parcel("silent", content))
    evidence, _ = _told(channel, "silent", _cursor_now(channel))
    assert (evidence.proves, evidence.cause) == (DeliveryState.REFUSED, "no-fax-answer")


def test_a_call_cut_on_its_second_page_is_resumed_and_no_page_is_missing(hylafax: HylaFax) -> None:
    channel, (content, bundle), since = _channel(hylafax, max_dials=4, max_tries=4), _letter("cda-ldl-ses"), time.time()
    hylafax.fault(cut_after=45.0)  # seconds of line time: in the middle of the second page
    cursor = _cursor_now(channel)
    channel.send(_parcel("cut", content))
    _until_call_is_over(hylafax)
    hylafax.fault()
    evidence = _delivered(channel, "cut", content, cursor)
    assert (evidence.proves, evidence.detail[:9]) == (DeliveryState.DELIVERED, f"{content.pages}/{content.pages} pages"[:9])
    assert _document(_received(hylafax, since, content.pages)) == canonical_json(bundle)


def _until_call_is_over(hylafax: HylaFax) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with FaxServer("127.0.0.1", hylafax.port, "tdu") as server:
        begun = False
        while time.monotonic() < deadline:
            jobs = {job.state.name for job in server.jobs() if job.reference == "cut"}
            begun = begun or "ACTIVE" in jobs
            if begun and "ACTIVE" not in jobs:
                return
            time.sleep(0.3)


def test_impulses_on_the_line_leave_a_whole_document(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax), _letter()
    hylafax.fault(clicks=0.003)
    assert _delivered(channel, "noise", content, _cursor_now(channel)).proves is DeliveryState.DELIVERED


def test_a_server_that_is_down_is_tried_again_and_one_that_restarts_keeps_its_jobs(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax), _letter()
    before = _cursor_now(channel)
    hylafax.stop_server()
    refused = channel.send(_parcel("down", content))
    assert (refused.kind, refused.cause) == (OutcomeKind.DEFERRED, "connect-failed")
    assert channel.check() != ""
    hylafax.start_server()
    assert channel.check() == ""
    hylafax.fault(busy=True)
    assert channel.send(_parcel("down", content)).kind is OutcomeKind.ACCEPTED
    hylafax.stop_server()
    hylafax.fault()
    hylafax.start_server()
    assert _delivered(channel, "down", content, before).proves is DeliveryState.DELIVERED


def test_a_job_removed_by_hand_is_told_as_such_and_nothing_goes_by_itself(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax), _letter()
    before = _cursor_now(channel)
    hylafax.fault(busy=True)
    job = channel.send(_parcel("removed", content)).partner_reference
    command = ["/usr/bin/faxrm", "-h", f"127.0.0.1:{hylafax.port}", job]
    subprocess.run(command, env={"FAXUSER": "traitdunion"}, check=True, capture_output=True, timeout=30)
    evidence, _ = _told(channel, "removed", before)
    assert (evidence.proves, evidence.cause) == (DeliveryState.REFUSED, "fax-removed")


def test_a_job_that_waits_is_taken_back_and_the_answer_stays_the_same(hylafax: HylaFax) -> None:
    channel, (content, _), since = _channel(hylafax), _letter(), time.time()
    hylafax.fault(busy=True)
    channel.send(_parcel("back", content))
    _until(lambda: channel.withdraw("back") is Withdrawn.GONE)
    hylafax.fault()
    assert channel.withdraw("back") is Withdrawn.GONE
    assert not [path for path in hylafax.received.glob("fax*.tif") if path.stat().st_mtime >= since]


def test_a_fax_that_left_cannot_be_taken_back(hylafax: HylaFax) -> None:
    channel, (content, _) = _channel(hylafax), _letter()
    before = _cursor_now(channel)
    channel.send(_parcel("left", content))
    assert _delivered(channel, "left", content, before).proves is DeliveryState.DELIVERED
    assert channel.withdraw("left") is Withdrawn.TOO_LATE


def test_a_server_that_is_down_gives_nothing_back_yet(hylafax: HylaFax) -> None:
    hylafax.stop_server()
    try:
        assert _channel(hylafax).withdraw("anything") is Withdrawn.NOT_YET
    finally:
        hylafax.start_server()


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_machine_without_error_correction_gets_every_page_and_the_proof_says_so(hylafax: HylaFax, tmp_path: Path) -> None:
    channel, (content, bundle), into = _channel(hylafax), _letter(), tmp_path / "machine.tif"
    before = _cursor_now(channel)
    hylafax.fault(machine={"into": str(into), "with_ecm": False, "best_rate": 9600})
    evidence = _delivered(channel, "plain", content, before)
    assert (evidence.proves, evidence.cause) == (DeliveryState.DELIVERED, "")
    assert evidence.detail.endswith("without error correction")
    assert _document(_pages(into)) == canonical_json(bundle)


def test_a_machine_that_takes_no_fine_page_is_told_as_such_and_takes_the_standard_ones(hylafax: HylaFax, tmp_path: Path) -> None:
    channel, into = _channel(hylafax), tmp_path / "machine.tif"
    before = _cursor_now(channel)
    hylafax.fault(machine={"into": str(into), "takes_fine": False})
    channel.send(_parcel("coarse", _letter()[0]))
    evidence, cursor = _told(channel, "coarse", before)
    assert (evidence.proves, evidence.cause) == (DeliveryState.REFUSED, "fine-not-taken")
    content, bundle = _letter(rows=RowsPerDot.STANDARD)
    assert _delivered(channel, "coarse", content, cursor).proves is DeliveryState.DELIVERED
    assert _document(_pages(into)) == canonical_json(bundle)


def test_a_machine_without_paper_confirms_no_page_and_is_told_as_such(hylafax: HylaFax, tmp_path: Path) -> None:
    channel = _channel(hylafax, max_dials=1, max_tries=1)
    before = _cursor_now(channel)
    hylafax.fault(machine={"into": str(tmp_path / "machine.tif"), "has_paper": False})
    channel.send(_parcel("paper", _letter()[0]))
    evidence, _ = _told(channel, "paper", before)
    assert (evidence.proves, evidence.cause, evidence.detail[:1]) == (DeliveryState.REFUSED, "fax-not-receiving", "0")


def test_where_a_person_answers_no_page_is_sent_and_none_is_said_to_be(hylafax: HylaFax) -> None:
    channel = _channel(hylafax, max_dials=1)
    before = _cursor_now(channel)
    hylafax.fault(voice=True)
    channel.send(_parcel("person", _letter()[0]))
    evidence, _ = _told(channel, "person", before)
    assert (evidence.proves, evidence.cause, evidence.detail[:1]) == (DeliveryState.REFUSED, "no-fax-answer", "0")
