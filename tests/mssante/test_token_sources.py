"""Tokens come fresh from a file, a command or a sign-in service, and are written nowhere; a dead session is told as dead."""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from mssante.errors import MssanteError, SessionEndedError, TokenUnavailableError
from mssante.token_sources import CommandToken, FileToken, RefreshedToken

NOW = 1_800_000_000.0


def jwt(ends: float) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part({'exp': ends})}.sig"


# ── a file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    source = FileToken(tmp_path / "token", now=lambda: NOW)
    source.file.write_text("first\n")
    assert source() == "first"
    source.file.write_text(jwt(NOW + 60))
    assert source() == jwt(NOW + 60)


@pytest.mark.parametrize("content", ["", "  \n", "two words", "a\x01b", "jeton é", "x" * 70_000, jwt(NOW), jwt(NOW - 1)])
def test_what_cannot_be_a_token_now_is_not_presented(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(TokenUnavailableError) as caught:
        FileToken(tmp_path / "token", now=lambda: NOW)()
    assert content.strip() == "" or content.strip()[:12] not in str(caught.value)


def test_a_file_that_is_not_there_may_come(tmp_path: Path) -> None:
    with pytest.raises(TokenUnavailableError):
        FileToken(tmp_path / "absent")()


# ── a command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def command(code: str, **options: Any) -> CommandToken:
    return CommandToken((sys.executable, "-c", code), **options)


def test_a_command_tells_the_token() -> None:
    assert command("print('abc.def')")() == "abc.def"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys; sys.exit(2)", SessionEndedError),
        ("import sys; sys.exit(1)", TokenUnavailableError),
        ("print('')", TokenUnavailableError),
        ("import time; time.sleep(30)", TokenUnavailableError),
    ],
)
def test_how_a_command_ends_says_whether_to_come_back(code: str, expected: type[MssanteError]) -> None:
    with pytest.raises(expected):
        command(code, timeout_seconds=1.0)()


def test_a_command_that_is_not_there_is_no_crash() -> None:
    with pytest.raises(TokenUnavailableError):
        CommandToken(("/no/such/command",))()


# ── a sign-in service ───────────────────────────────────────────────────────────────────────────────────────────────


class SignIn:
    """A token endpoint: each refresh gives a new pair; a used refresh token is dead."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.good = "r0"
        self.status: int | None = None
        self.count = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, answer = owner.answer({name: values[0] for name, values in parse_qs(body).items()})
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.asked.append(form)
        if self.status is not None:
            return self.status, {}
        if form["refresh_token"] != self.good:
            return 400, {"error": "invalid_grant"}
        self.count += 1
        self.good = f"r{self.count}"
        return 200, {"access_token": f"a{self.count}", "expires_in": 300, "refresh_token": self.good}


@pytest.fixture
def sign_in() -> Iterator[SignIn]:
    made = SignIn()
    threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Source:
    def __init__(self, folder: Path, sign_in: SignIn) -> None:
        self.clock = [NOW]
        self.file = folder / "refresh"
        self.file.write_text("r0\n")
        self.token = RefreshedToken(sign_in.url, self.file, "tdu", lambda: "s3cret", now=lambda: self.clock[0])


@pytest.fixture
def source(tmp_path: Path, sign_in: SignIn) -> Source:
    return Source(tmp_path, sign_in)


def test_a_token_is_asked_for_once_in_its_life_and_the_refresh_token_follows_in_memory(source: Source, sign_in: SignIn) -> None:
    assert [source.token(), source.token()] == ["a1", "a1"]
    source.clock[0] += 290
    assert source.token() == "a2"
    assert sign_in.asked[0] == {
        "grant_type": "refresh_token",
        "refresh_token": "r0",
        "client_id": "tdu",
        "client_secret": "s3cret",
    }
    assert [form["refresh_token"] for form in sign_in.asked] == ["r0", "r1"]
    assert source.file.read_text() == "r0\n", "nothing is ever written"
    assert "a2" not in repr(source.token)
    assert "r2" not in repr(source.token)


def test_a_dead_refresh_token_ends_the_session_until_somebody_signs_in_again(source: Source, sign_in: SignIn) -> None:
    sign_in.good = "other"
    for _ in range(3):
        with pytest.raises(SessionEndedError):
            source.token()
    assert len(sign_in.asked) == 1, "what is dead is not asked again (ECO 1.2.6)"
    source.file.write_text("other")
    assert source.token() == "a1"


@pytest.mark.parametrize("status", [500, 503, 401, 400, 302])
def test_a_service_that_cannot_answer_now_may_later_and_is_not_followed_elsewhere(
    source: Source, sign_in: SignIn, status: int
) -> None:
    sign_in.status = status
    with pytest.raises(TokenUnavailableError):
        source.token()
    sign_in.status = None
    assert source.token() == "a1"


def test_a_refresh_token_never_travels_in_clear(tmp_path: Path) -> None:
    with pytest.raises(TokenUnavailableError):
        RefreshedToken("http://auth.example/token", tmp_path / "refresh", "tdu")
