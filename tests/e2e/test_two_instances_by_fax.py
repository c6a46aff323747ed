"""A discharge letter through two running instances that only a HylaFAX joins, from a hospital's HL7 door to a practice's folder.

What is judged is what both kept and what lies in the practice's folder: the very document, by its canonical hash (of large files
the SHA-256, as docs/reference/fax-annex.md has it) and the hospital's signature; and what `tdu trace` tells at both ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from adapter.data import partners_root
from adapter.demo.messages import send_mllp
from adapter.fhir.canonical import canonical_json
from adapter.ledger.vault import create_key_file
from tests.builders.cda import build_ldl_ses
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.e2e.two_houses import House
from tests.loudly import skip_loudly
from tests.servers.hylafax import HylaFax, start_hylafax, why_not
from tests.servers.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.fax, pytest.mark.slow, pytest.mark.timeout(600)]

HOSPITAL, PRACTICE = "750712184", "949990220"
LETTER = "1.2.250.1.999.94.5.1"
# A call on a crowded machine takes its time.
CALL_SECONDS = 300.0

_BOTH = """\
[instance]
mode = "test"
name = "{name}"
workers = 1
[instance.sandbox]
mail = "hopital.app@essai.formation.mssante.fr"
fax = "+33199000001"
record = "http://127.0.0.1:9/fhir"
inbox = "{inbox}"
[[legal_entities]]
finess_ej = "{entity}"
name = "{name}"
source_oid = "1.2.250.1.999.94.1"
[legal_entities.sender]
phone = "+33199002000"
fax_number = "+33199002001"
product_reference = "TDU-ESSAI"
[ledger]
key_file = "payload.key"
[directory]
files = [{files}]
[doors.http]
port = {http}
[log]
format = "json"
"""
_SENDS = """\
[doors.mllp]
port = {mllp}
[[doors.mllp.peers]]
name = "dpi"
application = "DPI"
[channels.fax]
first_fax = "send"
annex_key = "fax-annex.pem"
[channels.fax.hylafax]
host = "127.0.0.1"
port = {fax}
max_dials = 6
max_tries = 6
for_tests = true
"""
_RECEIVES = """\
[[doors.fax]]
name = "accueil"
deliver_to = "role:org:cab-1"
poll_seconds = 0.5
[doors.fax.hylafax]
host = "127.0.0.1"
port = {fax}
for_tests = true
[[doors.fax.trusted]]
name = "Hôpital d'essai"
key = "hopital-fax.pem"
[channels.inbox]
[[channels.inbox.practices]]
name = "cab-1"
[channels.inbox.practices.folder]
path = "cabinet"
format = "fhir"
poll_seconds = 0.5
settle_seconds = 0.5
"""
_CABINET = """\
[[organisation]]
key = "cab-1"
name = "Cabinet d'essai"
legal_entity = "commune-ivry"
finess = "949900013"
kind = "health-centre"
channels = [{ channel = "inbox", address = "cab-1" }]
"""


@dataclass
class World:
    """The telephone line, and the house at each end."""

    line: HylaFax
    hospital: House
    practice: House


@pytest.fixture
def world(tmp_path: Path, require_root_servers: None) -> Iterator[World]:
    if reason := why_not():
        skip_loudly(reason)
    with ExitStack() as undo:
        line = start_hylafax()
        undo.callback(line.stop)
        key = Ed25519PrivateKey.generate()
        hospital = _house(tmp_path / "hospital", "Hôpital d'essai", HOSPITAL, _SENDS, line)
        (hospital.folder / "fax-annex.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        practice = _house(tmp_path / "practice", "Commune d'essai", PRACTICE, _RECEIVES, line)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (practice.folder / "hopital-fax.pem").write_bytes(public)
        (practice.folder / "cabinet").mkdir()
        for house in (hospital, practice):
            undo.callback(house.stop)
            house.start()
        yield World(line, hospital, practice)


def _house(folder: Path, name: str, entity: str, own: str, line: HylaFax) -> House:
    folder.mkdir()
    create_key_file(folder / "payload.key")
    files = {file: (partners_root() / file).read_text(encoding="utf-8") for file in ("reference-territory.toml", "units.csv")}
    if own is _RECEIVES:
        files["cabinet.toml"] = _CABINET
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    house = House(folder, entity, free_port(), free_port())
    places = {"http": house.http_port, "mllp": house.mllp_port, "fax": line.port, "inbox": "cab-1" if own is _RECEIVES else ""}
    named = ", ".join(f'"{file}"' for file in files)
    text = (_BOTH + own).format(name=name, entity=entity, files=named, **places)
    house.config_file.write_text(text, encoding="utf-8")
    return house


def _kept(house: House) -> list[dict[str, Any]]:
    """The documents of an instance, as `tdu export` gives them to a person."""
    out = house.folder / "export"
    command = [sys.executable, "-m", "adapter", "export", "--out", str(out), "--config", str(house.config_file), "--workers", "1"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return [json.loads(row) for file in sorted(out.glob("*.ndjson")) for row in file.read_text(encoding="utf-8").splitlines()]


def _hash(bundle: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(bundle)).hexdigest()


def _source(bundle: dict[str, Any]) -> bytes:
    """What the document was made from at the practice: kept to the byte, as a source of any other door is."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    (source,) = [one for one in resources if one["resourceType"] == "Binary" and one["contentType"] == "application/fhir+json"]
    return base64.b64decode(source["data"])


def _others(bundle: dict[str, Any]) -> dict[str, bytes]:
    """Every resource but the head and the files, by its address: what is said of patient, author and care."""
    told = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    return {url: canonical_json(one) for url, one in told.items() if one["resourceType"] not in {"Composition", "Binary"}}


def _events(house: House) -> str:
    """Everything that the trace of the letter tells, as one text."""
    return json.dumps(house.trace(LETTER), ensure_ascii=False)


def test_a_letter_faxed_by_one_instance_is_the_very_document_at_the_other_with_a_proof_for_every_page(world: World) -> None:
    cda = build_ldl_ses(document_id=LETTER)
    message = build_mdm(cda, control_id="FAX1", recipients=(DOCTOR,), change={"MSH-11": "T"})
    assert b"MSA|AA|FAX1" in send_mllp(world.hospital.mllp_port, message)
    shelf = world.practice.folder / "cabinet"
    world.practice.wait(lambda: list(shelf.glob("*.json")), "a document in the practice's folder", CALL_SECONDS)
    world.hospital.wait(lambda: '"delivered"' in _events(world.hospital), "the proof of the pages", CALL_SECONDS)

    (sent,), (received,) = _kept(world.hospital), _kept(world.practice)
    (lying,) = [json.loads(file.read_text(encoding="utf-8")) for file in shelf.glob("*.json")]
    for document in (received, lying):
        assert hashlib.sha256(_source(document)).hexdigest() == _hash(sent)
        assert _others(sent).items() <= _others(document).items()

    told_there, told_here = _events(world.hospital), _events(world.practice)
    (world.hospital.folder / "timeline.json").write_text(told_there, encoding="utf-8")
    (world.practice.folder / "timeline.json").write_text(told_here, encoding="utf-8")
    assert "MCF" in told_there
    assert world.hospital.reasons() == world.practice.reasons() == []
    assert world.hospital.conserves() and world.practice.conserves()
