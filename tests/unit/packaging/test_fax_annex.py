"""Which faxes carry their document as codes, and that the whole page set gives it back at either resolution."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageSequence

from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey, TrustedKey, verify
from adapter.formats.fax_annex import gather, inflate, put_together, read_code
from adapter.formats.fax_codes import locate_codes
from adapter.mapping.fax.document import HeldCopy, is_same_content
from adapter.model.submission import Intent
from adapter.packaging.fax_annex import FaxAnnex, annex_of
from adapter.packaging.fax_page import WIDTH, FaxCover, RowsPerDot, annex_sheets, build_fax, sheet_prints
from adapter.packaging.pdf import render_pdf
from tests.builders.directory import submission

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
TRUSTED = {KEY.key_id: TrustedKey("hôpital fictif", KEY.private.public_key())}
COVER = FaxCover("Hôpital fictif", "Dr Modèle", "+33199001234", "+33199005678", reference="ab12cd34", date="22/11/2026")


def _bundle(case: str) -> dict[str, Any]:
    bundle: dict[str, Any] = json.loads((CASES / case / "fhir.json").read_bytes())
    return bundle


@pytest.mark.parametrize("rows", list(RowsPerDot))
@pytest.mark.parametrize("case", ["fhir-discharge-letter", "cda-ldl-ses"])
def test_the_pages_of_a_fax_give_back_the_very_document_and_who_sent_it(case: str, rows: RowsPerDot) -> None:
    bundle = _bundle(case)
    annex = annex_of(submission(), bundle, KEY)
    fax = build_fax(render_pdf(bundle, stamp="", urgency=""), COVER, "TEST – NE PAS UTILISER", annex.codes, rows)
    found: set[bytes] = set()
    for page in ImageSequence.Iterator(Image.open(io.BytesIO(fax.tiff))):
        assert page.width == WIDTH
        found |= set(locate_codes(page, lambda seen: set(annex.codes) <= seen))
    codes = [code for code in map(read_code, found) if code is not None]
    ((document_id, gathered),) = gather(codes).items()
    whole = put_together(document_id, gathered)
    assert whole is not None
    assert inflate(whole.deflated) == canonical_json(bundle)
    by = verify(whole.signature, whole.deflated, TRUSTED)
    assert by is not None and by.name == "hôpital fictif"


def test_twelve_codes_stand_on_one_page() -> None:
    pdf = render_pdf(_bundle("fhir-discharge-letter"), stamp="", urgency="")
    bare = build_fax(pdf, COVER).pages
    codes = [random.Random(n).randbytes(900) for n in range(13)]
    assert build_fax(pdf, COVER, codes=codes[:12]).pages == bare + 1
    assert build_fax(pdf, COVER, codes=codes).pages == bare + 2


def test_no_annex_without_a_key_for_a_cancellation_or_when_it_would_be_too_long() -> None:
    bundle = _bundle("fhir-discharge-letter")
    assert annex_of(submission(), bundle, None) == FaxAnnex(left_out="no-key")
    assert annex_of(replace(submission(), intent=Intent.CANCEL), bundle, KEY) == FaxAnnex(left_out="cancellation")
    long = bundle | {"entry": [*bundle["entry"], {"resource": {"div": random.Random(1).randbytes(20_000).hex()}}]}
    left_out = annex_of(submission(), long, KEY)
    assert (left_out, left_out.note) == (FaxAnnex(left_out="too-large"), "annex left out: too-large")
    bare = annex_of(submission(), bundle, KEY)
    assert bare.note == f"annex of {len(bare.codes)} codes, without the prints of its pages"


def test_the_prints_of_the_sheets_are_of_the_very_number_of_sheets_that_leave() -> None:
    bundle = _bundle("fhir-discharge-letter")
    asked: list[int] = []

    def prints(codes: Sequence[bytes]) -> tuple[bytes, ...]:
        asked.append(annex_sheets(codes, RowsPerDot.FINE))
        return sheet_prints(render_pdf(bundle, stamp="", urgency=""), COVER, asked[-1])

    annex = annex_of(submission(), bundle, KEY, prints)
    assert annex.is_printed and annex.note == f"annex of {len(annex.codes)} codes"
    assert asked[-1] == annex_sheets(annex.codes, RowsPerDot.FINE)


def test_a_document_that_leaves_no_room_for_prints_goes_without_them() -> None:
    bundle = _bundle("fhir-discharge-letter")
    bare = annex_of(submission(), bundle, KEY)
    told = annex_of(submission(), bundle, KEY, lambda _codes: [random.Random(n).randbytes(3780) for n in range(20)])
    assert told.codes == bare.codes and not told.is_printed


@pytest.mark.parametrize("count", [20, 405, 408])
def test_the_measures_of_a_curve_are_no_file_they_leave_whole_and_are_compared_as_they_are(count: int) -> None:
    bundle: dict[str, Any] = json.loads((CASES / "fhir-discharge-letter" / "fhir.json").read_text(encoding="utf-8"))
    curve = {"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "1 " * count}
    bundle["entry"][-1]["resource"]["valueSampledData"] = curve
    carried = canonical_json(bundle)
    assert json.loads(carried)["entry"][-1]["resource"]["valueSampledData"] == curve
    assert annex_of(submission(), bundle, KEY).codes
    header = submission().document
    assert is_same_content(carried, header, HeldCopy(header, "cda", "text/xml", b"<ClinicalDocument/>"))


def test_the_same_document_has_the_same_codes() -> None:
    bundle = _bundle("fhir-discharge-letter")
    assert annex_of(submission(), bundle, KEY) == annex_of(submission(), bundle, KEY)
