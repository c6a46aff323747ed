"""An installation's TLS files, an authority that signs whatever a test needs, and each kind of bad certificate."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.testing import TestPki, issue, make_test_pki, write_revocation_list

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
NAME = "dpi.bicetre.example"
FAULTS = ("revoked", "expired", "rogue")

Pair = tuple[Path, Path]


class TrustFiles:
    """`ca.pem`, `ca.crl` as our side has them; `pair(kind)` is the other side's certificate of that kind, with its key."""

    def __init__(self, folder: Path, usage: object, own_usage: object) -> None:
        self.folder = folder
        self.pki = make_test_pki(folder / "authority", server_name="localhost")
        self.stranger = make_test_pki(folder / "stranger", server_name="localhost", client_name=NAME)
        self.usage = usage
        self.authorities, self.lists = folder / "ca.pem", folder / "ca.crl"
        self.own = self.signed(self.pki, "own", own_usage)
        self.trust(self.pki)
        self.good = self.signed(self.pki, "good", usage)
        self.revoked = self.signed(self.pki, "revoked", usage)
        self.expired = self.signed(self.pki, "expired", usage, days_ago=10, days=5)
        self.rogue = self.signed(self.stranger, "rogue", usage)
        self.revoke(self.revoked)

    def pair(self, kind: str) -> Pair:
        """A certificate of the other side and its key."""
        found: Pair = getattr(self, kind)
        return found

    def signed(self, pki: TestPki, file: str, usage: object, *, days_ago: float = 0.05, days: int = 30, name: str = "") -> Pair:
        """One more certificate of that authority."""
        pair = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        called = name or (NAME if usage == CLIENT else "localhost")
        issue(pki, *pair, called, usage, datetime.now(UTC) - timedelta(days=days_ago), days)  # type: ignore[arg-type]
        return pair

    def trust(self, *authorities: TestPki) -> None:
        """The authorities of today, all in one file."""
        replace_file(self.authorities, b"".join(pki.authority.read_bytes() for pki in authorities))

    def revoke(self, *pairs: Pair, by: Iterable[TestPki] = ()) -> None:
        """The lists of today: of our authority, which names these, and empty ones of others."""
        made = self.folder / "made.crl"
        lists = [write_revocation_list(self.pki, made, [certificate for certificate, _ in pairs]).read_bytes()]
        lists += [write_revocation_list(pki, made, []).read_bytes() for pki in by]
        replace_file(self.lists, b"".join(lists))


def replace_file(file: Path, content: bytes) -> None:
    """As operators do it: written aside, then renamed; never seen half."""
    aside = file.with_suffix(".new")
    aside.write_bytes(content)
    aside.replace(file)
