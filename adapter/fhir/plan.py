"""What the names of a node's elements tell by themselves, settled once for each set of names and not for each node.

A document Bundle holds a thousand nodes of a few hundred shapes: whether all names are R4's, whether what is mandatory stands,
whether one type of a choice was chosen, and the invariants that look at names alone, are the same for all nodes of a shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from adapter.fhir.invariants import CLAIMS, OF_NAMES, Claim
from adapter.fhir.structure import Element, Shape, shape_of, test_of

# A bundle from outside may hold as many shapes as it likes: they are not all remembered.
_MOST_PLANS = 256
_NOTHING_SAID = ("resourceType", "fhir_comments")


class Step:
    """How the value under one name is looked at: by a `test` alone, as a node of a `sort`, or, with neither, by its element.

    Without an element nothing is to be said of it. `is_extended`: the `_name` beside a primitive.
    """

    __slots__ = ("element", "is_extended", "is_reference", "name", "repeats", "sort", "test")

    def __init__(self, name: str, element: Element | None) -> None:
        self.name = name
        self.element = element
        self.is_extended = name[:1] == "_"
        self.is_reference = element is not None and element.kind == "Reference"
        self.repeats = element is not None and element.repeats
        self.test: Callable[[object], bool] | None = None
        self.sort: Sort | None = None
        if element is None or self.is_extended or (element.repeats and element.is_primitive):
            return
        if not element.is_primitive:
            self.sort = sort_of(element.kind) if element.kind != "Resource" else None
        elif element.is_plain:
            self.test = test_of(element.kind)
        elif element.codes:
            self.test = element.codes.__contains__


Plan = tuple[Step, ...]


class Sort:
    """One type with what its nodes have in common: its shape, the claims that look at values, the plans of the names seen."""

    __slots__ = ("_plans", "claims", "kind", "shape")

    def __init__(self, kind: str, shape: Shape) -> None:
        self.kind = kind
        self.shape = shape
        self.claims: tuple[Claim, ...] = tuple(claim for claim in CLAIMS.get(kind, ()) if claim[0] not in OF_NAMES)
        self._plans: dict[tuple[str, ...], Plan | None] = {}

    def plan_of(self, node: Mapping[str, Any]) -> Plan | None:
        """The steps for a node of these names, in their order; None when the names themselves are not right."""
        names = tuple(node)
        try:
            return self._plans[names]
        except KeyError:
            plan = self._settle(names)
            if len(self._plans) < _MOST_PLANS:
                self._plans[names] = plan
            return plan

    def _settle(self, names: tuple[str, ...]) -> Plan | None:
        steps = [Step(name, self.shape.elements.get(name.removeprefix("_"))) for name in names]
        if any(step.element is None and step.name not in _NOTHING_SAID for step in steps):
            return None
        if any(step.is_extended and step.element is not None and not step.element.is_primitive for step in steps):
            return None
        given = frozenset(names)
        if any(must not in given and f"_{must}" not in given for must in self.shape.mandatory):
            return None
        chosen = [(step.element.choice, step.name.removeprefix("_")) for step in steps if step.element and step.element.choice]
        if len(dict(chosen)) < len(set(chosen)) or self.shape.mandatory_choices - set(dict(chosen)):
            return None
        bare = dict.fromkeys(names)
        if not all(holds(bare) for name, holds, _ in CLAIMS.get(self.kind, ()) if name in OF_NAMES):
            return None
        return tuple(steps)


@lru_cache(maxsize=1024)
def sort_of(kind: str) -> Sort | None:
    """The sort of a type, None when R4 has none of that name."""
    shape = shape_of(kind)
    return Sort(kind, shape) if shape is not None else None
