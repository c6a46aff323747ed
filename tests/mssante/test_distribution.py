"""The distribution `mssante` on its own: built, installed into empty environments, its README run as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

# What a user does by hand around the README: files with its names, servers behind its hosts.
PLAY_README = """
import contextlib, io, re, shutil, sys
from importlib.metadata import metadata
from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from mssante.testing import OperatorDouble, make_test_pki
from mssante.testing_mailbox import MailboxDouble
from mssante.trust import read_certificates

text = metadata("mssante").get_payload()
read, imports, send, doubles = re.findall(r"```python\\n(.*?)```", text, re.DOTALL)
assert len(read.strip().splitlines()) == 10, "the first example has ten lines"

made = make_test_pki(Path("made"), client_name="labo-app")
shutil.copy(made.authority, "igc-sante.pem")
shutil.copy(made.client_certificate, "application.pem")
shutil.copy(made.client_key, "application.key")
key = load_pem_private_key(made.client_key.read_bytes(), None)
(certificate,) = read_certificates(made.client_certificate)
container = pkcs12.serialize_key_and_certificates(b"app", key, certificate, None, BestAvailableEncryption(b"mot de passe"))
Path("application.p12").write_bytes(container)
Path("application.password").write_text("mot de passe\\n")
Path("letter.xml").write_bytes(b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>")


def run(code):
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(compile(code, "README", "exec"), {"__name__": "readme"})
    return told.getvalue().strip()


with OperatorDouble(made) as operator, MailboxDouble(made) as mailbox:
    assert send.count('"smtp.operateur.example"') == send.count("port=587") == 1
    sent = send.replace('"smtp.operateur.example"', '"localhost"').replace("port=587", f"port={operator.port}")
    assert run(sent) == "accepted", run(sent)
    (mail,) = operator.received
    assert mail.client == "labo-app"
    uid = mailbox.deliver(mail.content)
    reading = read.replace('"imap.operateur.example", 143', f'"localhost", {mailbox.port}')
    assert reading != read
    told = run(imports + reading)
    assert told == "CR d'examens biologiques 42 bytes", told
    assert mailbox.flags(uid) == {"$Kept"}
    assert run(imports + reading) == "", "shown again"
assert len(run(doubles).split()) == 2
print("README played")
"""

IMPORT_ALL = """
import importlib, json, pkgutil, mssante
found = {}
for info in pkgutil.walk_packages(mssante.__path__, "mssante."):
    try:
        importlib.import_module(info.name)
        found[info.name] = ""
    except ModuleNotFoundError as error:
        found[info.name] = error.name.partition(".")[0]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        folder,
        project_root / "mssante",
    )
    (built,) = folder.glob("mssante-*.whl")
    return built


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def empty_environment(folder: Path, requirement: str) -> Path:
    """An interpreter that knows nothing but what is asked for here."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--disable-pip-version-check", requirement)
    return python


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    return empty_environment(tmp_path_factory.mktemp("all") / "venv", f"{wheel}[all]")


def test_the_readme_runs_as_it_stands_in_an_empty_environment(everything: Path, tmp_path: Path) -> None:
    (tmp_path / "play.py").write_text(PLAY_README, encoding="utf-8")
    assert run(everything, "play.py", cwd=tmp_path).strip() == "README played"


def test_every_module_is_imported_and_nothing_of_the_adapter_is_there(everything: Path, tmp_path: Path) -> None:
    found = json.loads(run(everything, "-c", IMPORT_ALL, cwd=tmp_path))
    assert {name: missing for name, missing in found.items() if missing} == {}
    assert len(found) > 20
    run(everything, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('adapter') is not None)", cwd=tmp_path)


def test_without_extras_only_their_own_modules_are_missing(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> None:
    folder = tmp_path_factory.mktemp("core")
    found = json.loads(run(empty_environment(folder / "venv", str(wheel)), "-c", IMPORT_ALL, cwd=folder))
    missing = {name.removeprefix("mssante."): module for name, module in found.items() if module}
    assert missing == {
        "directory": "requests",
        "live_tls": "cryptography",
        "testing": "aiosmtpd",
        "testing_mailbox": "aiosmtpd",
        "trust": "cryptography",
    }


def test_the_wheel_holds_the_modules_the_type_mark_and_the_licence_and_nothing_else(wheel: Path, project_root: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"mssante/{path.name}" for path in (project_root / "mssante").glob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == modules | {"mssante/py.typed"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_makes_the_same_wheel(wheel: Path, project_root: Path, tmp_path: Path) -> None:
    build = "import hatchling.build, sys; print(hatchling.build.build_sdist(sys.argv[1]))"
    name = run(sys.executable, "-c", build, tmp_path, cwd=project_root / "mssante").strip().splitlines()[-1]
    with tarfile.open(tmp_path / name) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index", "-w", tmp_path, source)
    (again,) = tmp_path.glob("*.whl")
    ours, theirs = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    assert {n: ours.read(n) for n in ours.namelist()} == {n: theirs.read(n) for n in theirs.namelist()}


def test_the_licence_is_the_projects(project_root: Path) -> None:
    assert (project_root / "mssante/LICENSE").read_bytes() == (project_root / "LICENSE").read_bytes()
