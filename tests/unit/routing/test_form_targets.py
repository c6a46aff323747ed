"""Who receives a form: a department or a structure, by the name that the form gives; who may send it; its pathway."""

from __future__ import annotations

from datetime import date

import pytest

from adapter.errors import ConfigurationError
from adapter.model.parties import Recipient, RecipientKind
from adapter.routing.directory import Resolution, load_directory
from tests.builders.directory import APHP_EJ, territory

ON = date(2026, 11, 21)


def resolved(form: str, name: str, caller: str, sender_finess: str = "") -> Resolution:
    recipient = Recipient(RecipientKind.ORGANISATION, name=name, role_hint=f"form-target:{form}")
    return territory().resolve(recipient, sender_finess=sender_finess, on=ON, legal_entity=caller)


def commune() -> str:
    """The legal entity of a health centre."""
    return next(e.finess for e in territory().entries.legal_entities if e.key == "commune-ivry")


@pytest.mark.parametrize(("name", "word"), [("pbr-geriatrie", "simple"), ("bct-neurologie", "complexe")])
def test_a_stay_request_goes_to_the_service_named_and_tells_its_pathway(name: str, word: str) -> None:
    found = resolved("demande-hospitalisation", name, commune())
    assert found.role is not None
    assert found.role.department == name
    assert f"Parcours {word}" in found.explanation


def test_a_service_that_the_directory_does_not_name_is_no_target() -> None:
    assert resolved("demande-hospitalisation", "pbr-imagerie", commune()).reason == "unknown-target"


def test_the_hospitals_half_goes_to_the_requesters_structure() -> None:
    found = resolved("reponse-hospitalisation", "ivry", APHP_EJ)
    assert found.role is not None
    assert found.role.organisation == "ivry"


@pytest.mark.parametrize("name", ["ivry", "Vitry", "bagneux"])
def test_the_hospitals_half_is_not_taken_from_town(name: str) -> None:
    assert resolved("reponse-hospitalisation", name, commune()).reason == "sender-not-allowed"


def test_a_hospitals_number_written_in_the_form_does_not_make_a_hospital_of_the_caller() -> None:
    hospital = next(o.finess for o in territory().entries.organisations if o.kind == "hospital-site")
    assert resolved("reponse-hospitalisation", "ivry", commune(), sender_finess=hospital).reason == "sender-not-allowed"


def test_a_caller_that_the_directory_does_not_know_may_not_send_what_is_reserved() -> None:
    assert resolved("reponse-hospitalisation", "ivry", "").reason == "sender-not-allowed"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('department = "d"\norganisation = "o"', "exactly one of department and organisation"),
        ("", "exactly one of department and organisation"),
        ('organisation = "nowhere"', "names nowhere, which is not in the files"),
        ('organisation = "nowhere"\nsenders = ["clinic"]', "must list kinds among: hospital-site"),
        ('organisation = "nowhere"\npathway = "short"', "must be one of: simple, complex"),
    ],
)
def test_a_target_that_makes_no_sense_is_told(lines: str, problem: str) -> None:
    text = f'name = "T"\n[[form_target]]\nform = "f"\nsite = "s"\n{lines}\n'
    with pytest.raises(ConfigurationError) as raised:
        load_directory({"t.toml": text.encode()})
    assert problem in str(raised.value)
