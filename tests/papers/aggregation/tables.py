"""The paper's tables as text, ours beside its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tests.papers.aggregation import printed
from tests.papers.aggregation.experiment import CLASSIFIERS, RATES, over_time_gap
from tests.papers.aggregation.families import FAMILIES


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: head, rule, rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def printed_cell(table: int, family: str, classifier: str) -> str:
    """The paper's cell behind a stroke, if we have it; ‡ marks one that cannot be right."""
    cell = printed.CELLS.get((table, family, classifier))
    if cell is None:
        return ""
    return f" / {cell:g}{'‡' if (table, family, classifier) in printed.WRONG else ''}"


def cost_tables(found: Mapping[str, np.ndarray]) -> str:
    """Tables 4–9: our mean over sub-samplings and windows, the paper's cell behind a stroke."""
    parts = []
    for rates in RATES:
        for data_set, costs in enumerate(found[rates]):
            table = printed.TABLES[rates, data_set]
            mean = costs.mean(axis=(0, 3))
            rows = [
                [name, *(f"{mean[f, c]:.1f}{printed_cell(table, family, name)}" for f, family in enumerate(FAMILIES))]
                for c, name in enumerate(CLASSIFIERS)
            ]
            rows.append(["mean", *(f"{cost:.1f}" for cost in mean.mean(axis=1))])
            parts.append(f"**Table {table}**: data set {data_set + 1}, rates {rates}\n\n{markdown(['', *FAMILIES], rows)}")
    return "\n\n".join(parts)


def excess_table(found: Mapping[str, np.ndarray]) -> str:
    """Cost over that of TG, less 1, per data set and their mean, ours and the paper's."""
    rows = []
    for rates in found:
        excess = 100.0 * over_time_gap(found[rates])
        for f, family in enumerate(FAMILIES[:-1]):
            known = printed.TXG_OVER_TG.get(rates) if family == "TxG" else None
            paper = printed.MEAN_OVER_TG.get(rates, {}).get(family)
            rows.append([
                rates, family, *(f"{e:+.1f}" + (f" / {known[i]:+.1f}" if known else "") for i, e in enumerate(excess[:, f])),
                f"**{excess[:, f].mean():+.1f}**", f"{paper:+.1f}" if paper is not None else "",
            ])  # fmt: skip
    sets = [f"data set {i + 1}, %" for i in range(len(excess))]
    return markdown(["rates", "family", *sets, "mean of the sets, %", "paper"], rows)


def sweep_table(found: Mapping[str, np.ndarray], windows: Sequence[int]) -> str:
    """Mean cost over data sets, sub-samplings and classifiers, by window."""
    rows = []
    for rates in found:
        mean = found[rates].mean(axis=(0, 1, 3))
        rows += [[rates, family, *(f"{cost:.1f}" for cost in mean[f])] for f, family in enumerate(FAMILIES)]
    return markdown(["rates", "family", *(f"d = {days}" for days in windows)], rows)


def classifier_table(found: Mapping[str, np.ndarray]) -> str:
    """Who owes what to TG: the mean excess over TG by classifier."""
    rows = []
    for rates in found:
        mean = found[rates].mean(axis=(1, 4))
        excess = 100.0 * (mean / mean[:, [FAMILIES.index("TG")]] - 1.0).mean(axis=0)
        rows += [[rates, family, *(f"{e:+.1f}" for e in excess[f])] for f, family in enumerate(FAMILIES[:-1])]
    return markdown(["rates", "family", *CLASSIFIERS], rows)
