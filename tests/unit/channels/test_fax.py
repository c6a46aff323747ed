"""The fax spool: durable hand-over, one job a reference, proofs from reports, causes of the table."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.channels import fax
from adapter.channels.fax import FaxSpoolChannel, FaxSpoolSettings, spool_name
from adapter.channels.fax_words import UNKNOWN_WORDS, rows_said
from adapter.demo.fax_partner import FaxSink
from adapter.model.delivery import DeliveryState, OutcomeKind
from adapter.model.withdrawal import Withdrawn
from adapter.packaging.parcel import FaxContent, MailContent, Parcel
from adapter.packaging.tiff_f import write_tiff_f
from adapter.tracking.causes import load_causes

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def _pages(count: int = 2) -> FaxContent:
    from PIL import Image

    return FaxContent(write_tiff_f([Image.new("1", (1728, 2292), 255)] * count, (204, 196)), count)


def _parcel(**changes: Any) -> Parcel:
    parcel = Parcel(delivery_id="d-1", reference="TDU-0001", address="01 99 00 00 01", urgent=True, content=_pages())
    return replace(parcel, **changes)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def channel(spool: Path) -> FaxSpoolChannel:
    return FaxSpoolChannel(FaxSpoolSettings(spool))


def _sink(spool: Path, **causes: str) -> FaxSink:
    return FaxSink(spool, spool.parent / "received", causes={k: v.replace("_", "-") for k, v in causes.items()}, now=lambda: AT)


def test_an_accepted_fax_is_in_the_spool_with_its_job(channel: FaxSpoolChannel, spool: Path) -> None:
    parcel = _parcel()
    outcome = channel.send(parcel)
    assert (outcome.kind, outcome.proves) == (OutcomeKind.ACCEPTED, DeliveryState.ACCEPTED)
    job = json.loads((spool / "TDU-0001.json").read_bytes())
    assert (job["number"], job["pages"], job["urgent"]) == ("+33199000001", 2, True)
    assert isinstance(parcel.content, FaxContent)
    assert (spool / job["file"]).read_bytes() == parcel.content.tiff
    assert sorted(p.name for p in spool.iterdir()) == ["TDU-0001.json", "TDU-0001.tiff"]


def test_what_is_spooled_is_for_the_service_and_the_engine_s_group_only(channel: FaxSpoolChannel, spool: Path) -> None:
    before = os.umask(0)
    try:
        channel.send(_parcel())
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in spool.iterdir() if path.is_file()} == {0o640}


def test_the_job_appears_after_its_pages_and_the_directory_is_synced(
    channel: FaxSpoolChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real_replace, real_sync = Path.replace, fax._sync_directory
    monkeypatch.setattr(Path, "replace", lambda self, target: (seen.append(Path(target).name), real_replace(self, target))[1])
    monkeypatch.setattr(fax, "_sync_directory", lambda directory: (seen.append("sync"), real_sync(directory))[1])
    channel.send(_parcel())
    assert seen == ["TDU-0001.tiff", "TDU-0001.json", "sync"]


def test_the_same_reference_again_is_one_job(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    before = (spool / "TDU-0001.json").stat().st_mtime_ns
    assert channel.send(_parcel()).kind is OutcomeKind.ACCEPTED
    assert (spool / "TDU-0001.json").stat().st_mtime_ns == before


def test_other_pages_under_a_spooled_reference_are_a_conflict(channel: FaxSpoolChannel) -> None:
    channel.send(_parcel())
    assert channel.send(_parcel(content=_pages(3))).cause == "conflict"


def test_a_crash_between_pages_and_job_leaves_no_job(
    channel: FaxSpoolChannel, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def cut(self: Path, target: Path) -> Path:
        if Path(target).suffix == ".json":
            raise OSError(errno.EIO, "cut")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", cut)
    assert channel.send(_parcel()).kind is OutcomeKind.DEFERRED
    monkeypatch.undo()
    assert channel.find(_parcel()) is None
    assert channel.send(_parcel()).kind is OutcomeKind.ACCEPTED
    assert sorted(p.name for p in spool.iterdir()) == ["TDU-0001.json", "TDU-0001.tiff"]


def test_a_directory_that_cannot_be_synced_makes_the_send_unclear_and_find_tells_it_is_there(
    channel: FaxSpoolChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(directory: Path) -> None:
        raise OSError(errno.EIO, "cut")

    monkeypatch.setattr(fax, "_sync_directory", fail)
    assert channel.send(_parcel()).kind is OutcomeKind.UNCLEAR
    found = channel.find(_parcel())
    assert found is not None and found.kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize("address", ["", "abc", "12", "0199000001;rm", "mailto:x@y.fr"])
def test_what_is_no_number_is_refused(channel: FaxSpoolChannel, address: str) -> None:
    assert channel.send(_parcel(address=address)).cause == "no-such-number"


def test_content_that_is_no_fax_is_refused(channel: FaxSpoolChannel) -> None:
    mail = MailContent(b"", "a@b.fr", "c@d.fr", "e")
    assert channel.send(_parcel(content=mail)).cause == "rendition-impossible"


def test_pages_over_the_limit_are_refused(spool: Path) -> None:
    assert FaxSpoolChannel(FaxSpoolSettings(spool, size_limit_bytes=10)).send(_parcel()).cause == "too-large"


def test_a_full_spool_defers(spool: Path) -> None:
    channel = FaxSpoolChannel(FaxSpoolSettings(spool, max_waiting=1))
    channel.send(_parcel())
    outcome = channel.send(_parcel(reference="TDU-0002"))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "spool-full")
    assert channel.send(_parcel()).kind is OutcomeKind.ACCEPTED, "what is spooled already stays accepted"
    assert "1 jobs wait" in channel.check()


def test_a_nearly_full_disk_defers(spool: Path) -> None:
    assert FaxSpoolChannel(FaxSpoolSettings(spool, free_bytes_kept=1 << 62)).send(_parcel()).cause == "spool-full"


def test_a_disk_that_fills_while_writing_defers_and_leaves_nothing(
    channel: FaxSpoolChannel, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    outcome = channel.send(_parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "spool-full")
    assert list(spool.iterdir()) == []


def test_a_missing_spool_defers_and_check_says_what_to_do(tmp_path: Path) -> None:
    channel = FaxSpoolChannel(FaxSpoolSettings(tmp_path / "absent"))
    outcome = channel.send(_parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "spool-unwritable")
    assert "no such directory" in channel.check()
    assert channel.collect("") == ((), "")


def test_a_sound_spool_passes_the_check(channel: FaxSpoolChannel) -> None:
    assert channel.check() == ""


def test_confirmed_pages_prove_delivery(channel: FaxSpoolChannel, spool: Path) -> None:
    parcel = _parcel()
    channel.send(parcel)
    sink = _sink(spool)
    assert sink.run_once() == 1
    (proof,), cursor = channel.collect("")
    assert (proof.reference, proof.proves, proof.at, proof.detail) == ("TDU-0001", DeliveryState.DELIVERED, AT, "2/2 pages")
    assert isinstance(parcel.content, FaxContent)
    assert sink.received() == [parcel.content.tiff]
    assert cursor


def test_a_cursor_that_was_not_committed_gives_the_same_evidence_again(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    _sink(spool).run_once()
    assert channel.collect("") == channel.collect("")


def test_a_committed_cursor_puts_the_job_away_and_deletes_the_pages(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    _sink(spool).run_once()
    _, cursor = channel.collect("")
    assert channel.collect(cursor) == ((), "")
    assert [p.name for p in spool.iterdir()] == ["collected"]
    assert sorted(p.name for p in (spool / "collected").iterdir()) == ["TDU-0001.done.json", "TDU-0001.json"]
    assert channel.collect(cursor) == ((), ""), "putting away twice is harmless"


def test_a_report_that_appears_late_with_an_old_date_is_not_missed(channel: FaxSpoolChannel, spool: Path) -> None:
    for reference in ("B", "A"):
        channel.send(_parcel(reference=reference))
    (spool / "B.done.json").write_text('{"reference": "B", "pages": 2, "at": "2026-11-21T10:00:00+00:00"}')
    _, cursor = channel.collect("")
    (spool / "A.done.json").write_text('{"reference": "A", "pages": 2, "at": "2026-11-21T08:00:00+00:00"}')
    os.utime(spool / "A.done.json", (0, 0))
    (late,), _ = channel.collect(cursor)
    assert late.reference == "A"


def test_a_delivered_fax_is_never_sent_again(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    sink = _sink(spool)
    sink.run_once()
    channel.collect(channel.collect("")[1])
    outcome = channel.send(_parcel())
    assert (outcome.kind, outcome.proves) == (OutcomeKind.ACCEPTED, DeliveryState.DELIVERED)
    assert sink.run_once() == 0
    found = channel.find(_parcel())
    assert found is not None and found.proves is DeliveryState.DELIVERED


def test_a_failed_fax_refuses_with_its_cause_and_may_go_again(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    FaxSink(spool, spool.parent / "r", causes={"+33199000001": "line-busy"}, now=lambda: AT).run_once()
    (proof,), cursor = channel.collect("")
    assert (proof.proves, proof.cause) == (DeliveryState.REFUSED, "line-busy")
    assert channel.send(_parcel()).kind is OutcomeKind.DEFERRED, "a new job now would be put away with the old report"
    channel.collect(cursor)
    assert channel.find(_parcel()) is None
    assert channel.send(_parcel()).kind is OutcomeKind.ACCEPTED
    sink = _sink(spool)
    sink.run_once()
    assert len(sink.received()) == 1


@pytest.mark.parametrize(
    ("report", "cause"),
    [
        ({"pages": 1}, "transmission-broken"),
        ({"pages": 0}, "transmission-broken"),
    ],
)
def test_fewer_pages_than_the_job_are_no_delivery(
    channel: FaxSpoolChannel, spool: Path, report: dict[str, object], cause: str
) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.done.json").write_text(json.dumps(report))
    (proof,), _ = channel.collect("")
    assert (proof.proves, proof.cause) == (DeliveryState.REFUSED, cause)


def test_a_fax_that_broke_off_goes_again_whole_and_is_not_taken_for_delivered(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.done.json").write_text('{"pages": 1}')
    _, cursor = channel.collect("")
    assert channel.withdraw("TDU-0001") is Withdrawn.PARTLY
    assert channel.send(_parcel()).cause == "partner-busy", "its report is not put away yet"
    found = channel.find(_parcel())
    assert found is not None and found.cause == "partner-busy", "nor is what failed said to be accepted"
    channel.collect(cursor)
    assert channel.withdraw("TDU-0001") is Withdrawn.PARTLY
    again = channel.send(_parcel())
    assert (again.kind, again.proves) == (OutcomeKind.ACCEPTED, DeliveryState.ACCEPTED)
    assert (spool / "TDU-0001.tiff").exists()
    _sink(spool).run_once()
    assert [proof.proves for proof in channel.collect("")[0]] == [DeliveryState.DELIVERED]


@pytest.mark.parametrize("end", [".failed.json", ".done.json"])
def test_a_stop_while_a_report_is_put_away_lets_no_new_job_go_with_it(channel: FaxSpoolChannel, spool: Path, end: str) -> None:
    channel.send(_parcel())
    (spool / f"TDU-0001{end}").write_text('{"pages": 1}')
    _, cursor = channel.collect("")
    (spool / "collected").mkdir()
    (spool / "TDU-0001.tiff").unlink()
    (spool / "TDU-0001.json").replace(spool / "collected" / "TDU-0001.json")  # and here it stopped
    assert channel.send(_parcel()).kind is OutcomeKind.DEFERRED
    channel.collect(cursor)
    assert channel.send(_parcel()).proves is DeliveryState.ACCEPTED
    assert (spool / "TDU-0001.json").exists() and (spool / "TDU-0001.tiff").exists()


def test_a_stop_while_a_whole_fax_is_put_away_sends_no_second_one(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.done.json").write_text('{"pages": 2}')
    channel.collect("")
    (spool / "collected").mkdir()
    (spool / "TDU-0001.json").replace(spool / "collected" / "TDU-0001.json")
    assert channel.send(_parcel()).kind is OutcomeKind.ACCEPTED
    assert not (spool / "TDU-0001.json").exists()
    assert channel.withdraw("TDU-0001") is Withdrawn.TOO_LATE


def test_pages_whose_job_was_never_written_do_not_stay_when_they_are_taken_back(channel: FaxSpoolChannel, spool: Path) -> None:
    (spool / "TDU-0001.tiff").write_bytes(b"II*\0")
    (spool / ".TDU-0001.tiff.part").write_bytes(b"II*\0")
    assert channel.withdraw("TDU-0001") is Withdrawn.GONE
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pages": "two"}'])
def test_a_report_that_proves_nothing_is_left_alone(channel: FaxSpoolChannel, spool: Path, content: str) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.done.json").write_text(content)
    assert channel.collect("") == ((), "")
    assert (spool / "TDU-0001.done.json").exists()


def test_an_unknown_cause_is_a_broken_transmission(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.failed.json").write_text('{"cause": "martians"}')
    assert channel.collect("")[0][0].cause == "transmission-broken"


def test_a_cursor_never_reaches_out_of_the_spool(channel: FaxSpoolChannel, spool: Path) -> None:
    outside = spool.parent / "x.done.json"
    outside.write_text("{}")
    channel.collect("../x.done.json")
    assert outside.exists()


@pytest.mark.parametrize("reference", ["<a.b@c.fr>", "../../etc/passwd", "é", "a" * 300, ".hidden"])
def test_any_reference_is_a_safe_file_name(channel: FaxSpoolChannel, spool: Path, reference: str) -> None:
    name = spool_name(reference)
    assert name == Path(name).name and name.isascii() and not name.startswith(".")
    channel.send(_parcel(reference=reference))
    _sink(spool).run_once()
    assert channel.collect("")[0][0].reference == reference


def test_every_cause_is_in_the_table(channel: FaxSpoolChannel) -> None:
    known = set(load_causes())
    ours = {"rendition-impossible", "too-large", "no-such-number", "partner-busy", "conflict", "spool-full", "spool-unwritable"}
    assert known >= ours | {cause for _, cause in rows_said()} | {"no-answer", UNKNOWN_WORDS}


def test_capabilities_say_what_fax_proves(channel: FaxSpoolChannel) -> None:
    capabilities = channel.capabilities
    assert capabilities.final_state is DeliveryState.DELIVERED and capabilities.resend_is_safe
    assert DeliveryState.READ not in capabilities.proves


def test_a_running_sink_receives_what_is_spooled(channel: FaxSpoolChannel, spool: Path) -> None:
    sink = FaxSink(spool, spool.parent / "received", poll_seconds=0.01)
    sink.start()
    try:
        channel.send(_parcel())
        for _ in range(500):
            proofs, _ = channel.collect("")
            if proofs:
                break
            sink._stopping.wait(0.01)
    finally:
        sink.stop()
    assert [proof.proves for proof in proofs] == [DeliveryState.DELIVERED]
    assert sink.numbers() == ["+33199000001"]


# ── taken back ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_no_engine_began_with_is_taken_back_whole_and_said_again(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    assert channel.withdraw("TDU-0001") is Withdrawn.GONE
    assert list(spool.iterdir()) == []
    assert channel.withdraw("TDU-0001") is Withdrawn.GONE, "asked again after a crash, the answer is the same"
    _sink(spool).run_once()
    assert channel.collect("") == ((), "")


def test_a_job_that_an_engine_began_with_is_not_taken_away_from_it(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.taken").touch()
    assert channel.withdraw("TDU-0001") is Withdrawn.NOT_YET
    _sink(spool).run_once()
    assert channel.withdraw("TDU-0001") is Withdrawn.TOO_LATE
    channel.collect(channel.collect("")[1])
    assert channel.withdraw("TDU-0001") is Withdrawn.TOO_LATE
    assert not (spool / "TDU-0001.taken").exists()


def test_an_engine_leaves_alone_what_was_taken_back_a_moment_before(channel: FaxSpoolChannel, spool: Path) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.taken").write_text("withdrawn")
    sink = _sink(spool)
    sink.run_once()
    assert sink.received() == []
    assert channel.withdraw("TDU-0001") is Withdrawn.GONE, "a crash in between is made good"
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize(("pages", "found"), [(1, Withdrawn.PARTLY), (0, Withdrawn.GONE)])
def test_a_job_that_failed_tells_whether_pages_had_gone(
    channel: FaxSpoolChannel, spool: Path, pages: int, found: Withdrawn
) -> None:
    channel.send(_parcel())
    (spool / "TDU-0001.failed.json").write_text(json.dumps({"cause": "line-busy", "pages": pages}))
    assert channel.withdraw("TDU-0001") is found
    channel.collect(channel.collect("")[1])
    assert channel.withdraw("TDU-0001") is found


def test_a_spool_that_is_away_is_asked_again(channel: FaxSpoolChannel, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channel.send(_parcel())
    monkeypatch.setattr(fax.os, "link", _no_rights)
    assert channel.withdraw("TDU-0001") is Withdrawn.NOT_YET


def _no_rights(*_: object) -> None:
    raise PermissionError(errno.EACCES, "no")
