"""A process of ours searches for cycles rarely, and a document understood leaves none behind."""

from __future__ import annotations

import gc

from lxml import etree

from adapter.mapping.from_cda import translate_cda
from adapter.mapping.xml_source import XmlNode
from adapter.memory import settle_memory
from tests.builders.cda import build_ldl_ses


def test_a_process_that_settled_searches_for_cycles_rarely() -> None:
    before = gc.get_threshold()
    try:
        settle_memory()
        assert gc.get_threshold()[0] > before[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_the_tree_of_a_document_understood_is_freed_without_a_search_for_cycles() -> None:
    document = build_ldl_ses()
    translate_cda(document)
    gc.collect()
    gc.disable()
    try:
        translate_cda(document)
        left = [found for found in gc.get_objects() if isinstance(found, XmlNode | etree._Element)]
    finally:
        gc.enable()
    assert not left
