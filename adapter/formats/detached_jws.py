"""Who made these bytes: a detached JWS (RFC 7515 appendix F, RFC 7797) with an Ed25519 key (RFC 8037), and its proof.

Ed25519 alone: its signatures are short and always the same for the same bytes, as a fax sent again must be. The key's id is its
JWK thumbprint (RFC 7638), shortened: a receiver looks it up among the keys that it was given, and never takes one from a page.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import jwt
import pybase64
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt.api_jws import PyJWS

from adapter.errors import InputError

ALGORITHM = "EdDSA"
_KEY_ID_CHARACTERS = 16


@dataclass(frozen=True)
class SigningKey:
    """A site's private key; its id travels in each signature."""

    private: Ed25519PrivateKey = field(repr=False)

    @property
    def key_id(self) -> str:
        """The id that receivers know it by."""
        return key_id_of(self.private.public_key())


@dataclass(frozen=True)
class SignedBy:
    """What a signature proved: the id of the key, and the name that the receiver gave it."""

    key_id: str
    name: str


@dataclass(frozen=True)
class TrustedKey:
    """A partner's public key, under the name that the receiver gave it."""

    name: str
    public: Ed25519PublicKey = field(repr=False)


def sign(content: bytes, key: SigningKey) -> bytes:
    """The compact JWS of these bytes, without them: `header..signature`."""
    headers = {"kid": key.key_id, "typ": ""}
    return (
        PyJWS(algorithms=[ALGORITHM]).encode(content, key.private, ALGORITHM, headers, is_payload_detached=True).encode("ascii")
    )


def verify(signature: bytes, content: bytes, trusted: Mapping[str, TrustedKey]) -> SignedBy | None:
    """Who signed these bytes; None when nobody did, when the key is not known, or when the bytes are not those signed."""
    if not signature:
        return None
    proof = PyJWS(algorithms=[ALGORITHM])
    try:
        key_id = str(proof.get_unverified_header(signature).get("kid", ""))
        known = trusted.get(key_id)
        if known is None:
            return None
        proof.decode_complete(signature, known.public, [ALGORITHM], detached_payload=content)
    except (jwt.PyJWTError, ValueError):
        return None
    return SignedBy(key_id, known.name)


def key_id_of(public: Ed25519PublicKey) -> str:
    """The first characters of the key's JWK thumbprint."""
    x = pybase64.urlsafe_b64encode(public.public_bytes_raw()).rstrip(b"=").decode("ascii")
    thumbprint = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":")).encode("ascii")
    return pybase64.urlsafe_b64encode(hashlib.sha256(thumbprint).digest()).decode("ascii")[:_KEY_ID_CHARACTERS]


def read_signing_key(pem: bytes) -> SigningKey:
    """A private key from its PEM file; InputError for anything but an unencrypted Ed25519 key."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise _wrong_key("private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _wrong_key("private")
    return SigningKey(key)


def read_trusted_key(name: str, pem: bytes) -> TrustedKey:
    """A partner's public key from its PEM file; InputError for anything but an Ed25519 key."""
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise _wrong_key("public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _wrong_key("public")
    return TrustedKey(name, key)


def _wrong_key(kind: str) -> InputError:
    remedy = "Make one with: openssl genpkey -algorithm ed25519" if kind == "private" else "Ask the partner for its public key."
    return InputError("jws.wrong-key", f"the file holds no usable Ed25519 {kind} key", remedy=remedy)
