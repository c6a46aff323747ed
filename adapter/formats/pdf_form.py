"""A fillable PDF's bytes to a form's answers, in the one plain shape of `form.read_form`. No meaning, no I/O.

The fields' full names are linkIds (`patient.nom`), a number is the rank in a list (`examens.2.region`), and the field
`formulaire` holds `url|version` of the form. Values are what the file stores (/V); a file whose page shows another value than the
one it stores is refused, for nobody can tell which one was meant. What a form cannot carry (annotations, scripts, attached
files, signatures) is not read and told. Source: ISO 32000-1 §12.7.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pikepdf

from adapter.errors import InputError
from adapter.formats.form import FormContent, safe_key
from adapter.formats.pdf_appearance import shown_text
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity

MAX_PDF_FORM_BYTES = 8 * 1_048_576
MAX_UNPACKED_BYTES = 48 * 1_048_576
MAX_FIELDS = 2_000
MAX_DEPTH = 12
MAX_TEXT = 100_000
MAX_TOLD = 20
_CHUNK = 16_384  # unpacked, at most a thousand times as much
CODE_FIELD = "formulaire"
PDF = "application/pdf"

_CODE = re.compile(r"\S{1,300}/Questionnaire/[a-z0-9]+(?:-[a-z0-9]+)*\|[0-9A-Za-z.+-]{1,40}")
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_OFF = ("", "Off")
_OWN_ANNOTATIONS = frozenset({"/Widget", "/Link", "/Popup"})


def is_pdf(content: bytes) -> bool:
    """True when the bytes begin as a PDF."""
    return content[:64].lstrip(b"\xef\xbb\xbf\x00\t\r\n ").startswith(b"%PDF-")


def form_code_of(content: bytes) -> str:
    """The canonical of the form that a PDF is a copy of, or empty: a PDF that cannot be opened is nobody's form."""
    if not is_pdf(content) or len(content) > MAX_PDF_FORM_BYTES or _unpacks_to_too_much(content):
        return ""
    try:
        with pikepdf.open(io.BytesIO(content)) as pdf:
            return _code_of(pdf, dict(_top_values(pdf)))
    except (pikepdf.PdfError, pikepdf.PasswordError, ValueError, TypeError, AttributeError, KeyError, RuntimeError):
        return ""


def read_pdf_form(content: bytes) -> dict[str, Any]:
    """The answers of a filled PDF, nested as its linkIds. Raises InputError `form.*`."""
    return parse_pdf_form(content).answers


def parse_pdf_form(content: bytes) -> FormContent:
    """The answers and all that is to be said of the file. Raises InputError `form.*`."""
    if len(content) > MAX_PDF_FORM_BYTES or _unpacks_to_too_much(content):
        raise InputError(
            "form.too-large", f"Le formulaire PDF dépasse {MAX_PDF_FORM_BYTES} octets, ou se déplie au-delà de toute mesure.",
            remedy="Envoyer les pièces jointes à part.",
        )  # fmt: skip
    try:
        with pikepdf.open(io.BytesIO(content)) as pdf:
            return _PdfFormReader(pdf).read()
    except pikepdf.PasswordError:
        raise InputError(
            "form.pdf-protected", "Le PDF est protégé par un mot de passe.", remedy="L’enregistrer sans protection."
        ) from None
    except (pikepdf.PdfError, ValueError, TypeError, AttributeError, KeyError, RuntimeError):
        # The text of these errors may quote the file: it stays here.
        raise InputError(
            "form.pdf-unreadable",
            "Le PDF est abîmé : ses champs ne peuvent pas être lus.",
            remedy="Remplir de nouveau un formulaire vierge.",
        ) from None


@dataclass(repr=False)
class _Field(Confidential):
    """One terminal field: its name, its kind, and the widgets that show it."""

    name: str
    kind: str
    node: pikepdf.Object
    value: pikepdf.Object | None
    widgets: list[pikepdf.Object] = field(default_factory=list)


class _PdfFormReader:
    """Reads one open file."""

    def __init__(self, pdf: pikepdf.Pdf) -> None:
        self._pdf = pdf
        self._findings: list[Finding] = []
        self._unused: list[tuple[str, str]] = []
        self._form: pikepdf.Object = pdf.Root.get("/AcroForm", pikepdf.Dictionary())
        self._shows_values = bool(self._form.get("/NeedAppearances", False))

    def read(self) -> FormContent:
        """All of it."""
        fields = list(_terminal_fields(self._form))
        self._refuse_what_is_no_form(fields)
        values: dict[str, Any] = {}
        for each in fields:
            told = self._value(each)
            if each.kind == "/Sig":
                self._signature(each)
            elif each.name in values and values[each.name] != told:
                raise InputError(
                    "form.duplicate-key", "Un même champ du PDF porte deux valeurs.", where=_place(each.name),
                    remedy="Remplir de nouveau un formulaire vierge.",
                )  # fmt: skip
            else:
                values[each.name] = told
        code = _code_of(self._pdf, values)
        if not code:
            raise InputError(
                "form.pdf-without-code", "Ce PDF ne dit pas de quel formulaire il est l’exemplaire.", where=CODE_FIELD,
                remedy="Remplir le formulaire imprimé par « tdu form print ».",
            )  # fmt: skip
        values.pop(CODE_FIELD, None)
        self._beside_the_fields(fields)
        slug = code.partition("|")[0].rpartition("/")[2]
        return FormContent(
            answers=_nested(values),
            envelope={"questionnaire": code},
            slug=slug,
            unused=tuple(self._unused),
            media_type=PDF,
            findings=tuple(self._findings),
            places=frozenset(_without_ranks(name) for name in values),
        )

    def _refuse_what_is_no_form(self, fields: list[_Field]) -> None:
        if "/XFA" in self._form:
            raise InputError(
                "form.pdf-xfa", "Ce PDF contient un formulaire XFA, qui n’est pas lu.", where="AcroForm/XFA",
                remedy="Remplir le formulaire imprimé par « tdu form print », sans le convertir.",
            )  # fmt: skip
        if not fields:
            flat = " Il a été aplati : ses réponses ne sont plus que du dessin." if _printed_code(self._pdf) else ""
            raise InputError(
                "form.pdf-without-fields", f"Ce PDF n’a pas de champs à lire.{flat}", where="AcroForm",
                remedy="Enregistrer le formulaire rempli, sans l’imprimer en PDF ni l’aplatir.",
            )  # fmt: skip

    # Values

    def _value(self, each: _Field) -> Any:
        """The stored value: a text, a list of texts, or empty."""
        match each.kind:
            case "/Btn":
                return self._button(each)
            case "/Tx" | "/Ch":
                stored = self._stored(each)
                self._compare(each, stored)
                return stored if isinstance(stored, str) or each.kind == "/Ch" else " ".join(stored)
            case _:
                return ""

    def _stored(self, each: _Field) -> str | list[str]:
        """The field's value; some programs write it at a place of the field only, and then all that is written must agree."""
        found = [_texts(each.value, each.name)]
        found += [_texts(widget["/V"], each.name) for widget in each.widgets if "/V" in widget]
        told = [value for value in found if value]
        if any(value != told[0] for value in told):
            raise self._contradiction(each)
        return told[0] if told else ""

    def _button(self, each: _Field) -> str:
        stored = _state(each.value)
        ticked = {_state(widget.get("/AS")) for widget in each.widgets} - set(_OFF)
        if len(ticked) > 1 or (ticked and stored not in ticked):
            raise self._contradiction(each)
        if stored not in _OFF and not ticked and not self._shows_values:
            self._not_shown(each)
        return "" if stored in _OFF else stored

    def _compare(self, each: _Field, stored: str | list[str]) -> None:
        """What the page shows must be (part of) what is stored. Words whose face we cannot read claim nothing."""
        if self._shows_values or each.name == CODE_FIELD:
            return
        wanted = [stored] if isinstance(stored, str) else stored
        told = {_bare(word) for word in (*wanted, *(_option_words(each.node, word) for word in wanted))}
        blank = not any(told)
        shown = [_bare(text) for text in (shown_text(widget) for widget in each.widgets) if text is not None]
        for text in shown:
            if text and not any(text in word for word in told):
                raise self._contradiction(each)
        if shown and not any(shown) and not blank:
            self._not_shown(each)

    def _contradiction(self, each: _Field) -> InputError:
        return InputError(
            "form.pdf-inconsistent", "La page montre une autre réponse que celle enregistrée dans le champ.",
            where=_place(each.name), remedy="Ressaisir cette réponse avec un lecteur de PDF à jour, puis enregistrer.",
        )  # fmt: skip

    def _not_shown(self, each: _Field) -> None:
        self._tell("form.pdf-not-shown", "La réponse enregistrée n’est pas dessinée sur la page.", _place(each.name))

    def _signature(self, each: _Field) -> None:
        if each.value is not None:
            self._tell("form.pdf-signature", "La signature du PDF n’est pas vérifiée.", _place(each.name))
            self._unused.append((_place(each.name), "signature"))

    # What lies beside the fields

    def _beside_the_fields(self, fields: list[_Field]) -> None:
        scripted = (_place(each.name) for each in fields if "/AA" in each.node)
        if scripts := [*_scripts(self._pdf, self._form), *scripted]:
            self._tell("form.pdf-script", "Le PDF contient des scripts ou des actions : ils sont ignorés.", scripts[0])
            self._unused += [(place, "script") for place in scripts[:MAX_TOLD]]
        names = self._pdf.Root.get("/Names", pikepdf.Dictionary())
        if "/EmbeddedFiles" in names or "/AF" in self._pdf.Root:
            self._tell("form.pdf-attachment", "Le PDF contient des fichiers joints : ils ne sont pas lus.", "EmbeddedFiles")
            self._unused.append(("EmbeddedFiles", "file"))
        for number, page in enumerate(self._pdf.pages, start=1):
            self._annotations(number, page)
        if self._pdf.get_warnings():
            self._tell("form.pdf-repaired", "Le PDF était abîmé : il a été relu au mieux.", "PDF")

    def _annotations(self, number: int, page: pikepdf.Page) -> None:
        """Words or drawings that someone put on the page with another tool: no field holds them."""
        added = [a for a in _array(page.obj.get("/Annots")) if str(a.get("/Subtype", "")) not in _OWN_ANNOTATIONS]
        if not added:
            return
        place = f"page[{number}]/Annots"
        text = f"La page {number} porte des annotations ajoutées à la main : elles ne sont pas lues, le PDF reste joint."
        self._tell("form.pdf-annotation", text, place, "Écrire les réponses dans les champs.")
        self._unused += [(f"{place}[{rank}]", str(a.get("/Subtype", ""))) for rank, a in enumerate(added[:MAX_TOLD], start=1)]

    def _tell(self, code: str, text: str, place: str, remedy: str = "") -> None:
        if sum(finding.code == code for finding in self._findings) < MAX_TOLD:
            self._findings.append(Finding(Severity.WARNING, code, text, place, remedy))


# -- walking ---------------------------------------------------------------------------------------------------------------


def _terminal_fields(form: pikepdf.Object) -> Iterator[_Field]:
    """Every field that holds a value, named by its ancestors. Loops and masses are refused."""
    count = 0
    waiting: list[tuple[pikepdf.Object, str, str, Any, int]] = [
        (node, "", "", None, 0) for node in reversed(_array(form.get("/Fields")))
    ]
    seen: set[tuple[int, int]] = set()
    while waiting:
        node, path, kind, value, depth = waiting.pop()
        count += 1
        if count > MAX_FIELDS or depth > MAX_DEPTH or (node.is_indirect and node.objgen in seen):
            raise InputError("form.pdf-too-many", "Le PDF a trop de champs, ou des champs en boucle.", where="AcroForm/Fields")
        seen.add(node.objgen)
        path = _join(path, str(node["/T"])) if "/T" in node else path
        kind = str(node.get("/FT", kind))
        value = node.get("/V", value)
        kids = _array(node.get("/Kids"))
        below = [kid for kid in kids if "/T" in kid]
        widgets = [kid for kid in kids if "/T" not in kid] or ([] if kids else [node])
        if below:
            waiting += [(kid, path, kind, value, depth + 1) for kid in reversed(below)]
        elif kind and path:
            yield _Field(path, kind, node, value, widgets)


def _array(data: pikepdf.Object | None) -> list[Any]:
    return [each for each in data if isinstance(each, pikepdf.Dictionary)] if isinstance(data, pikepdf.Array) else []


def _top_values(pdf: pikepdf.Pdf) -> Iterator[tuple[str, Any]]:
    """The stored texts of top-level fields: enough to know a form by, without reading it."""
    form = pdf.Root.get("/AcroForm")
    for node in _array(form.get("/Fields") if isinstance(form, pikepdf.Dictionary) else None)[:MAX_FIELDS]:
        if isinstance(node.get("/T"), pikepdf.String) and isinstance(node.get("/V"), pikepdf.String):
            yield str(node["/T"]), str(node["/V"])


def _code_of(pdf: pikepdf.Pdf, values: dict[str, Any]) -> str:
    """What the file says it is a copy of: its field, else the keywords that we printed."""
    written = values.get(CODE_FIELD)
    if isinstance(written, str) and written:
        return written if _CODE.fullmatch(written) else ""
    return _printed_code(pdf)


def _printed_code(pdf: pikepdf.Pdf) -> str:
    found = pdf.docinfo.get("/Keywords")
    return str(found) if isinstance(found, pikepdf.String) and _CODE.fullmatch(str(found)) else ""


def _scripts(pdf: pikepdf.Pdf, form: pikepdf.Object) -> Iterator[str]:
    """Where something would run: on opening, by name, on a page, in a field."""
    root = pdf.Root
    if "/OpenAction" in root and isinstance(root["/OpenAction"], pikepdf.Dictionary):
        yield "OpenAction"
    if "/AA" in root:
        yield "AA"
    if "/JavaScript" in root.get("/Names", pikepdf.Dictionary()):
        yield "Names/JavaScript"
    if "/CO" in form:
        yield "AcroForm/CO"
    for number, page in enumerate(pdf.pages, start=1):
        if "/AA" in page.obj:
            yield f"page[{number}]/AA"
        for annotation in _array(page.obj.get("/Annots")):
            if "/AA" in annotation or ("/A" in annotation and str(annotation.get("/Subtype", "")) != "/Link"):
                yield f"page[{number}]/Annots/A"
                break


# -- values ----------------------------------------------------------------------------------------------------------------


def _texts(value: pikepdf.Object | None, name: str) -> str | list[str]:
    """A stored text (a string or a stream), or the list of a choice of several."""
    if value is None:
        return ""
    if isinstance(value, pikepdf.Array):
        return [text for each in value for text in [_text(each, name)] if text]
    return _text(value, name)


def _text(value: Any, name: str) -> str:
    if isinstance(value, pikepdf.Stream):
        value = pikepdf.String(value.read_bytes())
    if isinstance(value, pikepdf.Name):
        return "" if str(value) == "/Off" else str(value)[1:]
    if not isinstance(value, pikepdf.String):
        raise InputError("form.pdf-value", "La valeur de ce champ n’est pas un texte.", where=_place(name))
    text = str(value).replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > MAX_TEXT:
        raise InputError("form.too-large", "La réponse est trop longue.", where=_place(name))
    if _FORBIDDEN.search(text):
        raise InputError(
            "form.bad-character", "Un texte contient un caractère de contrôle interdit.", where=_place(name),
            remedy="Ressaisir cette réponse.",
        )  # fmt: skip
    return text


def _state(value: Any) -> str:
    """The state of a button, whether stored as a name or as a text."""
    if isinstance(value, pikepdf.Name):
        return str(value)[1:]
    return str(value) if isinstance(value, pikepdf.String) else ""


def _option_words(node: pikepdf.Object, code: str) -> str:
    """What a list shows for a code."""
    options = node.get("/Opt")
    for option in options if isinstance(options, pikepdf.Array) else []:
        if isinstance(option, pikepdf.Array) and len(option) == 2 and str(option[0]) == code:
            return str(option[1])
    return ""


def _bare(text: str) -> str:
    """Words as compared with what a page shows: lines break anywhere there."""
    return "".join(text.split()).replace("\u00ad", "")


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Full names to objects in objects; numbered parts to lists in their order. Nothing empty stays."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        if value in ("", []):
            continue
        *above, last = name.split(".")
        place = tree
        for part in above:
            deeper = place.setdefault(part, {})
            if not isinstance(deeper, dict):
                raise InputError("form.wrong-shape", "Un champ est à la fois une réponse et un groupe.", where=_place(name))
            place = deeper
        if last in place:
            raise InputError("form.wrong-shape", "Un champ est à la fois une réponse et un groupe.", where=_place(name))
        place[last] = value
    listed = _with_lists(tree)
    return listed if isinstance(listed, dict) else {}


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if tree and all(key.isascii() and key.isdigit() and len(key) < 5 for key in tree):
        return [_with_lists(tree[key]) for key in sorted(tree, key=int)]
    return {key: _with_lists(value) for key, value in tree.items()}


def _without_ranks(name: str) -> str:
    return ".".join(part for part in name.split(".") if not part.isdigit())


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _place(name: str) -> str:
    """A field's name as it may be told: whoever edits a PDF writes names."""
    parts = name.split(".")
    return ".".join(part if part.isdigit() and len(part) < 5 else safe_key(part, rank) for rank, part in enumerate(parts, 1))


def _unpacks_to_too_much(content: bytes) -> bool:
    """True when the file's compressed parts are larger than any form's: looked at before anything else unpacks them."""
    view, unpacked = memoryview(content), 0
    for found in _STREAM.finditer(content):
        unpacker, at = zlib.decompressobj(), found.end()
        try:
            while at < len(view) and not unpacker.eof and unpacked <= MAX_UNPACKED_BYTES:
                unpacked += len(unpacker.decompress(view[at : at + _CHUNK]))
                at += _CHUNK
        except zlib.error:
            continue
        if unpacked > MAX_UNPACKED_BYTES:
            return True
    return False
