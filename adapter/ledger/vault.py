"""Seals payloads with AES-256-GCM and derives the key of lookups; reads the key file, never makes one by itself.

Law: blueprint seam 10. A payload is cut in chunks of 1 MiB; each is sealed in an envelope

    version (1 byte) · key id (4 bytes) · nonce (12 bytes) · ciphertext and tag

whose associated data are the row id, the payload's kind, the chunk's index and whether it is the last: a chunk that is moved,
swapped, dropped or cut off does not open. Nonces are random (96 bits): write with a new key before 2³² chunks.

Key file: one key a line, `<key id> <32 bytes in base64>`; the first one writes, all read. To rotate, put a new line first
(`new_key_line`). The key id is the start of the key's SHA-256: a damaged line is seen at once. Each use (payloads,
lookups, audit chain) has its own key, derived by HKDF-SHA256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from adapter.errors import VaultError

CHUNK_BYTES = 1024 * 1024
KEY_BYTES = 32
_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = 1 + _KEY_ID_BYTES + _NONCE_BYTES
_CHECK_ROW = "ledger-key-check"
_CHECK_TEXT = b"this ledger was written with this key"

Random = Callable[[int], bytes]


@dataclass(frozen=True, repr=False)
class _Key:
    """One key of the file, with what is derived from it."""

    key_id: bytes
    payloads: AESGCM
    lookups: bytes
    audit: bytes


class Vault:
    """Opens and seals with the keys of one file. Holds no file handle; safe between threads and over a fork."""

    def __init__(self, keys: Sequence[bytes], *, random_bytes: Random = os.urandom) -> None:
        """The first key writes."""
        if not keys:
            raise VaultError("vault.no-key", "the key file holds no key", remedy="Restore it from its backup.")
        self._keys = {key.key_id: key for key in map(_derive, keys)}
        self._writing = next(iter(self._keys.values()))
        self._random = random_bytes

    def __repr__(self) -> str:
        return f"<Vault writing with {self.key_ids[0]}>"

    @classmethod
    def open(cls, path: Path, *, random_bytes: Random = os.urandom) -> Vault:
        """Read a key file; VaultError when it is missing, damaged, or readable by everybody."""
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise VaultError(
                "vault.no-key",
                f"cannot read the key file ({type(error).__name__})",
                where=str(path),
                remedy="Restore it from its backup; a new key cannot read an existing ledger.",
            ) from error
        if mode & 0o037:
            raise VaultError("vault.key-exposed", "others may read or change it", where=str(path), remedy="chmod 600 it.")
        lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        return cls([_read_key(parts, path) for parts in lines], random_bytes=random_bytes)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, the writing one first."""
        return tuple(key_id.hex() for key_id in self._keys)

    # ── payloads ──────────────────────────────────────────────────────────────────────────────────────────────

    def seal(self, row_id: str, kind: str, content: bytes) -> list[bytes]:
        """The chunks of a payload, sealed; an empty payload is one empty chunk."""
        count = max(1, -(-len(content) // CHUNK_BYTES))
        view = memoryview(content)
        return [
            self._seal_chunk(view[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES], _associated(row_id, kind, i, i == count - 1))
            for i in range(count)
        ]

    def open_payload(self, row_id: str, kind: str, chunks: Sequence[bytes]) -> bytes:
        """The payload of chunks in order; VaultError when one was altered, moved or is missing."""
        last = len(chunks) - 1
        if last < 0:
            raise VaultError("vault.damaged", f"the payload {kind} has no chunk", where=row_id)
        opened = [self._open_chunk(chunk, _associated(row_id, kind, i, i == last), row_id) for i, chunk in enumerate(chunks)]
        return opened[0] if last == 0 else b"".join(opened)

    def _seal_chunk(self, content: memoryview, associated: bytes) -> bytes:
        nonce = self._random(_NONCE_BYTES)
        return _VERSION + self._writing.key_id + nonce + self._writing.payloads.encrypt(nonce, content, associated)

    def _open_chunk(self, sealed: bytes, associated: bytes, row_id: str) -> bytes:
        if sealed[:1] != _VERSION or len(sealed) < _HEAD_BYTES:
            raise VaultError("vault.damaged", "not an envelope that this version reads", where=row_id)
        key_id = bytes(sealed[1 : 1 + _KEY_ID_BYTES])
        key = self._keys.get(key_id)
        if key is None:
            raise VaultError(
                "vault.wrong-key",
                f"sealed with key {key_id.hex()}, which the key file does not hold",
                where=row_id,
                remedy="Put that key back in the key file.",
            )
        try:
            return key.payloads.decrypt(sealed[1 + _KEY_ID_BYTES : _HEAD_BYTES], sealed[_HEAD_BYTES:], associated)
        except InvalidTag:
            raise VaultError("vault.damaged", "the payload was altered or is not complete", where=row_id) from None

    # ── the key check of a ledger ─────────────────────────────────────────────────────────────────────────────

    def key_check(self) -> tuple[str, bytes]:
        """The writing key's id, and a sealed constant that proves it later."""
        return self._writing.key_id.hex(), self.seal(_CHECK_ROW, "check", _CHECK_TEXT)[0]

    def proves(self, check: bytes) -> bool:
        """True when this vault can open a key check."""
        try:
            return self.open_payload(_CHECK_ROW, "check", [check]) == _CHECK_TEXT
        except VaultError:
            return False

    # ── keyed hashes ──────────────────────────────────────────────────────────────────────────────────────────

    def lookup_macs(self, *parts: str) -> tuple[str, ...]:
        """HMACs of a looked-up value under every key: store the first, search all (rotation)."""
        text = "\x1f".join(parts).encode()
        return tuple(hmac.digest(key.lookups, text, "sha256").hex() for key in self._keys.values())

    def audit_mac(self, text: bytes) -> str:
        """The seal of an audit row: the id of the key, then its HMAC."""
        return self._audit_mac(self._writing, text)

    def audit_mac_matches(self, text: bytes, seal: str) -> bool:
        """True when a seal was made of this text by any of our keys."""
        return any(hmac.compare_digest(self._audit_mac(key, text), seal) for key in self._keys.values())

    @staticmethod
    def _audit_mac(key: _Key, text: bytes) -> str:
        return f"{key.key_id.hex()}:{hmac.digest(key.audit, text, 'sha256').hex()}"


def new_key_line(*, random_bytes: Random = os.urandom) -> str:
    """A line for a key file."""
    key = random_bytes(KEY_BYTES)
    return f"{_key_id(key).hex()} {base64.b64encode(key).decode()}\n"


def create_key_file(path: Path, *, random_bytes: Random = os.urandom) -> None:
    """Make a key file that only its owner reads, durably; VaultError when the file is there already."""
    text = "# Trait d'union: payload keys. Without this file the ledger cannot be read: keep a copy elsewhere.\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise VaultError("vault.key-exists", "a key file is never written over", where=str(path)) from None
    except OSError as error:
        raise VaultError("vault.not-written", f"cannot write the key file ({type(error).__name__})", where=str(path)) from error
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + new_key_line(random_bytes=random_bytes))
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_key(parts: list[str], path: Path) -> bytes:
    try:
        key_id, encoded = parts
        key = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        key_id, key = "", b""
    if len(key) != KEY_BYTES or _key_id(key).hex() != key_id:
        raise VaultError("vault.bad-key-file", "a line is not a key and its id", where=str(path), remedy="Restore the file.")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"tdu key id" + key).digest()[:_KEY_ID_BYTES]


def _derive(key: bytes) -> _Key:
    def derived(use: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"traitdunion " + use).derive(key)

    return _Key(_key_id(key), AESGCM(derived(b"payloads")), derived(b"lookups"), derived(b"audit"))


def _associated(row_id: str, kind: str, index: int, is_last: bool) -> bytes:
    """Unambiguous: ids and kinds hold no unit separator."""
    return f"{row_id}\x1f{kind}\x1f{index}\x1f{int(is_last)}".encode()
