"""What the sandbox plays: invented cases in two acts. First what is new; then what becomes of it.

Source: issue 5 §5: new, replaced, cancelled, masked, homonyms, a minor, three roles of one doctor.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapter.demo.messages import To
from adapter.sandbox.letters import HIDDEN_FROM_REPRESENTATIVES, Letter, Order, Person

# The doctor of three places, and the role that each client of the sandbox may see.
HOSPITAL, TOWN, OTHER_TOWN = "949990121", "940000003", "929990331"
ROLES = ("role:partage-bicetre", "role:partage-ivry", "role:partage-bagneux")


def _to(finess: str) -> tuple[To, ...]:
    return (To("99900000011", "PARTAGE", "Claude", finess=finess),)


CAMILLE = Person("EXEMPLE", "CAMILLE", "F", "19740918", "2740994043217", "800000001", used_name="EXEMPLE-MOREL")
REMPLACE = Person("MODELE", "HUGUETTE", "F", "19390203", "2390294043118", "800000002")
ANNULE = Person("FICTIF", "MARCEL", "M", "19511224", "1511294043019", "800000003")
MASQUE = Person("SPECIMEN", "INES", "F", "19880630", "2880694043101", "800000004")
HOMONYME = Person("HOMONYME", "CLAUDE", "M", "19650112", "1650194043042", "800000005")
HOMONYME_TOO = Person("HOMONYME", "CLAUDE", "M", "19651201", "1651294043073", "800000006")
MINOR = Person("BENJAMIN", "LOU", "F", "20150905", "2150994043055", "800000007")
SHARED = Person("PARTAGEE", "ALIX", "F", "19700707", "2700794043088", "800000008")


@dataclass(frozen=True, repr=False)
class Case:
    """One case: what an integrator reads of it, its letters of the first act, what the second act brings."""

    title: str
    first: tuple[Letter, ...]
    then: tuple[Letter, ...] = ()
    hides: str = ""


CASES = (
    Case("Lettre nouvelle", (Letter(1, CAMILLE, _to(TOWN)),)),
    Case(
        "Lettre remplacée",
        (Letter(2, REMPLACE, _to(TOWN)),),
        (Letter(2, REMPLACE, _to(TOWN), version=2, order=Order.REPLACE),),
    ),
    Case("Lettre annulée", (Letter(3, ANNULE, _to(TOWN)),), (Letter(3, ANNULE, _to(TOWN), order=Order.CANCEL),)),
    Case("Lettre masquée ensuite aux professionnels", (Letter(4, MASQUE, _to(TOWN)),), hides="professionals"),
    Case(
        "Deux homonymes : mêmes nom et prénom, nés en 1965",
        (Letter(5, HOMONYME, _to(TOWN)), Letter(6, HOMONYME_TOO, _to(TOWN))),
    ),
    Case(
        "Patiente mineure, lettre invisible des représentants légaux",
        (Letter(7, MINOR, _to(TOWN), flags=(HIDDEN_FROM_REPRESENTATIVES,)),),
    ),
    Case(
        "Un médecin, trois fonctions : chacune reçoit la sienne",
        (
            Letter(8, SHARED, _to(HOSPITAL)),
            Letter(9, SHARED, _to(TOWN)),
            Letter(10, SHARED, _to(OTHER_TOWN)),
        ),
    ),
)


def first_act() -> tuple[Letter, ...]:
    """Everything that is new."""
    return tuple(letter for case in CASES for letter in case.first)


def second_act() -> tuple[Letter, ...]:
    """Replacements and cancellations."""
    return tuple(letter for case in CASES for letter in case.then)


def hidden_later() -> tuple[tuple[Letter, str], ...]:
    """Letters that a person hides in the second act, and from whom."""
    return tuple((case.first[0], case.hides) for case in CASES if case.hides)
