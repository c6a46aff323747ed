"""Whether a fax carries its document as codes, and which: signed, short enough, and of a document that stands.

Specification: docs/reference/fax-annex.md. An annex without the sender's signature would be imported by nobody: none is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey, sign
from adapter.formats.fax_annex import Annex, deflate, write_codes
from adapter.model.submission import Intent, Submission

_NO_KEY = "no-key"


@dataclass(frozen=True)
class FaxAnnex:
    """The codes, or the stable reason why there are none (`no-key`, `cancellation`, `too-large`)."""

    codes: tuple[bytes, ...] = field(default=(), repr=False)
    left_out: str = ""

    @property
    def note(self) -> str:
        """What the trace tells of it; nothing where no key was configured."""
        if self.codes:
            return f"annex of {len(self.codes)} codes"
        return "" if self.left_out == _NO_KEY else f"annex left out: {self.left_out}"


def annex_of(submission: Submission, bundle: dict[str, Any], key: SigningKey | None) -> FaxAnnex:
    """The annex of one document."""
    if submission.intent is Intent.CANCEL:
        return FaxAnnex(left_out="cancellation")
    if key is None:
        return FaxAnnex(left_out=_NO_KEY)
    deflated = deflate(canonical_json(bundle))
    codes = write_codes(Annex(sign(deflated, key), deflated))
    return FaxAnnex(codes) if codes else FaxAnnex(left_out="too-large")
