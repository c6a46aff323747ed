"""XHTML narrative: a line of our own, or a CDA narrative block made into the clean subset that FHIR allows.

Law (FHIR R4 §2.4, txt-1, txt-2): only formatting elements, no script, no event, no form, and never blank. The output is
built as a tree and serialised: text is never pasted into markup.
"""

from __future__ import annotations

from html import escape
from typing import Any

XHTML = "http://www.w3.org/1999/xhtml"


def generated(text: str) -> dict[str, Any]:
    """A Narrative of one paragraph, written by us."""
    return {"status": "generated", "div": div_of(text)}


def div_of(*paragraphs: str) -> str:
    """A div of plain paragraphs."""
    body = "".join(f"<p>{escape(clean_text(text), quote=False)}</p>" for text in paragraphs if text.strip())
    return f'<div xmlns="{XHTML}">{body or "<p>—</p>"}</div>'


def clean_text(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(c for c in text if c in "\t\n\r" or c >= " ")
