"""The pages keep their word: README's and the tutorial's commands are run as they are written, on free ports."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import adapter
from tests.servers.ports import free_port

ROOT = Path(adapter.__file__).resolve().parent.parent
PATIENCE_SECONDS = 150

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(200)]


@dataclass(frozen=True)
class Told:
    """What one run of a page's commands printed."""

    status: int
    text: str


def shell_blocks(page: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def on_free_ports(script: str) -> str:
    """The same commands, the instance's ports moved: the page's own may be in use here."""
    ports = {port: str(free_port()) for port in ("2575", "8080", "2587", "2576", "2143")}
    moved = re.sub(rf"\b({'|'.join(ports)})\b", lambda found: ports[found.group()], script)
    change = " ".join(f"-e s/{old}/{new}/" for old, new in ports.items())
    return re.sub(r"^tdu init (\S+)", rf"tdu init \1 && sed -i {change} \1/tdu.toml", moved, flags=re.MULTILINE)


def follow(script: str, folder: Path) -> Told:
    """Run as a person would in bash; stop at the first command that fails."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb", "COLUMNS": "200"}
    output = folder / "output.txt"
    process = subprocess.Popen(
        ["bash", "-emu", "-o", "pipefail", "-c", on_free_ports(script)],
        cwd=folder,
        env=environ,
        stdout=output.open("wb"),
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = process.wait(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        status = -1
    finally:
        end_session(process.pid)
    return Told(status, output.read_text(encoding="utf-8"))


def end_session(session: int) -> None:
    """End what the page left running: every process of the session that we started, by its id."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getsid(int(entry.name)) == session:
                os.kill(int(entry.name), signal.SIGKILL)
        except ProcessLookupError:
            continue


def need_tdu() -> None:
    if shutil.which("tdu", path=str(Path(sys.executable).parent)) is None:
        pytest.fail("the command tdu is not installed beside this Python: pip install -e .")


def test_the_tutorial_wires_a_partner(tmp_path: Path) -> None:
    need_tdu()
    blocks = [block for block in shell_blocks("docs/tutorial/wire-a-partner.md") if not block.startswith("make ")]
    told = follow("\n".join(blocks), tmp_path)
    assert told.status == 0, told.text[-3000:]
    assert "MSA|AA|TUTO-1" in told.text
    assert "le destinataire ne sera équipé que le 02/03/2020" in told.text
    assert re.search(r"accepted\s+mssante → role:tutoriel-ivry|mssante → .*tutoriel-ivry", told.text), told.text[-3000:]
    # Judged from outside: what the operator received, after the message was sent twice.
    assert len(list((tmp_path / "instance" / "received").glob("*.eml"))) == 1


def test_the_second_tutorial_brings_proofs_and_a_mail_in(tmp_path: Path) -> None:
    need_tdu()
    pages = ("docs/tutorial/wire-a-partner.md", "docs/tutorial/proofs-and-mail-in.md")
    blocks = [block for page in pages for block in shell_blocks(page) if not block.startswith("make ")]
    told = follow("\n".join(blocks), tmp_path)
    assert told.status == 0, told.text[-3000:]
    # Judged from outside: what the hospital's software and the operator received.
    arrived = [message.read_bytes().split(b"\r")[0].split(b"|")[8] for message in (tmp_path / "instance" / "arrived").iterdir()]
    assert sorted(arrived) == [b"MDM^T02^MDM_T02", b"MDM^T10^MDM_T02", b"ZAM^Z02^ZAM_Z01", b"ZAM^Z03^ZAM_Z01"], told.text[-3000:]
    mails = [mail.read_bytes() for mail in (tmp_path / "instance" / "received").glob("*.eml")]
    assert sum(b"sent-automatically; processed\r\n" in mail for mail in mails) == 1
    assert sum(b"Subject: [Annule et remplace]" in mail for mail in mails) == 2, "both letters under the identity of today"
    assert "Nothing waits for a person." in told.text.rpartition("correct by")[2]


def test_the_readme_example_runs(tmp_path: Path) -> None:
    need_tdu()
    (example,) = [block for block in shell_blocks("README.md") if "tdu init" in block]
    (tmp_path / "adapter").symlink_to(ROOT / "adapter")
    told = follow(example.replace(". .venv/bin/activate\n", ""), tmp_path)
    assert told.status == 0, told.text[-3000:]
    assert '"receipt"' in told.text
    results = {path.suffix for path in (tmp_path / "my-hospital" / "results").iterdir()}
    assert {".json", ".pdf"} <= results
