"""METADATA.XML before the schema of OASIS itself (ebRS 3.0, lcm.xsd), where a copy of it is at hand.

The schema is not ours to hand on: `TDU_EBRS_SCHEMA` names a copy of lcm.xsd with rim.xsd and rs.xsd beside it. Without one these
tests are skipped, in CI too: a machine cannot be asked for what no package installs. Our own grammar (tests/builders/ebrim.py),
held to in every other test, must never accept more than it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree

from mssante.archive import read_archive
from mssante.xdm import build_archive
from tests.builders.xdm import CDA, ENTRY, SET, Submitted, submissions
from tests.conformance.test_xdm_samples import cdas, mail_of

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    path = Path(os.environ.get("TDU_EBRS_SCHEMA", ""))
    if not path.is_file():
        pytest.skip("no copy of the ebRS 3.0 schema of OASIS (set TDU_EBRS_SCHEMA to its lcm.xsd)")
    return etree.XMLSchema(etree.parse(path))


def metadata_of(content: bytes) -> etree._Element:
    (subset,) = read_archive(content).subsets
    return etree.fromstring(subset.metadata or b"")


def test_metadata_of_every_official_cda_is_valid(schema: etree.XMLSchema, shared_dir: Path) -> None:
    documents = cdas(shared_dir)
    assert len(documents) > 30
    for path in documents:
        schema.assertValid(etree.fromstring(mail_of(path.read_bytes())[1]["IHE_XDM/SUBSET01/METADATA.XML"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(submissions())
def test_metadata_of_any_submission_is_valid(schema: etree.XMLSchema, submission: Submitted) -> None:
    schema.assertValid(metadata_of(build_archive(*submission)))


def test_the_schema_would_see_a_slot_after_a_name(schema: etree.XMLSchema) -> None:
    tree = metadata_of(build_archive(SET, [(ENTRY, CDA)]))
    extrinsic = next(node for node in tree.iter() if str(node.tag).endswith("ExtrinsicObject"))
    extrinsic.append(extrinsic[0])
    assert not schema.validate(tree)
