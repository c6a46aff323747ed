"""`tdu fax read`: documents out of codes, drafts out of forms, said as verified only when they are; nothing is imported."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from PIL import Image

from adapter.formats.detached_jws import SigningKey, sign
from adapter.formats.fax_annex import Annex, deflate, write_codes
from adapter.packaging.fax_codes import Room, place_codes
from adapter.packaging.tiff_f import write_tiff_f
from tests.builders.paper_forms import Line, faxed, fill

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
BUNDLE = json.dumps({"resourceType": "Bundle", "id": "fictif", "note": "".join(map(str, range(900)))}).encode()


def _annex_pages(signature: bytes | None = None) -> list[Image.Image]:
    """One code a page, so that a page may be lost."""
    deflated = deflate(BUNDLE)
    pages = []
    for code in write_codes(Annex(sign(deflated, KEY) if signature is None else signature, deflated)):
        page = Image.new("1", (1728, 1200), 255)
        ((image, place),) = place_codes([code], Room(1728, 100, 1180))[0]
        page.paste(image, place)
        pages.append(page)
    assert len(pages) >= 3
    return pages


def _saved(path: Path, pages: list[Image.Image]) -> Path:
    path.write_bytes(write_tiff_f(pages, (204, 196)))
    return path


@pytest.fixture
def trusted(tmp_path: Path) -> str:
    path = tmp_path / "hopital.pem"
    path.write_bytes(KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return f"Hôpital fictif={path}"


@pytest.fixture(scope="module")
def form_pages() -> list[Image.Image]:
    filled = fill("demande-imagerie", "cli", light=0.0)
    return [faxed(page, random.Random(9), Line()) for page in filled.pages]


def test_a_document_that_came_over_two_calls_is_verified_and_written(tdu: Any, tmp_path: Path, trusted: str) -> None:
    pages = _annex_pages()
    late = _saved(tmp_path / "late.tif", [page.rotate(180) for page in pages[:1]])
    early = _saved(tmp_path / "early.tif", pages[2:])  # one code is lost: the parity code stands for it
    done = tdu("fax", "read", late, early, "--out", tmp_path / "out", "--trusted", trusted, "--json")
    assert done.exit_code == 0
    (document,) = json.loads(done.stdout)["documents"]
    assert (document["complete"], document["verified"], document["signed_by"]) == (True, True, "Hôpital fictif")
    assert (tmp_path / "out" / document["file"]).read_bytes() == BUNDLE
    assert "unverified" not in document["file"]


def test_a_document_of_nobody_known_is_written_as_unverified(tdu: Any, tmp_path: Path, trusted: str) -> None:
    for signature, keys in ((None, ()), (b"", ("--trusted", trusted))):
        fax = _saved(tmp_path / "fax.tif", _annex_pages(signature))
        done = tdu("fax", "read", fax, "--out", tmp_path / "out", *keys)
        assert done.exit_code == 1
        assert "NOT verified" in done.stdout and ".unverified.fhir.json" in done.stdout


def test_an_incomplete_document_tells_which_codes_are_missing(tdu: Any, tmp_path: Path, trusted: str) -> None:
    fax = _saved(tmp_path / "fax.tif", _annex_pages()[1:-1])
    done = tdu("fax", "read", fax, "--trusted", trusted)
    assert done.exit_code == 1
    assert "incomplete, codes 1 of" in done.stdout


def test_a_form_filled_by_hand_becomes_a_draft_with_its_pictures(tdu: Any, tmp_path: Path, form_pages: list[Image.Image]) -> None:
    first, second = (_saved(tmp_path / f"{number}.tif", [page]) for number, page in enumerate(form_pages))
    done = tdu("fax", "read", second, first, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stdout
    (draft,) = json.loads(done.stdout)["drafts"]
    assert (draft["form"], draft["status"], draft["pages"]["received"]) == ("demande-imagerie", "draft", [1, 2])
    assert draft["answers"] and draft["writing"]
    for answer in draft["answers"]:
        assert bool(answer["values"]) is not bool(answer["doubts"])
    for written in draft["writing"]:
        assert Image.open(tmp_path / "out" / written["picture"]).format == "PNG"
    assert json.loads((tmp_path / "out" / draft["file"]).read_bytes()) == draft


def test_a_persons_words_hold_counts_and_nothing_of_the_patient(tdu: Any, tmp_path: Path, form_pages: list[Image.Image]) -> None:
    done = tdu("fax", "read", _saved(tmp_path / "fax.tif", form_pages))
    assert "draft of demande-imagerie 1.0.0: 2/2 pages" in done.stdout and "fields written in" in done.stdout
    assert not list(tmp_path.glob("draft*"))


def test_pages_of_nobody_and_files_that_are_no_fax_are_told_and_the_others_are_read(
    tdu: Any, tmp_path: Path, trusted: str
) -> None:
    (tmp_path / "letter.txt").write_text("Bonjour")
    other = _saved(tmp_path / "other.tif", [Image.new("1", (1728, 300), 255)])
    annex = _saved(tmp_path / "annex.tif", _annex_pages())
    done = tdu("fax", "read", tmp_path / "letter.txt", other, annex, "--trusted", trusted)
    assert done.exit_code == 1
    assert "fax-page.unreadable [letter.txt" in done.stdout
    assert "other.tif page 1: no code of ours" in done.stdout
    assert "verified, signed by Hôpital fictif" in done.stdout
    assert tdu("fax", "read", other).exit_code == 1


def test_a_trusted_key_has_a_name_and_is_a_key(tdu: Any, tmp_path: Path) -> None:
    fax = _saved(tmp_path / "fax.tif", [Image.new("1", (1728, 300), 255)])
    assert tdu("fax", "read", fax, "--trusted", "no-name.pem").exit_code == 2
    (tmp_path / "bad.pem").write_text("no key")
    refused = tdu("fax", "read", fax, "--trusted", f"X={tmp_path / 'bad.pem'}")
    assert refused.exit_code == 1 and "Ed25519" in refused.stderr
