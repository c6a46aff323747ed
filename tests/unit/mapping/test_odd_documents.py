"""What the soak found: well-formed sources that are wrong in one place still give FHIR that validates, and say what lacks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapter.fhir.bundle import resources_of
from adapter.fhir.validate import Level, validate_bundle
from adapter.mapping.from_cda import understand_cda
from adapter.mapping.from_fhir import understand_fhir
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.effects import Translation
from adapter.model.finding import errors_of
from adapter.model.receipt import Arrival, Principal
from tests.builders.cda import build_ldl_ses
from tests.builders.fhir_document import build_entry_letter as build_letter_bundle
from tests.builders.fhir_document import send
from tests.builders.form import build_imaging_request, form_bytes
from tests.builders.letter import build_entry_letter

AT = datetime(2026, 11, 21, 9, tzinfo=UTC)


def arrival(content: bytes) -> Arrival:
    return Arrival(content, "folder:x", Principal("x", "token", "940000003"), AT)


def cda(*changes: tuple[bytes, bytes]) -> Translation:
    content = build_ldl_ses()
    for old, new in changes:
        assert old in content
        content = content.replace(old, new)
    (translation,) = understand_cda(arrival(content), "r")
    assert errors_of(validate_bundle(translation.bundle, Level.FULL)) == ()
    return translation


def between(content: bytes, start: bytes, end: bytes) -> bytes:
    at = content.index(start)
    return content[at : content.index(end, at) + len(end)]


def test_an_empty_template_id_is_no_template() -> None:
    cda((b'<templateId root="', b'<templateId root=""/><templateId root="'))


def test_a_letter_without_an_author_is_told_as_such() -> None:
    author = between(build_ldl_ses(), b"<author>", b"</author>")
    (composition,) = resources_of(cda((author, b"")).bundle, "Composition")
    assert [author["display"] for author in composition["author"]] == ["Auteur non renseigné"]


def test_a_body_without_a_section_leaves_a_document_without_one() -> None:
    body = between(build_ldl_ses(), b"<structuredBody", b"</structuredBody>")
    (composition,) = resources_of(cda((body, b"<structuredBody/>")).bundle, "Composition")
    assert "section" not in composition


def test_a_form_whose_name_is_longer_than_a_file_s_is_unknown() -> None:
    content = form_bytes(build_imaging_request() | {"formulaire": "a" * 3000})
    assert [f.code for f in inspect_form(arrival(content)).findings] == ["form.unknown-form"]


@pytest.mark.parametrize(("written", "codes"), [("nekA020 ", ["NEKA020"]), ("NEKA020\nNEKA020", []), ("voir courrier", [])])
def test_what_is_no_code_stays_in_the_form_and_is_coded_nowhere(written: str, codes: list[str]) -> None:
    letter = build_entry_letter(chirurgie=[{"acte": "Prothèse de hanche", "code": written}])
    (translation,) = understand_form(arrival(form_bytes(letter)), "r")
    (operation,) = resources_of(translation.bundle, "Procedure")
    assert [coding["code"] for coding in operation["code"].get("coding", [])] == codes
    assert errors_of(validate_bundle(translation.bundle, Level.FULL)) == ()


def test_a_partners_resource_without_an_id_is_taken() -> None:
    bundle = build_letter_bundle()
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "AllergyIntolerance":
            del entry["resource"]["id"]
    (translation,) = understand_fhir(arrival(send(bundle)), "r")
    assert errors_of(validate_bundle(translation.bundle, Level.FULL)) == ()
