"""Pictures in characters: a line each, readable without colour; curves are drawn with braille dots, two by four in a character."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from rich.text import Text

from detectors.wording import plain
from streams.explained.pictures import Counts, Curves, Picture, Scale, Table, Weights

ROWS = 10  # of a chart of curves
BAR = 34  # characters of the longest bar
EIGHTHS = " ▏▎▍▌▋▊▉█"
HEIGHTS = " ▁▂▃▄▅▆▇█"
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character, from its top
SEEN, NORMAL, FAINT, MARKED = "bold yellow", "cyan", "dim", "bold red"


def drawn(picture: Picture, width: int) -> list[Text]:
    """A picture as lines of at most `width` characters, if that is 60 at least."""
    bar = max(12, min(BAR, width - 52))
    if isinstance(picture, Curves):
        lines = _curves(picture, width)
    elif isinstance(picture, Counts):
        lines = _counts(picture, bar)
    elif isinstance(picture, Weights):
        lines = _weights(picture, bar)
    elif isinstance(picture, Scale):
        lines = _scale(picture, width)
    else:
        lines = _table(picture)
    return [*(Text(line, "bold") for line in textwrap.wrap(safe(picture.title), width)), *lines]


def safe(text: object) -> str:
    """Text without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def _curves(curves: Curves, width: int) -> list[Text]:
    low, high = min(*curves.readings, *curves.normal), max(*curves.readings, *curves.normal)
    spread = (high - low) or 1.0
    labels = [plain(high), plain((low + high) / 2), plain(low)]
    margin = max(map(len, labels)) + 1
    columns = max(10, min(width - margin - 1, 100))
    seen = _stretched(curves.readings, 2 * columns)
    normal = _stretched(curves.normal, columns)
    cells = [[0] * columns for _ in range(ROWS)]
    before = None
    for x, value in enumerate(seen):
        y = _level(high - value, spread, 4 * ROWS)
        for step in range(min(y, before if before is not None else y), max(y, before if before is not None else y) + 1):
            if step == y or before is None or abs(y - before) > 1:  # a steep line has no holes
                cells[step // 4][x // 2] |= DOTS[step % 4][x % 2]
        before = y
    lines = []
    for row in range(ROWS):
        label = {0: labels[0], ROWS // 2: labels[1], ROWS - 1: labels[2]}.get(row, "")
        line = Text(f"{label:>{margin}}┤" if label else " " * margin + "│", FAINT)
        for x in range(columns):
            if cells[row][x]:
                line.append(chr(0x2800 | cells[row][x]), SEEN)
            elif _level(high - normal[x], spread, ROWS) == row:
                line.append("─" if 0 < x < columns - 1 and normal[x - 1] == normal[x + 1] else "·", NORMAL)
            else:
                line.append(" ")
        lines.append(line)
    gaps = [abs(a - b) for a, b in zip(_stretched(curves.readings, columns), normal, strict=True)]
    most = max(gaps) or 1.0
    strip = Text(f"{'off by':>{margin}}│" if margin >= 6 else " " * margin + "│", FAINT)
    strip.append("".join(HEIGHTS[round(8 * gap / most)] for gap in gaps), MARKED)
    lines.append(strip)
    start, end = safe(curves.start), safe(curves.end)
    lines.append(Text(" " * (margin + 1) + start + " " * max(1, columns - len(start) - len(end)) + end, FAINT))
    legend = Text(" " * (margin + 1))
    legend.append("⠤⠤ readings", SEEN).append("   ").append("··· normal", NORMAL).append("   ")
    legend.append(f"▁▃█ how far apart, at most {plain(max(gaps))}", MARKED)
    return [*lines, legend]


def _counts(counts: Counts, room: int) -> list[Text]:
    most = max(*counts.observed, *counts.expected, 1e-9)
    margin = max(map(len, counts.names)) + 2
    lines = []
    for number, (name, observed, expected) in enumerate(zip(counts.names, counts.observed, counts.expected, strict=True)):
        marked = number == counts.marked
        bar, at = _bar(observed / most, room), min(room - 1, round(room * expected / most))
        line = Text(f"{safe(name):>{margin}} ")
        line.append(bar[:at].ljust(at), MARKED if marked else SEEN).append("┃", NORMAL)
        line.append(bar[at + 1 :].ljust(room - at), MARKED if marked else SEEN)
        line.append(f" {_count(observed):>7}", "bold" if marked else "").append(f"  expected {expected:,.1f}", FAINT)
        lines.append(line)
    return [*lines, Text(" " * (margin + 1)).append("█ counted", SEEN).append("   ").append("┃ expected", NORMAL)]


def _count(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"


def _weights(weights: Weights, room: int) -> list[Text]:
    if not weights.rows:
        return []
    margin = max(len(name) for name, _, _ in weights.rows) + 2
    most = max(abs(weight) for _, _, weight in weights.rows) or 1.0
    both = any(weight < 0.0 for _, _, weight in weights.rows)
    half = room // 2 if both else room
    lines = []
    for name, value, weight in weights.rows:
        line = Text(f"{safe(name):>{margin}} ")
        long = round(half * abs(weight) / most)
        if both:
            line.append(("█" * long if weight < 0.0 else "").rjust(half), NORMAL).append("│", FAINT)
        line.append(("█" * long if weight >= 0.0 else "").ljust(half), SEEN)
        line.append(f" {weight:+7.2f}" if both else f" {weight:7.2f}", "bold").append(f"  {safe(value)}", FAINT)
        lines.append(line)
    return lines


def _scale(scale: Scale, width: int) -> list[Text]:
    """One line of marks, and below it what each is, in order."""
    columns = max(20, min(width - 4, 72))
    everything = [*scale.marks, scale.point]
    high = max(value for _, value in everything)
    low = min(0.0, min(value for _, value in everything))
    places = [min(columns - 1, round((columns - 1) * (value - low) / ((high - low) or 1.0))) for _, value in everything]
    axis = ["─"] * columns
    for place in places[:-1]:
        axis[place] = "┼"
    axis[0] = "├"
    axis[places[-1]] = "●"
    line = Text("  ")
    for place, character in enumerate(axis):
        line.append(character, MARKED if place == places[-1] else NORMAL)
    words = sorted(zip(everything, range(len(everything)), strict=True), key=lambda pair: pair[0][1])
    legend = Text("  ")
    for (name, value), number in words:
        legend.append(f"{safe(name)} {plain(value)}", MARKED if number == len(everything) - 1 else NORMAL).append("   ")
    return [line, legend]


def _table(table: Table) -> list[Text]:
    cells = [[safe(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.header))]
    lines = []
    for number, row in enumerate(cells):
        padded = [cell.rjust(width) if i == 0 else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append(Text("  " + "  ".join(padded).rstrip(), "" if number else FAINT))
    return lines


def _bar(share: float, room: int) -> str:
    """A bar of so much of the room, to an eighth of a character."""
    eighths = round(8 * room * max(0.0, min(1.0, share)))
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def _level(below: float, spread: float, levels: int) -> int:
    return min(levels - 1, max(0, math.floor(below / spread * levels)))


def _stretched(values: Sequence[float], many: int) -> list[float]:
    """The values at so many places, in between by a straight line."""
    found = []
    for place in range(many):
        x = place * (len(values) - 1) / max(1, many - 1)
        left = min(int(x), len(values) - 2)
        found.append(values[left] + (x - left) * (values[left + 1] - values[left]))
    return found
