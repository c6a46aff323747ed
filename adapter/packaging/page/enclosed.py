"""Files enclosed with a document (a doctor's letter, a scan), as pictures of their pages, to be printed after it.

Law: what was enclosed is read wherever the document is read on paper, or the page says that it is not there. The pages are drawn
as pictures since the whole stays PDF/A-1b (ISO 19005-1): a file of others brings its fonts, scripts and protections. Its bytes
travel unchanged in the electronic document.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, ImageChops, ImageOps

from adapter.errors import InputError
from adapter.formats.pdf import MEDIA_TYPE, ONE_AT_A_TIME, inspect_pdf
from adapter.model.confidential import Confidential
from adapter.packaging.page.words import Document, Resource

DOTS_PER_INCH = 170
MOST_PAGES = 60
_LONGEST_SIDE = 2200
_MOST_FRAMES = MOST_PAGES
_QUALITY = 78
_COLOURED = 13  # primaries so far apart are a colour, nearer is the noise of a scanner
_TITLE_LENGTH = 120
_PROBLEMS = {"pdf.encrypted": "fichier protégé par un mot de passe", "pdf.too-large": "fichier trop volumineux"}
_UNREADABLE = "fichier illisible"


@dataclass(frozen=True, repr=False)
class PagePicture(Confidential):
    """One page as JPEG, opaque."""

    data: bytes
    wide: int
    high: int


@dataclass(frozen=True, repr=False)
class Enclosed(Confidential):
    """One enclosed file: its name, its pages as pictures, why none can be printed, how many more pages there are.

    `binary` names the resource that holds its bytes, so that it is not shown twice.
    """

    title: str
    pictures: tuple[PagePicture, ...] = ()
    problem: str = ""
    left: int = 0
    binary: str = ""


def read_enclosed(document: Document) -> tuple[Enclosed, ...]:
    """The files that the document's sections hold, in their order, each once."""
    found: list[Enclosed] = []
    seen: set[str] = set()
    room = MOST_PAGES
    for title, media_type, data, binary in _files(document):
        if binary in seen:
            continue
        seen.add(binary)
        enclosed = _printed(title, media_type, data, binary, room)
        room -= len(enclosed.pictures)
        found.append(enclosed)
    return tuple(found)


def _files(document: Document) -> Iterator[tuple[str, str, bytes, str]]:
    """Name, media type, bytes and place of each file that a section's entry refers to."""
    for resource in _entries(document, document.composition.get("section", ())):
        if resource.get("resourceType") != "DocumentReference":
            continue
        for content in resource.get("content", ()):
            attachment = content.get("attachment", {})
            url = str(attachment.get("url", ""))
            binary = document.at({"reference": url}) if url else {}
            media_type = str(binary.get("contentType") or attachment.get("contentType") or "")
            held = binary.get("data") or attachment.get("data")
            title = str(resource.get("description") or attachment.get("title") or "Pièce jointe")
            if held:
                yield title[:_TITLE_LENGTH], media_type, _decoded(held), url or str(resource.get("id"))


def _entries(document: Document, sections: Any) -> Iterator[Resource]:
    for section in sections:
        for reference in section.get("entry", ()):
            yield document.at(reference)
        yield from _entries(document, section.get("section", ()))


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode("".join(str(text).split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _printed(title: str, media_type: str, data: bytes, binary: str, room: int) -> Enclosed:
    """The pages that there is room for."""
    try:
        if media_type == MEDIA_TYPE:
            pages = inspect_pdf(data).pages
            pictures = tuple(_pdf_pages(data, min(pages, room)))
        elif media_type.startswith("image/"):
            pictures, pages = _image_pages(data, room)
        else:
            return Enclosed(title, problem=f"fichier d’un genre qui ne s’imprime pas ({media_type or 'inconnu'})", binary=binary)
    except InputError as error:
        return Enclosed(title, problem=_PROBLEMS.get(error.code, _UNREADABLE), binary=binary)
    except (pypdfium2.PdfiumError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Warning):
        return Enclosed(title, problem=_UNREADABLE, binary=binary)
    return Enclosed(title, pictures, left=pages - len(pictures), binary=binary)


def _pdf_pages(data: bytes, count: int) -> Iterator[PagePicture]:
    for number in range(count):
        with ONE_AT_A_TIME:
            document = pypdfium2.PdfDocument(data)
            try:
                image = _drawn(document, number)
            finally:
                document.close()
        yield _as_jpeg(image)


def _drawn(document: pypdfium2.PdfDocument, number: int) -> Image.Image:
    page = document[number]
    wide, high = page.get_size()
    scale = min(DOTS_PER_INCH / 72, _LONGEST_SIDE / max(wide, high, 1.0))
    dots = max(1, round(wide * scale)), max(1, round(high * scale))
    bitmap = pypdfium2.PdfBitmap.new_native(*dots, pdfium.FPDFBitmap_BGR)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, *dots)
    pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, *dots, 0, pdfium.FPDF_ANNOT | pdfium.FPDF_PRINTING)
    image: Image.Image = bitmap.to_pil().convert("RGB")
    bitmap.close()
    page.close()
    return image


def _image_pages(data: bytes, room: int) -> tuple[tuple[PagePicture, ...], int]:
    """Each page of an image, the right way up (a telephone only notes how it was held)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF")) as image:
            count = min(getattr(image, "n_frames", 1), _MOST_FRAMES)
            pictures = []
            for number in range(min(count, room)):
                image.seek(number)
                pictures.append(_as_jpeg(_on_white(ImageOps.exif_transpose(image))))
    return tuple(pictures), count


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer.getchannel("A"))
        return white
    return image.convert("RGB")


def _as_jpeg(image: Image.Image) -> PagePicture:
    """Small enough to mail; grey when there is no colour to lose."""
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    red, green, blue = image.split()
    apart = ImageChops.lighter(ImageChops.difference(red, green), ImageChops.difference(green, blue)).histogram()
    kept = image if any(apart[_COLOURED:]) else green
    out = io.BytesIO()
    kept.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return PagePicture(out.getvalue(), *kept.size)


def is_enclosed(binary: Mapping[str, Any], enclosed: tuple[Enclosed, ...]) -> Enclosed | None:
    """The enclosed file whose bytes a Binary holds."""
    return next((one for one in enclosed if one.binary.rpartition(":")[2] == str(binary.get("id"))), None)
