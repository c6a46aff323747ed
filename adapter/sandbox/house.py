"""The sandbox's house: a folder with configuration, partners and keys, and the real service on loopback, fed through *accept*.

Nothing is played: letters are judged and kept as any door's, the service prepares and publishes them, clients call its real API.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

from adapter.assembly import assemble
from adapter.config import Config, load_config
from adapter.data import partners_root
from adapter.demo.ports import free_port
from adapter.errors import TduError
from adapter.ledger.ledger import Ledger
from adapter.ledger.vault import create_key_file
from adapter.model.publication import Readers
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.opening import migrate_ledger, open_ledger
from adapter.sandbox.letters import Letter, message_of
from adapter.sandbox.scene import ROLES, first_act, hidden_later, second_act

T = TypeVar("T")
ENTITY = "750712184"
PRACTICE = "cabinet"
READY_PATIENCE_SECONDS = 60.0
SCOPES = ("system/DocumentReference.rus", "system/Binary.r", "system/Bundle.r", "system/Task.rus", "system/ServiceRequest.rs")

_CONFIG = """\
[instance]
mode = "test"
name = "bac-a-sable"
workers = 1
data_dir = "data"

[instance.sandbox]
mail = "bac-a-sable@aphp.formation.mssante.fr"
fax = "+33199000000"
record = "http://127.0.0.1:9/fhir"
inbox = "{practice}"
faults = true

[[legal_entities]]
finess_ej = "{entity}"
name = "Hôpital du bac à sable"
source_oid = "1.2.250.1.999.94.1"
[legal_entities.sender]
mailbox = "traitdunion@aphp.formation.mssante.fr"
mail_label = "Bac à sable"
product_reference = "TDU-BAC"
phone = "+33199002000"

[ledger]
key_file = "payload.key"

[directory]
files = ["reference-territory.toml", "units.csv"]

[doors.http]
port = {port}
legal_entity = "{entity}"

[channels.inbox]
public_url = "{base_url}"
[[channels.inbox.practices]]
name = "{practice}"
{folder}
[log]
format = "json"
"""
_FOLDER = """\
[channels.inbox.practices.folder]
path = "dossier"
format = "{format}"
poll_seconds = 0.5
settle_seconds = 1
vanish_seconds = 10
"""
_CLIENT = """
[[channels.inbox.clients]]
name = "{name}"
practices = ["{practice}"]
keys = "clients/{name}.jwks.json"
scopes = [{scopes}]
roles = [{roles}]
"""


@dataclass(frozen=True)
class SandboxClient:
    """A client of the sandbox: its client_id, the file of its private key (PEM, ES384), the roles whose documents it sees."""

    id: str
    key_file: Path
    roles: tuple[str, ...]


CLIENTS = {"logiciel-trois-fonctions": ROLES, "logiciel-ivry": (ROLES[1],), "logiciel-bagneux": (ROLES[2],)}


class Sandbox:
    """`with Sandbox(folder) as sandbox: …` starts it with its first act; leaving stops it."""

    def __init__(self, folder: Path, port: int = 0, folder_format: str = "") -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/fhir"
        self.drop_folder = self.folder / "dossier" if folder_format else None
        self.clients = tuple(
            SandboxClient(name, self.folder / "clients" / f"{name}.pem", roles) for name, roles in CLIENTS.items()
        )
        self._format = folder_format
        self._config_file = self.folder / "tdu.toml"
        self._service: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._write_files()
        migrate_ledger(self._config())
        self._start()
        try:
            self.play_first_act()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # ── the play ──────────────────────────────────────────────────────────────────────────────────────────────

    def play_first_act(self) -> None:
        """What is new."""
        self._submit(first_act())
        self._await_feed(len(first_act()))

    def play_second_act(self) -> None:
        """Replacements, cancellations, and what a person hides."""
        self._submit(second_act())
        with_ledger(self._config(), _hide)
        self._await_feed(len(first_act()) + len(second_act()) + len(hidden_later()))

    def _submit(self, letters: Sequence[Letter]) -> None:
        instance = assemble(self._config())
        try:
            for letter in letters:
                principal = Principal("bac-a-sable", "operator", ENTITY)
                arrival = Arrival(message_of(letter), "cli", principal, datetime.now(UTC), zone="Europe/Paris")
                answer = instance.pipeline.commit([instance.pipeline.judge(arrival)])[0]
                if answer.verdict is not Verdict.ACCEPTED:
                    codes = ", ".join(finding.code for finding in answer.findings)
                    raise TduError("sandbox.refused", f"a case of the sandbox was refused: {codes}", where=letter.control_id)
        finally:
            instance.ledger.close()

    def _await_feed(self, expected: int) -> None:
        def published(ledger: Ledger) -> bool:
            return len(ledger.feed(Readers(ENTITY, (PRACTICE,)), PRACTICE, 0, expected + 1)) >= expected

        deadline = time.monotonic() + READY_PATIENCE_SECONDS
        while not with_ledger(self._config(), published):
            if time.monotonic() > deadline or self._has_ended():
                raise TduError("sandbox.not-published", "the cases were not published.", where=str(self.folder / "service.log"))
            time.sleep(0.1)

    # ── the service ───────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        command = [sys.executable, "-m", "adapter", "serve", "--config", str(self._config_file)]
        with (self.folder / "service.log").open("ab") as log:
            self._service = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + READY_PATIENCE_SECONDS
        while time.monotonic() < deadline and not self._has_ended():
            try:
                if requests.get(f"http://127.0.0.1:{self.port}/health/ready", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        self.stop()
        raise TduError("sandbox.not-ready", "the service did not get ready.", where=str(self.folder / "service.log"))

    def _has_ended(self) -> bool:
        return self._service is None or self._service.poll() is not None

    def stop(self) -> None:
        """Orderly stop of the service."""
        if self._service is None or self._service.poll() is not None:
            return
        self._service.send_signal(signal.SIGTERM)
        try:
            self._service.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._service.kill()
            self._service.wait()

    # ── files ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _config(self) -> Config:
        return load_config(self._config_file, {})

    def _write_files(self) -> None:
        (self.folder / "clients").mkdir(parents=True, exist_ok=True)
        if not (self.folder / "payload.key").exists():
            create_key_file(self.folder / "payload.key")
        shutil.copyfile(partners_root() / "units.csv", self.folder / "units.csv")
        (self.folder / "reference-territory.toml").write_text(_partners(), encoding="utf-8")
        for client in self.clients:
            _make_keys(client)
        clients = "".join(
            _CLIENT.format(
                name=client.id,
                practice=PRACTICE,
                scopes=", ".join(f'"{scope}"' for scope in SCOPES),
                roles=", ".join(f'"{role}"' for role in client.roles),
            )
            for client in self.clients
        )
        text = _CONFIG.format(
            practice=PRACTICE,
            entity=ENTITY,
            port=self.port,
            base_url=self.base_url,
            folder=_FOLDER.format(format=self._format) if self._format else "",
        )
        self._config_file.write_text(text + clients, encoding="utf-8")


def with_ledger(config: Config, use: Callable[[Ledger], T]) -> T:
    """Open the ledger for one use."""
    ledger = open_ledger(config)
    try:
        return use(ledger)
    finally:
        ledger.close()


def _hide(ledger: Ledger) -> None:
    for letter, audience in hidden_later():
        ledger.order_visibility(letter.document_id, frozenset({audience}), "Dr MAQUETTE", legal_entity=ENTITY)


def _partners() -> str:
    """The reference territory, where the three roles of one doctor import."""
    text = (partners_root() / "reference-territory.toml").read_text("utf-8")
    for role in ROLES:
        key = f'key = "{role.removeprefix("role:")}"\n'
        if key not in text:
            raise TduError("sandbox.no-role", "the reference territory has no such role.", where=role)
        text = text.replace(key, key + f'channels = [{{ channel = "inbox", address = "{PRACTICE}" }}]\n')
    return text


def _make_keys(client: SandboxClient) -> None:
    """A new pair: the private key for the integrator (0600), the public one for the service."""
    private = ec.generate_private_key(ec.SECP384R1())
    client.key_file.touch(mode=0o600)
    client.key_file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": client.id, "use": "sig", "alg": "ES384"}
    client.key_file.with_name(f"{client.id}.jwks.json").write_text(json.dumps({"keys": [public]}, indent=1))
