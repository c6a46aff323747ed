"""Practices that import: a territory where doctors' practices have an inbox, the real ledger, folders kept by the real lane.

town = Town(tmp_path, ("cab-1", "cab-2"))
town.write(1, to=("cab-1",))            # version 1 of a letter, accepted, prepared, published
town.keeper("cab-1").keep()             # one round of the folder's lane
town.names("cab-1")                     # what lies there
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from adapter.channels.drop_folder import PracticeFolder
from adapter.channels.inbox import InboxChannel, InboxSettings
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import StoredSubmission
from adapter.model.folder import FolderFormat
from adapter.model.plan import ChannelName
from adapter.model.publication import Practice
from adapter.packaging.folder_files import Shelf
from adapter.packaging.hprim import HprimCharset
from adapter.pipeline.folders import FolderKeeper, FolderSettings
from adapter.routing.directory import Directory, load_directory
from adapter.service.practice_folders import objection_to_folder, said_in_folder
from adapter.tracking.import_outcomes import import_outcomes
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ, production, territory_files
from tests.builders.hl7 import CANCELS, REPLACES, Recipient, build_mdm, to_professional
from tests.builders.instance import SENDER, Instance

INBOX = ChannelName.INBOX
HOUR = timedelta(hours=1)
_CABINET = """
[[organisation]]
key = "{name}"
name = "Cabinet {number}"
legal_entity = "commune-ivry"
finess = "{finess}"
kind = "health-centre"

[[practitioner]]
rpps = "{rpps}"
family = "DUCABINET{number}"
[[practitioner.role]]
key = "medecin-{name}"
organisation = "{name}"
channels = [{{ channel = "inbox", address = "{inbox}" }}]
"""


def rpps_of(number: int) -> str:
    """The invented number of a practice's doctor, key included."""
    return _with_key(f"99901{number:05d}")


def _with_key(digits: str) -> str:
    """Luhn's key, as RPPS and FINESS numbers have it."""
    doubled = (int(digit) * (2 if n % 2 == 0 else 1) for n, digit in enumerate(reversed(digits)))
    return f"{digits}{-sum(d // 10 + d % 10 for d in doubled) % 10}"


def with_practices(names: Sequence[str], inbox: str = "") -> Directory:
    """The reference territory and these practices, each with one doctor, numbered from 1; `inbox`: one that they all share."""
    files = territory_files()
    more = (
        _CABINET.format(name=name, inbox=inbox or name, number=n, rpps=rpps_of(n), finess=_with_key(f"9499{n:04d}"))
        for n, name in enumerate(names, start=1)
    )
    files["cabinets.toml"] = "".join(more).encode()
    return load_directory(files)


class Town:
    """An instance whose inbox is real, and the folders of its practices. Time of folders is counted by `ticks`, in seconds."""

    def __init__(self, folder: Path, names: Sequence[str] = ("cab-1",), format_: FolderFormat = FolderFormat.HPRIM) -> None:
        self.folder = folder
        self.names_of_practices = tuple(names)
        self.format = format_
        self.ticks = 0.0
        self.house = Instance(folder, directory=with_practices(names), routes=production())
        practices = [Practice(name, APHP_EJ, 4 * HOUR, 24 * HOUR, 72 * HOUR) for name in names]
        self.inbox = InboxChannel(InboxSettings(practices, self.house.ledger.publish))
        self.house.channels[INBOX] = self.inbox  # type: ignore[assignment]
        self.house.pipeline._channels[INBOX] = self.inbox  # type: ignore[index]
        self._keepers: dict[str, FolderKeeper] = {}

    # ── the hospital ──────────────────────────────────────────────────────────────────────────────────────────

    def to(self, *names: str) -> tuple[Recipient, ...]:
        """The doctors of these practices."""
        numbers = [self.names_of_practices.index(name) + 1 for name in names]
        return tuple(to_professional(rpps=rpps_of(n), family=f"DUCABINET{n}") for n in numbers)

    def write(
        self, version: int = 1, *, to: Sequence[str] = ("cab-1",), number: int = 1, cancels: bool = False, **changes: object
    ) -> str:
        """A version of a letter, or its cancellation, as far as the feed; the receipt's id."""
        root = f"1.2.250.1.999.94.60.{number}"
        replaces = f"{root}.{version - 1}" if version > 1 else ""
        cda = build_ldl_ses(document_id=f"{root}.{version}", set_id=root, version=version, replaces=replaces, **changes)  # type: ignore[arg-type]
        kind = CANCELS if cancels else REPLACES if version > 1 else {}
        control_id = f"{'D' if cancels else 'N'}{number}-{version}"
        receipt = self.house.letter(build_mdm(cda, control_id=control_id, recipients=self.to(*to), **kind))  # type: ignore[arg-type]
        self.publish()
        return receipt

    def show_to(self, *hidden_from: str, number: int = 1, version: int = 1) -> None:
        """A person changes who may see a version of a letter: from now on hidden from these."""
        document = f"1.2.250.1.999.94.60.{number}.{version}"
        self.house.ledger.order_visibility(document, frozenset(hidden_from), "Dr Essai", legal_entity=APHP_EJ)
        self.house.prepare()
        self.publish()

    def publish(self) -> None:
        """Whatever waits for the inbox."""
        while self.house.dispatch(INBOX):
            self.house.clock.advance(seconds=1)

    # ── the practice ──────────────────────────────────────────────────────────────────────────────────────────

    def keeper(self, name: str = "cab-1", **changes: object) -> FolderKeeper:
        """The lane of a practice's folder: the same one each time, a new one (another process) when something is changed."""
        if changes or name not in self._keepers:
            self._keepers[name] = self.new_keeper(name, **changes)
        return self._keepers[name]

    def new_keeper(self, name: str = "cab-1", ledger: Ledger | None = None, **changes: object) -> FolderKeeper:
        """Another process's lane."""
        charset = HprimCharset.CP1252
        settings = FolderSettings(name, APHP_EJ, Shelf(self.format, charset), 5.0, 60.0, **changes)  # type: ignore[arg-type]
        return FolderKeeper(
            settings,
            PracticeFolder(self.path(name), import_outcomes()),
            ledger or self.house.ledger,
            SENDER,
            self._objects,
            said_in_folder(ledger or self.house.ledger, name, APHP_EJ),
            clock=self.house.clock,
            monotonic=lambda: self.ticks,
            new_id=lambda: f"item-{name}-{self.ticks}",
        )

    def _objects(self, stored: StoredSubmission, role_id: str) -> str:
        return objection_to_folder(stored, role_id, self.house.directory, self.house.clock().date())

    def path(self, name: str = "cab-1") -> Path:
        """A practice's folder."""
        return self.folder / "cabinets" / name

    def round(self, name: str = "cab-1", seconds: float = 6.0) -> int:
        """Two looks with some time between: what settled is heard."""
        moved = self.keeper(name).keep()
        self.ticks += seconds
        return moved + self.keeper(name).keep()

    def names(self, name: str = "cab-1", place: str = "") -> list[str]:
        """Files that a program sees in a place."""
        folder = self.path(name) / place
        return sorted(p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")) if folder.exists() else []

    def take(self, name: str = "cab-1", place: str = "done") -> list[str]:
        """What a good program does: move each main file, then its companions."""
        names = self.names(name)
        for each in names:
            (self.path(name) / each).rename(self.path(name) / place / each)
        return names
