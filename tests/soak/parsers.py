"""What the soak feeds to each door: spoilt documents through judge, reader, validation and, one in sixteen, page and CDA."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapter.data import partners_root
from adapter.errors import TduError
from adapter.fhir.validate import Level, validate_bundle
from adapter.mapping.kinds import ENVELOPES, INSPECTORS, READERS
from adapter.model.effects import Translation
from adapter.model.finding import errors_of
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from adapter.offline import Target, render
from adapter.packaging.parcel import SenderProfile
from adapter.pipeline.judge import InstanceRules, Judge
from adapter.routing.directory import load_directory
from tests.builders.cda import build_ldl_ses, build_n1, tiny_pdf
from tests.builders.cda_models import build_model
from tests.builders.fhir_document import build_discharge_letter, build_entry_letter, send
from tests.builders.form import as_response
from tests.builders.pdf_forms import filled
from tests.soak.damage import damaged_bytes, damaged_json, damaged_pdf, damaged_xml

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
ENTITY = "750712184"
SENDER = SenderProfile(ENTITY, "Émetteur", ENTITY, "a@aphp.formation.mssante.fr", "Émetteur", "1.2.250.1.999.94.1", "x")
SLOWEST_SECONDS = 20.0
_DIRECTORY = load_directory({name: (partners_root() / name).read_bytes() for name in ("reference-territory.toml", "units.csv")})
_JUDGE = Judge(
    INSPECTORS,
    ENVELOPES,
    lambda: _DIRECTORY,
    InstanceRules(production=False, repeat_window=timedelta(days=7)),
    clock=lambda: NOW,
    new_id=lambda: "00000000-0000-4000-8000-000000000001",
)
Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Parser:
    """One kind of source: whole documents, and how they are spoilt. `as_side_car`: the seeds are side-cars of a bare PDF."""

    name: str
    seeds: tuple[bytes, ...]
    damage: Damage
    as_side_car: bool = False

    def spoilt(self, dice: random.Random) -> bytes:
        """One spoilt document; one in ten has its bytes cut besides."""
        content = self.damage(dice.choice(self.seeds), dice)
        return damaged_bytes(content, dice) if dice.random() < 0.1 else content

    def take(self, content: bytes, told: Counter[str]) -> None:
        """Through the doors and the readers; anything but a refusal or a valid document is an AssertionError or a crash."""
        began = time.monotonic()
        body, side_car = (tiny_pdf(), content) if self.as_side_car else (content, b"")
        _take(Arrival(body, "folder:x", Principal("p", "application", ENTITY), NOW, side_car=side_car, zone="Europe/Paris"), told)
        assert time.monotonic() - began < SLOWEST_SECONDS, "too slow"


def _take(arrival: Arrival, told: Counter[str]) -> None:
    """What a door would refuse for want of a recipient is read all the same: the reader must stand it."""
    judged = _JUDGE.judge(arrival)
    assert judged.new_receipt.answer
    kind = judged.inspection.kind
    if kind not in READERS or INSPECTORS[kind](arrival).verdict is not Verdict.ACCEPTED:
        told["refused"] += 1
        return
    try:
        translations = READERS[kind](arrival, "r")
    except TduError:
        told["parked"] += 1
        return
    told["accepted"] += 1
    for translation in translations:
        wrong = errors_of(validate_bundle(translation.bundle, Level.FULL))
        assert not wrong, f"what we make does not validate: {wrong[0].code} at {wrong[0].location}"
        if hashlib.sha256(arrival.content + arrival.side_car).digest()[0] < 16:
            _written(translation, told)


def _written(translation: Translation, told: Counter[str]) -> None:
    """Its page and its CDA: a rendition that cannot be is told by our own error."""
    for target in (Target.PDF, Target.CDA):
        try:
            render(translation, target, SENDER, NOW)
            told[target.value] += 1
        except TduError:
            told[f"no-{target.value}"] += 1


def parsers() -> dict[str, Parser]:
    """All of them, by name."""
    forms = tuple(path.read_bytes() for path in sorted(CASES.glob("*/source.json")))
    plain = tuple(form for form in forms if b'"resourceType"' not in form and _is_accepted(form))
    responses = tuple(_response(form) for form in plain)
    cda = (build_n1(), build_ldl_ses(), *(build_model(m) for m in ("ldl-ees", "img-da", "img-cr", "tlm-da", "vsm", "ips-fr")))
    written = tuple(path.read_bytes() for path in sorted(CASES.glob("cda-*/source.xml")))
    fhir = (send(build_entry_letter()), send(build_discharge_letter()))
    found = [
        Parser("cda", (*cda, *written), damaged_xml),
        Parser("form-json", plain, damaged_json),
        Parser("questionnaire-response", responses, damaged_json),
        Parser("filled-pdf", tuple(filter(None, map(_filled, plain[::2]))), damaged_pdf),
        Parser("fhir", fhir, damaged_json),
        Parser("side-car", ((CASES / "pdf-side-car" / "side-car.json").read_bytes(),), damaged_json, as_side_car=True),
    ]
    return {parser.name: parser for parser in found}


def _is_accepted(form: bytes) -> bool:
    arrival = Arrival(form, "folder:x", Principal("p", "application", ENTITY), NOW, zone="Europe/Paris")
    return INSPECTORS[ContentKind.FORM](arrival).verdict is Verdict.ACCEPTED


def _slug(form: bytes) -> tuple[str, dict[str, Any]]:
    answers = json.loads(form)
    return answers.pop("formulaire", "demande-imagerie"), answers


def _response(form: bytes) -> bytes:
    slug, answers = _slug(form)
    return json.dumps(as_response(answers, f"https://traitdunion.example/fhir/Questionnaire/{slug}")).encode()


def _filled(form: bytes) -> bytes:
    """The printed form filled; enclosed files have no field."""
    slug, answers = _slug(form)
    answers.get("demande", {}).pop("courrier", None)
    answers.pop("pieces", None)
    try:
        return filled(answers, slug)
    except (KeyError, StopIteration):
        return b""
