"""A document as the codes of a fax, and back: any order, any one lost, nothing believed without proof."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InputError
from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey, TrustedKey, key_id_of, read_signing_key, read_trusted_key, sign, verify
from adapter.formats.fax_annex import (
    CODE_BYTES,
    MAX_CODES,
    MAX_DOCUMENT_BYTES,
    PART_BYTES,
    Annex,
    Code,
    deflate,
    gather,
    inflate,
    put_together,
    read_code,
    write_codes,
)

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
TRUSTED = {KEY.key_id: TrustedKey("hôpital fictif", KEY.private.public_key())}


def _read(codes: list[bytes]) -> list[Code]:
    return [code for code in map(read_code, codes) if code is not None]


def _back(codes: list[bytes]) -> Annex | None:
    ((document_id, gathered),) = gather(_read(codes)).items()
    return put_together(document_id, gathered)


@given(st.binary(min_size=1, max_size=9 * PART_BYTES), st.randoms(use_true_random=False))
def test_any_one_code_may_be_lost_and_the_others_may_come_in_any_order_and_twice(content: bytes, chance: random.Random) -> None:
    annex = Annex(b"signed", content)
    codes = list(write_codes(annex))
    assert all(len(code) <= CODE_BYTES for code in codes)
    codes.remove(chance.choice(codes))
    codes += codes[:2]
    chance.shuffle(codes)
    assert _back(codes) == annex


def test_two_codes_lost_leave_the_document_incomplete_until_one_comes_by_another_call() -> None:
    annex = Annex(b"", random.Random(7).randbytes(5 * PART_BYTES))
    codes = list(write_codes(annex))
    assert _back(codes[2:]) is None
    ((_, gathered),) = gather(_read(codes[2:])).items()
    assert gathered.missing == (0, 1)
    assert _back([*codes[2:], codes[1]]) == annex


def test_codes_of_two_documents_on_one_page_are_told_apart() -> None:
    first, second = Annex(b"", b"one" * 900), Annex(b"", b"two" * 900)
    found = gather(_read([*write_codes(first), *write_codes(second)]))
    assert {put_together(name, gathered) for name, gathered in found.items()} == {first, second}


def test_an_altered_code_is_never_put_together() -> None:
    codes = [bytearray(code) for code in write_codes(Annex(b"", random.Random(3).randbytes(2000)))]
    codes[0][-5] ^= 1
    assert _back([bytes(code) for code in codes]) is None


@given(st.binary(max_size=1200))
def test_codes_of_others_are_left_alone(content: bytes) -> None:
    assert read_code(content) is None or content.startswith(b"TDUF")


@given(st.binary(min_size=1, max_size=60))
def test_garbage_behind_our_magic_raises_only_our_error(content: bytes) -> None:
    try:
        code = read_code(b"TDUF" + content)
    except InputError:
        return
    if code is not None:
        for name, gathered in gather([code]).items():
            put_together(name, gathered)


def test_a_code_of_a_later_format_says_so() -> None:
    code = bytearray(write_codes(Annex(b"", b"x"))[0])
    code[4] = 2
    with pytest.raises(InputError, match="format 2"):
        read_code(bytes(code))


def test_what_needs_too_many_codes_gets_none() -> None:
    chance = random.Random(1)
    assert len(write_codes(Annex(b"", chance.randbytes(MAX_CODES * PART_BYTES - 2)))) == MAX_CODES + 1
    assert write_codes(Annex(b"", chance.randbytes(MAX_CODES * PART_BYTES))) == ()


def test_a_bomb_in_a_code_is_not_inflated() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = bomb.compress(b"0" * (MAX_DOCUMENT_BYTES + 1)) + bomb.flush()
    assert len(content) < 5000
    with pytest.raises(InputError, match="more than"):
        inflate(content)


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"\xff" * 40, deflate(b"whole")[:-2]])
def test_a_damaged_annex_says_so(content: bytes) -> None:
    with pytest.raises(InputError, match=r"inflated|cut"):
        inflate(content)


@pytest.mark.parametrize("case", ["cda-ldl-ses", "fhir-discharge-letter", "demande-hospitalisation-jour", "cda-ldl-oddities"])
def test_a_whole_document_fits_and_comes_back_to_the_byte(case: str) -> None:
    bundle = json.loads((CASES / case / "fhir.json").read_bytes())
    document = canonical_json(bundle)
    deflated = deflate(document)
    annex = _back(list(write_codes(Annex(sign(deflated, KEY), deflated))))
    assert annex is not None
    assert inflate(annex.deflated) == document
    assert verify(annex.signature, annex.deflated, TRUSTED) is not None
    assert canonical_json(json.loads(document)) == document


def test_the_dictionary_is_part_of_the_format_and_never_changes() -> None:
    path = CASES.parents[1] / "mappings" / "fax" / "annex-dictionary-1.txt"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == "231e53825ab067244e7a84ce71530cf71e1e545e90468e01c0504e6a5fb958c0"


def test_a_file_stays_behind_and_its_hash_travels() -> None:
    data = "QUJD" * 200
    found = json.loads(canonical_json({"resourceType": "Binary", "contentType": "application/pdf", "data": data}))
    assert "data" not in found
    assert found["_data"]["extension"][0]["valueString"] == hashlib.sha256(b"ABC" * 200).hexdigest()


def test_a_signature_is_the_same_for_the_same_bytes_and_names_its_key() -> None:
    signed = sign(b"content", KEY)
    assert signed == sign(b"content", KEY)
    by = verify(signed, b"content", TRUSTED)
    assert by is not None and (by.name, by.key_id) == ("hôpital fictif", KEY.key_id)


@pytest.mark.parametrize(
    ("signature", "content"),
    [(b"", b"content"), (b"not a jws", b"content"), (sign(b"content", KEY), b"other"), (b"\xff.\xff.\xff", b"content")],
)
def test_what_is_not_signed_or_was_changed_has_no_author(signature: bytes, content: bytes) -> None:
    assert verify(signature, content, TRUSTED) is None


def test_a_key_that_nobody_gave_us_proves_nothing() -> None:
    assert verify(sign(b"content", KEY), b"content", {}) is None
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    assert verify(sign(b"content", KEY), b"content", {KEY.key_id: TrustedKey("impostor", other)}) is None


def test_keys_are_read_from_their_files_and_others_refused() -> None:
    private = KEY.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert read_signing_key(private).key_id == KEY.key_id == key_id_of(read_trusted_key("x", public).public)
    rsa = generate_private_key(65537, 2048)
    wrong_private = rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    wrong_public = rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for read in (
        lambda: read_signing_key(wrong_private),
        lambda: read_signing_key(b"no"),
        lambda: read_trusted_key("x", wrong_public),
    ):
        with pytest.raises(InputError, match="Ed25519"):
            read()
