"""The pictures of an alert in a file, by matplotlib, where that is installed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectors.wording import plain
from streams.errors import UserError
from streams.explained.pictures import Counts, Curves, Picture, Scale, Table, Weights, pictures
from streams.explained.terminal import safe

SEEN, NORMAL, MARKED, FAINT = "#c77800", "#2a7f9e", "#c0392b", "#888888"
WIDTH = 9.0  # inches
COLUMNS = 145  # characters of a line of text
HEIGHTS = {Curves: 3.6, Counts: 3.0, Scale: 1.9}  # inches, with title and labels
BELOW, ABOVE, ABOVE_SCALE = 0.5, 0.35, 0.95  # inches of these for the axis' labels and for the title
LEGEND: dict[str, Any] = {"fontsize": 8, "frameon": False, "loc": "lower right", "bbox_to_anchor": (1.0, 0.98), "borderpad": 0.0}
FORMATS = (".png", ".svg", ".pdf")


def save(alert: Mapping[str, Any], path: Path) -> None:
    """Draw an alert into a file.

    Raises
    ------
    UserError
        matplotlib is not installed, the alert has nothing to be seen, or the file's name says no format we draw.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--plot {path}: wanted a file that ends with {', '.join(FORMATS)}")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("--plot wants matplotlib: pip install 'nilometer[plot]', or pip install matplotlib") from None
    shown = [picture for picture in pictures(alert) if not isinstance(picture, Table)]
    if not shown:
        raise UserError("there is nothing to draw of this alert: the report that opened its episode has the evidence")
    heights = [_height(picture) for picture in shown]
    data = alert["data"]
    words = [line for reason in data["reasons"] for line in textwrap.wrap(f"• {safe(reason)}", COLUMNS, subsequent_indent="   ")]
    head = 0.8 + 0.155 * len(words)
    tall = head + sum(heights)
    figure = Figure(figsize=(WIDTH, tall))
    FigureCanvasAgg(figure)
    title = f"{safe(data['key'])}: {data['stream']}, {data['test']}, {data['severity']}"
    figure.text(0.02, 1 - 0.3 / tall, _plain(title), size=13, weight="bold")
    figure.text(0.02, 1 - 0.52 / tall, f"{data['at']}   alert {alert['id']}", size=8, color=FAINT)
    figure.text(0.02, 1 - 0.62 / tall, _plain("\n".join(words)), size=8, va="top")
    top = head
    for picture, height in zip(shown, heights, strict=True):
        above = ABOVE_SCALE if isinstance(picture, Scale) else ABOVE
        axes = figure.add_axes((0.14, 1 - (top + height - BELOW) / tall, 0.82, (height - BELOW - above) / tall))
        axes.set_title(_plain(safe(picture.title)), size=9, loc="left", weight="bold", pad=6.0 + 72.0 * (above - ABOVE))
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        _draw(axes, picture)
        top += height
    figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def _height(picture: Picture) -> float:
    if isinstance(picture, Weights):
        return 1.0 + 0.28 * len(picture.rows)
    if isinstance(picture, Counts) and len(picture.names) == 1:
        return 1.4
    return HEIGHTS[type(picture)]


def _draw(axes: Any, picture: Picture) -> None:
    if isinstance(picture, Curves):
        _curves(axes, picture)
    elif isinstance(picture, Counts):
        _counts(axes, picture)
    elif isinstance(picture, Weights):
        _weights(axes, picture)
    elif isinstance(picture, Scale):
        _scale(axes, picture)


def _curves(axes: Any, curves: Curves) -> None:
    x = [number * curves.every for number in range(len(curves.readings))]
    axes.fill_between(x, curves.readings, curves.normal, color=SEEN, alpha=0.15, linewidth=0)
    axes.plot(x, curves.normal, color=NORMAL, linewidth=1.4, linestyle="--", label="normal")
    axes.plot(x, curves.readings, color=SEEN, linewidth=1.6, label="readings")
    if curves.worst is not None:
        nearest = min(len(x) - 1, curves.worst // curves.every)
        axes.plot([x[nearest]], [curves.readings[nearest]], "o", color=MARKED, markersize=6, label="farthest off")
    axes.set_xlabel(_plain(f"reading, from {curves.start} to {curves.end}"), size=8)
    axes.legend(fontsize=8, frameon=False)
    axes.margins(x=0.01)


def _counts(axes: Any, counts: Counts) -> None:
    if len(counts.names) == 1:
        axes.barh([0], counts.observed, color=MARKED, height=0.5)
        axes.plot([counts.expected[0]] * 2, [-0.4, 0.4], color=NORMAL, linewidth=2.5, label=f"expected {counts.expected[0]:,.1f}")
        axes.set_yticks([0], [_plain(safe(counts.names[0]))])
    else:
        places = range(len(counts.names))
        colours = [MARKED if place == counts.marked else SEEN for place in places]
        axes.bar(places, counts.observed, color=colours, width=0.7)
        axes.plot(places, counts.expected, "_", color=NORMAL, markersize=24, markeredgewidth=2.5, label="expected")
        axes.set_xticks(list(places), [_plain(safe(name)) for name in counts.names])
    axes.legend(**LEGEND)


def _weights(axes: Any, weights: Weights) -> None:
    rows = list(reversed(weights.rows))
    axes.barh(range(len(rows)), [weight for _, _, weight in rows], color=[SEEN if weight >= 0 else NORMAL for _, _, weight in rows])
    axes.set_yticks(range(len(rows)), [_plain(safe(name)) for name, _, _ in rows])
    axes.axvline(0.0, color=FAINT, linewidth=0.8)
    for place, (_, value, weight) in enumerate(rows):
        axes.annotate(
            _plain(safe(value)), (max(weight, 0.0), place), xytext=(4, 0), textcoords="offset points", va="center", size=7, color=FAINT
        )
    axes.margins(x=0.25)


def _scale(axes: Any, scale: Scale) -> None:
    axes.set_ylim(-1.0, 1.0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    aside: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
    for number, (name, value) in enumerate(sorted(scale.marks, key=lambda mark: mark[1])):
        axes.plot([value] * 2, [-0.35, 0.35], color=NORMAL, linewidth=2)
        words = _plain(f"{safe(name)}\n{plain(value)}")
        axes.annotate(words, (value, 0.35), xytext=(0, 3 + 19 * (number % 3)), size=7, color=NORMAL, **aside)
    name, value = scale.point
    axes.plot([value], [0.0], "o", color=MARKED, markersize=9)
    axes.annotate(_plain(f"{safe(name)} {plain(value)}"), (value, 0.0), xytext=(0, 9), size=8, color=MARKED, **aside)
    axes.margins(x=0.08)


def _plain(text: str) -> str:
    """What matplotlib would take for mathematics is text."""
    return text.replace("$", r"\$")
