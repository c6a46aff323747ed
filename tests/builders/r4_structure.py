"""The table of R4 elements that the validator reads, made from the models; `python -m tests.builders.r4_structure` rewrites it.

Each type has its elements as `type flags choice codes targets` separated by `;` (empty ones at the end are left out):
flags: `*` repeats, `!` mandatory, `?` one of a choice is mandatory; choice: the name before `[x]`; codes: those of the required
list; targets: the kinds that a Reference may lead to.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir.resources import R4B
from fhir.resources.R4B import get_fhir_model_class

TABLE = Path(__file__).resolve().parents[2] / "mappings" / "fhir" / "r4-structure.json"
# Resource types of R4B that R4 has not, and the ones that no partner of ours speaks of are left out with them.
_NOT_R4 = re.compile(
    r"AdministrableProductDefinition|Citation|ClinicalUseDefinition|EvidenceReport|Ingredient|ManufacturedItemDefinition|"
    r"MedicinalProductDefinition|NutritionProduct|PackagedProductDefinition|RegulatedAuthorization|SubscriptionStatus|"
    r"SubscriptionTopic|SubstanceDefinition"
)
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_PRIMITIVES = {
    "bool": "boolean",
    "UuidVersion": "uuid",
    "EncodedBytes": "base64Binary",
    "Decimal": "decimal",
    "DateTime": "dateTime",
    "Base64Binary": "base64Binary",
    "PositiveInt": "positiveInt",
    "UnsignedInt": "unsignedInt",
}


def structure_table() -> dict[str, dict[str, str]]:
    """Every type of R4, and those that they are made of."""
    table: dict[str, dict[str, str]] = {}
    names = sorted(name for name in _resource_names() if not _NOT_R4.match(name))
    waiting = [*names, "Extension", "Element"]
    while waiting:
        name = waiting.pop()
        if name in table:
            continue
        table[name] = dict(_elements(name))
        waiting += [line.split(";")[0] for line in table[name].values() if line[:1].isupper()]
    table.pop("Resource", None)
    return dict(sorted(table.items()))


def _resource_names() -> Iterator[str]:
    folder = Path(str(R4B.__file__)).parent
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name, base in re.findall(
            r"^class (\w+)\((?:domainresource\.DomainResource|resource\.Resource)\)()", text, re.MULTILINE
        ):
            yield name + base


def _elements(name: str) -> Iterator[tuple[str, str]]:
    if name == "Resource":
        return
    for field_name, field in get_fhir_model_class(name).model_fields.items():
        if field_name.endswith("__ext") or field_name in ("fhir_comments", "resource_type"):
            continue
        extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        kind, repeats = _kind(field.annotation, field.metadata)
        if kind in ("CodeableReference", "RatioRange"):  # types of R4B that R4 has not
            continue
        flags = "*" * repeats
        if extra.get("one_of_many"):
            flags += "?" * bool(extra.get("one_of_many_required"))
        elif field.is_required() or extra.get("element_required"):
            flags += "!"
        codes = [c for c in extra.get("enum_values", ()) if _CODE.fullmatch(c)] if kind == "code" else []
        if len(codes) != len(extra.get("enum_values", ())):
            codes = []
        targets = [] if "Resource" in extra.get("enum_reference_types", ()) else extra.get("enum_reference_types", ())
        parts = (kind, flags, extra.get("one_of_many", ""), ",".join(codes), ",".join(targets))
        yield str(field.alias), ";".join(parts).rstrip(";")


def _kind(annotation: Any, metadata: list[Any]) -> tuple[str, bool]:
    """The FHIR type of an annotation, and whether it repeats."""
    if metadata:
        return _plain(metadata[0]), False
    if isinstance(annotation, type):
        return _plain(annotation), False
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return _kind(arguments[0], [])[0], True
    if origin is typing.Annotated:
        return _plain(arguments[1]), False
    inside = [argument for argument in arguments if argument is not type(None)]
    if origin is not None and len(inside) == 1:
        return _kind(inside[0], [])
    return _plain(annotation), False


def _plain(thing: Any) -> str:
    name = thing.__name__ if isinstance(thing, type) else type(thing).__name__
    if name in ("ForwardRef", "str"):
        name = str(getattr(thing, "__forward_arg__", thing))
    name = name.rpartition(".")[2].removesuffix("Type")
    if name in _PRIMITIVES:
        return _PRIMITIVES[name]
    is_primitive = name in (
        "Code",
        "Id",
        "Uri",
        "Url",
        "Canonical",
        "Oid",
        "Uuid",
        "String",
        "Markdown",
        "Integer",
        "Date",
        "Time",
        "Instant",
        "Xhtml",
    )
    return name.lower() if is_primitive else name


def write_table(table: dict[str, dict[str, str]]) -> str:
    """One type a line."""
    lines = (f"{json.dumps(name)}: {json.dumps(elements, separators=(',', ':'))}" for name, elements in table.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(write_table(structure_table()), encoding="utf-8")
