"""The side-car file of a bare document: taken whole or refused, never half understood."""

from __future__ import annotations

import json

import pytest

from adapter.errors import InputError
from adapter.mapping.side_car import SideCar, read_side_car
from adapter.model.parties import RecipientKind
from adapter.model.submission import Urgency


def _bytes(**data: object) -> bytes:
    return json.dumps(data).encode()


def test_no_file_says_nothing() -> None:
    assert read_side_car(b" \n") == SideCar()


def test_recipients_and_urgency_are_read() -> None:
    one = {"rpps": "810009990002", "finess": "1940999902", "name": "Dr Modèle"}
    found = read_side_car(_bytes(recipients=[one, {"finess": "940999903"}, {"address": "A.B@Test.MSSante.fr"}], urgency="urgent"))
    first, second, third = found.recipients
    assert (first.kind, first.rpps, first.finess, first.role_hint) == (
        RecipientKind.PROFESSIONAL, "10009990002", "940999902", "side-car",
    )  # fmt: skip
    assert second.kind is RecipientKind.ORGANISATION
    assert third.address == "a.b@test.mssante.fr"
    assert found.urgency is Urgency.URGENT


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "side-car.unreadable"),
        (b"\xff\xfe", "side-car.unreadable"),
        (b"[]", "side-car.unreadable"),
        (_bytes(recipients="x"), "side-car.unreadable"),
        (_bytes(recipients=["x"]), "side-car.bad-recipient"),
        (_bytes(recipients=[{}]), "side-car.bad-recipient"),
        (_bytes(recipients=[{"name": "seul"}]), "side-car.bad-recipient"),
        (_bytes(recipients=[{"rpps": "123"}]), "side-car.bad-recipient"),
        (_bytes(recipients=[{"finess": "x", "rpps": "10009990002"}]), "side-car.bad-recipient"),
        (_bytes(recipients=[{"address": "nobody"}]), "side-car.bad-recipient"),
        (_bytes(recipients=[{"rpps": 10009990002}]), "side-car.bad-recipient"),
        (_bytes(recipients=[{"rpps": "10009990002", "fax": "01"}]), "side-car.bad-recipient"),
        (_bytes(urgency="bientôt"), "side-car.bad-urgency"),
    ],
)
def test_what_cannot_be_used_is_refused_at_its_place_without_its_content(content: bytes, code: str) -> None:
    with pytest.raises(InputError) as refused:
        read_side_car(content)
    assert refused.value.code == code
    assert "nobody" not in str(refused.value)
