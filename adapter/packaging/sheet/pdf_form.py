"""The fillable PDF of a Questionnaire: an AcroForm whose field names are the linkIds. Plain PDF: no script, no encryption.

Source: ISO 32000-1 §12.7. A point parts the names of a field's ancestors there, so `patient.nom` is the field `nom` below the
field `patient`, and `examens.2.region` the second line of a table. The hidden field `formulaire` says which form, in which
version (`url|version`): a reader knows the form by it. The same Questionnaire gives the same bytes.

The page is drawn by the painter of all our PDFs, fields are added with pikepdf: the libraries that write forms themselves can
neither nest field names nor set fields in an embedded face.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pikepdf
from fontTools import subset
from fontTools.ttLib import TTFont
from pikepdf import Array, Dictionary, Name, String

from adapter.packaging.page.faces import POINT_MM, font_path
from adapter.packaging.page.layout import PAGE_HEIGHT
from adapter.packaging.page.paint import Imprint, paint
from adapter.packaging.sheet.layout import FormPage, form_code, lay_out
from adapter.packaging.sheet.pieces import Slot

CODE_FIELD = "formulaire"
_FACE = "TduSans"
_SIZE = 9.5
_READ_ONLY, _REQUIRED, _MULTILINE, _COMBO, _RADIO = 1, 1 << 1, 1 << 12, 1 << 17, 1 << 15
_PRINT, _HIDDEN = 4, 2
_PADDING = 1.0
_CODES = [bytes([code]).decode("cp1252", "ignore") for code in range(256)]


def print_form(questionnaire: Mapping[str, Any]) -> bytes:
    """The form, empty, ready to be filled on a screen or by hand."""
    pages = lay_out(questionnaire)
    title, code = str(questionnaire["title"]), form_code(questionnaire)
    drawn = paint([page.marks for page in pages], Imprint(title, _dated(questionnaire), ""))
    with pikepdf.open(io.BytesIO(drawn)) as pdf:
        _make_plain(pdf, title, code)
        _FieldWriter(pdf).write(pages, code)
        out = io.BytesIO()
        pdf.save(out, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return out.getvalue()


def _dated(questionnaire: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(questionnaire.get("date") or "2000-01-01").replace(tzinfo=UTC)


def _make_plain(pdf: pikepdf.Pdf, title: str, code: str) -> None:
    """A form that will be filled and saved by others cannot promise to be PDF/A."""
    for key in (Name.Metadata, Name.OutputIntents, Name.OpenAction):
        if key in pdf.Root:
            del pdf.Root[key]
    pdf.docinfo[Name.Title] = String(title)
    pdf.docinfo[Name.Keywords] = String(code)
    pdf.docinfo[Name.Creator] = String("Trait d'union")
    pdf.Root.ViewerPreferences = Dictionary(DisplayDocTitle=True)


class _FieldWriter:
    """Builds the tree of fields and hangs widgets on pages."""

    def __init__(self, pdf: pikepdf.Pdf) -> None:
        self._pdf = pdf
        self._tree: dict[str, pikepdf.Object] = {}
        self._roots: list[pikepdf.Object] = []
        self._places: Counter[str] = Counter()
        self._font = pdf.make_indirect(_field_font(pdf))
        self._tick = pdf.make_indirect(_box_appearance(pdf, ticked=True))
        self._empty = pdf.make_indirect(_box_appearance(pdf, ticked=False))

    def write(self, pages: Sequence[FormPage], code: str) -> None:
        """All fields of all pages."""
        self._places = Counter(slot.name for page in pages for slot in page.slots)
        for page, laid in zip(self._pdf.pages, pages, strict=True):
            page.obj.Annots = Array()
            page.obj.Tabs = Name.R
            for slot in laid.slots:
                page.obj.Annots.append(self._widget(slot, page))
        self._name_form(code)
        look = f"/{_FACE} {_SIZE} Tf 0.05 0.09 0.35 rg".encode()
        self._pdf.Root.AcroForm = Dictionary(
            Fields=Array(self._roots), DA=String(look), DR=Dictionary(Font=Dictionary({f"/{_FACE}": self._font}))
        )

    def _name_form(self, code: str) -> None:
        page = self._pdf.pages[0]
        flags = {"/F": _HIDDEN, "/Rect": Array([0, 0, 0, 0]), "/P": page.obj}
        widget = self._pdf.make_indirect(
            Dictionary(
                {"/Type": Name.Annot, "/Subtype": Name.Widget, "/FT": Name.Tx, "/T": String(CODE_FIELD), "/Ff": _READ_ONLY,
                 "/V": String(code), "/DV": String(code), **flags}
            )
        )  # fmt: skip
        page.obj.Annots.append(widget)
        self._roots.append(widget)

    def _widget(self, slot: Slot, page: pikepdf.Page) -> pikepdf.Object:
        field = self._field(slot)
        widget = self._place(field) if self._places[slot.name] > 1 else field
        widget.Type, widget.Subtype, widget.F, widget.Rect, widget.P = Name.Annot, Name.Widget, _PRINT, _rect(slot), page.obj
        if slot.state:
            widget.AS = Name.Off
            widget.AP = Dictionary(N=Dictionary({"/" + slot.state: self._tick, "/Off": self._empty}))
            widget.MK = Dictionary(CA=String("8"))
        return widget

    def _place(self, field: pikepdf.Object) -> pikepdf.Object:
        """One of several places of a field; the only place of a field is the field itself, as all programs write it."""
        widget = self._pdf.make_indirect(Dictionary(Parent=field))
        field.Kids = field.get("/Kids", Array())
        field.Kids.append(widget)
        return widget

    def _field(self, slot: Slot) -> pikepdf.Object:
        """The terminal field of a slot; several widgets may share one."""
        known = self._tree.get(slot.name)
        if known is not None:
            return known
        field = self._node(slot.name)
        field.TU = String(slot.tip)
        required = _REQUIRED if slot.required else 0
        match slot.kind:
            case "tick":
                field.FT, field.Ff, field.V = Name.Btn, _RADIO | required, Name.Off
                field.TU = String(slot.tip.rpartition(" : ")[0])
            case "box":
                field.FT, field.V = Name.Btn, Name.Off
            case "choice":
                field.FT, field.Ff = Name.Ch, _COMBO | required
                field.Opt = Array([Array([String(code), String(word)]) for code, word in slot.options])
            case _:
                field.FT, field.Ff = Name.Tx, (_MULTILINE if slot.lines else 0) | required
                if slot.most:
                    field.MaxLen = slot.most
        return field

    def _node(self, name: str) -> pikepdf.Object:
        """The field of a name, below its ancestors."""
        parent, _, part = name.rpartition(".")
        node = self._pdf.make_indirect(Dictionary(T=String(part)))
        self._tree[name] = node
        if not parent:
            self._roots.append(node)
            return node
        above = self._tree.get(parent) or self._node(parent)
        node.Parent = above
        above.Kids = above.get("/Kids", Array())
        above.Kids.append(node)
        return node


def _rect(slot: Slot) -> Array:
    """Points from the bottom left."""
    edge = 0.0 if slot.state else _PADDING * 0.3
    left, right = slot.x + edge, slot.x + slot.width - edge
    top, bottom = PAGE_HEIGHT - slot.y - edge, PAGE_HEIGHT - slot.y - slot.height + edge
    return Array([round(value / POINT_MM, 2) for value in (left, bottom, right, top)])


def _box_appearance(pdf: pikepdf.Pdf, *, ticked: bool) -> pikepdf.Object:
    """A cross within the printed box, drawn with lines: no symbol face is needed."""
    drawing = b"q 0.05 0.09 0.35 RG 1.5 w 1 J 2.6 2.6 m 8.2 8.2 l S 2.6 8.2 m 8.2 2.6 l S Q" if ticked else b""
    stream = pdf.make_stream(drawing)
    stream.Type, stream.Subtype, stream.BBox = Name.XObject, Name.Form, Array([0, 0, 10.77, 10.77])
    return stream


# -- the face of the fields -----------------------------------------------------------------------------------------------


def _field_font(pdf: pikepdf.Pdf) -> pikepdf.Object:
    """DejaVu Sans Condensed, cut down to the letters of Windows-1252: viewers set one-byte faces only while one types."""
    program, metrics = _face_program()
    file = pdf.make_stream(program)
    file.Length1 = len(program)
    descriptor = Dictionary(
        Type=Name.FontDescriptor,
        FontName=Name("/" + metrics["name"]),
        Flags=32,
        FontBBox=Array(metrics["box"]),
        ItalicAngle=0,
        Ascent=metrics["ascent"],
        Descent=metrics["descent"],
        CapHeight=729,
        StemV=80,
        FontFile2=pdf.make_indirect(file),
    )
    return Dictionary(
        Type=Name.Font,
        Subtype=Name.TrueType,
        BaseFont=Name("/" + metrics["name"]),
        Encoding=Name.WinAnsiEncoding,
        FirstChar=32,
        LastChar=255,
        Widths=Array(metrics["widths"]),
        FontDescriptor=pdf.make_indirect(descriptor),
    )


@lru_cache(maxsize=1)
def _face_program() -> tuple[bytes, dict[str, Any]]:
    """The cut-down face and its metrics in thousandths; made once a process."""
    font = TTFont(font_path(""), recalcTimestamp=False)
    options = subset.Options(notdef_outline=True, name_IDs=[], hinting=False, layout_features=[], recalc_timestamp=False)
    options.drop_tables += ["FFTM"]
    cutter = subset.Subsetter(options)
    cutter.populate(text="".join(_CODES[32:]))
    cutter.subset(font)
    scale = 1000 / font["head"].unitsPerEm
    known, advance, head = font.getBestCmap(), font["hmtx"].metrics, font["head"]
    out = io.BytesIO()
    font.save(out, reorderTables=True)
    widths = [round(scale * advance[known[ord(c)]][0]) if c and ord(c) in known else 0 for c in _CODES[32:]]
    box = [round(scale * edge) for edge in (head.xMin, head.yMin, head.xMax, head.yMax)]
    ascent, descent = (round(scale * value) for value in (font["hhea"].ascent, font["hhea"].descent))
    return out.getvalue(), {"name": f"TDUDJV+{_FACE}", "widths": widths, "box": box, "ascent": ascent, "descent": descent}
