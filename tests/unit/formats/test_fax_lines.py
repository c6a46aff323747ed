"""Documents as codes come whole through simulated lines: the share of tests/bench/bench_fax_lines.py that every run takes."""

from __future__ import annotations

import pytest

from adapter.packaging.fax_page import RowsPerDot
from tests.builders.fax_lines import Line, comes_through, document_of
from tests.loudly import skip_loudly
from tests.servers.spandsp import load_spandsp

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [1000, 4000, 8000, 12000])
@pytest.mark.parametrize("line", [Line.D2, Line.D4, Line.ECM], ids=lambda line: line.name)
def test_a_document_comes_whole_through_a_line(line: Line, size: int) -> None:
    _require_terminals(line)
    assert comes_through(document_of(size, seed=500 + size), line, seed=size)


@pytest.mark.parametrize("line", [Line.D2, Line.D4], ids=lambda line: line.name)
def test_a_document_comes_whole_through_a_line_of_standard_resolution(line: Line) -> None:
    assert comes_through(document_of(2500, seed=77, rows=RowsPerDot.STANDARD), line, seed=9)


def _require_terminals(line: Line) -> None:
    if line is Line.ECM:
        try:
            load_spandsp()
        except OSError:
            skip_loudly("libspandsp is not installed")
