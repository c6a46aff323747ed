"""Faxes that wait in a ledger: kept as a fax line brings them, parked as the reader of faxes parks them."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageDraw

from adapter.formats.detached_jws import SigningKey, sign
from adapter.formats.fax_annex import Annex, deflate, read_code, write_codes
from adapter.formats.page_print import print_of
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import NewReceipt, StoredEffects
from adapter.model.effects import Parked
from adapter.model.receipt import ContentKind, Receipt, ReceiptState, Verdict
from adapter.packaging.fax_codes import Room, place_codes
from adapter.packaging.tiff_f import write_tiff_f
from tests.builders.paper_forms import Line, faxed, fill

CALLER = b'{"from": "+33199005678", "called_id": "+33199000001", "pages": 3}'

FAX_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
CARRIED = json.dumps({"resourceType": "Bundle", "id": "fictif", "note": "".join(map(str, range(900)))}).encode()


def annex_pages(content: bytes = CARRIED) -> list[Image.Image]:
    """A signed document in codes, all on one page."""
    deflated = deflate(content)
    page = Image.new("1", (1728, 2292), 255)
    for image, place in place_codes(write_codes(Annex(sign(deflated, FAX_KEY), deflated)), Room(1728, 100, 2280))[0]:
        page.paste(image, place)
    return [page]


def form_pages(slug: str = "demande-imagerie", seed: str = "desk", light: float = 0.0) -> list[Image.Image]:
    """A form that somebody filled by hand, as a fax machine received it."""
    return [faxed(page, random.Random(9), Line()) for page in fill(slug, seed, light=light).pages]


def keep_fax(
    ledger: Ledger,
    pages: Sequence[Image.Image] | bytes,
    entity: str,
    at: datetime,
    reason: str = "fax-paper-form",
    *,
    reads: bool = True,
) -> str:
    """Keep it and, unless it is not read yet, park it for a person; returns its receipt."""
    content = pages if isinstance(pages, bytes) else write_tiff_f(list(pages), (204, 196))
    digest = hashlib.sha256(content).hexdigest()
    receipt = Receipt(
        str(uuid.uuid4()), entity, "fax:accueil", "accueil", digest, digest, ContentKind.FAX, ReceiptState.RECEIVED,
        Verdict.ACCEPTED, at, reference=f"recvq/{digest[:8]}.tif",
    )  # fmt: skip
    ledger.commit_receipts([NewReceipt(receipt, content, b"", b"", side_car=CALLER)])
    if reads:
        claim = next(c for c in ledger.claim_receipts("test", 50, timedelta(minutes=1)) if c.receipt.id == receipt.id)
        ledger.commit_effects(receipt.id, claim.fence, StoredEffects(outcome=Parked(reason, "À relire.")))
    return receipt.id


def letter_pages() -> list[Image.Image]:
    """Two sheets of a letter as its sender drew them: lines of words, nothing of anybody."""
    sheets = []
    for number in (1, 2):
        sheet = Image.new("L", (1728, 2292), 255)
        draw = ImageDraw.Draw(sheet)
        for line in range(24):
            draw.text(
                (140, 180 + 80 * line),
                f"Feuille {number}, ligne {line} : {'mots fictifs ' * (2 + line * number % 3)}",
                0,
                font_size=34,
            )
        sheets.append(sheet.convert("1"))
    return sheets


def document_codes(content: bytes, key: SigningKey = FAX_KEY, *, prints: bool = True) -> tuple[bytes, ...]:
    """Its annex, which tells how the sheets looked when they were sent, or does not."""
    deflated = deflate(content, [print_of(sheet) for sheet in letter_pages()] if prints else ())
    return write_codes(Annex(sign(deflated, key), deflated))


def document_id(content: bytes, key: SigningKey = FAX_KEY) -> str:
    """What the annex is called."""
    code = read_code(document_codes(content, key)[0])
    assert code is not None
    return code.name.document_id.hex()


def document_pages(
    content: bytes, *, key: SigningKey = FAX_KEY, written_on: bool = False, prints: bool = True
) -> list[Image.Image]:
    """A letter and its signed annex, which tells how the sheets looked; somebody may have written on the second."""
    sheets, codes_of = letter_pages(), document_codes(content, key, prints=prints)
    if written_on:
        ImageDraw.Draw(sheets[1]).line([(400, 1200), (700, 1500), (800, 1150), (1000, 1480)], 0, width=9)
    for page in place_codes(codes_of, Room(1728, 100, 2280)):
        sheets.append(Image.new("1", (1728, 2292), 255))
        for image, place in page:
            sheets[-1].paste(image, place)
    return sheets
