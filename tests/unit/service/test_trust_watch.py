"""What ends is measured at each look, told once a day at 60, 30 and 7 days, asked of a person at last, closed when renewed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapter.ledger.ledger import Ledger
from adapter.ledger.records import Decision
from adapter.ledger.vault import Vault
from adapter.model.work_item import TRUST_ENDS, WorkAbout
from adapter.secure_line import SecureLine
from adapter.service.figures import Figures
from adapter.service.trust_watch import Speaker, TrustWatch
from mssante.testing import TestPki, issue, make_test_pki, write_revocation_list
from mssante.tls import TlsSettings
from tests.builders.ledger import KEY, Clock
from tests.builders.trust import CLIENT, replace_file

NOW = datetime.now(UTC).replace(microsecond=0)
APHP, IVRY = "750712184", "940020010"
PLACE = "channels.mssante.tls"


@dataclass
class Lines:
    """Some lines and whom they serve."""

    lines: list[tuple[SecureLine, tuple[str, ...]]] = field(default_factory=list)

    def all(self) -> Iterator[tuple[SecureLine, tuple[str, ...]]]:
        yield from self.lines


class House:
    """A line whose client certificate lives 100 days, its authority 1000; a ledger; a watch; a clock moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock(NOW)
        self.folder = folder
        self.pki: TestPki = make_test_pki(folder / "pki", days=1000)
        self.ids = iter(range(1_000_000))
        self.ledger = Ledger(f"sqlite:///{folder}/ledger.db", Vault([KEY]), clock=self.clock, new_id=self.new_id)
        self.ledger.migrate()
        self.figures = Figures()
        self.files = TlsSettings(self.pki.authority, folder / "own.pem", folder / "own.key")
        self.renew(100)
        self.speaker = Speaker(self.ledger.open_work_item, self.ledger.close_work_items, self.new_id, "Europe/Paris")
        self.watch = self.watch_on(self.files)

    def new_id(self) -> str:
        return f"id-{next(self.ids):032d}"

    def watch_on(self, files: TlsSettings, *, speaks: bool = True) -> TrustWatch:
        line = SecureLine(PLACE, files, now=self.clock)
        speaker = self.speaker if speaks else None
        return TrustWatch(Lines([(line, (APHP, IVRY))]), self.figures.days_left, speaker, clock=self.clock)

    def renew(self, days: int) -> None:
        issue(self.pki, self.folder / "a.pem", self.folder / "a.key", "app.test", CLIENT, self.clock(), days)
        for name in ("pem", "key"):
            replace_file(self.folder / f"own.{name}", (self.folder / f"a.{name}").read_bytes())

    def look_after(self, **passed: float) -> list[dict[str, Any]]:
        """What is logged at the look after so much time."""
        self.clock.advance(**passed)
        with structlog.testing.capture_logs() as logs:
            assert self.watch.look() == 0
        return [dict(line) for line in logs if str(line["event"]).startswith("trust.")]

    def questions(self, entity: str = APHP) -> list[tuple[str, str]]:
        items = self.ledger.list_work_items(legal_entity=entity)
        return [(item.reason, item.about_id) for item in items if item.about is WorkAbout.CERTIFICATE]

    def figure(self, kind: str = "certificate") -> float:
        wanted = f'tdu_trust_days_left{{kind="{kind}",place="{PLACE}"}} '
        return next(
            float(line.removeprefix(wanted)) for line in self.figures.text().decode().splitlines() if line.startswith(wanted)
        )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.ledger.close()


def test_it_is_told_once_a_day_from_sixty_days_on_and_asked_at_seven(house: House) -> None:
    assert house.look_after() == []
    assert house.look_after(days=39) == []
    (told,) = house.look_after(days=2)
    assert (told["event"], told["days_left"], told["urgency"]) == ("trust.ends", 59, "notice")
    assert (told["log_level"], told["place"], told["name"], told["file"]) == ("warning", PLACE, "app.test", "own.pem")
    assert house.look_after(minutes=1) == []
    assert [line["urgency"] for line in house.look_after(days=1)] == ["notice"]
    assert [line["urgency"] for line in house.look_after(days=30)] == ["warning"]
    assert house.questions() == []
    assert [line["urgency"] for line in house.look_after(days=22)] == ["urgent"]
    assert house.questions() == house.questions(IVRY) == [(TRUST_ENDS, PLACE)]
    assert [line["urgency"] for line in house.look_after(days=8)] == ["expired"]
    assert house.questions() == [(TRUST_ENDS, PLACE)]


def test_what_was_renewed_closes_its_question_by_itself_after_a_restart_too(house: House) -> None:
    house.look_after(days=95)
    assert house.questions() == [(TRUST_ENDS, PLACE)]
    house.renew(100)
    house.watch = house.watch_on(house.files)
    assert house.look_after() == []
    assert house.questions() == house.questions(IVRY) == []


def test_a_question_closed_by_somebody_who_changed_nothing_comes_again_the_next_day(house: House) -> None:
    house.look_after(days=95)
    (item,) = house.ledger.list_work_items(legal_entity=APHP)
    house.ledger.resolve(item.id, Decision.CLOSE, "operator", legal_entity=APHP)
    house.look_after(hours=1)
    assert house.questions() == []
    house.look_after(days=1)
    assert house.questions() == [(TRUST_ENDS, PLACE)]
    assert house.questions(IVRY) == [(TRUST_ENDS, PLACE)], "asked once, however often it is looked at"


def test_every_look_measures_what_ends_first_of_each_kind(house: House) -> None:
    lists = write_revocation_list(house.pki, house.folder / "ca.crl", [], NOW)
    house.watch = house.watch_on(TlsSettings(house.files.authorities, house.files.certificate, house.files.key, "", lists))
    house.look_after(days=10)
    assert house.figure() == pytest.approx(90, abs=0.1)
    assert house.figure("revocation-list") == pytest.approx(20, abs=0.1)
    house.look_after(days=25)
    assert house.figure("revocation-list") == pytest.approx(-5, abs=0.1)


def test_a_list_is_told_of_on_its_last_day_only(house: House) -> None:
    lists = write_revocation_list(house.pki, house.folder / "ca.crl", [], NOW)
    house.watch = house.watch_on(TlsSettings(house.files.authorities, house.files.certificate, house.files.key, "", lists))
    assert house.look_after(days=28) == []
    (told,) = house.look_after(days=1.5)
    assert (told["kind"], told["urgency"], told["name"]) == ("revocation-list", "urgent", "Autorité de test")
    assert house.questions() == [(TRUST_ENDS, PLACE)]


def test_files_that_cannot_be_used_are_told_and_the_other_lines_are_looked_at_all_the_same(house: House) -> None:
    broken = SecureLine("doors.mllp.tls", TlsSettings(certificate=house.pki.client_certificate, key=house.pki.server_key))
    good = SecureLine(PLACE, house.files, now=house.clock)
    house.watch = TrustWatch(
        Lines([(broken, (APHP,)), (good, (APHP,))]), house.figures.days_left, house.speaker, clock=house.clock
    )
    (told,) = house.look_after()
    assert (told["event"], told["place"], told["code"]) == ("trust.unusable", "doors.mllp.tls", "trust.key-mismatch")
    assert house.figure() > 99


def test_a_worker_that_does_not_speak_keeps_its_figures_and_says_nothing(house: House) -> None:
    house.watch = house.watch_on(house.files, speaks=False)
    assert house.look_after(days=95) == []
    assert house.questions() == []
    assert house.figure() == pytest.approx(5, abs=0.1)
