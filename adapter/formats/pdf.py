"""A bare PDF: whether it can be taken at all, what it claims to be, and the words of a zone of a page. Knows PDF, not medicine.

Law: an encrypted file is refused (nobody downstream could open it, and PDF/A forbids it); size and pages are bounded; nothing
in the file is ever run. The bytes are never rewritten: what comes in is what leaves.
"""

from __future__ import annotations

import io
import re
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import pikepdf
import pypdfium2 as pdfium

from adapter.errors import InputError
from adapter.model.confidential import Confidential

MEDIA_TYPE = "application/pdf"
# PDFium keeps global state: whoever calls it, one document at a time in a process.
ONE_AT_A_TIME = threading.Lock()
_MILLIMETRE = 72 / 25.4
_MOST_WORDS = 20_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


@dataclass(frozen=True)
class PdfLimits:
    """How big a file may be, and how many pages it may have."""

    max_bytes: int = 50_000_000
    max_pages: int = 500


DEFAULT_LIMITS = PdfLimits()


@dataclass(frozen=True, repr=False)
class PdfFacts(Confidential):
    """What a file is: its pages, the PDF/A level that it claims (`1B`, empty when none), whether it holds something that runs.

    `metadata`: what its document information says (Title, Author…), as texts.
    """

    pages: int
    pdf_a: str = ""
    is_active: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Zone:
    """A rectangle of a page, in millimetres from its top left corner; `page` is 1 for the first."""

    page: int
    left: float
    top: float
    width: float
    height: float


def inspect_pdf(content: bytes, limits: PdfLimits = DEFAULT_LIMITS) -> PdfFacts:
    """What the file is. Raises InputError pdf.too-large, pdf.not-a-pdf, pdf.encrypted, pdf.no-page, pdf.too-many-pages."""
    if len(content) > limits.max_bytes:
        raise InputError("pdf.too-large", f"Le PDF dépasse {limits.max_bytes} octets.", remedy="Réduire le document.")
    if b"%PDF-" not in content[:1024]:
        raise InputError("pdf.not-a-pdf", "Le fichier n’est pas un PDF.", remedy="Enregistrer le document en PDF.")
    try:
        with pikepdf.open(io.BytesIO(content)) as pdf:
            if pdf.is_encrypted:
                raise _encrypted()
            pages = len(pdf.pages)
            facts = PdfFacts(pages, _pdf_a(pdf), _is_active(pdf), _metadata(pdf))
    except pikepdf.PasswordError:
        raise _encrypted() from None
    except (pikepdf.PdfError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, zlib.error):
        raise InputError(
            "pdf.not-a-pdf", "Le PDF est endommagé.", remedy="L’enregistrer de nouveau depuis le logiciel."
        ) from None
    if not pages:
        raise InputError("pdf.no-page", "Le PDF n’a aucune page.", remedy="Renvoyer le document complet.")
    if pages > limits.max_pages:
        raise InputError(
            "pdf.too-many-pages", f"Le PDF dépasse {limits.max_pages} pages.", remedy="Envoyer un document par patient."
        )
    return facts


def _encrypted() -> InputError:
    return InputError(
        "pdf.encrypted", "Le PDF est chiffré ou protégé par un mot de passe.", remedy="L’enregistrer sans protection."
    )


def _pdf_a(pdf: pikepdf.Pdf) -> str:
    """The level claimed in XMP, when the file also has the output intent that the norm wants with it."""
    with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as meta:
        level = f"{meta.get('pdfaid:part', '')}{meta.get('pdfaid:conformance', '')}"
    intents = pdf.Root.get("/OutputIntents")
    return level if level and intents is not None and len(intents) > 0 else ""


def _metadata(pdf: pikepdf.Pdf) -> dict[str, str]:
    """The document information; names that are no names, and what is no text, are told by none."""
    held = {str(name).lstrip("/"): value for name, value in pdf.docinfo.items() if isinstance(value, pikepdf.String)}
    return {name: str(value).strip()[:_MOST_WORDS] for name, value in held.items() if _NAME.fullmatch(name)}


def _is_active(pdf: pikepdf.Pdf) -> bool:
    names = pdf.Root.get("/Names")
    held = names is not None and any(key in names for key in ("/JavaScript", "/EmbeddedFiles"))
    opens = pdf.Root.get("/OpenAction")  # an array is a place to look at first, and runs nothing
    return held or "/AA" in pdf.Root or isinstance(opens, pikepdf.Dictionary)


def words_of(content: bytes, zones: tuple[Zone | None, ...]) -> tuple[str, ...]:
    """The words of each zone, in reading order; None is the whole first page. Empty where there is no such page, or a picture."""
    with ONE_AT_A_TIME:
        try:
            document = pdfium.PdfDocument(content)
        except pdfium.PdfiumError:
            return ("",) * len(zones)
        try:
            return tuple(_words(document, zone) for zone in zones)
        finally:
            document.close()


def _words(document: pdfium.PdfDocument, zone: Zone | None) -> str:
    number = zone.page if zone else 1
    if not 1 <= number <= len(document):
        return ""
    page = document[number - 1]
    text = page.get_textpage()
    try:
        if zone is None:
            return str(text.get_text_range(0, -1))[:_MOST_WORDS]
        height = page.get_height()
        left, right = zone.left * _MILLIMETRE, (zone.left + zone.width) * _MILLIMETRE
        top, bottom = height - zone.top * _MILLIMETRE, height - (zone.top + zone.height) * _MILLIMETRE
        return str(text.get_text_bounded(left, bottom, right, top))[:_MOST_WORDS]
    finally:
        text.close()
        page.close()
