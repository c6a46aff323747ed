"""Tables on paper: columns as wide as their words need, rows cut over pages, heads repeated, spans kept.

Rows are set as a stream: a cell that spans several rows gives each of them the lines that fit, the last one takes the rest;
a cell whose text is already printed is printed again on the next page, so that no dose stands without its drug.
A table that has more columns than paper is told row by row, each value after its column's name. Nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from adapter.model.confidential import Confidential
from adapter.packaging.page.layout import (
    INDENT,
    LEFT,
    LINE,
    TINT,
    Atom,
    Chunk,
    Fill,
    Mark,
    Sheet,
    Stroke,
    chunks_of,
    moved,
    paragraph_atoms,
    picture_atoms,
    piece_width,
    rule_atom,
    soft_parts,
)
from adapter.packaging.page.narrative import Block, Cell, Ink, Paragraph, Picture, Rule, Run, Table, blocks_text

PAD_X, PAD_Y = 1.3, 0.9
_SIZES = (9.0, 8.5, 8.0, 7.5, 7.0, 6.5)
_NARROWEST = 9.0
_MAX_PICTURE = 120.0
_MAX_NESTED_ROW = 100.0
_MAX_DEPTH = 3
_LONGEST_CAPTION = 160
_ABOVE = 1.8  # white space over a table
_LONG_TEXT = 200


@dataclass(frozen=True, repr=False)
class Placed(Confidential):
    """A cell at its place in the grid."""

    cell: Cell
    row: int
    column: int
    rows: int
    columns: int


@dataclass(repr=False)
class Running(Confidential):
    """A cell being printed: what is left of it, and all of it for a repetition."""

    place: Placed
    atoms: list[Atom]
    left: list[Atom] = field(default_factory=list)

    def height_left(self) -> float:
        """What it still needs."""
        return sum(atom.height + (atom.gap if index else 0.0) for index, atom in enumerate(self.left))

    def take(self, room: float) -> list[Atom]:
        """The atoms that fit."""
        taken: list[Atom] = []
        used = 0.0
        while self.left:
            need = self.left[0].height + (self.left[0].gap if taken else 0.0)
            if used + need > room + 0.01:
                break
            used += need
            taken.append(self.left.pop(0))
        return taken


def flow_blocks(sheet: Sheet, blocks: Sequence[Block], size: float, width: float, before: Sequence[Atom] = ()) -> None:
    """Place blocks; `before` (a title) is kept with the first of them."""
    waiting = list(before)
    for block in blocks:
        if isinstance(block, Table):
            table = TableSetter(block, width)
            sheet.flow(waiting, _ABOVE + table.opening_height())
            waiting = []
            table.flow(sheet)
        else:
            atoms = block_atoms(block, width, size, 0)
            waiting += [replace(atom, keep=True) for atom in atoms] if _names_what_follows(block) else atoms
    sheet.flow(waiting)


def _names_what_follows(block: Block) -> bool:
    """A short paragraph all in bold is a caption: it never stands alone at the foot of a page."""
    if not isinstance(block, Paragraph) or not block.runs:
        return False
    return all(run.ink.bold for run in block.runs) and sum(len(run.text) for run in block.runs) <= _LONGEST_CAPTION


def block_atoms(block: Block, width: float, size: float, depth: int) -> list[Atom]:
    """Any block as atoms."""
    match block:
        case Paragraph():
            return paragraph_atoms(block, width, size)
        case Picture():
            return picture_atoms(block, width, size, _MAX_PICTURE)
        case Rule():
            return [rule_atom(block, width)]
        case Table():
            return nested_atoms(block, width, depth)


def nested_atoms(table: Table, width: float, depth: int) -> list[Atom]:
    """A table within a cell, one atom a row; told in words when it is too deep, too narrow or a row is too tall."""
    if depth < _MAX_DEPTH and width >= 2 * _NARROWEST:
        setter = TableSetter(table, width, depth + 1)
        atoms = setter.row_atoms() if not setter.told else []
        if atoms and max(atom.height for atom in atoms) <= _MAX_NESTED_ROW:
            return atoms
    return [atom for block in told_rows(table) for atom in block_atoms(block, width, _SIZES[-1], _MAX_DEPTH)]


def told_rows(table: Table) -> list[Block]:
    """A table as paragraphs: each row's values after the names of their columns; a cell over several rows is told in each."""
    placed, columns = grid_of(table.rows)
    names = _column_names(placed, columns, table.header_rows)
    first = table.header_rows if table.header_rows < len(table.rows) else 0
    blocks: list[Block] = []
    for row in range(first, len(table.rows)):
        for place in sorted((p for p in placed if p.row <= row < p.row + p.rows), key=lambda p: p.column):
            blocks += _told_cell(names[place.column], place, again=place.row < row)
        blocks.append(Rule())
    return blocks[:-1]


def _column_names(placed: Sequence[Placed], columns: int, header_rows: int) -> list[str]:
    """What the heads say above each column, the wide ones before the narrow ones."""
    names: list[list[str]] = [[] for _ in range(columns)]
    for place in placed:
        if place.row < header_rows:
            for column in range(place.column, place.column + place.columns):
                names[column] += " ".join(blocks_text(place.cell.blocks).split()).split("\n")
    return [", ".join(name for name in column if name) for column in names]


def _told_cell(name: str, place: Placed, *, again: bool) -> list[Block]:
    blocks = list(place.cell.blocks)
    if again and len(blocks_text(place.cell.blocks)) > _LONG_TEXT:
        return []
    if not name:
        return blocks
    label = Run(f"{name} : ", Ink(bold=True))
    head = blocks[0] if blocks else None
    if isinstance(head, Paragraph) and not head.marker:
        return [replace(head, runs=(label, *head.runs), tight=place.column > 0), *blocks[1:]]
    return [Paragraph((label,), tight=place.column > 0), *blocks]


def grid_of(rows: Sequence[Sequence[Cell]]) -> tuple[list[Placed], int]:
    """Cells at their places, spans cut to what exists; and the number of columns."""
    taken: dict[int, int] = {}  # column → first row that is free again
    placed: list[Placed] = []
    width = 0
    for number, row in enumerate(rows):
        column = 0
        for cell in row:
            while taken.get(column, 0) > number:
                column += 1
            columns = 1
            while columns < cell.colspan and taken.get(column + columns, 0) <= number:
                columns += 1
            height = min(cell.rowspan, len(rows) - number)
            placed.append(Placed(cell, number, column, height, columns))
            for covered in range(column, column + columns):
                taken[covered] = number + height
            column += columns
            width = max(width, column)
    return placed + _holes(placed, len(rows), width), width


def _holes(placed: Sequence[Placed], rows: int, columns: int) -> list[Placed]:
    """Empty cells where a row is shorter than the others, so that its frame closes."""
    covered = {(r, c) for p in placed for r in range(p.row, p.row + p.rows) for c in range(p.column, p.column + p.columns)}
    return [
        Placed(Cell(()), row, column, 1, 1) for row in range(rows) for column in range(columns) if (row, column) not in covered
    ]


class TableSetter:
    """Sets one table in a given width."""

    def __init__(self, table: Table, width: float, depth: int = 0) -> None:
        self.table = table
        self.indent = min(table.level * INDENT, width * 0.3)
        self.width = width - self.indent
        self.depth = depth
        self.placed, self.columns = grid_of(table.rows)
        self.size, self.widths = self._fit()
        self.told = not self.widths

    # -- columns --------------------------------------------------------------------------------------------------------

    def _fit(self) -> tuple[float, list[float]]:
        """The largest size at which no word is cut, and the widths of the columns; none when there is no such table.

        Words may be cut at the smallest size, with a hyphen; numbers may not: a dose read in two halves is another dose.
        """
        if not self.columns or self.width / self.columns < _NARROWEST:
            return _SIZES[-1], []
        firm: list[float] = []
        least: list[float] = []
        for size in _SIZES[min(self.depth, 2) :]:
            firm, least, most = self._needs(size)
            if sum(least) <= self.width:
                return size, self._shared(least, most)
        spare = self.width - sum(firm)
        if spare < 0:
            return _SIZES[-1], []
        over = [low - hard for low, hard in zip(least, firm, strict=True)]
        return _SIZES[-1], [hard + spare * o / sum(over) for hard, o in zip(firm, over, strict=True)]

    def _needs(self, size: float) -> tuple[list[float], list[float], list[float]]:
        """Per column: what its numbers need, what its words need, what its longest paragraph would like."""
        firm = [_NARROWEST] * self.columns
        least = list(firm)
        most = list(firm)
        for place in sorted(self.placed, key=lambda p: p.columns):
            hard, low, high = self._cell_needs(place.cell, size)
            _widen(firm, place, hard)
            _widen(least, place, low)
            _widen(most, place, high)
        least = [max(pair) for pair in zip(firm, least, strict=True)]
        return firm, least, [max(pair) for pair in zip(least, most, strict=True)]

    def _cell_needs(self, cell: Cell, size: float) -> tuple[float, float, float]:
        hard = low = high = 0.0
        longest = max(26.0, 1.6 * self.width / self.columns)  # a longer word is cut rather than starve the other columns
        for block in cell.blocks:
            if isinstance(block, Paragraph):
                chunks = chunks_of(block.runs, size)
                indent = block.level * INDENT
                low = max([low, *(min(chunk.width, longest) + indent for chunk in chunks)])
                high = max(high, sum(chunk.width + size * 0.12 for chunk in chunks) + indent)
                hard = max([hard, *(min(width, longest) + indent for width in _number_widths(chunks, size))])
            elif isinstance(block, Table | Picture):
                low, high = max(low, 30.0), max(high, 80.0)
        room = 2 * PAD_X + 0.1
        return hard + room, low + room, high + room

    def _shared(self, least: list[float], most: list[float]) -> list[float]:
        if sum(most) <= self.width:
            # A small table keeps its natural width; one that nearly fills the column fills it.
            stretch = self.width / sum(most) if sum(most) > 0.55 * self.width else 1.0
            return [width * stretch for width in most]
        wanted = self._declared() or most
        # Very long cells would starve the short ones: their wish grows slower than their text.
        wishes = [max(want - low, 0.0) ** 0.75 for want, low in zip(wanted, least, strict=True)]
        spare = self.width - sum(least)
        total = sum(wishes) or 1.0
        return [low + spare * wish / total for low, wish in zip(least, wishes, strict=True)]

    def _declared(self) -> list[float]:
        declared = {p.column: p.cell.width_percent for p in self.placed if p.columns == 1 and p.cell.width_percent}
        if len(declared) < self.columns:
            return []
        return [declared[column] * self.width / 100 for column in range(self.columns)]

    # -- rows -----------------------------------------------------------------------------------------------------------

    def opening_height(self) -> float:
        """What must fit under a title: the heads and the first row, or a good part of it."""
        if self.told:
            return 12.0
        heads = self._natural_height(0, self.table.header_rows)
        return heads + min(self._natural_height(self.table.header_rows, self.table.header_rows + 1), 30.0)

    def _natural_height(self, first: int, end: int) -> float:
        total = 0.0
        for row in range(first, min(end, len(self.table.rows))):
            places = [p for p in self.placed if p.row == row and p.rows == 1]
            total += max((sum(a.height for a in self._atoms(p)) for p in places), default=4.0) + 2 * PAD_Y
        return total

    def _atoms(self, place: Placed) -> list[Atom]:
        width = self._across(place)[1] - 2 * PAD_X
        atoms: list[Atom] = []
        for block in place.cell.blocks:
            atoms += block_atoms(block, width, self.size, self.depth)
        return atoms

    def flow(self, sheet: Sheet) -> None:
        """Print the table from the sheet's current height on."""
        if self.told:
            flow_blocks(sheet, told_rows(self.table), 9.0, self.width)
            return
        if not sheet.fresh:
            sheet.y += _ABOVE
        heads = self.table.header_rows
        head_height = self._natural_height(0, heads)
        repeated = heads if head_height < sheet.whole / 3 else 0
        if self.opening_height() > sheet.room:
            sheet.new_page()
        running: list[Running] = []
        for row in range(len(self.table.rows)):
            running = self._print_row(sheet, row, running, repeated if row >= heads else 0)
        sheet.y += 1.2

    def row_atoms(self) -> list[Atom]:
        """Each row as one atom, for a table within a cell."""
        sheet = Sheet(first_top=0.0, top=0.0)
        sheet.y = -100000.0  # a sheet without an end
        atoms: list[Atom] = []
        running: list[Running] = []
        for row in range(len(self.table.rows)):
            start, count = sheet.y, len(sheet.pages[0])
            running = self._print_row(sheet, row, running, 0)
            marks = tuple(moved(mark, -LEFT, -start) for mark in sheet.pages[0][count:])
            atoms.append(Atom(sheet.y - start, marks, gap=1.5 if row == 0 else 0.0))
        return atoms

    def _print_row(self, sheet: Sheet, row: int, running: list[Running], repeated: int) -> list[Running]:
        """Print one row, over as many pages as it needs; returns the cells that go on below."""
        cells = running + [self._start(place) for place in self.placed if place.row == row]
        need = self._row_need(cells, row)
        if need > sheet.room and (need <= sheet.whole * 0.6 or sheet.room < 25.0):
            self._continue_overleaf(sheet, cells, row, repeated, started=False)
            need = self._row_need(cells, row)
        first = True
        while need > sheet.room:
            self._slice(sheet, cells, row, sheet.room, ends=False, starts=first)
            self._continue_overleaf(sheet, cells, row, repeated, started=True)
            need, first = self._row_need(cells, row), False
        self._slice(sheet, cells, row, need, ends=True, starts=first)
        return [cell for cell in cells if cell.place.row + cell.place.rows - 1 > row]

    def _start(self, place: Placed) -> Running:
        atoms = self._atoms(place)
        return Running(place, atoms, list(atoms))

    def _row_need(self, cells: list[Running], row: int) -> float:
        ending = [cell.height_left() for cell in cells if cell.place.row + cell.place.rows - 1 == row]
        return max([*ending, self.size * 0.48]) + 2 * PAD_Y

    def _continue_overleaf(self, sheet: Sheet, cells: list[Running], row: int, repeated: int, *, started: bool) -> None:
        """A new page: heads again, and again the short cells that were printed to their end and still reach on.

        The loop above ends because no atom is taller than what is left of a page under its heads: `_MAX_PICTURE`,
        `_MAX_NESTED_ROW` and the third of a page that heads may take see to it.
        """
        for cell in cells:
            if cell.place.row < row:
                x, wide = self._across(cell.place)
                sheet.put([Stroke(x, 0, x + wide, 0, 0.18, LINE)], 0.0)
        sheet.new_page()
        for head in range(repeated):
            heads = [self._start(place) for place in self.placed if place.row == head]
            self._slice(sheet, heads, head, self._row_need(heads, head), ends=True, starts=True)
        for cell in cells:
            reaches_on = cell.place.row < row or (started and cell.place.column == 0)
            if reaches_on and cell.atoms and not cell.left and sum(atom.height for atom in cell.atoms) < 30.0:
                cell.left = cell.atoms + self._continued(cell.place)

    def _continued(self, place: Placed) -> list[Atom]:
        words = Paragraph((Run("(suite)", Ink(italic=True)),), tight=True)
        return paragraph_atoms(words, self._across(place)[1] - 2 * PAD_X, self.size)

    def _across(self, place: Placed) -> tuple[float, float]:
        """Where a cell begins, and how wide it is."""
        left = self.indent + sum(self.widths[: place.column])
        return left, sum(self.widths[place.column : place.column + place.columns])

    def _slice(self, sheet: Sheet, cells: list[Running], row: int, height: float, *, ends: bool, starts: bool) -> None:
        """Print the part of a row that fits in `height`."""
        marks: list[Mark] = []
        fills: list[Mark] = []
        for cell in cells:
            x, wide = self._across(cell.place)
            if cell.place.cell.header:
                fills.append(Fill(x, 0, wide, height, TINT))
            marks += _atom_marks(cell.take(height - 2 * PAD_Y), x + PAD_X)
            last = ends and cell.place.row + cell.place.rows - 1 == row
            first = starts and cell.place.row == row
            marks += _frame(x, wide, height, top=first or sheet.fresh, bottom=last or not ends)
        sheet.put([*fills, *marks], height)


def _number_widths(chunks: Sequence[Chunk], size: float) -> list[float]:
    parts = (part for chunk in chunks for piece in chunk.pieces for part in soft_parts(piece))
    return [piece_width(part, size) for part in parts if any(c.isdigit() for c in part.text)]


def _widen(widths: list[float], place: Placed, need: float) -> None:
    span = range(place.column, place.column + place.columns)
    missing = need - sum(widths[column] for column in span)
    if missing > 0:
        for column in span:
            widths[column] += missing / place.columns


def _atom_marks(atoms: Sequence[Atom], x: float) -> list[Mark]:
    marks: list[Mark] = []
    y = PAD_Y
    for index, atom in enumerate(atoms):
        y += atom.gap if index else 0.0
        marks += [moved(mark, x, y) for mark in atom.marks]
        y += atom.height
    return marks


def _frame(x: float, width: float, height: float, *, top: bool, bottom: bool) -> list[Mark]:
    right = x + width
    marks: list[Mark] = [Stroke(x, 0, x, height, 0.18, LINE), Stroke(right, 0, right, height, 0.18, LINE)]
    if top:
        marks.append(Stroke(x, 0, right, 0, 0.18, LINE))
    if bottom:
        marks.append(Stroke(x, height, right, height, 0.18, LINE))
    return marks
