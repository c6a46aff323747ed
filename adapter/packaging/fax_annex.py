"""Whether a fax carries its document as codes, and which: signed, short enough, and of a document that stands.

Specification: docs/reference/fax-annex.md. An annex without the sender's signature would be imported by nobody: none is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapter.fhir.canonical import canonical_json
from adapter.formats.detached_jws import SigningKey, sign
from adapter.formats.fax_annex import Annex, deflate, write_codes
from adapter.model.submission import Intent, Submission

_NO_KEY = "no-key"
# The number of sheets settles at the second; a third proves it.
_MOST_ROUNDS = 5

Prints = Callable[[Sequence[bytes]], Sequence[bytes]]


def no_prints(_codes: Sequence[bytes]) -> Sequence[bytes]:
    """For pages that others draw: what they look like in the end is not known."""
    return ()


@dataclass(frozen=True)
class FaxAnnex:
    """The codes, or the stable reason why there are none (`no-key`, `cancellation`, `too-large`). `is_printed`: they tell what
    the pages look like, so that a receiver can see whether something was written on them.
    """

    codes: tuple[bytes, ...] = field(default=(), repr=False)
    left_out: str = ""

    is_printed: bool = True

    @property
    def note(self) -> str:
        """What the trace tells of it; nothing where no key was configured."""
        if self.codes:
            return f"annex of {len(self.codes)} codes" + ("" if self.is_printed else ", without the prints of its pages")
        return "" if self.left_out == _NO_KEY else f"annex left out: {self.left_out}"


def annex_of(submission: Submission, bundle: dict[str, Any], key: SigningKey | None, prints: Prints = no_prints) -> FaxAnnex:
    """The annex of one document. `prints` tells what its sheets look like when the annex takes so many sheets of so many codes;
    where there is no room for that, the document goes without.
    """
    if submission.intent is Intent.CANCEL:
        return FaxAnnex(left_out="cancellation")
    if key is None:
        return FaxAnnex(left_out=_NO_KEY)
    document = canonical_json(bundle)
    bare = _codes(document, (), key)
    if not bare:
        return FaxAnnex(left_out="too-large")
    codes = bare
    # The cover says how many sheets there are, and so does its print: asked again until the answer stands.
    for _ in range(_MOST_ROUNDS):
        told = prints(codes)
        again = _codes(document, told, key)
        if not told or not again:
            break
        if again == codes:
            return FaxAnnex(codes)
        codes = again
    return FaxAnnex(bare, is_printed=False)


def _codes(document: bytes, prints: Sequence[bytes], key: SigningKey) -> tuple[bytes, ...]:
    deflated = deflate(document, prints)
    return write_codes(Annex(sign(deflated, key), deflated))
