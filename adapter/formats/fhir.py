"""A partner's FHIR document from bytes to plain data, strictly: UTF-8 JSON, no key twice, bounded in size, depth and numbers.

Source: RFC 8259; FHIR R4 json (`json.html`): a decimal keeps its written precision. Where a JSON number of ours would change it,
the literal is kept beside (`_value`), as for any other source. What the document says is its reader's business.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from adapter.errors import InputError

FHIR_JSON = "application/fhir+json"
# XML 1.0 (what we send) and UTF-8 (what we keep) forbid these: they come from damaged sources.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class FhirLimits:
    """How big and deep a document may be, and how many things it may hold."""

    max_bytes: int = 50_000_000
    max_depth: int = 48
    max_parts: int = 500_000
    max_number: int = 100


DEFAULT_LIMITS = FhirLimits()


def read_resource(content: bytes, literal_url: str, limits: FhirLimits = DEFAULT_LIMITS) -> dict[str, Any]:
    """One FHIR resource; `literal_url` is the extension that keeps a number as written. Raises InputError `fhir.*`."""
    if len(content) > limits.max_bytes:
        raise InputError(
            "fhir.too-large", f"Le document dépasse {limits.max_bytes} octets.", remedy="Envoyer un document plus petit."
        )
    if content.count(b":") > limits.max_parts:
        raise InputError("fhir.too-many-parts", "Le document a plus d’éléments qu’aucun document réel.")
    data = _loaded(content, limits)
    if not isinstance(data, dict) or not isinstance(data.get("resourceType"), str):
        raise InputError("fhir.not-a-resource", "Le contenu n’est pas une ressource FHIR.", where="resourceType")
    settled: dict[str, Any] = _settled(data, limits.max_depth, literal_url)
    return settled


def _loaded(content: bytes, limits: FhirLimits) -> Any:
    def number(text: str) -> Decimal:
        if len(text) > limits.max_number or abs(Decimal(text).adjusted()) > limits.max_number:
            raise ValueError("no real number is so long")
        return Decimal(text)

    def integer(text: str) -> int:
        if len(text) > limits.max_number:
            raise ValueError("no real number is so long")
        return int(text)

    try:
        return json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_without_twins, parse_float=number, parse_int=integer,
            parse_constant=_no_constant,
        )  # fmt: skip
    except InputError:
        raise
    except (ValueError, ArithmeticError, RecursionError):  # the text of a decoding error quotes the content: it stays here
        raise InputError(
            "fhir.not-json", "Le contenu n’est pas du JSON lisible en UTF-8.", remedy="Vérifier l’encodage et la syntaxe."
        ) from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InputError("fhir.duplicate-key", "Une même clé figure deux fois dans un objet.", remedy="Corriger l’émetteur.")
    return found


def _no_constant(_: str) -> Any:
    raise ValueError("JSON has no such number")


def _settled(value: Any, depth: int, url: str) -> Any:
    """The same data with plain numbers, the literal of those that would change kept beside them."""
    if depth < 0:
        raise InputError("fhir.too-deep", "Les éléments sont imbriqués trop profondément.")
    if isinstance(value, list):
        return [_settled(item, depth - 1, url) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str):
        _check_text(value)
        return value
    if not isinstance(value, dict):
        return value
    found = {key: _settled(item, depth - 1, url) for key, item in value.items()}
    for key, item in value.items():
        if isinstance(item, Decimal) and str(float(item)) != str(item) and f"_{key}" not in found:
            found[f"_{key}"] = {"extension": [{"url": url, "valueString": str(item)}]}
    return found


def _check_text(text: str) -> None:
    if _FORBIDDEN.search(text):
        raise InputError("fhir.bad-text", "Un texte contient un caractère interdit.", remedy="Corriger l’émetteur.")
