"""The MLLP door: frames in order, one answer each, after the durable commit. Nothing unfinished is ever kept.

Law: HL7 Transport Specification, MLLP release 1; blueprint seams 1, 11; style card 8. On one connection a message is answered
before the next is looked at: MLLP's own order, and the order of versions.
Traps: a client that trickles (time is counted from a frame's first byte), one that sends more than is allowed (answered at
once, then what follows is drained for a moment, so that a reset does not eat the answer), one that never reads its answers.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count as counter
from typing import Any

import structlog

from adapter.formats.hl7v2_ack import write_ack
from adapter.formats.mllp_frames import Frame, FrameCondition, FrameReader, frame_message
from adapter.intake.committer import Count, Intake, NotKeptError, TryLaterError, count_nothing
from adapter.intake.peers import Peer, recognise_peer
from adapter.mapping.from_hl7v2 import read_control
from adapter.mapping.hl7.checks import DECISIONS
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Arrival, MessageControl, Verdict

log = structlog.get_logger()

CHUNK_BYTES = 65_536
HANDSHAKE_SECONDS = 10.0
# A connection that holds less than this is never in the way of the others.
SMALL_BYTES = 1_048_576
# How long what follows a refused frame is drained, so that the refusal is read.
LINGER_SECONDS = 5.0
# On stop: what is already in the socket's buffers was received whole and is still taken.
LAST_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class MllpSettings:
    """Limits and peers of the door; `tls` is a ready server context or None.

    `still_trusts` is asked of a client's certificate (DER) before each message: connections live for days, and a certificate may
    end or be revoked meanwhile.
    """

    peers: tuple[Peer, ...]
    max_message_bytes: int = 67_108_864
    idle_timeout_seconds: float = 300.0
    message_timeout_seconds: float = 60.0
    max_connections: int = 256
    # Of all unfinished messages together, so that many slow senders cannot fill the memory.
    max_held_bytes: int = 268_435_456
    tls: ssl.SSLContext | None = None
    still_trusts: Callable[[bytes], bool] = lambda _: True
    # Which decision profile rules on the flags of a message; empty: the default one.
    decision_policy: str = ""


@dataclass(eq=False)
class Connection:
    """One client: its streams, its frames, who its certificate says it is."""

    id: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: FrameReader
    certificate_cn: str
    certificate: bytes = b""
    message_deadline: float | None = None
    timeout: asyncio.Timeout | None = None
    task: asyncio.Task[Any] | None = field(default=None)


class MllpServer:
    """Listens on an inherited socket. `start`, then `stop`; all in one event loop."""

    def __init__(
        self,
        settings: MllpSettings,
        intake: Intake[Any],
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        count: Count = count_nothing,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._new_id = new_id
        self._count = count
        self._numbers = counter(1)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._stopping = False

    async def start(self, listening: socket.socket) -> None:
        """Accept connections on this socket."""
        handshake = HANDSHAKE_SECONDS if self._settings.tls else None
        self._server = await asyncio.start_server(
            self._serve, sock=listening, ssl=self._settings.tls, ssl_handshake_timeout=handshake, limit=CHUNK_BYTES
        )

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Accept nothing more; answer what was received whole; close."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            if connection.timeout is not None:
                connection.timeout.reschedule(asyncio.get_running_loop().time() + LAST_LOOK_SECONDS)
        tasks = {connection.task for connection in self._connections if connection.task is not None}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # ── one connection ────────────────────────────────────────────────────────────────────────────────────────

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        if self._stopping or len(self._connections) >= self._settings.max_connections:
            self._note("mllp.connection-refused", number)
            writer.close()
            return
        frames = FrameReader(self._settings.max_message_bytes)
        shown = _certificate(writer)
        connection = Connection(number, reader, writer, frames, _certificate_cn(writer), shown, task=asyncio.current_task())
        self._connections.add(connection)
        try:
            # Asked now too: what the handshake accepted counts from now on, however long the client stays silent.
            if not self._is_still_welcome(connection):
                self._note("mllp.certificate-withdrawn", number)
                return
            await self._converse(connection)
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            # What was committed stays committed: the sender presents it again and gets the same answer.
            self._note("mllp.connection-lost", number, error=type(error).__name__)
        except Exception as error:  # a defect of ours ends one conversation, and says nothing of what was said in it
            self._note("mllp.defect", number, error=type(error).__name__)
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _converse(self, connection: Connection) -> None:
        while True:
            data = await self._read(connection)
            if not data:
                for frame in connection.frames.finish():
                    self._note_odd(connection, frame)
                return
            began = connection.frames.is_inside
            frames = connection.frames.feed(data)
            for frame in frames:
                if not await self._handle(connection, frame):
                    return
            self._set_deadline(connection, went_on=began and not frames)
            if self._holds_too_much(connection):
                frame = connection.frames.give_up()
                self._note("mllp.too-much-at-once", connection.id, size=frame.size)
                await self._answer(connection, self._refusal(frame.content, Verdict.TRY_LATER, TRY_LATER))
                await _drain_what_follows(connection)
                return

    def _holds_too_much(self, connection: Connection) -> bool:
        """True for a large message in the making while all of them together take more memory than the door may."""
        if connection.frames.held_bytes <= SMALL_BYTES:
            return False
        return sum(other.frames.held_bytes for other in self._connections) > self._settings.max_held_bytes

    async def _read(self, connection: Connection) -> bytes:
        """The next bytes; empty when the client left, was silent or slow for too long, or the service stops."""
        loop = asyncio.get_running_loop()
        deadline = connection.message_deadline or loop.time() + self._settings.idle_timeout_seconds
        if self._stopping:
            deadline = min(deadline, loop.time() + LAST_LOOK_SECONDS)
        try:
            async with asyncio.timeout_at(deadline) as connection.timeout:
                return await connection.reader.read(CHUNK_BYTES)
        except TimeoutError:
            if not self._stopping:
                self._note("mllp.too-slow" if connection.frames.is_inside else "mllp.idle", connection.id)
            return b""
        finally:
            connection.timeout = None

    def _set_deadline(self, connection: Connection, *, went_on: bool) -> None:
        """A frame's time runs from its first byte: further bytes of the same frame do not lengthen it."""
        if not connection.frames.is_inside:
            connection.message_deadline = None
        elif not went_on or connection.message_deadline is None:
            connection.message_deadline = asyncio.get_running_loop().time() + self._settings.message_timeout_seconds

    async def _handle(self, connection: Connection, frame: Frame) -> bool:
        """Answer one frame; False when the conversation is over."""
        match frame.condition:
            case FrameCondition.COMPLETE if not self._is_still_welcome(connection):
                # No answer, nothing kept: a client that may come in again connects again and says it again.
                self._note("mllp.certificate-withdrawn", connection.id)
                return False
            case FrameCondition.COMPLETE:
                await self._answer(connection, await self._accept(connection, frame.content))
                return True
            case FrameCondition.OVERSIZED:
                self._note_odd(connection, frame)
                await self._answer(connection, self._refusal(frame.content, Verdict.REFUSED, TOO_LARGE))
                await _drain_what_follows(connection)
                return False
            case _:
                self._note_odd(connection, frame)
                # A little junk between frames is survivable; a stream of it is no MLLP client.
                return frame.size <= CHUNK_BYTES

    def _is_still_welcome(self, connection: Connection) -> bool:
        return not connection.certificate or self._settings.still_trusts(connection.certificate)

    async def _accept(self, connection: Connection, content: bytes) -> bytes:
        control = read_control(content)
        peer = recognise_peer(self._settings.peers, control, connection.certificate_cn)
        if peer is None:
            # Nobody's message belongs to no legal entity: it cannot be kept.
            finding = UNKNOWN_PEER if control != MessageControl() else NOT_HL7
            self._note(finding.code, connection.id)
            return self._refusal(content, Verdict.REFUSED, finding)
        arrival = Arrival(
            content, "mllp", peer.principal, self._clock(), zone=peer.zone, decision_policy=self._settings.decision_policy
        )
        try:
            answer = await asyncio.wrap_future(self._intake.take(arrival))
        except NotKeptError as error:
            self._note("mllp.not-kept", connection.id, peer=peer.name, code=error.code)
            if isinstance(error, TryLaterError):
                return self._refusal(content, Verdict.TRY_LATER, TRY_LATER)
            return self._refusal(content, Verdict.REFUSED, OUR_DEFECT)
        self._count(f"mllp.{answer.verdict.value}")
        log.info(
            "mllp.answered",
            connection=connection.id,
            peer=peer.name,
            receipt=answer.receipt_id,
            verdict=answer.verdict.value,
            kept=answer.kept.value,
            decisions=next((f.text for f in answer.findings if f.code == DECISIONS), ""),
        )
        return answer.body

    async def _answer(self, connection: Connection, body: bytes) -> None:
        if not body:
            return  # MSH-15 and MSH-16 want no answer
        connection.writer.write(frame_message(body))
        async with asyncio.timeout(self._settings.message_timeout_seconds):
            await connection.writer.drain()

    def _refusal(self, content: bytes, verdict: Verdict, finding: Finding) -> bytes:
        """An answer without a receipt: nothing was kept."""
        control_id = "T" + self._new_id().replace("-", "")[:19]
        return write_ack(read_control(content), verdict, (finding,), now=self._clock(), control_id=control_id)

    def _note_odd(self, connection: Connection, frame: Frame) -> None:
        self._note(f"mllp.{frame.condition.value}", connection.id, size=frame.size)

    def _note(self, event: str, connection: int, **facts: object) -> None:
        self._count(event)
        log.warning(event, connection=connection, **facts)


TOO_LARGE = Finding(
    Severity.ERROR,
    "mllp.too-large",
    "The message is longer than this door takes.",
    remedy="Send a smaller document, or ask for a higher limit.",
    hl7_code="207",
    app_code="906",
)
UNKNOWN_PEER = Finding(
    Severity.ERROR,
    "mllp.unknown-peer",
    "This sender is not in the list of peers.",
    "MSH-3",
    "Ask the operator to add MSH-3 and MSH-4, or the certificate.",
    hl7_code="207",
    app_code="906",
)
NOT_HL7 = Finding(
    Severity.ERROR,
    "mllp.not-hl7",
    "The frame does not begin with an MSH segment.",
    "MSH",
    "Send HL7 v2 ER7.",
    hl7_code="100",
)
TRY_LATER = Finding(
    Severity.ERROR, "mllp.try-later", "Nothing could be kept now.", remedy="Send the same message again later.", hl7_code="207"
)
OUR_DEFECT = Finding(
    Severity.ERROR,
    "mllp.defect",
    "The receiver failed on this message: nothing was kept.",
    remedy="Tell the operator; sending it again will not help.",
    hl7_code="207",
)


def _certificate_cn(writer: asyncio.StreamWriter) -> str:
    """The common name of the client's certificate, verified by the handshake; empty without one."""
    certificate = writer.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return str(names[0]) if names else ""


def _certificate(writer: asyncio.StreamWriter) -> bytes:
    """The client's certificate as it was shown (DER); empty without one."""
    line = writer.get_extra_info("ssl_object")
    return (line.getpeercert(binary_form=True) if line is not None else None) or b""


async def _drain_what_follows(connection: Connection) -> None:
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            if connection.writer.can_write_eof():
                connection.writer.write_eof()
            while await connection.reader.read(CHUNK_BYTES):
                pass
    except TimeoutError:
        return
