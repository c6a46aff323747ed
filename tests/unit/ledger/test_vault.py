"""The vault: what is sealed opens only whole, unmoved and with its key; key files are private and never written over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import VaultError
from adapter.ledger.vault import CHUNK_BYTES, Vault, create_key_file, new_key_line

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
VAULT = Vault([KEY])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_sealed_opens(size: int) -> None:
    content = os.urandom(size)
    chunks = VAULT.seal("row", "content", content)
    assert len(chunks) == max(1, -(-size // CHUNK_BYTES))
    assert VAULT.open_payload("row", "content", chunks) == content


@given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_any_content_of_any_row_opens(content: bytes, row: str, kind: str) -> None:
    assert VAULT.open_payload(row, kind, VAULT.seal(row, kind, content)) == content


def test_no_content_shows_and_no_two_seals_are_alike() -> None:
    first, second = VAULT.seal("row", "content", b"ZEBULONNE"), VAULT.seal("row", "content", b"ZEBULONNE")
    assert b"ZEBULONNE" not in first[0]
    assert first != second


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cut off", lambda c: c[:2]),
        ("first gone", lambda c: c[1:]),
        ("swapped", lambda c: [c[1], c[0], c[2]]),
        ("doubled", lambda c: [c[0], c[0], c[2]]),
        ("longer", lambda c: [*c, c[2]]),
        ("a bit", lambda c: [c[0][:-1] + bytes([c[0][-1] ^ 1]), *c[1:]]),
        ("the nonce", lambda c: [c[0][:5] + bytes(12) + c[0][17:], *c[1:]]),
        ("the version", lambda c: [b"\x02" + c[0][1:], *c[1:]]),
        ("empty", lambda c: [b"", *c[1:]]),
        ("none", lambda c: []),
    ],
)
def test_a_payload_altered_moved_or_cut_does_not_open(name: str, change: object) -> None:
    chunks = VAULT.seal("row", "content", bytes(2 * CHUNK_BYTES + 7))
    with pytest.raises(VaultError, match=r"vault\.damaged"):
        VAULT.open_payload("row", "content", change(chunks))  # type: ignore[operator]


@pytest.mark.parametrize(("row", "kind"), [("other", "content"), ("row", "answer")])
def test_a_payload_of_another_row_or_kind_does_not_open(row: str, kind: str) -> None:
    with pytest.raises(VaultError):
        VAULT.open_payload(row, kind, VAULT.seal("row", "content", b"x"))


def test_another_key_does_not_open_and_is_named() -> None:
    with pytest.raises(VaultError, match=VAULT.key_ids[0]):
        Vault([OTHER]).open_payload("row", "content", VAULT.seal("row", "content", b"x"))


def test_after_a_rotation_the_first_key_writes_and_both_read() -> None:
    rotated = Vault([OTHER, KEY])
    assert rotated.open_payload("row", "content", VAULT.seal("row", "content", b"x")) == b"x"
    with pytest.raises(VaultError):
        VAULT.open_payload("row", "content", rotated.seal("row", "content", b"x"))
    assert rotated.lookup_macs("ins", "1")[1] == VAULT.lookup_macs("ins", "1")[0]


def test_a_key_check_proves_its_key_only() -> None:
    key_id, check = VAULT.key_check()
    assert key_id == VAULT.key_ids[0]
    assert VAULT.proves(check) and Vault([OTHER, KEY]).proves(check)
    assert not Vault([OTHER]).proves(check)


def test_lookups_depend_on_the_key_and_on_each_part() -> None:
    values = (("ins", "e1", "1"), ("ins", "e2", "1"), ("ipp", "e1", "1"), ("ins", "e11", ""))
    macs = {VAULT.lookup_macs(*parts)[0] for parts in values}
    assert len(macs | {Vault([OTHER]).lookup_macs("ins", "e1", "1")[0]}) == 5


def test_audit_seals_are_checked_with_every_key() -> None:
    seal = VAULT.audit_mac(b"row")
    assert Vault([OTHER, KEY]).audit_mac_matches(b"row", seal)
    assert not VAULT.audit_mac_matches(b"row!", seal)
    assert not Vault([OTHER]).audit_mac_matches(b"row", seal)


def test_no_key_shows_in_a_repr() -> None:
    assert repr(VAULT) == f"<Vault writing with {VAULT.key_ids[0]}>"


# ── key files ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_key_file_is_private_and_opens(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    create_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    vault = Vault.open(path)
    assert vault.open_payload("r", "k", Vault.open(path).seal("r", "k", b"x")) == b"x"


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    create_key_file(path)
    before = path.read_bytes()
    with pytest.raises(VaultError, match=r"vault\.key-exists"):
        create_key_file(path)
    assert path.read_bytes() == before


def test_a_key_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match=r"vault\.not-written"):
        create_key_file(tmp_path / "nowhere" / "ledger.key")


def test_a_line_put_first_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    create_key_file(path)
    (old,) = Vault.open(path).key_ids
    path.write_text(new_key_line() + path.read_text())
    assert Vault.open(path).key_ids[1:] == (old,)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o666])
def test_a_key_file_that_others_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ledger.key"
    create_key_file(path)
    path.chmod(mode)
    with pytest.raises(VaultError, match=r"vault\.key-exposed"):
        Vault.open(path)


def test_a_missing_key_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    with pytest.raises(VaultError, match=r"vault\.no-key"):
        Vault.open(path)
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    ["", "# only a comment\n", "one\n", "a b c\n", "00000000 AAAA\n", "zz not-base64!\n", "é\n", "00000000 " + "A" * 43 + "=\n"],
)
def test_a_damaged_key_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(VaultError) as caught:
        Vault.open(path)
    assert "AAAA" not in str(caught.value)


def test_a_key_whose_id_does_not_fit_was_damaged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    path.write_text(f"{Vault([OTHER]).key_ids[0]} AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    path.chmod(0o600)
    with pytest.raises(VaultError, match=r"vault\.bad-key-file"):
        Vault.open(path)
