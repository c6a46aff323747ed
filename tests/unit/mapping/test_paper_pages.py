"""A form that was paper: its received pages go with the document, its promise runs from the fax, and only the desk may say so."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from adapter.fhir.validate import Level, validate_bundle
from adapter.formats.sheet_pages import pages_pdf, upright_png
from adapter.mapping.forms.paper_origin import DESK_DOOR, PaperOrigin, write_origin
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.effects import Translation
from adapter.model.finding import errors_of
from adapter.model.receipt import Arrival, Principal
from adapter.offline import Target, render
from adapter.packaging.parcel import SenderProfile
from tests.builders.form import build_imaging_request, form_bytes
from tests.builders.stay import build_stay_request

NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
FAXED = NOON - timedelta(hours=20)
PAGES = pages_pdf([upright_png(Image.new("L", (1680, 2376), 255), 0)] * 2, 203.2)
FORMS = {"demande-imagerie": build_imaging_request(), "demande-hospitalisation": build_stay_request()}


def _understood(slug: str, door: str = DESK_DOOR) -> Translation:
    side_car = write_origin(PaperOrigin(("fax-1", "fax-2"), FAXED, "Mme Martin", PAGES))
    who = Principal("operator:Mme Martin", "operator", "750712184")
    arrival = Arrival(form_bytes(FORMS[slug]), door, who, NOON, side_car=side_car, form=slug)
    assert errors_of(inspect_form(arrival).findings) == ()
    (translation,) = understand_form(arrival, "receipt-1")
    return translation


def _of_type(translation: Translation, kind: str) -> list[dict[str, Any]]:
    entries: Any = translation.bundle["entry"]
    return [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("slug", FORMS)
def test_the_pages_are_enclosed_byte_for_byte_and_the_document_is_valid(slug: str) -> None:
    made = _understood(slug)
    assert errors_of(validate_bundle(made.bundle, Level.FULL)) == ()
    (reference,) = [each for each in _of_type(made, "DocumentReference") if "papier" in each["description"]]
    told = {binary["id"]: binary for binary in _of_type(made, "Binary")}
    enclosed = told[reference["content"][0]["attachment"]["url"].removeprefix("urn:uuid:")]
    assert (enclosed["contentType"], base64.b64decode(enclosed["data"])) == ("application/pdf", PAGES)


@pytest.mark.parametrize("slug", FORMS)
def test_the_document_says_who_typed_it_and_when_its_pages_came(slug: str) -> None:
    section = _of_type(_understood(slug), "Composition")[0]["section"][-1]
    assert section["title"] == "Formulaire papier reçu par télécopie"
    assert "reçu par télécopie le 20/11/2026 à 16:00, saisi et confirmé par Mme Martin" in section["text"]["div"]


def test_the_answer_is_owed_from_the_fax_on() -> None:
    (step,) = _understood("demande-imagerie").steps
    assert (step.at, step.answer_due) == (FAXED, FAXED + timedelta(hours=48))


def test_no_other_door_can_say_that_a_form_was_paper() -> None:
    made = _understood("demande-imagerie", door="http")
    assert _of_type(made, "DocumentReference") == []
    assert made.steps[0].at == NOON


def test_the_same_answers_are_the_same_document_with_their_pages_and_without() -> None:
    with_pages, without = _understood("demande-imagerie"), _understood("demande-imagerie", door="http")
    assert with_pages.submission.document.unique_id == without.submission.document.unique_id


@pytest.mark.parametrize("target", [Target.CDA, Target.PDF, Target.XDM])
def test_every_rendition_is_made_of_it(target: Target) -> None:
    sender = SenderProfile(
        "750712184", "Hôpital d'essai", "750712184", "tdu@test.mssante.fr", "Essai", "1.2.250.1.999.94.1", "TDU"
    )
    (output,) = render(_understood("demande-hospitalisation"), target, sender, NOON)
    assert output.content


def test_the_pages_as_one_pdf_are_the_same_bytes_each_time() -> None:
    png = upright_png(Image.new("L", (1680, 2376), 255), 0)
    assert pages_pdf([png, png], 203.2) == PAGES
    assert json.loads(write_origin(PaperOrigin((), FAXED, "", PAGES)))["pages"] == base64.b64encode(PAGES).decode()
