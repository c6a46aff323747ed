"""A double of hfaxd's receive queue on loopback, with the ways of the real one: it breaks off after a refused retrieval, never
answers to the retrieval of an empty file, hides a fax that is coming in from whoever is no administrator.

The contract test plays the same scenes with the real server.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

AT = datetime(2026, 11, 22, 5, 1, 29, tzinfo=UTC)


@dataclass
class Lying:
    """One file of the queue. `is_fax` is false for what is no TIFF; `is_closed`: hfaxd itself may not read it."""

    content: bytes
    at: datetime = AT
    station: str = ""
    caller: str = ""
    subaddress: str = ""
    is_coming_in: bool = False
    is_fax: bool = True
    is_closed: bool = False
    took: str = ""


@dataclass
class QueueDouble:
    """Start it as a context; `files` is what lies there, `said` what it was asked."""

    password: str = ""
    administrator: str = "geheim"
    files: dict[str, Lying] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    cuts: set[str] = field(default_factory=set)
    port: int = 0
    may_remove: bool = True

    def __enter__(self) -> Self:
        double = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _Conversation(double, self.connection).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Conversation:
    """One client's."""

    def __init__(self, double: QueueDouble, line: socket.socket) -> None:
        self.double = double
        self.line = line
        self.is_administrator = False
        self.has_refused = False
        self.format = ""
        self.data: socket.socket | None = None

    def run(self) -> None:
        self._answer("220 double server ready.")
        try:
            for raw in self.line.makefile("rb"):
                words = raw.decode("latin-1").rstrip("\r\n")
                self.double.said.append(words)
                verb, _, rest = words.partition(" ")
                act = getattr(self, f"do_{verb.lower()}", None)
                if act is None:
                    self._answer(f"200 {verb} command successful.")
                elif not act(rest):
                    return
        except OSError:
            return

    def do_user(self, _name: str) -> bool:
        return self._answer("331 Password required." if self.double.password else "230 User logged in.")

    def do_pass(self, word: str) -> bool:
        return self._answer("230 User logged in." if word == self.double.password else "530 Login incorrect.")

    def do_admin(self, word: str) -> bool:
        self.is_administrator = word == self.double.administrator
        return self._answer("230 Administrative privileges established." if self.is_administrator else "530 Password incorrect.")

    def do_rcvfmt(self, words: str) -> bool:
        if "%q" in words:
            return False
        self.format = words.strip('"')
        return self._answer("200 RCVFMT command successful.")

    def do_pasv(self, _rest: str) -> bool:
        self.data = socket.create_server(("127.0.0.1", 0))
        port = self.data.getsockname()[1]
        return self._answer(f"227 Entering passive mode (127,0,0,1,{port >> 8},{port & 255})")

    def do_list(self, _rest: str) -> bool:
        if self.has_refused:
            return False
        rows = [self._row(name, one) for name, one in self._seen() if one.is_fax and not one.is_closed]
        return self._send("\r\n".join([*rows, ""]).encode("latin-1"))

    def do_nlst(self, _rest: str) -> bool:
        return self._send("".join(f"{name}\r\n" for name, _ in self._seen()).encode("latin-1"))

    def do_retr(self, path: str) -> bool:
        name = path.removeprefix("recvq/")
        if self.has_refused:
            return False
        one = dict(self._seen()).get(name)
        if one is None or one.is_closed:
            self.has_refused = True
            return self._answer(f"550 {path}: No such file or directory.")
        if not one.content:
            return True  # the real one says nothing any more
        if name in self.double.cuts:
            self._send(one.content[: len(one.content) // 2])
            return False
        return self._send(one.content)

    def do_size(self, path: str) -> bool:
        one = self.double.files.get(path.removeprefix("recvq/"))
        return self._answer(f"213 {len(one.content)}" if one else f"550 {path}: not a plain file.")

    def do_mdtm(self, path: str) -> bool:
        one = self.double.files.get(path.removeprefix("recvq/"))
        return self._answer(f"213 {one.at:%Y%m%d%H%M%S}" if one else f"550 {path}: No such file or directory.")

    def do_dele(self, path: str) -> bool:
        name = path.removeprefix("recvq/")
        if not (self.is_administrator and self.double.may_remove) or name not in self.double.files:
            return self._answer(f"550 {path}: Operation not permitted.")
        del self.double.files[name]
        return self._answer("250 DELE command successful.")

    def do_quit(self, _rest: str) -> bool:
        self._answer("221 Goodbye.")
        return False

    def _seen(self) -> list[tuple[str, Lying]]:
        return [(name, one) for name, one in self.double.files.items() if self.is_administrator or not one.is_coming_in]

    def _row(self, name: str, one: Lying) -> str:
        told = {"n": str(len(one.content)), "z": "*" if one.is_coming_in else " ", "Y": f"{one.at:%Y/%m/%d %H.%M.%S}"}
        told |= {"f": name, "a": one.subaddress, "j": one.caller, "h": one.took, "s": one.station}
        row = self.format
        for letter, value in told.items():
            row = row.replace(f"%{letter}", value, 1)
        return row

    def _send(self, content: bytes) -> bool:
        assert self.data is not None
        self._answer("150 Opening new data connection.")
        connection, _ = self.data.accept()
        with connection:
            connection.sendall(content)
        self.data.close()
        return self._answer("226 Transfer complete.")

    def _answer(self, words: str) -> bool:
        self.line.sendall(f"{words}\r\n".encode("latin-1"))
        return True
