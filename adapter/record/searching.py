"""From a search that was read to conditions on the store; and which part of the result a page is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapter.errors import InputError
from adapter.fhir.search import Criterion, DateValue, Kind, Query, Reference, SearchRules, Token
from adapter.fhir.search import parameters as by_name
from adapter.ledger.lookup import normalise_name
from adapter.ledger.record_rows import (
    AnySpan,
    AnyToken,
    Comparison,
    Condition,
    InStates,
    OfPatients,
    Order,
    Row,
    Slice,
    WithIds,
)
from adapter.record import parameters as table

_WHOSE = frozenset({"patient", "patient.identifier"})
FindPatients = Callable[[Sequence[Condition]], Sequence[Row]]

RULES = {
    kind: SearchRules(by_name(*(one.parameter for one in searchables)), table.SORTS if kind != "Patient" else ("_lastUpdated",))
    for kind, searchables in table.TABLES.items()
}


@dataclass(frozen=True)
class Plan:
    """A search as the store takes it; `patient_ids` None: the caller did not say whose.

    `names_patient`, `names_resource`: it says a number, and not only of which system one may be.
    """

    conditions: tuple[Condition, ...]
    patient_ids: tuple[str, ...] | None
    names_patient: bool
    names_resource: bool


def plan_of(kind: str, query: Query, base: str, find_patients: FindPatients) -> Plan:
    """Conditions for all criteria. A patient that is not known gives a condition that nothing meets."""
    conditions: list[Condition] = []
    patients: tuple[str, ...] | None = None
    for criterion in query.criteria:
        if criterion.name in _WHOSE:
            found = _patients(criterion, base, find_patients)
            patients = found if patients is None else tuple(one for one in patients if one in found)
        else:
            conditions.append(_condition(criterion, base))
    if patients is not None:
        conditions.append(WithIds(patients) if kind == "Patient" else OfPatients(patients))
    named = {criterion.name for criterion in query.criteria if _says_which(criterion)}
    return Plan(tuple(conditions), patients, bool(named & _WHOSE), bool(named & {"_id", "identifier"}))


def _says_which(criterion: Criterion) -> bool:
    """`system|` finds everybody who has a number there: it names nobody."""
    return all(value.code for value in criterion.values if isinstance(value, Token))


def _patients(criterion: Criterion, base: str, find_patients: FindPatients) -> tuple[str, ...]:
    if criterion.kind is Kind.REFERENCE:
        return tuple(
            v.id for v in criterion.values if isinstance(v, Reference) and v.kind in ("", "Patient") and _is_ours(v, base)
        )
    texts = tuple(_token_text(value) for value in criterion.values if isinstance(value, Token))
    return tuple(row.id for row in find_patients([AnyToken("identifier", texts)]))


def _is_ours(reference: Reference, base: str) -> bool:
    return not reference.base or reference.base == base


def _condition(criterion: Criterion, base: str) -> Condition:
    tokens = [value for value in criterion.values if isinstance(value, Token)]
    match criterion:
        case Criterion(name="_id"):
            return WithIds(tuple(token.code for token in tokens))
        case Criterion(name="status"):
            return InStates(tuple(token.code for token in tokens))
        case Criterion(kind=Kind.DATE):
            name = "changed" if criterion.name == "_lastUpdated" else criterion.name
            dates = (value for value in criterion.values if isinstance(value, DateValue))
            return AnySpan(name, tuple(Comparison(d.prefix.value, d.span.start, d.span.end) for d in dates))
        case Criterion(kind=Kind.TOKEN):
            return AnyToken(criterion.name, tuple(map(_token_text, tokens)))
        case Criterion(kind=Kind.STRING):
            return AnyToken(criterion.name, tuple(_name_text(str(value), criterion) for value in criterion.values))
        case _:
            references = [value for value in criterion.values if isinstance(value, Reference) and _is_ours(value, base)]
            return AnyToken(
                criterion.name, tuple(table.reference_text(f"{r.kind}/{r.id}" if r.kind else r.id) for r in references)
            )


def _token_text(token: Token) -> str:
    if token.system is None:
        return f"code:{token.code}"
    return f"both:{token.system}|{token.code}" if token.code else f"system:{token.system}"


def _name_text(name: str, criterion: Criterion) -> str:
    if criterion.modifier == "exact":
        return table.exact_text(name)
    normal = normalise_name(name)
    if not 0 < len(normal) <= table.LONGEST_NAME:
        text = f"Un nom cherché a de 1 à {table.LONGEST_NAME} lettres."
        raise InputError("search.bad-name", text, where=criterion.name)
    return table.prefix_text(normal)


# ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def slice_of(query: Query, after: tuple[datetime, str] | None = None) -> Slice:
    """The part that a page is; one row more than asked for tells whether another page follows."""
    order = Order.CHANGED if query.sort.endswith("_lastUpdated") else Order.DATED
    descending = query.sort.startswith("-") or not query.sort
    return Slice(order, descending, query.count + 1, after)


def position_of(row: Row, order: Order) -> list[Any]:
    """Where a page ended, as JSON."""
    moment = row.dated_at if order is Order.DATED else row.changed_at
    return [moment.isoformat(), row.id]


def position_from(written: Any) -> tuple[datetime, str]:
    """The contrary; the token that it comes from is sealed, so it is what we wrote."""
    return datetime.fromisoformat(written[0]), str(written[1])
