"""A running service wired on every side: a hospital that wants acknowledgements, local software, and an outside view of both.

with wired(tmp_path) as house:
    house.software.script(refuse("902"))                # what the local software does with its next message
    house.send(to_software(1))                          # an AA names it, or the play fails
    house.wait_until(lambda: house.software.received)   # until something is seen from outside
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter.config import load_config
from adapter.demo.messages import Sender, To, mdm_t02, with_new_ids
from adapter.demo.stage import HOSPITAL, Stage, StageSettings
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import Timeline
from adapter.model.delivery import Delivery, Purpose
from adapter.model.work_item import WorkItem
from adapter.opening import open_ledger
from tests.builders.cda import build_n1
from tests.crash.play import Letter, send_until_acknowledged
from tests.servers.mllp_peer import Call, MllpPeer, Step

HOSPITAL_IS = Sender("DPI", "BICETRE", "99900000086", "MAQUETTE", "Alix", "949990121", "Hôpital Bicêtre", "221")
BY_MAIL = To("99900000060", "ARCHETYPE", "Camille")
BY_SOFTWARE = To("99900099005", "LOGICIEL", "Local")

# A reader whose only way in is software: where there is no other leg, nothing hides what becomes of a message.
PARTNERS = """\
name = "Logiciel d'un plateau d'imagerie d'essai"

[[organisation]]
key = "plateau-essai"
name = "Plateau d'imagerie d'essai"
legal_entity = "commune-arcueil"
finess = "949990998"
kind = "practice"

[[practitioner]]
rpps = "99900099005"
family = "LOGICIEL"
given = "Local"

[[practitioner.role]]
key = "logiciel-plateau"
organisation = "plateau-essai"
channels = [{ channel = "hl7_push", address = "ris", since = 2026-01-05 }]
"""
_RIS = """
[[channels.hl7_push.partners]]
name = "ris"
host = "127.0.0.1"
port = {port}
application = "RIS"
facility = "PLATEAU"
legal_entity = "{entity}"
answer_timeout_seconds = {patience}
"""


class WiredStage(Stage):
    """The demo's stage, with a configuration of our own. `edits` are words of the configuration and what takes their place."""

    def __init__(self, folder: Path, settings: StageSettings, more: str, edits: Mapping[str, str]) -> None:
        self._more, self._edits = more, edits
        super().__init__(folder, settings)

    def _write_files(self) -> None:
        super()._write_files()
        (self.folder / "local.toml").write_text(PARTNERS, encoding="utf-8")
        text = self.config_file.read_text(encoding="utf-8")
        edits = {'"units.csv"]': '"units.csv", "local.toml"]', "[instance.sandbox]": '[instance.sandbox]\nhl7 = "ris"'}
        for old, new in {**edits, **self._edits}.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.config_file.write_text(text + self._more, encoding="utf-8")


@dataclass
class Wired:
    """What a test holds. `software` and `hospital` are partners' sides; `ledger` is ours, for what only we can say."""

    stage: Stage
    software: MllpPeer
    hospital: MllpPeer
    ledger: Ledger
    sent: list[Letter] = field(default_factory=list)

    def send(self, *letters: Letter) -> None:
        """As hospitals do: each until an AA names it."""
        for letter in letters:
            send_until_acknowledged(self.stage, letter)
            self.sent.append(letter)

    def wait_until(self, claim: Callable[[], Any], what: str = "", patience_seconds: float = 60.0) -> None:
        deadline = time.monotonic() + patience_seconds
        while not claim():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.1)

    def timeline(self, letter: Letter) -> Timeline:
        found = self.ledger.timeline(letter.control_id, legal_entity=HOSPITAL)
        assert found is not None, "no such letter"
        return found

    def deliveries(self, letter: Letter) -> list[Delivery]:
        return [d for s in self.timeline(letter).submissions for d in s.deliveries if d.purpose is Purpose.DOCUMENT]

    def states(self, *letters: Letter) -> list[str]:
        return [d.state.value for letter in letters or self.sent for d in self.deliveries(letter)]

    def items(self) -> list[WorkItem]:
        return self.ledger.list_work_items(legal_entity=HOSPITAL)

    def logged(self, event: str) -> int:
        """How often the service said so."""
        return self.stage.log_file.read_text(encoding="utf-8").count(f'"event": "{event}"')


def letter(
    number: int, *, to: Sequence[To] = (BY_SOFTWARE,), flags: Sequence[str] = (), tag: str = "C", pdf: bytes | None = None
) -> Letter:
    """An invented letter for local software, or for whoever is said."""
    control_id, document_id = f"{tag}{number:05d}", f"1.2.250.1.999.94.8.{ord(tag)}{number:05d}"
    cda = with_new_ids(build_n1(pdf=pdf) if pdf is not None else _BASE, document_id)
    message = mdm_t02(cda, control_id, HOSPITAL_IS, to, open_flags=("DESTMSSANTEPS", *flags))
    return Letter(control_id, document_id, message)


_BASE = build_n1()


def timed(instants: list[float], step: Step) -> Step:
    """The same, and when it came."""

    def note(call: Call) -> None:
        instants.append(time.monotonic())
        step(call)

    return note


@contextmanager
def wired(
    folder: Path,
    settings: StageSettings | None = None,
    *,
    patience_seconds: float = 5,
    edits: Mapping[str, str] | None = None,
) -> Iterator[Wired]:
    """The service between its hospital and local software. `patience_seconds`: for an answer of the software."""
    with MllpPeer() as software, MllpPeer() as hospital:
        chosen = settings or StageSettings(lease_seconds=20, unclear_seconds=1.0)
        own = StageSettings(**{**vars(chosen), "acks_port": hospital.port})
        more = _RIS.format(port=software.port, entity=HOSPITAL, patience=patience_seconds)
        stage = WiredStage(folder / "stage", own, more, edits or {})
        with stage:
            ledger = open_ledger(load_config(stage.config_file, {}))
            try:
                yield Wired(stage, software, hospital, ledger)
            finally:
                ledger.close()
