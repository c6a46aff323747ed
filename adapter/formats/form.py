"""A filled form's bytes to its answers: plain JSON as we document it, or a FHIR QuestionnaireResponse. No meaning, no I/O.

The one plain shape: an object that mirrors the Questionnaire's linkIds. The linkId `patient.nom` is the key `nom` of the
object `patient`; a repeated group is a list of objects; an answer is a text, a number, true or false. Beside the answers,
the optional key `formulaire` names the form (its slug).

    {"site": "BCT", "patient": {"nom": "…", "prenom": "…"}, "examens": [{"modalite": "TDM", "region": "…"}], …}

A QuestionnaireResponse gives the same shape: each item's answers go where its linkId says, a Coding as its code, a Quantity
as its value (its unit is listed as not used: the Questionnaire asks for units in items of their own), an Attachment as the
object `{"type": …, "titre": …, "contenu": base64}`. What it holds besides answers stays in `envelope`.
Sources: RFC 8259 (names within an object should be unique: a second one is refused here, for it would silently win);
FHIR R4 QuestionnaireResponse.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from adapter.errors import InputError
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding

JSON, FHIR_JSON = "application/json", "application/fhir+json"
MAX_FORM_BYTES = 1_048_576
MAX_FORM_DEPTH = 24
MAX_NUMBER_LENGTH = 100

_SAFE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
# XML 1.0 (the narrative) and UTF-8 forbid these: they come from damaged sources, never from a keyboard.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TOP_OF_RESPONSE = frozenset({"resourceType", "item", "text", "language"})
_PLAIN_VALUES = (
    "valueBoolean",
    "valueDecimal",
    "valueInteger",
    "valueDate",
    "valueDateTime",
    "valueTime",
    "valueString",
    "valueUri",
)


@dataclass(frozen=True, repr=False)
class FormContent(Confidential):
    """What a form's bytes hold: nested `answers`, a response's own elements (`envelope`), and leaves that no answer took.

    `slug` is what the content says it is (`formulaire`, or the last part of `questionnaire`), or empty. `findings`: what is to
    be said of the file itself. `places`: the questions that it has a place for, when it is a sheet that has places.
    """

    answers: dict[str, Any]
    envelope: dict[str, Any] = field(default_factory=dict)
    slug: str = ""
    unused: tuple[tuple[str, str], ...] = ()
    media_type: str = JSON
    findings: tuple[Finding, ...] = ()
    places: frozenset[str] = frozenset()


def read_form(content: bytes, max_bytes: int = MAX_FORM_BYTES) -> dict[str, Any]:
    """The answers of a form, nested as its linkIds. Raises InputError `form.*`."""
    return parse_form(content, max_bytes).answers


def parse_form(content: bytes, max_bytes: int = MAX_FORM_BYTES) -> FormContent:
    """The answers and all that came with them. Raises InputError `form.*`."""
    data = _load(content, max_bytes)
    _check_texts(data, "", 0)
    if data.get("resourceType") == "QuestionnaireResponse":
        return _from_response(data)
    if "resourceType" in data:
        raise InputError(
            "form.not-a-response", "Cette ressource FHIR n’est pas une réponse à un formulaire.", where="resourceType",
            remedy="Envoyer une ressource QuestionnaireResponse, ou le JSON simple du formulaire.",
        )  # fmt: skip
    slug = data.pop("formulaire", "")
    if not isinstance(slug, str):
        raise InputError("form.wrong-shape", "Le nom du formulaire doit être un texte.", where="formulaire")
    return FormContent(data, slug=slug)


def safe_key(key: str, position: int) -> str:
    """A key as it may be told: clients write keys, so one that does not look like a key is named by its rank only."""
    return key if _SAFE_KEY.fullmatch(key) else f"clé n° {position}"


def _load(content: bytes, max_bytes: int) -> dict[str, Any]:
    if len(content) > max_bytes:
        raise InputError(
            "form.too-large", f"Le formulaire dépasse {max_bytes} octets.", remedy="Envoyer les pièces jointes à part."
        )
    try:
        data = json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_object_without_twins,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
        )
    except InputError:
        raise
    except (ValueError, ArithmeticError, RecursionError):  # the text of a decoding error quotes the content: it stays here
        raise InputError(
            "form.not-json", "Le contenu n’est pas du JSON lisible en UTF-8.", remedy="Vérifier l’encodage et la syntaxe."
        ) from None
    if not isinstance(data, dict):
        raise InputError("form.not-an-object", "Le formulaire doit être un objet JSON.")
    return data


def _object_without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for position, (key, value) in enumerate(pairs, start=1):
        if key in result:
            raise InputError(
                "form.duplicate-key", "Une même clé figure deux fois dans un objet.", where=safe_key(key, position),
                remedy="Ne garder qu’une réponse par question.",
            )  # fmt: skip
        result[key] = value
    return result


def _decimal(text: str) -> Decimal:
    """A number as written; one that no answer can mean is refused here, before arithmetic meets it."""
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError("a number of this length is no answer")
    value = Decimal(text)
    if abs(value.adjusted()) > MAX_NUMBER_LENGTH:
        raise ValueError("a number of this size is no answer")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError("a number of this length is no answer")
    return int(text)


def _refuse_constant(_: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _check_texts(data: object, path: str, depth: int) -> None:
    """Refuse depth and characters that no rendition could carry, before anything else looks at them."""
    if depth > MAX_FORM_DEPTH:
        raise InputError("form.too-deep", f"Le formulaire est imbriqué sur plus de {MAX_FORM_DEPTH} niveaux.")
    if isinstance(data, dict):
        for position, (key, value) in enumerate(data.items(), start=1):
            place = _join(path, safe_key(key, position))
            _check_texts(key, place, depth)
            _check_texts(value, place, depth + 1)
    elif isinstance(data, list):
        for index, value in enumerate(data, start=1):
            _check_texts(value, f"{path}[{index}]", depth + 1)
    elif isinstance(data, str) and _FORBIDDEN.search(data):
        raise InputError(
            "form.bad-character", "Un texte contient un caractère de contrôle interdit.", where=path,
            remedy="Ressaisir cette réponse.",
        )  # fmt: skip


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


class _ResponseReader:
    """Walks a QuestionnaireResponse: answers go to the place that each linkId names, the rest is noted as not used."""

    def __init__(self) -> None:
        self.unused: list[tuple[str, str]] = []

    def items(self, raw: object, parent: str, target: dict[str, Any]) -> None:
        """Put the items of one level into `target`, the object of the linkId `parent`."""
        for item in _dicts(raw, parent or "item"):
            self._item(item, parent, target)

    def _item(self, item: dict[str, Any], parent: str, target: dict[str, Any]) -> None:
        link_id = item.get("linkId")
        if not isinstance(link_id, str) or not link_id:
            raise InputError("form.item-without-link", "Un élément de la réponse n’a pas de linkId.", where=parent or "item")
        key = link_id.removeprefix(f"{parent}.") if parent else link_id
        place = f"item[{safe_key(link_id, 1)}]"
        self._note(item, place, {"linkId", "text", "item", "answer", "definition", "id"})
        if "item" in item:
            group: dict[str, Any] = {}
            self.items(item["item"], link_id, group)
            if group:
                _add(target, key, group)
        values = [self._value(answer, parent, place, target) for answer in _dicts(item.get("answer", []), place)]
        for value in values:
            _add(target, key, value)

    def _value(self, answer: dict[str, Any], parent: str, place: str, target: dict[str, Any]) -> Any:
        if "item" in answer:
            self.items(answer["item"], parent, target)
        for name in _PLAIN_VALUES:
            if name in answer:
                self._note(answer, place, {name, "item", "id"})
                return answer[name]
        if isinstance(coding := answer.get("valueCoding"), dict):
            self._note(answer, place, {"valueCoding", "item", "id"})
            self._note(coding, f"{place}.valueCoding", {"code", "system", "display", "version", "userSelected"})
            return coding.get("code", coding.get("display"))
        if isinstance(quantity := answer.get("valueQuantity"), dict):
            self._note(answer, place, {"valueQuantity", "item", "id"})
            self._note(quantity, f"{place}.valueQuantity", {"value"})
            return quantity.get("value")
        if isinstance(attachment := answer.get("valueAttachment"), dict):
            self._note(answer, place, {"valueAttachment", "item", "id"})
            self._note(attachment, f"{place}.valueAttachment", {"contentType", "data", "title"})
            names = {"contentType": "type", "title": "titre", "data": "contenu"}
            return {ours: attachment[name] for name, ours in names.items() if name in attachment}
        raise InputError("form.answer-kind", "Ce type de réponse n’est pas pris en charge.", where=place)

    def _note(self, element: dict[str, Any], place: str, known: set[str]) -> None:
        for position, (key, value) in enumerate(element.items(), start=1):
            if key not in known:
                self.unused.extend(_leaves(value, f"{place}.{safe_key(key, position)}"))


def _from_response(data: dict[str, Any]) -> FormContent:
    if data.get("status") not in ("completed", "amended"):
        raise InputError(
            "form.not-completed", "La réponse n’est pas terminée.", where="status",
            remedy="N’envoyer que des réponses au statut completed ou amended.",
        )  # fmt: skip
    reader = _ResponseReader()
    answers: dict[str, Any] = {}
    reader.items(data.get("item", []), "", answers)
    envelope = {key: value for key, value in data.items() if key not in _TOP_OF_RESPONSE}
    questionnaire = data.get("questionnaire", "")
    slug = questionnaire.partition("|")[0].rpartition("/")[2] if isinstance(questionnaire, str) else ""
    return FormContent(answers, envelope, slug, tuple(reader.unused), FHIR_JSON)


def _add(target: dict[str, Any], key: str, value: Any) -> None:
    """A second answer at one place makes a list: whether the question may repeat is the Questionnaire's business."""
    if key not in target:
        target[key] = value
    elif isinstance(target[key], list):
        target[key].append(value)
    else:
        target[key] = [target[key], value]


def _dicts(raw: object, place: str) -> list[dict[str, Any]]:
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise InputError("form.wrong-shape", "Une liste d’objets est attendue.", where=place)
    return raw


def _leaves(data: object, path: str) -> list[tuple[str, str]]:
    if isinstance(data, dict):
        return [leaf for n, (k, v) in enumerate(data.items(), 1) for leaf in _leaves(v, f"{path}.{safe_key(k, n)}")]
    if isinstance(data, list):
        return [leaf for n, v in enumerate(data, 1) for leaf in _leaves(v, f"{path}[{n}]")]
    return [] if data in (None, "") else [(path, str(data)[:80])]
