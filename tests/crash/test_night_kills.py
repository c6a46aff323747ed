"""`tdu sync` killed (SIGKILL) at twenty random points, then run to its end: the same final state as one clean round.

The ledger holds what a busy week leaves: letters faxed to a centre that opens secure mail today, faxes that have not left,
letters that nothing could carry, faxes in doubt that lie in the spool, one that the spool lost, letters of last year.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapter.channels.fax import spool_name
from adapter.ledger.backup import backups_in, prove_backup
from adapter.ledger.vault import Vault, create_key_file
from adapter.model.delivery import DeliveryState
from adapter.model.plan import ChannelName
from adapter.routing.directory import load_directory
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import EQUIPPED, SOON_EQUIPPED, territory_files
from tests.builders.hl7 import build_mdm, to_professional
from tests.builders.instance import Instance, unclear
from tests.builders.ledger import Clock, World

LAUNCHER = Path(__file__).with_name("night_launcher.py")
FAX, MAIL = ChannelName.FAX, ChannelName.SECURE_MAIL
KILLS, SEED = 20, 20261122
WITHOUT_FAX = "99900000904"
FAXED, UNSENT, STUCK, IN_DOUBT, OLD = 12, 12, 2, 3, 6

CONFIG = """\
[instance]
mode = "test"
name = "night"
[instance.sandbox]
mail = "bac-a-sable@aphp.formation.mssante.fr"
fax = "+33199009999"
record = "http://127.0.0.1:8090/fhir"
[[legal_entities]]
finess_ej = "750712184"
name = "Assistance publique – Hôpitaux de Paris"
source_oid = "1.2.250.1.999.94.1"
[legal_entities.sender]
mailbox = "tdu@aphp.formation.mssante.fr"
[directory]
files = [{files}]
[channels.fax]
spool_directory = "spool"
[night]
backfill_days = 30
backup_generations = 2
[retention]
content_days = 366
"""


@dataclass(frozen=True)
class Ran:
    """How one start of `tdu sync` ended."""

    status: int
    out: str


def sync(folder: Path, *tripwire: str) -> Ran:
    """The real command in its own process."""
    start = [str(LAUNCHER), *tripwire] if tripwire else ["-m", "adapter"]
    command = [sys.executable, *start, "sync", "--config", str(folder / "tdu.toml"), "--json"]
    root = Path(__file__).parents[2]
    alone = {"PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root, env=alone, check=False)
    return Ran(done.returncode, done.stdout)


# ── the week before ──────────────────────────────────────────────────────────────────────────────────────────────────


def letter(number: int, rpps: str) -> bytes:
    document = build_ldl_ses(document_id=f"1.2.250.1.999.7.{number}.1", set_id=f"1.2.250.1.999.7.{number}")
    return build_mdm(document, control_id=f"N{number}", recipients=(to_professional(rpps=rpps),))


def partners(folder: Path, opens: str) -> dict[str, bytes]:
    """The territory, with a centre that opens secure mail on a day, and a doctor there who has no fax."""
    files = {}
    for name, content in territory_files().items():
        text = content.decode()
        if "specimen-gentilly" in text:
            assert "since = 2027-03-01" in text
            text = text.replace("since = 2027-03-01", f"since = {opens}")
            text += f"""
[[practitioner]]
rpps = "{WITHOUT_FAX}"
family = "SANSFAX"
[[practitioner.role]]
key = "sansfax-gentilly"
organisation = "gentilly"
mailbox = "sans.fax@cms-gentilly.formation.mssante.fr"
"""
        (folder / name).write_text(text, encoding="utf-8")
        files[name] = text.encode()
    return files


def make_week(folder: Path) -> None:
    """An instance whose ledger holds the week; its clock ends now."""
    folder.mkdir()
    now = datetime.now(UTC)
    today = now.astimezone(ZoneInfo("Europe/Paris")).date()
    files = partners(folder, today.isoformat())
    names = ", ".join(json.dumps(name) for name in files)
    (folder / "tdu.toml").write_text(CONFIG.format(files=names), encoding="utf-8")
    (folder / "data").mkdir()
    (folder / "spool").mkdir()
    create_key_file(folder / "payload.key")
    world = World(f"sqlite:///{folder}/data/ledger.sqlite", Vault.open(folder / "payload.key"))
    world.clock = Clock(now - timedelta(days=400))
    world.ledger._database._clock = world.clock
    world.ledger.migrate()
    house = Instance(folder, world=world, directory=load_directory(files))
    numbers = iter(range(1000))
    for _ in range(OLD):
        house.letter(letter(next(numbers), EQUIPPED))
        house.dispatch(MAIL)
        house.prove(house.mail, DeliveryState.INTEGRATED)
    house.clock.now = now - timedelta(days=4)
    for _ in range(FAXED):
        house.letter(letter(next(numbers), SOON_EQUIPPED))
        house.dispatch(FAX)
        house.prove(house.fax, DeliveryState.DELIVERED)
    house.fax.script(*[unclear()] * IN_DOUBT)
    for _ in range(IN_DOUBT + 1):  # the last one is accepted, and then lost by its spool
        house.letter(letter(next(numbers), SOON_EQUIPPED))
        house.dispatch(FAX)
    for parcel in house.fax.parcels[-IN_DOUBT - 1 : -1]:
        job = json.dumps({"reference": parcel.reference, "pages": 1})
        (folder / "spool" / f"{spool_name(parcel.reference)}.json").write_text(job, encoding="utf-8")
    (folder / "spool" / "who.json").write_text(json.dumps({"reference": "who"}), encoding="utf-8")
    for _ in range(UNSENT):
        house.letter(letter(next(numbers), SOON_EQUIPPED))
    for _ in range(STUCK):
        house.letter(letter(next(numbers), WITHOUT_FAX))
    world.ledger.close()


# ── what a round leaves ──────────────────────────────────────────────────────────────────────────────────────────────

DUMPED = {
    "receipt": "id, state, reason, live_key IS NULL",
    "submission": "id, phase, summary",
    "delivery": "id, role_id, channel, leg, state, cause, reference, superseded_by, unclear_count, attempts",
    "work_item": "about, about_id, reason, decision, decided_by",
    "event": "about, about_id, kind, detail",
    "audit": "actor, action, about, about_id, detail",
    "payload_chunk": "row_id, kind, number",
    "lookup": "kind, mac, about_id",
    "daily_figure": "*",
    "cursor": "legal_entity, name",
}


def state_of(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that a round decides, without instants and random ids."""
    with closing(sqlite3.connect(folder / "data" / "ledger.sqlite")) as ledger:
        return {
            table: sorted(ledger.execute(f"SELECT {columns} FROM {table}").fetchall(), key=repr)
            for table, columns in DUMPED.items()
        }


def points(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Where to kill: few enough writes between two deaths that the round lives long enough for all of them."""
    for number in range(KILLS - 3):
        most = 100 if number % 6 == 5 else 5  # now and then a long way: the figures of a year are many small writes
        yield rng.choice(("in-write", "after-write")), str(rng.randint(1, most))
    yield "purging", "1"
    yield "proving", "1"
    yield "named", "1"


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_round_killed_at_twenty_points_and_run_to_its_end_leaves_what_one_clean_round_leaves(tmp_path: Path) -> None:
    make_week(tmp_path / "clean")
    shutil.copytree(tmp_path / "clean", tmp_path / "killed")
    before = state_of(tmp_path / "clean")
    clean = sync(tmp_path / "clean")
    assert clean.status == 1, "somebody must look at the spool"
    told = json.loads(clean.out)["jobs"]
    assert told["upgrade"]["counts"] == {"replanned": UNSENT, "planned_again": STUCK, "copies": FAXED}
    assert told["reconcile"]["counts"]["settled"] == IN_DOUBT
    assert told["reconcile"]["counts"]["missing"] == 1 and told["reconcile"]["counts"]["extra"] == 1
    assert told["retention"]["counts"]["receipts"] == OLD
    kills = [sync(tmp_path / "killed", *point) for point in points(random.Random(SEED))]
    assert [one.status for one in kills] == [-9] * KILLS, "every start was killed"
    last = sync(tmp_path / "killed")
    assert last.status == 1
    wanted, found = state_of(tmp_path / "clean"), state_of(tmp_path / "killed")
    assert wanted != before
    for table in DUMPED:
        assert found[table] == wanted[table], table
    for folder in ("clean", "killed"):
        (*_, copy) = backups_in(tmp_path / folder / "backups")
        prove_backup(copy, Vault.open(tmp_path / folder / "payload.key"))
    again = sync(tmp_path / "killed")
    assert again.status == 1 and state_of(tmp_path / "killed") == found, "a second whole round changes nothing"
