"""A mailbox on loopback for tests: an IMAP server small enough to read, with its faults on command.

It speaks what `mssante.mailbox` needs (STARTTLS, EXTERNAL, XOAUTH2, SELECT, UID SEARCH, FETCH, STORE, MOVE, IDLE) and no more:
real servers (Dovecot) judge the client, this one misbehaves as no real server does when asked. Nothing leaves the machine.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import TracebackType
from typing import Self

from mssante.imap_folder import decode_name, encode_name
from mssante.testing import LOOPBACK, TestPki, server_context

_INTERNAL_DATE, _ARRIVED_ON = "21-Nov-2026 10:00:00 +0100", date(2026, 11, 21)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FETCH = re.compile(r"BODY\.PEEK\[(HEADER)?\]<(\d+)\.(\d+)>")


class ImapMoment(StrEnum):
    """When a fault strikes: at the connection, or when that command is answered."""

    GREETING = "greeting"
    LOGIN = "login"
    SELECT = "select"
    SEARCH = "search"
    FETCH = "fetch"
    STORE = "store"
    IDLE = "idle"


@dataclass(frozen=True)
class ImapFault:
    """One misbehaviour, once. For FETCH it strikes inside the content."""

    at: ImapMoment
    reply: str = ""
    stall_seconds: float = 0.0
    trickle_seconds: float = 0.0
    announced_bytes: int = 0

    @classmethod
    def answer(cls, at: ImapMoment, reply: str) -> ImapFault:
        """Answer so (`NO [INUSE] later`, `BAD what`) instead of obeying."""
        return cls(at, reply=reply)

    @classmethod
    def drop(cls, at: ImapMoment) -> ImapFault:
        """Cut the line; inside a FETCH, half-way through the content."""
        return cls(at)

    @classmethod
    def stall(cls, at: ImapMoment, seconds: float = 3600.0) -> ImapFault:
        """Say nothing."""
        return cls(at, stall_seconds=seconds)

    @classmethod
    def trickle(cls, at: ImapMoment, seconds: float) -> ImapFault:
        """One byte, a pause, one byte: a socket's time-out never strikes."""
        return cls(at, trickle_seconds=seconds)

    @classmethod
    def announce(cls, size: int) -> ImapFault:
        """Announce that much content instead of the message's size."""
        return cls(ImapMoment.FETCH, announced_bytes=size)


@dataclass(repr=False)
class _Message:
    content: bytes
    flags: set[str] = field(default_factory=set)


@dataclass(repr=False)
class _Folder:
    uid_validity: int
    uid_next: int = 1
    messages: dict[int, _Message] = field(default_factory=dict)


class MailboxDouble:
    """The server: `with MailboxDouble(pki) as double: …`, then `double.port` (a free one unless given). One box, whoever logs in.

    `idles`, `moves`, `keeps_keywords`: what it offers. `token`: the only access token taken (None: XOAUTH2 is not offered).
    """

    def __init__(
        self,
        pki: TestPki,
        *,
        port: int = 0,
        folders: Iterable[str] = ("INBOX",),
        idles: bool = True,
        moves: bool = True,
        keeps_keywords: bool = True,
        token: str | None = None,
        wants_certificate: bool = True,
    ) -> None:
        self.changed = threading.Condition()
        self.folders = {name: _Folder(1_000_000 + number) for number, name in enumerate(folders)}
        self.idles = idles
        self.moves = moves
        self.keeps_keywords = keeps_keywords
        self.token = token
        self.context = server_context(pki, wants_certificate)
        self.logins: list[str] = []
        self.commands: list[str] = []
        self._faults: list[ImapFault] = []
        self._stopping = threading.Event()
        self.lines: list[socket.socket] = []
        self._requested_port = port
        self._listener: socket.socket | None = None
        self._server: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._listener = socket.create_server((LOOPBACK, self._requested_port))
        self._server = threading.Thread(target=self._serve, args=(self._listener,), daemon=True)
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self.hang_up()
        if self._listener is not None:
            # A thread that waits in accept keeps the port until it is woken.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if self._server is not None:
            self._server.join(5)

    @property
    def port(self) -> int:
        """The port listened on."""
        if self._listener is None:
            raise RuntimeError("the mailbox double is not started")
        port: int = self._listener.getsockname()[1]
        return port

    def deliver(self, content: bytes, folder: str = "INBOX") -> int:
        """A mail arrives; returns its UID."""
        with self.changed:
            place = self.folders[folder]
            uid, place.uid_next = place.uid_next, place.uid_next + 1
            place.messages[uid] = _Message(content)
            self.changed.notify_all()
            return uid

    def flags(self, uid: int, folder: str = "INBOX") -> frozenset[str]:
        """The flags and keywords of a message."""
        with self.changed:
            return frozenset(self.folders[folder].messages[uid].flags)

    def renumber(self, folder: str = "INBOX") -> None:
        """What a restored server does: other UIDs, another UIDVALIDITY, keywords forgotten."""
        with self.changed:
            place = self.folders[folder]
            kept = [_Message(message.content) for message in place.messages.values()]
            messages = dict(enumerate(kept, start=1))
            self.folders[folder] = _Folder(place.uid_validity + 1000, len(kept) + 1, messages)

    def script(self, *faults: ImapFault) -> None:
        """Misbehave so, once each, in this order for a given moment."""
        with self.changed:
            self._faults.extend(faults)

    def hang_up(self) -> None:
        """Cut every line."""
        for line in self.lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def take_fault(self, at: ImapMoment) -> ImapFault | None:
        """The next scripted fault for that moment, used up."""
        with self.changed:
            found = next((fault for fault in self._faults if fault.at is at), None)
            if found is not None:
                self._faults.remove(found)
            return found

    def _serve(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                line, _ = listener.accept()
            except OSError:
                return
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.lines.append(line)
            threading.Thread(target=_Session(self, line).run, daemon=True).start()


def _day(found: re.Match[str]) -> date:
    return date(int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1]))


class _Dropped(Exception):  # noqa: N818 - a session's ordinary end
    """The line is to be cut, or was."""


class _Session:
    """One client."""

    def __init__(self, double: MailboxDouble, line: socket.socket) -> None:
        self._double = double
        self._line = line
        self._reader = line.makefile("rb")
        self._folder = ""
        self._seen = 0

    def run(self) -> None:
        """Until either side leaves."""
        try:
            self._misbehave(ImapMoment.GREETING)
            self._say("* OK [CAPABILITY IMAP4rev1 STARTTLS] double")
            while raw := self._reader.readline():
                tag, _, command = raw.decode("utf-8", "replace").strip().partition(" ")
                self._double.commands.append(command)
                self._obey(tag, command)
        except (OSError, ValueError, _Dropped):
            pass
        finally:
            self._line.close()

    def _obey(self, tag: str, command: str) -> None:
        verb = command.upper().removeprefix("UID ").split(" ")[0]
        handler: Callable[[str, str], str] | None = getattr(self, f"_on_{verb.lower()}", None)
        moment = {"EXAMINE": "select", "AUTHENTICATE": "login"}.get(verb, verb.lower())
        reply = ""
        if moment in set(ImapMoment) and verb != "FETCH":
            reply = self._misbehave(ImapMoment(moment))
        answer = reply or (handler(tag, command) if handler else "BAD unknown")
        if answer:
            self._say(f"{tag} {answer} done")

    # ── commands ────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_capability(self, _tag: str, _command: str) -> str:
        encrypted = isinstance(self._line, ssl.SSLSocket)
        offers = {
            "STARTTLS": not encrypted,
            "AUTH=EXTERNAL": encrypted,
            "AUTH=PLAIN": encrypted,
            "AUTH=XOAUTH2": encrypted and self._double.token is not None,
            "IDLE": self._double.idles,
            "MOVE": self._double.moves,
        }
        self._say("* CAPABILITY IMAP4rev1 " + " ".join(name for name, offered in offers.items() if offered))
        return "OK"

    def _on_starttls(self, tag: str, _command: str) -> str:
        self._say(f"{tag} OK begin")
        self._line = self._double.context.wrap_socket(self._line, server_side=True)
        self._reader = self._line.makefile("rb")
        self._double.lines.append(self._line)
        return ""

    def _on_authenticate(self, _tag: str, command: str) -> str:
        self._say("+ ")
        response = base64.b64decode(self._reader.readline()).decode("utf-8", "replace")
        mechanism = command.split(" ")[1].upper()
        if mechanism == "XOAUTH2" and f"auth=Bearer {self._double.token}\x01" not in response:
            self._say("+ " + base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode())
            self._reader.readline()
            return "NO [AUTHENTICATIONFAILED] refused"
        self._double.logins.append(mechanism)
        return "OK"

    def _on_list(self, _tag: str, _command: str) -> str:
        for name in self._double.folders:
            self._say(f'* LIST (\\HasNoChildren) "/" {encode_name(name)}')
        return "OK"

    def _on_select(self, _tag: str, command: str) -> str:
        name = decode_name(command.split(" ", 1)[1].strip('"'))
        with self._double.changed:
            folder = self._double.folders.get(name)
            if folder is None:
                return "NO [NONEXISTENT] no such folder"
            self._folder, self._seen = name, len(folder.messages)
            marks = "\\Seen \\Deleted \\*" if self._double.keeps_keywords else "\\Seen"
            self._say(f"* {self._seen} EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen \\Deleted)\r\n* OK [PERMANENTFLAGS ({marks})] ok")
            self._say(f"* OK [UIDVALIDITY {folder.uid_validity}] ok\r\n* OK [UIDNEXT {folder.uid_next}] ok")
        return "OK [READ-WRITE] selected"

    def _on_search(self, _tag: str, command: str) -> str:
        after = int(found[1]) - 1 if (found := re.search(r"SEARCH UID (\d+):", command)) else 0
        without = found[1] if (found := re.search(r"UNKEYWORD (\S+)", command)) else ""
        # Every mail bears the same day: one told as SINCE a later one is not among them.
        is_later = (found := re.search(r"SINCE (\d\d)-(\w{3})-(\d{4})", command)) and _day(found) > _ARRIVED_ON
        uids = [uid for uid, message in self._messages() if uid > after and without not in message.flags]
        self._say("* SEARCH " + " ".join(map(str, () if is_later else uids)))
        return "OK"

    def _on_fetch(self, _tag: str, command: str) -> str:
        wanted = {int(uid) for uid in command.split(" ")[2].split(",")}
        section = _FETCH.search(command)
        for number, (uid, message) in enumerate(self._messages(), start=1):
            if uid in wanted and section is None:
                flags, size = " ".join(sorted(message.flags)), len(message.content)
                self._say(f'* {number} FETCH (UID {uid} RFC822.SIZE {size} FLAGS ({flags}) INTERNALDATE "{_INTERNAL_DATE}")')
            elif uid in wanted and section is not None:
                content = message.content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if section[1] else message.content
                start, length = int(section[2]), int(section[3])
                self._hand_over(f"* {number} FETCH (UID {uid} BODY[]<{start}>", content[start : start + length])
        return "OK"

    def _hand_over(self, opening: str, piece: bytes) -> None:
        fault = self._double.take_fault(ImapMoment.FETCH)
        announced = fault.announced_bytes if fault and fault.announced_bytes else len(piece)
        self._line.sendall(f"{opening} {{{announced}}}\r\n".encode())
        if fault is not None and not fault.announced_bytes:
            self._line.sendall(piece[: len(piece) // 2])
            self._strike(fault)
        self._line.sendall(piece + b")\r\n")

    def _on_store(self, _tag: str, command: str) -> str:
        uid, words = int(command.split(" ")[2]), command[command.index("(") + 1 : -1].split()
        if not self._double.keeps_keywords and any(not word.startswith("\\") for word in words):
            return "NO [NOPERM] keywords are not kept here"
        with self._double.changed:
            flags = self._double.folders[self._folder].messages[uid].flags
            if " -FLAGS" in command:
                flags.difference_update(words)
            else:
                flags.update(words)
        self._say(f"* 1 FETCH (UID {uid} FLAGS ({' '.join(sorted(flags))}))")
        return "OK"

    def _on_move(self, _tag: str, command: str) -> str:
        _, _, uid, target = command.split(" ", 3)
        with self._double.changed:
            message = self._double.folders[self._folder].messages.pop(int(uid))
        self._double.deliver(message.content, decode_name(target.strip('"')))
        return "OK"

    def _on_idle(self, _tag: str, _command: str) -> str:
        self._say("+ idling")
        done = threading.Event()
        teller = threading.Thread(target=self._tell_arrivals, args=(done,), daemon=True)
        teller.start()
        told = self._reader.readline()
        done.set()
        teller.join()
        return "OK" if told.strip().upper() == b"DONE" else "BAD"

    def _tell_arrivals(self, done: threading.Event) -> None:
        while not done.is_set():
            with self._double.changed:
                there = len(self._double.folders[self._folder].messages)
                if there == self._seen:
                    self._double.changed.wait(0.05)
                    continue
                self._seen = there
            with suppress(OSError):
                self._say(f"* {there} EXISTS")

    def _on_noop(self, _tag: str, _command: str) -> str:
        return "OK"

    def _on_logout(self, _tag: str, _command: str) -> str:
        self._say("* BYE")
        return "OK"

    # ── speaking ────────────────────────────────────────────────────────────────────────────────────────────────

    def _messages(self) -> list[tuple[int, _Message]]:
        with self._double.changed:
            return list(self._double.folders[self._folder].messages.items())

    def _say(self, text: str) -> None:
        self._line.sendall(text.encode("ascii") + b"\r\n")

    def _misbehave(self, at: ImapMoment) -> str:
        fault = self._double.take_fault(at)
        return self._strike(fault) if fault is not None else ""

    def _strike(self, fault: ImapFault) -> str:
        if fault.reply:
            return fault.reply
        if fault.stall_seconds:
            time.sleep(fault.stall_seconds)
        elif fault.trickle_seconds:
            for _ in range(10_000):
                self._line.sendall(b"x")
                time.sleep(fault.trickle_seconds)
        raise _Dropped
