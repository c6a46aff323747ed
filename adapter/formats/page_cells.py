"""A fine fax sheet as cells of 4 mm: how many, how large, and how their ink is written in a byte each.

A part of the annex's format (docs/reference/fax-annex.md): other numbers are another format.
"""

from __future__ import annotations

# The sheet below its header strip, in dots of a fine page; cells are 32 dots wide and high.
CELL = 32
COLUMNS, ROWS = 54, 70
SHEET_WIDTH, SHEET_HEIGHT, SHEET_TOP = 1728, 2292, 54
PRINT_BYTES = COLUMNS * ROWS
# Shares of ink by their byte: fine where text is, coarse where letters are white on black.
LEVELS = (*(step / 32 for step in range(15)), 0.52, 0.62, 0.72, 0.82, 0.92, 1.0)
